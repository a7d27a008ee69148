//! Passes over ONNX graphs, the analysis that they share, and their manager.

pub mod analysis;
pub mod artifacts;
pub mod deploy;
pub mod dims;
pub mod docs;
pub mod expr;
pub mod fold;
pub mod kv;
pub mod late;
pub mod manager;
pub mod names;
pub mod options;
pub mod pass;
pub mod passes;
pub mod prune;
pub mod registry;
pub mod suggest;
#[cfg(test)]
mod testing;
