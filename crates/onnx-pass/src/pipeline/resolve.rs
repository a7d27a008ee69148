//! From a [`Pipeline`] to the steps that run.

use indexmap::IndexMap;
use onnx_pass_passes::expr::{self, ExprError, ExprErrorKind, Layered, Scope};
use onnx_pass_passes::options::{self, OptionError, OptionSpec, PassSpec, Place};
use onnx_pass_passes::suggest;
use serde_json::{Map, Value};

use super::{Override, Pipeline, PipelineError, Position, vars};

/// A pipeline that is ready to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The name of the pipeline.
    pub name: String,
    /// The value of each variable.
    pub vars: IndexMap<String, Value>,
    /// The steps.
    pub steps: Vec<ResolvedStep>,
}

/// A step that is ready to run.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedStep {
    /// The pass, which is one of those that were given.
    pub pass: String,
    /// Its options: an object that fits what the pass says of itself.
    pub options: Value,
}

pub(super) fn resolve(
    pipeline: &Pipeline,
    overrides: &[Override],
    passes: &[PassSpec],
) -> Result<Resolved, PipelineError> {
    let known: Vec<&str> = passes.iter().map(|pass| pass.name).collect();
    let mut specs = Vec::with_capacity(pipeline.steps.len());
    for (index, step) in pipeline.steps.iter().enumerate() {
        let Some(spec) = passes.iter().find(|pass| pass.name == step.pass) else {
            let hint = suggest::hint(&step.pass, "passes", &known);
            let message = format!("unknown pass `{}`", step.pass);
            let path = ["steps", &index.to_string(), "pass"];
            return Err(pipeline.error_at(&path, Place::Value, message, Some(hint)));
        };
        specs.push((index, step, spec));
    }
    let vars = vars::values(pipeline, overrides)?;
    let mut steps = Vec::with_capacity(specs.len());
    for (index, step, spec) in specs {
        let path = vec!["steps".to_owned(), index.to_string(), "with".to_owned()];
        let expander =
            Expander { pipeline, vars: &vars, options: spec.options, skip: path.len(), vars_follow: false };
        let options = expander.expand(&Value::Object(step.with.clone()), path)?;
        options::check(&options, spec.options).map_err(|error| pipeline.option_error(index, &error))?;
        steps.push(ResolvedStep { pass: step.pass.clone(), options });
    }
    Ok(Resolved { name: pipeline.name.clone(), vars, steps })
}

/// Computes the expressions in a value.
pub(super) struct Expander<'a> {
    pipeline: &'a Pipeline,
    vars: &'a IndexMap<String, Value>,
    /// The options that the value is, to tell which of them the pass computes itself.
    options: &'a [OptionSpec],
    /// The steps of a path that lead to the options.
    skip: usize,
    /// Whether only the variables before this one are known.
    vars_follow: bool,
}

impl<'a> Expander<'a> {
    /// For the value of a variable, with the variables before it.
    pub(super) fn for_vars(pipeline: &'a Pipeline, vars: &'a IndexMap<String, Value>) -> Self {
        Self { pipeline, vars, options: &[], skip: 0, vars_follow: true }
    }

    /// `value`, which stands at `path`, with its expressions computed.
    pub(super) fn expand(&self, value: &Value, mut path: Vec<String>) -> Result<Value, PipelineError> {
        let nothing = Map::new();
        self.value(value, &Siblings { own: "", done: &nothing, all: &nothing }, &mut path)
    }

