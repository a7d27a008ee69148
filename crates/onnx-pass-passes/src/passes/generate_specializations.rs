//! Writes the sets of lengths that a compiler builds a model for.
//!
//! ## What it does
//! Each entry gives every symbol that is left in the inputs a value. The entries are checked against the model
//! and written for each target:
//!
//! | target | file |
//! |---|---|
//! | `cloud-ai` | `specializations.json`, each entry with its name |
//! | `cloud-ai-flat` | `specializations.json` of older compilers, without names |
//! | `qnn` | `qnn_config.yaml`, with what `custom-io` says in the `qnn` spelling |
//! | `tensorrt` | `tensorrt.args`, a profile for each entry |
//! | `onnxruntime` | `onnxruntime.json`, free-dimension overrides |
//! | `openvino` | `openvino.json`, shapes for `reshape` |
//!
//! For the Cloud AI targets a run also ends with `compile.args`, the arguments of `qaic-compile`.
//!
//! A symbol may have a list of values; an entry with lists stands for every combination, in order, the last list
//! the fastest. An expression may use the symbols before it in the same entry. An entry without a name gets one:
//! `Decode` where `seq_len` is 1, `Prefill` where it is another, and so on; names that repeat are numbered.
//!
//! ## Before → after
//! With
//! ```yaml
//! entries: [{symbols: {batch: 1, seq_len: [128, 256]}}]
//! ```
//! ```diff
//!   agraph (
//!     int64[batch,seq_len] input_ids
//!   ) => (
//!     int64[batch,seq_len] y
//!   ) {
//!     y = Neg (input_ids)
//!   }
//! ```
//! `specializations.json` is
//! ```json
//! {"specializations": [
//!   {"name": "Prefill_0", "symbols": {"batch": "1", "seq_len": "128"}},
//!   {"name": "Prefill_1", "symbols": {"batch": "1", "seq_len": "256"}}
//! ]}
//! ```
//!
//! ## Requires
//! Every dynamic axis of an input has a name. Steps that change the inputs come before.
//!
//! ## Guarantees
//! The model stays as it is. In every entry every axis of every input comes out whole and at least 1.
//!
//! ## Options
//! | option | value | meaning |
//! |---|---|---|
//! | `entries` | list of `{name, symbols}` | the specializations |
//! | `targets` | list of the targets above | what to write; `cloud-ai` when left out |
//! | `extra` | list of symbols | symbols that no input has and that the compiler is given all the same (`ctx_len`) |
//! | `compiler-arguments` | list of strings | further arguments for `compile.args` |
//!
//! ## Refuses
//! An entry that leaves a symbol of an input without a value, or gives a value that makes a length less than 1:
//! the message names the entry, the input and the axis. A symbol that no input has and `extra` does not name. A
//! value that contradicts a promise of the run, such as a length beyond a window. Two targets for one file.

use indexmap::IndexMap;
use onnx_pass_ir::{EcoString, Model};
use serde::Deserialize;
use serde_json::Value;

use crate::artifacts::{self, Specialization};
use crate::deploy::{self, Target};
use crate::dims;
use crate::late::{self, Names};
use crate::options::{OptionKind, OptionSpec};
use crate::pass::{Outcome, Pass, PassContext, PassError};
use crate::suggest;

/// An entry with lists may stand for this many.
const MAX_COMBINATIONS: usize = 4096;

/// The pass.
pub struct GenerateSpecializations;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Options {
    entries: Vec<Entry>,
    #[serde(default = "cloud_ai")]
    targets: Vec<Target>,
    #[serde(default)]
    extra: Vec<String>,
    #[serde(default)]
    compiler_arguments: Vec<String>,
}

fn cloud_ai() -> Vec<Target> {
    vec![Target::CloudAi]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    #[serde(default)]
    symbols: IndexMap<String, Value>,
}

const LENGTH: OptionKind = OptionKind::IntAtLeast(1);

const ENTRY: &[OptionSpec] = &[
    OptionSpec::optional(
        "name",
        OptionKind::String,
        "chosen by the symbols",
        "The name of the specialization.",
    ),
    OptionSpec::optional(
        "symbols",
        OptionKind::Map(&OptionKind::Late(&OptionKind::AnyOf(&[
            LENGTH,
            OptionKind::List(&OptionKind::Late(&LENGTH)),
        ]))),
        "none",
        "The value of each symbol, or a list of values.",
    ),
];

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::required("entries", OptionKind::List(&OptionKind::Object(ENTRY)), "The specializations."),
    OptionSpec::optional(
        "targets",
        OptionKind::List(&OptionKind::OneOf(Target::WORDS)),
        "`[cloud-ai]`",
        "Whom to write for.",
    ),
    OptionSpec::optional(
        "extra",
        OptionKind::StringList,
        "none",
        "Symbols that no input has and that the compiler is given all the same.",
    ),
    OptionSpec::optional(
        "compiler-arguments",
        OptionKind::StringList,
        "none",
        "Further arguments for `compile.args`.",
    ),
];

