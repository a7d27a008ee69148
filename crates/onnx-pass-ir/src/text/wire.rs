//! Messages under construction: the text is read into the bytes of a model file, which the decoder reads.

use prost::encoding::{WireType, encode_key, encode_varint};

use crate::proto::wire::Fields;

/// The payload of a message.
#[derive(Debug, Default)]
pub(super) struct Message(pub Vec<u8>);

impl Message {
    pub fn int(&mut self, number: u32, v: i64) {
        encode_key(number, WireType::Varint, &mut self.0);
        encode_varint(v as u64, &mut self.0);
    }

    pub fn float(&mut self, number: u32, v: f32) {
        encode_key(number, WireType::ThirtyTwoBit, &mut self.0);
        self.0.extend(v.to_le_bytes());
    }

    pub fn bytes(&mut self, number: u32, payload: &[u8]) {
        encode_key(number, WireType::LengthDelimited, &mut self.0);
        encode_varint(payload.len() as u64, &mut self.0);
        self.0.extend_from_slice(payload);
    }

    pub fn str(&mut self, number: u32, s: &str) {
        self.bytes(number, s.as_bytes());
    }

    pub fn message(&mut self, number: u32, m: &Message) {
        self.bytes(number, &m.0);
    }

    pub fn pair(&mut self, number: u32, key: &str, value: &str) {
        let mut m = Message::default();
        m.str(1, key);
        m.str(2, value);
        self.message(number, &m);
    }

    /// Takes fields of these numbers out again, from a place on.
    pub fn drop_fields(&mut self, from: usize, numbers: &[u32]) {
        if numbers.is_empty() {
            return;
        }
        let tail = self.0.split_off(from);
        let mut fields = Fields::new(&tail);
        // What was written here can be walked.
        while let Ok(Some(f)) = fields.next() {
            if !numbers.contains(&f.number) {
                self.raw(f.whole);
            }
        }
    }

    /// A text that says something; one that says nothing, and is there, is a field that stands as it is.
    pub fn said_str(&mut self, number: u32, s: &str) {
        if !s.is_empty() {
            self.str(number, s);
        }
    }

    /// Fields that stand as they are.
    pub fn raw(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }
}
