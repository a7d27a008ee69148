//! The `onnx-pass` command.
fn main() {}
