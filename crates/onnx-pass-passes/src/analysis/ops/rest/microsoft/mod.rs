//! `com.microsoft`: what exporters and ONNX Runtime's own optimizer write.

mod attention;
mod products;
mod quantized;

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::super::core;
use super::{
    NodeCx, Rule, broadcast_of, c, conv, dim, dim_or_fresh, dtype_attr, layout, norm, pool, product,
    resample, rnn, same_as, same_as_first, same_shape, scalar, share,
};

/// The rule of an operator.
pub(super) fn rule(op_type: &str) -> Option<Rule> {
    attention::rule(op_type)
        .or_else(|| products::rule(op_type))
        .or_else(|| quantized::rule(op_type))
        .or_else(|| fused(op_type))
        .or_else(|| same_as_standard(op_type))
        .or_else(|| plain(op_type))
}

/// Operators with the inputs and attributes that the standard's operator of the same name has.
fn same_as_standard(op_type: &str) -> Option<Rule> {
    match op_type {
        "Gelu" | "GatherND" | "Range" | "Trilu" => core::rule("", op_type),
        "GridSample" => Some(resample::grid_sample),
        "Pad" => Some(layout::pad),
        _ => None,
    }
}

/// Operators that fuse or vary one of the standard.
fn fused(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "FusedConv" => conv::conv,
        "FusedGemm" => return core::rule("", "Gemm"),
        "MaxpoolWithMask" => |cx| {
            let shape = pool::pooled(cx, 0, false);
            cx.set(0, cx.dtype(0), shape);
        },
        "NhwcMaxPool" => |cx| {
            let shape = pool::pooled(cx, 0, true);
            cx.set(0, cx.dtype(0), shape);
        },
        "AttnLSTM" => |cx| rnn::recurrent(cx, 2),
        "DynamicQuantizeLSTM" => |cx| rnn::recurrent(cx, 1),
        "SimplifiedLayerNormalization" => return norm::rule(op_type),
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => skip_layer_norm,
        "EmbedLayerNormalization" => |cx| embed_layer_norm(cx, [0, 2, 5], 5),
        "QEmbedLayerNormalization" => |cx| embed_layer_norm(cx, [0, 2, 5], 8),
        "BiasSplitGelu" => |cx| {
            let shape = last_by(cx, |d| share(d, 2));
            cx.set(0, cx.dtype(0), shape);
        },
        "SwiGLU" => swiglu,
        "BiasDropout" => |cx| {
            same_as_first(cx);
            same_shape(cx, 1, Some(DataType::BOOL));
        },
        "SkipGroupNorm" => |cx| {
            same_as_first(cx);
            same_as(cx, 1, 0);
        },
        "ComplexMul" | "ComplexMulConj" => |cx| {
            let shape = broadcast_of(cx, &[0, 1]);
            cx.set(0, cx.dtype(0), shape);
        },
        _ => return None,
    })
}

/// All others.
fn plain(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "BiasGelu"
        | "BiasAdd"
        | "BiasSoftmax"
        | "FastGelu"
        | "QuickGelu"
        | "GatedAdd"
        | "GatedRMSNorm"
        | "GroupNorm"
        | "Inverse"
        | "LongformerAttention"
        | "MRotaryEmbedding"
        | "MoE"
        | "QMoE"
        | "RotaryEmbedding"
        | "ScaledSiLU" => same_as_first,
        "MurmurHash3" => |cx| {
            let signed = cx.int_or("positive", 1) == 0;
            same_shape(cx, 0, Some(if signed { DataType::INT32 } else { DataType::UINT32 }));
        },
        "NGramRepeatBlock" => |cx| same_as(cx, 0, 1),
        "LinearAttentionGate" => |cx| {
            same_as_first(cx);
            same_as(cx, 1, 0);
        },
        "CDist" => |cx| {
            let shape = vec![dim_or_fresh(cx, (0, 0), (0, 0)), dim_or_fresh(cx, (1, 0), (0, 1))];
            cx.set(0, cx.dtype(0), Some(shape));
        },
        "CropAndResize" => crop_and_resize,
        "ExpandDims" => expand_dims,
        "IsAllFinite" => |cx| cx.set(0, Some(DataType::BOOL), Some(Vec::new())),
        "TorchEmbedding" => |cx| {
            let shape = cx.shape(1).map(<[Expr]>::to_vec).map(|mut shape| {
                shape.push(dim_or_fresh(cx, (0, 1), (0, shape.len())));
                shape
            });
            cx.set(0, cx.dtype(0), shape);
        },
        "Unique" => unique,
        _ => return None,
    })
}

