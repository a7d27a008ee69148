//! The `onnx-pass` command: arguments in, text and an exit code out. What it does, the library does.

mod args;
mod diff;
mod git;
mod output;
mod passes;
mod run;
mod schema;
mod show;
mod snapshot;
#[cfg(feature = "verify")]
mod verify;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use crate::terminal::escape;
use args::{Cli, Command};
use output::Output;
pub use passes::pages;

/// Reads the arguments, does what they say, prints the error in one line. The exit code is 0 when all went well,
/// 1 when something was refused or failed, 2 when the arguments make no sense.
pub fn main() -> ExitCode {
    onnx_pass_ir::install_sigbus_handler();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help is an "error" that goes to standard output. A reader that left is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut out = Output::stdout();
    match dispatch(cli, &mut out) {
        Ok(code) => code,
        Err(error) => {
            Output::stderr().line(&format!("error: {}", one_line(error.as_ref())));
            if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Arguments that make no sense together or for what they name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn dispatch(cli: Cli, out: &mut Output) -> Result<ExitCode, Box<dyn Error>> {
    match cli.command {
        Command::Run(args) => run::run(&args, out),
        Command::Show(args) => show::show(&args, out),
        Command::Diff(args) => Ok(diff::diff(&args, out)),
        Command::Snapshot(args) => snapshot::snapshot(&args, out),
        Command::GitSetup(args) => git::setup(&args, out),
        Command::GitTextconv { file } => git::textconv(&file, out),
        Command::GitDiff { arguments } => git::diff(&arguments, out),
        Command::Passes(args) => passes::passes(&args, out),
        #[cfg(feature = "verify")]
        Command::Verify(args) => verify::verify(&args, out),
        Command::Schema(args) => schema::schema(&args, out),
        Command::Completions(args) => schema::completions(&args, out),
    }
}

/// An error with its causes. A cause that the error's own text ends with is not told twice.
fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    escape(&text).into_owned()
}
