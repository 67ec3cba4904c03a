//! What the page on the text form shows is read, and pictures are as they should be.

use eggrad_ir::*;

/// The blocks of a page that are fenced as `kind`.
fn blocks<'p>(page: &'p str, kind: &str) -> Vec<&'p str> {
    let fence = format!("```{kind}\n");
    let begun = page.split(fence.as_str()).skip(1);
    begun.filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_page_shows_valid_texts() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/text-format.md");
    let page = std::fs::read_to_string(path).expect("the page on the text form");
    let texts = blocks(&page, "text");
    assert!(texts.len() >= 3);
    for text in texts {
        let graph: Graph = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
        let printed = graph.to_string();
        assert!(printed.parse::<Graph>().expect("parses") == graph, "{printed}");
    }
}

#[test]
fn formulas_and_keywords_are_on_the_page() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/text-format.md");
    let page = std::fs::read_to_string(path).expect("the page on the text form");
    let names = ["silu", "gelu", "gelu_tanh", "elu", "selu", "leaky_relu", "relu6", "hard_sigmoid"];
    let more = ["hardswish", "softsign", "mish", "clamp", "is_finite", "norm", "trace", "var"];
    for name in names.into_iter().chain(more) {
        assert!(page.contains(&format!("`{name}")), "the page lacks `{name}`");
    }
}

#[test]
fn pictures_show_layers_and_functions() {
    let function: Graph = "graph 2\nin h: f32[]\nin x: f32[]\nout h = h * x\nout y = -h\n"
        .parse()
        .expect("a function");
    let body = std::sync::Arc::new(Function::new("cell", function).expect("a function"));
    let mut b = Builder::new();
    let scalar = TensorType::scalar(DType::F32);
    let h = b.declare_input("h", scalar.clone(), None, At::Unknown);
    let xs = b.declare_input("xs", TensorType::new(DType::F32, [5]), None, At::Unknown);
    b.set_layer(Some("block1.attention"));
    let h = b.unary(UnaryOp::Tanh, h);
    b.set_layer(Some("block1.mlp"));
    let scan = Scan { body, carries: 1, xs: 1, length: 5, reverse: false };
    let results = b.application(&Op::Scan { scan, result: 0 }, &[h, xs]);
    b.set_layer(None);
    b.output("h", results[0]);
    b.output("ys", results[1]);
    let graph = b.build().expect("a valid graph");
    let dot = to_dot(&graph, "layers", &[]);
    for expected in [
        "subgraph cluster_f0 {\n    label=\"fn cell\"",
        "label=\"block1\"",
        "label=\"attention\"",
        "label=\"mlp\"",
        "label=\"scan\\nfn cell\\ncarries 1\\nxs 1\\nlength 5\"",
        "n3 -> f0_o0 [style=dashed, arrowhead=none, lhead=cluster_f0];",
        "n3 -> o1 [label=\"1: f32[5]\"];",
        "f0_n2 -> f0_o0 [label=\"f32[]\"];",
    ] {
        assert!(dot.contains(expected), "no {expected} in\n{dot}");
    }
    // Results of one application are one node.
    assert!(!dot.contains("n4"), "{dot}");
    // Other boxes take the place of layers.
    let boxes = [Cluster { label: "kernel".into(), nodes: vec![NodeId(2)] }];
    assert!(!to_dot(&graph, "kernels", &boxes).contains("block1"));
    assert_eq!(dot.matches('{').count(), dot.matches('}').count());
}
