//! Removes operators that hand their operand on.
//!
//! ## What it does
//! Removes what does nothing to its operand in any run: `Identity`; a `Cast` to the type that is there; a
//! `Reshape`, `Expand`, `Squeeze` or `Flatten` to the shape that is there; a `Slice`, `Split`, `Pad` or `Tile`
//! of everything; a `Transpose` that keeps the order; a `Concat`, `Sum`, `Max` or `Min` of one; `Dropout` in
//! inference; a product with 1, a quotient by 1, a difference from 0; `Where`, `And`, `Or` with a known
//! operand. Two that undo or contain each other become one: transpositions, casts that lose nothing, chains of
//! reshapes. An operand of a `Concat` that has no element goes.
//!
//! ## Before → after
//! ```diff
//!   agraph (
//!     float[A,B,C] x
//!   ) => (
//!     float[A,B,C] y
//!   ) {
//! -   a = Transpose <perm = [0, 2, 1]> (x)
//! -   b = Transpose <perm = [0, 2, 1]> (a)
//! -   y = Relu (b)
//! +   y = Relu (x)
//!   }
//! ```
//!
//! ## Requires
//! Nothing. Shapes are inferred; where they do not tell, the operator stays.
//!
//! ## Guarantees
//! Every output is the same, bit for bit (`x + 0` stays for floats: it changes the sign of −0). The interface
//! stays; an output keeps its name.
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
pub struct EliminateIdentities;

impl Pass for EliminateIdentities {
    fn name(&self) -> &'static str {
        "eliminate-identities"
    }

    fn source(&self) -> &'static str {
        include_str!("eliminate_identities.rs")
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let rules = Rules { identities: true, ..Rules::NONE };
        Ok(Outcome::changed_if(fold::run(model, cx, rules)?))
    }
}
