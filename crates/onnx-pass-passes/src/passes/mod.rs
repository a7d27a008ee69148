//! The passes, one file each.

pub mod bind_inputs;
pub mod clip_to_float16_range;
pub mod custom_io;
pub mod deduplicate_initializers;
pub mod eliminate_common_subexpressions;
pub mod eliminate_dead_code;
pub mod eliminate_identities;
pub mod eliminate_kv_cache;
pub mod embed;
pub mod externalize;
pub mod fold_constants;
pub mod generate_specializations;
pub mod infer_shapes;
pub mod inline_functions;
pub mod prune_dynamic_axes;
pub mod rename;
pub mod select_outputs;
