//! What the tests of rules share: one node, its inputs, and what is found of its outputs.

use std::sync::Arc;

use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_ir::{Attribute, DataType, Dim, Model, NewNode, OpsetImport, Place, Tensor, Type};

use super::super::super::{Analysis, Fact};

/// An input of the node under test.
#[derive(Clone)]
#[allow(clippy::large_enum_variant)]
pub(crate) enum In {
    /// A float tensor of this shape, the dims separated by spaces; `?` is an unknown rank.
    Shape(&'static str),
    /// The same of another type.
    Typed(DataType, &'static str),
    /// A constant.
    Is(Tensor),
    /// A one-dimensional integer tensor with the lengths of this shape for contents.
    Lengths(&'static str),
    /// None.
    Absent,
}

/// Expressions separated by spaces.
pub(crate) fn exprs(text: &str) -> Vec<Expr> {
    text.split_whitespace().map(|d| Expr::parse(d).expect("an expression")).collect()
}

/// A node of one operator and the model around it.
pub(crate) struct Case {
    model: Model,
    node: NewNode,
    outputs: usize,
}

impl Case {
    /// An operator of the standard at this version.
    pub fn new(op_type: &str, opset: i64) -> Self {
        Self::of("", op_type, opset)
    }

    /// An operator of a domain.
    pub fn of(domain: &str, op_type: &str, opset: i64) -> Self {
        // An empty graph in a model.
        let mut model = Model::from_bytes(vec![0x08, 0x0a, 0x3a, 0x00], None).expect("a model");
        for (domain, version) in [("", 21), (domain, opset)] {
            let imports = &mut model.header_mut().opset_imports;
            imports.retain(|o| o.domain.as_deref() != Some(domain));
            imports.push(OpsetImport { domain: Some(domain.into()), version: Some(version) });
        }
        let node = NewNode { op_type: op_type.into(), domain: domain.into(), ..NewNode::default() };
        Case { model, node, outputs: 1 }
    }

    /// With inputs.
    pub fn inputs(mut self, inputs: &[In]) -> Self {
        let main = self.model.main();
        let named = |text: &str| -> Option<Vec<Dim>> {
            (text != "?").then(|| exprs(text).iter().map(Dim::from_expr).collect())
        };
        for (k, input) in inputs.iter().enumerate() {
            let name = format!("in{k}");
            let value = match input {
                In::Absent => None,
                In::Is(tensor) => Some(self.model.add_initializer(main, &name, Arc::new(tensor.clone()))),
                In::Shape(text) => {
                    Some(self.model.add_input(main, &name, Some(Type::tensor(DataType::FLOAT, named(text)))))
                }
                In::Typed(dtype, text) => {
                    Some(self.model.add_input(main, &name, Some(Type::tensor(*dtype, named(text)))))
                }
                In::Lengths(text) => {
                    let ty = Type::tensor(DataType::FLOAT, named(text));
                    let of = self.model.add_input(main, &format!("{name}.of"), Some(ty));
                    let shape = self.model.add_node(Place::End(main), NewNode::new("Shape", &[of], &name));
                    self.model.node(shape).output(0)
                }
            };
            self.node.inputs.push(value);
        }
        self
    }

    /// With an integer attribute.
    pub fn int(self, name: &str, value: i64) -> Self {
        self.attr(Attribute::int(name, value))
    }

    /// With an attribute of integers.
    pub fn ints(self, name: &str, value: &[i64]) -> Self {
        self.attr(Attribute::ints(name, value))
    }

    /// With a string attribute.
    pub fn string(self, name: &str, value: &str) -> Self {
        self.attr(Attribute::string(name, value))
    }

    /// With an attribute.
    pub fn attr(mut self, a: Attribute) -> Self {
        self.node.attributes.push(a);
        self
    }

    /// With this many outputs.
    pub fn outputs(mut self, count: usize) -> Self {
        self.outputs = count;
        self
    }

    /// What is found of the outputs, which are named `y0`, `y1` and so on.
    pub fn facts(mut self) -> Vec<Fact> {
        self.node.outputs = (0..self.outputs).map(|k| format!("y{k}").into()).collect();
        let node = self.model.add_node(Place::End(self.model.main()), self.node);
        let analysis = Analysis::of(&self.model, &Facts::default());
        let outputs = self.model.node(node).outputs().iter().flatten();
        outputs.map(|v| analysis.fact(*v).clone()).collect()
    }

    /// The shapes of the outputs, as text; `?` for an unknown rank and for a length that nothing tells.
    pub fn shapes(self) -> Vec<String> {
        let dim = |e: &Expr| match e.as_symbol() {
            Some(s) if s.starts_with('?') => "?".to_string(),
            _ => e.to_string().replace(' ', ""),
        };
        let text = |f: Fact| match f.shape {
            Some(shape) => shape.iter().map(dim).collect::<Vec<_>>().join(" "),
            None => "unknown rank".to_string(),
        };
        self.facts().into_iter().map(text).collect()
    }

    /// The shape of the only output.
    pub fn shape(self) -> String {
        self.shapes().swap_remove(0)
    }
}
