//! Who reads a value.

use super::{NewNode, Place};
use crate::error::{Error, Result};
use crate::model::*;
use crate::{GraphId, ValueId};

impl Model {
    /// Makes every node that reads `old` read `new`. Graph outputs are left: see [`Model::replace_value`].
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) {
        if old == new {
            return;
        }
        for u in std::mem::take(&mut self.values[old.index()].uses) {
            match u {
                Use::Node { node, slot } => {
                    let pos = self.add_use(new, u);
                    self.nodes[node.index()].operands.set_input(slot as usize, Some(new), pos);
                    self.redirect_shards(node, old, new);
                    self.touch(node);
                }
                Use::Output { graph, index } => {
                    let pos = self.add_use(old, u);
                    self.graphs[graph.index()].outputs[index as usize].use_pos = pos;
                }
            }
        }
    }

    /// Makes everything that reads `old` read `new`, graph outputs included, without regard to names: an output
    /// has the name of `new` then.
    pub fn replace_all_uses(&mut self, old: ValueId, new: ValueId) {
        self.replace_uses(old, new);
        for (graph, index) in self.output_uses(old) {
            self.set_output(graph, index as usize, new);
        }
    }

    /// Makes every output of `graph` that is `old` be `new`, without regard to names.
    pub fn replace_outputs(&mut self, graph: GraphId, old: ValueId, new: ValueId) {
        for (of, index) in self.output_uses(old) {
            if of == graph {
                self.set_output(graph, index as usize, new);
            }
        }
    }

    /// Makes everything that reads `old` read `new`, graph outputs included. A graph output keeps its name:
    /// where `new` is computed in the same graph and is not an output itself it takes that name over, else
    /// an `Identity` carries it.
    ///
    /// # Errors
    /// When `old` is a graph output and not a node's result.
    pub fn replace_value(&mut self, old: ValueId, new: ValueId) -> Result<()> {
        self.replace_uses(old, new);
        let outputs: Vec<(GraphId, u32)> = self.output_uses(old);
        if outputs.is_empty() {
            return Ok(());
        }
        let Some(producer) = self.value(old).producer() else {
            return Err(Error::edit(format!("`{}` is an output and no node computes it", self.name(old))));
        };
        let same_graph =
            self.value(new).producer().is_some() && self.value(new).graph == self.value(old).graph;
        if same_graph && self.output_uses(new).is_empty() {
            self.swap_names(old, new);
            for (graph, index) in outputs {
                self.set_output(graph, index as usize, new);
            }
            return Ok(());
        }
        if self.node(producer).is("Identity") && self.node(producer).input(0) == Some(new) {
            return Ok(());
        }
        // `old` lives on as the result of an Identity in its producer's place.
        let node = self.add_node(
            Place::After(producer),
            NewNode { op_type: "Identity".into(), inputs: vec![Some(new)], ..NewNode::default() },
        );
        let Def::Node { index, .. } = self.value(old).def else { return Ok(()) };
        self.nodes[producer.index()].operands.outputs_mut()[index as usize] = None;
        self.touch(producer);
        self.values[old.index()].def = Def::Node { node, index: 0 };
        self.nodes[node.index()].operands.push_output(Some(old));
        Ok(())
    }

    /// Which graph outputs a value is: graphs and positions, in order.
    pub fn output_uses(&self, v: ValueId) -> Vec<(GraphId, u32)> {
        let mut out: Vec<_> = (self.value(v).uses.iter())
            .filter_map(|u| match *u {
                Use::Output { graph, index } => Some((graph, index)),
                Use::Node { .. } => None,
            })
            .collect();
        out.sort_unstable();
        out
    }
}
