//! The passes, one file each.

pub mod bind_inputs;
pub mod custom_io;
pub mod eliminate_common_subexpressions;
pub mod eliminate_dead_code;
pub mod eliminate_identities;
pub mod eliminate_kv_cache;
pub mod fold_constants;
pub mod generate_specializations;
pub mod infer_shapes;
pub mod inline_functions;
pub mod prune_dynamic_axes;
pub mod rename;
pub mod select_outputs;
