//! Text to the bytes of a model file: types, tensors and attributes.

use super::lex::{Literal, is_float_word};
use super::notes::{Kind, Note};
use super::parse::{Common, Parser};
use super::wire::Message;
use crate::DataType;
use crate::error::Result;
use crate::proto::typed;

pub(super) const TENSOR: Common = Common { doc: 12, metadata: 16 };
pub(super) const ATTRIBUTE: Common = Common { doc: 13, metadata: 0 };
/// Types nest (`seq(seq(…))`); the decoder stops at the same depth.
const MAX_TYPE_DEPTH: u32 = 32;

/// A type, and what a tensor needs of it.
pub(super) struct ParsedType {
    pub message: Message,
    /// Element type, and the dims where all are numbers.
    tensor: Option<(DataType, Option<Vec<i64>>)>,
}

/// Whether a name would be taken for the beginning of a type.
pub(super) fn is_type_word(word: &str) -> bool {
    DataType::from_name(word).is_some()
        || matches!(word, "seq" | "map" | "optional" | "sparse_tensor" | "opaque")
}

impl Parser<'_> {
    pub fn optional_type(&mut self) -> Result<Option<ParsedType>> {
        match self.c.peek_ident() {
            Some(word) if is_type_word(word) => self.ty(0).map(Some),
            _ => Ok(None),
        }
    }

    fn ty(&mut self, depth: u32) -> Result<ParsedType> {
        if depth > MAX_TYPE_DEPTH {
            return self.c.fail("a type nested too deep");
        }
        self.c.skip();
        let at = self.c.pos;
        let word = self.c.expect_ident("a type")?;
        let mut message = Message::default();
        if let Some(elem) = DataType::from_name(word) {
            let (tensor, dims) = self.tensor_type(elem)?;
            message.message(1, &tensor);
            return Ok(ParsedType { message, tensor: Some((elem, dims)) });
        }
        self.c.expect(b'(')?;
        let mut inner = Message::default();
        let number = match word {
            "seq" | "optional" => {
                inner.message(1, &self.ty(depth + 1)?.message);
                if word == "seq" { 4 } else { 9 }
            }
            "map" => {
                inner.int(1, i64::from(self.element_type()?.0));
                self.c.expect(b',')?;
                inner.message(2, &self.ty(depth + 1)?.message);
                5
            }
            "sparse_tensor" => {
                let elem = self.element_type()?;
                inner = self.tensor_type(elem)?.0;
                8
            }
            "opaque" => {
                self.opaque(&mut inner)?;
                7
            }
            other => return self.c.fail_at(at, format!("`{other}` is no type")),
        };
        self.c.expect(b')')?;
        message.message(number, &inner);
        Ok(ParsedType { message, tensor: None })
    }

    fn element_type(&mut self) -> Result<DataType> {
        match self.c.peek_ident().and_then(DataType::from_name) {
            Some(elem) => {
                self.c.ident();
                Ok(elem)
            }
            None => self.c.unexpected("an element type"),
        }
    }

    fn opaque(&mut self, m: &mut Message) -> Result<()> {
        if self.c.peek() == b')' {
            return Ok(());
        }
        let mut first = self.c.expect_ident("a name")?.to_string();
        while self.c.eat(b'.') {
            first = format!("{first}.{}", self.c.expect_ident("the rest of a name")?);
        }
        if self.c.eat(b',') {
            m.str(1, &first);
            m.str(2, self.c.expect_ident("a name")?);
        } else {
            m.str(2, &first);
        }
        Ok(())
    }

    /// What follows an element type: nothing for a scalar, `[]` for an unknown rank, else the dims.
    fn tensor_type(&mut self, elem: DataType) -> Result<(Message, Option<Vec<i64>>)> {
        let (mut m, mut shape, mut dims) = (Message::default(), Message::default(), Some(Vec::new()));
        m.int(1, i64::from(elem.0));
        if self.c.eat(b'[') {
            if self.c.eat(b']') {
                return Ok((m, None));
            }
            loop {
                let mut d = Message::default();
                let mut number = None;
                if self.c.eat(b'?') {
                } else if let Some(symbol) = self.c.optional_name()? {
                    d.str(2, &symbol);
                } else {
                    let n = self.c.int("a dim: a number, a name or `?`")?;
                    d.int(1, n);
                    number = Some(n);
                }
                shape.message(1, &d);
                dims = dims.zip(number).map(|(mut dims, n)| {
                    dims.push(n);
                    dims
                });
                if !self.c.eat(b',') {
                    break;
                }
            }
            self.c.expect(b']')?;
        }
        m.message(2, &shape);
        Ok((m, dims))
    }

    /// A tensor from its contents on; `at` is where it begins.
    pub fn tensor(
        &mut self,
        ty: &ParsedType,
        name: Option<&str>,
        mut notes: Vec<Note>,
        at: usize,
    ) -> Result<Message> {
        notes.append(&mut self.c.take_notes()?);
        let (mut t, mut typed, mut whole) = (Message::default(), false, None);
        let mut name = name.map(str::to_string);
        for note in notes {
            match self.common(note, &mut t, TENSOR)?.map(|n| (n.at, n.kind)) {
                None => {}
                Some((_, Kind::Typed)) => typed = true,
                Some((_, Kind::Tensor(bytes))) => whole = Some(bytes),
                Some((_, Kind::Set(field, s))) if field == "name" => name = Some(s),
                Some((at, kind)) => return self.misplaced(&Note { at, kind }, "a tensor"),
            }
        }
        let Some((elem, Some(dims))) = &ty.tensor else {
            return self.c.fail_at(at, "a tensor's type is an element type and numbers for dims");
        };
        for d in dims {
            t.int(1, *d);
        }
        t.int(2, i64::from(elem.0));
        if let Some(name) = name {
            t.str(8, &name);
        }
        self.contents(&mut t, *elem, dims, typed, whole.is_some())?;
        Ok(whole.map_or(t, Message))
    }

    /// `{values}`, `[external data]`, or nothing for a tensor without contents.
    fn contents(
        &mut self,
        t: &mut Message,
        elem: DataType,
        dims: &[i64],
        typed: bool,
        replaced: bool,
    ) -> Result<()> {
        if self.c.eat(b'[') {
            loop {
                let key = self.c.string("a key in quotes")?;
                self.c.expect(b':')?;
                let value = self.c.string("a value in quotes")?;
                t.pair(13, &key, &value);
                if !self.c.eat(b',') {
                    break;
                }
            }
            t.int(14, 1);
            return self.c.expect(b']');
        }
        if !self.c.eat(b'{') {
            return Ok(());
        }
        let at = self.c.pos;
        let mut values = Values { elem, raw: Vec::new(), strings: Vec::new(), count: 0 };
        if !self.c.eat(b'}') {
            loop {
                self.c.skip();
                let at = self.c.pos;
                let literal = self.c.literal("a value")?;
                if let Err(reason) = values.push(literal) {
                    return self.c.fail_at(at, reason);
                }
                if !self.c.eat(b',') {
                    break;
                }
            }
            self.c.expect(b'}')?;
        }
        if let Some(need) = needed(elem, dims)
            && need != values.count
            && !replaced
        {
            return self.c.fail_at(at, format!("{} values for {elem} {dims:?}, not {need}", values.count));
        }
        if elem == DataType::STRING {
            values.strings.iter().for_each(|s| t.str(6, s));
        } else if let Some((number, payload)) = typed.then(|| typed::from_raw(elem, &values.raw)).flatten() {
            t.bytes(number, &payload);
        } else {
            t.bytes(9, &values.raw);
        }
        Ok(())
    }

    pub fn attributes(&mut self, out: &mut Vec<Message>, nesting: usize) -> Result<()> {
        self.c.expect(b'<')?;
        loop {
            let notes = self.c.take_notes()?;
            let name = self.c.expect_ident("an attribute's name")?.to_string();
            out.push(self.attribute(&name, notes, nesting)?);
            if !self.c.eat(b',') {
                return self.c.expect(b'>');
            }
        }
    }

    /// An attribute from what follows its name on.
    pub fn attribute(&mut self, name: &str, notes: Vec<Note>, nesting: usize) -> Result<Message> {
        let (mut a, mut absent) = (Message::default(), Vec::new());
        for note in notes {
            match self.common(note, &mut a, ATTRIBUTE)?.map(|n| (n.at, n.kind)) {
                None => {}
                Some((_, Kind::No(field))) if field == "type" => absent.push(20),
                Some((_, Kind::No(field))) if field == "value" => absent.extend([2, 3, 4]),
                Some((at, kind)) => return self.misplaced(&Note { at, kind }, "an attribute"),
            }
        }
        let said = a.0.len();
        a.str(1, name);
        let mut expected = None;
        if self.c.eat(b':') {
            self.c.skip();
            let at = self.c.pos;
            let word = self.c.expect_ident("an attribute's type")?;
            match ATTRIBUTE_TYPES.iter().position(|t| *t == word) {
                Some(k) => expected = Some(k as i64 + 1),
                None => return self.c.fail_at(at, format!("`{word}` is no attribute type")),
            }
        }
        self.c.expect(b'=')?;
        if self.c.eat(b'[') {
            self.list(&mut a, expected)?
        } else {
            self.value(&mut a, expected, nesting)?
        }
        a.drop_fields(said, &absent);
        Ok(a)
    }

    fn value(&mut self, a: &mut Message, expected: Option<i64>, nesting: usize) -> Result<()> {
        let notes = self.c.take_notes()?;
        let at = self.c.pos;
        if self.c.eat(b'@') {
            a.str(21, &self.c.name("an attribute's name")?);
            if let Some(kind) = expected {
                a.int(20, kind);
            }
            return Ok(());
        }
        let kind = match self.c.peek_ident() {
            Some(word) if is_type_word(word) => self.tensor_or_type(a, notes)?,
            Some(word) if !is_float_word(word) => {
                self.c.ident();
                let g = self.graph(Some(word.to_string()), notes, nesting + 1)?;
                a.message(6, &g);
                5
            }
            _ if !notes.is_empty() => return self.misplaced(&notes[0], "a plain value"),
            _ => match self.c.literal("a value")? {
                Literal::Int(s) | Literal::Float(s) if expected == Some(1) => {
                    a.float(2, self.float(s, at)?);
                    1
                }
                Literal::Float(s) => {
                    a.float(2, self.float(s, at)?);
                    1
                }
                Literal::Int(s) => {
                    a.int(3, self.int64(s, at)?);
                    2
                }
                Literal::String(s) => {
                    a.str(4, &s);
                    3
                }
            },
        };
        self.agree(expected, kind, at)?;
        a.int(20, kind);
        Ok(())
    }

    fn agree(&self, expected: Option<i64>, kind: i64, at: usize) -> Result<()> {
        let name = |k: i64| ATTRIBUTE_TYPES.get(k as usize - 1).copied().unwrap_or("?");
        match expected {
            Some(e) if e != kind => {
                self.c.fail_at(at, format!("the value is of type {}, not {}", name(kind), name(e)))
            }
            _ => Ok(()),
        }
    }

    /// `float[2] = {…}`, `float[2] name = {…}`, or the type alone.
    fn tensor_or_type(&mut self, a: &mut Message, mut notes: Vec<Note>) -> Result<i64> {
        self.c.skip();
        let at = self.c.pos;
        let ty = self.ty(0)?;
        notes.append(&mut self.c.take_notes()?);
        let is_tensor = matches!(self.c.peek(), b'{' | b'=') || self.c.peek_ident().is_some();
        if !is_tensor {
            let mut whole = None;
            for note in notes {
                match note.kind {
                    Kind::Type(bytes) => whole = Some(Message(bytes)),
                    _ => return self.misplaced(&note, "a type"),
                }
            }
            a.message(14, whole.as_ref().unwrap_or(&ty.message));
            return Ok(13);
        }
        let name = self.c.ident().map(str::to_string);
        self.c.eat(b'=');
        let t = self.tensor(&ty, name.as_deref(), notes, at)?;
        a.message(5, &t);
        Ok(4)
    }

    /// `[1, 2, 3]` after the bracket. An empty list needs a type.
    fn list(&mut self, a: &mut Message, expected: Option<i64>) -> Result<()> {
        let at = self.c.pos;
        if self.c.eat(b']') {
            return match expected {
                Some(kind @ (6..=10 | 12 | 14)) => {
                    a.int(20, kind);
                    Ok(())
                }
                Some(_) => self.c.fail_at(at, "a list for an attribute that is none"),
                None => self.c.fail_at(at, "an empty list needs a type: `name: ints = []`"),
            };
        }
        let mut kind = expected;
        loop {
            self.c.skip();
            let at = self.c.pos;
            let literal = self.c.literal("a number or a string")?;
            let this = match &literal {
                Literal::Int(_) if kind == Some(6) => 6,
                Literal::Float(_) => 6,
                Literal::Int(_) => 7,
                Literal::String(_) => 8,
            };
            self.agree(kind, this, at)?;
            kind = Some(this);
            match literal {
                Literal::Int(s) | Literal::Float(s) if this == 6 => a.float(7, self.float(s, at)?),
                Literal::Int(s) | Literal::Float(s) => a.int(8, self.int64(s, at)?),
                Literal::String(s) => a.str(9, &s),
            }
            if !self.c.eat(b',') {
                break;
            }
        }
        a.int(20, kind.unwrap_or(0));
        self.c.expect(b']')
    }

    fn int64(&self, s: &str, at: usize) -> Result<i64> {
        match s.parse() {
            Ok(v) => Ok(v),
            Err(_) => self.c.fail_at(at, format!("{s} is beyond int64")),
        }
    }

    fn float(&self, s: &str, at: usize) -> Result<f32> {
        match s.parse::<f32>() {
            Ok(v) if v.is_finite() || s.contains(|c: char| c.eq_ignore_ascii_case(&'n')) => Ok(v),
            _ => self.c.fail_at(at, format!("{s} is beyond float")),
        }
    }
}

