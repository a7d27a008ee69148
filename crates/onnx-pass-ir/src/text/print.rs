//! The model as text: its header, graphs, functions and nodes.

use super::notes::{self, Kind};
use super::parse::{Common, FUNCTION, GRAPH, MODEL, NODE, VALUE_INFO};
use super::values::{Prepared, TensorText};
use super::wire::Message;
use super::words;
use super::{TextOptions, Weights};
use crate::error::Result;
use crate::model::*;
use crate::proto::encode::Parts;
use crate::proto::plan::Plan;
use crate::{GraphId, MAX_NESTED_GRAPHS, Type, ValueId};

/// Prints a model.
pub(super) fn model(m: &Model, options: &TextOptions) -> Result<String> {
    let graphs = m.live_graphs();
    let domains = |wanted: Option<&str>| {
        let nodes = graphs.iter().flat_map(|g| m.nodes(*g));
        nodes.filter(|(_, n)| n.operator.raw_domain.as_deref() == wanted).count()
    };
    let empty_domains = domains(Some("")) > domains(None);
    let plan = Plan::default();
    let parts = Parts::new(m, &plan);
    let mut p = Printer { m, options, out: String::new(), indent: 0, parts, empty_domains };
    p.model()?;
    Ok(p.out)
}

pub(super) struct Printer<'m> {
    pub m: &'m Model,
    pub options: &'m TextOptions,
    out: String,
    indent: usize,
    pub parts: Parts<'m>,
    /// Most nodes of the standard domain write it as an empty one.
    empty_domains: bool,
}

impl<'m> Printer<'m> {
    fn push(&mut self, s: &str) {
        self.out.push_str(s);
    }

    fn name(&mut self, s: &str) {
        words::name(s, &mut self.out);
    }

    /// Begins a line.
    fn line(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        (0..self.indent).for_each(|_| self.out.push_str("  "));
    }

    fn note(&mut self, kind: &Kind) {
        if self.options.notes {
            self.line();
            notes::print(kind, &mut self.out);
        }
    }

    fn notes(&mut self, kinds: &[Kind]) {
        kinds.iter().for_each(|k| self.note(k));
    }

    fn model(&mut self) -> Result<()> {
        let h = &self.m.header;
        let mut notes = Vec::new();
        if self.empty_domains {
            notes.push(Kind::NodesDomain);
        }
        for t in &self.m.training {
            notes.push(Kind::Field("training_info".into(), self.parts.training(t)?));
        }
        notes.extend(h.configurations.iter().map(|c| Kind::Field("configuration".into(), c.to_vec())));
        if !h.rest.is_empty() {
            notes.push(Kind::Field("unknown".into(), h.rest.to_vec()));
        }
        // The header has no place for a pair that is more than its key and value.
        if !h.metadata.is_plain() {
            notes.extend(common(&None, &h.metadata, MODEL));
        }
        self.notes(&notes);
        self.header(self.options.notes && !notes.is_empty());
        let g = self.m.graph(self.m.main);
        self.graph_notes(self.m.main, |name| name.is_some())?;
        self.line();
        self.name(g.name.as_deref().unwrap_or("g"));
        self.push(" ");
        self.graph(self.m.main, 0)?;
        for (_, f) in self.m.functions() {
            self.function(f)?;
        }
        self.push("\n");
        Ok(())
    }

    /// The header; an empty one only where notes need it to stand before.
    fn header(&mut self, needed: bool) {
        let h = &self.m.header;
        let mut entries = Vec::new();
        let string = |key: &str, v: &str| {
            let mut s = format!("{key}: ");
            words::quote(v, &mut s);
            s
        };
        entries.extend(h.ir_version.map(|v| format!("ir_version: {v}")));
        if !h.opset_imports.is_empty() || needed {
            entries.push(self.opsets(&h.opset_imports, &h.odd_imports));
        }
        entries.extend(h.producer_name.as_deref().map(|v| string("producer_name", v)));
        entries.extend(h.producer_version.as_deref().map(|v| string("producer_version", v)));
        entries.extend(h.domain.as_deref().map(|v| string("domain", v)));
        entries.extend(h.model_version.map(|v| format!("model_version: {v}")));
        entries.extend(h.doc.as_deref().map(|v| string("doc_string", v)));
        if !h.metadata.is_empty() && (h.metadata.is_plain() || !self.options.notes) {
            let pairs: Vec<String> = h.metadata.iter().map(|(k, v)| pair(k, v)).collect();
            entries.push(format!("metadata_props: [\n    {}\n  ]", pairs.join(",\n    ")));
        }
        self.header_entries(&entries);
    }

