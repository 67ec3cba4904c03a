//! Linear layers with frozen weights become one; chains of products are multiplied in the cheapest order.

use eggrad_ir::{Graph, Op, StateKind};
use eggrad_rewrite::{Report, RewriteConfig, TableCost, optimize};

fn optimized(text: &str) -> (Graph, Report) {
    let graph: Graph =
        format!("graph 2\n{text}\n").parse().unwrap_or_else(|e| panic!("{text}\n{e}"));
    optimize(&graph, &TableCost, &RewriteConfig::default()).unwrap()
}

/// Ops that depend on what changes from run to run.
fn changing(graph: &Graph) -> Vec<&'static str> {
    let mut frozen = vec![false; graph.nodes().len()];
    let mut left = vec![];
    for id in graph.ids() {
        let node = graph.node(id);
        frozen[id.index()] = match node.op {
            Op::State(i) => graph.states()[i].kind == StateKind::Frozen,
            Op::Input(_) => false,
            _ => node.inputs.iter().all(|i| frozen[i.index()]),
        };
        if !frozen[id.index()] && !node.op.is_leaf() && !matches!(node.op, Op::Move(_)) {
            left.push(node.op.name());
        }
    }
    left
}

/// Shapes of the results of products, in order.
fn products(graph: &Graph) -> Vec<String> {
    let products = graph.nodes().iter().filter(|n| matches!(n.op, Op::Dot(_)));
    products.map(|n| n.ty.shape.to_string()).collect()
}

#[test]
fn layers_of_any_depth_are_one() {
    for depth in [2, 3, 8, 64] {
        let mut text = String::from("in x: f32[32, 16]\n");
        for i in 0..depth {
            text += &format!("frozen w{i}: f32[16, 16]\nfrozen b{i}: f32[16]\n");
        }
        text += "h0 = x\n";
        for i in 0..depth {
            text += &format!("h{} = h{i} @ w{i} + b{i}\n", i + 1);
        }
        text += &format!("out y = h{depth}");
        let (graph, report) = optimized(&text);
        assert_eq!(changing(&graph), ["dot", "add"], "{depth}: {graph}\n{report}");
    }
}

#[test]
fn a_normalisation_goes_into_the_layer_before() {
    let (graph, report) = optimized(
        "in x: f32[32, 16]\nfrozen w: f32[16, 8]\nfrozen b: f32[8]\nfrozen mean: f32[8]\n\
         frozen var: f32[8]\nfrozen gamma: f32[8]\nfrozen beta: f32[8]\n\
         z = x @ w + b\nout y = (z - mean) / sqrt(var + 0.001) * gamma + beta",
    );
    assert_eq!(changing(&graph), ["dot", "add"], "{graph}\n{report}");
}

#[test]
fn scales_and_shifts_before_a_product_go_into_it() {
    let states = "in x: f32[32, 16]\nfrozen m: f32[16]\nfrozen s: f32[16]\nfrozen r: f32[32, 1]\n\
                  frozen w: f32[16, 8]\nfrozen b: f32[8]\n";
    for (y, expected) in [
        ("relu(((x - m) / s) @ w + b)", &["dot", "add", "relu"][..]),
        ("(m - x) @ w", &["dot", "sub"]),
        ("-(x * s) @ w", &["dot"]),
        ("((x + m) * s - m) @ w + b", &["dot", "add"]),
        // A number for each row is none of the weight.
        ("(x * r) @ w", &["mul", "dot"]),
    ] {
        let (graph, report) = optimized(&format!("{states}out y = {y}"));
        assert_eq!(changing(&graph), expected, "{y}: {graph}\n{report}");
    }
}

#[test]
fn parameters_that_train_stay_apart() {
    let (graph, _) =
        optimized("in x: f32[32, 16]\nparam w: f32[16, 16]\nparam s: f32[16]\nout y = (x * s) @ w");
    assert_eq!(changing(&graph), ["mul", "dot"], "{graph}");
}

#[test]
fn a_function_between_layers_keeps_them_apart() {
    let (graph, _) = optimized(
        "in x: f32[32, 16]\nfrozen w: f32[16, 16]\nfrozen v: f32[16, 16]\nout y = relu(x @ w) @ v",
    );
    assert_eq!(changing(&graph), ["dot", "relu", "dot"], "{graph}");
}

#[test]
fn products_are_multiplied_in_the_cheapest_order() {
    // A matrix times a vector comes first.
    let (graph, _) =
        optimized("in a: f32[64, 64]\nin b: f32[64, 64]\nin v: f32[64]\nout y = (a @ b) @ v");
    assert_eq!(products(&graph), ["[64]", "[64]"], "{graph}");
    // Low-rank factors stay factored.
    let (graph, _) =
        optimized("in x: f32[8, 64]\nin u: f32[64, 2]\nin v: f32[2, 64]\nout y = x @ (u @ v)");
    assert_eq!(products(&graph), ["[8, 2]", "[8, 64]"], "{graph}");
}
