//! Decoding of attributes.

use std::sync::Arc;

use bytes::Bytes;
use ecow::{EcoString, EcoVec};

use super::bad::{At, Outcome};
use super::decode::Decoder;
use super::parts::{Rest, ty};
use super::wire::{Field, Fields, split_field};
use crate::{AttrValue, Attribute, SparseTensor, Tensor, Type};

impl<'a> Decoder<'a> {
    /// Reads an attribute. Graphs in it are handed to `graph` with their place in the list; the value holds
    /// the main graph's id until they are read.
    pub(super) fn attribute(
        &mut self,
        field: &Field<'a>,
        graph: impl FnMut(usize, &'a [u8]),
    ) -> Outcome<Attribute> {
        self.attribute_of(field, ANY_VALUE, graph)
    }

    /// Reads an attribute of whose values those count whose fields are in `given`, a set of numbers; others, which
    /// its type says nothing of, are kept as they stand.
    fn attribute_of(
        &mut self,
        field: &Field<'a>,
        given: u32,
        mut graph: impl FnMut(usize, &'a [u8]),
    ) -> Outcome<Attribute> {
        let mut fields = Fields::of(field)?;
        let (mut name, mut doc, mut kind, mut reference) = (EcoString::new(), None, None, None);
        let (mut one, mut ints, mut graphs, mut lists) = (None, Vec::new(), Vec::new(), None::<Box<Lists>>);
        let (mut seen, mut unknown_type, mut rest) = (0u32, None, Rest::default());
        let mut f = Field::none();
        while fields.read(&mut f)? {
            let bit = if f.number < 32 { 1 << f.number & ANY_VALUE } else { 0 };
            if bit & !given != 0 {
                rest.push(&f);
                continue;
            }
            seen |= bit;
            match f.number {
                1 => {
                    name = self.intern(f.str()?);
                    rest.push_if(name.is_empty(), &f);
                }
                2 => one = Some(AttrValue::Float(f.float()?)),
                3 => one = Some(AttrValue::Int(f.int()?)),
                4 => one = Some(AttrValue::String(self.cx.slice(f.len()?))),
                5 => one = Some(AttrValue::Tensor(Arc::new(self.cx.tensor(&f).at(|| "t".into())?))),
                6 => {
                    graphs = vec![f.len()?];
                    one = Some(AttrValue::Graph(self.model.main));
                }
                7 => f.floats(&mut lists.get_or_insert_default().floats)?,
                8 => f.ints(&mut ints)?,
                9 => lists.get_or_insert_default().strings.push(self.cx.slice(f.len()?)),
                10 => {
                    let t = self.cx.tensor(&f).at(|| "tensors".into())?;
                    lists.get_or_insert_default().tensors.push(Arc::new(t));
                }
                11 => graphs.push(f.len()?),
                13 => doc = Some(f.str()?.into()),
                14 => one = Some(AttrValue::Type(Box::new(ty(&f, 0, &mut false)?))),
                15 => lists.get_or_insert_default().types.push(ty(&f, 0, &mut false)?),
                20 => {
                    kind = Some(f.int32()?);
                    unknown_type = Some(f);
                }
                21 => reference = Some(EcoString::from(f.str()?)),
                22 => one = Some(AttrValue::SparseTensor(Arc::new(self.cx.sparse_tensor(&f)?))),
                23 => lists.get_or_insert_default().sparse.push(Arc::new(self.cx.sparse_tensor(&f)?)),
                _ => rest.push(&f),
            }
        }
        let reference = reference.filter(|name| !name.is_empty());
        let meant = if reference.is_some() { 1 << 21 } else { value_field(kind.unwrap_or(0), seen) };
        if seen & !meant != 0 {
            return self.attribute_of(field, meant, graph);
        }
        let value = match reference {
            Some(name) => AttrValue::Ref { name, kind: kind.unwrap_or(0) },
            None => match (meant.trailing_zeros(), one) {
                (2 | 3 | 4 | 5 | 6 | 14 | 22, Some(one)) => one,
                (2, None) => AttrValue::Float(0.0),
                (3, None) => AttrValue::Int(0),
                (4, None) => AttrValue::String(Bytes::new()),
                (8, _) => AttrValue::Ints(ints),
                (11, _) => AttrValue::Graphs(vec![self.model.main; graphs.len()]),
                (field, _) => Lists::value(lists, field),
            },
        };
        graphs.into_iter().enumerate().for_each(|(k, payload)| graph(k, payload));
        // A type without its value, or one that is newer than this program, or none.
        if let Some(f) = unknown_type {
            rest.push_if(matches!(value, AttrValue::Undefined) || kind == Some(0), &f);
        }
        Ok(Attribute { name, value, doc, rest: rest.take(), src: self.cx.slice(field.whole) })
    }
}

/// Values that few attributes have.
#[derive(Default)]
struct Lists {
    floats: Vec<f32>,
    strings: Vec<Bytes>,
    tensors: Vec<Arc<Tensor>>,
    types: Vec<Type>,
    sparse: Vec<Arc<SparseTensor>>,
}

impl Lists {
    /// The value that the list of a field is.
    fn value(lists: Option<Box<Self>>, field: u32) -> AttrValue {
        let lists = lists.map(|l| *l).unwrap_or_default();
        match field {
            7 => AttrValue::Floats(lists.floats),
            9 => AttrValue::Strings(lists.strings),
            10 => AttrValue::Tensors(lists.tensors),
            15 => AttrValue::Types(lists.types),
            23 => AttrValue::SparseTensors(lists.sparse),
            _ => AttrValue::Undefined,
        }
    }
}

/// The numbers of the fields of an `AttributeProto` that hold its value, or refer to it, as a set.
const ANY_VALUE: u32 = 0b1110_0000_1100_1111_1111_1100;

/// The field, as a set of one, that an attribute of this type has its value in; `seen` are those that are there. A
/// file of IR 1 has no type, so the field that is set tells.
fn value_field(kind: i32, seen: u32) -> u32 {
    let fields = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 22, 23, 14, 15];
    match usize::try_from(kind) {
        Ok(0) => fields.iter().map(|f| 1 << f).find(|f| seen & f != 0).unwrap_or(0),
        Ok(kind) => fields.get(kind - 1).map_or(0, |f| 1 << f),
        Err(_) => 0,
    }
}

/// What an attribute was read without, and means all the same.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Absent {
    /// Its type, which the field that holds its value tells.
    pub kind: bool,
    /// A value that is 0 or empty.
    pub value: bool,
}

/// What an attribute was read without; one that is made by us has all of it.
pub(crate) fn absent(a: &Attribute) -> Absent {
    let Some((_, message)) = (!a.src.is_empty()).then(|| split_field(&a.src).ok()).flatten() else {
        return Absent::default();
    };
    let number = match a.value {
        AttrValue::Float(_) => 2,
        AttrValue::Int(_) => 3,
        AttrValue::String(_) => 4,
        _ => 0,
    };
    let (mut fields, mut absent) = (Fields::new(&message), Absent { kind: true, value: number != 0 });
    while let Ok(Some(f)) = fields.next() {
        absent.kind &= f.number != 20 || f.int32().is_ok_and(|n| n == 0);
        absent.value &= f.number != number;
    }
    absent
}

/// The fields that are kept of an attribute, without those that tell of a value or a type, which it gets another of.
pub(crate) fn without_value(rest: &[u8]) -> EcoVec<u8> {
    let (mut out, mut fields) = (Rest::default(), Fields::new(rest));
    // Reading has seen that it can be walked.
    while let Ok(Some(f)) = fields.next() {
        let value = f.number == 20 || f.number < 32 && ANY_VALUE >> f.number & 1 != 0;
        if !value {
            out.push(&f);
        }
    }
    out.take()
}
