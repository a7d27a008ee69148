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
        let o = &self.graphs[graph.index()].outputs[index];
        let (value, pos) = (o.value, o.use_pos);
        // While all outputs have their places: the use that moves up may be another output's of this graph.
        self.drop_use(value, pos);
        self.graphs[graph.index()].outputs.remove(index);
        for k in index..self.graphs[graph.index()].outputs.len() {
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
        if !self.is_unused(v) {
            return Err(Error::edit(format!("input `{}` is still read", self.name(v))));
        }
        let graph = self.value(v).graph;
        self.graphs[graph.index()].inputs.retain(|x| *x != v);
        self.forget_value(v);
        self.touch_graph(graph);
        Ok(())
    }

    /// Turns an input into an initializer: every caller now gets these contents.
    ///
    /// # Errors
    /// When the value is not an input.
    pub fn bind_input(&mut self, v: ValueId, tensor: Arc<Tensor>) -> Result<()> {
        if self.value(v).def != Def::Input {
            return Err(Error::edit(format!("`{}` is not an input", self.name(v))));
        }
        let graph = self.value(v).graph;
        self.graphs[graph.index()].inputs.retain(|x| *x != v);
        if self.values[v.index()].init.is_none() {
            self.graphs[graph.index()].initializers.push(v);
        }
        let value = &mut self.values[v.index()];
        value.def = Def::Initializer;
        value.init = Some(tensor);
        if value.info.is_some() {
            self.graphs[graph.index()].value_info.push(v);
        }
        self.touch_graph(graph);
        Ok(())
    }
}
