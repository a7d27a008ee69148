//! Slice and Split.

use onnx_pass_ir::sym::Expr;

use super::super::super::strided::{Strided, sizes, slice_bounds};
use super::super::super::{Fact, NodeCx};

/// The parameters of a Slice, one an axis that is sliced. `None` where an element is not known.
struct Params {
    starts: Vec<Option<Expr>>,
    ends: Vec<Option<Expr>>,
    axes: Vec<usize>,
    steps: Vec<Option<i64>>,
}

fn params(cx: &NodeCx<'_>, rank: usize) -> Option<Params> {
    let whole = |v: &[i64]| v.iter().map(|x| Some(Expr::constant(*x))).collect::<Vec<_>>();
    let (starts, ends, axes) = if cx.opset() < 10 {
        (whole(cx.int_list("starts")?), whole(cx.int_list("ends")?), cx.int_list("axes").map(<[_]>::to_vec))
    } else {
        let axes = if cx.has_input(3) { Some(cx.ints(3)?) } else { None };
        let n = axes.as_ref().map(Vec::len).or_else(|| known_len(cx, 1)).or_else(|| known_len(cx, 2))?;
        let items = |k| cx.items(k).map_or_else(|| vec![None; n], |i| i.to_vec());
        (items(1), items(2), axes)
    };
    let n = starts.len();
    let axes = axes.unwrap_or_else(|| (0..n as i64).collect());
    let axes: Vec<usize> = axes.iter().map(|a| NodeCx::axis(*a, rank)).collect::<Option<_>>()?;
    let steps = match cx.items(4) {
        _ if !cx.has_input(4) => vec![Some(1); n],
        Some(s) => s.iter().map(|e| e.as_ref().and_then(Expr::as_const)).collect(),
        None => vec![None; n],
    };
    (ends.len() == n && axes.len() == n && steps.len() == n).then_some(Params { starts, ends, axes, steps })
}

fn known_len(cx: &NodeCx<'_>, k: usize) -> Option<usize> {
    usize::try_from(cx.shape(k)?.first()?.as_const()?).ok().filter(|n| *n <= 64)
}

pub(super) fn slice(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let Some(dims) = cx.shape(0) else { return cx.set(0, dtype, None) };
    let Some(p) = params(cx, dims.len()) else {
        let shape = cx.fresh_shape(0, dims.len());
        return cx.set(0, dtype, Some(shape));
    };
    let mut out = dims.to_vec();
    for (i, &axis) in p.axes.iter().enumerate() {
        let len = sliced_len(cx, &dims[axis], p.starts[i].as_ref(), p.ends[i].as_ref(), p.steps[i]);
        out[axis] = len.unwrap_or_else(|| cx.fresh(0, axis));
    }
    cx.set(0, dtype, Some(out));
    slice_items(cx, &p);
}

fn slice_items(cx: &mut NodeCx<'_>, p: &Params) {
    let (Some(items), Some(dtype)) = (cx.items(0), cx.dtype(0)) else { return };
    let Some(from) = cx.input(0).and_then(Fact::const_shape).and_then(|d| sizes(&d)) else { return };
    let mut view = Strided::dense(&from);
    for (i, &axis) in p.axes.iter().enumerate() {
        let number = |e: &Option<Expr>| e.as_ref().and_then(Expr::as_const);
        let (Some(s), Some(e), Some(step)) = (number(&p.starts[i]), number(&p.ends[i]), p.steps[i]) else {
            return;
        };
        let Some((first, count)) = slice_bounds(from[axis] as i64, s, e, step) else { return };
        view = view.sliced(axis, first, step as isize, count);
    }
    let to: Vec<i64> = view.dims.iter().map(|d| *d as i64).collect();
    let out = view.places().into_iter().map(|i| items.get(i).cloned().flatten()).collect();
    cx.set_items(0, dtype, &to, out);
}

/// The length of a slice of an axis of length `d`.
pub(crate) fn sliced_len(
    cx: &NodeCx<'_>,
    d: &Expr,
    start: Option<&Expr>,
    end: Option<&Expr>,
    step: Option<i64>,
) -> Option<Expr> {
    if d.is_zero() {
        return Some(Expr::ZERO);
    }
    let (start, end, step) = (start?, end?, step?);
    if let (Some(d), Some(s), Some(e)) = (d.as_const(), start.as_const(), end.as_const()) {
        return slice_bounds(d, s, e, step).map(|(_, n)| Expr::constant(n as i64));
    }
    if step < 0 {
        return reversed_len(d, start, end, step);
    }
    let (s, e) = (clamped(cx, d, start)?, clamped(cx, d, end)?);
    let span = cx.max(&e.sub(&s), &Expr::ZERO);
    Some(if step == 1 { span } else { span.ceil_div(&Expr::constant(step)) })
}

