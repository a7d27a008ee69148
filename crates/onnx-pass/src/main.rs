//! The `onnx-pass` command.

use std::ffi::c_long;
use std::process::ExitCode;

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// A model is some hundred thousand small things: a fifth of a run's time with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, which has this number in versions 2 and 3.
const PURGE_DELAY: mi_option_t = 15;

/// What one step frees is what the next one takes. Memory that goes back to the system in between is cleared again when
/// it returns, which cost a sixth of a run.
fn keep_what_is_freed() {
    const NEVER: c_long = -1;
    // SAFETY: sets a number that the allocator reads when something is freed.
    unsafe { mi_option_set(PURGE_DELAY, NEVER) };
}

fn main() -> ExitCode {
    keep_what_is_freed();
    onnx_pass::cli::main()
}
