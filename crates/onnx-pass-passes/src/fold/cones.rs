//! Constants through large intermediates: a small result of constants is folded though what lies between is large.
//!
//! A table that is looked up, weighted and summed up is larger half-way than before and after. Node by node nothing of
//! it would be folded; here the nodes behind one result are taken together.

use std::sync::Arc;

use onnx_pass_ir::{Model, NodeId, Tensor, Use, ValueId};
use rustc_hash::FxHashMap;

use super::constants::is_pure;
use crate::analysis::Analysis;

/// More nodes than this are not taken together.
const MAX_NODES: usize = 32;
/// No intermediate has more bytes than this.
const MAX_BYTES: usize = 1 << 20;

/// The contents of a node's results, computed from constants through the nodes before it, and the bytes of the
/// constants that go when it does. `None` when it has constants alone to go by, or something else.
pub fn evaluate(
    m: &Model,
    a: &mut Analysis,
    node: NodeId,
    max_bytes: usize,
) -> Option<(Vec<Option<Arc<Tensor>>>, usize)> {
    let (mut order, mut budget) = (Vec::new(), MAX_NODES);
    gather(m, a, node, &mut order, &mut budget)?;
    if order.len() < 2 {
        return None;
    }
    let replaced = replaced_bytes(m, &order);
    let fits = |v: &ValueId| bytes(a, *v).is_some_and(|n| n <= max_bytes || n <= replaced);
    if !m.node(node).outputs().iter().flatten().filter(|v| !m.is_unused(**v)).all(fits) {
        return None;
    }
    let mut made: FxHashMap<ValueId, Arc<Tensor>> = FxHashMap::default();
    let mut last = Vec::new();
    for n in order {
        let operand = |v: &Option<ValueId>| match v {
            None => Some(None),
            Some(v) => made.get(v).cloned().or_else(|| a.fact(*v).constant()).map(Some),
        };
        let operands: Vec<_> = m.node(n).inputs().iter().map(operand).collect::<Option<_>>()?;
        last = a.evaluate(m, n, &operands)?;
        let results = m.node(n).outputs().iter().zip(&last);
        made.extend(results.filter_map(|(v, t)| Some(((*v)?, t.clone()?))));
    }
    Some((last, replaced))
}

/// The bytes of a value of constant shape.
fn bytes(a: &Analysis, v: ValueId) -> Option<usize> {
    a.dtype(v)?.byte_len(a.fact(v).count()?)
}

/// A node after those that it needs and that are not folded; `None` when one needs more than constants, or there are
/// more than `budget`.
fn gather(m: &Model, a: &Analysis, node: NodeId, order: &mut Vec<NodeId>, budget: &mut usize) -> Option<()> {
    if order.contains(&node) {
        return Some(());
    }
    *budget = budget.checked_sub(1)?;
    let n = m.node(node);
    let small = n.outputs().iter().flatten().all(|v| bytes(a, *v).is_some_and(|b| b <= MAX_BYTES));
    if !small || n.subgraphs().next().is_some() || !is_pure(m, node) {
        return None;
    }
    for v in n.inputs().iter().flatten() {
        if a.fact(*v).constant().is_none() {
            let producer = m.value(*v).producer().filter(|p| m.node(*p).graph() == n.graph())?;
            gather(m, a, producer, order, budget)?;
        }
    }
    order.push(node);
    Some(())
}

/// Bytes of the constants in the file that go when the last of these nodes goes, with those that then nobody reads.
fn replaced_bytes(m: &Model, order: &[NodeId]) -> usize {
    let mut gone: Vec<NodeId> = Vec::with_capacity(order.len());
    for n in order.iter().rev() {
        let by_gone = |u: &Use| matches!(u, Use::Node { node, .. } if gone.contains(node));
        let unread = m.node(*n).outputs().iter().flatten().all(|v| m.value(*v).uses().iter().all(by_gone));
        if gone.is_empty() || unread {
            gone.push(*n);
        }
    }
    let mut constants: Vec<ValueId> =
        gone.iter().flat_map(|n| m.node(*n).inputs().iter().flatten().copied()).collect();
    constants.sort_unstable();
    constants.dedup();
    let only = |v: &ValueId| {
        m.value(*v).uses().iter().all(|u| matches!(u, Use::Node { node, .. } if gone.contains(node)))
    };
    let constants = constants.into_iter().filter(only).filter_map(|v| m.constant(v));
    constants.filter(|t| !t.is_external()).map(|t| t.byte_len().unwrap_or(0)).sum()
}
