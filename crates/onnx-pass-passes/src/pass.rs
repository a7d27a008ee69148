//! What a pass is.

use std::fmt;

use indexmap::IndexMap;
use onnx_pass_ir::{Model, NodeId, ValueId, sym::Facts};
use serde::de::DeserializeOwned;

use crate::analysis::Analysis;
use crate::deploy::Deployment;
use crate::fold::Rules;
use crate::options::OptionSpec;

/// A rewrite of a model. Object-safe and stateless; registered in [`crate::registry`].
pub trait Pass: Send + Sync {
    /// The one name, kebab-case: in YAML, on the command line, in logs and docs.
    fn name(&self) -> &'static str;

    /// The source of the pass's file; its leading `//!` lines are its documentation (see [`crate::docs`]).
    fn source(&self) -> &'static str;

    /// The options it takes.
    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    /// Whether it may change the model's inputs and outputs. The manager holds it to that.
    fn changes_interface(&self) -> bool {
        false
    }

    /// Does it.
    ///
    /// # Errors
    /// [`PassError`] when the pass refuses; the model is then of no further use and nothing is written.
    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError>;
}

/// Whether a pass changed the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Changed,
    /// It did not; the manager checks that the model's revision did not move.
    Unchanged,
}

impl Outcome {
    /// Changed, if the condition holds.
    pub fn changed_if(changed: bool) -> Self {
        if changed { Outcome::Changed } else { Outcome::Unchanged }
    }

    /// The outcome of doing both.
    #[must_use]
    pub fn or(self, other: Outcome) -> Self {
        Self::changed_if(self == Outcome::Changed || other == Outcome::Changed)
    }
}

/// Why a pass ended the run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassError {
    /// The rewrite would not be right, or cannot be shown to be.
    #[error("{place}: {reason}{}", help.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    Refused {
        /// The node, value or cache.
        place: String,
        /// What was seen.
        reason: String,
        /// What would help.
        help: Option<String>,
    },
    /// The options do not fit the model or each other.
    #[error("option `{option}`: {reason}")]
    Options {
        /// The option, with its path.
        option: String,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// An edit or a read failed.
    #[error(transparent)]
    Model(#[from] onnx_pass_ir::Error),
}

impl PassError {
    /// A refusal.
    pub fn refused(place: impl Into<String>, reason: impl Into<String>) -> Self {
        PassError::Refused { place: place.into(), reason: reason.into(), help: None }
    }

    /// A refusal that says what would help.
    pub fn refused_with(
        place: impl Into<String>,
        reason: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        PassError::Refused { place: place.into(), reason: reason.into(), help: Some(help.into()) }
    }

    /// A wrong option.
    pub fn option(option: impl Into<String>, reason: impl Into<String>) -> Self {
        PassError::Options { option: option.into(), reason: reason.into() }
    }
}

/// How serious a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not what the user wants.
    Warning,
}

/// Something that a pass noticed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// How serious it is.
    pub severity: Severity,
    /// The pass.
    pub pass: String,
    /// The node, value or cache; empty for the model as a whole.
    pub place: String,
    /// What was noticed.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
        };
        let place = if self.place.is_empty() { String::new() } else { format!("{}: ", self.place) };
        write!(f, "{severity}: {}: {place}{}", self.pass, self.message)
    }
}

/// A property of the inputs that the graph cannot prove and that the user states.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Promise {
    /// `single-prefill`, ….
    pub name: String,
    /// What was promised, in a sentence.
    pub meaning: String,
}

/// A file to be written beside the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The file's name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A model to be written beside the model.
#[derive(Clone, Debug)]
pub struct Companion {
    /// The file's name; `{stem}` in it stands for the model's file name without its ending.
    pub name: String,
    /// The model.
    pub model: Model,
}

