//! Bytes to IR.

use std::sync::Arc;

use bytes::Bytes;
use ecow::{EcoString, EcoVec};
use rustc_hash::FxHashMap;

use super::bad::{At, Bad, Outcome};
use super::devices;
use super::parts::{Context, Rest, Types, opset, pair, pairs};
use super::scope::{Recent, Scope};
use super::wire::{Field, Fields, Run};
use crate::external::ExternalRoot;
use crate::model::*;
use crate::{AttrValue, Error, FunctionId, GraphId, MAX_NESTED_GRAPHS, NodeId, ValueId};

/// Reads a model from the bytes of a file.
pub(crate) fn model(base: &Bytes, root: Arc<ExternalRoot>) -> Result<Model, Error> {
    let mut d = Decoder {
        cx: Context { base: base.clone(), root },
        model: Model::empty(),
        interned: FxHashMap::default(),
        operators: FxHashMap::default(),
        types: Types::default(),
        scopes: Vec::new(),
        recent: Recent::default(),
        following: 0,
        unique_names: true,
        sound: true,
    };
    d.model(base)?;
    d.model.unique_names = d.unique_names;
    d.model.read_sound = d.unique_names && d.sound;
    Ok(d.model)
}

pub(super) struct Decoder<'a> {
    pub(super) cx: Context,
    pub(super) model: Model,
    interned: FxHashMap<&'a str, EcoString>,
    operators: FxHashMap<(&'a str, Option<&'a str>), Arc<Operator>>,
    types: Types<'a>,
    /// The names of each enclosing graph, innermost last.
    scopes: Vec<Scope>,
    recent: Recent,
    /// The value after the last one that was not recent: weights mostly stand in the order in which they are used.
    following: usize,
    /// No graph had a name twice so far, and no value none.
    unique_names: bool,
    /// Everything was defined before it was used so far.
    sound: bool,
}

/// The fields of a graph or function body, sorted by kind; of those of which there are many only where they are.
#[derive(Default)]
struct Body<'a> {
    nodes: Run<'a>,
    inputs: Vec<Field<'a>>,
    outputs: Vec<Field<'a>>,
    initializers: Vec<Field<'a>>,
    sparse: Vec<Field<'a>>,
    value_info: Run<'a>,
    annotations: Vec<Field<'a>>,
}

/// What the nodes of a graph leave to be settled when all are known.
#[derive(Default)]
struct Open<'a> {
    /// Inputs that no node before has made: node, slot, name.
    names: Vec<(NodeId, u32, &'a str)>,
    graphs: Vec<PendingGraph<'a>>,
}

