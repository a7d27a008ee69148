//! From text to a [`Pipeline`].

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use indexmap::IndexMap;
use onnx_pass_passes::expr;
use onnx_pass_passes::options::{OptionError, found};
use onnx_pass_passes::suggest;
use serde_json::{Map, Value};

use super::{Pipeline, PipelineError, Position, Source, Step, VERSION, tree};

/// A pipeline that is longer is none.
const MAX_BYTES: usize = 1 << 20;

const KEYS: &[&str] = &["version", "name", "vars", "steps"];
const STEP_KEYS: &[&str] = &["pass", "with"];

pub(super) fn read(path: &Path) -> Result<Pipeline, PipelineError> {
    let name = path.display().to_string();
    let fail = |message: String, position| PipelineError {
        origin: name.clone(),
        position,
        message,
        suggestion: None,
    };
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let result = File::open(path).and_then(|file| {
        // Opening a folder succeeds on Unix; reading it gives an error that says less.
        if file.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        file.take(limit).read_to_end(&mut bytes)
    });
    result.map_err(|error| fail(format!("cannot read the pipeline: {error}"), None))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Pipeline::parse(&name, text),
        // A character that the limit cut in two is not what is wrong.
        Err(_) if bytes.len() > MAX_BYTES => Err(too_long(&name)),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).and_then(|good| std::str::from_utf8(good).ok());
            Err(fail("not UTF-8".to_owned(), good.map(end_of)))
        }
    }
}

fn end_of(text: &str) -> Position {
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Position { line, column }
}

fn too_long(name: &str) -> PipelineError {
    let message = format!("a pipeline has at most {MAX_BYTES} bytes");
    PipelineError { origin: name.to_owned(), position: None, message, suggestion: None }
}

pub(super) fn parse(source: Source) -> Result<Pipeline, PipelineError> {
    if source.text.len() > MAX_BYTES {
        return Err(too_long(&source.name));
    }
    let document = tree::parse(&source.text).map_err(|error| PipelineError {
        origin: source.name.clone(),
        position: error.position,
        message: error.message,
        suggestion: error.suggestion,
    })?;
    let parts = Parts::of(&document).map_err(|fault| source.error(fault))?;
    let name = parts.name.unwrap_or_else(|| stem(&source.name));
    Ok(Pipeline { version: VERSION, name, vars: parts.vars, steps: parts.steps, source })
}

fn stem(name: &str) -> String {
    Path::new(name).file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

struct Parts {
    name: Option<String>,
    vars: IndexMap<String, Value>,
    steps: Vec<Step>,
}

impl Parts {
    fn of(document: &Value) -> Result<Self, OptionError> {
        let fields = match document {
            Value::Object(fields) => fields,
            Value::Null => return Err(fault(&[], "the pipeline is empty").suggest("begin with `version: 1`")),
            other => {
                let message = format!("a pipeline is a mapping, found {}", found(other));
                return Err(fault(&[], message).suggest("begin with `version: 1`"));
            }
        };
        // First, so that a file of a newer version is not refused for its newer keys.
        check_version(fields.get("version"))?;
        known_keys(fields, KEYS, &[], |key| {
            suggest::did_you_mean(key, KEYS.iter().copied())
                .unwrap_or_else(|| "a pipeline has `version`, `name`, `vars` and `steps`".to_owned())
        })?;
        Ok(Self {
            name: name(fields.get("name"))?,
            vars: vars(fields.get("vars"))?,
            steps: steps(fields.get("steps"))?,
        })
    }
}

fn fault(path: &[&str], message: impl Into<String>) -> OptionError {
    OptionError::new(path.iter().copied(), message)
}

fn known_keys(
    fields: &Map<String, Value>,
    known: &[&str],
    path: &[&str],
    hint: impl FnOnce(&str) -> String,
) -> Result<(), OptionError> {
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            let path: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
            Err(fault(&path, format!("unknown key `{key}`")).at_key().suggest(hint(key)))
        }
        None => Ok(()),
    }
}

