//! Hashes of what a node is and computes, whatever its names.
//!
//! The hash of a value says everything above it (operators, attributes, weights, inputs), the hash of a node's
//! readers everything below it. Two nodes with one hash from above compute the same.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use onnx_pass_ir::{
    AttrValue, Attribute, Def, GraphId, GraphOwner, MAX_NESTED_GRAPHS, Model, NodeId, Tensor, TensorData,
    Use, ValueId, canonical_domain,
};

/// A hash: 128 bits, enough that no two different things meet.
pub(crate) type Hash = u128;

/// Collects what a hash is made of; every part is preceded by its length, so that parts cannot run together. Most are
/// short, and hashing them at once is several times faster than bit by bit.
struct Mix(Vec<u8>);

impl Mix {
    fn new(kind: &str) -> Self {
        Mix(Vec::with_capacity(128)).text(kind)
    }

    fn bytes(mut self, b: &[u8]) -> Self {
        self.0.extend_from_slice(&(b.len() as u64).to_le_bytes());
        self.0.extend_from_slice(b);
        self
    }

    fn text(self, s: &str) -> Self {
        self.bytes(s.as_bytes())
    }

    fn number(self, n: i64) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    fn hash(self, h: Hash) -> Self {
        self.bytes(&h.to_le_bytes())
    }

    fn done(self) -> Hash {
        let whole: [u8; 32] = *blake3::hash(&self.0).as_bytes();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        Hash::from_le_bytes(half)
    }
}

/// How weights in files beside the models are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum External {
    /// By file and place: both models refer to the same files, so that nothing needs to be read.
    Place,
    /// By file and place, since a file cannot be read.
    Missing,
    /// By contents.
    Contents,
}

impl External {
    /// By place when the two models share all the files that they refer to, or one of these cannot be read.
    pub fn between(a: &Model, b: &Model) -> Self {
        match (files(a), files(b)) {
            (Some(a), Some(b)) if a == b => External::Place,
            (Some(_), Some(_)) => External::Contents,
            _ => External::Missing,
        }
    }
}

/// The files beside the model, as it names them and as they are found; `None` when one cannot be read.
fn files(m: &Model) -> Option<HashSet<(String, PathBuf)>> {
    let mut names = HashMap::new();
    for t in all_tensors(m) {
        if let TensorData::External(e) = &t.data {
            names.entry((&e.location, &e.root.folder)).or_insert(e);
        }
    }
    let found = names.into_values().map(|e| {
        let file = e.path("").ok()?.canonicalize().ok()?;
        Some((e.location.to_string(), file))
    });
    found.collect()
}

/// The tensors of initializers and attributes.
fn all_tensors(m: &Model) -> impl Iterator<Item = &Tensor> {
    let of_values = m.values().filter_map(|(_, v)| v.initializer());
    let nodes = super::all_nodes(m).into_iter().flat_map(|n| m.node(n).attributes());
    let of_nodes = nodes.flat_map(|a| match &a.value {
        AttrValue::Tensor(t) => std::slice::from_ref(t),
        AttrValue::Tensors(list) => list.as_slice(),
        _ => &[],
    });
    of_values.chain(of_nodes).map(AsRef::as_ref)
}

/// The hash of a tensor's type, shape and contents. Contents that cannot be read are taken by their place.
pub(crate) fn tensor(t: &Tensor, external: External) -> Hash {
    let mut mix = Mix::new("tensor").number(i64::from(t.dtype.0));
    for d in &t.dims {
        mix = mix.number(*d);
    }
    let by_place = |mix: Mix, e: &onnx_pass_ir::External| {
        let length = e.length.map_or(-1, |l| l as i64);
        mix.text(&e.location).number(e.offset as i64).number(length).done()
    };
    match &t.data {
        TensorData::External(e) if external != External::Contents => by_place(mix, e),
        data => match (t.content_hash(), data) {
            (Ok(h), _) => mix.bytes(&h).done(),
            (Err(_), TensorData::External(e)) => by_place(mix, e),
            (Err(_), _) => mix.text("no contents").done(),
        },
    }
}

