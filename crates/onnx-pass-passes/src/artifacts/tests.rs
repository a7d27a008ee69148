use proptest::prelude::*;
use serde_json::{Value, json};

use super::quote::yaml_scalar;
use super::*;

fn entry(symbols: &[(&str, i64)]) -> Specialization {
    let symbols = symbols.iter().map(|(symbol, value)| ((*symbol).to_owned(), *value)).collect();
    Specialization { name: None, symbols }
}

fn named(name: &str, symbols: &[(&str, i64)]) -> Specialization {
    Specialization { name: Some(name.to_owned()), ..entry(symbols) }
}

fn tensor(name: &str, dtype: &str, shapes: &[&[i64]]) -> IoTensor {
    IoTensor {
        name: name.to_owned(),
        dtype: dtype.to_owned(),
        shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
    }
}

fn io(name: &str, precision: Precision) -> IoEntry {
    IoEntry { name: name.to_owned(), precision: Some(precision), ..IoEntry::default() }
}

fn prefill_and_decode() -> [Specialization; 2] {
    [
        entry(&[("batch_size", 1), ("seq_len", 128), ("ctx_len", 256)]),
        entry(&[("batch_size", 1), ("seq_len", 1), ("ctx_len", 256)]),
    ]
}

fn decoder_inputs() -> [IoTensor; 3] {
    [
        tensor("input_ids", "int64", &[&[1, 128], &[1, 1]]),
        tensor("position_ids", "int64", &[&[4, 1, 128], &[4, 1, 1]]),
        tensor("past_key.0", "float32", &[&[1, 2, 256, 64], &[1, 2, 256, 64]]),
    ]
}

fn shown<T: ToString>(result: Result<T, ArtifactError>) -> String {
    result.map_or_else(|error| format!("refused: {error}"), |text| text.to_string())
}

#[test]
fn specializations_in_both_spellings() {
    let entries = prefill_and_decode();
    insta::assert_snapshot!("named", shown(specializations_json(&entries, Spelling::Named)));
    insta::assert_snapshot!("flat", shown(specializations_json(&entries, Spelling::Flat)));
}

#[test]
fn names_follow_the_symbols() {
    let names = |entries: &[Specialization]| entry_names(entries).join(" ");
    assert_eq!(names(&prefill_and_decode()), "Prefill Decode");
    assert_eq!(
        names(&[entry(&[("encoder_ctx_len", 8)]), entry(&[("sequence_length", 8)])]),
        "Encoder Embedding"
    );
    assert_eq!(names(&[entry(&[("a", 8)]), entry(&[("b", 8)])]), "Graph_0 Graph_1");
    assert_eq!(names(&[entry(&[("seq_len", 8)]), entry(&[("seq_len", 16)])]), "Prefill_0 Prefill_1");
    assert_eq!(names(&[named("x", &[]), named("x", &[]), named("x_0", &[])]), "x_1 x_2 x_0");
    assert_eq!(names(&[named("Vision", &[("seq_len", 1)])]), "Vision");
}

#[test]
fn custom_io_has_the_layout_of_the_compiler() {
    let quantized = IoEntry {
        layout: Some(Layout::Nhwc),
        scale: Some(1e-7),
        offset: Some(-128),
        ..io("image", Precision::Int8)
    };
    let entries = [
        io("pixel_values", Precision::Float16),
        io("past_key.0", Precision::MxInt8),
        io("past_key.0_RetainedState", Precision::MxInt8),
        quantized,
        io("1234", Precision::Float),
        io("a: b # \"c\"", Precision::BFloat16),
    ];
    insta::assert_snapshot!(shown(custom_io_yaml(&entries)));
    assert_eq!(custom_io_yaml(&[]), Ok("[]\n".to_owned()));
}

#[test]
fn qnn_writes_a_constant_shape_once() {
    let outputs = [tensor("logits", "float32", &[]), tensor("past_key.0_RetainedState", "float32", &[])];
    let custom = [io("past_key.0", Precision::MxInt8), io("past_key.0_RetainedState", Precision::MxInt8)];
    insta::assert_snapshot!(shown(qnn_yaml(&decoder_inputs(), &outputs, &custom)));
}

#[test]
fn shapes_for_the_other_runtimes() {
    let entries = prefill_and_decode();
    let inputs = decoder_inputs();
    let odd = [tensor("input:0", "int64", &[&[1, 128], &[1, 1]]), tensor("flag", "bool", &[&[], &[]])];
    let arguments = |result: Result<Vec<String>, ArtifactError>| shown(result.map(|a| render_arguments(&a)));
    insta::assert_snapshot!("tensorrt", arguments(tensorrt_arguments(&inputs, &entries)));
    insta::assert_snapshot!("tensorrt_quoted", arguments(tensorrt_arguments(&odd, &entries)));
    insta::assert_snapshot!("onnxruntime_arguments", arguments(onnxruntime_arguments(&entries[0])));
    insta::assert_snapshot!("onnxruntime_json", shown(onnxruntime_json(&entries)));
    insta::assert_snapshot!("openvino_argument", shown(openvino_argument(&inputs, 0)));
    insta::assert_snapshot!("openvino_json", shown(openvino_json(&inputs, &entries)));
}

