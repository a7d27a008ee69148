use super::*;

/// `depth` graphs, each in the `If` of the one around it.
fn nest(depth: usize) -> Model {
    let mut m = small();
    let (main, x) = (m.main(), value(&m, "x"));
    let mut inner = None;
    for level in 0..depth {
        let g = if level + 1 == depth { main } else { m.new_graph_raw(GraphOwner::Detached, None) };
        let new = match inner {
            None => NewNode::new("Relu", &[x], "r"),
            Some(g) => NewNode::new("If", &[x], "r").attr(Attribute::new("then_branch", AttrValue::Graph(g))),
        };
        let n = m.add_node(Place::End(g), new);
        let v = m.node(n).outputs()[0].unwrap();
        if g != main {
            m.add_output(g, v, float_type());
        }
        inner = Some(g);
    }
    m
}

#[test]
fn a_thousand_nested_graphs_are_walked_without_recursion() {
    let m = nest(1000);
    sound(&m);
    assert_eq!(m.live_graphs().len(), 1000);
    let mut copy = m.clone();
    let outer = copy.nodes(copy.main()).find(|(_, n)| n.is("If")).unwrap().0;
    copy.remove_node(outer).unwrap();
    assert_eq!(copy.live_graphs().len(), 1);
    sound(&copy);
    let e = m.to_bytes(Encoding::Verbatim).unwrap_err().to_string();
    assert!(e.contains("nested more than 31 deep") && e.len() < 200, "{e}");
}

#[test]
fn what_is_written_is_read_and_what_is_not_read_is_not_written() {
    let deepest = nest(MAX_NESTED_GRAPHS + 1);
    let back = reread(&deepest);
    sound(&back);
    assert_eq!(back.live_graphs().len(), MAX_NESTED_GRAPHS + 1);
    nest(MAX_NESTED_GRAPHS + 2).to_bytes(Encoding::Verbatim).unwrap_err();
}