    fn header_entries(&mut self, entries: &[String]) {
        if entries.is_empty() {
            return;
        }
        self.line();
        self.push("<\n  ");
        self.push(&entries.join(",\n  "));
        self.push("\n>");
    }

    fn opsets(&self, imports: &[OpsetImport], odd: &Odd<OpsetImport>) -> String {
        let notes = |o: &OpsetImport, rest: Option<&[u8]>| {
            let absent = [("domain", o.domain.is_none()), ("version", o.version.is_none())];
            let absent = absent.into_iter().filter(|a| a.1).map(|a| Kind::No(a.0.into()));
            let rest = rest.map(|r| Kind::Field("unknown".into(), r.to_vec()));
            absent.chain(rest).filter(|_| self.options.notes)
        };
        let many_lines = odd.along(imports).any(|(o, rest)| notes(o, rest).next().is_some());
        let mut s = String::from("opset_import: [");
        for (i, (o, rest)) in odd.along(imports).enumerate() {
            if i > 0 {
                s.push_str(if many_lines { "," } else { ", " });
            }
            for note in notes(o, rest) {
                s.push_str("\n    ");
                notes::print(&note, &mut s);
            }
            if many_lines {
                s.push_str("\n    ");
            }
            words::quote(o.domain.as_deref().unwrap_or(""), &mut s);
            s.push_str(&format!(" : {}", o.version.unwrap_or(0)));
        }
        s.push_str(if many_lines { "\n  ]" } else { "]" });
        s
    }

    /// The notes before a graph's name; `named` tells whether the text can carry its name.
    fn graph_notes(&mut self, id: GraphId, named: impl Fn(Option<&str>) -> bool) -> Result<()> {
        let m = self.m;
        let g = m.graph(id);
        if !named(g.name.as_deref()) {
            let kind = match &g.name {
                Some(name) => Kind::Set("name".into(), name.to_string()),
                None => Kind::No("name".into()),
            };
            self.note(&kind);
        }
        let mut notes = common(&g.doc, &g.metadata, GRAPH);
        for (v, t) in &g.sparse_initializers {
            let bytes = self.parts.sparse_initializer(m.name(*v), t)?;
            notes.push(Kind::Field("sparse_initializer".into(), bytes));
        }
        for a in g.annotations.iter().filter(|a| a.value.is_none_or(|v| m.is_live_value(v))) {
            notes.push(Kind::Field("quantization_annotation".into(), self.parts.annotation(a)?));
        }
        if !g.rest.is_empty() {
            notes.push(Kind::Field("unknown".into(), g.rest.to_vec()));
        }
        for (i, v) in g.initializers.iter().enumerate() {
            if let Some(t) = m.value(*v).init.as_ref().filter(|t| !super::values::has_type(t)) {
                notes.push(Kind::Initializer(i, self.parts.tensor(t, Some(m.name(*v)))?));
            }
        }
        self.notes(&notes);
        Ok(())
    }

    /// A graph from its inputs on.
    fn graph(&mut self, id: GraphId, nesting: usize) -> Result<()> {
        if nesting > MAX_NESTED_GRAPHS {
            return Err(crate::Error::Unwritable(format!(
                "graphs are nested more than {MAX_NESTED_GRAPHS} deep"
            )));
        }
        let m = self.m;
        let g = m.graph(id);
        let none = ValueInfo::default();
        let inputs: Vec<(&str, &ValueInfo)> =
            g.inputs.iter().map(|v| (m.name(*v), m.value(*v).info.as_deref().unwrap_or(&none))).collect();
        let outputs: Vec<(&str, &ValueInfo)> = g.outputs.iter().map(|o| (m.name(o.value), &o.info)).collect();
        self.declarations("(", &inputs, ")")?;
        self.push(" => ");
        self.declarations("(", &outputs, ")")?;
        self.push(" ");
        self.initializers_and_infos(g)?;
        self.nodes(id, nesting)
    }

