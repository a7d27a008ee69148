use proptest::prelude::*;

use super::parse;
use crate::{AttrValue, Dim, Error};

fn error(text: &str) -> String {
    match parse(text) {
        Err(Error::Text { line, column, reason }) => format!("{line}:{column}: {reason}"),
        Err(e) => panic!("not an error of the text: {e}"),
        Ok(_) => panic!("parsed"),
    }
}

#[test]
fn a_model_with_everything_that_tests_need() {
    let m = parse(
        r#"
        <ir_version: 9, opset_import: ["" : 18, "com.x" : 1], producer_name: "me">
        "a graph" (float[N, 3, ?, "a + b"] x, int64[2] "odd name" = {1, -2}, seq(float[]) s) => (float y, z)
        <float[2] w = {1.5, -inf}, float16[1] h = {15360}, string[1] names = {"a\"b"}, bool flag = {1},
         int4[3] q = {33, 4}, float[4] e = ["location": "w.bin", "offset": "0", "length": "16"], float[N] t>
        {
            # a comment
            [first] t, "" = com.x.Op:over <axis = -1, perms = [0, 1], alpha = 1.0, beta: float = 2,
                none: ints = [], text = "hi", ref: int = @outer, value = float[2] {1, 2}, ty = seq(int64[1])> (x, "", w)
            y = If (flag) <then_branch = one () => (a) { a = Identity (t) }, else_branch = two () => (a) { a = Neg (t) }>
            = Sink (y)
            z = fun (y)
        }
        <domain: "", opset_import: ["" : 18]> fun <k, l: int = 3> (a) => (b) <float[N] c> { c = Abs (a) b = Relu (c) }
        "#,
    )
    .expect("parses");
    let g = m.graph(m.main());
    assert_eq!(g.name.as_deref(), Some("a graph"));
    assert_eq!((g.inputs().len(), g.outputs().len(), g.initializers().len()), (3, 2, 7));
    let dims = m.declared_type(g.inputs()[0]).and_then(|t| t.dims()).expect("dims");
    assert_eq!(dims[3], Dim::Symbol("a + b".into()));
    let (_, n) = m.nodes(m.main()).next().expect("a node");
    assert_eq!((n.name(), n.domain(), n.op_type(), n.overload()), ("first", "com.x", "Op", "over"));
    assert_eq!((n.inputs().len(), n.inputs()[1], n.outputs()[1]), (3, None, None));
    assert_eq!(n.float("beta"), Some(2.0));
    assert_eq!(n.ints("none"), Some(&[][..]));
    assert!(matches!(n.attribute("ref").map(|a| &a.value), Some(AttrValue::Ref { kind: 2, .. })));
    let q = m.find_value(m.main(), "q").and_then(|v| m.constant(v)).expect("q");
    assert_eq!(q.to_i64s().expect("integers"), [1, 2, 4]);
    let (_, f) = m.functions().next().expect("a function");
    assert_eq!((f.attributes.len(), f.attribute_defaults.len()), (1, 1));
    assert!(m.find_value(m.main(), "e").and_then(|v| m.constant(v)).is_some_and(|t| t.is_external()));
}

#[test]
fn errors_say_where() {
    let all: Vec<String> = [
        "",
        "<ir_version: x> g () => () {}",
        "<ir: 3> g () => () {}",
        "g () = () {}",
        "g () => () { y = Relu(x) ",
        "g () => () { y Relu(x) }",
        "g () => (float[N y) {}",
        "g () => () <float[2] w = {1}> {}",
        "g () => () <float[N] w = {1}> {}",
        "g () => () <uint8 w = {256}> {}",
        "g () => () <int64 w = {9223372036854775808}> {}",
        "g () => () { y = Op <a = []> (x) }",
        "g () => () { y = Op <a: int = 1.5> (x) }",
        "g () => () { y = Op <a = [1, \"b\"]> (x) }",
        "g () => ()\n{\n  #@ typed\n  y = Op (x) }",
        "g () => ()\n{\n  #@ dock \"x\"\n  y = Op (x) }",
        "g () => () { y = Op (x) }\n#@ doc \"late\"",
        "g () => () <string s = {\"no end}> {}",
    ]
    .iter()
    .map(|t| format!("{t:?}\n  {}", error(t)))
    .collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn nesting_is_bounded() {
    let nested = |n: usize| {
        let mut text = String::from("g () => () { ");
        (0..n).for_each(|_| text.push_str("y = If (c) <then_branch = b () => (y) { "));
        (0..n).for_each(|_| text.push_str("y = Abs (c) }> "));
        text.push('}');
        text
    };
    assert!(parse(&nested(31)).is_ok());
    assert!(error(&nested(32)).contains("31 deep"));
    assert!(error(&nested(100_000)).contains("31 deep"));
    let types = format!("g ({}float{} x) => () {{}}", "seq(".repeat(100_000), ")".repeat(100_000));
    assert!(error(&types).contains("too deep"));
}

/// Texts that look like models, so that the parser gets somewhere before it fails.
fn near_models() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "<",
        ">",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "=",
        "=>",
        ",",
        ":",
        ".",
        "@",
        "?",
        "\"",
        "\\",
        "#",
        "#@ doc \"",
        "#@ typed\n",
        "#@ tensor AAAA\n",
        "#@ field x CgE=\n",
        "\n",
        " ",
        "g",
        "x",
        "float",
        "seq",
        "int64",
        "map",
        "ir_version",
        "opset_import",
        "1",
        "-1",
        "1.5e",
        "inf",
        "nan",
        "Relu",
        "If",
        "é",
        "\u{0}",
        "{}",
        "()",
    ]);
    proptest::collection::vec(piece, 0..60).prop_map(|p| p.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn no_near_model_makes_it_panic(head in prop_oneof![Just(""), Just("g () => () {"), Just("g () => () <")],
                                    text in near_models()) {
        let _ = parse(&format!("{head}{text}"));
    }
}
