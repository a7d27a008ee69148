//! Sliding windows: what convolutions and pools have in common.

use onnx_pass_ir::sym::Expr;

use super::{NodeCx, c};

/// `auto_pad`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AutoPad {
    /// `pads` says it.
    NotSet,
    /// As much as keeps `ceil(input / stride)`.
    Same,
    /// None.
    Valid,
}

/// The attributes of a window, one entry a spatial axis.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    /// `strides`
    pub strides: Vec<i64>,
    /// `dilations`
    pub dilations: Vec<i64>,
    /// `pads`, the beginnings
    pub before: Vec<i64>,
    /// `pads`, the ends
    pub after: Vec<i64>,
    /// `auto_pad`
    pub auto_pad: AutoPad,
    /// `ceil_mode`
    pub ceil: bool,
}

impl Windows {
    /// The window of a node with this many spatial axes; `None` when the attributes are not valid.
    pub fn of(cx: &NodeCx<'_>, axes: usize) -> Option<Self> {
        let list = |name: &str, default: i64, len: usize| match cx.int_list(name) {
            Some(v) if !v.is_empty() => (v.len() == len).then(|| v.to_vec()),
            _ => Some(vec![default; len]),
        };
        let strides = list("strides", 1, axes)?;
        let dilations = list("dilations", 1, axes)?;
        let pads = list("pads", 0, axes * 2)?;
        let auto_pad = match cx.str("auto_pad") {
            None | Some("" | "NOTSET") => AutoPad::NotSet,
            Some("SAME_UPPER" | "SAME_LOWER") => AutoPad::Same,
            Some("VALID") => AutoPad::Valid,
            Some(_) => return None,
        };
        if strides.iter().chain(&dilations).any(|v| *v < 1) {
            return None;
        }
        let (before, after) = match auto_pad {
            AutoPad::NotSet => (pads[..axes].to_vec(), pads[axes..].to_vec()),
            _ => (vec![0; axes], vec![0; axes]),
        };
        let ceil = cx.int_or("ceil_mode", 0) != 0;
        Some(Windows { strides, dilations, before, after, auto_pad, ceil })
    }

    /// The stretch that a kernel covers on an axis.
    pub fn extent(&self, axis: usize, kernel: &Expr) -> Expr {
        (kernel - 1) * self.dilations[axis] + 1
    }

    /// How many windows fit on an axis. (Of an input that is shorter than a window, padding included, the
    /// standard makes nothing. ONNX Runtime's pools, whose division rounds towards zero, may make one element
    /// of it; that is taken for its fault.)
    pub fn count(&self, axis: usize, input: &Expr, kernel: &Expr) -> Expr {
        let stride = c(self.strides[axis]);
        if self.auto_pad == AutoPad::Same {
            return input.ceil_div(&stride);
        }
        let before = input + self.before[axis];
        let extent = self.extent(axis, kernel);
        let room = &before + self.after[axis] - &extent;
        if !self.ceil {
            return room.floor_div(&stride) + 1;
        }
        let windows = room.ceil_div(&stride) + 1;
        // A window that would start in the padding at the end is dropped. The end padding is at most a
        // window (`pool` sees to it), so one is, and none where that much more is covered.
        if (&extent - self.after[axis]).as_const().is_some_and(|inside| inside >= self.strides[axis]) {
            return windows;
        }
        windows.min(&before.ceil_div(&stride))
    }
}

/// Lengths of the spatial axes, `None` for one that is not known.
pub(super) type Spatial = Vec<Option<Expr>>;

/// The kernel: the attribute, or what the weight has after these many axes.
pub(super) fn kernel(cx: &NodeCx<'_>, axes: usize, weight: Option<(usize, usize)>) -> Spatial {
    if let Some(k) = cx.int_list("kernel_shape").filter(|k| k.len() == axes) {
        return k.iter().map(|k| Some(c(*k))).collect();
    }
    let from = weight.and_then(|(input, skip)| Some(cx.shape(input)?.get(skip..)?.to_vec()));
    match from {
        Some(k) if k.len() >= axes => k.into_iter().take(axes).map(Some).collect(),
        _ => vec![None; axes],
    }
}
