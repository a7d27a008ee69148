//! A model of any size: layers that are alike, with something for every pass to do.

use onnx_pass_ir::{Attribute, DataType, Dim, Model, NewNode, OpsetImport, Place, Tensor, Type, ValueId};

/// Nodes of a layer.
const LAYER: usize = 19;
/// One layer in so many has a cache.
const CACHE_EVERY: usize = 40;

struct Grown {
    m: Model,
    layer: usize,
}

impl Grown {
    fn node(&mut self, op: &str, inputs: &[ValueId], attributes: &[Attribute]) -> ValueId {
        let main = self.m.main();
        let name = format!("/layers.{}/{op}", self.layer);
        let new = NewNode::new(op, inputs, &format!("{name}_output_0")).named(&name);
        let new = attributes.iter().cloned().fold(new, NewNode::attr);
        let node = self.m.add_node(Place::End(main), new);
        // A node that was made with an output has one.
        self.m.node(node).output(0).unwrap_or(inputs[0])
    }

    fn constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        let main = self.m.main();
        self.m.add_initializer(main, name, tensor.shared())
    }
}

fn tensor(dims: &[&str]) -> Type {
    let dim = |d: &&str| d.parse().map_or_else(|_| Dim::Symbol((*d).into()), Dim::Known);
    Type::tensor(DataType::FLOAT, Some(dims.iter().map(dim).collect()))
}

/// A model of about `nodes` nodes.
pub fn grown(nodes: usize) -> Model {
    let mut g = Grown { m: Model::empty(), layer: 0 };
    g.m.header_mut().ir_version = Some(8);
    g.m.header_mut().opset_imports.push(OpsetImport { domain: None, version: Some(17) });
    let main = g.m.main();
    let mut x = g.m.add_input(main, "x", Some(tensor(&["batch", "seq", "16"])));
    let gain = g.m.add_input(main, "gain", Some(tensor(&[])));
    x = g.node("Mul", &[x, gain], &[]);
    let zero = g.constant("zero", Tensor::int64(&[], &[0]));
    let first = g.constant("first", Tensor::int64_vec(&[0]));
    let rest = g.constant("rest", Tensor::int64_vec(&[-1, 16]));
    let mut presents = Vec::new();
    while g.m.node_capacity() + LAYER <= nodes.max(LAYER) {
        let weight = Tensor::float(&[16], &[g.layer as f32; 16]);
        let name = format!("layers.{}.weight", g.layer);
        let w = g.constant(&name, weight);
        let shape = g.node("Shape", &[x], &[]);
        let batch = g.node("Gather", &[shape, zero], &[Attribute::int("axis", 0)]);
        let batch = g.node("Unsqueeze", &[batch, first], &[]);
        let target = g.node("Concat", &[batch, rest], &[Attribute::int("axis", 0)]);
        let y = g.node("Reshape", &[x, target], &[]);
        let y = g.node("Cast", &[y], &[Attribute::int("to", 1)]);
        let y = g.node("Identity", &[y], &[]);
        let swap = [Attribute::ints("perm", &[0, 2, 1])];
        let y = g.node("Transpose", &[y], &swap);
        let y = g.node("Transpose", &[y], &swap);
        let one = g.node("Mul", &[y, w], &[]);
        let other = g.node("Mul", &[y, w], &[]);
        let y = g.node("Add", &[one, other], &[]);
        let y = g.node("Relu", &[y], &[]);
        g.node("Sigmoid", &[y], &[]);
        g.m.set_type(y, tensor(&["batch", "seq", "16"]));
        x = g.node("Add", &[y, x], &[]);
        if g.layer.is_multiple_of(CACHE_EVERY) {
            let name = format!("past.{}.key", g.layer);
            let past = g.m.add_input(main, &name, Some(tensor(&["batch", "past", "16"])));
            let all = g.node("Concat", &[past, x], &[Attribute::int("axis", 1)]);
            let turned = g.node("Transpose", &[all], &swap);
            let scores = g.node("MatMul", &[x, turned], &[]);
            x = g.node("MatMul", &[scores, all], &[]);
            presents.push(all);
        }
        g.layer += 1;
    }
    g.m.add_output(main, x, Some(tensor(&["batch", "seq", "16"])));
    for present in presents {
        g.m.add_output(main, present, Some(tensor(&["batch", "total", "16"])));
    }
    g.m
}
