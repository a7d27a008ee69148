//! Laws that hold for all expressions, tried on random ones.
//!
//! The reference is a plain tree, evaluated in wide integers as it stands; it has no value where a
//! divisor is zero, and there nothing is promised.

use proptest::prelude::*;

use super::{Expr, Facts};

const NAMES: [&str; 5] = ["a", "b", "seq_len", "past", "odd name"];

#[derive(Clone, Debug)]
enum Tree {
    Const(i64),
    Symbol(usize),
    Add(Box<Tree>, Box<Tree>),
    Sub(Box<Tree>, Box<Tree>),
    Mul(Box<Tree>, Box<Tree>),
    FloorDiv(Box<Tree>, Box<Tree>),
    CeilDiv(Box<Tree>, Box<Tree>),
    Mod(Box<Tree>, Box<Tree>),
    Min(Box<Tree>, Box<Tree>),
    Max(Box<Tree>, Box<Tree>),
}
use Tree as T;

type Values = [i64; 5];

impl Tree {
    fn expr(&self) -> Expr {
        match self {
            T::Const(v) => Expr::constant(*v),
            T::Symbol(i) => Expr::symbol(NAMES[*i]),
            T::Add(a, b) => a.expr() + b.expr(),
            T::Sub(a, b) => a.expr() - b.expr(),
            T::Mul(a, b) => a.expr() * b.expr(),
            T::FloorDiv(a, b) => a.expr().floor_div(&b.expr()),
            T::CeilDiv(a, b) => a.expr().ceil_div(&b.expr()),
            T::Mod(a, b) => a.expr().modulo(&b.expr()),
            T::Min(a, b) => a.expr().min(&b.expr()),
            T::Max(a, b) => a.expr().max(&b.expr()),
        }
    }

    fn eval(&self, values: &Values) -> Option<i128> {
        let floor = |a: i128, b: i128| {
            let q = a.checked_div(b)?;
            Some(if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q })
        };
        let both = |a: &Tree, b: &Tree| Some((a.eval(values)?, b.eval(values)?));
        match self {
            T::Const(v) => Some((*v).into()),
            T::Symbol(i) => Some(values[*i].into()),
            T::Add(a, b) => both(a, b).map(|(a, b)| a + b),
            T::Sub(a, b) => both(a, b).map(|(a, b)| a - b),
            T::Mul(a, b) => both(a, b).and_then(|(a, b)| a.checked_mul(b)),
            T::FloorDiv(a, b) => both(a, b).and_then(|(a, b)| floor(a, b)),
            T::CeilDiv(a, b) => both(a, b).and_then(|(a, b)| floor(-a, b).map(|q| -q)),
            T::Mod(a, b) => both(a, b).and_then(|(a, b)| floor(a, b).map(|q| a - b * q)),
            T::Min(a, b) => both(a, b).map(|(a, b)| a.min(b)),
            T::Max(a, b) => both(a, b).map(|(a, b)| a.max(b)),
        }
    }
}

fn value_of(values: &Values) -> impl Fn(&str) -> Option<i64> {
    move |name| NAMES.iter().position(|n| *n == name).map(|i| values[i])
}

/// Whether a part was too large to hold, so that there is no value to compare. Assuming that
/// there is none fails if it is not rare.
fn is_opaque(e: &Expr) -> bool {
    e.to_string().contains("opaque_")
}

fn leaf() -> impl Strategy<Value = Tree> {
    prop_oneof![
        2 => (-9i64..10).prop_map(T::Const),
        3 => (0..NAMES.len()).prop_map(T::Symbol),
    ]
}

