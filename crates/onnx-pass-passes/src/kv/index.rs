//! What one element of an integer tensor is, as an expression over its coordinates.
//!
//! Index tensors are built from `Range`, `Unsqueeze`, `Expand`, `Concat` and the like. Instead of matching the
//! many spellings, an element is pulled back through them: element `[@0, @1, 2]` of
//! `Concat(batch, heads, positions)` is element `[@0, @1, 0]` of `positions`, and so on, until it is an
//! expression over the coordinates and over elements of tensors that cannot be looked through (leaves).

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{DataType, Def, EcoString, Model, Node, ValueId};

use crate::analysis::Analysis;

/// What stands behind a symbol that [`Indexer`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// An element of a tensor that is not looked through.
    Element {
        /// The tensor.
        value: ValueId,
        /// Which of its elements.
        coords: Vec<Expr>,
    },
    /// `Where(condition, then, otherwise)`.
    Where {
        /// The condition's tensor.
        condition: ValueId,
        /// Which of its elements.
        coords: Vec<Expr>,
        /// The value where it holds.
        then: Expr,
        /// The value elsewhere.
        otherwise: Expr,
    },
}

/// Pulls elements back to their sources.
pub struct Indexer<'a> {
    model: &'a Model,
    analysis: &'a Analysis,
    leaves: Vec<Leaf>,
    /// Steps that one pull may still take: chains in a model have no bound of their own.
    fuel: usize,
}

/// The symbol of coordinate `axis`.
pub fn coordinate(axis: usize) -> Expr {
    Expr::symbol(ecow::eco_format!("@{axis}"))
}

/// The number of a coordinate symbol.
pub fn as_coordinate(e: &Expr) -> Option<usize> {
    e.as_symbol()?.strip_prefix('@')?.parse().ok()
}

const MAX_STEPS: usize = 4096;
const MAX_DEPTH: usize = 256;

impl<'a> Indexer<'a> {
    /// An indexer for a model and its analysis.
    pub fn new(model: &'a Model, analysis: &'a Analysis) -> Self {
        Indexer { model, analysis, leaves: Vec::new(), fuel: MAX_STEPS }
    }

