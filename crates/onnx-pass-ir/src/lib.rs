//! The ONNX model in memory: read, look, change, check, print, write.
//!
//! A [`Model`] is one arena of nodes, values and graphs under typed ids. Subgraphs of `If`, `Loop` and
//! `Scan` and the bodies of model-local functions are graphs in the same arena, so a captured value is an
//! ordinary [`ValueId`] that is counted in its uses. Weights are shared and lazy; what the file holds and
//! this crate does not know is kept and written back. The crate knows ONNX and knows no pass.

mod attribute;
mod copy;
mod dtype;
mod edit;
mod error;
mod external;
mod ids;
mod inline;
mod io;
mod model;
mod places;
mod proto;
mod raw;
mod source;
mod span;
pub mod sym;
mod tensor;
#[cfg(test)]
mod tests;
pub mod text;
mod types;
pub mod verify;
mod view;

pub use attribute::{AttrValue, Attribute};
pub use dtype::DataType;
pub use ecow::EcoString;
pub use edit::{NewNode, Place};
pub use error::{Error, Result, advise};
pub use external::{External, ExternalRoot};
pub use ids::{FunctionId, GraphId, NodeId, ValueId};
pub use io::{NewFiles, ReadOptions, SecondName, StagedFile, StagedModel, Weights, WriteOptions, Written};
pub use io::{clean_hidden, install_sigbus_handler, real_name};
pub use model::{
    Binding, Def, Function, Graph, GraphOutput, GraphOwner, Header, Metadata, Model, Node, Nodes,
    OpsetImport, QuantAnnotation, TrainingInfo, Use, Value, ValueInfo, canonical_domain,
};
pub use proto::encode::Encoding;
pub use proto::typed::TypedData;
pub use source::Source;
pub use tensor::{DataFile, Dims, SparseTensor, Store, Tensor, TensorData};
pub use types::{Dim, Shape, TensorType, Type, TypeKind};
pub use view::View;

/// Graphs may nest this deep in a file: each level takes three of the hundred nested messages that protobuf
/// readers allow.
pub const MAX_NESTED_GRAPHS: usize = 31;
