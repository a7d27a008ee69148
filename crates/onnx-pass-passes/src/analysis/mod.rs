//! Shapes and values: for every value its element type, its symbolic shape and, for small integer tensors,
//! its symbolic contents.
//!
//! One forward walk over the nodes. Every dim is an expression over symbols: the `dim_param`s that the model
//! declares for its inputs, and made-up ones (their names start with `?`) for lengths that the graph does not
//! tell before it runs. So "unknown" is a symbol of its own, and two unknown lengths that are the same length
//! are seen to be the same.
//!
//! Invariant: a fact holds for every run of the model. Nothing is guessed. Two lengths of 0 are left out of
//! account: one that is broadcast against 1 ([`NodeCx::broadcast_dim`]), and one that is computed for the target of
//! a `Reshape`, where it is the order to copy another. Of the latter only those are left out that stand beside a
//! −1, whose data is of unknown shape, or that are computed from the data's lengths: such a run fails, unless one
//! more length is 0, and then the result has no element under either shape.
//! Invariant: declared types are evidence where nothing is computed; where both are there the computed one
//! wins, and a contradiction is kept in [`Analysis::contradictions`].

mod alternatives;
mod bodies;
mod cx;
mod driver;
pub mod ops;
pub(crate) mod strided;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_ir::{DataType, EcoString, Model, NodeId, Tensor, TensorData, Type, ValueId};
use rustc_hash::{FxHashMap, FxHashSet};

pub use alternatives::Told;
pub use cx::NodeCx;

/// A symbolic shape: one expression an axis.
pub type SymShape = Arc<[Expr]>;

/// The symbolic contents of a small integer or bool tensor, in row-major order; `None` where an element is not
/// known. Bools are 0 and 1.
pub type SymItems = Arc<[Option<Expr>]>;

/// Contents of more elements than this are not tracked symbolically.
pub const MAX_ITEMS: usize = 1024;

/// What is known of a value.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    /// The element type of a tensor.
    pub dtype: Option<DataType>,
    /// The shape; `None` when not even the rank is known.
    pub shape: Option<SymShape>,
    /// The symbolic contents. When set, `shape` is all constants and its product is the number of items.
    pub items: Option<SymItems>,
    /// The contents, when they are the same in every run.
    pub tensor: Option<Arc<Tensor>>,
    /// For a sequence, an optional or a map: its declared or inferred type, and the fact of its elements.
    pub other: Option<Box<OtherFact>>,
}

/// What is known of a value that is not a tensor.
#[derive(Clone, Debug)]
pub struct OtherFact {
    /// The type.
    pub ty: Type,
    /// What holds for every element of a sequence, or the value in an optional.
    pub element: Fact,
    /// The number of elements of a sequence, if known.
    pub len: Option<Expr>,
}

impl Fact {
    /// A tensor of this type and shape.
    pub fn tensor(dtype: Option<DataType>, shape: Option<Vec<Expr>>) -> Self {
        Fact { dtype, shape: shape.map(Into::into), ..Fact::default() }
    }

    /// The rank, if known.
    pub fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(|s| s.len())
    }

    /// The shape, if every dim is a number.
    pub fn const_shape(&self) -> Option<Vec<i64>> {
        self.shape.as_ref()?.iter().map(Expr::as_const).collect()
    }

    /// What is known of a tensor with these contents.
    pub fn of_tensor(t: &Arc<Tensor>) -> Self {
        let small = t.len().is_ok_and(|n| n <= MAX_ITEMS);
        let whole = t.dtype.is_integer() || t.dtype == DataType::BOOL;
        let items = if small && whole { t.to_i64s().ok() } else { None };
        Fact {
            dtype: Some(t.dtype),
            shape: Some(t.dims.iter().map(|d| Expr::constant(*d)).collect()),
            items: items.map(|v| v.into_iter().map(|x| Some(Expr::constant(x))).collect()),
            tensor: Some(t.clone()),
            other: None,
        }
    }

    /// The number of elements, if every dim is a number.
    pub fn count(&self) -> Option<usize> {
        let length = |d: &Expr| usize::try_from(d.as_const()?).ok();
        self.shape.as_ref()?.iter().try_fold(1usize, |n, d| n.checked_mul(length(d)?))
    }

    /// The contents, if every element is the same number in every run.
    pub fn constant(&self) -> Option<Arc<Tensor>> {
        if self.tensor.is_some() {
            return self.tensor.clone();
        }
        let (dtype, dims) = (self.dtype?, self.const_shape()?);
        if dims.contains(&0) {
            let none = if dtype == DataType::STRING {
                TensorData::Strings(Vec::new())
            } else {
                TensorData::Raw(bytes::Bytes::new())
            };
            return Some(Tensor::with_data(dtype, &dims, none).shared());
        }
        Tensor::integers(dtype, &dims, &self.const_items()?).ok().map(Tensor::shared)
    }

    /// Whether [`Fact::constant`] may give something: nothing is allocated to find out.
    pub fn is_constant(&self) -> bool {
        let known = || self.items.as_ref().is_some_and(|i| i.iter().flatten().count() == i.len());
        let whole = |s: &SymShape| s.iter().all(Expr::is_const);
        self.tensor.is_some() || self.shape.as_ref().is_some_and(whole) && (self.is_empty() || known())
    }

    /// The contents as numbers, if all are known integers.
    pub fn const_items(&self) -> Option<Vec<i64>> {
        self.items.as_ref()?.iter().map(|e| e.as_ref()?.as_const()).collect()
    }

    /// True when the tensor certainly has no element.
    pub fn is_empty(&self) -> bool {
        self.shape.as_ref().is_some_and(|s| s.iter().any(Expr::is_zero))
    }
}

