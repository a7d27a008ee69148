//! IR to bytes.

use bytes::Bytes;

use super::attributes::{Absent, absent};
use super::encode_parts::{opsets, pairs, rest, said_str, sparse_tensor, tensor, ty, value_info};
use super::plan::Plan;
use super::rope::Rope;
use super::wire::{Fields, all_within, rewritten, split_field, within};
use crate::model::*;
use crate::{AttrValue, Attribute, Error, GraphId, MAX_NESTED_GRAPHS, ValueId};

/// How much of the source is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// What did not change is written as it was read, byte for byte.
    #[default]
    Verbatim,
    /// Every message is encoded anew from the IR, also what did not change. For tests of the codec: the
    /// result must equal the source field by field.
    Anew,
}

/// How messages are written.
#[derive(Clone, Copy)]
pub(crate) struct How<'p> {
    /// Spans of what did not change are copied.
    pub verbatim: bool,
    /// Tensors whose contents go to another place than they came from.
    pub plan: &'p Plan,
}

/// Writes the model as pieces.
pub(crate) fn model(m: &Model, encoding: Encoding, plan: &Plan) -> Result<Rope, Error> {
    let base = m.source.as_ref().map(|s| s.bytes().clone()).unwrap_or_default();
    let mut rope = Rope::new(base.clone());
    if m.revision == 0 && encoding == Encoding::Verbatim && plan.is_empty() && !base.is_empty() {
        rope.splice(&base);
        rope.finish();
        return Ok(rope);
    }
    rope.reserve();
    let mut e = Encoder { m, rope, how: How { verbatim: encoding == Encoding::Verbatim, plan } };
    e.model()?;
    e.rope.finish();
    Ok(e.rope)
}

struct Encoder<'m> {
    m: &'m Model,
    rope: Rope,
    how: How<'m>,
}

