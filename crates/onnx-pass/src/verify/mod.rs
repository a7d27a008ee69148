//! A rewritten model held to its original, by running both in ONNX Runtime.
//!
//! Both get the same inputs: given ones, or made ones whose lengths follow from values for the symbols. What the
//! original asks for beside them is a cache, and it gets an empty one: of length zero where the cache grows,
//! zeros where it is a buffer. Then every output of the rewritten model is compared with the original's.

mod difference;
mod feeds;
pub mod npz;
mod pass;
mod runtime;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use onnx_pass_ir::{Encoding, Model, Tensor, ValueId};

use crate::terminal::{Align, Table, escape};
use crate::weights;

pub use difference::{Difference, Tolerance};
pub use feeds::Feed;
pub use pass::Verify;

/// How two models are compared.
#[derive(Debug, Clone, Default)]
pub struct VerifySettings {
    /// Values for the symbols in the shapes of the inputs.
    pub set: IndexMap<String, i64>,
    /// Inputs by name, in place of made ones. Names are those of the rewritten model or of the original.
    pub inputs: IndexMap<String, Tensor>,
    /// Names of the rewritten model and what they were in the original.
    pub rename: IndexMap<String, String>,
    /// What is let pass; by the type of the output when `None`.
    pub rtol: Option<f64>,
    /// As `rtol`, for the part that does not grow with the numbers.
    pub atol: Option<f64>,
    /// Another seed makes other inputs.
    pub seed: u64,
}

/// Why models could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// ONNX Runtime cannot be loaded.
    #[error("{0}")]
    Runtime(String),
    /// One of the models does not run.
    #[error("ONNX Runtime refuses the {which} model: {reason}")]
    Refused {
        /// `original`, `rewritten` or `given`.
        which: &'static str,
        /// Its message.
        reason: String,
    },
    /// The inputs cannot be made.
    #[error("{0}")]
    Inputs(String),
    /// There is nothing to compare.
    #[error("{0}")]
    Outputs(String),
    /// A model cannot be read or written.
    #[error(transparent)]
    Model(#[from] onnx_pass_ir::Error),
}

/// What came out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Comparison {
    /// What the models were given.
    pub feeds: Vec<Feed>,
    /// Each output of the rewritten model.
    pub outputs: Vec<Difference>,
    /// Outputs of the original that the rewritten model does not have.
    pub missing: Vec<String>,
}

impl Comparison {
    /// Whether every output is within its tolerance.
    pub fn holds(&self) -> bool {
        self.outputs.iter().all(|output| output.complaint.is_none())
    }

    /// The comparison as text.
    pub fn to_text(&self) -> String {
        let mut inputs =
            Table::new([("input", Align::Left), ("type", Align::Left), ("contents", Align::Left)]);
        for feed in &self.feeds {
            inputs.row([feed.name.as_str(), &described(&feed.tensor), &feed.how]);
        }
        let mut outputs = Table::new([
            ("output", Align::Left),
            ("type", Align::Left),
            ("largest difference", Align::Right),
            ("largest number", Align::Right),
            ("", Align::Left),
        ]);
        for output in &self.outputs {
            outputs.row([
                output.name.as_str(),
                &output.ty,
                &format!("{:.3e}", output.largest),
                &format!("{:.3e}", output.scale),
                output.complaint.as_deref().unwrap_or("equal"),
            ]);
        }
        let mut text = format!("{}\n{}", inputs.render(), outputs.render());
        if !self.missing.is_empty() {
            let names: Vec<_> = self.missing.iter().map(|name| escape(name)).collect();
            text.push_str(&format!("not in the rewritten model: {}\n", names.join(", ")));
        }
        text
    }

    /// The first outputs that differ, in a line.
    pub fn complaint(&self) -> Option<String> {
        let wrong = self.outputs.iter().filter_map(|o| Some((o, o.complaint.as_ref()?)));
        let lines: Vec<String> = wrong.take(3).map(|(o, why)| format!("output `{}` {why}", o.name)).collect();
        if lines.is_empty() { None } else { Some(lines.join("; ")) }
    }
}

/// Type and shape: `float[2, 8]`.
fn described(tensor: &Tensor) -> String {
    let dims: Vec<String> = tensor.dims.iter().map(i64::to_string).collect();
    format!("{}[{}]", tensor.dtype, dims.join(", "))
}

