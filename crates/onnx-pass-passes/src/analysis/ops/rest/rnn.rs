//! Recurrent networks.

use onnx_pass_ir::sym::Expr;

use super::{NodeCx, Rule, c, dim};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    matches!(op_type, "RNN" | "GRU" | "LSTM").then_some(|cx| recurrent(cx, 2))
}

/// `RNN`, `GRU`, `LSTM` and their like. `hidden_axis` is the axis of the recurrence weight that counts the
/// hidden units.
pub(super) fn recurrent(cx: &mut NodeCx<'_>, hidden_axis: usize) {
    let batch_first = cx.int_or("layout", 0) == 1;
    let (seq_axis, batch_axis) = if batch_first { (1, 0) } else { (0, 1) };
    // Without the input's shape, sequence lengths or initial states still tell the batch.
    let state_batch = if batch_first { 0 } else { 1 };
    let directions = match cx.str("direction").unwrap_or("forward") {
        "forward" | "reverse" => Some(c(1)),
        "bidirectional" => Some(c(2)),
        _ => dim(cx, 1, 0),
    };
    let hidden = cx.int("hidden_size").map(c).or_else(|| dim(cx, 2, hidden_axis));
    let batch = dim(cx, 0, batch_axis).or_else(|| dim(cx, 4, 0)).or_else(|| dim(cx, 5, state_batch));
    let length = dim(cx, 0, seq_axis);
    let dtype = cx.dtype(0).or(cx.dtype(1));

    let all = [length, directions.clone(), batch.clone(), hidden.clone()];
    let last = [directions, batch, hidden];
    let all_order: [usize; 4] = if batch_first { [2, 0, 1, 3] } else { [0, 1, 2, 3] };
    let last_order: [usize; 3] = if batch_first { [1, 0, 2] } else { [0, 1, 2] };
    let shape = ordered(cx, 0, &all, &all_order);
    cx.set(0, dtype, Some(shape));
    for k in [1, 2] {
        let shape = ordered(cx, k, &last, &last_order);
        cx.set(k, dtype, Some(shape));
    }
}

/// The dims in this order, made-up symbols where they are not known.
fn ordered(cx: &NodeCx<'_>, output: usize, dims: &[Option<Expr>], order: &[usize]) -> Vec<Expr> {
    let pick = |(axis, k): (usize, &usize)| {
        dims.get(*k).cloned().flatten().unwrap_or_else(|| cx.fresh(output, axis))
    };
    order.iter().enumerate().map(pick).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, In};

    fn lstm(x: In) -> Case {
        Case::new("LSTM", 14).inputs(&[x, In::Shape("2 16 5"), In::Shape("2 16 4")]).outputs(3)
    }

    #[test]
    fn sequence_first_and_batch_first() {
        let case = lstm(In::Shape("s b 5")).string("direction", "bidirectional");
        assert_eq!(case.shapes(), ["s 2 b 4", "2 b 4", "2 b 4"]);
        let case = lstm(In::Shape("b s 5")).string("direction", "bidirectional").int("layout", 1);
        assert_eq!(case.shapes(), ["b s 2 4", "b 2 4", "b 2 4"]);
    }

    #[test]
    fn the_weights_alone_tell_something() {
        assert_eq!(lstm(In::Shape("?")).int("hidden_size", 4).shapes(), ["? 1 ? 4", "1 ? 4", "1 ? 4"]);
    }
}
