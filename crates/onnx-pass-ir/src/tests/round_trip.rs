use onnx_protobuf::{Message, ModelProto};
use proptest::prelude::*;

use super::generate::Random;
use super::*;

#[track_caller]
fn same(bytes: &[u8], want: &ModelProto, how: &str) {
    let got = ModelProto::parse_from_bytes(bytes).unwrap();
    assert!(got == *want, "{how}: wrote\n{got:#?}\nread\n{want:#?}");
}

/// Marks everything as changed, so that every message around a leaf is encoded.
fn touch_all(m: &mut Model) {
    for g in m.live_graphs() {
        m.touch_graph(g);
        for n in m.node_ids(g) {
            m.touch(n);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_model_comes_back_field_by_field(seed in any::<u64>()) {
        let want = Random::new(seed).model();
        let bytes = want.write_to_bytes().unwrap();
        let mut m = Model::from_bytes(bytes.clone(), None).unwrap();
        prop_assert_eq!(&m.to_bytes(Encoding::Verbatim).unwrap()[..], &bytes[..]);
        same(&m.to_bytes(Encoding::Anew).unwrap(), &want, "anew");
        m.header_mut();
        same(&m.to_bytes(Encoding::Verbatim).unwrap(), &want, "spliced");
        touch_all(&mut m);
        same(&m.to_bytes(Encoding::Verbatim).unwrap(), &want, "touched");
        let anew = m.to_bytes(Encoding::Anew).unwrap();
        let again = Model::from_bytes(anew.clone(), None).unwrap().to_bytes(Encoding::Anew).unwrap();
        prop_assert!(anew == again, "our order is not stable");
    }
}

#[test]
fn presence_and_unknown_fields_of_leaves_survive_an_edit_beside_them() {
    // An explicit empty name, an explicit zero, an unknown field in a type, an explicit default location.
    let node = [
        &b"\x0a\x01x\x12\x01y\x1a\x00\x22\x09LeakyRelu"[..],
        b"\x2a\x11\x0a\x05alpha\x15\0\0\0\0\x6a\x00\xa0\x01\x01",
    ]
    .concat();
    let ty = [&b"\x0a\x02\x08\x01"[..], b"\xfa\x3e\x02zz"].concat();
    let tensor = b"\x08\x01\x10\x01\x42\x01w\x4a\x04\0\0\0\0\x70\x00";
    let field = |n: u8, b: &[u8]| [&[n << 3 | 2, b.len() as u8][..], b].concat();
    let info = |name: &[u8]| [field(1, name), field(2, &ty)].concat();
    let graph =
        [field(1, &node), field(2, b"g"), field(5, tensor), field(11, &info(b"x")), field(12, &info(b"y"))]
            .concat();
    let bytes = [b"\x08\x08".to_vec(), field(7, &graph), field(8, b"\x0a\x00\x10\x11")].concat();
    let mut m = Model::from_bytes(bytes.clone(), None).unwrap();
    touch_all(&mut m);
    m.header_mut();
    assert_eq!(&m.to_bytes(Encoding::Verbatim).unwrap()[..], &bytes[..]);
    // A rename writes the declaration anew around the bytes of its type.
    m.rename_value(value(&m, "x"), "z").unwrap();
    let renamed = m.to_bytes(Encoding::Verbatim).unwrap();
    let unknown = renamed.windows(5).filter(|w| *w == b"\xfa\x3e\x02zz").count();
    assert_eq!((renamed.len(), unknown), (bytes.len(), 2));
}