/// One hash of all that a model computes, in 32 hexadecimal digits: its interface, every node and weight, whatever
/// their names and order. Weights in files beside the model count by their place, so that none is read.
pub(crate) fn structure(m: &Model) -> String {
    let hashes = of(m, External::Place, &|v| m.name(v).to_owned());
    let mut mix = Mix::new("model");
    let main = m.graph(m.main());
    for v in main.inputs().iter().copied().chain(main.outputs().iter().map(|o| o.value())) {
        mix = mix.text(m.name(v)).text(&crate::report::border(m, v).ty).hash(hashes.value[v.index()]);
    }
    for o in &m.header().opset_imports {
        mix = mix.text(o.domain.as_deref().unwrap_or("")).number(o.version.unwrap_or(0));
    }
    let mut nodes: Vec<Hash> = super::all_nodes(m).into_iter().map(|n| hashes.down[n.index()]).collect();
    nodes.extend(super::initializers(m).into_iter().map(|v| hashes.value[v.index()]));
    nodes.sort_unstable();
    for h in nodes {
        mix = mix.hash(h);
    }
    format!("{:032x}", mix.done())
}

/// The hashes of one model.
pub(crate) struct Hashes {
    /// What a node is by itself: operator and attributes. By node.
    pub local: Vec<Hash>,
    /// What a node computes: itself and everything above. By node.
    pub down: Vec<Hash>,
    /// Who reads a node: itself and everything below. By node.
    pub up: Vec<Hash>,
    /// What a value is. By value; a constant is its contents, wherever they stand.
    pub value: Vec<Hash>,
    /// The contents of inputs that need not be given.
    pub defaults: HashMap<ValueId, Hash>,
}

/// Hashes a model. `input` names an input of the main graph: equal names are the same input.
pub(crate) fn of(m: &Model, external: External, input: &dyn Fn(ValueId) -> String) -> Hashes {
    let mut w = Walk {
        m,
        external,
        h: Hashes {
            local: vec![0; m.node_capacity()],
            down: vec![0; m.node_capacity()],
            up: vec![0; m.node_capacity()],
            value: vec![0; m.value_capacity()],
            defaults: HashMap::new(),
        },
    };
    for root in m.live_graphs() {
        let graph = m.graph(root);
        let kind = match graph.owner() {
            GraphOwner::Node(_) | GraphOwner::Detached => continue,
            GraphOwner::Main => "main".to_owned(),
            GraphOwner::Function(f) => format!("function {:?}", m.function(f).key()),
            GraphOwner::Training(i, algorithm) => format!("training {i} {algorithm}"),
        };
        for (i, v) in graph.inputs().iter().enumerate() {
            w.h.value[v.index()] = match m.constant(*v) {
                // Before IR 4 every weight is among the inputs.
                Some(t) => tensor(&t, external),
                None => {
                    let name = if root == m.main() { input(*v) } else { i.to_string() };
                    w.with_default(*v, Mix::new("input").text(&kind).text(&name).done())
                }
            };
        }
        w.graph(root, 0);
    }
    let order = super::all_nodes(m);
    for n in order.into_iter().rev() {
        w.up(n);
    }
    w.h
}

struct Walk<'m> {
    m: &'m Model,
    external: External,
    h: Hashes,
}

