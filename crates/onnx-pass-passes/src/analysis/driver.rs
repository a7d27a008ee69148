//! The walk over a model's graphs.

use onnx_pass_ir::Model;
use onnx_pass_ir::sym::Facts;

use super::{Analysis, Fact};

/// Analyses a model.
pub(super) fn analyse(model: &Model, given: &Facts) -> Analysis {
    Analysis {
        facts: vec![Fact::default(); model.value_capacity()],
        symbols: given.clone(),
        ..Analysis::default()
    }
}
