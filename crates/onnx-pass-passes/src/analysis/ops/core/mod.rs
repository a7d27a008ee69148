//! Rules of the operators that shape arithmetic and transformers are made of.

use super::Rule;

/// The rule of an operator.
pub(super) fn rule(domain: &str, op_type: &str) -> Option<Rule> {
    let _ = (domain, op_type);
    None
}
