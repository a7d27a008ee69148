//! Decoding of the leaf messages: tensors, types, value infos, key-value pairs.

use std::sync::Arc;

use bytes::Bytes;
use ecow::{EcoString, EcoVec};
use rustc_hash::FxHashMap;

use super::bad::{At, Outcome};
use super::typed::TypedData;
use super::wire::{Field, Fields};
use crate::DataType;
use crate::external::{External, ExternalRoot};
use crate::model::{Declared, Metadata, Odd, OpsetImport, Pair, ValueInfo};
use crate::span::Span;
use crate::tensor::{Dims, SparseTensor, Tensor, TensorData};
use crate::types::{Dim, Shape, TensorType, Type, TypeKind};

/// Collects the fields that nobody knows, to be written back at the end of their message.
#[derive(Default)]
pub(crate) struct Rest(EcoVec<u8>);

impl Rest {
    pub fn push(&mut self, f: &Field<'_>) {
        self.0.extend_from_slice(f.whole);
    }

    /// Keeps a field that says nothing, so that it is not the same as one that is absent.
    pub fn push_if(&mut self, nothing: bool, f: &Field<'_>) {
        if nothing {
            self.push(f);
        }
    }

    pub fn take(self) -> EcoVec<u8> {
        self.0
    }
}

/// What leaf messages need of their surroundings: the source that spans refer to, and where weights are.
#[derive(Clone)]
pub(crate) struct Context {
    pub base: Bytes,
    pub root: Arc<ExternalRoot>,
}

impl Context {
    /// A shared slice of the source.
    pub fn slice(&self, part: &[u8]) -> Bytes {
        if part.is_empty() { Bytes::new() } else { self.base.slice_ref(part) }
    }

    /// Where a part of the source is in it.
    pub fn span(&self, part: &[u8]) -> Span {
        Span::of(&self.base, part)
    }

    pub fn tensor(&self, f: &Field<'_>) -> Outcome<Tensor> {
        let mut fields = Fields::new(f.len()?);
        let mut t = Tensor::with_data(DataType::UNDEFINED, &[], TensorData::None);
        let (mut rest, mut typed, mut external) = (Rest::default(), TypedData::default(), Metadata::new());
        let (mut raw, mut strings, mut is_external) = (None, Vec::new(), false);
        while let Some(f) = fields.next()? {
            match f.number {
                1 => f.ints(&mut t.dims)?,
                2 => {
                    t.dtype = DataType(f.int32()?);
                    rest.push_if(t.dtype == DataType::UNDEFINED, &f);
                }
                4 | 5 | 7 | 10 | 11 => typed.fields.push(self.slice(f.whole)),
                6 => strings.push(self.slice(f.len()?)),
                8 => t.name = Some(f.str()?.into()),
                9 => raw = Some(self.slice(f.len()?)),
                12 => t.doc = Some(f.str()?.into()),
                13 => pairs(&mut external, &f)?,
                14 if f.int32()? == 1 => is_external = true,
                // An explicit `DEFAULT` stays explicit.
                14 => rest.push(&f),
                16 => pairs(&mut t.metadata, &f)?,
                _ => rest.push(&f),
            }
        }
        // Contents in more than one place: what is not read is kept all the same.
        let places = [is_external, raw.is_some(), !typed.fields.is_empty(), !strings.is_empty()];
        if places.iter().filter(|there| **there).count() > 1 || (!is_external && !external.is_empty()) {
            unread_contents(f.len()?, places, &mut rest)?;
        }
        t.rest = rest.take();
        t.src = self.slice(f.whole);
        t.data = if is_external {
            let name = t.name.as_deref().unwrap_or("").to_string();
            TensorData::External(
                External::from_entries(external, self.root.clone()).at(|| format!("\"{name}\""))?,
            )
        } else if let Some(raw) = raw {
            TensorData::Raw(raw)
        } else if !typed.fields.is_empty() {
            TensorData::Typed(typed)
        } else if !strings.is_empty() {
            TensorData::Strings(strings)
        } else {
            TensorData::None
        };
        Ok(t)
    }

    pub fn sparse_tensor(&self, f: &Field<'_>) -> Outcome<SparseTensor> {
        let mut fields = Fields::new(f.len()?);
        let (mut values, mut indices, mut dims, mut rest) = (None, None, Dims::new(), Rest::default());
        while let Some(f) = fields.next()? {
            match f.number {
                1 => values = Some(Arc::new(self.tensor(&f).at(|| "values".into())?)),
                2 => indices = Some(Arc::new(self.tensor(&f).at(|| "indices".into())?)),
                3 => f.ints(&mut dims)?,
                _ => rest.push(&f),
            }
        }
        let values = values.ok_or("a sparse tensor without values")?;
        Ok(SparseTensor { values, indices, dims, rest: rest.take(), src: self.slice(f.whole) })
    }

