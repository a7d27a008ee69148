use crate::{Model, Pipeline, RunSettings, shipped, text};

use super::{File, Parts, of, unified};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A cast that does nothing between two layers, and a length for a compiler.
fn model(axis: i64) -> Result<Model> {
    Ok(text::parse(&format!(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[seq, 4] x) => (float[seq, 4] y) <float[4] w = {{1, 2, 3, 4}}> {{
            ["/m/layers.0/mul"] "/m/layers.0/a" = Mul (x, w)
            ["/m/layers.0/soft"] "/m/layers.0/b" = Softmax <axis = {axis}> ("/m/layers.0/a")
            ["/m/cast"] c = Cast <to = 1> ("/m/layers.0/b")
            ["/m/layers.1/mul"] "/m/layers.1/a" = Mul (c, w)
            ["/m/layers.1/soft"] y = Softmax <axis = -1> ("/m/layers.1/a")
        }}"#
    ))?)
}

fn pipeline() -> Result<Pipeline> {
    Ok(Pipeline::parse(
        "small.yaml",
        "version: 1
name: small
vars: {seq: 8}
steps:
  - pass: eliminate-identities
  - pass: generate-specializations
    with: {targets: [cloud-ai], entries: [{symbols: {seq: \"${seq}\"}}]}",
    )?)
}

#[test]
fn a_snapshot_has_the_model_the_steps_and_the_files() -> Result {
    crate::assert_pipeline_snapshot!(&pipeline()?, model(-1)?);
    Ok(())
}

#[test]
fn one_changed_attribute_is_seen_and_told_in_a_line() -> Result {
    let settings = RunSettings::default();
    let (before, after) = (of(&pipeline()?, model(-1)?, &settings)?, of(&pipeline()?, model(0)?, &settings)?);
    insta::assert_snapshot!(unified(&before, &after));
    Ok(())
}

#[test]
fn the_same_comes_of_a_model_from_memory_and_from_its_bytes() -> Result {
    let settings = RunSettings::default();
    let bytes = model(-1)?.to_bytes(onnx_pass_ir::Encoding::Anew)?;
    let again = Model::from_bytes(bytes, None)?;
    assert_eq!(of(&pipeline()?, model(-1)?, &settings)?, of(&pipeline()?, again, &settings)?);
    Ok(())
}

#[test]
fn a_file_is_read_back_as_it_was_written_and_waits_beside_itself() -> Result {
    let folder = tempfile::tempdir()?;
    let file = File::at(folder.path().join("snapshots/a__b.snap"));
    assert_eq!(file.accepted()?, None);
    let parts = |contents: &str| Parts {
        source: "a\"\u{1b}.yaml".to_owned(),
        expression: "x: y".to_owned(),
        contents: contents.to_owned(),
    };
    file.accept(&parts("one\n---\ntwo\n\n"))?;
    assert_eq!(file.accepted()?.as_deref(), Some("one\n---\ntwo\n"));
    file.propose(&parts("three"))?;
    assert_eq!(file.accepted()?.as_deref(), Some("one\n---\ntwo\n"));
    assert!(file.pending().ends_with("a__b.snap.new") && file.pending().exists());
    file.accept(&parts("three"))?;
    assert_eq!((file.accepted()?.as_deref(), file.pending().exists()), (Some("three\n"), false));
    let text = std::fs::read_to_string(file.path())?;
    assert_eq!(text, "---\nsource: \"a\\\"\\\\u{1b}.yaml\"\nexpression: \"x: y\"\n---\nthree\n");
    Ok(())
}

#[test]
fn a_pipeline_that_refuses_is_an_error() -> Result {
    let single = shipped::named_or_read("infer-shapes")?;
    assert!(of(&single, model(-1)?, &RunSettings::default()).is_ok());
    let none = Pipeline::parse("x.yaml", "version: 1\nsteps: [{pass: nothing}]")?;
    assert!(of(&none, model(-1)?, &RunSettings::default()).is_err());
    Ok(())
}
