//! Fixed buffers: new rows scattered into a buffer, and rows gathered from it.
//!
//! Under the promise of a single prefill (`position_ids` counts 0, 1, 2, … and padding stands at the end) the
//! chunk is the whole context: a buffer as long as the chunk then holds, after the scatter, the new rows in
//! their order, and a gather of rows 0, 1, 2, … takes them out as they are. That is proven here from the index
//! tensors, element by element; a writer or reader whose indices say anything else is refused.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Def, Model, NodeId, Use, ValueId};

use super::index::{Indexer, Leaf, as_coordinate, axis_of, coordinate};
use crate::analysis::Analysis;

/// What is known of one writer.
#[derive(Clone, Debug)]
pub struct Writer {
    /// The scatter.
    pub node: NodeId,
    /// The buffer as the writer sees it.
    pub data: ValueId,
    /// The new rows.
    pub updates: ValueId,
    /// The axis of the buffer's length.
    pub axis: usize,
    /// The buffer's length, which is to become the chunk's.
    pub buffer: Expr,
    /// The chunk's length.
    pub chunk: Expr,
    /// Whether positions wrap around at the buffer's end.
    pub rolling: bool,
    /// Inputs that the promise is about: positions, and slots of a batch.
    pub positions: Vec<ValueId>,
    /// The inputs that count, and of an input of several rows of positions which of them.
    pub counted: Vec<(ValueId, Vec<Expr>)>,
    /// For each axis before the row's contents: the slot that it is written to, where that is another input's
    /// word (`batch_index`) and not simply the same place.
    pub slots: Vec<Option<(ValueId, usize)>>,
}

/// What one index says under the promise.
struct Position {
    rolling: bool,
    inputs: Vec<Counted>,
}

/// An input that counts, with the coordinates before the last along which it does.
type Counted = (ValueId, Vec<Expr>);

/// Analyses a writer.
///
/// # Errors
/// What the indices say instead of row after row.
pub fn writer(m: &Model, a: &Analysis, node: NodeId) -> Result<Writer, String> {
    let n = m.node(node);
    if n.str("reduction").is_some_and(|r| r != "none") {
        return Err("it adds to the buffer instead of overwriting rows".into());
    }
    match n.op_type() {
        "ScatterND" => scatter_nd(m, a, node),
        "ScatterElements" | "Scatter" => scatter_elements(m, a, node),
        "TensorScatter" => tensor_scatter(m, a, node),
        other => Err(format!("{other} is not a way of writing rows that is known here")),
    }
}

fn operands(m: &Model, node: NodeId) -> Result<(ValueId, ValueId, ValueId), String> {
    let n = m.node(node);
    match (n.input(0), n.input(1), n.input(2)) {
        (Some(a), Some(b), Some(c)) => Ok((a, b, c)),
        _ => Err("an operand is missing".into()),
    }
}

fn shape(a: &Analysis, v: ValueId) -> Result<&[Expr], String> {
    a.shape(v).ok_or_else(|| "a shape on the way is not known".to_string())
}

fn scatter_nd(m: &Model, a: &Analysis, node: NodeId) -> Result<Writer, String> {
    let (data, indices, updates) = operands(m, node)?;
    let (data_shape, index_shape, new_shape) = (shape(a, data)?, shape(a, indices)?, shape(a, updates)?);
    let parts = index_shape.last().and_then(Expr::as_const).unwrap_or(0);
    let lead = index_shape.len().saturating_sub(1);
    if parts != lead as i64 || new_shape.len() != data_shape.len() || lead > data_shape.len() {
        return Err("its indices do not name one row for each place of the new rows".into());
    }
    let mut ix = Indexer::new(m, a);
    let mut w = Writer {
        node,
        data,
        updates,
        axis: usize::MAX,
        buffer: Expr::constant(0),
        chunk: Expr::constant(0),
        rolling: false,
        positions: Vec::new(),
        counted: Vec::new(),
        slots: vec![None; lead],
    };
    for axis in 0..lead {
        let mut coords: Vec<Expr> = (0..lead).map(coordinate).collect();
        coords.push(Expr::constant(axis as i64));
        let e = ix.element(indices, &coords).ok_or("its indices cannot be followed")?;
        if same_place(&e, axis, &new_shape[axis]) {
            same_extent(a, &data_shape[axis], &new_shape[axis], axis)?;
        } else if w.axis == usize::MAX
            && let Some(p) = position(m, &ix, &e, axis, &data_shape[axis])
        {
            (w.axis, w.rolling) = (axis, p.rolling);
            w.positions.extend(p.inputs.iter().map(|i| i.0));
            w.counted = p.inputs;
        } else if let Some(slot) = slot(m, &ix, &e, axis) {
            w.slots[axis] = Some(slot);
            w.positions.push(slot.0);
        } else {
            return Err(format!("its index along axis {axis} is `{e}`: not the row of its position"));
        }
    }
    finish(a, w)
}

