//! Models in git: what `git diff` and `git log -p` show of them.
//!
//! Git calls a program for each version of a file. Nothing here fails for what a file may hold: git would stop at the
//! first such file, in the middle of a log.

use std::fs;
use std::io::Read;
use std::path::Path;

use onnx_pass_ir::{Error, Model};

use crate::diff::diff;
use crate::show::{Depth, show, size};
use crate::terminal::escape;

/// The largest Git LFS pointer, by its specification.
const LARGEST_POINTER: u64 = 1024;

/// A Git LFS pointer told in one line; `None` when the file is none.
pub fn lfs_pointer(file: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(file).ok()?.take(LARGEST_POINTER).read_to_string(&mut text).ok()?;
    let lines = text.strip_prefix("version https://git-lfs")?.lines();
    let (mut oid, mut bytes) = (None, None);
    for line in lines {
        match line.split_once(' ') {
            Some(("oid", value)) => oid = Some(value.to_owned()),
            Some(("size", value)) => bytes = value.parse().ok().map(size),
            _ => {}
        }
    }
    let of = [oid, bytes].into_iter().flatten().collect::<Vec<_>>().join(", ");
    Some(escape(&format!("a Git LFS pointer ({of}): `git lfs pull` fetches the model")).into_owned())
}

/// One version as text: every node, weights as a hash. What is no model is said in one line.
pub fn textconv(file: &Path) -> String {
    match read(file) {
        Ok(model) => show(&model, Depth::Full).unwrap_or_else(|e| line(&e)),
        Err(said) => said + "\n",
    }
}

/// One side of a change in git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<'a> {
    /// The name in the repository.
    pub name: &'a str,
    /// The file that git made of it; `None` where there is no such version.
    pub file: Option<&'a Path>,
}

/// What changed between two versions, under a line that names them.
pub fn change(before: Version<'_>, after: Version<'_>) -> String {
    let mut out = format!("diff --onnx {} {}\n", escape(before.name), escape(after.name));
    out.push_str(&told(before.file, after.file));
    out
}

fn told(before: Option<&Path>, after: Option<&Path>) -> String {
    let sides = (before.map(read), after.map(read));
    match sides {
        (Some(Ok(a)), Some(Ok(b))) => diff(&a, &b).to_text(),
        (None, Some(Ok(m))) => format!("new model\n{}", signature(&m)),
        (Some(Ok(m)), None) => format!("deleted model\n{}", signature(&m)),
        (a, b) => {
            let side = |what: &str, side: Option<Result<Model, String>>| match side {
                None => format!("{what}: none\n"),
                Some(Ok(m)) => {
                    format!("{what}: a model of {} nodes\n", crate::structure::all_nodes(&m).len())
                }
                Some(Err(said)) => format!("{what}: {said}\n"),
            };
            side("before", a) + &side("after", b)
        }
    }
}

fn signature(m: &Model) -> String {
    show(m, Depth::Signature).unwrap_or_else(|e| line(&e))
}

fn read(file: &Path) -> Result<Model, String> {
    if let Some(said) = lfs_pointer(file) {
        return Err(said);
    }
    // The path is one that git made up.
    Model::read(file).map_err(|e| match &e {
        Error::Malformed { reason, .. } => format!("no ONNX model: {}", escape(reason)),
        other => format!("no ONNX model: {}", escape(&other.to_string())),
    })
}

fn line(error: &Error) -> String {
    escape(&error.to_string()).into_owned() + "\n"
}
