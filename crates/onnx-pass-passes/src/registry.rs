//! The table of passes.

use crate::pass::Pass;
use crate::passes;

/// Every pass, by name.
pub static PASSES: &[&dyn Pass] = &[
    &passes::bind_inputs::BindInputs,
    &passes::clip_to_float16_range::ClipToFloat16Range,
    &passes::custom_io::CustomIo,
    &passes::deduplicate_initializers::DeduplicateInitializers,
    &passes::eliminate_common_subexpressions::EliminateCommonSubexpressions,
    &passes::eliminate_dead_code::EliminateDeadCode,
    &passes::eliminate_identities::EliminateIdentities,
    &passes::eliminate_kv_cache::EliminateKvCache,
    &passes::embed::Embed,
    &passes::externalize::Externalize,
    &passes::fold_constants::FoldConstants,
    &passes::generate_specializations::GenerateSpecializations,
    &passes::infer_shapes::InferShapes,
    &passes::inline_functions::InlineFunctions,
    &passes::prune_dynamic_axes::PruneDynamicAxes,
    &passes::rename::Rename,
    &passes::select_outputs::SelectOutputs,
];

/// The pass of that name.
pub fn find(name: &str) -> Option<&'static dyn Pass> {
    PASSES.iter().copied().find(|p| p.name() == name)
}
