//! `onnx-pass verify`.

use std::error::Error;
use std::process::ExitCode;

use onnx_pass_ir::{Model, ReadOptions};

use super::args::VerifyArgs;
use super::output::Output;
use crate::terminal::escape;
use crate::verify::{self as library, VerifySettings, npz};

pub(super) fn verify(args: &VerifyArgs, out: &mut Output) -> Result<ExitCode, Box<dyn Error>> {
    let options = ReadOptions { allow_symlinks: args.allow_symlinks };
    let original = Model::read_with(&args.original, &options)?;
    let rewritten = Model::read_with(&args.rewritten, &options)?;
    let mut settings = VerifySettings {
        set: args.set.iter().cloned().collect(),
        rename: args.rename.iter().cloned().collect(),
        rtol: args.rtol,
        atol: args.atol,
        seed: args.seed,
        ..VerifySettings::default()
    };
    if args.inputs.is_empty() {
        let equal = one(&original, &rewritten, &settings, out)?;
        return Ok(code(equal));
    }
    let mut equal = true;
    for file in &args.inputs {
        settings.inputs = npz::read(file)?;
        out.line(&format!("with {}:", escape(&file.to_string_lossy())));
        equal &= one(&original, &rewritten, &settings, out)?;
    }
    Ok(code(equal))
}

fn one(
    original: &Model,
    rewritten: &Model,
    settings: &VerifySettings,
    out: &mut Output,
) -> Result<bool, Box<dyn Error>> {
    let comparison = library::verify(original, rewritten, settings)?;
    out.text(&comparison.to_text());
    out.line(if comparison.holds() { "equal within the tolerance" } else { "NOT equal" });
    Ok(comparison.holds())
}

fn code(equal: bool) -> ExitCode {
    if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
