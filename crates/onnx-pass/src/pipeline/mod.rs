//! The pipeline file: which passes run, in which order, with which options.
//!
//! A [`Pipeline`] is the file as it is written; [`Pipeline::resolve`] puts the variables in, computes the
//! expressions, checks the options against what the passes say of themselves, and gives the steps to run. No
//! file is touched here but by [`Pipeline::read`].
//!
//! ```
//! use onnx_pass::pipeline::{Override, Pipeline};
//! use onnx_pass_passes::options::{OptionKind, OptionSpec, PassSpec};
//!
//! const BIND: OptionSpec =
//!     OptionSpec::optional("bind", OptionKind::Map(&OptionKind::Int), "nothing", "Lengths of axes.");
//! let passes = [PassSpec { name: "prune-dynamic-axes", summary: "Binds axes.", options: &[BIND] }];
//!
//! let text = r#"
//! version: 1
//! vars: {height: 354, patch: 16}
//! steps:
//!   - pass: prune-dynamic-axes
//!     with:
//!       bind: {grid_h: "${round(height / (2 * patch)) * 2}", grid: "${grid_h * 34}"}
//! "#;
//! let pipeline = Pipeline::parse("demo.yaml", text)?;
//! let resolved = pipeline.resolve(&[Override::parse("height=320")?], &passes)?;
//! assert_eq!(resolved.steps[0].options["bind"]["grid"], 20 * 34);
//!
//! let error = pipeline.resolve(&[], &[]).unwrap_err();
//! assert_eq!(error.to_string(), "demo.yaml:5:11: unknown pass `prune-dynamic-axes`; there are no passes");
//! # Ok::<(), onnx_pass::pipeline::PipelineError>(())
//! ```

mod error;
mod load;
mod resolve;
mod tree;
mod vars;

use std::path::Path;

use indexmap::IndexMap;
use onnx_pass_passes::options::{OptionError, Place};
use serde_json::{Map, Value};

pub use error::PipelineError;
pub use resolve::{Resolved, ResolvedStep};
pub use tree::Position;
pub use vars::Override;

/// The version of the format.
pub const VERSION: u32 = 1;

/// A pipeline as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The version of the format.
    pub version: u32,
    /// The name; of its own or of the file.
    pub name: String,
    /// The variables, with `null` where the pipeline asks for a value.
    pub vars: IndexMap<String, Value>,
    /// The steps.
    pub steps: Vec<Step>,
    source: Source,
}

/// A step as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The pass.
    pub pass: String,
    /// Its options, with their expressions.
    pub with: Map<String, Value>,
}

/// The text that a pipeline came from.
#[derive(Debug, Clone, PartialEq)]
struct Source {
    name: String,
    text: String,
}

impl Source {
    /// An error at a place in the text, which is looked up now.
    fn error(&self, fault: OptionError) -> PipelineError {
        PipelineError {
            origin: self.name.clone(),
            position: tree::locate(&self.text, &fault.path, fault.place),
            message: fault.message,
            suggestion: fault.suggestion,
        }
    }
}

impl Pipeline {
    /// A pipeline from its text. `name` is the file, for errors.
    ///
    /// # Errors
    /// The text is no YAML, has a key or a type that does not belong, or a version that this program does not
    /// know.
    pub fn parse(name: &str, text: &str) -> Result<Self, PipelineError> {
        load::parse(Source { name: name.to_owned(), text: text.to_owned() })
    }

    /// A pipeline from a file.
    ///
    /// # Errors
    /// The file cannot be read or is no UTF-8; else as [`Pipeline::parse`].
    pub fn read(path: &Path) -> Result<Self, PipelineError> {
        load::read(path)
    }

    /// The steps to run: `overrides` (`--set`) put in, expressions computed, everything checked against `passes`.
    ///
    /// # Errors
    /// A pass that is unknown, an option that does not belong or has the wrong type, an expression without a
    /// value, a variable that is unset, or an override of one that is not declared.
    pub fn resolve(
        &self,
        overrides: &[Override],
        passes: &[onnx_pass_passes::options::PassSpec],
    ) -> Result<Resolved, PipelineError> {
        resolve::resolve(self, overrides, passes)
    }

    /// The file that the pipeline came from, as errors name it.
    pub fn origin(&self) -> &str {
        &self.source.name
    }

    /// The pipeline as it is written.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// Where a step's pass stands in the text. The text is searched for it: for messages, not for loops.
    pub fn step_position(&self, step: usize) -> Option<Position> {
        let path = ["steps".to_owned(), step.to_string(), "pass".to_owned()];
        tree::locate(&self.source.text, &path, Place::Value)
    }

    /// What a pass says of its own options, as an error with its place in the file.
    pub fn option_error(&self, step: usize, error: &OptionError) -> PipelineError {
        let mut path = vec!["steps".to_owned(), step.to_string(), "with".to_owned()];
        path.extend(error.path.iter().cloned());
        let message = match error.place {
            Place::Value if !error.path.is_empty() => {
                format!("`{}`: {}", error.path.join("."), error.message)
            }
            _ => error.message.clone(),
        };
        self.source.error(OptionError { path, message, ..error.clone() })
    }

    /// As [`Pipeline::option_error`], with the way to the option written with dots: `bind.past_key.0`. The keys of
    /// the step tell a dot in a name from one between names.
    pub fn dotted_option_error(&self, step: usize, option: &str, message: &str) -> PipelineError {
        let path = self.steps.get(step).map(|step| undotted(&step.with, option)).unwrap_or_default();
        let in_file = self.option_error(step, &OptionError::new(path, message));
        // The option as it was called, even if the step does not have it.
        PipelineError { message: format!("`{option}`: {message}"), ..in_file }
    }

    fn error_at(
        &self,
        path: &[&str],
        place: Place,
        message: String,
        suggestion: Option<String>,
    ) -> PipelineError {
        let path = path.iter().map(|step| (*step).to_owned()).collect();
        self.source.error(OptionError { path, place, message, suggestion })
    }
}

/// The path of `option` as far as there are keys for it.
fn undotted(options: &Map<String, Value>, option: &str) -> Vec<String> {
    let Some((first, mut rest)) = longest_key(options.keys().map(String::as_str), option) else {
        return Vec::new();
    };
    let mut path = vec![first.to_owned()];
    let mut value = options.get(first);
    while let (Some(here), Some(wanted)) = (value, rest) {
        let step = match here {
            Value::Object(fields) => longest_key(fields.keys().map(String::as_str), wanted),
            Value::Array(_) => {
                Some(wanted.split_once('.').map_or((wanted, None), |(index, rest)| (index, Some(rest))))
            }
            _ => None,
        };
        let Some((key, after)) = step else { break };
        value = match here {
            Value::Object(fields) => fields.get(key),
            Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        if value.is_some() {
            path.push(key.to_owned());
        }
        rest = after;
    }
    path
}

/// The longest key that `option` is or begins with up to a dot, and what follows the dot.
fn longest_key<'a>(
    keys: impl Iterator<Item = &'a str>,
    option: &'a str,
) -> Option<(&'a str, Option<&'a str>)> {
    keys.filter_map(|key| match option.strip_prefix(key)? {
        "" => Some((key, None)),
        rest => rest.strip_prefix('.').map(|rest| (key, Some(rest))),
    })
    .max_by_key(|(key, _)| key.len())
}

#[cfg(test)]
mod tests;
