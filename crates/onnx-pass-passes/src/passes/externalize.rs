//! Moves weights out of the model into data files beside it.
//!
//! ## What it does
//! Marks every initializer of at least `threshold` bytes to be stored in a data file when the model is written.
//! Nothing is copied before. Weights that are in a data file already stay there.
//!
//! ## Before → after
//! ```text
//! m.onnx (weights inline)  →  out.onnx + out.onnx.data
//! ```
//!
//! ## Requires
//! Nothing.
//!
//! ## Guarantees
//! The model computes what it computed. No data file that exists is overwritten: a taken name gets a number.
//!
//! ## Options
//! | option | value | meaning |
//! |---|---|---|
//! | `threshold` | bytes | smaller weights stay in the model |
//! | `file` | name | the data file; `{model}` stands for the model's file name, `{n}` for the chunk's number |
//! | `chunk-size` | bytes | a new data file is begun before one grows beyond this |
//! | `alignment` | bytes | weights of at least this size start at a multiple of it |
//!
//! ## Refuses
//! A file name that leaves the model's folder; chunks whose name has no `{n}`.

use std::path::{Component, Path};
use std::sync::Arc;

use onnx_pass_ir::{DataFile, Model, Store, TensorData, ValueId};
use serde::Deserialize;

use crate::options::{OptionKind, OptionSpec};
use crate::pass::{Outcome, Pass, PassContext, PassError};

/// The pass.
pub struct Externalize;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    threshold: usize,
    file: Option<String>,
    chunk_size: Option<usize>,
    alignment: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { threshold: 1024, file: None, chunk_size: None, alignment: 4096 }
    }
}

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional(
        "threshold",
        OptionKind::IntAtLeast(0),
        "1024",
        "Smaller weights stay in the model.",
    ),
    OptionSpec::optional(
        "file",
        OptionKind::String,
        "{model}.data, or {model}-{n}.data in chunks",
        "The data file's name; {model} is the model's file name, {n} the chunk's number.",
    ),
    OptionSpec::optional(
        "chunk-size",
        OptionKind::IntAtLeast(1),
        "no limit",
        "A new data file is begun before one grows beyond this many bytes.",
    ),
    OptionSpec::optional(
        "alignment",
        OptionKind::IntAtLeast(1),
        "4096",
        "Weights of at least this many bytes start at a multiple of it.",
    ),
];

impl Pass for Externalize {
    fn name(&self) -> &'static str {
        "externalize"
    }

    fn source(&self) -> &'static str {
        include_str!("externalize.rs")
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let options: Options = cx.parse()?;
        let pattern = pattern(&options)?;
        let file = |n: usize| {
            let name = pattern.replace("{n}", &format!("{n:05}")).as_str().into();
            Store::External(Arc::new(DataFile { name, alignment: options.alignment }))
        };
        let (mut chunk, mut filled, mut store) = (1, 0usize, file(1));
        let before = model.revision();
        for v in dense_initializers(model) {
            let Some(t) = model.value(v).initializer() else { continue };
            let Some(len) = t.byte_len().filter(|n| *n >= options.threshold) else { continue };
            if !matches!(t.data, TensorData::Raw(_) | TensorData::Typed(_)) {
                continue;
            }
            if filled > 0 && options.chunk_size.is_some_and(|most| filled.saturating_add(len) > most) {
                chunk += 1;
                (filled, store) = (0, file(chunk));
            }
            filled = filled.saturating_add(len);
            if t.store != store {
                let moved = t.stored(store.clone()).shared();
                model.set_initializer(v, moved)?;
                cx.count("weights moved out", 1);
            }
        }
        Ok(Outcome::changed_if(model.revision() != before))
    }
}

fn pattern(options: &Options) -> Result<String, PassError> {
    let chunks = options.chunk_size.is_some();
    let default = if chunks { "{model}-{n}.data" } else { "{model}.data" };
    let pattern = options.file.as_deref().unwrap_or(default);
    let inside = Path::new(pattern).components().all(|c| matches!(c, Component::Normal(_)));
    if pattern.is_empty() || !inside {
        return Err(PassError::option("file", format!("`{pattern}` leaves the model's folder")));
    }
    if chunks && !pattern.contains("{n}") {
        return Err(PassError::option("file", "needs `{n}` for the numbers of the chunks"));
    }
    Ok(pattern.to_string())
}

/// Every dense initializer of every graph, in file order.
pub(crate) fn dense_initializers(m: &Model) -> Vec<ValueId> {
    m.live_graphs().into_iter().flat_map(|g| m.graph(g).initializers()).copied().collect()
}

#[cfg(test)]
mod tests {
    use onnx_pass_ir::{Model, Store, WriteOptions};
    use serde_json::{Value, json};

    use crate::pass::PassContext;
    use crate::testing::{model, refusal, run_in};

    const TEXT: &str = "agraph (float[4] x) => (float[4] y) <float[4] a = {1,2,3,4}, float[4] b = {5,6,7,8}, float[1] c = {9}> {
          t = Add (x, a)
          u = Add (t, b)
          y = Add (u, c)
        }";

    fn stores(m: &Model) -> Vec<String> {
        let all = super::dense_initializers(m).into_iter().filter_map(|v| m.value(v).initializer());
        all.map(|t| match &t.store {
            Store::External(f) => f.name.to_string(),
            other => format!("{other:?}"),
        })
        .collect()
    }

    fn run(m: &mut Model, pass: &str, options: Value) -> bool {
        run_in(m, &mut PassContext::new(), pass, options).unwrap()
    }

    #[test]
    fn weights_go_by_size_and_in_chunks() {
        let mut m = model(TEXT);
        assert!(!run(&mut m, "externalize", json!({})), "all are small");
        assert!(run(&mut m, "externalize", json!({"threshold": 16})));
        assert_eq!(stores(&m), ["{model}.data", "{model}.data", "Keep"]);
        assert!(!run(&mut m, "externalize", json!({"threshold": 16})), "twice is once");
        assert!(run(&mut m, "externalize", json!({"threshold": 0, "chunk-size": 20})));
        assert_eq!(stores(&m), ["{model}-00001.data", "{model}-00002.data", "{model}-00002.data"]);
    }

    #[test]
    fn written_apart_and_embedded_again() {
        let dir = tempfile::tempdir().unwrap();
        let (apart, inline) = (dir.path().join("apart.onnx"), dir.path().join("inline.onnx"));
        let mut m = model(TEXT);
        run(&mut m, "externalize", json!({"threshold": 0}));
        m.write(&apart, &WriteOptions::default()).unwrap();
        let mut m = Model::read(&apart).unwrap();
        assert!(run(&mut m, "embed", json!({})));
        assert!(!run(&mut m, "embed", json!({})), "twice is once");
        m.write(&inline, &WriteOptions::default()).unwrap();
        std::fs::remove_file(dir.path().join("apart.onnx.data")).unwrap();
        let m = Model::read(&inline).unwrap();
        let b = m.value(m.find_value(m.main(), "b").unwrap()).initializer().unwrap().to_f64s().unwrap();
        assert_eq!(b, [5.0, 6.0, 7.0, 8.0]);
    }

    #[test]
    fn refusals() {
        for options in [json!({"file": "../w"}), json!({"file": "/w"}), json!({"file": "w", "chunk-size": 9})]
        {
            let e = refusal(TEXT, "externalize", options);
            assert!(e.contains("file"), "{e}");
        }
    }
}
