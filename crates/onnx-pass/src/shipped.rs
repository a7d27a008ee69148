//! The pipelines that come with the program, found by name.

use std::path::Path;

use onnx_pass_passes::suggest;

use crate::pipeline::{Pipeline, PipelineError};

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(Shipped { name: $name, text: include_str!(concat!("../passes/", $name, ".yaml")) }),*]
    };
}

/// A pipeline that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Its name: that of the file in `passes/` without the ending.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

/// All of them, by name.
pub const PIPELINES: &[Shipped] = shipped![
    "clean-up",
    "infer-shapes",
    "qwen3-vl-embedding",
    "qwen3-vl-reranker",
    "single-shot",
    "split-prefill-decode"
];

impl Shipped {
    /// The pipeline.
    ///
    /// # Errors
    /// None, as a test reads them all.
    pub fn pipeline(&self) -> Result<Pipeline, PipelineError> {
        Pipeline::parse(&format!("passes/{}.yaml", self.name), self.text)
    }

    /// What the comment at its beginning says.
    pub fn summary(&self) -> String {
        let comment = self.text.lines().map_while(|line| line.strip_prefix('#'));
        comment.map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The shipped pipeline of that name.
pub fn find(name: &str) -> Option<&'static Shipped> {
    PIPELINES.iter().find(|one| one.name == name)
}

/// The pipeline that a user means: a shipped one by its name, anything with a slash or an ending by its path.
///
/// # Errors
/// There is none of that name, or the file is no pipeline.
pub fn named_or_read(name: &str) -> Result<Pipeline, PipelineError> {
    let path = Path::new(name);
    let is_name = path.extension().is_none() && !name.contains(['/', '\\']) && !name.is_empty();
    if !is_name {
        return Pipeline::read(path);
    }
    if let Some(shipped) = find(name) {
        return shipped.pipeline();
    }
    let names: Vec<&str> = PIPELINES.iter().map(|one| one.name).collect();
    let there = if path.is_file() {
        format!("write `./{name}` for the file")
    } else {
        suggest::hint(name, "shipped pipelines", &names) + "; a file has a slash or an ending in its name"
    };
    Err(PipelineError {
        origin: name.to_owned(),
        position: None,
        message: "no pipeline of this name comes with the program".to_owned(),
        suggestion: Some(there),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pass_specs, passes};

    #[test]
    fn every_file_in_the_folder_is_shipped_and_resolves() -> Result<(), Box<dyn std::error::Error>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/passes"))? {
            let path = entry?.path();
            files.push(path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default());
        }
        files.sort();
        let names: Vec<&str> = PIPELINES.iter().map(|one| one.name).collect();
        assert_eq!(names, files, "the table has every file of `passes/`, in order");
        for one in PIPELINES {
            let pipeline = one.pipeline()?;
            assert_eq!(pipeline.name, one.name);
            assert!(!one.summary().is_empty(), "{} begins with a comment", one.name);
            pipeline.resolve(&[], &pass_specs(&passes(&[])))?;
        }
        Ok(())
    }

    #[test]
    fn a_name_that_is_none_finds_its_neighbour() {
        let message = |name: &str| named_or_read(name).err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(
            message("clean_up"),
            "clean_up: no pipeline of this name comes with the program; did you mean `clean-up`?; a file has a \
             slash or an ending in its name"
        );
        assert!(message("./clean-up").contains("cannot read"), "{}", message("./clean-up"));
    }
}