impl<'m> Encoder<'m> {
    fn name(&self, v: Option<ValueId>) -> &'m str {
        v.map_or("", |v| self.m.name(v))
    }

    fn model(&mut self) -> Result<(), Error> {
        let m = self.m;
        let h = &m.header;
        if let Some(v) = h.ir_version {
            self.rope.int(1, v);
        }
        self.rope.opt_str(2, h.producer_name.as_deref());
        self.rope.opt_str(3, h.producer_version.as_deref());
        self.rope.opt_str(4, h.domain.as_deref());
        if let Some(v) = h.model_version {
            self.rope.int(5, v);
        }
        self.rope.opt_str(6, h.doc.as_deref());
        let mark = self.rope.begin(7);
        self.graph(m.main, 0)?;
        self.rope.end(mark);
        opsets(&mut self.rope, 8, &h.opset_imports, &h.odd_imports);
        pairs(&mut self.rope, 14, &h.metadata);
        for t in &m.training {
            let mark = self.rope.begin(20);
            self.training(t)?;
            self.rope.end(mark);
        }
        for (id, f) in m.functions() {
            if self.how.verbatim && !f.src.is_empty() && !self.how.plan.touches_function(id) {
                self.rope.field(25, &f.src);
            } else {
                let mark = self.rope.begin(25);
                self.function(f)?;
                self.rope.end(mark);
            }
        }
        for c in &h.configurations {
            self.rope.field(26, c);
        }
        self.rope.raw(&h.rest);
        Ok(())
    }

    fn graph(&mut self, id: GraphId, nesting: usize) -> Result<(), Error> {
        if nesting > MAX_NESTED_GRAPHS {
            return Err(Error::Unwritable(format!(
                "graphs are nested more than {MAX_NESTED_GRAPHS} deep: ONNX readers stop there; inline the inner ones"
            )));
        }
        let g = self.m.graph(id);
        self.nodes(id, 1, nesting)?;
        self.rope.opt_str(2, g.name.as_deref());
        for &v in &g.initializers {
            if let Some(t) = &self.m.value(v).init {
                tensor(&mut self.rope, 5, t, Some(self.m.name(v)), self.how);
            }
        }
        self.rope.opt_str(10, g.doc.as_deref());
        for &v in &g.inputs {
            let name = self.m.name(v);
            match &self.m.value(v).info {
                Some(info) => value_info(&mut self.rope, 11, name, info, self.how),
                None => value_info(&mut self.rope, 11, name, &ValueInfo::default(), self.how),
            }
        }
        for o in &g.outputs {
            value_info(&mut self.rope, 12, self.m.name(o.value), &o.info, self.how);
        }
        self.value_infos(g, 13);
        for a in &g.annotations {
            if a.value.is_none_or(|v| self.m.is_live_value(v)) {
                self.annotation(a);
            }
        }
        for (v, t) in &g.sparse_initializers {
            sparse_tensor(&mut self.rope, 15, t, Some(self.m.name(*v)), self.how);
        }
        pairs(&mut self.rope, 16, &g.metadata);
        self.rope.raw(&g.rest);
        Ok(())
    }

    fn value_infos(&mut self, g: &Graph, number: u32) {
        for &v in &g.value_info {
            let value = self.m.value(v);
            if let Some(info) = value.info.as_ref().filter(|_| value.def != Def::Removed) {
                value_info(&mut self.rope, number, self.m.name(v), info, self.how);
            }
        }
        for (name, info) in &g.stale_info {
            value_info(&mut self.rope, number, name, info, self.how);
        }
    }

    fn nodes(&mut self, graph: GraphId, number: u32, nesting: usize) -> Result<(), Error> {
        let m = self.m;
        for (id, n) in m.nodes(graph) {
            if self.how.verbatim && !n.src.is_empty() && !self.how.plan.touches_node(id) {
                self.rope.field_at(number, n.src);
            } else {
                let mark = self.rope.begin(number);
                self.node(n, nesting)?;
                self.rope.end(mark);
            }
        }
        Ok(())
    }

    fn node(&mut self, n: &'m Node, nesting: usize) -> Result<(), Error> {
        for v in n.inputs() {
            self.rope.str(1, self.name(*v));
        }
        for v in n.outputs() {
            self.rope.str(2, self.name(*v));
        }
        self.rope.opt_str(3, n.name.as_deref());
        said_str(&mut self.rope, 4, n.op_type());
        for a in &n.attributes {
            self.attribute(5, a, nesting)?;
        }
        let rare = n.rare();
        self.rope.opt_str(6, rare.doc.as_deref());
        self.rope.opt_str(7, n.operator.raw_domain.as_deref());
        self.rope.opt_str(8, rare.overload.as_deref());
        pairs(&mut self.rope, 9, &rare.metadata);
        for d in &rare.devices {
            self.rope.bytes(10, d);
        }
        rest(&mut self.rope, &rare.rest, &[(4, !n.op_type().is_empty())]);
        Ok(())
    }

    fn attribute(&mut self, number: u32, a: &Attribute, nesting: usize) -> Result<(), Error> {
        let graphs = a.value.graphs();
        let placed = a.value.tensors().any(|t| self.how.plan.of(t).is_some());
        if self.how.verbatim && graphs.is_empty() && !placed && !a.src.is_empty() {
            self.rope.field(number, &a.src);
            return Ok(());
        }
        let mark = self.rope.begin(number);
        let absent = absent(a);
        said_str(&mut self.rope, 1, &a.name);
        match &a.value {
            _ if absent.value => {}
            AttrValue::Float(v) => self.rope.float(2, *v),
            AttrValue::Int(v) => self.rope.int(3, *v),
            AttrValue::String(v) => self.rope.shared(4, v),
            AttrValue::Tensor(t) => tensor(&mut self.rope, 5, t, None, self.how),
            AttrValue::Floats(v) => v.iter().for_each(|x| self.rope.float(7, *x)),
            AttrValue::Ints(v) => v.iter().for_each(|x| self.rope.int(8, *x)),
            AttrValue::Strings(v) => v.iter().for_each(|x| self.rope.shared(9, x)),
            AttrValue::Tensors(v) => v.iter().for_each(|t| tensor(&mut self.rope, 10, t, None, self.how)),
            AttrValue::Graph(_) | AttrValue::Graphs(_) => {
                let number = if matches!(a.value, AttrValue::Graph(_)) { 6 } else { 11 };
                for g in graphs {
                    let mark = self.rope.begin(number);
                    self.graph(*g, nesting + 1)?;
                    self.rope.end(mark);
                }
            }
            AttrValue::Type(t) => ty(&mut self.rope, 14, t, within(&source(&a.src), 14)),
            AttrValue::Types(v) => {
                let source = source(&a.src);
                let mut like = all_within(&source, 15);
                v.iter().for_each(|t| ty(&mut self.rope, 15, t, like.next().unwrap_or(&[])));
            }
            _ => {}
        }
        self.rope.opt_str(13, a.doc.as_deref());
        if a.value.kind() != 0 && !absent.kind {
            self.rope.int(20, i64::from(a.value.kind()));
        }
        match &a.value {
            AttrValue::Ref { name, .. } => self.rope.str(21, name),
            AttrValue::SparseTensor(t) => sparse_tensor(&mut self.rope, 22, t, None, self.how),
            AttrValue::SparseTensors(v) => {
                v.iter().for_each(|t| sparse_tensor(&mut self.rope, 23, t, None, self.how));
            }
            _ => {}
        }
        rest(&mut self.rope, &a.rest, &[(1, !a.name.is_empty())]);
        self.rope.end(mark);
        Ok(())
    }

    fn annotation(&mut self, a: &QuantAnnotation) {
        let mark = self.rope.begin(14);
        let name = a.value.map(|v| self.m.name(v)).or(a.dangling_name.as_deref());
        self.rope.opt_str(1, name);
        for (k, (key, v)) in a.params.iter().enumerate() {
            let (name, message) = (self.m.name(*v), a.messages.get(k).and_then(Option::as_deref));
            entry(&mut self.rope, 2, message, (Some(key), Some(name)));
        }
        pairs(&mut self.rope, 2, &a.dangling);
        self.rope.raw(&a.rest);
        self.rope.end(mark);
    }

    fn training(&mut self, t: &TrainingInfo) -> Result<(), Error> {
        for (number, g) in [(1, t.initialization), (2, t.algorithm)] {
            if let Some(g) = g {
                let mark = self.rope.begin(number);
                self.graph(g, 1)?;
                self.rope.end(mark);
            }
        }
        for (number, bindings) in [(3, &t.initialization_binding), (4, &t.update_binding)] {
            for b in bindings {
                let [key, value] = [&b.key, &b.value].map(|(name, v)| match v {
                    Some(v) => Some(self.m.name(*v)),
                    None => name.as_deref(),
                });
                entry(&mut self.rope, number, b.message.as_deref(), (key, value));
            }
        }
        self.rope.raw(&t.rest);
        Ok(())
    }

    fn function(&mut self, f: &'m Function) -> Result<(), Error> {
        let g = self.m.graph(f.graph);
        said_str(&mut self.rope, 1, &f.name);
        for &v in &g.inputs {
            self.rope.str(4, self.m.name(v));
        }
        for o in &g.outputs {
            self.rope.str(5, self.m.name(o.value));
        }
        for a in &f.attributes {
            self.rope.str(6, a);
        }
        self.nodes(f.graph, 7, 0)?;
        self.rope.opt_str(8, g.doc.as_deref());
        opsets(&mut self.rope, 9, &f.opset_imports, &f.odd_imports);
        self.rope.opt_str(10, f.domain.as_deref());
        for a in &f.attribute_defaults {
            self.attribute(11, a, 0)?;
        }
        // A function's inputs carry their declarations here too.
        for &v in &g.inputs {
            if let Some(info) = &self.m.value(v).info
                && !g.value_info.contains(&v)
            {
                value_info(&mut self.rope, 12, self.m.name(v), info, self.how);
            }
        }
        self.value_infos(g, 12);
        self.rope.opt_str(13, f.overload.as_deref());
        pairs(&mut self.rope, 14, &g.metadata);
        rest(&mut self.rope, &g.rest, &[(1, !f.name.is_empty())]);
        Ok(())
    }
}

