//! What simplification leaves of small models.

use onnx_pass_ir::{Model, text, verify};

use super::{Rules, run, simplify};
use crate::pass::PassContext;

fn model(source: &str) -> Model {
    let header = r#"<ir_version: 8, opset_import: ["" : 17]>"#;
    let text =
        if source.trim_start().starts_with('<') { source.to_string() } else { format!("{header} {source}") };
    match text::parse(&text) {
        Ok(m) => m,
        Err(e) => panic!("{e}"),
    }
}

/// The nodes that are left, with small constants in place of their names.
fn listing(m: &Model) -> String {
    let mut out = String::new();
    for g in m.live_graphs() {
        for (_, n) in m.nodes(g) {
            let operand = |v: &Option<onnx_pass_ir::ValueId>| match v {
                None => "-".to_string(),
                Some(v) => m.constant(*v).map_or_else(
                    || m.name(*v).to_string(),
                    |t| format!("{}{:?}{}", t.dtype, t.dims, t.preview()),
                ),
            };
            let results: Vec<String> =
                n.outputs().iter().map(|v| v.map_or("-".into(), |v| m.name(v).to_string())).collect();
            let operands: Vec<String> = n.inputs().iter().map(operand).collect();
            let ints: Vec<String> = n
                .attributes()
                .iter()
                .filter_map(|a| Some(format!("{}={:?}", a.name, a.as_ints()?)))
                .collect();
            out.push_str(&format!(
                "{} = {} ({}) {}\n",
                results.join(", "),
                n.op_type(),
                operands.join(", "),
                ints.join(" ")
            ));
        }
    }
    let returned: Vec<&str> = m.graph(m.main()).outputs().iter().map(|o| m.name(o.value())).collect();
    out.push_str(&format!("return {}", returned.join(", ")));
    out
}

fn simplified(source: &str) -> String {
    let mut m = model(source);
    let mut cx = PassContext::new();
    if let Err(e) = simplify(&mut m, &mut cx) {
        panic!("{e}");
    }
    let findings = verify::verify(&m, verify::Level::Full);
    assert!(findings.is_empty(), "{findings:?}");
    // Twice is once.
    let revision = m.revision();
    assert!(!simplify(&mut m, &mut PassContext::new()).unwrap_or(true));
    assert_eq!(m.revision(), revision);
    listing(&m)
}

#[test]
fn a_target_follows_batch_and_sequence_without_reading_them() {
    insta::assert_snapshot!(simplified(
        r#"g (float[batch, seq, 64] x) => (y) {
            s = Shape (x)
            at0 = Constant <value_int: int = 0> ()
            at1 = Constant <value_int: int = 1> ()
            axes = Constant <value_ints: ints = [0]> ()
            b = Gather (s, at0)
            q = Gather (s, at1)
            b1 = Unsqueeze (b, axes)
            q1 = Unsqueeze (q, axes)
            rest = Constant <value_ints: ints = [4, 16]> ()
            target = Concat <axis: int = 0> (b1, q1, rest)
            r = Reshape (x, target)
            y = Transpose <perm: ints = [0, 2, 1, 3]> (r)
        }"#
    ));
}

#[test]
fn a_length_of_zero_in_a_target_is_what_it_was() {
    // Without a batch the −1 would fail where the product did not.
    insta::assert_snapshot!(simplified(
        r#"
        g (float[b, s, t] x) => (float[p, q] merged, float[u, v] left) <int64[1] rest = {-1}> {
            batch = Shape <start = 0, end = 1> (x)
            rows = Shape <start = 1, end = 2> (x)
            columns = Shape <start = 2, end = 3> (x)
            area = Mul (rows, columns)
            target = Concat <axis = 0> (batch, area)
            merged = Reshape (x, target)
            other = Concat <axis = 0> (batch, rest)
            left = Reshape (x, other)
        }"#
    ));
}

#[test]
fn an_empty_operand_of_a_concat_goes() {
    insta::assert_snapshot!(simplified(
        r#"g (float[batch, seq, 64] x, float[batch, 0, 64] past) => (y, n) {
            all = Concat <axis: int = 1> (past, x)
            y = Relu (all)
            s = Shape (past)
            one = Constant <value_int: int = 1> ()
            n = Gather (s, one)
        }"#
    ));
}

