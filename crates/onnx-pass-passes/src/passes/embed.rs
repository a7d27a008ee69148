//! Takes weights from data files into the model.
//!
//! ## What it does
//! Marks every initializer and every constant whose contents are in a data file to be stored in the model when
//! it is written. Nothing is read before. What `externalize` marked is unmarked.
//!
//! ## Before → after
//! ```text
//! m.onnx + m.onnx.data  →  out.onnx (weights inline)
//! ```
//!
//! ## Requires
//! Nothing.
//!
//! ## Guarantees
//! The model computes what it computed.
//!
//! ## Options
//! None.
//!
//! ## Refuses
//! Nothing here; a model beyond 2 GiB cannot be written as one file, and saving says so.

use onnx_pass_ir::{AttrValue, Attribute, Model, Store, Tensor, TensorData};

use super::externalize::dense_initializers;
use crate::pass::{Outcome, Pass, PassContext, PassError};

/// The pass.
pub struct Embed;

impl Pass for Embed {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn source(&self) -> &'static str {
        include_str!("embed.rs")
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let before = model.revision();
        for v in dense_initializers(model) {
            if let Some(t) = model.value(v).initializer().and_then(|t| embedded(t)) {
                model.set_initializer(v, t.shared())?;
                cx.count("weights taken in", 1);
            }
        }
        for g in model.live_graphs() {
            for n in model.node_ids(g) {
                let taken_in = |a: &Attribute| {
                    let value = AttrValue::Tensor(embedded(a.as_tensor()?)?.shared());
                    let mut a = a.clone();
                    a.value = value;
                    Some(a)
                };
                let attributes: Vec<_> = model.node(n).attributes().iter().filter_map(taken_in).collect();
                for a in attributes {
                    model.set_attribute(n, a)?;
                    cx.count("constants taken in", 1);
                }
            }
        }
        Ok(Outcome::changed_if(model.revision() != before))
    }
}

/// The tensor as it is to be, when it is not so yet.
fn embedded(t: &Tensor) -> Option<Tensor> {
    match (&t.data, &t.store) {
        (TensorData::External(_), Store::Inline) => None,
        (TensorData::External(_), _) => Some(t.stored(Store::Inline)),
        (_, Store::External(_)) => Some(t.stored(Store::Keep)),
        _ => None,
    }
}
