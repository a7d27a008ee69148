//! The `onnx-pass` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    onnx_pass::cli::main()
}
