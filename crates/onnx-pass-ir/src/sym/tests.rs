//! What expressions become, case by case.

use super::Expr;

fn parse(text: &str) -> Expr {
    Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Each text, and the canonical text of the same expression.
fn check(cases: &[(&str, &str)]) {
    for (text, canonical) in cases {
        let e = parse(text);
        assert_eq!(e.to_string(), *canonical, "{text}");
        assert_eq!(parse(canonical), e, "{text}");
    }
}

#[test]
fn polynomials_have_one_form() {
    check(&[
        ("past_sequence_length + sequence_length", "past_sequence_length + sequence_length"),
        ("s + p - s", "p"),
        ("1 + 2*a", "2*a + 1"),
        ("-a + b", "b - a"),
        ("-a - b", "-a - b"),
        ("(a + b)*(a - b)", "a**2 - b**2"),
        ("b*a", "a*b"),
        ("2 - a", "2 - a"),
        ("-(3)", "-3"),
        ("a**0", "1"),
        ("0*a", "0"),
    ]);
}

#[test]
fn division_is_simplified_where_it_is_sound() {
    check(&[
        ("(2*a*b)//(2*a)", "b"),
        ("(4*a + 8)//4", "a + 2"),
        ("((batch*total_sequence_length)//batch)", "total_sequence_length"),
        ("(a//2)//3", "a//6"),
        ("((a + 1)//2 + b)//3", "(a + 2*b + 1)//6"),
        ("(2*a + 1)//2", "a"),
        ("(2*a + 1)//4", "a//2"),
        ("(2*a + 1)//(2*b)", "a//b"),
        ("(a - 1)//2 + 1", "(a + 1)//2"),
        ("(a + b)//2", "(a + b)//2"),
        ("(a*c + b*c)//(a + b)", "c"),
        ("(a*c)//(a + b)", "(a*c)//(a + b)"),
        ("a//(-2)", "a//2 - a"),
        ("a//b", "a//b"),
        ("a // 1", "a"),
        ("2*(a//2)", "2*(a//2)"),
        ("-(a//2)", "-(a//2)"),
        ("b - a//2", "b - a//2"),
        ("(a % 8)//8", "0"),
        ("(-7)//2", "-4"),
        ("7//(-2)", "-4"),
    ]);
}
