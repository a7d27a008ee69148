//! Symbolic dimensions: integer expressions over named symbols, and facts about them.
//!
//! A dimension of a tensor is a number or an expression such as `past_sequence_length +
//! sequence_length`. [`Expr`] holds one in a canonical form, so that lengths which are equal by
//! arithmetic are equal by `==`; [`Facts`] holds what is known beyond arithmetic: bounds of
//! symbols and equations between expressions.
//!
//! Invariant: a symbol stands for a dimension, an integer of at least 0.
//!
//! Invariant: a divisor is taken to be nonzero, and one that cannot be negative is therefore at
//! least 1. A model in which it is zero fails when it is run, whatever we conclude.
//!
//! Invariant: arithmetic never wraps. What does not fit in an `i64` stays unexpanded (an
//! [`Expr`] which is still equal to itself and still evaluates), and what grows beyond a fixed
//! size or depth becomes an opaque atom, equal to itself and nothing else, of unknown value.

mod bounds;
mod build;
mod display;
mod div;
mod error;
mod expr;
mod facts;
mod minmax;
mod parse;
mod poly;
mod subst;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

pub use build::Build;
pub use display::QuotedName;
pub use error::{Contradiction, ParseExprError, ParseExprErrorKind};
pub use expr::Expr;
pub use facts::Facts;
