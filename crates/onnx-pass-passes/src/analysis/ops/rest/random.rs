//! Random numbers.

use onnx_pass_ir::DataType;

use super::{NodeCx, Rule, c, dim_or_fresh, dtype_attr, same_shape};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "RandomNormal" | "RandomUniform" => random,
        "RandomNormalLike" | "RandomUniformLike" | "Bernoulli" => random_like,
        "Multinomial" => multinomial,
        _ => return None,
    })
}

/// The type that the attribute gives, or this one where it is not there.
fn dtype_or(cx: &NodeCx<'_>, default: Option<DataType>) -> Option<DataType> {
    if cx.int("dtype").is_some() { dtype_attr(cx, "dtype") } else { default }
}

fn random(cx: &mut NodeCx<'_>) {
    let shape = cx.int_list("shape").map(|s| s.iter().map(|n| c(*n)).collect());
    cx.set(0, dtype_or(cx, Some(DataType::FLOAT)), shape);
}

fn random_like(cx: &mut NodeCx<'_>) {
    let dtype = dtype_or(cx, cx.dtype(0));
    same_shape(cx, 0, dtype);
}

fn multinomial(cx: &mut NodeCx<'_>) {
    let shape = vec![dim_or_fresh(cx, (0, 0), (0, 0)), c(cx.int_or("sample_size", 1))];
    cx.set(0, dtype_or(cx, Some(DataType::INT32)), Some(shape));
}
