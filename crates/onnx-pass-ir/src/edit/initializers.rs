//! Initializers.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::*;
use crate::{GraphId, Tensor, ValueId};

impl Model {
    /// Adds an initializer. A taken name gets a number.
    pub fn add_initializer(&mut self, graph: GraphId, name: &str, tensor: Arc<Tensor>) -> ValueId {
        let name = self.fresh_name(name);
        let v = self.new_value_raw(graph, name, Def::Initializer);
        self.values[v.index()].init = Some(tensor);
        self.graphs[graph.index()].initializers.push(v);
        self.touch_graph(graph);
        v
    }

    /// Replaces the contents of an initializer (or of an input's default).
    ///
    /// # Errors
    /// When the value has no initializer.
    pub fn set_initializer(&mut self, v: ValueId, tensor: Arc<Tensor>) -> Result<()> {
        if self.value(v).init.is_none() {
            return Err(Error::edit(format!("`{}` has no initializer", self.name(v))));
        }
        self.values[v.index()].init = Some(tensor);
        self.touch_graph(self.value(v).graph);
        Ok(())
    }

    /// Removes an initializer that nothing reads.
    ///
    /// # Errors
    /// When something reads it, or it is an input.
    pub fn remove_initializer(&mut self, v: ValueId) -> Result<()> {
        if !self.is_unused(v) || self.value(v).def != Def::Initializer {
            return Err(Error::edit(format!("initializer `{}` is still read or is an input", self.name(v))));
        }
        self.remove_initializers(&[v])
    }

    /// Removes many initializers at once, each unused and not an input.
    ///
    /// # Errors
    /// As [`Model::remove_initializer`], before anything is removed.
    pub fn remove_initializers(&mut self, dead: &[ValueId]) -> Result<()> {
        for &v in dead {
            if !self.is_unused(v) || self.value(v).def != Def::Initializer {
                return Err(Error::edit(format!(
                    "initializer `{}` is still read or is an input",
                    self.name(v)
                )));
            }
        }
        for &v in dead {
            self.mark_removed(v);
        }
        for g in self.graphs_of(dead) {
            self.purge(g);
            self.touch_graph(g);
        }
        Ok(())
    }
}
