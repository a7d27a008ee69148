//! `simplify IN OUT`: the folding engine alone, for checks against a runtime.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use onnx_pass_ir::{Model, WriteOptions, verify};
use onnx_pass_passes::{fold, manager::count_nodes, pass::PassContext};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let pairs = args[1..].chunks_exact(2);
    let several = args.len() > 3;
    for pair in pairs {
        if let Err(e) = one(&pair[0], &pair[1], several) {
            println!("{}: ERROR {e}", pair[0]);
        }
    }
}

fn one(from: &str, to: &str, quiet: bool) -> Result<(), Box<dyn std::error::Error>> {
    let mut m = Model::read(from)?;
    let known = verify::verify(&m, verify::Level::Full);
    let before = count_nodes(&m);
    let start = std::time::Instant::now();
    let mut cx = PassContext::new();
    let changed = fold::simplify(&mut m, &mut cx)?;
    let time = start.elapsed();
    let again = {
        let r = m.revision();
        fold::simplify(&mut m, &mut cx)? || m.revision() != r
    };
    for f in verify::verify(&m, verify::Level::Full).iter().filter(|f| !known.contains(f)).take(3) {
        println!("{from}: UNSOUND {f}");
    }
    if again {
        println!("{from}: NOT IDEMPOTENT");
    }
    if !quiet || changed && !to.is_empty() && std::env::var("V").is_ok() {
        println!("{from}: {before} -> {} nodes in {time:?}; {:?}", count_nodes(&m), cx.counters);
    }
    m.write(to, &WriteOptions::default())?;
    Ok(())
}
