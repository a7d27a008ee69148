//! Finding KV caches and taking them out: what `eliminate-kv-cache` stands on.

mod branches;
pub mod carried;
pub mod checks;
pub mod discover;
pub mod eliminate;
pub mod fixed;
pub mod index;
pub mod lengths;
pub mod readers;
pub mod stateful;
