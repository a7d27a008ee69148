//! What is printed reads back, for everything that the schema knows.

use bytes::Bytes;
use proptest::prelude::*;

use super::{TextOptions, Weights, parse, parse_in};
use crate::proto::typed::TypedData;
use crate::span::Span;
use crate::{
    AttrValue, Attribute, Binding, DataType, Dim, Encoding, GraphOwner, Model, QuantAnnotation, Shape,
    SparseTensor, Tensor, TensorData, TensorType, TrainingInfo, Type, TypeKind,
};

fn bytes(m: &Model) -> Bytes {
    m.to_bytes(Encoding::Anew).expect("encodes")
}

fn round_trip(m: &Model) -> String {
    let text = m.to_text(&TextOptions::default()).expect("prints");
    let back = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(bytes(m), bytes(&back), "{text}");
    text
}

/// A small model with a branch, a function and initializers.
fn plain() -> Model {
    parse(
        r#"<ir_version: 10, opset_import: ["" : 21]>
        main (float[N] x, bool c) => (float[N] y) <float[2] w = {1, 2}, float[N] t> {
            t = Mul (x, w)
            y = If (c) <then_branch = a () => (r) { r = Neg (t) }, else_branch = b () => (r) { r = f (t) }>
        }
        <domain: "", opset_import: ["" : 21]> f <k: int = 3> (a) => (b) { b = Abs (a) }"#,
    )
    .expect("parses")
}

#[test]
fn a_plain_model_needs_no_notes() {
    insta::assert_snapshot!(round_trip(&plain()));
}

