//! Fixes the axes that a deployment does not vary.
//!
//! ## What it does
//! In this order: gives axes other names (`rename`), makes two names one (`merge`), and binds axes to lengths
//! (`bind`) in every declaration; computes what those lengths made dynamic; and declares outputs and inner values
//! as what the graph computes now. With `drop-unused-inputs`, inputs that nothing reads go. One that is read for
//! its shape alone goes too: a length that is no number by then is read from another input that has an axis of
//! the same name, and the report says so.
//!
//! With `keep`, every axis of an input must be kept, bound, or a number.
//!
//! ## Before → after
//! With
//! ```yaml
//! keep: [seq]
//! bind: {batch: 1, side: "${4 * batch}"}
//! drop-unused-inputs: true
//! ```
//! ```diff
//!   agraph (
//! -   float[batch,seq] x,
//! -   int64[batch,side] grid
//! +   float[1,seq] x
//!   ) => (
//! -   float[n,seq] y
//! - ) <
//! -   int64[1] first = {0},
//! -   int64[1] rest = {-1}
//! - > {
//! -   s = Shape (grid)
//! -   b = Gather (s, first)
//! -   t = Concat <axis = 0> (b, rest)
//! -   y = Reshape (x, t)
//! +   float[1,seq] y
//! + ) {
//! +   y = Identity (x)
//!   }
//! ```
//!
//! ## Requires
//! Nothing. A length that a bind fixes is a promise about the inputs: the model is right for inputs of that
//! length only.
//!
//! ## Guarantees
//! For inputs of the bound lengths the outputs are what they were. No declaration mentions a symbol that was
//! bound, renamed or merged.
//!
//! ## Options
//! | option | value | meaning |
//! |---|---|---|
//! | `keep` | list of symbols | the axes that stay dynamic; any others are then errors |
//! | `bind` | map of symbols to lengths or expressions | an expression may use the binds before it |
//! | `rename` | map of symbols, or patterns, to symbols | as `dims` of `rename` |
//! | `merge` | map of symbols to symbols or expressions of them | lengths that are one: `{total: past + seq}` |
//! | `drop-unused-inputs` | `true` or `false` | whether inputs that nothing reads go; `false` when left out |
//!
//! In `bind` and `rename`, `input[1]` means the second axis of `input`, which may have no name.
//!
//! ## Refuses
//! A bind that contradicts another, what is known of the axis (a promise, an equation), a declared expression, or
//! what the graph computes; a length below 0; with `keep`, an axis of an input that is neither kept nor bound. A
//! name in `bind` or `merge` that no axis has is noted, as there is nothing left to bind.

use indexmap::IndexMap;
use onnx_pass_ir::{Dim, Model, Type};
use serde::Deserialize;
use serde_json::Value;

use crate::deploy;
use crate::dims;
use crate::fold;
use crate::names;
use crate::options::{OptionKind, OptionSpec};
use crate::pass::{Outcome, Pass, PassContext, PassError};
use crate::passes::rename;
use crate::prune::{binds, declared, inputs};
use crate::suggest;

/// The pass.
pub struct PruneDynamicAxes;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
struct Options {
    keep: Option<Vec<String>>,
    bind: IndexMap<String, Value>,
    rename: IndexMap<String, String>,
    merge: IndexMap<String, String>,
    drop_unused_inputs: bool,
}

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional("keep", OptionKind::StringList, "any", "The axes that stay dynamic."),
    OptionSpec::optional(
        "bind",
        OptionKind::Map(&OptionKind::Late(&OptionKind::IntAtLeast(0))),
        "none",
        "Lengths of axes; an expression may use those before it.",
    ),
    OptionSpec::optional("rename", OptionKind::Map(&OptionKind::String), "none", "New names of axes."),
    OptionSpec::optional(
        "merge",
        OptionKind::Map(&OptionKind::String),
        "none",
        "Axes that are as long as another, or as an expression of others.",
    ),
    OptionSpec::optional(
        "drop-unused-inputs",
        OptionKind::Bool,
        "`false`",
        "Whether inputs that nothing reads go.",
    ),
];

