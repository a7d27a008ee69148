//! Declared types.

use rustc_hash::FxHashSet;

use crate::model::*;
use crate::{GraphId, Type, ValueId};

impl Model {
    /// Declares a value's type: in its own entry, or a new one in `value_info`. Graph outputs that are this
    /// value are declared so too.
    pub fn set_type(&mut self, v: ValueId, ty: Type) {
        let outputs = self.output_uses(v);
        let graph = self.value(v).graph;
        let declared_by_output = outputs.iter().any(|(g, _)| *g == graph);
        for (g, index) in outputs {
            let info = &mut self.graphs[g.index()].outputs[index as usize].info;
            if info.ty() != Some(&ty) {
                info.set_ty(Some(ty.clone()));
                self.touch_graph(g);
            }
        }
        let value = &mut self.values[v.index()];
        match &mut value.info {
            Some(info) if info.ty() == Some(&ty) => return,
            Some(info) => {
                info.set_ty(Some(ty));
            }
            None if declared_by_output => return,
            None => {
                value.info = Some(Box::new(ValueInfo::new(Some(ty))));
                if value.def != Def::Input {
                    self.graphs[graph.index()].value_info.push(v);
                }
            }
        }
        self.touch_graph(graph);
    }

    /// Takes a value's own declaration away (its entry in `value_info`); inputs and outputs keep theirs.
    pub fn clear_value_info(&mut self, v: ValueId) {
        self.clear_value_infos(&[v]);
    }

    /// As [`Model::clear_value_info`], of many values at once.
    pub fn clear_value_infos(&mut self, values: &[ValueId]) {
        let declared = |v: &ValueId| self.value(*v).def != Def::Input && self.value(*v).info.is_some();
        let values: Vec<ValueId> = values.iter().copied().filter(declared).collect();
        for v in &values {
            self.values[v.index()].info = None;
        }
        let cleared: FxHashSet<ValueId> = values.iter().copied().collect();
        for graph in self.graphs_of(&values) {
            self.graphs[graph.index()].value_info.retain(|v| !cleared.contains(v));
            self.touch_graph(graph);
        }
    }

    /// Drops the entries of `value_info` that belong to no value of the graph; gives how many.
    pub fn drop_stale_value_info(&mut self, graph: GraphId) -> usize {
        let n = self.graph(graph).stale_info.len();
        if n > 0 {
            self.graphs[graph.index()].stale_info.clear();
            self.touch_graph(graph);
        }
        n
    }

    /// Changes every declared type of a graph (inputs, outputs, `value_info`) dim by dim. Gives how many
    /// declarations changed.
    pub fn map_dims(
        &mut self,
        graph: GraphId,
        f: &mut dyn FnMut(&crate::Dim) -> Option<crate::Dim>,
    ) -> usize {
        let mut changed = 0;
        let mut apply = |info: &mut ValueInfo| {
            let Some(mut ty) = info.ty().cloned() else { return };
            if ty.map_dims(f) {
                info.set_ty(Some(ty));
                changed += 1;
            }
        };
        let (graphs, values) = (&mut self.graphs, &mut self.values);
        let g = &mut graphs[graph.index()];
        for v in g.inputs.iter().chain(&g.value_info) {
            if let Some(info) = &mut values[v.index()].info {
                apply(info);
            }
        }
        g.outputs.iter_mut().for_each(|o| apply(&mut o.info));
        g.stale_info.iter_mut().for_each(|(_, i)| apply(i));
        if changed > 0 {
            self.touch_graph(graph);
        }
        changed
    }
}
