//! Tensors: shared and lazy. A tensor's contents are a slice of the mapped file, a range of an external
//! file, or bytes that we made; cloning one copies nothing.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ecow::{EcoString, EcoVec};
use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::external::External;
use crate::proto::encode_parts::without_contents;
use crate::proto::typed::TypedData;
use crate::{DataType, Metadata};

/// The dimensions of a tensor with contents.
pub type Dims = SmallVec<[i64; 4]>;

/// Where a tensor's contents are.
#[derive(Clone, Debug)]
pub enum TensorData {
    /// `raw_data`: little-endian, fixed width, sub-byte types packed low bits first.
    Raw(Bytes),
    /// `float_data`, `int32_data`, …: kept as they stand on the wire until somebody asks.
    Typed(TypedData),
    /// `string_data`.
    Strings(Vec<Bytes>),
    /// A range of another file.
    External(External),
    /// No field holds contents (an empty tensor, or a broken one).
    None,
}

/// Where a tensor's contents go when the model is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Store {
    /// Where they are: external contents in their file, all others in the model.
    #[default]
    Keep,
    /// Into the model.
    Inline,
    /// Into a data file beside the model; when the model is written as bytes, where they are.
    External(Arc<DataFile>),
}

/// A data file that is made when the model is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Its name, relative to the model's folder; `{model}` in it stands for the model's file name.
    pub name: EcoString,
    /// Contents of at least this many bytes start at a multiple of it.
    pub alignment: u64,
}

/// A dense tensor (`TensorProto`), without the name that an initializer has from its value.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// The element type.
    pub dtype: DataType,
    /// The shape.
    pub dims: Dims,
    /// The contents.
    pub data: TensorData,
    /// `name`, as the file has it. An initializer's name is its value's.
    pub name: Option<EcoString>,
    /// `doc_string`.
    pub doc: Option<EcoString>,
    /// `metadata_props`.
    pub metadata: Metadata,
    /// Where the contents go when the model is written.
    pub store: Store,
    /// Fields that this crate does not know (and `segment`), as they stood.
    pub(crate) rest: EcoVec<u8>,
    /// The whole field in its source, header included; empty when made by us. Valid while the name is.
    pub(crate) src: Bytes,
}

impl Tensor {
    /// A tensor of raw little-endian bytes.
    ///
    /// # Errors
    /// When the number of bytes is not what `dtype` and `dims` need.
    pub fn from_raw(dtype: DataType, dims: &[i64], raw: impl Into<Bytes>) -> Result<Self> {
        let raw = raw.into();
        let t = Self::with_data(dtype, dims, TensorData::Raw(raw.clone()));
        let need = dtype.byte_len(t.len()?);
        if need != Some(raw.len()) {
            return Err(Error::Tensor(format!(
                "{dtype} {dims:?} needs {} bytes, got {}",
                need.map_or("an unknown number of".into(), |n| n.to_string()),
                raw.len()
            )));
        }
        Ok(t)
    }

    /// A tensor whose contents are `data`, unchecked.
    pub fn with_data(dtype: DataType, dims: &[i64], data: TensorData) -> Self {
        Tensor {
            dtype,
            dims: Dims::from_slice(dims),
            data,
            name: None,
            doc: None,
            metadata: Metadata::default(),
            store: Store::Keep,
            rest: EcoVec::new(),
            src: Bytes::new(),
        }
    }

    /// An `int64` tensor. The number of values must be the product of `dims`; a mismatch gives a tensor
    /// that `verify` reports.
    pub fn int64(dims: &[i64], values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::with_data(DataType::INT64, dims, TensorData::Raw(raw.into()))
    }

    /// A one-dimensional `int64` tensor.
    pub fn int64_vec(values: &[i64]) -> Self {
        Self::int64(&[values.len() as i64], values)
    }

