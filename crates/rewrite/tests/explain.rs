//! Explanations say by which steps an output became what it is, and a checker follows them again; what was tampered
//! with is refused.

use eggrad_ir::{At, Builder, DType, Function, Graph, Op, Scan, TensorType};
use eggrad_rewrite::{
    Explanation, OutputKind, Refusal, RewriteConfig, RuleClass, RuleSet, Semantics, TableCost,
    explain, optimize, replay,
};
use eggrad_testkit::{Config, random_graph};
use proptest::prelude::*;
use std::sync::Arc;

fn parsed(text: &str) -> Graph {
    format!("graph 2\n{text}\n").parse().unwrap_or_else(|e| panic!("{text}\n{e}"))
}

/// The graph, its result, and the steps between them, which hold.
#[track_caller]
fn explained(graph: Graph) -> (Graph, Graph, Explanation) {
    let config = RewriteConfig::default();
    let (result, report, explanation) =
        explain(&graph, &TableCost, &config).unwrap_or_else(|e| panic!("{graph}\n{e}"));
    let plain = optimize(&graph, &TableCost, &config).unwrap();
    assert_eq!(plain.0.to_string(), result.to_string(), "a log changes nothing");
    assert_eq!(plain.1, report);
    assert_eq!(replay(&graph, &result, &explanation, &RuleSet::standard()), Ok(()));
    (graph, result, explanation)
}

/// The explanation of `text`, for people.
#[track_caller]
fn check(text: &str, expected: &str) {
    let (_, result, explanation) = explained(parsed(text));
    let lines: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let found = explanation.to_string();
    let found: Vec<&str> = found.lines().map(str::trim).collect();
    assert_eq!(found, lines, "\n{result}{explanation}");
}

const CROSS_ENTROPY: &str = "in z: f32[8, 10]\nin y: f32[8, 10]\n\
     p = softmax(z, axis=1)\nout loss = -sum(y * log(p))";

#[test]
fn naive_cross_entropy() {
    check(
        CROSS_ENTROPY,
        "out loss  danger 4 -> 0, cost 377 -> 315 ns
           1. log-of-softmax at line 5, line 4  log(softmax(z)) -> log_softmax(z)
           2. cross-entropy-sum at line 5, line 4  sum(y*log_softmax(z)) -> -sum(cross_entropy(z, y))
           3. neg-neg at line 5  --sum(cross_entropy(z, y)) -> sum(cross_entropy(z, y))",
    );
}

#[test]
fn what_a_step_reads_of_its_own_terms_is_explained() {
    // The product of signs is that of a sum which is known to be 0.
    explained(parsed("in x: f32[2]\nin y: f32[2]\nout d = (x-y)^2 - (x^2 - 2*x*y + y^2)"));
}

#[test]
fn constants_that_rules_make_are_explained() {
    explained(parsed("in x: f32[5]\nout v = sum(x^2)/5 - (sum(x)/5)^2"));
}

#[test]
fn steps_are_data() {
    let (_, _, e) = explained(parsed(CROSS_ENTROPY));
    assert_eq!((e.name.as_str(), e.functions.len(), e.outputs.len()), ("main", 0, 1));
    let loss = &e.outputs[0];
    assert_eq!((loss.kind, loss.name.as_str()), (OutputKind::Output, "loss"));
    assert_eq!((loss.danger_before, loss.danger_after), (4, 0));
    assert!(loss.cost_after < loss.cost_before);
    assert_eq!(
        loss.rules.keys().collect::<Vec<_>>(),
        ["cross-entropy-sum", "log-of-softmax", "neg-neg"]
    );
    let first = e.steps_of(loss).next().unwrap();
    assert_eq!((first.rule.as_str(), first.class), ("log-of-softmax", Some(RuleClass::Real)));
    assert_eq!(first.at, [At::Text { line: 5, column: 21 }, At::Text { line: 4, column: 5 }]);
    let bound: Vec<(&str, String)> =
        first.bindings.iter().map(|(v, t)| (v.as_str(), e.text(*t, 20))).collect();
    assert_eq!(bound[1], ("?z", "z".to_string()));
    assert_eq!(e.text(first.left, 99), "log(softmax(z))");
}

