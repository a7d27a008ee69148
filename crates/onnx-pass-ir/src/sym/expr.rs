//! The expression: its representation, construction and ring arithmetic.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ecow::EcoString;

use super::bounds::{self, default_range};
use super::error::ParseExprError;
use super::poly::{self, Atom, Mono, Op, Opaque, Poly, Term};
use super::{display, div, minmax, parse, subst};

/// The largest tree that an expression may be.
const MAX_SIZE: u32 = 2048;
/// The deepest tree that an expression may be.
const MAX_DEPTH: u32 = 24;

/// A canonical integer expression over named symbols.
///
/// A polynomial with `i64` coefficients over atoms, which are symbols, or floor quotients,
/// minima and maxima of canonical expressions. `a % b` is held as `a - b*(a//b)` and the
/// rounded-up quotient as a floor quotient, so that forms which mean the same become the same:
/// equality and hash are those of the meaning, as far as the normal form goes.
///
/// There is no `<` between expressions: which of two is less depends on the symbols, so ask
/// [`Facts::le`](super::Facts::le). To sort them, there is [`Expr::structural_cmp`].
///
/// Cloning costs at most a reference count; a constant or a single symbol allocates no tree.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Expr(pub(super) Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Repr {
    Const(i64),
    Sym(EcoString),
    /// Never a constant and never a lone symbol.
    Poly(Arc<Poly>),
}

impl Expr {
    /// Zero.
    pub const ZERO: Expr = Expr(Repr::Const(0));
    /// One.
    pub const ONE: Expr = Expr(Repr::Const(1));

    /// A number.
    #[inline]
    pub const fn constant(value: i64) -> Expr {
        Expr(Repr::Const(value))
    }

    /// A symbol of this very name, whatever its characters.
    pub fn symbol(name: impl Into<EcoString>) -> Expr {
        Expr(Repr::Sym(name.into()))
    }

    /// Reads an expression, in the forms that exporters and shape inference tools write.
    ///
    /// `+ - * // % **`, `/` where it is exact, `floor`, `ceil`, `min`, `max`, `Mod`,
    /// `FloorDiv`, parentheses, integers, and names (`[A-Za-z_][A-Za-z0-9_.]*`, or any text
    /// between backquotes, a backquote within being doubled).
    ///
    /// # Errors
    ///
    /// Says what is not understood, and where.
    pub fn parse(text: &str) -> Result<Expr, ParseExprError> {
        parse::parse(text)
    }

    /// Reads a `dim_param`. Text that is not an expression is a symbol of that name.
    ///
    /// Names that only look like an expression stay names: `batch-size` (exporters put spaces
    /// about a minus) and `MatMul/attn/MatMul_output_0_dim_1` (a fraction which is no integer).
    /// A number is that number, a negative one included: what `-1` means is the caller's to say.
    pub fn parse_dim(text: &str) -> Expr {
        if parse::is_identifier(text) || parse::is_hyphenated(text) {
            return Expr::symbol(text);
        }
        parse::parse(text).unwrap_or_else(|_| Expr::symbol(text))
    }

    /// The number that this is, if it is one.
    #[inline]
    pub fn as_const(&self) -> Option<i64> {
        match self.0 {
            Repr::Const(value) => Some(value),
            _ => None,
        }
    }

    /// The name, if this is exactly one symbol.
    #[inline]
    pub fn as_symbol(&self) -> Option<&str> {
        match &self.0 {
            Repr::Sym(name) => Some(name),
            _ => None,
        }
    }

    /// Whether this is a number.
    #[inline]
    pub fn is_const(&self) -> bool {
        matches!(self.0, Repr::Const(_))
    }

    /// Whether this is the number 0.
    #[inline]
    pub fn is_zero(&self) -> bool {
        self.as_const() == Some(0)
    }

    /// Whether this is the number 1.
    #[inline]
    pub fn is_one(&self) -> bool {
        self.as_const() == Some(1)
    }

    /// How many numbers, symbols and operations it is written with, about.
    pub fn length(&self) -> usize {
        self.measure().0 as usize
    }

