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
mod wire;

use std::path::Path;

use crate::error::Result;
use crate::model::Model;

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
mod tests;
