//! A pipeline over a model in memory.

use onnx_pass_ir::Model;
use onnx_pass_passes::manager::{self, StepReport};
use onnx_pass_passes::options::PassSpec;
use onnx_pass_passes::pass::{Artifact, Companion, Pass, PassContext, PassError};
use onnx_pass_passes::{deploy, docs, registry};

use crate::pipeline::{Override, Pipeline, PipelineError, Position, ResolvedStep};
use crate::report::Report;
use crate::terminal::escape;

/// How a pipeline is run.
#[derive(Clone, Default)]
pub struct RunSettings {
    /// Values for variables of the pipeline.
    pub set: Vec<Override>,
    /// Passes of your own, which the pipeline may name beside those of the registry.
    pub passes: Vec<&'static dyn Pass>,
    /// Check every invariant of the model after each step, not only the cheap ones.
    pub verify_each: bool,
    /// The file that the model will be in, as the arguments for compilers name it; `model.onnx` when empty.
    pub model_file: String,
}

/// What a run made.
#[derive(Debug)]
#[non_exhaustive]
pub struct Run {
    /// The rewritten model.
    pub model: Model,
    /// Files that belong beside it.
    pub artifacts: Vec<Artifact>,
    /// Further models that belong beside it, over the same weights (see [`crate::together`]).
    pub companions: Vec<Companion>,
    /// What was done.
    pub report: Report,
}

/// Why a run gave nothing. It prints as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The pipeline, a variable or an option is wrong.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A pass refused the model.
    #[error("{place}: {pass}: {}", escape(&reason.to_string()))]
    Refused {
        /// The step in the pipeline.
        place: StepPlace,
        /// The pass.
        pass: String,
        /// Its reason.
        reason: Box<PassError>,
    },
    /// A pass broke the model or its own word: a fault of ours.
    #[error("{place}: {pass} left the model unsound (please report this): {}", escape(reason))]
    Unsound {
        /// The step in the pipeline.
        place: StepPlace,
        /// The pass.
        pass: String,
        /// The first findings.
        reason: String,
    },
    /// The files for compilers cannot be made.
    #[error("{pipeline}: {}", escape(&reason.to_string()))]
    Artifacts {
        /// The pipeline.
        pipeline: String,
        /// Why.
        reason: Box<PassError>,
    },
}

/// A step of a pipeline, as messages name it: `file:line:column`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepPlace {
    /// The pipeline's file.
    pub origin: String,
    /// Where in the file.
    pub position: Option<Position>,
}

impl std::fmt::Display for StepPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&escape(&self.origin))?;
        match self.position {
            Some(Position { line, column }) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// Looks on while a pipeline runs.
pub trait Watch {
    /// Step `index` (from 0) of `total` begins.
    fn before(&mut self, _index: usize, _total: usize, _pass: &str) {}

    /// Step `index` is done, and `model` is what it made. `false` ends the run here, as if the pipeline had no
    /// further steps.
    fn after(&mut self, _index: usize, _report: &StepReport, _model: &Model) -> bool {
        true
    }
}

/// Sees nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Watch for Silent {}

/// Runs `pipeline` over `model`. No file is touched and nothing is printed; a model whose weights are in files
/// beside it is not copied.
///
/// # Errors
/// [`RunError`], with the place in the pipeline and what would help.
pub fn run(pipeline: &Pipeline, model: Model, settings: &RunSettings) -> Result<Run, RunError> {
    run_watched(pipeline, model, settings, &mut Silent)
}

/// As [`run`], with somebody looking on.
///
/// # Errors
/// As [`run`].
pub fn run_watched(
    pipeline: &Pipeline,
    mut model: Model,
    settings: &RunSettings,
    watch: &mut dyn Watch,
) -> Result<Run, RunError> {
    let table = passes(&settings.passes);
    let resolved = pipeline.resolve(&settings.set, &pass_specs(&table))?;
    let steps = steps(&table, &resolved.steps);
    let total = steps.len();
    let mut cx = PassContext::new();
    cx.original = resolved.steps.iter().any(|step| step.pass == COMPARES).then(|| model.clone());
    if let Some(first) = steps.first() {
        watch.before(0, total, first.pass.name());
    }
    let mut stopped = false;
    let mut after = |index: usize, report: &StepReport, model: &Model| {
        let go_on = watch.after(index, report, model);
        stopped = !go_on;
        if let (true, Some(next)) = (go_on, steps.get(index + 1)) {
            watch.before(index + 1, total, next.pass.name());
        }
        go_on
    };
    let options = manager::RunOptions { verify_each: settings.verify_each };
    let reports = manager::run(&mut model, &steps, &mut cx, options, &mut after)
        .map_err(|error| explained(pipeline, error))?;
    if !stopped {
        let file = if settings.model_file.is_empty() { "model.onnx" } else { &settings.model_file };
        deploy::finish(&model, &mut cx, file).map_err(|reason| RunError::Artifacts {
            pipeline: pipeline.origin().to_owned(),
            reason: Box::new(reason),
        })?;
    }
    let artifacts = std::mem::take(&mut cx.artifacts);
    let companions = std::mem::take(&mut cx.companions);
    let report = Report::of(&resolved, &model, reports, cx, stopped);
    Ok(Run { model, artifacts, companions, report })
}

/// The step that needs the model as it came.
const COMPARES: &str = "verify";

/// Steps that are more than a rewrite, and so stand here and not in the registry.
const RUNNER_PASSES: &[&dyn Pass] = &[
    #[cfg(feature = "verify")]
    &crate::verify::Verify,
];

/// The passes that a pipeline may name, by name; then `own`. Of two with one name the first holds.
pub fn passes(own: &[&'static dyn Pass]) -> Vec<&'static dyn Pass> {
    let mut passes: Vec<_> = registry::PASSES.iter().chain(RUNNER_PASSES).copied().collect();
    passes.sort_by_key(|pass| pass.name());
    passes.extend(own);
    passes
}

/// What pipelines know of passes.
pub fn pass_specs(passes: &[&'static dyn Pass]) -> Vec<PassSpec> {
    let spec = |pass: &&'static dyn Pass| PassSpec {
        name: pass.name(),
        summary: docs::first_line(pass.source()),
        options: pass.options(),
    };
    passes.iter().map(spec).collect()
}

fn steps(table: &[&'static dyn Pass], resolved: &[ResolvedStep]) -> Vec<manager::Step> {
    let find = |name: &str| table.iter().copied().find(|pass| pass.name() == name);
    resolved
        .iter()
        // Resolving has found every pass.
        .filter_map(|step| Some(manager::Step { pass: find(&step.pass)?, options: step.options.clone() }))
        .collect()
}

fn explained(pipeline: &Pipeline, error: manager::RunError) -> RunError {
    let place = |step: usize| StepPlace {
        origin: pipeline.origin().to_owned(),
        position: pipeline.step_position(step),
    };
    match error {
        manager::RunError::Pass { step, source: PassError::Options { option, reason }, .. } => {
            RunError::Pipeline(pipeline.dotted_option_error(step, &option, &reason))
        }
        manager::RunError::Pass { step, pass, source } => {
            RunError::Refused { place: place(step), pass, reason: Box::new(source) }
        }
        manager::RunError::Unsound { step, pass, reason } => {
            RunError::Unsound { place: place(step), pass, reason }
        }
        other => RunError::Unsound {
            place: StepPlace { origin: pipeline.origin().to_owned(), position: None },
            pass: pipeline.name.clone(),
            reason: other.to_string(),
        },
    }
}