    /// The declarations, one a line; nothing between the brackets when there are none.
    fn declarations(&mut self, open: &str, list: &[(&str, &ValueInfo)], close: &str) -> Result<()> {
        self.push(open);
        self.indent += 1;
        for (i, (name, info)) in list.iter().enumerate() {
            if i > 0 {
                self.push(",");
            }
            self.declaration(name, info)?;
        }
        self.indent -= 1;
        if !list.is_empty() {
            self.line();
        }
        self.push(close);
        Ok(())
    }

    fn declaration(&mut self, name: &str, info: &ValueInfo) -> Result<()> {
        let rare = info.rare();
        let mut notes = common(&rare.doc, &rare.metadata, VALUE_INFO);
        if !rare.rest.is_empty() {
            notes.push(Kind::Field("unknown".into(), rare.rest.to_vec()));
        }
        let text = match &info.ty {
            None => String::new(),
            Some(d) => {
                let text = type_text(&d.ty);
                if let Some(whole) = self.parts.unusual_type(d, text.is_some())? {
                    notes.push(Kind::Type(whole));
                }
                text.map(|t| t + " ").unwrap_or_default()
            }
        };
        self.notes(&notes);
        self.line();
        self.push(&text);
        self.name(name);
        Ok(())
    }

    fn initializers_and_infos(&mut self, g: &'m Graph) -> Result<()> {
        let m = self.m;
        let initializers = g.initializers.iter().filter_map(|v| Some((*v, m.value(*v).init.as_ref()?)));
        let initializers: Vec<_> = initializers.filter(|(_, t)| super::values::has_type(t)).collect();
        let infos = self.value_infos(g);
        if initializers.is_empty() && infos.is_empty() {
            return Ok(());
        }
        self.push("<");
        self.indent += 1;
        let last = initializers.len() + infos.len() - 1;
        for (i, (v, t)) in initializers.into_iter().enumerate() {
            let text = self.tensor(t, Some(m.name(v)))?;
            self.notes(&text.notes);
            self.line();
            self.push(&text.ty);
            self.push(" ");
            self.name(m.name(v));
            self.push(" =");
            self.contents(&text, if i < last { "," } else { "" });
        }
        let before = last + 1 - infos.len();
        for (i, (name, info)) in infos.into_iter().enumerate() {
            self.declaration(name, info)?;
            self.push(if before + i < last { "," } else { "" });
        }
        self.indent -= 1;
        self.line();
        self.push("> ");
        Ok(())
    }

    /// What follows a tensor's `=`, a comma before its comment.
    fn contents(&mut self, text: &TensorText, comma: &str) {
        if !text.contents.is_empty() {
            self.push(" ");
            self.push(&text.contents);
        }
        self.push(comma);
        if let Some(comment) = &text.comment {
            self.push("  # ");
            self.push(comment);
        }
    }

    fn value_infos(&self, g: &'m Graph) -> Vec<(&'m str, &'m ValueInfo)> {
        let m = self.m;
        let known = g.value_info.iter().filter(|v| m.value(**v).def != Def::Removed);
        let known = known.filter_map(|v| Some((m.name(*v), m.value(*v).info.as_deref()?)));
        known.chain(g.stale_info.iter().map(|(n, i)| (n.as_str(), i))).collect()
    }

    fn nodes(&mut self, graph: GraphId, nesting: usize) -> Result<()> {
        let m = self.m;
        self.push("{");
        self.indent += 1;
        for (_, n) in m.nodes(graph) {
            self.node(n, nesting)?;
        }
        self.indent -= 1;
        self.line();
        self.push("}");
        Ok(())
    }

