//! Options that a pass computes itself: expressions over names that only the pass knows.

use indexmap::IndexMap;
use serde_json::Value;

use crate::expr;
use crate::options;

/// The names that expressions may use, and their values.
pub type Names = IndexMap<String, Value>;

/// The value of an option of the kind [`crate::options::OptionKind::Late`].
///
/// # Errors
/// Says what is wrong with the expression.
pub fn value(option: &Value, names: &Names) -> Result<Value, String> {
    match option {
        Value::String(text) => expr::expand(text, names).map_err(|e| e.to_string()),
        plain => Ok(plain.clone()),
    }
}

/// A length: a whole number that is at least `least`.
///
/// # Errors
/// Says what the value is instead.
pub fn length(value: &Value, least: i64) -> Result<i64, String> {
    match value.as_i64() {
        Some(n) if n >= least => Ok(n),
        Some(n) => Err(format!("it is {n}; it must be at least {least}")),
        None if value.is_f64() => {
            Err(format!("it is {value}, which is not whole; `round`, `floor` and `ceil` give integers"))
        }
        None => Err(format!("expected a whole number, found {}", options::found(value))),
    }
}
