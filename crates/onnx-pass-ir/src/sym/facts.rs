//! What is known of symbols beyond arithmetic.
//!
//! An equation is solved for one of its symbols, which from then on is replaced by its solution.
//! One that cannot be solved rewrites its leading monomial by the rest, which comes lower in the
//! order of monomials, so that rewriting ends. One that is good for neither is dropped: the facts
//! then know less, and say nothing wrong.
//!
//! Invariant: no solution, rewrite or known bound mentions a symbol that has a solution.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};

use ecow::EcoString;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Contradiction;
use super::bounds::{self, Range, default_range};
use super::div::{ceil_i128, common_monomial, content, floor_i128};
use super::expr::{Expr, Repr};
use super::poly::{self, Atom, Mono, Term};
use super::subst::{self, Rebuild};

/// How many equations that cannot be solved are kept.
const MAX_REWRITES: usize = 64;
/// How many bounds of expressions (rather than of symbols) are kept.
const MAX_KNOWN: usize = 64;
/// How often an expression is rewritten before it is left as it is.
const MAX_STEPS: usize = 32;
/// How many consequences of one equation are followed up.
const MAX_CONSEQUENCES: usize = 256;

/// Facts known about symbols: bounds and equations, learnt from a graph or given by a user.
///
/// Every answer holds for all values of the symbols which satisfy the facts.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The symbols whose range is not the default.
    ranges: FxHashMap<EcoString, Range>,
    declared: FxHashSet<EcoString>,
    solved: FxHashMap<EcoString, Expr>,
    /// For each symbol, the solved symbols whose solution mentions it.
    used_by: FxHashMap<EcoString, BTreeSet<EcoString>>,
    rewrites: Vec<Rewrite>,
    /// Bounds of expressions, which the symbols that they replaced had.
    known: Vec<(Expr, Range)>,
}

/// An equation that could not be solved, from left to right.
#[derive(Clone, Debug)]
struct Rewrite {
    from: Mono,
    to: Expr,
    /// The symbols of `from`.
    about: BTreeSet<EcoString>,
}

impl Rewrite {
    fn new(from: Mono, to: Expr) -> Self {
        let mut rule = Rewrite { from, to, about: BTreeSet::new() };
        rule.about = rule.left_side().symbols();
        rule
    }

    fn left_side(&self) -> Expr {
        Expr::from_terms(vec![Term { mono: self.from.clone(), coef: 1 }])
    }
}

/// Expressions that are zero, and are yet to be learnt from.
type Equations = VecDeque<Expr>;

impl Facts {
    /// Nothing is known but that no symbol is negative.
    pub fn new() -> Facts {
        Facts::default()
    }

    /// The symbol is at least this.
    pub fn set_min(&mut self, symbol: &str, min: i64) {
        self.set_range(symbol, (Some(min), None));
    }

    /// The symbol is at most this.
    pub fn set_max(&mut self, symbol: &str, max: i64) {
        self.set_range(symbol, (None, Some(max)));
    }

    fn set_range(&mut self, symbol: &str, range: Range) {
        let mut consequences = Equations::new();
        self.narrow(&self.simplify(&Expr::symbol(symbol)), range, &mut consequences);
        self.follow(consequences);
    }

    /// Marks a name that a user gave: where two symbols are equal, it is the one that is kept.
    pub fn declare(&mut self, symbol: &str) {
        if !self.declared.insert(symbol.into()) {
            return;
        }
        let Some(kept) = self.solved.get(symbol).and_then(Expr::as_symbol).map(EcoString::from) else {
            return;
        };
        if !self.declared.contains(&kept) {
            self.forget(symbol);
            let mut consequences = Equations::new();
            self.solve(kept, Expr::symbol(symbol), &mut consequences);
            self.follow(consequences);
        }
    }

