//! Inference and folding against the number of nodes: `cargo bench -p onnx-pass-passes --bench engine`.
//!
//! Linear time is a throughput (nodes a second) that stays as the model grows from 1,000 to 100,000 nodes.
// The macro writes an undocumented function.
#![allow(missing_docs)]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use onnx_pass_ir::sym::Facts;
use onnx_pass_ir::{Attribute, Model, NewNode, Place, Tensor, ValueId, text};
use onnx_pass_passes::analysis::Analysis;
use onnx_pass_passes::fold;
use onnx_pass_passes::pass::PassContext;

const SIZES: [usize; 5] = [1_000, 3_000, 10_000, 30_000, 100_000];

/// A graph that grows at its end.
struct Grown {
    model: Model,
    nodes: usize,
}

impl Grown {
    fn node(&mut self, op: &str, inputs: &[ValueId], attributes: Vec<Attribute>) -> ValueId {
        let main = self.model.main();
        let new = attributes.into_iter().fold(NewNode::new(op, inputs, "v"), NewNode::attr);
        let node = self.model.add_node(Place::End(main), new);
        self.nodes += 1;
        self.model.node(node).output(0).expect("it has one")
    }

    fn ints(&mut self, items: &[i64]) -> ValueId {
        let main = self.model.main();
        self.model.add_initializer(main, "c", Tensor::int64_vec(items).shared())
    }
}

/// Blocks as exporters write them: each reads its operand's lengths, lays it out in heads by them and back again.
fn decoder(nodes: usize) -> Model {
    let empty = r#"<ir_version: 10, opset_import: ["" : 18]> g (float[batch, sequence, 64] x) => () { }"#;
    let mut g = Grown { model: text::parse(empty).expect("it is well formed"), nodes: 0 };
    let main = g.model.main();
    let mut x = g.model.graph(main).inputs()[0];
    let (first, second, axis) = (g.ints(&[0]), g.ints(&[1]), g.ints(&[0]));
    let (heads, whole, one) = (g.ints(&[4, 16]), g.ints(&[64]), g.ints(&[1]));
    while g.nodes < nodes {
        let shape = g.node("Shape", &[x], vec![]);
        let batch = g.node("Gather", &[shape, first], vec![]);
        let end = g.ints(&[2]);
        let sequence = g.node("Slice", &[shape, second, end, axis], vec![]);
        let target = g.node("Concat", &[batch, sequence, heads], vec![Attribute::int("axis", 0)]);
        let split = g.node("Reshape", &[x, target], vec![]);
        let turned = g.node("Transpose", &[split], vec![Attribute::ints("perm", &[0, 2, 1, 3])]);
        let active = g.node("Relu", &[turned], vec![]);
        let back = g.node("Transpose", &[active], vec![Attribute::ints("perm", &[0, 2, 1, 3])]);
        let same = g.node("Mul", &[sequence, one], vec![]);
        let target = g.node("Concat", &[batch, same, whole], vec![Attribute::int("axis", 0)]);
        let merged = g.node("Reshape", &[back, target], vec![]);
        x = g.node("Add", &[merged, x], vec![]);
    }
    g.model.add_output(main, x, None);
    g.model
}

fn engine(c: &mut Criterion) {
    let models: Vec<(usize, Model)> = SIZES.iter().map(|n| (*n, decoder(*n))).collect();
    let mut g = c.benchmark_group("infer");
    g.sample_size(10);
    for (n, model) in &models {
        g.throughput(Throughput::Elements(*n as u64));
        g.bench_with_input(BenchmarkId::from_parameter(n), model, |b, m| {
            b.iter(|| Analysis::of(m, &Facts::new()));
        });
    }
    g.finish();
    let mut g = c.benchmark_group("fold");
    g.sample_size(10);
    for (n, model) in &models {
        g.throughput(Throughput::Elements(*n as u64));
        g.bench_with_input(BenchmarkId::from_parameter(n), model, |b, m| {
            let run = |mut m: Model| fold::simplify(&mut m, &mut PassContext::new()).map(|_| m);
            b.iter_batched(|| m.clone(), run, BatchSize::LargeInput);
        });
    }
    g.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
