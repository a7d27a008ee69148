use onnx_pass_ir::Model;

use super::{Depth, show};

/// A model of `count` layers, the first of which is another.
fn layered(count: usize) -> Model {
    let mut body = String::new();
    let mut last = "x".to_owned();
    for i in 0..count {
        let s = format!("/model/layers.{i}");
        body.push_str(&format!(
            "[\"{s}/norm/Mul\"] \"{s}/n\" = Mul (\"{last}\", scale)\n\
             [\"{s}/attn/q/MatMul\"] \"{s}/q\" = MatMul (\"{s}/n\", \"w{i}\")\n\
             [\"{s}/attn/Softmax\"] \"{s}/s\" = Softmax (\"{s}/q\")\n\
             [\"{s}/Add\"] \"{s}/o\" = Add (\"{s}/s\", \"{last}\")\n"
        ));
        last = format!("{s}/o");
        if i == 0 {
            body.push_str(&format!("[\"{s}/attn/Abs\"] \"{s}/a\" = Abs (\"{last}\")\n"));
            last = format!("{s}/a");
        }
    }
    let values = (0..20).map(|v| v.to_string()).collect::<Vec<_>>().join(",");
    let caches =
        |end: &str| (0..count).map(|i| format!(", float[N, p{i}] \"{end}.{i}.key\"")).collect::<String>();
    let (past, present) = (caches("past"), caches("present"));
    for i in 0..count {
        body.push_str(&format!("\"present.{i}.key\" = Identity (\"past.{i}.key\")\n"));
    }
    let weights: Vec<String> = (0..count).map(|i| format!("float[20, 1] w{i} = {{{values}}}")).collect();
    onnx_pass_ir::text::parse(&format!(
        "<ir_version: 8, opset_import: [\"\" : 17], producer_name: \"a\u{1b}[31mtest\">
         g (float[N, 20] x{past}) => (float[N, 20] y{present}) <float[1] scale = {{2}}, {}> {{ {body} y = Neg (\"{last}\") }}",
        weights.join(", ")
    ))
    .expect("parses")
}

#[test]
fn an_outline_folds_layers_and_says_what_differs() {
    let text = show(&layered(28), Depth::Outline).expect("shows");
    assert!(text.lines().count() < 60);
    insta::assert_snapshot!(text);
}

#[test]
fn the_full_text_has_hashes_and_no_escape_sequence() {
    let text = show(&layered(1), Depth::Full).expect("shows");
    assert!(!text.contains('\u{1b}'));
    insta::assert_snapshot!(text);
}

#[test]
fn a_branch_stands_under_its_node() {
    let m = onnx_pass_ir::text::parse(
        r#"<ir_version: 8, opset_import: ["" : 17]> g (float x, bool c) => (float y) {
            [pick] y = If (c) <then_branch = a () => (r) { r = Neg (x) }, else_branch = b () => (r) { r = f (x) }>
        }
        <domain: "", opset_import: ["" : 17]> f (a) => (b) { b = Abs (a) }"#,
    )
    .expect("parses");
    insta::assert_snapshot!(show(&m, Depth::Outline).expect("shows"));
}
