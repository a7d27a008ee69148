//! Passes over ONNX graphs.

pub mod artifacts;
pub mod expr;
pub mod options;
pub mod suggest;
