//! Passes over ONNX graphs.

pub mod expr;
pub mod options;
pub mod suggest;
