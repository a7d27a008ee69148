//! Renames inputs, outputs, inner values and symbolic dims.
//!
//! ## What it does
//! Gives inputs, outputs, values inside the graph, and the symbols of dynamic axes other names. A key is a name,
//! or a pattern in which `*` stands for any run of characters and `?` for one; the new name then says with `$1`,
//! `$2`, … where they go. A name that a key has exactly is not looked up among the patterns. A symbol is renamed
//! in every declared dim, inside expressions and subgraphs too.
//!
//! ## Before → after
//! With
//! ```yaml
//! inputs: {"past_*.?": "cache_$2_$1"}
//! outputs: {y: logits}
//! dims: {N: batch_size}
//! ```
//! ```diff
//!   agraph (
//! -   float[N] "past_key.0"
//! +   float[batch_size] cache_0_key
//!   ) => (
//! -   float["2*N"] y
//! +   float["2*batch_size"] logits
//!   ) {
//! -   y = Concat <axis = 0> ("past_key.0", "past_key.0")
//! +   logits = Concat <axis = 0> (cache_0_key, cache_0_key)
//!   }
//! ```
//!
//! ## Requires
//! Nothing.
//!
//! ## Guarantees
//! The model computes what it computed. What was renamed before is not renamed again: a name that is gone, and
//! whose new name is there, is taken for done.
//!
//! ## Options
//! | option | value | meaning |
//! |---|---|---|
//! | `inputs` | map of names or patterns to names | inputs of the model |
//! | `outputs` | likewise | outputs of the model |
//! | `values` | likewise | values inside the graph and its subgraphs |
//! | `dims` | likewise | symbols of dynamic axes |
//!
//! ## Refuses
//! A name that is not there; a new name that is taken (two symbols that are to be one are merged by
//! `prune-dynamic-axes`); two keys for one name; a new name that a key would rename again, so that a second run
//! would change the model once more.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use indexmap::IndexMap;
use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Def, EcoString, GraphOwner, Model, NewNode, Place, ValueId};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use serde::Deserialize;

use crate::dims;
use crate::names::{self, Glob};
use crate::options::{OptionKind, OptionSpec};
use crate::pass::{Outcome, Pass, PassContext, PassError};

/// The pass.
pub struct Rename;

type Map = IndexMap<String, String>;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    inputs: Map,
    outputs: Map,
    values: Map,
    dims: Map,
}

const NAMES: OptionKind = OptionKind::Map(&OptionKind::String);

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional("inputs", NAMES, "none", "New names of inputs, by name or pattern."),
    OptionSpec::optional("outputs", NAMES, "none", "New names of outputs, by name or pattern."),
    OptionSpec::optional(
        "values",
        NAMES,
        "none",
        "New names of values inside the graph, by name or pattern.",
    ),
    OptionSpec::optional(
        "dims",
        NAMES,
        "none",
        "New names of the symbols of dynamic axes, by name or pattern.",
    ),
];

impl Pass for Rename {
    fn name(&self) -> &'static str {
        "rename"
    }

    fn source(&self) -> &'static str {
        include_str!("rename.rs")
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
        rename_inputs(model, cx, &options.inputs)?;
        rename_outputs(model, cx, &options.outputs)?;
        rename_values(model, cx, &options.values)?;
        rename_symbols(model, cx, DIM, &options.dims)?;
        Ok(Outcome::changed_if(model.revision() != before))
    }
}

/// What is renamed, for messages.
pub(crate) struct Kind {
    pub(crate) option: &'static str,
    pub(crate) one: &'static str,
    pub(crate) many: &'static str,
}

const INPUT: Kind = Kind { option: "inputs", one: "input", many: "inputs" };
const OUTPUT: Kind = Kind { option: "outputs", one: "output", many: "outputs" };
const VALUE: Kind = Kind { option: "values", one: "value", many: "values" };
pub(crate) const DIM: Kind = Kind { option: "dims", one: "symbol", many: "symbols" };

impl Kind {
    fn error(&self, key: &str, reason: impl Into<String>) -> PassError {
        PassError::option(format!("{}.{key}", self.option), reason)
    }
}

fn rename_inputs(m: &mut Model, cx: &mut PassContext, map: &Map) -> Result<(), PassError> {
    let inputs = m.graph(m.main()).inputs().to_vec();
    let known = inputs.iter().map(|v| (m.name(*v), *v)).collect();
    let new = plan(&INPUT, map, &known)?.into_iter().map(|(k, to)| (known[k], to)).collect();
    give_names(m, cx, &INPUT, new)
}

