//! Concat.

use onnx_pass_ir::sym::Expr;

use super::super::super::strided::sizes;
use super::super::super::{Fact, MAX_ITEMS, NodeCx};

pub(super) fn concat(cx: &mut NodeCx<'_>) {
    let dtype = (0..cx.node.inputs().len()).find_map(|k| cx.dtype(k));
    let Some(rank) = (0..cx.node.inputs().len()).find_map(|k| cx.rank(k)) else {
        return cx.set(0, dtype, None);
    };
    let Some(axis) =
        cx.int("axis").or_else(|| (cx.opset() < 4).then_some(1)).and_then(|a| NodeCx::axis(a, rank))
    else {
        return cx.set(0, dtype, None);
    };
    let mut out: Vec<Option<Expr>> = vec![None; rank];
    let mut sum = Some(Expr::ZERO);
    for k in 0..cx.node.inputs().len() {
        let Some(dims) = cx.shape(k).filter(|d| d.len() == rank) else {
            sum = None;
            continue;
        };
        sum = sum.map(|s| s.add(&dims[axis]));
        for (i, d) in dims.iter().enumerate().filter(|(i, _)| *i != axis) {
            out[i] = Some(match out[i].take() {
                Some(known) => cx.agree(&known, d),
                None => d.clone(),
            });
        }
    }
    out[axis] = sum;
    let dims = out.into_iter().enumerate().map(|(i, d)| d.unwrap_or_else(|| cx.fresh(0, i))).collect();
    cx.set(0, dtype, Some(dims));
    join_items(cx, axis);
}

fn join_items(cx: &mut NodeCx<'_>, axis: usize) {
    let Some(to) = cx.outputs.first().and_then(Fact::const_shape) else { return };
    let count = cx.outputs.first().and_then(Fact::count);
    let Some(count) = count.filter(|n| *n <= MAX_ITEMS) else { return };
    let Some(dtype) = cx.outputs.first().and_then(|f| f.dtype) else { return };
    if !dtype.is_integer() && dtype != onnx_pass_ir::DataType::BOOL {
        return;
    }
    // Row after row: each operand gives the elements below the axis that are its own.
    let outer: usize = to[..axis].iter().product::<i64>() as usize;
    let inner: usize = to[axis + 1..].iter().product::<i64>() as usize;
    let mut parts: Vec<(usize, Option<super::super::super::SymItems>)> = Vec::new();
    for k in 0..cx.node.inputs().len() {
        let Some(own) = cx.input(k).and_then(Fact::const_shape).and_then(|d| sizes(&d)) else { return };
        let Some(len) = own.get(axis) else { return };
        parts.push((len * inner, cx.items(k)));
    }
    let mut items = Vec::with_capacity(count);
    for row in 0..outer {
        for (len, part) in &parts {
            match part {
                Some(p) => items.extend((row * len..(row + 1) * len).map(|i| p.get(i).cloned().flatten())),
                None => items.extend(std::iter::repeat_n(None, *len)),
            }
        }
    }
    cx.add_items(0, items);
}
