//! `${…}` expressions inside the strings of a pipeline.
//!
//! An expression is arithmetic over numbers and named values:
//!
//! | form | meaning |
//! |---|---|
//! | `12`, `0.5`, `1e-3`, `true`, `false` | literals |
//! | `name` | a variable, or an earlier key of the same map |
//! | `+ - *` | exact on integers; an overflow is an error |
//! | `/` | an integer when both sides are integers and it comes out whole, else a float |
//! | `//`, `%` | floored division and its remainder, which has the sign of the divisor |
//! | `**` | power, to the right; `-2 ** 2` is `-(2 ** 2)` |
//! | `== != < <= > >=` | a boolean; comparisons do not chain |
//! | `round floor ceil` | an integer; `round` goes half away from zero |
//! | `abs sqrt min max` | `sqrt` of a square integer is an integer |
//!
//! A string that is wholly one `${…}` becomes a typed value. Inside longer text the value is written into the
//! text. `$${` stands for a literal `${`.
//!
//! Everything here is total: any text yields a value or an [`ExprError`], with bounded recursion.

mod arith;
mod eval;
mod lex;
mod template;

use std::ops::Range;

use indexmap::IndexMap;
use serde_json::Value;
use thiserror::Error;

pub use template::{bind, escape, expand, is_template};

/// What an expression can name.
pub trait Scope {
    /// The value of `name`.
    fn get(&self, name: &str) -> Option<&Value>;
    /// Every name, for suggestions, in a stable order.
    fn names(&self) -> Vec<&str>;
}

impl Scope for IndexMap<String, Value> {
    fn get(&self, name: &str) -> Option<&Value> {
        IndexMap::get(self, name)
    }

    fn names(&self) -> Vec<&str> {
        self.keys().map(String::as_str).collect()
    }
}

impl Scope for serde_json::Map<String, Value> {
    fn get(&self, name: &str) -> Option<&Value> {
        serde_json::Map::get(self, name)
    }

    fn names(&self) -> Vec<&str> {
        self.keys().map(String::as_str).collect()
    }
}

/// Two scopes, the inner one first.
#[derive(Clone, Copy)]
pub struct Layered<'a> {
    /// The names that win.
    pub inner: &'a dyn Scope,
    /// The names behind them.
    pub outer: &'a dyn Scope,
}

impl Scope for Layered<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.inner.get(name).or_else(|| self.outer.get(name))
    }

    fn names(&self) -> Vec<&str> {
        let mut names = self.inner.names();
        names.extend(self.outer.names());
        names
    }
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct ExprError {
    /// The bytes of the whole string (not of the expression alone) that are at fault.
    pub span: Range<usize>,
    /// What is wrong.
    pub kind: ExprErrorKind,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExprErrorKind {
    /// A name that the scope does not know.
    #[error("unknown name `{name}`; {}", nearest.as_ref().map_or("declare it under `vars`".into(), |n| format!("did you mean `{n}`?")))]
    UnknownName {
        /// The name.
        name: String,
        /// The nearest name of the scope.
        nearest: Option<String>,
    },
    /// The text is no expression.
    #[error("{0}")]
    Syntax(String),
    /// The expression has no value: an overflow, a division by zero, an operand of the wrong type.
    #[error("{0}")]
    Value(String),
}

impl ExprError {
    fn syntax(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, kind: ExprErrorKind::Syntax(message.into()) }
    }

    fn value(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, kind: ExprErrorKind::Value(message.into()) }
    }

    fn shifted(mut self, by: usize) -> Self {
        self.span = self.span.start + by..self.span.end + by;
        self
    }
}

/// The value of one expression, given without its `${` and `}`.
///
/// # Errors
/// The text is no expression, names something unknown, or has no value.
pub fn evaluate(source: &str, scope: &dyn Scope) -> Result<Value, ExprError> {
    eval::evaluate(source, scope)
}

/// Whether `name` can be written in an expression as a variable.
pub fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !matches!(name, "true" | "false")
}

#[cfg(test)]
mod tests;
