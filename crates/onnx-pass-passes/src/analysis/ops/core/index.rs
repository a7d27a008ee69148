//! Operators that pick or place elements by index.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::super::super::strided::sizes;
use super::super::super::{Fact, MAX_ITEMS, NodeCx};
use super::elementwise::same;
use super::shape::product;

pub(super) fn gather(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let axis = cx.rank(0).and_then(|r| NodeCx::axis(cx.int_or("axis", 0), r));
    let (Some(dims), Some(index), Some(axis)) = (cx.shape(0), cx.shape(1), axis) else {
        return cx.set(0, dtype, None);
    };
    let out = [&dims[..axis], index, &dims[axis + 1..]].concat();
    cx.set(0, dtype, Some(out));
    gather_items(cx, axis);
}

fn gather_items(cx: &mut NodeCx<'_>, axis: usize) {
    let (Some(items), Some(index), Some(_)) = (cx.items(0), cx.ints(1), cx.dtype(0)) else { return };
    let Some(from) = cx.input(0).and_then(Fact::const_shape).and_then(|d| sizes(&d)) else { return };
    let (outer, len, inner): (usize, usize, usize) =
        (from[..axis].iter().product(), from[axis], from[axis + 1..].iter().product());
    let count = outer.saturating_mul(index.len()).saturating_mul(inner);
    if count > MAX_ITEMS {
        return;
    }
    let mut out = Vec::with_capacity(count);
    for row in 0..outer {
        for i in &index {
            let at = if *i < 0 { i + len as i64 } else { *i };
            // Out of range fails at run time.
            let Some(at) = usize::try_from(at).ok().filter(|a| *a < len) else { return };
            let start = (row * len + at) * inner;
            out.extend((start..start + inner).map(|i| items.get(i).cloned().flatten()));
        }
    }
    cx.add_items(0, out);
}

pub(super) fn gather_elements(cx: &mut NodeCx<'_>) {
    let shape = cx.shape(1).map(<[_]>::to_vec);
    cx.set(0, cx.dtype(0), shape);
}

pub(super) fn gather_nd(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let batch = usize::try_from(cx.int_or("batch_dims", 0)).unwrap_or(0);
    let (Some(dims), Some(index)) = (cx.shape(0), cx.shape(1)) else { return cx.set(0, dtype, None) };
    let depth = index.last().and_then(Expr::as_const).and_then(|n| usize::try_from(n).ok());
    let Some(skip) = depth.map(|n| n + batch).filter(|n| *n <= dims.len()) else {
        return cx.set(0, dtype, None);
    };
    let mut out = index[..index.len() - 1].to_vec();
    out.extend_from_slice(&dims[skip..]);
    cx.set(0, dtype, Some(out));
}

/// The shape of the first input; the second names a place for each element of the third.
pub(super) fn scatter_elements(cx: &mut NodeCx<'_>) {
    same(cx);
    let (Some(index), Some(new)) = (cx.shape(1), cx.shape(2)) else { return };
    index.iter().zip(new).for_each(|(i, n)| cx.must_equal(i, n));
}

/// Contents are followed where whole elements of a vector are overwritten.
pub(super) fn scatter_nd(cx: &mut NodeCx<'_>) {
    same(cx);
    one_slice_for_each_index(cx);
    if cx.str("reduction").is_some_and(|r| r != "none") || cx.rank(0) != Some(1) {
        return;
    }
    let (Some(items), Some(dtype)) = (cx.items(0), cx.dtype(0)) else { return };
    let (Some(index), Some(new)) = (cx.ints(1), cx.items(2)) else { return };
    let deep = cx.shape(1).and_then(<[_]>::last).and_then(Expr::as_const);
    if deep != Some(1) || index.len() != new.len() {
        return;
    }
    let mut out = items.to_vec();
    let len = out.len() as i64;
    for (i, e) in index.iter().zip(new.iter()) {
        let at = if *i < 0 { i + len } else { *i };
        let Some(slot) = usize::try_from(at).ok().and_then(|a| out.get_mut(a)) else { return };
        *slot = e.clone();
    }
    cx.set_items(0, dtype, &[len], out);
}

/// The updates are shaped `indices.shape[:-1] ++ data.shape[indices.shape[-1]:]`.
fn one_slice_for_each_index(cx: &mut NodeCx<'_>) {
    let (Some(dims), Some(index), Some(new)) = (cx.shape(0), cx.shape(1), cx.shape(2)) else { return };
    let Some((depth, places)) = index.split_last() else { return };
    let depth = depth.as_const().and_then(|n| usize::try_from(n).ok());
    let Some(slice) = depth.and_then(|n| dims.get(n..)) else { return };
    if places.len() + slice.len() == new.len() {
        places.iter().chain(slice).zip(new).for_each(|(i, n)| cx.must_equal(i, n));
    }
}

pub(super) fn top_k(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let axis = cx.rank(0).and_then(|r| NodeCx::axis(cx.int_or("axis", -1), r));
    let k = cx.int("k").map(Expr::constant).or_else(|| cx.exprs(1)?.first().cloned());
    for out in 0..2 {
        let shape = cx.shape(0).zip(axis).map(|(dims, axis)| {
            let mut dims = dims.to_vec();
            dims[axis] = k.clone().unwrap_or_else(|| cx.fresh(0, axis));
            dims
        });
        cx.set(out, if out == 0 { dtype } else { Some(DataType::INT64) }, shape);
    }
}

pub(super) fn non_zero(cx: &mut NodeCx<'_>) {
    let Some(rank) = cx.rank(0) else {
        let shape = cx.fresh_shape(0, 2);
        return cx.set(0, Some(DataType::INT64), Some(shape));
    };
    // A scalar counts as a vector of one element.
    let rows = Expr::constant(rank.max(1) as i64);
    let count = all_non_zero(cx).unwrap_or_else(|| cx.fresh(0, 1));
    cx.set(0, Some(DataType::INT64), Some(vec![rows, count]));
}

/// The number of elements of a tensor that one nonzero value fills: how older exporters spell a range.
fn all_non_zero(cx: &NodeCx<'_>) -> Option<Expr> {
    let producer = cx.node.input(0).and_then(|v| cx.model.value(v).producer())?;
    let n = cx.model.node(producer);
    if !n.is("ConstantOfShape") {
        return None;
    }
    let value = n.attribute("value")?.as_tensor()?;
    let one = |v: Option<bool>| v == Some(true);
    let ints = value.to_i64s().ok().and_then(|v| v.first().map(|x| *x != 0));
    let floats = value.to_f64s().ok().and_then(|v| v.first().map(|x| *x != 0.0));
    if one(ints) || one(floats) { cx.shape(0).map(product) } else { None }
}
