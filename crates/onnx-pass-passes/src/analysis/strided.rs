//! Walking the elements of a dense array in another order: what Transpose, Slice, Expand and their like share.

use smallvec::SmallVec;

/// A view of a dense array: element `i` of the view, counted row by row, is element `offset + Σ index·stride`
/// of the array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strided {
    /// The view's shape.
    pub dims: SmallVec<[usize; 6]>,
    /// How far one step along each axis goes; 0 repeats, negative goes back.
    pub strides: SmallVec<[isize; 6]>,
    /// Where the view's first element is.
    pub offset: isize,
}

impl Strided {
    /// The array itself.
    pub fn dense(dims: &[usize]) -> Self {
        let mut strides: SmallVec<[isize; 6]> = SmallVec::from_elem(1, dims.len());
        for i in (0..dims.len().saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * dims[i + 1] as isize;
        }
        Strided { dims: dims.into(), strides, offset: 0 }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// With the axes in another order.
    pub fn permuted(&self, perm: &[usize]) -> Self {
        Strided {
            dims: perm.iter().map(|&p| self.dims[p]).collect(),
            strides: perm.iter().map(|&p| self.strides[p]).collect(),
            offset: self.offset,
        }
    }

    /// With `count` elements of one axis, from `start`, `step` apart.
    pub fn sliced(mut self, axis: usize, start: usize, step: isize, count: usize) -> Self {
        if count > 0 {
            self.offset += self.strides[axis] * start as isize;
        }
        self.strides[axis] *= step;
        self.dims[axis] = count;
        self
    }

    /// Broadcast to a shape; `None` when it does not fit.
    pub fn broadcast(&self, dims: &[usize]) -> Option<Self> {
        let lead = dims.len().checked_sub(self.dims.len())?;
        let mut strides: SmallVec<[isize; 6]> = SmallVec::from_elem(0, lead);
        for (i, (&d, &s)) in self.dims.iter().zip(&self.strides).enumerate() {
            match (d, dims[lead + i]) {
                (d, want) if d == want => strides.push(s),
                (1, _) => strides.push(0),
                _ => return None,
            }
        }
        Some(Strided { dims: dims.into(), strides, offset: self.offset })
    }

    /// Calls `f` with the place in the array of every element of the view, in order.
    pub fn for_each(&self, mut f: impl FnMut(usize)) {
        if self.len() == 0 {
            return;
        }
        let rank = self.dims.len();
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, rank);
        let mut at = self.offset;
        loop {
            f(at as usize);
            let mut axis = rank;
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < self.dims[axis] {
                    break;
                }
                at -= self.strides[axis] * self.dims[axis] as isize;
                index[axis] = 0;
            }
        }
    }

    /// The places of all elements.
    pub fn places(&self) -> Vec<usize> {
        let mut out = Vec::with_capacity(self.len());
        self.for_each(|i| out.push(i));
        out
    }
}

/// A shape as sizes; `None` when a dim is negative or the number of elements overflows.
pub(crate) fn sizes(dims: &[i64]) -> Option<Vec<usize>> {
    let out: Vec<usize> = dims.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<_>>()?;
    out.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
    Some(out)
}

/// The shape that broadcasting makes of two shapes of numbers; `None` when they do not fit.
pub(crate) fn broadcast_sizes(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    (0..rank)
        .map(|i| {
            let at = |s: &[usize]| (i + s.len()).checked_sub(rank).map_or(1, |k| s[k]);
            match (at(a), at(b)) {
                (x, y) if x == y => Some(x),
                (1, y) => Some(y),
                (x, 1) => Some(x),
                _ => None,
            }
        })
        .collect()
}

/// The bounds of a slice along an axis of this length: first element, number of elements. As the standard
/// has it: negative bounds count from the end, and all are clamped.
pub(crate) fn slice_bounds(dim: i64, start: i64, end: i64, step: i64) -> Option<(usize, usize)> {
    if step == 0 || dim < 0 {
        return None;
    }
    let from_end = |x: i64| if x < 0 { x.saturating_add(dim) } else { x };
    let (start, end) = (from_end(start), from_end(end));
    let count = if step > 0 {
        let (s, e) = (start.clamp(0, dim), end.clamp(0, dim));
        if e > s { (e - s - 1) / step + 1 } else { 0 }
    } else {
        let (s, e) = (start.clamp(-1, dim - 1), end.clamp(-1, dim - 1));
        if s > e { (s - e - 1) / step.checked_neg()? + 1 } else { 0 }
    };
    let first = if step > 0 { start.clamp(0, dim) } else { start.clamp(-1, dim - 1).max(0) };
    Some((usize::try_from(first).ok()?, usize::try_from(count).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_as_python_does() {
        assert_eq!(slice_bounds(5, 1, i64::MAX, 2), Some((1, 2)));
        assert_eq!(slice_bounds(5, -1, i64::MIN, -1), Some((4, 5)));
        assert_eq!(slice_bounds(5, -100, 100, 1), Some((0, 5)));
        assert_eq!(slice_bounds(5, 4, 1, -2), Some((4, 2)));
        assert_eq!(slice_bounds(0, 0, 5, 1), Some((0, 0)));
        assert_eq!(slice_bounds(3, 2, 2, -1), Some((2, 0)));
    }

    #[test]
    fn views_compose() {
        let v = Strided::dense(&[2, 3]);
        assert_eq!(v.permuted(&[1, 0]).places(), [0, 3, 1, 4, 2, 5]);
        assert_eq!(v.clone().sliced(1, 2, -2, 2).places(), [2, 0, 5, 3]);
        assert_eq!(Strided::dense(&[3]).broadcast(&[2, 3]).map(|s| s.places()), Some(vec![0, 1, 2, 0, 1, 2]));
        assert_eq!(Strided::dense(&[]).places(), [0]);
        assert_eq!(Strided::dense(&[0, 3]).places(), [0usize; 0]);
    }
}
