//! Puts the bodies of model-local functions in the place of their calls.
//!
//! ## What it does
//! Replaces calls of functions by the functions' bodies, calls inside bodies first, until no call is left; then
//! removes the functions, and the opset imports of domains that no operator is of any more. Attributes of the
//! call, or the function's defaults, take the place of references to them.
//!
//! ## Before → after
//! ```diff
//!   agraph (
//!     float[N] x
//!   ) => (
//!     float[N] y
//!   ) {
//! -   y = local.twice (x)
//! - }
//! -
//! - <
//! -   domain: "local",
//! -   opset_import: ["" : 21]
//! - >
//! - twice (a) => (b) {
//! -   b = Add (a, a)
//! +   y = Add (x, x)
//!   }
//! ```
//!
//! ## Requires
//! Nothing.
//!
//! ## Guarantees
//! The interface is as it was, and so is what is computed. Names of inner values and nodes begin with the name of
//! the call that they came from.
//!
//! ## Options
//! | option | value | meaning |
//! |---|---|---|
//! | `functions` | list of names or patterns (`*`, `?`), with the domain before `::` or without | the functions to inline; all when left out |
//!
//! ## Refuses
//! Functions that call themselves, directly or by way of others; a function whose operators are of another
//! version of an opset than those around its call; a result of more than ten million nodes. A name that fits no
//! function is a warning, as there is nothing left to inline.

use onnx_pass_ir::{FunctionId, GraphId, Model, NodeId};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

use crate::names;
use crate::options::{OptionKind, OptionSpec};
use crate::pass::{Outcome, Pass, PassContext, PassError};
use crate::passes::eliminate_dead_code;

/// More nodes than this are not made.
const MAX_NODES: u64 = 10_000_000;

/// The pass.
pub struct InlineFunctions;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    functions: Option<Vec<String>>,
}

const OPTIONS: &[OptionSpec] = &[OptionSpec::optional(
    "functions",
    OptionKind::StringList,
    "all",
    "Functions to inline, by name or pattern; `domain::name` says the domain too.",
)];

impl Pass for InlineFunctions {
    fn name(&self) -> &'static str {
        "inline-functions"
    }

    fn source(&self) -> &'static str {
        include_str!("inline_functions.rs")
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let options: Options = cx.parse()?;
        let before = model.revision();
        let chosen = choose(model, cx, options.functions.as_deref());
        inline(model, cx, &chosen)?;
        Ok(Outcome::changed_if(model.revision() != before))
    }
}

fn full_name(m: &Model, f: FunctionId) -> String {
    let (domain, name, overload) = m.function(f).key();
    let overload = if overload.is_empty() { String::new() } else { format!(":{overload}") };
    format!("{domain}::{name}{overload}")
}

fn choose(m: &Model, cx: &mut PassContext, wanted: Option<&[String]>) -> FxHashSet<FunctionId> {
    let all: Vec<FunctionId> = m.functions().map(|(f, _)| f).collect();
    let Some(wanted) = wanted else { return all.into_iter().collect() };
    let full: Vec<String> = all.iter().map(|f| full_name(m, *f)).collect();
    let full: Vec<&str> = full.iter().map(String::as_str).collect();
    let short: Vec<&str> = all.iter().map(|f| m.function(*f).key().1).collect();
    let mut chosen = FxHashSet::default();
    for wanted in wanted {
        let known = if wanted.contains("::") { &full } else { &short };
        let found = names::select(wanted, known);
        if found.is_empty() {
            cx.warn("", names::unknown(wanted, "function", "functions", known));
        }
        chosen.extend(found.into_iter().map(|k| all[k]));
    }
    chosen
}

/// Inlines every call of the chosen functions, and removes those functions.
///
/// # Errors
/// Functions that call themselves, a clash of opsets, a result that is too large.
pub fn inline(m: &mut Model, cx: &mut PassContext, chosen: &FxHashSet<FunctionId>) -> Result<(), PassError> {
    if chosen.is_empty() {
        return Ok(());
    }
    let order = callees_first(m)?;
    check_size(m, &order, chosen)?;
    // A body that holds no call any more is copied as it is, so each call is replaced once.
    let mut roots: Vec<GraphId> = order.iter().map(|f| m.function(*f).graph()).collect();
    let in_functions: FxHashSet<GraphId> = roots.iter().flat_map(|g| m.graphs_in(*g)).collect();
    roots.extend(
        m.live_graphs().into_iter().filter(|g| !in_functions.contains(g) && m.graph(*g).parent().is_none()),
    );
    let mut calls = 0;
    for root in roots {
        let sites: Vec<NodeId> = (m.graphs_in(root).into_iter())
            .flat_map(|g| m.node_ids(g))
            .filter(|n| m.callee(*n).is_some_and(|f| chosen.contains(&f)))
            .collect();
        for n in sites {
            let place = m.describe(n);
            m.inline_call(n).map_err(|e| PassError::refused(place, e.to_string()))?;
            calls += 1;
        }
    }
    cx.count("calls inlined", calls);
    for f in order.into_iter().rev().filter(|f| chosen.contains(f)) {
        cx.rows.push(vec!["inlined".into(), full_name(m, f)]);
        m.remove_function(f);
        cx.count("functions removed", 1);
    }
    eliminate_dead_code::dead_opsets(m, cx);
    Ok(())
}