    /// Both expressions have the same value.
    ///
    /// # Errors
    ///
    /// If they cannot have, by arithmetic or by what is known; the facts then stay as they were.
    pub fn assert_equal(&mut self, a: &Expr, b: &Expr) -> Result<(), Contradiction> {
        let difference = if a == b { Expr::ZERO } else { self.difference(a, b) };
        if difference.is_zero() {
            return Ok(());
        }
        // Only these have consequences that can fail after the first change.
        let before = (!self.rewrites.is_empty() || !self.known.is_empty()).then(|| self.clone());
        self.learn_all(Equations::from([difference])).map_err(|reason| {
            if let Some(before) = before {
                *self = before;
            }
            Contradiction { left: a.clone(), right: b.clone(), reason }
        })
    }

    /// Learns what follows from a bound or from a choice of names.
    fn follow(&mut self, consequences: Equations) {
        for e in consequences {
            // One that cannot be true says that the bounds contradict what was known. Then there
            // are no values to be wrong about, and whoever asserts more is told.
            let _ = self.learn_all(Equations::from([e]));
        }
    }

    fn learn_all(&mut self, mut equations: Equations) -> Result<(), String> {
        for _ in 0..MAX_CONSEQUENCES {
            let Some(e) = equations.pop_front() else { break };
            self.learn(&e, &mut equations)?;
        }
        Ok(())
    }

    /// The expression in terms of the symbols that are kept, with what the bounds decide decided.
    pub fn simplify(&self, e: &Expr) -> Expr {
        match &e.0 {
            Repr::Const(_) => e.clone(),
            Repr::Sym(name) => self.solved.get(name).unwrap_or(e).clone(),
            Repr::Poly(_) if !self.concerns(e) => e.clone(),
            Repr::Poly(_) => Rebuild {
                replacement: &|name| self.solved.get(name).cloned(),
                range: &|name| self.range(name),
                rewrite: &|e| self.rewrite(e),
            }
            .apply(e),
        }
    }

    /// As [`Facts::simplify`], of many; `None` when all are as simple as they can be.
    pub fn simplify_all(&self, all: &[Expr]) -> Option<Vec<Expr>> {
        if self.solved.is_empty() && self.rewrites.is_empty() && self.ranges.is_empty() {
            return None;
        }
        let (first, new) = all.iter().enumerate().find_map(|(i, e)| Some((i, self.simpler(e)?)))?;
        let mut out = Vec::with_capacity(all.len());
        out.extend_from_slice(&all[..first]);
        out.push(new);
        out.extend(all[first + 1..].iter().map(|e| self.simplify(e)));
        Some(out)
    }

    /// As [`Facts::simplify`]; `None` when it is as simple as it can be.
    pub fn simpler(&self, e: &Expr) -> Option<Expr> {
        match &e.0 {
            Repr::Const(_) => None,
            Repr::Sym(name) => self.solved.get(name).cloned(),
            Repr::Poly(_) if !self.concerns(e) => None,
            Repr::Poly(_) => Some(self.simplify(e)).filter(|new| new != e),
        }
    }

    /// Whether both are always equal (`true`) or never (`false`), if either is known.
    pub fn equal(&self, a: &Expr, b: &Expr) -> Option<bool> {
        if a == b {
            return Some(true);
        }
        if a.is_const() && b.is_const() {
            return Some(false);
        }
        let difference = self.difference(a, b);
        if difference.is_zero() {
            return Some(true);
        }
        match self.bounds_of(&difference) {
            (Some(0), Some(0)) => Some(true),
            range => excluded(&difference, range).map(|_| false),
        }
    }

    /// A lower and an upper bound.
    pub fn bounds(&self, e: &Expr) -> (Option<i64>, Option<i64>) {
        match &e.0 {
            Repr::Const(v) => (Some(*v), Some(*v)),
            _ => self.bounds_of(&self.simplify(e)),
        }
    }

    /// The lower bound alone: half the work of [`Facts::bounds`].
    pub fn least(&self, e: &Expr) -> Option<i64> {
        match &e.0 {
            Repr::Const(v) => Some(*v),
            _ => self.least_of(&self.simplify(e)),
        }
    }

