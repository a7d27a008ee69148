//! Decoding of the leaf messages: tensors, types, value infos, key-value pairs.

use std::sync::Arc;

use bytes::Bytes;
use ecow::{EcoString, EcoVec};
use prost::Message;
use rustc_hash::FxHashMap;

use super::schema;
use super::typed::TypedData;
use super::wire::{Field, Fields};
use crate::external::{External, ExternalRoot};
use crate::model::{Declared, Metadata, OpsetImport, ValueInfo};
use crate::span::Span;
use crate::tensor::{Dims, SparseTensor, Tensor, TensorData};
use crate::types::{Dim, Shape, TensorType, Type, TypeKind};
use crate::{DataType, Error};

/// Steps of a place that are told in full beside the five at its ends.
const MOST_STEPS: usize = 4;

/// What is wrong and where, the place growing outwards as the error passes up.
#[derive(Debug)]
pub(crate) struct Bad {
    /// Innermost first.
    steps: Vec<String>,
    pub reason: String,
}

impl From<String> for Bad {
    fn from(reason: String) -> Self {
        Bad { steps: Vec::new(), reason }
    }
}

impl From<&str> for Bad {
    fn from(reason: &str) -> Self {
        reason.to_string().into()
    }
}

impl From<Bad> for Error {
    fn from(b: Bad) -> Self {
        let outer_first: Vec<&str> = b.steps.iter().rev().map(String::as_str).collect();
        let place = match outer_first.as_slice() {
            [] => "model".to_string(),
            // Graphs in graphs in graphs: who looks for it needs the ends.
            [first, second, third, middle @ .., last_but_one, last] if middle.len() > MOST_STEPS => {
                format!("{first}.{second}.{third}. … {} more … .{last_but_one}.{last}", middle.len())
            }
            all => all.join("."),
        };
        Error::malformed(place, b.reason)
    }
}

pub(crate) type Outcome<T> = Result<T, Bad>;

