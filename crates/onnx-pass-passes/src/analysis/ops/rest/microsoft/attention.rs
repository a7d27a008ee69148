//! Attention in its many packings.
//!
//! Where past and present share a buffer, the present has the past's shape; where they do not, it is as long
//! as the past and what came.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::super::attention::{linear_attention, set_dims};
use super::{NodeCx, Rule, c, dim, same_as, same_as_first, scalar, share};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "Attention" => |cx| self_attention(cx, [1, 2, 4], cx.dtype(0)),
        "DecoderMaskedSelfAttention" => |cx| self_attention(cx, [1, 2, 4], cx.dtype(0)),
        "QAttention" => |cx| self_attention(cx, [1, 2, 8], cx.dtype(3)),
        "PackedAttention" => |cx| {
            let width = value_width(cx, 1, 2);
            set_dims(cx, 0, Some(0), vec![dim(cx, 0, 0), width]);
        },
        "MultiHeadAttention" => |cx| multi_head(cx, [6, 7], cx.has_input(8)),
        "DecoderMaskedMultiHeadAttention" => |cx| {
            let shared = cx.int_or("past_present_share_buffer", 0) != 0;
            multi_head(cx, [5, 6], shared);
        },
        "PackedMultiHeadAttention" => packed_multi_head,
        "GroupQueryAttention" => group_query,
        "SparseAttention" => |cx| {
            grouped_output(cx);
            same_as(cx, 1, 3);
            same_as(cx, 2, 4);
        },
        "PagedAttention" => paged,
        "DecoderAttention" => decoder_attention,
        "RelativePositionBias" => |cx| {
            let (query, key) = (scalar(cx, 1), scalar(cx, 2));
            set_dims(cx, 0, Some(0), vec![Some(c(1)), dim(cx, 0, 1), query, key]);
        },
        "GatedRelativePositionBias" => gated_bias,
        "RemovePadding" => remove_padding,
        "RestorePadding" => |cx| {
            let dims = vec![dim(cx, 1, 0), dim(cx, 1, 1), dim(cx, 0, 1)];
            set_dims(cx, 0, Some(0), dims);
        },
        "LinearAttention" => |cx| linear_attention(cx, cx.int_or("state_window", 0)),
        "CausalConvWithState" => causal_conv,
        _ => return None,
    })
}

/// The width of the value, from the merged weight (or its bias) where no attribute says it.
fn value_width(cx: &NodeCx<'_>, weight: usize, bias: usize) -> Option<Expr> {
    if let Some(sizes) = cx.int_list("qkv_hidden_sizes").filter(|s| !s.is_empty()) {
        return sizes.get(2).map(|n| c(*n));
    }
    let merged = dim(cx, weight, 1).or_else(|| dim(cx, bias, 0))?;
    share(&merged, 3)
}

/// `Attention` and its variants: inputs of weight, bias and past.
fn self_attention(cx: &mut NodeCx<'_>, [weight, bias, past]: [usize; 3], dtype: Option<DataType>) {
    let width = value_width(cx, weight, bias);
    let (batch, tokens) = (dim(cx, 0, 0), dim(cx, 0, 1));
    set_dims(cx, 0, None, vec![batch.clone(), tokens.clone(), width.clone()]);
    if cx.int_or("past_present_share_buffer", 0) != 0 {
        same_as(cx, 1, past);
    } else {
        let heads = cx.int("num_heads");
        let before = if cx.has_input(past) { dim(cx, past, 3) } else { Some(c(0)) };
        let total = before.zip(tokens).map(|(a, b)| a + b);
        let size = dim(cx, past, 4).or_else(|| share(&width?, heads?));
        set_dims(cx, 1, None, vec![Some(c(2)), batch, heads.map(c), total, size]);
    }
    for out in cx.outputs.iter_mut().take(2) {
        out.dtype = dtype;
    }
}