    fn node(&mut self, n: &'m Node, nesting: usize) -> Result<()> {
        let mut notes = common(&n.rare().doc, &n.rare().metadata, NODE);
        if !n.rare().devices.is_empty() {
            notes.push(Kind::Field("device_configurations".into(), self.parts.devices(n)?));
        }
        if !n.rare().rest.is_empty() {
            notes.push(Kind::Field("unknown".into(), n.rare().rest.to_vec()));
        }
        let operator = self.operator(n, &mut notes);
        let mut attributes = Vec::with_capacity(n.attributes.len());
        for (i, a) in n.attributes.iter().enumerate() {
            match self.prepare(a)? {
                Some(prepared) => attributes.push(prepared),
                None => notes.push(Kind::Attribute(i, self.parts.attribute(a, nesting)?)),
            }
        }
        self.notes(&notes);
        self.line();
        if let Some(name) = &n.name {
            self.push("[");
            self.name(name);
            self.push("] ");
        }
        self.operands(n.outputs());
        self.push(if n.outputs().is_empty() { "= " } else { " = " });
        self.push(&operator);
        let graphs_inside = n.subgraphs().next().is_some();
        if !graphs_inside {
            self.attributes(&attributes, nesting)?;
        }
        self.push(" (");
        self.operands(n.inputs());
        self.push(")");
        if graphs_inside {
            self.attributes(&attributes, nesting)?;
        }
        Ok(())
    }

