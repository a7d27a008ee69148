//! The data files beside a model that is written.
//!
//! Invariant: data is complete under its name before the model that refers to it is; a data file that exists
//! is never changed; no data takes a name that another file of the run is to have; what was placed for a model that
//! then could not be written is taken away again, with the folders that were made for it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ecow::{EcoString, eco_format};
use rustc_hash::{FxHashMap, FxHashSet};

use super::made::NewFiles;
use super::out::{self, Out};
use super::stage::StagedFile;
use super::write::{Target, Weights, WriteOptions, real_name};
use crate::error::{Error, Result};
use crate::external::{External, ExternalRoot, inside};
use crate::model::{Metadata, Model};
use crate::proto::plan::{Placed, Plan, Site, Sited};
use crate::tensor::{DataFile, Store, Tensor, TensorData};

/// Initializers from this size on leave a model that is too large to be one message.
const SPILL_FROM: usize = 1024;
/// The alignment of data that we place ourselves: a page, so that readers may map it.
const ALIGNMENT: u64 = 4096;
/// Names that are tried for a data file before we give up.
const MOST_NAMES: usize = 10_000;

/// The data files of one write.
pub(super) struct Job<'m> {
    model: &'m Model,
    /// All of the model: to find them is a walk over it.
    tensors: &'m [Sited<'m>],
    target: &'m Target,
    options: &'m WriteOptions,
    pub plan: Plan,
    /// Files that did not exist before.
    pub placed: NewFiles,
    pub notes: Vec<String>,
    pub bytes: u64,
    /// The files that weights are in, and how they were before any was read.
    read: Vec<(PathBuf, State)>,
}

/// Size and time of the last change.
type State = (u64, Option<SystemTime>);

fn state(path: &Path) -> Option<State> {
    fs::metadata(path).ok().map(|m| (m.len(), m.modified().ok()))
}

