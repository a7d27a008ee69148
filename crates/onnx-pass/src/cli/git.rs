//! `onnx-pass git-setup`, and what git calls after it.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::Usage;
use super::args::GitSetupArgs;
use super::output::Output;
use crate::git::{self as library, Version};
use crate::terminal::escape;
use crate::write::atomic_write;

const ATTRIBUTES: &str = "*.onnx diff=onnx";

/// Git shows the last line before a hunk that fits this as the hunk's place: the graph or function, or a named node.
const PLACE_OF_A_HUNK: &str = r#"^  \[("([^"\\]|\\.)*"|[A-Za-z0-9_.]+)\]|^[A-Za-z_].* \($"#;

pub(super) fn textconv(file: &Path, out: &mut Output) -> Result<ExitCode, Box<dyn Error>> {
    out.text(&library::textconv(file));
    Ok(ExitCode::SUCCESS)
}

/// Git takes any exit code but 0 as a crash, so a difference is none here.
pub(super) fn diff(arguments: &[OsString], out: &mut Output) -> Result<ExitCode, Box<dyn Error>> {
    let path = arguments.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    let [_, old_file, _, _, new_file, _, _, rest @ ..] = arguments else {
        // So git says that a merge left it.
        out.line(&format!("* Unmerged path {}", escape(&path)));
        return Ok(ExitCode::SUCCESS);
    };
    let version = |file: &'_ OsString| {
        let file = PathBuf::from(file);
        (file != Path::new("/dev/null") && file != Path::new("nul")).then_some(file)
    };
    let (before, after) = (version(old_file), version(new_file));
    let new_name = rest.first().map_or(path.clone(), |p| p.to_string_lossy().into_owned());
    let (old_name, new_name) = (format!("a/{path}"), format!("b/{new_name}"));
    out.text(&library::change(
        Version { name: &old_name, file: before.as_deref() },
        Version { name: &new_name, file: after.as_deref() },
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn setup(args: &GitSetupArgs, out: &mut Output) -> Result<ExitCode, Box<dyn Error>> {
    let attributes = attributes_file(args.global)?;
    let program = program()?;
    let settings = [
        ("diff.onnx.textconv", format!("{program} git-textconv")),
        ("diff.onnx.command", format!("{program} git-diff")),
        ("diff.onnx.xfuncname", PLACE_OF_A_HUNK.to_owned()),
    ];
    let scope = if args.global { "--global" } else { "--local" };
    add_line(&attributes, args.dry_run, out)?;
    for (key, value) in &settings {
        let is = git(&["config", scope, "--get", key]).ok();
        let said = if is.as_deref() == Some(value) { "unchanged" } else { "set" };
        if said == "set" && !args.dry_run {
            git(&["config", scope, "--replace-all", key, value])?;
        }
        out.line(&escape(&format!("{said}: {key} = {value}")));
    }
    Ok(ExitCode::SUCCESS)
}

/// The file with the attributes: the repository's, or the user's.
fn attributes_file(global: bool) -> Result<PathBuf, Box<dyn Error>> {
    if !global {
        let root = git(&["rev-parse", "--show-toplevel"])?;
        return Ok(Path::new(&root).join(".gitattributes"));
    }
    if let Ok(file) = git(&["config", "--global", "--type=path", "--get", "core.attributesFile"]) {
        return Ok(PathBuf::from(file));
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(std::env::home_dir()?.join(".config")));
    Ok(config.ok_or("there is no home folder")?.join("git/attributes"))
}

fn add_line(file: &Path, dry_run: bool, out: &mut Output) -> Result<(), Box<dyn Error>> {
    let shown = escape(&file.to_string_lossy()).into_owned();
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("{shown}: {error}").into()),
    };
    // The last line that speaks of `diff` holds, and Git LFS has one.
    let last = text.lines().map(str::trim).rfind(|line| line.starts_with("*.onnx ") && line.contains("diff"));
    if last == Some(ATTRIBUTES) {
        out.line(&format!("unchanged: {shown} has `{ATTRIBUTES}`"));
        return Ok(());
    }
    if !dry_run {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(|e| format!("{shown}: {e}"))?;
        }
        let between = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        atomic_write(file, format!("{text}{between}{ATTRIBUTES}\n").as_bytes())?;
    }
    out.line(&format!("added: `{ATTRIBUTES}` to {shown}"));
    Ok(())
}

/// This program as a shell calls it: by its name where the PATH leads here, else by its path.
fn program() -> Result<String, Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let real = |path: &Path| fs::canonicalize(path).ok();
    let name = format!("onnx-pass{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|file| file.is_file());
    if first.as_deref().and_then(real).is_some_and(|first| Some(first) == real(&own)) {
        return Ok("onnx-pass".to_owned());
    }
    let own = own.to_str().ok_or("the program's path is no text that git can hold")?;
    // Git's shell is a POSIX one on every system.
    let own = if cfg!(windows) { own.replace('\\', "/") } else { own.to_owned() };
    Ok(format!("'{}'", own.replace('\'', r"'\''")))
}

/// What git says, without the end of the line.
fn git(arguments: &[&str]) -> Result<String, Usage> {
    let done = Command::new("git").args(arguments).output().map_err(|e| Usage(format!("git: {e}")))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let said = said.lines().next().unwrap_or("").trim_start_matches("fatal: ");
        return Err(Usage(format!("git {}: {said}", arguments.join(" "))));
    }
    let text = String::from_utf8_lossy(&done.stdout);
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}