    /// A `ValueInfoProto`: its name, and the rest.
    pub fn value_info<'a>(&self, f: &Field<'a>, types: &mut Types<'a>) -> Outcome<(&'a str, ValueInfo)> {
        let mut fields = Fields::new(f.len()?);
        let (mut name, mut info) = ("", ValueInfo::default());
        let mut f = Field::none();
        while fields.read(&mut f)? {
            match f.number {
                1 => {
                    name = f.str()?;
                    if name.is_empty() {
                        info.rare_mut().rest.extend_from_slice(f.whole);
                    }
                }
                2 => info.ty = Some(self.declared(&f, types)?),
                3 => info.rare_mut().doc = Some(f.str()?.into()),
                4 => pairs(&mut info.rare_mut().metadata, &f)?,
                _ => info.rare_mut().rest.extend_from_slice(f.whole),
            }
        }
        info.src = self.span(f.whole);
        Ok((name, info))
    }
}

/// The contents of a tensor that are not the ones it is taken for, in the order of `places`.
#[cold]
fn unread_contents(tensor: &[u8], places: [bool; 4], rest: &mut Rest) -> Outcome<()> {
    let numbers: [&[u32]; 4] = [&[13], &[9], &[4, 5, 7, 10, 11], &[6]];
    let read = places.iter().position(|there| *there);
    let mut fields = Fields::new(tensor);
    while let Some(f) = fields.next()? {
        if numbers.iter().position(|of| of.contains(&f.number)).is_some_and(|place| Some(place) != read) {
            rest.push(&f);
        }
    }
    Ok(())
}

/// The declared types of a file, by their bytes: thousands of values share a few.
#[derive(Default)]
pub(crate) struct Types<'a> {
    known: FxHashMap<&'a [u8], Arc<Declared>>,
    /// The one that was asked for last, which the next is likely to be again.
    last: Option<(&'a [u8], Arc<Declared>)>,
}

impl Context {
    fn declared<'a>(&self, f: &Field<'a>, types: &mut Types<'a>) -> Outcome<Arc<Declared>> {
        if let Some((_, last)) = types.last.as_ref().filter(|(whole, _)| *whole == f.whole) {
            return Ok(last.clone());
        }
        let declared = match types.known.get(f.whole) {
            Some(known) => known.clone(),
            None => self.new_declared(f, types)?,
        };
        types.last = Some((f.whole, declared.clone()));
        Ok(declared)
    }

    fn new_declared<'a>(&self, f: &Field<'a>, types: &mut Types<'a>) -> Outcome<Arc<Declared>> {
        let mut odd = false;
        let ty = ty(f, 0, &mut odd).at(|| "type".into())?;
        let odd = if odd { self.slice(f.len()?) } else { Bytes::new() };
        let new = Arc::new(Declared { ty, src: self.slice(f.whole), odd });
        types.known.insert(f.whole, new.clone());
        Ok(new)
    }
}

/// Types nest (`seq(seq(…))`); deeper than any reader takes is refused.
const MAX_TYPE_DEPTH: u32 = 32;

/// A `TypeProto`. `odd` becomes true when it holds what the schema does not know, or says by a field that an element
/// type is undefined.
pub(crate) fn ty(f: &Field<'_>, depth: u32, odd: &mut bool) -> Outcome<Type> {
    if depth > MAX_TYPE_DEPTH {
        return Err("a type nested too deep".into());
    }
    let mut fields = Fields::new(f.len()?);
    let mut t = Type { kind: TypeKind::None, denotation: None };
    while let Some(f) = fields.next()? {
        match f.number {
            1 => t.kind = TypeKind::Tensor(tensor_type(&f, odd)?),
            8 => t.kind = TypeKind::SparseTensor(tensor_type(&f, odd)?),
            4 => t.kind = TypeKind::Sequence(inner(&f, depth, odd)?),
            9 => t.kind = TypeKind::Optional(inner(&f, depth, odd)?),
            5 => {
                let (mut key, mut value) = (DataType::UNDEFINED, None);
                let mut fields = Fields::new(f.len()?);
                while let Some(f) = fields.next()? {
                    match f.number {
                        1 => key = elem(&f, odd)?,
                        2 => value = Some(Box::new(ty(&f, depth + 1, odd)?)),
                        _ => *odd = true,
                    }
                }
                t.kind = TypeKind::Map { key, value };
            }
            7 => {
                let (mut domain, mut name) = (None, None);
                let mut fields = Fields::new(f.len()?);
                while let Some(f) = fields.next()? {
                    match f.number {
                        1 => domain = Some(f.str()?.into()),
                        2 => name = Some(f.str()?.into()),
                        _ => *odd = true,
                    }
                }
                t.kind = TypeKind::Opaque { domain, name };
            }
            6 => t.denotation = Some(f.str()?.into()),
            _ => *odd = true,
        }
    }
    Ok(t)
}

