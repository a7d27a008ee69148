//! What can be wrong with the text of an expression, or with an equation.

use super::Expr;

/// Why a text is not an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset} of the expression")]
pub struct ParseExprError {
    /// What is wrong.
    pub kind: ParseExprErrorKind,
    /// The byte of the text at which it was seen.
    pub offset: usize,
}

/// What is wrong with the text of an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseExprErrorKind {
    /// A character that no expression has in this place.
    #[error("unexpected character {0:?}")]
    UnexpectedCharacter(char),
    /// A token in the wrong place.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// What the grammar allows here.
        expected: &'static str,
        /// What stands here instead.
        found: String,
    },
    /// An integer outside of 64 bits, or a decimal fraction which floating point cannot hold
    /// exactly.
    #[error("the number {0} cannot be represented exactly")]
    Number(String),
    /// A call of something that is not one of the known functions.
    #[error("unknown function {0:?}")]
    UnknownFunction(String),
    /// A known function with the wrong number of arguments.
    #[error("{0} takes another number of arguments")]
    Arity(&'static str),
    /// A fraction which is not known to be an integer, where an integer is needed.
    #[error("the division is not known to be exact (use // for floor division)")]
    InexactDivision,
    /// A division by the constant zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A power with an exponent that is not a small non-negative integer.
    #[error("the exponent is not a small non-negative integer")]
    Exponent,
    /// Longer than any honest expression.
    #[error("the expression is too long")]
    TooLong,
    /// Nested more deeply than any honest expression.
    #[error("the expression is nested too deeply")]
    TooDeep,
}

/// Two expressions that were said to be equal, and cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{left} cannot be equal to {right}: {reason}")]
pub struct Contradiction {
    /// The one side, as it was given.
    pub left: Expr,
    /// The other side, as it was given.
    pub right: Expr,
    /// What excludes it.
    pub reason: String,
}