fn rename_outputs(m: &mut Model, cx: &mut PassContext, map: &Map) -> Result<(), PassError> {
    let main = m.main();
    let mut outputs: Vec<ValueId> = m.graph(main).outputs().iter().map(|o| o.value()).collect();
    let mut seen = FxHashSet::default();
    outputs.retain(|v| seen.insert(*v));
    let known: Known<'_, ValueId> = outputs.iter().map(|v| (m.name(*v), *v)).collect();
    let new = plan(&OUTPUT, map, &known)?.into_iter().map(|(k, to)| (known[k], to));
    let (inputs, computed): (Vec<_>, Vec<_>) = new.partition(|(v, _)| m.value(*v).def() == Def::Input);
    give_names(m, cx, &OUTPUT, computed)?;
    for (v, to) in inputs {
        // The input keeps its name, so the output needs a value of its own.
        let from = m.name(v).to_string();
        if m.is_name_taken(main, &to) {
            return Err(taken(&OUTPUT, &from, &to));
        }
        let node = m.add_node(Place::End(main), NewNode::new("Identity", &[v], &to));
        let Some(copy) = m.node(node).output(0) else { continue };
        m.replace_outputs(main, v, copy);
        m.rename_value(copy, &to)?;
        record(cx, &OUTPUT, &from, &to);
    }
    Ok(())
}

/// Inner values: names repeat in sibling graphs, and each value of that name is renamed. Functions have names
/// of their own, which nobody outside sees.
fn rename_values(m: &mut Model, cx: &mut PassContext, map: &Map) -> Result<(), PassError> {
    if map.is_empty() {
        return Ok(());
    }
    let main = m.graph(m.main());
    let interface: FxHashSet<ValueId> =
        main.inputs().iter().copied().chain(main.outputs().iter().map(|o| o.value())).collect();
    let outputs = main.outputs().iter().map(|o| (m.name(o.value()), &OUTPUT));
    let outside: FxHashMap<&str, &Kind> =
        outputs.chain(main.inputs().iter().map(|v| (m.name(*v), &INPUT))).collect();
    for key in map.keys() {
        if let Some(kind) = outside.get(key.as_str()) {
            return Err(VALUE.error(key, format!("it is an {}; rename it under `{}`", kind.one, kind.option)));
        }
    }
    // The first value of each name, and the others of the few that more have.
    let mut by_name: Known<'_, ValueId> = Known::default();
    let mut others: FxHashMap<ValueId, Vec<ValueId>> = FxHashMap::default();
    by_name.reserve(m.value_capacity());
    for (v, value) in m.values() {
        let inner = !matches!(
            m.graph(m.root_of(value.graph())).owner(),
            GraphOwner::Function(_) | GraphOwner::Detached
        );
        if inner && !interface.contains(&v) && !value.name().is_empty() {
            let first = *by_name.entry(value.name()).or_insert(v);
            if first != v {
                others.entry(first).or_default().push(v);
            }
        }
    }
    let mut new = Vec::new();
    for (k, to) in plan(&VALUE, map, &by_name)? {
        let first = by_name[k];
        let others = others.get(&first).into_iter().flatten();
        let others: Vec<_> = others.map(|v| (*v, to.clone())).collect();
        new.push((first, to));
        new.extend(others);
    }
    give_names(m, cx, &VALUE, new)
}

/// Gives symbols other names, in every declared dim.
///
/// # Errors
/// As the pass refuses.
pub(crate) fn rename_symbols(
    m: &mut Model,
    cx: &mut PassContext,
    kind: Kind,
    map: &IndexMap<String, String>,
) -> Result<(), PassError> {
    if map.is_empty() {
        return Ok(());
    }
    let symbols = dims::symbols(m);
    let known: Known<'_, ()> = symbols.keys().map(|symbol| (symbol.as_str(), ())).collect();
    let mut new: FxHashMap<String, Expr> = FxHashMap::default();
    for (k, to) in plan(&kind, map, &known)? {
        let from = known.get_index(k).map_or("", |(from, ())| from).to_string();
        if !dims::is_symbol(&to) {
            return Err(kind.error(&from, format!("`{to}` would be read as an expression, not as a name")));
        }
        if let Some(there) = symbols.get(to.as_str()) {
            return Err(kind.error(
                &from,
                format!(
                    "`{to}` is a symbol already, of {}; if both are one length, `merge: {{{from}: {to}}}` of prune-dynamic-axes says so",
                    there.list()
                ),
            ));
        }
        // What is known of the old name holds for the new one.
        let (low, high) = cx.facts.bounds(&Expr::symbol(from.as_str()));
        low.into_iter().for_each(|low| cx.facts.set_min(&to, low));
        high.into_iter().for_each(|high| cx.facts.set_max(&to, high));
        record(cx, &kind, &from, &to);
        new.insert(from, Expr::symbol(to.as_str()));
    }
    if !new.is_empty() {
        dims::substitute(m, &|symbol| new.get(symbol).cloned());
    }
    Ok(())
}

