//! The shape rules, by operator: `core` has what shape arithmetic and transformers are made of, `rest` all
//! other operators.

mod core;
mod rest;

pub(crate) use core::permutation;

use super::NodeCx;

/// A rule: reads the inputs' facts, sets the outputs'. What it cannot tell it leaves unset.
pub type Rule = fn(&mut NodeCx<'_>);

/// The rule of an operator; `domain` is canonical (empty for the standard one).
pub fn rule(domain: &str, op_type: &str) -> Option<Rule> {
    core::rule(domain, op_type).or_else(|| rest::rule(domain, op_type))
}
