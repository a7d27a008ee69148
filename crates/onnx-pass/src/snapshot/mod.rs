//! What a pipeline does to a model, as a text that lives in a repository and is reviewed with it.
//!
//! [`of`] makes the text: the signature before and after, each step's counts and notes, the files that the passes
//! make, the outline, the operators with their attributes, and a hash of the structure that catches the rest. It is
//! the same for the same pipeline and model, on any machine. [`File`] keeps it in the format of `insta`, so that
//! `cargo insta review` shows what changed; [`assert_pipeline_snapshot!`](crate::assert_pipeline_snapshot) does the
//! same from a Rust test.

mod file;

use std::fmt::Write;

use onnx_pass_ir::Model;

use crate::report::Style;
use crate::structure::hash;
use crate::terminal::escape;
use crate::{Artifact, Pipeline, Run, RunError, RunSettings, run, show};

pub use file::{File, Parts, place, unified};

/// Artifacts of more lines are given by their length and hash.
const MOST_LINES: usize = 400;

/// The snapshot of what `pipeline` does to `model`.
///
/// # Errors
/// As [`run()`].
pub fn of(pipeline: &Pipeline, model: Model, settings: &RunSettings) -> Result<String, RunError> {
    let run = run(pipeline, model.clone(), settings)?;
    Ok(of_run(&model, &run))
}

/// The snapshot of a run that was made of `before`.
pub fn of_run(before: &Model, run: &Run) -> String {
    let mut out = String::new();
    let report = &run.report;
    let _ = writeln!(out, "pipeline {}", escape(&report.pipeline));
    for (name, value) in &report.vars {
        let _ = writeln!(out, "  {} = {}", escape(name), escape(&value.to_string()));
    }
    section(&mut out, "before", &show::signature(before));
    section(&mut out, "steps", report.told_steps(Style::default()).trim_end());
    section(&mut out, "after", &show::signature(&run.model));
    section(&mut out, "outline", &show::outline(&run.model));
    section(&mut out, "operators", &show::operators(&run.model));
    let hashes = format!("before  {}\nafter   {}\n", hash::structure(before), hash::structure(&run.model));
    section(&mut out, "structure", &hashes);
    for artifact in &run.artifacts {
        section(&mut out, &format!("file {}", escape(&artifact.name)), &contents(artifact));
    }
    out
}

fn contents(artifact: &Artifact) -> String {
    let lines = artifact.text.lines().count();
    if lines <= MOST_LINES {
        return show::for_terminal(&artifact.text);
    }
    let hash = blake3::hash(artifact.text.as_bytes()).to_hex();
    format!("{lines} lines, blake3 {}\n", hash.get(..16).unwrap_or_default())
}

/// A title, and its text two blanks in.
fn section(out: &mut String, title: &str, text: &str) {
    let _ = writeln!(out, "\n{title}");
    for line in text.lines() {
        let _ = writeln!(out, "{}", format!("  {line}").trim_end());
    }
}

/// Holds what a pipeline does to a model to its snapshot, as `insta::assert_snapshot!` does: the first two operands
/// are the [`Pipeline`] and the [`Model`], a third may be [`RunSettings`]. A name may stand before them.
///
/// The crate that uses this has `insta` among its dependencies. A pipeline that fails is a snapshot of its error.
///
/// ```no_run
/// use onnx_pass::{Model, assert_pipeline_snapshot, shipped};
///
/// let pipeline = shipped::named_or_read("clean-up").unwrap();
/// assert_pipeline_snapshot!("decoder", &pipeline, Model::read("decoder.onnx").unwrap());
/// ```
#[macro_export]
macro_rules! assert_pipeline_snapshot {
    ($name:literal, $pipeline:expr, $model:expr $(,)?) => {
        $crate::assert_pipeline_snapshot!($name, $pipeline, $model, &$crate::RunSettings::default())
    };
    ($name:literal, $pipeline:expr, $model:expr, $settings:expr $(,)?) => {
        ::insta::assert_snapshot!(
            $name,
            $crate::snapshot::of($pipeline, $model, $settings)
                .unwrap_or_else(|error| format!("error: {error}\n"))
        )
    };
    ($pipeline:expr, $model:expr $(,)?) => {
        $crate::assert_pipeline_snapshot!($pipeline, $model, &$crate::RunSettings::default())
    };
    ($pipeline:expr, $model:expr, $settings:expr $(,)?) => {
        ::insta::assert_snapshot!(
            $crate::snapshot::of($pipeline, $model, $settings)
                .unwrap_or_else(|error| format!("error: {error}\n"))
        )
    };
}

#[cfg(test)]
mod tests;
