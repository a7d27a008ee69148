//! What is known of the values of small models, as text.

use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_ir::{Dim, Model, NewNode, Place, Type, text};

use super::{Analysis, Fact};

fn model(source: &str) -> Model {
    match text::parse(source) {
        Ok(m) => m,
        Err(e) => panic!("{e}"),
    }
}

fn said(f: &Fact) -> String {
    let dims = f
        .shape
        .as_ref()
        .map_or("?".into(), |s| format!("{:?}", s.iter().map(Expr::to_string).collect::<Vec<_>>()));
    let dtype = f.dtype.map_or("?".into(), |t| t.to_string());
    let item = |e: &Option<Expr>| e.as_ref().map_or("_".into(), Expr::to_string);
    let items = f.items.as_ref().map(|i| format!(" = {:?}", i.iter().map(item).collect::<Vec<_>>()));
    format!("{dtype}{dims}{}", items.unwrap_or_default())
}

/// One line a node output, subgraphs and functions included.
fn facts(source: &str) -> String {
    let m = model(source);
    let a = Analysis::of(&m, &Facts::new());
    let mut out = String::new();
    for g in m.live_graphs() {
        for (_, n) in m.nodes(g) {
            for v in n.outputs().iter().flatten() {
                out.push_str(&format!("{} = {}: {}\n", m.name(*v), n.op_type(), said(a.fact(*v))));
            }
        }
    }
    for c in &a.contradictions {
        out.push_str(&format!(
            "{} {:?}: declared {}, computed {}\n",
            m.name(c.value),
            c.axis,
            c.declared,
            c.computed
        ));
    }
    out
}

#[test]
fn shape_arithmetic_is_followed() {
    insta::assert_snapshot!(facts(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, seq, 64] x, float[batch, 4, past, 16] cache) => (y, present) {
            s = Shape (x)
            zero = Constant <value_int: int = 0> ()
            one = Constant <value_int: int = 1> ()
            at0 = Constant <value_ints: ints = [0]> ()
            b = Gather (s, zero)
            q = Gather (s, one)
            b1 = Unsqueeze (b, at0)
            q1 = Unsqueeze (q, at0)
            heads = Constant <value_ints: ints = [4]> ()
            open = Constant <value_ints: ints = [-1]> ()
            target = Concat <axis: int = 0> (b1, q1, heads, open)
            split = Reshape (x, target)
            y = Transpose <perm: ints = [0, 2, 1, 3]> (split)
            present = Concat <axis: int = 2> (cache, y)
            ps = Shape <start: int = 2, end: int = 3> (present)
            total = Squeeze (ps)
            positions = Range (zero, total, one)
            half = Div (total, heads)
            far = Constant <value_ints: ints = [9223372036854775807]> ()
            axis2 = Constant <value_ints: ints = [2]> ()
            short = Slice (y, at0, q1, axis2)
            every_other = Slice (present, heads, far, axis2, axis2)
        }"#
    ));
}

#[test]
fn contents_decide_conditions() {
    insta::assert_snapshot!(facts(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 8] x, bool c) => (y) {
            s = Shape (x)
            minus = Constant <value_ints: ints = [-1]> ()
            same = Equal (s, minus)
            chosen = Where (same, minus, s)
            big = Add (s, s)
            more = GreaterOrEqual (big, s)
            kept = Expand (x, chosen)
            off = Constant <value: tensor = bool[1] {0}> ()
            never = And (c, off)
            y = Where (never, x, kept)
        }"#
    ));
}

#[test]
fn branches_join_where_they_agree() {
    insta::assert_snapshot!(facts(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 8] x, bool c, float[n] w) => (y) {
            y, z = If (c) <
                then_branch = t () => (a, b) { a = Relu (x) b = Shape (w) },
                else_branch = e () => (a2, b2) { a2 = Concat <axis: int = 1> (x, x) b2 = Shape <end: int = 1> (x) }
            >
            u = Relu (y)
        }"#
    ));
}

#[test]
fn a_loop_keeps_what_no_turn_changes() {
    insta::assert_snapshot!(facts(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (int64 count, float[n, 8] x) => (fixed, grown, stacked) {
            go = Constant <value: tensor = bool {1}> ()
            fixed, grown, stacked = Loop (count, go, x, x) <
                body = b (int64 i, bool c, float[n, 8] f, float[m, 8] r)
                    => (bool c2, float[n, 8] f2, float[k, 8] r2, float[n] row)
                {
                    c2 = Identity (c)
                    f2 = Relu (f)
                    r2 = Concat <axis: int = 0> (r, f)
                    rest = Constant <value_ints: ints = [1]> ()
                    row = ReduceSum <keepdims: int = 0> (f, rest)
                }
            >
        }"#
    ));
}

#[test]
fn a_function_is_followed_at_each_call() {
    insta::assert_snapshot!(facts(
        r#"<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        g (float[n] x, float[m, 2] w) => (a, b) {
            a = local.twice (x)
            b = local.twice (w)
        }
        <domain: "local", opset_import: ["" : 17]>
        twice (v) => (r) { r = Concat <axis: int = 0> (v, v) }"#
    ));
}

