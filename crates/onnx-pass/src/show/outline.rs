//! The tree of scopes, repeated layers folded.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use onnx_pass_ir::{Model, NodeId};

use crate::report;
use crate::structure::scope::{self, ranges};
use crate::structure::{all_nodes, function_of};
use crate::terminal::escape;

/// The most lines of a tree; a larger one is cut at a smaller depth.
const MOST_LINES: usize = 48;

pub(super) fn outline(m: &Model) -> String {
    let mut root = Scope::default();
    for id in all_nodes(m) {
        root.add(&path(m, id), m, id);
    }
    let mut lines = Vec::new();
    for depth in (1..=8).rev() {
        lines = root.lines(depth);
        if lines.len() <= MOST_LINES {
            break;
        }
    }
    lines.into_iter().map(|l| escape(&l).into_owned() + "\n").collect()
}

/// The scope of a node, with the function or the branches that it stands in before it.
pub(crate) fn path(m: &Model, id: NodeId) -> Vec<String> {
    let mut path = Vec::new();
    let mut graph = m.node(id).graph();
    path.extend(function_of(m, graph).map(|f| format!("function {f}")));
    let at = path.len();
    // Bounded by the nesting of graphs.
    while let onnx_pass_ir::GraphOwner::Node(n) = m.graph(graph).owner() {
        let node = m.node(n);
        let held = node.attributes().iter().find(|a| a.value.graphs().contains(&graph));
        let attribute = held.map_or("", |a| a.name.as_str());
        let name = if node.name().is_empty() { node.op_type() } else { node.name() };
        path.insert(at, format!("{attribute} of {}", name.rsplit('/').next().unwrap_or(name)));
        graph = node.graph();
    }
    path.extend(scope::of(m, id));
    path
}

#[derive(Default)]
struct Scope {
    /// Operators and how often, by first appearance; weights that they read with their types.
    ops: IndexMap<String, usize>,
    children: IndexMap<String, Scope>,
}

impl Scope {
    fn add(&mut self, path: &[String], m: &Model, id: NodeId) {
        let mut at = self;
        for part in path {
            at = at.children.entry(part.clone()).or_default();
        }
        *at.ops.entry(described(m, id)).or_default() += 1;
    }

    /// The operators of this scope and of all below it.
    fn gathered(&self) -> IndexMap<String, usize> {
        let mut all = self.ops.clone();
        let mut open: Vec<&Scope> = self.children.values().rev().collect();
        while let Some(s) = open.pop() {
            for (op, n) in &s.ops {
                *all.entry(op.clone()).or_default() += n;
            }
            open.extend(s.children.values().rev());
        }
        all
    }

    /// The operators of each scope down to `depth`, by its path from here; deeper ones count with theirs.
    fn flat(&self, depth: usize) -> Flat {
        let mut out = Flat::new();
        let mut open = vec![(String::new(), self, depth)];
        while let Some((path, scope, depth)) = open.pop() {
            let ops = if depth == 0 { scope.gathered() } else { scope.ops.clone() };
            for (op, n) in ops {
                *out.entry(path.clone()).or_default().entry(op).or_default() += n;
            }
            if depth > 0 {
                let below =
                    |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
                open.extend(scope.children.iter().map(|(name, child)| (below(name), child, depth - 1)));
            }
        }
        out
    }

    /// The lines below this scope's own, down to `depth`.
    fn lines(&self, depth: usize) -> Vec<String> {
        let mut out = Vec::new();
        if !self.ops.is_empty() || (depth == 0 && !self.children.is_empty()) {
            let ops = if depth == 0 { self.gathered() } else { self.ops.clone() };
            out.push(listed(&ops));
        }
        if depth == 0 {
            return out;
        }
        for family in families(&self.children) {
            family_lines(&family, depth, &mut out);
        }
        out
    }
}

/// Scopes by path, each with its operators and how often.
type Flat = BTreeMap<String, BTreeMap<String, usize>>;

/// An operator with the weights that it reads: `MatMul float[64, 64]`.
fn described(m: &Model, id: NodeId) -> String {
    let n = m.node(id);
    let mut text = n.op_type().to_owned();
    for v in n.inputs().iter().flatten() {
        if let Some(t) = m.value(*v).initializer().filter(|t| t.len().is_ok_and(|n| n > 16)) {
            let dims: Vec<String> =
                t.dims.iter().map(|d| report::dim(&onnx_pass_ir::Dim::Known(*d))).collect();
            text.push_str(&format!(" {}[{}]", t.dtype, dims.join(", ")));
        }
    }
    text
}