/// The names of attribute types; the k-th has the number k + 1.
pub(super) const ATTRIBUTE_TYPES: [&str; 14] = [
    "float",
    "int",
    "string",
    "tensor",
    "graph",
    "floats",
    "ints",
    "strings",
    "tensors",
    "graphs",
    "sparse_tensor",
    "sparse_tensors",
    "type_proto",
    "type_protos",
];

/// How many literals the contents of a tensor are: sub-byte elements are written as the bytes that hold them,
/// complex ones as two numbers.
fn needed(elem: DataType, dims: &[i64]) -> Option<usize> {
    let count = dims.iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(*d).ok()?))?;
    match elem {
        DataType::COMPLEX64 | DataType::COMPLEX128 => count.checked_mul(2),
        e if e.bits().is_some_and(|b| b < 8) => e.byte_len(count),
        _ => Some(count),
    }
}

/// The values of a tensor as they are read.
struct Values {
    elem: DataType,
    raw: Vec<u8>,
    strings: Vec<String>,
    count: usize,
}

impl Values {
    fn push(&mut self, literal: Literal<'_>) -> Result<(), String> {
        self.count += 1;
        let elem = self.elem;
        let unfit = |s: &str| format!("{s} does not fit {elem}");
        match (elem, literal) {
            (DataType::STRING, Literal::String(s)) => self.strings.push(s),
            (DataType::FLOAT | DataType::COMPLEX64, Literal::Int(s) | Literal::Float(s)) => {
                let v: f32 = s.parse().map_err(|_| unfit(s))?;
                self.raw.extend(v.to_le_bytes());
            }
            (DataType::DOUBLE | DataType::COMPLEX128, Literal::Int(s) | Literal::Float(s)) => {
                let v: f64 = s.parse().map_err(|_| unfit(s))?;
                self.raw.extend(v.to_le_bytes());
            }
            (DataType::UINT64, Literal::Int(s)) => {
                let v: u64 = s.parse().map_err(|_| unfit(s))?;
                self.raw.extend(v.to_le_bytes());
            }
            (DataType::STRING, _) => return Err("expected a string".into()),
            (_, Literal::Int(s)) => {
                let v: i64 = s.parse().map_err(|_| unfit(s))?;
                put(elem, v, &mut self.raw).ok_or_else(|| unfit(s))?;
            }
            (_, Literal::Float(s)) => {
                return Err(format!("{s} for {elem}, whose values are integers or the bits of its elements"));
            }
            (_, Literal::String(_)) => return Err(format!("a string for {elem}")),
        }
        Ok(())
    }
}

/// Appends an integer element, or the bits of a small float.
fn put(elem: DataType, v: i64, out: &mut Vec<u8>) -> Option<()> {
    match elem {
        DataType::INT64 => out.extend(v.to_le_bytes()),
        DataType::INT32 => out.extend(i32::try_from(v).ok()?.to_le_bytes()),
        DataType::INT16 => out.extend(i16::try_from(v).ok()?.to_le_bytes()),
        DataType::INT8 => out.extend(i8::try_from(v).ok()?.to_le_bytes()),
        DataType::UINT32 => out.extend(u32::try_from(v).ok()?.to_le_bytes()),
        _ => match elem.bits()? {
            16 => out.extend(u16::try_from(v).ok()?.to_le_bytes()),
            2..=8 => out.push(u8::try_from(v).ok()?),
            _ => return None,
        },
    }
    Some(())
}
