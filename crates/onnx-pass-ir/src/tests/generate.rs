//! Random models, made with the other decoder's types so that nothing of ours is in them.

use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::DataLocation;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::type_proto;
use onnx_protobuf::{
    AttributeProto, FunctionProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto,
    SparseTensorProto, StringStringEntryProto, TensorAnnotation, TensorProto, TensorShapeProto,
    TrainingInfoProto, TypeProto, ValueInfoProto,
};
use protobuf::{EnumOrUnknown, MessageField, SpecialFields};

/// A source of models.
pub(super) struct Random {
    state: u64,
    names: usize,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Random { state: seed ^ 0x9e37_79b9_7f4a_7c15, names: 0 }
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        // splitmix64
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn some<T>(&mut self, most: usize, mut f: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| f(self)).collect()
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.names += 1;
        let long = if self.chance(3) { "/model/layers.0/attention/é" } else { "" };
        format!("{kind}{long}{}", self.names)
    }

    fn doc(&mut self) -> String {
        if self.chance(4) { "a\nnote \"quoted\"".into() } else { String::new() }
    }

    /// Sometimes a field that no schema has.
    fn unknown(&mut self) -> SpecialFields {
        let mut s = SpecialFields::new();
        let fields = s.mut_unknown_fields();
        match self.below(12) {
            0 => fields.add_length_delimited(1007, b"later".to_vec()),
            1 => fields.add_varint(2000, 1 << 40),
            2 => fields.add_fixed32(99, 7),
            3 => fields.add_fixed64(98, 7),
            _ => {}
        }
        s
    }

    fn metadata(&mut self) -> Vec<StringStringEntryProto> {
        self.some(2, |r| StringStringEntryProto { key: r.fresh("key"), value: r.doc(), ..Default::default() })
    }

    pub fn model_bytes(&mut self) -> Vec<u8> {
        self.model().write_to_bytes().unwrap()
    }

    pub fn model(&mut self) -> ModelProto {
        let opset = |domain: &str, version| OperatorSetIdProto {
            domain: domain.into(),
            version,
            ..Default::default()
        };
        let graph = self.graph(&[], 0);
        ModelProto {
            ir_version: 10,
            producer_name: self.fresh("producer"),
            model_version: self.below(3) as i64,
            doc_string: self.doc(),
            opset_import: vec![opset("", 17), opset("custom", 1)],
            training_info: self.some(1, |r| r.training(&graph)),
            functions: self.some(2, Self::function),
            graph: MessageField::some(graph),
            metadata_props: self.metadata(),
            special_fields: self.unknown(),
            ..Default::default()
        }
    }

    fn graph(&mut self, outer: &[String], depth: usize) -> GraphProto {
        let mut seen = outer.to_vec();
        let input = self.some(3, |r| r.value_info("in"));
        seen.extend(input.iter().map(|i| i.name.clone()));
        let mut initializer = self.some(4, |r| TensorProto { name: r.fresh("w"), ..r.tensor() });
        // A default for an input.
        if let Some(i) = input.first().filter(|_| self.chance(2)) {
            initializer.push(TensorProto { name: i.name.clone(), ..self.tensor() });
        }
        let sparse_initializer = self.some(1, |r| r.sparse("s"));
        seen.extend(initializer.iter().map(|t| t.name.clone()));
        seen.extend(sparse_initializer.iter().map(|t| t.values.name.clone()));
        let node = self.nodes(&mut seen, depth);
        let own: Vec<String> = node.iter().flat_map(|n| n.output.clone()).filter(|n| !n.is_empty()).collect();
        let mut value_info = Vec::new();
        for name in &own {
            if self.chance(2) {
                value_info.push(ValueInfoProto { name: name.clone(), ..self.value_info("") });
            }
        }
        let output = own.iter().rev().take(2);
        let output = output.map(|n| ValueInfoProto { name: n.clone(), ..self.value_info("") }).collect();
        GraphProto {
            node,
            name: self.fresh("graph"),
            initializer,
            sparse_initializer,
            doc_string: self.doc(),
            input,
            output,
            value_info,
            quantization_annotation: self.some(2, |r| r.annotation(&seen)),
            metadata_props: self.metadata(),
            special_fields: self.unknown(),
        }
    }

    fn annotation(&mut self, seen: &[String]) -> TensorAnnotation {
        let name = |r: &mut Self| seen.get(r.below(seen.len() + 1)).cloned().unwrap_or("nobody".into());
        TensorAnnotation {
            tensor_name: name(self),
            quant_parameter_tensor_names: vec![StringStringEntryProto {
                key: "SCALE_TENSOR".into(),
                value: name(self),
                ..Default::default()
            }],
            special_fields: self.unknown(),
        }
    }

    fn nodes(&mut self, seen: &mut Vec<String>, depth: usize) -> Vec<NodeProto> {
        let mut nodes = Vec::new();
        for _ in 0..=self.below(6) {
            let input = self.some(4, |r| seen.get(r.below(seen.len() + 1)).cloned().unwrap_or_default());
            let output = (0..=self.below(2))
                .map(|k| if k == 1 { String::new() } else { self.fresh("v") })
                .collect::<Vec<_>>();
            let graphs = if depth < 2 && self.chance(4) { 1 + self.below(2) } else { 0 };
            let mut attribute = self.some(3, Self::attribute);
            attribute.extend((0..graphs).map(|_| self.graph_attribute(seen, depth)));
            seen.extend(output.iter().filter(|n| !n.is_empty()).cloned());
            nodes.push(NodeProto {
                input,
                output,
                name: if self.chance(3) { String::new() } else { self.fresh("node") },
                op_type: ["Relu", "Add", "AnOperatorWithALongName"][self.below(3)].into(),
                domain: ["", "ai.onnx", "custom"][self.below(3)].into(),
                overload: if self.chance(5) { "o".into() } else { String::new() },
                attribute,
                doc_string: self.doc(),
                metadata_props: self.metadata(),
                special_fields: self.unknown(),
            });
        }
        nodes
    }

    fn graph_attribute(&mut self, seen: &[String], depth: usize) -> AttributeProto {
        let mut a =
            AttributeProto { name: self.fresh("body"), special_fields: self.unknown(), ..Default::default() };
        if self.chance(3) {
            a.type_ = EnumOrUnknown::new(AttributeType::GRAPHS);
            a.graphs = (0..2).map(|_| self.graph(seen, depth + 1)).collect();
        } else {
            a.type_ = EnumOrUnknown::new(AttributeType::GRAPH);
            a.g = MessageField::some(self.graph(seen, depth + 1));
        }
        a
    }

    fn attribute(&mut self) -> AttributeProto {
        use AttributeType as T;
        let mut a = AttributeProto {
            name: self.fresh("a"),
            doc_string: self.doc(),
            special_fields: self.unknown(),
            ..Default::default()
        };
        let kind = match self.below(13) {
            0 => {
                a.f = 1.5;
                T::FLOAT
            }
            1 => {
                a.i = -3;
                T::INT
            }
            2 => {
                a.s = vec![0xff, 0, b'x'];
                T::STRING
            }
            3 => {
                a.t = MessageField::some(self.tensor());
                T::TENSOR
            }
            4 => {
                a.floats = vec![0.0, -0.5];
                T::FLOATS
            }
            5 => {
                a.ints = self.some(5, |r| r.below(1 << 40) as i64 - 9);
                T::INTS
            }
            6 => {
                a.strings = vec![b"a".to_vec(), vec![]];
                T::STRINGS
            }
            7 => {
                a.tensors = self.some(2, Self::tensor);
                T::TENSORS
            }
            8 => {
                a.sparse_tensor = MessageField::some(self.sparse(""));
                T::SPARSE_TENSOR
            }
            9 => {
                a.sparse_tensors = self.some(2, |r| r.sparse(""));
                T::SPARSE_TENSORS
            }
            10 => {
                a.tp = MessageField::some(self.ty(0));
                T::TYPE_PROTO
            }
            11 => {
                a.type_protos = self.some(2, |r| r.ty(0));
                T::TYPE_PROTOS
            }
            _ => {
                a.ref_attr_name = "outer".into();
                T::INT
            }
        };
        a.type_ = EnumOrUnknown::new(kind);
        a
    }

    fn tensor(&mut self) -> TensorProto {
        let mut t = TensorProto {
            dims: vec![2],
            doc_string: self.doc(),
            metadata_props: self.metadata(),
            special_fields: self.unknown(),
            ..Default::default()
        };
        match self.below(8) {
            0 => (t.data_type, t.float_data) = (1, vec![0.5, 2.0]),
            1 => (t.data_type, t.int32_data) = (6, vec![-1, 7]),
            2 => (t.data_type, t.int64_data) = (7, vec![-1, 1 << 50]),
            3 => (t.data_type, t.string_data) = (8, vec![b"a".to_vec(), vec![]]),
            4 => (t.data_type, t.double_data) = (11, vec![0.25, -1.0]),
            5 => (t.data_type, t.uint64_data) = (13, vec![1, u64::MAX]),
            6 => {
                (t.data_type, t.data_location) = (1, EnumOrUnknown::new(DataLocation::EXTERNAL));
                let entry = |k: &str, v: &str| StringStringEntryProto {
                    key: k.into(),
                    value: v.into(),
                    ..Default::default()
                };
                t.external_data =
                    vec![entry("location", "w.bin"), entry("offset", "8"), entry("checksum", "c")];
            }
            // More than is worth copying.
            _ => (t.data_type, t.dims, t.raw_data) = (2, vec![700], vec![3; 700]),
        }
        t
    }

    fn sparse(&mut self, kind: &str) -> SparseTensorProto {
        let name = if kind.is_empty() { String::new() } else { self.fresh(kind) };
        let values =
            TensorProto { name, data_type: 1, dims: vec![1], float_data: vec![1.0], ..Default::default() };
        let indices = TensorProto { data_type: 7, dims: vec![1], int64_data: vec![3], ..Default::default() };
        SparseTensorProto {
            values: MessageField::some(values),
            indices: MessageField::some(indices),
            dims: vec![10],
            special_fields: self.unknown(),
        }
    }

    fn value_info(&mut self, kind: &str) -> ValueInfoProto {
        ValueInfoProto {
            name: self.fresh(kind),
            type_: if self.chance(8) { MessageField::none() } else { MessageField::some(self.ty(0)) },
            doc_string: self.doc(),
            metadata_props: self.metadata(),
            special_fields: self.unknown(),
        }
    }

    fn ty(&mut self, depth: usize) -> TypeProto {
        let value = match self.below(if depth < 3 { 6 } else { 1 }) {
            1 => {
                let elem_type = MessageField::some(self.ty(depth + 1));
                type_proto::Value::SequenceType(type_proto::Sequence { elem_type, ..Default::default() })
            }
            2 => {
                let elem_type = MessageField::some(self.ty(depth + 1));
                type_proto::Value::OptionalType(type_proto::Optional { elem_type, ..Default::default() })
            }
            3 => {
                let value_type = MessageField::some(self.ty(depth + 1));
                type_proto::Value::MapType(type_proto::Map { key_type: 7, value_type, ..Default::default() })
            }
            4 => type_proto::Value::SparseTensorType(type_proto::SparseTensor {
                elem_type: 1,
                shape: self.shape(),
                ..Default::default()
            }),
            _ => type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: 1 + self.below(16) as i32,
                shape: self.shape(),
                ..Default::default()
            }),
        };
        let denotation = if self.chance(6) { "IMAGE".into() } else { String::new() };
        TypeProto { denotation, value: Some(value), ..Default::default() }
    }

    fn shape(&mut self) -> MessageField<TensorShapeProto> {
        if self.chance(5) {
            return MessageField::none();
        }
        let dim = self.some(4, |r| Dimension {
            denotation: if r.chance(6) { "DATA_BATCH".into() } else { String::new() },
            value: match r.below(3) {
                0 => None,
                1 => Some(dimension::Value::DimValue(r.below(9) as i64)),
                _ => Some(dimension::Value::DimParam("batch".into())),
            },
            ..Default::default()
        });
        MessageField::some(TensorShapeProto { dim, ..Default::default() })
    }

    fn function(&mut self) -> FunctionProto {
        let input = self.some(2, |r| r.fresh("p"));
        let mut seen = input.clone();
        let node = self.nodes(&mut seen, 1);
        FunctionProto {
            name: self.fresh("f"),
            output: seen.last().cloned().filter(|v| !input.contains(v)).into_iter().collect(),
            input,
            attribute: self.some(2, |r| r.fresh("a")),
            attribute_proto: self.some(1, Self::attribute),
            node,
            doc_string: self.doc(),
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: 17,
                ..Default::default()
            }],
            domain: "custom".into(),
            overload: String::new(),
            value_info: Vec::new(),
            metadata_props: self.metadata(),
            special_fields: self.unknown(),
        }
    }

    fn training(&mut self, main: &GraphProto) -> TrainingInfoProto {
        let algorithm = self.graph(&[], 1);
        let bind = |k: Option<&String>, v: Option<&String>| StringStringEntryProto {
            key: k.cloned().unwrap_or("nobody".into()),
            value: v.cloned().unwrap_or("nobody".into()),
            ..Default::default()
        };
        let weight = main.initializer.first().map(|t| &t.name);
        let update = bind(weight, algorithm.output.first().map(|o| &o.name));
        TrainingInfoProto {
            initialization: MessageField::none(),
            algorithm: MessageField::some(algorithm),
            initialization_binding: Vec::new(),
            update_binding: vec![update],
            special_fields: self.unknown(),
        }
    }
}
