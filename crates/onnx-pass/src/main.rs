//! The `onnx-pass` command.

use std::process::ExitCode;

/// A model is some hundred thousand small things: a fifth of a run's time with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    onnx_pass::cli::main()
}
