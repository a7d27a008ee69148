//! A cursor over the fields of a message.

use bytes::Bytes;
use prost::encoding::{WireType, decode_varint, encode_key, encode_varint};

use super::bad::{Bad, Outcome};
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
    pub fn of(field: &Field<'a>) -> Outcome<Self> {
        let buf = field.len()?;
        Ok(Fields { buf, ascii: field.ascii || buf.is_ascii() })
    }

    /// The next field; `None` at the end. The error says what is wrong, without the place.
    pub fn next(&mut self) -> Outcome<Option<Field<'a>>> {
        let mut f = Field::none();
        Ok(self.read(&mut f)?.then_some(f))
    }

    /// As [`Fields::next`], into `f`; false at the end. For messages of which there are very many: a field that is
    /// handed over from place to place costs more than what is read of it.
    #[inline]
    pub fn read(&mut self, f: &mut Field<'a>) -> Outcome<bool> {
        f.ascii = self.ascii;
        // Nearly all there is: bytes fewer than 128, under a number below 16.
        if let [key, len, ..] = *self.buf
            && key & 0x87 == 2
            && key > 7
            && len < 0x80
            && let Some((whole, rest)) = self.buf.split_at_checked(usize::from(len) + 2)
        {
            self.buf = rest;
            f.number = u32::from(key >> 3);
            f.kind = WireType::LengthDelimited;
            f.value = 2;
            f.whole = whole;
            return Ok(true);
        }
        self.any(f)
    }

    #[inline(never)]
    fn any(&mut self, f: &mut Field<'a>) -> Outcome<bool> {
        let start = self.buf;
        match *start {
            [] => return Ok(false),
            // Small numbers, and bytes of which there are more than a few.
            [key, value, ..] if key & 0x87 == 0 && key > 7 && value < 0x80 => {
                f.number = u32::from(key >> 3);
                f.kind = WireType::Varint;
                f.value = u64::from(value);
                (f.whole, self.buf) = start.split_at(2);
                return Ok(true);
            }
            [key, low, high, ..] if key & 0x87 == 2 && key > 7 && low >= 0x80 && high < 0x80 => {
                let len = usize::from(low & 0x7f) | usize::from(high) << 7;
                if let Some((whole, rest)) = start.split_at_checked(len + 3) {
                    self.buf = rest;
                    f.number = u32::from(key >> 3);
                    f.kind = WireType::LengthDelimited;
                    f.value = 3;
                    f.whole = whole;
                    return Ok(true);
                }
            }
            _ => {}
        }
        (f.number, f.kind) = key(&mut self.buf)?;
        f.value = match f.kind {
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
                skip_group(&mut self.buf, f.number)?;
                0
            }
            WireType::EndGroup => {
                return Err("a group ends that never began: damaged, or not an ONNX model".into());
            }
        };
        f.whole = &start[..start.len() - self.buf.len()];
        Ok(true)
    }
}

/// The fields of one number, of which a message may have very many: where they begin, and how many are to come. They
/// are walked over twice, which costs less than to note each of them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Run<'a> {
    number: u32,
    from: &'a [u8],
    left: usize,
}

impl<'a> Run<'a> {
    /// Takes note of a field that a walk over the message has just met.
    #[inline]
    pub fn add(&mut self, message: &'a [u8], walk: &Fields<'a>, f: &Field<'a>) {
        if self.left == 0 {
            let start = message.len() - walk.buf.len() - f.whole.len();
            (self.number, self.from) = (f.number, &message[start..]);
        }
        self.left += 1;
    }

    /// How many fields are to come.
    pub fn len(&self) -> usize {
        self.left
    }