#[test]
fn what_does_nothing_goes_and_outputs_keep_their_names() {
    insta::assert_snapshot!(simplified(
        r#"g (float[n, 8] x, float[n, 8] w) => (y, z, u)
        <float one = {1.0}, int64[2] all = {-1, 8}, int64[1] zero = {0}, int64[1] far = {9223372036854775807}>
        {
            a = Transpose <perm: ints = [1, 0]> (x)
            b = Transpose <perm: ints = [1, 0]> (a)
            c = Mul (b, one)
            d = Reshape (c, all)
            e = Slice (d, zero, far, zero)
            y = Relu (e)
            f = Cast <to: int = 1> (w)
            z = Identity (f)
            u = Identity (w)
        }"#
    ));
}

#[test]
fn axes_that_are_added_or_taken_away_in_a_row_are_so_at_once() {
    insta::assert_snapshot!(simplified(
        r#"g (float[n, k] x, float[1, n, 1, 1] w) => (y, z, u)
        <int64[1] first = {0}, int64[2] both = {-1, 1}, int64[1] last = {-1}>
        {
            a = Unsqueeze (x, both)
            b = Unsqueeze (a, first)
            y = Relu (b)
            c = Squeeze (w, first)
            d = Squeeze (c, last)
            z = Relu (d)
            e = Squeeze (w, first)
            u = Unsqueeze (e, last)
        }"#
    ));
}

#[test]
fn a_transposition_between_reshapes_that_split_what_they_merged_is_one_of_all_axes() {
    insta::assert_snapshot!(simplified(
        r#"g (float[batch, seq, 4, 16] x, float[batch, 6, 4] w) => (y, z)
        <int64[3] merged = {-1, 4, 16}, int64[2] other = {-1, 8}, int64[3] back = {4, -1, 6}>
        {
            s = Shape (x)
            a = Transpose <perm: ints = [0, 2, 1, 3]> (x)
            at1 = Constant <value_ints: ints = [1]> ()
            at0 = Constant <value_ints: ints = [0]> ()
            b = Gather (s, at0)
            q = Gather (s, at1)
            four = Constant <value_ints: ints = [4]> ()
            sixteen = Constant <value_ints: ints = [16]> ()
            heads = Mul (b, four)
            flat = Concat <axis: int = 0> (heads, q, sixteen)
            r = Reshape (a, flat)
            t = Transpose <perm: ints = [0, 2, 1]> (r)
            apart = Concat <axis: int = 0> (b, four, sixteen, q)
            y = Reshape (t, apart)
            m = Reshape (w, other)
            n = Transpose <perm: ints = [1, 0]> (m)
            z = Reshape (n, back)
        }"#
    ));
}

#[test]
fn a_reshape_to_a_shape_that_is_told_needs_no_reshape_before() {
    insta::assert_snapshot!(simplified(
        r#"g (float[batch, seq, 6] x, float[n, 2, k] other, int64[2] unknown) => (y, z)
        <int64[1] flat = {-1}>
        {
            a = Reshape (x, flat)
            s = Shape (x)
            t = Shape (other)
            first = Constant <value_ints: ints = [0]> ()
            b = Gather (s, first)
            last = Constant <value_ints: ints = [-1]> ()
            q = Slice (s, last, last, first)
            second = Constant <value_ints: ints = [1]> ()
            c = Gather (s, second)
            two = Constant <value_ints: ints = [2]> ()
            three = Constant <value_ints: ints = [3]> ()
            cc = Mul (c, two)
            target = Concat <axis: int = 0> (cc, b, three)
            y = Reshape (a, target)
            d = Reshape (x, flat)
            z = Reshape (d, unknown)
        }"#
    ));
}

#[test]
fn elements_that_are_laid_out_anew_and_back_stay_as_they_are() {
    insta::assert_snapshot!(simplified(
        r#"g (float[batch, seq, 6] x, float[6] row) => (y, z, w)
        <int64[2] flat = {-1, 6}, int64[1] first = {0}, float half = {0.5}, float[1, 1, 1] wide = {2}>
        {
            a = Reshape (x, flat)
            b = Mul (a, half)
            c = Tanh (b)
            d = Mul (a, c)
            s = Shape (x)
            y = Reshape (d, s)
            e = Relu (a)
            f = Add (e, row)
            z = Reshape (f, s)
            g = Unsqueeze (x, first)
            h = Mul (g, wide)
            w = Squeeze (h, first)
        }"#
    ));
}

#[test]
fn a_small_result_of_large_steps_is_folded_with_them() {
    insta::assert_snapshot!(simplified(
        r#"g (float[2, 300] x, float[300] u) => (y, z)
        <int64[2] shape = {40, 300}, int64[2] at = {0, 3}, float two = {2}, int64[1] zero = {0}, int64[1] far = {4}>
        {
            grid = ConstantOfShape <value: tensor = float[1] {1}> (shape)
            twice = Mul (grid, two)
            some = Slice (twice, zero, far, zero)
            rows = Gather (some, at)
            flat = ReduceMax <axes: ints = [1], keepdims: int = 1> (rows)
            y = Add (x, flat)
            z = MatMul (grid, u)
        }"#
    ));
}

