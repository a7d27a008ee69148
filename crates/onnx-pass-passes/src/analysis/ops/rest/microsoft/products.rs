//! Matrix products, quantized or fused with what follows.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::super::super::core::{self, product_shape};
use super::{NodeCx, Rule, c, dim, dtype_attr, last_set, same_as};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "FusedMatMul" | "FusedMatMulActivation" | "TransposeMatMul" => fused,
        "GemmFastGelu" | "DynamicQuantizeMatMul" | "SparseToDenseMatMul" => |cx| {
            let shape = product_shape(cx, 0, 1);
            cx.set(0, cx.dtype(0), shape);
        },
        "MatMulInteger16" => |cx| {
            let shape = product_shape(cx, 0, 1);
            cx.set(0, Some(DataType::INT32), shape);
        },
        "MatMulIntegerToFloat" => |cx| {
            let shape = product_shape(cx, 0, 1);
            cx.set(0, cx.dtype(2), shape);
        },
        "MatMulNBits" => |cx| columns(cx, 0, "N"),
        "MatMulBnb4" => |cx| {
            let transposed = cx.int_or("transB", 1) != 0;
            columns(cx, 0, if transposed { "N" } else { "K" });
        },
        "MatMulNBitsMlp" => |cx| {
            columns(cx, 0, "N");
            same_as(cx, 1, 0);
        },
        "MatMulNBitsQkv" => |cx| {
            columns(cx, 0, "Nq");
            columns(cx, 1, "Nkv");
            columns(cx, 2, "Nkv");
            same_as(cx, 3, 0);
        },
        "MatMulFpQ4" => |cx| {
            let width = cx.items(2).and_then(|shape| shape.get(1).cloned().flatten());
            let shape = last_set(cx, width);
            cx.set(0, cx.dtype(0), shape);
        },
        "GemmFloat8" => |cx| {
            if let Some(gemm) = core::rule("", "Gemm") {
                gemm(cx);
            }
            let dtype =
                if cx.int("dtype").is_some() { dtype_attr(cx, "dtype") } else { Some(DataType::FLOAT) };
            if let Some(out) = cx.outputs.first_mut() {
                out.dtype = dtype;
            }
        },
        "QGemm" => q_gemm,
        _ => return None,
    })
}

/// As many columns as an attribute says, the rest as in the first input.
fn columns(cx: &mut NodeCx<'_>, k: usize, attribute: &str) {
    let width = cx.int(attribute).map(c);
    let shape = last_set(cx, width);
    cx.set(k, cx.dtype(0), shape);
}

fn q_gemm(cx: &mut NodeCx<'_>) {
    let (ta, tb) = (cx.int_or("transA", 0) != 0, cx.int_or("transB", 0) != 0);
    let rows = dim(cx, 0, usize::from(ta)).unwrap_or_else(|| cx.fresh(0, 0));
    let columns = dim(cx, 3, usize::from(!tb)).unwrap_or_else(|| cx.fresh(0, 1));
    let dtype = if cx.has_input(8) { cx.dtype(8) } else { Some(DataType::FLOAT) };
    cx.set(0, dtype, Some(vec![rows, columns]));
}

/// The shape of an operand as it enters the product: with `batch`, the first axis goes before the last but
/// one, and with `last` the last two change places.
fn arranged(shape: &[Expr], last: bool, batch: bool) -> Option<Vec<Expr>> {
    let mut shape = shape.to_vec();
    let rank = shape.len();
    if batch && rank < 3 {
        return None;
    }
    if batch {
        shape.get_mut(..rank - 1)?.rotate_left(1);
    }
    if last && rank >= 2 {
        shape.swap(rank - 1, rank - 2);
    }
    Some(shape)
}

fn fused(cx: &mut NodeCx<'_>) {
    let flag = |name: &str| cx.int_or(name, 0) != 0;
    let operand = |k: usize, last: &str, batch: &str| arranged(cx.shape(k)?, flag(last), flag(batch));
    let (a, b) = (operand(0, "transA", "transBatchA"), operand(1, "transB", "transBatchB"));
    let shape = a.zip(b).and_then(|(a, b)| product(cx, &a, &b));
    cx.set(0, cx.dtype(0), shape);
}

/// The shape of numpy's `matmul` of two shapes.
fn product(cx: &mut NodeCx<'_>, a: &[Expr], b: &[Expr]) -> Option<Vec<Expr>> {
    let (rows, inner_a) = match a {
        [] => return None,
        [k] => (None, k),
        [.., m, k] => (Some(m.clone()), k),
    };
    let (inner_b, columns) = match b {
        [] => return None,
        [k] => (k, None),
        [.., k, n] => (k, Some(n.clone())),
    };
    cx.must_equal(inner_a, inner_b);
    let lead = |s: &[Expr]| s.get(..s.len().saturating_sub(2)).unwrap_or_default().to_vec();
    let mut shape = cx.broadcast(&lead(a), &lead(b));
    shape.extend(rows);
    shape.extend(columns);
    Some(shape)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Case, In};

    #[test]
    fn transposed_operands() {
        let fused = |a, b| Case::of("com.microsoft", "FusedMatMul", 1).inputs(&[In::Shape(a), In::Shape(b)]);
        assert_eq!(fused("b k i", "j k").int("transA", 1).int("transB", 1).shape(), "b i j");
        // The first axis of the three is the row.
        assert_eq!(fused("i b k", "b k j").int("transBatchA", 1).shape(), "b i j");
        assert_eq!(fused("i k", "k j").int("transBatchA", 1).shape(), "unknown rank");
    }

    #[test]
    fn packed_weights_tell_nothing_but_the_attribute_does() {
        let case = Case::of("com.microsoft", "MatMulNBits", 1).inputs(&[In::Shape("b s 64"), In::Shape("?")]);
        assert_eq!(case.int("N", 10).int("K", 64).shape(), "b s 10");
    }
}