/// A key-value pair whose texts may be other ones than in the `message` that it was read from.
fn entry(rope: &mut Rope, number: u32, message: Option<&[u8]>, (key, value): (Option<&str>, Option<&str>)) {
    let text = |number| if number == 1 { key } else { value };
    let kept = message.and_then(|m| {
        // Reading has seen that it can be walked.
        rewritten(m, |f| Ok(text(f.number).filter(|_| f.number < 3).map(|t| t.as_bytes().to_vec()))).ok()
    });
    match kept {
        Some(message) => rope.bytes(number, &message),
        None => {
            let mark = rope.begin(number);
            rope.opt_str(1, key);
            rope.opt_str(2, value);
            rope.end(mark);
        }
    }
}

/// The message that an element was read from; empty when made by us.
fn source(field: &Bytes) -> Bytes {
    if field.is_empty() { Bytes::new() } else { split_field(field).map(|f| f.1).unwrap_or_default() }
}

/// A model as one byte string.
pub(crate) fn to_bytes(m: &Model, encoding: Encoding) -> Result<Bytes, Error> {
    let plan = Plan::embedding(m)?;
    let rope = model(m, encoding, &plan)?;
    if rope.len() > MAX_MESSAGE {
        return Err(Error::Unwritable(format!(
            "{} bytes in one message; protobuf readers stop at 2 GiB: write it to a file, with external data",
            rope.len()
        )));
    }
    Ok(rope.concat().map_err(|e| Error::io("<external data>", e))?.into())
}

