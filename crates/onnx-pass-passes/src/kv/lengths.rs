//! Lengths: putting one symbol for another in every declaration, and reading a dim from an input that has it.

use std::sync::Arc;

use indexmap::IndexSet;
use onnx_pass_ir::sym::{Build, Expr};
use onnx_pass_ir::{
    Attribute, DataType, Dim, EcoString, Model, NewNode, NodeId, Place, Tensor, TensorData, ValueId,
};

use rustc_hash::FxHashMap;

use super::discover::Inputs;
use crate::analysis::Analysis;

/// Puts expressions for symbols in every declared dim of the model. Gives how many declarations changed.
pub fn substitute(m: &mut Model, f: &dyn Fn(&str) -> Option<Expr>) -> usize {
    let mut changed = 0;
    for g in m.live_graphs() {
        changed += m.map_dims(g, &mut |d| {
            let Dim::Symbol(text) = d else { return None };
            let e = Expr::parse_dim(text);
            if !e.symbols().iter().any(|s| f(s).is_some()) {
                return None;
            }
            Some(Dim::from_expr(&e.substitute(f)))
        });
    }
    changed
}

/// Forgets declared dims that are sums of these lengths and would become numbers: `past + 1` for what is past + chunk,
/// copied from an input to all that is made of it. Where such a dim is right, the graph tells.
pub fn forget_fixed(m: &mut Model, put: &FxHashMap<String, Expr>) {
    for g in m.live_graphs() {
        m.map_dims(g, &mut |d| {
            let Dim::Symbol(text) = d else { return None };
            let e = Expr::parse_dim(text);
            let fixed = e.as_symbol().is_none() && e.substitute(&|s| put.get(s).cloned()).is_const();
            (fixed && !e.is_const()).then_some(Dim::Unknown)
        });
    }
}

/// The inputs of the main graph that tell lengths.
pub struct Sources<'a> {
    /// What is known.
    pub analysis: &'a Analysis,
    /// For each length, the first input and axis that has it.
    tell: FxHashMap<&'a Expr, (ValueId, usize)>,
}

impl<'a> Sources<'a> {
    /// All inputs but those with defaults and those of `except`, which are about to go.
    pub fn new(m: &Model, analysis: &'a Analysis, except: &Inputs) -> Self {
        let mut tell = FxHashMap::default();
        for &v in m.graph(m.main()).inputs() {
            if except.contains(&v) || m.value(v).initializer().is_some() {
                continue;
            }
            for (axis, length) in analysis.shape(v).unwrap_or_default().iter().enumerate() {
                tell.entry(length).or_insert((v, axis));
            }
        }
        Sources { analysis, tell }
    }

    /// The input and the axis whose length is this.
    pub fn of(&self, length: &Expr) -> Option<(ValueId, usize)> {
        self.tell.get(length).copied()
    }
}

/// Builds dims as the graph runs, at the start of the main graph.
pub struct Dims<'a> {
    /// Where lengths are read from.
    pub sources: &'a Sources<'a>,
    /// What was read from where, for the report: the symbol, and the input.
    pub reads: IndexSet<(String, ValueId)>,
    /// The node that was put in last.
    last: Option<NodeId>,
}

impl<'a> Dims<'a> {
    /// A builder.
    pub fn new(sources: &'a Sources<'a>) -> Self {
        Dims { sources, reads: IndexSet::new(), last: None }
    }

    /// A one-dimensional int64 tensor of these dims; `None` when one of them is given by no input that stays.
    pub fn vector(&mut self, m: &mut Model, dims: &[Expr]) -> Option<ValueId> {
        let main = m.main();
        if let Some(known) = dims.iter().map(Expr::as_const).collect::<Option<Vec<i64>>>() {
            return Some(m.add_initializer(main, "dims", Tensor::int64_vec(&known).shared()));
        }
        let parts: Option<Vec<ValueId>> = dims.iter().map(|d| self.one(m, d)).collect();
        let parts = parts?;
        if let [one] = parts.as_slice() {
            return Some(*one);
        }
        let node = NewNode::new("Concat", &parts, "dims").attr(Attribute::int("axis", 0));
        self.add(m, node)
    }

    /// A tensor of rank 0.
    pub fn scalar(&mut self, m: &mut Model, dim: &Expr) -> Option<ValueId> {
        let main = m.main();
        if let Some(n) = dim.as_const() {
            return Some(m.add_initializer(main, "dim", Tensor::int64(&[], &[n]).shared()));
        }
        let vector = self.one(m, dim)?;
        let index = m.add_initializer(main, "first", Tensor::int64(&[], &[0]).shared());
        self.add(m, NewNode::new("Gather", &[vector, index], "dim").attr(Attribute::int("axis", 0)))
    }

    fn add(&mut self, m: &mut Model, node: NewNode) -> Option<ValueId> {
        let place = self.last.map_or(Place::Start(m.main()), Place::After);
        let id = m.add_node(place, node);
        self.last = Some(id);
        m.node(id).output(0)
    }

