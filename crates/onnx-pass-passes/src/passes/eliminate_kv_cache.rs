//! Takes KV caches out of a model that runs one prefill and never decodes.
//!
//! ## What it does
//! Finds the caches by structure: inputs whose contents reach an output by being moved and extended, where the
//! graph computes with the result. Each is replaced by what an empty cache is in its form, its input and output
//! go, and so does everything that only they needed: nodes, functions, opset imports, and every symbol that only
//! they had.
//!
//! | form | what empty means | what is done |
//! |---|---|---|
//! | growing (`Concat`, or inside an attention operator) | length 0 | the length becomes 0 in every declaration and computation; an attention operator's past operands are left out |
//! | fixed buffer (scatter, then gather), lengths symbolic | one prefill whose chunk is the whole context | the buffer becomes the new rows; needs the promise `single-prefill` |
//! | fixed buffer or state, lengths known | zeros | zeros inside the graph; exact for every input |
//! | state that is computed anew from what it was (a recurrence) | zeros | the same; names tell it, of one shape: `past_ssm.0` and `present_ssm.0`, `conv_state.0` and `conv_state.0_RetainedState` |
//! | two branches (`use_cache_branch`) | the branch without a past | the selector is bound and the `If` folded |
//!
//! ## Before → after
//! With
//! ```yaml
//! inputs: [past]
//! ```
//! ```diff
//!   agraph (
//! -   float[B,H,S,D] k,
//! -   float[B,H,P,D] past
//! +   float[B,H,S,D] k
//!   ) => (
//! -   float[B,H,S,T] y,
//! -   float[B,H,T,D] present
//! +   float[B,H,S,S] y
//!   ) {
//! -   present = Concat <axis = 2> (past, k)
//! -   t = Transpose <perm = [0, 1, 3, 2]> (present)
//! +   t = Transpose <perm = [0, 1, 3, 2]> (k)
//!     y = MatMul (k, t)
//!   }
//! ```
//!
//! ## Requires
//! Nothing of growing caches and of states. A fixed buffer whose length is a symbol needs the promise
//! `single-prefill`: `position_ids` counts 0, 1, 2, … from the first token, padding (−1) stands at the end, and
//! slots of a batch are distinct. A buffer whose positions wrap around needs `no-window-overflow` too: the chunk
//! is no longer than the model's window. With `windows: {sliding_window: 1024}` later steps hold the chunk's length to
//! that: `prune-dynamic-axes` and `generate-specializations` refuse a longer one.
//!
//! ## Guarantees
//! For every input, and within the promises, the outputs that are left are what the original computes with an
//! empty cache. No symbol that only the caches had is left in any declaration.
//!
//! ## Options
//! `assume` lists promises; `windows` says how long a window is. `inputs` narrows the caches to names or globs; `keep` exempts some. `present: keep`
//! leaves the outputs that carry the caches on, for a prefill that hands over to a decoder. `require: true` makes
//! a model without a cache an error.
//!
//! `decode: decode.onnx` splits the model in two over one weight file: this one becomes the prefill (`present: keep`),
//! and the model with its caches, as it came to this step, is written beside it under that name, `{stem}` standing for
//! the output's own. It takes the prefill's presents as its past. Of a merged decoder it is the branch with a past.
//! The steps after this one see the prefill alone.
//!
//! ## Refuses
//! A cache whose update it does not understand, naming the node; a fixed buffer without its promise; a model that
//! with an empty cache would run at one length only; with `decode`, a fixed buffer whose length is a symbol, since a
//! chunk that is the whole context leaves nothing to decode (bind the length first). Nothing is written then.

use indexmap::{IndexMap, IndexSet};
use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Model, ValueId};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

use crate::kv::discover::{self, Cache, Found};
use crate::kv::eliminate::{Elimination, Wishes};
use crate::options::{OptionKind, OptionSpec};
use crate::pass::{Outcome, Pass, PassContext, PassError};

/// The pass.
pub struct EliminateKvCache;

