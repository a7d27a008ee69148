//! Calls in place: everything that a graph in a function's body holds is in the copy, under names of its own.

use std::sync::Arc;

use bytes::Bytes;
use ecow::EcoVec;

use super::*;
use crate::model::{QuantAnnotation, ValueInfo};
use crate::text::{TextOptions, parse};

fn text(m: &Model) -> String {
    m.to_text(&TextOptions { notes: false, ..TextOptions::default() }).unwrap()
}

/// Two calls of a function; a branch in its body captures, declares, and returns what stands around it.
fn source() -> Model {
    parse(
        r#"<ir_version: 11, opset_import: ["" : 21, "local" : 1]>
        main (float[4] b, float[4] a, bool c) => (float[4] y) <float[4] t> {
            [one] t = local.f <alpha = 0.5> (b, a, c)
            [two] y = local.f (t, b, c)
        }
        <domain: "local", opset_import: ["" : 21]> f <alpha: float = 0.25> (a, b, c) => (y)
        <float[4] s, float[4] y> {
            s = Add (a, b)
            y = If (c) <
                then_branch = then () => (float[4] r) <float[4] k = {1, 2, 3, 4}, float[4] k, float[4] r, float[4] s> {
                    q = Mul (s, k)
                    #@ field unknown +AcB
                    r = LeakyRelu <alpha = @alpha> (q)
                },
                else_branch = otherwise () => (float[4] r) { r = Sub (a, b) }
            >
        }"#,
    )
    .unwrap()
}

fn branch(m: &Model, root: GraphId) -> GraphId {
    m.graphs_in(root)[1]
}

/// The source, its function's branch with what text has no words for.
fn model() -> Model {
    let mut m = source();
    let body = m.functions().next().unwrap().1.graph;
    let then = branch(&m, body);
    let sparse = m.new_value_raw(then, "sp".into(), Def::Initializer);
    let dense = |values: &[f32]| Arc::new(Tensor::float(&[values.len() as i64], values));
    let (values, indices) = (dense(&[5.0]), Some(Tensor::int64_vec(&[2]).shared()));
    let tensor =
        SparseTensor { values, indices, dims: [4].as_slice().into(), rest: EcoVec::new(), src: Bytes::new() };
    m.graphs[then.index()].sparse_initializers.push((sparse, Arc::new(tensor)));
    let mul = m.node_ids(then)[0];
    m.push_input_raw(mul, Some(sparse));
    m.nodes[mul.index()].set_operator("Sum".into(), None);
    let (q, k) = (m.find_value(then, "q").unwrap(), m.find_value(then, "k").unwrap());
    m.values[k.index()].pins += 1;
    let mut dangling = Metadata::new();
    dangling.add(("ZERO_POINT_TENSOR".into(), "a_gone".into()), None);
    m.graphs[then.index()].annotations.push(QuantAnnotation {
        value: Some(q),
        params: vec![("SCALE_TENSOR".into(), k)],
        messages: Vec::new(),
        dangling,
        dangling_name: None,
        rest: [0xf8, 0x06, 0x02].as_slice().into(),
    });
    m.graphs[then.index()].stale_info.push(("nobody".into(), ValueInfo::new(float_type())));
    m.graphs[then.index()].metadata.push(("key".into(), "value".into()));
    // The operands of the body's first node are sharded.
    let spec = |name: &[u8]| [&[0x12, name.len() as u8 + 2, 0x0a, name.len() as u8], name].concat();
    let device = [spec(b"a"), spec(b"b"), spec(b"s")].concat();
    let add = m.node_ids(body)[0];
    m.nodes[add.index()].rare_mut().devices.push(device.as_slice().into());
    m.touch(mul);
    m.touch(add);
    let again = reread(&m);
    sound(&again);
    again
}