    /// A tensor of one element: read from an input that has the length, or computed from such reads.
    fn one(&mut self, m: &mut Model, dim: &Expr) -> Option<ValueId> {
        if let Some(n) = dim.as_const() {
            let main = m.main();
            return Some(m.add_initializer(main, "dim", Tensor::int64_vec(&[n]).shared()));
        }
        if let Some((input, axis)) = self.sources.of(dim) {
            return self.read_once(m, dim, input, axis);
        }
        // Another name of the same length, else piece by piece.
        let plain = self.sources.analysis.symbols.simplify(dim);
        if plain != *dim {
            return self.one(m, &plain);
        }
        if dim.as_symbol().is_some() {
            return None;
        }
        dim.build(&mut Nodes { dims: self, model: m })
    }

    fn read_once(&mut self, m: &mut Model, dim: &Expr, input: ValueId, axis: usize) -> Option<ValueId> {
        self.reads.insert((dim.to_string(), input));
        self.read(m, input, axis)
    }

    fn read(&mut self, m: &mut Model, input: ValueId, axis: usize) -> Option<ValueId> {
        let main = m.main();
        let axis = axis as i64;
        if m.opset(main, "").is_some_and(|v| v >= 15) {
            let node = NewNode::new("Shape", &[input], "dim")
                .attr(Attribute::int("start", axis))
                .attr(Attribute::int("end", axis + 1));
            return self.add(m, node);
        }
        let shape = self.add(m, NewNode::new("Shape", &[input], "shape"))?;
        let index = m.add_initializer(main, "axis", Tensor::int64_vec(&[axis]).shared());
        self.add(m, NewNode::new("Gather", &[shape, index], "dim").attr(Attribute::int("axis", 0)))
    }

    /// A tensor of zeros with these dims.
    pub fn zeros(&mut self, m: &mut Model, dtype: DataType, dims: &[Expr], name: &str) -> Option<ValueId> {
        let main = m.main();
        let known: Option<Vec<i64>> = dims.iter().map(Expr::as_const).collect();
        if let Some(known) = &known {
            let count = known.iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(*d).ok()?))?;
            let bytes = dtype.byte_len(count)?;
            if bytes <= 1024 {
                let t = Tensor::from_raw(dtype, known, vec![0u8; bytes]).ok()?;
                return Some(m.add_initializer(main, name, t.shared()));
            }
        }
        let shape = self.vector(m, dims)?;
        let zero = Tensor::with_data(dtype, &[1], TensorData::Raw(vec![0u8; dtype.byte_len(1)?].into()));
        let zero = Attribute::new("value", onnx_pass_ir::AttrValue::Tensor(Arc::new(zero)));
        self.add(m, NewNode::new("ConstantOfShape", &[shape], name).attr(zero))
    }
}

/// Builds a length as nodes over tensors of one element.
struct Nodes<'d, 'a, 'm> {
    dims: &'d mut Dims<'a>,
    model: &'m mut Model,
}

impl Nodes<'_, '_, '_> {
    fn op(&mut self, op: &str, a: ValueId, b: ValueId) -> Option<ValueId> {
        self.dims.add(self.model, NewNode::new(op, &[a, b], "length"))
    }
}

impl Build for Nodes<'_, '_, '_> {
    type Out = ValueId;

    fn constant(&mut self, value: i64) -> Option<ValueId> {
        let main = self.model.main();
        Some(self.model.add_initializer(main, "length", Tensor::int64_vec(&[value]).shared()))
    }

    fn symbol(&mut self, name: &str) -> Option<ValueId> {
        let e = Expr::symbol(name);
        let (input, axis) = self.dims.sources.of(&e)?;
        self.dims.read_once(self.model, &e, input, axis)
    }

    fn add(&mut self, a: ValueId, b: ValueId) -> Option<ValueId> {
        self.op("Add", a, b)
    }

    fn mul(&mut self, a: ValueId, b: ValueId) -> Option<ValueId> {
        self.op("Mul", a, b)
    }

    fn floor_div(&mut self, (n, d): (&Expr, &Expr), a: ValueId, b: ValueId) -> Option<ValueId> {
        // ONNX divides towards zero, which is down only for what is not negative.
        (n.is_nonneg() && d.is_nonneg()).then(|| self.op("Div", a, b)).flatten()
    }

    fn min(&mut self, a: ValueId, b: ValueId) -> Option<ValueId> {
        self.op("Min", a, b)
    }

    fn max(&mut self, a: ValueId, b: ValueId) -> Option<ValueId> {
        self.op("Max", a, b)
    }
}

/// The symbols in the declared dims of the main graph's inputs.
pub fn input_symbols(m: &Model) -> std::collections::BTreeSet<EcoString> {
    let inputs = m.graph(m.main()).inputs();
    let types = inputs.iter().filter_map(|v| m.declared_type(*v)?.dims());
    types.flatten().filter_map(Dim::to_expr).flat_map(|e| e.symbols()).collect()
}