    /// Whether `a <= b` always, as far as is known: half the work of [`Facts::le`].
    pub fn surely_le(&self, a: &Expr, b: &Expr) -> bool {
        match (a.as_const(), b.as_const()) {
            (Some(a), Some(b)) => a <= b,
            _ => self.least_of(&self.difference(b, a)).is_some_and(|least| least >= 0),
        }
    }

    /// Whether `a <= b` always (`true`) or never (`false`), if either is known.
    pub fn le(&self, a: &Expr, b: &Expr) -> Option<bool> {
        if let (Some(a), Some(b)) = (a.as_const(), b.as_const()) {
            return Some(a <= b);
        }
        match self.bounds_of(&self.difference(b, a)) {
            (Some(0..), _) => Some(true),
            (_, Some(..=-1)) => Some(false),
            _ => None,
        }
    }

    /// Whether `a < b` always (`true`) or never (`false`), if either is known.
    pub fn lt(&self, a: &Expr, b: &Expr) -> Option<bool> {
        self.le(b, a).map(|reversed| !reversed)
    }

    /// The symbols that are replaced and what replaces them, by name.
    pub fn solutions(&self) -> Vec<(EcoString, Expr)> {
        let mut out: Vec<_> = self.solved.iter().map(|(name, e)| (name.clone(), e.clone())).collect();
        out.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        out
    }

    fn range(&self, name: &str) -> Range {
        self.ranges.get(name).copied().unwrap_or_else(|| default_range(name))
    }

    fn difference(&self, a: &Expr, b: &Expr) -> Expr {
        let difference = self.simplify(a).sub(&self.simplify(b));
        // The terms of both together may be what a rewrite is about.
        if self.rewrites.is_empty() { difference } else { self.simplify(&difference) }
    }

    /// Whether simplifying can change a polynomial.
    fn concerns(&self, e: &Expr) -> bool {
        let ranges = !self.ranges.is_empty() && subst::has_operations(e);
        let symbols = ranges || !self.solved.is_empty();
        // Only what has all of a monomial in it can be rewritten.
        self.rewrites.iter().any(|rule| rule.about.iter().all(|name| e.mentions(name)))
            || symbols
                && !subst::visit_symbols(e, &mut |name| {
                    !(self.solved.contains_key(name) || ranges && self.ranges.contains_key(name))
                })
    }

    /// Applies the rewrites to the terms of a sum.
    fn rewrite(&self, mut e: Expr) -> Expr {
        for _ in 0..MAX_STEPS {
            let terms = e.terms();
            let hit = self.rewrites.iter().find_map(|rule| {
                terms.iter().find_map(|term| Some((rule, term, term.mono.div(&rule.from)?)))
            });
            let Some((rule, term, others)) = hit else { break };
            let old = Expr::from_terms(vec![term.clone()]);
            let factor = Expr::from_terms(vec![Term { mono: others, coef: term.coef }]);
            let next = e.sub(&old).add(&factor.mul(&rule.to));
            drop(terms);
            e = next;
        }
        e
    }

    /// The bounds of a simplified expression.
    fn bounds_of(&self, e: &Expr) -> Range {
        self.narrowed(e, bounds::bounds(e, &|name| self.range(name)))
    }

    /// The lower bound of a simplified expression.
    fn least_of(&self, e: &Expr) -> Option<i64> {
        self.narrowed(e, (bounds::lower(e, &|name| self.range(name)), None)).0
    }

    /// Bounds of a simplified expression, narrowed by what is known beyond the ranges of its symbols.
    fn narrowed(&self, e: &Expr, mut best: Range) -> Range {
        if !matches!(e.0, Repr::Poly(_)) {
            return best;
        }
        if let Some(shifted) = self.shifted(e) {
            best = intersect(best, shifted);
        }
        for (known, range) in &self.known {
            if !known.symbols().iter().any(|name| e.mentions(name)) {
                continue;
            }
            // e = (e - known) + known = (e + known) - known
            let within = |rest: &Expr| bounds::bounds(rest, &|name| self.range(name));
            best = intersect(best, add_ranges(within(&e.sub(known)), *range));
            best = intersect(best, add_ranges(within(&e.add(known)), negate_range(*range)));
        }
        best
    }

