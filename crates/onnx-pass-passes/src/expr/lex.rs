//! Text to tokens.

use std::ops::Range;

use super::ExprError;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Int(i64),
    Float(f64),
    Name(&'a str),
    /// An operator, a parenthesis or a comma.
    Sign(&'static str),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spanned<'a> {
    pub(super) token: Token<'a>,
    pub(super) span: Range<usize>,
}

/// Longer signs first, so that `**` is not two `*`.
const SIGNS: &[&str] =
    &["**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "<", ">", "(", ")", ","];

pub(super) fn tokens(source: &str) -> Result<Vec<Spanned<'_>>, ExprError> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(rest) = source.get(at..) {
        let Some(first) = rest.chars().next() else { break };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = if first.is_ascii_digit() {
            number(rest, at)?
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Token::Name(rest.get(..length).unwrap_or(rest)), length)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            let span = at..at + first.len_utf8();
            return Err(ExprError::syntax(span, format!("`{first}` has no meaning in an expression")));
        };
        out.push(Spanned { token, span: at..at + length });
        at += length;
    }
    Ok(out)
}

fn number(rest: &str, at: usize) -> Result<(Token<'_>, usize), ExprError> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    let mut length = digits(0);
    let mut whole = true;
    if bytes.get(length) == Some(&b'.') && digits(length + 1) > 0 {
        whole = false;
        length += 1 + digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            whole = false;
            length += 1 + sign + exponent;
        }
    }
    let text = rest.get(..length).unwrap_or(rest);
    let span = at..at + length;
    if rest
        .get(length..)
        .and_then(|r| r.chars().next())
        .is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.')
    {
        return Err(ExprError::syntax(span, format!("a number ends at `{text}`, but more follows")));
    }
    if whole {
        let value = text.parse::<i64>();
        return value
            .map(|value| (Token::Int(value), length))
            .map_err(|_| ExprError::value(span, format!("{text} does not fit 64 bits")));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((Token::Float(value), length)),
        _ => Err(ExprError::value(span, format!("{text} is not a finite number"))),
    }
}