/// What a pass works with beside the model. One lives through a whole run.
#[derive(Default)]
pub struct PassContext {
    /// The running pass.
    pub pass: String,
    /// Its options, checked against their schema.
    pub options: serde_json::Value,
    /// What was noticed.
    pub diagnostics: Vec<Diagnostic>,
    /// Counts of what the running pass did, in the order of first mention; the manager takes them.
    pub counters: IndexMap<String, u64>,
    /// A table in the report for the running pass: rows of cells.
    pub rows: Vec<Vec<String>>,
    /// Promises that the run rests on.
    pub promises: Vec<Promise>,
    /// Windows that the chunk is promised to fit into, by their symbols, where nobody said how long they are.
    pub open_windows: Vec<String>,
    /// Files to write.
    pub artifacts: Vec<Artifact>,
    /// Further models to write, each done: later steps do not see them.
    pub companions: Vec<Companion>,
    /// What compilers and runtimes are to be told; the files come of it.
    pub deployment: Deployment,
    /// What is known of symbols: bounds, equalities given by the user or learnt.
    pub facts: Facts,
    /// The model as it came, for a step that compares; set when the pipeline has one.
    pub original: Option<Model>,
    analysis: Option<(u64, Analysis)>,
    /// The revision at which nothing dead was left.
    swept: Option<u64>,
    /// A revision, and rules none of which fitted then.
    settled: (u64, Vec<Rules>),
}

impl PassContext {
    /// A context for a run.
    pub fn new() -> Self {
        PassContext { options: serde_json::json!({}), ..Default::default() }
    }

    /// The options as a type.
    ///
    /// # Errors
    /// [`PassError::Options`]; the manager has checked them against the schema before, so this is a
    /// difference between the two.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, PassError> {
        serde_json::from_value(self.options.clone()).map_err(|e| PassError::option("with", e.to_string()))
    }

    /// Records a note.
    pub fn note(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.diagnose(Severity::Note, place, message);
    }

    /// Records a warning.
    pub fn warn(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.diagnose(Severity::Warning, place, message);
    }

    fn diagnose(&mut self, severity: Severity, place: impl Into<String>, message: impl Into<String>) {
        let d =
            Diagnostic { severity, pass: self.pass.clone(), place: place.into(), message: message.into() };
        if !self.diagnostics.contains(&d) {
            self.diagnostics.push(d);
        }
    }

    /// Adds to a counter.
    pub fn count(&mut self, what: &str, n: u64) {
        if n == 0 {
            return;
        }
        // There are few, and many a thing is counted one by one.
        match self.counters.iter_mut().find(|(name, _)| *name == what) {
            Some((_, count)) => *count += n,
            None => {
                self.counters.insert(what.to_string(), n);
            }
        }
    }

    /// Whether nothing dead is in the model as it stands, as was noted by [`PassContext::note_swept`].
    pub fn is_swept(&self, model: &Model) -> bool {
        self.swept == Some(model.revision())
    }

    /// Notes that nothing dead is in the model as it stands.
    pub fn note_swept(&mut self, model: &Model) {
        self.swept = Some(model.revision());
    }

    /// Whether none of these rules fits the model as it stands, as was noted by [`PassContext::note_settled`].
    pub(crate) fn is_settled(&self, model: &Model, rules: Rules) -> bool {
        self.settled.0 == model.revision() && self.settled.1.contains(&rules)
    }

    /// Notes that none of these rules fits the model as it stands.
    pub(crate) fn note_settled(&mut self, model: &Model, rules: Rules) {
        if self.settled.0 != model.revision() {
            self.settled = (model.revision(), Vec::new());
        }
        self.settled.1.push(rules);
    }

    /// Shapes and known values of the model as it stands; computed when the model changed since.
    pub fn analysis(&mut self, model: &Model) -> &Analysis {
        let fresh = self.analysis.as_ref().is_some_and(|(r, _)| *r == model.revision());
        if !fresh {
            self.analysis = Some((model.revision(), Analysis::of(model, &self.facts)));
        }
        // Just set when it was not.
        &self.analysis.get_or_insert_with(|| (model.revision(), Analysis::of(model, &self.facts))).1
    }

    /// Takes the analysis out, for a pass that changes the model while it reads it.
    pub fn take_analysis(&mut self, model: &Model) -> Analysis {
        self.analysis(model);
        self.analysis.take().map_or_else(|| Analysis::of(model, &self.facts), |(_, a)| a)
    }

    /// Tells that the analysis still holds for the model as it is now: the changes since did not touch what
    /// it says.
    pub fn keep_analysis(&mut self, model: &Model, analysis: Analysis) {
        self.analysis = Some((model.revision(), analysis));
    }
}

/// How a message names a node.
pub fn at(model: &Model, node: NodeId) -> String {
    model.describe(node)
}

/// How a message names a value.
pub fn named(model: &Model, value: ValueId) -> String {
    format!("`{}`", model.name(value))
}