/// Runs both models and compares their outputs.
///
/// # Errors
/// ONNX Runtime is not there or refuses a model, the inputs cannot be made, or no output is in both.
pub fn verify(
    original: &Model,
    rewritten: &Model,
    settings: &VerifySettings,
) -> Result<Comparison, VerifyError> {
    let pairs = output_pairs(original, rewritten, settings)?;
    let feeds = feeds::make(original, rewritten, settings)?;
    let runtime = runtime::Runtime::load()?;
    let given = |which: fn(&Feed) -> &Option<Tensor>, names: fn(&Feed) -> &String| -> Vec<(String, Tensor)> {
        feeds.iter().filter_map(|feed| Some((names(feed).clone(), which(feed).clone()?))).collect()
    };
    let olds: Vec<&str> = pairs.iter().map(|(_, old)| old.as_str()).collect();
    let news: Vec<&str> = pairs.iter().map(|(new, _)| new.as_str()).collect();
    let old = runtime
        .run(&Loaded::of(original)?, &given(|f| &f.original, |f| &f.original_name), &olds)
        .map_err(|reason| VerifyError::Refused { which: "original", reason })?;
    let new = runtime
        .run(&Loaded::of(rewritten)?, &given(|f| &f.rewritten, |f| &f.name), &news)
        .map_err(|reason| VerifyError::Refused { which: "rewritten", reason })?;
    let mut outputs = Vec::new();
    for (((name, _), old), new) in pairs.iter().zip(&old).zip(&new) {
        outputs.push(difference::compare(name, old, new, settings)?);
    }
    let compared: Vec<&String> = pairs.iter().map(|(_, old)| old).collect();
    let missing = output_names(original).into_iter().filter(|name| !compared.contains(&name)).collect();
    Ok(Comparison { feeds, outputs, missing })
}

fn output_names(model: &Model) -> Vec<String> {
    model.graph(model.main()).outputs().iter().map(|o| model.name(o.value()).to_owned()).collect()
}

/// The outputs of the rewritten model with what they are in the original.
fn output_pairs(
    original: &Model,
    rewritten: &Model,
    settings: &VerifySettings,
) -> Result<Vec<(String, String)>, VerifyError> {
    let known = output_names(original);
    let mut pairs = Vec::new();
    for new in output_names(rewritten) {
        let old = settings.rename.get(&new).unwrap_or(&new).clone();
        if !known.contains(&old) {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = onnx_pass_passes::suggest::hint(&old, "outputs of the original", &names);
            return Err(VerifyError::Outputs(format!(
                "the original has no output `{old}`; say what it was with `--rename {new}=OLD`; {hint}"
            )));
        }
        pairs.push((new, old));
    }
    if pairs.is_empty() {
        return Err(VerifyError::Outputs("the rewritten model has no output".to_owned()));
    }
    Ok(pairs)
}

/// The inputs that a caller must give.
fn required_inputs(model: &Model) -> Vec<ValueId> {
    let inputs = model.graph(model.main()).inputs().iter().copied();
    inputs.filter(|v| model.value(*v).initializer().is_none()).collect()
}

/// A model that ONNX Runtime holds ready, to run with inputs of any sizes.
pub struct Prepared(runtime::Opened);

impl Prepared {
    /// # Errors
    /// ONNX Runtime is not there or refuses the model.
    pub fn of(model: &Model) -> Result<Self, VerifyError> {
        let runtime = runtime::Runtime::load()?;
        let opened = runtime.open(&Loaded::of(model)?);
        opened.map(Self).map_err(|reason| VerifyError::Refused { which: "given", reason })
    }

    /// Runs it, and gives the outputs in the order of `names`.
    ///
    /// # Errors
    /// ONNX Runtime refuses the inputs, or a node fails with them.
    pub fn run(&mut self, inputs: &[(String, Tensor)], names: &[&str]) -> Result<Vec<Tensor>, VerifyError> {
        self.0.run(inputs, names).map_err(|reason| VerifyError::Refused { which: "given", reason })
    }
}

/// A model as the runtime takes it.
struct Loaded {
    bytes: bytes::Bytes,
    /// Where its external data is.
    folder: Option<PathBuf>,
}

impl Loaded {
    fn of(model: &Model) -> Result<Self, VerifyError> {
        let bytes = model.to_bytes(Encoding::default())?;
        let external = weights::external_files(model).into_iter().next();
        let folder = external.and_then(|(_, external)| external.root.folder.clone());
        let folder = folder.as_deref().map(|folder| Path::new(folder).canonicalize()).transpose();
        let folder = folder.map_err(|e| onnx_pass_ir::Error::io("the model's folder", e))?;
        Ok(Self { bytes, folder })
    }
}
