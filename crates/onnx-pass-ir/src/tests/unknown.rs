//! Fields that no schema has, in every kind of message that a model is made of: none is lost, whatever is written
//! anew around it. Nor is the difference between a field that is absent and one that says nothing.

use prost::encoding::{WireType, encode_key, encode_varint};

use super::generate::Random;
use super::*;
use crate::proto::wire::{Fields, Payload};
use crate::text::{TextOptions, Weights, parse};

/// The messages of `onnx.proto`: the fields of each that are messages, and the names of these.
const SCHEMA: &[(&str, &[(u32, &str)])] = &[
    (
        "ModelProto",
        &[
            (7, "GraphProto"),
            (8, "OperatorSetIdProto"),
            (14, "StringStringEntryProto"),
            (20, "TrainingInfoProto"),
            (25, "FunctionProto"),
            (26, "DeviceConfigurationProto"),
        ],
    ),
    (
        "GraphProto",
        &[
            (1, "NodeProto"),
            (5, "TensorProto"),
            (11, "ValueInfoProto"),
            (12, "ValueInfoProto"),
            (13, "ValueInfoProto"),
            (14, "TensorAnnotation"),
            (15, "SparseTensorProto"),
            (16, "StringStringEntryProto"),
        ],
    ),
    (
        "NodeProto",
        &[(5, "AttributeProto"), (9, "StringStringEntryProto"), (10, "NodeDeviceConfigurationProto")],
    ),
    (
        "AttributeProto",
        &[
            (5, "TensorProto"),
            (6, "GraphProto"),
            (10, "TensorProto"),
            (11, "GraphProto"),
            (14, "TypeProto"),
            (15, "TypeProto"),
            (22, "SparseTensorProto"),
            (23, "SparseTensorProto"),
        ],
    ),
    ("ValueInfoProto", &[(2, "TypeProto"), (4, "StringStringEntryProto")]),
    (
        "TypeProto",
        &[
            (1, "TypeProto.Tensor"),
            (4, "TypeProto.Sequence"),
            (5, "TypeProto.Map"),
            (7, "TypeProto.Opaque"),
            (8, "TypeProto.SparseTensor"),
            (9, "TypeProto.Optional"),
        ],
    ),
    ("TypeProto.Tensor", &[(2, "TensorShapeProto")]),
    ("TypeProto.SparseTensor", &[(2, "TensorShapeProto")]),
    ("TypeProto.Sequence", &[(1, "TypeProto")]),
    ("TypeProto.Optional", &[(1, "TypeProto")]),
    ("TypeProto.Map", &[(2, "TypeProto")]),
    ("TypeProto.Opaque", &[]),
    ("TensorShapeProto", &[(1, "TensorShapeProto.Dimension")]),
    ("TensorShapeProto.Dimension", &[]),
    (
        "TensorProto",
        &[(3, "TensorProto.Segment"), (13, "StringStringEntryProto"), (16, "StringStringEntryProto")],
    ),
    ("TensorProto.Segment", &[]),
    ("SparseTensorProto", &[(1, "TensorProto"), (2, "TensorProto")]),
    ("StringStringEntryProto", &[]),
    ("TensorAnnotation", &[(2, "StringStringEntryProto")]),
    ("OperatorSetIdProto", &[]),
    (
        "FunctionProto",
        &[
            (7, "NodeProto"),
            (9, "OperatorSetIdProto"),
            (11, "AttributeProto"),
            (12, "ValueInfoProto"),
            (14, "StringStringEntryProto"),
        ],
    ),
    (
        "TrainingInfoProto",
        &[(1, "GraphProto"), (2, "GraphProto"), (3, "StringStringEntryProto"), (4, "StringStringEntryProto")],
    ),
    ("DeviceConfigurationProto", &[]),
    ("NodeDeviceConfigurationProto", &[(2, "ShardingSpecProto")]),
    ("ShardingSpecProto", &[(3, "IntIntListEntryProto"), (4, "ShardedDimProto")]),
    ("IntIntListEntryProto", &[]),
    ("ShardedDimProto", &[(2, "SimpleShardedDimProto")]),
    ("SimpleShardedDimProto", &[]),
];

fn messages_of(kind: &str) -> &'static [(u32, &'static str)] {
    SCHEMA.iter().find(|(k, _)| *k == kind).unwrap().1
}

fn len(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut out);
    encode_varint(payload.len() as u64, &mut out);
    out.extend_from_slice(payload);
    out
}

