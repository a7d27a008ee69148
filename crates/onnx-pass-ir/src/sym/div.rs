//! Floor division.
//!
//! With `n = q*d + r` for integers, `floor(n/d) = q + floor(r/d)`, whatever the sign of `d`; all
//! that follows from it is exact. Two rules need `d >= 1`, and ask for it: merging nested
//! quotients, and dropping the part of a constant below a common factor.

use super::bounds::{self, RangeOf};
use super::expr::Expr;
use super::poly::{self, Atom, Mono, Op, Term};

/// How many steps a division of polynomials may take before it is given up.
const MAX_STEPS: usize = 256;
/// How many terms merging nested quotients may multiply out.
const MAX_MERGED_TERMS: usize = 16;

/// The quotient rounded down, with the symbols in these ranges.
pub(super) fn floor_div(n: &Expr, d: &Expr, range: &RangeOf) -> Expr {
    match (n.as_const(), d.as_const()) {
        (_, Some(0)) => return quotient_atom(n, d),
        (_, Some(1)) => return n.clone(),
        (Some(0), _) => return Expr::ZERO,
        (Some(a), Some(b)) => {
            return match a.checked_div_euclid(b) {
                // Euclid's quotient is the floor for a positive divisor; else mirror it.
                Some(q) if b > 0 => Expr::constant(q),
                Some(_) => i64::try_from(floor_i128(a.into(), b.into()))
                    .map_or_else(|_| quotient_atom(n, d), Expr::constant),
                None => quotient_atom(n, d),
            };
        }
        _ => {}
    }
    if n == d {
        return Expr::ONE;
    }
    if d.terms().first().is_some_and(|lead| lead.coef < 0)
        && let (Some(n), Some(d)) = (negated(n), negated(d))
    {
        return floor_div(&n, &d, range);
    }
    let (q, r) = split(n, d);
    let below = if r.is_zero() { Expr::ZERO } else { proper_quotient(&r, d, range) };
    q.add(&below)
}

/// The quotient rounded up.
pub(super) fn ceil_div(n: &Expr, d: &Expr, range: &RangeOf) -> Expr {
    if bounds::lower(d, range).is_some_and(|low| low >= 0) {
        floor_div(&n.add(d).sub(&Expr::ONE), d, range)
    } else {
        floor_div(&n.neg(), d, range).neg()
    }
}

/// The quotient, if there is no remainder.
pub(super) fn exact_div(n: &Expr, d: &Expr) -> Option<Expr> {
    if d.is_zero() {
        return None;
    }
    let (q, r) = long_division(&n.terms(), &d.terms())?;
    if r.is_empty() {
        return Some(Expr::from_terms(q));
    }
    let unexpanded = [Term { mono: d.grouped(), coef: 1 }];
    let (q, r) = long_division(&n.terms(), &unexpanded)?;
    r.is_empty().then(|| Expr::from_terms(q))
}

/// `floor(n/d)` of integers, `d` being nonzero.
pub(super) fn floor_i128(n: i128, d: i128) -> i128 {
    let q = n.wrapping_div(d);
    if n.wrapping_rem(d) != 0 && (n < 0) != (d < 0) { q - 1 } else { q }
}

/// `ceil(n/d)` of integers, `d` being nonzero.
pub(super) fn ceil_i128(n: i128, d: i128) -> i128 {
    floor_i128(n, d) + i128::from(n.wrapping_rem(d) != 0)
}

fn quotient_atom(n: &Expr, d: &Expr) -> Expr {
    Expr::from_op(Op::FloorDiv(n.clone(), d.clone()))
}

fn negated(e: &Expr) -> Option<Expr> {
    poly::add_scaled(&[], &e.terms(), -1).map(Expr::from_terms)
}

/// `(q, r)` with `n = q*d + r`: everything that can be divided out.
///
/// By one term, the remainder is unique. By a sum, dividing out is kept only where it makes the
/// numerator shorter: else it would trade a plain quotient for an obscure one.
fn split(n: &Expr, d: &Expr) -> (Expr, Expr) {
    let whole = || (Expr::ZERO, n.clone());
    let (n_terms, d_terms) = (n.terms(), d.terms());
    if let Some(q) = d_terms.get(1).and_then(|_| exact_div(n, d)) {
        return (q, Expr::ZERO);
    }
    match long_division(&n_terms, &d_terms) {
        Some((q, r)) if d_terms.len() == 1 || r.len() < n_terms.len() => {
            (Expr::from_terms(q), Expr::from_terms(r))
        }
        _ => whole(),
    }
}

/// Division with remainder by the leading term, the coefficients' remainders being in
/// `0..|leading coefficient|`.
fn long_division(n: &[Term], d: &[Term]) -> Option<(Vec<Term>, Vec<Term>)> {
    let lead = d.first()?;
    let (mut quotient, mut remainder) = (Vec::new(), Vec::new());
    if d.len() == 1 {
        for term in n {
            let (q, r) = divide_term(term, lead)?;
            quotient.extend(q);
            remainder.extend(r);
        }
        return Some((poly::collect_terms(quotient)?, remainder));
    }
    let mut work = n.to_vec();
    for _ in 0..MAX_STEPS {
        let Some(top) = work.first() else {
            return Some((poly::collect_terms(quotient)?, remainder));
        };
        let (q, r) = divide_term(top, lead)?;
        match q {
            Some(q) => {
                work = poly::add_scaled(&work, &poly::mul_terms(d, std::slice::from_ref(&q))?, -1)?;
                quotient.push(q);
                // What is left of the top term is a remainder; without it the top goes down.
                if r.is_some() {
                    work.remove(0);
                }
            }
            None => {
                work.remove(0);
            }
        }
        remainder.extend(r);
    }
    None
}

