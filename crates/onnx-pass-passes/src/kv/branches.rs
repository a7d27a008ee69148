//! Caches of one branch of an `If`, and the input that chooses the branch.

use onnx_pass_ir::{Def, GraphId, Model, NodeId, Use, ValueId};
use rustc_hash::FxHashSet;

use super::discover::{Cache, Form, Inputs};
use crate::analysis::Analysis;

/// The input that chooses between a branch with the caches and one without.
#[derive(Clone, Copy, Debug)]
pub struct Selector {
    /// The input.
    pub input: ValueId,
    /// Its value for the branch without a past.
    pub value: bool,
    /// The `If`.
    pub node: NodeId,
    /// The branch with a past.
    pub past_branch: GraphId,
}

/// Inputs that only the branch with a past reads (a cross-attention cache, which the other branch computes), and
/// the `If`'s outputs that carry them on: of the same type, and of the same name but for its first part. One that is
/// carried on and is also read around the `If` is among them: see [`read_around`].
pub fn only_in_branch(m: &Model, a: &Analysis, s: &Selector, known: &[Cache]) -> Vec<Cache> {
    let inner: FxHashSet<GraphId> = m.graphs_in(s.past_branch).into_iter().collect();
    let main = m.graph(m.main());
    let taken: FxHashSet<ValueId> = known.iter().flat_map(|c| c.outputs.iter().copied()).collect();
    let results: FxHashSet<ValueId> = m.node(s.node).outputs().iter().flatten().copied().collect();
    let free: Vec<ValueId> = main
        .outputs()
        .iter()
        .map(|o| o.value())
        .filter(|o| results.contains(o) && !taken.contains(o))
        .collect();
    let mut out = Vec::new();
    for &input in main.inputs() {
        let inside = |u: &Use| match *u {
            Use::Node { node, .. } => inner.contains(&m.node(node).graph()),
            Use::Output { graph, .. } => inner.contains(&graph),
        };
        let value = m.value(input);
        let is_known = known.iter().any(|c| c.input == input);
        let float = a.dtype(input).is_some_and(|t| t.is_float());
        if is_known || !float || !value.uses().iter().any(inside) {
            continue;
        }
        let alone = value.uses().iter().all(inside);
        if !alone && read_around(m, s, input).is_none() {
            continue;
        }
        let outputs = free.iter().copied().filter(|o| {
            a.fact(*o).dtype == a.fact(input).dtype
                && a.fact(*o).rank() == a.fact(input).rank()
                && tail(m.name(*o)).is_some_and(|t| Some(t) == tail(m.name(input)))
        });
        let outputs: Vec<ValueId> = outputs.collect();
        if alone || !outputs.is_empty() {
            out.push(Cache { input, outputs, form: Form::Branch, updates: Vec::new() });
        }
    }
    out
}

/// A node outside the `If` that reads an input of its branch with a past. `None` also where the other branch reads it
/// too, as that is no cache.
pub fn read_around(m: &Model, s: &Selector, input: ValueId) -> Option<NodeId> {
    let branches: Vec<GraphId> = m.node(s.node).subgraphs().flat_map(|g| m.graphs_in(g)).collect();
    let inner: FxHashSet<GraphId> = m.graphs_in(s.past_branch).into_iter().collect();
    let readers = m.value(input).uses().iter().filter_map(|u| match *u {
        Use::Node { node, .. } => Some((node, m.node(node).graph())),
        Use::Output { .. } => None,
    });
    let outside: Vec<(NodeId, GraphId)> = readers.filter(|(_, g)| !inner.contains(g)).collect();
    let other = outside.iter().any(|(_, g)| branches.contains(g));
    outside.first().filter(|_| !other).map(|(node, _)| *node)
}

/// A name from its first number on: `0.encoder.key` of `past_key_values.0.encoder.key`.
fn tail(name: &str) -> Option<&str> {
    name.find(|c: char| c.is_ascii_digit()).map(|k| &name[k..])
}

/// The input that chooses between a branch with the caches and one without.
pub fn selector(m: &Model, caches: &Inputs) -> Option<Selector> {
    for (node, n) in m.nodes(m.main()) {
        if !n.is("If") {
            continue;
        }
        let reads = |name: &str| {
            let g = n.attribute(name)?.as_graph()?;
            let inner: FxHashSet<GraphId> = m.graphs_in(g).into_iter().collect();
            Some(caches.iter().any(|c| {
                m.value(*c).uses().iter().any(|u| match *u {
                    Use::Node { node, .. } => inner.contains(&m.node(node).graph()),
                    Use::Output { graph, .. } => inner.contains(&graph),
                })
            }))
        };
        let (then, other) = (reads("then_branch")?, reads("else_branch")?);
        if then == other {
            continue;
        }
        let with_past = if then { "then_branch" } else { "else_branch" };
        let past_branch = n.attribute(with_past)?.as_graph()?;
        if let Some((input, negated)) = condition_input(m, node) {
            return Some(Selector { input, value: other != negated, node, past_branch });
        }
    }
    None
}

/// The graph input behind an `If`'s condition, and whether it is negated on the way.
fn condition_input(m: &Model, node: NodeId) -> Option<(ValueId, bool)> {
    let mut v = m.node(node).input(0)?;
    let mut negated = false;
    loop {
        match m.value(v).def() {
            Def::Input => return Some((v, negated)),
            Def::Node { node, .. } => {
                let n = m.node(node);
                match n.op_type() {
                    "Identity" | "Cast" | "Squeeze" | "Unsqueeze" | "Reshape" => {}
                    "Not" => negated = !negated,
                    _ => return None,
                }
                v = n.input(0)?;
            }
            _ => return None,
        }
    }
}
