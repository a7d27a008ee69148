//! What a reviewer sees: `show`, `diff`, `snapshot`, and models in git.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use onnx_pass::{Model, text};
use onnx_pass_ir::Encoding;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const PROGRAM: &str = env!("CARGO_BIN_EXE_onnx-pass");

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn said(command: &mut Command) -> Result<Said> {
    let done = command.output()?;
    Ok(Said {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8(done.stdout)?,
        err: String::from_utf8(done.stderr)?,
    })
}

fn onnx_pass(folder: &Path, arguments: &[&str]) -> Result<Said> {
    said(Command::new(PROGRAM).current_dir(folder).args(arguments))
}

/// Git as a user without any configuration has it.
fn git(folder: &Path, arguments: &[&str]) -> Result<Said> {
    let own = ["-c", "user.name=n", "-c", "user.email=n@n", "-c", "core.pager=cat"];
    let mut git = Command::new("git");
    git.current_dir(folder).args(own).args(arguments);
    let nowhere = folder.join("no such file");
    let done = said(git.env("GIT_CONFIG_GLOBAL", &nowhere).env("GIT_CONFIG_SYSTEM", &nowhere))?;
    assert_eq!(done.code, 0, "git {arguments:?}: {}{}", done.out, done.err);
    Ok(done)
}

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name).join("model.onnx")
}

/// A model of two layers; what it is named inside and which way its last softmax goes.
fn small(name: &str, axis: i64) -> Result<Vec<u8>> {
    let model = text::parse(&format!(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[seq, 4] x) => (float[seq, 4] y) <float[4] w = {{1, 2, 3, 4}}> {{
            ["/m/layers.0/mul"] {name} = Mul (x, w)
            ["/m/layers.1/soft"] y = Softmax <axis = {axis}> ({name})
        }}"#
    ))?;
    Ok(model.to_bytes(Encoding::Anew)?.to_vec())
}

#[test]
fn a_model_is_shown_at_each_depth() -> Result {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("m.onnx"), small("t", -1)?)?;
    let show = |arguments: &[&str]| -> Result<String> {
        let said = onnx_pass(folder.path(), &[&["show", "m.onnx"], arguments].concat())?;
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.err);
        Ok(said.out)
    };
    let signature = show(&["--signature"])?;
    assert!(signature.contains("x  float[seq, 4]") && !signature.contains("layers"), "{signature}");
    let outline = show(&[])?;
    assert!(outline.starts_with(&signature) && outline.contains("layers.0: Mul"), "{outline}");
    assert_eq!(outline, show(&["--outline"])?);
    let full = show(&["--full"])?;
    assert!(full.contains("[\"/m/layers.1/soft\"] y = Softmax <axis = -1> (t)"), "{full}");
    let again = text::parse(&show(&["--text"])?)?;
    assert_eq!(again.to_bytes(Encoding::Anew)?, small("t", -1)?);
    assert!(show(&["--shapes"])?.contains("float[seq, 4]"));
    assert_eq!(show(&["--caches"])?, "0 caches\n");
    let two = onnx_pass(folder.path(), &["show", "m.onnx", "--full", "--text"])?;
    assert_eq!(two.code, 2, "{}", two.out);
    Ok(())
}

#[test]
fn weights_by_reference_read_back_in_the_models_folder() -> Result {
    let folder = tempfile::tempdir()?;
    let model = testdata("gpt_neox_torchscript");
    fs::copy(&model, folder.path().join("m.onnx"))?;
    let said = onnx_pass(folder.path(), &["show", "m.onnx", "--text", "--weights", "reference"])?;
    assert!(said.out.len() < 400_000, "{} bytes of text", said.out.len());
    let again = text::parse_in(&said.out, Some(folder.path()))?;
    assert!(onnx_pass::diff::diff(&Model::read(&model)?, &again).is_empty());
    Ok(())
}

