//! The typed description of a pass's options.
//!
//! A pass describes its options once, as a static table. The table checks a pipeline ([`check`]), prints the
//! options in the documentation, and becomes the JSON Schema that editors complete pipelines from
//! ([`json_schema`]).

mod schema;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::expr;
use crate::suggest;

pub use schema::json_schema;

/// One option of a pass, or one field of an option that is an object.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// The key in the pipeline, kebab-case.
    pub name: &'static str,
    /// What the value may be.
    pub kind: OptionKind,
    /// Whether the pass cannot do without it.
    pub required: bool,
    /// What holds when it is left out, as the documentation says it; empty when required.
    pub default: &'static str,
    /// One sentence for the documentation.
    pub doc: &'static str,
}

impl OptionSpec {
    /// An option that may be left out.
    pub const fn optional(
        name: &'static str,
        kind: OptionKind,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, kind, required: false, default, doc }
    }

    /// An option that must be given.
    pub const fn required(name: &'static str, kind: OptionKind, doc: &'static str) -> Self {
        Self { name, kind, required: true, default: "", doc }
    }
}

/// What the value of an option may be.
#[derive(Debug, Clone, Copy)]
pub enum OptionKind {
    /// Anything; the pass looks for itself.
    Any,
    /// `true` or `false`.
    Bool,
    /// An integer.
    Int,
    /// An integer that is not below the bound.
    IntAtLeast(i64),
    /// A number; an integer is one.
    Float,
    /// A string.
    String,
    /// A list of strings.
    StringList,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of values of one kind.
    List(&'static OptionKind),
    /// A mapping from any name to values of one kind.
    Map(&'static OptionKind),
    /// A mapping with these keys.
    Object(&'static [OptionSpec]),
    /// A value of any of these kinds.
    AnyOf(&'static [OptionKind]),
    /// As the kind within, but its `${…}` may use names that only the pass can supply. The runner computes what
    /// it can and leaves the rest as a template for [`expr::expand`]; every string in here is such a template.
    Late(&'static OptionKind),
}

/// A pass as a pipeline sees it.
#[derive(Debug, Clone, Copy)]
pub struct PassSpec {
    /// The name, kebab-case.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The options.
    pub options: &'static [OptionSpec],
}

/// A value that does not fit its description.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{message}{}", self.prefix(), self.suffix())]
pub struct OptionError {
    /// The keys, and the indices of lists, that lead to the place.
    pub path: Vec<String>,
    /// Whether the key at the end of the path is at fault, or what it holds.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub suggestion: Option<String>,
}

/// Which half of `key: value` is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl OptionError {
    /// An error about the value at `path`.
    pub fn new<S: Into<String>>(path: impl IntoIterator<Item = S>, message: impl Into<String>) -> Self {
        Self {
            path: path.into_iter().map(Into::into).collect(),
            place: Place::Value,
            message: message.into(),
            suggestion: None,
        }
    }

    /// The same error about the key, not the value.
    #[must_use]
    pub fn at_key(mut self) -> Self {
        self.place = Place::Key;
        self
    }

    /// The same error with a way to mend it.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    fn prefix(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!("{}: ", self.path.join(".")) }
    }

    fn suffix(&self) -> String {
        self.suggestion.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default()
    }
}

/// Checks the options of one pass against their description.
///
/// # Errors
/// The first misfit in the order of the document, then the first missing option in the order of the table.
pub fn check(options: &Value, specs: &[OptionSpec]) -> Result<(), OptionError> {
    let mut path = Vec::new();
    match options {
        Value::Null => check_fields(&Map::new(), specs, &mut path),
        Value::Object(fields) => check_fields(fields, specs, &mut path),
        other => Err(misfit(other, "a mapping of options", &path)),
    }
}

fn check_fields(
    fields: &Map<String, Value>,
    specs: &[OptionSpec],
    path: &mut Vec<String>,
) -> Result<(), OptionError> {
    for (key, value) in fields {
        path.push(key.clone());
        let Some(spec) = specs.iter().find(|spec| spec.name == key) else {
            let known: Vec<&str> = specs.iter().map(|spec| spec.name).collect();
            let hint = suggest::hint(key, "options here", &known);
            return Err(OptionError::new(path.drain(..), format!("unknown option `{key}`"))
                .at_key()
                .suggest(hint));
        };
        check_value(value, &spec.kind, path)?;
        path.pop();
    }
    match specs.iter().find(|spec| spec.required && !fields.contains_key(spec.name)) {
        Some(missing) => Err(OptionError::new(path.drain(..), format!("`{}` is missing", missing.name))
            .suggest(format!("give it {}", missing.kind.described()))),
        None => Ok(()),
    }
}

fn check_value(value: &Value, kind: &OptionKind, path: &mut Vec<String>) -> Result<(), OptionError> {
    let fits = match kind {
        OptionKind::Any => true,
        OptionKind::Bool => value.is_boolean(),
        OptionKind::Int => value.is_i64(),
        OptionKind::IntAtLeast(least) => match value.as_i64() {
            Some(number) if number < *least => {
                return Err(OptionError::new(path.drain(..), format!("{number} is too small"))
                    .suggest(format!("it must be at least {least}")));
            }
            number => number.is_some(),
        },
        OptionKind::Float => value.is_number(),
        OptionKind::String => value.is_string(),
        OptionKind::OneOf(words) => match value.as_str() {
            Some(word) if !words.contains(&word) => {
                return Err(OptionError::new(path.drain(..), format!("unknown value `{word}`"))
                    .suggest(suggest::hint(word, "values", words)));
            }
            word => word.is_some(),
        },
        OptionKind::StringList => return check_list(value, &OptionKind::String, kind, path),
        OptionKind::List(item) => return check_list(value, item, kind, path),
        OptionKind::Map(item) => match value.as_object() {
            Some(entries) => {
                for (key, value) in entries {
                    path.push(key.clone());
                    check_value(value, item, path)?;
                    path.pop();
                }
                true
            }
            None => false,
        },
        OptionKind::Object(specs) => match value.as_object() {
            Some(fields) => return check_fields(fields, specs, path),
            None => false,
        },
        OptionKind::AnyOf(kinds) => return check_any(value, kinds, kind, path),
        OptionKind::Late(kind) => match value.as_str() {
            Some(text) if expr::is_template(text) => true,
            _ => return check_value(value, kind, path),
        },
    };
    if fits { Ok(()) } else { Err(misfit(value, &kind.described(), path)) }
}

fn check_list(
    value: &Value,
    item: &OptionKind,
    kind: &OptionKind,
    path: &mut Vec<String>,
) -> Result<(), OptionError> {
    let Some(items) = value.as_array() else {
        let mut error = misfit(value, &kind.described(), path);
        if check_value(value, item, &mut path.clone()).is_ok() && !value.is_object() {
            error = error.suggest(format!("write `[{}]`", shown(value)));
        }
        return Err(error);
    };
    for (index, value) in items.iter().enumerate() {
        path.push(index.to_string());
        check_value(value, item, path)?;
        path.pop();
    }
    Ok(())
}

/// Where no kind fits, the error of the one kind that has the shape of the value says most.
fn check_any(
    value: &Value,
    kinds: &[OptionKind],
    kind: &OptionKind,
    path: &[String],
) -> Result<(), OptionError> {
    let mut closest = Vec::new();
    for kind in kinds {
        match check_value(value, kind, &mut path.to_vec()) {
            Ok(()) => return Ok(()),
            Err(error) if kind.has_shape_of(value) => closest.push(error),
            Err(_) => {}
        }
    }
    match (closest.pop(), closest.is_empty()) {
        (Some(error), true) => Err(error),
        _ => Err(misfit(value, &kind.described(), path)),
    }
}

fn misfit(value: &Value, expected: &str, path: &[String]) -> OptionError {
    let error =
        OptionError::new(path.iter().cloned(), format!("expected {expected}, found {}", found(value)));
    match value {
        Value::Number(number) if number.is_f64() && expected.starts_with("an integer") => {
            error.suggest("`round`, `floor` and `ceil` give integers")
        }
        Value::String(text) if expected.starts_with("an integer") && text.trim().parse::<i64>().is_ok() => {
            error.suggest("write it without quotes")
        }
        Value::Bool(_) | Value::Number(_) if expected == "a string" => error.suggest("put it in quotes"),
        _ => error,
    }
}

/// A value as an error names it: what it is, and the value itself when it is short.
pub fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) => format!("the boolean {}", shown(value)),
        Value::Number(number) if number.is_f64() => format!("the float {}", shown(value)),
        Value::Number(_) => format!("the integer {}", shown(value)),
        Value::String(_) => format!("the string {}", shown(value)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn shown(value: &Value) -> String {
    const SHOWN: usize = 40;
    let text = value.to_string();
    if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN).chain(['…']).collect() }
}

impl OptionKind {
    /// What it is, in words: "an integer", "a list of strings".
    pub fn described(&self) -> String {
        self.words(false)
    }

