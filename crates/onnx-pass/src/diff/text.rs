//! A diff for a terminal.

use std::fmt::Write;

use super::{BorderChange, Change, Diff, End, Group, WeightChange, fold};
use crate::show::{for_terminal, size};

pub(super) fn text(d: &Diff) -> String {
    let mut out = String::new();
    if d.is_empty() {
        return "no change\n".to_owned();
    }
    if !d.structural {
        out.push_str("no structural change\n");
    }
    section(
        &mut out,
        "interface",
        interface(&d.interface).into_iter().map(|(sign, l)| format!("{sign} {l}")),
    );
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
    section(&mut out, "weights", weights(&d.weights).into_iter().map(|(sign, l)| format!("{sign} {l}")));
    for line in remarks(d) {
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
pub(super) fn interface(changes: &[BorderChange]) -> Vec<(char, String)> {
    let end = |e: End| if e == End::Input { "input" } else { "output" };
    let mut out = Vec::new();
    let mut entries = Vec::new();
    for c in changes {
        let ty = |t: &Option<String>| t.clone().unwrap_or_default();
        // The end and the sign travel with the kind, so that only equal ones meet.
        match (&c.before, &c.after) {
            (Some(name), None) => {
                entries.push((name.clone(), format!("-\0{}\0{}", end(c.end), ty(&c.type_before))))
            }
            (None, Some(name)) => {
                entries.push((name.clone(), format!("+\0{}\0{}", end(c.end), ty(&c.type_after))))
            }
            (Some(a), Some(b)) => {
                let name = if a == b { a.clone() } else { format!("{a} → {b}") };
                let types = if c.type_before == c.type_after {
                    ty(&c.type_after)
                } else {
                    format!("{} → {}", ty(&c.type_before), ty(&c.type_after))
                };
                entries.push((name, format!("~\0{}\0{types}", end(c.end))));
            }
            (None, None) => {}
        }
    }
    for (name, kind, count) in fold::names(&entries) {
        let mut parts = kind.split('\0');
        let sign = parts.next().and_then(|s| s.chars().next()).unwrap_or('~');
        let (end, ty) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let times = if count > 1 { format!("  ({count})") } else { String::new() };
        out.push((sign, format!("{end:6} {name}: {ty}{times}")));
    }
    out
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

/// `nodes 1729 → 1200: 540 removed, 11 added, 3 changed`; nothing when none did.
pub(super) fn counts(d: &Diff) -> Option<String> {
    let n = &d.nodes;
    let parts = [(n.removed_count, "removed"), (n.added_count, "added"), (n.changed_count, "changed")];
    let told: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    (!told.is_empty()).then(|| format!("nodes {} → {}: {}", n.before, n.after, told.join(", ")))
}

/// `model.layers.{0…27}.attn: 8 Concat, 4 Transpose`.
pub(super) fn group(g: &Group) -> String {
    const MOST: usize = 8;
    let mut what: Vec<String> =
        g.what.iter().take(MOST).map(|(w, n)| if *n == 1 { w.clone() } else { format!("{n} {w}") }).collect();
    let left: usize = g.what.values().skip(MOST).sum();
    if left > 0 {
        what.push(format!("{left} more"));
    }
    let scope = if g.scope.is_empty() { "(no scope)" } else { &g.scope };
    format!("{scope}: {}", what.join(", "))
}

pub(super) fn weights(changes: &[WeightChange]) -> Vec<(char, String)> {
    const MOST: usize = 16;
    let kind = |w: &WeightChange| format!("{}\0{}", sign(w.change), w.ty);
    let entries: Vec<_> = changes.iter().map(|w| (w.name.clone(), kind(w))).collect();
    let folded = fold::names(&entries);
    let mut out: Vec<(char, String)> = folded
        .iter()
        .take(MOST)
        .map(|(name, kind, count)| {
            let (sign, ty) = kind.split_once('\0').unwrap_or(("~", ""));
            let times = if *count > 1 { format!("  ({count})") } else { String::new() };
            (sign.chars().next().unwrap_or('~'), format!("{name}: {ty}{times}"))
        })
        .collect();
    if folded.len() > MOST {
        let left: usize = folded.iter().skip(MOST).map(|(_, _, n)| n).sum();
        out.push((' ', format!("and {left} more")));
    }
    if changes.len() > 1 {
        let of = |c: Change| changes.iter().filter(move |w| w.change == c).map(|w| w.bytes).sum::<usize>();
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

/// What is no change of structure, a line each.
pub(super) fn remarks(d: &Diff) -> Vec<String> {
    let mut out = Vec::new();
    let r = &d.renames;
    if !r.is_empty() {
        let parts = [(r.values, "value"), (r.nodes, "node"), (r.weights, "weight")];
        let told: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| plural(*n, what)).collect();
        let examples: Vec<String> = r.examples.iter().map(|(a, b)| format!("{a} → {b}")).collect();
        let more = if r.values + r.nodes + r.weights > examples.len() { ", …" } else { "" };
        out.push(format!("renamed: {} ({}{more})", told.join(", "), examples.join(", ")));
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
    out
}

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