fn scatter_elements(m: &Model, a: &Analysis, node: NodeId) -> Result<Writer, String> {
    let (data, indices, updates) = operands(m, node)?;
    let (data_shape, new_shape) = (shape(a, data)?, shape(a, updates)?);
    let axis =
        axis_of(m.node(node).int("axis").unwrap_or(0), data_shape.len()).ok_or("its axis is out of range")?;
    let mut ix = Indexer::new(m, a);
    let coords: Vec<Expr> = (0..data_shape.len()).map(coordinate).collect();
    let e = ix.element(indices, &coords).ok_or("its indices cannot be followed")?;
    let p = position(m, &ix, &e, axis, &data_shape[axis])
        .ok_or_else(|| format!("its index is `{e}`: not the row of its position"))?;
    for (k, (d, n)) in data_shape.iter().zip(new_shape).enumerate() {
        if k != axis {
            same_extent(a, d, n, k)?;
        }
    }
    let w = Writer {
        node,
        data,
        updates,
        axis,
        buffer: Expr::constant(0),
        chunk: Expr::constant(0),
        rolling: p.rolling,
        positions: p.inputs.iter().map(|i| i.0).collect(),
        counted: p.inputs,
        slots: vec![None; data_shape.len()],
    };
    finish(a, w)
}

fn tensor_scatter(m: &Model, a: &Analysis, node: NodeId) -> Result<Writer, String> {
    let n = m.node(node);
    let (Some(data), Some(updates)) = (n.input(0), n.input(1)) else {
        return Err("an operand is missing".into());
    };
    let data_shape = shape(a, data)?;
    let axis = axis_of(n.int("axis").unwrap_or(-2), data_shape.len()).ok_or("its axis is out of range")?;
    let positions = match n.input(2) {
        None => Vec::new(),
        Some(v) if a.fact(v).const_items().is_some_and(|i| i.iter().all(|x| *x == 0)) => Vec::new(),
        Some(v) => vec![origin(m, v).ok_or("its write indices are computed, not an input")?],
    };
    let w = Writer {
        node,
        data,
        updates,
        axis,
        buffer: Expr::constant(0),
        chunk: Expr::constant(0),
        rolling: n.str("mode") == Some("circular"),
        positions,
        counted: Vec::new(),
        slots: vec![None; data_shape.len()],
    };
    finish(a, w)
}

fn finish(a: &Analysis, mut w: Writer) -> Result<Writer, String> {
    if w.axis == usize::MAX {
        return Err("none of its indices is a position that an input gives".into());
    }
    w.buffer = shape(a, w.data)?[w.axis].clone();
    w.chunk = shape(a, w.updates)?[w.axis].clone();
    w.positions.sort_unstable();
    w.positions.dedup();
    Ok(w)
}

/// One promise is about one count: writers whose rows different inputs tell (or different rows of one) would
/// need one each.
///
/// # Errors
/// The first writer that goes by another count, and why that is none.
pub fn same_positions(m: &Model, writers: &[Writer]) -> Result<(), (NodeId, String)> {
    let mut first: Option<&Counted> = None;
    for w in writers {
        for this in &w.counted {
            let one = first.get_or_insert(this);
            if *one != this {
                let (a, b) = (m.name(one.0), m.name(this.0));
                let reason = if a == b {
                    format!("another row of `{a}` tells where than for other caches")
                } else {
                    format!(
                        "`{b}` tells where, and for other caches `{a}` does: only one of them counts rows"
                    )
                };
                return Err((w.node, reason));
            }
        }
    }
    Ok(())
}

/// Whether an index is the place along its own axis.
fn same_place(e: &Expr, axis: usize, extent: &Expr) -> bool {
    as_coordinate(e) == Some(axis) || (e.is_zero() && extent.is_one())
}

fn same_extent(a: &Analysis, data: &Expr, new: &Expr, axis: usize) -> Result<(), String> {
    if data == new || a.symbols.equal(data, new) == Some(true) {
        return Ok(());
    }
    // The batch of a buffer and the batch of the other inputs may have two names; whether they agree is the
    // caller's business either way: a smaller write would leave rows of the past.
    if axis == 0 && data.as_symbol().is_some() && !new.is_const() {
        return Ok(());
    }
    Err(format!("it writes {new} of {data} along axis {axis}: part of the past would stay"))
}