/// One term divided by another.
fn divide_term(term: &Term, by: &Term) -> Option<(Option<Term>, Option<Term>)> {
    let Some(mono) = term.mono.div(&by.mono) else {
        return Some((None, Some(term.clone())));
    };
    let q = term.coef.checked_div_euclid(by.coef)?;
    let r = term.coef.checked_rem_euclid(by.coef)?;
    Some((
        (q != 0).then_some(Term { mono, coef: q }),
        (r != 0).then(|| Term { mono: term.mono.clone(), coef: r }),
    ))
}

/// `floor(r/d)` where nothing more can be divided out of `r`.
fn proper_quotient(r: &Expr, d: &Expr, range: &RangeOf) -> Expr {
    let positive = bounds::lower(d, range).is_some_and(|low| low >= 0);
    if let Some((r, d)) = cancel(r, d, positive) {
        return floor_div(&r, &d, range);
    }
    if positive {
        if let Some((n, d)) = merge_nested(r, d) {
            return floor_div(&n, &d, range);
        }
        if let Some(value) = collapse(r, d, range) {
            return Expr::constant(value);
        }
    }
    quotient_atom(r, d)
}

/// Divides both by their common factors: monomials (which are nonzero, being factors of the
/// divisor) and the greatest common divisor of the coefficients.
fn cancel(r: &Expr, d: &Expr, positive: bool) -> Option<(Expr, Expr)> {
    let (r_terms, d_terms) = (r.terms(), d.terms());
    let mut monos = r_terms.iter().chain(d_terms.iter()).map(|t| &t.mono);
    let first = monos.next()?.clone();
    let mono = monos.fold(first, |shared, next| shared.gcd(next));

    let coefs = r_terms.iter().filter(|t| !t.mono.is_one()).chain(d_terms.iter()).map(|t| t.coef);
    let mut g = coefs.fold(0, |g, c| gcd(g, c.unsigned_abs()));
    let rest = r_terms.last().filter(|t| t.mono.is_one()).map_or(0, |t| t.coef);
    if !positive {
        g = gcd(g, rest.unsigned_abs());
    }
    let g = i64::try_from(g).ok()?;
    if g <= 1 && mono.is_one() {
        return None;
    }
    let divide = |terms: &[Term]| -> Option<Expr> {
        let divided = terms
            .iter()
            .map(|t| Some(Term { mono: t.mono.div(&mono)?, coef: t.coef.checked_div_euclid(g)? }));
        let terms = divided.collect::<Option<Vec<_>>>()?;
        // Common factors keep the order of the terms, but the constant can become zero.
        poly::collect_terms(terms).map(Expr::from_terms)
    };
    Some((divide(&r_terms)?, divide(&d_terms)?))
}

/// `floor((floor(x/m) + y)/d)` is `floor((x + m*y)/(m*d))` for `d >= 1`.
fn merge_nested(r: &Expr, d: &Expr) -> Option<(Expr, Expr)> {
    let terms = r.terms();
    let mut nested = terms.iter().enumerate().filter_map(|(at, t)| match t.mono.factors() {
        [(Atom::Op(op), 1)] if t.coef == 1 => match &**op {
            Op::FloorDiv(x, m) => Some((at, x, m)),
            _ => None,
        },
        _ => None,
    });
    let (at, x, m) = nested.next()?;
    if nested.next().is_some() {
        return None;
    }
    let grown = (terms.len() - 1).max(d.terms().len()).saturating_mul(m.terms().len());
    if m.is_zero() || grown > MAX_MERGED_TERMS {
        return None;
    }
    let rest = terms.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, t)| t.clone());
    let rest = Expr::from_terms(rest.collect());
    Some((x.add(&m.mul(&rest)), m.mul(d)))
}

/// The quotient, where the bounds leave one value; `d >= 1`.
fn collapse(r: &Expr, d: &Expr, range: &RangeOf) -> Option<i64> {
    let (low, high) = bounds::bounds(r, range);
    if let (Some(low), Some(high), Some(d)) = (low, high, d.as_const()) {
        let (low, high) = (low.div_euclid(d), high.div_euclid(d));
        return (low == high).then_some(low);
    }
    if low.is_some_and(|low| low >= 0) && bounds::lower(&d.sub(r), range)? >= 1 {
        return Some(0);
    }
    if high.is_some_and(|high| high < 0) && bounds::lower(&d.add(r), range)? >= 0 {
        return Some(-1);
    }
    None
}

/// The greatest common divisor; `gcd(0, x)` is `x`.
pub(super) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The greatest common divisor of the coefficients.
pub(super) fn content(terms: &[Term]) -> u64 {
    terms.iter().fold(0, |g, t| gcd(g, t.coef.unsigned_abs()))
}

/// The greatest monomial that divides every term.
pub(super) fn common_monomial(terms: &[Term]) -> Mono {
    let mut monos = terms.iter().map(|t| &t.mono);
    let first = monos.next().cloned().unwrap_or_default();
    monos.fold(first, |shared, next| shared.gcd(next))
}
