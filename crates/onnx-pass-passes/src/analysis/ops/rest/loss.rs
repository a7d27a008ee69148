//! Losses and the operators of training.

use onnx_pass_ir::sym::Expr;

use super::{NodeCx, Rule, same_as};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "NegativeLogLikelihoodLoss" => loss,
        "SoftmaxCrossEntropyLoss" => |cx| {
            loss(cx);
            same_as(cx, 1, 0);
        },
        _ => return None,
    })
}

/// One number, or one for every label.
fn loss(cx: &mut NodeCx<'_>) {
    let shape = match cx.str("reduction").unwrap_or("mean") {
        "none" => cx.shape(1).map(<[Expr]>::to_vec),
        "mean" | "sum" => Some(Vec::new()),
        _ => None,
    };
    cx.set(0, cx.dtype(0), shape);
}

/// The rule of an operator of `ai.onnx.preview.training`.
pub(super) fn training(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "Adagrad" | "Momentum" => |cx| optimizer(cx, 3, &[0, 2]),
        "Adam" => |cx| optimizer(cx, 4, &[0, 2, 3]),
        _ => return None,
    })
}

/// After the learning rate and the count come `groups` groups of tensors; these groups' updates come out.
fn optimizer(cx: &mut NodeCx<'_>, groups: usize, updated: &[usize]) {
    let tensors = cx.node.inputs().len().saturating_sub(2);
    if !tensors.is_multiple_of(groups) {
        return;
    }
    let each = tensors / groups;
    for (out, group) in updated.iter().enumerate() {
        for i in 0..each {
            same_as(cx, out * each + i, 2 + group * each + i);
        }
    }
}
