//! A model of any size: layers that are alike, with something for every pass to do.

use onnx_pass_ir::{Attribute, DataType, Dim, Error, Model, NewNode, Place, Tensor, Type, ValueId, text};

/// Nodes of a layer.
const LAYER: usize = 20;
/// One layer in so many has a cache: a node in 124, as in exported decoders.
const CACHE_EVERY: usize = 8;
/// What the layers are added to: each calls the function.
const BASE: &str = r#"
    <ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    grown (float[batch, seq, 16] x) => () { }
    <domain: "local", opset_import: ["" : 17]>
    Act (x) => (y) { y = Relu (x) }
"#;

struct Grown {
    m: Model,
    layer: usize,
}

impl Grown {
    fn node(&mut self, op: &str, inputs: &[ValueId], attributes: &[Attribute]) -> ValueId {
        let output = format!("/layers.{}/{op}_output_0", self.layer);
        self.add(attributes.iter().cloned().fold(NewNode::new(op, inputs, &output), NewNode::attr))
    }

    fn add(&mut self, new: NewNode) -> ValueId {
        let name = format!("/layers.{}/{}", self.layer, new.op_type);
        let new = new.named(&name);
        let node = self.m.add_node(Place::End(self.m.main()), new);
        self.m.node(node).outputs().iter().flatten().copied().last().expect("it was made with an output")
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
pub fn grown(nodes: usize) -> Result<Model, Error> {
    let mut g = Grown { m: text::parse(BASE)?, layer: 0 };
    let main = g.m.main();
    let mut x = g.m.graph(main).inputs()[0];
    let zero = g.constant("zero", Tensor::int64(&[], &[0]));
    let first = g.constant("first", Tensor::int64_vec(&[0]));
    let rest = g.constant("rest", Tensor::int64_vec(&[-1, 16]));
    let mut presents = Vec::new();
    while g.m.node_capacity() + LAYER <= nodes.max(LAYER) {
        // Every other weight is the last one again.
        let weight = Tensor::float(&[16], &[(g.layer / 2) as f32; 16]);
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
        let name = format!("/layers.{}/Act_output_0", g.layer);
        let y = g.add(NewNode { domain: "local".into(), ..NewNode::new("Act", &[y], &name) });
        g.node("Sigmoid", &[y], &[]);
        g.m.set_type(y, tensor(&["batch", "seq", "16"]));
        x = g.node("Add", &[y, x], &[]);
        if g.layer.is_multiple_of(CACHE_EVERY) {
            let gain = g.m.add_input(main, &format!("gain.{}", g.layer), Some(tensor(&[])));
            x = g.node("Mul", &[x, gain], &[]);
            let name = format!("past.{}.key", g.layer);
            let past = g.m.add_input(main, &name, Some(tensor(&["batch", "past", "16"])));
            let grow = NewNode::new("Concat", &[past, x], &format!("{name}_RetainedState"));
            let all = g.add(grow.attr(Attribute::int("axis", 1)));
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
    Ok(g.m)
}
