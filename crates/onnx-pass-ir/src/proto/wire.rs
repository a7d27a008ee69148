//! A cursor over the fields of a message.

use bytes::Bytes;
use prost::encoding::{WireType, decode_varint, encode_key, encode_varint};

use crate::error::{Error, Result};

/// Protobuf readers stop at a hundred nested messages, so a file beyond that is of no use to anybody.
pub(crate) const MAX_DEPTH: u32 = 100;

/// One field: its number, what it holds, and the whole of it with its header.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    pub number: u32,
    kind: WireType,
    /// Invariant: when set, every byte of the message around this field is ASCII.
    ascii: bool,
    /// A number, or where the payload begins.
    value: u64,
    /// Header and payload.
    pub whole: &'a [u8],
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Len(&'a [u8]),
    /// A group, which no ONNX message uses; kept whole.
    Group,
}

/// Walks the fields of a message.
pub(crate) struct Fields<'a> {
    buf: &'a [u8],
    /// Invariant: when set, every byte of the message is ASCII.
    ascii: bool,
}

impl<'a> Fields<'a> {
    pub fn new(buf: &'a [u8]) -> Self {
        Fields { buf, ascii: false }
    }

    /// The fields of a small message with many strings. Looking once whether it is ASCII saves looking at each:
    /// lengths and numbers are, too, as long as they are below 128.
    pub fn of(field: &Field<'a>) -> Result<Self, String> {
        let buf = field.len()?;
        Ok(Fields { buf, ascii: field.ascii || buf.is_ascii() })
    }

    /// The next field; `None` at the end. The error says what is wrong, without the place.
    #[inline]
    pub fn next(&mut self) -> Result<Option<Field<'a>>, String> {
        // Nearly all there is: bytes fewer than 128, under a number below 16.
        if let [key, len, ..] = *self.buf
            && key & 0x87 == 2
            && key > 7
            && len < 0x80
            && let Some((whole, rest)) = self.buf.split_at_checked(usize::from(len) + 2)
        {
            self.buf = rest;
            let number = u32::from(key >> 3);
            let kind = WireType::LengthDelimited;
            return Ok(Some(Field { number, kind, ascii: self.ascii, value: 2, whole }));
        }
        self.any()
    }

    #[inline(never)]
    fn any(&mut self) -> Result<Option<Field<'a>>, String> {
        if self.buf.is_empty() {
            return Ok(None);
        }
        let start = self.buf;
        let (number, kind) = key(&mut self.buf)?;
        let value = match kind {
            WireType::Varint => varint(&mut self.buf)?,
            WireType::SixtyFourBit => u64::from_le_bytes(fixed(&mut self.buf)?),
            WireType::ThirtyTwoBit => u64::from(u32::from_le_bytes(fixed(&mut self.buf)?)),
            WireType::LengthDelimited => {
                let len = varint(&mut self.buf)?;
                let len = usize::try_from(len).ok().filter(|l| *l <= self.buf.len()).ok_or_else(|| {
                    format!(
                        "a field claims {len} bytes, {} are left: the file is cut short or not ONNX",
                        self.buf.len()
                    )
                })?;
                let header = start.len() - self.buf.len();
                self.buf = &self.buf[len..];
                header as u64
            }
            WireType::StartGroup => {
                skip_group(&mut self.buf, number)?;
                0
            }
            WireType::EndGroup => {
                return Err("a group ends that never began: damaged, or not an ONNX model".into());
            }
        };
        let whole = &start[..start.len() - self.buf.len()];
        Ok(Some(Field { number, kind, ascii: self.ascii, value, whole }))
    }
}

#[inline]
fn key(buf: &mut &[u8]) -> Result<(u32, WireType), String> {
    let key = varint(buf)?;
    let number = u32::try_from(key >> 3).map_err(|_| "a field number out of range".to_string())?;
    if number == 0 {
        return Err("field number 0: not ONNX".into());
    }
    let wire = WireType::try_from(key & 7)
        .map_err(|_| format!("wire type {} does not exist: damaged, or not an ONNX model", key & 7))?;
    Ok((number, wire))
}

/// Most numbers take one byte.
#[inline]
fn varint(buf: &mut &[u8]) -> Result<u64, String> {
    if let Some((&b, rest)) = buf.split_first()
        && b < 0x80
    {
        *buf = rest;
        return Ok(u64::from(b));
    }
    long_varint(buf)
}

fn long_varint(buf: &mut &[u8]) -> Result<u64, String> {
    decode_varint(buf).map_err(|_| "a number is cut short or too long".to_string())
}

fn fixed<const N: usize>(buf: &mut &[u8]) -> Result<[u8; N], String> {
    let (head, rest) = buf.split_first_chunk::<N>().ok_or("a number is cut short")?;
    *buf = rest;
    Ok(*head)
}

