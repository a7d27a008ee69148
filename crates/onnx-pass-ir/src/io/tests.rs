use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::proto::encode::Encoding;
use crate::*;

/// `y = Add(x, w)` and so on for each weight.
fn model(weights: &[(&str, Tensor)]) -> Model {
    let mut m = Model::empty();
    m.header_mut().ir_version = Some(8);
    m.header_mut().opset_imports.push(OpsetImport { domain: None, version: Some(17) });
    let main = m.main();
    let ty = || Some(Type::tensor(DataType::FLOAT, Some(vec![Dim::Unknown])));
    let mut last = m.add_input(main, "x", ty());
    for (name, t) in weights {
        let w = m.add_initializer(main, name, t.clone().shared());
        let n = m.add_node(Place::End(main), NewNode::new("Add", &[last, w], "sum"));
        last = m.node(n).outputs()[0].unwrap();
    }
    m.add_output(main, last, ty());
    m
}

fn floats(n: usize, first: f32) -> Tensor {
    let values: Vec<f32> = (0..n).map(|i| first + i as f32).collect();
    Tensor::float(&[n as i64], &values)
}

fn external(dir: &Path, location: &str, offset: u64, n: usize) -> Tensor {
    let root = Arc::new(ExternalRoot { folder: Some(dir.into()), allow_symlinks: false });
    let e = External::new(location, offset, 4 * n as u64, root);
    Tensor::with_data(DataType::FLOAT, &[n as i64], TensorData::External(e))
}

/// A saved model whose two weights are in `w.bin`; gives its path.
fn saved(dir: &Path, first: f32) -> std::path::PathBuf {
    let bytes = floats(2000, first).bytes().unwrap();
    fs::write(dir.join("w.bin"), &bytes).unwrap();
    let m = model(&[("a", external(dir, "w.bin", 0, 1000)), ("b", external(dir, "w.bin", 4000, 1000))]);
    let path = dir.join("m.onnx");
    m.write(&path, &WriteOptions::default()).unwrap();
    path
}

fn weights(m: &Model) -> Vec<Vec<f64>> {
    m.graph(m.main())
        .initializers()
        .iter()
        .map(|v| m.value(*v).initializer().unwrap().to_f64s().unwrap())
        .collect()
}

fn locations(m: &Model) -> Vec<String> {
    (m.graph(m.main()).initializers().iter())
        .map(|v| match &m.value(*v).initializer().unwrap().data {
            TensorData::External(e) => e.location.to_string(),
            _ => "-".into(),
        })
        .collect()
}

fn with(weights: Weights) -> WriteOptions {
    WriteOptions { weights, ..WriteOptions::default() }
}

/// The names in a folder, sorted.
fn listing(dir: &Path) -> Vec<String> {
    let mut out: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    out.sort();
    out
}

#[test]
fn the_same_folder_refers_to_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let m = Model::read(saved(dir.path(), 0.0)).unwrap();
    let done = m.write(dir.path().join("out.onnx"), &WriteOptions::default()).unwrap();
    assert_eq!(done.files, [dir.path().join("out.onnx")]);
    assert_eq!(listing(dir.path()), ["m.onnx", "out.onnx", "w.bin"]);
    assert_eq!(weights(&Model::read(dir.path().join("out.onnx")).unwrap()), weights(&m));
}

