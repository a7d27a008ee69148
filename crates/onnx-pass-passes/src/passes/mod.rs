//! The passes, one file each.

pub mod eliminate_dead_code;
pub mod eliminate_kv_cache;
