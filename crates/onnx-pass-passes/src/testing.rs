//! What the passes' tests share: small models from text, a pass run under the manager, and the result as text.

use onnx_pass_ir::Model;
use onnx_pass_ir::text::{self, TextOptions};
use serde_json::Value;

use crate::artifacts;
use crate::manager::{self, RunOptions, Step};
use crate::pass::PassContext;
use crate::{options, registry};

/// A model from the text of its main graph, of the current opset.
pub fn model(graph: &str) -> Model {
    text::parse(&format!("<ir_version: 10, opset_import: [\"\" : 21]>\n{graph}")).expect("a model")
}

/// The model as ONNX text.
pub fn show(m: &Model) -> String {
    text::print(m, &TextOptions::default()).expect("a text")
}

/// What differs between two texts, line by line; the lines that stay are all there.
pub fn changes(before: &str, after: &str) -> String {
    let diff = similar::TextDiff::from_lines(before, after);
    diff.iter_all_changes().map(|line| format!("{} {line}", line.tag())).collect()
}

/// Runs one pass as the manager does, with everything checked. The context is what a run has.
pub fn run_in(m: &mut Model, cx: &mut PassContext, pass: &str, options: Value) -> Result<bool, String> {
    let pass = registry::find(pass).expect("a pass");
    options::check(&options, pass.options()).map_err(|e| e.to_string())?;
    let steps = [Step { pass, options }];
    let reports = manager::run(m, &steps, cx, RunOptions { verify_each: true }, &mut |_, _, _| true);
    reports.map(|r| r[0].changed).map_err(|e| e.to_string())
}

/// What a pass changes in a model, line by line, and what was noticed. It is run twice: the second time nothing
/// may happen.
pub fn after(text: &str, pass: &str, options: Value) -> String {
    let mut m = model(text);
    let before = show(&m);
    let mut cx = PassContext::new();
    if let Err(e) = run_in(&mut m, &mut cx, pass, options.clone()) {
        return format!("error: {e}\n");
    }
    let mut out = changes(&before, &show(&m));
    for d in &cx.diagnostics {
        out += &format!("{d}\n");
    }
    for a in &cx.artifacts {
        out += &format!("--- {}\n{}", a.name, a.text);
    }
    let files = cx.artifacts.clone();
    let again = run_in(&mut m, &mut cx, pass, options).expect("a second run");
    assert!(!again, "{pass} changes the model when run twice:\n{}", show(&m));
    assert_eq!(cx.artifacts, files, "{pass} writes other files when run twice");
    out
}

/// The error of a pass that must refuse.
pub fn refusal(text: &str, pass: &str, options: Value) -> String {
    match run_in(&mut model(text), &mut PassContext::new(), pass, options) {
        Ok(_) => "NOT REFUSED".into(),
        Err(e) => e,
    }
}

/// A model of `testdata/`.
pub fn export(name: &str) -> Model {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name).join("model.onnx");
    Model::read(path).expect("a model of testdata")
}

/// The names of a specialization's file as arguments, so that a test of the whole can see them.
pub fn compile_args(m: &Model, cx: &mut PassContext) -> String {
    crate::deploy::finish(m, cx, "model.onnx").expect("files");
    let file = cx.artifacts.iter().find(|a| a.name == "compile.args");
    let none = artifacts::render_arguments(&[]);
    file.map_or(none, |f| f.text.clone())
}
