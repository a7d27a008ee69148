//! Computing with numbers, exactly or not at all.
//!
//! What is folded must be what every runtime computes, bit for bit. So only operations are here whose result
//! the standards fix: moves of elements, arithmetic on integers (which wraps), and of the floating-point
//! operations those that IEEE 754 rounds correctly (`+ − × ÷ √`, roundings to integers, conversions). Anything
//! else, and any special case on which runtimes differ (the sign of a zero in a maximum, a conversion out of
//! range), is not folded.
//!
//! Half-precision arithmetic is done in single precision and rounded once more. For these operations that
//! gives the correctly rounded result, as single precision has more than twice the digits.

mod arith;
mod moves;
mod num;
mod reduce;

use std::sync::Arc;

use onnx_pass_ir::{DataType, Tensor};

use crate::analysis::NodeCx;

/// The contents of a node's outputs for these inputs, where they can be computed exactly. The node's answers
/// hold the outputs' shapes already.
pub(crate) fn evaluate(cx: &NodeCx<'_>, inputs: &[Option<Arc<Tensor>>]) -> Option<Vec<Option<Arc<Tensor>>>> {
    if !cx.node.domain().is_empty() {
        return None;
    }
    if cx.node.is("Split") {
        return moves::split(cx, inputs);
    }
    let one = moves::evaluate(cx, inputs).or_else(|| arith::evaluate(cx, inputs));
    let one = one.or_else(|| reduce::evaluate(cx, inputs))?;
    // What the rule found and what was computed are two accounts of one thing.
    let expected = cx.outputs.first()?;
    let same_shape = expected.const_shape().is_none_or(|d| d[..] == one.dims[..]);
    let same_type = expected.dtype.is_none_or(|t| t == one.dtype);
    (same_shape && same_type).then(|| vec![Some(one.shared())])
}

/// Bytes of an element, for types of whole bytes.
fn width(t: DataType) -> Option<usize> {
    let bits = t.bits()?;
    (bits % 8 == 0).then_some(bits as usize / 8)
}

fn dims_of(t: &Tensor) -> Option<Vec<usize>> {
    crate::analysis::strided::sizes(&t.dims)
}
