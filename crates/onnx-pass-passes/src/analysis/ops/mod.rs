//! The shape rules, by operator.

use super::NodeCx;

/// A rule: reads the inputs' facts, sets the outputs'. What it cannot tell it leaves unset.
pub type Rule = fn(&mut NodeCx<'_>);

/// The rule of an operator; `domain` is canonical (empty for the standard one).
pub fn rule(domain: &str, op_type: &str) -> Option<Rule> {
    let _ = (domain, op_type);
    None
}
