//! Text to the bytes of a model file: the model, its graphs, functions and nodes.
//!
//! Invariant: the parser only writes fields; what names mean is the decoder's business alone, so a model from
//! text and one from a file cannot differ in it.

use super::lex::Cursor;
use super::notes::{Kind, Note};
use super::wire::Message;
use crate::MAX_NESTED_GRAPHS;
use crate::error::{Error, Result};

/// Field numbers of `doc_string` and `metadata_props` in a message; 0 where it has none, or where the syntax
/// itself carries it.
#[derive(Clone, Copy)]
pub(super) struct Common {
    pub doc: u32,
    pub metadata: u32,
}

pub(super) const MODEL: Common = Common { doc: 0, metadata: 14 };
pub(super) const GRAPH: Common = Common { doc: 10, metadata: 16 };
pub(super) const FUNCTION: Common = Common { doc: 0, metadata: 14 };
pub(super) const NODE: Common = Common { doc: 6, metadata: 9 };
pub(super) const VALUE_INFO: Common = Common { doc: 3, metadata: 4 };

pub(super) struct Parser<'a> {
    pub c: Cursor<'a>,
    /// Nodes that name no domain have an empty one.
    empty_domains: bool,
}

/// The bytes of the `ModelProto` that `text` describes.
pub(super) fn model(text: &str) -> Result<Vec<u8>> {
    let mut p = Parser { c: Cursor::new(text), empty_domains: false };
    let mut m = Message::default();
    p.model(&mut m)?;
    Ok(m.0)
}

/// Puts whole messages that notes hold among those that were parsed.
fn insert_at(list: &mut Vec<Message>, mut notes: Vec<(usize, Vec<u8>)>) {
    notes.sort_by_key(|(i, _)| *i);
    for (i, bytes) in notes {
        list.insert(i.min(list.len()), Message(bytes));
    }
}

