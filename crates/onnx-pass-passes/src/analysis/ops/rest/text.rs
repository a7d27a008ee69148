//! Strings, n-grams and encoded images.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::layout::INDEX;
use super::{AttrValue, NodeCx, Rule, broadcast_of, c, same_shape};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "StringNormalizer" => normalizer,
        "StringConcat" => |cx| {
            let shape = broadcast_of(cx, &[0, 1]);
            cx.set(0, STRING, shape);
        },
        "RegexFullMatch" => |cx| same_shape(cx, 0, Some(DataType::BOOL)),
        "StringSplit" => split,
        "TfIdfVectorizer" => tf_idf,
        "ImageDecoder" => |cx| cx.set(0, Some(DataType::UINT8), Some(cx.fresh_shape(0, 3))),
        _ => return None,
    })
}

const STRING: Option<DataType> = Some(DataType::STRING);

/// Stop words are dropped from the last axis; an empty result becomes one empty string.
fn normalizer(cx: &mut NodeCx<'_>) {
    let drops = matches!(cx.attr("stopwords"), Some(AttrValue::Strings(words)) if !words.is_empty());
    let shape = cx.shape(0).map(<[Expr]>::to_vec).map(|mut shape| {
        let last = shape.len().saturating_sub(1);
        if let Some(length) = shape.last_mut().filter(|length| drops || !cx.positive(length)) {
            *length = cx.fresh(0, last);
        }
        shape
    });
    cx.set(0, STRING, shape);
}

fn split(cx: &mut NodeCx<'_>) {
    let shape = cx.shape(0).map(<[Expr]>::to_vec).map(|mut shape| {
        shape.push(cx.fresh(0, shape.len()));
        shape
    });
    cx.set(0, STRING, shape);
    same_shape(cx, 1, INDEX);
}

fn tf_idf(cx: &mut NodeCx<'_>) {
    let terms = cx.int_list("ngram_indexes").and_then(|i| i.iter().max()).and_then(|n| n.checked_add(1));
    let shape = cx.shape(0).map(<[Expr]>::to_vec).and_then(|mut shape| {
        let last = shape.len().checked_sub(1)?;
        *shape.get_mut(last)? = terms.map_or_else(|| cx.fresh(0, last), c);
        Some(shape)
    });
    cx.set(0, Some(DataType::FLOAT), shape);
}
