//! What the declarations say of lengths, before and after.

use ecow::{EcoString, eco_format};
use indexmap::IndexMap;
use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Def, Dim, Model, Type, ValueId};
use rustc_hash::FxHashMap;

use super::Elimination;
use crate::analysis::is_made_up;
use crate::kv::discover::{Form, Inputs};
use crate::kv::{checks, lengths};
use crate::pass::{PassContext, PassError};
use crate::passes::eliminate_kv_cache::lengths as growing_lengths;

impl Elimination {
    /// Where a present is declared with a plain symbol and computed as past + chunk, the symbol is the chunk's
    /// length once the past is empty: the exporter's own word for it.
    pub(super) fn declared_presents(&self, m: &mut Model, cx: &mut PassContext) {
        let a = cx.analysis(m);
        let mut equal: IndexMap<EcoString, Expr> = IndexMap::new();
        for c in &self.caches {
            let Form::Growing { axis, length } = &c.form else { continue };
            for o in &c.outputs {
                let declared = m.declared_type(*o).and_then(|t| t.dims()?.get(*axis).cloned());
                let computed = a.shape(*o).and_then(|s| s.get(*axis));
                if let (Some(Dim::Symbol(s)), Some(e)) = (declared, computed)
                    && Expr::parse_dim(&s).as_symbol().is_some()
                    && e.as_symbol() != Some(s.as_str())
                {
                    let zero = |x: &str| (length.as_symbol() == Some(x)).then(|| Expr::constant(0));
                    let at_empty = e.substitute(&zero);
                    let plain = at_empty.symbols().iter().all(|x| !is_made_up(x));
                    if plain {
                        equal.entry(s).or_insert(at_empty);
                    }
                }
            }
        }
        let inputs = lengths::input_symbols(m);
        // A present that is as long as its past is no longer one than what is empty now.
        let emptied = growing_lengths(&self.caches);
        let own = |symbol: &str| emptied.contains(&Expr::symbol(symbol));
        equal.retain(|symbol, e| {
            inputs.contains(symbol) && !own(symbol) && !e.is_const() && !e.mentions(symbol)
        });
        for (symbol, e) in &equal {
            cx.note("", format!("`{symbol}` is `{e}` now that the past is empty"));
        }
        // All at once, unless one is told by another.
        if equal.values().any(|e| e.symbols().iter().any(|s| equal.contains_key(s))) {
            for (symbol, e) in &equal {
                lengths::substitute(m, &|s| (s == symbol).then(|| e.clone()));
            }
        } else if !equal.is_empty() {
            lengths::substitute(m, &|s| equal.get(s).cloned());
        }
    }

    /// Puts the lengths of empty caches into every declaration.
    pub(super) fn set_lengths(&mut self, m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
        let mut put: FxHashMap<String, Expr> = FxHashMap::default();
        for l in growing_lengths(&self.caches) {
            if let Some(s) = l.as_symbol() {
                put.insert(s.into(), Expr::constant(0));
            }
        }
        for w in &self.writers {
            if let Some(s) = w.buffer.as_symbol()
                && w.buffer != w.chunk
            {
                put.entry(s.into()).or_insert_with(|| w.chunk.clone());
            }
        }
        let inputs = self.inputs();
        checks::left_behind(m, &self.before, &put, &inputs)?;
        self.keep_masks(m, cx, &put, &inputs);
        lengths::forget_fixed(m, &put);
        lengths::substitute(m, &|s| put.get(s).cloned());
        // Lengths without a name in the file are known by their place.
        for v in inputs {
            let Some((dtype, shape)) = self.shapes.get(&v).filter(|_| m.value(v).def() == Def::Input) else {
                continue;
            };
            let told: Vec<Expr> = shape.iter().map(|d| d.substitute(&|s| put.get(s).cloned())).collect();
            if told != *shape {
                // What the file calls a length has its number by now.
                let declared = m.declared_type(v).and_then(Type::dims).unwrap_or_default();
                let known = |k: usize| declared.get(k).filter(|d| d.known().is_some()).cloned();
                let dims =
                    told.iter().enumerate().map(|(k, e)| known(k).unwrap_or_else(|| Dim::from_expr(e)));
                m.set_type(v, Type::tensor(*dtype, Some(dims.collect())));
            }
        }
        let updates = self.caches.iter().flat_map(|c| c.updates.iter().copied()).collect();
        checks::still_runs(m, &self.before, cx.analysis(m), &put, &updates)
    }

