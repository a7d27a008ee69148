//! Time against nodes: `scale [MOST_NODES [PASS…]]`. For load and save, and for each pass, processor time in nanoseconds a
//! node at sizes from 1,000 up, and how far the times are from a straight line. A pass is timed as it runs, on a model
//! that was just read. Memory that was freed is used again, as in the command, so from the second round on none of it
//! has to be cleared.
#![allow(clippy::print_stdout)]

#[path = "../../onnx-pass-ir/benches/grown/mod.rs"]
mod grown;

use std::error::Error;
use std::path::Path;

use onnx_pass_ir::{Encoding, Model, WriteOptions};
use onnx_pass_passes::pass::PassContext;
use onnx_pass_passes::registry;
use serde_json::{Value, json};

/// Times round.
const ROUNDS: usize = 5;
/// A small model is run so often in each round that these are its nodes in all. Of all runs the least counts.
const ENOUGH_NODES: usize = 60_000;

const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A row of the table: what it says, the pass and its options.
struct Case {
    says: &'static str,
    pass: &'static str,
    options: Value,
}

/// The passes, with options that give each something to do in every layer, or in every one with a cache.
fn cases() -> Vec<Case> {
    let case = |pass, options| Case { says: pass, pass, options };
    vec![
        case("bind-inputs", json!({"values": {}})),
        case("clip-to-float16-range", json!({})),
        case("custom-io", json!({"precision": {"past.*": "float16"}})),
        Case {
            says: "custom-io, applied",
            pass: "custom-io",
            options: json!({"precision": {"past.*": "float16"}, "apply": true}),
        },
        case("deduplicate-initializers", json!({})),
        case("eliminate-common-subexpressions", json!({})),
        case("eliminate-dead-code", json!({})),
        case("eliminate-identities", json!({})),
        case("eliminate-kv-cache", json!({})),
        case("embed", json!({})),
        case("externalize", json!({"threshold": 0})),
        case("fold-constants", json!({})),
        case(
            "generate-specializations",
            json!({"entries": [{"name": "a", "symbols": {"batch": 1, "seq": 8, "past": 1}}]}),
        ),
        case("infer-shapes", json!({})),
        case("inline-functions", json!({})),
        case("prune-dynamic-axes", json!({"keep": ["seq", "past", "total"], "bind": {"batch": 1}})),
        case("rename", json!({"values": {"/layers.*": "l.$1"}})),
        case("select-outputs", json!({"drop": ["past.*"]})),
    ]
}

/// Values for the inputs that are to be bound.
fn gains(m: &Model) -> Value {
    let names = m.graph(m.main()).inputs().iter().map(|v| m.name(*v)).filter(|name| name.starts_with("gain"));
    json!({"values": names.map(|name| (name.to_string(), json!(1.0))).collect::<serde_json::Map<_, _>>()})
}

/// Processor time of this program so far: other programs do not disturb it much.
fn seconds() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the struct that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// Processor time of one run; making ready is not counted, nor is what comes after.
fn timed<T, R>(
    ready: impl FnOnce() -> Result<T, Box<dyn Error>>,
    run: impl FnOnce(T) -> Result<R, Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let it = ready()?;
    let start = seconds();
    // What it leaves is dropped when the time is known: a program does not take its model apart.
    let _left = run(it)?;
    Ok(seconds() - start)
}

