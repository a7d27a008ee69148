//! Bounds of an expression, from the ranges of its symbols.
//!
//! Interval arithmetic over the terms, and, where operations occur, what relates them to their
//! operands: `floor(n/d)` is within one of `n/d`, a minimum is one of its operands and no more
//! than any. This is what sees that `a - 8*(a//8)` lies in `0..=7`.

use super::div::{ceil_i128, floor_i128};
use super::expr::{Expr, Repr};
use super::poly::{Atom, Mono, Op, Term};
use super::subst::has_operations;

/// A lower and an upper bound, where there are any.
pub(super) type Range = (Option<i64>, Option<i64>);
/// The range of each symbol.
pub(super) type RangeOf<'a> = dyn Fn(&str) -> Range + 'a;

/// How often operations are replaced by their operands in search of a better bound.
const BUDGET: u32 = 48;

/// What every symbol is in: a dimension is not negative.
pub(super) fn default_range(_: &str) -> Range {
    (Some(0), None)
}

/// The bounds of an expression.
pub(super) fn bounds(e: &Expr, range: &RangeOf) -> Range {
    match &e.0 {
        Repr::Const(v) => (Some(*v), Some(*v)),
        Repr::Sym(name) => range(name),
        Repr::Poly(_) => (lower(e, range), upper(e, range)),
    }
}

/// The lower bound of an expression.
pub(super) fn lower(e: &Expr, range: &RangeOf) -> Option<i64> {
    let mut budget = BUDGET;
    saturate(lower_within(e, range, &mut budget)?, i64::MIN)
}

/// The upper bound of an expression.
pub(super) fn upper(e: &Expr, range: &RangeOf) -> Option<i64> {
    let mut budget = BUDGET;
    let high = interval(e, range).high;
    let by_operands =
        if has_operations(e) { lower_within(&e.neg(), range, &mut budget).map(|low| -low) } else { None };
    let best = match (high, by_operands) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b)?,
    };
    saturate(best, i64::MAX)
}

/// A bound as an `i64`: one beyond the range says nothing if it is on the unbounded side, and is
/// weakened to the end of the range on the other.
fn saturate(bound: i128, weak: i64) -> Option<i64> {
    match i64::try_from(bound) {
        Ok(bound) => Some(bound),
        Err(_) if weak == i64::MIN && bound > 0 => Some(i64::MAX),
        Err(_) if weak == i64::MAX && bound < 0 => Some(i64::MIN),
        Err(_) => None,
    }
}

fn lower_within(e: &Expr, range: &RangeOf, budget: &mut u32) -> Option<i128> {
    let mut best = interval(e, range).low;
    if !has_operations(e) {
        return best;
    }
    let terms = e.terms();
    for (at, term) in terms.iter().enumerate() {
        let Some((op, others)) = linear_operation(term, range) else { continue };
        if *budget == 0 {
            break;
        }
        *budget -= 1;
        let rest = terms.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, t)| t.clone());
        let rest = Expr::from_terms(rest.collect());
        let factor = Expr::from_terms(vec![Term { mono: others, coef: term.coef }]);
        best = best.max(relaxed_lower(&rest, &factor, term.coef > 0, op, range, budget));
    }
    best
}

/// The operation of a term that is linear in it and nowhere negative in the rest.
fn linear_operation<'a>(term: &'a Term, range: &RangeOf) -> Option<(&'a Op, Mono)> {
    for (atom, power) in term.mono.factors() {
        let Atom::Op(op) = atom else { continue };
        if *power != 1 || matches!(**op, Op::Opaque(_)) {
            continue;
        }
        let others = term.mono.div(&Mono::atom(atom.clone()))?;
        if mono_interval(&others, range).low.is_some_and(|low| low >= 0) {
            return Some((op, others));
        }
    }
    None
}

