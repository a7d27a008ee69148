//! Random graphs that compute with the lengths of their inputs, as text.
//!
//! A step names an operator and, by index, what it reads of what is there; one that finds nothing to read adds no
//! node. So any list of steps is a graph, and taking steps away makes a smaller one.

use std::collections::HashSet;

use onnx_pass_ir::DataType;
use proptest::prelude::*;
use proptest::sample::Index;

/// The inputs that are read through their shapes, with their dims. `a`, `b` and `c` are at most 8.
pub const INPUTS: &[(&str, &[&str])] = &[("x", &["a", "b", "6"]), ("y", &["c", "a"]), ("z", &["1", "b"])];
/// Bools that decide an `If`, of these ranks.
pub const FLAGS: &[(&str, usize)] = &[("p", 0), ("q", 1)];
/// Integers whose contents nobody knows before a run: two, of at most 8.
pub const NUMBERS: &str = "k";

/// Contents stay below this.
const BIG: i64 = 1 << 40;
/// Tensors stay below so many elements.
const MANY: i64 = 1 << 14;
/// Lengths that are computed are held to at most this.
const LONG: i64 = 9;

/// One addition to a graph.
#[derive(Clone, Debug)]
pub enum Step {
    Plain(Plain),
    /// An `If`. Its branches give contents of one length, or tensors of different ones.
    If {
        flag: Index,
        not: bool,
        contents: bool,
        ways: [(Vec<Step>, Index); 2],
    },
}

/// One operator: what it reads, and a number for all else that is free.
#[derive(Clone, Debug)]
pub struct Plain {
    make: Make,
    a: Index,
    b: Index,
    c: Index,
    n: usize,
    flip: bool,
}

/// What a step adds; `None` when there is nothing that it could read.
type Rule = fn(&mut Graph, &Plain) -> Option<()>;