impl Pass for PruneDynamicAxes {
    fn name(&self) -> &'static str {
        "prune-dynamic-axes"
    }

    fn source(&self) -> &'static str {
        include_str!("prune_dynamic_axes.rs")
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn changes_interface(&self) -> bool {
        true
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let options: Options = cx.parse()?;
        let before = model.revision();
        rename_axes(model, cx, &options.rename)?;
        let at_odds = declared::Before::of(model, cx);
        let binds = binds::of(model, cx, &options.merge, &options.bind)?;
        report(model, cx, &binds);
        declared::put(model, cx, &binds, &at_odds)?;
        simplify(model, cx)?;
        if options.drop_unused_inputs && inputs::drop_unread(model, cx)? {
            simplify(model, cx)?;
        }
        let stale = declared::refresh(model, cx);
        cx.count("declarations brought up to date", stale as u64);
        if let Some(keep) = &options.keep {
            check_kept(model, cx, keep)?;
        }
        Ok(Outcome::changed_if(model.revision() != before))
    }
}

fn simplify(model: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
    fold::simplify(model, cx)?;
    Ok(())
}

/// Gives axes that have none a name, and others another name.
fn rename_axes(
    model: &mut Model,
    cx: &mut PassContext,
    map: &IndexMap<String, String>,
) -> Result<(), PassError> {
    let mut symbols = IndexMap::new();
    for (key, new) in map {
        let at =
            if dims::symbols(model).contains_key(key.as_str()) { None } else { binds::axis_of(model, key) };
        let Some((v, axis)) = at else {
            symbols.insert(key.clone(), new.clone());
            continue;
        };
        let error = |reason: String| PassError::option(format!("rename.{key}"), reason);
        if !dims::is_symbol(new) {
            return Err(error(format!("`{new}` would be read as an expression, not as a name")));
        }
        let dim = model.declared_type(v).and_then(Type::dims).and_then(|d| d.get(axis)).cloned();
        match dim {
            Some(Dim::Symbol(s)) if s == *new => {}
            Some(Dim::Symbol(s)) => return Err(error(format!("the axis has the name `{s}`; rename that"))),
            Some(Dim::Known(n)) => return Err(error(format!("the axis has the length {n}"))),
            Some(Dim::Unknown) | None => {
                dims::declare_axis(model, v, axis, Dim::Symbol(new.as_str().into()));
                cx.rows.push(vec!["named".into(), key.clone(), new.clone()]);
            }
        }
    }
    let kind = rename::Kind { option: "rename", ..rename::DIM };
    rename::rename_symbols(model, cx, kind, &symbols)
}

fn report(model: &Model, cx: &mut PassContext, binds: &binds::Binds) {
    let declared = dims::symbols(model);
    for (symbol, e) in &binds.values {
        let places = declared.get(symbol).map(|o| o.list()).unwrap_or_default();
        cx.rows.push(vec!["bound".into(), symbol.to_string(), e.to_string(), places]);
    }
    for (v, axis, n) in &binds.axes {
        cx.rows.push(vec![
            "bound".into(),
            format!("{}[{axis}]", model.name(*v)),
            n.to_string(),
            String::new(),
        ]);
    }
    cx.count("axes bound", (binds.values.len() + binds.axes.len()) as u64);
}