#[test]
fn arguments_of_the_compiler() {
    let single_shot = CompileArgs {
        model: "model.onnx".to_owned(),
        specializations: Some("specializations.json".to_owned()),
        custom_io: Some("custom_io.yaml".to_owned()),
        convert_to_fp16: true,
        extra: vec!["-aic-num-cores=16".to_owned()],
        ..CompileArgs::default()
    };
    let with_state = CompileArgs {
        model: "it's a model.onnx".to_owned(),
        symbols: [("batch_size".to_owned(), 1)].into_iter().collect(),
        retained_state: true,
        sub_functions: true,
        ..CompileArgs::default()
    };
    let text = [single_shot, with_state].map(|args| shown(args.arguments().map(|a| render_arguments(&a))));
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn what_a_format_cannot_say_is_refused() {
    let zero = [entry(&[("seq_len", 0)])];
    let one = [entry(&[("seq_len", 8)])];
    let half = IoEntry { scale: Some(0.5), ..io("x", Precision::Int8) };
    let extra = IoEntry { scale: Some(0.5), ..io("x", Precision::Float16) };
    let nothing = IoEntry { name: "x".to_owned(), ..IoEntry::default() };
    let layout = IoEntry { layout: Some(Layout::Nchw), ..io("x", Precision::Float16) };
    let x = [tensor("x", "float32", &[&[1]])];
    let lines = [
        shown(specializations_json(&zero, Spelling::Named)),
        shown(onnxruntime_json(&zero)),
        shown(custom_io_yaml(&[half])),
        shown(custom_io_yaml(&[extra])),
        shown(custom_io_yaml(&[nothing])),
        shown(custom_io_yaml(&[io("x", Precision::Float), io("x", Precision::Float16)])),
        shown(custom_io_yaml(&[IoEntry { scale: Some(-1.0), offset: Some(0), ..io("x", Precision::Int8) }])),
        shown(custom_io_yaml(&[IoEntry { scale: Some(1.0), offset: Some(200), ..io("x", Precision::Int8) }])),
        shown(qnn_yaml(&x, &[], &[io("y", Precision::Float)])),
        shown(qnn_yaml(&x, &[], &[layout])),
        shown(qnn_yaml(&[tensor("x", "float32", &[])], &[], &[])),
        shown(tensorrt_arguments(&[tensor("a,b", "float32", &[&[1]])], &one).map(|a| a.join(" "))),
        shown(tensorrt_arguments(&[tensor("a*", "float32", &[&[1]])], &one).map(|a| a.join(" "))),
        shown(tensorrt_arguments(&[tensor("a", "float32", &[&[1, -1]])], &one).map(|a| a.join(" "))),
        shown(tensorrt_arguments(&x, &[]).map(|a| a.join(" "))),
        shown(onnxruntime_arguments(&entry(&[("a:b", 1)])).map(|a| a.join(" "))),
        shown(openvino_argument(&[tensor("a[0]", "float32", &[&[1]])], 0)),
        shown(openvino_argument(&x, 3)),
        shown(
            CompileArgs { model: "a\nb".to_owned(), ..CompileArgs::default() }
                .arguments()
                .map(|a| a.join(" ")),
        ),
        "floot16".parse::<Precision>().map_or_else(|e| e.to_string(), |p| p.to_string()),
        "nchw".parse::<Layout>().map_or_else(|e| e.to_string(), |l| l.to_string()),
    ];
    insta::assert_snapshot!(lines.join("\n"));
}

/// Names that models have, and names that no format was made for.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_.0-9/]{1,8}",
        ".{1,8}",
        "[-:#'\"\\\\ {}\\[\\],&*!|>%@`~\\n\\t]{1,4}",
        prop::sample::select(vec![
            "true",
            "No",
            "null",
            "~",
            "1e3",
            "0x10",
            "1:30",
            ".inf",
            "2001-01-01",
            "=",
            "<<"
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn yaml_reads_every_name_back(name in names()) {
        let read: Value = serde_yaml::from_str(&yaml_scalar(&name)).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(read, json!(name));
    }

    #[test]
    fn custom_io_reads_back(name in names(), scale in 1e-12_f64..1e12, offset in -128_i64..128) {
        let entry = IoEntry { scale: Some(scale), offset: Some(offset), ..io(&name, Precision::Int8) };
        let text = custom_io_yaml(&[entry, io("another", Precision::Float16)]);
        let text = text.map_err(|e| TestCaseError::fail(e.to_string()))?;
        let read: Value = serde_yaml::from_str(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(read.pointer("/0/IOName"), Some(&json!(name)));
        prop_assert_eq!(read.pointer("/0/Scale"), Some(&json!(scale)));
        prop_assert_eq!(read.pointer("/0/Offset"), Some(&json!(offset)));
    }

    #[test]
    fn qnn_reads_back(name in names(), a in 1_i64..9, b in 1_i64..9) {
        let text = qnn_yaml(&[tensor(&name, "int64", &[&[a], &[b]])], &[tensor(&name, "int64", &[])], &[]);
        let text = text.map_err(|e| TestCaseError::fail(e.to_string()))?;
        let read: Value = serde_yaml::from_str(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let shape = if a == b { format!("({a})") } else { format!("({a}), ({b})") };
        let expected = json!({
            "Input Tensor Configuration":
                [{"Name": name, "Desired Model Parameters": {"DataType": "int64", "Shape": shape}}],
            "Output Tensor Configuration": [{"Name": name, "Desired Model Parameters": {"DataType": "int64"}}],
        });
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn entry_names_are_unique(wanted in prop::collection::vec(prop::sample::select(vec!["a", "a_0", "a_1", "b"]), 0..8)) {
        let entries: Vec<Specialization> = wanted.iter().map(|name| named(name, &[])).collect();
        let names = entry_names(&entries);
        let unique: std::collections::BTreeSet<&String> = names.iter().collect();
        prop_assert_eq!(unique.len(), wanted.len());
    }
}