fn record(cx: &mut PassContext, kind: &Kind, from: &str, to: &str) {
    cx.count(&format!("{} renamed", kind.many), 1);
    cx.rows.push(vec![kind.one.into(), from.into(), to.into()]);
}

/// Renames values, all at once.
fn give_names(
    m: &mut Model,
    cx: &mut PassContext,
    kind: &Kind,
    new: Vec<(ValueId, String)>,
) -> Result<(), PassError> {
    let mut last = None;
    for (v, to) in &new {
        // Values of one name, in graphs that do not see each other, are one row.
        let from = m.name(*v);
        if last != Some(from) {
            record(cx, kind, from, to);
        }
        last = Some(from);
    }
    let new: Vec<(ValueId, EcoString)> = new.into_iter().map(|(v, to)| (v, to.into())).collect();
    m.rename_values(&new).map_err(|k| taken(kind, m.name(new[k].0), &new[k].1))
}

fn taken(kind: &Kind, from: &str, to: &str) -> PassError {
    let way_out = if kind.option == VALUE.option { "" } else { "; rename that one under `values` first" };
    kind.error(from, format!("the graph has a value `{to}` already{way_out}"))
}

/// Names that are there, and what has them.
type Known<'m, T> = IndexMap<&'m str, T, FxBuildHasher>;

/// New names, by the position of the old one.
struct Plan {
    new: Vec<Option<String>>,
    /// The positions of those that get one, in the order of the map.
    order: Vec<usize>,
}

impl Plan {
    /// Gives a name a new one; tells the one that it had been given.
    fn insert(&mut self, k: usize, to: String) -> Option<String> {
        let other = self.new[k].replace(to);
        if other.is_none() {
            self.order.push(k);
        }
        other
    }

    /// The name at a position, and its new one.
    fn get<'p>(&'p self, known: &Known<'p, impl Sized>, k: usize) -> Option<(&'p str, &'p str)> {
        Some((known.get_index(k)?.0, self.new.get(k)?.as_deref()?))
    }
}

/// Which of the names get another, in the order of the map: position and new name.
fn plan<T>(kind: &Kind, map: &Map, known: &Known<'_, T>) -> Result<Vec<(usize, String)>, PassError> {
    let mut plan = Plan { new: vec![None; known.len()], order: Vec::new() };
    let names = || known.keys().copied().collect::<Vec<&str>>();
    for (from, to) in map {
        if to.is_empty() {
            return Err(kind.error(from, "the new name is empty"));
        }
        if let Some(k) = known.get_index_of(from.as_str()) {
            plan.insert(k, to.clone());
        }
    }
    for (from, to) in map {
        if known.contains_key(from.as_str()) {
            continue;
        }
        let Some(glob) = Glob::new(from) else {
            if !known.contains_key(to.as_str()) {
                return Err(kind.error(from, names::unknown(from, kind.one, kind.many, &names())));
            }
            continue;
        };
        let mut fits = false;
        for (k, name) in known.keys().enumerate().filter(|(_, name)| !map.contains_key(**name)) {
            let Some(captures) = glob.captures(name) else { continue };
            fits = true;
            let new = names::substitute(to, &captures).map_err(|e| kind.error(from, e))?;
            if let Some(other) = plan.insert(k, new)
                && let Some((_, new)) = plan.get(known, k)
                && other != new
            {
                return Err(kind.error(
                    from,
                    format!("`{name}` fits two patterns, which make `{other}` and `{new}` of it"),
                ));
            }
        }
        if !fits && !was_done(to, &names()) {
            return Err(kind.error(from, names::unknown(from, kind.one, kind.many, &names())));
        }
    }
    check_new_names(kind, map, known, &plan)?;
    let Plan { mut new, order } = plan;
    let new = order.into_iter().filter_map(|k| Some((k, new[k].take()?)));
    Ok(new.filter(|(k, to)| known.get_index(*k).is_some_and(|(from, _)| from != to)).collect())
}

