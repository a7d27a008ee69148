//! The parts of `prune-dynamic-axes`: what symbols are bound to, what that does to declarations, and reading a
//! length from another input than the one that goes.

pub mod binds;
pub mod declared;
pub mod inputs;
