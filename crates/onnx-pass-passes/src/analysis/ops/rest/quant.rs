//! Quantization.

use onnx_pass_ir::DataType;

use super::super::core::product_shape;
use super::{NodeCx, Rule, dtype_attr, same_shape};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "QuantizeLinear" => quantize,
        "DequantizeLinear" => dequantize,
        "DynamicQuantizeLinear" => dynamic_quantize,
        "QLinearMatMul" => |cx| {
            let shape = product_shape(cx, 0, 3);
            cx.set(0, cx.dtype(7), shape);
        },
        _ => return None,
    })
}

/// `QuantizeLinear`: the zero point tells the type, else the attribute, else it is `uint8`.
pub(super) fn quantize(cx: &mut NodeCx<'_>) {
    let dtype = match (cx.has_input(2), cx.int("output_dtype").unwrap_or(0)) {
        (true, _) => cx.dtype(2),
        (false, 0) => Some(DataType::UINT8),
        (false, _) => dtype_attr(cx, "output_dtype"),
    };
    same_shape(cx, 0, dtype);
}

/// `DequantizeLinear`: the attribute tells the type, else the scale.
pub(super) fn dequantize(cx: &mut NodeCx<'_>) {
    let dtype = dtype_attr(cx, "output_dtype").or(cx.dtype(1));
    same_shape(cx, 0, dtype);
}

fn dynamic_quantize(cx: &mut NodeCx<'_>) {
    same_shape(cx, 0, Some(DataType::UINT8));
    cx.set(1, Some(DataType::FLOAT), Some(Vec::new()));
    cx.set(2, Some(DataType::UINT8), Some(Vec::new()));
}
