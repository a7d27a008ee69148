//! Strings that hold expressions.

use std::borrow::Cow;

use serde_json::Value;

use super::lex::{self, Spanned, Token};
use super::{ExprError, Scope, eval};

/// A piece of a string.
enum Piece<'a> {
    Text(&'a str),
    /// `$${`, which stands for `${`.
    Opening,
    /// The expression, and where it begins in the string.
    Expr(&'a str, usize),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, ExprError> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some((before, after)) = text.get(at..).and_then(|rest| rest.split_once("${")) {
        let opening = at + before.len();
        if let Some(before) = before.strip_suffix('$') {
            out.push(Piece::Text(before));
            out.push(Piece::Opening);
            at = opening + 2;
            continue;
        }
        let Some((source, _)) = after.split_once('}') else {
            return Err(ExprError::syntax(opening..text.len(), "`${` without its `}`"));
        };
        if !before.is_empty() {
            out.push(Piece::Text(before));
        }
        out.push(Piece::Expr(source, opening + 2));
        at = opening + 2 + source.len() + 1;
    }
    match text.get(at..) {
        Some(rest) if !rest.is_empty() => out.push(Piece::Text(rest)),
        _ => {}
    }
    Ok(out)
}

/// Whether [`expand`] would change `text`, or refuse it.
pub fn is_template(text: &str) -> bool {
    text.contains("${")
}

/// `text` with its expressions computed: a typed value when it is wholly one `${…}`, else text.
///
/// # Errors
/// An expression is malformed, names something unknown, or has no value; a list stands inside longer text.
pub fn expand(text: &str, scope: &dyn Scope) -> Result<Value, ExprError> {
    let pieces = pieces(text)?;
    if let [Piece::Expr(source, at)] = pieces.as_slice() {
        return value_of(source, *at, scope);
    }
    let mut out = String::new();
    for piece in &pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Opening => out.push_str("${"),
            Piece::Expr(source, at) => out.push_str(&text_of(source, *at, scope)?),
        }
    }
    Ok(Value::String(out))
}

fn value_of(source: &str, at: usize, scope: &dyn Scope) -> Result<Value, ExprError> {
    eval::evaluate(source, scope).map_err(|error| error.shifted(at))
}

fn text_of(source: &str, at: usize, scope: &dyn Scope) -> Result<String, ExprError> {
    match value_of(source, at, scope)? {
        Value::String(text) => Ok(text),
        Value::Array(_) => {
            Err(ExprError::value(at..at + source.len(), "a list cannot stand inside longer text"))
        }
        other => Ok(other.to_string()),
    }
}

/// What is left of `text` when only the names of `scope` are known: the values that can be computed are, and
/// the other expressions stay, with what is known written into them.
///
/// The result, where it is text, is again a template: computing it later with a scope that knows the rest
/// gives what computing all at once would have given. Names that `local` knows stay whatever `scope` says.
///
/// # Errors
/// As [`expand`], but an unknown name is none.
pub fn bind(text: &str, scope: &dyn Scope, local: &dyn Fn(&str) -> bool) -> Result<Value, ExprError> {
    let pieces = pieces(text)?;
    let whole = pieces.len() == 1;
    let mut out = String::new();
    // The literal text since the last open expression: escaped in one go, as `$` and `{` may come from two pieces.
    let mut literal = String::new();
    for piece in &pieces {
        match piece {
            Piece::Text(text) => literal.push_str(text),
            Piece::Opening => literal.push_str("${"),
            Piece::Expr(source, at) => {
                match residue(source, scope, local).map_err(|error| error.shifted(*at))? {
                    Some(_) if literal.ends_with('$') => {
                        let span = *at..*at + source.len();
                        return Err(ExprError::value(span, "`$` cannot stand right before an expression"));
                    }
                    Some(rest) => {
                        out.push_str(&escape(&literal));
                        literal.clear();
                        out.extend(["${", &rest, "}"]);
                    }
                    None if whole => {
                        return Ok(match value_of(source, *at, scope)? {
                            Value::String(text) => Value::String(escape(&text).into_owned()),
                            other => other,
                        });
                    }
                    None => literal.push_str(&text_of(source, *at, scope)?),
                }
            }
        }
    }
    out.push_str(&escape(&literal));
    Ok(Value::String(out))
}

/// `text` as a template that [`expand`] turns into `text` again.
pub fn escape(text: &str) -> Cow<'_, str> {
    if is_template(text) { Cow::Owned(text.replace("${", "$${")) } else { Cow::Borrowed(text) }
}

/// The expression with what is known written into it, or `None` when every name is known.
fn residue(
    source: &str,
    scope: &dyn Scope,
    local: &dyn Fn(&str) -> bool,
) -> Result<Option<String>, ExprError> {
    let tokens = lex::tokens(source)?;
    let mut out = String::new();
    let mut copied = 0;
    let mut open = false;
    for (index, Spanned { token, span }) in tokens.iter().enumerate() {
        let Token::Name(name) = token else { continue };
        let called = matches!(tokens.get(index + 1), Some(Spanned { token: Token::Sign("("), .. }));
        if called || matches!(*name, "true" | "false") {
            continue;
        }
        let value = if local(name) { None } else { scope.get(name) };
        open |= value.is_none();
        if let Some(known @ (Value::Number(_) | Value::Bool(_))) = value {
            out.push_str(source.get(copied..span.start).unwrap_or_default());
            out.push_str(&format!("({known})"));
            copied = span.end;
        }
    }
    out.push_str(source.get(copied..).unwrap_or_default());
    Ok(open.then_some(out))
}
