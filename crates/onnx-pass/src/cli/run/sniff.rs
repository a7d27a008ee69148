//! Whether a file is an ONNX model, without decoding it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// `ModelProto.graph`
const GRAPH: u64 = 7;

/// Whether the file is one protobuf message from its first byte to its last, and has a field where a model has
/// its graph. Fields are skipped, not read, so that the size of the file does not matter.
pub fn looks_like_model(path: &Path) -> bool {
    File::open(path).and_then(|file| has_graph(&mut BufReader::new(file))).unwrap_or(false)
}

fn has_graph(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = file.seek(SeekFrom::Start(0))?;
    let mut graph = false;
    while at < end {
        let tag = varint(file)?;
        let skip = match tag & 7 {
            0 => varint(file).map(|_| 0)?,
            1 => 8,
            2 => varint(file)?,
            5 => 4,
            _ => return Ok(false),
        };
        graph |= tag >> 3 == GRAPH && tag & 7 == 2;
        let Ok(skip) = i64::try_from(skip) else { return Ok(false) };
        at = file.seek(SeekFrom::Current(skip))?;
    }
    Ok(graph && at == end)
}

fn varint(file: &mut impl Read) -> io::Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        let [byte] = byte;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn is_model(bytes: &[u8]) -> bool {
        has_graph(&mut Cursor::new(bytes)).unwrap_or(false)
    }

    #[test]
    fn a_message_with_a_graph_is_a_model() {
        assert!(is_model(&[0x08, 0x0a, 0x3a, 0x02, 1, 2]));
        assert!(!is_model(&[0x08, 0x0a]), "no graph");
        assert!(!is_model(&[0x08, 0x0a, 0x3a, 0x03, 1, 2]), "cut short");
        assert!(!is_model(&[0x3a, 0x00, 0x00]), "half a field behind it");
        assert!(!is_model(&[0; 64]) && !is_model(b"{\"a\": 1}") && !is_model(&[0xff; 64]));
        assert!(looks_like_model(Path::new("../../testdata/qwen3_dynamo/model.onnx")));
        assert!(!looks_like_model(Path::new("../../testdata/qwen3_dynamo/inputs.npz")));
    }
}
