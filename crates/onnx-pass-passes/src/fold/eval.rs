//! Computing with numbers, exactly or not at all.

use std::sync::Arc;

use onnx_pass_ir::Tensor;

use crate::analysis::NodeCx;

/// The contents of a node's outputs for these inputs, where they can be computed exactly.
pub(crate) fn evaluate(
    _cx: &NodeCx<'_>,
    _inputs: &[Option<Arc<Tensor>>],
) -> Option<Vec<Option<Arc<Tensor>>>> {
    None
}