#[test]
fn a_transposed_splat_is_a_splat() {
    insta::assert_snapshot!(simplified(
        r#"g (float[8, 1, 90] x) => (y) <int64[3] shape = {1, 90, 8}> {
            zeros = ConstantOfShape <value: tensor = float[1] {2.0}> (shape)
            t = Transpose <perm: ints = [2, 0, 1]> (zeros)
            y = Add (x, t)
        }"#
    ));
}

#[test]
fn adding_zero_is_kept_for_floats() {
    // −0 + 0 is +0.
    insta::assert_snapshot!(simplified(
        r#"g (float[n] x, int64[n] k) => (y, z) <float zero = {0.0}, int64 none = {0}> {
            y = Add (x, zero)
            k2 = Add (k, none)
            z = Neg (k2)
        }"#
    ));
}

#[test]
fn a_known_branch_is_inlined_with_what_it_captures() {
    insta::assert_snapshot!(simplified(
        r#"g (float[n] x) => (y) <bool off = {0}> {
            y = If (off) <
                then_branch = t () => (a) { a = Abs (x) },
                else_branch = e () => (a) { b = Neg (x) a = Relu (b) }
            >
        }"#
    ));
}

#[test]
fn a_loop_of_one_turn_is_its_body_and_of_none_what_it_was_given() {
    insta::assert_snapshot!(simplified(
        r#"g (float[n] x) => (y, rows, z) <int64 one = {1}, int64 none = {0}, bool go = {1}> {
            y, rows = Loop (one, go, x) <
                body = b (int64 i, bool c, float[n] v) => (bool c2, float[n] v2, float[n] row) {
                    c2 = Identity (c) v2 = Relu (v) row = Neg (v)
                }
            >
            z = Loop (none, go, x) <
                body = b2 (int64 j, bool d, float[n] w) => (bool d2, float[n] w2) {
                    d2 = Identity (d) w2 = Relu (w)
                }
            >
        }"#
    ));
}

#[test]
fn a_result_that_an_operator_must_have_stays() {
    insta::assert_snapshot!(simplified(
        r#"g (float[n, 8] x) => (y) <int64[2] parts = {8, 0}> {
            a, b = Split <axis: int = 1> (x, parts)
            s = Shape (b)
            c = Abs (a)
            t = Cast <to: int = 1> (s)
            y = Concat <axis: int = 1> (c, b)
        }"#
    ));
}

#[test]
fn a_large_result_is_folded_only_when_it_replaces_as_much() {
    let source = r#"g (float[n] x) => (y) <int64[2] shape = {40, 40}> {
        grid = ConstantOfShape <value: tensor = float[1] {1}> (shape)
        y = MatMul (x, grid)
    }"#;
    let mut m = model(source);
    assert!(run(&mut m, &mut PassContext::new(), Rules { constants: true, ..Rules::NONE }).is_ok_and(|c| !c));
    let roomy = Rules { constants: true, max_bytes: 6400, ..Rules::NONE };
    assert!(run(&mut m, &mut PassContext::new(), roomy).is_ok_and(|c| c));
    assert_eq!(m.graph(m.main()).node_count(), 1);
}

#[test]
fn constants_in_a_function_become_no_initializers() {
    insta::assert_snapshot!(simplified(
        r#"<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        g (float[n] x) => (y) { y = local.f (x) }
        <domain: "local", opset_import: ["" : 17]>
        f (v) => (r) {
            two = Constant <value_ints: ints = [2]> ()
            three = Constant <value_ints: ints = [3]> ()
            six = Mul (two, three)
            r = Tile (v, six)
        }"#
    ));
}

#[test]
fn equal_reads_of_a_length_are_one() {
    insta::assert_snapshot!(simplified(
        r#"g (float[n, 8] x, float[n, 4] w, float u) => (y, z) {
            a = Shape <end: int = 1> (x)
            b = Shape <end: int = 1> (w)
            y = Expand (u, a)
            z = Expand (u, b)
        }"#
    ));
}

mod arithmetic {
    //! Random graphs of shape arithmetic: what is inferred, evaluated at random sizes, is what an evaluator of
    //! plain numbers gives.

    use onnx_pass_ir::sym::Facts;
    use onnx_pass_ir::{Attribute, Model, NewNode, Place, Tensor, ValueId};
    use proptest::prelude::*;