#[test]
fn elsewhere_the_data_is_copied_and_reused_but_never_replaced() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = saved(dir.path(), 0.0);
    let m = Model::read(&path).unwrap();
    let target = out.path().join("m.onnx");
    for weights_mode in [Weights::Auto, Weights::Copy] {
        m.write(&target, &with(weights_mode)).unwrap();
        assert_eq!(listing(out.path()), ["m.onnx", "w.bin"], "the same contents are used again");
    }
    assert_eq!(fs::read(&target).unwrap(), fs::read(&path).unwrap(), "an unchanged model is copied as it is");
    // Other contents under the taken name.
    let second = Model::read(saved(dir.path(), 7.0)).unwrap();
    let done = second.write(&target, &WriteOptions::default()).unwrap();
    assert_eq!(listing(out.path()), ["m.onnx", "w.bin", "w_1.bin"]);
    assert_eq!(done.files.last(), Some(&target));
    let back = Model::read(&target).unwrap();
    assert_eq!(locations(&back), ["w_1.bin", "w_1.bin"]);
    assert_eq!(weights(&back), weights(&second));
    assert_eq!(
        fs::read(out.path().join("w.bin")).unwrap()[..4],
        0f32.to_le_bytes(),
        "the old data is as it was"
    );
    // And again: no third file.
    second.write(&target, &WriteOptions::default()).unwrap();
    assert_eq!(listing(out.path()), ["m.onnx", "w.bin", "w_1.bin"]);
}

#[test]
fn a_hard_link_is_made_on_request_and_warned_of() {
    use std::os::unix::fs::MetadataExt;
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let m = Model::read(saved(dir.path(), 0.0)).unwrap();
    for _ in 0..2 {
        let done = m.write(out.path().join("m.onnx"), &with(Weights::Link)).unwrap();
        assert!(done.notes[0].contains("refuses weights that have more than one"), "{:?}", done.notes);
        assert_eq!(fs::metadata(out.path().join("w.bin")).unwrap().nlink(), 2);
    }
    assert_eq!(listing(out.path()), ["m.onnx", "w.bin"]);
}

#[test]
fn a_reference_reaches_down_but_not_out() {
    let dir = tempfile::tempdir().unwrap();
    let sub = dir.path().join("sub");
    fs::create_dir(&sub).unwrap();
    let m = Model::read(saved(&sub, 0.0)).unwrap();
    m.write(dir.path().join("up.onnx"), &with(Weights::Reference)).unwrap();
    let up = Model::read(dir.path().join("up.onnx")).unwrap();
    assert_eq!((locations(&up), weights(&up)), (vec!["sub/w.bin".to_string(); 2], weights(&m)));
    let other = tempfile::tempdir().unwrap();
    let e = m.write(other.path().join("m.onnx"), &with(Weights::Reference)).unwrap_err().to_string();
    assert!(e.contains("is not in the output's folder or below it"), "{e}");
    assert!(listing(other.path()).is_empty());
}

#[test]
fn data_is_taken_into_the_model_and_out_again() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let m = Model::read(saved(dir.path(), 0.0)).unwrap();
    let (inline, apart) = (out.path().join("inline.onnx"), out.path().join("apart.onnx"));
    m.write(&inline, &with(Weights::Embed)).unwrap();
    assert_eq!(listing(out.path()), ["inline.onnx"]);
    let mut embedded = Model::read(&inline).unwrap();
    assert_eq!((locations(&embedded), weights(&embedded)), (vec!["-".to_string(); 2], weights(&m)));
    let file = Arc::new(DataFile { name: "{model}.data".into(), alignment: 4096 });
    for v in embedded.graph(embedded.main()).initializers().to_vec() {
        let t = embedded.value(v).initializer().unwrap().stored(Store::External(file.clone()));
        embedded.set_initializer(v, t.shared()).unwrap();
    }
    for _ in 0..2 {
        embedded.write(&apart, &WriteOptions::default()).unwrap();
        assert_eq!(listing(out.path()), ["apart.onnx", "apart.onnx.data", "inline.onnx"]);
    }
    let back = Model::read(&apart).unwrap();
    assert_eq!(locations(&back), ["apart.onnx.data"; 2]);
    assert_eq!(weights(&back), weights(&m));
    assert!(fs::metadata(&apart).unwrap().len() < 1000);
    assert!(verify::verify(&back, verify::Level::Full).is_empty());
    // As bytes there is nowhere to put data: the contents stay.
    let bytes = Model::from_bytes(embedded.to_bytes(Encoding::Verbatim).unwrap(), None).unwrap();
    assert_eq!(weights(&bytes), weights(&m));
}

