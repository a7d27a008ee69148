//! Each invariant of [`crate::verify`], broken by hand.

use super::*;

#[track_caller]
fn broken(m: &Model, want: &str) {
    let findings: Vec<String> =
        verify::verify(m, verify::Level::Full).iter().map(ToString::to_string).collect();
    assert!(findings.iter().any(|f| f.contains(want)), "{findings:?}");
}

#[test]
fn a_use_that_is_not_entered() {
    let mut m = small();
    let v = value(&m, "sum");
    m.values[v.index()].uses.clear();
    broken(&m, "Relu of \"y\": its use of `sum` is not entered");
}

#[test]
fn a_use_that_is_not_there() {
    let mut m = small();
    let (v, u) = (value(&m, "x"), Use::Output { graph: m.main(), index: 9 });
    m.add_use(v, u);
    broken(&m, "x: 2 uses are entered, 1 are there");
}

#[test]
fn an_output_of_another_node() {
    let mut m = small();
    let v = value(&m, "sum");
    m.values[v.index()].def = Def::Node { node: m.node_ids(m.main())[1], index: 0 };
    broken(&m, "does not name it as its producer");
}

#[test]
fn a_value_that_nothing_defines() {
    let mut m = small();
    let v = value(&m, "w");
    m.values[v.index()].def = Def::Undefined;
    broken(&m, "reads `w`, which nothing defines");
    m.values[v.index()].def = Def::Removed;
    broken(&m, "reads `w`, which was removed");
}

#[test]
fn a_value_of_a_graph_that_is_not_around() {
    let mut m = small();
    let g = m.new_graph_raw(GraphOwner::Detached, None);
    let v = value(&m, "w");
    m.values[v.index()].graph = g;
    broken(&m, "reads `w`, which is not visible there");
}

#[test]
fn a_name_given_twice_or_not_at_all() {
    for name in ["x", ""] {
        let mut m = small();
        let v = value(&m, "sum");
        m.values[v.index()].name = name.into();
        broken(&m, "is defined more than once, or has no name");
    }
}

#[test]
fn a_value_read_before_it_is_computed() {
    let mut m = small();
    let (add, y) = (m.node_ids(m.main())[0], value(&m, "y"));
    m.set_input(add, 0, Some(y));
    broken(&m, "Add \"add\": reads `y` before it is computed");
}

#[test]
fn an_operator_of_no_opset() {
    let mut m = small();
    let add = m.node_ids(m.main())[0];
    m.set_op(add, "nobody", "Add");
    broken(&m, "no opset import for domain `nobody`");
}

#[test]
fn functions_that_call_each_other() {
    let mut m = small();
    for (name, calls) in [("A", "B"), ("B", "A")] {
        let graph = m.new_graph_raw(GraphOwner::Function(FunctionId::new(m.functions.len())), None);
        m.push_function_raw(Function {
            name: name.into(),
            domain: Some("d".into()),
            overload: None,
            graph,
            attributes: Vec::new(),
            attribute_defaults: Vec::new(),
            opset_imports: Vec::new(),
            odd_imports: Default::default(),
            src: bytes::Bytes::new(),
            live: true,
        });
        m.add_node(Place::End(graph), NewNode { domain: "d".into(), ..NewNode::new(calls, &[], "r") });
    }
    broken(&m, "call each other in a circle: A, B");
}

#[test]
fn contents_of_another_size() {
    let mut m = small();
    let v = value(&m, "w");
    let t = Tensor::with_data(DataType::FLOAT, &[3], TensorData::Raw(vec![0; 4].into()));
    m.set_initializer(v, t.shared()).unwrap();
    broken(&m, "w: initializer float [3] needs 12 bytes and has 4");
}

#[test]
fn an_input_without_an_element_type() {
    let mut m = small();
    m.add_input(m.main(), "u", None);
    broken(&m, "u: input without an element type");
}
