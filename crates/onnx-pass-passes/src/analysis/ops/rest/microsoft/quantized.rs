//! Quantized operators.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::super::quant;
use super::{NodeCx, Rule, broadcast_of, c, conv, dim, pool, same_as_first};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "QuantizeLinear" => quant::quantize,
        "DequantizeLinear" => quant::dequantize,
        "QLinearLeakyRelu" | "QLinearSigmoid" | "QLinearSoftmax" => same_as_first,
        "QLinearAdd" | "QLinearMul" => |cx| {
            let shape = broadcast_of(cx, &[0, 3]);
            cx.set(0, cx.dtype(0), shape);
        },
        "MulInteger" => |cx| {
            let shape = broadcast_of(cx, &[0, 2]);
            cx.set(0, Some(DataType::INT32), shape);
        },
        "QLinearWhere" => |cx| {
            let shape = broadcast_of(cx, &[0, 1, 4]);
            cx.set(0, cx.dtype(1).or(cx.dtype(4)), shape);
        },
        "QLinearConv" => |cx| {
            if cx.int_or("channels_last", 0) == 0 {
                let dtype = cx.dtype(7);
                conv::conv_of(cx, [0, 3], Some(8), dtype);
            } else {
                cx.set(0, cx.dtype(7), cx.rank(0).map(|r| cx.fresh_shape(0, r)));
            }
        },
        "QLinearAveragePool" => |cx| {
            let shape = pool::pooled(cx, 0, cx.int_or("channels_last", 0) != 0);
            cx.set(0, cx.dtype(0), shape);
        },
        "QLinearGlobalAveragePool" => |cx| pool::global(cx, cx.int_or("channels_last", 0) != 0),
        "QLinearConcat" => concat,
        "QLinearReduceMean" => reduce_mean,
        "GatherBlockQuantized" => gather,
        _ => return None,
    })
}

/// After scale and zero point of the result come three inputs an operand.
fn concat(cx: &mut NodeCx<'_>) {
    let operands: Option<Vec<Vec<Expr>>> =
        (2..cx.node.inputs().len()).step_by(3).map(|k| cx.shape(k).map(<[Expr]>::to_vec)).collect();
    let shape = operands.and_then(|operands| {
        let (first, rest) = operands.split_first()?;
        let axis = NodeCx::axis(cx.int("axis")?, first.len())?;
        let mut shape = first.clone();
        for other in rest {
            let total = shape.get(axis)? + other.get(axis)?;
            *shape.get_mut(axis)? = total;
        }
        Some(shape)
    });
    cx.set(0, cx.dtype(1), shape);
}

fn reduce_mean(cx: &mut NodeCx<'_>) {
    let keep = cx.int_or("keepdims", 1) != 0;
    let shape = cx.shape(0).and_then(|x| {
        let axes: Vec<usize> = match cx.int_list("axes") {
            Some(axes) => axes.iter().map(|a| NodeCx::axis(*a, x.len())).collect::<Option<_>>()?,
            None => (0..x.len()).collect(),
        };
        let reduced = |a: usize| axes.contains(&a);
        let kept = x.iter().enumerate().filter(|(a, _)| keep || !reduced(*a));
        Some(kept.map(|(a, d)| if reduced(a) { c(1) } else { d.clone() }).collect())
    });
    cx.set(0, cx.dtype(0), shape);
}

/// `GatherBlockQuantized`: bytes hold several elements of the last axis each.
fn gather(cx: &mut NodeCx<'_>) {
    let bits = cx.int_or("bits", 4);
    let packed = match cx.dtype(0) {
        Some(DataType::UINT8) => (bits > 0 && 8 % bits == 0).then(|| 8 / bits),
        Some(_) => Some(1),
        None => None,
    };
    let shape = cx.shape(0).zip(cx.shape(1)).and_then(|(data, indices)| {
        let last = data.len().checked_sub(1)?;
        let axis = NodeCx::axis(cx.int_or("gather_axis", 0), data.len())?;
        let mut shape = data.to_vec();
        let out_last = (last + indices.len()).saturating_sub(usize::from(axis != last));
        let unpacked = packed.zip(dim(cx, 0, last)).map(|(n, d)| d * n);
        *shape.get_mut(last)? = unpacked.unwrap_or_else(|| cx.fresh(0, out_last));
        shape.splice(axis..=axis, indices.iter().cloned());
        Some(shape)
    });
    cx.set(0, cx.dtype(2), shape);
}
