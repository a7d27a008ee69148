//! Reading, checking and writing: `cargo bench -p onnx-pass-ir`.
// The macro's function has no place for a comment.
#![allow(missing_docs)]

mod grown;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use onnx_pass_ir::{Encoding, Model, verify};

const NODES: usize = 10_000;

fn codec(c: &mut Criterion) {
    let bytes = grown::grown(NODES).and_then(|m| m.to_bytes(Encoding::Anew)).expect("it is small");
    let read = || Model::from_bytes(bytes.clone(), None).expect("it was written by us");
    let model = read();
    let mut touched = read();
    for n in touched.node_ids(touched.main()) {
        touched.set_node_name(n, Some("n"));
    }
    let mut g = c.benchmark_group("codec");
    g.throughput(Throughput::Elements(NODES as u64));
    g.bench_function("read", |b| b.iter_batched(|| (), |()| read(), BatchSize::LargeInput));
    g.bench_function("write what did not change", |b| {
        b.iter(|| black_box(model.to_bytes(Encoding::Verbatim)))
    });
    g.bench_function("write what changed", |b| b.iter(|| black_box(touched.to_bytes(Encoding::Verbatim))));
    g.bench_function("write all anew", |b| b.iter(|| black_box(model.to_bytes(Encoding::Anew))));
    g.bench_function("verify", |b| b.iter(|| black_box(verify::verify(&model, verify::Level::Structure))));
    g.bench_function("clone", |b| b.iter_batched(|| (), |()| model.clone(), BatchSize::LargeInput));
    g.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