fn main() -> Result<(), Box<dyn Error>> {
    // As the command has it. SAFETY: sets a number that the allocator reads when something is freed.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    let most: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse())?;
    let sizes: Vec<usize> =
        [1, 3, 10, 30, 100, 300, 1000].map(|k| k * 1000).into_iter().filter(|n| *n <= most).collect();
    let folder = std::env::temp_dir().join(format!("onnx-pass-scale-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let wanted: Vec<String> = std::env::args().skip(2).collect();
    let measured = measure(&sizes, &wanted, &folder);
    std::fs::remove_dir_all(&folder)?;
    let rows = measured?;
    let head: Vec<String> = sizes.iter().map(|n| format!(" {n} |")).collect();
    println!("| ns a node | {} off the line |", head.concat().trim_start());
    println!("|---|{}---:|", "---:|".repeat(sizes.len()));
    for (what, times) in rows {
        let cells: Vec<String> = times.iter().zip(&sizes).map(|(t, n)| cell(t * 1e9 / *n as f64)).collect();
        println!("| {what} |{} {:.0} % |", cells.concat(), off(&sizes, &times) * 100.0);
    }
    Ok(())
}

/// Two digits at least of what is not zero to the second place.
fn cell(ns: f64) -> String {
    let places = if ns < 1.0 { 2 } else { usize::from(ns < 10.0) };
    format!(" {ns:.places$} |")
}

/// What was timed, and its seconds for each size.
type Row = (String, Vec<f64>);

/// Goes round all sizes and passes several times, so that a minute in which the machine was busy is in all of them or in
/// none that counts.
fn measure(sizes: &[usize], wanted: &[String], folder: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut cases = cases();
    cases.retain(|c| wanted.is_empty() || wanted.iter().any(|w| w == c.says));
    let says = std::iter::once("load and save").chain(cases.iter().map(|c| c.says));
    let mut rows: Vec<Row> = says.map(|says| (says.to_string(), vec![f64::INFINITY; sizes.len()])).collect();
    let (file, to) = (|nodes: usize| folder.join(format!("{nodes}.onnx")), folder.join("out.onnx"));
    let mut values = Vec::new();
    for &nodes in sizes {
        let model = grown::grown(nodes)?;
        values.push(gains(&model));
        std::fs::write(file(nodes), model.to_bytes(Encoding::Anew)?)?;
    }
    for _ in 0..ROUNDS {
        for (k, &nodes) in sizes.iter().enumerate() {
            let runs = (ENOUGH_NODES / nodes).max(1);
            let mut least = |row: usize, took: f64| rows[row].1[k] = rows[row].1[k].min(took);
            for _ in 0..runs {
                let load_and_save = |()| {
                    let mut m = Model::read(file(nodes))?;
                    // Something changed, so that the file is not copied as it is.
                    m.header_mut();
                    m.write(&to, &WriteOptions::default())?;
                    Ok(m)
                };
                // Over an old file it would have to be on the disk first.
                let fresh = || if to.exists() { Ok(std::fs::remove_file(&to)?) } else { Ok(()) };
                least(0, timed(fresh, load_and_save)?);
                for (row, Case { says, pass, options }) in cases.iter().enumerate() {
                    let found = registry::find(pass).ok_or("no such pass")?;
                    let mut cx = PassContext::new();
                    cx.options = if *pass == "bind-inputs" { values[k].clone() } else { options.clone() };
                    let run = |mut m: Model| {
                        found.run(&mut m, &mut cx).map_err(|e| format!("{says}: {e}"))?;
                        Ok((m, cx))
                    };
                    least(row + 1, timed(|| Ok(Model::read(file(nodes))?), run)?);
                }
            }
        }
    }
    Ok(rows)
}

/// The greatest distance from `t = a + b·n`, as a part of the line, where the line is the one for which that is
/// least among those through two of the points or through the origin.
fn off(sizes: &[usize], times: &[f64]) -> f64 {
    let points: Vec<(f64, f64)> = sizes.iter().map(|n| *n as f64).zip(times.iter().copied()).collect();
    let worst =
        |a: f64, b: f64| points.iter().map(|(n, t)| (t / (a + b * n) - 1.0).abs()).fold(0.0, f64::max);
    let mut best = f64::INFINITY;
    for (i, p) in points.iter().enumerate() {
        // Half way between the steepest and the flattest ray is as good as any other through the origin.
        best = points.iter().map(|q| worst(0.0, (p.1 / p.0 + q.1 / q.0) / 2.0)).fold(best, f64::min);
        for q in &points[i + 1..] {
            let b = (q.1 - p.1) / (q.0 - p.0);
            let a = p.1 - b * p.0;
            if a >= 0.0 && b > 0.0 {
                best = best.min(worst(a, b));
            }
        }
    }
    best
}
