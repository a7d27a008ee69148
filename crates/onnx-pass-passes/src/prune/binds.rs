//! What symbols are to be: merged into others, or numbers.

use indexmap::IndexMap;
use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Dim, EcoString, Model, Type, ValueId};
use serde_json::Value;

use crate::deploy;
use crate::dims;
use crate::late::{self, Names};
use crate::pass::{PassContext, PassError};
use crate::suggest;

/// What stands for each symbol that goes.
#[derive(Debug, Default)]
pub struct Binds {
    /// Symbol to number or expression, ready to be put in its place.
    pub values: IndexMap<EcoString, Expr>,
    /// Axes without a name, and their lengths.
    pub axes: Vec<(ValueId, usize, i64)>,
}

impl Binds {
    /// What stands for a symbol.
    pub fn get(&self, symbol: &str) -> Option<Expr> {
        self.values.get(symbol).cloned()
    }

    /// Which binds a dim is made of, for messages: `seq_len = 128`.
    pub fn behind(&self, e: &Expr) -> String {
        let symbols = e.symbols();
        let parts = symbols.iter().filter_map(|s| Some(format!("`{s}` = {}", self.values.get(s.as_str())?)));
        parts.collect::<Vec<_>>().join(" and ")
    }
}

/// An input's axis, where a key is written `input[axis]` and is no symbol itself.
pub fn axis_of(model: &Model, key: &str) -> Option<(ValueId, usize)> {
    let (name, axis) = key.strip_suffix(']')?.rsplit_once('[')?;
    let axis: usize = axis.parse().ok()?;
    let inputs = model.graph(model.main()).inputs();
    let v = inputs.iter().copied().find(|v| model.name(*v) == name)?;
    let rank = model.declared_type(v).and_then(Type::dims)?.len();
    (axis < rank).then_some((v, axis))
}

fn declared_dim(model: &Model, (v, axis): (ValueId, usize)) -> Dim {
    let dims = model.declared_type(v).and_then(Type::dims).unwrap_or_default();
    dims.get(axis).cloned().unwrap_or(Dim::Unknown)
}

/// Works out the binds, in their order: a later one may use those before it.
///
/// # Errors
/// An expression without a value, a value that is no length, or one that contradicts another bind, a merge, or
/// what is known.
pub fn of(
    model: &Model,
    cx: &mut PassContext,
    merge: &IndexMap<String, String>,
    bind: &IndexMap<String, Value>,
) -> Result<Binds, PassError> {
    let symbols = dims::symbols(model);
    let merged = merges(cx, merge, &symbols)?;
    let mut binds = Binds::default();
    let mut numbers: IndexMap<EcoString, (i64, String)> = IndexMap::new();
    let mut equations: Vec<(String, Expr, i64)> = Vec::new();
    let mut names = Names::new();
    for (key, option) in bind {
        let error = |reason: String| PassError::option(format!("bind.{key}"), reason);
        let value = late::value(option, &names).map_err(error)?;
        let n = late::length(&value, 0).map_err(error)?;
        names.insert(key.clone(), n.into());
        let axis = if symbols.contains_key(key.as_str()) { None } else { axis_of(model, key) };
        let e = match axis.map(|at| (at, declared_dim(model, at).to_expr())) {
            None => {
                say_if_absent(cx, key, &symbols, bind, merge);
                Expr::symbol(key.as_str())
            }
            Some(((v, axis), None)) => {
                binds.axes.push((v, axis, n));
                continue;
            }
            Some((_, Some(e))) => e,
        };
        let e = e.substitute(&|s| merged.get(s).cloned());
        match e.as_symbol() {
            Some(s) => note_number(&mut numbers, s, n, key)?,
            None => equations.push((key.clone(), e, n)),
        }
    }
    learn(cx, &numbers)?;
    for (key, e, n) in equations {
        let bound = e.substitute(&|s| numbers.get(s).map(|(n, _)| Expr::constant(*n)));
        cx.facts.assert_equal(&bound, &Expr::constant(n)).map_err(|_| {
            PassError::option(
                format!("bind.{key}"),
                format!("`{key}` is `{e}`, which comes out as {bound}, not {n}"),
            )
        })?;
    }
    for symbol in symbols.keys() {
        let start = merged.get(symbol.as_str()).cloned().unwrap_or_else(|| Expr::symbol(symbol.clone()));
        let e = start.substitute(&|s| numbers.get(s).map(|(n, _)| Expr::constant(*n)));
        // What is known besides may leave a symbol no choice.
        let e = if e.is_const() { e } else { forced(cx, &e).unwrap_or(e) };
        if e.as_symbol() != Some(symbol) {
            binds.values.insert(symbol.clone(), e);
        }
    }
    Ok(binds)
}

