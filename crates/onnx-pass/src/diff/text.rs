//! A diff for a terminal.

use std::fmt::Write;

use super::{BorderChange, Change, Diff, End, Group};
use crate::show::{for_terminal, size};
use crate::structure::layered::layered;

pub(super) fn text(d: &Diff) -> String {
    let mut out = String::new();
    match (d.is_empty(), d.structural) {
        (true, _) => out.push_str("no change\n"),
        (_, false) => out.push_str("no structural change\n"),
        _ => {}
    }
    section(&mut out, "interface", interface(d).into_iter().map(|(sign, l)| format!("{sign} {l}")));
    section(
        &mut out,
        "model",
        d.header.iter().map(|f| field(f.before.as_deref(), f.after.as_deref(), &f.field)),
    );
    section(&mut out, "functions", functions(d).into_iter().map(|(sign, l)| format!("{sign} {l}")));
    if let Some(line) = counts(d) {
        let _ = writeln!(out, "{line}");
        for (sign, groups) in [('-', &d.nodes.removed), ('+', &d.nodes.added), ('~', &d.nodes.changed)] {
            for g in groups {
                let _ = writeln!(out, "  {sign} {}", group(g));
            }
        }
    }
    section(&mut out, "weights", weights(d).into_iter().map(|(sign, l)| format!("{sign} {l}")));
    for line in constants(d).into_iter().chain(remarks(d)) {
        let _ = writeln!(out, "{line}");
    }
    for_terminal(&out)
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(out, "{title}");
        for line in lines {
            let _ = writeln!(out, "  {line}");
        }
    }
}

/// Signs and lines; those that differ by a number alone together.
pub(super) fn interface(d: &Diff) -> Vec<(char, String)> {
    let lines: Vec<((char, End), String)> = d.interface.iter().filter_map(border).collect();
    let entries: Vec<_> = lines.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
    let told = layered(&entries).into_iter().map(|((sign, end), text, of)| {
        let end = if end == End::Input { "input " } else { "output" };
        (sign, format!("{end} {text}{}", times(of.len())))
    });
    let mut out: Vec<_> = told.collect();
    if d.interface_reordered {
        out.push(('~', "the inputs or outputs stand in another order".to_owned()));
    }
    out
}

fn border(c: &BorderChange) -> Option<((char, End), String)> {
    let ty = |t: &Option<String>| t.clone().unwrap_or_default();
    let (sign, mut text) = match (&c.before, &c.after) {
        (Some(name), None) => ('-', format!("{name}: {}", ty(&c.type_before))),
        (None, Some(name)) => ('+', format!("{name}: {}", ty(&c.type_after))),
        (Some(a), Some(b)) => {
            let name = if a == b { a.clone() } else { format!("{a} → {b}") };
            let same = c.type_before == c.type_after;
            let before = if same { String::new() } else { format!("{} → ", ty(&c.type_before)) };
            ('~', format!("{name}: {before}{}", ty(&c.type_after)))
        }
        (None, None) => return None,
    };
    if c.default_changed {
        text.push_str(", another default");
    }
    if let Some((a, b)) = &c.rewired {
        text.push_str(&format!(", of {b} now, of {a} before"));
    }
    Some(((sign, c.end), text))
}

fn times(n: usize) -> String {
    if n > 1 { format!("  ({n})") } else { String::new() }
}

fn field(before: Option<&str>, after: Option<&str>, name: &str) -> String {
    let short = |s: &str| {
        if s.chars().count() > 60 { s.chars().take(60).chain(['…']).collect() } else { s.to_owned() }
    };
    match (before, after) {
        (Some(b), None) => format!("- {name}: {}", short(b)),
        (None, Some(a)) => format!("+ {name}: {}", short(a)),
        (b, a) => format!("~ {name}: {} → {}", short(b.unwrap_or("")), short(a.unwrap_or(""))),
    }
}

pub(super) fn functions(d: &Diff) -> Vec<(char, String)> {
    d.functions.iter().map(|f| (sign(f.change), f.name.clone())).collect()
}

pub(super) fn sign(c: Change) -> char {
    match c {
        Change::Removed => '-',
        Change::Added => '+',
        Change::Changed => '~',
    }
}