#[test]
fn tensors_in_branches_and_attributes_move_too() {
    let dir = tempfile::tempdir().unwrap();
    let sub = dir.path().join("sub");
    fs::create_dir(&sub).unwrap();
    fs::write(sub.join("w.bin"), floats(8, 1.0).bytes().unwrap()).unwrap();
    let mut m = model(&[("a", floats(1, 0.0))]);
    let main = m.main();
    let constant = |t: Tensor| NewNode::new("Constant", &[], "k").attr(Attribute::tensor("value", t));
    m.add_node(Place::Start(main), constant(external(&sub, "w.bin", 8, 2)));
    let bytes = m.to_bytes(Encoding::Verbatim).unwrap();
    fs::write(sub.join("m.onnx"), &bytes).unwrap();
    let m = Model::read(sub.join("m.onnx")).unwrap();
    m.write(dir.path().join("up.onnx"), &with(Weights::Reference)).unwrap();
    let up = Model::read(dir.path().join("up.onnx")).unwrap();
    let node = up.node_ids(up.main())[0];
    assert_eq!(up.constant_node(node).unwrap().to_f64s().unwrap(), [3.0, 4.0]);
}

#[test]
fn what_must_not_be_replaced_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = saved(dir.path(), 0.0);
    let mut m = Model::read(&path).unwrap();
    m.header_mut().producer_name = Some("changed".into());
    let before = (fs::read(&path).unwrap(), fs::read(dir.path().join("w.bin")).unwrap());
    let error = |target: &str, o: &WriteOptions| m.write(dir.path().join(target), o).unwrap_err().to_string();
    fs::write(dir.path().join("other.bin"), floats(100, 3.0).bytes().unwrap()).unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("m.onnx", dir.path().join("alias.onnx")).unwrap();
    let plain = WriteOptions::default();
    assert!(error("m.onnx", &plain).contains("is the input"));
    assert!(error("alias.onnx", &plain).contains("is the input"));
    assert!(error("w.bin", &plain).contains("holds weights of the input"));
    assert!(error("w.bin", &WriteOptions { in_place: true, ..plain.clone() }).contains("holds weights"));
    assert!(error("other.bin", &plain).contains("is no ONNX model"));
    assert!(error("folder", &plain).contains("not a regular file"));
    assert!(error("missing/m.onnx", &plain).contains("missing"));
    assert_eq!(before, (fs::read(&path).unwrap(), fs::read(dir.path().join("w.bin")).unwrap()));
    m.write(&path, &WriteOptions { in_place: true, ..plain }).unwrap();
    assert_eq!(Model::read(&path).unwrap().header().producer_name.as_deref(), Some("changed"));
    assert_eq!(listing(dir.path()), ["alias.onnx", "folder", "m.onnx", "other.bin", "w.bin"]);
}

#[test]
fn weights_that_cannot_be_had_are_refused_and_nothing_is_left() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = out.path().join("m.onnx");
    let error = |t: Tensor, o: &WriteOptions| {
        let e = model(&[("a", t)]).write(&target, o).unwrap_err().to_string();
        assert!(listing(out.path()).is_empty(), "{e}");
        e
    };
    fs::write(dir.path().join("w.bin"), [0; 100]).unwrap();
    std::os::unix::fs::symlink("w.bin", dir.path().join("link.bin")).unwrap();
    let plain = WriteOptions::default();
    assert!(error(external(dir.path(), "../w.bin", 0, 1), &plain).contains("leaves the model's folder"));
    assert!(error(external(dir.path(), "/etc/passwd", 0, 1), &plain).contains("leaves the model's folder"));
    assert!(error(external(dir.path(), "none.bin", 0, 1), &plain).contains("put the file beside the model"));
    assert!(error(external(dir.path(), "w.bin", 40, 20), &plain).contains("bytes 40..120 are claimed"));
    assert!(error(external(dir.path(), "link.bin", 0, 1), &plain).contains("--allow-symlinks"));
    for mode in [Weights::Embed, Weights::Copy, Weights::Link, Weights::Reference] {
        error(external(dir.path(), "../w.bin", 0, 1), &with(mode));
        error(external(dir.path(), "none.bin", 0, 1), &with(mode));
    }
    let allowed = WriteOptions { allow_symlinks: true, ..plain };
    model(&[("a", external(dir.path(), "link.bin", 0, 1))]).write(&target, &allowed).unwrap();
    assert!(fs::symlink_metadata(out.path().join("link.bin")).unwrap().is_file());
}

