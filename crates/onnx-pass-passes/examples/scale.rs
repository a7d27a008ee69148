//! Time against nodes: `scale [MOST_NODES [PASS…]]`. For load and save, and for each pass, processor time in nanoseconds a
//! node at sizes from 1,000 up, and how far the times are from a straight line. A pass is timed as it runs, on a model
//! that was read before, with the processor's caches emptied: they would hold the small models and not the large ones.
//! Memory that was freed is used again, as in the command, and what is timed finds enough of it.
#![allow(clippy::print_stdout)]

#[path = "../../onnx-pass-ir/benches/grown/mod.rs"]
mod grown;

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use onnx_pass_ir::{Encoding, Model, WriteOptions};
use onnx_pass_passes::pass::PassContext;
use onnx_pass_passes::registry;
use serde_json::{Value, json};

/// Times round; the least counts.
const ROUNDS: usize = 10;

/// Up to so many nodes, another time in each round.
const AGAIN: [usize; 3] = [100_000, 300_000, 100_000];
/// Up to so many nodes everything is run once before it is timed.
const FEW: usize = 100_000;

const LOAD_AND_SAVE: &str = "load and save";
/// The argument that makes it the worker for one size.
const WORKER: &str = "worker";

/// Bytes that are fetched to empty the caches: more than any processor's that this runs on.
const CACHES: usize = 512 << 20;

