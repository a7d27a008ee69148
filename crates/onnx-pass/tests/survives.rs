//! What is on the disk after a run that was killed, had no room, or lost its input meanwhile.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use onnx_pass_ir::{
    DataType, Dim, Model, NewNode, OpsetImport, Place, Tensor, TensorData, Type, WriteOptions,
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Weights of each model, and their bytes.
const WEIGHTS: usize = 8;
const BYTES: usize = 1 << 20;

/// A sum of an input and `WEIGHTS` weights whose every byte is `fill`.
fn model(path: &Path, fill: u8) -> Result {
    let mut m = Model::empty();
    m.header_mut().ir_version = Some(8);
    m.header_mut().opset_imports.push(OpsetImport { domain: None, version: Some(17) });
    let main = m.main();
    let ty = || {
        Some(Type::tensor(
            DataType::FLOAT,
            Some(vec![Dim::Symbol("n".into()), Dim::Known((BYTES / 4) as i64)]),
        ))
    };
    let mut last = m.add_input(main, "x", ty());
    for k in 0..WEIGHTS {
        let data = TensorData::Raw(vec![fill; BYTES].into());
        let weight = Tensor::with_data(DataType::FLOAT, &[(BYTES / 4) as i64], data);
        let weight = m.add_initializer(main, &format!("w{k}"), weight.shared());
        let node = m.add_node(Place::End(main), NewNode::new("Add", &[last, weight], "sum"));
        last = m.node(node).outputs().first().copied().flatten().ok_or("no output")?;
    }
    m.add_output(main, last, ty());
    m.write(path, &WriteOptions::default())?;
    Ok(())
}

/// What every byte of the weights is, when the model is whole; its weights must be in a file beside it.
fn fill(path: &Path) -> Result<u8> {
    let m = Model::read(path)?;
    let mut seen = None;
    for v in m.graph(m.main()).initializers() {
        let weight = m.value(*v).initializer().ok_or("no weight")?;
        if !weight.is_external() {
            return Err("a weight inside the model".into());
        }
        let bytes = weight.bytes()?;
        if bytes.len() != BYTES || bytes.iter().any(|b| *seen.get_or_insert(*b) != *b) {
            return Err("weights of two models, or half of one".into());
        }
    }
    seen.ok_or_else(|| "no weights".into())
}

struct Folder(tempfile::TempDir);

impl Folder {
    /// Two models, `1.onnx` and `2.onnx`, and a pipeline that moves weights out.
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        model(&folder.path().join("1.onnx"), 1)?;
        model(&folder.path().join("2.onnx"), 2)?;
        let pipeline = "version: 1\nname: out\nsteps:\n  - pass: externalize\n  - pass: generate-specializations\n    \
                        with: {targets: [cloud-ai], entries: [{name: P, symbols: {n: 4}}]}\n";
        fs::write(folder.path().join("out.yaml"), pipeline)?;
        Ok(Folder(folder))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, from: &str, to: &str) -> Command {
        self.run("out.yaml", from, to)
    }

    fn run(&self, pipeline: &str, from: &str, to: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onnx-pass"));
        command.args(["run", pipeline, from, "-o", to]).current_dir(self.0.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Everything that lies in the output's folder.
    fn listing(&self, folder: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(folder))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn hidden(&self, folder: &str) -> Result<Vec<String>> {
        Ok(self.listing(folder)?.into_iter().filter(|name| name.starts_with('.')).collect())
    }
}

/// How long what a killed run left is let be.
const DEAD_AFTER: Duration = Duration::from_secs(11);

fn told(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// Moments that differ from run to run of the loop and not from one run of the test to the next.
fn moments(longest: Duration, count: u32) -> impl Iterator<Item = Duration> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        longest.mul_f64((state >> 40) as f64 / (1u64 << 24) as f64)
    })
}

