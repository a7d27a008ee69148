//! Edits that move or copy whole graphs: inlining a branch, calling a function in place.

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::copy::Copier;
use crate::error::{Error, Result};
use crate::model::*;
use crate::{GraphId, NodeId, ValueId};

impl Model {
    /// Puts the nodes of one subgraph of `node` in the node's place: its inputs become `inputs`, its outputs
    /// take over the node's, in order, and keep their names. The node and its other subgraphs go.
    ///
    /// For an `If` whose condition is known `inputs` is empty; for a `Loop` that runs once it is what the
    /// body sees in that turn.
    ///
    /// # Errors
    /// When `graph` is not a subgraph of `node`, or the numbers of inputs or outputs do not fit.
    pub fn inline_graph(&mut self, node: NodeId, graph: GraphId, inputs: &[ValueId]) -> Result<()> {
        if !self.node(node).subgraphs().any(|g| g == graph) {
            return Err(Error::edit(format!("{}: not its subgraph", self.describe(node))));
        }
        let g = self.graph(graph);
        let (n_in, n_out) = (g.inputs.len(), g.outputs.len());
        if n_in != inputs.len() || n_out < self.node(node).outputs().len() {
            return Err(Error::edit(format!(
                "{}: the subgraph has {n_in} inputs and {n_out} outputs, {} and {} are wanted",
                self.describe(node),
                inputs.len(),
                self.node(node).outputs().len()
            )));
        }
        self.drop_other_subgraphs(node, graph);
        let params = std::mem::take(&mut self.graphs[graph.index()].inputs);
        for (p, v) in params.iter().zip(inputs) {
            self.replace_all_uses(*p, *v);
            self.mark_removed(*p);
        }
        let mut results = Vec::with_capacity(n_out);
        while let Some(o) = self.graphs[graph.index()].outputs.pop() {
            self.drop_use(o.value, o.use_pos);
            results.push(o.value);
        }
        results.reverse();
        self.move_body(graph, node);
        let outputs: Vec<Option<ValueId>> = self.node(node).outputs().to_vec();
        let mut taken: Vec<ValueId> = Vec::new();
        for (old, new) in outputs.into_iter().zip(results) {
            let Some(old) = old else { continue };
            let parent = self.node(node).graph;
            let owns = self.value(new).producer().is_some() && self.value(new).graph == parent;
            let renamable = owns && !taken.contains(&new) && self.output_uses(new).is_empty();
            if renamable
                && params_do_not_hold(&params, new)
                && !inputs.contains(&new)
                && self.output_uses(old).is_empty()
            {
                self.swap_names(old, new);
            }
            self.replace_value(old, new)?;
            taken.push(new);
        }
        self.remove_node(node)
    }

    fn drop_other_subgraphs(&mut self, node: NodeId, keep: GraphId) {
        let others: Vec<GraphId> = self.node(node).subgraphs().filter(|g| *g != keep).collect();
        let mut doomed = Vec::new();
        for g in others {
            doomed.extend(self.dismantle(g));
        }
        self.gut_nodes(doomed);
        // The kept graph is about to be emptied: the node no longer owns any.
        self.nodes[node.index()].attributes.retain(|a| a.value.graphs().is_empty());
        self.touch(node);
    }

    /// Moves nodes, initializers and declarations of `graph` to before `node`.
    fn move_body(&mut self, graph: GraphId, node: NodeId) {
        let parent = self.node(node).graph;
        for n in self.node_ids(graph) {
            self.unlink_raw(n);
            self.link_raw(n, parent, Some(node));
            for v in self.node(n).outputs().to_vec().into_iter().flatten() {
                self.adopt(v, parent);
            }
            for g in self.node(n).subgraphs().collect::<Vec<_>>() {
                self.graphs[g.index()].parent = Some(parent);
            }
        }
        let g = &mut self.graphs[graph.index()];
        g.owner = GraphOwner::Detached;
        let inits = std::mem::take(&mut g.initializers);
        let sparse = std::mem::take(&mut g.sparse_initializers);
        let infos = std::mem::take(&mut g.value_info);
        let annotations = std::mem::take(&mut g.annotations);
        for v in inits.iter().copied().chain(sparse.iter().map(|s| s.0)) {
            self.adopt(v, parent);
        }
        let p = &mut self.graphs[parent.index()];
        p.initializers.extend(inits);
        p.sparse_initializers.extend(sparse);
        p.value_info.extend(infos);
        p.annotations.extend(annotations);
        self.touch_graph(parent);
    }

