//! Lengths that an `If` gives: one or the other, as an input of the model decides.
//!
//! A length in which the branches differ is a made-up symbol to whoever computes with it. Beside it stands here
//! what it is, where the condition is the one element of an input of the main graph, so that it can be told to
//! people, and held to a run.
//!
//! Invariant: an entry is what the branches gave when their `If` was last worked out, and holds in every run that
//! reaches it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use onnx_pass_ir::sym::{Expr, QuotedName};
use onnx_pass_ir::{DataType, Def, EcoString, GraphId, Model, NodeId, ValueId};
use rustc_hash::FxHashSet;

use super::driver::Walk;
use super::{Analysis, Fact, is_made_up};

/// A condition further from its input is not followed.
const MAX_MOVES: usize = 64;
/// A length that more inputs decide is not told: it is twice as long with each.
const MAX_DECIDERS: usize = 4;
/// A length in which more symbols stand for others is not told.
const MAX_STEPS: usize = 64;
/// Nor is one that takes more room to write than a person would read.
const MAX_LENGTH: usize = 128;

/// A length that is one of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alternative {
    /// The input of the main graph whose one element decides.
    pub input: ValueId,
    /// The length where that element is true, or a number that is not zero.
    pub then: Expr,
    /// The length where it is not.
    pub other: Expr,
}

/// A length with what decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// One expression in every run.
    Always(Expr),
    /// One or the other.
    If {
        /// The input of the main graph whose one element decides.
        input: ValueId,
        /// The length where that element is true, or a number that is not zero.
        then: Box<Told>,
        /// The length where it is not.
        other: Box<Told>,
    },
}

impl Told {
    /// Every expression that the length may be.
    pub fn expressions(&self) -> Vec<&Expr> {
        match self {
            Told::Always(e) => vec![e],
            Told::If { then, other, .. } => [then.expressions(), other.expressions()].concat(),
        }
    }

    /// The first symbol in it that the analysis made up, and that nothing tells.
    pub fn made_up(&self) -> Option<EcoString> {
        self.expressions().into_iter().flat_map(Expr::symbols).find(|s| is_made_up(s))
    }

    /// The length as text: an expression, or `if(INPUT, THEN, OTHER)` with further ones inside. The name of the
    /// input stands between backquotes unless it is an identifier.
    pub fn text(&self, model: &Model) -> String {
        let mut out = String::new();
        self.write(model, &mut out);
        out
    }

    fn write(&self, model: &Model, out: &mut String) {
        match self {
            // Writing to a string does not fail.
            Told::Always(e) => drop(write!(out, "{e}")),
            Told::If { input, then, other } => {
                let _ = write!(out, "if({}, ", QuotedName(model.name(*input)));
                then.write(model, out);
                out.push_str(", ");
                other.write(model, out);
                out.push(')');
            }
        }
    }
}

impl Analysis {
    /// A length or an element in terms of the model's inputs, as far as it is known: what an `If` gives is told
    /// by the input that decides.
    pub fn told(&self, model: &Model, e: &Expr) -> Told {
        if !e.any_symbol(&mut |s| self.alternatives.contains_key(s)) {
            return Told::Always(e.clone());
        }
        let mut told = Telling { a: self, model, decided: BTreeMap::new(), steps: 0 };
        told.tell(e.clone(), &FxHashSet::default()).unwrap_or_else(|| Told::Always(e.clone()))
    }
}

/// One length that is being told.
struct Telling<'a> {
    a: &'a Analysis,
    model: &'a Model,
    /// What the conditions around are.
    decided: BTreeMap<ValueId, bool>,
    steps: usize,
}

impl Telling<'_> {
    /// `None` when it would be too long. A symbol that stands for itself in the end is not told.
    fn tell(&mut self, mut e: Expr, used: &FxHashSet<EcoString>) -> Option<Told> {
        let mut used = used.clone();
        loop {
            let symbols = e.symbols();
            let next = symbols.into_iter().filter(|s| !used.contains(s));
            let next = next.filter_map(|s| self.a.alternatives.get(&s).map(|x| (s, x)));
            let Some((symbol, x)) = next.into_iter().find(|(_, x)| is_input(self.model, x.input)) else {
                return Some(Told::Always(self.a.symbols.simplify(&e)));
            };
            self.steps += 1;
            if self.steps > MAX_STEPS || e.length().max(x.then.length()).max(x.other.length()) > MAX_LENGTH {
                return None;
            }
            let Some(decided) = self.decided.get(&x.input) else {
                if self.decided.len() == MAX_DECIDERS {
                    return None;
                }
                let mut way = |taken| {
                    self.decided.insert(x.input, taken);
                    let told = self.tell(e.clone(), &used);
                    self.decided.remove(&x.input);
                    told.map(Box::new)
                };
                let (then, other) = (way(true)?, way(false)?);
                return Some(if then == other { *then } else { Told::If { input: x.input, then, other } });
            };
            let value = if *decided { &x.then } else { &x.other };
            e = e.substitute(&|s| (s == symbol).then(|| value.clone()));
            used.insert(symbol);
        }
    }
}

