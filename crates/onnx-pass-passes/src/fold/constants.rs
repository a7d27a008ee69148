//! Results that are the same in every run become constants.

use std::sync::Arc;

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Attribute, GraphOwner, Model, NewNode, NodeId, Place, Tensor, Use, ValueId};
use rustc_hash::FxHashSet;

use super::cones;
use crate::analysis::{Analysis, Fact};
use crate::pass::PassError;

/// Folds a node's known results, and lifts a `Constant` to an initializer. Gives whether it did.
///
/// A result of at most `max_bytes` is folded always, a larger one when the constants that go with the node
/// hold at least as many bytes and are in the file itself.
pub fn fold(m: &mut Model, a: &mut Analysis, node: NodeId, max_bytes: usize) -> Result<bool, PassError> {
    let start = m.revision();
    if let Some(t) = m.constant_node(node) {
        if let Some(v) = m.node(node).output(0) {
            m.make_constant(v, t)?;
        }
        return Ok(m.revision() != start);
    }
    if m.node(node).has_subgraphs() || !is_pure(m, node) {
        return Ok(false);
    }
    let read = || m.node(node).outputs().iter().flatten().filter(|v| !m.is_unused(**v));
    if !read().any(|v| is_sized(a, *v)) {
        return Ok(false);
    }
    let read: Vec<ValueId> = read().copied().collect();
    let known = contents(m, a, node, &read, max_bytes);
    let whole = known.iter().all(Option::is_some);
    for (v, t) in read.into_iter().zip(known) {
        let Some(t) = t else { continue };
        a.set(v, Fact::of_tensor(&t));
        if whole {
            m.make_constant(v, t)?;
            continue;
        }
        // A result that its operator must have stays, unread; as a graph's output it keeps its name.
        let returned = m.value(v).is_graph_output();
        if !returned {
            let name = m.name(v).to_string();
            let c = place(m, node, &name, t.clone());
            a.set(c, Fact::of_tensor(&t));
            m.replace_uses(v, c);
        }
    }
    Ok(m.revision() != start)
}

/// Whether [`fold`], or what inlines bodies, may do something about a node. Most results have no size before the
/// model runs, and then nothing does.
pub fn concern(m: &Model, a: &Analysis, node: NodeId) -> bool {
    let n = m.node(node);
    n.has_subgraphs() || n.is("Constant") || n.outputs().iter().flatten().any(|v| is_sized(a, *v))
}

fn is_sized(a: &Analysis, v: ValueId) -> bool {
    a.fact(v).tensor.is_some() || a.shape(v).is_some_and(all_numbers)
}

/// The contents of some results of a node, where they are known and may be folded.
fn contents(
    m: &Model,
    a: &mut Analysis,
    node: NodeId,
    read: &[ValueId],
    max_bytes: usize,
) -> Vec<Option<Arc<Tensor>>> {
    let mut known: Vec<Option<Arc<Tensor>>> = read.iter().map(|v| a.fact(*v).constant()).collect();
    let replaced = std::cell::LazyCell::new(|| replaced_bytes(m, node));
    let within = |bytes: usize| bytes <= max_bytes || bytes <= *replaced;
    let computable = || m.node(node).inputs().iter().flatten().all(|v| a.fact(*v).is_constant());
    if known.iter().any(Option::is_none) && computable() {
        let bytes = |v: ValueId| a.dtype(v)?.byte_len(a.fact(v).count()?);
        let fits = |v: &ValueId| bytes(*v).is_some_and(within);
        let operands: Option<Vec<_>> = m
            .node(node)
            .inputs()
            .iter()
            .map(|v| v.map_or(Some(None), |v| a.fact(v).constant().map(Some)))
            .collect();
        if let Some(operands) = operands.filter(|_| read.iter().all(fits)) {
            let results = a.evaluate(m, node, &operands).unwrap_or_default();
            for (v, t) in m.node(node).outputs().iter().zip(results) {
                if let Some(k) = v.and_then(|v| read.iter().position(|r| *r == v)) {
                    known[k] = known[k].take().or(t);
                }
            }
        }
    }
    if known.iter().all(Option::is_none)
        && let Some((results, replaced)) = cones::evaluate(m, a, node, max_bytes)
    {
        let result = |v: &ValueId| {
            let k = m.node(node).outputs().iter().position(|o| *o == Some(*v))?;
            let fits = |t: &Arc<Tensor>| t.byte_len().is_some_and(|n| n <= max_bytes || n <= replaced);
            results.get(k)?.clone().filter(fits)
        };
        return read.iter().map(result).collect();
    }
    known.into_iter().map(|t| t.filter(|t| t.byte_len().is_some_and(within))).collect()
}

fn all_numbers(shape: &[Expr]) -> bool {
    shape.iter().all(Expr::is_const)
}

/// Bytes of the constants in the file that go when the node goes.
fn replaced_bytes(m: &Model, node: NodeId) -> usize {
    let mut seen = FxHashSet::default();
    let mut bytes = 0;
    for v in m.node(node).inputs().iter().flatten().filter(|v| seen.insert(**v)) {
        let only = m.value(*v).uses().iter().all(|u| matches!(u, Use::Node { node: n, .. } if *n == node));
        if let Some(t) = m.constant(*v).filter(|t| only && !t.is_external()) {
            bytes += t.byte_len().unwrap_or(0);
        }
    }
    bytes
}

/// A new constant that `before` can read: an initializer, or a `Constant` node where an initializer cannot
/// stand (in a function, and before IR 4).
pub fn place(m: &mut Model, before: NodeId, name: &str, t: Arc<Tensor>) -> ValueId {
    let graph = m.node(before).graph();
    let in_function = matches!(m.graph(m.root_of(graph)).owner(), GraphOwner::Function(_));
    let old_ir = m.header().ir_version.is_some_and(|ir| ir < 4);
    if !in_function && !old_ir {
        return m.add_initializer(graph, name, t);
    }
    let new = NewNode::new("Constant", &[], name)
        .attr(Attribute::new("value", onnx_pass_ir::AttrValue::Tensor(t.clone())));
    let node = m.add_node(Place::Before(before), new);
    match m.node(node).output(0) {
        Some(v) => v,
        None => m.add_initializer(graph, name, t),
    }
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