    use crate::analysis::Analysis;

    #[derive(Clone, Debug)]
    enum Step {
        Add(usize, usize),
        Sub(usize, usize),
        Mul(usize, usize),
        Div(usize, i64),
        Mod(usize, i64),
        Max(usize, usize),
        Min(usize, usize),
        Concat(usize, usize),
        Slice(usize, i64, i64, i64),
        Gather(usize, usize),
        Where(usize, usize, usize),
        ReduceProd(usize),
        ReduceSum(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let v = || 0usize..1000;
        prop_oneof![
            (v(), v()).prop_map(|(a, b)| Step::Add(a, b)),
            (v(), v()).prop_map(|(a, b)| Step::Sub(a, b)),
            (v(), v()).prop_map(|(a, b)| Step::Mul(a, b)),
            (v(), 1i64..7).prop_map(|(a, b)| Step::Div(a, b)),
            (v(), 1i64..7).prop_map(|(a, b)| Step::Mod(a, b)),
            (v(), v()).prop_map(|(a, b)| Step::Max(a, b)),
            (v(), v()).prop_map(|(a, b)| Step::Min(a, b)),
            (v(), v()).prop_map(|(a, b)| Step::Concat(a, b)),
            (v(), -4i64..4, -4i64..5, prop_oneof![Just(1i64), Just(2), Just(-1)])
                .prop_map(|(a, s, e, k)| Step::Slice(a, s, e, k)),
            (v(), v()).prop_map(|(a, i)| Step::Gather(a, i)),
            (v(), v(), v()).prop_map(|(a, b, c)| Step::Where(a, b, c)),
            v().prop_map(Step::ReduceProd),
            v().prop_map(Step::ReduceSum),
        ]
    }

    /// A graph over vectors, and beside it each vector's numbers.
    struct Building {
        m: Model,
        pool: Vec<(ValueId, Vec<i64>)>,
    }

    impl Building {
        fn node(&mut self, op: &str, inputs: &[ValueId], attributes: Vec<Attribute>) -> ValueId {
            let main = self.m.main();
            let new = attributes.into_iter().fold(NewNode::new(op, inputs, "t"), NewNode::attr);
            let n = self.m.add_node(Place::End(main), new);
            self.m.node(n).outputs()[0].unwrap_or(inputs[0])
        }

        fn ints(&mut self, v: &[i64]) -> ValueId {
            let main = self.m.main();
            self.m.add_initializer(main, "c", Tensor::int64_vec(v).shared())
        }

        fn get(&self, i: usize) -> (ValueId, Vec<i64>) {
            self.pool[i % self.pool.len()].clone()
        }

        fn zip(a: &[i64], b: &[i64], f: impl Fn(i64, i64) -> Option<i64>) -> Option<Vec<i64>> {
            let n = if a.len() == 1 { b.len() } else { a.len() };
            let fits = a.len() == b.len() || a.len() == 1 || b.len() == 1;
            let at = |s: &[i64], i: usize| s[if s.len() == 1 { 0 } else { i }];
            fits.then(|| (0..n).map(|i| f(at(a, i), at(b, i)).filter(|x| x.abs() < 1 << 40)).collect())
                .flatten()
        }

        fn binary(&mut self, op: &str, a: usize, b: usize, f: impl Fn(i64, i64) -> Option<i64>) {
            let ((va, a), (vb, b)) = (self.get(a), self.get(b));
            if let Some(r) = Self::zip(&a, &b, f) {
                let v = self.node(op, &[va, vb], vec![]);
                self.pool.push((v, r));
            }
        }

        fn with_number(&mut self, op: &str, a: usize, k: i64, f: impl Fn(i64) -> i64) {
            let (va, a) = self.get(a);
            let c = self.ints(&[k]);
            let v = self.node(op, &[va, c], vec![]);
            self.pool.push((v, a.into_iter().map(f).collect()));
        }

        fn reduce(&mut self, op: &str, a: usize, r: Option<i64>) {
            let (va, _) = self.get(a);
            if let Some(r) = r.filter(|r| r.abs() < 1 << 40) {
                let attributes =
                    if op == "ReduceProd" { vec![Attribute::ints("axes", &[0])] } else { vec![] };
                let v = self.node(op, &[va], attributes);
                self.pool.push((v, vec![r]));
            }
        }

