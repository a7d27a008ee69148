//! Runs a sequence of passes over a model, and holds each to what it says of itself.

use std::time::{Duration, Instant};

use indexmap::IndexMap;
use onnx_pass_ir::{Model, verify};

use crate::pass::{Outcome, Pass, PassContext, PassError};

/// One pass with its options.
pub struct Step {
    /// The pass.
    pub pass: &'static dyn Pass,
    /// Its options, checked.
    pub options: serde_json::Value,
}

/// What a step did.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StepReport {
    /// The pass.
    pub pass: String,
    /// Whether it changed the model.
    pub changed: bool,
    /// Nodes before and after, subgraphs and functions included.
    pub nodes: (usize, usize),
    /// Inputs before and after.
    pub inputs: (usize, usize),
    /// Outputs before and after.
    pub outputs: (usize, usize),
    /// The pass's own counts.
    pub counters: IndexMap<String, u64>,
    /// The pass's own table.
    pub rows: Vec<Vec<String>>,
    /// Time taken. Not part of a stable report.
    #[serde(skip)]
    pub time: Duration,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A pass refused.
    #[error("{pass}: {source}")]
    Pass {
        /// The step's position, from 0.
        step: usize,
        /// The pass.
        pass: String,
        /// Its reason.
        source: PassError,
    },
    /// A pass broke the model or its own word: a fault of ours.
    #[error("{pass} left the model unsound (please report this): {reason}")]
    Unsound {
        /// The step's position, from 0.
        step: usize,
        /// The pass.
        pass: String,
        /// The first findings.
        reason: String,
    },
}

/// How a run is watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Check everything after each pass, not only what is cheap.
    pub verify_each: bool,
}

/// Runs the steps in order, on nodes that are put in order first where they are not. `after` is called after each with
/// its position, report and the model as it stands; it may stop the run by giving `false`.
///
/// # Errors
/// [`RunError`]; the model is then of no further use.
pub fn run(
    model: &mut Model,
    steps: &[Step],
    cx: &mut PassContext,
    options: RunOptions,
    after: &mut dyn FnMut(usize, &StepReport, &Model) -> bool,
) -> Result<Vec<StepReport>, RunError> {
    let mut reports = Vec::new();
    let mut known: Vec<verify::Finding> = verify::verify(model, level(options));
    if !known.is_empty() && !steps.is_empty() && put_in_order(model) {
        cx.pass = steps.first().map(|s| s.pass.name().to_string()).unwrap_or_default();
        cx.note("", "the file has nodes before what they read; they were put in order");
        known = verify::verify(model, level(options));
    }
    for (i, step) in steps.iter().enumerate() {
        let report = run_step(model, i, step, cx, options, &known)?;
        let go_on = after(i, &report, model);
        reports.push(report);
        if !go_on {
            break;
        }
    }
    Ok(reports)
}

/// Passes rely on the order that ONNX asks of nodes; some converters leave another, which runtimes mend as they load.
/// Whether any node had to move. What computes from its own result stays as it is.
fn put_in_order(model: &mut Model) -> bool {
    let mut moved = false;
    for graph in model.live_graphs() {
        moved |= model.sort_nodes(graph).unwrap_or(false);
    }
    moved
}

fn level(options: RunOptions) -> verify::Level {
    if options.verify_each || cfg!(debug_assertions) { verify::Level::Full } else { verify::Level::Structure }
}

fn run_step(
    model: &mut Model,
    index: usize,
    step: &Step,
    cx: &mut PassContext,
    options: RunOptions,
    known: &[verify::Finding],
) -> Result<StepReport, RunError> {
    let name = step.pass.name();
    let before = (count_nodes(model), interface(model), model.revision());
    let companions = cx.companions.len();
    cx.pass = name.to_string();
    cx.options = step.options.clone();
    cx.counters.clear();
    cx.rows.clear();
    let start = Instant::now();
    let outcome = step.pass.run(model, cx).map_err(|source| RunError::Pass {
        step: index,
        pass: name.into(),
        source,
    })?;
    let time = start.elapsed();
    let unsound = |reason: String| RunError::Unsound { step: index, pass: name.into(), reason };
    if outcome == Outcome::Unchanged && model.revision() != before.2 {
        return Err(unsound("it says that nothing changed, and the model did".into()));
    }
    let after = interface(model);
    if !step.pass.changes_interface() && after != before.1 {
        return Err(unsound("it changed the interface, which it may not".into()));
    }
    let made = cx.companions.iter().skip(companions).map(|c| &c.model);
    let changed = (outcome == Outcome::Changed).then_some(&*model);
    for model in changed.into_iter().chain(made) {
        let findings = verify::verify(model, level(options));
        let new: Vec<String> =
            findings.iter().filter(|f| !known.contains(f)).map(ToString::to_string).collect();
        if !new.is_empty() {
            return Err(unsound(new.iter().take(3).cloned().collect::<Vec<_>>().join("; ")));
        }
    }
    Ok(StepReport {
        pass: name.into(),
        changed: outcome == Outcome::Changed,
        nodes: (before.0, count_nodes(model)),
        inputs: (before.1.0.len(), after.0.len()),
        outputs: (before.1.1.len(), after.1.len()),
        counters: std::mem::take(&mut cx.counters),
        rows: std::mem::take(&mut cx.rows),
        time,
    })
}

/// Nodes of all graphs and functions.
pub fn count_nodes(model: &Model) -> usize {
    model.live_graphs().into_iter().map(|g| model.graph(g).node_count()).sum()
}

/// The names of the inputs that a caller must give, and of the outputs.
fn interface(model: &Model) -> (Vec<String>, Vec<String>) {
    let g = model.graph(model.main());
    (
        g.inputs().iter().map(|v| model.name(*v).to_string()).collect(),
        g.outputs().iter().map(|o| model.name(o.value()).to_string()).collect(),
    )
}

#[cfg(test)]
mod tests {
    use onnx_pass_ir::text;
    use serde_json::json;

    use super::*;
    use crate::{registry, testing};

    /// As converters of types leave it: what they put before an input stands at the end.
    const OUT_OF_ORDER: &str = r#"<ir_version: 8, opset_import: ["" : 17]>
        agraph (float[N] x, bool c) => (float[N] y) {
            a = Abs (h)
            y = If (c) <
                then_branch = first () => (float[N] t) { t = Add (u, a)  u = Neg (h) },
                else_branch = second () => (float[N] e) { e = Identity (a) }
            >
            h = Relu (x)
        }"#;

    #[test]
    fn nodes_are_put_in_order_before_the_first_step() {
        let mut m = text::parse(OUT_OF_ORDER).expect("a model");
        let mut cx = PassContext::new();
        let pass = registry::find("eliminate-dead-code").expect("a pass");
        let steps = [Step { pass, options: json!({}) }];
        run(&mut m, &steps, &mut cx, RunOptions { verify_each: true }, &mut |_, _, _| true).expect("it runs");
        insta::assert_snapshot!(testing::show(&m));
        let told: Vec<String> = cx.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["note: eliminate-dead-code: the file has nodes before what they read; they were put in order"]
        );
    }

    #[test]
    fn without_a_step_the_order_stays() {
        let mut m = text::parse(OUT_OF_ORDER).expect("a model");
        let before = testing::show(&m);
        run(&mut m, &[], &mut PassContext::new(), RunOptions::default(), &mut |_, _, _| true)
            .expect("it runs");
        assert_eq!(testing::show(&m), before);
    }
}