impl Pass for GenerateSpecializations {
    fn name(&self) -> &'static str {
        "generate-specializations"
    }

    fn source(&self) -> &'static str {
        include_str!("generate_specializations.rs")
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let options: Options = cx.parse()?;
        let symbols: Vec<EcoString> = dims::input_symbols(model).into_keys().collect();
        let mut all: Vec<Specialization> = Vec::new();
        for (at, entry) in options.entries.iter().enumerate() {
            all.extend(combinations(at, entry)?);
        }
        if all.is_empty() {
            return Err(PassError::option("entries", "there is no entry"));
        }
        check_symbols(&options, &symbols)?;
        check_promises(cx, &all)?;
        record(cx, &options, &all)?;
        deploy::update(model, cx)?;
        warn_of_false_states(model, cx);
        for (name, entry) in artifacts::entry_names(&all).into_iter().zip(&all) {
            let values: Vec<String> = entry.symbols.iter().map(|(s, n)| format!("{s}={n}")).collect();
            cx.rows.push(vec![name, values.join(" ")]);
        }
        cx.count("specializations", all.len() as u64);
        Ok(Outcome::Unchanged)
    }
}

/// The specializations that an entry stands for.
fn combinations(at: usize, entry: &Entry) -> Result<Vec<Specialization>, PassError> {
    let mut all: Vec<(IndexMap<String, i64>, Names)> = vec![Default::default()];
    for (symbol, option) in &entry.symbols {
        let error = |reason: String| {
            let entry = entry.name.as_ref().map(|n| format!("entry `{n}`: ")).unwrap_or_default();
            PassError::option(format!("entries.{at}.symbols.{symbol}"), format!("{entry}{reason}"))
        };
        let mut next = Vec::new();
        for (symbols, names) in all {
            let values = match late::value(option, &names).map_err(error)? {
                Value::Array(items) if items.is_empty() => return Err(error("the list is empty".into())),
                Value::Array(items) => items,
                one => vec![one],
            };
            for value in values {
                let value = late::value(&value, &names).map_err(error)?;
                let n = late::length(&value, 1).map_err(error)?;
                let (mut symbols, mut names) = (symbols.clone(), names.clone());
                symbols.insert(symbol.clone(), n);
                names.insert(symbol.clone(), n.into());
                next.push((symbols, names));
            }
            if next.len() > MAX_COMBINATIONS {
                return Err(error(format!("the lists make more than {MAX_COMBINATIONS} specializations")));
            }
        }
        all = next;
    }
    let made = |(symbols, _)| Specialization { name: entry.name.clone(), symbols };
    Ok(all.into_iter().map(made).collect())
}

fn check_symbols(options: &Options, symbols: &[EcoString]) -> Result<(), PassError> {
    let known: Vec<&str> =
        symbols.iter().map(EcoString::as_str).chain(options.extra.iter().map(String::as_str)).collect();
    for (at, entry) in options.entries.iter().enumerate() {
        if let Some(unknown) = entry.symbols.keys().find(|s| !known.contains(&s.as_str())) {
            let hint = match suggest::did_you_mean(unknown, known.iter().copied()) {
                Some(hint) => hint,
                None => format!(
                    "{}; a symbol that the compiler wants all the same goes under `extra`",
                    suggest::hint(unknown, "symbols", &known)
                ),
            };
            return Err(PassError::option(
                format!("entries.{at}.symbols.{unknown}"),
                format!("no input has an axis `{unknown}`; {hint}"),
            ));
        }
        if let Some(open) = options.extra.iter().find(|s| !entry.symbols.contains_key(*s)) {
            return Err(PassError::option(
                format!("entries.{at}"),
                format!("`extra` names `{open}`, and this entry gives it no value"),
            ));
        }
    }
    Ok(())
}

fn check_promises(cx: &PassContext, all: &[Specialization]) -> Result<(), PassError> {
    if let Some(window) = cx.open_windows.first() {
        return Err(PassError::refused_with(
            "the entries",
            format!(
                "this run rests on `no-window-overflow`, and nobody said how long the window `{window}` is"
            ),
            format!("tell `eliminate-kv-cache`: windows: {{{window}: 1024}}, say"),
        ));
    }
    for (entry, name) in all.iter().zip(artifacts::entry_names(all)) {
        deploy::check_facts(&cx.facts, &entry.symbols)
            .map_err(|(symbol, reason)| PassError::refused(format!("entry `{name}`: `{symbol}`"), reason))?;
    }
    Ok(())
}

fn record(cx: &mut PassContext, options: &Options, all: &[Specialization]) -> Result<(), PassError> {
    let mut files: IndexMap<&'static str, Target> = IndexMap::new();
    for (at, target) in options.targets.iter().enumerate() {
        if files.insert(target.file(), *target).is_some_and(|other| other != *target) {
            let reason = format!("two targets write `{}`; choose one of them", target.file());
            return Err(PassError::option(format!("targets.{at}"), reason));
        }
    }
    for (file, target) in files {
        let new = (target, all.to_vec());
        let old = cx.deployment.specializations.insert(file, new.clone());
        if old.is_some_and(|old| old != new) {
            cx.warn(file, "the specializations of an earlier step for this file give way to these");
        }
    }
    if !options.compiler_arguments.is_empty() {
        cx.deployment.compiler_arguments.clone_from(&options.compiler_arguments);
    }
    Ok(())
}