/// Whether a value is an input of the main graph, as the model stands now.
fn is_input(model: &Model, v: ValueId) -> bool {
    v.index() < model.value_capacity()
        && model.value(v).def() == Def::Input
        && model.value(v).graph() == model.main()
}

impl Walk<'_, '_> {
    /// Records what the lengths of a node's outputs are: of an `If` that may go both ways the symbols that were
    /// made up where these differ. What was recorded of the node before goes.
    pub(super) fn note_alternatives(&mut self, id: NodeId, ways: Option<[&[Fact]; 2]>, out: &[Fact]) {
        if ways.is_none() && self.a.alternatives.is_empty() {
            return;
        }
        let ways = ways.and_then(|[then, other]| {
            let (input, same) = self.decider(self.model.node(id).input(0)?)?;
            Some(if same { (input, then, other) } else { (input, other, then) })
        });
        for (k, value) in self.model.node(id).outputs().iter().enumerate() {
            let Some(value) = *value else { continue };
            let rank = |f: Option<&Fact>| f.and_then(Fact::rank).unwrap_or(0);
            for axis in 0..rank(out.get(k)).max(rank(Some(self.a.fact(value)))) {
                let symbol = self.fresh(id, k, axis);
                let Some(name) = symbol.as_symbol() else { continue };
                let at = |facts: &[Fact]| facts.get(k)?.shape.as_ref()?.get(axis).cloned();
                let ways = ways.filter(|_| at(out).as_ref() == Some(&symbol));
                let entry = ways.and_then(|(input, then, other)| {
                    Some(Alternative { input, then: at(then)?, other: at(other)? })
                });
                match entry {
                    Some(entry) => drop(self.a.alternatives.insert(name.into(), entry)),
                    None => drop(self.a.alternatives.remove(name)),
                }
            }
        }
    }

    /// The input of the main graph whose one element is this condition, and whether it is true where that is.
    fn decider(&self, condition: ValueId) -> Option<(ValueId, bool)> {
        let (mut at, mut same, mut calls) = (condition, true, self.callers.as_slice());
        for _ in 0..MAX_MOVES {
            let value = self.model.value(at);
            if let Def::Node { node, .. } = value.def() {
                at = self.moved(node, at)?;
                same ^= self.model.node(node).is("Not");
                continue;
            }
            if is_input(self.model, at) {
                let one = self.a.shape(at)?.iter().all(Expr::is_one);
                let kind = self.a.dtype(at).is_some_and(decides);
                return (one && kind).then_some((at, same));
            }
            // What a function is given stands at its call.
            let (call, outer) = calls.split_last()?;
            let body = self.model.callee(*call).map(|f| self.model.function(f).graph())?;
            at = self.argument(*call, body, at)?;
            calls = outer;
        }
        None
    }

    fn argument(&self, call: NodeId, body: GraphId, param: ValueId) -> Option<ValueId> {
        let k = self.model.graph(body).inputs().iter().position(|p| *p == param)?;
        self.model.node(call).input(k)
    }

    /// What a node that moves one element, or makes a bool of it, gets it from.
    fn moved(&self, node: NodeId, output: ValueId) -> Option<ValueId> {
        let n = self.model.node(node);
        let from = n.input(0)?;
        let kept = match n.op_type() {
            "Identity" | "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" | "Transpose" | "Not" => true,
            // Of a number that becomes another one it may be lost whether it is zero.
            "Cast" => {
                let (old, new) = (self.a.dtype(from)?, self.a.dtype(output)?);
                old == DataType::BOOL && decides(new) || decides(old) && new == DataType::BOOL
            }
            _ => false,
        };
        (kept && n.domain().is_empty()).then_some(from)
    }
}