/// The promises that the pass knows.
pub const PROMISES: &[&str] = &["single-prefill", "no-window-overflow"];

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional(
        "assume",
        OptionKind::List(&OptionKind::OneOf(PROMISES)),
        "[]",
        "promises about the inputs that the graph cannot prove",
    ),
    OptionSpec::optional(
        "windows",
        OptionKind::Map(&OptionKind::IntAtLeast(1)),
        "{}",
        "the lengths of rolling buffers by their symbols, which the chunk is held to from here on",
    ),
    OptionSpec::optional(
        "inputs",
        OptionKind::StringList,
        "every cache",
        "names or globs of the caches to take out",
    ),
    OptionSpec::optional("keep", OptionKind::StringList, "[]", "names or globs of caches that stay"),
    OptionSpec::optional(
        "present",
        OptionKind::OneOf(&["drop", "keep"]),
        "drop",
        "whether the outputs that carry the caches on go or stay",
    ),
    OptionSpec::optional(
        "decode",
        OptionKind::String,
        "none",
        "the file name of a second model that has the caches and decodes on top of this one",
    ),
    OptionSpec::optional("require", OptionKind::Bool, "false", "whether a model without a cache is an error"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
struct Options {
    assume: Vec<String>,
    windows: IndexMap<String, i64>,
    inputs: Vec<String>,
    keep: Vec<String>,
    present: Option<String>,
    decode: Option<String>,
    require: bool,
}

impl Pass for EliminateKvCache {
    fn name(&self) -> &'static str {
        "eliminate-kv-cache"
    }

    fn source(&self) -> &'static str {
        include_str!("eliminate_kv_cache.rs")
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn changes_interface(&self) -> bool {
        true
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let options: Options = cx.parse()?;
        // Calls on the way are inlined to see what is in them; a model without a cache keeps its own.
        let mut inlined = None;
        if !discover::calls_on_the_way(model).is_empty() {
            let mut trial = model.clone();
            cx.count("calls inlined", discover::inline_layers(&mut trial)?);
            inlined = Some(trial);
        }
        let trial = inlined.as_ref().unwrap_or(model);
        let found = narrow(trial, discover::discover(trial, cx.analysis(trial)), &options)?;
        refuse_rejected(trial, &found)?;
        for c in found.in_doubt().filter(|_| options.inputs.is_empty() && options.keep.is_empty()) {
            let name = trial.name(c.input);
            let why = c.likeness(trial);
            cx.note(
                format!("input `{name}`"),
                format!("{why} and nothing else tells that it is one; it stays, unless it is named: inputs: [\"{name}\"]"),
            );
        }
        let unknown = if options.inputs.is_empty() { found.unknown.clone() } else { Vec::new() };
        if found.caches.is_empty() {
            let asked = [("require", options.require), ("decode", options.decode.is_some())];
            if let Some((option, _)) = asked.iter().find(|(_, asked)| *asked) {
                return Err(PassError::refused_with(
                    "the model",
                    "no cache was found",
                    format!("leave `{option}` out if that is no error"),
                ));
            }
            note_what_stays(model, cx, &unknown);
            cx.note("", "no cache was found; the model is as it was");
            return Ok(Outcome::Unchanged);
        }
        let decode = options.decode.as_deref().map(|name| decode::name(name, &options)).transpose()?;
        if let Some(name) = &decode {
            let companion = decode::companion(model, trial, cx, &found.caches, name)?;
            cx.companions.push(companion);
        }
        if let Some(trial) = inlined {
            *model = trial;
        }
        let wishes = Wishes {
            assume: options.assume.iter().cloned().collect(),
            windows: options.windows.clone(),
            keep_present: decode.is_some() || options.present.as_deref() == Some("keep"),
        };
        Elimination::new(found, wishes).run(model, cx)?;
        note_what_stays(model, cx, &unknown);
        Ok(Outcome::Changed)
    }
}

/// Says what is called a past and stays: nothing is kept in silence.
fn note_what_stays(m: &Model, cx: &mut PassContext, unknown: &[(ValueId, &str)]) {
    let inputs: FxHashSet<ValueId> = m.graph(m.main()).inputs().iter().copied().collect();
    let mut stay: IndexMap<&str, Vec<ValueId>> = IndexMap::new();
    for (v, reason) in unknown.iter().filter(|(v, _)| inputs.contains(v)) {
        stay.entry(reason).or_default().push(*v);
    }
    for (reason, all) in stay {
        let also = match all.len() {
            1 => String::new(),
            n => format!(", and {} more that are so called", n - 1),
        };
        cx.note(format!("input `{}`", m.name(all[0])), format!("it stays{also}: {reason}"));
    }
}

/// Applies `inputs` and `keep`.
fn narrow(m: &Model, mut found: Found, o: &Options) -> Result<Found, PassError> {
    let all: Vec<&str> = found.caches.iter().map(|c| m.name(c.input)).collect();
    for (option, patterns) in [("inputs", &o.inputs), ("keep", &o.keep)] {
        let inputs: Vec<&str> = m.graph(m.main()).inputs().iter().map(|v| m.name(*v)).collect();
        for p in patterns {
            if !inputs.iter().any(|n| crate::names::fits(p, n)) {
                let hint = crate::suggest::nearest(p, all.iter().copied())
                    .map(|n| format!("; did you mean `{n}`?"))
                    .unwrap_or_default();
                return Err(PassError::option(option, format!("no input is named `{p}`{hint}")));
            }
        }
    }
    let wanted = |v: ValueId| {
        let name = m.name(v);
        (o.inputs.is_empty() || o.inputs.iter().any(|p| crate::names::fits(p, name)))
            && !o.keep.iter().any(|p| crate::names::fits(p, name))
    };
    let doubtful = std::mem::take(&mut found.doubtful);
    let (meant, doubtful) = doubtful.into_iter().partition(|c| !o.inputs.is_empty() && wanted(c.input));
    found.caches.extend::<Vec<Cache>>(meant);
    found.doubtful = doubtful;
    found.caches.sort_by_key(|c| c.input);
    found.caches.retain(|c| wanted(c.input));
    found.rejected.retain(|(v, _)| wanted(*v));
    found.unknown.retain(|(v, _)| wanted(*v));
    Ok(found)
}

/// An input that is extended like a cache, in a way that is not understood, ends the run.
fn refuse_rejected(m: &Model, found: &Found) -> Result<(), PassError> {
    match found.rejected.first() {
        None => Ok(()),
        Some((v, reason)) => Err(PassError::refused_with(
            format!("cache `{}`", m.name(*v)),
            reason.clone(),
            format!("list it under `keep` to leave it in: keep: [\"{}\"]", m.name(*v)),
        )),
    }
}

/// A row of the report.
pub(crate) fn row(m: &Model, c: &Cache, named: &FxHashMap<ValueId, String>, done: &str) -> Vec<String> {
    let name = |o: &ValueId| named.get(o).map_or(m.name(*o), String::as_str);
    let outputs: Vec<&str> = c.outputs.iter().map(name).collect();
    let length = c.length().map(ToString::to_string).unwrap_or_default();
    vec![m.name(c.input).to_string(), outputs.join(", "), c.form.describe().into(), length, done.into()]
}

/// The lengths of growing caches.
pub(crate) fn lengths(caches: &[Cache]) -> IndexSet<Expr> {
    caches.iter().filter_map(Cache::length).cloned().collect()
}

mod decode;
#[cfg(test)]
mod tests;
