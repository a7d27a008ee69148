//! Removes what nothing reads.
//!
//! ## What it does
//! Removes nodes none of whose results is read, initializers that nothing reads, functions that nothing
//! calls, opset imports of domains that no operator is of, and `value_info` entries of values that are gone.
//! A node's unread trailing outputs stay, as an operator may tell by their number what to do.
//!
//! ## Before → after
//! ```diff
//!   agraph (
//!     float[N] x
//!   ) => (
//!     float[N] y
//!   ) {
//! -   a = Relu (x)
//!     y = Abs (x)
//!   }
//! ```
//!
//! ## Requires
//! Nothing.
//!
//! ## Guarantees
//! The interface is as it was. What is left computes what it computed.
//!
//! ## Options
//! None.
//!
//! ## Refuses
//! Nothing.

use onnx_pass_ir::{Def, FunctionId, GraphId, Model, Node, NodeId, ValueId};
use rustc_hash::FxHashSet;

use crate::pass::{Outcome, Pass, PassContext, PassError};

/// The pass.
pub struct EliminateDeadCode;

impl Pass for EliminateDeadCode {
    fn name(&self) -> &'static str {
        "eliminate-dead-code"
    }

    fn source(&self) -> &'static str {
        include_str!("eliminate_dead_code.rs")
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let before = model.revision();
        sweep(model, cx)?;
        Ok(Outcome::changed_if(model.revision() != before))
    }
}

/// Removes what nothing reads, in every graph.
///
/// # Errors
/// None that a sound model causes.
pub fn sweep(m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
    if cx.is_swept(m) {
        return Ok(());
    }
    let mut functions = 0;
    loop {
        dead_nodes(m, cx)?;
        let dead = uncalled(m);
        if dead.is_empty() {
            break;
        }
        functions += dead.len() as u64;
        dead.into_iter().for_each(|f| m.remove_function(f));
    }
    cx.count("functions removed", functions);
    dead_initializers(m, cx)?;
    m.sweep();
    let stale: usize = m.live_graphs().into_iter().map(|g| m.drop_stale_value_info(g)).sum();
    cx.count("stale value_info removed", stale as u64);
    dead_opsets(m, cx);
    cx.note_swept(m);
    Ok(())
}

/// The functions that no node calls.
fn uncalled(m: &Model) -> FxHashSet<FunctionId> {
    let mut uncalled: FxHashSet<FunctionId> = m.functions().map(|(f, _)| f).collect();
    let mut all = nodes(m);
    while !uncalled.is_empty()
        && let Some((n, _)) = all.next()
    {
        if let Some(f) = m.callee(n) {
            uncalled.remove(&f);
        }
    }
    uncalled
}

/// All nodes of the model.
fn nodes(m: &Model) -> impl Iterator<Item = (NodeId, &Node)> {
    m.live_graphs().into_iter().flat_map(|g| m.nodes(g))
}

fn dead_nodes(m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
    let mut removed = 0;
    // Inner graphs first, nodes last to first: a reader goes before what it reads.
    let graphs: Vec<GraphId> = m.live_graphs();
    for g in graphs.into_iter().rev() {
        for n in m.node_ids(g).into_iter().rev() {
            let used = m.node(n).outputs().iter().flatten().any(|v| !m.is_unused(*v));
            if !used {
                m.remove_node(n)?;
                removed += 1;
            }
        }
    }
    cx.count("nodes removed", removed);
    Ok(())
}

fn dead_initializers(m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
    for g in m.live_graphs() {
        let graph = m.graph(g);
        let all = graph.initializers().iter().copied().chain(graph.sparse_initializers().iter().map(|s| s.0));
        let dead: Vec<ValueId> =
            all.filter(|v| m.is_unused(*v) && m.value(*v).def() == Def::Initializer).collect();
        if !dead.is_empty() {
            cx.count("initializers removed", dead.len() as u64);
            m.remove_initializers(&dead)?;
        }
    }
    Ok(())
}

/// Removes the opset imports of domains that no operator is of; the standard one stays.
pub fn dead_opsets(m: &mut Model, cx: &mut PassContext) {
    let of = |d: &Option<onnx_pass_ir::EcoString>| {
        onnx_pass_ir::canonical_domain(d.as_deref().unwrap_or("")).to_owned()
    };
    let mut unused: FxHashSet<String> =
        m.header().opset_imports.iter().map(|o| of(&o.domain)).filter(|d| !d.is_empty()).collect();
    if unused.is_empty() {
        return;
    }
    for (_, n) in nodes(m) {
        unused.remove(n.domain());
        if unused.is_empty() {
            return;
        }
    }
    let keep = |d: &Option<onnx_pass_ir::EcoString>| !unused.contains(&of(d));
    let before = m.header().opset_imports.len();
    m.header_mut().opset_imports.retain(|o| keep(&o.domain));
    cx.count("opset imports removed", (before - m.header().opset_imports.len()) as u64);
}
