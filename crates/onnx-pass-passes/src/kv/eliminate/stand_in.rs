//! What is put where a cache is still read.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Model, NewNode, NodeId, Place, Use, ValueId};

use super::Elimination;
use crate::kv::lengths;
use crate::pass::{PassContext, PassError};

impl Elimination {
    /// Reads of a cache that are left get an empty tensor, or zeros; then the input goes.
    pub(super) fn replace_inputs(&mut self, m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
        let a = cx.take_analysis(m);
        let mut inputs = self.inputs();
        inputs.retain(|v| m.is_live_value(*v));
        let sources = lengths::Sources::new(m, &a, &inputs);
        let mut dims = lengths::Dims::new(&sources);
        for &v in &inputs {
            if !m.is_unused(v) {
                self.stand_in(m, &mut dims, v)?;
            }
        }
        m.remove_inputs(&inputs.iter().copied().collect::<Vec<_>>())?;
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
        let sources = dims.sources;
        let (Some(shape), Some(dtype)) =
            (sources.analysis.shape(v).map(<[Expr]>::to_vec), sources.analysis.dtype(v))
        else {
            return Err(refuse("its shape is not known", &reader));
        };
        let lost = || {
            let unknown: Vec<String> = shape
                .iter()
                .filter(|d| !d.is_const() && sources.of(d).is_none())
                .map(|d| format!("`{d}`"))
                .collect();
            format!("no input that stays tells its length {}", unknown.join(", "))
        };
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
            let told = dims.vector(m, part).ok_or_else(|| refuse(&lost(), &reader))?;
            m.replace_value(old, told)?;
            m.remove_node(s)?;
        }
        if m.is_unused(v) {
            return Ok(());
        }
        let zeros = dims.zeros(m, dtype, &shape, &name).ok_or_else(|| refuse(&lost(), &reader))?;
        self.done.entry(v).or_insert_with(|| "zeros inside the graph".into());
        m.replace_uses(v, zeros);
        for (graph, index) in m.output_uses(v) {
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
            let fact = dims.sources.analysis.fact(part);
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
}
