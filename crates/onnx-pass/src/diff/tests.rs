use onnx_pass_ir::Model;
use onnx_pass_ir::text::parse;

use super::{Diff, diff};

fn of(a: &str, b: &str) -> Diff {
    diff(&parse(a).expect("parses"), &parse(b).expect("parses"))
}

const BEFORE: &str = r#"
    <ir_version: 8, opset_import: ["" : 17, "com.x" : 1], producer_name: "t">
    g (float[N, 4] x, float[N, 2] past.0, float[N, 2] past.1, bool c) => (float[N, 4] y, float[N, 2] present)
    <float[4] w = {1, 2, 3, 4}, float[4] u = {5, 6, 7, 8}, float[N, 4] "/m/layers.0/a"> {
        ["/m/layers.0/mul"] "/m/layers.0/a" = Mul (x, w)
        ["/m/layers.0/cat"] "/m/layers.0/c" = Concat <axis = 1> (past.0, past.1)
        ["/m/layers.1/add"] "/m/layers.1/s" = Add ("/m/layers.0/a", u)
        ["/m/layers.1/soft"] "/m/layers.1/t" = Softmax <axis = 1> ("/m/layers.1/s")
        ["/m/if"] i = If (c) <then_branch = a () => (r) { r = Neg ("/m/layers.1/t") },
                              else_branch = b () => (q) { q = com.x.f ("/m/layers.1/t") }>
        y = Abs (i)
        present = Identity ("/m/layers.0/c")
    }
    <domain: "com.x", opset_import: ["" : 17]> f (a) => (b) { b = Exp (a) }"#;

/// The same: other inner names, another order, initializers shuffled.
const RENUMBERED: &str = r#"
    <ir_version: 8, opset_import: ["" : 17, "com.x" : 1], producer_name: "t">
    g (float[N, 4] x, float[N, 2] past.0, float[N, 2] past.1, bool c) => (float[N, 4] y, float[N, 2] present)
    <float[4] p2 = {5, 6, 7, 8}, float[4] p1 = {1, 2, 3, 4}, float[N, 4] v1> {
        [n7] v7 = Concat <axis = 1> (past.0, past.1)
        [n9] present = Identity (v7)
        [n1] v1 = Mul (x, p1)
        [n2] v2 = Add (v1, p2)
        [n3] v3 = Softmax <axis = 1> (v2)
        [n4] v4 = If (c) <then_branch = z () => (k) { k = Neg (v3) }, else_branch = b () => (o) { o = com.x.f (v3) }>
        [n5] y = Abs (v4)
    }
    <domain: "com.x", opset_import: ["" : 17]> f (in) => (out) { out = Exp (in) }"#;

fn past(text: &str) -> String {
    text.replace("past.0", "\"past.0\"").replace("past.1", "\"past.1\"")
}

#[test]
fn other_names_and_another_order_are_no_structural_change() {
    let d = of(&past(BEFORE), &past(RENUMBERED));
    assert!(!d.structural);
    insta::assert_snapshot!(d.to_text());
}

#[test]
fn a_model_and_itself_do_not_differ() {
    let d = of(&past(BEFORE), &past(BEFORE));
    assert!(d.is_empty());
    assert_eq!(d.to_text(), "no change\n");
}

/// The cache goes, an input is renamed, an attribute and a weight change, in a renumbered export.
fn changed() -> Diff {
    let after = past(RENUMBERED)
        .replace("float[N, 2] \"past.0\", float[N, 2] \"past.1\", bool c", "bool flag")
        .replace("If (c)", "If (flag)")
        .replace("[n7] v7 = Concat <axis = 1> (\"past.0\", \"past.1\")", "")
        .replace("[n9] present = Identity (v7)", "")
        .replace(", float[N, 2] present", "")
        .replace("Softmax <axis = 1>", "Softmax <axis = -1>")
        .replace("{5, 6, 7, 8}", "{5, 6, 7, 9}")
        .replace("= Exp", "= Log")
        .replace("\"\" : 17, \"com.x\"", "\"\" : 18, \"com.x\"");
    of(&past(BEFORE), &after)
}

#[test]
fn changes_are_told_as_a_person_would() {
    insta::assert_snapshot!(changed().to_text());
}

#[test]
fn the_same_as_markdown() {
    insta::assert_snapshot!(changed().to_markdown());
}

#[test]
fn the_same_as_json() {
    insta::assert_snapshot!(format!("{:#}", changed().to_json()));
}

#[test]
fn the_same_as_one_page() {
    insta::assert_snapshot!(changed().to_html("a.onnx", "b.onnx"));
}

#[test]
fn the_schema_names_the_fields_that_there_are() {
    let schema = super::json_schema();
    let json = changed().to_json();
    fn check(schema: &serde_json::Value, root: &serde_json::Value, value: &serde_json::Value) {
        let schema = match schema.get("$ref").and_then(|r| r.as_str()) {
            Some(r) => root.pointer(r.trim_start_matches('#')).expect("a definition"),
            None => schema,
        };
        match value {
            serde_json::Value::Object(fields) => {
                let Some(known) = schema["properties"].as_object() else { return };
                assert_eq!(known.keys().collect::<Vec<_>>(), fields.keys().collect::<Vec<_>>());
                fields.iter().for_each(|(k, v)| check(&known[k], root, v));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|v| check(&schema["items"], root, v)),
            _ => {}
        }
    }
    check(&schema, &schema, &json);
}

#[test]
fn names_cannot_leave_their_place() {
    let evil = "<img src=x onerror=alert(1)>`` | ```\u{1b}[2J\u{202e}";
    let named = |name: &str| -> Model {
        parse(&format!(
            "<opset_import: [\"\" : 17]> g (float \"{name}\") => (float y) {{ [\"/{name}/a\"] y = Neg (\"{name}\") }}"
        ))
        .expect("parses")
    };
    let other =
        parse("<opset_import: [\"\" : 17]> g (int64 x) => (float y) { y = Abs (x) }").expect("parses");
    let d = diff(&named(evil), &other);
    let page = d.to_html(evil, "b");
    assert!(!page.contains("<img") && !page.contains('\u{202e}'));
    for text in [d.to_text(), d.to_markdown(), page] {
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    }
    let fences = d.to_markdown().lines().filter(|l| l.starts_with("```")).count();
    assert_eq!(fences % 2, 0);
}

#[test]
fn an_identity_taken_out_of_the_middle_is_one_node_and_no_more() {
    let with = "<opset_import: [\"\" : 17]> g (float[N] x) => (float[N] y) {
        a = Relu (x) b = Identity (a) c = Exp (b) d = Add (c, b) y = Neg (d) }";
    let without = "<opset_import: [\"\" : 17]> g (float[N] x) => (float[N] y) {
        v1 = Relu (x) v2 = Exp (v1) v3 = Add (v2, v1) y = Neg (v3) }";
    let d = of(with, without);
    assert_eq!((d.nodes.removed_count, d.nodes.added_count), (1, 0), "{}", d.to_text());
}
