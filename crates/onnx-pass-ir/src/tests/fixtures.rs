//! What no export at hand holds: quantization annotations, sparse initializers, training info and device
//! configurations. Renames and removals reach them.

use onnx_protobuf::{
    GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorAnnotation, TensorProto, TrainingInfoProto, TypeProto, ValueInfoProto,
    type_proto,
};
use protobuf::MessageField;

use super::*;

fn tensor(name: &str, values: &[f32]) -> TensorProto {
    let dims = vec![values.len() as i64];
    TensorProto { name: name.into(), dims, data_type: 1, float_data: values.to_vec(), ..Default::default() }
}

fn declared(name: &str) -> ValueInfoProto {
    let value = type_proto::Value::TensorType(type_proto::Tensor { elem_type: 1, ..Default::default() });
    let type_ = MessageField::some(TypeProto { value: Some(value), ..Default::default() });
    ValueInfoProto { name: name.into(), type_, ..Default::default() }
}

fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    let input = inputs.iter().map(ToString::to_string).collect();
    NodeProto { op_type: op_type.into(), input, output: vec![output.into()], ..Default::default() }
}

fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: key.into(), value: value.into(), ..Default::default() }
}

fn source() -> ModelProto {
    let indices = TensorProto { dims: vec![1], data_type: 7, int64_data: vec![4], ..Default::default() };
    let graph = GraphProto {
        name: "g".into(),
        node: vec![node("Add", &["x", "w"], "sum"), node("Mul", &["sum", "sp"], "y")],
        initializer: vec![tensor("w", &[2.0]), tensor("scale", &[0.5])],
        sparse_initializer: vec![SparseTensorProto {
            values: MessageField::some(tensor("sp", &[3.0])),
            indices: MessageField::some(indices),
            dims: vec![10],
            ..Default::default()
        }],
        input: vec![declared("x")],
        output: vec![declared("y")],
        quantization_annotation: vec![TensorAnnotation {
            tensor_name: "sum".into(),
            quant_parameter_tensor_names: vec![entry("SCALE_TENSOR", "scale")],
            ..Default::default()
        }],
        ..Default::default()
    };
    let algorithm = GraphProto {
        name: "step".into(),
        node: vec![node("Neg", &["w"], "w_new")],
        output: vec![declared("w_new")],
        ..Default::default()
    };
    ModelProto {
        ir_version: 11,
        opset_import: vec![OperatorSetIdProto { version: 17, ..Default::default() }],
        graph: MessageField::some(graph),
        training_info: vec![TrainingInfoProto {
            algorithm: MessageField::some(algorithm),
            update_binding: vec![entry("w", "w_new")],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The model, its first node split over devices by its input `w` and its output.
fn model() -> Model {
    let mut p = source();
    // NodeDeviceConfigurationProto { configuration_id: "c", sharding_spec: {tensor_name}*, pipeline_stage: 0 }
    let spec =
        |name: &str| [&[0x12, name.len() as u8 + 2, 0x0a, name.len() as u8][..], name.as_bytes()].concat();
    let device = [b"\x0a\x01c".to_vec(), spec("w"), spec("sum"), vec![0x18, 0]].concat();
    p.graph.mut_or_insert_default().node[0]
        .special_fields
        .mut_unknown_fields()
        .add_length_delimited(10, device);
    let m = Model::from_bytes(p.write_to_bytes().unwrap(), None).unwrap();
    sound(&m);
    m
}

fn written(m: &Model) -> (ModelProto, GraphProto) {
    let p = ModelProto::parse_from_bytes(&m.to_bytes(Encoding::Verbatim).unwrap()).unwrap();
    let g = p.graph.clone().unwrap();
    (p, g)
}

/// The names that the first node's sharding specs give.
fn shards(g: &GraphProto) -> Vec<String> {
    let device = format!("{:?}", g.node[0].special_fields.unknown_fields().get(10));
    ["w", "sum", "weight", "total"]
        .iter()
        .filter(|n| device.contains(&bytes_of(n)))
        .map(ToString::to_string)
        .collect()
}

/// A sharding spec as the bytes of an unknown field print.
fn bytes_of(name: &str) -> String {
    let spec = [&[10, name.len() as u8][..], name.as_bytes()].concat();
    spec.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_rename_reaches_every_place() {
    let mut m = model();
    assert_eq!(shards(&written(&m).1), ["w", "sum"]);
    for (old, new) in [("w", "weight"), ("sum", "total"), ("scale", "s"), ("sp", "sparse")] {
        m.rename_value(value(&m, old), new).unwrap();
    }
    sound(&m);
    let (p, g) = written(&m);
    assert_eq!(g.quantization_annotation[0].tensor_name, "total");
    assert_eq!(g.quantization_annotation[0].quant_parameter_tensor_names[0].value, "s");
    assert_eq!(
        (g.sparse_initializer[0].values.name.as_str(), g.node[1].input[1].as_str()),
        ("sparse", "sparse")
    );
    assert_eq!(shards(&g), ["weight", "total"]);
    let t = &p.training_info[0];
    assert_eq!(
        (t.update_binding[0].key.as_str(), t.algorithm.node[0].input[0].as_str()),
        ("weight", "weight")
    );
}

#[test]
fn what_they_refer_to_stays_and_goes_with_them() {
    let mut m = model();
    let (scale, w) = (value(&m, "scale"), value(&m, "w"));
    assert!(!m.is_unused(scale), "an annotation reads it");
    assert!(m.remove_initializer(scale).is_err());
    // Nothing computes the annotated value any more: the annotation goes, and its parameter may.
    let (x, sum, sp) = (value(&m, "x"), value(&m, "sum"), value(&m, "sp"));
    m.replace_uses(sum, x);
    let add = m.node_ids(m.main())[0];
    m.remove_node(add).unwrap();
    m.sweep();
    assert!(written(&m).1.quantization_annotation.is_empty());
    m.remove_initializer(scale).unwrap();
    // The training graph reads and updates it.
    assert!(m.remove_initializer(w).is_err());
    let mul = m.node_ids(m.main())[0];
    m.set_input(mul, 1, Some(x));
    m.remove_initializer(sp).unwrap();
    sound(&m);
    assert!(written(&m).1.sparse_initializer.is_empty());
}

#[test]
fn another_operand_takes_over_its_predecessors_shards() {
    let mut m = model();
    let add = m.node_ids(m.main())[0];
    let weight = m.add_initializer(m.main(), "weight", Tensor::float(&[1], &[1.0]).shared());
    m.set_input(add, 1, Some(weight));
    assert_eq!(shards(&written(&m).1), ["sum", "weight"]);
}
