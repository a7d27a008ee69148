//! All files of a run: they change together or not at all.
//!
//! Invariant: nothing that stood at a path is replaced before everything is on the disk; the model that the run is
//! about takes its name last, after all that stands beside it; and when something cannot take its name, what took its
//! own before gives it back. A run that is killed leaves at each path the old file or the new one, whole.
//!
//! Invariant: no two files of a run have one name. Data, whose name is only a wish, makes room for the others.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use onnx_pass_ir::{
    Error, Model, NewFiles, Result, SecondName, StagedModel, WriteOptions, Written, advise, clean_hidden,
    real_name,
};

use crate::write::{self, WriteError};
use crate::{Artifact, Companion, together};

/// Files that wait beside their places. When this is dropped nothing of them is left.
#[derive(Debug)]
#[must_use = "nothing is at its path before `commit`"]
pub struct Outputs {
    artifacts: Vec<write::Staged>,
    companions: Vec<StagedModel>,
    model: StagedModel,
    /// Names have to last through a power cut: something is replaced, or it was asked for.
    durable: bool,
}

impl Outputs {
    /// Writes `model`, its companions and the files beside it, all but their names. `output` is the model's path. What
    /// `options` reserve is for files that the caller puts there afterwards.
    ///
    /// # Errors
    /// When one cannot be written, or may not be replaced, or two would have one name. Nothing is changed then.
    pub fn stage(
        model: &Model,
        artifacts: &[Artifact],
        companions: &[Companion],
        output: &Path,
        options: &WriteOptions,
    ) -> Result<Self> {
        let beside = |name: &str| output.with_file_name(name);
        let models = companions.iter().map(|companion| together::path(companion, output));
        let models: Vec<PathBuf> = std::iter::once(output.to_owned()).chain(models).collect();
        let files: Vec<PathBuf> = artifacts.iter().map(|artifact| beside(&artifact.name)).collect();
        let reserved: Vec<PathBuf> = models.iter().chain(&files).chain(&options.reserved).cloned().collect();
        let mut names = HashSet::new();
        if let Some(twice) = reserved.iter().find(|path| !names.insert(real_name(path))) {
            return Err(Error::Unwritable(format!("two files would be written to {}", twice.display())));
        }
        for path in &files {
            refuse_what_is_no_text(path)?;
        }
        let unnamed = |error: WriteError| Error::io(error.path.clone(), io::Error::other(error.told()));
        let staged = artifacts.iter().zip(&files);
        let staged = staged.map(|(artifact, path)| write::Staged::new(path, artifact.text.as_bytes()));
        let artifacts = staged.collect::<std::result::Result<Vec<_>, _>>().map_err(unnamed)?;
        // What one of them replaces must outlive a power cut until the others are there.
        let durable = options.durable || models.iter().any(|path| path.exists());
        let options = WriteOptions { durable, reserved, ..options.clone() };
        if companions.is_empty() {
            let model = model.stage(output, &options)?;
            return Ok(Outputs { artifacts, companions: Vec::new(), model, durable });
        }
        // The caller's model must not refer to files that go when the run does not come about.
        let mut model = model.clone();
        let companions = together::stage(companions, &mut model, output, &options)?;
        Ok(Outputs { artifacts, companions, model: model.stage(output, &options)?, durable })
    }

    /// Gives each its name. What was written is told of all models together, the main one's file last.
    ///
    /// # Errors
    /// When the system refuses one. Everything is as it was then.
    pub fn commit(self) -> Result<Written> {
        let Outputs { artifacts, companions, model, durable } = self;
        let mut done = Vec::new();
        let folder = write::folder_of(model.path()).to_owned();
        let committed = commit_all(artifacts, companions, model, &mut done);
        match committed {
            Ok(_) => done.into_iter().for_each(Replaced::keep_new),
            Err(_) => done.into_iter().rev().for_each(Replaced::give_back),
        }
        clean_hidden(&folder);
        // It may have to write all data that is not on the disk yet, which takes as long as the run.
        if durable {
            write::sync_folder(&folder);
        }
        committed
    }
}