fn check_version(version: Option<&Value>) -> Result<(), OptionError> {
    match version {
        None => Err(fault(&[], "`version` is missing").suggest(format!("begin with `version: {VERSION}`"))),
        Some(Value::Number(number)) if number.as_u64() == Some(VERSION.into()) => Ok(()),
        Some(Value::Number(number)) if number.is_i64() => {
            let message = format!("version {number} of the pipeline format is not known");
            Err(fault(&["version"], message).suggest(format!("this program reads version {VERSION}")))
        }
        Some(other) => {
            let message = format!("`version` is an integer, found {}", found(other));
            Err(fault(&["version"], message).suggest(format!("write `version: {VERSION}`")))
        }
    }
}

fn name(name: Option<&Value>) -> Result<Option<String>, OptionError> {
    match name {
        None => Ok(None),
        Some(Value::String(name)) if !name.is_empty() => Ok(Some(name.clone())),
        Some(other) => {
            let message = format!("`name` is a string, found {}", found(other));
            Err(fault(&["name"], message).suggest("leave it out to use the file's name"))
        }
    }
}

fn vars(vars: Option<&Value>) -> Result<IndexMap<String, Value>, OptionError> {
    let fields = match vars {
        None | Some(Value::Null) => return Ok(IndexMap::new()),
        Some(Value::Object(fields)) => fields,
        Some(other) => {
            let message = format!("`vars` is a mapping of names to values, found {}", found(other));
            return Err(fault(&["vars"], message).suggest("write `vars: {seq_len: 128}`"));
        }
    };
    let mut out = IndexMap::with_capacity(fields.len());
    for (name, value) in fields {
        check_name(name)?;
        let fits = match value {
            Value::Object(_) => false,
            Value::Array(items) => {
                items.iter().all(|item| !item.is_object() && !item.is_array() && !item.is_null())
            }
            _ => true,
        };
        if !fits {
            let message =
                format!("the variable `{name}` is a number, a string, a boolean or a list of these");
            return Err(fault(&["vars", name], message));
        }
        out.insert(name.clone(), value.clone());
    }
    Ok(out)
}

fn check_name(name: &str) -> Result<(), OptionError> {
    if expr::is_name(name) {
        return Ok(());
    }
    let mended: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let hint = if expr::is_name(&mended) {
        format!("write `{mended}`")
    } else {
        "a name has letters, digits and `_`, and begins with no digit".to_owned()
    };
    let message = format!("`{name}` cannot be a variable, as no expression could name it");
    Err(fault(&["vars", name], message).at_key().suggest(hint))
}

fn steps(steps: Option<&Value>) -> Result<Vec<Step>, OptionError> {
    let items = match steps {
        Some(Value::Array(items)) => items,
        None => {
            return Err(
                fault(&[], "`steps` is missing").suggest("a pipeline that does nothing has `steps: []`")
            );
        }
        Some(other) => {
            let message = format!("`steps` is a list, found {}", found(other));
            return Err(fault(&["steps"], message).suggest("each step begins with `- pass:`"));
        }
    };
    items.iter().enumerate().map(|(index, item)| step(&index.to_string(), item)).collect()
}

fn step(index: &str, item: &Value) -> Result<Step, OptionError> {
    let path = ["steps", index];
    let fields = match item {
        Value::Object(fields) => fields,
        Value::String(name) => {
            let message = "a step is a mapping, found a string";
            return Err(fault(&path, message).suggest(format!("write `- pass: {name}`")));
        }
        other => {
            let message = format!("a step is a mapping, found {}", found(other));
            return Err(fault(&path, message).suggest("a step begins with `- pass:`"));
        }
    };
    known_keys(fields, STEP_KEYS, &path, |key| {
        suggest::did_you_mean(key, STEP_KEYS.iter().copied())
            .unwrap_or_else(|| "the options of a pass stand under `with:`".to_owned())
    })?;
    let pass = match fields.get("pass") {
        Some(Value::String(pass)) => pass.clone(),
        None => return Err(fault(&path, "`pass` is missing").suggest("a step begins with `- pass:`")),
        Some(other) => {
            let message = format!("`pass` is the name of a pass, found {}", found(other));
            return Err(fault(&["steps", index, "pass"], message));
        }
    };
    let with = match fields.get("with") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(with)) => with.clone(),
        Some(other) => {
            let message = format!("`with` is a mapping of options, found {}", found(other));
            return Err(fault(&["steps", index, "with"], message));
        }
    };
    Ok(Step { pass, with })
}
