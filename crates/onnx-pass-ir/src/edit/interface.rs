//! Inputs and outputs of graphs.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::*;
use crate::{GraphId, Tensor, Type, ValueId};

impl Model {
    /// Makes output `index` of a graph another value.
    pub fn set_output(&mut self, graph: GraphId, index: usize, value: ValueId) {
        let o = &self.graphs[graph.index()].outputs[index];
        let (old, pos) = (o.value, o.use_pos);
        self.drop_use(old, pos);
        let pos = self.add_use(value, Use::Output { graph, index: index as u32 });
        let o = &mut self.graphs[graph.index()].outputs[index];
        (o.value, o.use_pos) = (value, pos);
        self.touch_graph(graph);
    }

    /// Appends an output to a graph.
    pub fn add_output(&mut self, graph: GraphId, value: ValueId, ty: Option<Type>) {
        self.push_output_raw(graph, value, ValueInfo::new(ty));
        self.touch_graph(graph);
    }

    /// Removes output `index` of a graph; its value stays.
    pub fn remove_output(&mut self, graph: GraphId, index: usize) {
        self.remove_outputs(graph, &[index]);
    }

    /// Removes many outputs of a graph at once, by their positions in rising order; their values stay.
    pub fn remove_outputs(&mut self, graph: GraphId, positions: &[usize]) {
        let Some(&first) = positions.first() else { return };
        for &k in positions {
            // While all outputs have their places: the use that moves up may be another output's of this graph.
            let o = &self.graphs[graph.index()].outputs[k];
            self.drop_use(o.value, o.use_pos);
        }
        let (mut at, mut removed) = (0, positions.iter().peekable());
        self.graphs[graph.index()].outputs.retain(|_| {
            at += 1;
            removed.next_if(|k| **k == at - 1).is_none()
        });
        for k in first..self.graphs[graph.index()].outputs.len() {
            let o = &self.graphs[graph.index()].outputs[k];
            let (v, pos) = (o.value, o.use_pos);
            self.values[v.index()].uses[pos as usize] = Use::Output { graph, index: k as u32 };
        }
        self.touch_graph(graph);
    }

    /// Appends an input to a graph. A taken name gets a number.
    pub fn add_input(&mut self, graph: GraphId, name: &str, ty: Option<Type>) -> ValueId {
        let name = self.fresh_name(name);
        let v = self.new_value_raw(graph, name, Def::Input);
        self.values[v.index()].info = Some(Box::new(ValueInfo::new(ty)));
        self.graphs[graph.index()].inputs.push(v);
        self.touch_graph(graph);
        v
    }

    /// Removes an input that nothing reads, with its default.
    ///
    /// # Errors
    /// When something still reads it.
    pub fn remove_input(&mut self, v: ValueId) -> Result<()> {
        self.remove_inputs(&[v])
    }

    /// Removes many inputs at once.
    ///
    /// # Errors
    /// As [`Model::remove_input`], before anything is removed.
    pub fn remove_inputs(&mut self, dead: &[ValueId]) -> Result<()> {
        if let Some(v) = dead.iter().find(|v| !self.is_unused(**v)) {
            return Err(Error::edit(format!("input `{}` is still read", self.name(*v))));
        }
        for &v in dead {
            self.mark_removed(v);
            self.values[v.index()].info = None;
        }
        for graph in self.graphs_of(dead) {
            let values = &self.values;
            self.graphs[graph.index()].inputs.retain(|v| values[v.index()].def != Def::Removed);
            self.purge(graph);
            self.touch_graph(graph);
        }
        Ok(())
    }

    /// Turns an input into an initializer: every caller now gets these contents.
    ///
    /// # Errors
    /// When the value is not an input.
    pub fn bind_input(&mut self, v: ValueId, tensor: Arc<Tensor>) -> Result<()> {
        self.bind_inputs([(v, tensor)])
    }

    /// Turns many inputs into initializers at once.
    ///
    /// # Errors
    /// As [`Model::bind_input`], before anything is changed.
    pub fn bind_inputs(&mut self, contents: impl IntoIterator<Item = (ValueId, Arc<Tensor>)>) -> Result<()> {
        let contents: Vec<(ValueId, Arc<Tensor>)> = contents.into_iter().collect();
        if let Some((v, _)) = contents.iter().find(|(v, _)| self.value(*v).def != Def::Input) {
            return Err(Error::edit(format!("`{}` is not an input", self.name(*v))));
        }
        let bound: Vec<ValueId> = contents.iter().map(|(v, _)| *v).collect();
        for (v, tensor) in contents {
            let value = &mut self.values[v.index()];
            // Given twice, the last contents count.
            let first = value.def == Def::Input;
            value.def = Def::Initializer;
            let graph = &mut self.graphs[value.graph.index()];
            if value.init.replace(tensor).is_none() {
                graph.initializers.push(v);
            }
            if first && value.info.is_some() {
                graph.value_info.push(v);
            }
        }
        for graph in self.graphs_of(&bound) {
            let values = &self.values;
            self.graphs[graph.index()].inputs.retain(|v| values[v.index()].def == Def::Input);
            self.touch_graph(graph);
        }
        Ok(())
    }
}
