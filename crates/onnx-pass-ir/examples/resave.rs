//! Loads a model, changes it and saves it, for measurements: `resave MODE INPUT OUTPUT [WEIGHTS]`.
//!
//! `empty` changes nothing, `touch` marks every node as changed, `clean` removes every `Identity` between two
//! values and every node that nothing reads. WEIGHTS is `auto`, `copy` or `embed`.
#![allow(clippy::print_stderr)]

use std::time::Instant;

use onnx_pass_ir::{Model, Weights, WriteOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    onnx_pass_ir::install_sigbus_handler();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mode, input, output, rest @ ..] = args.as_slice() else {
        return Err("resave MODE INPUT OUTPUT [WEIGHTS]".into());
    };
    let weights = match rest.first().map(String::as_str) {
        None | Some("auto") => Weights::Auto,
        Some("copy") => Weights::Copy,
        Some("embed") => Weights::Embed,
        Some(w) => return Err(format!("{w}?").into()),
    };
    let start = Instant::now();
    let mut m = Model::read(input)?;
    let read = start.elapsed();
    match mode.as_str() {
        "empty" => {}
        "touch" => touch(&mut m),
        "clean" => clean(&mut m)?,
        _ => return Err(format!("{mode}?").into()),
    }
    let changed = start.elapsed() - read;
    let written = m.write(output, &WriteOptions { weights, ..WriteOptions::default() })?;
    let wrote = start.elapsed() - read - changed;
    eprintln!("read {read:.3?} change {changed:.3?} write {wrote:.3?} {} bytes", written.bytes);
    Ok(())
}

fn touch(m: &mut Model) {
    for g in m.live_graphs() {
        for n in m.node_ids(g) {
            let name = m.node(n).name().to_string();
            m.set_node_name(n, Some(&name));
        }
    }
}

fn clean(m: &mut Model) -> Result<(), onnx_pass_ir::Error> {
    for g in m.live_graphs() {
        for n in m.node_ids(g) {
            let node = m.node(n);
            if node.is("Identity")
                && let (Some(from), Some(to)) = (node.input(0), node.output(0))
            {
                m.replace_uses(to, from);
            }
        }
    }
    for g in m.live_graphs().into_iter().rev() {
        for n in m.node_ids(g).into_iter().rev() {
            if m.node(n).outputs().iter().flatten().all(|v| m.is_unused(*v)) {
                m.remove_node(n)?;
            }
        }
    }
    m.sweep();
    Ok(())
}