#[test]
fn arithmetic_is_one_step() {
    check(
        "in a: f32[3]\nin b: f32[3]\nout y = (a + b) - (b - a) - a + exp(log(2 * a / a)) * 0",
        "out y  danger 14 -> 13, cost 15 -> 11 ns
           1. normal-form at line 4  a + b - (b - a) - a -> a",
    );
}

#[test]
fn states_and_shared_steps() {
    check(
        "param w: f32[3]\nx = log(exp(w))\nwrite w = w - 0.1 * x\nout a = x * x\nguard sum(x)",
        "out a  danger 8 -> 0, cost 7 -> 1 ns
           1. square at line 5  log(exp(w))*log(exp(w)) -> log(exp(w))^2
           2. log-of-exp at line 3  log(exp(w)) -> w
         write w  danger 8 -> 0, cost 8 -> 1 ns
           steps 2
           3. constants  1 - 0.1 -> 0.9
           4. common-factor-of-one at line 4  w - 0.1*w -> w*(1 - 0.1)
         guard guard  danger 8 -> 0, cost 106 -> 100 ns
           steps 2",
    );
}

#[test]
fn what_stays_has_no_steps() {
    check("in x: f32[3]\nout y = tanh(x)", "out y  danger 0 -> 0, cost 3 -> 3 ns\nas written");
    let (_, result, e) = explained(parsed("in x: f32[0, 3]\nout y = --sum(x)"));
    assert!(e.steps.is_empty(), "{result}{e}");
    let graph = parsed(CROSS_ENTROPY);
    let config = RewriteConfig { semantics: Semantics::Strict, ..RewriteConfig::default() };
    let (result, _, e) = explain(&graph, &TableCost, &config).unwrap();
    assert_eq!((e.steps.len(), replay(&graph, &result, &e, &RuleSet::standard())), (0, Ok(())));
}

#[test]
fn frozen_layers_are_proved_to_be_one() {
    let (_, result, e) = explained(parsed(
        "in x: f32[32, 16]\nfrozen w: f32[16, 8]\nfrozen b: f32[8]\nfrozen v: f32[8, 4]\n\
         frozen c: f32[4]\nh = x @ w + b\nout y = h @ v + c",
    ));
    let last = e.steps_of(&e.outputs[0]).find(|s| s.rule == "linear-folding").unwrap();
    assert_eq!(last.before, "(x @ w + b) @ v + c");
    assert_eq!(last.after, "x @ (w @ v) + (b @ v + c)");
    assert!(result.to_string().contains("x @ "), "{result}");
}

#[test]
fn sub_graphs_are_explained_by_themselves() {
    let step = "in h: f32[4]\nin x: f32[4]\nout h2 = log(exp(h)) + x\nout y = log(sigmoid(h))";
    let step = Arc::new(Function::new("step", parsed(step)).unwrap());
    let mut b = Builder::new();
    let h = b.declare_input("h", TensorType::new(DType::F32, [4]), None, At::Unknown);
    let x = b.declare_input("x", TensorType::new(DType::F32, [5, 4]), None, At::Unknown);
    let scan = Scan { body: step, carries: 1, xs: 1, length: 5, reverse: false };
    let results = b.application(&Op::Scan { scan, result: 0 }, &[h, x]);
    let twice = b.neg(results[1]);
    let same = b.neg(twice);
    b.output("y", same);
    let (graph, result, e) = explained(b.build().unwrap());
    assert_eq!(e.functions.len(), 1);
    let inner = &e.functions[0];
    assert_eq!(inner.name, "step");
    let rules = |e: &Explanation, i: usize| e.outputs[i].rules.keys().cloned().collect::<Vec<_>>();
    assert_eq!(rules(inner, 0), ["log-of-exp"]);
    assert_eq!(rules(inner, 1), ["log-of-sigmoid"]);
    assert_eq!(rules(&e, 0), ["neg-neg"]);
    assert!(e.to_string().starts_with("in `step`\nout h2"), "{e}");

    let mut none = e.clone();
    none.functions.clear();
    let refused = replay(&graph, &result, &none, &RuleSet::standard()).unwrap_err();
    assert_eq!(refused.to_string(), "`step` is not explained: there are no steps for it");
    let mut other = e;
    other.functions[0].steps.remove(0);
    other.functions[0].outputs.clear();
    assert_eq!(replay(&graph, &result, &other, &RuleSet::standard()).unwrap_err().graph, "step");
}