    /// The next of them, into `f`; false at the end.
    #[inline]
    pub fn read(&mut self, f: &mut Field<'a>) -> Outcome<bool> {
        let mut fields = Fields::new(self.from);
        while self.left > 0 && fields.read(f)? {
            if f.number == self.number {
                (self.from, self.left) = (fields.buf, self.left - 1);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[inline]
fn key(buf: &mut &[u8]) -> Outcome<(u32, WireType)> {
    let key = varint(buf)?;
    let number = u32::try_from(key >> 3).map_err(|_| "a field number out of range")?;
    if number == 0 {
        return Err("field number 0: not ONNX".into());
    }
    let wire = WireType::try_from(key & 7)
        .map_err(|_| format!("wire type {} does not exist: damaged, or not an ONNX model", key & 7))?;
    Ok((number, wire))
}

/// Most numbers take one byte.
#[inline]
fn varint(buf: &mut &[u8]) -> Outcome<u64> {
    if let Some((&b, rest)) = buf.split_first()
        && b < 0x80
    {
        *buf = rest;
        return Ok(u64::from(b));
    }
    long_varint(buf)
}

fn long_varint(buf: &mut &[u8]) -> Outcome<u64> {
    decode_varint(buf).map_err(|_| "a number is cut short or too long".into())
}

fn fixed<const N: usize>(buf: &mut &[u8]) -> Outcome<[u8; N]> {
    let (head, rest) = buf.split_first_chunk::<N>().ok_or("a number is cut short")?;
    *buf = rest;
    Ok(*head)
}

fn skip_group(buf: &mut &[u8], number: u32) -> Outcome<()> {
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
    /// A place for [`Fields::read`] to put one.
    pub fn none() -> Self {
        Field { number: 0, kind: WireType::Varint, ascii: false, value: 0, whole: &[] }
    }

    pub fn payload(&self) -> Payload<'a> {
        match self.kind {
            WireType::Varint => Payload::Varint(self.value),
            WireType::SixtyFourBit => Payload::Fixed64(self.value),
            WireType::ThirtyTwoBit => Payload::Fixed32(self.value as u32),
            WireType::LengthDelimited => Payload::Len(self.bytes()),
            WireType::StartGroup | WireType::EndGroup => Payload::Group,
        }
    }

    #[inline]
    pub fn len(&self) -> Outcome<&'a [u8]> {
        if self.kind == WireType::LengthDelimited { Ok(self.bytes()) } else { Err(self.wrong()) }
    }

    /// What follows the header.
    #[inline]
    fn bytes(&self) -> &'a [u8] {
        self.whole.get(self.value as usize..).unwrap_or_default()
    }

    #[cold]
    fn wrong(&self) -> Bad {
        format!("field {} has the wrong wire type", self.number).into()
    }

    #[inline]
    pub fn str(&self) -> Outcome<&'a str> {
        let bytes = self.len()?;
        // Looking for bytes beyond ASCII first is half the work.
        if self.ascii || bytes.is_ascii() {
            // SAFETY: the bytes are ASCII, or part of a message of which every byte was seen to be.
            return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
        }
        std::str::from_utf8(bytes).map_err(|e| format!("field {} is not UTF-8 ({e})", self.number).into())
    }

    pub fn int(&self) -> Outcome<i64> {
        if self.kind == WireType::Varint { Ok(self.value as i64) } else { Err(self.wrong()) }
    }

    /// An `int32` or an enum: protobuf keeps the low 32 bits.
    pub fn int32(&self) -> Outcome<i32> {
        Ok(self.int()? as i32)
    }

    pub fn float(&self) -> Outcome<f32> {
        match self.payload() {
            Payload::Fixed32(v) => Ok(f32::from_bits(v)),
            _ => Err(self.wrong()),
        }
    }

    /// Appends the integers of a repeated field, packed or not.
    pub fn ints(&self, out: &mut impl Extend<i64>) -> Outcome<()> {
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
    pub fn floats(&self, out: &mut Vec<f32>) -> Outcome<()> {
        match self.payload() {
            Payload::Fixed32(v) => out.push(f32::from_bits(v)),
            Payload::Len(b) => {
                let (all, rest) = b.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(format!("field {} is cut short", self.number).into());
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
    let (number, _) = key(&mut buf).map_err(|e| Error::malformed("span", e.into_reason()))?;
    varint(&mut buf).map_err(|e| Error::malformed("span", e.into_reason()))?;
    Ok((number, whole.slice(whole.len() - buf.len()..)))
}

/// A message in which the fields that `change` gives another payload for have it; all else stays as it is.
pub(crate) fn rewritten(
    message: &[u8],
    mut change: impl FnMut(&Field<'_>) -> Outcome<Option<Vec<u8>>>,
) -> Outcome<Vec<u8>> {
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