#[test]
fn a_diff_has_the_exit_codes_of_diff() -> Result {
    let folder = tempfile::tempdir()?;
    for (file, name, axis) in [("a.onnx", "t", -1), ("b.onnx", "u", -1), ("c.onnx", "t", 0)] {
        fs::write(folder.path().join(file), small(name, axis)?)?;
    }
    let diff = |arguments: &[&str]| onnx_pass(folder.path(), &[&["diff"], arguments].concat());
    let same = diff(&["a.onnx", "a.onnx"])?;
    assert_eq!((same.code, same.out.as_str()), (0, "no change\n"));
    let renamed = diff(&["a.onnx", "b.onnx"])?;
    let lines: Vec<&str> = renamed.out.lines().collect();
    assert_eq!((renamed.code, lines.len()), (0, 2), "{}", renamed.out);
    assert_eq!(lines, ["no structural change", "renamed: 1 value (t → u)"]);
    assert_eq!(diff(&["a.onnx", "b.onnx", "--exact"])?.code, 1);
    let other = diff(&["a.onnx", "c.onnx"])?;
    assert_eq!(other.code, 1);
    assert!(other.out.contains("Softmax: axis -1 → 0"), "{}", other.out);
    let trouble = diff(&["a.onnx", "none.onnx"])?;
    assert_eq!((trouble.code, trouble.err.lines().count()), (2, 1), "{}", trouble.err);
    let new = diff(&["/dev/null", "a.onnx", "--format", "markdown", "--title", "a`b|<c>.onnx"])?;
    assert_eq!(new.code, 1);
    assert!(new.out.starts_with("### `` a`b\\|<c>.onnx ``\n\n**The model changed.**"), "{}", new.out);
    assert!(new.out.contains("+ input  x: float[seq, 4]"), "{}", new.out);
    let json: serde_json::Value =
        serde_json::from_str(&diff(&["a.onnx", "c.onnx", "--format", "json"])?.out)?;
    assert_eq!(json["nodes"]["changed_count"], 1);
    assert!(diff(&["a.onnx", "c.onnx", "--format", "markdown"])?.out.starts_with("**The model changed.**"));
    let page = diff(&["a.onnx", "c.onnx", "--format", "html"])?.out;
    assert!(page.starts_with("<!doctype html>") && page.matches("<svg").count() == 2, "{page}");
    Ok(())
}

#[test]
fn weights_in_a_file_that_is_not_there_are_compared_by_their_place() -> Result {
    let folder = tempfile::tempdir()?;
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    for (at, offset) in [(&one, 0), (&two, 64)] {
        fs::create_dir(at)?;
        let model = text::parse(&format!(
            r#"<ir_version: 8, opset_import: ["" : 17]> g (float[16] x) => (float[16] y)
            <float[16] w = ["location": "w.bin", "offset": "{offset}", "length": "64"]> {{ y = Mul (x, w) }}"#
        ))?;
        fs::write(at.join("m.onnx"), model.to_bytes(Encoding::Anew)?)?;
    }
    let diff = || onnx_pass(folder.path(), &["diff", "one/m.onnx", "two/m.onnx"]);
    let by_place = diff()?;
    assert_eq!(by_place.code, 1);
    for line in ["  ~ w: float[16]", "weights in files are compared by their place, as a file cannot be read"]
    {
        assert!(by_place.out.lines().any(|l| l == line), "{}", by_place.out);
    }
    // The same contents elsewhere in the file are no change.
    for at in [&one, &two] {
        fs::write(at.join("w.bin"), [7; 128])?;
    }
    assert_eq!(diff()?.out, "no change\n");
    fs::write(two.join("w.bin"), [8; 128])?;
    assert_eq!(diff()?.out, "weights\n  ~ w: float[16]\n");
    Ok(())
}

