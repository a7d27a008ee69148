//! Expressions as text, which [`Expr::parse_dim`] reads back.

use std::fmt::{self, Display, Formatter, Write};

use super::div::exact_div;
use super::expr::{Expr, Repr};
use super::parse;
use super::poly::{Atom, Mono, Op, Term};

/// The text of the expression: terms by descending degree and then by name, a positive one first.
///
/// A lone symbol is its name, as it was given, wherever [`Expr::parse_dim`] reads that name back
/// as this symbol. Elsewhere a name that is not an identifier stands between backquotes.
///
/// Reading the text back gives the same expression, but for high powers of coefficients that
/// overflow, which may come back unexpanded in another place.
impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Const(v) => v.fmt(f),
            Repr::Sym(name) if reads_as_symbol(name) => name.fmt(f),
            Repr::Sym(name) => write_name(f, name),
            Repr::Poly(poly) => write_sum(f, &poly.terms),
        }
    }
}

fn reads_as_symbol(name: &str) -> bool {
    parse::is_identifier(name) || Expr::parse_dim(name).as_symbol() == Some(name)
}

/// A name as it stands within an expression: between backquotes, which are doubled inside, unless it is an
/// identifier.
#[derive(Clone, Copy, Debug)]
pub struct QuotedName<'a>(pub &'a str);

impl Display for QuotedName<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_name(f, self.0)
    }
}

fn write_name(f: &mut impl Write, name: &str) -> fmt::Result {
    if parse::is_identifier(name) {
        return f.write_str(name);
    }
    write!(f, "`{}`", name.replace('`', "``"))
}

/// A summand: a term, or terms that together are a remainder times a term.
enum Summand<'a> {
    Term(&'a Term),
    Mod(Term, &'a Expr, &'a Expr),
}

impl Summand<'_> {
    fn term(&self) -> &Term {
        match self {
            Summand::Term(term) => term,
            Summand::Mod(term, ..) => term,
        }
    }
}

fn write_sum(f: &mut Formatter<'_>, terms: &[Term]) -> fmt::Result {
    let mut summands = summands(terms);
    if let Some(at) = summands.iter().position(|s| s.term().coef > 0)
        && let Some(part) = summands.get_mut(..=at)
    {
        part.rotate_right(1);
    }
    let alone = summands.len() == 1;
    for (at, summand) in summands.iter().enumerate() {
        let coef = summand.term().coef;
        // The magnitude of the least number is not a number of ours, so it keeps its sign.
        let keeps_sign = coef == i64::MIN;
        f.write_str(match (at == 0, coef < 0 && !keeps_sign) {
            (true, false) => "",
            (true, true) => "-",
            (false, false) => " + ",
            (false, true) => " - ",
        })?;
        let bare = alone && coef == 1 || at > 0;
        write_summand(f, summand, bare)?;
    }
    Ok(())
}

fn write_summand(f: &mut Formatter<'_>, summand: &Summand<'_>, bare: bool) -> fmt::Result {
    let term = summand.term();
    let factors = term.mono.factors();
    let mut first = true;
    let remainder = matches!(summand, Summand::Mod(..));
    if !matches!(term.coef, 1 | -1) || (factors.is_empty() && !remainder) {
        if term.coef == i64::MIN {
            write!(f, "{}", term.coef)?;
        } else {
            write!(f, "{}", term.coef.unsigned_abs())?;
        }
        first = false;
    }
    let count = factors.len() + usize::from(remainder);
    for (atom, power) in factors {
        if !first {
            f.write_char('*')?;
        }
        let lone = first && count == 1 && *power == 1 && (bare || term.coef == 1);
        write_factor(f, atom, lone)?;
        if *power != 1 {
            write!(f, "**{power}")?;
        }
        first = false;
    }
    if let Summand::Mod(_, n, d) = summand {
        let lone = first && (bare || term.coef == 1);
        f.write_str(if first { "" } else { "*" })?;
        write_binary(f, n, " % ", d, lone)?;
    }
    Ok(())
}

fn write_factor(f: &mut Formatter<'_>, atom: &Atom, lone: bool) -> fmt::Result {
    let op = match atom {
        Atom::Sym(name) => return write_name(f, name),
        Atom::Op(op) => op,
    };
    match &**op {
        Op::FloorDiv(n, d) => write_binary(f, n, "//", d, lone),
        Op::Min(args) => write_call(f, "min", args),
        Op::Max(args) => write_call(f, "max", args),
        Op::Group(inner) => write!(f, "({})", Nested(inner)),
        Op::Opaque(opaque) => {
            write!(f, "{}{:032x}(", parse::OPAQUE_PREFIX, opaque.id)?;
            for (at, name) in opaque.symbols.iter().enumerate() {
                f.write_str(if at == 0 { "" } else { ", " })?;
                write_name(f, name)?;
            }
            f.write_char(')')
        }
    }
}