/// A bound of a forward slice, counted from the front and clamped to the axis.
fn clamped(cx: &NodeCx<'_>, d: &Expr, bound: &Expr) -> Option<Expr> {
    // Exporters write "to the end" as the greatest number of their type; no axis is longer.
    if bound.as_const().is_some_and(|b| b >= i64::from(i32::MAX)) {
        return Some(d.clone());
    }
    if cx.nonneg(bound) {
        return Some(cx.min(bound, d));
    }
    let highest = cx.symbols.bounds(bound).1?;
    let from_end = cx.max(&d.add(bound), &Expr::ZERO);
    // Counted from the end, except that `-0` is the first element: where the count may be 0, a factor that then is 0
    // and else 1 says so.
    match highest {
        ..0 => Some(from_end),
        0 => Some(from_end.mul(&cx.min(&bound.neg(), &Expr::ONE))),
        1.. => None,
    }
}

/// Backwards from the last element, to the first or to a number.
fn reversed_len(d: &Expr, start: &Expr, end: &Expr, step: i64) -> Option<Expr> {
    let (s, e) = (start.as_const()?, end.as_const()?);
    let from_last = s == -1 || s >= i64::from(i32::MAX);
    let to_first = e <= i64::from(i32::MIN);
    (from_last && to_first).then(|| d.ceil_div(&Expr::constant(-step)))
}

pub(super) fn split(cx: &mut NodeCx<'_>) {
    let n = cx.node.outputs().len();
    let dtype = cx.dtype(0);
    let axis = cx.rank(0).and_then(|r| NodeCx::axis(cx.int_or("axis", 0), r));
    let (Some(dims), Some(axis)) = (cx.shape(0), axis) else {
        return (0..n).for_each(|k| cx.set(k, dtype, None));
    };
    let parts = parts(cx, &dims[axis], n);
    for (k, part) in parts.iter().enumerate() {
        let mut out = dims.to_vec();
        out[axis] = part.clone().unwrap_or_else(|| cx.fresh(k, axis));
        cx.set(k, dtype, Some(out));
    }
    split_items(cx, axis, &parts);
}

fn parts(cx: &NodeCx<'_>, d: &Expr, n: usize) -> Vec<Option<Expr>> {
    let given = match cx.int_list("split") {
        Some(v) => Some(v.iter().map(|x| Some(Expr::constant(*x))).collect::<Vec<_>>()),
        None if cx.has_input(1) => Some(cx.items(1).map_or_else(|| vec![None; n], |i| i.to_vec())),
        None => None,
    };
    if let Some(mut given) = given {
        given.resize(n, None);
        return given;
    }
    let count = Expr::constant(n as i64);
    let Some(chunk) = d.exact_div(&count) else {
        // The last part is the shorter one (opset 18; before, an uneven split fails).
        let chunk = d.ceil_div(&count);
        let last = d.sub(&chunk.mul(&Expr::constant(n as i64 - 1)));
        let last = if cx.opset() >= 18 { last } else { chunk.clone() };
        let mut out = vec![Some(chunk); n.saturating_sub(1)];
        out.push(Some(last));
        return out;
    };
    vec![Some(chunk); n]
}

fn split_items(cx: &mut NodeCx<'_>, axis: usize, parts: &[Option<Expr>]) {
    let (Some(items), Some(dtype)) = (cx.items(0), cx.dtype(0)) else { return };
    let Some(from) = cx.input(0).and_then(Fact::const_shape).and_then(|d| sizes(&d)) else { return };
    let mut start = 0usize;
    for (k, part) in parts.iter().enumerate() {
        let len = part.as_ref().and_then(Expr::as_const).and_then(|n| usize::try_from(n).ok());
        let Some(len) = len.filter(|n| start + n <= from[axis]) else { return };
        let view = Strided::dense(&from).sliced(axis, start, 1, len);
        let to: Vec<i64> = view.dims.iter().map(|d| *d as i64).collect();
        let out = view.places().into_iter().map(|i| items.get(i).cloned().flatten()).collect();
        cx.set_items(k, dtype, &to, out);
        start += len;
    }
}