/// What the checker says of an explanation of `text` that was changed.
#[track_caller]
fn tampered(text: &str, change: impl FnOnce(&mut Explanation)) -> Refusal {
    let (graph, result, mut explanation) = explained(parsed(text));
    change(&mut explanation);
    let refused = replay(&graph, &result, &explanation, &RuleSet::standard());
    refused.expect_err("an explanation that was tampered with")
}

#[test]
fn a_missing_step_is_refused() {
    let texts = [
        CROSS_ENTROPY,
        "in x: f32[4]\nout y = -log(1 / (1 + exp(-x))) + 3*x + x*2 - x*5",
        "in x: f32[4, 3]\nout y = log(reshape(softmax(x, axis=1), shape=[12]))",
        "in x: f32[4]\nin m: bool[4]\nout y = sum(where(m, exp(x), 0))\nout z = log(sum(where(m, exp(x), 0)))",
    ];
    for text in texts {
        let (graph, result, whole) = explained(parsed(text));
        assert!(!whole.steps.is_empty(), "{text}");
        for i in 0..whole.steps.len() {
            let mut less = whole.clone();
            less.steps.remove(i);
            assert!(
                replay(&graph, &result, &less, &RuleSet::standard()).is_err(),
                "{text}\n{whole}without {}",
                i + 1
            );
        }
    }
}

#[test]
fn another_rule_is_refused() {
    let refused = tampered(CROSS_ENTROPY, |e| e.steps[0].rule = "log-of-exp".into());
    assert_eq!(
        refused.to_string(),
        "`main` is not explained: step 1 (`log-of-exp: log(softmax(z)) -> log_softmax(z)`) does \
         not find its left side"
    );
    // Both rules have this left side.
    let text = "in x: f32[4, 3]\nin s: f32[4]\n\
                out y = sum(s * transpose(x, axes=[1, 0]), axes=[0])";
    let refused = tampered(text, |e| {
        let step = e.steps.iter_mut().find(|s| s.rule == "sum-of-mul").expect("the rule");
        step.rule = "dot-of-mul".into();
    });
    assert_eq!(refused.why, "has a condition that does not hold");
    let refused = tampered(CROSS_ENTROPY, |e| e.steps[1].rule = "common-sense".into());
    assert_eq!((refused.step, refused.why.as_str()), (Some(1), "is no rule"));
    let refused = tampered(CROSS_ENTROPY, |e| e.steps[1].class = Some(RuleClass::Exact));
    assert_eq!((refused.step, refused.why.as_str()), (Some(1), "has another class"));
    // What is no rule must be true by its values.
    let refused = tampered(CROSS_ENTROPY, |e| {
        let whole = e.steps[1].right;
        e.steps[2].rule = "normal-form".into();
        e.steps[2].class = None;
        e.steps[2].right = whole;
    });
    assert_eq!(refused.step, Some(2), "{refused}");
    assert!(refused.why.starts_with("makes "), "{refused}");
}

