//! The file of a snapshot, in the format of `insta`: metadata between two lines `---`, then the text.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::terminal::escape;
use crate::write::{WriteError, atomic_write};

/// A snapshot's file, and the one beside it that waits for a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    path: PathBuf,
}

/// What a snapshot's file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Where the text comes from: the pipeline.
    pub source: String,
    /// What made it: a command.
    pub expression: String,
    /// The text.
    pub contents: String,
}

/// `snapshots/PIPELINE__MODEL.snap` in the pipeline's folder.
pub fn place(pipeline: &Path, model: &Path) -> PathBuf {
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{}__{}.snap", stem(pipeline), stem(model));
    pipeline.parent().unwrap_or(Path::new("")).join("snapshots").join(name)
}

/// What changed between two texts: lines with `-` and `+`, three lines around them. Empty when nothing did.
pub fn unified(before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff().context_radius(3).to_string()
}

impl File {
    /// The snapshot at `path`, which need not be there yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        File { path: path.into() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of what waits for a review.
    pub fn pending(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        PathBuf::from(name)
    }

    /// The text that is accepted; `None` when there is no file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn accepted(&self) -> io::Result<Option<String>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(contents(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it, and takes away what waited.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn accept(&self, parts: &Parts) -> Result<(), WriteError> {
        self.write(&self.path, parts)?;
        self.settle();
        Ok(())
    }

    /// Writes it beside the accepted one, for a review.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn propose(&self, parts: &Parts) -> Result<(), WriteError> {
        self.write(&self.pending(), parts)
    }

    /// Takes away what waited for a review.
    pub fn settle(&self) {
        // There may be none.
        let _ = fs::remove_file(self.pending());
    }

    fn write(&self, path: &Path, parts: &Parts) -> Result<(), WriteError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|source| WriteError {
                path: folder.to_owned(),
                action: "make the folder",
                source,
            })?;
        }
        atomic_write(path, parts.render().as_bytes())
    }
}

impl Parts {
    /// The file's text.
    pub fn render(&self) -> String {
        // A JSON string is a YAML scalar, whatever is in it.
        let quoted = |s: &str| serde_json::Value::from(escape(s).into_owned()).to_string();
        format!(
            "---\nsource: {}\nexpression: {}\n---\n{}\n",
            quoted(&self.source),
            quoted(&self.expression),
            normal(&self.contents)
        )
    }
}

/// The text of a snapshot's file, without what insta does not compare either.
fn contents(file: &str) -> String {
    let file = file.replace("\r\n", "\n");
    let body = file.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).map(|(_, body)| body);
    normal(body.unwrap_or(&file)).to_owned() + "\n"
}

fn normal(text: &str) -> &str {
    text.trim_start_matches('\n').trim_end()
}
