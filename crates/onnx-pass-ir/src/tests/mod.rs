//! Laws and fixtures of the crate as a whole.

mod bad_input;
mod deep;
mod edits;
mod fixtures;
mod generate;
mod inline;
mod invariants;
mod round_trip;
mod unknown;

use crate::*;

const fn shareable<T: Send + Sync + Clone + 'static>() {}
const _: () = shareable::<Model>();

/// Checks everything and fails with what is wrong.
#[track_caller]
fn sound(m: &Model) {
    let findings = verify::verify(m, verify::Level::Full);
    assert!(
        findings.is_empty(),
        "{}",
        findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    );
}

fn float_type() -> Option<Type> {
    Some(Type::tensor(DataType::FLOAT, Some(vec![Dim::Symbol("n".into())])))
}

/// `y = Relu(Add(x, w))`
fn small() -> Model {
    let mut m = Model::empty();
    m.header_mut().ir_version = Some(10);
    m.header_mut().opset_imports.push(OpsetImport { domain: None, version: Some(17) });
    let main = m.main();
    let x = m.add_input(main, "x", float_type());
    let w = m.add_initializer(main, "w", Tensor::float(&[1], &[2.0]).shared());
    let add = m.add_node(Place::End(main), NewNode::new("Add", &[x, w], "sum").named("add"));
    let sum = m.node(add).outputs()[0].unwrap();
    let relu = m.add_node(Place::End(main), NewNode::new("Relu", &[sum], "y"));
    let y = m.node(relu).outputs()[0].unwrap();
    m.add_output(main, y, float_type());
    m
}

/// The value of the main graph with that name.
#[track_caller]
fn value(m: &Model, name: &str) -> ValueId {
    m.find_value(m.main(), name).unwrap_or_else(|| panic!("no {name}"))
}

fn reread(m: &Model) -> Model {
    Model::from_bytes(m.to_bytes(Encoding::Verbatim).unwrap(), None).unwrap()
}