/// `MultiHeadAttention`: query, key and value in 3 dims, packed in 5, or in the cache's 4.
fn multi_head(cx: &mut NodeCx<'_>, [past_key, past_value]: [usize; 2], shared: bool) {
    let heads = cx.int("num_heads");
    let joined = |k: usize, n: usize, d: usize| dim(cx, k, n).zip(dim(cx, k, d)).map(|(n, d)| n * d);
    let query_width = match cx.rank(0) {
        Some(5) => joined(0, 2, 4),
        Some(3) if cx.has_input(1) => dim(cx, 0, 2),
        _ => None,
    };
    let value_width = match (cx.rank(0), cx.rank(1), cx.rank(2)) {
        (_, _, Some(3)) => dim(cx, 2, 2),
        (_, _, Some(4)) => joined(2, 1, 3),
        (_, Some(5), _) => joined(1, 2, 4),
        (Some(5), _, _) => joined(0, 2, 4),
        _ => None,
    };
    let (batch, tokens) = (dim(cx, 0, 0), dim(cx, 0, 1));
    set_dims(cx, 0, Some(0), vec![batch.clone(), tokens.clone(), value_width.clone()]);

    let incoming = match cx.rank(1) {
        Some(3 | 5) => dim(cx, 1, 1),
        Some(4) => None,
        _ if cx.rank(0) == Some(5) => tokens.clone(),
        _ => None,
    };
    let past = if cx.has_input(past_key) { dim(cx, past_key, 2) } else { Some(c(0)) };
    let total = past.zip(incoming).map(|(a, b)| a + b);
    let each = |width: &Option<Expr>| share(width.as_ref()?, heads?);
    if shared {
        same_as(cx, 1, past_key);
        same_as(cx, 2, past_value);
    } else {
        let key_size = each(&query_width).or_else(|| dim(cx, past_key, 3));
        let value_size = each(&value_width).or_else(|| dim(cx, past_value, 3));
        let of = |size| vec![batch.clone(), heads.map(c), total.clone(), size];
        let (key, value) = (of(key_size), of(value_size));
        set_dims(cx, 1, Some(0), key);
        set_dims(cx, 2, Some(0), value);
    }
    let seen = if shared { None } else { total };
    set_dims(cx, 3, None, vec![batch, heads.map(c), tokens, seen]);
}

fn packed_multi_head(cx: &mut NodeCx<'_>) {
    let width = match cx.rank(0) {
        Some(4) => dim(cx, 0, 1).zip(dim(cx, 0, 3)).map(|(n, d)| n * d),
        _ => dim(cx, 2, 1),
    };
    set_dims(cx, 0, Some(0), vec![dim(cx, 0, 0), width]);
}

/// The head's size of a query that may have key and value packed with it.
fn head_size(cx: &NodeCx<'_>) -> Option<Expr> {
    let (heads, kv_heads) = (cx.int("num_heads")?, cx.int("kv_num_heads")?);
    let last = cx.shape(0)?.last()?;
    let parts = if cx.has_input(1) { heads } else { kv_heads.checked_mul(2)?.checked_add(heads)? };
    share(last, parts)
}

/// The output of an attention with fewer key heads than query heads.
fn grouped_output(cx: &mut NodeCx<'_>) {
    let width = if cx.has_input(1) {
        cx.shape(0).and_then(<[Expr]>::last).cloned()
    } else {
        head_size(cx).zip(cx.int("num_heads")).map(|(d, n)| d * n)
    };
    let shape = cx.shape(0).map(<[Expr]>::to_vec).and_then(|mut shape| {
        let last = shape.len().checked_sub(1)?;
        *shape.get_mut(last)? = width.unwrap_or_else(|| cx.fresh(0, last));
        Some(shape)
    });
    cx.set(0, cx.dtype(0), shape);
}