fn forced(cx: &PassContext, e: &Expr) -> Option<Expr> {
    let simple = cx.facts.simplify(e);
    simple.is_const().then_some(simple)
}

fn note_number(
    numbers: &mut IndexMap<EcoString, (i64, String)>,
    symbol: &str,
    n: i64,
    key: &str,
) -> Result<(), PassError> {
    match numbers.get(symbol) {
        Some((other, by)) if *other != n => Err(PassError::option(
            format!("bind.{key}"),
            format!("`{key}` = {n} contradicts `{by}` = {other}: both are `{symbol}`"),
        )),
        Some(_) => Ok(()),
        None => {
            numbers.insert(symbol.into(), (n, key.into()));
            Ok(())
        }
    }
}

fn learn(cx: &mut PassContext, numbers: &IndexMap<EcoString, (i64, String)>) -> Result<(), PassError> {
    let plain: IndexMap<String, i64> = numbers.iter().map(|(s, (n, _))| (s.to_string(), *n)).collect();
    deploy::check_facts(&cx.facts, &plain).map_err(|(symbol, reason)| {
        let key = numbers.get(symbol.as_str()).map_or(symbol.clone(), |(_, key)| key.clone());
        PassError::option(format!("bind.{key}"), reason)
    })?;
    for (symbol, (n, key)) in numbers {
        let e = Expr::symbol(symbol.clone());
        cx.facts
            .assert_equal(&e, &Expr::constant(*n))
            .map_err(|c| PassError::option(format!("bind.{key}"), c.to_string()))?;
    }
    Ok(())
}

/// What stands for each symbol that is merged into another one, or into an expression of others.
fn merges(
    cx: &mut PassContext,
    merge: &IndexMap<String, String>,
    symbols: &IndexMap<EcoString, dims::Occurrences>,
) -> Result<IndexMap<String, Expr>, PassError> {
    let mut out = IndexMap::new();
    for (old, new) in merge {
        let error = |reason: String| PassError::option(format!("merge.{old}"), reason);
        if !symbols.contains_key(old.as_str()) {
            cx.note("", format!("merge: no axis is named `{old}` (any more)"));
            continue;
        }
        let e = Expr::parse_dim(new);
        for symbol in e.symbols() {
            if !symbols.contains_key(&symbol) {
                let known: Vec<&str> = symbols.keys().map(EcoString::as_str).collect();
                let hint = suggest::did_you_mean(&symbol, known)
                    .unwrap_or_else(|| "to give it another name, use `rename`".into());
                return Err(error(format!("no axis is named `{symbol}`; {hint}")));
            }
            if merge.contains_key(symbol.as_str()) {
                return Err(error(format!("`{symbol}` is merged into another itself")));
            }
        }
        cx.facts.assert_equal(&Expr::symbol(old.as_str()), &e).map_err(|c| error(c.to_string()))?;
        cx.rows.push(vec!["merged".into(), old.clone(), e.to_string()]);
        out.insert(old.clone(), e);
    }
    Ok(out)
}

/// A bind may have no axis: because an earlier step took it away, or because it is misspelt.
fn say_if_absent(
    cx: &mut PassContext,
    key: &str,
    symbols: &IndexMap<EcoString, dims::Occurrences>,
    bind: &IndexMap<String, Value>,
    merge: &IndexMap<String, String>,
) {
    if symbols.contains_key(key) {
        return;
    }
    let open = symbols.keys().map(EcoString::as_str);
    let open = open.filter(|s| !bind.contains_key(*s) && !merge.contains_key(*s));
    match suggest::did_you_mean(key, open) {
        Some(hint) => cx.warn("", format!("bind: no axis is named `{key}`; {hint}")),
        None => cx.note("", format!("bind: no axis is named `{key}` (any more)")),
    }
}
