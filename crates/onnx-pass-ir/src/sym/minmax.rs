//! Minimum and maximum.

use super::bounds::{self, RangeOf};
use super::expr::{Expr, Repr};
use super::poly::{Atom, Op};

/// Among more operands than this, only equal ones are dropped: comparing them is quadratic.
const MAX_COMPARED: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Min,
    Max,
}

/// The least or the greatest of these; 0 if there are none.
pub(super) fn extremum(which: Which, operands: &[&Expr], range: &RangeOf) -> Expr {
    let mut flat: Vec<Expr> = Vec::with_capacity(operands.len());
    for operand in operands {
        match nested(which, operand) {
            Some(inner) => flat.extend_from_slice(inner),
            None => flat.push((*operand).clone()),
        }
    }
    flat.sort_by(Expr::structural_cmp);
    flat.dedup();
    if flat.len() > 1 && flat.len() <= MAX_COMPARED {
        drop_dominated(which, &mut flat, range);
    }
    match flat.len() {
        0 | 1 => flat.pop().unwrap_or_default(),
        _ => Expr::from_op(match which {
            Which::Min => Op::Min(flat),
            Which::Max => Op::Max(flat),
        }),
    }
}

/// The operands of an operand which is itself this kind of extremum.
fn nested(which: Which, e: &Expr) -> Option<&[Expr]> {
    let Repr::Poly(poly) = &e.0 else { return None };
    let [term] = poly.terms.as_slice() else { return None };
    let [(Atom::Op(op), 1)] = term.mono.factors() else { return None };
    match (&**op, which) {
        _ if term.coef != 1 => None,
        (Op::Min(args), Which::Min) | (Op::Max(args), Which::Max) => Some(args),
        _ => None,
    }
}

/// Drops every operand that another one is always at least as good as.
fn drop_dominated(which: Which, operands: &mut Vec<Expr>, range: &RangeOf) {
    let mut at = 0;
    while let Some(candidate) = operands.get(at) {
        let beaten = operands.iter().enumerate().any(|(other, e)| {
            let gain = match which {
                _ if other == at => return false,
                Which::Min => candidate.sub(e),
                Which::Max => e.sub(candidate),
            };
            bounds::lower(&gain, range).is_some_and(|low| low >= 0)
        });
        if beaten {
            operands.remove(at);
        } else {
            at += 1;
        }
    }
}