    /// A total order of expressions by their structure, for sorting; it says nothing of values.
    pub fn structural_cmp(&self, other: &Expr) -> Ordering {
        self.0.cmp(&other.0)
    }

    /// The names of all symbols that occur, at any depth.
    pub fn symbols(&self) -> BTreeSet<EcoString> {
        let mut out = BTreeSet::new();
        subst::visit_symbols(self, &mut |name| {
            out.insert(name.clone());
            true
        });
        out
    }

    /// Whether a symbol occurs, at any depth, of which this holds.
    pub fn any_symbol(&self, test: &mut dyn FnMut(&EcoString) -> bool) -> bool {
        !subst::visit_symbols(self, &mut |name| !test(name))
    }

    /// Whether this symbol occurs, at any depth.
    pub fn mentions(&self, symbol: &str) -> bool {
        !subst::visit_symbols(self, &mut |name| name != symbol)
    }

    /// The sum.
    pub fn add(&self, other: &Expr) -> Expr {
        match (&self.0, &other.0) {
            (Repr::Const(0), _) => other.clone(),
            (_, Repr::Const(0)) => self.clone(),
            (Repr::Const(a), Repr::Const(b)) if a.checked_add(*b).is_some() => {
                Expr::constant(a.wrapping_add(*b))
            }
            _ => self.add_scaled(other, 1),
        }
    }

    /// The difference.
    pub fn sub(&self, other: &Expr) -> Expr {
        match (&self.0, &other.0) {
            (_, Repr::Const(0)) => self.clone(),
            (Repr::Const(a), Repr::Const(b)) if a.checked_sub(*b).is_some() => {
                Expr::constant(a.wrapping_sub(*b))
            }
            _ if self == other => Expr::ZERO,
            _ => self.add_scaled(other, -1),
        }
    }

    fn add_scaled(&self, other: &Expr, scale: i64) -> Expr {
        if let Some(terms) = poly::add_scaled(&self.terms(), &other.terms(), scale) {
            return Expr::from_terms(terms);
        }
        // As a sum of the two, unexpanded, which cannot overflow: a coefficient of one each.
        let right = other.mul(&Expr::constant(scale));
        let grouped = || [self.grouped(), right.grouped()].map(|mono| Term { mono, coef: 1 });
        poly::collect_terms([self.factored(), right.factored()].into())
            .or_else(|| poly::collect_terms(grouped().into()))
            .map_or_else(|| self.clone(), Expr::from_terms)
    }

    /// The product.
    pub fn mul(&self, other: &Expr) -> Expr {
        match (&self.0, &other.0) {
            (Repr::Const(0), _) | (_, Repr::Const(0)) => return Expr::ZERO,
            (Repr::Const(1), _) => return other.clone(),
            (_, Repr::Const(1)) => return self.clone(),
            (Repr::Const(a), Repr::Const(b)) => {
                if let Some(value) = a.checked_mul(*b) {
                    return Expr::constant(value);
                }
            }
            _ => {}
        }
        if let Some(terms) = poly::mul_terms(&self.terms(), &other.terms()) {
            return Expr::from_terms(terms);
        }
        self.mul_unexpanded(other)
    }

    /// The product of the two as atoms: what is kept where expanding is out of bounds.
    fn mul_unexpanded(&self, other: &Expr) -> Expr {
        if let Some(terms) = poly::mul_terms(&[self.factored()], &[other.factored()]) {
            return Expr::from_terms(terms);
        }
        let term = match (self.as_const(), other.as_const()) {
            (Some(a), Some(b)) if a > b => Term { mono: self.grouped(), coef: b },
            (Some(coef), _) => Term { mono: other.grouped(), coef },
            (_, Some(coef)) => Term { mono: self.grouped(), coef },
            _ => {
                let [a, b] = [self, other].map(|e| Mono::atom(e.group_atom()));
                Term { mono: a.mul(&b).unwrap_or_default(), coef: 1 }
            }
        };
        Expr::from_terms(vec![term])
    }

    /// This as one term, unexpanded.
    fn factored(&self) -> Term {
        match &*self.terms() {
            [term] => term.clone(),
            _ => Term { mono: self.grouped(), coef: 1 },
        }
    }