/// The graph input that a value is, looked at through casts and reshapes.
fn origin(m: &Model, v: ValueId) -> Option<ValueId> {
    let mut v = v;
    loop {
        match m.value(v).def() {
            Def::Input if m.value(v).graph() == m.main() => return Some(v),
            Def::Node { node, .. } => {
                let n = m.node(node);
                if !matches!(n.op_type(), "Identity" | "Cast" | "Squeeze" | "Unsqueeze" | "Reshape") {
                    return None;
                }
                v = n.input(0)?;
            }
            _ => return None,
        }
    }
}

/// Whether an index is the row's position under the promise: the coordinate `axis`, possibly wrapped at the
/// buffer's end.
fn position(m: &Model, ix: &Indexer<'_>, e: &Expr, axis: usize, buffer: &Expr) -> Option<Position> {
    let mut inputs = Vec::new();
    let told = promised(m, ix, e, &mut inputs, 0)?;
    if inputs.is_empty() {
        return None;
    }
    // Padding (-1) must not be bent into a row that is a token's.
    let padded = e.substitute(&|s| s.starts_with('%').then(|| Expr::constant(-1)));
    if padded.as_const().is_some_and(|row| row >= 0) {
        return None;
    }
    let here = coordinate(axis);
    if told == here {
        return Some(Position { rolling: false, inputs });
    }
    (told == here.modulo(buffer)).then_some(Position { rolling: true, inputs })
}

/// An expression with the promise put in: an input of positions counts along its last axis.
fn promised(m: &Model, ix: &Indexer<'_>, e: &Expr, inputs: &mut Vec<Counted>, depth: usize) -> Option<Expr> {
    if depth > 8 {
        return None;
    }
    let mut told: Vec<(String, Expr)> = Vec::new();
    for (symbol, leaf) in ix.leaves_in(e) {
        let value = match leaf {
            Leaf::Element { value, coords } => {
                let (last, before) = coords.split_last()?;
                let of_row = |(k, c): (usize, &Expr)| {
                    // Each prompt has positions of its own: those of another would put its padding elsewhere.
                    let only = c.is_const() && (k + 1 < before.len() || ix.is_one(*value, k));
                    only || as_coordinate(c) == Some(0)
                };
                before.iter().enumerate().all(of_row).then_some(())?;
                let row = (origin(m, *value)?, before.to_vec());
                if !inputs.contains(&row) {
                    inputs.push(row);
                }
                last.clone()
            }
            // Padding may be marked by a number of its own, which must not be a row's.
            Leaf::Where { condition, coords, then, otherwise } => {
                let (real, padding) = if holds_for_rows(m, ix, *condition, coords, inputs)? {
                    (then, otherwise)
                } else {
                    (otherwise, then)
                };
                if padding.as_const().is_some_and(|mark| (0..i64::from(i32::MAX)).contains(&mark)) {
                    return None;
                }
                promised(m, ix, real, inputs, depth + 1)?
            }
        };
        told.push((symbol.to_string(), value));
    }
    Some(e.substitute(&|s| told.iter().find(|(k, _)| k == s).map(|(_, v)| v.clone())))
}

/// Whether a comparison holds for every row with a real position (0 or more): `Some(false)` when for none,
/// nothing when it may be either.
fn holds_for_rows(
    m: &Model,
    ix: &Indexer<'_>,
    condition: ValueId,
    coords: &[Expr],
    inputs: &mut Vec<Counted>,
) -> Option<bool> {
    let mut own = ix.again();
    let at = own.element(condition, coords)?;
    let Leaf::Element { value, coords } = own.leaf(&at)?.clone() else { return None };
    let n = m.node(m.value(value).producer()?);
    let mut operand = |k: usize| {
        let v = n.input(k)?;
        let rank = own.rank(v)?;
        let skip = coords.len().checked_sub(rank)?;
        own.element(v, &coords[skip..])
    };
    let (a, b) = (operand(0)?, operand(1)?);
    let (swapped, position, bound) = match (a.as_const(), b.as_const()) {
        (None, Some(k)) => (false, a, k),
        (Some(k), None) => (true, b, k),
        _ => return None,
    };
    let told = promised(m, &own, &position, inputs, 7)?;
    as_coordinate(&told)?;
    // For a position p of 0 or more:
    let below = |strict: bool| if bound < 0 || (strict && bound == 0) { Some(false) } else { None };
    let above = |strict: bool| if bound < 0 || (!strict && bound == 0) { Some(true) } else { None };
    match (n.op_type(), swapped) {
        ("Equal", _) if bound < 0 => Some(false),
        ("Less", false) | ("Greater", true) => below(true),
        ("LessOrEqual", false) | ("GreaterOrEqual", true) => below(false),
        ("Greater", false) | ("Less", true) => above(true),
        ("GreaterOrEqual", false) | ("LessOrEqual", true) => above(false),
        _ => None,
    }
}

