//! Buffers of fixed length that rows are written into.

use std::collections::BTreeSet;

use ecow::{EcoString, eco_format};
use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Model, Use, ValueId};
use rustc_hash::FxHashMap;

use super::Elimination;
use crate::analysis::Analysis;
use crate::kv::checks;
use crate::kv::discover::{Cache, Form};
use crate::kv::fixed::{self, Writer};
use crate::pass::{PassContext, PassError, Promise};

impl Elimination {
    /// Analyses the writers of buffers whose lengths are symbols; buffers of known length become zeros.
    pub(super) fn plan_buffers(&mut self, m: &Model, cx: &mut PassContext) -> Result<(), PassError> {
        let a = cx.analysis(m);
        let mut planned = Vec::new();
        for c in &self.caches {
            let Form::Buffer { writers } = &c.form else { continue };
            if m.is_unused(c.input) {
                continue;
            }
            let name = format!("cache `{}`", m.name(c.input));
            let known = a.shape(c.input).is_some_and(|s| s.iter().skip(1).all(Expr::is_const));
            if known {
                self.done.insert(c.input, "zeros inside the graph".into());
                continue;
            }
            if !self.wishes.assume.contains("single-prefill") {
                return Err(PassError::refused_with(
                    name,
                    "it is a fixed buffer whose length is a symbol, and the graph cannot prove that one prefill is all",
                    "promise it with `assume: [single-prefill]`, or bind the length first (`prune-dynamic-axes`) \
                     and it becomes zeros inside the graph",
                ));
            }
            for w in writers {
                let w = fixed::writer(m, a, *w)
                    .map_err(|e| PassError::refused(name.clone(), format!("{}: {e}", m.describe(*w))))?;
                if w.rolling && !self.wishes.assume.contains("no-window-overflow") {
                    return Err(PassError::refused_with(
                        name,
                        format!(
                            "{}: its positions wrap around, so its length is the window",
                            m.describe(w.node)
                        ),
                        "if the chunk never exceeds the window, promise that with `assume: [no-window-overflow]`",
                    ));
                }
                self.whole_buffer(m, a, c, &w)
                    .map_err(|e| PassError::refused(name.clone(), format!("{}: {e}", m.describe(w.node))))?;
                planned.push(w);
            }
            self.done.insert(c.input, "buffer replaced by the new rows".into());
        }
        planned.sort_by_key(|w| w.node);
        planned.dedup_by_key(|w| w.node);
        fixed::same_positions(m, &planned).map_err(|(node, e)| {
            PassError::refused(m.describe(node), format!("it writes a cache's rows: {e}"))
        })?;
        self.promises(m, cx, &planned);
        self.windows(cx, &planned)?;
        self.writers = planned;
        Ok(())
    }

    /// A writer must write the cache's own length, and what it wrote be read by attention alone.
    fn whole_buffer(&self, m: &Model, a: &Analysis, c: &Cache, w: &Writer) -> Result<(), String> {
        let own = a.shape(c.input).is_some_and(|s| s.contains(&w.buffer));
        if w.buffer.as_symbol().is_none() || !own {
            return Err(format!("it writes into {} rows, which is not the length of the input", w.buffer));
        }
        let baked = a.disputes.iter().find_map(|(x, y)| match () {
            () if *x == w.buffer => y.as_const(),
            () if *y == w.buffer => x.as_const(),
            () => None,
        });
        if let Some(n) = baked {
            return Err(format!(
                "its length (`{}`) is set against {n}, so it is no other: declare it so",
                w.buffer
            ));
        }
        let out = m.node(w.node).output(0);
        match out.and_then(|v| checks::reader_beside(m, v, &c.outputs)) {
            Some(reader) => Err(format!("{reader} reads the rows too, and not as attention does")),
            None => Ok(()),
        }
    }

    fn promises(&self, m: &Model, cx: &mut PassContext, writers: &[Writer]) {
        if writers.is_empty() {
            return;
        }
        let mut names: Vec<&str> = writers.iter().flat_map(|w| &w.positions).map(|v| m.name(*v)).collect();
        names.sort_unstable();
        names.dedup();
        cx.promises.push(Promise {
            name: "single-prefill".into(),
            meaning: format!(
                "one prefill whose chunk is the whole context: {} count 0, 1, 2, … with padding at the end",
                names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
            ),
        });
        if writers.iter().any(|w| w.rolling) {
            let buffers: BTreeSet<String> =
                writers.iter().filter(|w| w.rolling).map(|w| w.buffer.to_string()).collect();
            let buffers: Vec<String> = buffers.into_iter().collect();
            cx.promises.push(Promise {
                name: "no-window-overflow".into(),
                meaning: format!("the chunk is never longer than the window (`{}`)", buffers.join("`, `")),
            });
        }
    }

    /// A chunk that is promised to fit into a window is at most as long as it, which later steps hold lengths to.
    fn windows(&self, cx: &mut PassContext, writers: &[Writer]) -> Result<(), PassError> {
        let mut rolling: Vec<(EcoString, &Expr)> = Vec::new();
        for w in writers.iter().filter(|w| w.rolling) {
            // A buffer that is replaced has a symbol for its length.
            let Some(symbol) = w.buffer.as_symbol() else { continue };
            if !rolling.iter().any(|(s, chunk)| s == symbol && **chunk == w.chunk) {
                rolling.push((symbol.into(), &w.chunk));
            }
        }
        for symbol in self.wishes.windows.keys() {
            if !rolling.iter().any(|(s, _)| s == symbol) {
                let known: Vec<&str> = rolling.iter().map(|(s, _)| s.as_str()).collect();
                let hint = crate::suggest::hint(symbol, "windows", &known);
                return Err(PassError::option(
                    format!("windows.{symbol}"),
                    format!("no buffer of this length is one that positions wrap around in; {hint}"),
                ));
            }
        }
        for (symbol, chunk) in rolling {
            let Some(&length) = self.wishes.windows.get(symbol.as_str()) else {
                cx.open_windows.push(symbol.into());
                continue;
            };
            let (least, _) = cx.facts.bounds(chunk);
            if least.is_some_and(|least| least > length) {
                return Err(PassError::option(
                    format!("windows.{symbol}"),
                    format!("the chunk is `{chunk}` long, which is more than {length}"),
                ));
            }
            match chunk.as_symbol() {
                Some(s) => cx.facts.set_max(s, length),
                None => {
                    let s = eco_format!("?chunk.{symbol}");
                    let equal = cx.facts.assert_equal(&Expr::symbol(s.clone()), chunk);
                    equal.map_err(|e| PassError::option(format!("windows.{symbol}"), e.to_string()))?;
                    cx.facts.set_max(&s, length);
                }
            }
        }
        Ok(())
    }

    /// Every reader of a written buffer reads the new rows. Who asks for its lengths asks the input, whose batch may
    /// be another one (`full_batch_size`).
    pub(super) fn replace_writers(&mut self, m: &mut Model) -> Result<(), PassError> {
        let outs = self.writers.iter().filter_map(|w| Some((m.node(w.node).output(0)?, w.data)));
        let before: FxHashMap<ValueId, ValueId> = outs.collect();
        for w in &self.writers {
            let Some(out) = m.node(w.node).output(0) else { continue };
            let mut first = w.data;
            while let Some(data) = before.get(&first) {
                first = *data;
            }
            for u in m.value(out).uses().to_vec() {
                if let Use::Node { node, .. } = u
                    && (m.node(node).is("Shape") || m.node(node).is("Size"))
                {
                    m.set_input(node, 0, Some(first));
                }
            }
            m.replace_value(out, w.updates)?;
        }
        Ok(())
    }
}