impl Walk<'_> {
    fn with_default(&mut self, v: ValueId, h: Hash) -> Hash {
        let Some(t) = self.m.value(v).initializer() else { return h };
        let contents = tensor(t, self.external);
        self.h.defaults.insert(v, contents);
        Mix::new("default").hash(h).hash(contents).done()
    }

    fn graph(&mut self, g: GraphId, nesting: usize) {
        let m = self.m;
        for v in m.graph(g).initializers() {
            if let (Def::Initializer, Some(t)) = (m.value(*v).def(), m.value(*v).initializer()) {
                self.h.value[v.index()] = tensor(t, self.external);
            }
        }
        for (v, t) in m.graph(g).sparse_initializers() {
            let indices = t.indices.as_ref().map_or(0, |i| tensor(i, self.external));
            let mix = Mix::new("sparse").hash(tensor(&t.values, self.external)).hash(indices);
            self.h.value[v.index()] = mix.text(&format!("{:?}", t.dims)).done();
        }
        for (id, _) in m.nodes(g) {
            self.down(id, nesting);
        }
    }

    fn down(&mut self, id: NodeId, nesting: usize) {
        let m = self.m;
        let n = m.node(id);
        if let (Some(t), Some(v)) = (m.constant_node(id), n.output(0)) {
            let hash = tensor(&t, self.external);
            (self.h.local[id.index()], self.h.down[id.index()]) = (hash, hash);
            self.h.value[v.index()] = hash;
            return;
        }
        let local = local(m, id, self.external);
        let mut mix = Mix::new("node").hash(local);
        for v in n.inputs() {
            mix = mix.hash(v.map_or(1, |v| self.h.value[v.index()]));
        }
        let mut hash = mix.done();
        for (k, g) in super::branches(m, id).into_iter().enumerate() {
            for (i, v) in m.graph(g).inputs().iter().enumerate() {
                let h = Mix::new("inner input").hash(hash).number(k as i64).number(i as i64).done();
                self.h.value[v.index()] = self.with_default(*v, h);
            }
            // A model deeper than any reader takes is told apart down to there.
            if nesting < MAX_NESTED_GRAPHS {
                self.graph(g, nesting + 1);
            }
            let mut mix = Mix::new("branch").hash(hash);
            for o in m.graph(g).outputs() {
                mix = mix.hash(self.h.value[o.value().index()]);
            }
            hash = mix.done();
        }
        (self.h.local[id.index()], self.h.down[id.index()]) = (local, hash);
        for (k, v) in n.outputs().iter().enumerate() {
            if let Some(v) = v {
                self.h.value[v.index()] = Mix::new("output").hash(hash).number(k as i64).done();
            }
        }
    }

    /// Needs every reader of the node done: they come after it, or are nodes around it.
    fn up(&mut self, id: NodeId) {
        let m = self.m;
        let mut mix = Mix::new("up").hash(self.h.local[id.index()]);
        for v in m.node(id).outputs() {
            let uses = v.map(|v| m.value(v).uses()).unwrap_or_default();
            let mut readers: Vec<Hash> = uses.iter().map(|u| self.reader(*u)).collect();
            readers.sort_unstable();
            mix = mix.number(readers.len() as i64);
            for r in readers {
                mix = mix.hash(r);
            }
        }
        self.h.up[id.index()] = mix.done();
    }

    fn reader(&self, u: Use) -> Hash {
        match u {
            Use::Node { node, slot } => {
                Mix::new("reader").hash(self.h.up[node.index()]).number(i64::from(slot)).done()
            }
            Use::Output { graph, index } => {
                let owner = match self.m.graph(graph).owner() {
                    GraphOwner::Node(n) => {
                        let k = super::branches(self.m, n).iter().position(|g| *g == graph).unwrap_or(0);
                        Mix::new("of node").hash(self.h.up[n.index()]).number(k as i64).done()
                    }
                    GraphOwner::Function(f) => {
                        Mix::new("of function").text(&format!("{:?}", self.m.function(f).key())).done()
                    }
                    _ => 0,
                };
                Mix::new("graph output").hash(owner).number(i64::from(index)).done()
            }
        }
    }
}

/// Operator and attributes of a node; the graphs in them are left to their nodes.
fn local(m: &Model, id: NodeId, external: External) -> Hash {
    let n = m.node(id);
    let mut mix = Mix::new("local").text(canonical_domain(n.domain())).text(n.op_type()).text(n.overload());
    mix = mix.number(n.inputs().len() as i64).number(n.outputs().len() as i64);
    let mut attributes: Vec<&Attribute> = n.attributes().iter().collect();
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    for a in attributes {
        mix = mix.text(&a.name).hash(attribute(&a.value, external));
    }
    mix.done()
}

/// The hash of an attribute's value.
pub(crate) fn attribute(v: &AttrValue, external: External) -> Hash {
    let mut mix = Mix::new("attribute").number(i64::from(v.kind()));
    match v {
        AttrValue::Float(f) => mix = mix.number(i64::from(f.to_bits())),
        AttrValue::Int(i) => mix = mix.number(*i),
        AttrValue::String(s) => mix = mix.bytes(s),
        AttrValue::Floats(v) => {
            for f in v {
                mix = mix.number(i64::from(f.to_bits()));
            }
        }
        AttrValue::Ints(v) => {
            for i in v {
                mix = mix.number(*i);
            }
        }
        AttrValue::Strings(v) => {
            for s in v {
                mix = mix.bytes(s);
            }
        }
        AttrValue::Tensor(t) => mix = mix.hash(tensor(t, external)),
        AttrValue::Tensors(v) => {
            for t in v {
                mix = mix.hash(tensor(t, external));
            }
        }
        AttrValue::SparseTensor(t) => {
            let indices = t.indices.as_ref().map_or(0, |i| tensor(i, external));
            mix = mix.hash(tensor(&t.values, external)).hash(indices).text(&format!("{:?}", t.dims));
        }
        AttrValue::Graph(_) | AttrValue::Graphs(_) => mix = mix.number(v.graphs().len() as i64),
        other => mix = mix.text(&format!("{other:?}")),
    }
    mix.done()
}
