//! Functions meet across moves: what is moved, and what stays where it was.

use eggrad_ir::{Graph, Op};
use eggrad_rewrite::{Report, RewriteConfig, TableCost, optimize};

fn optimized(text: &str) -> (Graph, Report) {
    let graph: Graph =
        format!("graph 2\n{text}\n").parse().unwrap_or_else(|e| panic!("{text}\n{e}"));
    let (result, report) = optimize(&graph, &TableCost, &RewriteConfig::default()).unwrap();
    assert_eq!(report.not_compared, [""; 0], "{report}");
    (result, report)
}

/// The body of `text` after optimisation: what stands between declarations and results.
#[track_caller]
fn check(text: &str, expected: &str) {
    let (result, report) = optimized(text);
    let lines = |id| format!("{} = {}", result.reference(id), result.expression(id));
    let leaf = |id: &eggrad_ir::NodeId| matches!(result.node(*id).op, Op::Input(_) | Op::State(_));
    let body: Vec<String> = result.ids().filter(|id| !leaf(id)).map(lines).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(body, expected, "\n{text}\n{result}{report}");
}

const X: &str = "in x: f32[4, 6]\n";

#[test]
fn probe() {
    for text in [
        "y = log(slice(softmax(x, axis=1), start=[0, 0], step=[1, 1], sizes=[4, 3]))",
        "y = log(reshape(softmax(x, axis=1), shape=[24]))",
        "y = log(slice(reshape(softmax(x, axis=1), shape=[24]), start=[3], step=[1], sizes=[5]))",
        "y = log(1 - slice(sigmoid(x), start=[0, 0], step=[1, 1], sizes=[4, 3]))",
        "y = log(1 - reshape(sigmoid(x), shape=[24]))",
        "y = log(1 + reshape(exp(x), shape=[24]))",
        "y = 1 / (1 + reshape(exp(-x), shape=[24]))",
        "y = 1 / reshape(1 + exp(-x), shape=[24])",
        "y = log(pad(sigmoid(x), start=[1, 1], step=[1, 1], sizes=[6, 8], fill=0.0))",
        "y = log(pad(softmax(x, axis=1), start=[1, 1], step=[1, 1], sizes=[6, 8], fill=0.5))",
        "y = log(sum(where(x > 0, exp(x), 0), axis=1))",
        "y = log(sum(pad(exp(x), start=[1, 1], step=[1, 1], sizes=[6, 8], fill=0.0), axis=1))",
        "y = log(where(x > 0, softmax(x, axis=1), 1))",
        "y = log(stop_gradient(softmax(x, axis=1)))",
        "y = log(cast(softmax(x, axis=1), type=f64))",
        "y = log(cast(cast(sigmoid(x), type=f64), type=f32))",
        "y = slice(x, start=[0, 0], step=[1, 1], sizes=[4, 3]) - logsumexp(x, axis=1, keepdims=true)",
        "y = slice(exp(x), start=[0, 0], step=[1, 1], sizes=[4, 3]) / sum(exp(x), axis=1, keepdims=true)",
        "y = slice(x, start=[0, 0], step=[1, 1], sizes=[4, 3]) - log(sum(exp(x), axis=1, keepdims=true))",
        "y = reshape(x*x, shape=[24]) - reshape(exp(2*x), shape=[24])",
    ] {
        let graph: Result<Graph, _> = format!("graph 2\n{X}out {text}\n").parse();
        match graph {
            Err(e) => println!("--- {text}\n{e}"),
            Ok(g) => match optimize(&g, &TableCost, &RewriteConfig::default()) {
                Err(e) => println!("--- {text}\n{e}"),
                Ok((r, report)) => println!(
                    "--- {text}\n{r}danger {} -> {}, e-nodes {}",
                    report.danger_before, report.danger_after, report.e_nodes
                ),
            },
        }
    }
}
