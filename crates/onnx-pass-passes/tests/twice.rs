//! Two laws of every pass that needs no options: twice is once, and the same input gives the same bytes. Over
//! the exports in `testdata/`, and over generated graphs.

use std::path::PathBuf;

use onnx_pass_ir::{Encoding, Model, text};
use onnx_pass_passes::manager::{self, RunOptions, Step};
use onnx_pass_passes::options::OptionSpec;
use onnx_pass_passes::pass::{Pass, PassContext};
use onnx_pass_passes::registry;
use proptest::prelude::*;

/// The passes that run without options. Where weights are stored is settled when a model is written to a file,
/// which these laws do not do.
fn passes() -> impl Iterator<Item = &'static dyn Pass> {
    let stores = |p: &&'static dyn Pass| matches!(p.name(), "externalize" | "embed");
    let free = |p: &&'static dyn Pass| !p.options().iter().any(|o: &OptionSpec| o.required);
    registry::PASSES.iter().copied().filter(move |p| free(p) && !stores(p))
}

/// Runs a pass; `None` when it refuses.
fn run(model: &mut Model, pass: &'static dyn Pass) -> Option<bool> {
    let options = match pass.name() {
        "eliminate-kv-cache" => serde_json::json!({"assume": ["single-prefill", "no-window-overflow"]}),
        _ => serde_json::json!({}),
    };
    let steps = [Step { pass, options }];
    let options = RunOptions { verify_each: true };
    match manager::run(model, &steps, &mut PassContext::new(), options, &mut |_, _, _| true) {
        Ok(reports) => Some(reports.iter().any(|r| r.changed)),
        Err(manager::RunError::Pass { .. }) => None,
        Err(e) => panic!("{}: {e}", pass.name()),
    }
}

fn bytes(m: &Model) -> Vec<u8> {
    m.to_bytes(Encoding::Verbatim).map(|b| b.to_vec()).unwrap_or_default()
}

/// Both laws, of one pass on one model.
fn hold(model: &Model, pass: &'static dyn Pass) -> Result<(), String> {
    let (mut once, mut again) = (model.clone(), model.clone());
    let first = run(&mut once, pass);
    if first.is_none() {
        return Ok(());
    }
    run(&mut again, pass);
    if bytes(&once) != bytes(&again) {
        return Err(format!("{}: the same input gave other bytes", pass.name()));
    }
    // What is read back is what a second run would see.
    let mut twice = Model::from_bytes(bytes(&once), None).map_err(|e| format!("{}: {e}", pass.name()))?;
    let before = bytes(&twice);
    match run(&mut twice, pass) {
        Some(true) => Err(format!("{}: a second run changed the model again", pass.name())),
        None => Err(format!("{}: a second run refused", pass.name())),
        Some(false) if bytes(&twice) != before => Err(format!("{}: unchanged, and other bytes", pass.name())),
        Some(false) => Ok(()),
    }
}

#[test]
fn exports() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    let mut seen = 0;
    let mut wrong = Vec::new();
    let mut folders: Vec<_> =
        std::fs::read_dir(&root).expect("testdata").flatten().map(|e| e.path()).collect();
    folders.sort();
    for folder in folders {
        let path = folder.join("model.onnx");
        let Ok(model) = Model::read(&path) else { continue };
        seen += 1;
        for pass in passes() {
            if let Err(e) = hold(&model, pass) {
                wrong.push(format!("{}: {e}", path.display()));
            }
        }
    }
    assert!(seen > 5, "the exports are gone");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One node of a generated graph: an operator, and which earlier values it reads.
#[derive(Clone, Debug)]
struct Drawn {
    op: usize,
    a: prop::sample::Index,
    b: prop::sample::Index,
}

const OPS: &[(&str, usize)] = &[
    ("Relu", 1),
    ("Identity", 1),
    ("Add", 2),
    ("Mul", 2),
    ("Sub", 2),
    ("Concat", 2),
    ("Transpose", 1),
    ("Neg", 1),
    ("Cast", 1),
    ("Abs", 1),
];

fn graph(nodes: &[Drawn], outputs: &[prop::sample::Index]) -> Option<Model> {
    let mut values = vec!["x".to_string(), "w".to_string(), "z".to_string()];
    let mut body = String::new();
    for (i, n) in nodes.iter().enumerate() {
        let (op, arity) = OPS[n.op % OPS.len()];
        let attributes = match op {
            "Concat" => " <axis = 0>",
            "Transpose" => " <perm = [0, 1]>",
            "Cast" => " <to = 1>",
            _ => "",
        };
        let reads = if arity == 1 {
            n.a.get(&values).clone()
        } else {
            format!("{}, {}", n.a.get(&values), n.b.get(&values))
        };
        body.push_str(&format!("  v{i} = {op}{attributes} ({reads})\n"));
        values.push(format!("v{i}"));
    }
    let mut names: Vec<String> = outputs.iter().map(|o| o.get(&values[3..]).clone()).collect();
    names.sort();
    names.dedup();
    let declared: Vec<String> = names.iter().map(|n| format!("float[A, B] {n}")).collect();
    let source = format!(
        "<ir_version: 8, opset_import: [\"\" : 17]>\nagraph (float[A, B] x) => ({}) <float[1, 1] w = {{1}}, float[1, 1] z = {{0}}> {{\n{body}}}",
        declared.join(", ")
    );
    text::parse(&source).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn generated(
        nodes in prop::collection::vec(
            (any::<usize>(), any::<prop::sample::Index>(), any::<prop::sample::Index>())
                .prop_map(|(op, a, b)| Drawn { op, a, b }),
            1..24,
        ),
        outputs in prop::collection::vec(any::<prop::sample::Index>(), 1..3),
    ) {
        let model = graph(&nodes, &outputs).expect("a drawn graph is well formed");
        for pass in passes() {
            prop_assert!(hold(&model, pass).is_ok(), "{:?}\n{}", hold(&model, pass), nodes.len());
        }
    }
}
