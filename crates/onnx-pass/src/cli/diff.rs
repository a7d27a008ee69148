//! `onnx-pass diff`.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use onnx_pass_ir::{Model, ReadOptions};

use super::args::{DiffArgs, DiffAs};
use super::one_line;
use super::output::Output;
use crate::diff::{self as library, markdown_code};

/// `diff`'s own code for trouble, so that a script can tell it from a difference.
const TROUBLE: u8 = 2;

pub(super) fn diff(args: &DiffArgs, out: &mut Output) -> ExitCode {
    match told(args) {
        Ok((text, differs)) => {
            out.text(&text);
            ExitCode::from(u8::from(differs))
        }
        Err(error) => {
            Output::stderr().line(&format!("error: {}", one_line(error.as_ref())));
            ExitCode::from(TROUBLE)
        }
    }
}

fn told(args: &DiffArgs) -> Result<(String, bool), Box<dyn Error>> {
    let options = ReadOptions { allow_symlinks: args.allow_symlinks };
    let read = |path: &Path| {
        let none = path == Path::new("/dev/null");
        if none { Ok(Model::empty()) } else { Model::read_with(path, &options) }
    };
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let diff = library::diff(&before, &after);
    let text = match args.format {
        DiffAs::Text => diff.to_text(),
        DiffAs::Markdown => match &args.title {
            Some(title) => format!("### {}\n\n{}\n", markdown_code(title), diff.to_markdown()),
            None => diff.to_markdown(),
        },
        DiffAs::Json => serde_json::to_string_pretty(&diff.to_json())? + "\n",
        DiffAs::Html => {
            let (before, after) = (args.before.to_string_lossy(), args.after.to_string_lossy());
            diff.to_html(&before, &after)
        }
    };
    Ok((text, diff.structural || (args.exact && !diff.is_empty())))
}
