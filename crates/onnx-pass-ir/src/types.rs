//! Types of values, as an ONNX file declares them.

use ecow::EcoString;

use crate::DataType;
use crate::sym::Expr;

/// A declared dimension.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// `dim_value`.
    Known(i64),
    /// `dim_param`, as it is written in the file.
    Symbol(EcoString),
    /// Neither.
    Unknown,
}

impl Dim {
    /// The dimension as an expression over symbols; `None` when unknown. A `dim_param` that holds an
    /// expression (`past + seq`) is taken for what it says, any other text is one opaque symbol.
    pub fn to_expr(&self) -> Option<Expr> {
        match self {
            Dim::Known(n) => Some(Expr::constant(*n)),
            Dim::Symbol(s) => Some(Expr::parse_dim(s)),
            Dim::Unknown => None,
        }
    }

    /// The declaration of an expression.
    pub fn from_expr(e: &Expr) -> Self {
        match e.as_const() {
            Some(n) => Dim::Known(n),
            None => Dim::Symbol(ecow::eco_format!("{e}")),
        }
    }

    /// The number, if it is one.
    #[inline]
    pub fn known(&self) -> Option<i64> {
        match self {
            Dim::Known(n) => Some(*n),
            _ => None,
        }
    }

    /// The `dim_param`, if it is one.
    #[inline]
    pub fn symbol(&self) -> Option<&str> {
        match self {
            Dim::Symbol(s) => Some(s),
            _ => None,
        }
    }
}

/// A declared shape: one [`Dim`] an axis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The dimensions, outermost first.
    pub dims: Vec<Dim>,
    /// `denotation` of each axis; empty when no axis has one.
    pub denotations: Vec<Option<EcoString>>,
}

impl Shape {
    /// A shape without denotations.
    pub fn new(dims: Vec<Dim>) -> Self {
        Shape { dims, denotations: Vec::new() }
    }
}

/// Element type and shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// The element type.
    pub elem: DataType,
    /// The shape; `None` when the rank is not known.
    pub shape: Option<Shape>,
}

/// `TypeProto.value`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TypeKind {
    /// A dense tensor.
    Tensor(TensorType),
    /// A sparse tensor.
    SparseTensor(TensorType),
    /// A sequence of values of one type.
    Sequence(Option<Box<Type>>),
    /// A value or nothing.
    Optional(Option<Box<Type>>),
    /// A map.
    Map {
        /// The key's element type.
        key: DataType,
        /// The value's type.
        value: Option<Box<Type>>,
    },
    /// An opaque type of some domain.
    Opaque {
        /// The domain.
        domain: Option<EcoString>,
        /// The name.
        name: Option<EcoString>,
    },
    /// No case of the union is set.
    None,
}

/// `TypeProto`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// Which type.
    pub kind: TypeKind,
    /// `TypeProto.denotation`.
    pub denotation: Option<EcoString>,
}

impl Type {
    /// A dense tensor; `dims` is `None` for an unknown rank.
    pub fn tensor(elem: DataType, dims: Option<Vec<Dim>>) -> Self {
        Type { kind: TypeKind::Tensor(TensorType { elem, shape: dims.map(Shape::new) }), denotation: None }
    }

    /// The tensor type, if it is a dense tensor.
    #[inline]
    pub fn as_tensor(&self) -> Option<&TensorType> {
        match &self.kind {
            TypeKind::Tensor(t) => Some(t),
            _ => None,
        }
    }

    /// The declared dims of a dense tensor.
    #[inline]
    pub fn dims(&self) -> Option<&[Dim]> {
        self.as_tensor()?.shape.as_ref().map(|s| s.dims.as_slice())
    }

    /// The element type of a dense tensor, if it is set.
    #[inline]
    pub fn elem(&self) -> Option<DataType> {
        self.as_tensor().map(|t| t.elem).filter(|e| *e != DataType::UNDEFINED)
    }

    /// Applies `f` to every dim in this type, nested ones included; true when any changed.
    pub fn map_dims(&mut self, f: &mut dyn FnMut(&Dim) -> Option<Dim>) -> bool {
        let mut changed = false;
        let mut at = Some(self);
        while let Some(t) = at {
            at = match &mut t.kind {
                TypeKind::Tensor(t) | TypeKind::SparseTensor(t) => {
                    for d in t.shape.iter_mut().flat_map(|s| &mut s.dims) {
                        if let Some(new) = f(d)
                            && new != *d
                        {
                            *d = new;
                            changed = true;
                        }
                    }
                    None
                }
                TypeKind::Sequence(e) | TypeKind::Optional(e) | TypeKind::Map { value: e, .. } => {
                    e.as_deref_mut()
                }
                TypeKind::Opaque { .. } | TypeKind::None => None,
            };
        }
        changed
    }
}