    /// A `float` tensor; as [`Tensor::int64`].
    pub fn float(dims: &[i64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::with_data(DataType::FLOAT, dims, TensorData::Raw(raw.into()))
    }

    /// A `bool` tensor; as [`Tensor::int64`].
    pub fn bool(dims: &[i64], values: &[bool]) -> Self {
        let raw: Vec<u8> = values.iter().map(|v| u8::from(*v)).collect();
        Self::with_data(DataType::BOOL, dims, TensorData::Raw(raw.into()))
    }

    /// A tensor of integers of any integer type or `bool`.
    ///
    /// # Errors
    /// When a value does not fit the type, or the type is not an integer type of whole bytes.
    pub fn integers(dtype: DataType, dims: &[i64], values: &[i64]) -> Result<Self> {
        let mut raw = Vec::with_capacity(values.len() * 8);
        for &v in values {
            put_integer(dtype, v, &mut raw)
                .ok_or_else(|| Error::Tensor(format!("{v} does not fit {dtype}")))?;
        }
        Self::from_raw(dtype, dims, raw)
    }

    /// The number of elements.
    ///
    /// # Errors
    /// When a dim is negative or the product overflows.
    pub fn len(&self) -> Result<usize> {
        self.dims
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?))
            .ok_or_else(|| Error::Tensor(format!("impossible shape {:?}", self.dims)))
    }

    /// True when the tensor has no element.
    pub fn is_empty(&self) -> bool {
        self.dims.contains(&0)
    }

    /// Bytes that the contents take in `raw_data` form; `None` for strings and unknown types.
    pub fn byte_len(&self) -> Option<usize> {
        self.dtype.byte_len(self.len().ok()?)
    }

    /// True when the contents are in another file.
    pub fn is_external(&self) -> bool {
        matches!(self.data, TensorData::External(_))
    }

    /// The contents as raw little-endian bytes, without a copy where the file has them so. External data is
    /// mapped from its file.
    ///
    /// # Errors
    /// When the contents are missing, are strings, do not fit the shape, or their file cannot be read.
    pub fn bytes(&self) -> Result<Bytes> {
        let count = self.len()?;
        let need = self
            .dtype
            .byte_len(count)
            .ok_or_else(|| Error::Tensor(format!("{} has no raw form", self.dtype)))?;
        let raw = match &self.data {
            TensorData::Raw(b) => b.clone(),
            TensorData::Typed(t) => t.to_raw(self.dtype, count)?.into(),
            TensorData::External(e) => e.map(self.name.as_deref().unwrap_or(""), need)?,
            TensorData::None if count == 0 => Bytes::new(),
            TensorData::None => {
                return Err(Error::Tensor(format!("{} {:?} has no contents", self.dtype, self.dims)));
            }
            TensorData::Strings(_) => return Err(Error::Tensor("string contents under another type".into())),
        };
        if raw.len() != need {
            return Err(Error::Tensor(format!(
                "{} {:?} needs {need} bytes, the file has {}",
                self.dtype,
                self.dims,
                raw.len()
            )));
        }
        Ok(raw)
    }

    /// The contents as integers, for any integer type and `bool`.
    ///
    /// # Errors
    /// As [`Tensor::bytes`], and when the type is not an integer type, or a `uint64` exceeds `i64`.
    pub fn to_i64s(&self) -> Result<Vec<i64>> {
        let raw = self.bytes()?;
        let bad = || Error::Tensor(format!("{} is not an integer type", self.dtype));
        Ok(match self.dtype {
            DataType::INT64 => chunks(&raw, i64::from_le_bytes),
            DataType::INT32 => chunks(&raw, |b| i64::from(i32::from_le_bytes(b))),
            DataType::INT16 => chunks(&raw, |b| i64::from(i16::from_le_bytes(b))),
            DataType::INT8 => chunks(&raw, |b| i64::from(i8::from_le_bytes(b))),
            DataType::UINT32 => chunks(&raw, |b| i64::from(u32::from_le_bytes(b))),
            DataType::UINT16 => chunks(&raw, |b| i64::from(u16::from_le_bytes(b))),
            DataType::UINT8 => chunks(&raw, |b: [u8; 1]| i64::from(b[0])),
            DataType::BOOL => chunks(&raw, |b: [u8; 1]| i64::from(b[0] != 0)),
            DataType::UINT64 => chunks(&raw, u64::from_le_bytes)
                .into_iter()
                .map(|v| i64::try_from(v).map_err(|_| Error::Tensor(format!("{v} exceeds int64"))))
                .collect::<Result<_>>()?,
            DataType::INT4 | DataType::UINT4 => nibbles(&raw, self.len()?, self.dtype == DataType::INT4),
            _ => return Err(bad()),
        })
    }

    /// The contents as `f64`, for `float`, `double`, `float16` and `bfloat16` (exact for all four).
    ///
    /// # Errors
    /// As [`Tensor::bytes`], and when the type is another.
    pub fn to_f64s(&self) -> Result<Vec<f64>> {
        let raw = self.bytes()?;
        Ok(match self.dtype {
            DataType::FLOAT => chunks(&raw, |b| f64::from(f32::from_le_bytes(b))),
            DataType::DOUBLE => chunks(&raw, f64::from_le_bytes),
            DataType::FLOAT16 => chunks(&raw, |b| half::f16::from_le_bytes(b).to_f64()),
            DataType::BFLOAT16 => chunks(&raw, |b| half::bf16::from_le_bytes(b).to_f64()),
            _ => return Err(Error::Tensor(format!("{} is not a floating-point type", self.dtype))),
        })
    }

    /// The strings of a `string` tensor.
    pub fn strings(&self) -> Option<&[Bytes]> {
        match &self.data {
            TensorData::Strings(s) => Some(s),
            TensorData::None if self.dtype == DataType::STRING => Some(&[]),
            _ => None,
        }
    }

    /// Whether two tensors have the same type, shape and contents, however they are stored. External
    /// contents are compared by their place first and read only when the places differ.
    ///
    /// # Errors
    /// When contents cannot be read.
    pub fn same_contents(&self, other: &Tensor) -> Result<bool> {
        if self.dtype != other.dtype || self.dims != other.dims {
            return Ok(false);
        }
        match (&self.data, &other.data) {
            (TensorData::External(a), TensorData::External(b)) if a.same_place(b) => Ok(true),
            (TensorData::Strings(a), TensorData::Strings(b)) => Ok(a == b),
            (TensorData::Strings(_), _) | (_, TensorData::Strings(_)) => Ok(false),
            _ => Ok(self.bytes()? == other.bytes()?),
        }
    }

    /// The BLAKE3 hash of the contents in `raw_data` form, so that typed and raw storage hash alike; type and
    /// shape are no part of it. Strings are hashed with their lengths.
    ///
    /// # Errors
    /// As [`Tensor::bytes`].
    pub fn content_hash(&self) -> Result<[u8; 32]> {
        let TensorData::Strings(strings) = &self.data else {
            return Ok(*blake3::hash(&self.bytes()?).as_bytes());
        };
        let mut h = blake3::Hasher::new();
        for s in strings {
            h.update(&(s.len() as u64).to_le_bytes()).update(s);
        }
        Ok(*h.finalize().as_bytes())
    }

    /// This tensor with another shape of the same number of elements; the contents are shared.
    pub fn reshaped(&self, dims: &[i64]) -> Tensor {
        Tensor { dims: Dims::from_slice(dims), src: Bytes::new(), ..self.clone() }
    }

    /// This tensor, to be stored elsewhere; the contents are shared.
    pub fn stored(&self, store: Store) -> Tensor {
        Tensor { store, ..self.clone() }
    }

    /// This tensor with all that another says of itself beside its contents: name, doc string, metadata, and what the
    /// schema does not know.
    #[must_use]
    pub fn described_as(mut self, other: &Tensor) -> Tensor {
        (self.name, self.doc) = (other.name.clone(), other.doc.clone());
        self.metadata = other.metadata.clone();
        self.rest = without_contents(&other.rest).as_slice().into();
        self.src = Bytes::new();
        self
    }

    /// Shares the tensor.
    pub fn shared(self) -> Arc<Tensor> {
        Arc::new(self)
    }

    /// A short text of the contents for messages: all of them when few, else the first ones.
    pub fn preview(&self) -> Cow<'static, str> {
        const MOST: usize = 8;
        if self.is_external() || self.byte_len().is_none_or(|n| n > 4096) {
            return Cow::Borrowed("…");
        }
        let items: Vec<String> = match (self.to_i64s(), self.to_f64s()) {
            (Ok(v), _) => v.iter().take(MOST + 1).map(ToString::to_string).collect(),
            (_, Ok(v)) => v.iter().take(MOST + 1).map(ToString::to_string).collect(),
            _ => return Cow::Borrowed("…"),
        };
        let more = if items.len() > MOST { ", …" } else { "" };
        Cow::Owned(format!("{{{}{more}}}", items[..items.len().min(MOST)].join(", ")))
    }
}