/// `ONNX_PASS_KILLS=200` is the long form.
#[test]
fn a_save_that_is_killed_leaves_the_old_pair_or_the_new_one() -> Result {
    let folder = Folder::new()?;
    let kills = std::env::var("ONNX_PASS_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(24);
    assert!(folder.command("1.onnx", "out/m.onnx").output()?.status.success());
    // A save over a model takes longer than the first: what it replaces must not be lost.
    let start = Instant::now();
    let done = folder.command("2.onnx", "out/m.onnx").output()?;
    assert!(done.status.success(), "{}", told(&done));
    let longest = start.elapsed() * 2;
    let mut old = fill(&folder.path("out/m.onnx"))?;
    let (mut killed, mut replaced) = (0, 0);
    for moment in moments(longest, kills) {
        let new = 3 - old;
        let mut child = folder.command(&format!("{new}.onnx"), "out/m.onnx").spawn()?;
        std::thread::sleep(moment);
        child.kill()?;
        killed += u32::from(!child.wait()?.success());
        let now = fill(&folder.path("out/m.onnx")).map_err(|e| format!("killed after {moment:?}: {e}"))?;
        replaced += u32::from(now == new);
        old = now;
    }
    // Both must have been seen, or the moments are not where it matters.
    assert!(killed > 0 && replaced > 0, "{killed} killed, {replaced} replaced of {kills}");
    let done = folder.command("1.onnx", "out/m.onnx").output()?;
    assert!(done.status.success(), "the next run: {}", told(&done));
    assert_eq!(fill(&folder.path("out/m.onnx"))?, 1);
    // What waits has no name. What it replaces has a second one for the moment of the renaming, which a kill
    // meets once in thousands.
    if cfg!(target_os = "linux") && !folder.hidden("out")?.is_empty() {
        std::thread::sleep(DEAD_AFTER);
        assert!(folder.command("1.onnx", "out/m.onnx").output()?.status.success());
        assert_eq!(folder.hidden("out")?, [""; 0]);
    }
    Ok(())
}

/// A pipe that nobody reads stops a run between two of its files.
#[cfg(target_os = "linux")]
#[test]
fn the_next_run_cleans_up_after_one_that_was_killed_and_not_before_that() -> Result {
    let folder = Folder::new()?;
    let pipeline = fs::read_to_string(folder.path("out.yaml"))?;
    fs::write(folder.path("two.yaml"), pipeline.replace("[cloud-ai]", "[cloud-ai, onnxruntime]"))?;
    assert!(folder.command("1.onnx", "out/m.onnx").output()?.status.success());
    assert!(Command::new("mkfifo").arg(folder.path("out/onnxruntime.json")).status()?.success());
    let mut stopped = folder.run("two.yaml", "2.onnx", "out/m.onnx").spawn()?;
    let start = Instant::now();
    while folder.hidden("out")?.is_empty() {
        assert!(stopped.try_wait()?.is_none(), "it was not stopped");
        assert!(start.elapsed() < Duration::from_secs(120), "no file was about to be replaced");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(DEAD_AFTER);
    assert!(folder.command("1.onnx", "out/m.onnx").output()?.status.success());
    assert_eq!(folder.hidden("out")?.len(), 1, "what a living run needs is gone");
    stopped.kill()?;
    stopped.wait()?;
    assert_eq!(folder.hidden("out")?.len(), 1);
    assert!(folder.command("2.onnx", "out/m.onnx").output()?.status.success());
    assert_eq!(folder.hidden("out")?, [""; 0]);
    assert_eq!(fill(&folder.path("out/m.onnx"))?, 2);
    Ok(())
}

/// The folder's path is spelt in three ways, and data would have the name of the model, of a text beside it and of the
/// stamp.
#[cfg(unix)]
#[test]
fn weights_are_not_lost_to_another_file_of_the_run() -> Result {
    for file in ["specializations.json", "{model}", "{model}.stamp"] {
        let folder = Folder::new()?;
        let pipeline = fs::read_to_string(folder.path("out.yaml"))?;
        let named = format!("externalize\n    with: {{file: '{file}'}}\n");
        fs::write(folder.path("named.yaml"), pipeline.replace("externalize\n", &named))?;
        fs::create_dir(folder.path("real"))?;
        std::os::unix::fs::symlink("real", folder.path("link"))?;
        let whole = folder.path("whole/m.onnx").display().to_string();
        for to in ["m.onnx", "link/m.onnx", "./new/m.onnx", whole.as_str()] {
            let done = folder.run("named.yaml", "2.onnx", to).arg("--if-changed").output()?;
            assert!(done.status.success(), "{file} {to}: {}", told(&done));
            assert_eq!(fill(&folder.path(to)).map_err(|e| format!("{file} {to}: {e}"))?, 2);
            let beside = folder.path(to).with_file_name("specializations.json");
            assert!(fs::read_to_string(beside)?.starts_with('{'));
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_for_data_goes_with_the_write_that_failed() -> Result {
    let folder = Folder::new()?;
    let pipeline = fs::read_to_string(folder.path("out.yaml"))?;
    let named = pipeline.replace("externalize\n", "externalize\n    with: {file: sub/w.data}\n");
    fs::write(folder.path("named.yaml"), named)?;
    fs::create_dir(folder.path("out"))?;
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", WEIGHTS * BYTES / 1024 / 2);
    let done = Command::new("bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_onnx-pass")])
        .args(["run", "named.yaml", "2.onnx", "-o", "out/m.onnx"])
        .current_dir(folder.0.path())
        .output()?;
    assert_eq!(done.status.code(), Some(1), "{}", told(&done));
    assert!(told(&done).contains("sub/w.data: "), "{}", told(&done));
    assert_eq!(folder.listing("out")?, [""; 0]);
    Ok(())
}

/// Where the data, and where the first byte of anything, is too much. `testdata/check/full_disk.py` has all places.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_without_room_changes_nothing() -> Result {
    for (limit, at) in [(WEIGHTS * BYTES / 1024 / 2, "m.onnx.data: "), (0, "specializations.json: ")] {
        let folder = Folder::new()?;
        assert!(folder.command("1.onnx", "out/m.onnx").output()?.status.success());
        let before = folder.listing("out")?;
        // Without the trap the system ends the program where it would write on.
        let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
        let done = Command::new("bash")
            .args(["-c", &script, env!("CARGO_BIN_EXE_onnx-pass")])
            .args(["run", "out.yaml", "2.onnx", "-o", "out/m.onnx"])
            .current_dir(folder.0.path())
            .output()?;
        let told = told(&done);
        assert_eq!(done.status.code(), Some(1), "{told}");
        assert!(told.starts_with("error: ") && told.lines().count() == 1, "{told}");
        assert!(
            told.contains(at) && told.contains("; raise the limit") && !told.contains(".onnx-pass-"),
            "{told}"
        );
        assert_eq!(fill(&folder.path("out/m.onnx"))?, 1);
        assert_eq!(folder.listing("out")?, before);
    }
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_told() -> Result {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new()?;
    fs::create_dir(folder.path("closed"))?;
    fs::set_permissions(folder.path("closed"), fs::Permissions::from_mode(0o555))?;
    // A superuser may write anywhere but where the system has no place for files.
    let superuser = fs::write(folder.path("closed/probe"), b"").is_ok();
    let to = if superuser { "/proc/self/m.onnx" } else { "closed/m.onnx" };
    let done = folder.command("1.onnx", to).output()?;
    fs::set_permissions(folder.path("closed"), fs::Permissions::from_mode(0o755))?;
    assert_eq!(done.status.code(), Some(1), "{}", told(&done));
    assert!(told(&done).starts_with("error: ") && told(&done).lines().count() == 1, "{}", told(&done));
    assert!(!folder.path("closed/m.onnx").exists());
    Ok(())
}

#[cfg(unix)]
#[test]
fn an_input_or_its_weights_that_shrink_meanwhile_are_told() -> Result {
    let folder = Folder::new()?;
    let start = Instant::now();
    assert!(folder.command("1.onnx", "out/m.onnx").output()?.status.success());
    let longest = start.elapsed();
    // The second has its weights beside it.
    assert!(folder.command("2.onnx", "pair/2.onnx").output()?.status.success());
    for (from, shrinks) in [("2.onnx", "2.onnx"), ("pair/2.onnx", "pair/2.onnx.data")] {
        let whole = fs::read(folder.path(shrinks))?;
        for (k, moment) in moments(longest, 12).enumerate() {
            fs::write(folder.path(shrinks), &whole)?;
            let child = folder.command(from, "out/m.onnx").spawn()?;
            std::thread::sleep(moment);
            let file = fs::File::options().write(true).open(folder.path(shrinks))?;
            file.set_len((whole.len() / (k + 2)) as u64)?;
            let done = child.wait_with_output()?;
            let code = done.status.code().ok_or_else(|| format!("ended by a signal after {moment:?}"))?;
            let now = fill(&folder.path("out/m.onnx"))?;
            let left = folder.listing("out")?;
            assert!(left.iter().all(|name| !name.starts_with('.')), "hidden files are left: {left:?}");
            match code {
                0 => assert_eq!(now, 2),
                1 => assert!(told(&done).starts_with("error: "), "{}", told(&done)),
                _ => return Err(format!("exit code {code}: {}", told(&done)).into()),
            }
        }
    }
    Ok(())
}