fn commit_all(
    artifacts: Vec<write::Staged>,
    companions: Vec<StagedModel>,
    model: StagedModel,
    done: &mut Vec<Replaced>,
) -> Result<Written> {
    let mut written = Written::default();
    for file in artifacts {
        let replaced = Replaced::at(file.path())?;
        file.commit().map_err(|error| Error::io(error.path.clone(), io::Error::other(error.told())))?;
        done.push(replaced);
    }
    for companion in companions {
        let mut replaced = Replaced::at(companion.path())?;
        let (one, data) = companion.commit_alone()?;
        replaced.data = data;
        done.push(replaced);
        written.bytes += one.bytes;
        written.files.extend(one.files);
        written.notes.extend(one.notes);
    }
    let last = model.commit()?;
    written.bytes += last.bytes;
    // The main model's remarks come first, as they did before it had company.
    written.notes.splice(0..0, last.notes);
    written.files.extend(last.files);
    Ok(written)
}

/// What stood at a path before a new file takes it.
#[derive(Debug)]
struct Replaced {
    path: PathBuf,
    old: Old,
    /// What came with the new one.
    data: NewFiles,
}

#[derive(Debug)]
enum Old {
    Nothing,
    Kept(SecondName),
    /// A pipe or a device, which is written to and not replaced.
    Special,
}

impl Replaced {
    fn at(path: &Path) -> Result<Self> {
        let old = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Old::Nothing,
            Err(error) => return Err(Error::io(path, error)),
            Ok(data) if data.is_file() || data.is_symlink() => {
                Old::Kept(SecondName::of(path).map_err(|error| Error::io(path, advise(error)))?)
            }
            Ok(_) => Old::Special,
        };
        Ok(Replaced { path: path.to_owned(), old, data: NewFiles::default() })
    }

    /// The new file stays.
    fn keep_new(self) {
        self.data.keep();
    }

    /// Puts it back. There is nothing better to do where the system refuses that too.
    fn give_back(self) {
        match self.old {
            Old::Nothing => {
                let _ = fs::remove_file(&self.path);
            }
            Old::Kept(old) => {
                let _ = old.give_back(&self.path);
            }
            Old::Special => {}
        }
    }
}

