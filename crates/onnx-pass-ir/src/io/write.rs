//! Writing a model to a path.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::made::NewFiles;
use super::out::Out;
use super::stage::StagedFile;
use super::weights::Job;
use crate::error::{Error, Result};
use crate::external::ExternalRoot;
use crate::model::Model;
use crate::proto::encode::{self, Encoding, MAX_MESSAGE};
use crate::proto::plan::{Sited, tensors};
use crate::proto::rope::{Piece, Rope};
use crate::proto::wire::{Fields, Payload};
use crate::source::Source;
use crate::tensor::TensorData;

/// Pieces of the source from this size on are read from the file, not from the map.
const READ_FROM: usize = 16 * 1024;

/// What is done with weights in files beside the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// Refer to the same file when the output is in the same folder; else share its blocks where the file
    /// system can, else copy it.
    #[default]
    Auto,
    /// Refer to the same file, which must lie in the output's folder or below it.
    Reference,
    /// Share the file's blocks (copy on write).
    Reflink,
    /// Give the file a second name. Current `onnx` refuses such files, the original as well.
    Link,
    /// Copy the file.
    Copy,
    /// Take the contents into the model.
    Embed,
}

/// How a model is written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Whether the file that the model was read from may be replaced.
    pub in_place: bool,
    /// What is done with weights in files beside the model.
    pub weights: Weights,
    /// Whether weights may be reached, and folders for them, through symbolic links.
    pub allow_symlinks: bool,
    /// How much of the source is copied.
    pub encoding: Encoding,
    /// Whether everything is on the disk, and not only in the system's memory, before the model takes its name. It
    /// is so anyhow where another model is replaced, which a power cut must not lose.
    pub durable: bool,
    /// Files that are to stand beside the model when it is there. Its data takes none of these names, and none of them
    /// may be a file that it reads weights from.
    pub reserved: Vec<PathBuf>,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes, those of data files included; shared blocks and links count nothing.
    pub bytes: u64,
    /// The files that were made, the model last.
    pub files: Vec<PathBuf>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Where a model goes.
#[derive(Debug)]
pub(super) struct Target {
    pub path: PathBuf,
    /// The folder, without symbolic links.
    pub folder: PathBuf,
    /// The model's file name.
    pub name: String,
    /// What data must not be: the model itself and what is reserved, by their real names.
    pub taken: Vec<PathBuf>,
    /// Something is replaced that a power cut must not lose, so everything is on the disk before it goes.
    pub durable: bool,
}

/// A model that is on the disk as a whole, with its data, and not at its path yet. When it is dropped nothing of it is
/// left.
#[derive(Debug)]
#[must_use = "nothing is at the path before `commit`"]
pub struct StagedModel {
    staged: StagedFile,
    target: Target,
    root: ExternalRoot,
    /// Data files that did not exist before.
    placed: NewFiles,
    written: Written,
}

impl Model {
    /// Writes the model, and the data files that it needs, so that what is at `path` is the old model or the
    /// new one, whole: data files are complete before the model takes its name, none that exists is changed,
    /// and none is deleted.
    ///
    /// # Errors
    /// When `path` is the file that the model was read from and `in_place` is not set, when it is one of its
    /// weight files, or when reading or writing fails; nothing is changed then.
    pub fn write(&self, path: impl AsRef<Path>, options: &WriteOptions) -> Result<Written> {
        let staged = self.stage(path, options)?;
        let folder = staged.target.durable.then(|| staged.target.folder.clone());
        let written = staged.commit()?;
        if let Some(folder) = folder.and_then(|folder| fs::File::open(folder).ok()) {
            // Not every file system can flush a folder.
            let _ = folder.sync_all();
        }
        Ok(written)
    }

    /// Does all of [`Model::write`] that may need room or take time: data files are at their places, and the model
    /// waits beside its own. For several models that belong together.
    ///
    /// # Errors
    /// As [`Model::write`].
    pub fn stage(&self, path: impl AsRef<Path>, options: &WriteOptions) -> Result<StagedModel> {
        let tensors = tensors(self);
        let target = self.target(path.as_ref(), options, &tensors)?;
        let mut job = Job::new(self, &tensors, &target, options);
        let (staged, size) = self.stage_all(&target, options, &mut job)?;
        let files = job.placed.files().iter().cloned().chain([target.path.clone()]).collect();
        let written = Written { bytes: job.bytes + size, files, notes: job.notes };
        let (folder, allow_symlinks) = (Some(target.folder.clone()), options.allow_symlinks);
        let root = ExternalRoot { folder, allow_symlinks };
        Ok(StagedModel { staged, root, placed: job.placed, written, target })
    }

    fn stage_all(
        &self,
        target: &Target,
        options: &WriteOptions,
        job: &mut Job<'_>,
    ) -> Result<(StagedFile, u64)> {
        job.run()?;
        let mut rope = encode::model(self, options.encoding, &job.plan)?;
        if rope.len() > MAX_MESSAGE {
            job.spill(rope.len())?;
            rope = encode::model(self, options.encoding, &job.plan)?;
        }
        if rope.len() > MAX_MESSAGE {
            return Err(Error::Unwritable(format!(
                "{} bytes inline; ONNX readers stop at 2 GiB: write more of the weights as external data",
                rope.len()
            )));
        }
        let failed = |e| Error::write(&target.path, e);
        let staged = StagedFile::new(&target.folder).map_err(failed)?;
        let mut out = Out::new(&staged.file);
        for p in &rope.pieces {
            self.piece(&rope, p, &mut out).map_err(failed)?;
        }
        out.flush().map_err(failed)?;
        if let Some(s) = self.source() {
            s.check_unchanged()?;
        }
        job.check_unchanged()?;
        if let Ok(old) = fs::metadata(&target.path) {
            // Best effort: the old file may be somebody else's.
            let _ = staged.file.set_permissions(old.permissions());
        }
        if target.durable {
            staged.file.sync_all().map_err(failed)?;
        }
        Ok((staged, rope.len()))
    }