#[test]
fn a_copy_holds_all_that_the_body_does() {
    let mut m = model();
    for call in m.node_ids(m.main()) {
        m.inline_call(call).unwrap();
    }
    sound(&m);
    let f = m.functions().next().unwrap().0;
    m.remove_function(f);
    let m = reread(&m);
    sound(&m);
    insta::assert_snapshot!(text(&m));
    let then = branch(&m, m.main());
    let g = m.graph(then);
    let name = |v: ValueId| m.name(v).to_string();
    let declared: Vec<String> = g.value_info().iter().map(|v| name(*v)).collect();
    assert_eq!(declared, ["one/k", "one/r"]);
    let stale: Vec<&str> = g.stale_value_info().map(|(n, _)| n).collect();
    assert_eq!(stale, ["one/s", "one/nobody"]);
    assert_eq!(g.sparse_initializers().iter().map(|s| name(s.0)).collect::<Vec<_>>(), ["one/sp"]);
    assert_eq!(g.metadata.len(), 1);
    let [a] = g.annotations() else { panic!("{:?}", g.annotations()) };
    assert_eq!(a.value.map(name), Some("one/q".into()));
    assert_eq!(a.params.iter().map(|(_, v)| name(*v)).collect::<Vec<_>>(), ["one/k"]);
    assert_eq!(a.dangling[0].1, "one/a_gone");
    assert_eq!(a.rest.as_slice(), [0xf8, 0x06, 0x02]);
    assert!(!m.is_unused(a.params[0].1));
    // What was `a` is `b` now, and the other way about.
    let device = &m.node(m.node_ids(m.main())[0]).rare().devices[0];
    assert_eq!(device.as_slice(), b"\x12\x03\x0a\x01b\x12\x03\x0a\x01a\x12\x07\x0a\x05one/s");
}

#[test]
fn a_function_that_goes_leaves_nothing_behind() {
    let mut m = model();
    for call in m.node_ids(m.main()) {
        m.inline_call(call).unwrap();
    }
    let f = m.functions().next().unwrap();
    let (f, body) = (f.0, f.1.graph);
    let inside = m.graphs_in(body);
    m.remove_function(f);
    let left: Vec<&str> =
        m.values().filter(|(_, v)| inside.contains(&v.graph())).map(|(_, v)| v.name()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(m.values.iter().filter(|v| v.def == Def::Removed).all(|v| v.pins == 0));
}

#[test]
fn an_input_that_is_left_out_is_not_returned() {
    let mut m = parse(
        r#"<ir_version: 10, opset_import: ["" : 21, "local" : 1]>
        main (float[4] x, bool c) => (float[4] y) { y = local.f (x, c) }
        <domain: "local", opset_import: ["" : 21]> f (x, c, z) => (y) {
            y = If (c) <then_branch = a () => (z) { u = Neg (x) }, else_branch = b () => (r) { r = Neg (x) }>
        }"#,
    )
    .unwrap();
    let call = m.node_ids(m.main())[0];
    let e = m.inline_call(call).unwrap_err().to_string();
    assert!(e.contains("a call of `local::f` leaves out `z`, which is returned"), "{e}");
}

#[test]
fn nodes_of_a_body_may_stand_in_any_order() {
    let mut m = parse(
        r#"<ir_version: 10, opset_import: ["" : 21, "local" : 1]>
        main (float[4] x, bool c) => (float[4] y) { [call] y = local.f (x, c) }
        <domain: "local", opset_import: ["" : 21]> f (x, c) => (y) {
            y = If (c) <then_branch = a () => (u) { v = Neg (x) }, else_branch = b () => (r) { r = Neg (u) }>
            u = Abs (x)
        }"#,
    )
    .unwrap();
    let call = m.node_ids(m.main())[0];
    m.inline_call(call).unwrap();
    let f = m.functions().next().unwrap().0;
    m.remove_function(f);
    m.sort_nodes(m.main()).unwrap();
    sound(&m);
}

#[test]
fn a_result_stays_the_value_that_its_readers_know() {
    let mut m = reread(
        &crate::text::parse(
            r#"<ir_version: 10, opset_import: ["" : 21, "local" : 1]>
               agraph (float[N] x) => (float[N] z, float[N] b) <float[N] a> {
                 a, b, c = local.f (x)
                 z = Sum (a, b, c)
               }
               <domain: "local", opset_import: ["" : 21]>
               f (p) => (q, r, q) { q = Abs (p)  r = Neg (q) }"#,
        )
        .unwrap(),
    );
    let nodes = m.node_ids(m.main());
    let (call, reader) = (nodes[0], nodes[1]);
    let [a, b] = [0, 1].map(|k| m.node(call).output(k).unwrap());
    m.inline_call(call).unwrap();
    sound(&m);
    assert_eq!(m.node(reader).inputs(), [Some(a), Some(b), Some(a)]);
    assert_eq!([m.name(a), m.name(b)], ["a", "b"]);
    assert_eq!(m.graph(m.main()).value_info(), [a]);
    assert!(m.node(m.value(a).producer().unwrap()).is("Abs"));
}
