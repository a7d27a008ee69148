//! Clips weights to what float16 can hold.
//!
//! ## What it does
//! In initializers and constants of type `float`, `double` and `bfloat16`, values beyond ±65504, infinite ones
//! included, become ±65504: a compiler that computes in float16 would make them infinite, and an infinite mask
//! minus an infinite maximum is no number. NaN stays.
//!
//! ## Before → after
//! ```diff
//!   agraph (
//!     float[2] x
//!   ) => (
//!     float[2] y
//!   ) <
//! -   float[2] mask = {0, -3.4e38}
//! +   float[2] mask = {0, -65504}
//!   > {
//!     y = Add (x, mask)
//!   }
//! ```
//!
//! ## Requires
//! Nothing.
//!
//! ## Guarantees
//! Weights whose values are all in range are not touched; their bytes are read from the map. A weight that is
//! changed and was in a data file goes to a new data file.
//!
//! ## Options
//! None.
//!
//! ## Refuses
//! Contents that cannot be read.

use std::sync::Arc;

use onnx_pass_ir::{AttrValue, Attribute, DataFile, DataType, Model, Store, Tensor};

use super::externalize::dense_initializers;
use crate::pass::{Outcome, Pass, PassContext, PassError};

/// The largest finite float16.
const MOST: f64 = 65504.0;

/// The pass.
pub struct ClipToFloat16Range;

impl Pass for ClipToFloat16Range {
    fn name(&self) -> &'static str {
        "clip-to-float16-range"
    }

    fn source(&self) -> &'static str {
        include_str!("clip_to_float16_range.rs")
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let before = model.revision();
        for v in dense_initializers(model) {
            let Some(t) = model.value(v).initializer() else { continue };
            if let Some(t) = clipped(t)? {
                model.set_initializer(v, t.shared())?;
                cx.count("weights clipped", 1);
            }
        }
        for g in model.live_graphs() {
            for n in model.node_ids(g) {
                if !model.node(n).is("Constant") {
                    continue;
                }
                let Some(a) = model.node(n).attributes().first() else { continue };
                let value = match &a.value {
                    AttrValue::Tensor(t) => clipped(t)?.map(|t| AttrValue::Tensor(Arc::new(t))),
                    AttrValue::Float(f) if beyond(f64::from(*f)) => {
                        Some(AttrValue::Float(clip(f64::from(*f)) as f32))
                    }
                    AttrValue::Floats(all) if all.iter().any(|f| beyond(f64::from(*f))) => {
                        Some(AttrValue::Floats(all.iter().map(|f| clip(f64::from(*f)) as f32).collect()))
                    }
                    _ => None,
                };
                if let Some(value) = value {
                    let name = a.name.clone();
                    model.set_attribute(n, Attribute::new(&name, value))?;
                    cx.count("constants clipped", 1);
                }
            }
        }
        Ok(Outcome::changed_if(model.revision() != before))
    }
}

fn beyond(x: f64) -> bool {
    x.abs() > MOST
}

/// NaN stays NaN.
fn clip(x: f64) -> f64 {
    x.clamp(-MOST, MOST)
}

/// The tensor with its values in range, when some are not.
fn clipped(t: &Tensor) -> Result<Option<Tensor>, PassError> {
    let raw = match t.dtype {
        DataType::FLOAT => {
            each(&t.bytes()?, |b| f64::from(f32::from_le_bytes(b)), |x| (x as f32).to_le_bytes())
        }
        DataType::DOUBLE => each(&t.bytes()?, f64::from_le_bytes, f64::to_le_bytes),
        // The upper half of a float; 65504 rounds up to 65536 there, so the next lower value is taken.
        DataType::BFLOAT16 => each(
            &t.bytes()?,
            |[a, b]: [u8; 2]| f64::from(f32::from_le_bytes([0, 0, a, b])),
            |x| {
                let [_, _, a, b] = (x as f32).to_le_bytes();
                [a, b]
            },
        ),
        _ => None,
    };
    let Some(raw) = raw else { return Ok(None) };
    let mut out = Tensor::from_raw(t.dtype, &t.dims, raw)?.described_as(t);
    out.store = t.store.clone();
    if t.is_external() && t.store == Store::Keep {
        out.store = Store::External(Arc::new(DataFile { name: "{model}.data".into(), alignment: 4096 }));
    }
    Ok(Some(out))
}

/// The values of `raw` in range; `None` when all are.
fn each<const N: usize>(
    raw: &[u8],
    get: impl Fn([u8; N]) -> f64,
    put: impl Fn(f64) -> [u8; N],
) -> Option<Vec<u8>> {
    let (all, _) = raw.as_chunks::<N>();
    if !all.iter().any(|b| beyond(get(*b))) {
        return None;
    }
    Some(all.iter().flat_map(|b| if beyond(get(*b)) { put(clip(get(*b))) } else { *b }).collect())
}

#[cfg(test)]
mod tests {
    use onnx_pass_ir::{DataType, Tensor};

    #[test]
    fn only_what_is_beyond_changes() {
        let t = Tensor::float(&[6], &[0.5, -1e30, 70000.0, f32::INFINITY, 65504.0, f32::NAN]);
        let got = super::clipped(&t).unwrap().unwrap();
        let values = got.to_f64s().unwrap();
        assert_eq!(values[..5], [0.5, -65504.0, 65504.0, 65504.0, 65504.0]);
        assert!(values[5].is_nan());
        assert!(super::clipped(&got).unwrap().is_none(), "twice is once");
    }

    #[test]
    fn bfloat16_stays_below() {
        let bits = |x: f32| (x.to_bits() >> 16) as u16;
        let raw: Vec<u8> = [1e30f32, -1e30, 3.0].iter().flat_map(|x| bits(*x).to_le_bytes()).collect();
        let t = Tensor::from_raw(DataType::BFLOAT16, &[3], raw).unwrap();
        let got = super::clipped(&t).unwrap().unwrap();
        assert_eq!(got.to_f64s().unwrap(), [65280.0, -65280.0, 3.0]);
        assert!(super::clipped(&got).unwrap().is_none());
    }

    #[test]
    fn other_types_are_left() {
        assert!(super::clipped(&Tensor::int64_vec(&[i64::MAX])).unwrap().is_none());
    }
}