/// A declared type that the graph contradicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The value.
    pub value: ValueId,
    /// The axis; `None` when the rank or the element type is at odds.
    pub axis: Option<usize>,
    /// What the file says.
    pub declared: String,
    /// What the graph computes.
    pub computed: String,
}

/// Two lengths that a node needs to be the same, and that are not in any run (or, of [`Analysis::narrow`], in hardly
/// any): the node fails, or is never reached, or something that the model declares is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// The node.
    pub node: NodeId,
    /// One length.
    pub left: Expr,
    /// The other.
    pub right: Expr,
}

/// Why a value's shape is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The operator has no rule here.
    NoRule(NodeId),
    /// The rule had too little to go by.
    Undetermined(NodeId),
}

/// The facts of one model at one revision.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    pub(crate) facts: Vec<Fact>,
    /// What was learnt of symbols on the way.
    pub symbols: Facts,
    /// Declared types at odds with computed ones.
    pub contradictions: Vec<Contradiction>,
    /// Lengths that must agree and cannot.
    pub impossible: Vec<Impossible>,
    /// Lengths of 0 that are broadcast to one that is not known: such a node runs only where that is 0 or 1.
    pub narrow: Vec<Impossible>,
    /// Operators without a rule (domain, name), each once, in order of occurrence.
    pub without_rule: Vec<(String, String)>,
    /// Of made-up symbols for what an `If` gives: the two lengths, and what decides.
    pub(crate) alternatives: FxHashMap<EcoString, alternatives::Alternative>,
    /// Pairs of lengths that are broadcast to each other and are not known to be equal.
    pub(crate) disputes: Vec<(Expr, Expr)>,
    /// Axes of inputs whose declared length the graph disputes.
    pub(crate) disputed: FxHashSet<(ValueId, usize)>,
    /// The symbols that the main graph's inputs declare.
    pub(crate) declared: FxHashSet<EcoString>,
}

impl Analysis {
    /// Analyses a model. `given` holds what the user says of symbols.
    pub fn of(model: &Model, given: &Facts) -> Self {
        driver::analyse(model, given)
    }

    /// What is known of a value.
    #[inline]
    pub fn fact(&self, v: ValueId) -> &Fact {
        static NOTHING: Fact = Fact { dtype: None, shape: None, items: None, tensor: None, other: None };
        self.facts.get(v.index()).unwrap_or(&NOTHING)
    }

    /// The symbolic shape of a value.
    #[inline]
    pub fn shape(&self, v: ValueId) -> Option<&[Expr]> {
        self.fact(v).shape.as_deref()
    }

    /// The element type of a value.
    #[inline]
    pub fn dtype(&self, v: ValueId) -> Option<DataType> {
        self.fact(v).dtype
    }

    /// Works out anew what is known of a node's outputs, after its inputs' facts or the node itself changed.
    /// True when something changed.
    pub fn update(&mut self, model: &Model, node: NodeId) -> bool {
        driver::update(self, model, node)
    }

    /// The contents of a node's outputs for these contents of its inputs, where they can be computed exactly,
    /// however large.
    pub(crate) fn evaluate(
        &mut self,
        model: &Model,
        node: NodeId,
        inputs: &[Option<Arc<Tensor>>],
    ) -> Option<Vec<Option<Arc<Tensor>>>> {
        driver::evaluate_node(self, model, node, inputs)
    }

    /// Works out what is known of an input, initializer or other value that no node computes.
    pub fn update_source(&mut self, model: &Model, v: ValueId) {
        let fact = driver::input_fact(self, model, v);
        self.set(v, fact);
    }

    /// Records what is known of a value that a pass made, so that the analysis stays of use.
    #[inline]
    pub fn set(&mut self, v: ValueId, fact: Fact) {
        if self.facts.len() <= v.index() {
            self.facts.resize_with(v.index() + 1, Fact::default);
        }
        self.facts[v.index()] = fact;
    }
}

impl PartialEq for Fact {
    /// Whether the same is known, as far as is seen without reading large contents.
    fn eq(&self, o: &Fact) -> bool {
        let tensors = match (&self.tensor, &o.tensor) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                Arc::ptr_eq(a, b)
                    || (a.byte_len().is_some_and(|n| n <= 4096) && a.same_contents(b).unwrap_or(false))
            }
            _ => false,
        };
        let others = match (&self.other, &o.other) {
            (None, None) => true,
            (Some(a), Some(b)) => a.ty == b.ty && a.len == b.len && a.element == b.element,
            _ => false,
        };
        tensors && others && self.dtype == o.dtype && self.shape == o.shape && self.items == o.items
    }
}

/// True for a symbol that the analysis made up.
pub fn is_made_up(symbol: &str) -> bool {
    symbol.starts_with('?')
}