/// `nodes 1729 → 1200: 540 removed, 11 added, 3 changed; 60 → 12 of them Constant`; nothing when none did.
pub(super) fn counts(d: &Diff) -> Option<String> {
    let n = &d.nodes;
    let parts = [(n.removed_count, "removed"), (n.added_count, "added"), (n.changed_count, "changed")];
    let told: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let constants = match (n.constants_before, n.constants_after) {
        (a, b) if a == b => String::new(),
        (a, b) => format!("; {a} → {b} of them Constant"),
    };
    (!told.is_empty()).then(|| format!("nodes {} → {}: {}{constants}", n.before, n.after, told.join(", ")))
}

/// `model/layers.{0…27}/attn: 8 Concat, 4 Transpose`.
pub(super) fn group(g: &Group) -> String {
    const MOST: usize = 96;
    let scope = if g.scope.is_empty() { "(no scope)" } else { &g.scope };
    let mut line = format!("{scope}:");
    let mut told = 0;
    for (what, n) in &g.what {
        let word = if *n == 1 { format!(" {what}") } else { format!(" {n} {what}") };
        if told > 0 && line.chars().count() + word.chars().count() > MOST {
            line.push_str(&format!(" {} more", g.count - told));
            return line;
        }
        told += n;
        line.push_str(&word);
        line.push(',');
    }
    line.pop();
    line
}

pub(super) fn weights(d: &Diff) -> Vec<(char, String)> {
    const MOST: usize = 16;
    let lines: Vec<(char, String)> =
        d.weights.iter().map(|w| (sign(w.change), format!("{}: {}", w.name, w.ty))).collect();
    let entries: Vec<_> = lines.iter().map(|(sign, text)| (*sign, text.as_str())).collect();
    let folded = layered(&entries);
    let mut out: Vec<(char, String)> = Vec::new();
    for (sign, text, of) in folded.iter().take(MOST) {
        out.push((*sign, format!("{text}{}", times(of.len()))));
    }
    if folded.len() > MOST {
        let left: usize = folded.iter().skip(MOST).map(|(_, _, of)| of.len()).sum();
        out.push((' ', format!("and {left} more")));
    }
    if d.weights.len() > 1 {
        let of = |c: Change| d.weights.iter().filter(move |w| w.change == c).map(|w| w.bytes).sum::<usize>();
        out.push((
            ' ',
            format!(
                "in all {} removed, {} added, {} changed",
                size(of(Change::Removed)),
                size(of(Change::Added)),
                size(of(Change::Changed))
            ),
        ));
    }
    out
}

/// `small constants: 3 removed, 1 added`; nothing when they are the same.
pub(super) fn constants(d: &Diff) -> Option<String> {
    let parts = [(d.constants.removed, "removed"), (d.constants.added, "added")];
    let told: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    (!told.is_empty()).then(|| format!("small constants: {}", told.join(", ")))
}

/// What is no change of structure, a line each.
pub(super) fn remarks(d: &Diff) -> Vec<String> {
    let mut out = Vec::new();
    let r = &d.renames;
    if !r.is_empty() {
        let parts =
            [(r.values, "value"), (r.nodes, "node"), (r.weights, "weight"), (r.constants, "small constant")];
        let told: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| plural(*n, what)).collect();
        let examples: Vec<String> = r.examples.iter().map(|(a, b)| format!("{a} → {b}")).collect();
        let more = if r.count() > examples.len() { ", …" } else { "" };
        out.push(format!("renamed: {} ({}{more})", told.join(", "), examples.join(", ")));
    }
    let n = &d.nodes;
    if counts(d).is_none() && n.constants_before != n.constants_after {
        let (a, b) = (n.constants_before, n.constants_after);
        out.push(format!("{a} → {b} Constant nodes; the constants are the same"));
    }
    if d.reordered {
        out.push("the nodes stand in another order".to_owned());
    }
    if d.declared_types > 0 {
        out.push(format!("declared types of {} inside the graph", plural(d.declared_types, "value")));
    }
    if d.remarks > 0 {
        out.push(format!("metadata or doc strings of {}", plural(d.remarks, "node")));
    }
    if d.weights_by_place {
        out.push("weights in files are compared by their place, as a file cannot be read".to_owned());
    }
    out
}

pub(super) fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
