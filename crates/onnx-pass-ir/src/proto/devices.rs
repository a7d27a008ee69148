//! `NodeDeviceConfigurationProto`, kept as it stands: an edit sees the names of the tensors that are sharded.

use super::parts::Outcome;
use super::wire::{Fields, rewritten};

/// `NodeDeviceConfigurationProto.sharding_spec`
const SPEC: u32 = 2;
/// `ShardingSpecProto.tensor_name`
const NAME: u32 = 1;

/// Whether the names can be read, and so be changed later.
pub(crate) fn check(device: &[u8]) -> Outcome<()> {
    let mut fields = Fields::new(device);
    while let Some(f) = fields.next()? {
        if f.number != SPEC {
            continue;
        }
        let mut spec = Fields::new(f.len()?);
        while let Some(f) = spec.next()? {
            if f.number == NAME {
                f.str()?;
            }
        }
    }
    Ok(())
}

/// Gives a sharded tensor another name.
pub(crate) fn rename(device: &[u8], from: &str, to: &str) -> Result<Vec<u8>, String> {
    rewritten(device, |f| {
        if f.number != SPEC {
            return Ok(None);
        }
        let spec = rewritten(f.len()?, |f| {
            Ok((f.number == NAME && f.len()? == from.as_bytes()).then(|| to.as_bytes().to_vec()))
        });
        spec.map(Some)
    })
}