const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A row of the table: what it says, the pass and its options.
struct Case {
    says: &'static str,
    /// What is run before, and is not timed: it gives the pass something to do.
    before: Option<(&'static str, Value)>,
    pass: &'static str,
    options: Value,
}

/// The passes, with options that give each something to do in every layer, or in every one with a cache. The
/// `gains` are those of the model, for `bind-inputs`.
fn cases(gains: Value) -> Vec<Case> {
    let case = |pass, options| Case { says: pass, before: None, pass, options };
    let all_outside = json!({"threshold": 0});
    vec![
        case("bind-inputs", gains),
        case("clip-to-float16-range", json!({})),
        case("custom-io", json!({"precision": {"past.*": "float16"}})),
        Case {
            says: "custom-io, applied",
            ..case("custom-io", json!({"precision": {"past.*": "float16"}, "apply": true}))
        },
        case("deduplicate-initializers", json!({})),
        case("eliminate-common-subexpressions", json!({})),
        case("eliminate-dead-code", json!({})),
        case("eliminate-identities", json!({})),
        case("eliminate-kv-cache", json!({})),
        Case { before: Some(("externalize", all_outside.clone())), ..case("embed", json!({})) },
        case("externalize", all_outside),
        case("fold-constants", json!({})),
        case(
            "generate-specializations",
            json!({"entries": [{"name": "a", "symbols": {"batch": 1, "seq": 8, "past": 1}}]}),
        ),
        case("infer-shapes", json!({})),
        case("inline-functions", json!({})),
        case("prune-dynamic-axes", json!({"keep": ["seq", "past", "total"], "bind": {"batch": 1}})),
        case(
            "rename",
            json!({
                "inputs": {"past.*.key": "k.$1"},
                "outputs": {"past.*_RetainedState": "k.$1.next"},
                "values": {"/layers.*": "l.$1"},
                "dims": {"seq": "length"},
            }),
        ),
        case("select-outputs", json!({"drop": ["past.*"]})),
    ]
}

/// Options of `bind-inputs`: a value for each gain of the model.
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
    empty_caches();
    let start = seconds();
    // What it leaves is dropped when the time is known: a program does not take its model apart.
    let _left = run(it)?;
    Ok(seconds() - start)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [worker, nodes, folder] = arguments.as_slice()
        && worker == WORKER
    {
        return work(nodes.parse()?, Path::new(folder));
    }
    let most: usize = arguments.first().map_or(Ok(1_000_000), |n| n.parse())?;
    let sizes: Vec<usize> =
        [1, 3, 10, 30, 100, 300, 1000].map(|k| k * 1000).into_iter().filter(|n| *n <= most).collect();
    let folder = std::env::temp_dir().join(format!("onnx-pass-scale-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure(&sizes, arguments.get(1..).unwrap_or_default(), &folder);
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
type Row = (&'static str, Vec<f64>);

/// The program that runs all passes on models of one size, each when it is told.
struct Worker {
    program: Child,
    tell: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Worker {
    fn start(nodes: usize, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(WORKER).arg(nodes.to_string()).arg(folder);
        let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let tell = program.stdin.take().ok_or("no pipe")?;
        let hear = BufReader::new(program.stdout.take().ok_or("no pipe")?);
        Ok(Worker { program, tell, hear })
    }

    /// Seconds that a row takes.
    fn time(&mut self, row: usize) -> Result<f64, Box<dyn Error>> {
        writeln!(self.tell, "{row}")?;
        let mut line = String::new();
        self.hear.read_line(&mut line)?;
        Ok(line.trim().parse().map_err(|_| "a worker stopped, and has said why above")?)
    }

    fn stop(self) -> Result<(), Box<dyn Error>> {
        let Worker { mut program, tell, .. } = self;
        drop(tell);
        program.wait()?;
        Ok(())
    }
}

/// Goes round all passes and sizes several times, each run after one of another pass and another size, so that a minute in
/// which the machine was busy is in all of them. Each size has a program of its own, so that no model stands in what a
/// larger one left of the memory.
fn measure(sizes: &[usize], wanted: &[String], folder: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let says = std::iter::once(LOAD_AND_SAVE).chain(cases(Value::Null).into_iter().map(|c| c.says));
    let wanted: Vec<(usize, &str)> =
        says.enumerate().filter(|(_, s)| wanted.is_empty() || wanted.iter().any(|w| w == s)).collect();
    let mut rows: Vec<Row> =
        wanted.iter().map(|(_, says)| (*says, vec![f64::INFINITY; sizes.len()])).collect();
    // Small and large by turns; the smaller ones again, as they are done soon and a little disturbs them.
    let half = sizes.len().div_ceil(2);
    let once = (0..half).flat_map(|k| [k, k + half]).filter(|k| *k < sizes.len());
    let more = AGAIN.iter().flat_map(|most| (0..sizes.len()).filter(|k| sizes[*k] <= *most));
    let turns: Vec<usize> = once.chain(more).collect();
    for _ in 0..ROUNDS {
        // New ones each round: how well the memory of a program lies is chance.
        let mut workers: Vec<Worker> =
            sizes.iter().map(|nodes| Worker::start(*nodes, folder)).collect::<Result<_, _>>()?;
        for first in 0..rows.len() {
            for (turn, &k) in turns.iter().enumerate() {
                let row = (first + turn) % rows.len();
                let took = workers[k].time(wanted[row].0)?;
                let least = &mut rows[row].1[k];
                *least = least.min(took);
            }
        }
        workers.into_iter().try_for_each(Worker::stop)?;
    }
    Ok(rows)
}

/// Runs the rows that it is told, by number, and prints what each took.
fn work(nodes: usize, folder: &Path) -> Result<(), Box<dyn Error>> {
    // As the command has it. SAFETY: sets a number that the allocator reads when something is freed.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    let (file, to) = (folder.join(format!("{nodes}.onnx")), folder.join(format!("{nodes}-out.onnx")));
    if !file.exists() {
        std::fs::write(&file, grown::grown(nodes)?.to_bytes(Encoding::Anew)?)?;
    }
    let cases = cases(gains(&Model::read(&file)?));
    let row = |row: usize| match row.checked_sub(1).and_then(|c| cases.get(c)) {
        None => load_and_save(&file, &to),
        Some(case) => run(case, &file),
    };
    warm_up(nodes);
    if nodes <= FEW {
        // One more large page is a good part of such a run.
        (0..=cases.len()).try_for_each(|k| row(k).map(drop))?;
    }
    for line in std::io::stdin().lines() {
        println!("{:e}", row(line?.parse()?)?);
    }
    Ok(())
}

/// Fetches other memory until nothing of the model is left in the processor's caches: one of a million nodes does not fit
/// into them, so a smaller one must not be found there either.
fn empty_caches() {
    static OTHER: LazyLock<Vec<u8>> = LazyLock::new(|| vec![1; CACHES]);
    std::hint::black_box(OTHER.iter().step_by(64).map(|b| u64::from(*b)).sum::<u64>());
}

/// Has memory that was cleared ready for all that follows: it is kept when it is freed.
fn warm_up(nodes: usize) {
    const BLOCK: usize = 4 << 20;
    const A_NODE: usize = 2000;
    let blocks: Vec<Vec<u8>> = (0..16 + nodes * A_NODE / BLOCK).map(|_| vec![1; BLOCK]).collect();
    drop(std::hint::black_box(blocks));
}

fn load_and_save(file: &Path, to: &Path) -> Result<f64, Box<dyn Error>> {
    // Over an old file it would have to be on the disk first.
    let fresh = || if to.exists() { Ok(std::fs::remove_file(to)?) } else { Ok(()) };
    timed(fresh, |()| {
        let mut m = Model::read(file)?;
        // Something changed, so that the file is not copied as it is.
        m.header_mut();
        m.write(to, &WriteOptions::default())?;
        Ok(m)
    })
}

fn run(case: &Case, file: &Path) -> Result<f64, Box<dyn Error>> {
    let ready = || {
        let mut m = Model::read(file)?;
        if let Some((pass, options)) = &case.before {
            apply(pass, options, &mut m)?;
        }
        Ok(m)
    };
    timed(ready, |mut m| Ok((apply(case.pass, &case.options, &mut m)?, m)))
}

/// Runs a pass; gives what it leaves beside the model.
fn apply(pass: &str, options: &Value, m: &mut Model) -> Result<PassContext, Box<dyn Error>> {
    let mut cx = PassContext::new();
    cx.options = options.clone();
    let found = registry::find(pass).ok_or("no such pass")?;
    found.run(m, &mut cx).map_err(|e| format!("{pass}: {e}"))?;
    Ok(cx)
}

/// The greatest distance from `t = a + b·n` with neither negative, as a part of the line, where the line is the one for
/// which that is least. Three points hold such a line (de la Vallée Poussin 1911), or two where it goes through the
/// origin or is level: the least is what the worst three or two of them come to.
fn off(sizes: &[usize], times: &[f64]) -> f64 {
    let points: Vec<(f64, f64)> = sizes.iter().map(|n| *n as f64).zip(times.iter().copied()).collect();
    // How far off a line is from two times that should be the same, where the one is `r` of the other.
    let apart = |r: f64| (r - 1.0) / (r + 1.0);
    let mut worst = 0.0_f64;
    for (i, (n0, t0)) in points.iter().enumerate() {
        for (j, (n1, t1)) in points.iter().enumerate().skip(i + 1) {
            worst = worst.max(apart(t0 / t1)).max(apart(t1 / n1 / (t0 / n0)));
            for (n2, t2) in &points[j + 1..] {
                let between = t0 + (t2 - t0) * (n1 - n0) / (n2 - n0);
                worst = worst.max(apart(between / t1).abs());
            }
        }
    }
    worst
}