/// All that the official syntax has no word for.
fn odd() -> Model {
    let mut m = plain();
    let text = |s: &str| Some(s.into());
    m.header.rest = ecow::EcoVec::from([0xf8, 0x06, 0x01].as_slice());
    m.header.configurations.push(Bytes::from_static(&[0xd2, 0x01, 0x02, 0x0a, 0x00]));
    m.header.opset_imports[0].domain = None;
    let x = m.graphs[0].inputs[0];
    let w = m.graphs[0].initializers[0];
    let ids: Vec<_> = m.node_ids(m.main);
    let (mul, branch) = (ids[0], ids[1]);

    let g = &mut m.graphs[0];
    g.name = None;
    g.doc = text("two\nlines \"quoted\"");
    g.metadata.push(("key".into(), "value".into()));
    g.annotations.push(QuantAnnotation {
        value: Some(x),
        params: vec![("SCALE_TENSOR".into(), w)],
        messages: Vec::new(),
        dangling: vec![("ZERO_POINT_TENSOR".into(), "gone".into())].into(),
        dangling_name: None,
        rest: ecow::EcoVec::new(),
    });
    let sparse = SparseTensor {
        values: Tensor { name: text("sp"), ..Tensor::float(&[1], &[2.5]) }.shared(),
        indices: Some(Tensor::int64_vec(&[3]).shared()),
        dims: [8].as_slice().into(),
        rest: ecow::EcoVec::new(),
        src: Bytes::new(),
    };
    let sp = m.new_value_raw(m.main, "sp".into(), crate::Def::Initializer);
    m.graphs[0].sparse_initializers.push((sp, std::sync::Arc::new(sparse.clone())));

    let n = &mut m.nodes[mul.index()];
    n.name = text("");
    n.set_operator("aten::mul".into(), text("my-domain/2"));
    (n.rare_mut().doc, n.rare_mut().overload) = (text("a doc"), text("Tensor overload"));
    n.rare_mut().metadata.push(("pkg".into(), "a\u{1b}[31m\u{202e}b".into()));
    n.rare_mut().devices.push(ecow::EcoVec::from(b"\x0a\x02tp".as_slice()));
    n.rare_mut().rest = ecow::EcoVec::from([0xf8, 0x06, 0x02].as_slice());
    let typed = TypedData { fields: vec![Bytes::from_static(&[0x3a, 0x01, 0x07])] };
    n.attributes = ecow::eco_vec![
        Attribute { doc: text("why"), ..Attribute::int("documented", 1) },
        Attribute::tensor("typed", Tensor::with_data(DataType::INT64, &[1], TensorData::Typed(typed))),
        Attribute::tensor("named", Tensor { name: text("a name"), ..Tensor::int64(&[], &[1]) }),
        Attribute::tensor("empty", Tensor::with_data(DataType::FLOAT, &[0], TensorData::None)),
        Attribute::new("tensors", AttrValue::Tensors(vec![Tensor::int64_vec(&[1]).shared()])),
        Attribute::new("no_tensors", AttrValue::Tensors(vec![])),
        Attribute::new("sparse", AttrValue::SparseTensor(std::sync::Arc::new(sparse))),
        Attribute::new("not utf-8", AttrValue::string("x")),
        Attribute::new("bytes", AttrValue::String(Bytes::from_static(&[0xff, 0xfe]))),
        Attribute::new("undefined", AttrValue::Undefined),
        Attribute::float("payload", f32::from_bits(0x7fc0_0001)),
        Attribute::new("floats", AttrValue::Floats(vec![-0.0, f32::NAN, -f32::NAN, f32::MIN_POSITIVE / 4.0])),
        Attribute::new("types", AttrValue::Types(vec![Type::tensor(DataType::FLOAT, None)])),
        Attribute::new(
            "ty",
            AttrValue::Type(Box::new(Type { kind: TypeKind::Sequence(None), denotation: text("D") })),
        ),
        Attribute::new("reference", AttrValue::Ref { name: "odd one".into(), kind: 9 }),
    ];
    let names = [text("inf_graph"), None];
    let inner: Vec<_> = m.nodes[branch.index()].subgraphs().collect();
    for (g, name) in inner.iter().zip(names) {
        m.graphs[g.index()].name = name;
    }
    m.graphs[inner[0].index()].doc = text("inside");

    let elem = DataType(99);
    let shape = Shape { dims: vec![Dim::Known(-1)], denotations: vec![text("BATCH")] };
    let info = m.values[x.index()].info.as_mut().expect("declared");
    info.set_ty(Some(Type {
        kind: TypeKind::Tensor(TensorType { elem: DataType::FLOAT, shape: Some(shape) }),
        denotation: None,
    }));
    info.rare_mut().doc = text("an input");
    for (k, t) in [
        Tensor::with_data(elem, &[2], TensorData::Raw(Bytes::from_static(b"abc"))),
        Tensor::with_data(DataType::FLOAT, &[-3], TensorData::None),
        Tensor::with_data(DataType::FLOAT, &[3], TensorData::Raw(Bytes::from_static(b"short"))),
        Tensor::with_data(
            DataType::DOUBLE,
            &[1],
            TensorData::Raw(Bytes::from_static(&[1, 0, 0, 0, 0, 0, 0xf8, 0x7f])),
        ),
        Tensor::with_data(DataType::STRING, &[1], TensorData::Strings(vec![Bytes::from_static(&[0xff])])),
        Tensor {
            doc: text("weights"),
            metadata: vec![("a".into(), "b".into())].into(),
            ..Tensor::float(&[], &[1.0])
        },
    ]
    .into_iter()
    .enumerate()
    {
        let v = m.new_value_raw(m.main, ecow::eco_format!("odd {k}"), crate::Def::Initializer);
        m.values[v.index()].init = Some(t.shared());
        m.graphs[0].initializers.push(v);
    }

    let init = m.new_graph_raw(GraphOwner::Training(0, false), Some(m.main));
    m.graphs[init.index()].name = text("reset");
    m.training.push(TrainingInfo {
        initialization: Some(init),
        algorithm: None,
        initialization_binding: vec![Binding {
            key: (text("w"), Some(w)),
            value: (text("none"), None),
            message: None,
        }],
        update_binding: vec![],
        rest: ecow::EcoVec::new(),
    });
    let f = &mut m.functions[0];
    f.attributes.push("an attribute".into());
    f.attribute_defaults.push(Attribute { doc: text("default"), ..Attribute::int("z", 1) });
    let g = f.graph;
    m.graphs[g.index()].metadata.push(("a".into(), "function".into()));
    m.graphs[g.index()].doc = text("does");
    for n in &mut m.nodes {
        n.src = Span::NONE;
    }
    for f in &mut m.functions {
        f.src = Bytes::new();
    }
    m.revision += 1;
    m
}

#[test]
fn what_the_syntax_cannot_carry_is_noted_and_reads_back() {
    insta::assert_snapshot!(round_trip(&odd()));
}

#[test]
fn nodes_with_an_explicit_empty_domain_need_one_note() {
    let mut m = plain();
    for n in &mut m.nodes {
        n.set_operator(n.op_type().into(), Some("".into()));
        n.src = Span::NONE;
    }
    m.functions[0].src = Bytes::new();
    m.revision += 1;
    let text = round_trip(&m);
    assert_eq!(text.matches("#@").count(), 1, "{text}");
}

