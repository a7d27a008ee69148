//! Normalizations.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::{NodeCx, Rule, c, dim, dtype_attr, same_as_first, same_shape};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "BatchNormalization" => batch_normalization,
        // The output has the type of the scale, which may be another.
        "RMSNormalization" => |cx| {
            let dtype = cx.dtype(1).or(cx.dtype(0));
            same_shape(cx, 0, dtype);
        },
        "SimplifiedLayerNormalization" => simplified,
        _ => return None,
    })
}

fn batch_normalization(cx: &mut NodeCx<'_>) {
    same_as_first(cx);
    let channels = (1..5).find_map(|k| dim(cx, k, 0)).or_else(|| dim(cx, 0, 1));
    let dtype = if cx.opset() >= 14 { cx.dtype(3) } else { cx.dtype(0) };
    for k in 1..5 {
        let length = channels.clone().unwrap_or_else(|| cx.fresh(k, 0));
        cx.set(k, dtype, Some(vec![length]));
    }
}

/// What ONNX Runtime writes for RMS normalization, in the standard domain: the second output is the inverse
/// deviation of every row.
fn simplified(cx: &mut NodeCx<'_>) {
    same_shape(cx, 0, cx.dtype(1).or(cx.dtype(0)));
    let stash =
        if cx.int("stash_type").is_some() { dtype_attr(cx, "stash_type") } else { Some(DataType::FLOAT) };
    let shape = rows(cx, cx.int_or("axis", -1));
    cx.set(1, stash, shape);
}

/// The shape of the first input with every axis from this one on reduced to 1.
pub(super) fn rows(cx: &NodeCx<'_>, axis: i64) -> Option<Vec<Expr>> {
    let x = cx.shape(0)?;
    let axis = NodeCx::axis(axis, x.len())?;
    Some(x.iter().enumerate().map(|(a, d)| if a < axis { d.clone() } else { c(1) }).collect())
}
