use proptest::prelude::*;

use super::generate::Random;
use super::*;

/// Looks at everything that can be looked at.
fn look(m: &Model) {
    let _ = verify::verify(m, verify::Level::Full);
    for (v, value) in m.values() {
        let _ = m.declared_type(v);
        if let Some(t) = value.initializer() {
            let _ = (t.bytes(), t.to_i64s(), t.to_f64s(), t.preview());
        }
    }
    for g in m.live_graphs() {
        for (n, _) in m.nodes(g) {
            let _ = (m.describe(n), m.constant_node(n), m.callee(n));
        }
    }
    let _ = m.to_bytes(Encoding::Anew);
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_a_smaller_model() {
    let bytes = Random::new(3).model_bytes();
    for end in 0..bytes.len() {
        match Model::from_bytes(bytes[..end].to_vec(), None) {
            Ok(m) => look(&m),
            Err(e) => assert!(!e.to_string().contains('\n') && e.to_string().len() < 400, "{end}: {e}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_are_no_model(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(m) = Model::from_bytes(bytes, None) {
            look(&m);
        }
    }

    #[test]
    fn a_damaged_model_does_no_harm(seed in any::<u64>(), hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = Random::new(seed).model_bytes();
        for (at, b) in hits {
            let at = at.index(bytes.len());
            bytes[at] = b;
        }
        if let Ok(m) = Model::from_bytes(bytes, None) {
            look(&m);
        }
    }
}

/// A length-delimited field.
fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(payload.len() as u64, &mut out);
    out.extend_from_slice(payload);
    out
}

fn nested(depth: usize) -> Vec<u8> {
    let mut node = [field(1, b"x"), field(2, b"y"), field(4, b"Relu")].concat();
    for _ in 0..depth {
        let graph = [field(1, &node), field(2, b"g")].concat();
        let attribute = [field(1, b"then_branch"), field(6, &graph), vec![0xa0, 0x01, 5]].concat();
        node = [field(1, b"c"), field(2, b"y"), field(4, b"If"), field(5, &attribute)].concat();
    }
    [vec![8, 8], field(7, &[field(1, &node), field(2, b"g")].concat())].concat()
}

#[test]
fn nesting_beyond_what_readers_take_is_one_short_line() {
    Model::from_bytes(nested(30), None).unwrap();
    let e = Model::from_bytes(nested(40), None).unwrap_err().to_string();
    insta::assert_snapshot!(e, @r#"graph.If of "y".then_branch.If of "y".then_branch. … 27 more … .If of "y".then_branch.If of "y".then_branch: graphs nested more than 31 deep: ONNX readers stop there; inline the inner ones"#);
    Model::from_bytes(nested(10_000), None).unwrap_err();
}

#[test]
fn a_tensor_that_claims_more_than_there_is() {
    for dims in [vec![5], vec![1 << 40, 1 << 40], vec![-1], vec![i64::MAX]] {
        let mut m = small();
        let t = Tensor::with_data(DataType::FLOAT, &dims, TensorData::Raw(vec![0; 4].into()));
        let v = value(&m, "w");
        m.set_initializer(v, t.shared()).unwrap();
        let m = reread(&m);
        let t = m.value(value(&m, "w")).initializer().unwrap();
        assert!(t.bytes().is_err() && t.to_f64s().is_err(), "{dims:?}");
        assert_eq!(verify::verify(&m, verify::Level::Full).len(), 1, "{dims:?}");
    }
}

#[test]
fn what_is_no_model_is_told_by_its_first_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let error = |name: &str, contents: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, contents).unwrap();
        Model::read(&path).unwrap_err().to_string().replace(dir.path().to_str().unwrap(), "")
    };
    insta::assert_snapshot!(error("empty", b""), @"/empty: model: no graph: not an ONNX model, or cut short");
    insta::assert_snapshot!(error("lfs", b"version https://git-lfs.github.com/spec/v1\n"), @"/lfs: a Git LFS pointer, not the model; run `git lfs pull` first");
    insta::assert_snapshot!(error("text", b"<html>"), @"/text: model: a group ends that never began: damaged, or not an ONNX model");
    assert!(Model::read(dir.path()).is_err());
    assert!(Model::read(dir.path().join("none")).is_err());
}
