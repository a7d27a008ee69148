//! Whatever is wrong, the command says so in one line, with its exit code, and writes nothing.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn onnx_pass(folder: &Path, arguments: &[&str]) -> Result<Said> {
    let done = Command::new(env!("CARGO_BIN_EXE_onnx-pass")).current_dir(folder).args(arguments).output()?;
    Ok(Said {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8(done.stdout)?,
        err: String::from_utf8(done.stderr)?,
    })
}

/// Every file below a folder, with what is in it.
fn contents(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.clone(), fs::read(path)?);
            }
        }
    }
    Ok(files)
}

/// A folder with a good model and a good output, both of which must stay.
fn scene() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::copy(testdata("qwen3_dynamo/model.onnx"), folder.path().join("good.onnx"))?;
    fs::create_dir(folder.path().join("out"))?;
    fs::copy(testdata("qwen3_dynamo/model.onnx"), folder.path().join("out/model.onnx"))?;
    Ok(folder)
}

/// The error is one line that has all of `parts`; the exit code is `code`; no file came, went or changed.
fn refused(folder: &Path, arguments: &[&str], code: i32, parts: &[&str]) -> Result {
    let before = contents(folder)?;
    let said = onnx_pass(folder, arguments)?;
    assert_eq!(said.code, code, "{arguments:?}: {}{}", said.out, said.err);
    if code == 1 {
        assert_eq!(said.err.lines().count(), 1, "{arguments:?}: {}", said.err);
        assert!(said.err.starts_with("error: "), "{}", said.err);
    }
    for part in parts {
        assert!(said.err.contains(part), "{arguments:?}: no {part:?} in {}", said.err);
    }
    assert!(contents(folder)? == before, "{arguments:?} changed a file");
    Ok(())
}

#[test]
fn models_that_are_none() -> Result {
    let folder = scene()?;
    let at = folder.path();
    let good = fs::read(at.join("good.onnx"))?;
    fs::write(at.join("cut.onnx"), good.get(..good.len() * 2 / 3).unwrap_or_default())?;
    fs::write(at.join("empty.onnx"), b"")?;
    let noise = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
    fs::write(at.join("random.onnx"), noise.collect::<Vec<_>>())?;
    fs::write(at.join("lfs.onnx"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")?;
    let run = |model: &'static str| ["run", "clean-up", model, "-o", "out/model.onnx"];
    refused(at, &run("cut.onnx"), 1, &["cut.onnx"])?;
    refused(at, &run("empty.onnx"), 1, &["empty.onnx"])?;
    refused(at, &run("random.onnx"), 1, &["random.onnx"])?;
    refused(at, &run("lfs.onnx"), 1, &["git lfs pull"])?;
    refused(at, &run("none.onnx"), 1, &["none.onnx", "No such file"])?;
    refused(at, &run("out"), 1, &["out"])?;
    refused(at, &run("none-*.onnx"), 2, &["no file matches"])?;
    for depth in ["--signature", "--outline", "--full", "--text", "--shapes", "--caches"] {
        refused(at, &["show", depth, "cut.onnx"], 1, &["cut.onnx"])?;
        refused(at, &["show", depth, "lfs.onnx"], 1, &["git lfs pull"])?;
    }
    for snapshot in
        [&["snapshot", "clean-up", "random.onnx"][..], &["snapshot", "clean-up", "lfs.onnx", "--accept"]]
    {
        refused(at, snapshot, 1, &[".onnx"])?;
    }
    for two in [["cut.onnx", "good.onnx"], ["good.onnx", "lfs.onnx"]] {
        let said = onnx_pass(at, &[&["diff"], &two[..]].concat())?;
        assert_eq!((said.code, said.err.lines().count(), said.out.as_str()), (2, 1, ""), "{}", said.err);
    }
    Ok(())
}

#[test]
fn pipelines_that_are_none() -> Result {
    let folder = scene()?;
    let at = folder.path();
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "pass.yaml",
            "version: 1\nsteps:\n  - pass: eliminate-kv-cach\n",
            &["pass.yaml:3:11", "did you mean `eliminate-kv-cache`?"],
        ),
        ("key.yaml", "version: 1\nstep: []\n", &["key.yaml:2:1", "did you mean `steps`?"]),
        (
            "option.yaml",
            "version: 1\nsteps:\n  - pass: eliminate-kv-cache\n    with: {asume: []}\n",
            &["option.yaml:4:12", "did you mean `assume`?"],
        ),
        (
            "unset.yaml",
            "version: 1\nvars: {seq_len: null}\nsteps: []\n",
            &["unset.yaml:2:8", "--set seq_len="],
        ),
        (
            "negative.yaml",
            "version: 1\nvars: {seq_len: -1}\nsteps:\n  - pass: generate-specializations\n    with: {entries: [{symbols: {batch: 1, sequence_length: \"${seq_len}\"}}]}\n",
            &["negative.yaml:5:"],
        ),
        ("yaml.yaml", "version: 1\nsteps: [\n", &["yaml.yaml:"]),
    ];
    for (name, text, parts) in cases {
        fs::write(at.join(name), text)?;
        let file = format!("./{name}");
        refused(at, &["run", &file, "good.onnx", "-o", "out/model.onnx"], 1, parts)?;
    }
    refused(at, &["run", "clean-upp", "good.onnx", "-o", "new/"], 1, &["did you mean `clean-up`?"])?;
    refused(
        at,
        &["run", "clean-up", "good.onnx", "-o", "new/", "--set", "seq_len=8"],
        1,
        &["no variable `seq_len`"],
    )?;
    refused(
        at,
        &["run", "clean-up", "good.onnx", "-o", "new/", "--set", "seq_len"],
        2,
        &["there is no `=`"],
    )?;
    refused(at, &["run", "clean-up", "good.onnx"], 2, &["--output"])?;
    refused(
        at,
        &["run", "clean-up", "good.onnx", "-o", "new/", "--stop-after", "rename"],
        2,
        &["no such step"],
    )
}

#[test]
fn outputs_that_must_stay() -> Result {
    let folder = scene()?;
    let at = folder.path();
    fs::write(at.join("weights.bin"), vec![7; 4096])?;
    refused(at, &["run", "clean-up", "good.onnx", "-o", "good.onnx"], 2, &["--in-place"])?;
    refused(at, &["run", "clean-up", "good.onnx", "-o", "."], 2, &["--in-place"])?;
    refused(at, &["run", "clean-up", "good.onnx", "-o", "weights.bin"], 1, &["no ONNX model"])?;
    refused(at, &["run", "clean-up", "good.onnx", "out/model.onnx", "-o", "weights.bin"], 2, &["a folder"])?;
    refused(at, &["run", "clean-up", "good.onnx", "-o", "weights.bin/model.onnx"], 1, &["weights.bin"])
}

#[test]
fn what_a_pass_refuses_leaves_no_folder() -> Result {
    let folder = tempfile::tempdir()?;
    let model = testdata("fixed_rolling_window/model.onnx");
    let model = model.to_string_lossy();
    refused(
        folder.path(),
        &["run", "single-shot", &model, "-o", "new/deep/"],
        1,
        &["single-shot.yaml:", "no-window-overflow"],
    )?;
    assert!(!folder.path().join("new").exists());
    Ok(())
}