    /// An input that stays, whose declared length would become one number where it was an expression of the
    /// past's: older exporters write `past + 1` for what is past + chunk. The declaration is wrong, and becomes a
    /// symbol of its own.
    fn keep_masks(
        &self,
        m: &mut Model,
        cx: &mut PassContext,
        put: &FxHashMap<String, Expr>,
        caches: &Inputs,
    ) {
        for v in m.graph(m.main()).inputs().to_vec() {
            if caches.contains(&v) {
                continue;
            }
            let Some(mut ty) = m.declared_type(v).cloned() else { continue };
            let name = m.name(v).to_string();
            let mut axis = 0usize;
            let mut wrong = Vec::new();
            let changed = ty.map_dims(&mut |d| {
                let here = axis;
                axis += 1;
                let Dim::Symbol(text) = d else { return None };
                let told = Expr::parse_dim(text).substitute(&|s| put.get(s).cloned());
                told.as_const()?;
                wrong.push(format!("`{text}`"));
                Some(Dim::Symbol(eco_format!("{name}_dim_{here}")))
            });
            if changed {
                cx.warn(
                    format!("input `{name}`"),
                    format!(
                        "declared {}, which an empty past would fix at one length; the declaration is taken for wrong",
                        wrong.join(", ")
                    ),
                );
                m.set_type(v, ty);
            }
        }
    }

    /// With an empty cache the model must still run at every length that it ran at before.
    pub(super) fn check_lengths(&self, m: &Model, cx: &mut PassContext) -> Result<(), PassError> {
        let symbols = lengths::input_symbols(m);
        let a = cx.analysis(m);
        for s in symbols {
            let e = Expr::symbol(s.clone());
            if let Some(n) = a.symbols.simplify(&e).as_const() {
                return Err(PassError::refused_with(
                    "the model",
                    format!("with an empty cache it runs only where `{s}` is {n}"),
                    "one of the caches is not extended the way it is declared; list it under `keep`",
                ));
            }
        }
        Ok(())
    }

    /// Declares outputs and `value_info` as what they are now, and sees that no symbol of the caches is left.
    pub(super) fn redeclare(&self, m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
        let kept = lengths::input_symbols(m);
        let a = cx.take_analysis(m);
        let gone = |d: &Dim| match d {
            Dim::Symbol(s) => {
                Expr::parse_dim(s).symbols().iter().any(|s| self.symbols.contains(s) && !kept.contains(s))
            }
            _ => false,
        };
        let told = |e: &Expr| e.symbols().iter().all(|s| kept.contains(s));
        for g in m.live_graphs() {
            let graph = m.graph(g);
            let declared: Vec<ValueId> =
                graph.outputs().iter().map(|o| o.value()).chain(graph.value_info().iter().copied()).collect();
            let mut stale = Vec::new();
            for v in declared {
                let Some(ty) = m.declared_type(v).cloned() else { continue };
                let Some(dims) = ty.dims() else { continue };
                let shape = a.shape(v).filter(|s| s.len() == dims.len());
                let mut axis = 0;
                let mut new = ty.clone();
                new.map_dims(&mut |d| {
                    let computed = shape.map(|s| &s[axis]).filter(|e| told(e));
                    axis += 1;
                    match (d, computed) {
                        (_, Some(e)) if d.to_expr().as_ref() != Some(e) => Some(Dim::from_expr(e)),
                        (d, None) if gone(d) => Some(Dim::Unknown),
                        _ => None,
                    }
                });
                if new == ty {
                    continue;
                }
                let is_output = m.value(v).is_graph_output();
                if !is_output && new.dims().is_some_and(|d| d.contains(&Dim::Unknown)) {
                    stale.push(v);
                } else {
                    m.set_type(v, new);
                }
            }
            m.clear_value_infos(&stale);
            m.drop_stale_value_info(g);
        }
        Ok(())
    }
}
