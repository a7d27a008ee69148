//! What each step adds to a graph.

use super::{BIG, DataType, Graph, LONG, MANY, NUMBERS, Plain, WHOLE, pick, pick_of, wide};

/// Shape arithmetic: vectors of vectors.
impl Graph {
    pub(super) fn shape(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.a).filter(|d| d.rank > 0)?;
        let bound = d.most.max(LONG);
        if !p.flip {
            let name = self.node(WHOLE, "Shape", &[&d.name]);
            return self.vector(name, Some(d.rank), bound);
        }
        let start = p.n % d.rank;
        let end = start + 1 + p.n / d.rank % (d.rank - start);
        // The same axes counted from the end.
        let from = if p.n.is_multiple_of(2) { start as i64 } else { start as i64 - d.rank as i64 };
        let name = self.node(WHOLE, &format!("Shape <start = {from}, end = {end}>"), &[&d.name]);
        self.vector(name, Some(end - start), bound)
    }

    pub(super) fn size(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.a)?;
        let name = self.node(WHOLE, "Size", &[&d.name]);
        self.vector(name, None, d.most)
    }

    pub(super) fn binary(&mut self, p: &Plain) -> Option<()> {
        let v = self.any(p.a)?;
        let w = self.alike(p.b, v.len)?;
        let (op, bound) = [
            ("Add", v.bound + w.bound),
            ("Sub", v.bound + w.bound),
            ("Mul", v.bound.saturating_mul(w.bound)),
            ("Max", v.bound.max(w.bound)),
            ("Min", v.bound.max(w.bound)),
        ][p.n % 5];
        if bound > BIG {
            return None;
        }
        let name = self.node(WHOLE, op, &[&v.name, &w.name]);
        self.vector(name, wide(v.len, w.len), bound)
    }

    pub(super) fn divide(&mut self, p: &Plain) -> Option<()> {
        let v = self.any(p.a)?;
        let by = self.int([2, 3, 4, 7, 1, -1, -3][p.n % 7]);
        let name = self.node(WHOLE, division(p), &[&v.name, &by]);
        self.vector(name, v.len, v.bound.max(7))
    }

    /// By a length: one of 0 would end the runtime.
    pub(super) fn divide_by(&mut self, p: &Plain) -> Option<()> {
        let v = self.any(p.a)?;
        let w = self.alike(p.b, v.len)?;
        let one = self.int(1);
        let by = self.node(WHOLE, "Max", &[&w.name, &one]);
        let name = self.node(WHOLE, division(p), &[&v.name, &by]);
        self.vector(name, wide(v.len, w.len), v.bound.max(w.bound))
    }

    pub(super) fn unary(&mut self, p: &Plain) -> Option<()> {
        let v = self.any(p.a)?;
        let name = self.node(WHOLE, ["Neg", "Abs", "Identity", "Sign"][p.n % 4], &[&v.name]);
        self.vector(name, v.len, v.bound.max(1))
    }

    pub(super) fn clip(&mut self, p: &Plain) -> Option<()> {
        let v = self.any(p.a)?;
        let (low, high) = (self.int(p.n as i64 % 5 - 2), self.int(p.n as i64 % 7 + 2));
        let bounds = if p.flip { vec![low.as_str(), high.as_str()] } else { vec![low.as_str()] };
        let name = self.node(WHOLE, "Clip", &[vec![v.name.as_str()], bounds].concat());
        self.vector(name, v.len, v.bound.max(LONG))
    }

    pub(super) fn cast(&mut self, p: &Plain) -> Option<()> {
        let v = self.any(p.a).filter(|v| v.bound < 1 << 20)?;
        let ty = [DataType::INT32, DataType::FLOAT, DataType::DOUBLE][p.n % 3];
        let there = self.node(ty, &format!("Cast <to = {}>", ty.0), &[&v.name]);
        let name = self.node(WHOLE, &format!("Cast <to = {}>", WHOLE.0), &[&there]);
        self.vector(name, v.len, v.bound)
    }

    pub(super) fn gather(&mut self, p: &Plain) -> Option<()> {
        let (v, len) = self.row(p.a)?;
        let at = |k: usize| (k % (2 * len)) as i64 - len as i64;
        let (index, out) = match p.n % 3 {
            0 => (self.int(at(p.n)), None),
            1 => (self.ints(&[at(p.n)]), Some(1)),
            _ => (self.ints(&[at(p.n), at(p.n / 3)]), Some(2)),
        };
        let name = self.node(WHOLE, "Gather", &[&v.name, &index]);
        self.vector(name, out, v.bound)
    }

    pub(super) fn slice(&mut self, p: &Plain) -> Option<()> {
        let (v, len) = self.row(p.a)?;
        let start = p.n % len;
        let end = start + 1 + p.n / len % (len - start);
        let (start, end, size) = (start as i64, end as i64, len as i64);
        let (bounds, count) = match p.n % 4 {
            // Every second, and backwards.
            0 if p.flip => ([start, i64::MAX, 2], (size - start + 1) / 2),
            1 if p.flip => ([end - 1, -size - 1, -1], end),
            2 => ([start - size, end, 1], end - start),
            _ => ([start, end, 1], end - start),
        };
        let (from, to, step) = (self.ints(&bounds[..1]), self.ints(&bounds[1..2]), self.ints(&bounds[2..]));
        let axis = self.ints(&[0]);
        let name = self.node(WHOLE, "Slice", &[&v.name, &from, &to, &axis, &step]);
        self.vector(name, usize::try_from(count).ok(), v.bound)
    }

    pub(super) fn concat(&mut self, p: &Plain) -> Option<()> {
        let ((v, n), (w, m)) = (self.row(p.a)?, self.row(p.b)?);
        if n + m > 8 {
            return None;
        }
        let name = self.node(WHOLE, "Concat <axis = 0>", &[&v.name, &w.name]);
        self.vector(name, Some(n + m), v.bound.max(w.bound))
    }

    pub(super) fn axes(&mut self, p: &Plain) -> Option<()> {
        let v = pick_of(&self.scope.vectors, p.a, |v| v.len.is_none_or(|n| n == 1))?;
        let axis = self.ints(&[if p.flip { 0 } else { -1 }]);
        let (op, len) = if v.len.is_none() { ("Unsqueeze", Some(1)) } else { ("Squeeze", None) };
        let name = self.node(WHOLE, op, &[&v.name, &axis]);
        self.vector(name, len, v.bound)
    }

    pub(super) fn split(&mut self, p: &Plain) -> Option<()> {
        let (v, len) = self.row(p.a).filter(|(_, n)| *n > 1)?;
        let at = 1 + p.n % (len - 1);
        let sizes = self.ints(&[at as i64, (len - at) as i64]);
        let (first, second) = (self.name('v'), self.name('v'));
        self.lines.push(format!("{first}, {second} = Split <axis = 0> ({}, {sizes})", v.name));
        for (name, len) in [(first, at), (second, len - at)] {
            self.gives(WHOLE, &name);
            self.vector(name, Some(len), v.bound);
        }
        Some(())
    }

    pub(super) fn reduce(&mut self, p: &Plain) -> Option<()> {
        let (v, len) = self.row(p.a)?;
        let all = v.bound.checked_pow(len as u32).unwrap_or(i64::MAX);
        let sum = v.bound * len as i64;
        let (op, bound) =
            [("ReduceSum", sum), ("ReduceProd", all), ("ReduceMax", v.bound), ("ReduceMin", v.bound)]
                [p.n % 4];
        if bound > BIG {
            return None;
        }
        let op = format!("{op} <keepdims = {}>", u8::from(p.flip));
        let axis = (p.n % 8 < 4).then(|| self.ints(&[0]));
        let inputs: Vec<&str> = std::iter::once(v.name.as_str()).chain(axis.as_deref()).collect();
        let name = self.node(WHOLE, &op, &inputs);
        self.vector(name, p.flip.then_some(1), bound.max(1))
    }

    pub(super) fn compare(&mut self, p: &Plain) -> Option<()> {
        let v = self.any(p.a)?;
        let w = self.alike(p.b, v.len)?;
        let op = ["Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"][p.n % 5];
        let name = self.node(DataType::BOOL, op, &[&v.name, &w.name]);
        self.scope.bools.push((name, wide(v.len, w.len)));
        Some(())
    }

    pub(super) fn logic(&mut self, p: &Plain) -> Option<()> {
        let (v, n) = pick(&self.scope.bools, p.a)?;
        let (w, m) = pick_of(&self.scope.bools, p.b, |(_, m)| *m == n)?;
        let op = ["Not", "And", "Or", "Xor"][p.n % 4];
        let inputs = if op == "Not" { vec![v.as_str()] } else { vec![v.as_str(), w.as_str()] };
        let name = self.node(DataType::BOOL, op, &inputs);
        self.scope.bools.push((name, wide(n, m)));
        Some(())
    }

    pub(super) fn where_(&mut self, p: &Plain) -> Option<()> {
        let (c, n) = pick(&self.scope.bools, p.c)?;
        let v = self.alike(p.a, n)?;
        let w = self.alike(p.b, wide(n, v.len))?;
        let name = self.node(WHOLE, "Where", &[&c, &v.name, &w.name]);
        self.vector(name, wide(wide(n, v.len), w.len), v.bound.max(w.bound))
    }

    /// A bool as a number.
    pub(super) fn truth(&mut self, p: &Plain) -> Option<()> {
        let (c, n) = pick(&self.scope.bools, p.a)?;
        let name = self.node(WHOLE, &format!("Cast <to = {}>", WHOLE.0), &[&c]);
        self.vector(name, n, 1)
    }

    pub(super) fn fill(&mut self, p: &Plain) -> Option<()> {
        let (len, value) = (1 + p.n % 4, p.n as i64 % 13 - 3);
        let shape = self.ints(&[len as i64]);
        let op = format!("ConstantOfShape <value = int64[1] {{{value}}}>");
        let name = self.node(WHOLE, &op, &[&shape]);
        self.vector(name, Some(len), LONG)
    }

    pub(super) fn expand(&mut self, p: &Plain) -> Option<()> {
        let v = pick_of(&self.scope.vectors, p.a, |v| v.len.is_none_or(|n| n == 1))?;
        let len = 1 + p.n % 4;
        let shape = self.ints(&[len as i64]);
        let name = self.node(WHOLE, "Expand", &[&v.name, &shape]);
        self.vector(name, Some(len), v.bound)
    }

    pub(super) fn tile(&mut self, p: &Plain) -> Option<()> {
        let (v, len) = self.row(p.a).filter(|(_, n)| *n <= 3)?;
        let times = self.ints(&[2]);
        let name = self.node(WHOLE, "Tile", &[&v.name, &times]);
        self.vector(name, Some(2 * len), v.bound)
    }

    pub(super) fn reshape(&mut self, p: &Plain) -> Option<()> {
        let (v, len) = self.row(p.a)?;
        let target = [[1, -1].as_slice(), &[0, 1], &[-1, 1], &[0]][p.n % 4];
        let there = self.ints(target);
        let there = self.node(WHOLE, "Reshape", &[&v.name, &there]);
        let back = self.ints(&[-1]);
        let name = self.node(WHOLE, "Reshape", &[&there, &back]);
        self.vector(name, Some(len), v.bound)
    }

    pub(super) fn count(&mut self, p: &Plain) -> Option<()> {
        let (len, start) = (1 + p.n % 4, p.n as i64 % 5 - 2);
        let step = if p.flip { 1 } else { -2 };
        let (from, to, by) = (self.int(start), self.int(start + step * len as i64), self.int(step));
        let name = self.node(WHOLE, "Range", &[&from, &to, &by]);
        self.vector(name, Some(len), 2 * LONG)
    }

    pub(super) fn numbers(&mut self, _: &Plain) -> Option<()> {
        self.vector(NUMBERS.to_owned(), Some(2), LONG)
    }
}

