//! Tensor contents in typed fields (`float_data`, `int32_data`, …), kept as wire spans until asked for.

use bytes::Bytes;

use super::bad::Outcome;
use super::wire::Fields;
use crate::DataType;
use crate::error::{Error, Result};

/// The typed data fields of one tensor, headers included, in file order.
#[derive(Clone, Debug, Default)]
pub struct TypedData {
    pub(crate) fields: Vec<Bytes>,
}

impl TypedData {
    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        self.fields.iter().map(Bytes::len).sum()
    }

    /// The contents in `raw_data` form. Which field holds which type is `TensorProto`'s documentation.
    pub(crate) fn to_raw(&self, dtype: DataType, count: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for field in &self.fields {
            self.append(field, dtype, &mut out).map_err(|e| Error::Tensor(e.into_reason()))?;
        }
        if matches!(dtype.bits(), Some(2 | 4)) {
            // One byte of packed elements in each int32 (`TensorProto.int32_data`).
            out.truncate(dtype.byte_len(count).unwrap_or(0));
        }
        Ok(out)
    }

    fn append(&self, field: &Bytes, dtype: DataType, out: &mut Vec<u8>) -> Outcome<()> {
        let Some(f) = Fields::new(field).next()? else { return Ok(()) };
        let wrong = || format!("{dtype} contents in field {}, which does not hold that type", f.number);
        match f.number {
            4 if matches!(dtype, DataType::FLOAT | DataType::COMPLEX64) => match f.payload() {
                super::wire::Payload::Len(b) => out.extend_from_slice(b),
                super::wire::Payload::Fixed32(v) => out.extend(v.to_le_bytes()),
                _ => return Err(wrong().into()),
            },
            10 if matches!(dtype, DataType::DOUBLE | DataType::COMPLEX128) => match f.payload() {
                super::wire::Payload::Len(b) => out.extend_from_slice(b),
                super::wire::Payload::Fixed64(v) => out.extend(v.to_le_bytes()),
                _ => return Err(wrong().into()),
            },
            5 => {
                let mut v: Vec<i64> = Vec::new();
                f.ints(&mut v)?;
                match dtype.bits() {
                    Some(32) if dtype == DataType::INT32 => {
                        out.extend(v.iter().flat_map(|x| (*x as i32).to_le_bytes()))
                    }
                    Some(16) => out.extend(v.iter().flat_map(|x| (*x as u16).to_le_bytes())),
                    Some(2 | 4 | 6 | 8) => out.extend(v.iter().map(|x| *x as u8)),
                    _ => return Err(wrong().into()),
                }
            }
            7 if dtype == DataType::INT64 => {
                let mut v: Vec<i64> = Vec::new();
                f.ints(&mut v)?;
                out.extend(v.iter().flat_map(|x| x.to_le_bytes()));
            }
            11 if matches!(dtype, DataType::UINT64 | DataType::UINT32) => {
                let mut v: Vec<i64> = Vec::new();
                f.ints(&mut v)?;
                if dtype == DataType::UINT64 {
                    out.extend(v.iter().flat_map(|x| x.to_le_bytes()));
                } else {
                    out.extend(v.iter().flat_map(|x| (*x as u32).to_le_bytes()));
                }
            }
            _ => return Err(wrong().into()),
        }
        Ok(())
    }
}

/// The typed field that holds elements of `dtype`, and its packed payload for contents in `raw_data` form;
/// `None` for types that have no such field.
pub(crate) fn from_raw(dtype: DataType, raw: &[u8]) -> Option<(u32, Vec<u8>)> {
    let mut out = Vec::new();
    let mut varint = |v: i64| prost::encoding::encode_varint(v as u64, &mut out);
    let number = match dtype {
        DataType::FLOAT | DataType::COMPLEX64 => return Some((4, raw.to_vec())),
        DataType::DOUBLE | DataType::COMPLEX128 => return Some((10, raw.to_vec())),
        DataType::INT64 => {
            raw.as_chunks::<8>().0.iter().for_each(|c| varint(i64::from_le_bytes(*c)));
            7
        }
        DataType::UINT64 => {
            raw.as_chunks::<8>().0.iter().for_each(|c| varint(i64::from_le_bytes(*c)));
            11
        }
        DataType::UINT32 => {
            raw.as_chunks::<4>().0.iter().for_each(|c| varint(i64::from(u32::from_le_bytes(*c))));
            11
        }
        DataType::INT32 => {
            raw.as_chunks::<4>().0.iter().for_each(|c| varint(i64::from(i32::from_le_bytes(*c))));
            5
        }
        DataType::INT16 => {
            raw.as_chunks::<2>().0.iter().for_each(|c| varint(i64::from(i16::from_le_bytes(*c))));
            5
        }
        DataType::INT8 => {
            raw.iter().for_each(|b| varint(i64::from(*b as i8)));
            5
        }
        _ => match dtype.bits()? {
            16 => {
                raw.as_chunks::<2>().0.iter().for_each(|c| varint(i64::from(u16::from_le_bytes(*c))));
                5
            }
            2..=8 => {
                raw.iter().for_each(|b| varint(i64::from(*b)));
                5
            }
            _ => return None,
        },
    };
    Some((number, out))
}
