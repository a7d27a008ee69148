//! What is concluded from facts, case by case.

use crate::sym::{Expr, Facts};

fn parse(text: &str) -> Expr {
    Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn facts(equations: &[(&str, &str)]) -> Facts {
    let mut facts = Facts::new();
    for (a, b) in equations {
        facts.assert_equal(&parse(a), &parse(b)).unwrap_or_else(|error| panic!("{error}"));
    }
    facts
}

fn simplified(facts: &Facts, text: &str) -> String {
    facts.simplify(&parse(text)).to_string()
}

fn contradiction(facts: &mut Facts, a: &str, b: &str) -> String {
    match facts.assert_equal(&parse(a), &parse(b)) {
        Ok(()) => panic!("{a} == {b} passes"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_total_is_replaced_by_its_parts() {
    let facts = facts(&[("total", "past + seq")]);
    assert_eq!(simplified(&facts, "total"), "past + seq");
    assert_eq!(simplified(&facts, "total - seq"), "past");
    assert_eq!(facts.equal(&parse("batch*total"), &parse("batch*past + batch*seq")), Some(true));
    assert_eq!(facts.equal(&parse("total + 1"), &parse("past + seq")), Some(false));
    assert_eq!(facts.equal(&parse("total"), &parse("seq")), None);
    assert_eq!(facts.le(&parse("seq"), &parse("total")), Some(true));
    assert_eq!(facts.lt(&parse("total"), &parse("seq")), Some(false));
}

#[test]
fn a_users_name_is_kept() {
    let mut declared = facts(&[]);
    declared.declare("seq_len");
    declared.assert_equal(&parse("seq_len"), &parse("s")).unwrap();
    assert_eq!(simplified(&declared, "s + 1"), "seq_len + 1");

    // Declared after it was learnt, through a chain.
    let mut later = facts(&[("s1", "s2"), ("s2", "seq_len"), ("s3", "seq_len*2"), ("s1", "s0")]);
    later.declare("seq_len");
    for name in ["s0", "s1", "s2"] {
        assert_eq!(simplified(&later, name), "seq_len");
    }
    assert_eq!(simplified(&later, "s3"), "2*seq_len");
    assert_eq!(simplified(&later, "seq_len"), "seq_len");
}

#[test]
fn a_users_equation_is_applied() {
    let mut facts = Facts::new();
    for name in ["grid_height", "grid_h", "grid_w"] {
        facts.declare(name);
    }
    facts.assert_equal(&parse("grid_height"), &parse("grid_h*grid_w")).unwrap();
    assert_eq!(simplified(&facts, "grid_height//4"), "(grid_h*grid_w)//4");
    assert_eq!(facts.equal(&parse("grid_h*grid_w*2"), &parse("2*grid_height")), Some(true));
    facts.assert_equal(&parse("grid_h"), &parse("22")).unwrap();
    assert_eq!(simplified(&facts, "grid_height"), "22*grid_w");
    let names: Vec<_> = facts.solutions().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["grid_h", "grid_height"]);
}

#[test]
fn what_cannot_be_solved_rewrites() {
    let facts = facts(&[("a*b", "c*d"), ("max(n, m)", "m"), ("x//2", "y//3")]);
    assert_eq!(facts.equal(&parse("a*b*e + 1"), &parse("c*d*e + 1")), Some(true));
    assert_eq!(facts.equal(&parse("(a*b)//e"), &parse("(c*d)//e")), Some(true));
    assert_eq!(simplified(&facts, "max(n, m) + k"), "k + m");
    assert_eq!(facts.equal(&parse("x//2"), &parse("y//3")), Some(true));
    assert_eq!(facts.equal(&parse("x//3"), &parse("y//3")), None);
}

#[test]
fn a_solution_reaches_what_was_learnt_before() {
    let mut facts = facts(&[("a*b", "c*d"), ("t", "a + e")]);
    facts.assert_equal(&parse("d"), &parse("b")).unwrap();
    facts.set_min("b", 1);
    facts.set_min("d", 1);
    facts.assert_equal(&parse("a*b"), &parse("c*d")).unwrap();
    assert_eq!(simplified(&facts, "c"), "a");
    facts.assert_equal(&parse("a"), &parse("5")).unwrap();
    assert_eq!(simplified(&facts, "t + c"), "e + 10");
}

#[test]
fn a_sum_of_nothing_is_nothing() {
    let facts = facts(&[("past + 2*seq", "0")]);
    assert_eq!(simplified(&facts, "past"), "0");
    assert_eq!(simplified(&facts, "seq"), "0");
}

#[test]
fn the_impossible_is_refused() {
    let mut facts = facts(&[("seq", "8"), ("total", "past + seq")]);
    facts.set_max("past", 4);
    facts.set_min("batch", 2);
    let errors = [
        contradiction(&mut facts, "seq", "9"),
        contradiction(&mut facts, "total", "past"),
        contradiction(&mut facts, "total", "13"),
        contradiction(&mut facts, "batch", "1"),
        contradiction(&mut facts, "2*a", "2*b + 1"),
        contradiction(&mut facts, "a + 1", "0"),
        contradiction(&mut facts, "a % 4", "4"),
    ];
    insta::assert_snapshot!(errors.join("\n"));
    assert_eq!(simplified(&facts, "total"), "past + 8");
}

#[test]
fn a_contradiction_through_a_rewrite_changes_nothing() {
    let mut facts = facts(&[("a*b", "c*d + 1")]);
    facts.set_max("b", 3);
    assert!(facts.assert_equal(&parse("c"), &parse("a*2")).is_ok());
    // a*b = 2*a*d + 1 holds for odd b alone, and only if a is 1.
    contradiction(&mut facts, "a", "2");
    assert_eq!(simplified(&facts, "a"), "a");
    assert!(facts.assert_equal(&parse("a"), &parse("1")).is_ok());
}

#[test]
fn bounds_decide_operations() {
    let mut facts = Facts::new();
    facts.set_min("a", 1);
    facts.set_min("b", 2);
    facts.set_max("b", 7);
    assert_eq!(simplified(&facts, "max(a, 1)"), "a");
    assert_eq!(simplified(&facts, "b//8"), "0");
    assert_eq!(simplified(&facts, "b % 8"), "b");
    assert_eq!(simplified(&facts, "min(b, 7*a)"), "b");
    assert_eq!(facts.le(&parse("a"), &parse("a*b")), Some(true));
    assert_eq!(facts.lt(&parse("a"), &parse("a*b")), Some(true));
    assert_eq!(facts.bounds(&parse("2*b - 1")), (Some(3), Some(13)));
    assert_eq!(facts.equal(&parse("b"), &parse("8")), Some(false));
    facts.set_max("a", 1);
    assert_eq!(simplified(&facts, "a*b"), "b");
}

#[test]
fn bounds_survive_that_their_symbol_goes() {
    let mut facts = Facts::new();
    facts.declare("total");
    facts.set_max("past", 100);
    facts.assert_equal(&parse("past"), &parse("total - seq")).unwrap();
    assert_eq!(facts.le(&parse("seq"), &parse("total")), Some(true));
    assert_eq!(facts.le(&parse("total"), &parse("seq + 100")), Some(true));

    let mut merged = Facts::new();
    merged.set_min("x", 2);
    merged.set_max("y", 9);
    merged.assert_equal(&parse("x"), &parse("2*y")).unwrap();
    assert_eq!(merged.bounds(&parse("y")), (Some(1), Some(9)));
}

#[test]
fn many_equal_symbols_take_no_time() {
    let mut facts = Facts::new();
    for i in 0..20_000 {
        let (a, b) = (Expr::symbol(format!("unk__{i}")), Expr::symbol(format!("unk__{}", i + 1)));
        facts.assert_equal(&a, &b).unwrap();
    }
    assert_eq!(simplified(&facts, "unk__20000"), "unk__0");
}
