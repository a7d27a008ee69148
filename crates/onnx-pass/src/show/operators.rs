//! Operators with their attributes, counted: what an outline leaves out.

use indexmap::IndexMap;
use onnx_pass_ir::{AttrValue, Attribute, Model, Node, Tensor};

use crate::structure::all_nodes;
use crate::terminal::escape;

/// Tensors of more elements are told by type and shape alone.
const MOST_ELEMENTS: usize = 8;
/// Longer values of attributes are cut.
const MOST_CHARS: usize = 80;

/// A line for each operator with each of its attributes' values, and for each small constant: how often it is there.
/// Sorted, so that one change is one line.
pub(super) fn operators(m: &Model) -> String {
    let mut counts: IndexMap<String, usize> = IndexMap::new();
    for id in all_nodes(m) {
        let n = m.node(id);
        let line = match m.constant_node(id) {
            Some(t) => format!("constant {}", tensor(&t)),
            None => operator(n),
        };
        *counts.entry(line).or_default() += 1;
    }
    for g in m.live_graphs() {
        for t in m.graph(g).initializers().iter().filter_map(|v| m.value(*v).initializer()) {
            *counts.entry(format!("constant {}", tensor(t))).or_default() += 1;
        }
    }
    counts.sort_keys();
    let width = counts.values().max().map_or(1, |n| n.to_string().len());
    counts.iter().map(|(line, n)| format!("{n:width$} {}\n", escape(line))).collect()
}

fn operator(n: &Node) -> String {
    let domain = if n.domain().is_empty() { String::new() } else { format!("{}.", n.domain()) };
    let mut list: Vec<&Attribute> = n.attributes().iter().collect();
    list.sort_by(|a, b| a.name.cmp(&b.name));
    let told: Vec<String> =
        list.iter().map(|a| format!("{} = {}", a.name, attribute(&a.value, MOST_CHARS))).collect();
    let attributes = if told.is_empty() { String::new() } else { format!(" <{}>", told.join(", ")) };
    format!("{domain}{}{attributes}", n.op_type())
}

/// Type, shape, and the contents of a small one.
pub(crate) fn tensor(t: &Tensor) -> String {
    let dims: Vec<String> = t.dims.iter().map(ToString::to_string).collect();
    let small = !t.is_external() && t.len().is_ok_and(|n| n <= MOST_ELEMENTS);
    let contents = if small { format!(" {}", t.preview()) } else { String::new() };
    format!("{}[{}]{contents}", t.dtype, dims.join(", "))
}

/// A short text of an attribute's value, of at most `most` characters.
pub(crate) fn attribute(v: &AttrValue, most: usize) -> String {
    let text = match v {
        AttrValue::Float(f) => f.to_string(),
        AttrValue::Int(i) => i.to_string(),
        AttrValue::String(s) => format!("{:?}", String::from_utf8_lossy(s)),
        AttrValue::Floats(v) => format!("{v:?}"),
        AttrValue::Ints(v) => format!("{v:?}"),
        AttrValue::Strings(v) => {
            format!("{:?}", v.iter().map(|s| String::from_utf8_lossy(s)).collect::<Vec<_>>())
        }
        AttrValue::Tensor(t) => tensor(t),
        AttrValue::Ref { name, .. } => format!("@{name}"),
        AttrValue::Graph(_) | AttrValue::Graphs(_) => "a graph".to_owned(),
        other => format!("an attribute of kind {}", other.kind()),
    };
    if text.chars().count() <= most { text } else { text.chars().take(most).chain(['…']).collect() }
}
