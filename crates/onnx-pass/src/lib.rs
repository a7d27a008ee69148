//! Rewrites exported ONNX models: a pipeline and a model in, a model, files for compilers and a report out.
//!
//! [`run`] is the whole of it: no file is touched and nothing is printed. [`pipeline`] reads the pipelines,
//! [`shipped`] holds those that come with the crate, [`report`] says what was done; [`show`], [`diff`] and
//! [`snapshot`] are for who reviews it. With the feature `cli` (on
//! unless turned off) there is the `onnx-pass` command as well, as the module [`cli`].

#[cfg(feature = "cli")]
pub mod cli;
pub mod diff;
pub mod git;
pub mod known;
pub mod outputs;
pub mod pipeline;
#[cfg(feature = "cli")]
pub mod progress;
pub mod report;
mod run;
pub mod shipped;
pub mod show;
pub mod snapshot;
mod structure;
pub mod terminal;
pub mod together;
#[cfg(feature = "verify")]
pub mod verify;
pub mod weights;
pub mod write;

pub use onnx_pass_ir::{Model, text};
pub use onnx_pass_passes::pass::{Artifact, Companion};
pub use pipeline::Pipeline;
pub use report::Report;
pub use run::{Run, RunError, RunSettings, Silent, Watch, pass_specs, passes, run, run_watched};

/// The examples of the README and of `docs/` are tests.
#[cfg(doctest)]
mod examples {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/reviewing.md")]
    struct Reviewing;
    #[doc = include_str!("../../../docs/writing-a-pass.md")]
    struct WritingAPass;
}