    fn piece(&self, rope: &Rope, piece: &Piece, out: &mut Out<'_>) -> std::io::Result<()> {
        match piece {
            Piece::File(file, range) => out.range(file, range.start, range.end - range.start),
            Piece::Source(range) if range.len() >= READ_FROM => match self.source().and_then(Source::file) {
                Some(file) => out.range(file, range.start as u64, range.len() as u64),
                None => out.bytes(rope.piece(piece)),
            },
            _ => out.bytes(rope.piece(piece)),
        }
    }

    fn target(&self, path: &Path, options: &WriteOptions, tensors: &[Sited<'_>]) -> Result<Target> {
        let refuse = |reason: &str| Error::Unwritable(format!("{}: {reason}", path.display()));
        let name = path.file_name().ok_or_else(|| refuse("not the name of a file"))?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = fs::canonicalize(parent).map_err(|e| Error::io(parent, e))?;
        let reserved = options.reserved.iter().map(PathBuf::as_path);
        let target = Target {
            taken: reserved.clone().chain([path]).map(real_name).collect(),
            path: path.to_path_buf(),
            folder,
            name: name.to_string_lossy().into_owned(),
            durable: options.durable || path.exists(),
        };
        if let Some(source) = self.source() {
            source.check_unchanged()?;
            if let Some(from) = source.path()
                && !options.in_place
                && same_file(from, path)
            {
                return Err(refuse("is the input; name another output, or pass --in-place to replace it"));
            }
        }
        match weights_among(tensors, reserved.chain([path])) {
            Some(at) if at == path => return Err(refuse("holds weights of the input; name another output")),
            Some(at) => {
                return Err(Error::Unwritable(format!(
                    "{}: holds weights of the input, and another file would be written there; name an output in another folder",
                    at.display()
                )));
            }
            None => {}
        }
        let Ok(there) = fs::metadata(path) else { return Ok(target) };
        if !there.is_file() {
            return Err(refuse("exists and is not a regular file"));
        }
        // It may be the weights of another model.
        if there.len() > 0 && !is_model(path) {
            return Err(refuse(
                "what is there is no ONNX model, so it is not replaced; remove it or name another output",
            ));
        }
        Ok(target)
    }
}

/// The first of some paths that weights are read from. A file of weights may be a link, and so may what is at a
/// path: of both, the name counts and what it leads to.
fn weights_among<'p>(tensors: &[Sited<'_>], paths: impl Iterator<Item = &'p Path>) -> Option<&'p Path> {
    let places = |path: &Path| [Some(real_name(path)), fs::canonicalize(path).ok()].into_iter().flatten();
    let known: HashMap<PathBuf, &Path> =
        paths.flat_map(|path| places(path).map(move |place| (place, path))).collect();
    let mut seen = "";
    tensors.iter().find_map(|(t, _)| match &t.data {
        TensorData::External(e) if e.location != seen => {
            seen = &e.location;
            let file = e.root.folder.as_ref()?.join(e.location.as_str());
            places(&file).find_map(|place| known.get(&place).copied())
        }
        _ => None,
    })
}

impl StagedModel {
    /// Where it will be.
    pub fn path(&self) -> &Path {
        &self.target.path
    }

    /// What stands at the path once it is there, and the data files that stand at theirs.
    pub fn written(&self) -> &Written {
        &self.written
    }

    /// The model as who reads it from its path will see it.
    ///
    /// # Errors
    /// When it cannot be read back.
    pub fn reread(&self) -> Result<Model> {
        let failed = |e| Error::io(&self.target.path, e);
        let len = self.staged.file.metadata().map_err(failed)?.len();
        let bytes = if len == 0 {
            Bytes::new()
        } else {
            // SAFETY: the map is read only, and the file is ours: it is complete, and nobody else has its name.
            Bytes::from_owner(unsafe { memmap2::Mmap::map(&self.staged.file) }.map_err(failed)?)
        };
        Model::decode(Source::from_bytes(bytes), self.root.clone())
    }

    /// Puts it at its path, in the place of what is there. The name outlives a power cut once the folder is flushed.
    ///
    /// # Errors
    /// When the system refuses. What was at the path still is, and nothing new is left.
    pub fn commit(self) -> Result<Written> {
        let (written, data) = self.commit_alone()?;
        data.keep();
        Ok(written)
    }

    /// As [`StagedModel::commit`], with the data that was made for the model, which goes when the model does not stay.
    ///
    /// # Errors
    /// As [`StagedModel::commit`].
    pub fn commit_alone(mut self) -> Result<(Written, NewFiles)> {
        let path = &self.target.path;
        self.staged.replace(path).map_err(|e| Error::write(path, e))?;
        Ok((self.written, self.placed))
    }
}

/// A path with no links in its folder. What the name itself leads to does not matter.
pub fn real_name(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(parent), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_path_buf(),
    }
}

/// Whether two paths lead to one file.
fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Whether a file has the outer form of a model: fields to its end, a graph among them. Weights have not.
pub(super) fn is_model(path: &Path) -> bool {
    let Ok(source) = Source::map(path) else { return false };
    let mut fields = Fields::new(source.bytes());
    let mut graph = false;
    loop {
        match fields.next() {
            Ok(Some(f)) => graph |= f.number == 7 && matches!(f.payload(), Payload::Len(_)),
            Ok(None) => return graph,
            Err(_) => return false,
        }
    }
}