impl Parser<'_> {
    /// Writes what a note says if it is one that many messages take; gives the others back.
    pub fn common(&self, note: Note, m: &mut Message, fields: Common) -> Result<Option<Note>> {
        match note.kind {
            Kind::Doc(s) if fields.doc != 0 => m.str(fields.doc, &s),
            Kind::Metadata(k, v) if fields.metadata != 0 => m.pair(fields.metadata, &k, &v),
            Kind::Field(_, bytes) => m.raw(&bytes),
            kind => return Ok(Some(Note { at: note.at, kind })),
        }
        Ok(None)
    }

    /// The error for a note that what follows cannot have.
    pub fn misplaced<T>(&self, note: &Note, what: &str) -> Result<T> {
        self.c.fail_at(note.at, format!("this note says nothing about {what}, which follows it"))
    }

    fn model(&mut self, m: &mut Message) -> Result<()> {
        if self.c.peek() == b'<' {
            for note in self.c.take_notes()? {
                match self.common(note, m, MODEL)? {
                    None => {}
                    Some(Note { kind: Kind::NodesDomain, .. }) => self.empty_domains = true,
                    Some(note) => return self.misplaced(&note, "a model"),
                }
            }
            self.header(m)?;
        }
        let notes = self.c.take_notes()?;
        let name = self.c.name("the graph's name")?;
        let graph = self.graph(Some(name), notes, 0)?;
        m.message(7, &graph);
        while !self.c.at_end() {
            let function = self.function()?;
            m.message(25, &function);
        }
        match self.c.take_notes()?.first() {
            Some(note) => self.misplaced(note, "the end of the text"),
            None => Ok(()),
        }
    }

    fn header(&mut self, m: &mut Message) -> Result<()> {
        self.c.expect(b'<')?;
        loop {
            let notes = self.c.take_notes()?;
            let at = self.c.pos;
            let key = self.c.expect_ident("a key of the model's header")?;
            if let Some(note) = notes.first().filter(|_| key != "opset_import") {
                return self.misplaced(note, key);
            }
            self.c.expect(b':')?;
            match key {
                "ir_version" => m.int(1, self.c.int("a number")?),
                "producer_name" => m.str(2, &self.c.string("a string")?),
                "producer_version" => m.str(3, &self.c.string("a string")?),
                "domain" => m.str(4, &self.c.string("a string")?),
                "model_version" => m.int(5, self.c.int("a number")?),
                "doc_string" => m.str(6, &self.c.string("a string")?),
                "opset_import" => self.opsets(m, 8, notes)?,
                "metadata_props" => self.metadata(m)?,
                other => return self.c.fail_at(at, format!("`{other}` is no key of a model's header")),
            }
            if !self.c.eat(b',') {
                return self.c.expect(b'>');
            }
        }
    }

    fn metadata(&mut self, m: &mut Message) -> Result<()> {
        self.c.expect(b'[')?;
        if self.c.eat(b']') {
            return Ok(());
        }
        loop {
            let key = self.c.string("a key in quotes")?;
            self.c.expect(b':')?;
            let value = self.c.string("a value in quotes")?;
            m.pair(14, &key, &value);
            if !self.c.eat(b',') {
                return self.c.expect(b']');
            }
        }
    }

    /// `["" : 17, …]`. The notes `no domain`, `no version` and `field …` stand before the import that they are about.
    fn opsets(&mut self, m: &mut Message, number: u32, notes: Vec<Note>) -> Result<()> {
        if let Some(note) = notes.first() {
            return self.misplaced(note, "a list of opsets");
        }
        self.c.expect(b'[')?;
        if self.c.eat(b']') {
            return Ok(());
        }
        loop {
            let notes = self.c.take_notes()?;
            let is_absent = |field: &str| notes.iter().any(|n| n.kind == Kind::No(field.into()));
            let domain = self.c.string("a domain in quotes")?;
            self.c.expect(b':')?;
            let version = self.c.int("a version")?;
            let mut o = Message::default();
            if !is_absent("domain") {
                o.str(1, &domain);
            }
            if !is_absent("version") {
                o.int(2, version);
            }
            for note in notes {
                if let Kind::Field(_, bytes) = note.kind {
                    o.raw(&bytes);
                }
            }
            m.message(number, &o);
            if !self.c.eat(b',') {
                return self.c.expect(b']');
            }
        }
    }

    /// A graph from its inputs on; its name and the notes before it were read.
    pub fn graph(&mut self, mut name: Option<String>, notes: Vec<Note>, nesting: usize) -> Result<Message> {
        if nesting > MAX_NESTED_GRAPHS {
            return self.c.fail(format!("graphs nested more than {MAX_NESTED_GRAPHS} deep"));
        }
        let (mut g, mut whole) = (Message::default(), Vec::new());
        for note in notes {
            match self.common(note, &mut g, GRAPH)? {
                None => {}
                Some(Note { kind: Kind::Initializer(i, bytes), .. }) => whole.push((i, bytes)),
                Some(Note { kind: Kind::Set(field, s), .. }) if field == "name" => name = Some(s),
                Some(Note { kind: Kind::No(field), .. }) if field == "name" => name = None,
                Some(note) => return self.misplaced(&note, "a graph"),
            }
        }
        let mut initializers = Vec::new();
        if self.c.peek() == b'(' {
            self.declarations(b'(', b')', true, &mut initializers, |v| g.message(11, v))?;
        }
        self.arrow()?;
        self.declarations(b'(', b')', false, &mut Vec::new(), |v| g.message(12, v))?;
        if self.c.peek() == b'<' {
            let mut infos = Vec::new();
            let mut defaults = Vec::new();
            self.mixed_declarations(&mut defaults, &mut infos)?;
            initializers.append(&mut defaults);
            infos.iter().for_each(|v| g.message(13, v));
        }
        insert_at(&mut initializers, whole);
        initializers.iter().for_each(|t| g.message(5, t));
        if let Some(name) = name {
            g.str(2, &name);
        }
        self.nodes(nesting, |n| g.message(1, n))?;
        Ok(g)
    }

    fn arrow(&mut self) -> Result<()> {
        if self.c.peek() != b'=' {
            return self.c.unexpected("`=>`");
        }
        self.c.expect(b'=')?;
        self.c.expect(b'>')
    }

    /// `(float[N] x, float[2] y = {1, 2}, z)`; a default only where `defaults` allows it.
    fn declarations(
        &mut self,
        open: u8,
        close: u8,
        defaults: bool,
        initializers: &mut Vec<Message>,
        mut each: impl FnMut(&Message),
    ) -> Result<()> {
        self.c.expect(open)?;
        if self.c.eat(close) {
            return Ok(());
        }
        loop {
            let (info, default) = self.declaration(defaults)?;
            match info {
                Some(info) => each(&info),
                None => return self.c.fail("an initializer has no place here"),
            }
            initializers.extend(default);
            if !self.c.eat(b',') {
                return self.c.expect(close);
            }
        }
    }

    /// `<float[2] w = {1, 2}, float[N] x, …>`: initializers and value infos.
    fn mixed_declarations(
        &mut self,
        initializers: &mut Vec<Message>,
        infos: &mut Vec<Message>,
    ) -> Result<()> {
        self.c.expect(b'<')?;
        if self.c.eat(b'>') {
            return Ok(());
        }
        loop {
            let (info, tensor) = self.initializer_or_info()?;
            match tensor {
                Some(t) => initializers.push(t),
                None => infos.push(info),
            }
            if !self.c.eat(b',') {
                return self.c.expect(b'>');
            }
        }
    }

    fn initializer_or_info(&mut self) -> Result<(Message, Option<Message>)> {
        let notes = self.c.take_notes()?;
        let at = self.c.pos;
        let ty = self.optional_type()?;
        let name = self.c.name("a value's name")?;
        if !self.c.eat(b'=') {
            return Ok((self.value_info(ty.as_ref().map(|t| &t.message), &name, notes)?, None));
        }
        let Some(ty) = ty else {
            return self.c.fail_at(at, format!("the initializer `{name}` has no type"));
        };
        Ok((Message::default(), Some(self.tensor(&ty, Some(&name), notes, at)?)))
    }

    fn declaration(&mut self, defaults: bool) -> Result<(Option<Message>, Option<Message>)> {
        let notes = self.c.take_notes()?;
        let at = self.c.pos;
        let ty = self.optional_type()?;
        let name = self.c.name("a value's name")?;
        let info = self.value_info(ty.as_ref().map(|t| &t.message), &name, notes)?;
        if !(defaults && self.c.eat(b'=')) {
            return Ok((Some(info), None));
        }
        let Some(ty) = ty else {
            return self.c.fail_at(at, format!("the default of `{name}` has no type"));
        };
        let notes = self.c.take_notes()?;
        let tensor = self.tensor(&ty, Some(&name), notes, at)?;
        Ok((Some(info), Some(tensor)))
    }

    fn value_info(&mut self, ty: Option<&Message>, name: &str, notes: Vec<Note>) -> Result<Message> {
        let mut v = Message::default();
        let mut whole = None;
        for note in notes {
            match self.common(note, &mut v, VALUE_INFO)? {
                None => {}
                Some(Note { kind: Kind::Type(bytes), .. }) => whole = Some(Message(bytes)),
                Some(note) => return self.misplaced(&note, "a value"),
            }
        }
        v.said_str(1, name);
        if let Some(ty) = whole.as_ref().or(ty) {
            v.message(2, ty);
        }
        Ok(v)
    }

    fn nodes(&mut self, nesting: usize, mut each: impl FnMut(&Message)) -> Result<()> {
        self.c.expect(b'{')?;
        while !self.c.eat(b'}') {
            if self.c.at_end() {
                return self.c.fail("the graph has no closing `}`");
            }
            let n = self.node(nesting)?;
            each(&n);
        }
        Ok(())
    }

    fn node(&mut self, nesting: usize) -> Result<Message> {
        let notes = self.c.take_notes()?;
        let mut n = Message::default();
        if self.c.eat(b'[') {
            let name = self.c.optional_name()?.unwrap_or_default();
            n.str(3, &name);
            self.c.expect(b']')?;
        }
        for name in self.ids()? {
            n.str(2, &name);
        }
        if !self.c.eat(b'=') {
            return self.c.unexpected("the node's outputs and `=`");
        }
        let (mut domain, mut op) = (None::<String>, self.c.expect_ident("an operator")?.to_string());
        while self.c.eat(b'.') {
            domain = Some(domain.map_or(op.clone(), |d| format!("{d}.{op}")));
            op = self.c.expect_ident("the rest of an operator's name")?.to_string();
        }
        let mut overload = None;
        if self.c.eat(b':') {
            overload = Some(self.c.expect_ident("an overload")?.to_string());
        }
        if domain.is_none() && self.empty_domains {
            domain = Some(String::new());
        }
        let mut whole = Vec::new();
        for note in notes {
            match self.common(note, &mut n, NODE)?.map(|n| (n.at, n.kind)) {
                None => {}
                Some((_, Kind::Attribute(i, bytes))) => whole.push((i, bytes)),
                Some((at, Kind::Set(field, s))) => match field.as_str() {
                    "domain" => domain = Some(s),
                    "op" => op = s,
                    "overload" => overload = Some(s),
                    _ => return self.c.fail_at(at, "a node's name stands in brackets before its outputs"),
                },
                Some((_, Kind::No(field))) if field == "domain" => domain = None,
                Some((at, kind)) => return self.misplaced(&Note { at, kind }, "a node"),
            }
        }
        n.said_str(4, &op);
        for (number, field) in [(7, domain), (8, overload)] {
            if let Some(s) = field {
                n.str(number, &s);
            }
        }
        self.operands(&mut n, whole, nesting)?;
        Ok(n)
    }

    /// `<attributes> (inputs)` or `(inputs) <attributes>`.
    fn operands(&mut self, n: &mut Message, whole: Vec<(usize, Vec<u8>)>, nesting: usize) -> Result<()> {
        let mut attributes = Vec::new();
        if self.c.peek() == b'<' {
            self.attributes(&mut attributes, nesting)?;
        }
        self.c.expect(b'(')?;
        for name in self.ids()? {
            n.str(1, &name);
        }
        self.c.expect(b')')?;
        if attributes.is_empty() && self.c.peek() == b'<' {
            self.attributes(&mut attributes, nesting)?;
        }
        insert_at(&mut attributes, whole);
        attributes.iter().for_each(|a| n.message(5, a));
        Ok(())
    }

    /// A list of names as a node has them: one may be empty, and a comma at the end is allowed.
    fn ids(&mut self) -> Result<Vec<String>> {
        let mut out = Vec::new();
        loop {
            match self.c.optional_name()? {
                Some(name) => out.push(name),
                None if self.c.peek() == b',' => out.push(String::new()),
                None => return Ok(out),
            }
            if !self.c.eat(b',') {
                return Ok(out);
            }
        }
    }

    fn function(&mut self) -> Result<Message> {
        let mut f = Message::default();
        for note in self.c.take_notes()? {
            if let Some(note) = self.common(note, &mut f, FUNCTION)? {
                return self.misplaced(&note, "a function");
            }
        }
        if self.c.peek() == b'<' {
            self.function_header(&mut f)?;
        }
        let name = self.c.name("a function's name")?;
        f.said_str(1, &name);
        if self.c.eat(b'<') {
            self.function_attributes(&mut f)?;
        }
        let mut infos = Vec::new();
        self.function_values(&mut f, 4, &mut infos)?;
        self.arrow()?;
        self.function_values(&mut f, 5, &mut infos)?;
        if self.c.peek() == b'<' {
            self.declarations(b'<', b'>', false, &mut Vec::new(), |v| infos.push(Message(v.0.clone())))?;
        }
        infos.iter().for_each(|v| f.message(12, v));
        self.nodes(0, |n| f.message(7, n))?;
        Ok(f)
    }

    fn function_header(&mut self, f: &mut Message) -> Result<()> {
        self.c.expect(b'<')?;
        loop {
            let at = {
                self.c.skip();
                self.c.pos
            };
            let key = self.c.expect_ident("a key of the function's header")?;
            self.c.expect(b':')?;
            match key {
                "domain" => f.str(10, &self.c.string("a string")?),
                "doc_string" => f.str(8, &self.c.string("a string")?),
                "overload" => f.str(13, &self.c.string("a string")?),
                "opset_import" => self.opsets(f, 9, Vec::new())?,
                other => return self.c.fail_at(at, format!("`{other}` is no key of a function's header")),
            }
            if !self.c.eat(b',') {
                return self.c.expect(b'>');
            }
        }
    }

    /// `<alpha, beta: float = 1.0>`: attributes without and with a default.
    fn function_attributes(&mut self, f: &mut Message) -> Result<()> {
        loop {
            let notes = self.c.take_notes()?;
            let name = self.c.name("an attribute's name")?;
            if matches!(self.c.peek(), b':' | b'=') {
                // A default holds no graph: the decoder refuses it.
                let a = self.attribute(&name, notes, MAX_NESTED_GRAPHS)?;
                f.message(11, &a);
            } else if let Some(note) = notes.first() {
                return self.misplaced(note, "an attribute without a default");
            } else {
                f.str(6, &name);
            }
            if !self.c.eat(b',') {
                return self.c.expect(b'>');
            }
        }
    }

    /// `(x, float[N] y)`: names, and declarations of those that have a type.
    fn function_values(&mut self, f: &mut Message, number: u32, infos: &mut Vec<Message>) -> Result<()> {
        self.c.expect(b'(')?;
        if self.c.eat(b')') {
            return Ok(());
        }
        loop {
            let notes = self.c.take_notes()?;
            let ty = self.optional_type()?;
            let name = self.c.name("a value's name")?;
            f.str(number, &name);
            if ty.is_some() || !notes.is_empty() {
                infos.push(self.value_info(ty.as_ref().map(|t| &t.message), &name, notes)?);
            }
            if !self.c.eat(b',') {
                return self.c.expect(b')');
            }
        }
    }
}

/// What the decoder says about bytes that the parser wrote, for a reader of the text.
pub(super) fn from_decoder(e: Error) -> Error {
    match e {
        Error::Malformed { place, reason } => {
            Error::Text { line: 1, column: 1, reason: format!("{place}: {reason}") }
        }
        e => e,
    }
}