/// The compiler pairs states by name alone, and fails where the pair is none.
fn warn_of_false_states(model: &Model, cx: &mut PassContext) {
    for pair in deploy::state_pairs(model).into_iter().filter(|pair| !pair.agree) {
        let (input, output) = (model.name(pair.input), model.name(pair.output));
        cx.warn(
            format!("`{output}`"),
            format!("its name makes it a state of `{input}`, and its type is another; give it another name by `rename`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use crate::pass::PassContext;
    use crate::testing::{after, compile_args, model, refusal, run_in};

    const TEXT: &str = r#"agraph (int64[batch, seq_len] ids, float["2*batch", 4] x) => (float[batch, n] y) {
          y = Abs (x)
          z = Neg (ids)
        }"#;

    #[test]
    fn lists_are_multiplied_and_expressions_use_what_is_before_them() {
        let options = json!({"entries": [
            {"symbols": {"batch": [1, 2], "seq_len": [128, "${batch * 256}"], "ctx_len": "${seq_len + 1}"}},
            {"name": "Tail", "symbols": {"batch": 1, "seq_len": 1, "ctx_len": 1}},
        ], "extra": ["ctx_len"]});
        assert_snapshot!(after(TEXT, "generate-specializations", options));
    }

    #[test]
    fn every_target() {
        for target in ["cloud-ai-flat", "qnn", "tensorrt", "onnxruntime", "openvino"] {
            let options =
                json!({"entries": [{"symbols": {"batch": 1, "seq_len": [64, 128]}}], "targets": [target]});
            assert_snapshot!(target, after(TEXT, "generate-specializations", options));
        }
    }

    #[test]
    fn refusals() {
        let entries = |entries| json!({"entries": entries});
        let all = [
            entries(json!([])),
            entries(json!([{"symbols": {"batch": 1}}])),
            entries(json!([{"name": "Chat", "symbols": {"batch": 1, "seqlen": 5}}])),
            entries(json!([{"symbols": {"batch": 1, "seq_len": 8, "ctx_len": 8}}])),
            entries(json!([{"symbols": {"batch": 1, "seq_len": "${100 / 3}"}}])),
            entries(json!([{"name": "Chat", "symbols": {"batch": "${1 - 1}", "seq_len": 1}}])),
            entries(json!([{"symbols": {"batch": [], "seq_len": 1}}])),
            json!({"entries": [{"symbols": {"batch": 1, "seq_len": 1}}], "targets": ["cloud-ai", "cloud-ai-flat"]}),
            json!({"entries": [{"symbols": {"batch": 1, "seq_len": 1}}], "extra": ["ctx_len"]}),
        ];
        let all = all.map(|options| refusal(TEXT, "generate-specializations", options));
        assert_snapshot!(all.join("\n"));
        let odd = r#"agraph (int64["a - 3", ?] ids) => (int64["a - 3", b] y) {
             y = Abs (ids)
            }"#;
        let small = json!({"entries": [{"symbols": {"a": 3}}]});
        assert_snapshot!(refusal(odd, "generate-specializations", small));
        let open = json!({"entries": [{"symbols": {"a": 4}}]});
        assert_snapshot!(refusal(odd, "generate-specializations", open));
    }

    #[test]
    fn a_promise_is_kept_or_the_entry_refused() {
        let mut cx = PassContext::new();
        cx.facts.set_max("seq_len", 8);
        let options = json!({"entries": [{"symbols": {"batch": 1, "seq_len": [8, 9]}}]});
        let e = run_in(&mut model(TEXT), &mut cx, "generate-specializations", options);
        assert_snapshot!(e.expect_err("a length beyond the window"));
    }

    #[test]
    fn states_are_kept_on_the_device_only_where_there_are_some() {
        let with_state = "agraph (float[B, 8] past) => (float[b, 8] past_RetainedState) {
              past_RetainedState = Neg (past)
            }";
        let without = "agraph (float[B, P] pixels) => (float[b, 8] pixels_RetainedState) {
              pixels_RetainedState = Neg (pixels)
            }";
        let mut out = String::new();
        for (text, symbols) in [(with_state, json!({"B": 1})), (without, json!({"B": 1, "P": 8}))] {
            let (mut m, mut cx) = (model(text), PassContext::new());
            let options =
                json!({"entries": [{"symbols": symbols}], "compiler-arguments": ["-aic-num-cores=16"]});
            run_in(&mut m, &mut cx, "generate-specializations", options).expect("a run");
            out += &compile_args(&m, &mut cx);
            cx.diagnostics.iter().for_each(|d| out += &format!("{d}\n"));
            out += "---\n";
        }
        assert_snapshot!(out);
    }
}
