//! Operators that hold a cache inside: which operands are the past, which results the present.

use onnx_pass_ir::Node;

/// One state of a stateful operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The operand that brings the past. Leaving it out means an empty past.
    pub past: usize,
    /// The result that hands it on.
    pub present: usize,
    /// The axis of the past's length; `None` for a state of fixed shape, where empty means zeros.
    pub axis: Option<usize>,
}

const fn kv(past: usize, present: usize, axis: usize) -> State {
    State { past, present, axis: Some(axis) }
}

const fn fixed(past: usize, present: usize) -> State {
    State { past, present, axis: None }
}

/// The states of an operator; empty for one that has none.
///
/// Sources: the operators' own documentation (`ContribOperators.md` of ONNX Runtime for `com.microsoft`, the ONNX
/// operator reference for the others).
pub fn states(n: &Node) -> &'static [State] {
    match (n.domain(), n.op_type()) {
        ("com.microsoft", "GroupQueryAttention") if windowed(n) => const { &[fixed(3, 1), fixed(4, 2)] },
        ("com.microsoft", "GroupQueryAttention") => const { &[kv(3, 1, 2), kv(4, 2, 2)] },
        ("com.microsoft", "MultiHeadAttention") => const { &[kv(6, 1, 2), kv(7, 2, 2)] },
        ("com.microsoft", "DecoderMaskedMultiHeadAttention") => const { &[kv(5, 1, 2), kv(6, 2, 2)] },
        ("com.microsoft", "Attention" | "DecoderMaskedSelfAttention") => const { &[kv(4, 1, 3)] },
        ("com.microsoft", "QAttention") => const { &[kv(8, 1, 3)] },
        ("com.microsoft" | "", "CausalConvWithState" | "LinearAttention") => const { &[fixed(3, 1)] },
        ("com.microsoft", "GatedDeltaNet") => const { &[fixed(6, 1)] },
        ("com.microsoft", "SparseAttention" | "PagedAttention") => const { &[fixed(3, 1), fixed(4, 2)] },
        ("com.microsoft", "DecoderAttention") => const { &[kv(6, 1, 2), kv(7, 2, 2)] },
        ("", "Attention") => const { &[kv(4, 1, 2), kv(5, 2, 2)] },
        _ => &[],
    }
}

/// Whether the past of a `GroupQueryAttention` is a buffer of the window's length, which the operator evicts from.
///
/// The length of that buffer is the caller's choice and says nothing about what it holds: how much that is comes from
/// `seqlens_k`. It decides what stays in the present, and not what the query sees: that is `local_window_size`.
pub fn windowed(n: &Node) -> bool {
    n.domain() == "com.microsoft" && n.op_type() == "GroupQueryAttention" && n.int(WINDOWED).unwrap_or(0) != 0
}

/// The attribute that [`windowed`] reads.
pub const WINDOWED: &str = "sliding_window_cache";

/// Why leaving the past out of this node would not mean an empty past; `None` when it would.
pub fn objection(n: &Node) -> Option<&'static str> {
    match (n.domain(), n.op_type()) {
        ("com.microsoft", "GroupQueryAttention") if rounded(n) => Some(
            "it rounds keys and values into its cache and reads them from there, which is part of the answer",
        ),
        ("com.microsoft", "GroupQueryAttention") if n.input(18).is_some() => Some(
            "the lengths of its chunks come as an operand (`query_seqlens`), which it takes beside a past only",
        ),
        ("com.microsoft", "DecoderMaskedMultiHeadAttention" | "DecoderMaskedSelfAttention") => {
            Some("it decodes one token on top of a past and computes no prefill")
        }
        ("com.microsoft", "SparseAttention" | "PagedAttention") => Some("it does not run without its cache"),
        ("com.microsoft", "DecoderAttention") => {
            Some("an operand (`use_past`) tells it whether there is a past")
        }
        ("com.microsoft", "GatedDeltaNet") if n.input(1).is_none() => {
            Some("query, key and value come packed, which it takes beside a state only")
        }
        ("com.microsoft", "Attention" | "QAttention")
            if n.int("past_present_share_buffer").unwrap_or(0) != 0 =>
        {
            Some("its past and present share one buffer, whose length is not the past's")
        }
        ("com.microsoft", "MultiHeadAttention") if n.input(8).is_some() || n.input(9).is_some() => {
            Some("its past is a shared buffer whose length comes as another operand")
        }
        _ => None,
    }
}

/// Whether a `GroupQueryAttention` keeps its cache in another type than it computes in.
fn rounded(n: &Node) -> bool {
    ["k_quant_type", "v_quant_type"].iter().any(|a| n.str(a).is_some_and(|t| t != "NONE"))
}

/// Whether the results that hand the state on may be left out. Where the operator's schema wants them they stay,
/// under a name that nobody reads.
pub fn present_is_optional(n: &Node) -> bool {
    !matches!(n.op_type(), "CausalConvWithState" | "LinearAttention" | "DecoderMaskedSelfAttention")
}
