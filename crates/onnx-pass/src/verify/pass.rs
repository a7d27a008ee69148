//! Stops the run when the model does not compute what the original did.
//!
//! ## What it does
//! Runs the model as it came and the model as it is now in ONNX Runtime with the same inputs, and compares every
//! output. Floats are random, indices of a table are random rows of it, positions count from 0, masks show
//! everything. The original's caches are empty: of length zero where they grow, zeros where they are buffers.
//!
//! ## Before → after
//! With `set: {batch: 2, seq_len: 8}`, for
//! ```text
//! agraph (int64[batch, seq_len] input_ids) => (float[batch, seq_len, 160] logits)
//! ```
//! the report has a line such as `logits  float[2, 8, 160]  2.4e-7  equal`, and the model is as it was.
//!
//! ## Requires
//! The library of ONNX Runtime: `pip install onnxruntime` for the `python3` of the PATH, or `ORT_DYLIB_PATH`.
//!
//! ## Guarantees
//! The model stays as it is. Nothing is written when an output is beyond the tolerance.
//!
//! ## Options
//! | option | value | meaning |
//! |---|---|---|
//! | `set` | lengths by symbol | the lengths of the inputs; each symbol that an input has needs one |
//! | `rename` | names | names of the model as it is, and what they were: `image_embeds: pixel_values_RetainedState` |
//! | `rtol`, `atol` | numbers | the tolerance, `atol + rtol × |original|`; 1e-4 and 1e-5 for float32, more for shorter types |
//! | `seed` | integer | another one makes other inputs |
//!
//! ## Refuses
//! Outputs that differ, with the largest difference. A symbol without a length. A model that ONNX Runtime does
//! not run, or no ONNX Runtime.

use indexmap::IndexMap;
use onnx_pass_ir::Model;
use onnx_pass_passes::options::{OptionKind, OptionSpec};
use onnx_pass_passes::pass::{Outcome, Pass, PassContext, PassError};
use serde::Deserialize;

use super::{VerifyError, VerifySettings, verify};

/// The step `verify` of a pipeline.
pub struct Verify;

#[derive(Debug, Deserialize)]
struct Options {
    #[serde(default)]
    set: IndexMap<String, i64>,
    #[serde(default)]
    rename: IndexMap<String, String>,
    rtol: Option<f64>,
    atol: Option<f64>,
    #[serde(default)]
    seed: i64,
}

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional(
        "set",
        OptionKind::Map(&OptionKind::IntAtLeast(0)),
        "none",
        "The lengths of the inputs, by symbol.",
    ),
    OptionSpec::optional(
        "rename",
        OptionKind::Map(&OptionKind::String),
        "none",
        "Names of the model as it is, and what they were.",
    ),
    OptionSpec::optional("rtol", OptionKind::Float, "by type", "The tolerance that grows with the numbers."),
    OptionSpec::optional("atol", OptionKind::Float, "by type", "The tolerance that does not."),
    OptionSpec::optional("seed", OptionKind::IntAtLeast(0), "0", "Another one makes other inputs."),
];

impl Pass for Verify {
    fn name(&self) -> &'static str {
        "verify"
    }

    fn source(&self) -> &'static str {
        include_str!("pass.rs")
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let options: Options = cx.parse()?;
        let settings = VerifySettings {
            set: options.set,
            rename: options.rename,
            rtol: options.rtol,
            atol: options.atol,
            seed: options.seed.unsigned_abs(),
            inputs: IndexMap::new(),
        };
        let Some(original) = &cx.original else {
            let reason = "the model as it came is not at hand; run the pipeline with `onnx_pass::run`";
            return Err(PassError::refused("the model", reason));
        };
        let comparison = verify(original, model, &settings).map_err(|error| match error {
            VerifyError::Model(error) => PassError::Model(error),
            error => PassError::refused("the model", in_pipeline(&error.to_string())),
        })?;
        if let Some(complaint) = comparison.complaint() {
            return Err(PassError::refused("the model", format!("it is not what it was: {complaint}")));
        }
        for output in &comparison.outputs {
            let gap = format!("{:.3e}", output.largest);
            cx.rows.push(vec![output.name.clone(), output.ty.clone(), gap, "equal".to_owned()]);
        }
        cx.count("outputs equal", comparison.outputs.len() as u64);
        Ok(Outcome::Unchanged)
    }
}

/// What the command says of its arguments, said of the options.
fn in_pipeline(text: &str) -> String {
    text.replace("--set ", "set: ").replace("--rename ", "rename: ")
}