fn skip_group(buf: &mut &[u8], number: u32) -> Result<(), String> {
    let mut open = vec![number];
    while let Some(&innermost) = open.last() {
        let (n, wire) = key(buf)?;
        match wire {
            WireType::StartGroup if open.len() < MAX_DEPTH as usize => open.push(n),
            WireType::StartGroup => return Err("groups nested too deep".into()),
            WireType::EndGroup if n == innermost => {
                open.pop();
            }
            WireType::EndGroup => return Err("groups that cross".into()),
            WireType::Varint => {
                varint(buf)?;
            }
            WireType::SixtyFourBit => {
                fixed::<8>(buf)?;
            }
            WireType::ThirtyTwoBit => {
                fixed::<4>(buf)?;
            }
            WireType::LengthDelimited => {
                let len = varint(buf)?;
                let len =
                    usize::try_from(len).ok().filter(|l| *l <= buf.len()).ok_or("a field is cut short")?;
                *buf = &buf[len..];
            }
        }
    }
    Ok(())
}

impl<'a> Field<'a> {
    /// The field that these bytes, which a walk found, are the whole of.
    pub fn again(whole: &'a [u8]) -> Result<Self, String> {
        Fields::new(whole).next()?.ok_or_else(|| "an empty field".to_string())
    }

    pub fn payload(&self) -> Payload<'a> {
        match self.kind {
            WireType::Varint => Payload::Varint(self.value),
            WireType::SixtyFourBit => Payload::Fixed64(self.value),
            WireType::ThirtyTwoBit => Payload::Fixed32(self.value as u32),
            WireType::LengthDelimited => Payload::Len(self.whole.get(self.value as usize..).unwrap_or(&[])),
            WireType::StartGroup | WireType::EndGroup => Payload::Group,
        }
    }

    #[inline]
    pub fn len(&self) -> Result<&'a [u8], String> {
        match self.payload() {
            Payload::Len(b) => Ok(b),
            _ => Err(self.wrong()),
        }
    }

    #[cold]
    fn wrong(&self) -> String {
        format!("field {} has the wrong wire type", self.number)
    }

    #[inline]
    pub fn str(&self) -> Result<&'a str, String> {
        let bytes = self.len()?;
        if self.ascii {
            // SAFETY: the field is part of a message of which every byte was seen to be ASCII.
            return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
        }
        std::str::from_utf8(bytes).map_err(|e| format!("field {} is not UTF-8 ({e})", self.number))
    }

    pub fn int(&self) -> Result<i64, String> {
        if self.kind == WireType::Varint { Ok(self.value as i64) } else { Err(self.wrong()) }
    }

    /// An `int32` or an enum: protobuf keeps the low 32 bits.
    pub fn int32(&self) -> Result<i32, String> {
        Ok(self.int()? as i32)
    }

    pub fn float(&self) -> Result<f32, String> {
        match self.payload() {
            Payload::Fixed32(v) => Ok(f32::from_bits(v)),
            _ => Err(self.wrong()),
        }
    }

    /// Appends the integers of a repeated field, packed or not.
    pub fn ints(&self, out: &mut impl Extend<i64>) -> Result<(), String> {
        match self.payload() {
            Payload::Varint(v) => out.extend([v as i64]),
            Payload::Len(mut b) => {
                while !b.is_empty() {
                    out.extend([varint(&mut b)? as i64]);
                }
            }
            _ => return Err(self.wrong()),
        }
        Ok(())
    }

    /// Appends the floats of a repeated field, packed or not.
    pub fn floats(&self, out: &mut Vec<f32>) -> Result<(), String> {
        match self.payload() {
            Payload::Fixed32(v) => out.push(f32::from_bits(v)),
            Payload::Len(b) => {
                let (all, rest) = b.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(format!("field {} is cut short", self.number));
                }
                out.extend(all.iter().map(|c| f32::from_le_bytes(*c)));
            }
            _ => return Err(self.wrong()),
        }
        Ok(())
    }
}

/// Splits a length-delimited field with its header into its number and payload.
pub(crate) fn split_field(whole: &Bytes) -> Result<(u32, Bytes)> {
    let mut buf: &[u8] = whole;
    let (number, _) = key(&mut buf).map_err(|e| Error::malformed("span", e))?;
    varint(&mut buf).map_err(|e| Error::malformed("span", e))?;
    Ok((number, whole.slice(whole.len() - buf.len()..)))
}

/// A message in which the fields that `change` gives another payload for have it; all else stays as it is.
pub(crate) fn rewritten(
    message: &[u8],
    mut change: impl FnMut(&Field<'_>) -> Result<Option<Vec<u8>>, String>,
) -> Result<Vec<u8>, String> {
    let (mut out, mut fields) = (Vec::with_capacity(message.len()), Fields::new(message));
    while let Some(f) = fields.next()? {
        match change(&f)? {
            Some(payload) => {
                encode_key(f.number, WireType::LengthDelimited, &mut out);
                encode_varint(payload.len() as u64, &mut out);
                out.extend_from_slice(&payload);
            }
            None => out.extend_from_slice(f.whole),
        }
    }
    Ok(out)
}

/// The payload of the last field of that number that has one; empty when there is none.
pub(crate) fn within(message: &[u8], number: u32) -> &[u8] {
    all_within(message, number).last().unwrap_or(&[])
}

/// The payloads of all fields of that number.
pub(crate) fn all_within(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    let mut fields = Fields::new(message);
    let fields = std::iter::from_fn(move || fields.next().ok().flatten());
    fields.filter(move |f| f.number == number).filter_map(|f| f.len().ok())
}