pub(crate) trait At<T> {
    /// Prepends a step to the place.
    fn at(self, step: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Into<Bad>> At<T> for Result<T, E> {
    fn at(self, step: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|e| {
            let mut b: Bad = e.into();
            b.steps.push(step());
            b
        })
    }
}

/// Collects the fields that nobody knows, to be written back at the end of their message.
#[derive(Default)]
pub(crate) struct Rest(EcoVec<u8>);

impl Rest {
    pub fn push(&mut self, f: &Field<'_>) {
        self.0.extend_from_slice(f.whole);
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
        let (mut rest, mut typed, mut external) = (Rest::default(), TypedData::default(), Vec::new());
        let (mut raw, mut strings, mut is_external) = (None, Vec::new(), false);
        while let Some(f) = fields.next()? {
            match f.number {
                1 => f.ints(&mut t.dims)?,
                2 => t.dtype = DataType(f.int32()?),
                4 | 5 | 7 | 10 | 11 => typed.fields.push(self.slice(f.whole)),
                6 => strings.push(self.slice(f.len()?)),
                8 => t.name = Some(f.str()?.into()),
                9 => raw = Some(self.slice(f.len()?)),
                12 => t.doc = Some(f.str()?.into()),
                13 => external.push(pair(&f)?),
                14 if f.int32()? == 1 => is_external = true,
                // An explicit `DEFAULT` stays explicit.
                14 => rest.push(&f),
                16 => t.metadata.push(pair(&f)?),
                _ => rest.push(&f),
            }
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
        let mut fields = Fields::of(f)?;
        let (mut name, mut info) = ("", ValueInfo::default());
        while let Some(f) = fields.next()? {
            match f.number {
                1 => name = f.str()?,
                2 => info.ty = Some(self.declared(&f, types)?),
                3 => info.rare_mut().doc = Some(f.str()?.into()),
                4 => info.rare_mut().metadata.push(pair(&f)?),
                _ => info.rare_mut().rest.extend_from_slice(f.whole),
            }
        }
        info.src = self.span(f.whole);
        Ok((name, info))
    }
}

/// The declared types of a file, by their bytes: thousands of values share a few.
pub(crate) type Types<'a> = FxHashMap<&'a [u8], Arc<Declared>>;

impl Context {
    fn declared<'a>(&self, f: &Field<'a>, types: &mut Types<'a>) -> Outcome<Arc<Declared>> {
        if let Some(known) = types.get(f.whole) {
            return Ok(known.clone());
        }
        let new = Declared { ty: ty(f, 0).at(|| "type".into())?, src: self.slice(f.whole) };
        let new = Arc::new(new);
        types.insert(f.whole, new.clone());
        Ok(new)
    }
}

/// Types nest (`seq(seq(…))`); deeper than any reader takes is refused.
const MAX_TYPE_DEPTH: u32 = 32;

pub(crate) fn ty(f: &Field<'_>, depth: u32) -> Outcome<Type> {
    if depth > MAX_TYPE_DEPTH {
        return Err("a type nested too deep".into());
    }
    let mut fields = Fields::new(f.len()?);
    let mut t = Type { kind: TypeKind::None, denotation: None };
    while let Some(f) = fields.next()? {
        match f.number {
            1 => t.kind = TypeKind::Tensor(tensor_type(&f)?),
            8 => t.kind = TypeKind::SparseTensor(tensor_type(&f)?),
            4 => t.kind = TypeKind::Sequence(inner(&f, depth)?),
            9 => t.kind = TypeKind::Optional(inner(&f, depth)?),
            5 => {
                let (mut key, mut value) = (DataType::UNDEFINED, None);
                let mut fields = Fields::new(f.len()?);
                while let Some(f) = fields.next()? {
                    match f.number {
                        1 => key = DataType(f.int32()?),
                        2 => value = Some(Box::new(ty(&f, depth + 1)?)),
                        _ => {}
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
                        _ => {}
                    }
                }
                t.kind = TypeKind::Opaque { domain, name };
            }
            6 => t.denotation = Some(f.str()?.into()),
            _ => {}
        }
    }
    Ok(t)
}

fn inner(f: &Field<'_>, depth: u32) -> Outcome<Option<Box<Type>>> {
    let mut fields = Fields::new(f.len()?);
    let mut out = None;
    while let Some(f) = fields.next()? {
        if f.number == 1 {
            out = Some(Box::new(ty(&f, depth + 1)?));
        }
    }
    Ok(out)
}

fn tensor_type(f: &Field<'_>) -> Outcome<TensorType> {
    let mut fields = Fields::new(f.len()?);
    let mut t = TensorType::default();
    while let Some(f) = fields.next()? {
        match f.number {
            1 => t.elem = DataType(f.int32()?),
            2 => t.shape = Some(shape(&f)?),
            _ => {}
        }
    }
    Ok(t)
}

fn shape(f: &Field<'_>) -> Outcome<Shape> {
    let mut fields = Fields::new(f.len()?);
    let mut s = Shape::default();
    while let Some(f) = fields.next()? {
        if f.number != 1 {
            continue;
        }
        let (mut dim, mut denotation) = (Dim::Unknown, None);
        let mut inner = Fields::new(f.len()?);
        while let Some(f) = inner.next()? {
            match f.number {
                1 => dim = Dim::Known(f.int()?),
                2 => dim = Dim::Symbol(f.str()?.into()),
                3 => denotation = Some(EcoString::from(f.str()?)),
                _ => {}
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

pub(crate) fn pair(f: &Field<'_>) -> Outcome<(EcoString, EcoString)> {
    let mut fields = Fields::of(f)?;
    let (mut k, mut v) = (EcoString::new(), EcoString::new());
    while let Some(f) = fields.next()? {
        match f.number {
            1 => k = f.str()?.into(),
            2 => v = f.str()?.into(),
            _ => {}
        }
    }
    Ok((k, v))
}

pub(crate) fn opset(f: &Field<'_>) -> Outcome<OpsetImport> {
    let o = schema::OperatorSetId::decode(f.len()?).map_err(|e| e.to_string())?;
    Ok(OpsetImport { domain: o.domain.map(Into::into), version: o.version })
}

pub(crate) fn pairs(into: &mut Metadata, f: &Field<'_>) -> Outcome<()> {
    into.push(pair(f)?);
    Ok(())
}