/// What random models have none of.
fn more(kind: &str) -> Vec<u8> {
    match kind {
        "ModelProto" => len(26, &[len(1, b"cfg"), b"\x10\x02".to_vec(), len(3, b"dev0")].concat()),
        "NodeProto" => {
            let map = len(3, b"\x08\x01\x10\x02");
            let sharded = len(4, &[b"\x08\x00".to_vec(), len(2, b"\x08\x02\x18\x02")].concat());
            let spec = len(2, &[len(1, b"in1"), b"\x10\x00".to_vec(), map, sharded].concat());
            len(10, &[len(1, b"cfg"), spec, b"\x18\x00".to_vec()].concat())
        }
        "TensorProto" => len(3, b"\x08\x00\x10\x01"),
        "FunctionProto" => {
            let opaque = len(7, &[len(1, b"d"), len(2, b"n")].concat());
            len(12, &[len(1, b"p1"), len(2, &opaque)].concat())
        }
        "TrainingInfoProto" => len(3, &[len(1, b"in1"), len(2, b"nobody")].concat()),
        _ => Vec::new(),
    }
}

/// Puts fields of all four wire types that no schema has into every message, each with a number of its own.
struct Mark {
    next: u64,
}

impl Mark {
    fn message(&mut self, kind: &str, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_key(1000, WireType::Varint, &mut out);
        encode_varint(self.next, &mut out);
        encode_key(31, WireType::ThirtyTwoBit, &mut out);
        out.extend((self.next as u32).to_le_bytes());
        let own = self.next;
        self.next += 1;
        let all = [payload, &more(kind)].concat();
        let mut fields = Fields::new(&all);
        while let Some(f) = fields.next().unwrap() {
            match (messages_of(kind).iter().find(|(n, _)| *n == f.number), f.payload()) {
                (Some((n, inner)), Payload::Len(p)) => out.extend(len(*n, &self.message(inner, p))),
                _ => out.extend_from_slice(f.whole),
            }
        }
        encode_key(29, WireType::SixtyFourBit, &mut out);
        out.extend(own.to_le_bytes());
        out.extend(len(20_000, format!("mark {own}").as_bytes()));
        out
    }
}

/// Every field that no schema has, with the way to it.
fn marks(kind: &str, payload: &[u8], way: &str, out: &mut Vec<(String, Vec<u8>)>) {
    let mut fields = Fields::new(payload);
    while let Some(f) = fields.next().unwrap() {
        if matches!(f.number, 29 | 31 | 1000 | 20_000) {
            out.push((way.to_string(), f.whole.to_vec()));
        } else if let Some((n, inner)) = messages_of(kind).iter().find(|(n, _)| *n == f.number) {
            marks(inner, f.len().unwrap(), &format!("{way}.{n}:{inner}"), out);
        }
    }
}

fn sorted_marks(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    marks("ModelProto", bytes, "", &mut out);
    out.sort();
    out
}

#[track_caller]
fn none_lost(before: &[u8], after: &[u8], how: &str) {
    let (want, got) = (sorted_marks(before), sorted_marks(after));
    let lost: Vec<_> = want.iter().filter(|w| !got.contains(w)).take(5).collect();
    assert!(lost.is_empty(), "{how}: lost {lost:?}");
    assert_eq!(want.len(), got.len(), "{how}: made up");
}

#[test]
fn unknown_fields_of_every_message_survive_whatever_is_written_anew() {
    let mut seen: Vec<String> = Vec::new();
    for seed in 0..48 {
        let bytes = Mark { next: 1 }.message("ModelProto", &Random::new(seed).model_bytes());
        seen.extend(sorted_marks(&bytes).iter().filter_map(|(w, _)| w.rsplit(':').next().map(Into::into)));
        let mut m = Model::from_bytes(bytes.clone(), None).unwrap();
        none_lost(&bytes, &m.to_bytes(Encoding::Anew).unwrap(), "anew");
        let options = TextOptions { weights: Weights::Inline, notes: true };
        let text = m.to_text(&options).unwrap();
        let back = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        none_lost(&bytes, &back.to_bytes(Encoding::Anew).unwrap(), "through the text");

        // Everything gets another name and other dims.
        for g in m.live_graphs() {
            m.map_dims(g, &mut |d| (*d == Dim::Symbol("batch".into())).then_some(Dim::Known(77)));
        }
        for (v, name) in m.values().map(|(v, x)| (v, format!("{}'", x.name()))).collect::<Vec<_>>() {
            m.rename_value(v, &name).unwrap();
        }
        none_lost(&bytes, &m.to_bytes(Encoding::Verbatim).unwrap(), "renamed");
    }
    seen.push("ModelProto".into());
    let missing: Vec<_> = SCHEMA.iter().map(|s| s.0).filter(|k| !seen.iter().any(|s| s == k)).collect();
    assert!(missing.is_empty(), "no model had {missing:?}");
}

