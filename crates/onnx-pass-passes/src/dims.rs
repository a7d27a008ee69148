//! The symbols that a model declares: where they occur, and putting something in their place.

use indexmap::IndexMap;
use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Dim, EcoString, GraphId, Model, Type, TypeKind, ValueId};

/// How many places of a symbol are remembered for messages.
const PLACES: usize = 6;

/// Where a symbol occurs among the declared dims.
#[derive(Clone, Debug, Default)]
pub struct Occurrences {
    /// The first few places, as a message names them: `input_ids[1]`.
    pub places: Vec<String>,
    /// How many there are.
    pub count: usize,
}

impl Occurrences {
    fn add(&mut self, name: &str, axis: usize) {
        self.count += 1;
        if self.places.len() < PLACES {
            self.places.push(format!("`{name}[{axis}]`"));
        }
    }

    /// The places as text.
    pub fn list(&self) -> String {
        let more = self.count.saturating_sub(self.places.len());
        let places = self.places.join(", ");
        if more > 0 { format!("{places} and {more} more") } else { places }
    }
}

/// Every symbol that a declared dim mentions, with where: inputs first, then outputs, then inner values, in the
/// order of the file.
pub fn symbols(model: &Model) -> IndexMap<EcoString, Occurrences> {
    let mut found = IndexMap::new();
    let graphs = model.live_graphs();
    for &g in &graphs {
        for &v in model.graph(g).inputs() {
            collect(model.name(v), model.value(v).info().and_then(|i| i.ty()), &mut found);
        }
    }
    for &g in &graphs {
        for o in model.graph(g).outputs() {
            collect(model.name(o.value()), o.info.ty(), &mut found);
        }
    }
    for &g in &graphs {
        for &v in model.graph(g).value_info() {
            collect(model.name(v), model.value(v).info().and_then(|i| i.ty()), &mut found);
        }
    }
    found
}

/// The symbols that the inputs of the main graph declare, with where.
pub fn input_symbols(model: &Model) -> IndexMap<EcoString, Occurrences> {
    let mut found = IndexMap::new();
    for &v in model.graph(model.main()).inputs() {
        collect(model.name(v), model.declared_type(v), &mut found);
    }
    found
}

fn collect(name: &str, ty: Option<&Type>, found: &mut IndexMap<EcoString, Occurrences>) {
    for (axis, dim) in dims_of(ty).iter().enumerate() {
        for symbol in dim.to_expr().map(|e| e.symbols()).unwrap_or_default() {
            found.entry(symbol).or_default().add(name, axis);
        }
    }
}

/// The declared dims of a tensor, or of the tensors in a sequence or an optional.
fn dims_of(ty: Option<&Type>) -> &[Dim] {
    let mut at = ty;
    while let Some(t) = at {
        at = match &t.kind {
            TypeKind::Tensor(t) | TypeKind::SparseTensor(t) => {
                return t.shape.as_ref().map(|s| s.dims.as_slice()).unwrap_or_default();
            }
            TypeKind::Sequence(e) | TypeKind::Optional(e) | TypeKind::Map { value: e, .. } => e.as_deref(),
            TypeKind::Opaque { .. } | TypeKind::None => None,
        };
    }
    &[]
}

/// Puts expressions in the place of symbols, in every declared dim of every graph. Gives how many declarations
/// changed. A dim that mentions none of them stays as it is written.
pub fn substitute(model: &mut Model, with: &dyn Fn(&str) -> Option<Expr>) -> usize {
    let mut change = |dim: &Dim| {
        let e = dim.symbol().map(Expr::parse_dim)?;
        e.symbols().iter().any(|s| with(s).is_some()).then(|| Dim::from_expr(&e.substitute(with)))
    };
    let graphs: Vec<GraphId> = model.live_graphs();
    graphs.into_iter().map(|g| model.map_dims(g, &mut change)).sum()
}

/// Declares one axis of an input, where the file says nothing of it.
pub fn declare_axis(model: &mut Model, input: ValueId, axis: usize, dim: Dim) -> bool {
    let Some(mut ty) = model.declared_type(input).cloned() else { return false };
    let TypeKind::Tensor(t) = &mut ty.kind else { return false };
    let Some(slot) = t.shape.as_mut().and_then(|s| s.dims.get_mut(axis)) else { return false };
    *slot = dim;
    model.set_type(input, ty);
    true
}

/// Whether the text is read back as this symbol when it stands in a `dim_param`.
pub fn is_symbol(name: &str) -> bool {
    !name.is_empty() && Expr::parse_dim(name).as_symbol() == Some(name)
}
