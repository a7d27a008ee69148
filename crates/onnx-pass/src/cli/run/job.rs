//! One model: read, rewritten, written.

use std::error::Error;
use std::path::{Path, PathBuf};

use super::super::args::{ReportAs, RunArgs, WeightsAs};
use super::super::output::Output;
use onnx_pass_ir::text::{self, TextOptions};
use onnx_pass_ir::{Model, NewFiles, ReadOptions, Weights, WriteOptions, Written, advise};
use onnx_pass_passes::manager::StepReport;

use super::plan::Job;
use super::stamp::{self, Key};
use super::{super::one_line, Shared};
use crate::outputs::{Outputs, refuse_what_is_no_text};
use crate::progress::{Progress, Step};
use crate::{Report, Run, RunSettings, Watch, run_watched, together, weights};

/// Weights of more bytes than this are not printed as values.
const PRINTED: usize = 64;

/// What became of a model.
#[derive(Debug)]
pub struct Done {
    /// The model that was read.
    pub model: PathBuf,
    /// What was made, or why nothing was.
    pub outcome: Result<Made, String>,
}

/// What was made of a model.
#[derive(Debug)]
pub struct Made {
    /// The content hash, when it was asked for.
    pub hash: Option<String>,
    /// What was done; `None` when nothing had to be.
    pub report: Option<Report>,
    /// The files that were written, or would be.
    pub files: Vec<PathBuf>,
    /// What was noticed while they were written.
    pub notes: Vec<String>,
}

/// Does one job. Nothing is written unless everything went well.
pub fn run(shared: &Shared<'_>, job: &Job) -> Done {
    let outcome = work(shared, job).map_err(|error| one_line(error.as_ref()));
    Done { model: job.model.clone(), outcome }
}

fn work(shared: &Shared<'_>, job: &Job) -> Result<Made, Box<dyn Error>> {
    let args = shared.args;
    let model = Model::read_with(&job.model, &ReadOptions { allow_symlinks: args.allow_symlinks })?;
    weights::check(&model).map_err(|error| format!("{}: {error}", job.model.display()))?;
    let key = match (args.if_changed, &job.output) {
        (true, Some(output)) => {
            let key = Key::of(shared, job, &model)?;
            if let Some(files) = stamp::up_to_date(output, &key) {
                return Ok(Made { hash: Some(key.to_string()), report: None, files, notes: Vec::new() });
            }
            Some(key)
        }
        _ => None,
    };
    let settings = RunSettings { model_file: file_name(job), ..shared.settings.clone() };
    let run = run_watched(shared.pipeline, model, &settings, &mut Watcher::new(shared))?;
    let (mut files, mut notes) = (files(job, &run), Vec::new());
    let hash = key.as_ref().map(ToString::to_string);
    if let (Some(output), false) = (&job.output, args.dry_run) {
        let stamp = key.is_some().then(|| stamp::path(output));
        let written = write(&run, output, stamp, args)?;
        files = made_files(&written, &files);
        notes = written.notes;
        if let Some(key) = key {
            // The outputs are there; without a stamp the next run makes them anew.
            notes.extend(stamp::write(output, &key, &files).err().map(|error| format!("warning: {error}")));
        }
    }
    let Run { model, report, .. } = run;
    if shared.only_model {
        // The program ends next, and to free every node of it first costs as much as to write it.
        std::mem::forget(model);
    }
    Ok(Made { hash, report: Some(report), files, notes })
}

fn file_name(job: &Job) -> String {
    let path = job.output.as_deref().unwrap_or(&job.model);
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn files(job: &Job, run: &Run) -> Vec<PathBuf> {
    let Some(output) = &job.output else { return Vec::new() };
    let models = run.companions.iter().map(|companion| together::path(companion, output));
    let beside = run.artifacts.iter().map(|artifact| output.with_file_name(&artifact.name));
    std::iter::once(output.clone()).chain(models).chain(beside).collect()
}

/// Everything is on the disk before anything is replaced, so that a disk that is full or a folder that is read-only
/// changes nothing.
fn write(
    run: &Run,
    output: &Path,
    stamp: Option<PathBuf>,
    args: &RunArgs,
) -> Result<Written, Box<dyn Error>> {
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map(make_folder).transpose()?;
    let options = WriteOptions {
        in_place: args.in_place,
        weights: match args.weights {
            WeightsAs::Auto => Weights::Auto,
            WeightsAs::Reference => Weights::Reference,
            WeightsAs::Reflink => Weights::Reflink,
            WeightsAs::Link => Weights::Link,
            WeightsAs::Copy => Weights::Copy,
            WeightsAs::Embed => Weights::Embed,
        },
        allow_symlinks: args.allow_symlinks,
        reserved: stamp.into_iter().collect(),
        ..WriteOptions::default()
    };
    for path in &options.reserved {
        refuse_what_is_no_text(path)?;
    }
    let Run { model, artifacts, companions, .. } = run;
    let written = Outputs::stage(model, artifacts, companions, output, &options)?.commit()?;
    if let Some(folder) = made {
        folder.keep();
    }
    Ok(written)
}

/// The model first, then its data, then the files of the passes.
fn made_files(written: &Written, planned: &[PathBuf]) -> Vec<PathBuf> {
    let data = written.files.iter().filter(|file| !planned.contains(file));
    let (model, beside) = planned.split_at(planned.len().min(1));
    model.iter().chain(data).chain(beside).cloned().collect()
}

/// The folder for the output, which goes when nothing comes to lie in it.
fn make_folder(folder: &Path) -> Result<NewFiles, String> {
    let there = folder.ancestors().find(|at| at.exists());
    if let Some(file) = there.filter(|at| !at.is_dir()) {
        return Err(format!("{}: is no folder, so nothing can be written below it", file.display()));
    }
    let mut made = NewFiles::default();
    made.make_folder(folder)
        .map_err(|e| format!("{}: cannot make the folder: {}", folder.display(), advise(e)))?;
    Ok(made)
}

/// Shows the steps and the models between them, and ends the run where it was asked to.
struct Watcher<'a> {
    progress: Progress,
    shown: Option<Step>,
    stop_after: Option<&'a str>,
    print_after: &'a [String],
    prints: Output,
}

impl<'a> Watcher<'a> {
    fn new(shared: &Shared<'a>) -> Self {
        let progress = if shared.only_model { Progress::on_terminal() } else { Progress::hidden() };
        let args = shared.args;
        let prints = match args.report {
            ReportAs::Text => Output::stdout(),
            ReportAs::Json => Output::stderr(),
        };
        let stop_after = args.stop_after.as_deref();
        Self { progress, shown: None, stop_after, print_after: &args.print_after, prints }
    }
}

impl Watch for Watcher<'_> {
    fn before(&mut self, index: usize, total: usize, pass: &str) {
        self.shown = Some(self.progress.step(index, total, pass));
    }

    fn after(&mut self, index: usize, report: &StepReport, model: &Model) -> bool {
        self.shown = None;
        if self.print_after.iter().any(|name| *name == report.pass || name == "all") {
            let options = TextOptions { weights: text::Weights::Hashed { over: PRINTED }, notes: false };
            // A model that cannot be printed can still be what was asked for.
            let text = model.to_text(&options).unwrap_or_else(|error| format!("# {error}"));
            // A reader of several of these must not find one in the middle of another.
            self.prints.text(&format!("# after step {}, {}\n{}\n", index + 1, report.pass, text.trim_end()));
        }
        self.stop_after != Some(report.pass.as_str())
    }
}
