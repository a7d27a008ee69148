//! Walking an expression: its symbols, its value, and rebuilding it from its parts.
//!
//! The depth of an expression is bounded when it is made, so recursion over it is.

use std::sync::Arc;

use ecow::EcoString;

use super::bounds::RangeOf;
use super::display;
use super::div::{floor_div, floor_i128};
use super::expr::{Expr, Repr};
use super::minmax::{Which, extremum};
use super::poly::{Atom, Op, Opaque};

/// Visits the symbols, as often as they occur, until the visitor says `false`; whether it never
/// did.
pub(super) fn visit_symbols(e: &Expr, visitor: &mut dyn FnMut(&EcoString) -> bool) -> bool {
    match &e.0 {
        Repr::Const(_) => true,
        Repr::Sym(name) => visitor(name),
        Repr::Poly(poly) => poly.terms.iter().all(|term| {
            term.mono.factors().iter().all(|(atom, _)| match atom {
                Atom::Sym(name) => visitor(name),
                Atom::Op(op) => match &**op {
                    Op::Opaque(opaque) => opaque.symbols.iter().all(&mut *visitor),
                    op => op.operands().iter().all(|e| visit_symbols(e, visitor)),
                },
            })
        }),
    }
}

/// Whether any part is not polynomial, so that rebuilding with other ranges may matter.
pub(super) fn has_operations(e: &Expr) -> bool {
    let Repr::Poly(poly) = &e.0 else { return false };
    poly.terms.iter().any(|t| t.mono.factors().iter().any(|(atom, _)| matches!(atom, Atom::Op(_))))
}

/// What rebuilding does to the parts of an expression.
pub(super) struct Rebuild<'a> {
    /// What takes the place of a symbol.
    pub replacement: &'a dyn Fn(&str) -> Option<Expr>,
    /// The ranges of the symbols that are left.
    pub range: &'a RangeOf<'a>,
    /// What each sum becomes, once its parts are rebuilt.
    pub rewrite: &'a dyn Fn(Expr) -> Expr,
}

/// Replaces symbols and applies every operation anew, with the symbols in these ranges.
pub(super) fn rebuild(e: &Expr, replacement: &dyn Fn(&str) -> Option<Expr>, range: &RangeOf) -> Expr {
    Rebuild { replacement, range, rewrite: &|e| e }.apply(e)
}

impl Rebuild<'_> {
    pub fn apply(&self, e: &Expr) -> Expr {
        let rebuilt = match &e.0 {
            Repr::Const(_) => return e.clone(),
            Repr::Sym(name) => (self.replacement)(name).unwrap_or_else(|| e.clone()),
            Repr::Poly(poly) => {
                let mut sum = Expr::ZERO;
                for term in &poly.terms {
                    let mut product = Expr::constant(term.coef);
                    for (atom, power) in term.mono.factors() {
                        product = product.mul(&self.atom(atom).pow(*power));
                    }
                    sum = sum.add(&product);
                }
                sum
            }
        };
        (self.rewrite)(rebuilt)
    }

    fn atom(&self, atom: &Atom) -> Expr {
        let op = match atom {
            Atom::Sym(name) => {
                return (self.replacement)(name).unwrap_or_else(|| Expr::from_atom(atom.clone()));
            }
            Atom::Op(op) => op,
        };
        let all = |args: &[Expr], which| {
            let args: Vec<Expr> = args.iter().map(|e| self.apply(e)).collect();
            extremum(which, &args.iter().collect::<Vec<_>>(), self.range)
        };
        match &**op {
            Op::FloorDiv(n, d) => floor_div(&self.apply(n), &self.apply(d), self.range),
            Op::Min(args) => all(args, Which::Min),
            Op::Max(args) => all(args, Which::Max),
            Op::Group(inner) => self.apply(inner),
            Op::Opaque(opaque) => rebuild_opaque(atom, opaque, self.replacement),
        }
    }
}

/// An opaque part whose symbols are replaced is another one, told apart by what replaced them.
fn rebuild_opaque(atom: &Atom, opaque: &Opaque, replacement: &dyn Fn(&str) -> Option<Expr>) -> Expr {
    let mut id = display::Fingerprint::new(opaque.id);
    let mut symbols = std::collections::BTreeSet::new();
    let mut changed = false;
    for name in opaque.symbols.iter() {
        let e = replacement(name).filter(|e| e.as_symbol() != Some(name));
        changed |= e.is_some();
        let e = e.unwrap_or_else(|| Expr::symbol(name.clone()));
        id.add(name, &e);
        symbols.extend(e.symbols());
    }
    if !changed {
        return Expr::from_atom(atom.clone());
    }
    let symbols = symbols.into_iter().collect();
    Expr::from_atom(Atom::Op(Arc::new(Op::Opaque(Opaque { id: id.finish(), symbols }))))
}

/// The value at these values of the symbols.
pub(super) fn eval(e: &Expr, value: &dyn Fn(&str) -> Option<i64>) -> Option<i128> {
    match &e.0 {
        Repr::Const(v) => Some(i128::from(*v)),
        Repr::Sym(name) => value(name).map(i128::from),
        Repr::Poly(poly) => {
            let mut sum = 0i128;
            for term in &poly.terms {
                let mut product = i128::from(term.coef);
                for (atom, power) in term.mono.factors() {
                    let base = eval_atom(atom, value)?;
                    product = product.checked_mul(base.checked_pow(*power)?)?;
                }
                sum = sum.checked_add(product)?;
            }
            Some(sum)
        }
    }
}

fn eval_atom(atom: &Atom, value: &dyn Fn(&str) -> Option<i64>) -> Option<i128> {
    let op = match atom {
        Atom::Sym(name) => return value(name).map(i128::from),
        Atom::Op(op) => op,
    };
    let values = |args: &[Expr]| args.iter().map(|e| eval(e, value)).collect::<Option<Vec<_>>>();
    match &**op {
        Op::FloorDiv(n, d) => {
            let (n, d) = (eval(n, value)?, eval(d, value)?);
            (d != 0).then(|| floor_i128(n, d))
        }
        Op::Min(args) => values(args)?.into_iter().min(),
        Op::Max(args) => values(args)?.into_iter().max(),
        Op::Group(inner) => eval(inner, value),
        Op::Opaque(_) => None,
    }
}
