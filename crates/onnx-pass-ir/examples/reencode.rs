//! Reads each model named on the command line, checks it, and writes it again with every message encoded
//! anew: `reencode OUTDIR MODEL...`. A comparison with the source, field by field, proves the codec.
#![allow(clippy::print_stderr)]

use onnx_pass_ir::{Encoding, Model, verify};
use std::path::Path;

fn main() {
    let mut args = std::env::args().skip(1);
    let out = args.next().unwrap_or_default();
    for path in args {
        let run = || -> Result<(), Box<dyn std::error::Error>> {
            let mut m = Model::read(&path)?;
            for f in verify::verify(&m, verify::Level::Full) {
                eprintln!("{path}: {f}");
            }
            let name = path.replace('/', "__");
            std::fs::write(Path::new(&out).join(&name), m.to_bytes(Encoding::Anew)?)?;
            // A change and its undoing: the spliced form.
            m.header_mut().producer_name = m.header().producer_name.clone();
            std::fs::write(
                Path::new(&out).join(format!("spliced__{name}")),
                m.to_bytes(Encoding::Verbatim)?,
            )?;
            Ok(())
        };
        if let Err(e) = run() {
            eprintln!("{path}: {e}");
        }
    }
}
