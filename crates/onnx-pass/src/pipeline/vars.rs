//! The variables of a pipeline, and what the command line sets them to.

use indexmap::IndexMap;
use onnx_pass_passes::expr;
use onnx_pass_passes::options::Place;
use onnx_pass_passes::suggest;
use serde_json::Value;

use super::resolve::Expander;
use super::{Pipeline, PipelineError, tree};

/// A value that replaces the one of a variable: `--set NAME=VALUE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The variable.
    pub name: String,
    /// Its value; text is taken as it stands, without expressions.
    pub value: Value,
}

impl Override {
    /// Reads `NAME=VALUE`, with the value as YAML: a number, a string, a boolean, or a list such as `[1, 128]`.
    ///
    /// # Errors
    /// There is no `=`, no name, no value, or the value is a mapping or no YAML.
    pub fn parse(text: &str) -> Result<Self, PipelineError> {
        let fail = |message: &str, suggestion: &str| PipelineError {
            origin: origin(text),
            position: None,
            message: message.to_owned(),
            suggestion: Some(suggestion.to_owned()),
        };
        let Some((name, value)) = text.split_once('=') else {
            return Err(fail("there is no `=`", "write `--set NAME=VALUE`"));
        };
        let name = name.trim();
        if !expr::is_name(name) {
            return Err(fail(&format!("`{name}` is no name of a variable"), "write `--set NAME=VALUE`"));
        }
        if value.trim().is_empty() {
            return Err(fail("there is no value", "write `--set NAME=VALUE`; `''` is the empty string"));
        }
        let value = tree::parse(value).map_err(|error| PipelineError {
            origin: origin(text),
            position: None,
            message: error.message,
            suggestion: error.suggestion.or_else(|| Some("put the value in quotes".to_owned())),
        })?;
        let scalar = |value: &Value| !value.is_null() && !value.is_array() && !value.is_object();
        match &value {
            Value::Null => Err(fail("there is no value", "write `--set NAME=VALUE`")),
            Value::Object(_) => Err(fail("the value is a mapping", "put it in quotes if it is a string")),
            Value::Array(items) if !items.iter().all(scalar) => {
                Err(fail("the list holds more than plain values", "write a list such as `[1, 128]`"))
            }
            _ => Ok(Self { name: name.to_owned(), value }),
        }
    }
}

fn origin(text: &str) -> String {
    const SHOWN: usize = 60;
    let short: String = text.chars().take(SHOWN).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("--set {short}{more}")
}

/// The value of every variable: its own or the override's, its expressions computed from the variables before it.
pub(super) fn values(
    pipeline: &Pipeline,
    overrides: &[Override],
) -> Result<IndexMap<String, Value>, PipelineError> {
    for Override { name, value } in overrides {
        if !pipeline.vars.contains_key(name) {
            let known: Vec<&str> = pipeline.vars.keys().map(String::as_str).collect();
            return Err(PipelineError {
                origin: origin(&format!("{name}={value}")),
                position: None,
                message: format!("the pipeline `{}` has no variable `{name}`", pipeline.name),
                suggestion: Some(suggest::hint(name, "variables", &known)),
            });
        }
    }
    let mut values = IndexMap::with_capacity(pipeline.vars.len());
    for (name, written) in &pipeline.vars {
        // Of several overrides the last one holds, as on most command lines.
        let value = match overrides.iter().rev().find(|one| one.name == *name) {
            Some(set) => set.value.clone(),
            None if written.is_null() => {
                let message = format!("the variable `{name}` has no value");
                let suggestion = Some(format!("give it one with `--set {name}=…`"));
                return Err(pipeline.error_at(&["vars", name], Place::Key, message, suggestion));
            }
            None => {
                let path = vec!["vars".to_owned(), name.clone()];
                Expander::for_vars(pipeline, &values).expand(written, path)?
            }
        };
        values.insert(name.clone(), value);
    }
    Ok(values)
}