/// A file that is there and is no text may be weights, of this model or another.
pub(crate) fn refuse_what_is_no_text(path: &Path) -> Result<()> {
    let Ok(data) = fs::metadata(path) else { return Ok(()) };
    if !data.is_file() {
        return Ok(());
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.map_err(|error| Error::io(path, error))?;
    let whole = match std::str::from_utf8(&start) {
        Ok(_) => true,
        // Cut off in the middle of a character.
        Err(error) => error.error_len().is_none() && start.len() == 4096,
    };
    if whole && !start.contains(&0) {
        return Ok(());
    }
    Err(Error::Unwritable(format!(
        "{}: what is there is no text, so it is not replaced; remove it or name another output",
        path.display()
    )))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use onnx_pass_ir::{Store, Tensor, TensorData, text};

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    /// A model with a weight that two models of a run have in one file.
    fn model(fill: u8) -> Result<Model> {
        let mut m = text::parse(
            r#"<ir_version: 8, opset_import: ["" : 17]>
            g (float[1024] x) => (float[1024] y) <float[1] w = {0}> { y = Add (x, w) }"#,
        )?;
        let w = m.find_value(m.main(), "w").ok_or("no w")?;
        let raw = TensorData::Raw(vec![fill; 4096].into());
        m.set_initializer(w, Tensor::with_data(onnx_pass_ir::DataType::FLOAT, &[1024], raw).shared())?;
        Ok(m)
    }

    fn staged(folder: &Path, fill: u8) -> Result<Outputs> {
        let artifacts =
            ["a.json", "b.json"].map(|name| Artifact { name: name.into(), text: format!("{name} {fill}") });
        let companions = [Companion { name: "{stem}.decode.onnx".into(), model: model(fill)? }];
        let options = WriteOptions::default();
        Ok(Outputs::stage(&model(fill)?, &artifacts, &companions, &folder.join("m.onnx"), &options)?)
    }

    /// Every name in a folder and what is under it.
    fn all(folder: &Path) -> Result<Vec<(String, Option<Vec<u8>>)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            all.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).ok()));
        }
        all.sort();
        Ok(all)
    }

    /// What the weight of a model is filled with.
    fn fill(path: &Path) -> Result<u8> {
        let m = Model::read(path)?;
        let w = m.find_value(m.main(), "w").and_then(|v| m.constant(v)).ok_or("no w")?;
        assert_eq!(w.store, Store::Keep);
        w.bytes()?.first().copied().ok_or_else(|| "empty".into())
    }

    #[test]
    fn all_files_of_a_run_are_there_and_nothing_else() -> Result {
        let folder = tempfile::tempdir()?;
        for k in 1..3 {
            let written = staged(folder.path(), k)?.commit()?;
            assert_eq!(written.files.last(), Some(&folder.path().join("m.onnx")));
            let paths = ["m.onnx", "m.decode.onnx"].map(|name| fill(&folder.path().join(name)));
            let [Ok(a), Ok(b)] = paths else { return Err("not both are there".into()) };
            assert_eq!((a, b), (k, k));
            assert_eq!(fs::read(folder.path().join("b.json"))?, format!("b.json {k}").as_bytes());
        }
        let names: Vec<String> = all(folder.path())?.into_iter().map(|(name, _)| name).collect();
        let data = ["m.onnx.data", "m.onnx_1.data"];
        assert_eq!(names, ["a.json", "b.json", "m.decode.onnx", "m.onnx", data[0], data[1]]);
        Ok(())
    }

    #[test]
    fn what_is_staged_and_dropped_leaves_nothing() -> Result {
        let folder = tempfile::tempdir()?;
        drop(staged(folder.path(), 1)?);
        assert_eq!(all(folder.path())?, []);
        staged(folder.path(), 1)?.commit()?;
        let before = all(folder.path())?;
        drop(staged(folder.path(), 2)?);
        assert_eq!(all(folder.path())?, before);
        Ok(())
    }

    /// A folder that comes to stand at a file's path is what the system refuses to replace.
    #[test]
    fn a_name_that_is_refused_at_the_end_changes_nothing() -> Result {
        for old in [false, true] {
            for refused in ["m.onnx", "m.decode.onnx", "b.json", "a.json"] {
                let folder = tempfile::tempdir()?;
                if old {
                    staged(folder.path(), 1)?.commit()?;
                }
                let outputs = staged(folder.path(), 2)?;
                let at = folder.path().join(refused);
                if old {
                    fs::remove_file(&at)?;
                }
                fs::create_dir(&at)?;
                fs::write(at.join("inside"), "kept")?;
                let new = if old { "_1.data" } else { ".data" };
                let waits = |name: &str| name.contains(new) || name.starts_with(".onnx-pass");
                let before: Vec<_> = all(folder.path())?.into_iter().filter(|(n, _)| !waits(n)).collect();
                let error = outputs.commit().err().ok_or("went well")?.to_string();
                assert!(error.contains(refused), "{error}");
                assert_eq!(all(folder.path())?, before, "{refused}, old files: {old}");
            }
        }
        Ok(())
    }

    #[test]
    fn two_files_of_one_name_are_refused() -> Result {
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("m.onnx");
        let options =
            WriteOptions { reserved: vec![folder.path().join("m.onnx.stamp")], ..Default::default() };
        let refusal = |artifact: &str, companion: &str| -> Result<String> {
            let artifacts = [Artifact { name: artifact.into(), text: "{}".into() }];
            let companions = [Companion { name: companion.into(), model: model(1)? }];
            let staged = Outputs::stage(&model(1)?, &artifacts, &companions, &output, &options);
            let told = staged.err().ok_or("went well")?.to_string();
            assert_eq!(all(folder.path())?, [], "{told}");
            Ok(told)
        };
        for (artifact, companion) in [
            ("m.onnx", "c.onnx"),
            ("c.onnx", "c.onnx"),
            ("a.json", "{stem}.onnx"),
            ("m.onnx.stamp", "c.onnx"),
        ] {
            let told = refusal(artifact, companion)?;
            assert!(told.contains("two files would be written to"), "{told}");
        }
        Ok(())
    }

    /// Data would have the name of each file of the run in turn, below paths of one folder that are spelt in two ways.
    #[test]
    fn data_makes_room_for_the_other_files_of_a_run() -> Result {
        let folder = tempfile::tempdir()?;
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        for at in [&real, &link] {
            for taken in ["{model}", "a.json", "c.onnx", "m.onnx.stamp"] {
                fs::create_dir(&real)?;
                std::os::unix::fs::symlink("real", &link)?;
                let mut m = model(7)?;
                let w = m.find_value(m.main(), "w").ok_or("no w")?;
                let file = std::sync::Arc::new(onnx_pass_ir::DataFile { name: taken.into(), alignment: 1 });
                let t = m.value(w).initializer().ok_or("no w")?.stored(Store::External(file));
                m.set_initializer(w, t.shared())?;
                let artifacts = [Artifact { name: "a.json".into(), text: "{}".into() }];
                let companions = [Companion { name: "c.onnx".into(), model: m.clone() }];
                let options =
                    WriteOptions { reserved: vec![real.join("m.onnx.stamp")], ..Default::default() };
                Outputs::stage(&m, &artifacts, &companions, &at.join("m.onnx"), &options)?.commit()?;
                assert_eq!((fill(&real.join("m.onnx"))?, fill(&real.join("c.onnx"))?), (7, 7), "{taken}");
                assert_eq!(fs::read(real.join("a.json"))?, b"{}");
                assert!(!real.join("m.onnx.stamp").exists());
                fs::remove_dir_all(&real)?;
                fs::remove_file(&link)?;
            }
        }
        Ok(())
    }

    #[test]
    fn a_run_that_does_not_come_about_leaves_the_model_whole() -> Result {
        let folder = tempfile::tempdir()?;
        let m = model(3)?;
        let companions = ["c.onnx", "d.onnx"].map(|name| Companion { name: name.into(), model: m.clone() });
        let (output, options) = (folder.path().join("m.onnx"), WriteOptions::default());
        drop(Outputs::stage(&m, &[], &companions, &output, &options)?);
        // The second companion cannot be written after the first has its data on the disk.
        fs::create_dir(folder.path().join("d.onnx"))?;
        assert!(Outputs::stage(&m, &[], &companions, &output, &options).is_err());
        m.write(&output, &options)?;
        let m = Model::read(&output)?;
        let w = m.find_value(m.main(), "w").and_then(|v| m.constant(v)).ok_or("no w")?;
        assert_eq!(w.bytes()?[..], [3; 4096]);
        Ok(())
    }

    #[test]
    fn a_folder_that_was_made_for_data_goes_with_what_failed() -> Result {
        let folder = tempfile::tempdir()?;
        let mut m = model(1)?;
        let w = m.find_value(m.main(), "w").ok_or("no w")?;
        let file = std::sync::Arc::new(onnx_pass_ir::DataFile { name: "a/b/w.data".into(), alignment: 1 });
        let t = m.value(w).initializer().ok_or("no w")?.stored(Store::External(file));
        m.set_initializer(w, t.shared())?;
        let (output, options) = (folder.path().join("m.onnx"), WriteOptions::default());
        let companions = [Companion { name: "c.onnx".into(), model: m.clone() }];
        let main = model(2)?;
        let staged = || Outputs::stage(&main, &[], &companions, &output, &options);
        drop(staged()?);
        assert_eq!(all(folder.path())?, []);
        // The companion has its name, and gives it back with its data.
        let outputs = staged()?;
        fs::create_dir(&output)?;
        fs::write(output.join("inside"), "kept")?;
        assert!(outputs.commit().is_err());
        assert_eq!(all(folder.path())?, [("m.onnx".to_owned(), None)]);
        fs::remove_dir_all(&output)?;
        // Somebody else's file keeps the folder.
        let outputs = staged()?;
        fs::write(folder.path().join("a/other"), "")?;
        drop(outputs);
        assert!(folder.path().join("a/other").exists() && !folder.path().join("a/b").exists());
        staged()?.commit()?;
        assert_eq!(fill(&folder.path().join("c.onnx"))?, 1);
        Ok(())
    }

    #[test]
    fn weights_are_not_replaced_by_a_text() -> Result {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("a.json"), [0u8; 64])?;
        let told = staged(folder.path(), 1).err().ok_or("went well")?.to_string();
        assert!(told.contains("what is there is no text"), "{told}");
        assert_eq!(all(folder.path())?, [("a.json".to_owned(), Some(vec![0; 64]))]);
        Ok(())
    }
}