/// Every function after those that it calls.
fn callees_first(m: &Model) -> Result<Vec<FunctionId>, PassError> {
    let callees = |f: FunctionId| -> Vec<FunctionId> {
        let graphs = m.graphs_in(m.function(f).graph());
        graphs.into_iter().flat_map(|g| m.nodes(g)).filter_map(|(n, _)| m.callee(n)).collect()
    };
    let mut order = Vec::new();
    // False while the function's callees are being walked.
    let mut done: FxHashMap<FunctionId, bool> = FxHashMap::default();
    for (start, _) in m.functions() {
        let mut stack = vec![(start, None::<std::vec::IntoIter<FunctionId>>)];
        while let Some((f, rest)) = stack.last_mut() {
            let f = *f;
            let rest = match rest {
                Some(rest) => rest,
                None => match done.get(&f) {
                    Some(true) => {
                        stack.pop();
                        continue;
                    }
                    // On the stack already: it calls itself, by way of those above it.
                    Some(false) => {
                        return Err(PassError::refused(
                            full_name(m, f),
                            "the function calls itself, which ONNX does not allow",
                        ));
                    }
                    None => {
                        done.insert(f, false);
                        rest.insert(callees(f).into_iter())
                    }
                },
            };
            match rest.next() {
                Some(callee) => stack.push((callee, None)),
                None => {
                    done.insert(f, true);
                    order.push(f);
                    stack.pop();
                }
            }
        }
    }
    Ok(order)
}

/// Counts the nodes that there will be, before any is made: each level may multiply them.
fn check_size(m: &Model, order: &[FunctionId], chosen: &FxHashSet<FunctionId>) -> Result<(), PassError> {
    let mut size: FxHashMap<FunctionId, u64> = FxHashMap::default();
    let count = |root: GraphId, size: &FxHashMap<FunctionId, u64>| {
        (m.graphs_in(root).into_iter().flat_map(|g| m.nodes(g))).fold(0u64, |sum, (n, _)| {
            let inlined = m.callee(n).filter(|f| chosen.contains(f)).and_then(|f| size.get(&f));
            sum.saturating_add(inlined.copied().unwrap_or(1))
        })
    };
    let mut total = 0u64;
    for f in order {
        let n = count(m.function(*f).graph(), &size);
        size.insert(*f, n);
        total = total.saturating_add(n);
    }
    total = total.saturating_add(count(m.main(), &size));
    if total > MAX_NODES {
        return Err(PassError::refused_with(
            "functions",
            format!("inlining would make {total} nodes, more than {MAX_NODES}"),
            "name the functions to inline under `functions`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::pass::PassContext;
    use crate::testing::{export, run_in};

    #[test]
    fn nothing_is_left_of_functions_that_are_inlined() {
        let mut m = export("fixed_layer_functions");
        let mut cx = PassContext::new();
        assert!(m.functions().count() > 1);
        assert_eq!(run_in(&mut m, &mut cx, "inline-functions", json!({})), Ok(true));
        assert_eq!(m.functions().count(), 0);
        let domains: Vec<_> =
            m.header().opset_imports.iter().map(|o| o.domain.clone().unwrap_or_default()).collect();
        assert!(domains.iter().all(|d| d.is_empty() || d == "ai.onnx"), "{domains:?}");
        assert_eq!(run_in(&mut m, &mut cx, "inline-functions", json!({})), Ok(false));
    }

    #[test]
    fn some_by_name() {
        let mut m = export("qwen3_vl_reranker");
        let mut cx = PassContext::new();
        let options = json!({"functions": ["com.qualcomm.cloud::CtxG*"]});
        assert_eq!(run_in(&mut m, &mut cx, "inline-functions", options.clone()), Ok(true));
        let left: Vec<String> = m.functions().map(|(_, f)| f.name.to_string()).collect();
        assert_eq!(left, ["CtxScatter"]);
        assert_eq!(run_in(&mut m, &mut cx, "inline-functions", options), Ok(false));
        assert!(cx.diagnostics.iter().any(|d| d.message.contains("no function fits")));
    }
}