    /// A new one over the same model, for a question beside the one at hand.
    pub fn again(&self) -> Indexer<'a> {
        Indexer::new(self.model, self.analysis)
    }

    /// The rank of a tensor, if known.
    pub fn rank(&self, v: ValueId) -> Option<usize> {
        self.shape(v).map(<[Expr]>::len)
    }

    /// Whether an axis of a tensor has one element.
    pub fn is_one(&self, v: ValueId, axis: usize) -> bool {
        self.shape(v).and_then(|s| s.get(axis)).is_some_and(Expr::is_one)
    }

    /// The leaf behind an expression that is one of our symbols.
    pub fn leaf(&self, e: &Expr) -> Option<&Leaf> {
        let k: usize = e.as_symbol()?.strip_prefix('%')?.parse().ok()?;
        self.leaves.get(k)
    }

    /// The leaves that occur in an expression.
    pub fn leaves_in(&self, e: &Expr) -> Vec<(EcoString, &Leaf)> {
        let of = |s: EcoString| {
            let k: usize = s.strip_prefix('%')?.parse().ok()?;
            Some((s, self.leaves.get(k)?))
        };
        e.symbols().into_iter().filter_map(of).collect()
    }

    /// The element of `value` at `coords`; `None` when the rank is not known or does not fit.
    pub fn element(&mut self, value: ValueId, coords: &[Expr]) -> Option<Expr> {
        self.fuel = MAX_STEPS;
        self.pull(value, coords, 0)
    }

    fn as_leaf(&mut self, leaf: Leaf) -> Expr {
        let k = self.leaves.iter().position(|l| *l == leaf).unwrap_or_else(|| {
            self.leaves.push(leaf);
            self.leaves.len() - 1
        });
        Expr::symbol(ecow::eco_format!("%{k}"))
    }

    fn shape(&self, v: ValueId) -> Option<&'a [Expr]> {
        self.analysis.shape(v)
    }

    fn pull(&mut self, value: ValueId, coords: &[Expr], depth: usize) -> Option<Expr> {
        let shape = self.shape(value)?;
        if shape.len() != coords.len() {
            return None;
        }
        // Along an axis of one element there is only its first.
        let zero = Expr::constant(0);
        let coords: Vec<Expr> = coords
            .iter()
            .zip(shape)
            .map(|(c, d)| if d.is_one() { zero.clone() } else { c.clone() })
            .collect();
        if let Some(e) = self.known(value, &coords) {
            return Some(e);
        }
        self.fuel = self.fuel.checked_sub(1)?;
        let through = match self.model.value(value).def() {
            Def::Node { node, .. } if depth < MAX_DEPTH => {
                self.through(self.model.node(node), &coords, shape, depth + 1)
            }
            _ => None,
        };
        through.or_else(|| Some(self.as_leaf(Leaf::Element { value, coords })))
    }

    /// An element of known contents: at constant coordinates, or of a constant ramp along one axis.
    fn known(&self, value: ValueId, coords: &[Expr]) -> Option<Expr> {
        let fact = self.analysis.fact(value);
        let dims = fact.const_shape()?;
        if let Some(items) = &fact.items {
            let mut at = 0i64;
            let fixed = coords.iter().zip(&dims).try_for_each(|(c, d)| {
                at = at.checked_mul(*d)?.checked_add(c.as_const()?)?;
                Some(())
            });
            if fixed.is_some() {
                return items.get(usize::try_from(at).ok()?)?.clone();
            }
        }
        self.ramp(value, coords, &dims)
    }

    fn ramp(&self, value: ValueId, coords: &[Expr], dims: &[i64]) -> Option<Expr> {
        let fact = self.analysis.fact(value);
        let items = match fact.const_items() {
            Some(items) => items,
            None => fact.tensor.as_ref().filter(|t| t.len().is_ok_and(|n| n <= 1 << 20))?.to_i64s().ok()?,
        };
        let mut long = dims.iter().enumerate().filter(|(_, d)| **d != 1);
        let axis = long.next().map(|(a, _)| a);
        if long.next().is_some() {
            // Several axes: only a tensor of one value is told.
            let first = *items.first()?;
            return items.iter().all(|x| *x == first).then(|| Expr::constant(first));
        }
        let (Some(axis), Some(&first)) = (axis, items.first()) else {
            return items.first().map(|x| Expr::constant(*x));
        };
        let step = items.get(1)?.checked_sub(first)?;
        let straight = items.windows(2).all(|w| w[1].checked_sub(w[0]) == Some(step));
        straight.then(|| &Expr::constant(first) + &(&Expr::constant(step) * &coords[axis]))
    }

    /// The element of a node's first output, in terms of its inputs.
    fn through(&mut self, n: &Node, coords: &[Expr], shape: &[Expr], depth: usize) -> Option<Expr> {
        if !n.domain().is_empty() {
            return None;
        }
        match n.op_type() {
            "Identity" => self.pull(n.input(0)?, coords, depth),
            "Cast" => {
                // Between integers the value stays (what does not fit has no business in an index).
                let to = DataType(i32::try_from(n.int("to")?).ok()?);
                let from = self.analysis.dtype(n.input(0)?)?;
                if !to.is_integer() || !(from.is_integer() || from == DataType::BOOL) {
                    return None;
                }
                self.pull(n.input(0)?, coords, depth)
            }
            "Range" => {
                let start = self.scalar(n.input(0)?, depth)?;
                let step = self.scalar(n.input(2)?, depth)?;
                Some(&start + &(&step * coords.first()?))
            }
            "Expand" => self.broadcast(n.input(0)?, coords, shape, depth),
            "Unsqueeze" | "Squeeze" | "Reshape" => self.ones(n.input(0)?, coords, shape, depth),
            "Transpose" => {
                let rank = coords.len();
                let default: Vec<i64> = (0..rank as i64).rev().collect();
                let perm = n.ints("perm").unwrap_or(&default);
                let mut inner = vec![Expr::constant(0); rank];
                for (out, axis) in perm.iter().enumerate() {
                    *inner.get_mut(usize::try_from(*axis).ok()?)? = coords.get(out)?.clone();
                }
                self.pull(n.input(0)?, &inner, depth)
            }
            "Concat" => self.concat(n, coords, depth),
            "Gather" => self.gather(n, coords, depth),
            "Slice" => self.slice(n, coords, depth),
            "Where" => self.choose(n, coords, shape, depth),
            "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Min" | "Max" => self.arithmetic(n, coords, shape, depth),
            "Neg" => Some(-&self.pull(n.input(0)?, coords, depth)?),
            _ => None,
        }
    }

    /// The one element of a tensor of any rank.
    fn scalar(&mut self, v: ValueId, depth: usize) -> Option<Expr> {
        let rank = self.shape(v)?.len();
        let coords = vec![Expr::constant(0); rank];
        self.pull(v, &coords, depth)
    }

    /// An operand that is broadcast to `shape`.
    fn broadcast(&mut self, v: ValueId, coords: &[Expr], shape: &[Expr], depth: usize) -> Option<Expr> {
        let coords = self.stretched(v, coords, shape)?;
        self.pull(v, &coords, depth)
    }

    /// The coordinates in an operand that is broadcast to `shape`: along each axis it has one element, or as many
    /// as the whole. Where it may be either, nothing is told.
    fn stretched(&self, v: ValueId, coords: &[Expr], shape: &[Expr]) -> Option<Vec<Expr>> {
        let own = self.shape(v)?;
        let skip = coords.len().checked_sub(own.len())?;
        let pairs = own.iter().zip(shape.get(skip..)?).zip(&coords[skip..]);
        pairs
            .map(|((d, whole), c)| {
                let full = d == whole || self.analysis.symbols.equal(d, whole) == Some(true);
                if d.is_one() { Some(Expr::constant(0)) } else { full.then(|| c.clone()) }
            })
            .collect()
    }

    /// Through an op that only puts in or takes out axes of one element.
    fn ones(&mut self, v: ValueId, coords: &[Expr], shape: &[Expr], depth: usize) -> Option<Expr> {
        let inner = self.shape(v)?;
        let kept: Vec<&Expr> =
            coords.iter().zip(shape).filter(|(_, d)| !d.is_one()).map(|(c, _)| c).collect();
        let dims = shape.iter().filter(|d| !d.is_one());
        let same = inner.iter().filter(|d| !d.is_one()).eq(dims);
        if !same {
            return None;
        }
        let mut kept = kept.into_iter();
        let zero = Expr::constant(0);
        let coords: Option<Vec<Expr>> = inner
            .iter()
            .map(|d| if d.is_one() { Some(zero.clone()) } else { kept.next().cloned() })
            .collect();
        self.pull(v, &coords?, depth)
    }

    fn concat(&mut self, n: &Node, coords: &[Expr], depth: usize) -> Option<Expr> {
        let axis = axis_of(n.int("axis")?, coords.len())?;
        if n.inputs().len() == 1 {
            return self.pull(n.input(0)?, coords, depth);
        }
        let mut at = coords[axis].as_const()?;
        for v in n.inputs() {
            let v = (*v)?;
            let len = self.shape(v)?.get(axis)?.as_const()?;
            if at < len {
                let mut inner = coords.to_vec();
                inner[axis] = Expr::constant(at);
                return self.pull(v, &inner, depth);
            }
            at -= len;
        }
        None
    }

    fn gather(&mut self, n: &Node, coords: &[Expr], depth: usize) -> Option<Expr> {
        let (data, index) = (n.input(0)?, n.input(1)?);
        let axis = axis_of(n.int("axis").unwrap_or(0), self.shape(data)?.len())?;
        let index_rank = self.shape(index)?.len();
        let at = self.pull(index, coords.get(axis..axis + index_rank)?, depth)?;
        let at = match at.as_const() {
            Some(k) if k < 0 => &at + self.shape(data)?.get(axis)?,
            _ => at,
        };
        let mut inner = coords[..axis].to_vec();
        inner.push(at);
        inner.extend_from_slice(&coords[axis + index_rank..]);
        self.pull(data, &inner, depth)
    }

    fn slice(&mut self, n: &Node, coords: &[Expr], depth: usize) -> Option<Expr> {
        let data = n.input(0)?;
        let shape = self.shape(data)?;
        let starts = self.analysis.fact(n.input(1)?).items.clone()?;
        let axes: Vec<i64> = match n.input(3) {
            Some(a) => self.analysis.fact(a).const_items()?,
            None => (0..starts.len() as i64).collect(),
        };
        let steps: Vec<i64> = match n.input(4) {
            Some(s) => self.analysis.fact(s).const_items()?,
            None => vec![1; starts.len()],
        };
        let mut inner = coords.to_vec();
        for ((start, axis), step) in starts.iter().zip(axes).zip(steps) {
            let axis = axis_of(axis, shape.len())?;
            let start = start.as_ref()?;
            // A start from the front that is not beyond the end: what is behind it is what the slice has.
            if step < 1 || !start.is_nonneg() {
                return None;
            }
            if let (Some(s), Some(len)) = (start.as_const(), shape[axis].as_const())
                && s > len
            {
                return None;
            }
            inner[axis] = start + &(&Expr::constant(step) * &coords[axis]);
        }
        self.pull(data, &inner, depth)
    }

    fn choose(&mut self, n: &Node, coords: &[Expr], shape: &[Expr], depth: usize) -> Option<Expr> {
        let then = self.broadcast(n.input(1)?, coords, shape, depth)?;
        let otherwise = self.broadcast(n.input(2)?, coords, shape, depth)?;
        if then == otherwise {
            return Some(then);
        }
        let condition = n.input(0)?;
        let at = self.stretched(condition, coords, shape)?;
        Some(self.as_leaf(Leaf::Where { condition, coords: at, then, otherwise }))
    }

    fn arithmetic(&mut self, n: &Node, coords: &[Expr], shape: &[Expr], depth: usize) -> Option<Expr> {
        if !self.analysis.dtype(n.output(0)?)?.is_integer() {
            return None;
        }
        let a = self.broadcast(n.input(0)?, coords, shape, depth)?;
        let b = self.broadcast(n.input(1)?, coords, shape, depth)?;
        if n.inputs().len() != 2 {
            return None;
        }
        // Symbols count as not negative, and an element that is not looked through may be: -1 marks padding.
        let sure = !(&a - &b).symbols().iter().any(|s| s.starts_with('%'));
        Some(match n.op_type() {
            "Min" | "Max" | "Div" if !sure => return None,
            "Add" => &a + &b,
            "Sub" => &a - &b,
            "Mul" => &a * &b,
            "Min" => Expr::min(&a, &b),
            "Max" => Expr::max(&a, &b),
            // ONNX divides integers towards zero, which is the floor for what is not negative.
            "Div" if a.is_nonneg() && b.is_nonneg() => a.floor_div(&b),
            "Mod" if n.int("fmod").unwrap_or(0) == 0 => a.modulo(&b),
            _ => return None,
        })
    }
}

/// An axis counted from the front.
pub fn axis_of(axis: i64, rank: usize) -> Option<usize> {
    crate::analysis::NodeCx::axis(axis, rank)
}
