//! Attention and what goes with it, in the standard domain.

use onnx_pass_ir::sym::Expr;

use super::{NodeCx, Rule, c, dim, same_as_first, share};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "Attention" => attention,
        "RotaryEmbedding" => same_as_first,
        "LinearAttention" => |cx| linear_attention(cx, 0),
        "CausalConvWithState" => causal_conv,
        _ => return None,
    })
}

/// The rule of an operator of `ai.onnx.preview`.
pub(super) fn preview(op_type: &str) -> Option<Rule> {
    (op_type == "FlexAttention").then_some(flex_attention)
}

/// The lengths of an attention input, whichever of the two layouts it is in.
pub(super) struct Heads {
    /// Number of heads.
    pub heads: Option<Expr>,
    /// Number of tokens.
    pub tokens: Option<Expr>,
    /// Length of a head.
    pub size: Option<Expr>,
}

impl Heads {
    /// Reads `(batch, heads, tokens, size)`, or `(batch, tokens, heads * size)` with the number of heads from
    /// an attribute.
    pub fn of(cx: &NodeCx<'_>, input: usize, heads: Option<i64>) -> Self {
        match cx.rank(input) {
            Some(4) => Heads { heads: dim(cx, input, 1), tokens: dim(cx, input, 2), size: dim(cx, input, 3) },
            Some(3) => Heads {
                heads: heads.map(c),
                tokens: dim(cx, input, 1),
                size: heads.and_then(|n| share(&dim(cx, input, 2)?, n)),
            },
            _ => Heads { heads: heads.map(c), tokens: None, size: None },
        }
    }
}

/// Sets an output to dims of which some may not be known.
pub(super) fn set_dims(cx: &mut NodeCx<'_>, k: usize, like: Option<usize>, dims: Vec<Option<Expr>>) {
    let shape = dims.into_iter().enumerate().map(|(a, d)| d.unwrap_or_else(|| cx.fresh(k, a))).collect();
    let dtype = like.and_then(|i| cx.dtype(i));
    cx.set(k, dtype, Some(shape));
}

fn attention(cx: &mut NodeCx<'_>) {
    let q = Heads::of(cx, 0, cx.int("q_num_heads"));
    let k = Heads::of(cx, 1, cx.int("kv_num_heads"));
    let v = Heads::of(cx, 2, cx.int("kv_num_heads"));
    let batch = (0..3).find_map(|i| dim(cx, i, 0));
    let past = if cx.has_input(4) { dim(cx, 4, 2).or(dim(cx, 5, 2)) } else { Some(c(0)) };
    let incoming = k.tokens.or(v.tokens);
    let total = past.zip(incoming).map(|(a, b)| a + b);
    match cx.rank(0).or(cx.rank(1)) {
        Some(3) => {
            let width = q.heads.clone().zip(v.size.clone()).map(|(n, d)| n * d);
            set_dims(cx, 0, Some(0), vec![batch.clone(), q.tokens.clone(), width]);
        }
        Some(4) => {
            let dims = vec![batch.clone(), q.heads.clone(), q.tokens.clone(), v.size.clone()];
            set_dims(cx, 0, Some(0), dims);
        }
        _ => cx.set(0, cx.dtype(0), None),
    }
    let key_size = k.size.or_else(|| dim(cx, 4, 3));
    let value_size = v.size.or_else(|| dim(cx, 5, 3));
    let kv_heads = k.heads.or(v.heads);
    set_dims(cx, 1, Some(1), vec![batch.clone(), kv_heads.clone(), total.clone(), key_size]);
    set_dims(cx, 2, Some(2), vec![batch.clone(), kv_heads, total.clone(), value_size]);
    set_dims(cx, 3, Some(0), vec![batch, q.heads, q.tokens, total]);
}

fn flex_attention(cx: &mut NodeCx<'_>) {
    let dims = vec![dim(cx, 0, 0), dim(cx, 0, 1), dim(cx, 0, 2), dim(cx, 2, 3)];
    set_dims(cx, 0, Some(0), dims);
}

/// `LinearAttention`; with a `window`, the states of that many last tokens come out.
pub(super) fn linear_attention(cx: &mut NodeCx<'_>, window: i64) {
    let (q_heads, kv_heads) = (cx.int("q_num_heads"), cx.int("kv_num_heads"));
    let each = |input: usize, heads: Option<i64>| share(&dim(cx, input, 2)?, heads?);
    let (key_size, value_size) = (each(0, q_heads), each(2, kv_heads));
    let heads = q_heads.zip(kv_heads).map(|(q, kv)| q.max(kv));
    let width = heads.zip(value_size.clone()).map(|(n, d)| d * n);
    let (batch, tokens) = (dim(cx, 0, 0).or(dim(cx, 2, 0)), dim(cx, 0, 1).or(dim(cx, 2, 1)));
    let mut state = vec![batch.clone(), kv_heads.map(c), key_size, value_size];
    if window > 0 {
        state.insert(0, Some(c(window)));
    }
    set_dims(cx, 0, Some(0), vec![batch, tokens, width]);
    // Without a past, nothing tells the type that a runtime keeps the state in.
    set_dims(cx, 1, Some(3), state);
}

fn causal_conv(cx: &mut NodeCx<'_>) {
    same_as_first(cx);
    let kept = dim(cx, 1, 2).map(|k| k - 1).or_else(|| dim(cx, 3, 2));
    let channels = dim(cx, 0, 1).or(dim(cx, 1, 0));
    set_dims(cx, 1, Some(0), vec![dim(cx, 0, 0), channels, kept]);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, In};

    fn attention(inputs: &[&'static str]) -> Case {
        let input = |s: &&'static str| if s.is_empty() { In::Absent } else { In::Shape(s) };
        Case::new("Attention", 23).inputs(&inputs.iter().map(input).collect::<Vec<_>>()).outputs(4)
    }

    #[test]
    fn four_dims() {
        let case = attention(&["b 4 q 8", "b 2 k 8", "b 2 k 6", "", "b 2 p 8", "b 2 p 6"]);
        assert_eq!(case.shapes(), ["b 4 q 6", "b 2 k+p 8", "b 2 k+p 6", "b 4 q k+p"]);
    }

    #[test]
    fn three_dims() {
        let case = attention(&["b q 32", "b k 16", "b k 12"]).int("q_num_heads", 4).int("kv_num_heads", 2);
        assert_eq!(case.shapes(), ["b q 24", "b 2 k 8", "b 2 k 6", "b 4 q k"]);
    }

    #[test]
    fn linear_attention_keeps_a_state() {
        let inputs = [In::Shape("b t 16"), In::Shape("b t 8"), In::Shape("b t 6")];
        let case = Case::new("LinearAttention", 27).inputs(&inputs).outputs(2);
        let case = case.int("q_num_heads", 4).int("kv_num_heads", 2);
        assert_eq!(case.shapes(), ["b t 12", "b 2 4 3"]);
    }
}
