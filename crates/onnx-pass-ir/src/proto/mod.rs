//! The protobuf codec: the only module that knows the wire format.
//!
//! Messages that a model has by the thousand (nodes, tensors, value infos, attributes) are read straight
//! from `prost`'s wire primitives into the IR, and so are the rare ones. Every element remembers the span that
//! it was read from, header included. Writing copies the span of whatever was not touched, byte for byte, and
//! encodes the rest anew with its unknown fields.
//!
//! Invariant: no field of any message is lost, known to the schema or not, as long as what it says something
//! of is there. A message keeps the fields that are not known in its `rest`; those that the model holds only
//! parts of (key-value pairs, opset imports, types) keep their bytes where they hold more ([`crate::model`]'s
//! `Odd`). A field that a message should have and that says nothing (an empty `op_type`, an undefined element type) is
//! absent or explicit as it was: explicit ones are kept among the rest, too. A test puts unknown fields into every kind of message.

pub(crate) mod attributes;
mod bad;
pub(crate) mod decode;
pub(crate) mod devices;
pub(crate) mod encode;
pub(crate) mod encode_parts;
mod parts;
pub(crate) mod plan;
pub(crate) mod rope;
mod scope;
pub(crate) mod typed;
pub(crate) mod wire;
