//! The graphs of the changed region, drawn in layers from top to bottom.

use std::collections::HashMap;
use std::fmt::Write;

use onnx_pass_ir::{Def, Model, NodeId, Use, ValueId};

use super::markdown::html as escaped;
use super::matching::{Side, Sides};

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

/// Picks the changed nodes and their neighbours.
pub(super) fn region(
    s: &Sides<'_>,
    gone: &[NodeId],
    new: &[NodeId],
    changed: &[(NodeId, NodeId, String)],
) -> Region {
    let of_a: Vec<(NodeId, &'static str)> =
        gone.iter().map(|n| (*n, "r")).chain(changed.iter().map(|(a, _, _)| (*a, "c"))).collect();
    let of_b: Vec<(NodeId, &'static str)> =
        new.iter().map(|n| (*n, "a")).chain(changed.iter().map(|(_, b, _)| (*b, "c"))).collect();
    let half = MOST / 2;
    Region {
        changed: gone.len() + new.len() + changed.len(),
        drawn: of_a.len().min(half) + of_b.len().min(half).saturating_sub(changed.len().min(half)),
        before: drawing(&s.a, &of_a, half),
        after: drawing(&s.b, &of_b, half),
    }
}

fn drawing(side: &Side<'_>, changed: &[(NodeId, &'static str)], most: usize) -> Drawing {
    let m = side.m;
    let class: HashMap<NodeId, &'static str> = changed.iter().copied().collect();
    // In the order of the file, so that what is drawn hangs together.
    let order: HashMap<NodeId, usize> = side.nodes.iter().enumerate().map(|(i, n)| (*n, i)).collect();
    let place = |n: &NodeId| order.get(n).copied().unwrap_or(usize::MAX);
    let mut picked: Vec<NodeId> = class.keys().copied().collect();
    picked.sort_by_key(place);
    picked.truncate(most);
    let mut all = picked.clone();
    for n in &picked {
        for near in neighbours(m, *n) {
            if all.len() < MOST && !all.contains(&near) {
                all.push(near);
            }
        }
    }
    all.sort_by_key(place);
    let index: HashMap<NodeId, usize> = all.iter().enumerate().map(|(i, n)| (*n, i)).collect();
    let mut d = Drawing::default();
    for (i, n) in all.iter().enumerate() {
        let above: Vec<usize> =
            producers(m, *n).filter_map(|p| index.get(&p).copied()).filter(|p| *p < i).collect();
        let layer = above.iter().map(|p| d.boxes[*p].layer + 1).max().unwrap_or(0);
        let column = d.boxes.iter().filter(|b| b.layer == layer).count();
        d.edges.extend(above.into_iter().map(|p| (p, i)));
        let class = class.get(n).copied().unwrap_or("s");
        d.boxes.push(Box { label: label(m, *n), class, layer, column });
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
                "<g class=\"{}\"><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"4\"/>\
                 <text x=\"{}\" y=\"{}\">{}</text></g>",
                b.class,
                x + 6,
                y + 16,
                escaped(&b.label)
            );
        }
        out.push_str("</svg>");
        out
    }
}