/// Whether names are there that the pattern's new names could be.
fn was_done(to: &str, known: &[&str]) -> bool {
    let wild = ["*"; 9];
    let shape = names::substitute(to, &wild).unwrap_or_else(|_| to.into());
    !names::select(&shape, known).is_empty()
}

fn check_new_names<T>(kind: &Kind, map: &Map, known: &Known<'_, T>, plan: &Plan) -> Result<(), PassError> {
    let patterns: Vec<(Glob, &String)> =
        map.iter().filter_map(|(key, template)| Some((Glob::new(key)?, template))).collect();
    let given = || plan.order.iter().filter_map(|k| Some((*k, plan.get(known, *k)?)));
    let hash = |name: &str| FxBuildHasher.hash_one(name);
    // By their new names.
    let mut seen: HashTable<usize> = HashTable::with_capacity(plan.order.len());
    for (k, (from, to)) in given() {
        let named = |k: &usize| plan.get(known, *k).map_or("", |(_, to)| to);
        let entry = seen.entry(hash(to), |other| named(other) == to, |other| hash(named(other)));
        let first = *entry.or_insert(k).get();
        if let Some((other, _)) = plan.get(known, first).filter(|_| first != k) {
            return Err(kind.error(from, format!("`{from}` and `{other}` would both be `{to}`")));
        }
        if from == to {
            continue;
        }
        let next = match map.get(to) {
            Some(next) => Some(next.clone()),
            None => patterns.iter().find_map(|(glob, template)| {
                let captures = glob.captures(to)?;
                names::substitute(template, &captures).ok()
            }),
        };
        if let Some(next) = next.filter(|next| next != to) {
            return Err(kind.error(
                from,
                format!("the new name `{to}` would itself be renamed, to `{next}`; rename in two steps"),
            ));
        }
    }
    // Of symbols there is more to say, and `rename_symbols` says it.
    if kind.one == DIM.one {
        return Ok(());
    }
    for (k, (from, to)) in given() {
        if known.get_index_of(to).is_some_and(|other| other != k && plan.get(known, other).is_none()) {
            return Err(kind.error(from, format!("there is another {} `{to}`", kind.one)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use crate::testing::{after, refusal};

    const CACHE: &str = r#"agraph (float[N] "past_key.0", float[N] x) => (float["2*N"] y, float[N] x)
        <float["N + 1"] t> {
          t = Abs ("past_key.0")
          y = Concat <axis = 0> (t, "past_key.0")
        }"#;

    #[test]
    fn names_and_patterns() {
        let options = json!({
            "inputs": {"past_*.?": "cache_$2_$1"},
            "outputs": {"y": "logits"},
            "values": {"t": "inner"},
            "dims": {"N": "batch_size"},
        });
        assert_snapshot!(after(CACHE, "rename", options));
    }

    #[test]
    fn an_input_that_is_an_output_keeps_its_name() {
        assert_snapshot!(after(CACHE, "rename", json!({"outputs": {"x": "z"}})));
    }

    #[test]
    fn outputs_by_a_pattern() {
        let text =
            "agraph (float[N] x) => (float[N] a, float[N] b, float[N] x) {\n a = Abs (x)\n b = Neg (a)\n}";
        assert_snapshot!(after(text, "rename", json!({"outputs": {"?": "$1.next"}})));
    }

    #[test]
    fn what_is_not_there_or_is_taken_is_refused() {
        let refused = |options| refusal(CACHE, "rename", options);
        let all = [
            refused(json!({"inputs": {"pastkey.0": "a"}})),
            refused(json!({"inputs": {"cache_*": "a$1"}})),
            refused(json!({"inputs": {"past_*": "a$2"}})),
            refused(json!({"inputs": {"x": "past_key.0"}})),
            refused(json!({"inputs": {"x": "t"}})),
            refused(json!({"inputs": {"*": "a"}})),
            refused(json!({"inputs": {"*": "a_$1"}})),
            refused(json!({"inputs": {"x": "past_key.0", "past_key.0": "x"}})),
            refused(json!({"inputs": {"x": ""}})),
            refused(json!({"values": {"x": "z"}})),
            refused(json!({"dims": {"M": "N2"}})),
            refused(json!({"dims": {"N": "a + 1"}})),
        ];
        assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn two_symbols_are_not_made_one() {
        let text = "agraph (float[N, M] x) => (float[N, M] y) {\n y = Abs (x)\n}";
        assert_snapshot!(refusal(text, "rename", json!({"dims": {"N": "M"}})));
    }
}