#[test]
fn a_declaration_that_the_graph_disputes_is_not_believed() {
    insta::assert_snapshot!(facts(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[b, s, 16] q, float[b, p, 16] past, float[b, 1, "p + 1"] mask) => (float[b, s, "p + 1"] y) {
            k = Concat <axis: int = 1> (past, q)
            kt = Transpose <perm: ints = [0, 2, 1]> (k)
            scores = MatMul (q, kt)
            y = Add (scores, mask)
        }"#
    ));
}

#[test]
fn values_of_one_name_in_two_branches_are_two() {
    let m = model(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[n] x, float[n] w, bool c) => (y) {
            y = If (c) <
                then_branch = t () => (a) { i = NonZero (x) a = Transpose (i) },
                else_branch = e () => (a) { i = NonZero (w) a = Transpose (i) }
            >
        }"#,
    );
    let a = Analysis::of(&m, &Facts::new());
    let named: Vec<_> =
        m.values().filter(|(_, v)| v.name() == "i").map(|(id, _)| a.shape(id).map(<[_]>::to_vec)).collect();
    assert_eq!(named.len(), 2);
    assert_ne!(named[0], named[1]);
}

fn empty() -> Model {
    model(r#"<ir_version: 8, opset_import: ["" : 17]> g (float[n] x) => () { }"#)
}

#[test]
fn a_long_chain_takes_no_stack() {
    let mut m = empty();
    let main = m.main();
    let mut v = m.graph(main).inputs()[0];
    for _ in 0..100_000 {
        let n = m.add_node(Place::End(main), NewNode::new("Relu", &[v], "r"));
        v = m.node(n).outputs()[0].unwrap_or(v);
    }
    m.add_output(main, v, None);
    let a = Analysis::of(&m, &Facts::new());
    assert_eq!(said(a.fact(v)), r#"float["n"]"#);
}

/// An `If` inside an `If`, so often.
fn nest(depth: usize) -> String {
    let mut inner = "y0 = Relu (x)".to_string();
    for k in 1..=depth {
        inner = format!(
            "y{k} = If (c) <then_branch = t{k} () => (y{p}) {{ {inner} }}, else_branch = e{k} () => (z{k}) {{ z{k} = Abs (x) }}>",
            p = k - 1
        );
    }
    format!(r#"<ir_version: 8, opset_import: ["" : 17]> g (float[n] x, bool c) => (y{depth}) {{ {inner} }}"#)
}

#[test]
fn nested_branches_are_followed() {
    let m = model(&nest(25));
    let a = Analysis::of(&m, &Facts::new());
    let y = m.graph(m.main()).outputs()[0].value();
    assert_eq!(said(a.fact(y)), r#"float["n"]"#);
}

/// Calls that nest as deep, then the same model with each call inlined: deeper than any file may be.
#[test]
fn a_thousand_subgraphs_take_no_stack() {
    let mut source = r#"<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[n] x, bool c) => (y) { y = f.f1000 (x, c) }
        <domain: "f", opset_import: ["" : 17, "f" : 1]> f0 (x, c) => (y) { y = Relu (x) }"#
        .to_string();
    for k in 1..=1000 {
        source.push_str(&format!(
            r#"<domain: "f", opset_import: ["" : 17, "f" : 1]> f{k} (x, c) => (y) {{
                y = If (c) <then_branch = t () => (a) {{ a = f.f{} (x, c) }}, else_branch = e () => (b) {{ b = Abs (x) }}>
            }}"#,
            k - 1
        ));
    }
    let mut m = model(&source);
    let known = |m: &Model| {
        let y = m.graph(m.main()).outputs()[0].value();
        said(Analysis::of(m, &Facts::new()).fact(y))
    };
    assert_eq!(known(&m), r#"float["n"]"#);
    let mut at = m.main();
    for _ in 0..=1000 {
        let Some(call) = m.node_ids(at).into_iter().find(|n| m.callee(*n).is_some()) else {
            panic!("no call")
        };
        if let Err(e) = m.inline_call(call) {
            panic!("{e}");
        }
        let inner = m.nodes(at).flat_map(|(_, n)| n.subgraphs()).next();
        at = inner.unwrap_or(at);
    }
    assert!(m.graphs_in(m.main()).len() > 2000);
    assert_eq!(known(&m), r#"float["n"]"#);
}

#[test]
fn a_name_of_the_file_is_never_taken_for_one_of_ours() {
    let mut m = empty();
    let main = m.main();
    let ty =
        Type::tensor(onnx_pass_ir::DataType::FLOAT, Some(vec![Dim::Symbol("?x.0".into()), Dim::Unknown]));
    let v = m.add_input(main, "w", Some(ty));
    let a = Analysis::of(&m, &Facts::new());
    assert_eq!(said(a.fact(v)), r#"float["?w.0", "?w.1"]"#);
}

#[test]
fn a_target_may_copy_where_it_holds_a_zero() {
    // `k` is 0: of `one`, all `b` rows are left; of `two`, which have no element then, it is not told.
    insta::assert_snapshot!(facts(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[b, 4] x, float[b, s] y, float[k] other) => (one, two) <int64[1] four = {4}> {
            rows = Shape (other)
            target = Concat <axis = 0> (rows, four)
            one = Reshape (x, target)
            columns = Shape <start = 1> (y)
            lengths = Concat <axis = 0> (rows, columns)
            two = Reshape (y, lengths)
        }"#
    ));
}
