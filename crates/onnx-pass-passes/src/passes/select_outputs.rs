//! Keeps some outputs, and drops the others with all that only they needed.
//!
//! ## What it does
//! Removes outputs from the graph: all but those in `keep`, or those in `drop`. Then removes what nothing reads
//! any more, as `eliminate-dead-code` does.
//!
//! ## Before → after
//! With
//! ```yaml
//! keep: [y]
//! ```
//! ```diff
//!   agraph (
//!     float[N] x
//!   ) => (
//! -   float[N] y,
//! -   float[N] z
//! +   float[N] y
//!   ) {
//!     y = Abs (x)
//! -   z = Relu (x)
//!   }
//! ```
//!
//! ## Requires
//! Nothing.
//!
//! ## Guarantees
//! The outputs that are left are computed as before and keep their order. Every input stays.
//!
//! ## Options
//! | option | value | meaning |
//! |---|---|---|
//! | `keep` | list of names or patterns (`*`, `?`) | the outputs to keep |
//! | `drop` | likewise | the outputs to drop |
//!
//! One of the two is given. A name in `drop` that is no output is a warning, as there is nothing left to drop.
//!
//! ## Refuses
//! A name in `keep` that is no output; a selection that leaves no output.

use onnx_pass_ir::Model;
use serde::Deserialize;

use crate::names;
use crate::options::{OptionKind, OptionSpec};
use crate::pass::{Outcome, Pass, PassContext, PassError};
use crate::passes::eliminate_dead_code;

/// The pass.
pub struct SelectOutputs;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    keep: Option<Vec<String>>,
    drop: Option<Vec<String>>,
}

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional(
        "keep",
        OptionKind::StringList,
        "all but `drop`",
        "Outputs to keep, by name or pattern.",
    ),
    OptionSpec::optional(
        "drop",
        OptionKind::StringList,
        "all but `keep`",
        "Outputs to drop, by name or pattern.",
    ),
];

impl Pass for SelectOutputs {
    fn name(&self) -> &'static str {
        "select-outputs"
    }

    fn source(&self) -> &'static str {
        include_str!("select_outputs.rs")
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn changes_interface(&self) -> bool {
        true
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let options: Options = cx.parse()?;
        let before = model.revision();
        let outputs = model.graph(model.main()).outputs();
        let known: Vec<&str> = outputs.iter().map(|o| model.name(o.value())).collect();
        let kept = kept(cx, &options, &known)?;
        let dropped: Vec<usize> = (0..known.len()).filter(|k| !kept[*k]).collect();
        if !known.is_empty() && dropped.len() == known.len() {
            let option = if options.keep.is_some() { "keep" } else { "drop" };
            return Err(PassError::option(
                option,
                format!("no output would be left; there are {}", names::list(known)),
            ));
        }
        for &k in &dropped {
            cx.count("outputs dropped", 1);
            cx.rows.push(vec!["dropped".into(), known[k].to_string()]);
        }
        model.remove_outputs(model.main(), &dropped);
        if model.revision() != before {
            eliminate_dead_code::sweep(model, cx)?;
        }
        Ok(Outcome::changed_if(model.revision() != before))
    }
}

/// For each output, whether it stays.
fn kept(cx: &mut PassContext, options: &Options, known: &[&str]) -> Result<Vec<bool>, PassError> {
    match (&options.keep, &options.drop) {
        (Some(keep), None) => {
            let mut kept = vec![false; known.len()];
            for (at, wanted) in keep.iter().enumerate() {
                let found = names::select(wanted, known);
                if found.is_empty() {
                    let reason = names::unknown(wanted, "output", "outputs", known);
                    return Err(PassError::option(format!("keep.{at}"), reason));
                }
                found.into_iter().for_each(|k| kept[k] = true);
            }
            Ok(kept)
        }
        (None, Some(drop)) => {
            let mut kept = vec![true; known.len()];
            for wanted in drop {
                let found = names::select(wanted, known);
                if found.is_empty() {
                    cx.warn("", names::unknown(wanted, "output", "outputs", known));
                }
                found.into_iter().for_each(|k| kept[k] = false);
            }
            Ok(kept)
        }
        (None, None) => Err(PassError::option("keep", "give either `keep` or `drop`")),
        (Some(_), Some(_)) => Err(PassError::option("drop", "it stands beside `keep`; give one of the two")),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use crate::testing::{after, refusal};

    const TEXT: &str = "agraph (float[N] x) => (float[N] y, float[N] z, float[N] z2) {
          y = Abs (x)
          t = Neg (x)
          z = Relu (t)
          z2 = Exp (y)
        }";

    #[test]
    fn what_is_kept_and_what_is_dropped() {
        assert_snapshot!(after(TEXT, "select-outputs", json!({"keep": ["z2"]})));
        assert_snapshot!(after(TEXT, "select-outputs", json!({"drop": ["z*", "u"]})));
    }

    #[test]
    fn refusals() {
        let all = [
            json!({}),
            json!({"keep": ["Z3"]}),
            json!({"keep": ["y"], "drop": ["z"]}),
            json!({"drop": ["*"]}),
        ];
        let all = all.map(|options| refusal(TEXT, "select-outputs", options));
        assert_snapshot!(all.join("\n"));
    }
}
