//! The `onnx-pass` command.

use std::process::ExitCode;

/// A model is some hundred thousand small things: a fifth of a run's time with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Large pages are cleared whole and half used: a quarter more memory, and more time to clear it than it saves.
fn take_small_pages() {
    #[cfg(target_os = "linux")]
    // A kernel that will not makes it slower, nothing else.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn main() -> ExitCode {
    take_small_pages();
    onnx_pass::cli::main()
}
