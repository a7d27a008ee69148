//! What each pass does to the example of its documentation, as `onnx-pass diff` tells it.

use std::error::Error;

use onnx_pass::diff::diff;
use onnx_pass::{Pipeline, RunSettings, run, text};
use onnx_pass_passes::docs;

/// Where weights are stored is settled on writing: these show files, not a model. `verify` changes nothing.
const WITHOUT: &[&str] = &["embed", "externalize", "verify"];

/// The contents of the fenced block of a language.
fn block<'d>(doc: &'d str, language: &str) -> Option<&'d str> {
    let (_, rest) = doc.split_once(&format!("```{language}\n"))?;
    rest.split_once("```").map(|(block, _)| block)
}

/// The model before: the lines of a line diff that stay, and those that go.
fn before(diff: &str) -> String {
    let of_it = diff.lines().filter(|line| line.starts_with([' ', '-']) || line.is_empty());
    let body: String = of_it.map(|line| format!("{}\n", line.get(2..).unwrap_or_default())).collect();
    let header = "<ir_version: 10, opset_import: [\"\" : 21]>\n";
    if body.trim_start().starts_with('<') { body } else { format!("{header}{body}") }
}

#[test]
fn each_pass_is_a_diff_of_its_example() -> Result<(), Box<dyn Error>> {
    let mut without = Vec::new();
    for pass in onnx_pass::passes(&[]) {
        let (name, doc) = (pass.name(), docs::of_source(pass.source()));
        let example = doc.split("## Before → after").nth(1).and_then(|d| d.split("## Requires").next());
        let example = example.unwrap_or_default();
        let Some(lines) = block(example, "diff") else {
            without.push(name);
            continue;
        };
        let options = block(example, "yaml").unwrap_or("{}");
        let options: String = options.lines().map(|line| format!("      {line}\n")).collect();
        let pipeline = format!("version: 1\nsteps:\n  - pass: {name}\n    with:\n{options}");
        let pipeline = Pipeline::parse("example.yaml", &pipeline).map_err(|e| format!("{name}: {e}"))?;
        let model = text::parse(&before(lines)).map_err(|e| format!("{name}: {e}\n{}", before(lines)))?;
        let made =
            run(&pipeline, model.clone(), &RunSettings::default()).map_err(|e| format!("{name}: {e}"))?;
        insta::assert_snapshot!(name, diff(&model, &made.model).to_text());
    }
    assert_eq!(without, WITHOUT, "passes without an example as a diff");
    Ok(())
}
