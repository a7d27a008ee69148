//! Polynomials: sums of monomials with `i64` coefficients over atoms.
//!
//! Monomials are ordered by degree and then lexicographically, the smaller atom being the more
//! significant. This order is compatible with multiplication, which is what makes the remainder
//! of a division unique; terms are kept in descending order, which is also the order of display.

use std::cmp::Ordering;
use std::hash::Hash;
use std::sync::Arc;

use ecow::EcoString;
use smallvec::SmallVec;

use super::expr::{Expr, Repr};

/// The largest number of products that multiplying two sums may expand to.
pub(super) const MAX_PRODUCT_TERMS: usize = 64;
/// The highest degree of a monomial.
const MAX_DEGREE: u32 = 64;

/// What a monomial is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Atom {
    Sym(EcoString),
    Op(Arc<Op>),
}

/// An operation that is not polynomial, or a polynomial that is not expanded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Op {
    /// Quotient rounded towards negative infinity.
    FloorDiv(Expr, Expr),
    /// The least of two or more, sorted, none of which is itself a `Min`.
    Min(Vec<Expr>),
    /// The greatest of two or more, sorted, none of which is itself a `Max`.
    Max(Vec<Expr>),
    /// A polynomial that stays unexpanded, because expanding it would overflow or grow too large.
    Group(Expr),
    /// An expression that became too large to hold.
    Opaque(Opaque),
}

/// The fingerprint of an expression too large to hold, and the symbols it depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Opaque {
    pub id: u128,
    pub symbols: Arc<[EcoString]>,
}

impl Op {
    /// What comes before the operands in the order of operations.
    fn kind(&self) -> (u8, Option<&Opaque>) {
        match self {
            Op::FloorDiv(..) => (0, None),
            Op::Min(_) => (1, None),
            Op::Max(_) => (2, None),
            Op::Group(_) => (3, None),
            Op::Opaque(opaque) => (4, Some(opaque)),
        }
    }

    /// The operands, in order.
    pub fn operands(&self) -> SmallVec<[&Expr; 4]> {
        match self {
            Op::FloorDiv(n, d) => SmallVec::from_slice(&[n, d]),
            Op::Min(args) | Op::Max(args) => args.iter().collect(),
            Op::Group(e) => SmallVec::from_slice(&[e]),
            Op::Opaque(_) => SmallVec::new(),
        }
    }
}

impl PartialOrd for Op {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Op {
    fn cmp(&self, other: &Self) -> Ordering {
        self.kind().cmp(&other.kind()).then_with(|| {
            let (ours, theirs) = (self.operands(), other.operands());
            ours.iter().map(|e| &e.0).cmp(theirs.iter().map(|e| &e.0))
        })
    }
}

/// A product of powers of distinct atoms, sorted by atom; the empty product is 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Mono(SmallVec<[(Atom, u32); 1]>);

impl Mono {
    pub fn one() -> Mono {
        Mono::default()
    }

    pub fn atom(atom: Atom) -> Mono {
        Mono(SmallVec::from_iter([(atom, 1)]))
    }

    pub fn factors(&self) -> &[(Atom, u32)] {
        &self.0
    }

    pub fn is_one(&self) -> bool {
        self.0.is_empty()
    }

    /// The symbol that this monomial is, if it is a symbol to the first power.
    pub fn as_symbol(&self) -> Option<&EcoString> {
        match self.0.as_slice() {
            [(Atom::Sym(name), 1)] => Some(name),
            _ => None,
        }
    }

    fn degree(&self) -> u32 {
        self.0.iter().map(|(_, power)| *power).sum()
    }

    /// The product, unless its degree is out of bounds.
    pub fn mul(&self, other: &Mono) -> Option<Mono> {
        if self.is_one() {
            return Some(other.clone());
        }
        if other.is_one() {
            return Some(self.clone());
        }
        if self.degree().checked_add(other.degree())? > MAX_DEGREE {
            return None;
        }
        let mut out = SmallVec::with_capacity(self.0.len() + other.0.len());
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            match (left.peek(), right.peek()) {
                (Some((a, p)), Some((b, q))) => match a.cmp(b) {
                    Ordering::Less => out.extend(left.next().cloned()),
                    Ordering::Greater => out.extend(right.next().cloned()),
                    Ordering::Equal => {
                        out.push((a.clone(), p + q));
                        left.next();
                        right.next();
                    }
                },
                (Some(_), None) => out.extend(left.next().cloned()),
                (None, Some(_)) => out.extend(right.next().cloned()),
                (None, None) => return Some(Mono(out)),
            }
        }
    }

    /// The quotient, if `other` divides this.
    pub fn div(&self, other: &Mono) -> Option<Mono> {
        let mut out = SmallVec::with_capacity(self.0.len());
        let mut divisors = other.0.iter().peekable();
        for (atom, power) in &self.0 {
            match divisors.peek() {
                Some((b, q)) if atom == b => {
                    divisors.next();
                    match power.checked_sub(*q)? {
                        0 => {}
                        left => out.push((atom.clone(), left)),
                    }
                }
                _ => out.push((atom.clone(), *power)),
            }
        }
        divisors.next().is_none().then_some(Mono(out))
    }

