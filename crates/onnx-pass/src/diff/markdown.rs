//! A diff for a comment on a pull request.

use std::fmt::Write;

use super::text::{constants, counts, functions, group, interface, plural, remarks, weights};
use super::{Diff, Group};
use crate::terminal::escape;

pub(super) fn markdown(d: &Diff) -> String {
    let mut out = String::from(match (d.is_empty(), d.structural) {
        (true, _) => "**No change.**\n",
        (_, false) => "**No structural change.**\n",
        _ => "**The model changed.**\n",
    });
    diff_block(&mut out, "Interface", &interface(d));
    if !d.header.is_empty() {
        out.push_str("\n| | before | after |\n|---|---|---|\n");
        for f in &d.header {
            let cell = |s: &Option<String>| s.as_deref().map_or("—".to_owned(), |s| code(&short(s)));
            let _ = writeln!(out, "| {} | {} | {} |", code(&f.field), cell(&f.before), cell(&f.after));
        }
    }
    diff_block(&mut out, "Functions", &functions(d));
    if let Some(line) = counts(d) {
        let lines =
            |sign: char, groups: &[Group]| groups.iter().map(|g| (sign, group(g))).collect::<Vec<_>>();
        let all = [lines('-', &d.nodes.removed), lines('+', &d.nodes.added), lines('~', &d.nodes.changed)];
        details(&mut out, &line, &all.concat());
    }
    let of_weights = weights(d);
    if !of_weights.is_empty() {
        details(&mut out, &format!("weights: {}", plural(d.weights.len(), "change")), &of_weights);
    }
    let remarks: Vec<String> = constants(d).into_iter().chain(remarks(d)).collect();
    if !remarks.is_empty() {
        out.push('\n');
        for line in remarks {
            let _ = writeln!(out, "- {}", code(&line));
        }
    }
    out
}

fn short(s: &str) -> String {
    if s.chars().count() > 60 { s.chars().take(60).chain(['…']).collect() } else { s.to_owned() }
}

fn diff_block(out: &mut String, title: &str, lines: &[(char, String)]) {
    if !lines.is_empty() {
        let _ = writeln!(out, "\n**{title}**\n");
        block(out, lines);
    }
}

fn details(out: &mut String, summary: &str, lines: &[(char, String)]) {
    let _ = writeln!(out, "\n<details><summary>{}</summary>\n", html(summary));
    block(out, lines);
    out.push_str("\n</details>\n");
}

/// A fenced block, whose fence no name can end: each line begins with a sign.
fn block(out: &mut String, lines: &[(char, String)]) {
    out.push_str("```diff\n");
    for (sign, line) in lines {
        // `!` is what renderers colour for a change.
        let sign = if *sign == '~' { '!' } else { *sign };
        let _ = writeln!(out, "{sign} {}", escape(line));
    }
    out.push_str("```\n");
}

/// A Markdown code span that the text cannot leave, nor a table's cell around it.
pub fn code(s: &str) -> String {
    let text = escape(s).replace('|', "\\|");
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Text that is no markup.
pub(super) fn html(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in escape(s).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