impl<'m> Job<'m> {
    pub fn new(
        model: &'m Model,
        tensors: &'m [Sited<'m>],
        target: &'m Target,
        options: &'m WriteOptions,
    ) -> Self {
        let (plan, placed, notes) = (Plan::default(), NewFiles::default(), Vec::new());
        Job { model, tensors, target, options, plan, placed, notes, bytes: 0, read: Vec::new() }
    }

    /// Brings every external tensor to where the written model finds it, and makes the data files that were
    /// asked for.
    pub fn run(&mut self) -> Result<()> {
        self.look();
        let mut files: Groups<'m, &'m External> = Groups::default();
        let mut made: Groups<'m, &'m Arc<DataFile>> = Groups::default();
        for &(t, site) in self.tensors {
            match (&t.store, &t.data) {
                (Store::External(f), TensorData::Raw(_) | TensorData::Typed(_) | TensorData::External(_)) => {
                    made.entry(f, (0, &f.name)).push((t, site));
                }
                (Store::Inline, TensorData::External(_)) => self.plan.embed(self.model, t, site)?,
                (_, TensorData::External(_)) if self.options.weights == Weights::Embed => {
                    self.plan.embed(self.model, t, site)?;
                }
                (_, TensorData::External(e)) => {
                    let root = Arc::as_ptr(&e.root).addr();
                    files.entry(e, (root, &e.location)).push((t, site));
                }
                _ => {}
            }
        }
        for (e, group) in files.list {
            self.bring(e, &group)?;
        }
        for (f, group) in made.list {
            self.make(f, &group)?;
        }
        Ok(())
    }

    /// Notes how the files are that weights may be copied from.
    fn look(&mut self) {
        let mut seen = FxHashSet::default();
        for (t, _) in self.tensors {
            if let TensorData::External(e) = &t.data
                && let Some(folder) = &e.root.folder
                && seen.insert((Arc::as_ptr(&e.root).addr(), &e.location))
            {
                let path = folder.join(e.location.as_str());
                self.read.extend(state(&path).map(|state| (path, state)));
            }
        }
    }

    /// Fails when one of them is another now than when the work began.
    pub fn check_unchanged(&self) -> Result<()> {
        match self.read.iter().find(|(path, before)| state(path) != Some(*before)) {
            None => Ok(()),
            Some((path, _)) => Err(Error::io(
                path,
                io::Error::other("the file was changed by somebody else while it was read; run again"),
            )),
        }
    }

    /// Moves the larger initializers of a model that is too large for one message to a data file.
    pub fn spill(&mut self, size: u64) -> Result<()> {
        let file = DataFile { name: "{model}.data".into(), alignment: ALIGNMENT };
        let mut group = Vec::new();
        for g in self.model.live_graphs() {
            let graph = self.model.graph(g);
            let dense = graph.initializers.iter().filter_map(|v| self.model.value(*v).init.as_ref());
            group.extend(
                dense
                    .filter(|t| matches!(t.data, TensorData::Raw(_) | TensorData::Typed(_)))
                    .filter(|t| t.byte_len().is_some_and(|n| n >= SPILL_FROM) && self.plan.of(t).is_none())
                    .map(|t| (t, Site::Graph(g))),
            );
        }
        if group.is_empty() {
            return Ok(());
        }
        let name = self.make(&file, &group)?;
        self.notes.push(format!(
            "{size} bytes are more than the 2 GiB that ONNX readers take in one file: {} initializers went to {name}",
            group.len()
        ));
        Ok(())
    }

    /// One external file that the model refers to.
    fn bring(&mut self, e: &External, group: &[Sited<'m>]) -> Result<()> {
        let fail = |reason: String| Error::External { tensor: first_name(group), reason };
        let Some(folder) = &e.root.folder else {
            return self.keep_unseen(e, group);
        };
        let allow = e.root.allow_symlinks || self.options.allow_symlinks;
        let seen = External {
            root: Arc::new(ExternalRoot { folder: Some(folder.clone()), allow_symlinks: allow }),
            ..e.clone()
        };
        let source = seen.path(&first_name(group))?;
        let file = check_ranges(&source, group)?;
        let here = fs::canonicalize(folder).is_ok_and(|f| f == self.target.folder);
        match self.options.weights {
            Weights::Auto | Weights::Reference if here => return Ok(()),
            Weights::Reference => {
                let inner = fs::canonicalize(&source).ok();
                let inner = inner.as_deref().and_then(|p| p.strip_prefix(&self.target.folder).ok());
                let location = inner.and_then(Path::to_str).ok_or_else(|| {
                    fail(format!(
                        "{} is not in the output's folder or below it, so the output cannot refer to it; use `copy` or `link`",
                        source.display()
                    ))
                })?;
                self.relocate(&location.into(), e, group);
                return Ok(());
            }
            _ => {}
        }
        let location = self.bring_file(&source, &file, &e.location)?;
        self.relocate(&location, e, group);
        Ok(())
    }

    /// A model that came as bytes without a folder: nobody knows where its data is.
    fn keep_unseen(&mut self, e: &External, group: &[Sited<'m>]) -> Result<()> {
        if !matches!(self.options.weights, Weights::Auto | Weights::Reference) {
            e.path(&first_name(group))?;
        }
        if self.is_taken(&self.target.folder.join(e.location.as_str())) {
            return Err(Error::External {
                tensor: first_name(group),
                reason: format!("`{}` is a file that is written now; name another output", e.location),
            });
        }
        self.notes.push(format!(
            "the output refers to `{}`; the model came without a folder, so the file was not looked for",
            e.location
        ));
        Ok(())
    }

    fn relocate(&mut self, location: &EcoString, e: &External, group: &[Sited<'m>]) {
        if *location == e.location {
            return;
        }
        for (t, site) in group {
            let TensorData::External(e) = &t.data else { continue };
            let mut entries = e.entries.clone();
            entries.set("location", location);
            self.plan.place(self.model, t, *site, Placed::At(entries));
        }
    }

    /// Makes the contents of `source` a file of the output's folder; gives its name there.
    fn bring_file(&mut self, source: &Path, file: &File, location: &EcoString) -> Result<EcoString> {
        if self.options.weights == Weights::Link {
            return self.link(source, file, location);
        }
        let mut staged = None;
        for name in names(location) {
            let Some(path) = self.free_or_same(&name, file)? else { return Ok(name) };
            let Some(path) = path else { continue };
            let ready = match staged.take() {
                Some(s) => s,
                None => self.copy(source, file, &path)?,
            };
            staged = self.place(ready, &path)?;
            if staged.is_none() {
                return Ok(name);
            }
        }
        Err(no_name(location))
    }

    fn link(&mut self, source: &Path, file: &File, location: &EcoString) -> Result<EcoString> {
        let source = fs::canonicalize(source).map_err(|e| Error::io(source, e))?;
        for name in names(location) {
            let path = self.path_of(&name)?;
            if self.is_taken(&path) {
                continue;
            }
            match fs::hard_link(&source, &path) {
                Ok(()) => self.placed.add(path),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match File::open(&path) {
                    Ok(there) if same_inode(&there, file) => {}
                    _ => continue,
                },
                Err(e) => return Err(Error::write(path, e)),
            }
            self.notes.push(format!(
                "warning: {} is one file under two names now; current `onnx` refuses weights that have more than one, in the input as well",
                source.display()
            ));
            return Ok(name);
        }
        Err(no_name(location))
    }

    fn copy(&mut self, source: &Path, file: &File, path: &Path) -> Result<StagedFile> {
        let staged = StagedFile::new(path.parent().unwrap_or(path)).map_err(|e| Error::write(path, e))?;
        let linked = match self.options.weights {
            Weights::Copy => false,
            _ => out::reflink(file, &staged.file).is_ok(),
        };
        if !linked && self.options.weights == Weights::Reflink {
            return Err(Error::Unwritable(format!(
                "the file system cannot share the blocks of {} with the output's folder; use `copy` or `auto`",
                source.display()
            )));
        }
        let len = file.metadata().map_err(|e| Error::io(source, e))?.len();
        if !linked {
            let mut out = Out::new(&staged.file);
            out.range(file, 0, len).and_then(|()| out.flush()).map_err(|e| Error::write(path, e))?;
            self.bytes += len;
        }
        Ok(staged)
    }

    /// Writes tensors to a data file of our own; gives its name.
    fn make(&mut self, file: &DataFile, group: &[Sited<'m>]) -> Result<EcoString> {
        let wanted: EcoString = file.name.replace("{model}", &self.target.name);
        let path = self.path_of(&wanted)?;
        let staged = StagedFile::new(path.parent().unwrap_or(&path)).map_err(|e| Error::write(&path, e))?;
        let mut out = Out::new(&staged.file);
        let mut spans: FxHashMap<usize, (u64, u64)> = FxHashMap::default();
        for (t, _) in group {
            let key = Arc::as_ptr(t).addr();
            if spans.contains_key(&key) {
                continue;
            }
            let align = file.alignment.max(1);
            let long = t.byte_len().is_some_and(|n| n as u64 >= align);
            let pad = if long { out.pos().next_multiple_of(align) - out.pos() } else { 0 };
            out.zeros(pad).map_err(|e| Error::write(&path, e))?;
            let start = out.pos();
            self.contents(t, &mut out, &path)?;
            spans.insert(key, (start, out.pos() - start));
        }
        out.flush().map_err(|e| Error::write(&path, e))?;
        let len = out.pos();
        let name = self.settle(staged, &wanted, len)?;
        for (t, site) in group {
            let Some((offset, length)) = spans.get(&Arc::as_ptr(t).addr()) else { continue };
            let at = |k: &str, v: EcoString| (EcoString::from(k), v);
            let entries = Metadata::from(vec![
                at("location", name.clone()),
                at("offset", eco_format!("{offset}")),
                at("length", eco_format!("{length}")),
            ]);
            self.plan.place(self.model, t, *site, Placed::At(entries));
        }
        Ok(name)
    }

    fn contents(&self, t: &Tensor, out: &mut Out<'_>, path: &Path) -> Result<()> {
        let failed = |e| Error::write(path, e);
        match &t.data {
            TensorData::External(e) => {
                let (file, length) = e.open(t.name.as_deref().unwrap_or(""), t.byte_len())?;
                out.range(&file, e.offset, length).map_err(failed)
            }
            TensorData::Raw(raw) => match self.model.source().and_then(|s| s.place_of(raw)) {
                Some((file, offset)) => out.range(file, offset, raw.len() as u64).map_err(failed),
                None => out.bytes(raw).map_err(failed),
            },
            _ => out.bytes(&t.bytes()?).map_err(failed),
        }
    }

    fn settle(&mut self, staged: StagedFile, wanted: &EcoString, len: u64) -> Result<EcoString> {
        let mut staged = staged;
        for name in names(wanted) {
            let Some(path) = self.free_or_same(&name, &staged.file)? else { return Ok(name) };
            let Some(path) = path else { continue };
            match self.place(staged, &path)? {
                None => {
                    self.bytes += len;
                    return Ok(name);
                }
                Some(back) => staged = back,
            }
        }
        Err(no_name(wanted))
    }

    fn place(&mut self, staged: StagedFile, path: &Path) -> Result<Option<StagedFile>> {
        if self.target.durable {
            staged.file.sync_all().map_err(|e| Error::write(path, e))?;
        }
        let back = staged.place(path).map_err(|e| Error::write(path, e))?;
        if back.is_none() {
            self.placed.add(path.to_path_buf());
        }
        Ok(back)
    }

    /// The path of a data file in the output's folder, its own folder made.
    fn path_of(&mut self, name: &EcoString) -> Result<PathBuf> {
        let location = Path::new(name.as_str());
        let parent = location.parent().filter(|p| !p.as_os_str().is_empty());
        let allow = self.options.allow_symlinks;
        let folder = match parent {
            Some(p) => inside(&self.target.folder, p, allow).map_err(Error::Unwritable)?,
            None => self.target.folder.clone(),
        };
        self.placed.make_folder(&folder).map_err(|e| Error::write(&folder, e))?;
        // The name itself must not lead out either.
        let path = inside(&self.target.folder, location, true).map_err(Error::Unwritable)?;
        Ok(path)
    }

    /// Whether another file of the run is to stand there, be it there yet or not.
    fn is_taken(&self, path: &Path) -> bool {
        self.target.taken.contains(&real_name(path))
    }

    /// `None` when a file of that name has the contents already; `Some(None)` when the name is taken by
    /// another; else its path.
    fn free_or_same(&mut self, name: &EcoString, contents: &File) -> Result<Option<Option<PathBuf>>> {
        let path = self.path_of(name)?;
        if self.is_taken(&path) {
            return Ok(Some(None));
        }
        let meta = match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some(Some(path))),
            Err(e) => return Err(Error::io(path, e)),
            Ok(meta) => meta,
        };
        let Some(there) = File::open(&path).ok().filter(|_| meta.is_file()) else { return Ok(Some(None)) };
        let same = if same_inode(&there, contents) {
            // Who asks for a copy does not want the original.
            !matches!(self.options.weights, Weights::Copy | Weights::Reflink)
        } else {
            out::same_bytes(&there, contents).map_err(|e| Error::io(&path, e))?
        };
        Ok(if same { None } else { Some(None) })
    }
}

/// Tensors by the file that they belong to, in the order of first mention.
struct Groups<'m, F> {
    list: Vec<(F, Vec<Sited<'m>>)>,
    index: FxHashMap<(usize, &'m EcoString), usize>,
}

impl<F> Default for Groups<'_, F> {
    fn default() -> Self {
        Groups { list: Vec::new(), index: FxHashMap::default() }
    }
}

impl<'m, F> Groups<'m, F> {
    fn entry(&mut self, file: F, key: (usize, &'m EcoString)) -> &mut Vec<Sited<'m>> {
        let next = self.list.len();
        let k = *self.index.entry(key).or_insert(next);
        if k == next {
            self.list.push((file, Vec::new()));
        }
        &mut self.list[k].1
    }
}

fn first_name(group: &[Sited<'_>]) -> String {
    group.first().and_then(|(t, _)| t.name.as_deref()).unwrap_or("").to_string()
}

/// Opens a data file and checks that it holds every range that the model claims.
fn check_ranges(path: &Path, group: &[Sited<'_>]) -> Result<File> {
    let name = |t: &Tensor| t.name.as_deref().unwrap_or("").to_string();
    let file = File::open(path).map_err(|e| Error::External {
        tensor: first_name(group),
        reason: format!("cannot open {}: {e}; put the file beside the model", path.display()),
    })?;
    let size = file.metadata().map_err(|e| Error::io(path, e))?.len();
    for (t, _) in group {
        let TensorData::External(e) = &t.data else { continue };
        e.check_range(size, t.byte_len()).map_err(|reason| Error::External { tensor: name(t), reason })?;
    }
    Ok(file)
}

/// `name`, then `name` with numbers before its ending.
fn names(name: &EcoString) -> impl Iterator<Item = EcoString> {
    let (stem, ending) = match name.rfind('.').filter(|i| *i > name.rfind('/').map_or(0, |s| s + 1)) {
        Some(i) => name.split_at(i),
        None => (name.as_str(), ""),
    };
    let (stem, ending) = (EcoString::from(stem), EcoString::from(ending));
    std::iter::once(name.clone()).chain((1..MOST_NAMES).map(move |k| eco_format!("{stem}_{k}{ending}")))
}

fn no_name(name: &str) -> Error {
    Error::Unwritable(format!("no free name for the data file `{name}`: remove old ones"))
}

fn same_inode(a: &File, b: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}
