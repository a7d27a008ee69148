//! Reads of a buffer that became the new rows.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Model, NewNode, NodeId, Place, Tensor, Use, ValueId};
use rustc_hash::FxHashSet;

use super::discover::Inputs;
use super::eliminate::zero;
use super::fixed::{self, Invalid, Reader, Writer};
use super::index::{Indexer, Leaf, as_coordinate, coordinate};
use super::lengths::{self, Sources};
use crate::analysis::Analysis;
use crate::pass::{PassContext, PassError};

/// Rewrites every gather of the written rows: whole rows in order become the rows themselves, a part of them a
/// `Slice`; rows that the index marks as not to be read become zeros.
///
/// # Errors
/// A gather that reads anything else than row after row.
pub fn rewrite(
    m: &mut Model,
    cx: &mut PassContext,
    writers: &[Writer],
    caches: &Inputs,
) -> Result<(), PassError> {
    if writers.is_empty() {
        return Ok(());
    }
    // A second symbol may turn out to be the chunk's length (a compute context), which changes what the gathers
    // read; so they are looked at again after each such finding.
    for _ in 0..=writers.len() {
        let a = cx.analysis(m).clone();
        let mut plans: Vec<Reader> = Vec::new();
        let mut planned: FxHashSet<NodeId> = FxHashSet::default();
        let mut same: Option<(String, Expr)> = None;
        for w in writers {
            for node in fixed::readers_of(m, w.updates) {
                if !planned.insert(node) {
                    continue;
                }
                let r = fixed::reader(m, &a, node, w).map_err(|e| {
                    PassError::refused(m.describe(node), format!("it reads a cache's rows: {e}"))
                })?;
                let chunk =
                    a.shape(r.data).and_then(|s| s.get(r.axis)).cloned().unwrap_or_else(|| w.chunk.clone());
                if r.offset.is_zero() && r.rows != chunk {
                    same = same.or_else(|| context_symbol(m, &a, &r.rows, caches).map(|s| (s, chunk)));
                }
                plans.push(r);
            }
        }
        match same {
            Some((symbol, chunk)) => {
                cx.note("", format!("`{symbol}` is `{chunk}`: one prefill is the whole context"));
                lengths::substitute(m, &|s| (s == symbol).then(|| chunk.clone()));
            }
            None => {
                let sources = Sources::new(m, &a, &Inputs::default());
                for r in plans {
                    replace(m, &sources, &r)?;
                }
                return Ok(());
            }
        }
    }
    Err(PassError::refused("the caches", "their readers' lengths depend on each other"))
}

/// A symbol that only inputs have which are read for their shape alone: under the promise it is the chunk's
/// length.
fn context_symbol(m: &Model, a: &Analysis, rows: &Expr, caches: &Inputs) -> Option<String> {
    let symbol = rows.as_symbol()?;
    let inputs = m.graph(m.main()).inputs();
    let having =
        inputs.iter().filter(|v| !caches.contains(*v) && a.shape(**v).is_some_and(|s| s.contains(rows)));
    let shape_only = |v: &ValueId| {
        m.value(*v).uses().iter().all(|u| matches!(u, Use::Node { node, .. } if m.node(*node).is("Shape")))
    };
    having.copied().all(|v| shape_only(&v)).then(|| symbol.to_string())
}

fn replace(m: &mut Model, sources: &Sources<'_>, r: &Reader) -> Result<(), PassError> {
    let a = sources.analysis;
    let place = m.describe(r.node);
    let refuse = |what: &str| PassError::refused(place.clone(), format!("it reads a cache's rows: {what}"));
    let Some(old) = m.node(r.node).output(0) else { return Ok(()) };
    let shape = a.shape(r.data).ok_or_else(|| refuse("their shape is not known"))?.to_vec();
    let whole = r.offset.is_zero()
        && (r.rows == shape[r.axis] || a.symbols.equal(&r.rows, &shape[r.axis]) == Some(true));
    let mut new = r.data;
    if !whole {
        let end = &r.offset + &r.rows;
        let zero = Expr::constant(0);
        let inside =
            a.symbols.le(&zero, &r.offset) == Some(true) && a.symbols.le(&end, &shape[r.axis]) == Some(true);
        if !inside {
            return Err(refuse(&format!(
                "rows {} up to {end} of {}: some may not be there",
                r.offset, shape[r.axis]
            )));
        }
        let mut dims = lengths::Dims::new(sources);
        let none = "a part of them is read whose bounds no input tells";
        let start = dims.vector(m, std::slice::from_ref(&r.offset)).ok_or_else(|| refuse(none))?;
        let end = dims.vector(m, std::slice::from_ref(&end)).ok_or_else(|| refuse(none))?;
        let axes = m.add_initializer(m.main(), "axes", Tensor::int64_vec(&[r.axis as i64]).shared());
        let node = NewNode::new("Slice", &[r.data, start, end, axes], "rows");
        let node = m.add_node(Place::Before(r.node), node);
        new = m.node(node).output(0).ok_or_else(|| refuse("no slice"))?;
    }
    if let Some(invalid) = &r.invalid
        && !masked_by_readers(m, a, old, invalid)
    {
        new = mask(m, sources, r, invalid, new, &shape).map_err(|e| refuse(&e))?;
    }
    m.replace_value(old, new)?;
    if m.node(r.node).outputs().iter().flatten().all(|v| m.is_unused(*v)) {
        m.remove_node(r.node)?;
    }
    Ok(())
}

