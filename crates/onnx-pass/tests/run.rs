//! `onnx-pass run` on real exports.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name).join("model.onnx")
}

fn onnx_pass(folder: &Path, arguments: &[&str]) -> Result<Output> {
    let done = Command::new(env!("CARGO_BIN_EXE_onnx-pass")).current_dir(folder).args(arguments).output()?;
    Ok(done)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Two small exports in folders of their own, and one more beside the first.
fn models() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for (from, to) in [
        ("qwen3_dynamo", "m/a/model.onnx"),
        ("fixed_plain", "m/b/model.onnx"),
        ("fixed_plain", "m/b/more.onnx"),
    ] {
        let to = folder.path().join(to);
        fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
        fs::copy(testdata(from), to)?;
    }
    Ok(folder)
}

#[test]
fn twice_is_once_and_the_same_input_gives_the_same_bytes() -> Result {
    let folder = tempfile::tempdir()?;
    let model = testdata("fixed_plain");
    let model = model.to_string_lossy();
    for (from, to) in [(&*model, "a.onnx"), (&*model, "b.onnx"), ("a.onnx", "c.onnx")] {
        let done = onnx_pass(folder.path(), &["run", "single-shot", from, "-o", to])?;
        assert!(done.status.success(), "{}", text(&done.stderr));
    }
    let read = |name| fs::read(folder.path().join(name));
    assert!(read("a.onnx")? == read("b.onnx")?, "the same input gave other bytes");
    assert!(read("a.onnx")? == read("c.onnx")?, "the second run changed something");
    Ok(())
}

#[test]
fn the_report_is_stable_and_short() -> Result {
    let folder = models()?;
    let first = onnx_pass(folder.path(), &["run", "single-shot", "m/a/model.onnx", "-o", "x.onnx"])?;
    let again = onnx_pass(folder.path(), &["run", "single-shot", "m/a/model.onnx", "-o", "x.onnx"])?;
    assert_eq!(text(&first.stdout), text(&again.stdout));
    let said = text(&first.stdout);
    for line in [
        "eliminate-kv-cache",
        "5 → 1",
        "1 output\n",
        "  logits  float[batch, sequence_length, 160]",
        "wrote x.onnx",
    ] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
    Ok(())
}

#[test]
fn one_export_becomes_two_models_over_one_weight_file() -> Result {
    let folder = models()?;
    let run = ["run", "split-prefill-decode", "m/a/model.onnx", "-o", "out/prefill.onnx"];
    let done = onnx_pass(folder.path(), &[&run[..], &["--set", "decode=next-of-{stem}.onnx"]].concat())?;
    assert!(done.status.success(), "{}", text(&done.stderr));
    for file in ["out/prefill.onnx", "out/prefill.onnx.data", "out/next-of-prefill.onnx"] {
        assert!(text(&done.stdout).contains(&format!("{file}\n")), "{}", text(&done.stdout));
    }
    assert_eq!(fs::read_dir(folder.path().join("out"))?.count(), 3);
    let mut read = Vec::new();
    for (name, inputs) in [("prefill.onnx", 3), ("next-of-prefill.onnx", 7)] {
        let model = onnx_pass::Model::read(folder.path().join("out").join(name))?;
        let graph = model.graph(model.main());
        assert_eq!((graph.inputs().len(), graph.outputs().len()), (inputs, 5), "{name}");
        let weight = model.find_value(model.main(), "model.model.embed_tokens.weight");
        let large = graph.initializers().iter().filter_map(|v| model.value(*v).initializer());
        let inside = large.filter(|t| !t.is_external() && t.byte_len().is_some_and(|n| n >= 1024)).count();
        assert_eq!(inside, 0, "{name} holds weights itself");
        read.push(weight.and_then(|v| model.value(v).initializer()).map(|t| t.bytes()).transpose()?);
    }
    assert!(read.first() == read.last());
    let drop =
        "version: 1\nsteps:\n  - pass: eliminate-kv-cache\n    with: {decode: d.onnx, present: drop}\n";
    let away = "version: 1\nsteps:\n  - pass: eliminate-kv-cache\n    with: {decode: ../d.onnx}\n";
    for (pipeline, part) in
        [(drop, "keeps its presents"), (away, "is not the name of a file beside the model")]
    {
        fs::write(folder.path().join("p.yaml"), pipeline)?;
        let done = onnx_pass(folder.path(), &["run", "./p.yaml", "m/a/model.onnx", "-o", "none/x.onnx"])?;
        assert!(!done.status.success() && text(&done.stderr).contains(part), "{}", text(&done.stderr));
        assert!(!folder.path().join("none").exists());
    }
    Ok(())
}

#[test]
fn a_step_in_the_middle_is_printed_and_the_run_ends_there() -> Result {
    let folder = models()?;
    let step = ["--print-after", "eliminate-kv-cache", "--stop-after", "eliminate-kv-cache"];
    let run = ["run", "single-shot", "m/a/model.onnx", "-o", "x.onnx"];
    let done = onnx_pass(folder.path(), &[&run[..], &step[..]].concat())?;
    let said = text(&done.stdout);
    let (_, model) = said.split_once("# after step 1, eliminate-kv-cache\n").unwrap_or_default();
    assert!(model.contains("float[batch,sequence_length,160] logits"), "{said}");
    let (model, _) = model.split_once("\nstep ").unwrap_or_default();
    assert!(!model.is_empty() && !model.contains("past_sequence_length"), "{said}");
    assert!(said.contains("note: stopped before the end of the pipeline"), "{said}");
    assert!(folder.path().join("x.onnx").is_file());
    Ok(())
}

