//! `onnx-pass run`.

mod job;
mod plan;
mod pool;
mod stamp;
mod told;

use std::error::Error;
use std::process::ExitCode;

use onnx_pass_passes::suggest;

use super::Usage;
use super::args::RunArgs;
use super::output::Output;
use crate::pipeline::Pipeline;
use crate::{RunSettings, pass_specs, passes, shipped};

/// What all models of a run share.
struct Shared<'a> {
    args: &'a RunArgs,
    pipeline: &'a Pipeline,
    settings: RunSettings,
    /// Whether there is no other model: its steps are shown on a terminal then, else the models are.
    only_model: bool,
}

pub(super) fn run(args: &RunArgs, out: &mut Output) -> Result<ExitCode, Box<dyn Error>> {
    let pipeline = shipped::named_or_read(&args.pipeline)?;
    let settings =
        RunSettings { set: args.set.clone(), verify_each: args.verify_each, ..RunSettings::default() };
    // What is wrong with the pipeline is said once, before any model is looked at.
    pipeline.resolve(&settings.set, &pass_specs(&passes(&settings.passes)))?;
    if let Some(name) = &args.stop_after {
        check_step("--stop-after", name, &pipeline)?;
    }
    for name in args.print_after.iter().filter(|name| *name != "all") {
        check_step("--print-after", name, &pipeline)?;
    }
    let plan = plan::plan(args)?;
    let shared = Shared { args, pipeline: &pipeline, settings, only_model: plan.len() == 1 };
    let results = pool::run(&shared, &plan);
    told::tell(args, &results, out)?;
    let failed = results.iter().any(|result| result.outcome.is_err());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn check_step(flag: &str, name: &str, pipeline: &Pipeline) -> Result<(), Usage> {
    let steps: Vec<&str> = pipeline.steps.iter().map(|step| step.pass.as_str()).collect();
    if steps.contains(&name) {
        return Ok(());
    }
    let hint = suggest::hint(name, "passes in it", &steps);
    Err(Usage(format!("{flag} {name}: the pipeline `{}` has no such step; {hint}", pipeline.name)))
}
