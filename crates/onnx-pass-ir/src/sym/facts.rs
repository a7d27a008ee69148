//! What is known of symbols beyond arithmetic.
use std::collections::BTreeMap;

use ecow::EcoString;

use super::bounds::{self, Range};
use super::{Contradiction, Expr};

/// Facts known about symbols: bounds and equalities.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    ranges: BTreeMap<EcoString, Range>,
}

impl Facts {
    /// Nothing is known.
    pub fn new() -> Facts {
        Facts::default()
    }

    /// The symbol is at least this.
    pub fn set_min(&mut self, symbol: &str, min: i64) {
        let range = self.ranges.entry(symbol.into()).or_insert((Some(0), None));
        range.0 = range.0.max(Some(min));
    }

    /// The symbol is at most this.
    pub fn set_max(&mut self, symbol: &str, max: i64) {
        let range = self.ranges.entry(symbol.into()).or_insert((Some(0), None));
        range.1 = Some(range.1.map_or(max, |old| old.min(max)));
    }

    /// Marks a name that a user gave, which is kept where two symbols turn out to be equal.
    pub fn declare(&mut self, _symbol: &str) {}

    /// Both expressions have the same value.
    ///
    /// # Errors
    ///
    /// If they cannot have.
    pub fn assert_equal(&mut self, a: &Expr, b: &Expr) -> Result<(), Contradiction> {
        match self.equal(a, b) {
            Some(false) => {
                Err(Contradiction { left: a.clone(), right: b.clone(), reason: "they differ".into() })
            }
            _ => Ok(()),
        }
    }

    /// The expression in the simplest terms that the facts allow.
    pub fn simplify(&self, e: &Expr) -> Expr {
        e.clone()
    }

    /// Whether both are always equal (`true`) or never (`false`), if either is known.
    pub fn equal(&self, a: &Expr, b: &Expr) -> Option<bool> {
        let (low, high) = self.bounds(&a.sub(b));
        match (low, high) {
            (Some(0), Some(0)) => Some(true),
            (Some(1..), _) | (_, Some(..=-1)) => Some(false),
            _ => None,
        }
    }

    /// A lower and an upper bound.
    pub fn bounds(&self, e: &Expr) -> (Option<i64>, Option<i64>) {
        bounds::bounds(e, &|name| self.ranges.get(name).copied().unwrap_or((Some(0), None)))
    }

    /// Whether `a <= b` always (`true`) or never (`false`), if either is known.
    pub fn le(&self, a: &Expr, b: &Expr) -> Option<bool> {
        match self.bounds(&b.sub(a)) {
            (Some(0..), _) => Some(true),
            (_, Some(..=-1)) => Some(false),
            _ => None,
        }
    }

    /// Whether `a < b` always (`true`) or never (`false`), if either is known.
    pub fn lt(&self, a: &Expr, b: &Expr) -> Option<bool> {
        self.le(b, a).map(|le| !le)
    }
}
