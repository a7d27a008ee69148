//! The model: one arena of nodes, values and graphs, and what stands around them.

mod graph;
mod look;
mod node;
mod odd;
mod operands;
mod value;

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use ecow::{EcoString, EcoVec};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::source::Source;
use crate::{Attribute, FunctionId, GraphId, ValueId};

pub use graph::{Graph, GraphOutput, GraphOwner, QuantAnnotation};
pub use look::Nodes;
pub(crate) use node::{Link, Operator};
pub use node::{Node, canonical_domain};
pub use odd::Metadata;
pub(crate) use odd::{Odd, Pair};
pub(crate) use operands::Operands;
pub(crate) use value::Declared;
pub use value::{Def, Use, Value, ValueInfo};

/// `OperatorSetIdProto`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpsetImport {
    /// The domain as the file has it.
    pub domain: Option<EcoString>,
    /// The version.
    pub version: Option<i64>,
}

/// A model-local function. Its body is a graph of the model's arena.
#[derive(Clone, Debug)]
pub struct Function {
    /// `name`.
    pub name: EcoString,
    /// `domain`, as the file has it.
    pub domain: Option<EcoString>,
    /// `overload`.
    pub overload: Option<EcoString>,
    /// The body.
    pub(crate) graph: GraphId,
    /// Attributes without a default.
    pub attributes: Vec<EcoString>,
    /// Attributes with one.
    pub attribute_defaults: Vec<Attribute>,
    /// The opsets that the body's operators are resolved by.
    pub opset_imports: Vec<OpsetImport>,
    /// What the schema does not know of `opset_imports`.
    pub(crate) odd_imports: Odd<OpsetImport>,
    pub(crate) src: Bytes,
    pub(crate) live: bool,
}

impl Function {
    /// The body.
    #[inline]
    pub fn graph(&self) -> GraphId {
        self.graph
    }

    /// Domain, name and overload: what a call names.
    pub fn key(&self) -> (&str, &str, &str) {
        (
            canonical_domain(self.domain.as_deref().unwrap_or("")),
            &self.name,
            self.overload.as_deref().unwrap_or(""),
        )
    }
}

/// `TrainingInfoProto`.
#[derive(Clone, Debug)]
pub struct TrainingInfo {
    /// `initialization`
    pub initialization: Option<GraphId>,
    /// `algorithm`
    pub algorithm: Option<GraphId>,
    /// `initialization_binding`: an initializer and the output that resets it.
    pub initialization_binding: Vec<Binding>,
    /// `update_binding`: an initializer and the output that updates it.
    pub update_binding: Vec<Binding>,
    pub(crate) rest: EcoVec<u8>,
}

/// A pair of a binding: names resolved to values where they name one.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The key's text, and the value that it names.
    pub key: (Option<EcoString>, Option<ValueId>),
    /// The value's text, and the value that it names.
    pub value: (Option<EcoString>, Option<ValueId>),
    /// The message as it was read, where it holds more.
    pub(crate) message: Option<EcoVec<u8>>,
}

/// What stands in `ModelProto` beside the graphs.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// `ir_version`
    pub ir_version: Option<i64>,
    /// `producer_name`
    pub producer_name: Option<EcoString>,
    /// `producer_version`
    pub producer_version: Option<EcoString>,
    /// `domain`
    pub domain: Option<EcoString>,
    /// `model_version`
    pub model_version: Option<i64>,
    /// `doc_string`
    pub doc: Option<EcoString>,
    /// `metadata_props`
    pub metadata: Metadata,
    /// `opset_import`
    pub opset_imports: Vec<OpsetImport>,
    /// What the schema does not know of `opset_imports`.
    pub(crate) odd_imports: Odd<OpsetImport>,
    pub(crate) configurations: Vec<Bytes>,
    pub(crate) rest: EcoVec<u8>,
}

/// The hash by which tables of names know one.
#[inline]
pub(crate) fn hash_of(name: &str) -> u64 {
    FxBuildHasher.hash_one(name)
}

/// How many values and nodes have each name, by the names' hashes.
pub(crate) type Names = HashMap<u64, Named, BuildHasherDefault<AsItIs>>;

/// Hashes what is a hash already.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = FxBuildHasher.hash_one(bytes);
    }
}

/// How many values and nodes have a name.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Named {
    pub values: u32,
    pub nodes: u32,
}

/// A model in memory. `Send + Sync`, no lifetime; a clone shares all weights.
#[derive(Clone, Debug)]
pub struct Model {
    /// What stands beside the graphs.
    pub(crate) header: Header,
    pub(crate) nodes: Vec<Node>,
    /// By node.
    pub(crate) links: Vec<Link>,
    pub(crate) values: Vec<Value>,
    pub(crate) graphs: Vec<Graph>,
    pub(crate) functions: Vec<Function>,
    pub(crate) function_index: FxHashMap<(EcoString, EcoString, EcoString), FunctionId>,
    /// A function of the standard domain is, or was, among them: few models have one, and most nodes are of that domain.
    pub(crate) standard_functions: bool,
    pub(crate) main: GraphId,
    pub(crate) training: Vec<TrainingInfo>,
    pub(crate) source: Option<Arc<Source>>,
    pub(crate) revision: u64,
    /// How many values and nodes have each name; made at the first need.
    pub(crate) names: Option<Names>,
    /// Removed values whose names `names` still counts.
    pub(crate) uncounted: Vec<ValueId>,
    pub(crate) next_name: FxHashMap<EcoString, u32>,
    /// Every value has a name that no other of its graph has: known from reading, until one gets another.
    pub(crate) unique_names: bool,
    /// Reading found that the structure is sound; it holds as long as nothing was changed.
    pub(crate) read_sound: bool,
}