/// Whether every reader puts a constant where the rows are not to be read, by the same condition.
fn masked_by_readers(m: &Model, a: &Analysis, rows: ValueId, invalid: &Invalid) -> bool {
    let Some(rank) = a.shape(rows).map(<[Expr]>::len) else { return false };
    let mut ix = Indexer::new(m, a);
    let Some(wanted) = ix.element(invalid.condition, &invalid.coords) else { return false };
    !m.value(rows).uses().is_empty()
        && m.value(rows).uses().iter().all(|u| {
            let Use::Node { node, slot: 2 } = *u else { return false };
            let n = m.node(node);
            let (Some(c), Some(zero)) = (n.input(0), n.input(1)) else { return false };
            if !n.is("Where") || a.fact(zero).tensor.is_none() && m.constant(zero).is_none() {
                return false;
            }
            let Some(shape) = a.shape(c) else { return false };
            let Some(skip) = rank.checked_sub(shape.len()) else { return false };
            let coords: Vec<Expr> = (skip..rank).map(coordinate).collect();
            let found = ix.element(c, &coords);
            match (found.as_ref().and_then(|e| ix.leaf(e)), ix.leaf(&wanted)) {
                (Some(Leaf::Element { .. }), Some(Leaf::Element { .. })) => found.as_ref() == Some(&wanted),
                _ => found.is_some() && found.as_ref() == Some(&wanted),
            }
        })
}

/// Puts zeros (or the row that the mark names) where the index was a mark.
fn mask(
    m: &mut Model,
    sources: &Sources<'_>,
    r: &Reader,
    invalid: &Invalid,
    rows: ValueId,
    shape: &[Expr],
) -> Result<ValueId, String> {
    let dtype = sources.analysis.dtype(r.data).ok_or("their type is not known")?;
    let condition = aligned(m, sources, r, invalid, shape.len())?;
    let main = m.node(r.node).graph();
    // Row 0 is there whenever one is; others may not be, and those from the end are elsewhere now.
    if invalid.mark != 0 && invalid.mark < i64::from(i32::MAX) {
        return Err(format!(
            "row {} stands for rows that are not to be read, and may not be there",
            invalid.mark
        ));
    }
    let out_of_range = invalid.mark >= i64::from(i32::MAX);
    let other = if out_of_range {
        let zero = zero(dtype).ok_or("their type has no zero")?;
        m.add_initializer(main, "zero", zero.shared())
    } else {
        let index = m.add_initializer(main, "row", Tensor::int64_vec(&[invalid.mark]).shared());
        let node = NewNode::new("Gather", &[r.data, index], "row")
            .attr(onnx_pass_ir::Attribute::int("axis", r.axis as i64));
        let node = m.add_node(Place::Before(r.node), node);
        m.node(node).output(0).ok_or("no row")?
    };
    let node = m.add_node(Place::Before(r.node), NewNode::new("Where", &[condition, other, rows], "valid"));
    m.node(node).output(0).ok_or_else(|| "no mask".into())
}

/// The condition, with axes of one element put in and taken out so that it broadcasts against the rows.
fn aligned(
    m: &mut Model,
    sources: &Sources<'_>,
    r: &Reader,
    invalid: &Invalid,
    rank: usize,
) -> Result<ValueId, String> {
    let graph = m.node(r.node).graph();
    let mut at: Vec<usize> = Vec::new();
    let mut drop: Vec<i64> = Vec::new();
    let mut shifted: Option<(usize, Expr)> = None;
    for (k, c) in invalid.coords.iter().enumerate() {
        if c.is_const() {
            drop.push(k as i64);
            continue;
        }
        let here = as_coordinate(c).or_else(|| {
            let offset = c - &coordinate(r.axis);
            let plain = offset.symbols().iter().all(|s| !s.starts_with('@') && !s.starts_with('%'));
            plain.then(|| {
                shifted = Some((k, offset));
                r.axis
            })
        });
        at.push(here.ok_or_else(|| format!("what marks them is `{c}`"))?);
    }
    if at.windows(2).any(|w| w[0] >= w[1]) {
        return Err("what marks them has its axes in another order".into());
    }
    let mut value = invalid.condition;
    if let Some((axis, offset)) = shifted {
        let mut dims = lengths::Dims::new(sources);
        let none = "what marks them is a part whose bounds no input tells";
        let start = dims.vector(m, std::slice::from_ref(&offset)).ok_or(none)?;
        let end = dims.vector(m, &[&offset + &r.rows]).ok_or(none)?;
        let axes = m.add_initializer(graph, "axes", Tensor::int64_vec(&[axis as i64]).shared());
        value = add(m, r, NewNode::new("Slice", &[value, start, end, axes], "part"))?;
    }
    if !drop.is_empty() {
        value = axes_op(m, r, "Squeeze", value, &drop)?;
    }
    let put: Vec<i64> = (0..rank).filter(|k| !at.contains(k)).map(|k| k as i64).collect();
    if !put.is_empty() {
        value = axes_op(m, r, "Unsqueeze", value, &put)?;
    }
    Ok(value)
}

fn add(m: &mut Model, r: &Reader, node: NewNode) -> Result<ValueId, String> {
    let id = m.add_node(Place::Before(r.node), node);
    m.node(id).output(0).ok_or_else(|| "no result".into())
}

/// `Squeeze` or `Unsqueeze`, whose axes are an attribute before opset 13.
fn axes_op(m: &mut Model, r: &Reader, op: &str, value: ValueId, axes: &[i64]) -> Result<ValueId, String> {
    let graph = m.node(r.node).graph();
    if m.opset(graph, "").is_some_and(|v| v < 13) {
        let node = NewNode::new(op, &[value], "mark").attr(onnx_pass_ir::Attribute::ints("axes", axes));
        return add(m, r, node);
    }
    let axes = m.add_initializer(graph, "axes", Tensor::int64_vec(axes).shared());
    add(m, r, NewNode::new(op, &[value, axes], "mark"))
}