/// Protobuf readers take no message beyond this.
pub(crate) const MAX_MESSAGE: u64 = i32::MAX as u64;

/// Parts of a model as bytes, for the text's notes. What names it holds are the current ones.
pub(crate) struct Parts<'m>(Encoder<'m>);

impl<'m> Parts<'m> {
    /// `plan` is an empty one: what is outside of the model stays there.
    pub fn new(m: &'m Model, plan: &'m Plan) -> Self {
        Parts(Encoder { m, rope: Rope::new(Bytes::new()), how: How { verbatim: false, plan } })
    }

    /// What `write` writes, headers included.
    fn fields(
        &mut self,
        write: impl FnOnce(&mut Encoder<'m>) -> Result<(), Error>,
    ) -> Result<Vec<u8>, Error> {
        self.0.rope = Rope::new(Bytes::new());
        write(&mut self.0)?;
        self.0.rope.finish();
        self.0.rope.concat().map_err(|e| Error::io("the model's text", e))
    }

    /// The payload of the one message that `write` writes.
    fn payload(
        &mut self,
        write: impl FnOnce(&mut Encoder<'m>) -> Result<(), Error>,
    ) -> Result<Vec<u8>, Error> {
        let whole = Bytes::from(self.fields(write)?);
        Ok(split_field(&whole)?.1.to_vec())
    }

    /// An `AttributeProto`.
    pub fn attribute(&mut self, a: &Attribute, nesting: usize) -> Result<Vec<u8>, Error> {
        self.payload(|e| e.attribute(5, a, nesting))
    }

    /// A function's default as a field.
    pub fn attribute_default(&mut self, a: &Attribute) -> Result<Vec<u8>, Error> {
        self.fields(|e| e.attribute(11, a, 0))
    }

    /// A `TensorProto`; `name` is the initializer's.
    pub fn tensor(&mut self, t: &crate::Tensor, name: Option<&str>) -> Result<Vec<u8>, Error> {
        self.payload(|e| {
            tensor(&mut e.rope, 5, t, name, e.how);
            Ok(())
        })
    }

    /// The `TypeProto` of a declaration that a text cannot carry: one that is not `carried`, or that has
    /// fields which the schema does not know.
    pub fn unusual_type(&mut self, d: &Declared, carried: bool) -> Result<Option<Vec<u8>>, Error> {
        let anew = self.payload(|e| {
            ty(&mut e.rope, 2, &d.ty, &d.odd);
            Ok(())
        })?;
        Ok((!carried || !d.odd.is_empty()).then_some(anew))
    }

    /// What an attribute was read without.
    pub fn absent(&self, a: &Attribute) -> Absent {
        absent(a)
    }

    /// Whether the type that an attribute holds has fields which the schema does not know.
    pub fn has_odd_type(&self, a: &Attribute) -> bool {
        let (source, mut odd) = (source(&a.src), false);
        let mut fields = Fields::new(&source);
        while let Ok(Some(f)) = fields.next() {
            if f.number == 14 {
                // Reading has seen that it is one.
                let _ = super::parts::ty(&f, 0, &mut odd);
            }
        }
        odd
    }

    /// A graph's sparse initializer as a field.
    pub fn sparse_initializer(&mut self, name: &str, t: &crate::SparseTensor) -> Result<Vec<u8>, Error> {
        self.fields(|e| {
            sparse_tensor(&mut e.rope, 15, t, Some(name), e.how);
            Ok(())
        })
    }

    /// A graph's quantization annotation as a field.
    pub fn annotation(&mut self, a: &QuantAnnotation) -> Result<Vec<u8>, Error> {
        self.fields(|e| {
            e.annotation(a);
            Ok(())
        })
    }

    /// A model's training information as a field.
    pub fn training(&mut self, t: &TrainingInfo) -> Result<Vec<u8>, Error> {
        self.fields(|e| {
            let mark = e.rope.begin(20);
            e.training(t)?;
            e.rope.end(mark);
            Ok(())
        })
    }

    /// A node's device configurations as fields.
    pub fn devices(&mut self, n: &Node) -> Result<Vec<u8>, Error> {
        self.fields(|e| {
            n.rare().devices.iter().for_each(|d| e.rope.bytes(10, d));
            Ok(())
        })
    }
}
