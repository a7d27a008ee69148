//! The model that decodes on top of a prefill.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Model, Tensor};

use super::Options;
use crate::fold;
use crate::kv::discover::{self, Cache, Form, Inputs};
use crate::pass::{Companion, PassContext, PassError};

/// The name of the second model's file, checked.
pub(super) fn name(name: &str, options: &Options) -> Result<String, PassError> {
    if options.present.as_deref() == Some("drop") {
        return Err(PassError::option(
            "present",
            "a prefill that hands over keeps its presents; leave it out",
        ));
    }
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(PassError::option(
            "decode",
            format!("`{name}` is not the name of a file beside the model"),
        ));
    }
    Ok(name.to_owned())
}

/// The model as it came, of a merged decoder the branch with a past. `trial` is the same with the calls inlined that
/// hide caches.
pub(super) fn companion(
    model: &Model,
    trial: &Model,
    cx: &mut PassContext,
    caches: &[Cache],
    name: &str,
) -> Result<Companion, PassError> {
    let a = cx.analysis(trial);
    for c in caches {
        let known = a.shape(c.input).is_some_and(|s| s.iter().skip(1).all(Expr::is_const));
        if matches!(c.form, Form::Buffer { .. }) && !known {
            return Err(PassError::refused_with(
                format!("cache `{}`", trial.name(c.input)),
                "its length is a symbol: a chunk that is the whole context leaves nothing to decode",
                "bind the length first (`prune-dynamic-axes`): the prefill then fills a buffer of that length",
            ));
        }
    }
    let inputs: Inputs = caches.iter().map(|c| c.input).collect();
    let mut decode = model.clone();
    if let Some(selector) = discover::selector(&decode, &inputs) {
        let named = decode.name(selector.input).to_owned();
        let fact = a.fact(selector.input).clone();
        let (Some(dims), Some(dtype)) = (fact.const_shape(), fact.dtype) else {
            return Err(PassError::refused(
                format!("input `{named}`"),
                "it chooses the branch, and its type or shape is not known",
            ));
        };
        let count = usize::try_from(dims.iter().product::<i64>()).unwrap_or(0);
        let tensor = Tensor::integers(dtype, &dims, &vec![i64::from(!selector.value); count])?;
        decode.bind_input(selector.input, tensor.shared())?;
        // What is known of one model is nothing to the other.
        let mut own = PassContext::new();
        own.facts = cx.facts.clone();
        fold::simplify(&mut decode, &mut own)?;
    }
    cx.note("", format!("`{name}` is the model with its caches, which decodes on top of this one"));
    Ok(Companion { name: name.to_owned(), model: decode })
}
