//! Makes equal weights one.
//!
//! ## What it does
//! Initializers of one graph with the same type, shape and contents, however they are stored, become the first
//! of them. Contents are compared bit by bit, so `0.0` and `-0.0` stay apart.
//!
//! ## Before → after
//! ```diff
//!   agraph (
//!     float[1] x
//!   ) => (
//!     float[1] y
//!   ) <
//! -   float[1] a = {1},
//! -   float[1] b = {1}
//! +   float[1] a = {1}
//!   > {
//!     t = Add (x, a)
//! -   y = Mul (t, b)
//! +   y = Mul (t, a)
//!   }
//! ```
//!
//! ## Requires
//! Nothing.
//!
//! ## Guarantees
//! The model computes what it computed. Inputs with a default, outputs, and weights that training or a
//! quantization annotation refers to are left. Contents are read only of those whose type and shape repeat, and
//! from the map.
//!
//! ## Options
//! None.
//!
//! ## Refuses
//! Contents that cannot be read.

use std::hash::Hasher;

use onnx_pass_ir::{DataType, Def, Dims, GraphId, Model, ValueId};
use rustc_hash::{FxHashMap, FxHasher};

use crate::pass::{Outcome, Pass, PassContext, PassError};

/// The pass.
pub struct DeduplicateInitializers;

impl Pass for DeduplicateInitializers {
    fn name(&self) -> &'static str {
        "deduplicate-initializers"
    }

    fn source(&self) -> &'static str {
        include_str!("deduplicate_initializers.rs")
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let before = model.revision();
        for g in model.live_graphs() {
            let mut alike: FxHashMap<(DataType, Dims), Vec<ValueId>> = FxHashMap::default();
            let mut groups = Vec::new();
            for &v in model.graph(g).initializers() {
                let Some(t) = model.value(v).initializer().filter(|t| t.byte_len().is_some()) else {
                    continue;
                };
                if model.value(v).def() == Def::Initializer {
                    let key = (t.dtype, t.dims.clone());
                    let group = alike.entry(key.clone()).or_default();
                    if group.is_empty() {
                        groups.push(key);
                    }
                    group.push(v);
                }
            }
            for key in groups {
                if let Some(group) = alike.remove(&key).filter(|group| group.len() > 1) {
                    merge(model, cx, g, &group)?;
                }
            }
        }
        Ok(Outcome::changed_if(model.revision() != before))
    }
}

fn merge(m: &mut Model, cx: &mut PassContext, g: GraphId, group: &[ValueId]) -> Result<(), PassError> {
    let mut kept: FxHashMap<u64, Vec<ValueId>> = FxHashMap::default();
    let mut dead = Vec::new();
    for &v in group {
        let Some(t) = m.value(v).initializer().cloned() else { continue };
        let mut hasher = FxHasher::default();
        hasher.write(&t.bytes()?);
        let same = kept.entry(hasher.finish()).or_default();
        let mut first = None;
        for &k in same.iter() {
            if let Some(other) = m.value(k).initializer()
                && t.same_contents(other)?
            {
                first = Some(k);
                break;
            }
        }
        match first {
            None => same.push(v),
            Some(_) if m.value(v).is_graph_output() => {}
            Some(first) => {
                let read = !m.value(v).uses().is_empty();
                if read {
                    m.replace_uses(v, first);
                }
                if m.is_unused(v) && read {
                    dead.push(v);
                }
            }
        }
    }
    debug_assert!(dead.iter().all(|v| m.value(*v).graph() == g));
    cx.count("duplicates removed", dead.len() as u64);
    if !dead.is_empty() {
        m.remove_initializers(&dead)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::after;

    #[test]
    fn equal_bits_become_one() {
        let text = "agraph (float[1] x) => (float[1] y, float[1] d)
            <float[1] a = {1}, float[1] b = {1}, float[1] c = {-0}, float[1] z = {0}, float[1] d = {1}, int32[1] i = {1}> {
              t = Add (x, a)
              u = Mul (t, b)
              v = Add (u, c)
              w = Add (v, z)
              k = Cast <to = 1> (i)
              y = Add (w, k)
            }";
        insta::assert_snapshot!(after(text, "deduplicate-initializers", json!({})));
    }
}
