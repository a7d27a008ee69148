//! Operators whose output is as long as the data says.

use onnx_pass_ir::sym::Expr;

use super::layout::INDEX;
use super::{NodeCx, Rule, c, dim, product};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "Compress" => compress,
        "Unique" => unique,
        "NonMaxSuppression" => non_max_suppression,
        _ => return None,
    })
}

fn compress(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    // As many as the condition holds; bools are 0 and 1, so they add up to that.
    let chosen = cx.exprs(1).map(|items| items.iter().fold(Expr::ZERO, |n, item| n.add(item)));
    let Some(axis) = cx.int("axis") else {
        let chosen = chosen.unwrap_or_else(|| cx.fresh(0, 0));
        return cx.set(0, dtype, Some(vec![chosen]));
    };
    let shape = cx.shape(0).map(<[Expr]>::to_vec).and_then(|mut shape| {
        let axis = NodeCx::axis(axis, shape.len())?;
        *shape.get_mut(axis)? = chosen.unwrap_or_else(|| cx.fresh(0, axis));
        Some(shape)
    });
    cx.set(0, dtype, shape);
}

fn unique(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let shape = cx.shape(0).map(<[Expr]>::to_vec);
    let (found, length) = match cx.int("axis") {
        None => {
            let found = cx.fresh(0, 0);
            cx.set(0, dtype, Some(vec![found.clone()]));
            (Some(found), shape.as_deref().map(product))
        }
        Some(axis) => {
            let axis = shape.as_ref().and_then(|s| NodeCx::axis(axis, s.len()));
            let out = shape.zip(axis).and_then(|(mut s, a)| {
                *s.get_mut(a)? = cx.fresh(0, a);
                Some(s)
            });
            cx.set(0, dtype, out);
            (axis.map(|a| cx.fresh(0, a)), axis.and_then(|a| dim(cx, 0, a)))
        }
    };
    // The number of unique ones is one unknown number in three places.
    let found = found.unwrap_or_else(|| cx.fresh(1, 0));
    let length = length.unwrap_or_else(|| cx.fresh(2, 0));
    cx.set(1, INDEX, Some(vec![found.clone()]));
    cx.set(2, INDEX, Some(vec![length]));
    cx.set(3, INDEX, Some(vec![found]));
}

fn non_max_suppression(cx: &mut NodeCx<'_>) {
    let found = cx.fresh(0, 0);
    cx.set(0, INDEX, Some(vec![found, c(3)]));
}