    fn words(&self, many: bool) -> String {
        let pick = |one: &str, several: &str| if many { several.to_owned() } else { one.to_owned() };
        match self {
            Self::Any => pick("any value", "any values"),
            Self::Bool => pick("`true` or `false`", "`true` or `false`"),
            Self::Int => pick("an integer", "integers"),
            Self::IntAtLeast(least) => format!("{} of at least {least}", pick("an integer", "integers")),
            Self::Float => pick("a number", "numbers"),
            Self::String => pick("a string", "strings"),
            Self::StringList => Self::List(&Self::String).words(many),
            Self::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                format!("one of {}", words.join(", "))
            }
            Self::List(item) => format!("{} of {}", pick("a list", "lists"), item.words(true)),
            Self::Map(item) => format!("{} of names to {}", pick("a mapping", "mappings"), item.words(true)),
            Self::Object(specs) => {
                let keys: Vec<String> = specs.iter().map(|spec| format!("`{}`", spec.name)).collect();
                format!("{} with {}", pick("a mapping", "mappings"), keys.join(", "))
            }
            Self::AnyOf(kinds) => kinds.iter().map(|kind| kind.words(many)).collect::<Vec<_>>().join(" or "),
            Self::Late(kind) => kind.words(many),
        }
    }

    fn has_shape_of(&self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Bool => value.is_boolean(),
            Self::Int | Self::IntAtLeast(_) | Self::Float => value.is_number(),
            Self::String | Self::OneOf(_) => value.is_string(),
            Self::StringList | Self::List(_) => value.is_array(),
            Self::Map(_) | Self::Object(_) => value.is_object(),
            Self::AnyOf(kinds) => kinds.iter().any(|kind| kind.has_shape_of(value)),
            Self::Late(kind) => kind.has_shape_of(value),
        }
    }

    /// Whether the value at `path` below a value of this kind is one that the pass computes itself.
    fn is_late_at(&self, path: &[String]) -> bool {
        match (self, path.split_first()) {
            (Self::Late(_), _) => true,
            (Self::AnyOf(kinds), _) => kinds.iter().any(|kind| kind.is_late_at(path)),
            (Self::List(item) | Self::Map(item), Some((_, rest))) => item.is_late_at(rest),
            (Self::Object(specs), Some(_)) => is_late(specs, path),
            _ => false,
        }
    }
}

/// Whether the pass itself computes the expressions at `path` among its options ([`OptionKind::Late`]).
pub fn is_late(specs: &[OptionSpec], path: &[String]) -> bool {
    let Some((name, rest)) = path.split_first() else { return false };
    specs.iter().any(|spec| spec.name == name && spec.kind.is_late_at(rest))
}

#[cfg(test)]
mod tests;
