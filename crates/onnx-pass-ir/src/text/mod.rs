//! The ONNX textual syntax: the one of `onnx.parser` and `onnx.printer`, with notes for what it cannot carry.
//!
//! [`parse`] reads it:
//!
//! ```
//! let m = onnx_pass_ir::text::parse(r#"
//!     <ir_version: 8, opset_import: ["" : 17]>
//!     agraph (float[N] x) => (float[N] y) <float two = {2}> {
//!         t = Relu (x)
//!         y = Mul (t, two)
//!     }
//! "#)?;
//! assert_eq!(m.graph(m.main()).node_count(), 2);
//! # Ok::<(), onnx_pass_ir::Error>(())
//! ```
//!
//! Values of `float16` and the like are the elements' bits as integers, those of sub-byte types the bytes that
//! hold them, as the official parser has it.

mod base64;
mod leaf;
mod lex;
mod notes;
mod parse;
mod print;
mod values;
mod wire;
mod words;

use std::path::Path;

use crate::error::Result;
use crate::model::Model;

/// How a model is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// How weights are shown.
    pub weights: Weights,
    /// Whether notes are written. Without them the text is shorter, and reads back as a model without what the
    /// syntax cannot carry.
    pub notes: bool,
}

/// How the contents of tensors in the model's file are shown. Contents in another file are always shown as the
/// reference that the model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// All values.
    Inline,
    /// Contents of more than `over` bytes as a reference into the model's own file. The text then reads back
    /// in that file's folder.
    Reference {
        /// The most bytes that are shown as values.
        over: usize,
    },
    /// Contents of more than `over` bytes as a hash in a comment. The text does not read back to the same
    /// model.
    Hashed {
        /// The most bytes that are shown as values.
        over: usize,
    },
}

impl Default for TextOptions {
    fn default() -> Self {
        TextOptions { weights: Weights::Inline, notes: true }
    }
}

/// Prints a model.
///
/// # Errors
/// When graphs are nested too deep.
pub fn print(m: &Model, options: &TextOptions) -> Result<String> {
    print::model(m, options)
}

impl Model {
    /// The model as text: see [`print()`].
    ///
    /// # Errors
    /// As [`print()`].
    pub fn to_text(&self, options: &TextOptions) -> Result<String> {
        print(self, options)
    }
}

/// Reads a model from text.
///
/// # Errors
/// [`Error::Text`](crate::Error::Text) with line and column.
pub fn parse(text: &str) -> Result<Model> {
    parse_in(text, None)
}

/// As [`parse`], for a model whose external data is in `folder`.
///
/// # Errors
/// As [`parse`].
pub fn parse_in(text: &str, folder: Option<&Path>) -> Result<Model> {
    Model::from_bytes(parse::model(text)?, folder).map_err(parse::from_decoder)
}

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;