fn decides(dtype: DataType) -> bool {
    dtype == DataType::BOOL || dtype.is_integer()
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_pass_ir::sym::Facts;
    use onnx_pass_ir::text;

    fn model(source: &str) -> Model {
        match text::parse(source) {
            Ok(m) => m,
            Err(e) => panic!("{e}"),
        }
    }

    /// The lengths of each value that a node gives, subgraphs and functions included.
    fn told(m: &Model, a: &Analysis) -> String {
        let mut out = String::new();
        for g in m.live_graphs() {
            for v in m.nodes(g).flat_map(|(_, n)| n.outputs().iter().flatten()) {
                let dims = a.shape(*v).unwrap_or(&[]).iter().map(|e| a.told(m, e).text(m));
                out.push_str(&format!("{} {:?}\n", m.name(*v), dims.collect::<Vec<_>>()));
            }
        }
        out
    }

    fn of(source: &str) -> String {
        let m = model(source);
        told(&m, &Analysis::of(&m, &Facts::new()))
    }

    #[test]
    fn what_a_branch_gives_is_told_by_the_input_that_decides() {
        insta::assert_snapshot!(of(r#"<ir_version: 8, opset_import: ["" : 17]>
            g (float[n, 8] x, bool[1] c, int64 k) => (more, mixed) {
                y = If (c) <
                    then_branch = t () => (a) { a = Concat <axis: int = 0> (x, x) },
                    else_branch = e () => (b) { b = Relu (x) }
                >
                truth = Cast <to: int = 9> (k)
                flat = Unsqueeze (truth)
                not = Not (flat)
                z = If (not) <
                    then_branch = t () => (a) {
                        a = If (c) <
                            then_branch = tt () => (d) { d = Concat <axis: int = 1> (x, x) },
                            else_branch = te () => (e) { e = Concat <axis: int = 1> (x, x, x) }
                        >
                    },
                    else_branch = e () => (b) { b = Relu (x) }
                >
                more = Concat <axis: int = 0> (y, x)
                mixed = Concat <axis: int = 1> (z, x)
            }"#));
    }

    #[test]
    fn under_a_condition_it_is_known() {
        insta::assert_snapshot!(of(r#"<ir_version: 8, opset_import: ["" : 17]>
            g (float[n] x, bool "my `c") => (both) {
                y = If ("my `c") <
                    then_branch = t () => (a) {
                        a = If ("my `c") <
                            then_branch = tt () => (d) { d = Concat <axis: int = 0> (x, x) },
                            else_branch = te () => (e) { e = Concat <axis: int = 0> (x, x, x) }
                        >
                    },
                    else_branch = e () => (b) { b = Relu (x) }
                >
                z = If ("my `c") <
                    then_branch = t () => (a) { a = Relu (x) },
                    else_branch = e () => (b) { b = Concat <axis: int = 0> (x, x) }
                >
                both = Concat <axis: int = 0> (y, z)
            }"#));
    }

    #[test]
    fn a_function_gets_the_condition_from_its_call() {
        insta::assert_snapshot!(of(r#"<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
            g (float[n] x, bool c, bool d) => (first, second) {
                first = local.outer (x, c)
                other = Not (d)
                second = local.outer (first, other)
            }
            <domain: "local", opset_import: ["" : 17, "local" : 1]>
            outer (v, c) => (r) { same = Identity (c) r = local.inner (same, v) }
            <domain: "local", opset_import: ["" : 17]>
            inner (c, v) => (r) {
                r = If (c) <
                    then_branch = t () => (a) { a = Concat <axis: int = 0> (v, v) },
                    else_branch = e () => (b) { b = Relu (v) }
                >
            }"#));
    }

    /// What grows from turn to turn is told neither in the loop nor behind it.
    #[test]
    fn a_loop_keeps_no_turn() {
        insta::assert_snapshot!(of(r#"<ir_version: 8, opset_import: ["" : 17]>
            g (int64 count, float[n] x, bool c) => (grown, stacked) {
                go = Constant <value: tensor = bool {1}> ()
                grown, stacked = Loop (count, go, x) <
                    body = b (int64 i, bool go_on, float[m] r) => (bool on, float[k] more, float[l] row) {
                        on = Identity (go_on)
                        more = If (c) <
                            then_branch = t () => (a) { a = Concat <axis: int = 0> (r, x) },
                            else_branch = e () => (b2) { b2 = Relu (r) }
                        >
                        row = If (c) <
                            then_branch = t2 () => (a) { a = Concat <axis: int = 0> (x, x) },
                            else_branch = e2 () => (b2) { b2 = Relu (x) }
                        >
                    }
                >
            }"#));
    }

    /// Each length is the square of the one before, under another condition.
    #[test]
    fn what_nobody_would_read_is_not_told() {
        let mut body = String::new();
        for k in 0..24 {
            let (from, next) = (if k == 0 { "x".into() } else { format!("y{k}") }, k + 1);
            body.push_str(&format!(
                "row{k} = Unsqueeze ({from}, zero) column{k} = Unsqueeze ({from}, one)
                y{next} = If (c{}) <
                    then_branch = t () => (a) {{ s = Mul (row{k}, column{k}) r = Reshape (s, all) a = Concat <axis: int = 0> (r, x, {from}) }},
                    else_branch = e () => (b) {{ b = Concat <axis: int = 0> ({from}, x, x) }}
                >\n",
                k % 4
            ));
        }
        let m = model(&format!(
            r#"<ir_version: 8, opset_import: ["" : 17]>
            g (float[n] x, bool c0, bool c1, bool c2, bool c3) => (y24) <int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] all = {{-1}}> {{
                {body}
            }}"#
        ));
        let a = Analysis::of(&m, &Facts::new());
        let text = told(&m, &a);
        assert!(text.contains("if(c0, "), "the first ones are told");
        assert!(text.lines().all(|line| line.len() < 8192), "the last ones are not");
    }

    #[test]
    fn what_no_input_decides_is_not_told() {
        let cases = [
            // Two elements; a number that loses what is not zero; a value that is computed; a branch's own length.
            ("bool[2] c", "same = Identity (c)", "b = Relu (x)"),
            ("float c", "whole = Cast <to: int = 6> (c) same = Cast <to: int = 9> (whole)", "b = Relu (x)"),
            ("bool c", "same = And (c, c)", "b = Relu (x)"),
            ("bool c", "same = Identity (c)", "i = NonZero (x) j = Transpose (i) b = Squeeze (j, one)"),
        ];
        for (input, condition, other) in cases {
            let source = format!(
                r#"<ir_version: 8, opset_import: ["" : 17]>
                g (float[n] x, {input}) => (y) {{
                    one = Constant <value_ints: ints = [1]> ()
                    {condition}
                    y = If (same) <
                        then_branch = t () => (a) {{ a = Concat <axis: int = 0> (x, x) }},
                        else_branch = e () => (b) {{ {other} }}
                    >
                }}"#
            );
            let m = model(&source);
            let a = Analysis::of(&m, &Facts::new());
            let y = m.graph(m.main()).outputs()[0].value();
            let dims = a.shape(y).unwrap_or(&[]);
            assert_eq!(dims.len(), 1, "{source}");
            assert!(a.told(&m, &dims[0]).made_up().is_some(), "{source}");
        }
    }

    /// As the model stands after each edit: another branch, another condition, a known one.
    #[test]
    fn an_update_tells_the_node_anew() -> onnx_pass_ir::Result<()> {
        let mut m = model(
            r#"<ir_version: 8, opset_import: ["" : 17]>
            g (float[n] x, bool c, bool d) => (y) {
                y = If (c) <
                    then_branch = t () => (a) { a = Concat <axis: int = 0> (x, x) },
                    else_branch = e () => (b) { b = Relu (x) }
                >
            }"#,
        );
        let mut a = Analysis::of(&m, &Facts::new());
        let inputs = m.graph(m.main()).inputs().to_vec();
        let (node, body) = m.nodes(m.main()).map(|(id, n)| (id, n.subgraphs().next())).next().unzip();
        let (Some(node), Some(body)) = (node, body.flatten()) else { panic!("the model has an `If`") };
        let y = m.graph(m.main()).outputs()[0].value();
        let text = |m: &Model, a: &Analysis| a.shape(y).map(|s| a.told(m, &s[0]).text(m));
        assert_eq!(text(&m, &a).as_deref(), Some("if(c, 2*n, n)"));
        let concat = m.node_ids(body)[0];
        m.set_inputs(concat, &[Some(inputs[0]); 3]);
        m.set_input(node, 0, Some(inputs[2]));
        a.update(&m, node);
        assert_eq!(text(&m, &a).as_deref(), Some("if(d, 3*n, n)"));
        m.bind_input(inputs[2], onnx_pass_ir::Tensor::from_raw(DataType::BOOL, &[], vec![0])?.shared())?;
        a.update_source(&m, inputs[2]);
        assert_eq!(text(&m, &a).as_deref(), Some("?y.0"), "the condition is an input no more");
        a.update(&m, node);
        assert_eq!(text(&m, &a).as_deref(), Some("n"));
        assert!(a.alternatives.is_empty());
        Ok(())
    }
}
