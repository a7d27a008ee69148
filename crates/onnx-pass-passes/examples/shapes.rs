//! Prints what is inferred of the values of models: a line of JSON for each model that is named on the command
//! line, or on a line of standard input when none is.
//!
//! `{"model": path, "values": {name: {"type": text, "dims": [number or text] or null}}, "without_rule": [..]}`
#![allow(clippy::print_stdout)]

use std::io::{BufRead as _, Write as _};

use onnx_pass_ir::Model;
use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_passes::analysis::Analysis;
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
    let mut values = Map::new();
    for (id, value) in model.values().filter(|(_, v)| v.graph() == model.main()) {
        let fact = analysis.fact(id);
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
        values.insert(value.name().to_string(), json!({"type": dtype, "dims": dims, "element": element}));
    }
    let without_rule: Vec<String> = analysis.without_rule.iter().map(|(d, n)| format!("{d}::{n}")).collect();
    json!({"model": path, "values": values, "without_rule": without_rule})
}

fn dim(e: &Expr) -> Value {
    e.as_const().map_or_else(|| json!(e.to_string()), |n| json!(n))
}