    /// Makes a value belong to `graph`, under another name where its own is taken.
    fn adopt(&mut self, v: ValueId, graph: GraphId) {
        if self.value(v).graph == graph {
            return;
        }
        self.values[v.index()].graph = graph;
        self.unique_names = false;
        let name = self.values[v.index()].name.clone();
        if self.name_count(&name) > 1 {
            let fresh = self.fresh_name(&name);
            self.set_name(v, fresh);
        }
    }

    /// Replaces a call of a model-local function by the function's body. Attribute references get the call's
    /// values, or the function's defaults. Names of inner values and nodes are prefixed with the call's name.
    ///
    /// # Errors
    /// When the node calls no function, the call does not fit the signature, or the function's operators are
    /// resolved by another version of an opset than those around the call.
    pub fn inline_call(&mut self, node: NodeId) -> Result<()> {
        let Some(f) = self.callee(node) else {
            return Err(Error::edit(format!("{}: calls no model-local function", self.describe(node))));
        };
        let function = self.function(f).clone();
        let body = function.graph;
        self.check_call(node, &function)?;
        self.merge_opsets(node, &function)?;
        let call = self.node(node).clone();
        let prefix = if call.name().is_empty() { function.name.clone() } else { call.name().into() };
        let mut map: FxHashMap<ValueId, Option<ValueId>> = FxHashMap::default();
        for (k, p) in self.graph(body).inputs.clone().into_iter().enumerate() {
            map.insert(p, call.input(k));
        }
        // A result that the body computes is the call's own value from now on: who reads it need not know.
        let results: Vec<ValueId> = self.graph(body).outputs.iter().map(|o| o.value).collect();
        let mut kept: FxHashMap<ValueId, ValueId> = FxHashMap::default();
        let mut others: Vec<(ValueId, ValueId)> = Vec::new();
        for (k, (old, result)) in call.outputs().iter().zip(results).enumerate() {
            let Some(old) = *old else { continue };
            let computed = self.value(result).producer().is_some() && self.value(result).graph == body;
            if computed && !kept.contains_key(&result) {
                kept.insert(result, old);
                self.nodes[node.index()].operands.outputs_mut()[k] = None;
            } else {
                others.push((old, result));
            }
        }
        let mut copier = Copier { prefix, call: &call, function: &function, map, kept };
        copier.nodes(self, body, call.graph, Some(node))?;
        for (old, result) in others {
            let new = copier.result(self, result)?;
            self.replace_value(old, new)?;
        }
        self.remove_node(node)
    }

    fn check_call(&self, node: NodeId, f: &Function) -> Result<()> {
        let (n, g) = (self.node(node), self.graph(f.graph));
        if n.inputs().len() > g.inputs.len() || n.outputs().len() > g.outputs.len() {
            return Err(Error::edit(format!(
                "{}: {} inputs and {} outputs, the function has {} and {}",
                self.describe(node),
                n.inputs().len(),
                n.outputs().len(),
                g.inputs.len(),
                g.outputs.len()
            )));
        }
        Ok(())
    }

    fn merge_opsets(&mut self, node: NodeId, f: &Function) -> Result<()> {
        let graph = self.node(node).graph;
        let root = self.root_of(graph);
        for (o, more) in f.odd_imports.along(&f.opset_imports) {
            let domain = canonical_domain(o.domain.as_deref().unwrap_or(""));
            match self.opset(graph, domain) {
                Some(v) if Some(v) == o.version => {}
                Some(v) if self.nodes_of_domain(f.graph, domain) => {
                    return Err(Error::edit(format!(
                        "function {}::{} imports opset {} of `{domain}`, its caller {v}: convert one to the other's first",
                        f.domain.as_deref().unwrap_or(""),
                        f.name,
                        o.version.unwrap_or(0)
                    )));
                }
                Some(_) => {}
                None => {
                    let (imports, odd) = match self.graph(root).owner {
                        GraphOwner::Function(caller) => {
                            let caller = &mut self.functions[caller.index()];
                            caller.src = Bytes::new();
                            (&mut caller.opset_imports, &mut caller.odd_imports)
                        }
                        _ => (&mut self.header.opset_imports, &mut self.header.odd_imports),
                    };
                    imports.push(o.clone());
                    if let Some(more) = more {
                        odd.push(o.clone(), more.into());
                    }
                }
            }
        }
        Ok(())
    }

    fn nodes_of_domain(&self, graph: GraphId, domain: &str) -> bool {
        self.graphs_in(graph)
            .into_iter()
            .any(|g| self.nodes(g).any(|(id, n)| n.domain() == domain && self.callee(id).is_none()))
    }
}

fn params_do_not_hold(params: &[ValueId], v: ValueId) -> bool {
    !params.contains(&v)
}