/// `GroupQueryAttention`. The present is as long as the past's buffer or as the whole sequence, whichever is
/// longer: a past that is long enough already is written into.
fn group_query(cx: &mut NodeCx<'_>) {
    grouped_output(cx);
    let total = scalar(cx, 6);
    let past = if cx.has_input(3) { dim(cx, 3, 2) } else { Some(c(0)) };
    let evicts = cx.int_or("sliding_window_cache", 0) != 0 || cx.has_input(18);
    let length = past.zip(total.clone()).filter(|_| !evicts).map(|(a, b)| cx.max(&a, &b));
    let batch = dim(cx, 0, 0);
    let size = dim(cx, 3, 3).or_else(|| head_size(cx).filter(|_| !cx.has_input(3)));
    let present = vec![batch.clone(), cx.int("kv_num_heads").map(c), length, size];
    let like = |past: usize| if cx.has_input(past) { past } else { 0 };
    let (key, value) = (like(3), like(4));
    set_dims(cx, 1, Some(key), present.clone());
    set_dims(cx, 2, Some(value), present);
    set_dims(cx, 3, Some(0), vec![batch, cx.int("num_heads").map(c), dim(cx, 0, 1), None]);
}

fn paged(cx: &mut NodeCx<'_>) {
    match cx.int("v_head_size") {
        Some(size) if size > 0 => {
            let width = cx.int("num_heads").map(|n| c(size) * n);
            set_dims(cx, 0, Some(0), vec![dim(cx, 0, 0), width]);
        }
        _ => grouped_output(cx),
    }
    same_as(cx, 1, 3);
    same_as(cx, 2, 4);
}

fn decoder_attention(cx: &mut NodeCx<'_>) {
    same_as_first(cx);
    let heads = cx.int("num_heads");
    let size = dim(cx, 0, 2).and_then(|width| share(&width, heads?));
    for k in [1, 2] {
        set_dims(cx, k, Some(0), vec![dim(cx, 0, 1), heads.map(c), None, size.clone()]);
    }
}

fn gated_bias(cx: &mut NodeCx<'_>) {
    let batch = if cx.rank(0) == Some(3) { dim(cx, 0, 0) } else { dim(cx, 6, 0) };
    let dims = vec![batch, cx.int("num_heads").map(c), dim(cx, 2, 2), dim(cx, 2, 3)];
    set_dims(cx, 0, Some(0), dims);
}

fn remove_padding(cx: &mut NodeCx<'_>) {
    let batch = dim(cx, 0, 0);
    set_dims(cx, 0, Some(0), vec![None, dim(cx, 0, 2)]);
    set_dims(cx, 1, Some(1), vec![batch.clone(), dim(cx, 0, 1)]);
    set_dims(cx, 2, Some(1), vec![batch.map(|n| n + 1)]);
    set_dims(cx, 3, Some(1), vec![Some(c(1))]);
}

