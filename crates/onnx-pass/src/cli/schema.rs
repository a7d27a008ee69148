//! `onnx-pass schema` and `onnx-pass completions`.

use std::error::Error;
use std::process::ExitCode;

use clap::CommandFactory;
use onnx_pass_passes::options::json_schema;

use super::args::{Cli, CompletionsArgs, SchemaArgs, SchemaOf};
use super::output::Output;
use crate::{diff, pass_specs, passes, report};

pub(super) fn schema(args: &SchemaArgs, out: &mut Output) -> Result<ExitCode, Box<dyn Error>> {
    let schema = match args.of {
        SchemaOf::Pipeline => json_schema(&pass_specs(&passes(&[]))),
        SchemaOf::Report => report::json_schema(),
        SchemaOf::Diff => diff::json_schema(),
    };
    out.line(&serde_json::to_string_pretty(&schema)?);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn completions(args: &CompletionsArgs, out: &mut Output) -> Result<ExitCode, Box<dyn Error>> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "onnx-pass", &mut script);
    out.text(&String::from_utf8(script)?);
    Ok(ExitCode::SUCCESS)
}