#[test]
fn a_failed_write_takes_back_what_it_placed() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut m = Model::read(saved(dir.path(), 0.0)).unwrap();
    // The second file is missing, which is found out after the first was copied.
    let t = external(dir.path(), "gone.bin", 0, 1).shared();
    m.add_initializer(m.main(), "c", t);
    m.write(out.path().join("m.onnx"), &WriteOptions::default()).unwrap_err();
    assert!(listing(out.path()).is_empty());
}

#[test]
fn a_source_that_changed_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    model(&[("a", floats(5000, 0.0))]).write(&path, &WriteOptions::default()).unwrap();
    let mut m = Model::read(&path).unwrap();
    m.header_mut().producer_name = Some("p".into());
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10_000).unwrap();
    let e = m.write(dir.path().join("out.onnx"), &WriteOptions::default()).unwrap_err().to_string();
    assert!(e.contains("changed by somebody else"), "{e}");
    assert_eq!(listing(dir.path()), ["m.onnx"]);
}

#[test]
fn a_range_is_copied_whatever_its_place_in_its_pages() {
    let dir = tempfile::tempdir().unwrap();
    let data: Vec<u8> =
        (0..3_000_000u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 8).to_le_bytes()).collect();
    fs::write(dir.path().join("in"), &data).unwrap();
    let from = std::fs::File::open(dir.path().join("in")).unwrap();
    for (lead, offset, len) in
        [(0, 0, data.len()), (5, 5, 9_000_000), (7, 4096, 9_000_001), (4096, 0, 1 << 21)]
    {
        let to = std::fs::File::create(dir.path().join("out")).unwrap();
        let mut out = out::Out::new(&to);
        out.bytes(&data[..lead]).unwrap();
        out.range(&from, offset as u64, len as u64).unwrap();
        out.bytes(b"end").unwrap();
        out.zeros(3).unwrap();
        out.flush().unwrap();
        let mut want = data[..lead].to_vec();
        want.extend_from_slice(&data[offset..offset + len]);
        want.extend_from_slice(b"end\0\0\0");
        assert!(fs::read(dir.path().join("out")).unwrap() == want, "{lead} {offset} {len}");
        // Past the end by a part of the page that it is in, where the target ends with a page, then by some pages, and by
        // nearly all.
        let rest = 4096 - out.pos() % 4096 + (2 << 20);
        for (there, past) in [(rest - 100, 100), (3 << 20, 1 << 21), (1, 1 << 21)] {
            let e = out.range(&from, data.len() as u64 - there, there + past).unwrap_err();
            assert!(e.to_string().contains("became shorter"), "{there} {past}: {e}");
        }
    }
}