/// A lower bound of `rest + factor*op`, `factor` having this sign.
fn relaxed_lower(
    rest: &Expr,
    factor: &Expr,
    positive: bool,
    op: &Op,
    range: &RangeOf,
    budget: &mut u32,
) -> Option<i128> {
    let mut with = |operand: &Expr| lower_within(&rest.add(&factor.mul(operand)), range, budget);
    match op {
        Op::Min(args) | Op::Max(args) => {
            let bounds = args.iter().map(&mut with);
            if matches!(op, Op::Min(_)) == positive {
                // It is one of them, so the worst of them bounds it.
                bounds.reduce(|a, b| Some(a?.min(b?)))?
            } else {
                bounds.reduce(Option::max)?
            }
        }
        Op::Group(inner) => with(inner),
        Op::FloorDiv(n, d) => {
            // n - (d - 1) <= d*op <= n, for d >= 1.
            let product = if positive { n.sub(d).add(&Expr::ONE) } else { n.clone() };
            if let Some(k) = d.as_const().filter(|k| *k > 0) {
                let scaled = rest.mul(d).add(&factor.mul(&product));
                return Some(ceil_i128(lower_within(&scaled, range, budget)?, k.into()));
            }
            if interval(d, range).low? < 0 {
                return None;
            }
            let factor = super::div::exact_div(factor, d)?;
            lower_within(&rest.add(&factor.mul(&product)), range, budget)
        }
        Op::Opaque(_) => None,
    }
}

/// Integers between two bounds, in wider arithmetic.
#[derive(Clone, Copy)]
struct Interval {
    low: Option<i128>,
    high: Option<i128>,
}

impl Interval {
    fn point(v: i128) -> Interval {
        Interval { low: Some(v), high: Some(v) }
    }

    fn unknown() -> Interval {
        Interval { low: None, high: None }
    }

    fn neg(self) -> Interval {
        let neg = |v: Option<i128>| v.and_then(i128::checked_neg);
        Interval { low: neg(self.high), high: neg(self.low) }
    }

    fn add(self, other: Interval) -> Interval {
        let add = |a: Option<i128>, b: Option<i128>| a?.checked_add(b?);
        Interval { low: add(self.low, other.low), high: add(self.high, other.high) }
    }

    fn is_nonneg(self) -> bool {
        self.low.is_some_and(|low| low >= 0)
    }

    fn is_nonpos(self) -> bool {
        self.high.is_some_and(|high| high <= 0)
    }

    fn mul(self, other: Interval) -> Interval {
        let mul = |a: Option<i128>, b: Option<i128>| a?.checked_mul(b?);
        if self.is_nonneg() && other.is_nonneg() {
            let high = match (self.high, other.high) {
                (Some(0), _) | (_, Some(0)) => Some(0),
                (a, b) => mul(a, b),
            };
            return Interval { low: mul(self.low, other.low).or(Some(0)), high };
        }
        if self.is_nonpos() {
            return self.neg().mul_signed(other).neg();
        }
        if other.is_nonpos() {
            return self.mul_signed(other.neg()).neg();
        }
        self.mul_signed(other)
    }

    /// As `mul`, neither being nonpositive unless the caller has already turned one.
    fn mul_signed(self, other: Interval) -> Interval {
        if self.is_nonneg() && other.is_nonneg() {
            return self.mul(other);
        }
        if self.is_nonneg() && other.is_nonpos() {
            return self.mul(other.neg()).neg();
        }
        if other.is_nonneg() && self.is_nonpos() {
            return self.neg().mul(other).neg();
        }
        let ends = [self.low, self.high];
        let mut all = Vec::with_capacity(4);
        for a in ends {
            for b in [other.low, other.high] {
                match (a, b) {
                    (Some(a), Some(b)) => all.extend(a.checked_mul(b)),
                    _ => return self.half_bounded(other),
                }
            }
        }
        if all.len() < 4 {
            return Interval::unknown();
        }
        Interval { low: all.iter().min().copied(), high: all.iter().max().copied() }
    }