/// The shape of the first input with its last axis changed.
fn last_by(cx: &NodeCx<'_>, change: impl Fn(&Expr) -> Option<Expr>) -> Option<Vec<Expr>> {
    let mut shape = cx.shape(0)?.to_vec();
    let last = shape.len().checked_sub(1)?;
    let length = change(shape.get(last)?).unwrap_or_else(|| cx.fresh(0, last));
    *shape.get_mut(last)? = length;
    Some(shape)
}

/// The shape of the first input with its last axis of this length.
fn last_set(cx: &NodeCx<'_>, length: Option<Expr>) -> Option<Vec<Expr>> {
    last_by(cx, |_| length.clone())
}

fn swiglu(cx: &mut NodeCx<'_>) {
    let halves = !cx.has_input(1);
    let shape = last_by(cx, |d| if halves { share(d, 2) } else { Some(d.clone()) });
    cx.set(0, cx.dtype(0), shape);
}

/// The sum that the fourth output carries has the shape of the input; the skip may only be stretched to it.
fn skip_layer_norm(cx: &mut NodeCx<'_>) {
    if let (Some(last), Some(gamma)) = (cx.shape(0).and_then(<[Expr]>::last), dim(cx, 2, 0)) {
        cx.must_equal(last, &gamma);
    }
    same_as_first(cx);
    let each = norm::rows(cx, -1);
    cx.set(1, Some(DataType::FLOAT), each.clone());
    cx.set(2, Some(DataType::FLOAT), each);
    same_as(cx, 3, 0);
}

/// `EmbedLayerNormalization` with its inputs of ids, words and gamma; `like` has the output's type.
fn embed_layer_norm(cx: &mut NodeCx<'_>, [ids, words, gamma]: [usize; 3], like: usize) {
    let dtype = cx.dtype(like);
    let batch = dim_or_fresh(cx, (ids, 0), (0, 0));
    let hidden = dim(cx, words, 1).or(dim(cx, gamma, 0)).unwrap_or_else(|| cx.fresh(0, 2));
    let shape = vec![batch.clone(), dim_or_fresh(cx, (ids, 1), (0, 1)), hidden];
    cx.set(0, dtype, Some(shape.clone()));
    cx.set(1, Some(DataType::INT32), Some(vec![batch]));
    cx.set(2, dtype, Some(shape));
}

fn crop_and_resize(cx: &mut NodeCx<'_>) {
    let size = cx.items(3).filter(|items| items.len() == 2);
    let side = |i: usize| size.as_ref()?.get(i).cloned().flatten();
    let shape = vec![
        dim_or_fresh(cx, (1, 0), (0, 0)),
        dim_or_fresh(cx, (0, 1), (0, 1)),
        side(0).unwrap_or_else(|| cx.fresh(0, 2)),
        side(1).unwrap_or_else(|| cx.fresh(0, 3)),
    ];
    cx.set(0, cx.dtype(0), Some(shape));
}

fn expand_dims(cx: &mut NodeCx<'_>) {
    let axis = scalar(cx, 1).and_then(|a| a.as_const());
    let shape = cx.shape(0).map(<[Expr]>::to_vec).zip(axis).and_then(|(mut shape, axis)| {
        let axis = NodeCx::axis(axis, shape.len() + 1)?;
        shape.insert(axis, c(1));
        Some(shape)
    });
    cx.set(0, cx.dtype(0), shape);
}

fn unique(cx: &mut NodeCx<'_>) {
    let found = cx.fresh(0, 0);
    let all = cx.shape(0).map(product).unwrap_or_else(|| cx.fresh(1, 0));
    cx.set(0, cx.dtype(0), Some(vec![found.clone()]));
    cx.set(1, Some(DataType::INT64), Some(vec![all]));
    cx.set(2, Some(DataType::INT64), Some(vec![found]));
}