    /// The depth of a tree is bounded by the parser that made it.
    fn value(
        &self,
        value: &Value,
        siblings: &Siblings<'_>,
        path: &mut Vec<String>,
    ) -> Result<Value, PipelineError> {
        match value {
            Value::String(text) if expr::is_template(text) => self.text(text, siblings, path),
            Value::Array(items) => {
                let mut out = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    out.push(self.value(item, siblings, path)?);
                    path.pop();
                }
                Ok(Value::Array(out))
            }
            Value::Object(fields) => {
                let mut done = Map::new();
                for (key, value) in fields {
                    path.push(key.clone());
                    let value = self.value(value, &Siblings { own: key, done: &done, all: fields }, path)?;
                    path.pop();
                    done.insert(key.clone(), value);
                }
                Ok(Value::Object(done))
            }
            plain => Ok(plain.clone()),
        }
    }

    fn text(&self, text: &str, siblings: &Siblings<'_>, path: &[String]) -> Result<Value, PipelineError> {
        let scope = Layered { inner: siblings, outer: self.vars };
        let late = path.get(self.skip..).is_some_and(|path| options::is_late(self.options, path));
        let result = if late {
            expr::bind(text, &scope, &|name| siblings.is_for_the_pass(name))
        } else {
            expr::expand(text, &scope)
        };
        result.map_err(|error| self.error(text, &error, siblings, path))
    }

    fn error(
        &self,
        text: &str,
        error: &ExprError,
        siblings: &Siblings<'_>,
        path: &[String],
    ) -> PipelineError {
        let (message, suggestion) = match &error.kind {
            ExprErrorKind::UnknownName { name, nearest } => self.unknown(name, nearest.as_deref(), siblings),
            ExprErrorKind::Syntax(message) | ExprErrorKind::Value(message) => {
                (format!("in `{}`: {message}", shortened(text)), None)
            }
        };
        let fault = OptionError { path: path.to_vec(), place: Place::Value, message, suggestion };
        let mut error_at_value = self.pipeline.source.error(fault);
        if let Some(position) = &mut error_at_value.position {
            position.column += offset_in_line(&self.pipeline.source.text, *position, text, error.span.start);
        }
        error_at_value
    }

    fn unknown(
        &self,
        name: &str,
        nearest: Option<&str>,
        siblings: &Siblings<'_>,
    ) -> (String, Option<String>) {
        if siblings.done.contains_key(name) {
            return (format!("`{name}`, which stands before in the same mapping, is no number"), None);
        }
        let later =
            siblings.all.contains_key(name) || (self.vars_follow && self.pipeline.vars.contains_key(name));
        if later {
            let message = format!("`{name}` stands only after its use in the same mapping");
            return (message, Some(format!("move `{name}` up")));
        }
        let suggestion = match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!(
                "declare it under `vars:`, with a value or as `{name}: null` to be set with `--set {name}=…`"
            ),
        };
        (format!("the variable `{name}` is not set"), Some(suggestion))
    }
}

/// The keys of the mapping that an expression stands in: those before it that are numbers can be named.
struct Siblings<'a> {
    /// The key whose value is computed: an expression that names it means the variable.
    own: &'a str,
    done: &'a Map<String, Value>,
    all: &'a Map<String, Value>,
}

impl Siblings<'_> {
    /// Whether `name` is another key that is no number yet, which a pass will know, whatever variable has its name.
    fn is_for_the_pass(&self, name: &str) -> bool {
        name != self.own && self.all.contains_key(name) && self.get(name).is_none()
    }
}

impl Scope for Siblings<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.done.get(name).filter(|value| value.is_number())
    }

    fn names(&self) -> Vec<&str> {
        self.done.iter().filter(|(_, value)| value.is_number()).map(|(name, _)| name.as_str()).collect()
    }
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    if text.chars().count() <= SHOWN {
        text.to_owned()
    } else {
        text.chars().take(SHOWN).chain(['…']).collect()
    }
}

/// How far `byte` of a scalar's text is from where the scalar begins, when the scalar stands in one line as its
/// text is, quoted or not; else 0, which points at its beginning.
fn offset_in_line(source: &str, position: Position, text: &str, byte: usize) -> usize {
    let line = source.lines().nth(position.line.saturating_sub(1)).unwrap_or_default();
    let from = line.char_indices().nth(position.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let scalar = line.get(from..).unwrap_or_default();
    let quotes = usize::from(scalar.starts_with(['"', '\'']));
    match (scalar.get(quotes..), text.get(..byte)) {
        (Some(scalar), Some(before)) if scalar.starts_with(text) => quotes + before.chars().count(),
        _ => 0,
    }
}
