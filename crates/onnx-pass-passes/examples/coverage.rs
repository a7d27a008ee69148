//! How much of a model's shapes is known: `coverage MODEL...`; `-v` lists the values that are not.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use onnx_pass_ir::{Model, sym::Facts};
use onnx_pass_passes::analysis::{Analysis, is_made_up};

fn main() {
    let verbose = std::env::args().any(|a| a == "-v");
    if let Some(dir) = std::env::args().find_map(|a| a.strip_prefix("--json=").map(str::to_string)) {
        return std::env::args().skip(1).filter(|a| !a.starts_with('-')).for_each(|p| dump(&p, &dir));
    }
    for path in std::env::args().skip(1).filter(|a| !a.starts_with('-')) {
        let model = match Model::read(&path) {
            Ok(m) => m,
            Err(e) => {
                eprintln!("{path}: {e}");
                continue;
            }
        };
        let start = std::time::Instant::now();
        let a = Analysis::of(&model, &Facts::new());
        let time = start.elapsed();
        let (mut all, mut rank, mut full, mut items, mut ints) = (0, 0, 0, 0, 0);
        for g in model.graphs_in(model.main()) {
            for (id, n) in model.nodes(g) {
                for &v in n.outputs().iter().flatten() {
                    let f = a.fact(v);
                    all += 1;
                    rank += usize::from(f.shape.is_some());
                    let known = |s: &[onnx_pass_ir::sym::Expr]| {
                        !s.iter().any(|d| d.symbols().iter().any(|s| is_made_up(s)))
                    };
                    let ok = f.shape.as_deref().is_some_and(known) && f.dtype.is_some();
                    full += usize::from(ok);
                    items += usize::from(f.items.is_some());
                    ints += usize::from(f.constant().is_some());
                    if verbose {
                        let items = f.items.as_ref().filter(|i| i.len() < 20);
                        let items = items
                            .map(|i| {
                                format!(
                                    " = {:?}",
                                    i.iter()
                                        .map(|e| e.as_ref().map_or("_".into(), |e| e.to_string()))
                                        .collect::<Vec<String>>()
                                )
                            })
                            .unwrap_or_default();
                        println!(
                            "  {} {} {}: {:?} {:?}{items}",
                            if ok { " " } else { "!" },
                            model.describe(id),
                            model.name(v),
                            f.dtype,
                            f.shape.as_ref().map(|s| s.iter().map(ToString::to_string).collect::<Vec<_>>())
                        );
                    }
                }
            }
        }
        println!(
            "{path}: {all} values, {rank} ranks, {full} full ({:.1} %), {items} contents, {ints} constants, {time:?}",
            100.0 * full as f64 / all.max(1) as f64
        );
        for c in a.contradictions.iter().take(4) {
            println!(
                "    contradiction {} axis {:?}: declared {}, computed {}",
                model.name(c.value),
                c.axis,
                c.declared,
                c.computed
            );
        }
        if a.contradictions.len() > 4 {
            println!("    … {} in all", a.contradictions.len());
        }
        if !a.without_rule.is_empty() {
            println!("    no rule: {:?}", a.without_rule);
        }
    }
}

/// One line of JSON a value of the main graph: name, type, dims and contents as expressions.
fn dump(path: &str, dir: &str) {
    let Ok(model) = Model::read(path) else { return };
    let a = Analysis::of(&model, &Facts::new());
    let text = |e: &onnx_pass_ir::sym::Expr| e.to_string();
    let mut out = Vec::new();
    for (_, n) in model.nodes(model.main()) {
        for &v in n.outputs().iter().flatten() {
            let f = a.fact(v);
            let contents = f.tensor.as_ref().filter(|_| n.op_type() != "Constant");
            let contents = contents.and_then(|t| {
                t.to_f64s().ok().or_else(|| t.to_i64s().ok().map(|v| v.iter().map(|x| *x as f64).collect()))
            });
            out.push(serde_json::json!({
                "name": model.name(v), "op": n.op_type(), "dtype": f.dtype.map(|t| t.0),
                "shape": f.shape.as_ref().map(|s| s.iter().map(text).collect::<Vec<_>>()),
                "items": f.items.as_ref().map(|i| i.iter().map(|e| e.as_ref().map(text)).collect::<Vec<_>>()),
                "tensor": contents.filter(|v| v.len() < 5000 && v.iter().all(|x| x.is_finite())),
                "other": f.other.is_some(),
            }));
        }
    }
    let name = path.rsplit('/').find(|p| *p != "model.onnx").unwrap_or("model").to_string();
    let _ = std::fs::write(format!("{dir}/{name}.json"), serde_json::to_string(&out).unwrap_or_default());
}
