//! Every pass that runs without being told names: `cargo bench -p onnx-pass-passes --bench passes`.
// The macro's function has no place for a comment.
#![allow(missing_docs)]

#[path = "../../onnx-pass-ir/benches/grown/mod.rs"]
mod grown;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use onnx_pass_ir::{Encoding, Model};
use onnx_pass_passes::analysis::Analysis;
use onnx_pass_passes::pass::PassContext;
use onnx_pass_passes::registry;

const NODES: usize = 10_000;

fn passes(c: &mut Criterion) {
    let bytes = grown::grown(NODES).and_then(|m| m.to_bytes(Encoding::Anew)).expect("it is small");
    let model = Model::from_bytes(bytes, None).expect("it was written by us");
    let mut g = c.benchmark_group("passes");
    g.sample_size(20);
    g.throughput(Throughput::Elements(NODES as u64));
    g.bench_function("analysis", |b| b.iter(|| Analysis::of(&model, &PassContext::new().facts)));
    for name in [
        "clip-to-float16-range",
        "deduplicate-initializers",
        "eliminate-common-subexpressions",
        "eliminate-dead-code",
        "eliminate-identities",
        "eliminate-kv-cache",
        "externalize",
        "fold-constants",
        "infer-shapes",
        "inline-functions",
    ] {
        let pass = registry::find(name).expect("it is registered");
        let run = |mut m: Model| pass.run(&mut m, &mut PassContext::new()).map(|_| m);
        g.bench_function(name, |b| b.iter_batched(|| model.clone(), run, BatchSize::LargeInput));
    }
    g.finish();
}

criterion_group!(benches, passes);
criterion_main!(benches);