#[test]
fn weights_by_reference_read_back_from_the_models_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    plain().write(&path, &crate::WriteOptions::default()).expect("writes");
    let m = Model::read(&path).expect("reads");
    let options = TextOptions { weights: Weights::Reference { over: 4 }, notes: true };
    let text = m.to_text(&options).expect("prints");
    assert!(text.contains(r#"float[2] w = ["location": "model.onnx", "offset": "#), "{text}");
    let back = parse_in(&text, Some(folder.path())).expect("parses");
    let w = back.find_value(back.main(), "w").and_then(|v| back.constant(v)).expect("w");
    assert_eq!(w.to_f64s().expect("floats"), [1.0, 2.0]);
}

#[test]
fn weights_by_hash_are_the_same_however_they_are_stored() {
    let mut m = plain();
    let options = TextOptions { weights: Weights::Hashed { over: 4 }, notes: false };
    let raw = m.to_text(&options).expect("prints");
    assert!(raw.contains("float[2] w =,  # blake3 "), "{raw}");
    let w = m.graphs[0].initializers[0];
    let tensor = m.values[w.index()].init.clone().expect("a tensor");
    let floats = tensor.bytes().expect("bytes");
    let typed = TypedData { fields: vec![[&[0x22, 0x08], &floats[..]].concat().into()] };
    let typed = Tensor { data: TensorData::Typed(typed), src: Bytes::new(), ..(*tensor).clone() };
    m.values[w.index()].init = Some(typed.shared());
    assert_eq!(raw, m.to_text(&options).expect("prints"));
}

fn any_tensor() -> impl Strategy<Value = Tensor> {
    (0..30i32, 0..4i64, any::<bool>(), proptest::collection::vec(any::<u8>(), 64)).prop_map(
        |(dtype, n, typed, raw)| {
            let dtype = DataType(dtype);
            let need = dtype.byte_len(n as usize).unwrap_or(3).min(raw.len());
            let raw = Bytes::from(raw[..need].to_vec());
            let data = match crate::proto::typed::from_raw(dtype, &raw).filter(|_| typed) {
                Some((number, payload)) => {
                    let mut m = super::wire::Message::default();
                    m.bytes(number, &payload);
                    TensorData::Typed(TypedData { fields: vec![m.0.into()] })
                }
                None => TensorData::Raw(raw),
            };
            Tensor::with_data(dtype, &[n], data)
        },
    )
}

proptest! {
    #[test]
    fn every_tensor_reads_back(tensors in proptest::collection::vec(any_tensor(), 1..4)) {
        let mut m = plain();
        for (k, t) in tensors.iter().enumerate() {
            let v = m.new_value_raw(m.main, ecow::eco_format!("t{k}"), crate::Def::Initializer);
            m.values[v.index()].init = Some(t.clone().shared());
            m.graphs[0].initializers.push(v);
        }
        let first = m.node_ids(m.main)[0];
        let n = &mut m.nodes[first.index()];
        n.src = Span::NONE;
        n.attributes = tensors.iter().enumerate()
            .map(|(k, t)| Attribute::tensor(&format!("a{k}"), t.clone())).collect();
        m.revision += 1;
        round_trip(&m);
    }

    #[test]
    fn every_name_reads_back(names in proptest::collection::vec(any::<String>(), 6)) {
        let mut m = plain();
        let first = m.node_ids(m.main)[0];
        m.values[m.graphs[0].inputs[0].index()].name = names[0].as_str().into();
        m.graphs[0].name = Some(names[1].as_str().into());
        m.graphs[2].name = Some(names[1].as_str().into());
        let n = &mut m.nodes[first.index()];
        n.name = Some(names[2].as_str().into());
        n.set_operator(names[3].as_str().into(), Some(names[4].as_str().into()));
        n.attributes.push(Attribute::string(&names[5], &names[0]));
        n.rare_mut().metadata.push((names[1].as_str().into(), names[2].as_str().into()));
        m.nodes.iter_mut().for_each(|n| n.src = Span::NONE);
        m.functions[0].src = Bytes::new();
        m.values.iter_mut().filter_map(|v| v.info.as_mut()).for_each(|i| i.src = Span::NONE);
        m.revision += 1;
        round_trip(&m);
    }
}
