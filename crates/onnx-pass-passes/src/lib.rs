//! Passes over ONNX graphs.