    /// The greatest monomial that divides both.
    pub fn gcd(&self, other: &Mono) -> Mono {
        let shared = self.0.iter().filter_map(|(atom, power)| {
            let (_, q) = other.0.iter().find(|(b, _)| b == atom)?;
            Some((atom.clone(), *power.min(q)))
        });
        Mono(shared.collect())
    }
}

impl PartialOrd for Mono {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Mono {
    fn cmp(&self, other: &Self) -> Ordering {
        self.degree().cmp(&other.degree()).then_with(|| {
            for ((a, p), (b, q)) in self.0.iter().zip(&other.0) {
                // Reversed: to have a power of the smaller atom is to be the greater.
                let order = b.cmp(a).then(p.cmp(q));
                if order.is_ne() {
                    return order;
                }
            }
            self.0.len().cmp(&other.0.len())
        })
    }
}

/// A monomial and its coefficient, which is not zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Term {
    pub mono: Mono,
    pub coef: i64,
}

impl Term {
    /// The product, unless it is out of bounds.
    fn mul(&self, other: &Term) -> Option<Term> {
        Some(Term { mono: self.mono.mul(&other.mono)?, coef: self.coef.checked_mul(other.coef)? })
    }
}

/// A canonical polynomial which is neither a constant nor a symbol.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Poly {
    /// In descending order of monomial.
    pub terms: Vec<Term>,
    /// The number of nodes of the tree that this is, bounded so that comparing and printing is.
    pub size: u32,
    /// The depth of that tree, bounded so that recursion is.
    pub depth: u32,
}

impl Poly {
    pub fn new(terms: Vec<Term>) -> Poly {
        let (mut size, mut depth) = (1u32, 0u32);
        for term in &terms {
            size = size.saturating_add(1);
            for (atom, _) in term.mono.factors() {
                size = size.saturating_add(1);
                let Atom::Op(op) = atom else { continue };
                if let Op::Opaque(opaque) = &**op {
                    size = size.saturating_add(u32::try_from(opaque.symbols.len()).unwrap_or(u32::MAX));
                }
                for operand in op.operands() {
                    let (s, d) = operand.measure();
                    size = size.saturating_add(s);
                    depth = depth.max(d);
                }
            }
        }
        Poly { terms, size, depth: depth.saturating_add(1) }
    }
}

/// The terms of any expression, borrowed where it has them.
pub(super) enum Terms<'a> {
    One(Option<Term>),
    Many(&'a [Term]),
}

impl std::ops::Deref for Terms<'_> {
    type Target = [Term];

    fn deref(&self) -> &[Term] {
        match self {
            Terms::One(term) => term.as_slice(),
            Terms::Many(terms) => terms,
        }
    }
}

impl Expr {
    pub(super) fn terms(&self) -> Terms<'_> {
        match &self.0 {
            Repr::Const(0) => Terms::One(None),
            Repr::Const(v) => Terms::One(Some(Term { mono: Mono::one(), coef: *v })),
            Repr::Sym(name) => Terms::One(Some(Term { mono: Mono::atom(Atom::Sym(name.clone())), coef: 1 })),
            Repr::Poly(poly) => Terms::Many(&poly.terms),
        }
    }
}

/// `left + scale * right`, unless a coefficient overflows.
pub(super) fn add_scaled(left: &[Term], right: &[Term], scale: i64) -> Option<Vec<Term>> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => a.mono.cmp(&b.mono),
            (Some(_), None) => Ordering::Greater,
            (None, Some(_)) => Ordering::Less,
            (None, None) => return Some(out),
        };
        let a = if order.is_ge() { left.next() } else { None };
        let b = if order.is_le() { right.next() } else { None };
        let scaled = match b {
            Some(b) => b.coef.checked_mul(scale)?,
            None => 0,
        };
        let coef = a.map_or(0, |a| a.coef).checked_add(scaled)?;
        if let Some(term) = a.or(b).filter(|_| coef != 0) {
            out.push(Term { mono: term.mono.clone(), coef });
        }
    }
}

/// The expanded product, unless a coefficient overflows or it would have too many terms.
pub(super) fn mul_terms(left: &[Term], right: &[Term]) -> Option<Vec<Term>> {
    if left.len() > 1 && right.len() > 1 && left.len().saturating_mul(right.len()) > MAX_PRODUCT_TERMS {
        return None;
    }
    let mut products = Vec::with_capacity(left.len().saturating_mul(right.len()));
    for a in left {
        for b in right {
            products.push(a.mul(b)?);
        }
    }
    collect_terms(products)
}

/// Sorts terms and adds up those of one monomial, unless a coefficient overflows.
pub(super) fn collect_terms(mut terms: Vec<Term>) -> Option<Vec<Term>> {
    terms.sort_by(|a, b| b.mono.cmp(&a.mono));
    let mut out: Vec<Term> = Vec::with_capacity(terms.len());
    for term in terms {
        match out.last_mut() {
            Some(last) if last.mono == term.mono => last.coef = last.coef.checked_add(term.coef)?,
            _ => out.push(term),
        }
    }
    out.retain(|term| term.coef != 0);
    Some(out)
}