#[test]
fn data_takes_no_name_that_is_reserved() {
    let (dir, link) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let link = link.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    let m = Model::read(saved(dir.path(), 0.0)).unwrap();
    let moved = |name: &str| {
        let mut m = m.clone();
        let file = Arc::new(DataFile { name: name.into(), alignment: 1 });
        for v in m.graph(m.main()).initializers().to_vec() {
            let t = m.value(v).initializer().unwrap().stored(Store::External(file.clone()));
            m.set_initializer(v, t.shared()).unwrap();
        }
        m
    };
    let options = WriteOptions { reserved: vec![dir.path().join("a.json")], ..WriteOptions::default() };
    for (name, placed) in
        [("a.json", "a_1.json"), ("./a.json", "./a_1.json"), ("{model}", "o_1.onnx"), ("b", "b")]
    {
        let written = moved(name).write(link.join("o.onnx"), &options).unwrap();
        assert_eq!(written.files.len(), 2, "{name}");
        let back = Model::read(dir.path().join("o.onnx")).unwrap();
        assert_eq!((locations(&back), weights(&back)), (vec![placed.to_string(); 2], weights(&m)));
        for file in ["o.onnx", placed] {
            fs::remove_file(dir.path().join(file)).unwrap();
        }
    }
    // Weights that are brought along, by whatever way.
    for mode in [Weights::Auto, Weights::Copy, Weights::Link] {
        let out = tempfile::tempdir().unwrap();
        m.write(out.path().join("w.bin"), &with(mode)).unwrap();
        assert_eq!(listing(out.path()), ["w.bin", "w_1.bin"]);
        assert_eq!(weights(&Model::read(out.path().join("w.bin")).unwrap()), weights(&m));
    }
    // Weights that are there already.
    let options = WriteOptions { reserved: vec![link.join("w.bin")], ..WriteOptions::default() };
    let refused = m.write(dir.path().join("o.onnx"), &options).unwrap_err().to_string();
    assert!(refused.contains("name an output in another folder"), "{refused}");
    let bytes = fs::read(dir.path().join("m.onnx")).unwrap();
    let unseen = Model::from_bytes(bytes, None).unwrap();
    let refused = unseen.write(dir.path().join("w.bin"), &WriteOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("w.bin"), "{refused}");
    assert_eq!(listing(dir.path()), ["m.onnx", "w.bin"]);
}

#[test]
fn a_message_with_a_graph_is_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let is_model = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        write::is_model(&path)
    };
    assert!(is_model(&[0x08, 0x0a, 0x3a, 0x02, 1, 2]));
    assert!(!is_model(&[0x08, 0x0a]), "no graph");
    assert!(!is_model(&[0x08, 0x0a, 0x3a, 0x03, 1, 2]), "cut short");
    assert!(!is_model(&[0x3a, 0x00, 0x00]), "half a field behind it");
    assert!(!is_model(&[0; 64]) && !is_model(b"{\"a\": 1}") && !is_model(&[0xff; 64]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_hidden_name_is_removed_when_its_run_is_dead_and_not_before() {
    use std::time::Duration;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    fs::write(&path, "old").unwrap();
    let alive = SecondName::of(&path).unwrap();
    assert_eq!(listing(dir.path()).len(), 2);
    hidden::clean(dir.path(), Duration::ZERO);
    let all = listing(dir.path());
    assert_eq!(all.len(), 2, "its run is alive");
    // What a kill leaves: the name, and no lock.
    let name = dir.path().join(&all[0]);
    drop(alive);
    assert_eq!(listing(dir.path()), ["a"]);
    fs::hard_link(&path, &name).unwrap();
    clean_hidden(dir.path());
    assert_eq!(listing(dir.path()).len(), 2, "it is young");
    // Names of another start of the system, and such as never were locked.
    let other = format!("{}0-0-0-0.tmp", &all[0][..".onnx-pass-locked-".len()]);
    for kept in [other.as_str(), ".onnx-pass-1-1.tmp"] {
        fs::write(dir.path().join(kept), "").unwrap();
    }
    hidden::clean(dir.path(), Duration::ZERO);
    assert_eq!(listing(dir.path()), [".onnx-pass-1-1.tmp", other.as_str(), "a"]);
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn what_was_replaced_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "old").unwrap();
    std::os::unix::fs::symlink("file", at("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
    for name in ["file", "link", "dangling"] {
        let told = || (fs::read_link(at(name)).ok(), fs::read(at(name)).ok());
        let before = told();
        // By a second name, and by what stands in for it.
        let old = SecondName::of(&at(name)).unwrap();
        fs::write(at("new"), "new").unwrap();
        fs::rename(at("new"), at(name)).unwrap();
        old.give_back(&at(name)).unwrap();
        assert_eq!(told(), before);
        hidden::copy(&at(name), &at("copy")).unwrap();
        fs::rename(at("copy"), at(name)).unwrap();
        assert_eq!(told(), before);
    }
    assert_eq!(listing(dir.path()), ["dangling", "file", "link"]);
    assert!(SecondName::of(&at("none")).is_err());
}
