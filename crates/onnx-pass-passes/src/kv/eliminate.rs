//! Taking the caches out.

use std::collections::BTreeSet;

use ecow::{EcoString, eco_format};
use indexmap::IndexMap;
use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{
    DataType, Def, Dim, Model, NewNode, NodeId, Place, Tensor, TensorData, Type, Use, ValueId,
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::discover::{self, Cache, Form, Found};
use super::fixed::{self, Writer};
use super::{checks, lengths, readers, stateful};
use crate::analysis::{Analysis, is_made_up};
use crate::fold;
use crate::pass::{PassContext, PassError, Promise};
use crate::passes::eliminate_kv_cache::{lengths as growing_lengths, row};

/// What the user says beside which caches are meant.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Promises about the inputs.
    pub assume: FxHashSet<String>,
    /// The lengths of rolling buffers, by their symbols.
    pub windows: IndexMap<String, i64>,
    /// Whether the outputs that carry the caches on stay.
    pub keep_present: bool,
}

/// One run of the pass.
pub struct Elimination {
    caches: Vec<Cache>,
    wishes: Wishes,
    writers: Vec<Writer>,
    /// Symbols that the caches' declarations had before.
    symbols: BTreeSet<EcoString>,
    /// What was done with each cache, by input.
    done: FxHashMap<ValueId, String>,
    /// Types and shapes of the caches' inputs, as the model came.
    shapes: FxHashMap<ValueId, (DataType, Vec<Expr>)>,
    /// What was known before anything was taken out.
    before: Analysis,
}

