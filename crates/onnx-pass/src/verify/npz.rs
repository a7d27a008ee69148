//! Reading NumPy's `.npz` and `.npy` files.

use std::fs;
use std::io;
use std::path::Path;

use indexmap::IndexMap;
use onnx_pass_ir::{DataType, Tensor};

/// An array that is larger than this once unpacked is refused.
const MAX_BYTES: usize = 1 << 31;

/// The arrays of an `.npz` file by name, in the file's order.
///
/// # Errors
/// A line that names the file, the array and what is wrong with it.
pub fn read(path: &Path) -> Result<IndexMap<String, Tensor>, String> {
    let place = path.display();
    let bytes = fs::read(path).map_err(|error| format!("{place}: {error}"))?;
    arrays(&bytes).map_err(|error| format!("{place}: {error}"))
}

fn arrays(bytes: &[u8]) -> Result<IndexMap<String, Tensor>, String> {
    let bad = |error: rawzip::Error| format!("not an .npz file: {error}");
    let archive = rawzip::ZipArchive::from_slice(bytes).map_err(bad)?;
    let mut entries = archive.entries();
    let mut out = IndexMap::new();
    while let Some(entry) = entries.next_entry().map_err(bad)? {
        let path = entry.file_path();
        let name = std::str::from_utf8(path.as_ref()).map_err(|_| "a name that is not UTF-8")?;
        let name = name.strip_suffix(".npy").unwrap_or(name).to_owned();
        let method = entry.compression_method();
        let local = archive.get_entry(entry.wayfinder()).map_err(bad)?;
        let tensor = contents(method, local.data())
            .and_then(|bytes| {
                // The sum is checked at the end.
                let checked = io::copy(&mut local.verifying_reader(bytes.as_slice()), &mut io::sink());
                checked.map(|_| bytes).map_err(|error| format!("is damaged: {error}"))
            })
            .and_then(|bytes| array(&bytes))
            .map_err(|error| format!("`{name}` {error}"))?;
        out.insert(name, tensor);
    }
    Ok(out)
}

fn contents(method: rawzip::CompressionMethod, data: &[u8]) -> Result<Vec<u8>, String> {
    match method {
        rawzip::CompressionMethod::STORE => Ok(data.to_vec()),
        rawzip::CompressionMethod::DEFLATE => {
            miniz_oxide::inflate::decompress_to_vec_with_limit(data, MAX_BYTES)
                .map_err(|error| format!("cannot be unpacked: {error}"))
        }
        _ => Err("is packed in a way that NumPy does not".to_owned()),
    }
}

/// One `.npy` file.
fn array(bytes: &[u8]) -> Result<Tensor, String> {
    let (header, data) = split(bytes).ok_or("is no array of NumPy")?;
    let descr = field(header, "descr").ok_or("has no element type")?.trim_matches(['\'', '"']);
    let (order, code) = descr.split_at_checked(1).ok_or("has no element type")?;
    if order == ">" {
        return Err(format!("is big-endian ({descr})"));
    }
    let dtype = dtype(code).ok_or_else(|| format!("has the element type {descr}, which is not read"))?;
    if field(header, "fortran_order") != Some("False") {
        return Err("is in Fortran order; save `numpy.ascontiguousarray` of it".to_owned());
    }
    let shape = field(header, "shape").ok_or("has no shape")?.trim_matches(['(', ')']);
    let dims = shape.split(',').map(str::trim).filter(|dim| !dim.is_empty());
    let dims: Vec<i64> = dims
        .map(|dim| dim.parse().map_err(|_| format!("has the shape ({shape})")))
        .collect::<Result<_, _>>()?;
    Tensor::from_raw(dtype, &dims, data.to_vec()).map_err(|error| error.to_string())
}

/// The header and the data.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (version, rest) = rest.split_first_chunk::<2>()?;
    let (length, rest) = if version.first() == Some(&1) {
        let (length, rest) = rest.split_first_chunk::<2>()?;
        (usize::from(u16::from_le_bytes(*length)), rest)
    } else {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        (usize::try_from(u32::from_le_bytes(*length)).ok()?, rest)
    };
    let (header, data) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// The value of a key of the header, which is a dict of Python.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    let rest = rest.trim_start();
    let end = if rest.starts_with('(') { rest.find(')')? + 1 } else { rest.find([',', '}'])? };
    Some(rest.get(..end)?.trim())
}

fn dtype(code: &str) -> Option<DataType> {
    Some(match code {
        "f4" => DataType::FLOAT,
        "f8" => DataType::DOUBLE,
        "f2" => DataType::FLOAT16,
        "i8" => DataType::INT64,
        "i4" => DataType::INT32,
        "i2" => DataType::INT16,
        "i1" => DataType::INT8,
        "u8" => DataType::UINT64,
        "u4" => DataType::UINT32,
        "u2" => DataType::UINT16,
        "u1" => DataType::UINT8,
        "b1" => DataType::BOOL,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_inputs_are_read() -> Result<(), String> {
        let arrays = read(Path::new("../../testdata/gpt_neox_torchscript/inputs.npz"))?;
        let ids = arrays.get("input_ids").ok_or("no input_ids")?;
        assert_eq!((ids.dtype, ids.dims.len()), (DataType::INT64, 2));
        assert!(ids.to_i64s().is_ok_and(|ids| ids.iter().all(|id| (0..160).contains(id))));
        Ok(())
    }

    #[test]
    fn what_is_no_array_says_so() -> io::Result<()> {
        let mut bytes = fs::read("../../testdata/gpt_neox_torchscript/inputs.npz")?;
        assert!(arrays(b"PK").is_err_and(|e| e.starts_with("not an .npz file")));
        // The lengths of the first name and of what follows it stand at 26; then come the packed bytes.
        let length = |at: usize| bytes.get(at).map_or(0, |byte| usize::from(*byte));
        let packed = 30 + length(26) + length(28) + 20;
        if let Some(byte) = bytes.get_mut(packed) {
            *byte ^= 0xff;
        }
        assert!(arrays(&bytes).is_err_and(|error| error.starts_with("`input_ids`")));
        assert!(array(b"no").is_err_and(|error| error == "is no array of NumPy"));
        Ok(())
    }
}