fn chunks<const N: usize, T>(raw: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|c| f(*c)).collect()
}

fn nibbles(raw: &[u8], count: usize, signed: bool) -> Vec<i64> {
    let one = |n: u8| if signed { i64::from((n << 4) as i8 >> 4) } else { i64::from(n) };
    raw.iter().flat_map(|b| [one(b & 15), one(b >> 4)]).take(count).collect()
}

fn put_integer(dtype: DataType, v: i64, out: &mut Vec<u8>) -> Option<()> {
    match dtype {
        DataType::INT64 => out.extend(v.to_le_bytes()),
        DataType::INT32 => out.extend(i32::try_from(v).ok()?.to_le_bytes()),
        DataType::INT16 => out.extend(i16::try_from(v).ok()?.to_le_bytes()),
        DataType::INT8 => out.extend(i8::try_from(v).ok()?.to_le_bytes()),
        DataType::UINT64 => out.extend(u64::try_from(v).ok()?.to_le_bytes()),
        DataType::UINT32 => out.extend(u32::try_from(v).ok()?.to_le_bytes()),
        DataType::UINT16 => out.extend(u16::try_from(v).ok()?.to_le_bytes()),
        DataType::UINT8 => out.extend(u8::try_from(v).ok()?.to_le_bytes()),
        DataType::BOOL => out.push(u8::try_from(v).ok().filter(|b| *b < 2)?),
        _ => return None,
    }
    Some(())
}

/// `SparseTensorProto`.
#[derive(Clone, Debug)]
pub struct SparseTensor {
    /// The nonzero values; its name is the initializer's.
    pub values: Arc<Tensor>,
    /// Their positions.
    pub indices: Option<Arc<Tensor>>,
    /// The dense shape.
    pub dims: Dims,
    pub(crate) rest: EcoVec<u8>,
    pub(crate) src: Bytes,
}

impl SparseTensor {
    /// Its values and its indices.
    pub fn tensors(&self) -> impl Iterator<Item = &Arc<Tensor>> {
        std::iter::once(&self.values).chain(&self.indices)
    }
}