/// `MatMul float[64, 64], 3 Add, Mul`; the many kinds of a large scope are cut short.
fn listed(ops: &IndexMap<String, usize>) -> String {
    const MOST: usize = 100;
    let mut line = String::new();
    for (i, (op, n)) in ops.iter().enumerate() {
        let word = if *n == 1 { op.clone() } else { format!("{n} {op}") };
        if i > 0 && line.len() + word.len() > MOST {
            let left: usize = ops.values().skip(i).sum();
            line.push_str(&format!(", {left} more"));
            break;
        }
        if i > 0 {
            line.push_str(", ");
        }
        line.push_str(&word);
    }
    line
}

/// Children whose names differ by a number alone, together; by first appearance.
fn families(children: &IndexMap<String, Scope>) -> Vec<Vec<(&str, &Scope)>> {
    let mut out: IndexMap<(&str, &str), Vec<(&str, &Scope)>> = IndexMap::new();
    for (name, child) in children {
        let key = scope::numbered(name).map_or((name.as_str(), "\0"), |(before, _, after)| (before, after));
        out.entry(key).or_default().push((name, child));
    }
    out.into_values().collect()
}

/// The members of a family: those that are alike once, and what differs in the others.
fn family_lines(family: &[(&str, &Scope)], depth: usize, out: &mut Vec<String>) {
    let mut kinds: IndexMap<Flat, Vec<(&str, &Scope)>> = IndexMap::new();
    for (name, child) in family {
        kinds.entry(child.flat(depth - 1)).or_default().push((name, child));
    }
    // The first of the most frequent ones.
    let common = kinds.iter().rev().max_by_key(|(_, members)| members.len());
    let Some((common, model)) = common.and_then(|(flat, m)| Some((flat, m.first()?.0))) else { return };
    for (flat, members) in &kinds {
        let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        let title = together(&names);
        let (minus, plus) = (beyond(common, flat), beyond(flat, common));
        if flat != common && 2 * (count(&minus) + count(&plus)) < count(flat) {
            out.push(format!("{title}: as {model}, but"));
            for (sign, ops) in [('-', minus), ('+', plus)] {
                out.extend(ops.iter().map(|(path, ops)| match path.as_str() {
                    "" => format!("  {sign} {}", listed(ops)),
                    path => format!("  {sign} {path}: {}", listed(ops)),
                }));
            }
            continue;
        }
        let lines = members.first().map(|(_, scope)| scope.lines(depth - 1)).unwrap_or_default();
        if let [line] = lines.as_slice() {
            out.push(format!("{title}: {}", line.trim_start()));
        } else {
            out.push(title);
            out.extend(lines.iter().map(|l| format!("  {l}")));
        }
    }
}

/// The operators that `a` has more of than `b`, by scope.
fn beyond(a: &Flat, b: &Flat) -> IndexMap<String, IndexMap<String, usize>> {
    let none = BTreeMap::new();
    let scopes = a.iter().map(|(path, ops)| {
        let others = b.get(path).unwrap_or(&none);
        let more = |(op, n): (&String, &usize)| {
            let left = n.saturating_sub(others.get(op).copied().unwrap_or(0));
            (left > 0).then(|| (op.clone(), left))
        };
        (path.clone(), ops.iter().filter_map(more).collect::<IndexMap<_, _>>())
    });
    scopes.filter(|(_, ops)| !ops.is_empty()).collect()
}

/// How many operators there are.
fn count<'f, S: 'f>(scopes: impl IntoIterator<Item = (&'f String, &'f S)>) -> usize
where
    &'f S: IntoIterator<Item = (&'f String, &'f usize)>,
{
    scopes.into_iter().flat_map(|(_, ops)| ops).map(|(_, n)| n).sum()
}

/// `layers.0 … layers.27 (28 identical)`.
fn together(names: &[&str]) -> String {
    let numbers: Vec<u64> = names.iter().filter_map(|n| scope::numbered(n)).map(|(_, n, _)| n).collect();
    match (names, scope::numbered(names.first().copied().unwrap_or(""))) {
        ([one], _) => (*one).to_owned(),
        (_, Some((before, _, after))) => {
            format!("{before}{{{}}}{after} ({} identical)", ranges(&numbers), names.len())
        }
        _ => names.join(", "),
    }
}