/// Every axis of an input is kept, or is a number by now.
fn check_kept(model: &Model, cx: &mut PassContext, keep: &[String]) -> Result<(), PassError> {
    let symbols = dims::input_symbols(model);
    for (symbol, at) in &symbols {
        if !keep.iter().any(|k| k.as_str() == symbol.as_str()) {
            let unused = keep.iter().map(String::as_str).filter(|k| !symbols.contains_key(*k));
            let hint = suggest::did_you_mean(symbol, unused).map(|_| " (is one of `keep` misspelt?)");
            return Err(PassError::option(
                "keep",
                format!(
                    "the axis `{symbol}`, of {}, is neither kept nor bound{}; add it to `keep`, or give it a length under `bind`",
                    at.list(),
                    hint.unwrap_or_default()
                ),
            ));
        }
    }
    for v in deploy::required_inputs(model) {
        let dims = model.declared_type(v).and_then(Type::dims).unwrap_or_default();
        if let Some(axis) = dims.iter().position(|d| *d == Dim::Unknown) {
            let place = format!("{}[{axis}]", model.name(v));
            return Err(PassError::option(
                "keep",
                format!(
                    "the axis `{place}` has neither a length nor a name; give it one: `bind: {{\"{place}\": …}}` or `rename: {{\"{place}\": …}}`"
                ),
            ));
        }
    }
    let gone: Vec<&str> = keep.iter().map(String::as_str).filter(|k| !symbols.contains_key(*k)).collect();
    if !gone.is_empty() {
        cx.note("", format!("keep: no input has an axis {} (any more)", names::list(gone)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use crate::pass::PassContext;
    use crate::testing::{after, model, refusal, run_in};

    const GRID: &str = "agraph (float[batch, seq] x, int64[batch, side] grid) => (float[n, seq] y)
        <int64[1] i = {0}, int64[1] m = {-1}> {
          s = Shape (grid)
          b = Gather (s, i)
          t = Concat <axis = 0> (b, m)
          y = Reshape (x, t)
        }";

    #[test]
    fn what_is_bound_becomes_constant() {
        let options = json!({"keep": ["seq"], "bind": {"batch": 1, "side": "${4 * batch}"}, "drop-unused-inputs": true});
        assert_snapshot!(after(GRID, "prune-dynamic-axes", options));
    }

    #[test]
    fn a_length_is_read_from_another_input() {
        let text = "agraph (int64[batch, side] grid, int64[seq, batch] ids, float[side, batch] unread) => (float[n, s] y, int64[seq, batch] z) {
              t = Shape (grid)
              y = ConstantOfShape (t)
              z = Abs (ids)
            }";
        let options = json!({"bind": {"side": 4}, "drop-unused-inputs": true});
        assert_snapshot!(after(text, "prune-dynamic-axes", options));
        // Nobody else has `side`: the input stays.
        assert_snapshot!(after(text, "prune-dynamic-axes", json!({"drop-unused-inputs": true})));
    }

    #[test]
    fn symbols_are_renamed_and_merged() {
        let text = r#"agraph (int64[batch, seq] ids, int64[batch, total] mask, float[?] x) => (int64[batch, "total + seq"] y) {
              y = Concat <axis = 1> (ids, mask)
              z = Abs (x)
            }"#;
        let options = json!({"rename": {"batch": "b", "x[0]": "len"}, "merge": {"total": "seq"}});
        assert_snapshot!(after(text, "prune-dynamic-axes", options));
        let bound = json!({"bind": {"x[0]": 3, "mask[1]": 4}});
        assert_snapshot!(after(text, "prune-dynamic-axes", bound));
    }

    #[test]
    fn refusals() {
        let text = r#"agraph (int64[a, b] x, int64["a - 2", c] z, int64[?] u) => (int64[a, b] y) {
             y = Abs (x)
            }"#;
        let all = [
            json!({"bind": {"a": 1}}),
            json!({"bind": {"a": -1}}),
            json!({"bind": {"a": "${7 / 2}"}}),
            json!({"bind": {"a": "${nothing}"}}),
            json!({"bind": {"a": 4, "b": 5}, "merge": {"b": "a"}}),
            json!({"bind": {"a": 4, "x[0]": 5}}),
            json!({"bind": {"a": 4, "z[0]": 5}}),
            json!({"merge": {"a": "q"}}),
            json!({"merge": {"a": "b", "b": "c"}}),
            json!({"rename": {"a": "b"}}),
            json!({"rename": {"u[0]": "a + 1"}}),
            json!({"keep": ["a", "B"]}),
            json!({"keep": ["a", "b", "c"]}),
        ];
        let all = all.map(|options| refusal(text, "prune-dynamic-axes", options));
        assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn a_bind_that_the_graph_contradicts_is_refused() {
        let text = "agraph (float[a] x) => (float[4] y) {\n y = Abs (x)\n}";
        let declared = refusal(text, "prune-dynamic-axes", json!({"bind": {"a": 5}}));
        let text = "agraph (float[a] x) => (float[a] y)\n<float[3] w = {1, 2, 3}> {\n y = Add (x, w)\n}";
        let computed = refusal(text, "prune-dynamic-axes", json!({"bind": {"a": 4}}));
        assert_snapshot!([declared, computed].join("\n"));
    }

    #[test]
    fn a_declaration_that_was_wrong_before_is_corrected() {
        let text = r#"agraph (float[a] x, float[b] w) => (float["a + 1"] y) {
             y = Concat <axis = 0> (x, w)
            }"#;
        assert_snapshot!(after(text, "prune-dynamic-axes", json!({"bind": {"b": 2}})));
    }

    #[test]
    fn a_bind_that_a_promise_rules_out_is_refused() {
        let mut cx = PassContext::new();
        cx.facts.set_max("seq", 8);
        let e = run_in(&mut model(GRID), &mut cx, "prune-dynamic-axes", json!({"bind": {"seq": 9}}));
        assert_snapshot!(e.expect_err("a length beyond the window"));
    }
}
