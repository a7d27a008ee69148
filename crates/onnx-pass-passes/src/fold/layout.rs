//! Operators that lay elements out anew: several in a row become fewer.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Attribute, Model, NodeId, Tensor, ValueId};
use smallvec::SmallVec;

use super::constants::place;
use super::rules::{hand_on, ints, same_shape};
use super::through;
use crate::analysis::{Analysis, Fact, NodeCx, ops};
use crate::pass::PassError;

/// Layouts in a row are looked through this far.
const MAX_CHAIN: usize = 8;

/// Transpositions in a row become one, over the reshapes between them where those merge axes and split them again;
/// of a tensor that is one number everywhere only the shape is transposed.
pub fn transposes(m: &mut Model, a: &mut Analysis, node: NodeId) -> Result<(), PassError> {
    let n = m.node(node);
    let Some(inner) = n.input(0).and_then(|v| m.value(v).producer()) else { return Ok(()) };
    let first = m.node(inner);
    if !first.is("Transpose") && !first.is("ConstantOfShape") {
        return Ok(());
    }
    let (Some(perm), Some(x)) = (permutation(n.ints("perm")), first.input(0)) else { return Ok(()) };
    if first.is("ConstantOfShape") {
        return transposed_splat(m, a, node, inner, &perm);
    }
    let Some(inner_perm) = permutation(first.ints("perm")).filter(|p| p.len() == perm.len()) else {
        return Ok(());
    };
    let perm: Vec<i64> = perm.iter().map(|p| inner_perm[*p] as i64).collect();
    m.set_input(node, 0, Some(x));
    m.set_attribute(node, Attribute::ints("perm", &perm))?;
    Ok(())
}

/// A `perm` that names every axis once.
fn permutation(perm: Option<&[i64]>) -> Option<SmallVec<[usize; 8]>> {
    ops::permutation(Some(perm?), perm?.len())
}

/// A transposed splat of constant shape is a splat.
fn transposed_splat(
    m: &mut Model,
    a: &mut Analysis,
    node: NodeId,
    splat: NodeId,
    perm: &[usize],
) -> Result<(), PassError> {
    let shape = m.node(splat).input(0).and_then(|v| ints(m, a, v)).filter(|s| s.len() == perm.len());
    let value = m.node(splat).attribute("value").cloned();
    // Attributes of a function that are not known before it is called stay where they are.
    let plain = value.as_ref().is_none_or(|v| matches!(v.value, onnx_pass_ir::AttrValue::Tensor(_)));
    let Some(shape) = shape.filter(|_| plain) else { return Ok(()) };
    let shape: Vec<i64> = perm.iter().map(|p| shape[*p]).collect();
    let shape = constant(m, a, node, "shape", &shape);
    m.remove_attribute(node, "perm");
    m.set_inputs(node, &[Some(shape)]);
    m.set_op(node, "", "ConstantOfShape");
    if let Some(value) = value {
        m.set_attribute(node, value)?;
    }
    Ok(())
}

/// A new constant of integers, with its fact.
fn constant(m: &mut Model, a: &mut Analysis, before: NodeId, name: &str, items: &[i64]) -> ValueId {
    let t = Tensor::int64_vec(items).shared();
    let v = place(m, before, name, t.clone());
    a.set(v, Fact::of_tensor(&t));
    v
}

/// Ops that lay the same elements out anew, in a row: back to a shape that one of them began with, nothing is
/// left; else the last does for all when its target does not look at its operand's shape.
pub fn reshapes(m: &mut Model, a: &mut Analysis, node: NodeId) -> Result<(), PassError> {
    let Some(out) = m.node(node).output(0) else { return Ok(()) };
    let mut at = m.node(node).input(0);
    let mut first = None;
    for _ in 0..MAX_CHAIN {
        let Some(v) = at else { break };
        if same_shape(a, v, out) && at != m.node(node).input(0) {
            return hand_on(m, node, v);
        }
        let Some(p) = m.value(v).producer().map(|p| m.node(p)) else { break };
        if !p.domain().is_empty()
            || !matches!(p.op_type(), "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Identity")
        {
            break;
        }
        at = p.input(0);
        first = at;
    }
    if through::elementwise(m, a, node)? {
        return Ok(());
    }
    if !m.node(node).is("Reshape") {
        return axes(m, a, node);
    }
    if let Some(x) = first.filter(|x| reads_alone(m, a, node, *x)) {
        m.set_input(node, 0, Some(x));
        return Ok(());
    }
    if let Some(x) = first.filter(|_| tells_all(m, a, node)) {
        m.set_input(node, 0, Some(x));
        m.set_attribute(node, Attribute::int("allowzero", 1))?;
        return Ok(());
    }
    across(m, a, node)
}

/// Whether the constant target of a reshape means the same of `x` as of its operand.
fn reads_alone(m: &Model, a: &Analysis, node: NodeId, x: ValueId) -> bool {
    let n = m.node(node);
    let Some(target) = n.input(1).and_then(|t| ints(m, a, t)) else { return false };
    if n.int("allowzero").unwrap_or(0) != 0 || !target.contains(&0) {
        return true;
    }
    // A 0 means the operand's length there: the same in both where the leading lengths agree.
    let (Some(here), Some(there)) = (n.input(0).and_then(|v| a.shape(v)), a.shape(x)) else { return false };
    let agree = |k: usize| matches!((here.get(k), there.get(k)), (Some(p), Some(q)) if same(a, p, q));
    target.iter().enumerate().filter(|(_, t)| **t == 0).all(|(k, _)| agree(k))
}