    /// The bounds with every symbol written as its least value and what is above it: this sees
    /// that `a*b - a` is not negative where `b` is at least 1.
    fn shifted(&self, e: &Expr) -> Option<Range> {
        if self.ranges.is_empty() || e.terms().iter().all(|t| t.coef > 0) {
            return None;
        }
        let least = |name: &str| self.ranges.get(name)?.0.filter(|low| *low > 0);
        if subst::visit_symbols(e, &mut |name| least(name).is_none()) {
            return None;
        }
        let range = |name: &str| {
            let (low, high) = self.range(name);
            match least(name) {
                Some(low) => (Some(0), high.and_then(|high| high.checked_sub(low))),
                None => (low, high),
            }
        };
        let shifted = subst::rebuild(e, &|name| Some(Expr::symbol(name) + least(name)?), &range);
        Some(bounds::bounds(&shifted, &range))
    }

    /// Learns that this is zero; what follows from it is put with the equations to come.
    fn learn(&mut self, e: &Expr, equations: &mut Equations) -> Result<(), String> {
        let difference = self.simplify(e);
        if difference.is_zero() {
            return Ok(());
        }
        if let Some(reason) = excluded(&difference, self.bounds_of(&difference)) {
            return Err(reason);
        }
        let difference = self.reduced(difference);
        if self.vanishing(&difference, equations) {
            return Ok(());
        }
        if let Some((symbol, solution)) = self.solvable(&difference) {
            self.solve(symbol, solution, equations);
        } else if let Some(rule) = orient(&difference).filter(|_| self.rewrites.len() < MAX_REWRITES) {
            self.rewrites.push(rule);
        }
        Ok(())
    }

    /// An equation with zero, divided by its common factors where they are not zero.
    fn reduced(&self, e: Expr) -> Expr {
        let terms = e.terms();
        let mono = common_monomial(&terms);
        let factor = Expr::from_terms(vec![Term { mono, coef: 1 }]);
        let mut out = e.clone();
        if self.bounds_of(&factor).0.is_some_and(|low| low >= 1) {
            out = out.exact_div(&factor).unwrap_or(out);
        }
        let divisor = i64::try_from(content(&terms)).map_or(Expr::ONE, Expr::constant);
        out.exact_div(&divisor).unwrap_or(out)
    }

    /// A sum of what is not negative is zero only if all of it is: whether that tells something.
    fn vanishing(&self, e: &Expr, equations: &mut Equations) -> bool {
        let terms = e.terms();
        let positive = terms.first().is_some_and(|t| t.coef > 0);
        let summands = terms.iter().map(|t| Expr::from_terms(vec![Term { coef: 1, ..t.clone() }]));
        let summands: Vec<Expr> = summands.collect();
        if terms.len() < 2
            || terms.iter().any(|t| (t.coef > 0) != positive)
            || !summands.iter().all(|e| self.bounds_of(e).0.is_some_and(|low| low >= 0))
        {
            return false;
        }
        equations.extend(summands);
        true
    }

