//! Computes once what is computed twice.
//!
//! ## What it does
//! Of two nodes of one graph with the same operator, operands and attributes the first does for both. Small
//! integer tensors are also compared by what they hold: two reads of the same length, from whatever tensors and
//! by whatever operators, are one. Small constants with the same contents become one.
//!
//! ## Before → after
//! ```diff
//!   agraph (
//!     float[N] x,
//!     float u,
//!     float v
//!   ) => (
//!     float[N] y,
//!     float[N] z
//!   ) {
//!     a = Shape (x)
//! -   b = Shape (x)
//!     y = Expand (u, a)
//! -   z = Expand (v, b)
//! +   z = Expand (v, a)
//!   }
//! ```
//!
//! ## Requires
//! Nothing.
//!
//! ## Guarantees
//! Every output is the same. Operators whose result is random are left alone, and so is every node that makes
//! a graph's output.
//!
//! ## Options
//! None.
//!
//! ## Refuses
//! Nothing.

use onnx_pass_ir::Model;

use crate::fold::{self, Rules};
use crate::pass::{Outcome, Pass, PassContext, PassError};

/// The pass.
pub struct EliminateCommonSubexpressions;

impl Pass for EliminateCommonSubexpressions {
    fn name(&self) -> &'static str {
        "eliminate-common-subexpressions"
    }

    fn source(&self) -> &'static str {
        include_str!("eliminate_common_subexpressions.rs")
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let rules = Rules { common: true, ..Rules::NONE };
        Ok(Outcome::changed_if(fold::run(model, cx, rules)?))
    }
}
