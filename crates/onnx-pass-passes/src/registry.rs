//! The table of passes.

use crate::pass::Pass;
use crate::passes;

/// Every pass, by name.
pub static PASSES: &[&dyn Pass] = &[
    &passes::eliminate_dead_code::EliminateDeadCode,
    &passes::eliminate_kv_cache::EliminateKvCache,
    &passes::eliminate_common_subexpressions::EliminateCommonSubexpressions,
    &passes::eliminate_identities::EliminateIdentities,
    &passes::fold_constants::FoldConstants,
    &passes::infer_shapes::InferShapes,
];

/// The pass of that name.
pub fn find(name: &str) -> Option<&'static dyn Pass> {
    PASSES.iter().copied().find(|p| p.name() == name)
}
