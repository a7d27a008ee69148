//! Inputs and outputs, and the model in numbers.

use indexmap::IndexMap;
use onnx_pass_ir::{Model, TensorData};

use crate::report::border;
use crate::structure::layered::layered;
use crate::structure::{all_nodes, function_of};
use crate::terminal::{Align, Table, escape};

/// Between a name and a type, which has none.
const CELL: char = '\u{0}';

pub(super) fn signature(m: &Model) -> String {
    let main = m.graph(m.main());
    let mut out = String::new();
    // Before IR 4 every weight is among the inputs, and no caller gives it.
    let inputs = main.inputs().iter().copied().filter(|v| m.constant(*v).is_none());
    let (given, defaults): (Vec<_>, Vec<_>) = inputs.partition(|v| m.value(*v).initializer().is_none());
    let outputs: Vec<_> = main.outputs().iter().map(|o| o.value()).collect();
    for (title, values) in [("inputs", given), ("inputs with a default", defaults), ("outputs", outputs)] {
        if values.is_empty() && title.ends_with("default") {
            continue;
        }
        let lines: Vec<String> =
            values.into_iter().map(|v| border(m, v)).map(|b| format!("{}{CELL}{}", b.name, b.ty)).collect();
        let entries: Vec<_> = lines.iter().map(|line| ((), line.as_str())).collect();
        let mut table = Table::new([("", Align::Left), ("", Align::Left), ("", Align::Left)]);
        for ((), line, of) in layered(&entries) {
            let (name, ty) = line.rsplit_once(CELL).unwrap_or((&line, ""));
            let times = if of.len() > 1 { format!("({})", of.len()) } else { String::new() };
            table.row([name, ty, &times]);
        }
        out.push_str(title);
        out.push('\n');
        out.extend(table.render().lines().map(|l| format!("  {l}\n")));
    }
    let mut table = Table::new([("", Align::Left), ("", Align::Left)]);
    table.row(["opsets", &opsets(m)]);
    table.row(["made by", &made_by(m)]);
    for (_, f) in m.functions() {
        let (domain, name, _) = f.key();
        let count = m.graph(f.graph()).node_count();
        table.row(["function", &format!("{domain}.{name}: {count} nodes")]);
    }
    for line in nodes(m) {
        table.row(["nodes", &line]);
    }
    for line in weights(m) {
        table.row(["weights", &line]);
    }
    out.push_str(&table.render());
    out
}

fn opsets(m: &Model) -> String {
    let imports = m.header().opset_imports.iter().map(|o| {
        let domain = o.domain.as_deref().filter(|d| !d.is_empty()).unwrap_or("ai.onnx");
        format!("{domain} {}", o.version.unwrap_or(0))
    });
    imports.collect::<Vec<_>>().join(", ")
}

fn made_by(m: &Model) -> String {
    let h = m.header();
    let parts = [h.producer_name.as_deref(), h.producer_version.as_deref()];
    let by: Vec<&str> = parts.into_iter().flatten().filter(|s| !s.is_empty()).collect();
    let ir = h.ir_version.map_or("no IR version".to_owned(), |v| format!("IR version {v}"));
    if by.is_empty() { ir } else { format!("{}, {ir}", by.join(" ")) }
}

/// Operators by count, in lines of a readable length.
fn nodes(m: &Model) -> Vec<String> {
    let mut counts: IndexMap<String, usize> = IndexMap::new();
    let mut total = 0;
    for id in all_nodes(m) {
        let n = m.node(id);
        if function_of(m, n.graph()).is_none() {
            total += 1;
            let name = match n.domain() {
                "" => n.op_type().to_owned(),
                domain => format!("{domain}.{}", n.op_type()),
            };
            *counts.entry(name).or_default() += 1;
        }
    }
    counts.sort_by(|a, x, b, y| y.cmp(x).then_with(|| a.cmp(b)));
    let mut lines = vec![format!("{total}:")];
    for (op, n) in counts {
        let word = format!(" {n} {}", escape(&op));
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 92 => line.push_str(&word),
            _ => lines.push(word.trim_start().to_owned()),
        }
        if let Some(line) = lines.last_mut() {
            line.push(',');
        }
    }
    if let Some(line) = lines.last_mut() {
        line.pop();
    }
    lines
}

fn weights(m: &Model) -> Vec<String> {
    let mut sums: IndexMap<String, (usize, usize)> = IndexMap::new();
    for g in m.live_graphs() {
        for t in m.graph(g).initializers().iter().filter_map(|v| m.value(*v).initializer()) {
            let place = match &t.data {
                TensorData::External(e) => format!(" in {}", e.location),
                _ => String::new(),
            };
            let sum = sums.entry(format!("{}{place}", t.dtype)).or_default();
            sum.0 += 1;
            sum.1 += t.byte_len().unwrap_or(0);
        }
    }
    sums.sort_by(|a, x, b, y| y.1.cmp(&x.1).then_with(|| a.cmp(b)));
    sums.into_iter().map(|(what, (n, bytes))| format!("{n} of {what}, {}", size(bytes))).collect()
}

/// A number of bytes for people.
pub(crate) fn size(bytes: usize) -> String {
    const UNITS: [(&str, f64); 3] = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let n = bytes as f64;
    match UNITS.iter().find(|(_, of)| n >= *of) {
        Some((unit, of)) => format!("{:.1} {unit}", n / of),
        None => format!("{bytes} bytes"),
    }
}