    /// The symbol to solve `e == 0` for, and its solution: one that occurs once, alone, with a
    /// coefficient of one. Preferred are solutions that are numbers; then names that no user gave;
    /// then symbols whose range the solution has by itself; then longer and later names.
    fn solvable(&self, e: &Expr) -> Option<(EcoString, Expr)> {
        let mut occurrences: FxHashMap<EcoString, u32> = FxHashMap::default();
        subst::visit_symbols(e, &mut |name| {
            *occurrences.entry(name.clone()).or_default() += 1;
            true
        });
        let terms = e.terms();
        let candidates = terms.iter().filter_map(|term| {
            let name = term.mono.as_symbol()?;
            if !matches!(term.coef, 1 | -1) || occurrences.get(name) != Some(&1) {
                return None;
            }
            let symbol = [Term { mono: term.mono.clone(), coef: term.coef }];
            let rest = poly::add_scaled(&terms, &symbol, -1)?;
            let solution = poly::add_scaled(&[], &rest, -term.coef).map(Expr::from_terms)?;
            Some((name.clone(), solution))
        });
        candidates.min_by_key(|(name, solution)| {
            let implied = within(self.bounds_of(solution), self.range(name));
            let unwanted = (!solution.is_const(), self.declared.contains(name), !implied);
            (unwanted, Reverse((name.len(), name.clone())))
        })
    }

    /// Replaces a symbol by its solution, everywhere, from now on.
    fn solve(&mut self, symbol: EcoString, solution: Expr, equations: &mut Equations) {
        let users = self.used_by.remove(&symbol).unwrap_or_default();
        for user in users {
            if let Some(old) = self.solved.get(&user) {
                let new = self.replaced(old, &symbol, &solution);
                self.forget(&user);
                self.remember(user, new);
            }
        }
        self.remember(symbol.clone(), solution.clone());

        self.revisit(&symbol, equations);
        let range = self.ranges.remove(&symbol).unwrap_or_else(|| default_range(&symbol));
        for (e, range) in std::mem::take(&mut self.known) {
            let e = if e.mentions(&symbol) { self.replaced(&e, &symbol, &solution) } else { e };
            self.narrow(&e, range, equations);
        }
        self.narrow(&solution, range, equations);
    }

    /// Learns the rewrites about a symbol again, of which more is known now.
    fn revisit(&mut self, symbol: &str, equations: &mut Equations) {
        let about = |rule: &Rewrite| rule.to.mentions(symbol) || rule.left_side().mentions(symbol);
        if self.rewrites.iter().any(about) {
            let (stale, kept) = std::mem::take(&mut self.rewrites).into_iter().partition(about);
            self.rewrites = kept;
            let stale: Vec<Rewrite> = stale;
            equations.extend(stale.iter().map(|rule| rule.left_side().sub(&rule.to)));
        }
    }

    fn replaced(&self, e: &Expr, symbol: &str, solution: &Expr) -> Expr {
        subst::rebuild(e, &|name| (name == symbol).then(|| solution.clone()), &|name| self.range(name))
    }

    fn remember(&mut self, symbol: EcoString, solution: Expr) {
        for name in solution.symbols() {
            self.used_by.entry(name).or_default().insert(symbol.clone());
        }
        self.solved.insert(symbol, solution);
    }

    fn forget(&mut self, symbol: &str) {
        let Some(solution) = self.solved.remove(symbol) else { return };
        for name in solution.symbols() {
            if let Some(users) = self.used_by.get_mut(&name) {
                users.remove(symbol);
            }
        }
    }

    /// Learns that a simplified expression lies in a range.
    fn narrow(&mut self, e: &Expr, range: Range, equations: &mut Equations) {
        match linear(e) {
            Some((name, factor, offset)) => {
                let range = solve_range(range, factor, offset);
                let narrowed = intersect(self.range(&name), range);
                if narrowed == self.range(&name) {
                    return;
                }
                self.ranges.insert(name.clone(), narrowed);
                self.revisit(&name, equations);
                if let (Some(low), Some(high)) = narrowed
                    && low == high
                {
                    equations.push_back(Expr::symbol(name) - low);
                }
            }
            None if e.is_const() || within(self.bounds_of(e), range) => {}
            None if self.known.len() < MAX_KNOWN => self.known.push((e.clone(), range)),
            None => {}
        }
    }
}

