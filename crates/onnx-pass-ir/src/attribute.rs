//! Attributes of nodes.

use std::sync::Arc;

use bytes::Bytes;
use ecow::{EcoString, EcoVec};

use crate::{GraphId, SparseTensor, Tensor, Type};

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum AttrValue {
    /// `f`
    Float(f32),
    /// `i`
    Int(i64),
    /// `s`
    String(Bytes),
    /// `t`
    Tensor(Arc<Tensor>),
    /// `g`: a graph of the same arena.
    Graph(GraphId),
    /// `sparse_tensor`
    SparseTensor(Arc<SparseTensor>),
    /// `tp`
    Type(Box<Type>),
    /// `floats`
    Floats(Vec<f32>),
    /// `ints`
    Ints(Vec<i64>),
    /// `strings`
    Strings(Vec<Bytes>),
    /// `tensors`
    Tensors(Vec<Arc<Tensor>>),
    /// `graphs`
    Graphs(Vec<GraphId>),
    /// `sparse_tensors`
    SparseTensors(Vec<Arc<SparseTensor>>),
    /// `type_protos`
    Types(Vec<Type>),
    /// `ref_attr_name`: inside a function, the value that the call gives to the function's attribute.
    Ref {
        /// The function's attribute.
        name: EcoString,
        /// `type`, by its number in `AttributeProto.AttributeType`.
        kind: i32,
    },
    /// No field is set.
    Undefined,
}

impl AttrValue {
    /// A string value.
    pub fn string(s: &str) -> Self {
        AttrValue::String(Bytes::copy_from_slice(s.as_bytes()))
    }

    /// The number of `AttributeProto.AttributeType`.
    pub fn kind(&self) -> i32 {
        match self {
            AttrValue::Undefined => 0,
            AttrValue::Float(_) => 1,
            AttrValue::Int(_) => 2,
            AttrValue::String(_) => 3,
            AttrValue::Tensor(_) => 4,
            AttrValue::Graph(_) => 5,
            AttrValue::Floats(_) => 6,
            AttrValue::Ints(_) => 7,
            AttrValue::Strings(_) => 8,
            AttrValue::Tensors(_) => 9,
            AttrValue::Graphs(_) => 10,
            AttrValue::SparseTensor(_) => 11,
            AttrValue::SparseTensors(_) => 12,
            AttrValue::Type(_) => 13,
            AttrValue::Types(_) => 14,
            AttrValue::Ref { kind, .. } => *kind,
        }
    }

    /// The dense tensors in this value, those of sparse ones included.
    pub fn tensors(&self) -> impl Iterator<Item = &Arc<Tensor>> {
        let (dense, sparse): (&[Arc<Tensor>], &[Arc<SparseTensor>]) = match self {
            AttrValue::Tensor(t) => (std::slice::from_ref(t), &[]),
            AttrValue::Tensors(ts) => (ts, &[]),
            AttrValue::SparseTensor(t) => (&[], std::slice::from_ref(t)),
            AttrValue::SparseTensors(ts) => (&[], ts),
            _ => (&[], &[]),
        };
        dense.iter().chain(sparse.iter().flat_map(|s| s.tensors()))
    }

    /// The graphs in this value.
    #[inline]
    pub fn graphs(&self) -> &[GraphId] {
        match self {
            AttrValue::Graph(g) => std::slice::from_ref(g),
            AttrValue::Graphs(gs) => gs,
            _ => &[],
        }
    }
}

/// One attribute of a node. Replaced as a whole, never changed in place.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// The attribute's name.
    pub name: EcoString,
    /// The value.
    pub value: AttrValue,
    /// `doc_string`.
    pub doc: Option<EcoString>,
    pub(crate) rest: EcoVec<u8>,
    /// The field in its source; empty when made by us. Written back as it is unless it holds a graph.
    pub(crate) src: Bytes,
}

impl Attribute {
    /// An attribute.
    pub fn new(name: &str, value: AttrValue) -> Self {
        Attribute { name: name.into(), value, doc: None, rest: EcoVec::new(), src: Bytes::new() }
    }

    /// An integer.
    pub fn int(name: &str, value: i64) -> Self {
        Self::new(name, AttrValue::Int(value))
    }

    /// A list of integers.
    pub fn ints(name: &str, value: &[i64]) -> Self {
        Self::new(name, AttrValue::Ints(value.to_vec()))
    }

    /// A float.
    pub fn float(name: &str, value: f32) -> Self {
        Self::new(name, AttrValue::Float(value))
    }

    /// A string.
    pub fn string(name: &str, value: &str) -> Self {
        Self::new(name, AttrValue::string(value))
    }

    /// A tensor.
    pub fn tensor(name: &str, value: Tensor) -> Self {
        Self::new(name, AttrValue::Tensor(Arc::new(value)))
    }

    /// The integer, if it is one.
    #[inline]
    pub fn as_int(&self) -> Option<i64> {
        match self.value {
            AttrValue::Int(i) => Some(i),
            _ => None,
        }
    }

    /// The float, if it is one.
    #[inline]
    pub fn as_float(&self) -> Option<f32> {
        match self.value {
            AttrValue::Float(f) => Some(f),
            _ => None,
        }
    }

    /// The integers, if it is a list of them.
    #[inline]
    pub fn as_ints(&self) -> Option<&[i64]> {
        match &self.value {
            AttrValue::Ints(v) => Some(v),
            _ => None,
        }
    }

    /// The string, if it is one and is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            AttrValue::String(s) => std::str::from_utf8(s).ok(),
            _ => None,
        }
    }

    /// The tensor, if it is one.
    pub fn as_tensor(&self) -> Option<&Arc<Tensor>> {
        match &self.value {
            AttrValue::Tensor(t) => Some(t),
            _ => None,
        }
    }

    /// The graph, if it is one.
    pub fn as_graph(&self) -> Option<GraphId> {
        match self.value {
            AttrValue::Graph(g) => Some(g),
            _ => None,
        }
    }
}
