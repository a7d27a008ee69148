//! `NodeDeviceConfigurationProto`, kept as it stands: an edit sees the names of the tensors that are sharded.

use ecow::EcoString;

use super::bad::Outcome;
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

/// Gives sharded tensors other names, all at once: one may get the old name of another.
pub(crate) fn rename(device: &[u8], names: &[(EcoString, EcoString)]) -> Outcome<Vec<u8>> {
    rewritten(device, |f| {
        if f.number != SPEC {
            return Ok(None);
        }
        let spec = rewritten(f.len()?, |f| {
            let name = if f.number == NAME { f.len()? } else { return Ok(None) };
            let to = names.iter().find(|(from, _)| name == from.as_bytes());
            Ok(to.map(|(_, to)| to.as_bytes().to_vec()))
        });
        spec.map(Some)
    })
}