#[derive(Clone, Copy)]
struct Make(&'static str, Rule);

impl std::fmt::Debug for Make {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

macro_rules! rules {
    ($($name:ident),* $(,)?) => { &[$(Make(stringify!($name), Graph::$name)),*] };
}

const RULES: &[Make] = rules![
    shape,
    size,
    binary,
    divide,
    divide_by,
    unary,
    clip,
    cast,
    gather,
    slice,
    concat,
    axes,
    split,
    reduce,
    compare,
    logic,
    where_,
    truth,
    fill,
    expand,
    tile,
    reshape,
    count,
    numbers,
    use_fill,
    use_range,
    use_slice,
    use_expand,
    use_tile,
    use_reshape,
    use_zero,
    use_minus,
    use_nonzero,
    use_concat,
    use_transpose,
    use_split,
    use_matmul,
    use_unsqueeze,
    use_reduce,
    use_pad,
    use_gather,
];

fn plain() -> impl Strategy<Value = Step> {
    let parts = (any::<Index>(), any::<Index>(), any::<Index>(), 0..64usize, any::<bool>());
    (prop::sample::select(RULES), parts)
        .prop_map(|(make, (a, b, c, n, flip))| Step::Plain(Plain { make, a, b, c, n, flip }))
}

fn step(depth: u32) -> BoxedStrategy<Step> {
    if depth == 0 {
        return plain().boxed();
    }
    let way = || (prop::collection::vec(step(depth - 1), 0..5), any::<Index>());
    let branches = (any::<Index>(), any::<bool>(), any::<bool>(), [way(), way()])
        .prop_map(|(flag, not, contents, ways)| Step::If { flag, not, contents, ways });
    prop_oneof![9 => plain(), 1 => branches].boxed()
}

/// The steps of a graph.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(2), 1..28)
}

/// A tensor of a known number of integers, or a scalar.
#[derive(Clone)]
struct Vector {
    name: String,
    len: Option<usize>,
    /// Its contents are at most this far from 0.
    bound: i64,
}

/// A tensor of lengths that depend on the inputs'.
#[derive(Clone)]
struct Data {
    name: String,
    ty: DataType,
    rank: usize,
    /// It has at most so many elements.
    most: i64,
}

/// What a node can read.
#[derive(Clone, Default)]
struct Scope {
    vectors: Vec<Vector>,
    /// Bools, with their number.
    bools: Vec<(String, Option<usize>)>,
    data: Vec<Data>,
}

/// A graph that grows.
#[derive(Default)]
pub struct Graph {
    scope: Scope,
    lines: Vec<String>,
    /// What the main graph computes.
    outputs: Vec<(DataType, String)>,
    names: usize,
    depth: usize,
}

const WHOLE: DataType = DataType::INT64;

/// The model of some steps, and the names of its outputs.
pub fn model(steps: &[Step]) -> (String, Vec<String>) {
    let mut g = Graph::default();
    for (name, dims) in INPUTS {
        let most = dims.iter().map(|d| d.parse().unwrap_or(8)).product();
        let data = Data { name: (*name).to_owned(), ty: DataType::FLOAT, rank: dims.len(), most };
        g.scope.data.push(data);
        let read = g.node(WHOLE, "Shape", &[name]);
        g.vector(read, Some(dims.len()), 8);
    }
    for s in steps {
        g.add(s);
    }
    let mut inputs: Vec<String> =
        INPUTS.iter().map(|(name, dims)| format!("float[{}] {name}", dims.join(", "))).collect();
    inputs.extend(FLAGS.iter().map(|(name, rank)| format!("bool{} {name}", ["", "[1]"][*rank])));
    inputs.push(format!("int64[2] {NUMBERS}"));
    // `[]` declares no shape.
    let outputs: Vec<String> = g.outputs.iter().map(|(ty, name)| format!("{ty}[] {name}")).collect();
    let text = format!(
        "<ir_version: 9, opset_import: [\"\" : 18]>\narithmetic ({}) => ({}) {{\n{}\n}}",
        inputs.join(", "),
        outputs.join(", "),
        g.lines.join("\n")
    );
    (text, g.outputs.into_iter().map(|(_, name)| name).collect())
}

/// The length that broadcasting makes of two that are equal, 1 or a scalar's.
fn wide(p: Option<usize>, q: Option<usize>) -> Option<usize> {
    p.max(q)
}

/// The lines that a result depends on. The runtime drops the others of a branch, and what they would demand of
/// lengths with them.
fn needed(lines: Vec<String>, result: &str) -> Vec<String> {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut wanted = HashSet::from([result.to_owned()]);
    let mut kept: Vec<String> = Vec::new();
    for line in lines.into_iter().rev() {
        let (made, from) = line.split_once('=').unwrap_or((&line, ""));
        if words(made).iter().any(|name| wanted.contains(name)) {
            wanted.extend(words(from));
            kept.push(line);
        }
    }
    kept.reverse();
    kept
}

fn pick<T: Clone>(from: &[T], at: Index) -> Option<T> {
    (!from.is_empty()).then(|| at.get(from).clone())
}

/// What passes a test.
fn pick_of<T: Clone>(from: &[T], at: Index, test: impl Fn(&T) -> bool) -> Option<T> {
    let fits: Vec<T> = from.iter().filter(|t| test(t)).cloned().collect();
    pick(&fits, at)
}

impl Graph {
    fn name(&mut self, letter: char) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    /// A node with one output; `op` may have attributes.
    fn node(&mut self, ty: DataType, op: &str, inputs: &[&str]) -> String {
        let name = self.name('v');
        self.lines.push(format!("{name} = {op} ({})", inputs.join(", ")));
        self.gives(ty, &name);
        name
    }

    fn gives(&mut self, ty: DataType, name: &str) {
        if self.depth == 0 {
            self.outputs.push((ty, name.to_owned()));
        }
    }

    fn int(&mut self, value: i64) -> String {
        let name = self.name('c');
        self.lines.push(format!("{name} = Constant <value_int = {value}> ()"));
        name
    }

    fn ints(&mut self, values: &[i64]) -> String {
        let name = self.name('c');
        self.lines.push(format!("{name} = Constant <value_ints = {values:?}> ()"));
        name
    }

    fn vector(&mut self, name: String, len: Option<usize>, bound: i64) -> Option<()> {
        self.scope.vectors.push(Vector { name, len, bound });
        Some(())
    }

    fn tensor(&mut self, name: String, ty: DataType, rank: usize, most: i64) -> Option<()> {
        self.scope.data.push(Data { name, ty, rank, most });
        Some(())
    }

    fn add(&mut self, s: &Step) -> Option<()> {
        match s {
            Step::Plain(p) => (p.make.1)(self, p),
            Step::If { flag, not, contents, ways } => self.branches(*flag, *not, *contents, ways),
        }
    }

    fn any(&self, at: Index) -> Option<Vector> {
        pick(&self.scope.vectors, at)
    }

    /// A vector of several elements.
    fn row(&self, at: Index) -> Option<(Vector, usize)> {
        let v = pick_of(&self.scope.vectors, at, |v| v.len.is_some())?;
        let len = v.len?;
        Some((v, len))
    }

    /// Another vector that broadcasts with one of this length.
    fn alike(&self, at: Index, len: Option<usize>) -> Option<Vector> {
        pick_of(&self.scope.vectors, at, |v| {
            v.len == len || v.len.is_none_or(|n| n == 1) || len.is_none_or(|n| n == 1)
        })
    }

    fn data(&self, at: Index) -> Option<Data> {
        pick(&self.scope.data, at)
    }

    fn branches(
        &mut self,
        flag: Index,
        not: bool,
        contents: bool,
        ways: &[(Vec<Step>, Index); 2],
    ) -> Option<()> {
        let mut conditions: Vec<String> = FLAGS.iter().map(|(name, _)| (*name).to_owned()).collect();
        conditions.extend(self.scope.bools.iter().filter(|(_, n)| n.is_none()).map(|(name, _)| name.clone()));
        let mut condition = flag.get(&conditions).clone();
        if not {
            condition = self.node(DataType::BOOL, "Not", &[&condition]);
        }
        let outer = (self.scope.clone(), std::mem::take(&mut self.lines));
        self.depth += 1;
        let mut made = Vec::new();
        let mut len = None;
        for (steps, result) in ways {
            self.scope = outer.0.clone();
            for s in steps {
                self.add(s);
            }
            // Contents are of the length that the first branch's have.
            let first = made.is_empty();
            let v = match (contents, first) {
                (true, false) => pick_of(&self.scope.vectors, *result, |v| v.len == len),
                _ => self.any(*result),
            };
            let way = v.map(|v| {
                len = v.len;
                let name = if contents { self.node(WHOLE, "Identity", &[&v.name]) } else { self.counted(&v) };
                (name, v.bound)
            });
            made.push((way, std::mem::take(&mut self.lines)));
        }
        self.depth -= 1;
        (self.scope, self.lines) = outer;
        let mut text = Vec::new();
        let mut bound = 0;
        for (branch, (way, lines)) in ["then_branch", "else_branch"].iter().zip(made) {
            let (result, most) = way?;
            bound = bound.max(most);
            let graph = self.name('g');
            let lines = needed(lines, &result);
            text.push(format!("{branch} = {graph} () => ({result}) {{\n{}\n}}", lines.join("\n")));
        }
        let name = self.node(WHOLE, &format!("If <{}>", text.join(", ")), &[&condition]);
        if contents { self.vector(name, len, bound) } else { self.tensor(name, WHOLE, 1, LONG) }
    }

    /// As many numbers as a vector's greatest element says.
    fn counted(&mut self, v: &Vector) -> String {
        let (zero, one) = (self.int(0), self.int(1));
        let limit = self.scalar(v);
        self.node(WHOLE, "Range", &[&zero, &limit, &one])
    }

    /// A vector held to lengths that can be made.
    fn clamped(&mut self, v: &Vector, low: i64, high: i64) -> String {
        let (low, high) = (self.int(low), self.int(high));
        let some = self.node(WHOLE, "Max", &[&v.name, &low]);
        self.node(WHOLE, "Min", &[&some, &high])
    }

    /// Its greatest element, held to a length.
    fn scalar(&mut self, v: &Vector) -> String {
        let held = self.clamped(v, 0, LONG);
        match v.len {
            None => held,
            Some(_) => self.node(WHOLE, "ReduceMax <keepdims = 0>", &[&held]),
        }
    }

    fn as_row(&mut self, scalar: &str) -> String {
        let zero = self.ints(&[0]);
        self.node(WHOLE, "Unsqueeze", &[scalar, &zero])
    }
}

mod rules;
