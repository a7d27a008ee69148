//! What a reviewer waits for: `cargo bench -p onnx-pass --bench show_diff`.
//!
//! A model of 20,000 nodes in 400 layers, spelt as exporters spell it, with 27 GB of weights in a file that is not
//! there: nothing here may read it.

#![allow(missing_docs)] // What criterion makes has none.

use std::fmt::Write;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use onnx_pass::diff::diff;
use onnx_pass::show::{Depth, show};
use onnx_pass::{Model, text};
use onnx_pass_ir::Encoding;

const LAYERS: usize = 400;
const NODES: u64 = 50 * LAYERS as u64;
/// Bytes of a layer's weight.
const WEIGHT: usize = 4 * 4096 * 4096;

/// The model as the exporter numbers it, or with other names inside; with another attribute in each tenth layer.
fn model(prefix: &str, axis: i64) -> Model {
    let mut nodes = String::new();
    let mut weights = Vec::new();
    let mut last = "x".to_owned();
    for i in 0..LAYERS {
        let s = format!("/model/layers.{i}/attn");
        weights.push(format!(
            "float[4096, 4096] {prefix}{i} = [\"location\": \"w.bin\", \"offset\": \"{}\", \"length\": \"{WEIGHT}\"]",
            i * WEIGHT
        ));
        let mut node = |op: &str, inputs: &str, attributes: &str| {
            let name = format!("{prefix}/{s}/{}", nodes.len());
            let _ =
                writeln!(nodes, "[\"{s}/{op}_{}\"] \"{name}\" = {op}{attributes} ({inputs})", nodes.len());
            format!("\"{name}\"")
        };
        let mut sum = node("MatMul", &format!("{last}, {prefix}{i}"), "");
        for _ in 0..11 {
            let shape = node("Shape", &sum, "");
            let index = node("Constant", "", " <value = int64 {1}>");
            let length = node("Gather", &format!("{shape}, {index}"), " <axis = 0>");
            sum = node("Add", &format!("{sum}, {length}"), "");
        }
        let changes = if i % 10 == 0 { axis } else { -1 };
        let soft = node("Softmax", &sum, &format!(" <axis = {changes}>"));
        let abs = node("Abs", &soft, "");
        let neg = node("Neg", &abs, "");
        let exp = node("Exp", &neg, "");
        last = node("Add", &format!("{exp}, {last}"), "");
    }
    let weights = weights.join(", ");
    let text = format!(
        "<ir_version: 8, opset_import: [\"\" : 17]> g (float[N, 4096] x) => (float[N, 4096] y) <{weights}> {{
         {nodes} y = Relu ({last}) }}"
    );
    let bytes = text::parse(&text).and_then(|m| m.to_bytes(Encoding::Anew)).expect("it is sound");
    Model::from_bytes(bytes, None).expect("it was written by us")
}

fn shown(c: &mut Criterion) {
    let model = model("a", -1);
    assert_eq!(model.graph(model.main()).node_count() as u64, NODES + 1);
    let mut g = c.benchmark_group("show");
    g.sample_size(20).throughput(Throughput::Elements(NODES));
    for (name, depth) in [
        ("signature", Depth::Signature),
        ("outline", Depth::Outline),
        ("full", Depth::Full),
        ("text", Depth::Text),
    ] {
        g.bench_function(name, |b| b.iter(|| show(&model, depth).expect("shows").len()));
    }
    g.finish();
}

fn compared(c: &mut Criterion) {
    let before = model("a", -1);
    let mut g = c.benchmark_group("diff");
    g.sample_size(20).throughput(Throughput::Elements(NODES));
    for (name, after) in
        [("same", model("a", -1)), ("renumbered", model("b", -1)), ("changed", model("b", 1))]
    {
        let changed = diff(&before, &after).nodes.changed_count;
        assert_eq!(changed, if name == "changed" { LAYERS / 10 } else { 0 }, "{name}");
        g.bench_function(name, |b| b.iter(|| diff(&before, &after).to_text().len()));
    }
    g.finish();
}

criterion_group!(benches, shown, compared);
criterion_main!(benches);
