//! Which model goes where.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::super::Usage;
use super::super::args::RunArgs;

/// One model, and where what becomes of it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The model to read.
    pub model: PathBuf,
    /// The model to write; `None` when nothing is to be written.
    pub output: Option<PathBuf>,
}

/// Finds the models and gives each its output.
pub fn plan(args: &RunArgs) -> Result<Vec<Job>, Usage> {
    let models = find(&args.models)?;
    let outputs: Vec<Option<PathBuf>> = match &args.output {
        _ if args.in_place => models.iter().cloned().map(Some).collect(),
        None => vec![None; models.len()],
        Some(output) => outputs(&models, output)?.into_iter().map(Some).collect(),
    };
    let jobs: Vec<Job> =
        models.into_iter().zip(outputs).map(|(model, output)| Job { model, output }).collect();
    if !args.in_place {
        refuse_inputs_as_outputs(&jobs)?;
    }
    Ok(jobs)
}

/// The files, patterns replaced by what they match, each file once.
fn find(patterns: &[String]) -> Result<Vec<PathBuf>, Usage> {
    let mut models = Vec::new();
    let mut seen = HashSet::new();
    for pattern in patterns {
        let path = PathBuf::from(pattern);
        if fs::symlink_metadata(&path).is_ok() || !pattern.contains(['*', '?', '[']) {
            if seen.insert(path.clone()) {
                models.push(path);
            }
            continue;
        }
        let bad = |error: &dyn std::fmt::Display| Usage(format!("{pattern}: {error}"));
        let mut found = Vec::new();
        for entry in glob::glob(pattern).map_err(|e| bad(&e))? {
            let entry = entry.map_err(|e| bad(&e))?;
            if entry.is_file() {
                found.push(entry);
            }
        }
        if found.is_empty() {
            return Err(Usage(format!("{pattern}: no file matches")));
        }
        // The order of a folder is the file system's.
        found.sort();
        models.extend(found.into_iter().filter(|path| seen.insert(path.clone())));
    }
    Ok(models)
}

fn outputs(models: &[PathBuf], output: &Path) -> Result<Vec<PathBuf>, Usage> {
    let name = |model: &Path| {
        let name = model.file_name().map(PathBuf::from);
        name.ok_or_else(|| Usage(format!("{}: not a file", model.display())))
    };
    match models {
        [model] if is_folder(output) => Ok(vec![output.join(name(model)?)]),
        [_] => Ok(vec![output.to_owned()]),
        _ if fs::metadata(output).is_ok_and(|data| !data.is_dir()) => {
            Err(Usage(format!("{}: several models need a folder, and this is a file", output.display())))
        }
        _ => {
            let shared = shared_folder(models);
            let mut in_folder: HashMap<Option<&Path>, usize> = HashMap::new();
            for model in models {
                *in_folder.entry(model.parent()).or_default() += 1;
            }
            let place = |model: &PathBuf| {
                let relative = normal(model).strip_prefix(&shared).map(Path::to_owned).unwrap_or_default();
                let folder = output.join(relative.parent().unwrap_or(Path::new("")));
                let alone = in_folder.get(&model.parent()) == Some(&1);
                let own = if alone { folder } else { folder.join(model.file_stem().unwrap_or_default()) };
                Ok(own.join(name(model)?))
            };
            models.iter().map(place).collect()
        }
    }
}

/// A folder exists, ends in a slash, or has no ending.
fn is_folder(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(data) => data.is_dir(),
        Err(_) => path.as_os_str().to_string_lossy().ends_with(['/', '\\']) || path.extension().is_none(),
    }
}

/// The path without `.` and with `..` taken back, so that two ways of writing a folder are one.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// The deepest folder that all files are in.
fn shared_folder(models: &[PathBuf]) -> PathBuf {
    let mut folders =
        models.iter().map(|model| normal(model).parent().map(Path::to_owned).unwrap_or_default());
    let first = folders.next().unwrap_or_default();
    folders.fold(first, |shared, folder| {
        shared.components().zip(folder.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

/// No output is a model that is read, and no two are the same file.
fn refuse_inputs_as_outputs(jobs: &[Job]) -> Result<(), Usage> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| normal(path));
    let inputs: HashSet<PathBuf> = jobs.iter().map(|job| real(&job.model)).collect();
    let mut outputs = HashSet::new();
    for path in jobs.iter().filter_map(|job| job.output.as_deref()) {
        let target = real(path);
        let shown = path.display();
        if inputs.contains(&target) {
            return Err(Usage(format!(
                "{shown} is a model that is read; name another output, or pass --in-place to replace it"
            )));
        }
        // A stream may be written to twice.
        let file = fs::metadata(path).map_or(true, |data| data.is_file());
        if file && !outputs.insert(target) {
            return Err(Usage(format!("{shown} would be written twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(models: &[&str], output: &str) -> Vec<String> {
        let models: Vec<PathBuf> = models.iter().map(PathBuf::from).collect();
        outputs(&models, Path::new(output))
            .map(|paths| paths.iter().map(|path| path.display().to_string()).collect())
            .unwrap_or_else(|Usage(error)| vec![error])
    }

    #[test]
    fn a_model_goes_into_a_folder_under_its_name() {
        assert_eq!(placed(&["a/m.onnx"], "none/"), ["none/m.onnx"]);
        assert_eq!(placed(&["a/m.onnx"], "none"), ["none/m.onnx"]);
        assert_eq!(placed(&["a/m.onnx"], "none.onnx"), ["none.onnx"]);
        assert_eq!(placed(&["a/m.onnx"], "/dev/null"), ["/dev/null"]);
    }

    #[test]
    fn several_models_keep_their_folders() {
        assert_eq!(
            placed(&["none/a/model.onnx", "none/b/c/model.onnx", "./none/../none/d/model.onnx"], "out"),
            ["out/a/model.onnx", "out/b/c/model.onnx", "out/d/model.onnx"]
        );
        assert_eq!(placed(&["none/a.onnx", "none/b.onnx"], "out/"), ["out/a/a.onnx", "out/b/b.onnx"]);
        assert_eq!(
            placed(&["a.onnx", "b.onnx"], "/dev/null"),
            ["/dev/null: several models need a folder, and this is a file"]
        );
    }
}