fn write_binary(f: &mut Formatter<'_>, n: &Expr, sign: &str, d: &Expr, lone: bool) -> fmt::Result {
    f.write_str(if lone { "" } else { "(" })?;
    write_operand(f, n)?;
    f.write_str(sign)?;
    write_operand(f, d)?;
    f.write_str(if lone { "" } else { ")" })
}

fn write_operand(f: &mut Formatter<'_>, e: &Expr) -> fmt::Result {
    if is_simple(e) { write!(f, "{}", Nested(e)) } else { write!(f, "({})", Nested(e)) }
}

/// Whether the text needs no parentheses as an operand.
fn is_simple(e: &Expr) -> bool {
    match &e.0 {
        Repr::Const(v) => *v >= 0,
        Repr::Sym(_) => true,
        Repr::Poly(poly) => match poly.terms.as_slice() {
            [Term { mono, coef: 1 }] => match mono.factors() {
                [(Atom::Op(op), 1)] => matches!(**op, Op::Min(_) | Op::Max(_) | Op::Opaque(_)),
                _ => false,
            },
            _ => false,
        },
    }
}

fn write_call(f: &mut Formatter<'_>, function: &str, args: &[Expr]) -> fmt::Result {
    write!(f, "{function}(")?;
    for (at, arg) in args.iter().enumerate() {
        write!(f, "{}{}", if at == 0 { "" } else { ", " }, Nested(arg))?;
    }
    f.write_char(')')
}

/// An expression within another, where the name of a lone symbol may need its quotes.
struct Nested<'a>(&'a Expr);

impl Display for Nested<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.0 {
            Repr::Sym(name) => write_name(f, name),
            _ => self.0.fmt(f),
        }
    }
}

/// The terms, with every `q*n - q*d*(n//d)` brought together as `q*(n % d)`.
fn summands(terms: &[Term]) -> Vec<Summand<'_>> {
    let mut used = vec![false; terms.len()];
    let mut remainders = Vec::new();
    for (at, term) in terms.iter().enumerate() {
        let Some((q, n, d)) = remainder_of(term) else { continue };
        let Some(parts) = parts_of(&q, n, terms) else { continue };
        let parts: Vec<usize> = parts.into_iter().chain([at]).collect();
        let taken = |used: &[bool]| parts.iter().any(|part| used.get(*part) != Some(&false));
        if taken(&used) || parts.iter().filter(|part| **part == at).count() > 1 {
            continue;
        }
        for part in parts {
            if let Some(used) = used.get_mut(part) {
                *used = true;
            }
        }
        remainders.push((at, Summand::Mod(q, n, d)));
    }
    let plain = terms.iter().enumerate().zip(&used).filter(|(_, used)| !**used);
    let mut out: Vec<_> = plain.map(|((at, term), _)| (at, Summand::Term(term))).collect();
    out.extend(remainders);
    out.sort_by_key(|(at, _)| *at);
    out.into_iter().map(|(_, summand)| summand).collect()
}

/// `(q, n, d)` if the term is `-q*d*(n//d)` for a term `q`.
fn remainder_of(term: &Term) -> Option<(Term, &Expr, &Expr)> {
    term.mono.factors().iter().find_map(|(atom, power)| {
        let Atom::Op(op) = atom else { return None };
        let (Op::FloorDiv(n, d), 1) = (&**op, *power) else { return None };
        let mono = term.mono.div(&Mono::atom(atom.clone()))?;
        let factor = Expr::from_terms(vec![Term { mono, coef: term.coef.checked_neg()? }]);
        match &*exact_div(&factor, d)?.terms() {
            [q] => Some((q.clone(), n, d)),
            _ => None,
        }
    })
}

/// Where the terms of `q*n` stand among these, if all do.
fn parts_of(q: &Term, n: &Expr, terms: &[Term]) -> Option<Vec<usize>> {
    let product = Expr::from_terms(vec![q.clone()]).mul(n);
    let parts = product.terms();
    parts.iter().map(|part| terms.iter().position(|term| term == part)).collect()
}

/// The identity of an expression that is too large to hold.
pub(super) fn fingerprint(e: &Expr) -> u128 {
    let mut hash = Fingerprint(FNV_OFFSET);
    // Writing to a hash does not fail.
    let _ = write!(hash, "{e}");
    hash.finish()
}

const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// FNV-1a of 128 bits: the same in every build, which the hashers of the standard library are
/// not.
pub(super) struct Fingerprint(u128);

impl Fingerprint {
    pub fn new(seed: u128) -> Fingerprint {
        Fingerprint(FNV_OFFSET ^ seed)
    }

    pub fn add(&mut self, name: &str, e: &Expr) {
        let _ = write!(self, "{name}\0{e}\0");
    }

    pub fn finish(&self) -> u128 {
        self.0
    }
}

impl Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(FNV_PRIME);
        }
        Ok(())
    }
}