/// Whether the target of a reshape, not constant, is in every run the shape that comes out: then it needs neither its
/// operand's shape nor, told so, the special meaning of 0.
fn tells_all(m: &Model, a: &Analysis, node: NodeId) -> bool {
    let n = m.node(node);
    let told = || {
        let items = a.fact(n.input(1)?).items.as_ref()?;
        let shape = a.shape(n.output(0)?)?;
        let equal = |(i, d): (&Option<Expr>, &Expr)| i.as_ref().is_some_and(|i| same(a, i, d));
        Some(items.len() == shape.len() && items.iter().zip(shape).all(equal))
    };
    m.opset(n.graph(), "").is_some_and(|v| v >= 14) && told().unwrap_or(false)
}

/// `Unsqueeze` of `Unsqueeze` and `Squeeze` of `Squeeze`: one with the axes of both.
fn axes(m: &mut Model, a: &mut Analysis, node: NodeId) -> Result<(), PassError> {
    let n = m.node(node);
    let Some(inner) = n.input(0).and_then(|v| m.value(v).producer()) else { return Ok(()) };
    if !matches!(n.op_type(), "Squeeze" | "Unsqueeze") || !m.node(inner).is(n.op_type()) {
        return Ok(());
    }
    let Some((x, both)) = merged_axes(m, a, node, inner) else { return Ok(()) };
    m.set_input(node, 0, Some(x));
    if m.opset(m.node(node).graph(), "").unwrap_or(1) < 13 {
        m.set_attribute(node, Attribute::ints("axes", &both))?;
    } else {
        let axes = constant(m, a, node, "axes", &both);
        m.set_input(node, 1, Some(axes));
    }
    Ok(())
}

/// The operand of the inner one of two such nodes, and the axes that both of them add or take away.
fn merged_axes(m: &Model, a: &Analysis, node: NodeId, inner: NodeId) -> Option<(ValueId, Vec<i64>)> {
    let adds = m.node(node).is("Unsqueeze");
    let x = m.node(inner).input(0)?;
    let middle = a.shape(m.node(node).input(0)?)?.len();
    let outside = a.shape(m.node(node).output(0)?)?.len();
    let inside = a.shape(x)?.len();
    // Each list counts in the shape that has its axes: the result of an Unsqueeze, the operand of a Squeeze.
    let (wide, first, then) = match adds {
        true => (outside, own_axes(m, a, node, outside)?, own_axes(m, a, inner, middle)?),
        false => (inside, own_axes(m, a, inner, inside)?, own_axes(m, a, node, middle)?),
    };
    let left: Vec<usize> = (0..wide).filter(|k| !first.contains(k)).collect();
    let mut both = first;
    for k in then {
        both.push(*left.get(k)?);
    }
    both.sort_unstable();
    both.dedup();
    let changed = if adds { outside.checked_sub(inside)? } else { inside.checked_sub(outside)? };
    (both.len() == changed).then(|| (x, both.into_iter().map(|k| k as i64).collect()))
}

/// The axes that a `Squeeze` or `Unsqueeze` names, counted from the front.
fn own_axes(m: &Model, a: &Analysis, node: NodeId, rank: usize) -> Option<Vec<usize>> {
    let n = m.node(node);
    let named = match n.input(1) {
        Some(v) => ints(m, a, v)?,
        None => n.ints("axes")?.to_vec(),
    };
    named.into_iter().map(|k| NodeCx::axis(k, rank)).collect()
}

/// A transposition between two reshapes, one that merges neighbouring axes and one that splits them again, is a
/// transposition of the axes themselves.
fn across(m: &mut Model, a: &Analysis, node: NodeId) -> Result<(), PassError> {
    let Some((x, perm)) = split_again(m, a, node) else { return Ok(()) };
    m.set_inputs(node, &[Some(x)]);
    m.remove_attribute(node, "allowzero");
    m.set_op(node, "", "Transpose");
    m.set_attribute(node, Attribute::ints("perm", &perm))?;
    Ok(())
}

/// What stands before such a row of three, and the order of its axes after it.
fn split_again(m: &Model, a: &Analysis, node: NodeId) -> Option<(ValueId, Vec<i64>)> {
    let n = m.node(node);
    let middle = m.node(m.value(n.input(0)?).producer()?);
    let first = m.node(m.value(middle.input(0)?).producer()?);
    if !middle.is("Transpose") || !first.is("Reshape") {
        return None;
    }
    let x = first.input(0)?;
    let (from, to) = (a.shape(x)?, a.shape(n.output(0)?)?);
    let blocks = blocks(a, from, a.shape(first.output(0)?)?)?;
    let perm = permutation(middle.ints("perm")).filter(|p| p.len() == blocks.len())?;
    let order: Vec<usize> = perm.iter().flat_map(|p| blocks[*p].clone()).collect();
    let fits = order.len() == to.len() && order.iter().zip(to).all(|(k, d)| same(a, &from[*k], d));
    fits.then(|| (x, order.into_iter().map(|k| k as i64).collect()))
}

/// For each axis of `to` the neighbouring axes of `from` that it holds.
fn blocks(a: &Analysis, from: &[Expr], to: &[Expr]) -> Option<Vec<std::ops::Range<usize>>> {
    let mut out = Vec::with_capacity(to.len());
    let mut at = 0;
    for (k, wanted) in to.iter().enumerate() {
        let start = at;
        let mut product = Expr::ONE;
        // The last one holds what is left.
        while at < from.len() && (k + 1 == to.len() || at == start || !same(a, &product, wanted)) {
            product = product.mul(&from[at]);
            at += 1;
        }
        if !same(a, &product, wanted) {
            return None;
        }
        out.push(start..at);
    }
    (at == from.len()).then_some(out)
}

fn same(a: &Analysis, x: &Expr, y: &Expr) -> bool {
    x == y || a.symbols.equal(x, y) == Some(true)
}