#[test]
fn other_operands_are_refused() {
    let text = "in a: f32[4]\nin b: f32[4]\nout y = log(exp(a)) - 2*log(exp(b))";
    let refused = tampered(text, |e| {
        let places: Vec<usize> =
            (0..e.steps.len()).filter(|&i| e.steps[i].rule == "log-of-exp").collect();
        let bindings = e.steps[places[1]].bindings.clone();
        e.steps[places[0]].bindings = bindings;
    });
    assert_eq!(refused.why, "finds its left side elsewhere");
    let refused = tampered(CROSS_ENTROPY, |e| {
        let other = e.steps[1].left;
        e.steps[0].bindings.iter_mut().for_each(|b| b.1 = other);
    });
    assert_eq!((refused.step, refused.why.as_str()), (Some(0), "does not find its left side"));
    let refused = tampered(CROSS_ENTROPY, |e| e.steps[0].bindings.clear());
    assert_eq!(refused.why, "does not find its left side");
    let refused = tampered(CROSS_ENTROPY, |e| e.steps[0].right = e.steps[2].right);
    assert_eq!(refused.why, "gives something else");
}

#[test]
fn a_condition_that_does_not_hold_is_refused() {
    // The same steps from an input that may be negative.
    let text = |range: &str| format!("in x: f32[4]{range}\nout y = exp(log(x))");
    let (_, result, explanation) = explained(parsed(&text(", range 0.5 to 8")));
    assert_eq!(explanation.steps[0].rule, "exp-of-log");
    let refused =
        replay(&parsed(&text("")), &result, &explanation, &RuleSet::standard()).unwrap_err();
    assert_eq!(
        (refused.step, refused.why.as_str()),
        (Some(0), "has a condition that does not hold")
    );
}

#[test]
fn outputs_have_steps_of_their_own() {
    // The sum of the quotient is 1 before anybody knows that it is a softmax.
    let (_, result, e) = explained(parsed(
        "in x: f32[8, 5]\nin a: f32[8]\n\
         p = exp(x) / sum(exp(x), axes=[1], keepdims=true)\n\
         out y = a * sum(p, axes=[1])\nout z = log(p)",
    ));
    assert_eq!(e.outputs[0].danger_after, 0, "{result}{e}");
    let names: Vec<&str> = e.steps_of(&e.outputs[0]).map(|s| s.rule.as_str()).collect();
    assert_eq!(names, ["sum-of-div", "div-self", "mul-one"], "{e}");
    let names: Vec<&str> = e.steps_of(&e.outputs[1]).map(|s| s.rule.as_str()).collect();
    assert_eq!(names, ["softmax", "log-of-softmax"], "{e}");
}

#[test]
fn another_graph_is_refused() {
    let (graph, result, explanation) = explained(parsed(CROSS_ENTROPY));
    let refused = replay(&graph, &graph, &explanation, &RuleSet::standard()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`main` is not explained: the chosen forms are not those of the result"
    );
    let other = parsed("in x: f32[3]\nout loss = exp(x)");
    assert!(replay(&other, &result, &explanation, &RuleSet::standard()).is_err());
    let mut none = explanation.clone();
    none.steps.clear();
    let refused = replay(&graph, &result, &none, &RuleSet::standard()).unwrap_err();
    assert_eq!(refused.step, None);
    assert_eq!(refused.why, "nothing makes `neg(%5)` what was chosen for it");
    let mut more = explanation.clone();
    more.functions.push(explanation);
    assert!(replay(&graph, &result, &more, &RuleSet::standard()).is_err());
}

#[test]
fn every_union_has_a_reason() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let (mut folders, mut found) = (vec![std::path::PathBuf::from(folder)], vec![]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path).unwrap().contains("egraph.union(") {
                found.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    assert_eq!(found, ["log.rs", "replay.rs"], "a union that no log knows of");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_are_explained(random in random_graph(Config::new(DType::F32))) {
        let config = RewriteConfig::default();
        let (result, _, explanation) = explain(&random.graph, &TableCost, &config)
            .map_err(|e| TestCaseError::fail(format!("{e}\n{}", random.graph)))?;
        let plain = optimize(&random.graph, &TableCost, &config).unwrap().0;
        prop_assert_eq!(plain.to_string(), result.to_string());
        prop_assert_eq!(replay(&random.graph, &result, &explanation, &RuleSet::standard()), Ok(()));
    }
}
