//! Branches that are always taken, and loops that run never or once.

use onnx_pass_ir::{Attribute, GraphId, Model, NewNode, NodeId, Place, Tensor, ValueId};

use super::constants::place;
use super::rules::ints;
use crate::analysis::{Analysis, Fact};
use crate::pass::PassError;

/// The one number that a value holds.
fn known(m: &Model, a: &Analysis, v: ValueId) -> Option<i64> {
    ints(m, a, v).filter(|v| v.len() == 1).and_then(|v| v.first().copied())
}

/// An `If` whose condition is known becomes the branch that it takes.
pub fn branch(m: &mut Model, a: &Analysis, node: NodeId) -> Result<(), PassError> {
    if !m.node(node).is("If") {
        return Ok(());
    }
    let Some(condition) = m.node(node).input(0).and_then(|c| known(m, a, c)) else { return Ok(()) };
    let name = if condition != 0 { "then_branch" } else { "else_branch" };
    if let Some(g) = m.node(node).attribute(name).and_then(Attribute::as_graph) {
        m.inline_graph(node, g, &[])?;
    }
    Ok(())
}

/// How often a loop runs, as far as it matters here.
enum Turns {
    Never,
    Once,
}

/// A `Loop` that runs never gives what it was given; one that runs once becomes its body.
pub fn repeat(m: &mut Model, a: &mut Analysis, node: NodeId) -> Result<(), PassError> {
    let n = m.node(node);
    let body = n.attribute("body").and_then(Attribute::as_graph).filter(|_| n.is("Loop"));
    let Some(body) = body else { return Ok(()) };
    let carried = n.inputs().len().saturating_sub(2);
    let fits = m.graph(body).inputs().len() == carried + 2
        && m.graph(body).outputs().len() > carried
        && n.outputs().len() < m.graph(body).outputs().len()
        && n.inputs().iter().skip(2).all(Option::is_some);
    match turns(m, a, node, body).filter(|_| fits) {
        Some(Turns::Never) => never(m, a, node, carried),
        Some(Turns::Once) => once(m, a, node, body, carried),
        None => Ok(()),
    }
}

fn turns(m: &Model, a: &Analysis, node: NodeId, body: GraphId) -> Option<Turns> {
    let n = m.node(node);
    let count = match n.input(0) {
        Some(v) => Some(known(m, a, v)?),
        None => None,
    };
    let starts = match n.input(1) {
        Some(v) => known(m, a, v)? != 0,
        None => true,
    };
    if !starts || count.is_some_and(|c| c <= 0) {
        return Some(Turns::Never);
    }
    let goes_on = m.graph(body).outputs().first()?.value();
    let stops = known(m, a, goes_on) == Some(0);
    (count == Some(1) || stops).then_some(Turns::Once)
}

fn never(m: &mut Model, a: &mut Analysis, node: NodeId, carried: usize) -> Result<(), PassError> {
    let outputs: Vec<Option<ValueId>> = m.node(node).outputs().to_vec();
    // Of no turn a scan output is empty; its other lengths must be known to say so.
    let scans = outputs.iter().skip(carried).flatten().filter(|v| !m.is_unused(**v));
    let mut empty = Vec::new();
    for v in scans {
        let fact = a.fact(*v);
        let dims: Option<Vec<i64>> =
            fact.shape.as_ref().and_then(|s| s.iter().skip(1).map(|d| d.as_const()).collect());
        let (Some(dims), Some(dtype)) = (dims, fact.dtype) else { return Ok(()) };
        let dims: Vec<i64> = std::iter::once(0).chain(dims).collect();
        let Ok(t) = Tensor::from_raw(dtype, &dims, Vec::new()) else { return Ok(()) };
        empty.push((*v, t.shared()));
    }
    for (v, t) in empty {
        a.set(v, Fact::of_tensor(&t));
        m.make_constant(v, t)?;
    }
    for (k, old) in outputs.iter().take(carried).enumerate() {
        if let (Some(old), Some(new)) = (*old, m.node(node).input(k + 2)) {
            m.replace_value(old, new)?;
        }
    }
    if m.is_live_node(node) && m.node(node).outputs().iter().flatten().all(|v| m.is_unused(*v)) {
        m.remove_node(node)?;
    }
    Ok(())
}

fn once(
    m: &mut Model,
    a: &mut Analysis,
    node: NodeId,
    body: GraphId,
    carried: usize,
) -> Result<(), PassError> {
    let graph_opset = m.opset(m.node(node).graph(), "").unwrap_or(1);
    // Each scan output is the one turn's value with an axis of length 1 before it.
    for k in carried..m.node(node).outputs().len() {
        let v = m.graph(body).outputs()[k + 1].value();
        let name = m.name(v).to_string();
        let new = NewNode::new("Unsqueeze", &[v], &name);
        let new = if graph_opset < 13 { new.attr(Attribute::ints("axes", &[0])) } else { new };
        let stacked = m.add_node(Place::End(body), new);
        if graph_opset >= 13 {
            let axes = place(m, stacked, "axes", Tensor::int64_vec(&[0]).shared());
            a.set(axes, Fact::of_tensor(&Tensor::int64_vec(&[0]).shared()));
            m.set_input(stacked, 1, Some(axes));
        }
        if let Some(out) = m.node(stacked).output(0) {
            m.set_output(body, k + 1, out);
        }
    }
    m.remove_output(body, 0);
    let first = Tensor::int64(&[], &[0]).shared();
    let going = Tensor::bool(&[], &[true]).shared();
    let mut inputs = Vec::with_capacity(carried + 2);
    for (name, t) in [("iteration", first), ("condition", going)] {
        let v = place(m, node, name, t.clone());
        a.set(v, Fact::of_tensor(&t));
        inputs.push(v);
    }
    inputs.extend(m.node(node).inputs().iter().skip(2).flatten().copied());
    let inner = m.node_ids(body);
    m.inline_graph(node, body, &inputs)?;
    for n in inner.into_iter().filter(|n| m.is_live_node(*n)).collect::<Vec<_>>() {
        a.update(m, n);
    }
    Ok(())
}
