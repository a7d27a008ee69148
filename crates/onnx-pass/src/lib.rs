//! Rewrite exported ONNX files.