#[test]
fn a_dry_run_writes_nothing_and_json_has_what_its_schema_says() -> Result {
    let folder = models()?;
    let arguments =
        ["run", "single-shot", "m/a/model.onnx", "-o", "new/", "--dry-run", "--report", "json", "--timings"];
    let done = onnx_pass(folder.path(), &arguments)?;
    assert!(!folder.path().join("new").exists());
    let report: serde_json::Value = serde_json::from_slice(&done.stdout)?;
    assert_eq!(report["models"][0]["status"], "dry-run");
    assert_eq!(report["models"][0]["files"][0], "new/model.onnx");
    let schema = onnx_pass::report::json_schema();
    fits(&report, &schema, &schema, "report");
    Ok(())
}

/// The part of JSON Schema that the report's uses. A key that the schema does not know is a misfit as well.
fn fits(value: &serde_json::Value, schema: &serde_json::Value, root: &serde_json::Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#'));
        return fits(value, target.unwrap_or(&serde_json::Value::Null), root, at);
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value}");
    }
    match (value, schema["type"].as_str()) {
        (serde_json::Value::Object(fields), Some("object")) => {
            for key in schema["required"].as_array().into_iter().flatten() {
                assert!(key.as_str().is_some_and(|key| fields.contains_key(key)), "{at} has no {key}");
            }
            if let Some(properties) = schema["properties"].as_object() {
                for (key, value) in fields {
                    let schema = properties.get(key);
                    assert!(schema.is_some(), "{at}: the schema has no {key}");
                    fits(value, schema.unwrap_or(&serde_json::Value::Null), root, &format!("{at}.{key}"));
                }
            }
        }
        (serde_json::Value::Array(items), Some("array")) => {
            for item in items.iter().filter(|_| schema["items"].is_object()) {
                fits(item, &schema["items"], root, &format!("{at}[]"));
            }
        }
        (serde_json::Value::String(_), Some("string"))
        | (serde_json::Value::Number(_), Some("integer" | "number"))
        | (serde_json::Value::Bool(_), Some("boolean"))
        | (_, None) => {}
        (value, kind) => panic!("{at}: {value} is no {kind:?}"),
    }
}

#[test]
fn many_models_keep_their_folders_and_are_made_once() -> Result {
    let folder = models()?;
    let arguments = ["run", "single-shot", "m/**/*.onnx", "-o", "out", "--if-changed", "--report", "json"];
    let states = |done: &Output| -> Result<Vec<String>> {
        let report: serde_json::Value = serde_json::from_slice(&done.stdout)?;
        let models = report["models"].as_array().cloned().unwrap_or_default();
        Ok(models.iter().map(|m| m["status"].as_str().unwrap_or_default().to_owned()).collect())
    };
    let first = onnx_pass(folder.path(), &arguments)?;
    assert_eq!(states(&first)?, ["written"; 3], "{}", text(&first.stderr));
    for file in ["out/a/model.onnx", "out/b/model/model.onnx", "out/b/more/more.onnx"] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
    assert_eq!(states(&onnx_pass(folder.path(), &arguments)?)?, ["up-to-date"; 3]);
    // What was touched is made again: an output that is gone, a model that is another.
    fs::remove_file(folder.path().join("out/a/model.onnx"))?;
    fs::copy(testdata("fixed_rank3"), folder.path().join("m/b/more.onnx"))?;
    assert_eq!(states(&onnx_pass(folder.path(), &arguments)?)?, ["written", "up-to-date", "written"]);
    Ok(())
}

#[test]
fn one_bad_model_of_many_fails_alone() -> Result {
    let folder = models()?;
    fs::write(folder.path().join("m/a/bad.onnx"), b"no model")?;
    let done =
        onnx_pass(folder.path(), &["run", "single-shot", "m/a/bad.onnx", "m/b/model.onnx", "-o", "out"])?;
    assert_eq!(done.status.code(), Some(1));
    assert!(folder.path().join("out/b/model.onnx").is_file());
    assert!(text(&done.stderr).starts_with("error: m/a/bad.onnx: "), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).ends_with("2 models: 1 written, 0 up to date, 1 failed\n"),
        "{}",
        text(&done.stdout)
    );
    Ok(())
}

#[test]
fn in_place_replaces_the_model() -> Result {
    let folder = models()?;
    let path = folder.path().join("m/a/model.onnx");
    let before = fs::read(&path)?;
    let done = onnx_pass(folder.path(), &["run", "single-shot", "m/a/model.onnx", "--in-place"])?;
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(fs::read(&path)? != before);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_failure() -> Result {
    let folder = models()?;
    let program = env!("CARGO_BIN_EXE_onnx-pass");
    for arguments in ["passes", "schema", "run --help", "run single-shot m/a/model.onnx -o out/"] {
        let line = format!("{program} {arguments} 2>&1 >&3 | cat; exit ${{PIPESTATUS[0]}}");
        let script = format!("exec 3> >(true); sleep 0.05; {line}");
        let done = Command::new("bash").args(["-c", &script]).current_dir(folder.path()).output()?;
        assert_eq!(done.status.code(), Some(0), "{arguments}: {}", text(&done.stdout));
        assert_eq!(text(&done.stdout), "", "{arguments}");
    }
    assert!(folder.path().join("out/model.onnx").is_file());
    Ok(())
}