#[test]
fn git_tells_what_changed_in_a_model() -> Result {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    git(at, &["init", "-q"])?;
    fs::write(at.join(".gitattributes"), "*.onnx filter=lfs diff=lfs merge=lfs -text")?;
    for _ in 0..2 {
        let setup = onnx_pass(at, &["git-setup"])?;
        assert_eq!(setup.code, 0, "{}", setup.err);
    }
    let attributes = fs::read_to_string(at.join(".gitattributes"))?;
    assert_eq!(attributes, "*.onnx filter=lfs diff=lfs merge=lfs -text\n*.onnx diff=onnx\n");
    fs::write(at.join(".gitattributes"), "*.onnx diff=onnx\n")?;
    let model = at.join("a model.onnx");
    let versions: [&[u8]; 4] = [
        &small("t", -1)?,
        &small("u", 0)?,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 1234567\n",
        b"no model",
    ];
    for version in versions {
        fs::write(&model, version)?;
        git(at, &["add", "."])?;
        git(at, &["commit", "-qm", "next"])?;
    }
    let diff = |from: &str, to: &str| Ok::<_, Box<dyn Error>>(git(at, &["diff", from, to])?.out);
    assert_eq!(
        diff("HEAD~3", "HEAD~2")?,
        "diff --onnx a/a model.onnx b/a model.onnx\nnodes 2 → 2: 1 changed\n  ~ m/layers.1: Softmax: axis -1 → 0\n\
         renamed: 1 value (t → u)\n"
    );
    let pointer = "a Git LFS pointer (sha256:ab12, 1.2 MB): `git lfs pull` fetches the model";
    assert!(diff("HEAD~2", "HEAD~1")?.contains(&format!("before: a model of 2 nodes\nafter: {pointer}\n")));
    assert!(diff("HEAD~1", "HEAD")?.contains("after: no ONNX model: "));
    let log = git(at, &["log", "-p", "--format="])?.out;
    for line in [
        "-  [\"/m/layers.1/soft\"] y = Softmax <axis = -1> (t)",
        "+  [\"/m/layers.1/soft\"] y = Softmax <axis = 0> (u)",
        &format!("+{pointer}"),
        "+no ONNX model: ",
    ] {
        assert!(log.contains(line), "no {line:?} in {log}");
    }
    fs::remove_file(&model)?;
    assert!(git(at, &["diff", "HEAD~3"])?.out.contains("deleted model\ninputs\n"));
    Ok(())
}

#[test]
fn a_setup_outside_of_a_repository_says_so() -> Result {
    let folder = tempfile::tempdir()?;
    let setup = said(
        Command::new(PROGRAM)
            .current_dir(folder.path())
            .env("GIT_CEILING_DIRECTORIES", folder.path())
            .arg("git-setup"),
    )?;
    assert_eq!((setup.code, setup.err.lines().count()), (2, 1), "{}", setup.err);
    assert!(setup.err.contains("not a git repository"), "{}", setup.err);
    Ok(())
}

#[test]
fn a_snapshot_holds_in_a_fresh_clone_and_not_after_one_changed_attribute() -> Result {
    let folder = tempfile::tempdir()?;
    let (one, two) = (folder.path().join("one"), folder.path().join("elsewhere/two"));
    fs::create_dir_all(one.join("models"))?;
    fs::write(one.join("models/small.onnx"), small("t", -1)?)?;
    fs::write(one.join("clean.yaml"), "version: 1\nsteps: [{pass: eliminate-dead-code}]\n")?;
    git(&one, &["init", "-q"])?;
    let arguments = ["snapshot", "./clean.yaml", "models/small.onnx"];
    let with = |folder: &Path, more: &[&str]| onnx_pass(folder, &[&arguments, more].concat());
    assert_eq!(with(&one, &["--check"])?.code, 1, "there is none yet");
    assert!(!one.join("snapshots").exists());
    assert_eq!(with(&one, &[])?.code, 0);
    let snap = "snapshots/clean__small.snap";
    git(&one, &["add", "."])?;
    git(&one, &["commit", "-qm", "one"])?;
    git(folder.path(), &["clone", "-q", "one", "elsewhere/two"])?;
    let check = with(&two, &["--check"])?;
    assert_eq!((check.code, check.out.trim_end()), (0, "./snapshots/clean__small.snap: holds"));

    fs::write(two.join("models/small.onnx"), small("t", 0)?)?;
    let check = with(&two, &["--check"])?;
    assert_eq!(check.code, 1);
    for line in ["-  1 Softmax <axis = -1>", "+  1 Softmax <axis = 0>"] {
        assert!(check.out.lines().any(|l| l == line), "no {line:?} in {}", check.out);
    }
    assert!(git(&two, &["status", "--porcelain"])?.out.lines().eq([" M models/small.onnx"]));
    assert_eq!(with(&two, &[])?.code, 1, "it waits for a review");
    let pending = two.join("snapshots/clean__small.snap.new");
    assert!(pending.exists() && git(&two, &["diff", "--name-only"])?.out.trim() == "models/small.onnx");
    assert_eq!(with(&two, &["--accept"])?.code, 0);
    assert!(!pending.exists() && git(&two, &["diff", "--name-only"])?.out.contains(snap));
    assert_eq!(with(&two, &["--check"])?.code, 0);
    Ok(())
}
