//! Prints models as text and checks that the text reads back to the same model.
//!
//! `cargo run --example text -- [--out FOLDER] MODEL…`: a line for each model that does not. With `--out` the
//! texts are written there, as `NAME.txt`, for another parser to read.

use std::path::{Path, PathBuf};

use onnx_pass_ir::text::{self, TextOptions};
use onnx_pass_ir::{Encoding, Model};

fn check(path: &Path, out: Option<&Path>, options: &TextOptions) -> Result<(), String> {
    let m = Model::read(path).map_err(|e| e.to_string())?;
    let printed = m.to_text(options).map_err(|e| e.to_string())?;
    if let Some(out) = out {
        let name = match path.file_stem() {
            Some(s) if s != "model" => s,
            _ => path.parent().and_then(Path::file_name).unwrap_or_default(),
        };
        std::fs::write(out.join(name).with_extension("txt"), &printed).map_err(|e| e.to_string())?;
    }
    let back =
        text::parse_in(&printed, path.parent()).map_err(|e| format!("its text does not parse: {e}"))?;
    let bytes = |m: &Model| m.to_bytes(Encoding::Anew).map_err(|e| e.to_string());
    if bytes(&m)? != bytes(&back)? {
        return Err("its text reads back to another model".into());
    }
    Ok(())
}

#[allow(clippy::print_stdout)]
fn main() {
    let mut args = std::env::args_os().skip(1).peekable();
    let mut out = None;
    if args.next_if(|a| a == "--out").is_some() {
        out = args.next().map(PathBuf::from);
    }
    let (mut good, mut bad) = (0, 0);
    for path in args.map(PathBuf::from) {
        match check(&path, out.as_deref(), &TextOptions::default()) {
            Ok(()) => good += 1,
            Err(e) => {
                bad += 1;
                println!("{}: {e}", path.display());
            }
        }
    }
    println!("{good} read back to the same model, {bad} do not");
}
