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

#[test]
fn extrema_are_decided_by_bounds() {
    check(&[
        ("max(a, 1)", "max(1, a)"),
        ("max(a, a + 3)", "a + 3"),
        ("min(a, a + 3)", "a"),
        ("max(0, a)", "a"),
        ("max(a, max(b, a))", "max(a, b)"),
        ("min(a, max(a, b))", "a"),
        ("max(0, min(a, b))", "min(a, b)"),
        ("min(a % 8, 7)", "a % 8"),
        ("max(a - 8*(a//8), 0)", "a % 8"),
        ("min(3, 5, 4)", "3"),
        ("max(a - 1, 0)", "max(0, a - 1)"),
    ]);
}

#[test]
fn remainders_are_printed_as_such() {
    check(&[
        ("a % 8", "a % 8"),
        ("(a + 9) % 8", "(a + 1) % 8"),
        ("2*(a % b) + 1", "2*(a % b) + 1"),
        ("8*(a//8) + a % 8", "a"),
        ("-(a % 8)", "-(a % 8)"),
        ("-7 % 4", "1"),
        ("7 % -4", "-1"),
    ]);
}

#[test]
fn the_tools_forms_are_read() {
    check(&[
        ("floor(h/2 - 1/2) + 1", "(h + 1)//2"),
        ("floor(height/14)", "height//14"),
        ("ceiling(n/4)", "(n + 3)//4"),
        ("ceil(n/d)", "(n - 1)//d + 1"),
        ("Max(1, s0)", "max(1, s0)"),
        ("Min(s0, s1 - 1)", "min(s0, s1 - 1)"),
        ("Mod(s0, 2)", "s0 % 2"),
        ("PythonMod(s0, 2)", "s0 % 2"),
        ("FloorDiv(s0, 2)", "s0//2"),
        ("((s0*s1)//s2)", "(s0*s1)//s2"),
        ("CeilToInt(IntTrueDiv(s0, 2))", "(s0 + 1)//2"),
        ("s0**2", "s0**2"),
        ("0.5*s0*2", "s0"),
        ("floor(2.0*h)", "2*h"),
        ("n/2*2", "n"),
        ("n/2", "n//2"),
        ("(a*b)/b", "a"),
        ("min(a/2, b/3)*6", "min(2*b, 3*a)"),
        ("decoder.length", "decoder.length"),
        ("`batch size` + 1", "`batch size` + 1"),
    ]);
}

#[test]
fn what_is_not_an_expression_says_where() {
    let cases = [
        "",
        "a +",
        "a b",
        "2a",
        "(a",
        "a)",
        "a $ b",
        "f(a)",
        "floor(a, b)",
        "mod(a)",
        "max()",
        "3/2",
        "a/b",
        "a/0",
        "a**-1",
        "a**b",
        "0.1*a",
        "99999999999999999999",
        "1..2",
        "`a",
        "a & b",
    ];
    let errors: Vec<String> = cases
        .iter()
        .map(|text| match Expr::parse(text) {
            Ok(e) => format!("{text:?} is {e}"),
            Err(error) => format!("{text:?}: {error}"),
        })
        .collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn names_stay_names() {
    let names = [
        "batch",
        "batch-size",
        "?",
        "unk 12",
        "MatMul/attn/MatMul_output_0_dim_1",
        "/model/Add_output_0_dim_0",
        "onnx::Gather_23_dim_1",
        "Größe",
        "max",
        "2d",
    ];
    for name in names {
        let e = Expr::parse_dim(name);
        assert_eq!(e.as_symbol(), Some(name));
        assert_eq!(e.to_string(), name);
    }
    assert_eq!(Expr::parse_dim("1"), Expr::ONE);
    assert_eq!(Expr::symbol("a + b").to_string(), "`a + b`");
    assert_eq!(Expr::parse_dim("`a + b`"), Expr::symbol("a + b"));
    assert_eq!((Expr::symbol("a`b") + 1).to_string(), "`a``b` + 1");
}

#[test]
fn overflow_neither_wraps_nor_panics() {
    let max = Expr::constant(i64::MAX);
    let min = Expr::constant(i64::MIN);
    let a = Expr::symbol("a");
    let big = &a * &max;
    let cases = [
        &max + 1,
        &min - 1,
        &max * &max,
        -&min,
        &big + &big,
        &big * &big,
        &big - &(&a * &min),
        min.floor_div(&Expr::constant(-1)),
        (&a * &min).floor_div(&Expr::constant(-1)),
        (&a * &min + Expr::symbol("b")).floor_div(&(&a * -1 - Expr::symbol("b"))),
        min.modulo(&Expr::constant(-1)),
        big.max(&(&big + &big)),
        &a * &min + 1,
        min.ceil_div(&max),
    ];
    for e in &cases {
        assert_eq!(Expr::parse(&e.to_string()).as_ref(), Ok(e));
        let _ = (e.bounds(), e.symbols());
    }
    assert_eq!(big.pow(3).eval(&|_| Some(0)), Some(0));
    assert_eq!(big.pow(64), big.pow(64));
    assert_eq!((&max + 1).eval(&|_| None), None);
    assert_eq!((&max + 1 - 1).eval(&|_| None), Some(i64::MAX));
    assert_eq!((&big + &big).eval(&|_| Some(0)), Some(0));
    assert_eq!(&big + &big, &big * 2);
}

#[test]
fn growth_is_bounded() {
    let sum = |prefix: &str| (0..20).map(|i| Expr::symbol(format!("{prefix}{i}"))).sum::<Expr>();
    let product = &sum("a") * &sum("b");
    assert_eq!(product, &sum("b") * &sum("a"));
    assert_eq!(product.symbols().len(), 40);
    assert_eq!(product.eval(&|_| Some(2)), Some(1600));
    assert_eq!(product.exact_div(&sum("a")), Some(sum("b")));
    assert_eq!(product.substitute(&|name| name.starts_with('a').then_some(Expr::ONE)), sum("b") * 20);

    // Each step doubles the tree and deepens it.
    let two = Expr::constant(2);
    let chain = |start: &str| {
        let mut e = Expr::symbol(start);
        for i in 0..500 {
            let step = Expr::symbol(format!("s{i}"));
            e = (&e * &step + &e).floor_div(&(&step + 3)).max(&(&e - &two).floor_div(&step));
        }
        e
    };
    assert_eq!(chain("a"), chain("a"));
    assert_ne!(chain("a"), chain("b"));
    assert_eq!(chain("a").eval(&|_| Some(1)), None);
    assert!(chain("a").mentions("a"));
    let replaced = chain("a").substitute(&|name| (name == "a").then(|| Expr::symbol("b")));
    assert_ne!(replaced, chain("a"));
    assert_eq!(Expr::parse(&replaced.to_string()), Ok(replaced));

    let wide: Expr = (0..10_000).map(|i| Expr::symbol(format!("s{}", i % 300))).sum();
    assert_eq!(wide.symbols().len(), 300);
}
