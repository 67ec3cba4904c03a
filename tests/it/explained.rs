//! Explanations of whole models: lines of the user, rounds before and after differentiation, and their replay.

use eggrad::prelude::*;
use eggrad::rewrite::OutputKind;

#[test]
fn a_train_step_names_the_lines_that_its_steps_come_from() {
    let g = Graph::new();
    let x = g.input("x", [8, 4]);
    let h = dense("hidden", x, 5).tanh();
    let z = dense("out", h, 3);
    let labels = g.labels("labels", [8], 3).one_hot(3);
    let line = line!() + 1;
    let loss = -(labels * z.softmax(1).log()).sum(1).mean();
    g.output("loss", loss);
    Adam::new(1e-3).minimize(loss);
    let written = g.build().expect("a valid graph").graph;
    let explained = eggrad::explain(&written, &Options::default()).expect("explains");
    let plain = eggrad::lower(&written, &Options::default()).expect("lowers");
    assert_eq!(explained.graph.to_string(), plain.to_string());
    assert_eq!(explained.replay(), Ok(()));

    let stages: Vec<&str> = explained.rounds.iter().map(|r| r.stage).collect();
    assert_eq!(stages, ["differentiate", "rewrite"]);
    let stable = &explained.rounds[0].explanation;
    let place = format!("{}:{line}", file!());
    let step = stable.steps.iter().find(|s| s.rule == "log-of-softmax").expect("the rule");
    assert_eq!(step.to_string(), format!("log-of-softmax at {place}"), "{explained}");
    let whole = &explained.rounds[1].explanation;
    let written = whole.outputs.iter().filter(|o| o.kind == OutputKind::Write);
    assert_eq!(written.count(), 4 * 3 + 1, "{explained}");
    assert!(explained.to_string().starts_with("before differentiation\nout "), "{explained}");
}

#[test]
fn rules_across_slices_are_explained() {
    let g = Graph::new();
    let x = g.input("x", [2, 6, 8]);
    let scores = x.matmul(x.transpose()) / 8f64.sqrt();
    let mixed = scores.softmax(-1).matmul(x);
    g.output("mixed", mixed.softmax(-1).slice(2, 1..5).log().sum([0, 1, 2]));
    g.output("rows", (x.exp() / x.exp().keepdims().sum(-1)).log());
    let written = g.build().expect("a valid graph").graph;
    let explained = eggrad::explain(&written, &Options::default()).expect("explains");
    assert_eq!(explained.replay(), Ok(()));
    let names = |rule: &str| {
        explained.rounds.iter().any(|r| r.explanation.steps.iter().any(|s| s.rule == rule))
    };
    assert!(names("moves") && names("log-of-softmax"), "{explained}");
}

#[test]
fn without_rewriting_there_is_nothing_to_explain() {
    let g = Graph::new();
    g.output("y", g.input("x", [3]).exp().log());
    let written = g.build().expect("a valid graph").graph;
    let options = Options { rewrite: false, ..Options::default() };
    let explained = eggrad::explain(&written, &options).expect("explains");
    assert_eq!((explained.rounds.len(), explained.graph.to_string()), (0, written.to_string()));
}
