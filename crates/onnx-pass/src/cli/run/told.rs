//! What a run tells.

use std::error::Error;
use std::fmt::Write;

use serde_json::{Value, json};

use super::super::args::{ReportAs, RunArgs};
use super::super::output::Output;
use super::job::{Done, Made};
use crate::report::{FORMAT_VERSION, Style};
use crate::terminal::{Align, Table, escape};

/// Reports on standard output, errors on standard error.
pub fn tell(args: &RunArgs, results: &[Done], out: &mut Output) -> Result<(), Box<dyn Error>> {
    match args.report {
        ReportAs::Json => out.line(&serde_json::to_string_pretty(&json(args, results)?)?),
        ReportAs::Text => match results {
            [Done { outcome: Ok(made), .. }] => out.text(&one(args, made)),
            [_] => {}
            several => out.text(&many(args, several)),
        },
    }
    let mut errors = Output::stderr();
    for done in results {
        if let Err(error) = &done.outcome {
            let file = escape(&done.model.to_string_lossy()).into_owned();
            let named = results.len() == 1 || error.contains(&file);
            let place = if named { String::new() } else { format!("{file}: ") };
            errors.line(&format!("error: {place}{error}"));
        }
    }
    Ok(())
}

fn one(args: &RunArgs, made: &Made) -> String {
    let style = Style { timings: args.timings };
    let mut out = made.report.as_ref().map(|report| report.to_text(style)).unwrap_or_default();
    for note in &made.notes {
        let _ = writeln!(out, "note: {}", escape(note));
    }
    for file in &made.files {
        let did = match (&made.report, args.dry_run) {
            (None, _) => "up to date",
            (_, true) => "would write",
            _ => "wrote",
        };
        let _ = writeln!(out, "{did} {}", escape(&file.to_string_lossy()));
    }
    if args.dry_run && made.files.is_empty() {
        out.push_str("dry run: nothing is written\n");
    }
    if let Some(hash) = &made.hash {
        let _ = writeln!(out, "content hash {hash}");
    }
    out
}

fn many(args: &RunArgs, results: &[Done]) -> String {
    let mut table = Table::new([
        ("model", Align::Left),
        ("", Align::Left),
        ("nodes", Align::Right),
        ("inputs", Align::Right),
        ("outputs", Align::Right),
        ("file", Align::Left),
    ]);
    let (mut written, mut current, mut failed) = (0, 0, 0);
    let mut said: Vec<String> = Vec::new();
    for done in results {
        let model = done.model.to_string_lossy();
        let mut cells = vec![model.into_owned()];
        let Ok(made) = &done.outcome else {
            failed += 1;
            cells.push("failed".to_owned());
            table.row(cells);
            continue;
        };
        let Some(report) = &made.report else {
            current += 1;
            cells.extend(["up to date", "", "", ""].map(str::to_owned));
            cells.extend(made.files.first().map(|file| file.to_string_lossy().into_owned()));
            table.row(cells);
            continue;
        };
        written += 1;
        cells.push(if args.dry_run { "would write" } else { "written" }.to_owned());
        let span = |counts: fn(&onnx_pass_passes::manager::StepReport) -> (usize, usize)| {
            let steps = (report.steps.first().map(counts), report.steps.last().map(counts));
            match steps {
                (Some((before, _)), Some((_, after))) if before != after => format!("{before} → {after}"),
                (_, Some((_, after))) => after.to_string(),
                _ => String::new(),
            }
        };
        cells.extend([span(|s| s.nodes), span(|s| s.inputs), span(|s| s.outputs)]);
        cells.extend(made.files.first().map(|file| file.to_string_lossy().into_owned()));
        table.row(cells);
        let promises = report.promises.iter().map(|p| format!("promise: {}: {}", p.name, p.meaning));
        for line in promises.chain(report.diagnostics.iter().map(ToString::to_string)) {
            said.push(line);
        }
        said.extend(made.notes.iter().map(|note| format!("note: {note}")));
    }
    let mut out = table.render();
    for line in counted(said) {
        let _ = writeln!(out, "{}", escape(&line));
    }
    let verb = if args.dry_run { "would be written" } else { "written" };
    let _ =
        writeln!(out, "{} models: {written} {verb}, {current} up to date, {failed} failed", results.len());
    out
}

/// Each line once, in the order of its first mention, with how often it was said.
fn counted(lines: Vec<String>) -> Vec<String> {
    let mut counts: indexmap::IndexMap<String, usize> = indexmap::IndexMap::new();
    for line in lines {
        *counts.entry(line).or_default() += 1;
    }
    counts.into_iter().map(|(line, n)| if n > 1 { format!("{line} ({n} models)") } else { line }).collect()
}

fn json(args: &RunArgs, results: &[Done]) -> Result<Value, Box<dyn Error>> {
    let mut models = Vec::new();
    for done in results {
        let mut model = json!({"model": done.model.to_string_lossy()});
        match &done.outcome {
            Err(error) => {
                model["status"] = json!("failed");
                model["error"] = json!(error);
            }
            Ok(made) => {
                model["status"] = json!(match (&made.report, args.dry_run) {
                    (None, _) => "up-to-date",
                    (_, true) => "dry-run",
                    _ => "written",
                });
                let files: Vec<_> = made.files.iter().map(|file| file.to_string_lossy()).collect();
                model["files"] = json!(files);
                model["notes"] = json!(made.notes);
                if let Some(hash) = &made.hash {
                    model["hash"] = json!(hash);
                }
                if let Some(report) = &made.report {
                    model["report"] = report.to_json(Style { timings: args.timings });
                }
            }
        }
        models.push(model);
    }
    Ok(json!({
        "version": FORMAT_VERSION,
        "tool": concat!("onnx-pass ", env!("CARGO_PKG_VERSION")),
        "models": models,
    }))
}
