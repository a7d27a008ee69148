//! Nodes that are gone, new, or another.

use onnx_pass_ir::{Attribute, Def, Model, NodeId, ValueId};

use super::matching::Sides;
use super::{NodeChanges, draw, fold, pairs};
use crate::show;
use crate::structure::{branches, hash};

/// The most groups of each kind of change.
const MOST_GROUPS: usize = 12;
/// Longer values of attributes are cut.
const MOST_CHARS: usize = 40;

pub(super) fn nodes(s: &Sides<'_>) -> (NodeChanges, draw::Region) {
    let op = |m: &Model, n: NodeId| m.node(n).op_type().to_owned();
    let gone: Vec<NodeId> = s.a.nodes.iter().copied().filter(|n| s.a.partner(*n).is_none()).collect();
    let new: Vec<NodeId> = s.b.nodes.iter().copied().filter(|n| s.b.partner(*n).is_none()).collect();
    let mut changed = Vec::new();
    for (a, b) in pairs(s) {
        let what = node_changes(s, a, b);
        if !what.is_empty() {
            changed.push((a, b, format!("{}: {}", op(s.a.m, a), what.join(", "))));
        }
    }
    let entries =
        |m: &Model, list: &[NodeId]| list.iter().map(|n| (show::path(m, *n), op(m, *n))).collect::<Vec<_>>();
    let changes = NodeChanges {
        before: s.a.nodes.len() + s.a.constants,
        after: s.b.nodes.len() + s.b.constants,
        constants_before: s.a.constants,
        constants_after: s.b.constants,
        removed_count: gone.len(),
        added_count: new.len(),
        changed_count: changed.len(),
        removed: fold::groups(&entries(s.a.m, &gone), MOST_GROUPS),
        added: fold::groups(&entries(s.b.m, &new), MOST_GROUPS),
        changed: fold::groups(
            &changed.iter().map(|(_, b, what)| (show::path(s.b.m, *b), what.clone())).collect::<Vec<_>>(),
            MOST_GROUPS,
        ),
    };
    let region = draw::region(s, &gone, &new, &changed);
    (changes, region)
}

/// What is another in two nodes that are partners; nothing when they are the same, or differ by what stands
/// above them alone.
fn node_changes(s: &Sides<'_>, a: NodeId, b: NodeId) -> Vec<String> {
    let (x, y) = (s.a.m.node(a), s.b.m.node(b));
    let mut out = Vec::new();
    if s.a.hashes.down[a.index()] == s.b.hashes.down[b.index()] {
        return out;
    }
    if (x.op_type(), x.domain()) != (y.op_type(), y.domain()) {
        out.push(format!("now {}", y.op_type()));
    }
    if x.overload() != y.overload() {
        out.push(format!("overload {:?} → {:?}", x.overload(), y.overload()));
    }
    let value = |a: Option<&Attribute>| a.map_or("—".to_owned(), |a| show::attribute(&a.value, MOST_CHARS));
    let same = |p: &Attribute, q: &Attribute| {
        hash::attribute(&p.value, s.external) == hash::attribute(&q.value, s.external)
    };
    for at in x.attributes() {
        let other = y.attribute(&at.name);
        if !other.is_some_and(|o| same(at, o)) {
            out.push(format!("{} {} → {}", at.name, value(Some(at)), value(other)));
        }
    }
    for at in y.attributes().iter().filter(|at| x.attribute(&at.name).is_none()) {
        out.push(format!("{} — → {}", at.name, value(Some(at))));
    }
    for k in 0..x.inputs().len().max(y.inputs().len()) {
        out.extend(operand(s, k, x.input(k), y.input(k)));
    }
    for (k, (g, h)) in branches(s.a.m, a).into_iter().zip(branches(s.b.m, b)).enumerate() {
        let (of_g, of_h) = (s.a.m.graph(g).outputs(), s.b.m.graph(h).outputs());
        let same = of_g.len() == of_h.len()
            && of_g.iter().zip(of_h).all(|(o, p)| s.same_or_told(o.value(), p.value()));
        if !same {
            out.push(format!("graph {k} gives something else"));
        }
    }
    if x.outputs().len() != y.outputs().len() {
        out.push(format!("{} outputs → {}", x.outputs().len(), y.outputs().len()));
    }
    out
}

/// What is another in an operand.
fn operand(s: &Sides<'_>, k: usize, v: Option<ValueId>, w: Option<ValueId>) -> Option<String> {
    let (v, w) = match (v, w) {
        (None, None) => return None,
        (Some(_), None) => return Some(format!("input {k} gone")),
        (None, Some(_)) => return Some(format!("input {k} new")),
        (Some(v), Some(w)) => (v, w),
    };
    let constants = (s.a.m.constant(v), s.b.m.constant(w));
    match constants {
        _ if s.same_value(v, w) || s.told_by_weights(v, w) => None,
        (Some(t), Some(u)) => {
            let (t, u) = (show::tensor(&t), show::tensor(&u));
            Some(if t == u {
                format!("input {k}: other contents")
            } else {
                format!("input {k}: {t} → {u}")
            })
        }
        (None, Some(_)) => Some(format!("input {k} is constant now")),
        _ if s.same_or_told(v, w) => None,
        _ => Some(format!("input {k}: {} → {}", origin(s.a.m, v), origin(s.b.m, w))),
    }
}

/// Where a value comes from, in a word that many may share.
pub(super) fn origin(m: &Model, v: ValueId) -> String {
    if m.constant(v).is_some() {
        return "a constant".to_owned();
    }
    match m.value(v).def() {
        Def::Node { node, index: 0 } => m.node(node).op_type().to_owned(),
        Def::Node { node, index } => format!("{}#{index}", m.node(node).op_type()),
        _ if m.value(v).graph() == m.main() => format!("`{}`", m.name(v)),
        _ => "an inner input".to_owned(),
    }
}
