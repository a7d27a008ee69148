//! Declarations after symbols got values: contradictions, and names that mean something else now.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Dim, GraphId, Model, NodeId, Type, TypeKind, ValueId};
use rustc_hash::FxHashSet;

use super::binds::Binds;
use crate::analysis::{Analysis, Contradiction, is_made_up};
use crate::dims;
use crate::names;
use crate::pass::{PassContext, PassError, at, named};

/// What was at odds before anything was bound, and is no fault of a bind.
#[derive(Debug, Default)]
pub struct Before {
    at_odds: FxHashSet<(ValueId, Option<usize>)>,
    failing: FxHashSet<NodeId>,
}

impl Before {
    /// Of a model of which nothing was bound yet, and nothing learnt of the binds.
    pub fn of(model: &Model, cx: &mut PassContext) -> Self {
        let a = cx.analysis(model);
        Before {
            at_odds: a.contradictions.iter().map(|c| (c.value, c.axis)).collect(),
            failing: a.impossible.iter().map(|i| i.node).collect(),
        }
    }
}

/// Puts the binds into every declaration; whether any changed.
///
/// # Errors
/// A declared length would be negative, or the graph computes another one than a bind makes it.
pub fn put(
    model: &mut Model,
    cx: &mut PassContext,
    binds: &Binds,
    before: &Before,
) -> Result<bool, PassError> {
    if binds.values.is_empty() && binds.axes.is_empty() {
        return Ok(false);
    }
    check_lengths(model, binds)?;
    let original = model.clone();
    let mut changed = dims::substitute(model, &|s| binds.get(s)) > 0;
    for (v, axis, n) in &binds.axes {
        changed |= dims::declare_axis(model, *v, *axis, Dim::Known(*n));
    }
    let analysis = cx.analysis(model);
    if let Some(i) = analysis.impossible.iter().find(|i| !before.failing.contains(&i.node)) {
        return Err(PassError::refused(
            at(model, i.node),
            format!(
                "two of its lengths must be one, and with {} they are {} and {}",
                all(binds),
                i.left,
                i.right
            ),
        ));
    }
    let (old, new): (Vec<_>, Vec<_>) =
        analysis.contradictions.iter().cloned().partition(|c| before.at_odds.contains(&(c.value, c.axis)));
    match new.first() {
        Some(c) => Err(contradiction(&original, c, binds)),
        None => {
            note_old(model, cx, &old);
            Ok(changed)
        }
    }
}

/// Every bind, for messages where it is not known which of them matter.
fn all(binds: &Binds) -> String {
    names::list(
        binds.values.iter().map(|(s, e)| format!("{s} = {e}")).collect::<Vec<_>>().iter().map(String::as_str),
    )
}

/// Declarations that the file had wrong before: what the graph computes holds.
fn note_old(model: &Model, cx: &mut PassContext, old: &[Contradiction]) {
    const SHOWN: usize = 3;
    for c in old.iter().take(SHOWN) {
        let axis = c.axis.map(|axis| format!(", axis {axis}")).unwrap_or_default();
        let place = format!("{}{axis}", named(model, c.value));
        cx.note(
            place,
            format!(
                "it is declared as `{}`, and the graph computes `{}`, which holds",
                c.declared, c.computed
            ),
        );
    }
    if let Some(more) = old.len().checked_sub(SHOWN).filter(|n| *n > 0) {
        cx.note("", format!("{more} more declarations differ from what the graph computes"));
    }
}

fn check_lengths(model: &Model, binds: &Binds) -> Result<(), PassError> {
    let main = model.graph(model.main());
    let outputs = main.outputs().iter().map(|o| (o.value(), o.info.ty()));
    let inputs = main.inputs().iter().map(|v| (*v, model.declared_type(*v)));
    for (v, ty) in inputs.chain(outputs) {
        for (axis, dim) in ty.and_then(Type::dims).unwrap_or_default().iter().enumerate() {
            let Some(e) = dim.symbol().map(Expr::parse_dim) else { continue };
            let bound = e.substitute(&|s| binds.get(s));
            if bound.as_const().is_some_and(|n| n < 0) {
                return Err(PassError::refused(
                    format!("{}, axis {axis}", named(model, v)),
                    format!("its length `{e}` would be {bound}, by {}", binds.behind(&e)),
                ));
            }
        }
    }
    Ok(())
}

fn contradiction(before: &Model, c: &Contradiction, binds: &Binds) -> PassError {
    let axis = c.axis.map(|axis| format!(", axis {axis}")).unwrap_or_default();
    let dims = before.declared_type(c.value).and_then(Type::dims).unwrap_or_default();
    let declared = c.axis.and_then(|axis| dims.get(axis)?.to_expr());
    let by = declared.map(|e| (e.to_string(), binds.behind(&e))).filter(|(_, by)| !by.is_empty());
    let by = by.map(|(e, by)| format!(" (`{e}`, by {by})")).unwrap_or_default();
    PassError::refused(
        format!("{}{axis}", named(before, c.value)),
        format!("it would be {}{by}, and the graph makes it {}", c.declared, c.computed),
    )
}

/// Declares outputs and inner values as what the graph computes, where a declaration says otherwise or by a name
/// that no input has. Gives how many declarations changed.
pub fn refresh(model: &mut Model, cx: &mut PassContext) -> usize {
    let analysis = cx.take_analysis(model);
    let before = model.revision();
    let mut changed = 0;
    let main_graphs: Vec<GraphId> = model.graphs_in(model.main());
    let inputs: FxHashSet<ValueId> = model.graph(model.main()).inputs().iter().copied().collect();
    for g in main_graphs {
        let graph = model.graph(g);
        let values: Vec<ValueId> =
            graph.outputs().iter().map(|o| o.value()).chain(graph.value_info().iter().copied()).collect();
        for v in values.into_iter().filter(|v| !inputs.contains(v)) {
            if let Some(ty) = refreshed(model, &analysis, v) {
                model.set_type(v, ty);
                changed += 1;
            }
        }
    }
    if model.revision() == before {
        cx.keep_analysis(model, analysis);
    }
    changed
}

fn refreshed(model: &Model, analysis: &Analysis, v: ValueId) -> Option<Type> {
    let mut ty = model.declared_type(v)?.clone();
    let computed = analysis.shape(v)?;
    let TypeKind::Tensor(t) = &mut ty.kind else { return None };
    let dims = &mut t.shape.as_mut().filter(|s| s.dims.len() == computed.len())?.dims;
    let mut changed = false;
    for (dim, e) in dims.iter_mut().zip(computed) {
        let certain = !e.symbols().iter().any(|s| is_made_up(s));
        if certain && dim.to_expr().as_ref() != Some(e) {
            *dim = Dim::from_expr(e);
            changed = true;
        }
    }
    changed.then_some(ty)
}