/// A graph in an attribute, to be read once the names around it are known.
struct PendingGraph<'a> {
    node: NodeId,
    attribute: usize,
    index: usize,
    payload: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(super) fn intern(&mut self, s: &'a str) -> EcoString {
        if s.len() <= EcoString::INLINE_LIMIT {
            return EcoString::inline(s);
        }
        self.interned.entry(s).or_insert_with(|| s.into()).clone()
    }

    fn model(&mut self, bytes: &'a [u8]) -> Outcome<()> {
        let mut fields = Fields::new(bytes);
        let (mut rest, mut graph, mut functions, mut training) =
            (Rest::default(), None, Vec::new(), Vec::new());
        let mut h = Header::default();
        while let Some(f) = fields.next()? {
            match f.number {
                1 => h.ir_version = Some(f.int()?),
                2 => h.producer_name = Some(f.str()?.into()),
                3 => h.producer_version = Some(f.str()?.into()),
                4 => h.domain = Some(f.str()?.into()),
                5 => h.model_version = Some(f.int()?),
                6 => h.doc = Some(f.str()?.into()),
                7 if graph.is_some() => return Err("two graphs in one model".into()),
                7 => graph = Some(f.len()?),
                8 => {
                    let (imports, odd) = (&mut h.opset_imports, &mut h.odd_imports);
                    opset(imports, odd, &f).at(|| "opset_import".into())?;
                }
                14 => pairs(&mut h.metadata, &f).at(|| "metadata_props".into())?,
                20 => training.push(f),
                25 => functions.push(f),
                26 => h.configurations.push(self.cx.slice(f.whole)),
                _ => rest.push(&f),
            }
        }
        h.rest = rest.take();
        self.model.header = h;
        let graph = graph.ok_or("no graph: not an ONNX model, or cut short")?;
        let main = self.model.main;
        self.scopes.push(Scope::default());
        self.graph(graph, main, 0).at(|| "graph".into())?;
        for (i, t) in training.iter().enumerate() {
            self.training(t, i).at(|| format!("training_info[{i}]"))?;
        }
        self.leave();
        for (i, f) in functions.iter().enumerate() {
            self.function(f).at(|| format!("functions[{i}]"))?;
        }
        Ok(())
    }

    /// Reads a graph into `id`, whose scope is the innermost one.
    fn graph(&mut self, bytes: &'a [u8], id: GraphId, nesting: usize) -> Outcome<()> {
        let mut fields = Fields::new(bytes);
        let (mut body, mut rest) = (Body::default(), Rest::default());
        let (mut name, mut doc, mut metadata) = (None, None, Metadata::new());
        let mut f = Field::none();
        while fields.read(&mut f)? {
            match f.number {
                1 => body.nodes.add(bytes, &fields, &f),
                2 => name = Some(f.str()?.into()),
                5 => body.initializers.push(f),
                10 => doc = Some(f.str()?.into()),
                11 => body.inputs.push(f),
                12 => body.outputs.push(f),
                13 => body.value_info.add(bytes, &fields, &f),
                14 => body.annotations.push(f),
                15 => body.sparse.push(f),
                16 => pairs(&mut metadata, &f)?,
                _ => rest.push(&f),
            }
        }
        let g = &mut self.model.graphs[id.index()];
        (g.name, g.doc, g.metadata, g.rest) = (name, doc, metadata, rest.take());
        for (i, f) in body.inputs.iter().enumerate() {
            let (name, info) = self.cx.value_info(f, &mut self.types).at(|| format!("input[{i}]"))?;
            let v = self.define(id, name, Def::Input);
            self.model.values[v.index()].info = Some(Box::new(info));
            self.model.graphs[id.index()].inputs.push(v);
        }
        self.initializers(&body, id)?;
        self.nodes(body.nodes, id, nesting)?;
        for (i, f) in body.outputs.iter().enumerate() {
            let (name, info) = self.cx.value_info(f, &mut self.types).at(|| format!("output[{i}]"))?;
            let v = self.resolve(id, name);
            self.model.push_output_raw(id, v, info);
        }
        self.value_infos(body.value_info, id)?;
        for (i, f) in body.annotations.iter().enumerate() {
            self.annotation(f, id).at(|| format!("quantization_annotation[{i}]"))?;
        }
        Ok(())
    }

    /// The value that `name` means in the innermost scope itself.
    #[inline]
    fn here(&mut self, key: u64, name: &str) -> Option<ValueId> {
        self.scopes.last_mut()?.get(&self.model.values, key, name)
    }

    /// Whether `name`, in a graph, means the value at `guess`, as far as that can be told without a look at the others.
    #[inline]
    fn is_at(&self, guess: usize, graph: GraphId, name: &str) -> bool {
        // No other value of the graph has this name.
        self.model.values.get(guess).is_some_and(|v| v.name == name && v.graph == graph) && self.unique_names
    }

    /// As [`Decoder::here`], for a name that is likely to be that of the value at `guess`: what a node reads was often
    /// made just before it, and declarations mostly stand in the order of the values.
    #[inline]
    fn here_or_at(&mut self, guess: usize, graph: GraphId, name: &str) -> Option<ValueId> {
        if self.is_at(guess, graph, name) {
            return Some(ValueId::new(guess));
        }
        let key = hash_of(name);
        let recent = self.recent.get(key);
        if self.is_at(recent.index(), graph, name) {
            return Some(recent);
        }
        let found = if self.is_at(self.following, graph, name) {
            ValueId::new(self.following)
        } else {
            self.here(key, name)?
        };
        self.following = found.index() + 1;
        self.recent.set(key, found);
        Some(found)
    }

    fn define(&mut self, graph: GraphId, name: &'a str, def: Def) -> ValueId {
        let v = self.model.new_value_raw(graph, name.into(), def);
        self.sound &= def != Def::Undefined;
        if name.is_empty() {
            self.unique_names = false;
        } else if let Some(scope) = self.scopes.last_mut() {
            let key = hash_of(name);
            scope.enter(key, v);
            self.recent.set(key, v);
        }
        v
    }

    /// Leaves the innermost scope, all of whose names are known.
    fn leave(&mut self) -> Option<Scope> {
        let mut scope = self.scopes.pop()?;
        self.unique_names &= scope.settle(&self.model.values);
        Some(scope)
    }

    /// The value that `name` means in the innermost scope; an unknown name becomes a value that nothing
    /// defines, which `verify` reports.
    fn resolve(&mut self, graph: GraphId, name: &'a str) -> ValueId {
        if let Some(v) = self.lookup(name) {
            return v;
        }
        self.define(graph, name, Def::Undefined)
    }

    fn initializers(&mut self, body: &Body<'a>, id: GraphId) -> Outcome<()> {
        for (i, f) in body.initializers.iter().enumerate() {
            let t = self.cx.tensor(f).at(|| format!("initializer[{i}]"))?;
            let name = name_of(f, 8)?;
            let v = match self.here(hash_of(name), name) {
                Some(v) if self.model.values[v.index()].init.is_none() => v,
                _ => self.define(id, name, Def::Initializer),
            };
            self.model.values[v.index()].init = Some(Arc::new(t));
            self.model.graphs[id.index()].initializers.push(v);
        }
        for (i, f) in body.sparse.iter().enumerate() {
            let t = self.cx.sparse_tensor(f).at(|| format!("sparse_initializer[{i}]"))?;
            let mut inner = Fields::new(f.len()?);
            let mut name = "";
            while let Some(f) = inner.next()? {
                if f.number == 1 {
                    name = name_of(&f, 8)?;
                }
            }
            let v = match self.here(hash_of(name), name) {
                Some(v) => v,
                None => self.define(id, name, Def::Initializer),
            };
            self.model.graphs[id.index()].sparse_initializers.push((v, Arc::new(t)));
        }
        Ok(())
    }

    fn nodes(&mut self, mut run: Run<'a>, graph: GraphId, nesting: usize) -> Outcome<()> {
        let mut open = Open::default();
        let (first, count) = (self.model.nodes.len(), run.len());
        self.expect(count);
        let mut f = Field::none();
        while run.read(&mut f)? {
            let read = self.node(&f, graph, &mut open);
            read.at(|| format!("node[{}]", count - run.len() - 1))?;
        }
        // Nodes may stand before what they read, and names be those of the graphs around.
        self.sound &= open.names.is_empty();
        for (id, slot, name) in open.names {
            let v = self.resolve(graph, name);
            let pos = self.model.add_use(v, Use::Node { node: id, slot });
            self.model.nodes[id.index()].operands.set_input(slot as usize, Some(v), pos);
        }
        if open.graphs.is_empty() {
            return Ok(());
        }
        let mut subgraphs = open.graphs.into_iter().peekable();
        for id in (first..first + count).map(NodeId::new) {
            while let Some(p) = subgraphs.next_if(|p| p.node == id) {
                let describe =
                    |m: &Model| format!("{}.{}", m.describe(id), m.node(id).attributes[p.attribute].name);
                if nesting + 1 > MAX_NESTED_GRAPHS {
                    return Err(Bad::from(format!(
                        "graphs nested more than {MAX_NESTED_GRAPHS} deep: ONNX readers stop there; inline the inner ones"
                    )));
                }
                let sub = self.model.new_graph_raw(GraphOwner::Node(id), Some(graph));
                self.scopes.push(Scope::default());
                let read = self.graph(p.payload, sub, nesting + 1);
                self.leave();
                read.at(|| describe(&self.model))?;
                match &mut self.model.nodes[id.index()].attributes.make_mut()[p.attribute].value {
                    AttrValue::Graph(g) => *g = sub,
                    AttrValue::Graphs(gs) => gs[p.index] = sub,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Makes room for the nodes of a graph, most of which define one value.
    fn expect(&mut self, nodes: usize) {
        self.model.nodes.reserve(nodes);
        self.model.links.reserve(nodes);
        self.model.values.reserve(nodes);
        if let Some(scope) = self.scopes.last_mut() {
            scope.reserve(nodes);
        }
    }

    fn node(&mut self, field: &Field<'a>, graph: GraphId, open: &mut Open<'a>) -> Outcome<()> {
        let mut fields = Fields::of(field)?;
        // Subgraphs are read when all nodes of this graph are.
        let id = self.model.new_node_raw(graph);
        let (mut op_type, mut domain) = ("", None);
        let mut f = Field::none();
        while fields.read(&mut f)? {
            // It is filled where it stands: to hand it over when it is whole costs as much as to read it.
            let n = &mut self.model.nodes[id.index()];
            match f.number {
                1 => {
                    let (name, slot) = (f.str()?, n.inputs().len() as u32);
                    let last = self.model.values.len().wrapping_sub(1);
                    let known = self.here_or_at(last, graph, name);
                    if known.is_none() && !name.is_empty() {
                        open.names.push((id, slot, name));
                    }
                    let pos = known.map_or(0, |v| self.model.add_use(v, Use::Node { node: id, slot }));
                    self.model.nodes[id.index()].operands.push_input(known, pos);
                }
                2 => {
                    let (name, index) = (f.str()?, n.outputs().len() as u32);
                    let def = Def::Node { node: id, index };
                    let made = (!name.is_empty()).then(|| self.define(graph, name, def));
                    self.model.nodes[id.index()].operands.push_output(made);
                }
                3 => n.name = Some(f.str()?.into()),
                4 => {
                    op_type = f.str()?;
                    if op_type.is_empty() {
                        n.rare_mut().rest.extend_from_slice(f.whole);
                    }
                }
                5 => {
                    let k = n.attributes.len();
                    if k == 0 {
                        // One is the rule, and a vector would begin with room for four.
                        n.attributes = EcoVec::with_capacity(1);
                    }
                    let a = self.attribute(&f, |index, payload| {
                        open.graphs.push(PendingGraph { node: id, attribute: k, index, payload });
                    });
                    match a {
                        Ok(a) => self.model.nodes[id.index()].attributes.push(a),
                        Err(e) => return Err(e).at(|| format!("attribute[{k}]")),
                    }
                }
                6 => n.rare_mut().doc = Some(f.str()?.into()),
                7 => domain = Some(f.str()?),
                8 => n.rare_mut().overload = Some(f.str()?.into()),
                9 => pairs(&mut n.rare_mut().metadata, &f)?,
                10 => {
                    devices::check(f.len()?)?;
                    n.rare_mut().devices.push(f.len()?.into());
                }
                _ => n.rare_mut().rest.extend_from_slice(f.whole),
            }
        }
        let (operator, src) = (self.operator(op_type, domain), self.cx.span(field.whole));
        let n = &mut self.model.nodes[id.index()];
        (n.operator, n.src) = (operator, src);
        self.model.link_raw(id, graph, None);
        Ok(())
    }

    fn operator(&mut self, op_type: &'a str, domain: Option<&'a str>) -> Arc<Operator> {
        let new = || Arc::new(Operator::new(op_type.into(), domain.map(Into::into)));
        self.operators.entry((op_type, domain)).or_insert_with(new).clone()
    }

    fn value_infos(&mut self, mut run: Run<'a>, id: GraphId) -> Outcome<()> {
        let count = run.len();
        self.model.graphs[id.index()].value_info.reserve(count);
        let mut guess = usize::MAX;
        let mut f = Field::none();
        while run.read(&mut f)? {
            let read = self.cx.value_info(&f, &mut self.types);
            let (name, info) = read.at(|| format!("value_info[{}]", count - run.len() - 1))?;
            let known = self.here_or_at(guess, id, name);
            guess = known.map_or(guess, |v| v.index() + 1);
            match known {
                Some(v) if self.model.values[v.index()].info.is_none() => {
                    self.model.values[v.index()].info = Some(Box::new(info));
                    self.model.graphs[id.index()].value_info.push(v);
                }
                _ => {
                    self.model.graphs[id.index()].stale_info.push((name.into(), info));
                }
            }
        }
        Ok(())
    }

    /// The value that `name` means, in the innermost scope that has it.
    fn lookup(&mut self, name: &str) -> Option<ValueId> {
        let key = hash_of(name);
        self.scopes.iter_mut().rev().find_map(|s| s.get(&self.model.values, key, name))
    }

    fn annotation(&mut self, f: &Field<'a>, id: GraphId) -> Outcome<()> {
        let mut out = QuantAnnotation {
            value: None,
            params: Vec::new(),
            messages: Vec::new(),
            dangling: Metadata::new(),
            dangling_name: None,
            rest: EcoVec::new(),
        };
        let mut fields = Fields::new(f.len()?);
        let mut rest = Rest::default();
        while let Some(f) = fields.next()? {
            match f.number {
                1 => {
                    let name = f.str()?;
                    out.value = self.lookup(name);
                    out.dangling_name = out.value.is_none().then(|| name.into());
                }
                2 => {
                    let (pair, message) = pair(&f)?;
                    match self.lookup(&pair.1) {
                        Some(v) => {
                            self.model.values[v.index()].pins += 1;
                            out.params.push((pair.0, v));
                            out.messages.push(message);
                        }
                        None => out.dangling.add(pair, message),
                    }
                }
                _ => rest.push(&f),
            }
        }
        if out.messages.iter().all(Option::is_none) {
            out.messages.clear();
        }
        out.rest = rest.take();
        self.model.graphs[id.index()].annotations.push(out);
        Ok(())
    }

    fn training(&mut self, field: &Field<'a>, index: usize) -> Outcome<()> {
        let mut fields = Fields::new(field.len()?);
        let mut t = TrainingInfo {
            initialization: None,
            algorithm: None,
            initialization_binding: Vec::new(),
            update_binding: Vec::new(),
            rest: EcoVec::new(),
        };
        let mut rest = Rest::default();
        let (mut graphs, mut bindings) = ([None, None], Vec::new());
        while let Some(f) = fields.next()? {
            match f.number {
                1 | 2 => graphs[f.number as usize - 1] = Some(f.len()?),
                3 | 4 => bindings.push(f),
                _ => rest.push(&f),
            }
        }
        t.rest = rest.take();
        let main = self.model.main;
        let mut scopes = Vec::new();
        for (k, payload) in graphs.into_iter().enumerate() {
            let Some(payload) = payload else { continue };
            let owner = GraphOwner::Training(index as u32, k == 1);
            let id = self.model.new_graph_raw(owner, Some(main));
            self.scopes.push(Scope::default());
            let read = self.graph(payload, id, 1);
            scopes.extend(self.leave());
            read?;
            *(if k == 0 { &mut t.initialization } else { &mut t.algorithm }) = Some(id);
        }
        for f in bindings {
            let (mut key, mut value, mut odd) = (None, None, false);
            let mut fields = Fields::new(f.len()?);
            while let Some(f) = fields.next()? {
                match f.number {
                    1 => key = Some(f.str()?),
                    2 => value = Some(f.str()?),
                    _ => odd = true,
                }
            }
            let mut find = |name: Option<&str>| {
                let v = name.and_then(|n| {
                    scopes
                        .iter_mut()
                        .find_map(|s: &mut Scope| s.get(&self.model.values, hash_of(n), n))
                        .or_else(|| self.lookup(n))
                });
                if let Some(v) = v {
                    self.model.values[v.index()].pins += 1;
                }
                (name.map(EcoString::from), v)
            };
            let message = if odd { Some(f.len()?.into()) } else { None };
            let binding = Binding { key: find(key), value: find(value), message };
            (if f.number == 3 { &mut t.initialization_binding } else { &mut t.update_binding }).push(binding);
        }
        self.model.training.push(t);
        Ok(())
    }

    fn function(&mut self, field: &Field<'a>) -> Outcome<()> {
        let bytes = field.len()?;
        let mut fields = Fields::new(bytes);
        let id = FunctionId::new(self.model.functions.len());
        let graph = self.model.new_graph_raw(GraphOwner::Function(id), None);
        let mut out = Function {
            name: EcoString::new(),
            domain: None,
            overload: None,
            graph,
            attributes: Vec::new(),
            attribute_defaults: Vec::new(),
            opset_imports: Vec::new(),
            odd_imports: Odd::none(),
            src: self.cx.slice(field.whole),
            live: true,
        };
        let (mut body, mut rest, mut inputs, mut outputs) =
            (Body::default(), Rest::default(), Vec::new(), Vec::new());
        let (mut doc, mut metadata) = (None, Metadata::new());
        while let Some(f) = fields.next()? {
            match f.number {
                1 => {
                    out.name = f.str()?.into();
                    rest.push_if(out.name.is_empty(), &f);
                }
                4 => inputs.push(f.str()?),
                5 => outputs.push(f.str()?),
                6 => out.attributes.push(f.str()?.into()),
                7 => body.nodes.add(bytes, &fields, &f),
                8 => doc = Some(f.str()?.into()),
                9 => opset(&mut out.opset_imports, &mut out.odd_imports, &f)?,
                10 => out.domain = Some(f.str()?.into()),
                11 => {
                    let mut graphs = 0;
                    let a = self.attribute(&f, |_, _| graphs += 1)?;
                    if graphs > 0 {
                        return Err("a function attribute whose default is a graph".into());
                    }
                    out.attribute_defaults.push(a);
                }
                12 => body.value_info.add(bytes, &fields, &f),
                13 => out.overload = Some(f.str()?.into()),
                14 => pairs(&mut metadata, &f)?,
                _ => rest.push(&f),
            }
        }
        let g = &mut self.model.graphs[graph.index()];
        (g.doc, g.metadata, g.rest) = (doc, metadata, rest.take());
        let name = out.name.clone();
        self.model.push_function_raw(out);
        self.scopes.push(Scope::default());
        for n in inputs {
            let v = self.define(graph, n, Def::Input);
            self.model.graphs[graph.index()].inputs.push(v);
        }
        let read = self.nodes(body.nodes, graph, 0).and_then(|()| {
            for n in outputs {
                let v = self.resolve(graph, n);
                self.model.push_output_raw(graph, v, ValueInfo::default());
            }
            self.value_infos(body.value_info, graph)
        });
        self.leave();
        read.at(|| format!("\"{name}\""))
    }
}

/// The string in field `number` of a message, borrowed from the source.
fn name_of<'a>(field: &Field<'a>, number: u32) -> Outcome<&'a str> {
    let mut fields = Fields::new(field.len()?);
    let mut name = "";
    while let Some(f) = fields.next()? {
        if f.number == number {
            name = f.str()?;
        }
    }
    Ok(name)
}
