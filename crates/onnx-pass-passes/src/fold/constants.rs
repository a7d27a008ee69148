//! Results that are the same in every run become constants.

use std::sync::Arc;

use onnx_pass_ir::{DataType, Model, NodeId, Tensor, ValueId};

use crate::analysis::{Analysis, Fact};
use crate::pass::PassError;

/// A folded tensor may be this large. Larger ones would grow the file by more than the node that they replace.
const MAX_BYTES: usize = 1024;

/// Folds a node's known results, and lifts a `Constant` to an initializer. Gives whether it did.
pub fn fold(m: &mut Model, a: &Analysis, node: NodeId) -> Result<bool, PassError> {
    let start = m.revision();
    if let Some(t) = m.constant_node(node) {
        if let Some(v) = m.node(node).output(0) {
            m.make_constant(v, t)?;
        }
        return Ok(m.revision() != start);
    }
    if m.node(node).subgraphs().next().is_some() || !is_pure(m, node) {
        return Ok(false);
    }
    for k in 0..m.node(node).outputs().len() {
        if !m.is_live_node(node) {
            break;
        }
        let Some(v) = m.node(node).output(k) else { continue };
        if m.is_unused(v) {
            continue;
        }
        if let Some(t) = known(a, v) {
            m.make_constant(v, t)?;
        }
    }
    Ok(m.revision() != start)
}

/// The contents of a value, when they are the same in every run and small.
fn known(a: &Analysis, v: ValueId) -> Option<Arc<Tensor>> {
    let fact = a.fact(v);
    if let Some(t) = &fact.tensor {
        return t.byte_len().is_some_and(|n| n <= MAX_BYTES).then(|| t.clone());
    }
    let dims = fact.const_shape()?;
    let dtype = fact.dtype?;
    if dims.contains(&0) {
        return empty(dtype, &dims);
    }
    integers(fact, dtype, &dims)
}

fn integers(fact: &Fact, dtype: DataType, dims: &[i64]) -> Option<Arc<Tensor>> {
    let items = fact.const_items()?;
    if dtype.is_float() {
        return None;
    }
    Tensor::integers(dtype, dims, &items)
        .ok()
        .filter(|t| t.byte_len().is_some_and(|n| n <= MAX_BYTES))
        .map(Arc::new)
}

fn empty(dtype: DataType, dims: &[i64]) -> Option<Arc<Tensor>> {
    dtype.bits()?;
    Tensor::from_raw(dtype, dims, Vec::new()).ok().map(Arc::new)
}

/// Whether a node computes the same from the same operands each time.
pub fn is_pure(m: &Model, node: NodeId) -> bool {
    let n = m.node(node);
    !matches!(
        n.op_type(),
        "RandomNormal"
            | "RandomNormalLike"
            | "RandomUniform"
            | "RandomUniformLike"
            | "Multinomial"
            | "Bernoulli"
            | "Dropout"
            | "Optional"
            | "SequenceEmpty"
    ) && m.callee(node).is_none()
}