/// What lengths are computed for: tensors that have them.
impl Graph {
    pub(super) fn use_fill(&mut self, p: &Plain) -> Option<()> {
        let (v, len) = self.row(p.a).filter(|(_, n)| *n <= 3)?;
        let shape = self.clamped(&v, 0, LONG);
        let name = self.node(DataType::FLOAT, "ConstantOfShape", &[&shape]);
        self.tensor(name, DataType::FLOAT, len, LONG.pow(len as u32))
    }

    pub(super) fn use_range(&mut self, p: &Plain) -> Option<()> {
        let v = self.any(p.a)?;
        let limit = self.scalar(&v);
        let step = [1, 2, 3, -1][p.n % 4];
        let (other, by) = (self.int(p.n as i64 % 5 - 2), self.int(step));
        let bounds = if step > 0 { [other, limit, by] } else { [limit, other, by] };
        let name = self.node(WHOLE, "Range", &[&bounds[0], &bounds[1], &bounds[2]]);
        self.tensor(name, WHOLE, 1, LONG + 2)
    }

    pub(super) fn use_slice(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.c).filter(|d| d.rank > 0)?;
        let mut bounds = Vec::new();
        for at in [p.a, p.b] {
            let v = self.any(at)?;
            let one = match v.len {
                None => v.name,
                Some(_) => self.node(WHOLE, "ReduceMin <keepdims = 0>", &[&v.name]),
            };
            bounds.push(self.as_row(&one));
        }
        let axis = self.ints(&[(p.n % d.rank) as i64]);
        let step = self.ints(&[[1, 1, 2, -1][p.n / 4 % 4]]);
        let name = self.node(d.ty, "Slice", &[&d.name, &bounds[0], &bounds[1], &axis, &step]);
        self.tensor(name, d.ty, d.rank, d.most)
    }

    /// Of one element, or of a tensor with axes put before its own.
    pub(super) fn use_expand(&mut self, p: &Plain) -> Option<()> {
        let (v, len) = self.row(p.a).filter(|(_, n)| *n <= 3)?;
        let d = self.data(p.b)?;
        let most = LONG.pow(len as u32).saturating_mul(d.most);
        if p.flip || most > MANY || d.rank > 3 {
            let shape = self.clamped(&v, 0, LONG);
            let one = self.int(1);
            let name = self.node(WHOLE, "Expand", &[&one, &shape]);
            return self.tensor(name, WHOLE, len, LONG.pow(len as u32));
        }
        let shape = self.clamped(&v, 0, LONG);
        let ones = self.ints(&vec![1; d.rank.max(1)]);
        let target = self.node(WHOLE, "Concat <axis = 0>", &[&shape, &ones]);
        let name = self.node(d.ty, "Expand", &[&d.name, &target]);
        self.tensor(name, d.ty, len + d.rank.max(1), most)
    }

    pub(super) fn use_tile(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.c).filter(|d| (1..=3).contains(&d.rank))?;
        let most = d.most.saturating_mul(3i64.pow(d.rank as u32));
        if most > MANY {
            return None;
        }
        let mut repeats = Vec::new();
        for axis in 0..d.rank {
            let v = self.any(if axis == 0 { p.a } else { p.b })?;
            let held = self.scalar(&v);
            let three = self.int(3);
            let few = self.node(WHOLE, "Min", &[&held, &three]);
            repeats.push(self.as_row(&few));
        }
        let parts: Vec<&str> = repeats.iter().map(String::as_str).collect();
        let times = self.node(WHOLE, "Concat <axis = 0>", &parts);
        let name = self.node(d.ty, "Tile", &[&d.name, &times]);
        self.tensor(name, d.ty, d.rank, most)
    }

    /// To as many as it has, in a shape that is computed.
    pub(super) fn use_reshape(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.a)?;
        let count = self.node(WHOLE, "Size", &[&d.name]);
        let (count, one) = (self.as_row(&count), self.ints(&[1]));
        let parts = if p.flip { [&count, &one] } else { [&one, &count] };
        let target = self.node(WHOLE, "Concat <axis = 0>", &[parts[0], parts[1]]);
        let name = self.node(d.ty, "Reshape", &[&d.name, &target]);
        self.tensor(name, d.ty, 2, d.most)
    }

    /// A 0 keeps an axis, or with `allowzero` is one of no element.
    pub(super) fn use_zero(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.a).filter(|d| d.rank > 1)?;
        if p.flip && p.n.is_multiple_of(4) {
            let target = self.node(WHOLE, "Shape", &[&d.name]);
            let name = self.node(d.ty, "Reshape <allowzero = 1>", &[&d.name, &target]);
            return self.tensor(name, d.ty, d.rank, d.most);
        }
        let mut target = vec![0; d.rank - 1];
        target.push(-1);
        if p.flip {
            target.push(1);
        }
        let there = self.ints(&target);
        let name = self.node(d.ty, "Reshape", &[&d.name, &there]);
        self.tensor(name, d.ty, target.len(), d.most)
    }

    /// A -1 beside a length that is computed. It is at least 1: a 0 would be the order to copy a length.
    pub(super) fn use_minus(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.b)?;
        let minus = self.ints(&[-1]);
        if p.n.is_multiple_of(3) || d.rank == 0 {
            let name = self.node(d.ty, "Reshape", &[&d.name, &minus]);
            return self.tensor(name, d.ty, 1, d.most);
        }
        let axis = p.n / 3 % d.rank;
        let part = self.node(WHOLE, &format!("Shape <start = {axis}, end = {}>", axis + 1), &[&d.name]);
        let one = self.int(1);
        let part = self.node(WHOLE, "Max", &[&part, &one]);
        let parts = if p.flip { [&part, &minus] } else { [&minus, &part] };
        let target = self.node(WHOLE, "Concat <axis = 0>", &[parts[0], parts[1]]);
        let name = self.node(d.ty, "Reshape", &[&d.name, &target]);
        self.tensor(name, d.ty, 2, d.most)
    }

    pub(super) fn use_nonzero(&mut self, p: &Plain) -> Option<()> {
        let (name, rank, most) = match (p.flip, self.row(p.b)) {
            (true, Some((v, len))) => (v.name, 1, len as i64),
            _ => self.data(p.a).filter(|d| d.rank > 0).map(|d| (d.name, d.rank, d.most))?,
        };
        let name = self.node(WHOLE, "NonZero", &[&name]);
        self.tensor(name, WHOLE, 2, most * rank as i64)
    }

    pub(super) fn use_concat(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.a).filter(|d| d.rank > 0)?;
        let e = if p.flip {
            pick_of(&self.scope.data, p.b, |e| e.rank == d.rank && e.ty == d.ty)?
        } else {
            d.clone()
        };
        // Other axes differ unless there is one.
        let other = if d.rank > 1 { &d } else { &e };
        let most = d.most + other.most;
        if most > MANY {
            return None;
        }
        let axis = (p.n % d.rank) as i64 - if p.n.is_multiple_of(2) { 0 } else { d.rank as i64 };
        let name = self.node(d.ty, &format!("Concat <axis = {axis}>"), &[&d.name, &other.name]);
        self.tensor(name, d.ty, d.rank, most)
    }

    pub(super) fn use_transpose(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.a)?;
        let mut axes: Vec<usize> = (0..d.rank).collect();
        axes.rotate_left(p.n % d.rank.max(1));
        let (op, rank) = match (p.n % 3, p.flip) {
            (0, _) => (format!("Flatten <axis = {}>", p.n / 3 % (d.rank + 1)), 2),
            (_, true) if d.rank > 0 => (format!("Transpose <perm = {axes:?}>"), d.rank),
            _ => ("Transpose".to_owned(), d.rank),
        };
        let name = self.node(d.ty, &op, &[&d.name]);
        self.tensor(name, d.ty, rank, d.most)
    }

    /// Into parts of one length, the last one shorter; or of lengths that are computed.
    pub(super) fn use_split(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.a).filter(|d| d.rank > 0)?;
        let axis = p.n % d.rank;
        let (first, second) = (self.name('v'), self.name('v'));
        if p.flip {
            let line = format!("{first}, {second} = Split <axis = {axis}, num_outputs = 2> ({})", d.name);
            self.lines.push(line);
        } else {
            let whole = self.node(WHOLE, &format!("Shape <start = {axis}, end = {}>", axis + 1), &[&d.name]);
            let v = self.any(p.b)?;
            let some = self.scalar(&v);
            let some = self.node(WHOLE, "Min", &[&some, &whole]);
            let rest = self.node(WHOLE, "Sub", &[&whole, &some]);
            let sizes = self.node(WHOLE, "Concat <axis = 0>", &[&some, &rest]);
            self.lines.push(format!("{first}, {second} = Split <axis = {axis}> ({}, {sizes})", d.name));
        }
        for name in [first, second] {
            self.gives(d.ty, &name);
            self.tensor(name, d.ty, d.rank, d.most);
        }
        Some(())
    }

    /// Its rows with each other.
    pub(super) fn use_matmul(&mut self, p: &Plain) -> Option<()> {
        let d = pick_of(&self.scope.data, p.a, |d| d.rank == 2 && d.ty == DataType::FLOAT)?;
        let most = d.most.saturating_mul(d.most);
        if most > MANY {
            return None;
        }
        let turned = self.node(d.ty, "Transpose", &[&d.name]);
        let (left, right) = if p.flip { (&turned, &d.name) } else { (&d.name, &turned) };
        let name = self.node(d.ty, "MatMul", &[left, right]);
        self.tensor(name, d.ty, 2, most)
    }

    pub(super) fn use_unsqueeze(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.a).filter(|d| d.rank < 4)?;
        let axis = p.n as i64 % (d.rank as i64 + 1);
        let axes = self.ints(&[if p.flip { axis } else { axis - d.rank as i64 - 1 }]);
        let there = self.node(d.ty, "Unsqueeze", &[&d.name, &axes]);
        if !p.n.is_multiple_of(3) {
            return self.tensor(there, d.ty, d.rank + 1, d.most);
        }
        // And back by what is 1.
        let name = self.node(d.ty, "Squeeze", &[&there, &axes]);
        self.tensor(name, d.ty, d.rank, d.most)
    }

    pub(super) fn use_reduce(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.a).filter(|d| d.rank > 0)?;
        let axis = self.ints(&[(p.n % d.rank) as i64 - if p.flip { d.rank as i64 } else { 0 }]);
        let keep = p.n / 8 % 2;
        let name = self.node(d.ty, &format!("ReduceSum <keepdims = {keep}>"), &[&d.name, &axis]);
        self.tensor(name, d.ty, d.rank - (1 - keep), d.most)
    }

    pub(super) fn use_pad(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.a).filter(|d| d.rank > 0 && d.most < MANY / 64)?;
        let mut pads = vec![0; 2 * d.rank];
        pads[p.n % d.rank] = 1 + p.n as i64 % 2;
        pads[d.rank + p.n % d.rank] = p.n as i64 % 3;
        let pads = self.ints(&pads);
        let name = self.node(d.ty, "Pad", &[&d.name, &pads]);
        self.tensor(name, d.ty, d.rank, d.most * 4 + 4 * MANY / 64)
    }

    /// Rows by an index that may lie outside.
    pub(super) fn use_gather(&mut self, p: &Plain) -> Option<()> {
        let d = self.data(p.a).filter(|d| d.rank > 0)?;
        let index = if p.flip { self.ints(&[0, -1]) } else { self.int(0) };
        let axis = p.n % d.rank;
        let name = self.node(d.ty, &format!("Gather <axis = {axis}>"), &[&d.name, &index]);
        let rank = if p.flip { d.rank } else { d.rank - 1 };
        self.tensor(name, d.ty, rank, 2 * d.most)
    }
}

/// `Div` rounds towards zero, `Mod` has the sign of the divisor, or of the dividend.
fn division(p: &Plain) -> &'static str {
    ["Div", "Mod", "Mod <fmod = 1>"][p.n / 7 % 3]
}
