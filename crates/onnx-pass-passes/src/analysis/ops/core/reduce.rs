//! Reductions, products of matrices, normalizations.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::super::super::NodeCx;
use super::layout::axes;

pub(super) fn reduce(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let Some(dims) = cx.shape(0) else { return cx.set(0, dtype, None) };
    let keep = cx.int_or("keepdims", 1) != 0;
    let given = axes(cx, 1);
    let empty = matches!(&given, Ok(None)) || matches!(&given, Ok(Some(v)) if v.is_empty());
    let gone: Vec<usize> = match given {
        Ok(_) if empty && cx.int_or("noop_with_empty_axes", 0) != 0 => Vec::new(),
        Ok(_) if empty => (0..dims.len()).collect(),
        Ok(Some(v)) => match v.iter().map(|a| NodeCx::axis(*a, dims.len())).collect() {
            Some(v) => v,
            None => return cx.set(0, dtype, None),
        },
        _ => {
            // Which axes is not known: with kept dims at least the rank is.
            let shape = keep.then(|| cx.fresh_shape(0, dims.len()));
            return cx.set(0, dtype, shape);
        }
    };
    let out = dropped(dims, &gone, keep);
    cx.set(0, dtype, Some(out));
    reduce_items(cx, &gone);
}

/// A shape with some axes made 1, or gone.
fn dropped(dims: &[Expr], gone: &[usize], keep: bool) -> Vec<Expr> {
    let dim = |(i, d): (usize, &Expr)| match gone.contains(&i) {
        true if keep => Some(Expr::ONE),
        true => None,
        false => Some(d.clone()),
    };
    dims.iter().enumerate().filter_map(dim).collect()
}

/// Contents of a vector, or of anything that is reduced to one element.
fn reduce_items(cx: &mut NodeCx<'_>, gone: &[usize]) {
    let whole = gone.len() == cx.rank(0).unwrap_or(0) && !gone.is_empty();
    let (Some(items), Some(dtype)) = (cx.exprs(0).filter(|_| whole), cx.dtype(0)) else { return };
    let out = match cx.node.op_type() {
        "ReduceSum" => Some(items.iter().fold(Expr::ZERO, |a, b| a.add(b))),
        "ReduceProd" => Some(super::shape::product(&items)),
        "ReduceMax" => items.iter().cloned().reduce(|a, b| cx.max(&a, &b)),
        "ReduceMin" => items.iter().cloned().reduce(|a, b| cx.min(&a, &b)),
        _ => None,
    };
    let dims = cx.outputs.first().and_then(|f| f.const_shape());
    if let (Some(e), Some(dims)) = (out, dims)
        && matches!(dtype, DataType::INT64 | DataType::INT32)
    {
        cx.set_items(0, dtype, &dims, vec![Some(e)]);
    }
}

pub(super) fn arg_extremum(cx: &mut NodeCx<'_>) {
    let keep = cx.int_or("keepdims", 1) != 0;
    let axis = cx.rank(0).and_then(|r| NodeCx::axis(cx.int_or("axis", 0), r));
    let shape = cx.shape(0).zip(axis).map(|(dims, axis)| dropped(dims, &[axis], keep));
    cx.set(0, Some(DataType::INT64), shape);
}

pub(super) fn cum_sum(cx: &mut NodeCx<'_>) {
    super::elementwise::same(cx);
    let plain = cx.int_or("exclusive", 0) == 0 && cx.int_or("reverse", 0) == 0;
    if cx.rank(0) != Some(1) || !plain {
        return;
    }
    let (Some(items), Some(dtype)) = (cx.exprs(0), cx.dtype(0)) else { return };
    if !matches!(dtype, DataType::INT64 | DataType::INT32) {
        return;
    }
    let mut sum = Expr::ZERO;
    let out: Vec<Option<Expr>> = items
        .iter()
        .map(|e| {
            sum = sum.add(e);
            Some(sum.clone())
        })
        .collect();
    cx.set_items(0, dtype, &[out.len() as i64], out);
}

pub(super) fn mat_mul(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0).or(cx.dtype(1));
    let shape = product_shape(cx, 0, 1);
    cx.set(0, dtype, shape);
}

pub(super) fn mat_mul_integer(cx: &mut NodeCx<'_>) {
    let shape = product_shape(cx, 0, 1);
    cx.set(0, Some(DataType::INT32), shape);
}

/// The shape of numpy's `matmul` of two inputs.
pub(crate) fn product_shape(cx: &mut NodeCx<'_>, a: usize, b: usize) -> Option<Vec<Expr>> {
    let (a, b) = (cx.shape(a)?, cx.shape(b)?);
    let (x, y) = (a.len(), b.len());
    if x == 0 || y == 0 {
        return None;
    }
    let inner = if y == 1 { &b[0] } else { &b[y - 2] };
    cx.must_equal(&a[x - 1], inner);
    let mut out = cx.broadcast(&a[..x.saturating_sub(2)], &b[..y.saturating_sub(2)]);
    if x > 1 {
        out.push(a[x - 2].clone());
    }
    if y > 1 {
        out.push(b[y - 1].clone());
    }
    Some(out)
}

pub(super) fn gemm(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let (ta, tb) = (cx.int_or("transA", 0) != 0, cx.int_or("transB", 0) != 0);
    let shape = match (cx.shape(0), cx.shape(1)) {
        (Some([a0, a1]), Some([b0, b1])) => {
            let (m, k) = if ta { (a1, a0) } else { (a0, a1) };
            let (k2, n) = if tb { (b1, b0) } else { (b0, b1) };
            cx.must_equal(k, k2);
            Some(vec![m.clone(), n.clone()])
        }
        _ => Some(cx.fresh_shape(0, 2)),
    };
    cx.set(0, dtype, shape);
}

pub(super) fn layer_norm(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let shape = cx.shape(0).map(<[_]>::to_vec);
    cx.set(0, dtype, shape.clone());
    // Mean and deviation are of the type that they are computed in, with 1 on the normalized axes.
    let stash = cx.int("stash_type").and_then(|t| i32::try_from(t).ok()).map_or(DataType::FLOAT, DataType);
    let reduced = shape.and_then(|dims| {
        let axis = NodeCx::axis(cx.int_or("axis", -1), dims.len())?;
        Some(dims.iter().enumerate().map(|(i, d)| if i < axis { d.clone() } else { Expr::ONE }).collect())
    });
    let reduced: Option<Vec<Expr>> = reduced;
    cx.set(1, Some(stash), reduced.clone());
    cx.set(2, Some(stash), reduced);
}
