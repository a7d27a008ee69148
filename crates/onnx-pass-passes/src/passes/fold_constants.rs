//! Computes what is the same in every run.
//!
//! ## What it does
//! Follows shapes, and the contents of the small integer tensors that shape arithmetic is made of, as symbolic
//! expressions through the whole model. A result whose every element is one number in every run becomes an
//! initializer; so does one without elements. Operators on constants are computed where the result is exact in
//! every runtime. The target of a `Reshape` or `Expand` that the data's own lengths tell becomes a constant
//! with 0 and −1 in it. An `If` whose condition is known becomes the branch that it takes, a `Loop` that runs
//! never or once its body. What nothing reads any more is removed.
//!
//! ## Before → after
//! ```diff
//!   agraph (
//!     float[B,S,128] x
//!   ) => (
//!     float[B,S,8,16] y
//!   ) <
//! -   int64 zero = {0},
//! -   int64 one = {1},
//! -   int64[1] at = {0},
//! -   int64[2] heads = {8, 16}
//! +   int64[4] target_target = {0, 0, 8, 16}
//!   > {
//! -   shape = Shape (x)
//! -   batch = Gather (shape, zero)
//! -   length = Gather (shape, one)
//! -   b = Unsqueeze (batch, at)
//! -   l = Unsqueeze (length, at)
//! -   target = Concat <axis = 0> (b, l, heads)
//! -   y = Reshape (x, target)
//! +   y = Reshape (x, target_target)
//!   }
//! ```
//!
//! ## Requires
//! Nothing. What is not known stays.
//!
//! ## Guarantees
//! Every output is the same, bit for bit: an operation that runtimes may round differently is not folded. The
//! interface stays. The file does not grow by more than `max-bytes` a folded result: a larger result is folded
//! only when the constants that it replaces are as large.
//!
//! ## Options
//! `max-bytes`: a result of at most so many bytes is folded whatever it replaces (1024).
//!
//! ## Refuses
//! Nothing.

use serde::Deserialize;

use onnx_pass_ir::Model;

use crate::fold::{self, DEFAULT_MAX_BYTES, Rules};
use crate::options::{OptionKind, OptionSpec};
use crate::pass::{Outcome, Pass, PassContext, PassError};

/// The pass.
pub struct FoldConstants;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Options {
    #[serde(default = "default_max_bytes")]
    max_bytes: usize,
}

fn default_max_bytes() -> usize {
    DEFAULT_MAX_BYTES
}

static OPTIONS: &[OptionSpec] = &[OptionSpec::optional(
    "max-bytes",
    OptionKind::IntAtLeast(0),
    "1024",
    "A result of at most so many bytes is folded whatever it replaces; a larger one only when it replaces as much.",
)];

impl Pass for FoldConstants {
    fn name(&self) -> &'static str {
        "fold-constants"
    }

    fn source(&self) -> &'static str {
        include_str!("fold_constants.rs")
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let options: Options = cx.parse()?;
        let rules = Rules { constants: true, max_bytes: options.max_bytes, ..Rules::NONE };
        Ok(Outcome::changed_if(fold::run(model, cx, rules)?))
    }
}
