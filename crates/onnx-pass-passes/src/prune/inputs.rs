//! Inputs that nothing reads, or that are read for their shape alone.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Attribute, Dim, Model, NewNode, NodeId, Place, Tensor, Type, Use, ValueId};
use rustc_hash::FxHashSet;

use crate::pass::{PassContext, PassError};

/// A length that another input has too.
struct Elsewhere {
    input: ValueId,
    axis: usize,
}

/// Removes inputs that nothing reads. One that is read for its shape alone goes too, where every length that is
/// asked for is a number, or an axis of an input that stays. Whether any went.
///
/// # Errors
/// None that a sound model causes.
pub fn drop_unread(model: &mut Model, cx: &mut PassContext) -> Result<bool, PassError> {
    let shape_only: Vec<ValueId> = {
        let inputs = model.graph(model.main()).inputs().iter().copied();
        inputs.filter(|v| model.is_unused(*v) || shape_readers(model, *v).is_some()).collect()
    };
    // An input of which only the shape is read may be the only one left to read a length from.
    let mut staying: FxHashSet<ValueId> =
        model.graph(model.main()).inputs().iter().copied().filter(|v| !shape_only.contains(v)).collect();
    for &v in &shape_only {
        match plan(model, v, &staying) {
            Some(plan) => {
                for (node, pieces) in plan {
                    rewire(model, cx, v, node, pieces)?;
                }
            }
            None => {
                staying.insert(v);
            }
        }
    }
    let mut dropped = shape_only;
    dropped.retain(|v| model.is_unused(*v));
    for v in &dropped {
        cx.count("inputs dropped", 1);
        cx.rows.push(vec!["dropped".into(), model.name(*v).to_string(), "nothing reads it".into()]);
    }
    model.remove_inputs(&dropped)?;
    Ok(!dropped.is_empty())
}

/// The `Shape` nodes that read a value, if nothing else does.
fn shape_readers(model: &Model, v: ValueId) -> Option<Vec<NodeId>> {
    let mut readers = Vec::new();
    for u in model.value(v).uses() {
        match *u {
            Use::Node { node, slot: 0 } if model.node(node).is("Shape") => readers.push(node),
            _ => return None,
        }
    }
    readers.sort_unstable();
    (!readers.is_empty()).then_some(readers)
}

/// A piece of a shape: a number, or an axis of another input.
enum Piece {
    Number(i64),
    Axis(Elsewhere, Expr),
}

/// For each `Shape` of the input, where else its elements can be had; `None` where one cannot.
fn plan(model: &Model, v: ValueId, staying: &FxHashSet<ValueId>) -> Option<Vec<(NodeId, Vec<Piece>)>> {
    if model.is_unused(v) {
        return Some(Vec::new());
    }
    let dims = model.declared_type(v)?.dims()?;
    let mut out = Vec::new();
    for node in shape_readers(model, v)? {
        let (from, to) = range(model, node, dims.len());
        let asked = dims.get(from..to)?;
        out.push((node, asked.iter().map(|d| piece(model, d, staying)).collect::<Option<Vec<_>>>()?));
    }
    Some(out)
}

/// Which axes a `Shape` gives: its `start` and `end`, as the operator clamps them.
fn range(model: &Model, shape: NodeId, rank: usize) -> (usize, usize) {
    let rank = rank as i64;
    let clamp = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank);
    let n = model.node(shape);
    let (from, to) = (clamp(n.int("start").unwrap_or(0)), clamp(n.int("end").unwrap_or(rank)));
    (from as usize, to.max(from) as usize)
}

fn piece(model: &Model, dim: &Dim, staying: &FxHashSet<ValueId>) -> Option<Piece> {
    let e = dim.to_expr()?;
    if let Some(n) = e.as_const() {
        return Some(Piece::Number(n));
    }
    // In the order of the inputs, so that the choice is always the same.
    let inputs = model.graph(model.main()).inputs().iter().copied().filter(|v| staying.contains(v));
    let mut found = inputs.filter_map(|input| {
        let dims = model.declared_type(input).and_then(Type::dims)?;
        let axis = dims.iter().position(|d| d.to_expr().as_ref() == Some(&e))?;
        Some(Elsewhere { input, axis })
    });
    found.next().map(|at| Piece::Axis(at, e.clone()))
}

/// Makes the shape of the input anew from the pieces, in the place of a `Shape` node.
fn rewire(
    model: &mut Model,
    cx: &mut PassContext,
    input: ValueId,
    node: NodeId,
    pieces: Vec<Piece>,
) -> Result<(), PassError> {
    let Some(old) = model.node(node).output(0) else { return Ok(()) };
    let graph = model.node(node).graph();
    let mut parts: Vec<ValueId> = Vec::new();
    let mut numbers: Vec<i64> = Vec::new();
    let name = format!("{}_shape", model.name(input));
    for piece in pieces {
        match piece {
            Piece::Number(n) => numbers.push(n),
            Piece::Axis(at, e) => {
                if !numbers.is_empty() {
                    let t = Tensor::int64_vec(&std::mem::take(&mut numbers));
                    parts.push(model.add_initializer(graph, &name, t.shared()));
                }
                let from = format!("{}[{}]", model.name(at.input), at.axis);
                let place = format!("`{}`", model.name(input));
                cx.note(place, format!("its length `{e}` is read from `{from}`, which has the same name"));
                parts.push(read_axis(model, node, &at, &name)?);
            }
        }
    }
    if !numbers.is_empty() || parts.is_empty() {
        parts.push(model.add_initializer(graph, &name, Tensor::int64_vec(&numbers).shared()));
    }
    let new = match parts.as_slice() {
        [one] => *one,
        _ => {
            let concat = NewNode::new("Concat", &parts, &name).attr(Attribute::int("axis", 0));
            let concat = model.add_node(Place::Before(node), concat);
            model.node(concat).output(0).ok_or_else(|| PassError::refused(name, "it has no output"))?
        }
    };
    model.replace_value(old, new)?;
    // Where the result is a graph's output it lives on under another node by now.
    let unread = model.node(node).outputs().iter().flatten().all(|v| model.is_unused(*v));
    if model.is_live_node(node) && unread {
        model.remove_node(node)?;
    }
    Ok(())
}

/// `Gather(Shape(input), [axis])`, which every opset knows.
fn read_axis(model: &mut Model, before: NodeId, at: &Elsewhere, name: &str) -> Result<ValueId, PassError> {
    let graph = model.node(before).graph();
    let missing = || PassError::refused(name.to_owned(), "it has no output");
    let shape = model.add_node(Place::Before(before), NewNode::new("Shape", &[at.input], name));
    let shape = model.node(shape).output(0).ok_or_else(missing)?;
    let index = model.add_initializer(graph, name, Tensor::int64_vec(&[at.axis as i64]).shared());
    let gather = NewNode::new("Gather", &[shape, index], name).attr(Attribute::int("axis", 0));
    let gather = model.add_node(Place::Before(before), gather);
    model.node(gather).output(0).ok_or_else(missing)
}
