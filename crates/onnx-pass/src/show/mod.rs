//! A model as text for people: who talks to it, what it is made of, or all of it.

mod operators;
mod outline;
mod signature;

use onnx_pass_ir::Model;
use onnx_pass_ir::text::{TextOptions, Weights};

use crate::terminal::escape;
pub(crate) use operators::{attribute, tensor};
pub(crate) use outline::path;
pub(crate) use signature::size;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Inputs and outputs, opsets, functions, counts of operators, weights.
    Signature,
    /// The signature and the tree of scopes, repeated layers folded.
    #[default]
    Outline,
    /// Every node, in the ONNX textual syntax; weights as a hash.
    Full,
    /// Everything, in the ONNX textual syntax with notes: reads back to the same model.
    Text,
}

/// The model as text. All but [`Depth::Text`] is made safe for a terminal; that one is what parses back, and a
/// terminal should get it through [`for_terminal`].
///
/// # Errors
/// When graphs are nested deeper than ONNX readers take.
pub fn show(m: &Model, depth: Depth) -> Result<String, onnx_pass_ir::Error> {
    Ok(match depth {
        Depth::Signature => signature::signature(m),
        Depth::Outline => format!("{}\n{}", signature::signature(m), outline::outline(m)),
        Depth::Full => {
            // Small contents are mostly axes and shapes, which a reader wants to see.
            let options = TextOptions { weights: Weights::Hashed { over: 64 }, notes: false };
            for_terminal(&m.to_text(&options)?)
        }
        Depth::Text => m.to_text(&TextOptions::default())?,
    })
}

/// The signature alone, for snapshots.
pub fn signature(m: &Model) -> String {
    signature::signature(m)
}

/// The tree of scopes alone, for snapshots.
pub fn outline(m: &Model) -> String {
    outline::outline(m)
}

/// The operators with their attributes and the small constants, counted: a line each.
pub fn operators(m: &Model) -> String {
    operators::operators(m)
}

/// Lines of text with what would steer a terminal made visible.
pub fn for_terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        out.push_str(&escape(body));
        out.push_str(end);
    }
    out
}

#[cfg(test)]
mod tests;
