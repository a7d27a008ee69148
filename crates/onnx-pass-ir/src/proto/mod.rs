//! The protobuf codec: the only module that knows the wire format.
//!
//! Messages that a model has by the thousand (nodes, tensors, value infos, attributes) are read straight
//! from `prost`'s wire primitives into the IR; the rare ones through `prost` messages ([`schema`]). Every
//! element remembers the span that it was read from, header included. Writing copies the span of whatever
//! was not touched, byte for byte, and encodes the rest anew with its unknown fields.

pub(crate) mod decode;
pub(crate) mod encode;
mod encode_parts;
mod parts;
pub(crate) mod plan;
pub(crate) mod rope;
pub(crate) mod schema;
pub(crate) mod typed;
pub(crate) mod wire;