fn polynomial() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(3, 10, 2, |inner| {
        let pair = (inner.clone().prop_map(Box::new), inner.prop_map(Box::new));
        (0..3, pair).prop_map(|(op, (a, b))| match op {
            0 => T::Add(a, b),
            1 => T::Sub(a, b),
            _ => T::Mul(a, b),
        })
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(5, 24, 2, |inner| {
        let pair = (inner.clone().prop_map(Box::new), inner.prop_map(Box::new));
        (0..10, pair).prop_map(|(op, (a, b))| match op {
            0 | 1 => T::Add(a, b),
            2 => T::Sub(a, b),
            3 => T::Mul(a, b),
            4 | 5 => T::FloorDiv(a, b),
            6 => T::CeilDiv(a, b),
            7 => T::Mod(a, b),
            8 => T::Min(a, b),
            _ => T::Max(a, b),
        })
    })
}

fn values() -> impl Strategy<Value = Values> {
    prop_oneof![proptest::array::uniform5(0i64..5), proptest::array::uniform5(0i64..100)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_value_is_the_value_of_the_tree(tree in tree(), values in values()) {
        if let Some(expected) = tree.eval(&values).and_then(|v| i64::try_from(v).ok()) {
            let e = tree.expr();
            prop_assume!(!is_opaque(&e));
            prop_assert_eq!(e.eval(&value_of(&values)), Some(expected), "{}", e);
        }
    }

    #[test]
    fn bounds_hold(tree in tree(), values in values()) {
        if let Some(value) = tree.eval(&values) {
            let e = tree.expr();
            let (low, high) = e.bounds();
            prop_assert!(low.is_none_or(|low| i128::from(low) <= value), "{} >= {:?}", e, low);
            prop_assert!(high.is_none_or(|high| i128::from(high) >= value), "{} <= {:?}", e, high);
        }
    }

    #[test]
    fn expressions_are_a_ring(a in tree(), b in tree(), c in polynomial()) {
        let (a, b, c) = (a.expr(), b.expr(), c.expr());
        prop_assert_eq!(&a + &b, &b + &a);
        prop_assert_eq!(&a * &b, &b * &a);
        prop_assert_eq!((&a + &b) + &c, &a + (&b + &c));
        prop_assert_eq!(&a - &a, Expr::ZERO);
        prop_assert_eq!(&a * &Expr::ONE, a.clone());
        prop_assert_eq!((&a - &b) + &b, a.clone());
    }

    #[test]
    fn products_distribute(a in polynomial(), b in polynomial(), c in polynomial()) {
        let (a, b, c) = (a.expr(), b.expr(), c.expr());
        let products = [(&a, &b), (&b, &c), (&a, &c)];
        // Beyond the limit a product stays unexpanded, and is compared as it stands.
        prop_assume!(products.iter().all(|(x, y)| x.terms().len() * y.terms().len() <= 16));
        prop_assume!(a.terms().len() * b.terms().len() * c.terms().len() <= 64);
        prop_assert_eq!(&a * (&b + &c), &a * &b + &a * &c);
        prop_assert_eq!((&a * &b) * &c, &a * (&b * &c));
    }

    #[test]
    fn exact_division_undoes_a_product(a in polynomial(), b in polynomial()) {
        let (a, b) = (a.expr(), b.expr());
        prop_assume!(!b.is_zero() && a.terms().len() * b.terms().len() <= 64);
        prop_assert_eq!((&a * &b).exact_div(&b), Some(a.clone()));
        prop_assert_eq!((&a * &b).floor_div(&b), a);
    }

    #[test]
    fn whole_parts_leave_a_quotient(n in polynomial(), q in polynomial(), d in 1i64..9) {
        let (n, q) = (n.expr(), q.expr());
        prop_assert_eq!((&n + &q * d).floor_div(&d.into()), n.floor_div(&d.into()) + &q);
        prop_assert_eq!((&n + &q * d).modulo(&d.into()), n.modulo(&d.into()));
    }

    #[test]
    fn text_reads_back(tree in tree()) {
        let e = tree.expr();
        prop_assert_eq!(Expr::parse_dim(&e.to_string()), e.clone(), "{}", e);
        if e.as_symbol().is_none() {
            prop_assert_eq!(Expr::parse(&e.to_string()), Ok(e));
        }
    }

    #[test]
    fn any_name_reads_back(name in "\\PC{1,12}", other in "[-a-z0-9 */`.+]{1,8}") {
        for name in [name, other] {
            let symbol = Expr::symbol(name.as_str());
            prop_assert_eq!(Expr::parse_dim(&symbol.to_string()), symbol.clone());
            let sum = symbol + Expr::symbol("x") * 2;
            prop_assert_eq!(Expr::parse(&sum.to_string()), Ok(sum));
        }
    }

    #[test]
    fn no_text_is_too_much(text in "[-a-z0-9 */%`.+(),]{0,40}|\\PC{0,40}") {
        let e = Expr::parse_dim(&text);
        prop_assert_eq!(Expr::parse_dim(&e.to_string()), e);
    }

    #[test]
    fn substituting_is_evaluating(tree in tree(), with in tree(), values in values(), at in 0usize..5) {
        let mut replaced = values;
        let Some(value) = with.eval(&values).and_then(|v| i64::try_from(v).ok()) else {
            return Ok(());
        };
        // A symbol is not negative, so what takes its place must not be.
        if value < 0 {
            return Ok(());
        }
        replaced[at] = value;
        if let Some(expected) = tree.eval(&replaced).and_then(|v| i64::try_from(v).ok()) {
            let replacement = with.expr();
            let e = tree.expr().substitute(&|name| (name == NAMES[at]).then(|| replacement.clone()));
            prop_assume!(!is_opaque(&e));
            prop_assert_eq!(e.eval(&value_of(&values)), Some(expected), "{}", e);
        }
    }

    #[test]
    fn facts_keep_what_satisfies_them(
        values in values(),
        equations in prop::collection::vec((tree(), tree()), 0..5),
        ranges in prop::collection::vec((0usize..5, 0i64..4, any::<bool>()), 0..5),
        declared in 0usize..5,
        (a, b) in (tree(), tree()),
    ) {
        let of = value_of(&values);
        let mut facts = Facts::new();
        let mut ranges = ranges.into_iter();
        for (left, right) in &equations {
            if let Some((at, slack, below)) = ranges.next() {
                match below {
                    true => facts.set_min(NAMES[at], values[at] - slack),
                    false => facts.set_max(NAMES[at], values[at] + slack),
                }
            }
            let (Some(x), Some(y)) = (left.eval(&values), right.eval(&values)) else { continue };
            let Ok(difference) = i64::try_from(x - y) else { continue };
            let (left, right) = (left.expr(), right.expr() + difference);
            prop_assert_eq!(facts.assert_equal(&left, &right), Ok(()), "{} == {}: {:?}", left, right, facts);
        }
        facts.declare(NAMES[declared]);
        let (Some(x), Some(y)) = (a.eval(&values), b.eval(&values)) else { return Ok(()) };
        let (Ok(x), Ok(y)) = (i64::try_from(x), i64::try_from(y)) else { return Ok(()) };
        let (a, b) = (a.expr(), b.expr());
        let simple = facts.simplify(&a);
        prop_assume!(!is_opaque(&simple));
        prop_assert_eq!(simple.eval(&of), Some(x), "{} from {} by {:?}", simple, a, facts);
        let (low, high) = facts.bounds(&a);
        prop_assert!(low.is_none_or(|low| low <= x) && high.is_none_or(|high| high >= x), "{}", a);
        prop_assert!(facts.equal(&a, &b).is_none_or(|equal| equal == (x == y)));
        prop_assert!(facts.le(&a, &b).is_none_or(|le| le == (x <= y)));
        prop_assert!(facts.lt(&a, &b).is_none_or(|lt| lt == (x < y)));
        prop_assert!(facts.equal(&a, &simple) == Some(true) || facts.equal(&a, &simple).is_none());
    }
}
