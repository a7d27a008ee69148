//! `onnx-pass passes`.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use onnx_pass_passes::pass::Pass;
use onnx_pass_passes::{docs, suggest};

use super::args::PassesArgs;
use super::output::Output;
use crate::terminal::{Align, Table};
use crate::{passes as all, shipped, write};

pub(super) fn passes(args: &PassesArgs, out: &mut Output) -> Result<ExitCode, Box<dyn Error>> {
    let table = all(&[]);
    if let Some(folder) = &args.markdown {
        return write_pages(folder, &table);
    }
    match &args.name {
        None => out.text(&list(&table)),
        Some(name) => match table.iter().find(|pass| pass.name() == name) {
            Some(pass) => out.text(&format!("# {name}\n\n{}", docs::of_source(pass.source()))),
            None => {
                let names: Vec<&str> = table.iter().map(|pass| pass.name()).collect();
                let hint = suggest::hint(name, "passes", &names);
                return Err(format!("unknown pass `{name}`; {hint}").into());
            }
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn list(table: &[&'static dyn Pass]) -> String {
    let mut passes = Table::new([("pass", Align::Left), ("what it does", Align::Left)]);
    for pass in table {
        passes.row([pass.name(), docs::first_line(pass.source())]);
    }
    let mut pipelines = Table::new([("pipeline", Align::Left), ("what it is for", Align::Left)]);
    for one in shipped::PIPELINES {
        pipelines.row([one.name, &one.summary()]);
    }
    format!("{}\n{}", passes.render(), pipelines.render())
}

/// The pages of `docs/passes/`: file names and text.
pub fn pages(table: &[&'static dyn Pass]) -> Vec<(String, String)> {
    let mut index = String::from(
        "# Passes\n\nMade by `onnx-pass passes --markdown docs/passes` from the passes' own documentation.\n\n\
         | pass | what it does |\n|---|---|\n",
    );
    let mut pages = Vec::new();
    for pass in table {
        let (name, doc) = (pass.name(), docs::of_source(pass.source()));
        index.push_str(&format!("| [`{name}`]({name}.md) | {} |\n", docs::first_line(pass.source())));
        pages.push((format!("{name}.md"), format!("# {name}\n\n{doc}")));
    }
    pages.push(("README.md".to_owned(), index));
    pages
}

fn write_pages(folder: &Path, table: &[&'static dyn Pass]) -> Result<ExitCode, Box<dyn Error>> {
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for (name, text) in pages(table) {
        write::atomic_write(&folder.join(name), text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