    fn group_atom(&self) -> Atom {
        Atom::Op(Arc::new(Op::Group(self.clone())))
    }

    /// This as one monomial, unexpanded.
    pub(super) fn grouped(&self) -> Mono {
        match &*self.terms() {
            [Term { mono, coef: 1 }] if !mono.is_one() => mono.clone(),
            _ => Mono::atom(self.group_atom()),
        }
    }

    /// The product with −1.
    #[allow(clippy::should_implement_trait)]
    pub fn neg(&self) -> Expr {
        self.mul(&Expr::constant(-1))
    }

    /// This to a small power.
    pub fn pow(&self, exponent: u32) -> Expr {
        (0..exponent.min(64)).fold(Expr::ONE, |power, _| power.mul(self))
    }

    /// The quotient, rounded towards negative infinity; the divisor is taken to be nonzero.
    ///
    /// Only sound rules simplify: exact parts are divided out (`(2*a*b + c)//(2*a)` is
    /// `b + c//(2*a)`), common factors cancelled, nested quotients merged.
    pub fn floor_div(&self, divisor: &Expr) -> Expr {
        div::floor_div(self, divisor, &default_range)
    }

    /// The quotient, rounded towards positive infinity; the divisor is taken to be nonzero.
    pub fn ceil_div(&self, divisor: &Expr) -> Expr {
        div::ceil_div(self, divisor, &default_range)
    }

    /// The remainder of [`Expr::floor_div`], which has the sign of the divisor (as in Python).
    pub fn modulo(&self, divisor: &Expr) -> Expr {
        self.sub(&divisor.mul(&self.floor_div(divisor)))
    }

    /// The quotient, if the division is known to leave no remainder.
    pub fn exact_div(&self, divisor: &Expr) -> Option<Expr> {
        div::exact_div(self, divisor)
    }

    /// The lesser.
    pub fn min(&self, other: &Expr) -> Expr {
        minmax::extremum(minmax::Which::Min, &[self, other], &default_range)
    }

    /// The greater.
    pub fn max(&self, other: &Expr) -> Expr {
        minmax::extremum(minmax::Which::Max, &[self, other], &default_range)
    }

    /// Replaces symbols, all at once, and brings the result to its canonical form.
    pub fn substitute(&self, replacement: &dyn Fn(&str) -> Option<Expr>) -> Expr {
        subst::rebuild(self, replacement, &default_range)
    }

    /// The value when the symbols have these values. `None` if a symbol has none, a divisor is
    /// zero, the value does not fit, or the expression holds a part that was too large to keep.
    pub fn eval(&self, value: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
        i64::try_from(subst::eval(self, value)?).ok()
    }

    /// A lower and an upper bound that hold whenever no symbol is negative.
    pub fn bounds(&self) -> (Option<i64>, Option<i64>) {
        bounds::bounds(self, &default_range)
    }

    /// Whether this is known to be at least 0.
    pub fn is_nonneg(&self) -> bool {
        match &self.0 {
            Repr::Const(value) => *value >= 0,
            Repr::Sym(_) => true,
            Repr::Poly(_) => self.bounds().0.is_some_and(|low| low >= 0),
        }
    }

    /// Whether this is known to be at least 1.
    pub fn is_positive(&self) -> bool {
        match &self.0 {
            Repr::Const(value) => *value >= 1,
            Repr::Sym(_) => false,
            Repr::Poly(_) => self.bounds().0.is_some_and(|low| low >= 1),
        }
    }

    /// The size and the depth of the tree.
    pub(super) fn measure(&self) -> (u32, u32) {
        match &self.0 {
            Repr::Const(_) | Repr::Sym(_) => (1, 1),
            Repr::Poly(poly) => (poly.size, poly.depth),
        }
    }

    pub(super) fn from_atom(atom: Atom) -> Expr {
        match atom {
            Atom::Sym(name) => Expr(Repr::Sym(name)),
            op => Expr::from_terms(vec![Term { mono: Mono::atom(op), coef: 1 }]),
        }
    }

