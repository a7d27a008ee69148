//! Building something else from an expression: nodes of a graph, say.

use super::expr::{Expr, Repr};
use super::poly::{Atom, Op};

/// What an expression is built into. Each method may refuse with `None`, which ends the building.
pub trait Build {
    /// What comes out.
    type Out: Clone;
    /// A number.
    fn constant(&mut self, value: i64) -> Option<Self::Out>;
    /// A symbol.
    fn symbol(&mut self, name: &str) -> Option<Self::Out>;
    /// A sum.
    fn add(&mut self, a: Self::Out, b: Self::Out) -> Option<Self::Out>;
    /// A product.
    fn mul(&mut self, a: Self::Out, b: Self::Out) -> Option<Self::Out>;
    /// A quotient rounded down, of these two expressions.
    fn floor_div(&mut self, parts: (&Expr, &Expr), a: Self::Out, b: Self::Out) -> Option<Self::Out>;
    /// The lesser of two.
    fn min(&mut self, a: Self::Out, b: Self::Out) -> Option<Self::Out>;
    /// The greater of two.
    fn max(&mut self, a: Self::Out, b: Self::Out) -> Option<Self::Out>;
}

impl Expr {
    /// Builds the expression from its parts, each sum from left to right as it is displayed. `None` when the
    /// builder refuses a part, or a part is too large to be told. The depth of an expression is bounded.
    pub fn build<T: Clone>(&self, b: &mut dyn Build<Out = T>) -> Option<T> {
        let poly = match &self.0 {
            Repr::Const(n) => return b.constant(*n),
            Repr::Sym(name) => return b.symbol(name),
            Repr::Poly(poly) => poly,
        };
        let mut sum: Option<T> = None;
        for term in &poly.terms {
            let mut product = match (term.coef, term.mono.is_one()) {
                (1, false) => None,
                (coef, _) => Some(b.constant(coef)?),
            };
            for (atom, power) in term.mono.factors() {
                let factor = atom_built(atom, b)?;
                for _ in 0..*power {
                    product = Some(match product {
                        None => factor.clone(),
                        Some(p) => b.mul(p, factor.clone())?,
                    });
                }
            }
            let product = product?;
            sum = Some(match sum {
                None => product,
                Some(s) => b.add(s, product)?,
            });
        }
        sum
    }
}

fn atom_built<T: Clone>(atom: &Atom, b: &mut dyn Build<Out = T>) -> Option<T> {
    let op = match atom {
        Atom::Sym(name) => return b.symbol(name),
        Atom::Op(op) => op,
    };
    match &**op {
        Op::FloorDiv(n, d) => {
            let (x, y) = (n.build(b)?, d.build(b)?);
            b.floor_div((n, d), x, y)
        }
        Op::Min(args) | Op::Max(args) => {
            let least = matches!(**op, Op::Min(_));
            let mut args = args.iter();
            let mut out = args.next()?.build(b)?;
            for a in args {
                let next = a.build(b)?;
                out = if least { b.min(out, next)? } else { b.max(out, next)? };
            }
            Some(out)
        }
        Op::Group(e) => e.build(b),
        Op::Opaque(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds the value at a = 7, b = 3.
    struct Value;

    impl Build for Value {
        type Out = i64;
        fn constant(&mut self, value: i64) -> Option<i64> {
            Some(value)
        }
        fn symbol(&mut self, name: &str) -> Option<i64> {
            match name {
                "a" => Some(7),
                "b" => Some(3),
                _ => None,
            }
        }
        fn add(&mut self, a: i64, b: i64) -> Option<i64> {
            a.checked_add(b)
        }
        fn mul(&mut self, a: i64, b: i64) -> Option<i64> {
            a.checked_mul(b)
        }
        fn floor_div(&mut self, _: (&Expr, &Expr), a: i64, b: i64) -> Option<i64> {
            Some(a.div_euclid(b))
        }
        fn min(&mut self, a: i64, b: i64) -> Option<i64> {
            Some(a.min(b))
        }
        fn max(&mut self, a: i64, b: i64) -> Option<i64> {
            Some(a.max(b))
        }
    }

    #[test]
    fn building_values_is_evaluating() {
        let at = |s: &str| [("a", 7), ("b", 3)].iter().find(|(n, _)| *n == s).map(|(_, v)| *v);
        for text in
            ["a", "5", "a + b", "2*a*a - b + 4", "(a*b + 2)//5", "max(a - b, 2)*b", "min(a, b) + a % 4"]
        {
            let e = Expr::parse_dim(text);
            assert_eq!(e.build(&mut Value), e.eval(&at), "{text}");
        }
        assert_eq!(Expr::symbol("c").build(&mut Value), None);
    }
}
