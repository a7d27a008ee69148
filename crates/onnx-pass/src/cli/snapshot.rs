//! `onnx-pass snapshot`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use onnx_pass_ir::{Model, ReadOptions};

use super::args::SnapshotArgs;
use super::output::Output;
use crate::show::for_terminal;
use crate::snapshot::{self as library, File, Parts, unified};
use crate::terminal::escape;
use crate::{RunSettings, shipped};

pub(super) fn snapshot(args: &SnapshotArgs, out: &mut Output) -> Result<ExitCode, Box<dyn Error>> {
    let pipeline = shipped::named_or_read(&args.pipeline)?;
    let model = Model::read_with(&args.model, &ReadOptions { allow_symlinks: args.allow_symlinks })?;
    let settings =
        RunSettings { set: args.set.clone(), model_file: file_name(&args.model), ..Default::default() };
    let contents = library::of(&pipeline, model, &settings)?;
    let file = File::at(args.output.clone().unwrap_or_else(|| place(args)));
    let shown = escape(&file.path().to_string_lossy()).into_owned();
    let accepted = file.accepted().map_err(|e| format!("{shown}: {e}"))?;
    let parts = Parts { source: args.pipeline.clone(), expression: command(args), contents };
    match accepted {
        Some(accepted) if accepted.trim_end() == parts.contents.trim_end() => {
            if !args.check {
                file.settle();
            }
            out.line(&format!("{shown}: holds"));
            Ok(ExitCode::SUCCESS)
        }
        None if args.check => {
            out.line(&format!("{shown}: there is no snapshot; make it without --check"));
            Ok(ExitCode::FAILURE)
        }
        Some(accepted) if !args.accept => {
            out.line(&format!("{shown}: the pipeline does something else now"));
            // The accepted text is a file that anybody may have written.
            out.text(&for_terminal(&unified(&accepted, &parts.contents)));
            if !args.check {
                file.propose(&parts)?;
                let pending = file.pending();
                out.line(&format!(
                    "{}: for `cargo insta review`, or run again with --accept",
                    escape(&pending.to_string_lossy())
                ));
            }
            Ok(ExitCode::FAILURE)
        }
        _ => {
            file.accept(&parts)?;
            out.line(&format!("{shown}: written"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn place(args: &SnapshotArgs) -> PathBuf {
    library::place(Path::new(&args.pipeline), &args.model)
}

fn file_name(model: &Path) -> String {
    model.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The command that makes the snapshot, for whoever finds it.
fn command(args: &SnapshotArgs) -> String {
    format!("onnx-pass snapshot {} {}", args.pipeline, args.model.display())
}