fn inner(f: &Field<'_>, depth: u32, odd: &mut bool) -> Outcome<Option<Box<Type>>> {
    let mut fields = Fields::new(f.len()?);
    let mut out = None;
    while let Some(f) = fields.next()? {
        match f.number {
            1 => out = Some(Box::new(ty(&f, depth + 1, odd)?)),
            _ => *odd = true,
        }
    }
    Ok(out)
}

fn elem(f: &Field<'_>, odd: &mut bool) -> Outcome<DataType> {
    let elem = DataType(f.int32()?);
    *odd |= elem == DataType::UNDEFINED;
    Ok(elem)
}

fn tensor_type(f: &Field<'_>, odd: &mut bool) -> Outcome<TensorType> {
    let mut fields = Fields::new(f.len()?);
    let mut t = TensorType::default();
    while let Some(f) = fields.next()? {
        match f.number {
            1 => t.elem = elem(&f, odd)?,
            2 => t.shape = Some(shape(&f, odd)?),
            _ => *odd = true,
        }
    }
    Ok(t)
}

fn shape(f: &Field<'_>, odd: &mut bool) -> Outcome<Shape> {
    let mut fields = Fields::new(f.len()?);
    let mut s = Shape::default();
    while let Some(f) = fields.next()? {
        if f.number != 1 {
            *odd = true;
            continue;
        }
        let (mut dim, mut denotation) = (Dim::Unknown, None);
        let mut inner = Fields::new(f.len()?);
        while let Some(f) = inner.next()? {
            match f.number {
                1 => dim = Dim::Known(f.int()?),
                2 => dim = Dim::Symbol(f.str()?.into()),
                3 => denotation = Some(EcoString::from(f.str()?)),
                _ => *odd = true,
            }
        }
        if denotation.is_some() && s.denotations.is_empty() {
            s.denotations = vec![None; s.dims.len()];
        }
        if denotation.is_some() || !s.denotations.is_empty() {
            s.denotations.push(denotation);
        }
        s.dims.push(dim);
    }
    Ok(s)
}

/// A `StringStringEntryProto`, and its payload where it is more than one key and one value.
pub(crate) fn pair(f: &Field<'_>) -> Outcome<(Pair, Option<EcoVec<u8>>)> {
    let mut fields = Fields::of(f)?;
    let (mut k, mut v) = (EcoString::new(), EcoString::new());
    let mut seen = 0u32;
    while let Some(f) = fields.next()? {
        seen = seen << 2 | f.number.min(3);
        match f.number {
            1 => k = f.str()?.into(),
            2 => v = f.str()?.into(),
            _ => {}
        }
    }
    let plain = seen == 0b01_10;
    Ok(((k, v), if plain { None } else { Some(f.len()?.into()) }))
}

pub(crate) fn pairs(into: &mut Metadata, f: &Field<'_>) -> Outcome<()> {
    let (pair, message) = pair(f)?;
    into.add(pair, message);
    Ok(())
}

/// An `OperatorSetIdProto`.
pub(crate) fn opset(into: &mut Vec<OpsetImport>, odd: &mut Odd<OpsetImport>, f: &Field<'_>) -> Outcome<()> {
    let mut fields = Fields::new(f.len()?);
    let (mut o, mut rest) = (OpsetImport { domain: None, version: None }, Rest::default());
    while let Some(f) = fields.next()? {
        match f.number {
            1 => o.domain = Some(f.str()?.into()),
            2 => o.version = Some(f.int()?),
            _ => rest.push(&f),
        }
    }
    if !rest.0.is_empty() {
        odd.push(o.clone(), rest.take());
    }
    into.push(o);
    Ok(())
}
