//! Operators that read shapes or make tensors of a given shape.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{DataType, Tensor, TensorData};

use super::super::super::strided::{Strided, sizes};
use super::super::super::{Fact, MAX_ITEMS, NodeCx};

pub(super) fn shape(cx: &mut NodeCx<'_>) {
    let Some(dims) = cx.shape(0) else {
        // The rank of the answer is known even so.
        let n = cx.fresh(0, 0);
        return cx.set(0, Some(DataType::INT64), Some(vec![n]));
    };
    let rank = dims.len() as i64;
    let clamp = |x: i64| (if x < 0 { x + rank } else { x }).clamp(0, rank) as usize;
    let (start, end) = (clamp(cx.int_or("start", 0)), clamp(cx.int_or("end", rank)));
    let read: Vec<Option<Expr>> = dims[start..end.max(start)].iter().cloned().map(Some).collect();
    cx.set_items(0, DataType::INT64, &[read.len() as i64], read);
}

pub(super) fn size(cx: &mut NodeCx<'_>) {
    let size = cx.shape(0).map(product);
    cx.set_items(0, DataType::INT64, &[], vec![size]);
}

/// The product of some lengths.
pub(super) fn product(dims: &[Expr]) -> Expr {
    if dims.iter().any(Expr::is_zero) {
        return Expr::ZERO;
    }
    match dims {
        [] => Expr::ONE,
        [first, rest @ ..] => rest.iter().fold(first.clone(), |p, d| p.mul(d)),
    }
}

pub(super) fn constant(cx: &mut NodeCx<'_>) {
    if let Some(t) = cx.model.constant_node(cx.id) {
        return cx.set_fact(0, Fact::of_tensor(&t));
    }
    // A reference to an enclosing function's attribute is resolved first, so not by the node alone.
    let fact = match cx.attr("value") {
        Some(onnx_pass_ir::AttrValue::Tensor(t)) => Fact::of_tensor(t),
        _ => match (cx.int("value_int"), cx.int_list("value_ints")) {
            (Some(i), _) => Fact::of_tensor(&Tensor::int64(&[], &[i]).shared()),
            (_, Some(v)) => Fact::of_tensor(&Tensor::int64_vec(v).shared()),
            _ => match cx.attr("sparse_value") {
                Some(onnx_pass_ir::AttrValue::SparseTensor(t)) => {
                    let dims = t.dims.iter().map(|d| Expr::constant(*d)).collect();
                    Fact::tensor(Some(t.values.dtype), Some(dims))
                }
                _ => Fact::default(),
            },
        },
    };
    cx.set_fact(0, fact);
}

/// The shape that contents spell; unknown elements are lengths of their own.
pub(super) fn spelled(cx: &NodeCx<'_>, k: usize, out: usize) -> Option<Vec<Expr>> {
    let known = |(axis, e): (usize, &Option<Expr>)| e.clone().unwrap_or_else(|| cx.fresh(out, axis));
    if let Some(items) = cx.items(k) {
        return Some(items.iter().enumerate().map(known).collect());
    }
    let rank = cx.shape(k)?.first()?.as_const()?;
    let rank = usize::try_from(rank).ok().filter(|r| *r <= 64)?;
    Some(cx.fresh_shape(out, rank))
}

pub(super) fn constant_of_shape(cx: &mut NodeCx<'_>) {
    let value = cx.tensor_attr("value");
    let dtype = value.map_or(DataType::FLOAT, |t| t.dtype);
    let shape = spelled(cx, 0, 0);
    cx.set(0, Some(dtype), shape);
    let Some(dims) = cx.outputs.first().and_then(Fact::const_shape) else { return };
    let count = sizes(&dims).map(|d| d.iter().product::<usize>());
    let whole = dtype.is_integer() || dtype == DataType::BOOL;
    let fill = value.and_then(|t| t.to_i64s().ok()).and_then(|v| v.first().copied());
    match (count, fill) {
        (Some(n), Some(v)) if whole && n <= MAX_ITEMS => {
            cx.set_items(0, dtype, &dims, vec![Some(Expr::constant(v)); n]);
        }
        (Some(0), _) if dtype != DataType::STRING => {
            let t = Tensor::with_data(dtype, &dims, TensorData::Raw(bytes::Bytes::new()));
            cx.set_fact(0, Fact::of_tensor(&t.shared()));
        }
        _ => {}
    }
}