/// An index that an input gives for each place along `axis` alone: a slot of the batch.
fn slot(m: &Model, ix: &Indexer<'_>, e: &Expr, axis: usize) -> Option<(ValueId, usize)> {
    let Leaf::Element { value, coords } = ix.leaf(e)? else { return None };
    let mut moving = coords.iter().enumerate().filter(|(_, c)| !c.is_const());
    let (k, c) = moving.next()?;
    (moving.next().is_none() && as_coordinate(c) == Some(axis)).then_some(())?;
    origin(m, *value).map(|v| (v, k))
}

/// What a reader takes from a buffer.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The gather.
    pub node: NodeId,
    /// The buffer.
    pub data: ValueId,
    /// The axis of the rows.
    pub axis: usize,
    /// The first row.
    pub offset: Expr,
    /// How many rows.
    pub rows: Expr,
    /// Where the index is not the row but a mark, and what the mark is.
    pub invalid: Option<Invalid>,
}

/// Rows that are not to be read.
#[derive(Clone, Debug)]
pub struct Invalid {
    /// The condition's tensor.
    pub condition: ValueId,
    /// Which of its elements, by the gather's places.
    pub coords: Vec<Expr>,
    /// The mark.
    pub mark: i64,
}

/// The gathers that read `buffer`, looked at through identities and casts.
pub fn readers_of(m: &Model, buffer: ValueId) -> Vec<NodeId> {
    let mut out = Vec::new();
    let mut work = vec![buffer];
    while let Some(v) = work.pop() {
        for u in m.value(v).uses() {
            let Use::Node { node, slot: 0 } = *u else { continue };
            let n = m.node(node);
            match n.op_type() {
                "GatherND" if n.domain().is_empty() => out.push(node),
                "Identity" | "Cast" if n.domain().is_empty() => work.extend(n.output(0)),
                _ => {}
            }
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// Analyses a reader of the rows that `w` wrote. `None` when it does not read row by row (an ordinary read
/// of the contents, which needs no rewriting).
///
/// # Errors
/// What its indices say instead.
pub fn reader(m: &Model, a: &Analysis, node: NodeId, w: &Writer) -> Result<Reader, String> {
    let n = m.node(node);
    let (Some(data), Some(indices)) = (n.input(0), n.input(1)) else {
        return Err("an operand is missing".into());
    };
    let (data_shape, index_shape) = (shape(a, data)?, shape(a, indices)?);
    let batch = usize::try_from(n.int("batch_dims").unwrap_or(0)).unwrap_or(0);
    let parts = index_shape.last().and_then(Expr::as_const).unwrap_or(0) as usize;
    let lead = index_shape.len().saturating_sub(1);
    if lead != batch + parts || lead > data_shape.len() || lead <= w.axis {
        return Err("its indices do not name one row for each place".into());
    }
    let mut ix = Indexer::new(m, a);
    let mut out = Reader {
        node,
        data,
        axis: w.axis,
        offset: Expr::constant(0),
        rows: index_shape[w.axis].clone(),
        invalid: None,
    };
    for (axis, extent) in index_shape.iter().enumerate().take(lead) {
        let e = if axis < batch {
            coordinate(axis)
        } else {
            let mut coords: Vec<Expr> = (0..lead).map(coordinate).collect();
            coords.push(Expr::constant((axis - batch) as i64));
            ix.element(indices, &coords).ok_or("its indices cannot be followed")?
        };
        if axis == w.axis {
            rows(&ix, &e, axis, &mut out)?;
            continue;
        }
        let slot = slot(m, &ix, &e, axis);
        let fits = match w.slots.get(axis).copied().flatten() {
            Some(written) => slot == Some(written),
            None => same_place(&e, axis, extent),
        };
        if !fits {
            return Err(format!("its index along axis {axis} is `{e}`, and what was written there is not"));
        }
    }
    Ok(out)
}

/// The rows that an index along the buffer's length names.
fn rows(ix: &Indexer<'_>, e: &Expr, axis: usize, out: &mut Reader) -> Result<(), String> {
    let mut row = e.clone();
    if let Some(Leaf::Where { condition, coords, then, otherwise }) = ix.leaf(e) {
        let (mark, plain) = match (then.as_const(), otherwise.as_const()) {
            (Some(mark), None) => (mark, otherwise),
            _ => return Err(format!("rows `{then}` or `{otherwise}` are read: not row after row")),
        };
        out.invalid = Some(Invalid { condition: *condition, coords: coords.clone(), mark });
        row = plain.clone();
    }
    let offset = &row - &coordinate(axis);
    if offset.symbols().iter().any(|s| s.starts_with('@') || s.starts_with('%')) {
        return Err(format!("row `{row}` is read at place `@{axis}`: not row after row"));
    }
    out.offset = offset;
    Ok(())
}
