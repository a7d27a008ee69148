use onnx_pass_ir::Model;
use onnx_pass_ir::text::parse;

use super::{Diff, diff};

fn of(a: &str, b: &str) -> Diff {
    diff(&parse(a).expect("parses"), &parse(b).expect("parses"))
}

const BEFORE: &str = r#"
    <ir_version: 8, opset_import: ["" : 17, "com.x" : 1], producer_name: "t">
    g (float[N, 16] x, float[N, 2] past.0, float[N, 2] past.1, bool c) => (float[N, 16] y, float[N, 2] present)
    <float[1] w = {2}, float[16] u = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, float[N, 16] "/m/layers.0/a"> {
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
    g (float[N, 16] x, float[N, 2] past.0, float[N, 2] past.1, bool c) => (float[N, 16] y, float[N, 2] present)
    <float[16] p2 = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, float[1] p1 = {2}, float[N, 16] v1> {
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
        .replace("15, 16}", "15, 17}")
        .replace("{2}", "{3}")
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
fn a_constant_is_the_same_wherever_it_stands() {
    let nodes = "<opset_import: [\"\" : 17]> g (float[N] x) => (float[M] y) {
        c = Constant <value = int64[2] {0, -1}> () d = Constant <value_float = 2.0> () e = Constant <value_int = 7> ()
        t = Reshape (x, c) u = Mul (t, d) y = Tile (u, e) }";
    let initializers = "<opset_import: [\"\" : 17]> g (float[N] x) => (float[M] y)
        <int64[2] c = {0, -1}, float d = {2}, int64 e = {7}> {
        t = Reshape (x, c) u = Mul (t, d) y = Tile (u, e) }";
    assert_eq!(
        of(nodes, initializers).to_text(),
        "no structural change\n3 → 0 Constant nodes; the constants are the same\n"
    );
    let other = of(nodes, &initializers.replace("{0, -1}", "{-1, 0}"));
    assert!(other.structural);
    insta::assert_snapshot!(other.to_text());
}

#[test]
fn outputs_that_change_places_are_seen() {
    let text = |y: &str, z: &str| {
        format!(
            "<opset_import: [\"\" : 17]> g (float[N] x) => (float[N] y, float[N] z) {{ {y} = Neg (x) {z} = Abs (x) }}"
        )
    };
    let d = of(&text("y", "z"), &text("z", "y"));
    assert!(d.structural);
    insta::assert_snapshot!(d.to_text());
    let order =
        of(&text("y", "z"), &text("y", "z").replace("(float[N] y, float[N] z)", "(float[N] z, float[N] y)"));
    assert!(order.structural && order.interface.is_empty());
    assert_eq!(order.to_text(), "interface\n  ~ the inputs or outputs stand in another order\n");
}

#[test]
fn weights_that_change_places_are_seen() {
    let many = |from: i32| (from..from + 16).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let text = |v: &str, w: &str| {
        format!(
            "<opset_import: [\"\" : 17]> g (float[16] x) => (float[16] y)
             <float[16] v = {{{}}}, float[16] w = {{{}}}> {{ t = Add (x, {v}) y = Mul (t, {w}) }}",
            many(0),
            many(100)
        )
    };
    let d = of(&text("v", "w"), &text("w", "v"));
    assert!(d.structural && d.weights.is_empty());
    insta::assert_snapshot!(d.to_text());
    // Contents that are nowhere in the other model are told with the weights alone.
    let trained = of(&text("v", "w"), &text("v", "w").replace("115}", "116}"));
    assert_eq!(trained.to_text(), "weights\n  ~ w: float[16]\n");
}

#[test]
fn a_default_and_weights_among_the_inputs_are_told_apart() {
    let text = |ir: u8, n: u8| {
        format!(
            "<ir_version: {ir}, opset_import: [\"\" : 8]> g (float[1] x, float[1] w) => (float[1] y) \
             <float[1] w = {{{n}}}> {{ y = Add (x, w) }}"
        )
    };
    let default = of(&text(4, 1), &text(4, 2));
    assert!(default.to_text().contains("~ input  w: float[1], another default"), "{}", default.to_text());
    let weight = of(&text(3, 1), &text(3, 2));
    assert!(weight.interface.is_empty());
    assert!(weight.to_text().contains("Add: input 1: float[1] {1} → float[1] {2}"), "{}", weight.to_text());
}

#[test]
fn one_node_may_stand_for_several_that_compute_the_same() {
    let twice = "<opset_import: [\"\" : 17]> g (float[N] x, float[N] z) => (float[N] y) {
        w = Relu (z) a = Neg (x) b = Neg (x) c = Exp (a) d = Abs (b) e = Add (c, w) y = Mul (e, d) }";
    let once = "<opset_import: [\"\" : 17]> g (float[N] x, float[N] z) => (float[N] y) {
        a = Neg (x) c = Exp (a) d = Abs (a) e = Add (c, z) y = Mul (e, d) }";
    assert_eq!(of(twice, once).to_text(), "nodes 7 → 5: 2 removed\n  - (no scope): Neg, Relu\n");
}

#[test]
fn branches_may_stand_in_any_order() {
    let text = |first: &str, second: &str| {
        format!(
            "<opset_import: [\"\" : 17]> g (float x, bool c) => (float y) {{ y = If (c) <{first}, {second}> }}"
        )
    };
    let (yes, no) =
        ("then_branch = a () => (r) { r = Neg (x) }", "else_branch = b () => (r) { r = Abs (x) }");
    assert!(!of(&text(yes, no), &text(no, yes)).structural);
    let swapped = text(&yes.replace("Neg", "Abs"), &no.replace("Abs", "Neg"));
    assert!(of(&text(yes, no), &swapped).structural);
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