    /// The product where an end is open: only a nonnegative factor keeps a bound of zero.
    fn half_bounded(self, other: Interval) -> Interval {
        let (nonneg, any) = if self.is_nonneg() { (self, other) } else { (other, self) };
        let (Some(high), true) = (nonneg.high, nonneg.is_nonneg()) else { return Interval::unknown() };
        // 0 <= nonneg <= high, and `any` has both signs or an open end.
        let scale = |end: Option<i128>| end.and_then(|end| end.checked_mul(high));
        Interval {
            low: any.low.and_then(|low| if low >= 0 { Some(0) } else { scale(Some(low)) }),
            high: any.high.and_then(|end| if end <= 0 { Some(0) } else { scale(Some(end)) }),
        }
    }

    fn pow(self, power: u32) -> Interval {
        let mut out = Interval::point(1);
        for _ in 0..power {
            out = out.mul(self);
        }
        if power.is_multiple_of(2) {
            out.low = Some(out.low.unwrap_or(0).max(0));
        }
        out
    }
}

fn interval(e: &Expr, range: &RangeOf) -> Interval {
    match &e.0 {
        Repr::Const(v) => Interval::point((*v).into()),
        Repr::Sym(name) => symbol_interval(name, range),
        Repr::Poly(poly) => poly.terms.iter().fold(Interval::point(0), |sum, term| {
            sum.add(mono_interval(&term.mono, range).mul(Interval::point(term.coef.into())))
        }),
    }
}

fn symbol_interval(name: &str, range: &RangeOf) -> Interval {
    let (low, high) = range(name);
    Interval { low: low.map(i128::from), high: high.map(i128::from) }
}

fn mono_interval(mono: &Mono, range: &RangeOf) -> Interval {
    mono.factors().iter().fold(Interval::point(1), |product, (atom, power)| {
        let base = match atom {
            Atom::Sym(name) => symbol_interval(name, range),
            Atom::Op(op) => op_interval(op, range),
        };
        product.mul(base.pow(*power))
    })
}

fn op_interval(op: &Op, range: &RangeOf) -> Interval {
    match op {
        Op::FloorDiv(n, d) => quotient_interval(interval(n, range), interval(d, range)),
        Op::Min(args) => {
            let all = args.iter().map(|e| interval(e, range));
            // Open below if any is; bounded above by any that is.
            let merge = |a: Interval, b: Interval| Interval {
                low: a.low.and_then(|x| Some(x.min(b.low?))),
                high: match (a.high, b.high) {
                    (Some(x), Some(y)) => Some(x.min(y)),
                    (x, y) => x.or(y),
                },
            };
            all.reduce(merge).unwrap_or(Interval::unknown())
        }
        Op::Max(args) => {
            let all = args.iter().map(|e| interval(e, range));
            let merge = |a: Interval, b: Interval| Interval {
                low: a.low.max(b.low),
                high: a.high.and_then(|x| Some(x.max(b.high?))),
            };
            all.reduce(merge).unwrap_or(Interval::unknown())
        }
        Op::Group(inner) => interval(inner, range),
        Op::Opaque(_) => Interval::unknown(),
    }
}

/// The quotient rounded down; the divisor is nonzero.
fn quotient_interval(n: Interval, d: Interval) -> Interval {
    if d.is_nonpos() && !d.is_nonneg() {
        return quotient_interval(n.neg(), d.neg());
    }
    if !d.is_nonneg() {
        // |d| >= 1, so the quotient is no greater than the numerator, of either sign.
        let (Some(low), Some(high)) = (n.low, n.high) else { return Interval::unknown() };
        let most = low.saturating_abs().max(high.saturating_abs());
        return Interval { low: Some(-most), high: Some(most) };
    }
    let least = d.low.unwrap_or(1).max(1);
    let low = n.low.map(|low| match d.high {
        _ if low < 0 => floor_i128(low, least),
        Some(most) if most > 0 => floor_i128(low, most),
        _ => 0,
    });
    let high = n.high.map(|high| match d.high {
        _ if high >= 0 => floor_i128(high, least),
        Some(most) if most > 0 => floor_i128(high, most),
        _ => -1,
    });
    Interval { low, high }
}
