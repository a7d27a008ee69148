use proptest::prelude::*;

use super::*;

/// One edit, by three numbers that choose what it is done to.
type Step = (u8, u16, u16);

/// A model with a branch that captures, to be edited at random.
fn start() -> Model {
    let mut m = small();
    let main = m.main();
    let (x, sum, w) = (value(&m, "x"), value(&m, "sum"), value(&m, "w"));
    let branch = m.new_graph_raw(GraphOwner::Detached, None);
    let inner = m.add_node(Place::End(branch), NewNode::new("Mul", &[sum, w], "inner"));
    let v = m.node(inner).outputs()[0].unwrap();
    m.add_output(branch, v, None);
    let new =
        NewNode::new("If", &[x], "chosen").attr(Attribute::new("then_branch", AttrValue::Graph(branch)));
    let n = m.add_node(Place::End(main), new);
    let chosen = m.node(n).outputs()[0].unwrap();
    m.add_output(main, chosen, float_type());
    sound(&m);
    m
}

/// What a node at `at` may read: values of the graphs around it that are there before it.
fn readable(m: &Model, graph: GraphId, before: Option<NodeId>) -> Vec<ValueId> {
    let mut out = Vec::new();
    let (mut graph, mut before) = (graph, before);
    loop {
        let g = m.graph(graph);
        out.extend(g.inputs());
        out.extend(g.initializers().iter().filter(|v| m.value(**v).def() == Def::Initializer));
        out.extend(
            m.nodes(graph)
                .take_while(|(n, _)| Some(*n) != before)
                .flat_map(|(_, n)| n.outputs().iter().flatten().copied()),
        );
        match (g.owner(), g.parent()) {
            (GraphOwner::Node(n), Some(p)) => (graph, before) = (p, Some(n)),
            _ => return out,
        }
    }
}

fn pick<T: Copy>(from: &[T], k: u16) -> Option<T> {
    from.get(usize::from(k) % from.len().max(1)).copied()
}

fn apply(m: &mut Model, (what, a, b): Step) -> Option<()> {
    let graphs = m.live_graphs();
    let graph = pick(&graphs, a / 7)?;
    let nodes = m.node_ids(graph);
    let values: Vec<ValueId> =
        m.values().filter(|(_, v)| graphs.contains(&v.graph())).map(|(v, _)| v).collect();
    match what % 16 {
        0 => {
            let place = pick(&nodes, a).map_or(Place::End(graph), Place::Before);
            let before = if let Place::Before(n) = place { Some(n) } else { None };
            let from = readable(m, graph, before);
            let inputs = [pick(&from, b)?, pick(&from, a)?];
            m.add_node(place, NewNode::new("Add", &inputs, ["v", "sum", "x"][usize::from(b % 3)]));
        }
        1 => {
            let n = pick(&nodes, a)?;
            let v = pick(&readable(m, graph, Some(n)), b);
            m.set_input(n, usize::from(b % 4), v.filter(|_| b % 5 > 0));
        }
        2 => m.remove_node(pick(&nodes, a)?).ok()?,
        3 if a % 2 == 0 => m.rename_value(pick(&values, a)?, &format!("r{}", b % 9)).ok()?,
        3 => {
            let new = [(a, b), (b, a)]
                .map(|(k, name)| Some((pick(&values, k)?, ecow::eco_format!("r{}", name % 9))));
            m.rename_values(&[new[0].clone()?, new[1].clone()?]).ok()?
        }
        4 | 5 => {
            let n = pick(&nodes, a)?;
            let (old, new) = (pick(m.node(n).outputs(), b)??, pick(&readable(m, graph, Some(n)), b)?);
            if what % 16 == 4 { m.replace_uses(old, new) } else { m.replace_value(old, new).ok()? }
        }
        6 => {
            m.add_initializer(graph, "w", Tensor::float(&[1], &[f32::from(b)]).shared());
        }
        7 => m.remove_initializer(pick(m.graph(graph).initializers(), a)?).ok()?,
        8 => {
            m.add_input(m.main(), "x", float_type());
        }
        9 => m.remove_input(pick(m.graph(graph).inputs(), a)?).ok()?,
        10 => m.set_type(
            pick(&values, a)?,
            Type::tensor(DataType::FLOAT, Some(vec![Dim::Known(i64::from(b % 4))])),
        ),
        11 => m.clear_value_info(pick(&values, a)?),
        12 => {
            let v = pick(&readable(m, graph, None), b)?;
            m.add_output(graph, v, float_type());
        }
        13 if m.graph(graph).outputs().len() > 1 => {
            m.remove_output(graph, usize::from(a) % m.graph(graph).outputs().len())
        }
        14 => m.truncate_inputs(pick(&nodes, a)?, usize::from(b % 3)),
        15 => m.bind_input(pick(m.graph(graph).inputs(), a)?, Tensor::float(&[1], &[1.0]).shared()).ok()?,
        _ => {}
    }
    Some(())
}

#[test]
fn the_name_of_what_was_removed_counts_no_more() -> Result<()> {
    let mut m = small();
    let main = m.main();
    let (x, w) = (value(&m, "x"), value(&m, "w"));
    let n = m.add_node(Place::End(main), NewNode::new("Add", &[x, w], "gone"));
    assert_eq!(m.name_count("gone"), 1);
    m.remove_node(n)?;
    assert_eq!(m.name_count("gone"), 0);
    let n = m.add_node(Place::End(main), NewNode::new("Add", &[x, w], "other"));
    let v = m.node(n).outputs()[0].unwrap();
    m.rename_value(v, "gone")?;
    assert_eq!((m.name_count("gone"), m.name_count("other")), (1, 0));
    sound(&m);
    Ok(())
}

#[test]
fn names_are_exchanged_at_once_and_not_given_twice() {
    let mut m = start();
    let (x, sum) = (value(&m, "x"), value(&m, "sum"));
    let inner = m.values().find(|(_, v)| v.name() == "inner").unwrap().0;
    m.rename_values(&[(x, "sum".into()), (sum, "x".into())]).unwrap();
    assert_eq!([x, sum].map(|v| m.name(v).to_string()), ["sum", "x"]);
    // A name in a branch is seen by nobody outside, but it may not hide one from there.
    assert_eq!(m.rename_values(&[(inner, "z".into()), (x, "inner".into())]), Ok(()));
    assert_eq!(m.rename_values(&[(x, "a".into()), (inner, "x".into())]), Err(1));
    assert_eq!(m.rename_values(&[(x, "a".into()), (inner, "a".into())]), Err(0));
    assert_eq!(m.rename_values(&[(x, "".into())]), Err(0));
    assert_eq!(m.name(x), "inner");
    sound(&m);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn edits_keep_a_model_sound_and_what_is_written_is_what_is_there(
        steps in prop::collection::vec(any::<Step>(), 1..40),
        from_file in any::<bool>(),
    ) {
        let mut m = start();
        if from_file {
            m = reread(&m);
        }
        for step in steps {
            let before = m.revision();
            let text = m.to_bytes(Encoding::Anew).unwrap();
            apply(&mut m, step);
            sound(&m);
            if m.revision() == before {
                prop_assert!(text == m.to_bytes(Encoding::Anew).unwrap(), "{step:?} changed the model and not the revision");
            }
        }
        m.sweep();
        let back = reread(&m);
        sound(&back);
        let (ours, theirs) = (m.to_bytes(Encoding::Anew).unwrap(), back.to_bytes(Encoding::Anew).unwrap());
        prop_assert!(ours == theirs, "what is read is not what was written");
    }
}
