//! The `onnx-pass` command.

use std::process::ExitCode;

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// A model is some hundred thousand small things: a fifth of a run's time with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, which has this number in versions 2 and 3.
const PURGE_DELAY: mi_option_t = 15;

/// The tables of one step go back to the system before the next makes its own. The allocator's pages are large ones,
/// which cost a third of the time to clear that small ones do; what is freed and kept would be a quarter more memory.
fn give_back_at_once() {
    // SAFETY: sets a number that the allocator reads when something is freed.
    unsafe { mi_option_set(PURGE_DELAY, 0) };
}

fn main() -> ExitCode {
    give_back_at_once();
    onnx_pass::cli::main()
}