/// Why an expression with these bounds cannot be zero, if it cannot.
fn excluded(e: &Expr, (low, high): Range) -> Option<String> {
    if let Some(value) = e.as_const().filter(|value| *value != 0) {
        return Some(format!("they differ by {}", value.unsigned_abs()));
    }
    if let Some(low) = low.filter(|low| *low > 0) {
        return Some(format!("the first is greater by at least {low}"));
    }
    if let Some(high) = high.filter(|high| *high < 0) {
        return Some(format!("the first is less by at least {}", high.unsigned_abs()));
    }
    let terms = e.terms();
    let (constant, others) = terms.split_last().filter(|(last, _)| last.mono.is_one())?;
    let divisor = content(others);
    (divisor > 1 && constant.coef.unsigned_abs() % divisor != 0)
        .then(|| format!("their difference leaves a remainder when divided by {divisor}"))
}

/// The rewrite that `e == 0` is good for.
fn orient(e: &Expr) -> Option<Rewrite> {
    let terms = e.terms();
    let rule = |term: &Term| {
        if !matches!(term.coef, 1 | -1) || term.mono.is_one() {
            return None;
        }
        let rest = poly::add_scaled(&terms, std::slice::from_ref(term), -1)?;
        let to = poly::add_scaled(&[], &rest, -term.coef).map(Expr::from_terms)?;
        Some(Rewrite::new(term.mono.clone(), to))
    };
    // The leading monomial, unless what replaces it holds it, or part of it, in an operation.
    let leading = terms.first().and_then(rule).filter(|rule| {
        let from = rule.left_side().symbols();
        operations(&rule.to).all(|op| op.symbols().is_disjoint(&from))
    });
    // Or an operation, if what replaces it has none.
    let operation = || {
        let with = terms.iter().filter(|t| t.mono.factors().iter().any(|(a, _)| matches!(a, Atom::Op(_))));
        with.filter_map(rule).find(|rule| !subst::has_operations(&rule.to))
    };
    leading.or_else(operation)
}

/// The operations in the terms of an expression, each by itself.
fn operations(e: &Expr) -> impl Iterator<Item = Expr> {
    let terms = e.terms();
    let atoms = terms.iter().flat_map(|t| t.mono.factors()).map(|(atom, _)| atom.clone());
    let ops: Vec<Atom> = atoms.filter(|atom| matches!(atom, Atom::Op(_))).collect();
    ops.into_iter().map(Expr::from_atom)
}

/// `(s, factor, offset)` if this is `factor*s + offset`.
fn linear(e: &Expr) -> Option<(EcoString, i64, i64)> {
    let terms = e.terms();
    let (first, rest) = terms.split_first()?;
    let name = first.mono.as_symbol()?;
    match rest {
        [] => Some((name.clone(), first.coef, 0)),
        [last] if last.mono.is_one() => Some((name.clone(), first.coef, last.coef)),
        _ => None,
    }
}

/// The range of `s` when `factor*s + offset` is in this range.
fn solve_range((low, high): Range, factor: i64, offset: i64) -> Range {
    let less = |v: Option<i64>| v.map(|v| i128::from(v) - i128::from(offset));
    let (low, high) = if factor > 0 { (less(low), less(high)) } else { (less(high), less(low)) };
    let factor = i128::from(factor);
    let fit = |v: i128| i64::try_from(v).ok();
    (low.and_then(|v| fit(ceil_i128(v, factor))), high.and_then(|v| fit(floor_i128(v, factor))))
}

fn intersect(a: Range, b: Range) -> Range {
    let high = match (a.1, b.1) {
        (Some(x), Some(y)) => Some(x.min(y)),
        (x, y) => x.or(y),
    };
    (a.0.max(b.0), high)
}

fn within(inner: Range, outer: Range) -> bool {
    intersect(inner, outer) == inner
}

fn add_ranges(a: Range, b: Range) -> Range {
    let add = |a: Option<i64>, b: Option<i64>| a?.checked_add(b?);
    (add(a.0, b.0), add(a.1, b.1))
}

fn negate_range((low, high): Range) -> Range {
    (high.and_then(i64::checked_neg), low.and_then(i64::checked_neg))
}

#[cfg(test)]
mod tests;
