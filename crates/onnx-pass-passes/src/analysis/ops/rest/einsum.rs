//! `Einsum`.

use std::collections::BTreeMap;

use onnx_pass_ir::sym::Expr;

use super::{NodeCx, Rule};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    (op_type == "Einsum").then_some(einsum)
}

/// A term of the equation: its letters, and how many stand before the ellipsis if there is one.
#[derive(Debug, PartialEq, Eq)]
struct Term {
    letters: Vec<char>,
    ellipsis: Option<usize>,
}

/// A parsed equation.
#[derive(Debug, PartialEq, Eq)]
struct Equation {
    inputs: Vec<Term>,
    output: Output,
}

/// What stands for the output.
#[derive(Debug, PartialEq, Eq)]
enum Output {
    /// The term after the arrow, or what the standard says where there is none.
    Term(Term),
    /// There is no arrow, and letters of both cases, which runtimes sort differently; the letters' number.
    Unordered(usize),
}

fn einsum(cx: &mut NodeCx<'_>) {
    let shape = cx.str("equation").and_then(parse).and_then(|equation| infer(cx, &equation));
    let dtype = (0..cx.node.inputs().len()).find_map(|k| cx.dtype(k));
    cx.set(0, dtype, shape);
}

fn parse_term(text: &str) -> Option<Term> {
    let (before, after) = match text.split_once("...") {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    };
    let letters: Vec<char> = before.chars().chain(after.unwrap_or_default().chars()).collect();
    let valid = letters.iter().all(char::is_ascii_alphabetic);
    valid.then(|| Term { letters, ellipsis: after.map(|_| before.len()) })
}

fn parse(equation: &str) -> Option<Equation> {
    let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match text.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (text.as_str(), None),
    };
    let inputs: Vec<Term> = left.split(',').map(parse_term).collect::<Option<_>>()?;
    let output = match right {
        Some(right) => Output::Term(parse_term(right)?),
        None => implicit(&inputs),
    };
    Some(Equation { inputs, output })
}

/// The output where the equation names none: letters that occur once, in alphabetic order.
fn implicit(inputs: &[Term]) -> Output {
    let mut count: BTreeMap<char, usize> = BTreeMap::new();
    for letter in inputs.iter().flat_map(|t| &t.letters) {
        *count.entry(*letter).or_default() += 1;
    }
    let letters: Vec<char> = count.into_iter().filter(|(_, n)| *n == 1).map(|(letter, _)| letter).collect();
    let lower = letters.iter().filter(|l| l.is_ascii_lowercase()).count();
    if lower != 0 && lower != letters.len() {
        return Output::Unordered(letters.len());
    }
    let ellipsis = inputs.iter().any(|t| t.ellipsis.is_some()).then_some(0);
    Output::Term(Term { letters, ellipsis })
}

fn infer(cx: &mut NodeCx<'_>, equation: &Equation) -> Option<Vec<Expr>> {
    let lengths = match lengths(cx, equation) {
        Some(lengths) => lengths,
        // Without the shapes at least the rank, if no ellipsis takes in who knows how many axes.
        None => return rank_only(cx, equation),
    };
    let term = match &equation.output {
        Output::Term(term) => term,
        Output::Unordered(letters) => {
            return Some(cx.fresh_shape(0, letters + lengths.ellipsis.len()));
        }
    };
    let mut shape: Vec<Expr> =
        term.letters.iter().map(|l| lengths.letters.get(l).cloned()).collect::<Option<_>>()?;
    if let Some(at) = term.ellipsis {
        shape.splice(at..at, lengths.ellipsis);
    }
    Some(shape)
}

fn rank_only(cx: &NodeCx<'_>, equation: &Equation) -> Option<Vec<Expr>> {
    match &equation.output {
        Output::Term(Term { letters, ellipsis: None }) => Some(cx.fresh_shape(0, letters.len())),
        _ => None,
    }
}

/// The lengths that the letters and the ellipsis stand for.
#[derive(Default)]
struct Lengths {
    letters: BTreeMap<char, Expr>,
    ellipsis: Vec<Expr>,
}

/// Reads the lengths off the inputs. Runtimes stretch axes of length 1, for letters as for the ellipsis, so
/// two lengths under one letter need not be equal.
fn lengths(cx: &mut NodeCx<'_>, equation: &Equation) -> Option<Lengths> {
    let mut found = Lengths::default();
    if equation.inputs.len() != cx.node.inputs().len() {
        return None;
    }
    for (k, term) in equation.inputs.iter().enumerate() {
        let dims = cx.shape(k)?.to_vec();
        let extra = dims.len().checked_sub(term.letters.len())?;
        if extra > 0 && term.ellipsis.is_none() {
            return None;
        }
        let at = term.ellipsis.unwrap_or(0);
        found.ellipsis = cx.broadcast(&found.ellipsis, dims.get(at..at + extra)?);
        let rest = dims.iter().take(at).chain(dims.iter().skip(at + extra));
        for (letter, length) in term.letters.iter().zip(rest) {
            let length = match found.letters.get(letter).cloned() {
                Some(known) => cx.broadcast_dim(&known, length),
                None => length.clone(),
            };
            found.letters.insert(*letter, length);
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, In};

    fn einsum(equation: &str, inputs: &[&'static str]) -> String {
        let inputs: Vec<In> = inputs.iter().map(|s| In::Shape(s)).collect();
        Case::new("Einsum", 12).inputs(&inputs).string("equation", equation).shape()
    }

    #[test]
    fn explicit() {
        assert_eq!(einsum("bhid, bhjd -> bhij", &["b 4 i 8", "b 4 j 8"]), "b 4 i j");
        assert_eq!(einsum("ij->ji", &["m 3"]), "3 m");
        assert_eq!(einsum("ii->i", &["m m"]), "m");
        assert_eq!(einsum("i,i->", &["m", "m"]), "");
    }

    #[test]
    fn implicit() {
        assert_eq!(einsum("ij,jk", &["m k", "k n"]), "m n");
        assert_eq!(einsum("ba", &["m n"]), "n m");
        assert_eq!(einsum("ii", &["m m"]), "");
        // numpy sorts capitals first, ONNX Runtime last.
        assert_eq!(einsum("aB", &["m n"]), "? ?");
    }

    #[test]
    fn ellipsis() {
        assert_eq!(einsum("...ij,...jk->...ik", &["b 1 m k", "7 k n"]), "b 7 m n");
        assert_eq!(einsum("i...->...i", &["m b c"]), "b c m");
        assert_eq!(einsum("...i,...i", &["b m", "b m"]), "b");
    }

    #[test]
    fn axes_of_one_are_stretched() {
        assert_eq!(einsum("ij,ij->ij", &["1 n", "m n"]), "m n");
    }

    #[test]
    fn what_does_not_fit_is_not_answered() {
        assert_eq!(einsum("ij->ji", &["m"]), "? ?");
        assert_eq!(einsum("ij->jk", &["m n"]), "unknown rank");
        assert_eq!(einsum("i1->i", &["m n"]), "unknown rank");
        assert_eq!(einsum("ij,jk->ik", &["m n", "?"]), "? ?");
    }
}
