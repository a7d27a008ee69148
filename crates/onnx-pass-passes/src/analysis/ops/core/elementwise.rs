//! Operators whose result has the type and shape of their first input.

use onnx_pass_ir::DataType;

use super::super::super::NodeCx;

/// Sorted.
pub(super) const SAME_AS_FIRST: &[&str] = &[
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseNot",
    "Celu",
    "Cos",
    "Cosh",
    "CumProd",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "InstanceNormalization",
    "LRN",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "Reciprocal",
    "ReverseSequence",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Trilu",
];

/// Type and shape of the first input.
pub(super) fn same(cx: &mut NodeCx<'_>) {
    let shape = cx.shared_shape(0);
    cx.set_shared(0, cx.dtype(0), shape);
}

pub(super) fn to_bool(cx: &mut NodeCx<'_>) {
    let shape = cx.shared_shape(0);
    cx.set_shared(0, Some(DataType::BOOL), shape);
}

pub(super) fn dropout(cx: &mut NodeCx<'_>) {
    let shape = cx.shared_shape(0);
    cx.set_shared(0, cx.dtype(0), shape.clone());
    // The mask was of the data's type before opset 10.
    let mask = if cx.opset() < 10 { cx.dtype(0) } else { Some(DataType::BOOL) };
    cx.set_shared(1, mask, shape);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_sorted() {
        assert!(super::SAME_AS_FIRST.is_sorted());
    }
}
