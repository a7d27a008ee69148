//! Prints what is inferred of the values of models: a line of JSON for each model that is named on the command
//! line, or on a line of standard input when none is.
//!
//! `{"model": path, "values": {name: {"type": text, "dims": [number or text] or null, "items": likewise}},
//! "bodies": [values of each
//! subgraph, before those within it, in the order of the nodes and their attributes], "without_rule": [..]}`
//!
//! A text is an expression, or `if(INPUT, THEN, OTHER)`: the one text or the other, as the one element of that
//! input of the model decides. The name of the input stands between backquotes unless it is an identifier.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::io::{BufRead as _, Write as _};

use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_ir::{GraphId, Model};
use onnx_pass_passes::analysis::{Analysis, Fact};
use serde_json::{Map, Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let paths = match named.is_empty() {
        true => std::io::stdin().lock().lines().collect::<Result<_, _>>()?,
        false => named,
    };
    let mut out = std::io::stdout().lock();
    for path in paths {
        let line = match Model::read(&path) {
            Ok(model) => describe(&path, &model),
            Err(error) => json!({"model": path, "error": error.to_string()}),
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn describe(path: &str, model: &Model) -> Value {
    let analysis = Analysis::of(model, &Facts::default());
    let mut order = Vec::new();
    let mut waiting = vec![model.main()];
    while let Some(g) = waiting.pop() {
        order.push(g);
        let mut inner: Vec<GraphId> =
            model.nodes(g).flat_map(|(_, n)| n.subgraphs().collect::<Vec<_>>()).collect();
        inner.reverse();
        waiting.append(&mut inner);
    }
    let mut graphs: Vec<Map<String, Value>> = vec![Map::new(); order.len()];
    let place: HashMap<GraphId, usize> = order.iter().enumerate().map(|(k, g)| (*g, k)).collect();
    for (id, value) in model.values() {
        if let Some(k) = place.get(&value.graph()) {
            let dim = |e: &Expr| dim(model, &analysis, e);
            graphs[*k].insert(value.name().to_string(), value_fact(analysis.fact(id), &dim));
        }
    }
    let values = graphs.remove(0);
    let without_rule: Vec<String> = analysis.without_rule.iter().map(|(d, n)| format!("{d}::{n}")).collect();
    json!({"model": path, "values": values, "bodies": graphs, "without_rule": without_rule})
}

fn value_fact(fact: &Fact, dim: &dyn Fn(&Expr) -> Value) -> Value {
    let dims: Option<Vec<Value>> = fact.shape.as_ref().map(|s| s.iter().map(dim).collect());
    let element = fact.other.as_ref().map(|mut o| {
        while let Some(inner) = &o.element.other {
            o = inner;
        }
        let dims: Option<Vec<Value>> = o.element.shape.as_ref().map(|s| s.iter().map(dim).collect());
        let len = o.len.as_ref().map(dim);
        json!({"type": o.element.dtype.map(|t| t.to_string()), "dims": dims, "len": len})
    });
    let dtype = fact.dtype.map(|t| t.to_string());
    let item = |e: &Option<Expr>| e.as_ref().map(dim);
    let items: Option<Vec<Option<Value>>> = fact.items.as_ref().map(|i| i.iter().map(item).collect());
    json!({"type": dtype, "dims": dims, "items": items, "element": element})
}

fn dim(model: &Model, analysis: &Analysis, e: &Expr) -> Value {
    e.as_const().map_or_else(|| json!(analysis.told(model, e).text(model)), |n| json!(n))
}
