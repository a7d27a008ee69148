//! Rewrite exported ONNX files.

pub mod pipeline;
pub mod progress;
pub mod terminal;
pub mod write;