        fn apply(&mut self, s: &Step) {
            match *s {
                Step::Add(a, b) => self.binary("Add", a, b, i64::checked_add),
                Step::Sub(a, b) => self.binary("Sub", a, b, i64::checked_sub),
                Step::Mul(a, b) => self.binary("Mul", a, b, i64::checked_mul),
                Step::Max(a, b) => self.binary("Max", a, b, |x, y| Some(x.max(y))),
                Step::Min(a, b) => self.binary("Min", a, b, |x, y| Some(x.min(y))),
                Step::Div(a, k) => self.with_number("Div", a, k, |x| x / k),
                Step::Mod(a, k) => self.with_number("Mod", a, k, |x| x.rem_euclid(k)),
                Step::Concat(a, b) => {
                    let ((va, a), (vb, b)) = (self.get(a), self.get(b));
                    if a.len() + b.len() <= 12 {
                        let v = self.node("Concat", &[va, vb], vec![Attribute::int("axis", 0)]);
                        self.pool.push((v, [a, b].concat()));
                    }
                }
                Step::Slice(a, s, e, k) => {
                    let (va, a) = self.get(a);
                    let r = python_slice(&a, s, e, k);
                    if !r.is_empty() {
                        let inputs = [va, self.ints(&[s]), self.ints(&[e]), self.ints(&[0]), self.ints(&[k])];
                        let v = self.node("Slice", &inputs, vec![]);
                        self.pool.push((v, r));
                    }
                }
                Step::Gather(a, i) => {
                    let (va, a) = self.get(a);
                    let i = i % a.len();
                    let at = self.ints(&[i as i64 - a.len() as i64]);
                    let v = self.node("Gather", &[va, at], vec![]);
                    self.pool.push((v, vec![a[i]]));
                }
                Step::Where(c, a, b) => {
                    let ((vc, c), (va, a), (vb, b)) = (self.get(c), self.get(a), self.get(b));
                    if a.len() == b.len() && (c.len() == a.len() || c.len() == 1) {
                        let less = self.node("Less", &[vc, va], vec![]);
                        let r = (0..a.len())
                            .map(|i| if c[if c.len() == 1 { 0 } else { i }] < a[i] { a[i] } else { b[i] });
                        let r = r.collect();
                        let v = self.node("Where", &[less, va, vb], vec![]);
                        self.pool.push((v, r));
                    }
                }
                Step::ReduceProd(a) => {
                    let r = self.get(a).1.iter().try_fold(1i64, |p, x| p.checked_mul(*x));
                    self.reduce("ReduceProd", a, r);
                }
                Step::ReduceSum(a) => {
                    let r = self.get(a).1.iter().try_fold(0i64, |p, x| p.checked_add(*x));
                    self.reduce("ReduceSum", a, r);
                }
            }
        }
    }

    /// By the definition, element after element.
    fn python_slice(a: &[i64], start: i64, end: i64, step: i64) -> Vec<i64> {
        let n = a.len() as i64;
        let wrap = |x: i64| if x < 0 { x + n } else { x };
        let (mut at, end) = if step > 0 {
            (wrap(start).clamp(0, n), wrap(end).clamp(0, n))
        } else {
            (wrap(start).clamp(-1, n - 1), wrap(end).clamp(-1, n - 1))
        };
        let mut out = Vec::new();
        while (step > 0 && at < end) || (step < 0 && at > end) {
            out.push(a[at as usize]);
            at += step;
        }
        out
    }

    proptest! {
        #[test]
        fn inferred_contents_are_what_a_run_gives(
            sizes in prop::array::uniform3(0i64..9),
            steps in prop::collection::vec(step(), 1..24),
        ) {
            let m = super::model("g (float[a, b, 3] x, float[c, 2] w) => () {}");
            let inputs = m.graph(m.main()).inputs().to_vec();
            let mut b = Building { m, pool: Vec::new() };
            let first = b.node("Shape", &[inputs[0]], vec![]);
            let second = b.node("Shape", &[inputs[1]], vec![]);
            b.pool.push((first, vec![sizes[0], sizes[1], 3]));
            b.pool.push((second, vec![sizes[2], 2]));
            steps.iter().for_each(|s| b.apply(s));
            let a = Analysis::of(&b.m, &Facts::new());
            let size = |s: &str| match s { "a" => Some(sizes[0]), "b" => Some(sizes[1]), "c" => Some(sizes[2]), _ => None };
            for (v, numbers) in &b.pool {
                prop_assert_eq!(a.fact(*v).const_shape(), Some(vec![numbers.len() as i64]));
                let Some(items) = &a.fact(*v).items else { continue };
                for (e, n) in items.iter().zip(numbers) {
                    if let Some(got) = e.as_ref().and_then(|e| e.eval(&size)) {
                        prop_assert_eq!(got, *n, "{:?}", e);
                    }
                }
            }
        }
    }
}