/// `CausalConvWithState` over one axis, channels first; of its other layouts only the past tells the state.
fn causal_conv(cx: &mut NodeCx<'_>) {
    same_as_first(cx);
    let set = |name: &str, usual: i64| cx.int(name).is_some_and(|n| n != usual);
    let layouts = [
        ("ndim", 1),
        ("channels_last", 0),
        ("state_channels_last", -1),
        ("state_window", 0),
        ("state_length", 0),
        ("input_channels", 0),
        ("input_channel_offset", 0),
    ];
    if layouts.iter().any(|(name, usual)| set(name, *usual)) {
        if set("input_channels", 0) {
            cx.set(0, cx.dtype(0), cx.rank(0).map(|r| cx.fresh_shape(0, r)));
        }
        return same_as(cx, 1, 3);
    }
    let dilation = cx.int_or("dilation", 1);
    let kept = dim(cx, 1, 2).map(|k| (k - 1) * dilation);
    let channels = dim(cx, 0, 1).or(dim(cx, 1, 0));
    set_dims(cx, 1, Some(0), vec![dim(cx, 0, 0), channels, kept]);
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Case, In};

    fn case(op: &str, inputs: &[&'static str]) -> Case {
        let input = |s: &&'static str| if s.is_empty() { In::Absent } else { In::Shape(s) };
        Case::of("com.microsoft", op, 1).inputs(&inputs.iter().map(input).collect::<Vec<_>>())
    }

    fn grouped(query: &'static str, key: &'static str, past: &'static str, total: In) -> Case {
        let given = |s: &'static str| if s.is_empty() { In::Absent } else { In::Shape(s) };
        let inputs = [given(query), given(key), given(key), given(past), given(past), In::Shape("b"), total];
        let case = Case::of("com.microsoft", "GroupQueryAttention", 1).inputs(&inputs).outputs(3);
        case.int("num_heads", 4).int("kv_num_heads", 2)
    }

    #[test]
    fn the_present_is_the_longer_of_buffer_and_sequence() {
        let whole = In::Lengths("p+s");
        let case = grouped("b s 32", "b s 16", "b 2 p 8", whole.clone());
        assert_eq!(case.shapes(), ["b s 32", "b 2 p+s 8", "b 2 p+s 8"]);
        let case = grouped("b s 32", "b s 16", "b 2 p 8", In::Lengths("t"));
        assert_eq!(case.shapes(), ["b s 32", "b 2 max(p,t) 8", "b 2 max(p,t) 8"]);
        let case = grouped("b s 32", "b s 16", "b 2 p 8", In::Shape(""));
        assert_eq!(case.shapes(), ["b s 32", "b 2 ? 8", "b 2 ? 8"]);
        let case = grouped("b s 32", "b s 16", "b 2 p 8", whole).int("sliding_window_cache", 1);
        assert_eq!(case.shapes(), ["b s 32", "b 2 ? 8", "b 2 ? 8"]);
    }

    #[test]
    fn packed_queries_hold_keys_and_values() {
        let case = grouped("b s 64", "", "", In::Lengths("s"));
        assert_eq!(case.shapes(), ["b s 32", "b 2 s 8", "b 2 s 8"]);
    }

    #[test]
    fn shared_buffers_keep_their_length() {
        let past = "2 b 2 p 4";
        let inputs = ["b s 8", "8 24", "24", "", past];
        let grown = case("Attention", &inputs).outputs(2).int("num_heads", 2);
        assert_eq!(grown.shapes(), ["b s 8", "2 b 2 p+s 4"]);
        let shared = case("Attention", &inputs).outputs(2).int("num_heads", 2);
        assert_eq!(shared.int("past_present_share_buffer", 1).shapes(), ["b s 8", past]);
    }

    #[test]
    fn heads_in_five_four_and_three_dims() {
        let of = |inputs: &[&'static str]| case("MultiHeadAttention", inputs).int("num_heads", 2).outputs(3);
        assert_eq!(of(&["b s 2 3 4"]).shapes(), ["b s 8", "b 2 s 4", "b 2 s 4"]);
        assert_eq!(of(&["b s 8", "b k 2 2 4"]).shapes()[0], "b s 8");
        assert_eq!(of(&["b s 8", "b 2 k 4", "b 2 k 3"]).shapes()[0], "b s 6");
        let grown = of(&["b s 8", "b k 8", "b k 6", "", "", "", "b 2 p 4", "b 2 p 3"]);
        assert_eq!(grown.shapes(), ["b s 6", "b 2 k+p 4", "b 2 k+p 3"]);
    }

    #[test]
    fn a_convolution_s_state() {
        let conv = |x: &'static str| case("CausalConvWithState", &[x, "c 1 4", "", "b c 3"]).outputs(2);
        assert_eq!(conv("b c t").shapes(), ["b c t", "b c 3"]);
        assert_eq!(conv("b t c").int("channels_last", 1).shapes(), ["b t c", "b c 3"]);
        assert_eq!(conv("b c t").int("dilation", 2).shapes(), ["b c t", "b c 6"]);
    }
}
