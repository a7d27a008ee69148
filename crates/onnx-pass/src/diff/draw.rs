//! The graphs of the changed region, drawn in layers from top to bottom.

use std::collections::HashMap;
use std::fmt::Write;

use onnx_pass_ir::{Def, Model, NodeId, Use, ValueId};

use super::markdown::html as escaped;
use super::matching::{Side, Sides};
use crate::show;

/// The most boxes of a drawing: more than that is no help to a reader.
const MOST: usize = 70;

/// The two drawings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Region {
    pub before: Drawing,
    pub after: Drawing,
    /// How many changed nodes there are, and how many are drawn.
    changed: usize,
    drawn: usize,
}

/// One graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drawing {
    boxes: Vec<Box>,
    /// From box to box.
    edges: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
struct Box {
    label: String,
    /// The whole, where the label is cut.
    title: String,
    class: &'static str,
    layer: usize,
    column: usize,
}

impl Region {
    pub fn is_empty(&self) -> bool {
        self.before.boxes.is_empty() && self.after.boxes.is_empty()
    }

    /// What a reader should know of the drawing.
    pub fn note(&self) -> String {
        if self.drawn < self.changed {
            format!(
                "The first {} of {} changed nodes, with what stands next to them. ",
                self.drawn, self.changed
            ) + "Red is gone, green is new, yellow changed, white is the same in both."
        } else {
            "Red is gone, green is new, yellow changed, white is the same in both.".to_owned()
        }
    }
}

type Classes = HashMap<NodeId, &'static str>;

/// Picks the changed nodes and their neighbours: what is gone with what stands next to it, then the same place of the
/// other graph with what is new there.
pub(super) fn region(
    s: &Sides<'_>,
    gone: &[NodeId],
    new: &[NodeId],
    changed: &[(NodeId, NodeId, String)],
) -> Region {
    let of_a: Classes =
        gone.iter().map(|n| (*n, "r")).chain(changed.iter().map(|(a, _, _)| (*a, "c"))).collect();
    let of_b: Classes =
        new.iter().map(|n| (*n, "a")).chain(changed.iter().map(|(_, b, _)| (*b, "c"))).collect();
    let (order_a, order_b) = (Order::of(&s.a), Order::of(&s.b));
    let mut picked_a = order_a.sorted(of_a.keys().copied());
    picked_a.truncate(MOST / 2);
    let seen_a = order_a.sorted(with_neighbours(&s.a, picked_a));
    let mut picked_b: Vec<NodeId> = seen_a.iter().filter_map(|n| s.a.partner(*n)).collect();
    let mut rest = order_b.sorted(of_b.keys().copied().filter(|n| !picked_b.contains(n)));
    // What is new is on this side alone.
    rest.sort_by_key(|n| of_b.get(n) != Some(&"a"));
    rest.truncate((MOST / 2).saturating_sub(picked_b.iter().filter(|n| of_b.contains_key(*n)).count()));
    picked_b.extend(rest);
    picked_b.truncate(MOST);
    let seen_b = order_b.sorted(with_neighbours(&s.b, picked_b));
    let shown = |seen: &[NodeId], of: &Classes, class: &str| {
        seen.iter().filter(|n| of.get(*n).is_some_and(|c| *c != "c" || class == "c")).count()
    };
    let before = drawing(&s.a, &seen_a, &of_a, &|_| 0);
    // What is in both stands no higher than on the left, so that the eye finds it.
    let layer: HashMap<NodeId, usize> = seen_a
        .iter()
        .zip(&before.boxes)
        .filter_map(|(n, drawn)| Some((s.a.partner(*n)?, drawn.layer)))
        .collect();
    let after = drawing(&s.b, &seen_b, &of_b, &|n| layer.get(&n).copied().unwrap_or(0));
    Region {
        changed: gone.len() + new.len() + changed.len(),
        drawn: shown(&seen_a, &of_a, "c") + shown(&seen_b, &of_b, ""),
        before,
        after,
    }
}

/// The places of nodes in the file.
struct Order(HashMap<NodeId, usize>);

impl Order {
    fn of(side: &Side<'_>) -> Self {
        Order(side.nodes.iter().enumerate().map(|(i, n)| (*n, i)).collect())
    }

    /// In the order of the file, so that what is drawn hangs together.
    fn sorted(&self, nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
        let mut out: Vec<NodeId> = nodes.into_iter().collect();
        out.sort_by_key(|n| self.0.get(n).copied().unwrap_or(usize::MAX));
        out
    }
}