    fn operands(&mut self, values: &[Option<ValueId>]) {
        for (i, v) in values.iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.name(v.map_or("", |v| self.m.name(v)));
        }
    }

    /// Domain, operator and overload; a note for each that the syntax cannot carry.
    fn operator(&self, n: &Node, notes: &mut Vec<Kind>) -> String {
        let mut out = String::new();
        match n.operator.raw_domain.as_deref() {
            None if self.empty_domains => notes.push(Kind::No("domain".into())),
            None => {}
            Some("") if self.empty_domains => {}
            Some(d) if words::is_dotted(d) => out.extend([d, "."]),
            Some(d) => notes.push(Kind::Set("domain".into(), d.into())),
        }
        if words::is_ident(n.op_type()) {
            out.push_str(n.op_type());
        } else {
            out.push_str("Op");
            notes.push(Kind::Set("op".into(), n.op_type().to_string()));
        }
        match n.rare().overload.as_deref() {
            None => {}
            Some(o) if words::is_ident(o) => out.extend([":", o]),
            Some(o) => notes.push(Kind::Set("overload".into(), o.into())),
        }
        out
    }

    /// The attributes in angle brackets: on the node's line where none needs lines of its own.
    fn attributes(&mut self, list: &[Prepared], nesting: usize) -> Result<()> {
        if list.is_empty() {
            return Ok(());
        }
        let many_lines = list.iter().any(|a| a.needs_lines(self.options.notes));
        self.push(" <");
        self.indent += usize::from(many_lines);
        for (i, a) in list.iter().enumerate() {
            let comma = if i + 1 < list.len() { "," } else { "" };
            if many_lines {
                self.notes(&a.notes);
                self.line();
            } else if i > 0 {
                self.push(" ");
            }
            self.attribute(a, comma, nesting)?;
        }
        self.indent -= usize::from(many_lines);
        if many_lines {
            self.line();
        }
        self.push(">");
        Ok(())
    }

    fn attribute(&mut self, a: &Prepared, comma: &str, nesting: usize) -> Result<()> {
        self.push(&a.head);
        if let Some(t) = &a.tensor {
            self.indent += 1;
            self.notes(&t.notes);
            if self.options.notes && !t.notes.is_empty() {
                self.line();
            } else {
                self.push(" ");
            }
            self.indent -= 1;
            self.push(&t.ty);
            if let Some(name) = &t.name {
                self.push(" ");
                self.push(name);
            }
            if !t.contents.starts_with('{') {
                self.push(" =");
            }
            self.contents(t, comma);
        } else if let Some(g) = a.graph {
            self.indent += 1;
            let before = self.out.len();
            self.graph_notes(g, |name| name.is_some_and(words::is_subgraph_name))?;
            if self.out.len() > before {
                self.line()
            } else {
                self.push(" ")
            }
            self.indent -= 1;
            let name = self.m.graph(g).name.as_deref().filter(|n| words::is_subgraph_name(n));
            self.push(name.unwrap_or("g"));
            self.push(" ");
            self.graph(g, nesting + 1)?;
            self.push(comma);
        } else {
            self.push(comma);
        }
        Ok(())
    }

    fn function(&mut self, f: &'m Function) -> Result<()> {
        let m = self.m;
        let g = m.graph(f.graph);
        let mut notes = common(&None, &g.metadata, FUNCTION);
        if !g.rest.is_empty() {
            notes.push(Kind::Field("unknown".into(), g.rest.to_vec()));
        }
        let mut defaults = Vec::new();
        for a in &f.attribute_defaults {
            defaults.push(self.prepare(a)?.filter(|p| !p.needs_lines(true)));
        }
        if defaults.iter().any(Option::is_none) {
            defaults.clear();
            for a in &f.attribute_defaults {
                notes.push(Kind::Field("attribute_proto".into(), self.parts.attribute_default(a)?));
            }
        }
        self.push("\n");
        self.notes(&notes);
        self.function_header(f, g);
        self.line();
        self.name(&f.name);
        self.push(" ");
        let names = f.attributes.iter().map(|n| {
            let mut s = String::new();
            words::name(n, &mut s);
            s
        });
        let defaults = defaults.into_iter().flatten().map(|p| p.line());
        let attributes: Vec<String> = names.chain(defaults).collect();
        if !attributes.is_empty() {
            self.push(&format!("<{}> ", attributes.join(", ")));
        }
        self.function_values(&g.inputs);
        self.push(" => ");
        self.function_values(&g.outputs.iter().map(|o| o.value).collect::<Vec<_>>());
        self.push(" ");
        // A function's inputs carry their declarations in `value_info` too.
        let undeclared = g.inputs.iter().filter(|v| !g.value_info.contains(v));
        let mut infos: Vec<(&str, &ValueInfo)> =
            undeclared.filter_map(|v| Some((m.name(*v), m.value(*v).info.as_deref()?))).collect();
        infos.extend(self.value_infos(g));
        if !infos.is_empty() {
            self.declarations("<", &infos, ">")?;
            self.push(" ");
        }
        self.nodes(f.graph, 0)
    }

    fn function_header(&mut self, f: &Function, g: &Graph) {
        let mut entries = Vec::new();
        for (key, v) in [("domain", &f.domain), ("overload", &f.overload)] {
            if let Some(v) = v {
                let mut s = format!("{key}: ");
                words::quote(v, &mut s);
                entries.push(s);
            }
        }
        if !f.opset_imports.is_empty() {
            entries.push(self.opsets(&f.opset_imports, &f.odd_imports));
        }
        if let Some(doc) = &g.doc {
            let mut s = String::from("doc_string: ");
            words::quote(doc, &mut s);
            entries.push(s);
        }
        self.header_entries(&entries);
    }

    fn function_values(&mut self, values: &[ValueId]) {
        self.push("(");
        for (i, v) in values.iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.name(self.m.name(*v));
        }
        self.push(")");
    }

    /// Whether a tensor of this size is shown by its values.
    pub fn is_inline(&self, bytes: usize) -> bool {
        match self.options.weights {
            Weights::Inline => true,
            Weights::Reference { over } | Weights::Hashed { over } => bytes <= over,
        }
    }
}

fn pair(key: &str, value: &str) -> String {
    let mut s = String::new();
    words::quote(key, &mut s);
    s.push_str(": ");
    words::quote(value, &mut s);
    s
}

/// Notes of a doc string and metadata.
pub(super) fn common(doc: &Option<ecow::EcoString>, metadata: &Metadata, of: Common) -> Vec<Kind> {
    let doc = doc.iter().map(|d| Kind::Doc(d.to_string()));
    doc.chain(metadata.messages().map(|((k, v), message)| match message {
        None => Kind::Metadata(k.to_string(), v.to_string()),
        Some(message) => Kind::Field("metadata_props".into(), field(of.metadata, message)),
    }))
    .collect()
}

/// A message as a field.
fn field(number: u32, message: &[u8]) -> Vec<u8> {
    let mut m = Message::default();
    m.bytes(number, message);
    m.0
}

/// The text of a type, where the syntax can say it all.
pub(super) fn type_text(t: &Type) -> Option<String> {
    let mut out = String::new();
    words::ty(t, &mut out).map(|()| out)
}
