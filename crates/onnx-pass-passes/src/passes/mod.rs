//! The passes, one file each.

pub mod eliminate_common_subexpressions;
pub mod eliminate_dead_code;
pub mod eliminate_identities;
pub mod eliminate_kv_cache;
pub mod fold_constants;
pub mod infer_shapes;
