//! Graphs.

use std::sync::Arc;

use ecow::{EcoString, EcoVec};

use super::{Metadata, ValueInfo};
use crate::{FunctionId, GraphId, NodeId, SparseTensor, ValueId};

/// An output of a graph.
#[derive(Clone, Debug)]
pub struct GraphOutput {
    pub(crate) value: ValueId,
    pub(crate) use_pos: u32,
    /// The output's declaration.
    pub info: ValueInfo,
}

impl GraphOutput {
    /// The value.
    #[inline]
    pub fn value(&self) -> ValueId {
        self.value
    }
}

/// What a graph belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphOwner {
    /// The model's main graph.
    Main,
    /// An attribute of a node: a branch, a loop's body, ….
    Node(NodeId),
    /// A model-local function.
    Function(FunctionId),
    /// `training_info[index]`'s initialization (false) or algorithm (true).
    Training(u32, bool),
    /// Nothing any more.
    Detached,
}

/// `TensorAnnotation`: which values hold the quantization parameters of a tensor.
#[derive(Clone, Debug)]
pub struct QuantAnnotation {
    /// The annotated value.
    pub value: Option<ValueId>,
    /// `SCALE_TENSOR`, `ZERO_POINT_TENSOR`, … and the values that hold them.
    pub params: Vec<(EcoString, ValueId)>,
    /// The messages of `params`, as they were read, of those that hold more; as long as it is, or empty.
    pub(crate) messages: Vec<Option<EcoVec<u8>>>,
    /// Parameters that name no value, kept as they are.
    pub(crate) dangling: Metadata,
    /// The annotated name where it names no value.
    pub(crate) dangling_name: Option<EcoString>,
    pub(crate) rest: EcoVec<u8>,
}

/// A graph: the main one, a subgraph, or a function's body.
#[derive(Clone, Debug)]
pub struct Graph {
    pub(crate) owner: GraphOwner,
    /// The graph around this one, whose values it may capture.
    pub(crate) parent: Option<GraphId>,
    /// `name`.
    pub name: Option<EcoString>,
    /// `doc_string`.
    pub doc: Option<EcoString>,
    /// `metadata_props`.
    pub metadata: Metadata,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<GraphOutput>,
    pub(crate) initializers: Vec<ValueId>,
    pub(crate) sparse_initializers: Vec<(ValueId, Arc<SparseTensor>)>,
    /// Values with an entry in `value_info`, in file order.
    pub(crate) value_info: Vec<ValueId>,
    /// Entries of `value_info` that name no value or one that is declared elsewhere.
    pub(crate) stale_info: Vec<(EcoString, ValueInfo)>,
    pub(crate) annotations: Vec<QuantAnnotation>,
    pub(crate) first: Option<NodeId>,
    pub(crate) last: Option<NodeId>,
    pub(crate) node_count: usize,
    pub(crate) rest: EcoVec<u8>,
}

impl Graph {
    /// What it belongs to.
    pub fn owner(&self) -> GraphOwner {
        self.owner
    }
    /// The graph around it.
    pub fn parent(&self) -> Option<GraphId> {
        self.parent
    }
    /// The inputs, those with a default included.
    #[inline]
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }
    /// The outputs.
    #[inline]
    pub fn outputs(&self) -> &[GraphOutput] {
        &self.outputs
    }
    /// The dense initializers, in file order; those that are inputs too included.
    pub fn initializers(&self) -> &[ValueId] {
        &self.initializers
    }
    /// The sparse initializers.
    pub fn sparse_initializers(&self) -> &[(ValueId, Arc<SparseTensor>)] {
        &self.sparse_initializers
    }
    /// Values with an entry in `value_info`, in file order.
    pub fn value_info(&self) -> &[ValueId] {
        &self.value_info
    }
    /// Names and declarations in `value_info` that belong to no value of the graph.
    pub fn stale_value_info(&self) -> impl Iterator<Item = (&str, &ValueInfo)> {
        self.stale_info.iter().map(|(n, i)| (n.as_str(), i))
    }
    /// `quantization_annotation`.
    pub fn annotations(&self) -> &[QuantAnnotation] {
        &self.annotations
    }
    /// The number of nodes, subgraphs' not counted.
    pub fn node_count(&self) -> usize {
        self.node_count
    }
}
