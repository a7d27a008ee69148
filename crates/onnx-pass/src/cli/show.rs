//! `onnx-pass show`.

use std::error::Error;
use std::process::ExitCode;

use onnx_pass_ir::text::{TextOptions, Weights};
use onnx_pass_ir::{Model, ReadOptions};

use super::args::{ShowArgs, WeightsShown};
use super::output::Output;
use crate::known;
use crate::show::{self as library, Depth, for_terminal};

/// Weights of fewer bytes are given as values even by reference: most of them are axes and shapes.
const VALUES: usize = 64;

pub(super) fn show(args: &ShowArgs, out: &mut Output) -> Result<ExitCode, Box<dyn Error>> {
    let model = Model::read_with(&args.model, &ReadOptions { allow_symlinks: args.allow_symlinks })?;
    let depth = &args.depth;
    let text = if depth.shapes {
        known::shapes(&model)
    } else if depth.caches {
        known::caches(&model)?
    } else if depth.text {
        let weights = match args.weights {
            WeightsShown::Inline => Weights::Inline,
            WeightsShown::Reference => Weights::Reference { over: VALUES },
        };
        let text = model.to_text(&TextOptions { weights, notes: true })?;
        // A file must get every character as it is, a terminal must not.
        if out.is_terminal() { for_terminal(&text) } else { text }
    } else {
        let depth = match (depth.signature, depth.full) {
            (true, _) => Depth::Signature,
            (_, true) => Depth::Full,
            _ => Depth::Outline,
        };
        library::show(&model, depth)?
    };
    out.text(&text);
    Ok(ExitCode::SUCCESS)
}
