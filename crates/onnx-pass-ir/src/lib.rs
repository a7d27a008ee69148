//! The ONNX model in memory: read, look, change, check, print, write.

pub mod sym;
