//! ONNX Runtime, loaded when it is needed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use onnx_pass_ir::{DataType, Tensor, TensorData};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::memory::Allocator;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynTensor, DynTensorValueType, DynValue, TensorElementType};

use super::{Loaded, VerifyError};

/// The environment variable that names the library.
const LIBRARY: &str = "ORT_DYLIB_PATH";

/// The folder for external data of a model that is given as bytes.
const EXTERNAL_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// ONNX Runtime. A process has one, whichever library it was loaded from.
pub struct Runtime {
    environment: &'static Environment,
}

impl Runtime {
    /// Loads the library that `ORT_DYLIB_PATH` names, else the one of Python's `onnxruntime` package.
    pub fn load() -> Result<Self, VerifyError> {
        static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
        let load = || {
            let library = find()?;
            let builder = ort::init_from(&library)
                .map_err(|error| format!("cannot load ONNX Runtime: {error}; install a current one: `pip install --upgrade onnxruntime`"))?;
            builder.build().map_err(|error| format!("{}: {error}", library.display()))
        };
        match LOADED.get_or_init(load) {
            Ok(environment) => Ok(Self { environment }),
            Err(error) => Err(VerifyError::Runtime(error.clone())),
        }
    }

    /// Runs a model and gives the outputs in the order of `names`.
    pub fn run(
        &self,
        model: &Loaded,
        inputs: &[(String, Tensor)],
        names: &[&str],
    ) -> Result<Vec<Tensor>, String> {
        self.open(model)?.run(inputs, names)
    }

    /// Makes a model ready to run.
    pub fn open(&self, model: &Loaded) -> Result<Opened, String> {
        let mut builder = Session::builder(self.environment)
            .map_err(|e| plain(&e))?
            .with_log_level(LogLevel::Fatal)
            .map_err(|e| plain(&e))?;
        if let Some(folder) = &model.folder {
            builder = builder
                .with_config_entry(EXTERNAL_FOLDER, folder.to_string_lossy())
                .map_err(|e| plain(&e))?;
        }
        builder.commit_from_memory(&model.bytes).map(Opened).map_err(|e| plain(&e))
    }
}

/// A model that is ready to run.
pub struct Opened(Session);

impl Opened {
    /// Gives the outputs in the order of `names`.
    pub fn run(&mut self, inputs: &[(String, Tensor)], names: &[&str]) -> Result<Vec<Tensor>, String> {
        let session = &mut self.0;
        let mut values: Vec<(String, SessionInputValue<'static>)> = Vec::new();
        for (name, tensor) in inputs {
            let value = value(session.allocator(), tensor).map_err(|e| format!("input `{name}`: {e}"))?;
            values.push((name.clone(), SessionInputValue::from(value)));
        }
        let outputs = session.run(values).map_err(|e| plain(&e))?;
        names
            .iter()
            .map(|name| {
                let output = outputs.get(name).ok_or("is not there".to_owned());
                output.and_then(tensor).map_err(|error| format!("output `{name}` {error}"))
            })
            .collect()
    }
}

fn plain(error: &dyn std::fmt::Display) -> String {
    first_line(&error.to_string())
}

fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// The library's file.
fn find() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(LIBRARY) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
        } else {
            Err(format!("{LIBRARY} is {}, which is no file", path.display()))
        };
    }
    for python in ["python3", "python"] {
        let script = "import importlib.util as u; s = u.find_spec('onnxruntime'); \
                      print(s.submodule_search_locations[0] if s else '')";
        let Ok(output) = Command::new(python).args(["-c", script]).output() else { continue };
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !folder.is_empty()
            && let Some(library) = library_in(&Path::new(&folder).join("capi"))
        {
            return Ok(library);
        }
    }
    Err(format!(
        "ONNX Runtime is not there; `pip install onnxruntime` for the `python3` of your PATH, or set {LIBRARY} to \
         its library"
    ))
}

fn library_in(folder: &Path) -> Option<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().find(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name == "onnxruntime.dll"
            || name.starts_with("libonnxruntime.so")
            || (name.starts_with("libonnxruntime.") && name.ends_with(".dylib"))
    })
}

const TYPES: &[(DataType, TensorElementType)] = &[
    (DataType::FLOAT, TensorElementType::Float32),
    (DataType::DOUBLE, TensorElementType::Float64),
    (DataType::FLOAT16, TensorElementType::Float16),
    (DataType::BFLOAT16, TensorElementType::Bfloat16),
    (DataType::INT64, TensorElementType::Int64),
    (DataType::INT32, TensorElementType::Int32),
    (DataType::INT16, TensorElementType::Int16),
    (DataType::INT8, TensorElementType::Int8),
    (DataType::UINT64, TensorElementType::Uint64),
    (DataType::UINT32, TensorElementType::Uint32),
    (DataType::UINT16, TensorElementType::Uint16),
    (DataType::UINT8, TensorElementType::Uint8),
    (DataType::BOOL, TensorElementType::Bool),
];

/// A tensor as the runtime takes it.
fn value(allocator: &Allocator, tensor: &Tensor) -> Result<DynTensor, String> {
    let bytes = tensor.bytes().map_err(|error| error.to_string())?;
    let ty = TYPES.iter().find(|(dtype, _)| *dtype == tensor.dtype).map(|(_, ty)| *ty);
    let ty = ty.ok_or_else(|| format!("{} is not fed", tensor.dtype))?;
    let mut value = DynTensor::new(allocator, ty, tensor.dims.to_vec())
        .map_err(|error| first_line(&error.to_string()))?;
    if !bytes.is_empty() {
        // SAFETY: the value was made with this type and shape, in memory of the CPU, and `bytes` has what these
        // need, as `Tensor::bytes` checks.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.data_ptr_mut().cast::<u8>(), bytes.len());
        }
    }
    Ok(value)
}

/// What the runtime gave as a tensor.
fn tensor(value: &DynValue) -> Result<Tensor, String> {
    let value = value.view().downcast::<DynTensorValueType>().map_err(|_| "is no tensor".to_owned())?;
    let dims: Vec<i64> = value.shape().iter().copied().collect();
    let ty = *value.data_type();
    if ty == TensorElementType::String {
        let (_, strings) = value.try_extract_strings().map_err(|error| first_line(&error.to_string()))?;
        let strings = strings.into_iter().map(bytes::Bytes::from).collect();
        return Ok(Tensor::with_data(DataType::STRING, &dims, TensorData::Strings(strings)));
    }
    let dtype = TYPES.iter().find(|(_, one)| *one == ty).map(|(dtype, _)| *dtype);
    let dtype = dtype.ok_or_else(|| format!("is {ty}, which is not compared"))?;
    let count = dims.iter().try_fold(1usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?));
    let bytes = count.and_then(|count| dtype.byte_len(count)).ok_or("has no size")?;
    let raw = if bytes == 0 {
        Vec::new()
    } else {
        // SAFETY: the runtime holds this many bytes of this type and shape, in memory of the CPU, the only
        // provider that sessions here have.
        unsafe { std::slice::from_raw_parts(value.data_ptr().cast::<u8>(), bytes) }.to_vec()
    };
    Tensor::from_raw(dtype, &dims, raw).map_err(|error| error.to_string())
}