#[test]
fn a_type_that_replaces_another_keeps_what_is_not_known_of_it() {
    let info = |name: &[u8]| {
        let dim = len(1, &[len(2, b"n"), len(900, b"dim")].concat());
        let shape = len(2, &[dim, len(901, b"shape")].concat());
        let tensor = len(1, &[b"\x08\x01".to_vec(), shape].concat());
        [len(1, name), len(2, &[tensor, len(902, b"type")].concat())].concat()
    };
    let graph =
        [len(1, b"\x0a\x01x\x12\x01y\x22\x04Relu"), len(11, &info(b"x")), len(12, &info(b"y"))].concat();
    let bytes = [b"\x08\x08".to_vec(), len(7, &graph), len(8, b"\x0a\x00\x10\x11")].concat();
    let mut m = Model::from_bytes(bytes, None).unwrap();
    let x = value(&m, "x");
    let count = |m: &Model| {
        let bytes = m.to_bytes(Encoding::Verbatim).unwrap();
        [&b"dim"[..], b"shape", b"type"].map(|w| bytes.windows(w.len()).filter(|b| *b == w).count())
    };
    m.set_type(x, Type::tensor(DataType::FLOAT, Some(vec![Dim::Known(3)])));
    assert_eq!(count(&m), [2, 2, 2]);
    // Of another rank, the dim is another one.
    m.set_type(x, Type::tensor(DataType::FLOAT, Some(vec![Dim::Known(3), Dim::Known(4)])));
    assert_eq!(count(&m), [1, 2, 2]);
}

#[test]
fn what_a_type_says_nothing_of_is_kept() {
    // An integer that also has a float and floats; a type that is newer than this program, with a value; contents in
    // a typed field beside raw ones.
    let attributes = [
        [&len(1, b"a")[..], b"\x15\0\0\0\x40\x18\x05\x3d\0\0\x80\x3f\xa0\x01\x02"].concat(),
        [&len(1, b"b")[..], b"\x18\x05\xa0\x01\x63"].concat(),
    ];
    let tensor = [b"\x08\x01\x10\x01\x25\0\0\0\x40".to_vec(), len(8, b"w"), len(9, &[0; 4])].concat();
    let node =
        [&b"\x0a\x01x\x12\x01y\x22\x06Custom"[..], &len(5, &attributes[0]), &len(5, &attributes[1])].concat();
    let graph = [len(1, &node), len(5, &tensor)].concat();
    let bytes = [b"\x08\x08".to_vec(), len(7, &graph), len(8, b"\x0a\x00\x10\x11")].concat();
    let m = Model::from_bytes(bytes.clone(), None).unwrap();
    let node = m.node(m.node_ids(m.main())[0]);
    assert_eq!(node.int("a"), Some(5));
    assert!(matches!(node.attributes()[1].value, AttrValue::Undefined));
    assert_eq!(m.constant(value(&m, "w")).unwrap().to_f64s().unwrap(), [0.0]);
    let sorted = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.sort_unstable();
        bytes
    };
    assert_eq!(sorted(&m.to_bytes(Encoding::Anew).unwrap()), sorted(&bytes));
}

/// A field that a message should have, and what says nothing in it.
type Expected = (u32, &'static [u8]);

const EXPECTED: &[(&str, &[Expected])] = &[
    ("NodeProto", &[(3, b"\x1a\0"), (4, b"\x22\0"), (7, b"\x3a\0")]),
    (
        "AttributeProto",
        &[(1, b"\x0a\0"), (2, b"\x15\0\0\0\0"), (3, b"\x18\0"), (4, b"\x22\0"), (20, b"\xa0\x01\0")],
    ),
    ("ValueInfoProto", &[(1, b"\x0a\0")]),
    ("TensorProto", &[(2, b"\x10\0"), (8, b"\x42\0")]),
    ("TypeProto.Tensor", &[(1, b"\x08\0")]),
    ("TypeProto.SparseTensor", &[(1, b"\x08\0")]),
    ("TypeProto.Map", &[(1, b"\x08\0")]),
    ("TypeProto.Opaque", &[(1, b"\x0a\0"), (2, b"\x12\0")]),
    ("TensorShapeProto.Dimension", &[(1, b"\x08\0"), (2, b"\x12\0")]),
    ("StringStringEntryProto", &[(1, b"\x0a\0"), (2, b"\x12\0")]),
    ("TensorAnnotation", &[(1, b"\x0a\0")]),
    ("OperatorSetIdProto", &[(1, b"\x0a\0"), (2, b"\x10\0")]),
    ("FunctionProto", &[(1, b"\x0a\0"), (10, b"\x52\0")]),
    ("GraphProto", &[(2, b"\x12\0")]),
    ("ModelProto", &[(1, b"\x08\0"), (2, b"\x12\0")]),
];

fn expected_of(kind: &str) -> &'static [Expected] {
    EXPECTED.iter().find(|(k, _)| *k == kind).map_or(&[], |e| e.1)
}