impl Elimination {
    /// A run over these caches.
    pub fn new(found: Found, wishes: Wishes) -> Self {
        Elimination {
            caches: found.caches,
            wishes,
            writers: Vec::new(),
            symbols: BTreeSet::new(),
            done: FxHashMap::default(),
            shapes: FxHashMap::default(),
            before: Analysis::default(),
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// A refusal, naming the cache and the node.
    pub fn run(mut self, m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
        self.symbols = cache_symbols(m, &self.caches);
        // Inlining and dropping outputs changes names; the report has those that the user knows.
        let named = m.graph(m.main()).outputs().iter().map(|o| (o.value(), m.name(o.value()).to_owned()));
        let named: FxHashMap<ValueId, String> = named.collect();
        self.declared_presents(m, cx);
        self.bind_selector(m, cx)?;
        let rows_before = self.caches.clone();
        self.plan_buffers(m, cx)?;
        let facts = cx.facts.clone();
        checks::updates_fix_nothing(m, cx.analysis(m), &facts, &self.caches)?;
        self.remember_shapes(m, cx);
        self.drop_presents(m);
        self.leave_out_operands(m)?;
        self.replace_writers(m)?;
        self.set_lengths(m, cx)?;
        readers::rewrite(m, cx, &self.writers, &self.inputs())?;
        fold::simplify(m, cx)?;
        self.replace_inputs(m, cx)?;
        fold::simplify(m, cx)?;
        self.check_lengths(m, cx)?;
        self.redeclare(m, cx)?;
        for c in &rows_before {
            let done = self.done.get(&c.input).cloned().unwrap_or_else(|| match &c.form {
                Form::Growing { length, .. } => format!("empty: `{length}` is 0"),
                _ => "nothing read it".into(),
            });
            cx.rows.push(row(m, c, &named, &done));
        }
        cx.count("caches", rows_before.len() as u64);
        Ok(())
    }

    fn inputs(&self) -> Vec<ValueId> {
        self.caches.iter().map(|c| c.input).collect()
    }

    /// Where a present is declared with a plain symbol and computed as past + chunk, the symbol is the chunk's
    /// length once the past is empty: the exporter's own word for it.
    fn declared_presents(&self, m: &mut Model, cx: &mut PassContext) {
        let a = cx.analysis(m);
        let mut equal: Vec<(EcoString, Expr)> = Vec::new();
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
                    if plain && !equal.iter().any(|(t, _)| *t == s) {
                        equal.push((s, at_empty));
                    }
                }
            }
        }
        let inputs = lengths::input_symbols(m);
        for (symbol, e) in equal {
            if !inputs.contains(&symbol) || e.is_const() || e.mentions(&symbol) {
                continue;
            }
            cx.note("", format!("`{symbol}` is `{e}` now that the past is empty"));
            lengths::substitute(m, &|s| (s == symbol).then(|| e.clone()));
        }
    }

    /// Chooses the branch without a past.
    fn bind_selector(&mut self, m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
        let inputs: FxHashSet<ValueId> = self.inputs().into_iter().collect();
        let Some(chosen) = discover::selector(m, &inputs) else { return Ok(()) };
        let more = discover::only_in_branch(m, cx.analysis(m), &chosen, &self.caches);
        for c in &more {
            if let Some(node) = discover::read_around(m, &chosen, c.input) {
                return Err(PassError::refused_with(
                    format!("cache `{}`", m.name(c.input)),
                    format!(
                        "{} reads it in either case, and the branch without a past does not",
                        m.describe(node)
                    ),
                    "choose the branch with `bind-inputs` first, which keeps this input",
                ));
            }
        }
        self.caches.extend(more);
        self.symbols.extend(cache_symbols(m, &self.caches));
        let (selector, value) = (chosen.input, chosen.value);
        let name = m.name(selector).to_string();
        let fact = cx.analysis(m).fact(selector).clone();
        let dims = fact.const_shape().ok_or_else(|| {
            PassError::refused(format!("input `{name}`"), "chooses the branch, and its shape is not known")
        })?;
        let Some(dtype) = fact.dtype else {
            return Err(PassError::refused(format!("input `{name}`"), "chooses the branch, and has no type"));
        };
        let count = usize::try_from(dims.iter().product::<i64>()).unwrap_or(0);
        let tensor = Tensor::integers(dtype, &dims, &vec![i64::from(value); count])?;
        m.bind_input(selector, tensor.shared())?;
        self.drop_presents(m);
        fold::simplify(m, cx)?;
        cx.note("", format!("`{name}` was bound to {value}: the branch without a past"));
        for c in &self.caches {
            if m.is_unused(c.input) {
                self.done.insert(c.input, format!("branch without a past taken (`{name}` = {value})"));
            }
        }
        // What is still read is looked at again, as it stands now.
        let still: Vec<ValueId> = self.inputs().into_iter().filter(|v| !m.is_unused(*v)).collect();
        if !still.is_empty() {
            return Err(PassError::refused_with(
                format!("cache `{}`", m.name(still[0])),
                format!("it is still read after `{name}` was bound to {value}"),
                "keep it, or choose the branch with `bind-inputs` first",
            ));
        }
        Ok(())
    }

    fn remember_shapes(&mut self, m: &Model, cx: &mut PassContext) {
        let inputs = self.inputs();
        let a = cx.analysis(m);
        let known = inputs.iter().filter_map(|v| Some((*v, (a.dtype(*v)?, a.shape(*v)?.to_vec()))));
        self.shapes = known.collect();
        self.before = a.clone();
    }

    fn drop_presents(&self, m: &mut Model) {
        if self.wishes.keep_present {
            return;
        }
        let outputs: FxHashSet<ValueId> =
            self.caches.iter().flat_map(|c| c.outputs.iter().copied()).collect();
        let main = m.main();
        for k in (0..m.graph(main).outputs().len()).rev() {
            if outputs.contains(&m.graph(main).outputs()[k].value()) {
                m.remove_output(main, k);
            }
        }
    }

    /// Analyses the writers of buffers whose lengths are symbols; buffers of known length become zeros.
    fn plan_buffers(&mut self, m: &Model, cx: &mut PassContext) -> Result<(), PassError> {
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

    /// Leaves the past operands of attention and state operators out.
    fn leave_out_operands(&mut self, m: &mut Model) -> Result<(), PassError> {
        let inputs: FxHashSet<ValueId> = self.inputs().into_iter().collect();
        let nodes: BTreeSet<NodeId> = self.caches.iter().flat_map(|c| c.updates.iter().copied()).collect();
        for node in nodes {
            if !m.is_live_node(node) {
                continue;
            }
            let states = stateful::states(m.node(node));
            let windowed = stateful::windowed(m.node(node));
            let given: Vec<_> = states.iter().filter(|s| m.node(node).input(s.past).is_some()).collect();
            let ours = |v: ValueId| inputs.contains(&checks::root(m, v));
            let all = given.iter().all(|s| m.node(node).input(s.past).is_some_and(ours));
            if given.is_empty() {
                continue;
            }
            if !all {
                return Err(PassError::refused(
                    m.describe(node),
                    "takes one past that is among the caches and one that is not",
                ));
            }
            if windowed && self.wishes.keep_present {
                return Err(PassError::refused_with(
                    m.describe(node),
                    "its present is a buffer that is as long as its past, and the past goes",
                    "leave `present: keep` out, or keep this cache",
                ));
            }
            for s in given {
                if let Some(v) = m.node(node).input(s.past) {
                    self.done.insert(
                        checks::root(m, v),
                        format!("past operand of {} left out", m.node(node).op_type()),
                    );
                }
                m.set_input(node, s.past, None);
            }
            trim_inputs(m, node);
            if windowed {
                // It tells where rows are kept, and none are.
                m.remove_attribute(node, stateful::WINDOWED);
            }
            if self.wishes.keep_present {
                continue;
            }
            // Key and value go together or not at all: the operators have both or neither.
            let read = |s: &stateful::State| m.node(node).output(s.present).is_some_and(|v| !m.is_unused(v));
            if states.iter().any(read) || !stateful::present_is_optional(m.node(node)) {
                continue;
            }
            for s in states.iter().filter(|s| m.node(node).output(s.present).is_some()).collect::<Vec<_>>() {
                m.drop_result(node, s.present)?;
            }
        }
        Ok(())
    }

    /// Every reader of a written buffer reads the new rows. Who asks for its lengths asks the input, whose batch may
    /// be another one (`full_batch_size`).
    fn replace_writers(&mut self, m: &mut Model) -> Result<(), PassError> {
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

    /// Puts the lengths of empty caches into every declaration.
    fn set_lengths(&mut self, m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
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
                m.set_type(v, Type::tensor(*dtype, Some(told.iter().map(Dim::from_expr).collect())));
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
        caches: &[ValueId],
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

    /// Reads of a cache that are left get an empty tensor, or zeros; then the input goes.
    fn replace_inputs(&mut self, m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
        let a = cx.take_analysis(m);
        let inputs: Vec<ValueId> = self.inputs().into_iter().filter(|v| m.is_live_value(*v)).collect();
        let mut dims = lengths::Dims::new(&a, &inputs);
        for &v in &inputs {
            if !m.is_unused(v) {
                self.stand_in(m, &mut dims, v)?;
            }
            m.remove_input(v)?;
        }
        for (length, from) in &dims.reads {
            cx.note(
                format!("input `{}`", m.name(*from)),
                format!("`{length}` was read from a cache and is read from here"),
            );
        }
        Ok(())
    }

    fn stand_in(&mut self, m: &mut Model, dims: &mut lengths::Dims<'_>, v: ValueId) -> Result<(), PassError> {
        let name = m.name(v).to_string();
        let refuse = |what: &str, reader: &str| {
            PassError::refused_with(
                format!("cache `{name}`"),
                format!("{reader} reads it, and {what}"),
                "bind that length first (`prune-dynamic-axes`)",
            )
        };
        let reader = m.value(v).uses().iter().find_map(|u| match u {
            Use::Node { node, .. } => Some(m.describe(*node)),
            Use::Output { .. } => None,
        });
        let reader = reader.unwrap_or_else(|| "an output".into());
        let (Some(shape), Some(dtype)) =
            (dims.analysis.shape(v).map(<[Expr]>::to_vec), dims.analysis.dtype(v))
        else {
            return Err(refuse("its shape is not known", &reader));
        };
        let lost = || {
            let unknown: Vec<String> = shape
                .iter()
                .filter(|d| !d.is_const() && lengths::source(m, dims.analysis, d, dims.except).is_none())
                .map(|d| format!("`{d}`"))
                .collect();
            format!("no input that stays tells its length {}", unknown.join(", "))
        };
        let lost = lost();
        let shapes: Vec<NodeId> = m
            .value(v)
            .uses()
            .iter()
            .filter_map(|u| match *u {
                Use::Node { node, .. } if m.node(node).is("Shape") => Some(node),
                _ => None,
            })
            .collect();
        for s in shapes {
            self.read_parts(m, dims, s)?;
            if !m.is_live_node(s) {
                continue;
            }
            let n = m.node(s);
            let rank = shape.len() as i64;
            let clamp = |x: i64| (if x < 0 { x + rank } else { x }).clamp(0, rank) as usize;
            let (start, end) = (clamp(n.int("start").unwrap_or(0)), clamp(n.int("end").unwrap_or(rank)));
            let Some(old) = n.output(0) else { continue };
            let part = shape.get(start..end.max(start)).unwrap_or(&[]);
            let told = dims.vector(m, part).ok_or_else(|| refuse(&lost, &reader))?;
            m.replace_value(old, told)?;
            m.remove_node(s)?;
        }
        if m.is_unused(v) {
            return Ok(());
        }
        let zeros = dims.zeros(m, dtype, &shape, &name).ok_or_else(|| refuse(&lost, &reader))?;
        self.done.entry(v).or_insert_with(|| "zeros inside the graph".into());
        m.replace_uses(v, zeros);
        let outputs: Vec<(onnx_pass_ir::GraphId, u32)> = (m.value(v).uses().iter())
            .filter_map(|u| match *u {
                Use::Output { graph, index } => Some((graph, index)),
                Use::Node { .. } => None,
            })
            .collect();
        for (graph, index) in outputs {
            let node = m.add_node(Place::End(graph), NewNode::new("Identity", &[zeros], "empty"));
            if let Some(o) = m.node(node).output(0) {
                m.set_output(graph, index as usize, o);
            }
        }
        Ok(())
    }

    /// What is taken out of a cache's shape, piece by piece, is read from where it can be: a piece may be told by
    /// an input that stays where the whole is not.
    fn read_parts(
        &self,
        m: &mut Model,
        dims: &mut lengths::Dims<'_>,
        shape: NodeId,
    ) -> Result<(), PassError> {
        let Some(out) = m.node(shape).output(0) else { return Ok(()) };
        for u in m.value(out).uses().to_vec() {
            let Use::Node { node, .. } = u else { continue };
            let Some(part) = m.node(node).output(0).filter(|_| m.node(node).outputs().len() == 1) else {
                continue;
            };
            let fact = dims.analysis.fact(part);
            let known: Option<Vec<Expr>> = fact.items.as_ref().and_then(|i| i.iter().cloned().collect());
            let (Some(items), Some(rank), Some(onnx_pass_ir::DataType::INT64)) =
                (known, fact.rank(), fact.dtype)
            else {
                continue;
            };
            let told = match (rank, items.as_slice()) {
                (0, [one]) => dims.scalar(m, one),
                (1, items) => dims.vector(m, items),
                _ => None,
            };
            if let Some(told) = told {
                m.replace_value(part, told)?;
                if m.node(node).outputs().iter().flatten().all(|v| m.is_unused(*v)) {
                    m.remove_node(node)?;
                }
            }
        }
        if m.is_unused(out) {
            m.remove_node(shape)?;
        }
        Ok(())
    }

    /// With an empty cache the model must still run at every length that it ran at before.
    fn check_lengths(&self, m: &Model, cx: &mut PassContext) -> Result<(), PassError> {
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
    fn redeclare(&self, m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
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
                let is_output = m.value(v).uses().iter().any(|u| matches!(u, Use::Output { .. }));
                if !is_output && new.dims().is_some_and(|d| d.contains(&Dim::Unknown)) {
                    stale.push(v);
                } else {
                    m.set_type(v, new);
                }
            }
            stale.into_iter().for_each(|v| m.clear_value_info(v));
            m.drop_stale_value_info(g);
        }
        Ok(())
    }
}

fn trim_inputs(m: &mut Model, node: NodeId) {
    let keep = m.node(node).inputs().iter().rposition(Option::is_some).map_or(0, |k| k + 1);
    m.truncate_inputs(node, keep);
}

/// Every symbol in the declarations of the caches' inputs and outputs.
fn cache_symbols(m: &Model, caches: &[Cache]) -> BTreeSet<EcoString> {
    let values = caches.iter().flat_map(|c| c.outputs.iter().copied().chain([c.input]));
    let dims = values.filter_map(|v| m.declared_type(v)?.dims());
    dims.flatten().filter_map(Dim::to_expr).flat_map(|e| e.symbols()).collect()
}

/// A scalar of zero.
pub(crate) fn zero(dtype: onnx_pass_ir::DataType) -> Option<Tensor> {
    let bytes = dtype.byte_len(1)?;
    Some(Tensor::with_data(dtype, &[], TensorData::Raw(vec![0u8; bytes].into())))
}