fn with_neighbours(side: &Side<'_>, mut picked: Vec<NodeId>) -> Vec<NodeId> {
    let seeds = picked.clone();
    for near in seeds.into_iter().flat_map(|n| neighbours(side.m, n)) {
        if picked.len() < MOST && !picked.contains(&near) {
            picked.push(near);
        }
    }
    picked
}

/// Draws `nodes`, none higher than `lowest` says.
fn drawing(side: &Side<'_>, nodes: &[NodeId], class: &Classes, lowest: &dyn Fn(NodeId) -> usize) -> Drawing {
    let m = side.m;
    let index: HashMap<NodeId, usize> = nodes.iter().enumerate().map(|(i, n)| (*n, i)).collect();
    let mut d = Drawing::default();
    for (i, n) in nodes.iter().enumerate() {
        let above: Vec<usize> =
            producers(m, *n).filter_map(|p| index.get(&p).copied()).filter(|p| *p < i).collect();
        let layer = above.iter().map(|p| d.boxes[*p].layer + 1).max().unwrap_or(0).max(lowest(*n));
        let column = d.boxes.iter().filter(|b| b.layer == layer).count();
        d.edges.extend(above.into_iter().map(|p| (p, i)));
        let class = class.get(n).copied().unwrap_or("s");
        d.boxes.push(Box { label: label(m, *n), title: title(m, *n), class, layer, column });
    }
    d
}

fn producers(m: &Model, n: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    let of = |v: &ValueId| match m.value(*v).def() {
        Def::Node { node, .. } => Some(node),
        _ => None,
    };
    m.node(n).inputs().iter().flatten().filter_map(of)
}

/// What feeds a node, constants apart, and what reads it.
fn neighbours(m: &Model, n: NodeId) -> Vec<NodeId> {
    let mut out: Vec<NodeId> = producers(m, n).filter(|p| !m.node(*p).is("Constant")).collect();
    for v in m.node(n).outputs().iter().flatten() {
        let mut readers: Vec<NodeId> = m
            .value(*v)
            .uses()
            .iter()
            .filter_map(|u| match u {
                Use::Node { node, .. } => Some(*node),
                Use::Output { .. } => None,
            })
            .collect();
        readers.sort_unstable();
        out.extend(readers.into_iter().take(4));
    }
    out
}

/// Operator, name and attributes of a node.
fn title(m: &Model, n: NodeId) -> String {
    const MOST: usize = 40;
    let node = m.node(n);
    let attributes: Vec<String> = node
        .attributes()
        .iter()
        .map(|a| format!("{} = {}", a.name, show::attribute(&a.value, MOST)))
        .collect();
    let output = node.outputs().iter().flatten().next().map_or("", |v| m.name(*v));
    format!("{output} = {} <{}>", node.op_type(), attributes.join(", "))
}

fn label(m: &Model, n: NodeId) -> String {
    const MOST: usize = 26;
    let node = m.node(n);
    let name = node.outputs().iter().flatten().next().map_or("", |v| m.name(*v));
    let name = name.rsplit('/').next().unwrap_or(name);
    let text = format!("{} {name}", node.op_type());
    if text.chars().count() <= MOST { text } else { text.chars().take(MOST).chain(['…']).collect() }
}

const WIDTH: usize = 200;
const HEIGHT: usize = 24;
const STEP: usize = 52;

impl Drawing {
    /// The drawing as an SVG element.
    pub fn svg(&self) -> String {
        let columns = self.boxes.iter().map(|b| b.column + 1).max().unwrap_or(0);
        let layers = self.boxes.iter().map(|b| b.layer + 1).max().unwrap_or(0);
        let (w, h) = (columns * (WIDTH + 16) + 8, layers * STEP + 8);
        let mut out = format!("<svg width=\"{w}\" height=\"{h}\" role=\"img\">");
        let corner = |b: &Box| (8 + b.column * (WIDTH + 16), 8 + b.layer * STEP);
        for (from, to) in &self.edges {
            let ((x, y), (u, v)) = (corner(&self.boxes[*from]), corner(&self.boxes[*to]));
            let (x, y, u) = (x + WIDTH / 2, y + HEIGHT, u + WIDTH / 2);
            let _ = write!(out, "<path d=\"M{x} {y}C{x} {} {u} {} {u} {v}\"/>", y + 16, v.saturating_sub(16));
        }
        for b in &self.boxes {
            let (x, y) = corner(b);
            let _ = write!(
                out,
                "<g class=\"{}\"><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"4\"/>\
                 <text x=\"{}\" y=\"{}\">{}</text></g>",
                b.class,
                escaped(&b.title),
                x + 6,
                y + 16,
                escaped(&b.label)
            );
        }
        out.push_str("</svg>");
        out
    }
}