/// Takes some of those fields away and empties others.
fn emptied(random: &mut Random, kind: &str, payload: &[u8]) -> Vec<u8> {
    let (mut out, mut fields) = (Vec::new(), Fields::new(payload));
    while let Some(f) = fields.next().unwrap() {
        let nothing = expected_of(kind).iter().find(|e| e.0 == f.number);
        match (messages_of(kind).iter().find(|(n, _)| *n == f.number), f.payload()) {
            (Some((n, inner)), Payload::Len(p)) => out.extend(len(*n, &emptied(random, inner, p))),
            _ => match (nothing, random.below(12)) {
                (Some(_), 0) => {}
                (Some((_, nothing)), 1) => out.extend_from_slice(nothing),
                _ => out.extend_from_slice(f.whole),
            },
        }
    }
    out
}

/// Each of those fields that is there, with the way to it.
fn said(kind: &str, payload: &[u8], way: &str, out: &mut Vec<(String, Vec<u8>)>) {
    let mut fields = Fields::new(payload);
    while let Some(f) = fields.next().unwrap() {
        if let Some((n, inner)) = messages_of(kind).iter().find(|(n, _)| *n == f.number) {
            said(inner, f.len().unwrap(), &format!("{way}.{n}:{inner}"), out);
        } else if expected_of(kind).iter().any(|e| e.0 == f.number) {
            out.push((way.to_string(), f.whole.to_vec()));
        }
    }
}

#[test]
fn what_says_nothing_is_absent_or_explicit_as_it_was() {
    let mut read = 0;
    for seed in 0..200 {
        let bytes = Random::new(seed).model_bytes();
        let bytes = emptied(&mut Random::new(seed + 1000), "ModelProto", &bytes);
        // A field that tells of nothing else, such as an attribute without a type, may be what a reader refuses.
        let Ok(m) = Model::from_bytes(bytes.clone(), None) else { continue };
        read += 1;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        said("ModelProto", &bytes, "", &mut before);
        said("ModelProto", &m.to_bytes(Encoding::Anew).unwrap(), "", &mut after);
        before.sort();
        after.sort();
        let lost: Vec<_> = before.iter().filter(|b| !after.contains(b)).take(5).collect();
        let made_up: Vec<_> = after.iter().filter(|a| !before.contains(a)).take(5).collect();
        assert!(lost.is_empty() && made_up.is_empty(), "{seed}: lost {lost:?}, made up {made_up:?}");
        assert_eq!(before.len(), after.len(), "{seed}");
    }
    assert!(read > 60, "{read}");
}

#[test]
fn what_is_absent_is_absent_in_the_text() {
    // Attributes as a file of IR 1 has them, and as writers do that leave out a 0.
    let attributes: [&[u8]; 4] = [
        b"\x0a\x01a\x18\x05",
        b"\x0a\x01b\xa0\x01\x02",
        b"\x0a\x01c\x18\x05\xa0\x01\0",
        b"\x0a\x01d\x22\0\xa0\x01\x03",
    ];
    let node = [b"\x0a\x01x\x12\x01y".to_vec(), attributes.map(|a| len(5, a)).concat()].concat();
    let undefined = |tensor: &[u8]| len(12, &[len(1, b"y"), len(2, &len(1, tensor))].concat());
    let graph = [len(1, &node), len(2, b"g"), undefined(b""), undefined(b"\x08\0")].concat();
    let bytes = [b"\x08\x08".to_vec(), len(7, &graph), len(8, b"\x0a\x00\x10\x11")].concat();
    let m = Model::from_bytes(bytes.clone(), None).unwrap();
    let node = m.node(m.node_ids(m.main())[0]);
    assert_eq!(["a", "b", "c"].map(|n| node.int(n)), [Some(5), Some(0), Some(5)]);
    let text = m.to_text(&TextOptions::default()).unwrap();
    insta::assert_snapshot!(text);
    let anew = m.to_bytes(Encoding::Anew).unwrap();
    assert_eq!(parse(&text).unwrap().to_bytes(Encoding::Anew).unwrap(), anew);
    let sorted = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.sort_unstable();
        bytes
    };
    assert_eq!(sorted(&anew), sorted(&bytes));
}