    pub(super) fn from_op(op: Op) -> Expr {
        Expr::from_atom(Atom::Op(Arc::new(op)))
    }

    /// From terms in canonical order.
    pub(super) fn from_terms(terms: Vec<Term>) -> Expr {
        match terms.as_slice() {
            [] => return Expr::ZERO,
            [Term { mono, coef }] if mono.is_one() => return Expr::constant(*coef),
            [Term { mono, coef: 1 }] => {
                if let Some(name) = mono.as_symbol() {
                    return Expr(Repr::Sym(name.clone()));
                }
                if let [(Atom::Op(op), 1)] = mono.factors()
                    && let Op::Group(inner) = &**op
                {
                    return inner.clone();
                }
            }
            _ => {}
        }
        let poly = Poly::new(terms);
        let within = poly.size <= MAX_SIZE && poly.depth <= MAX_DEPTH;
        let expr = Expr(Repr::Poly(Arc::new(poly)));
        if within { expr } else { expr.opaque() }
    }

    /// The opaque atom that stands for this.
    fn opaque(&self) -> Expr {
        let opaque = Opaque { id: display::fingerprint(self), symbols: self.symbols().into_iter().collect() };
        let mono = Mono::atom(Atom::Op(Arc::new(Op::Opaque(opaque))));
        Expr(Repr::Poly(Arc::new(Poly::new(vec![Term { mono, coef: 1 }]))))
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expr({self})")
    }
}

impl Default for Expr {
    fn default() -> Self {
        Expr::ZERO
    }
}

impl From<i64> for Expr {
    fn from(value: i64) -> Self {
        Expr::constant(value)
    }
}

impl From<&Expr> for Expr {
    fn from(value: &Expr) -> Self {
        value.clone()
    }
}

impl std::str::FromStr for Expr {
    type Err = ParseExprError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Expr::parse(text)
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl std::ops::$trait<&Expr> for &Expr {
            type Output = Expr;
            fn $method(self, other: &Expr) -> Expr {
                Expr::$method(self, other)
            }
        }
        impl std::ops::$trait<Expr> for &Expr {
            type Output = Expr;
            fn $method(self, other: Expr) -> Expr {
                Expr::$method(self, &other)
            }
        }
        impl std::ops::$trait<&Expr> for Expr {
            type Output = Expr;
            fn $method(self, other: &Expr) -> Expr {
                Expr::$method(&self, other)
            }
        }
        impl std::ops::$trait<Expr> for Expr {
            type Output = Expr;
            fn $method(self, other: Expr) -> Expr {
                Expr::$method(&self, &other)
            }
        }
        impl std::ops::$trait<i64> for &Expr {
            type Output = Expr;
            fn $method(self, other: i64) -> Expr {
                Expr::$method(self, &Expr::constant(other))
            }
        }
        impl std::ops::$trait<i64> for Expr {
            type Output = Expr;
            fn $method(self, other: i64) -> Expr {
                Expr::$method(&self, &Expr::constant(other))
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);

impl std::ops::Neg for &Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        Expr::neg(self)
    }
}

impl std::ops::Neg for Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        Expr::neg(&self)
    }
}

impl std::iter::Sum for Expr {
    fn sum<I: Iterator<Item = Expr>>(iter: I) -> Self {
        iter.fold(Expr::ZERO, |total, next| Expr::add(&total, &next))
    }
}

impl<'a> std::iter::Sum<&'a Expr> for Expr {
    fn sum<I: Iterator<Item = &'a Expr>>(iter: I) -> Self {
        iter.fold(Expr::ZERO, |total, next| Expr::add(&total, next))
    }
}

impl std::iter::Product for Expr {
    fn product<I: Iterator<Item = Expr>>(iter: I) -> Self {
        iter.fold(Expr::ONE, |total, next| Expr::mul(&total, &next))
    }
}

impl<'a> std::iter::Product<&'a Expr> for Expr {
    fn product<I: Iterator<Item = &'a Expr>>(iter: I) -> Self {
        iter.fold(Expr::ONE, |total, next| Expr::mul(&total, next))
    }
}