pub(super) fn range(cx: &mut NodeCx<'_>) {
    let dtype = (0..3).find_map(|k| cx.dtype(k));
    let one = |k| cx.exprs(k).filter(|v| v.len() == 1).map(|mut v| v.swap_remove(0));
    let (start, limit, delta) = (one(0), one(1), one(2));
    let step = delta.as_ref().and_then(Expr::as_const).filter(|d| *d != 0);
    let (Some(start), Some(limit), Some(step)) = (start, limit, step) else {
        let len = cx.fresh(0, 0);
        return cx.set(0, dtype, Some(vec![len]));
    };
    let (span, by) = if step > 0 { (limit.sub(&start), step) } else { (start.sub(&limit), -step) };
    let steps = if by == 1 { span } else { span.ceil_div(&Expr::constant(by)) };
    let len = cx.max(&steps, &Expr::ZERO);
    let count = len.as_const().filter(|n| *n as usize <= MAX_ITEMS);
    match (count, dtype) {
        (Some(n), Some(t)) if t.is_integer() => {
            let items = (0..n).map(|i| Some(start.add(&Expr::constant(i * step)))).collect();
            cx.set_items(0, t, &[n], items);
        }
        _ => cx.set(0, dtype, Some(vec![len])),
    }
}

pub(super) fn expand(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let (Some(from), Some(target)) = (cx.shape(0), spelled_items(cx, 1)) else {
        return cx.set(0, dtype, None);
    };
    let rank = from.len().max(target.len());
    let mut out = Vec::with_capacity(rank);
    for axis in 0..rank {
        let d = (axis + from.len()).checked_sub(rank).map_or(Expr::ONE, |i| from[i].clone());
        let want = (axis + target.len()).checked_sub(rank).map_or(Some(Expr::ONE), |i| target[i].clone());
        out.push(match want {
            Some(want) => cx.broadcast_dim(&d, &want),
            // An unknown length is the input's own, unless that is 1.
            None if d.as_const().is_some_and(|n| n != 1) => d,
            None => cx.fresh(0, axis),
        });
    }
    cx.set(0, dtype, Some(out));
    repeat_items(cx, |view, dims| view.broadcast(dims));
}

/// The contents as far as known, or as many unknown ones as there are.
fn spelled_items(cx: &NodeCx<'_>, k: usize) -> Option<Vec<Option<Expr>>> {
    if let Some(items) = cx.items(k) {
        return Some(items.to_vec());
    }
    let n = usize::try_from(cx.shape(k)?.first()?.as_const()?).ok().filter(|n| *n <= 64)?;
    Some(vec![None; n])
}

/// Carries contents over to an answer that repeats them.
fn repeat_items(cx: &mut NodeCx<'_>, view: impl Fn(&Strided, &[usize]) -> Option<Strided>) {
    let (Some(items), Some(f)) = (cx.items(0), cx.input(0)) else { return };
    let from = f.const_shape().and_then(|d| sizes(&d));
    let to = cx.outputs.first().and_then(Fact::const_shape);
    let (Some(from), Some(to), Some(dtype)) = (from, to, f.dtype) else { return };
    let Some(dims) = sizes(&to).filter(|d| d.iter().product::<usize>() <= MAX_ITEMS) else { return };
    if let Some(view) = view(&Strided::dense(&from), &dims) {
        let out = view.places().into_iter().map(|i| items.get(i).cloned().flatten()).collect();
        cx.set_items(0, dtype, &to, out);
    }
}

pub(super) fn tile(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let Some(from) = cx.shape(0) else { return cx.set(0, dtype, None) };
    let repeats = spelled_items(cx, 1).filter(|r| r.len() == from.len());
    let times = |(axis, d): (usize, &Expr)| {
        let r = repeats.as_ref().and_then(|r| r.get(axis).cloned().flatten());
        r.map_or_else(|| cx.fresh(0, axis), |r| d.mul(&r))
    };
    let out = from.iter().enumerate().map(times).collect();
    cx.set(0, dtype, Some(out));
    let Some(repeats) = cx.ints(1) else { return };
    let (Some(items), Some(dims)) = (cx.items(0), cx.input(0).and_then(Fact::const_shape)) else { return };
    // Only of one axis: enough for shape arithmetic.
    if let ([n], [r]) = (&dims[..], &repeats[..])
        && let (Ok(r), Some(dtype)) = (usize::try_from(*r), dtype)
        && items.len().saturating_mul(r) <= MAX_ITEMS
    {
        let out = (0..r).flat_map(|_| items.iter().cloned()).collect();
        cx.set_items(0, dtype, &[n * r as i64], out);
    }
}
