//! Optimizers: compiled steps against plain loops over numbers, what a step costs, and what is refused.

use eggrad::interp::{self, Precision};
use eggrad::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Adds a train step for the loss.
type Minimize = fn(Tensor<'_>);

/// Memory of one parameter: two numbers for each element.
type Memory = Vec<[f64; 2]>;

/// New value of a parameter's element from value and gradient, by its memory, the rate, and the number of the step.
type Update = fn(f64, f64, &mut [f64; 2], f64, i32) -> f64;

/// Numbers by the names of parameters.
type Numbers = BTreeMap<&'static str, Vec<f64>>;

/// One optimizer by the library and as a formula; the treatment of all gradients is the second function.
struct Row {
    name: &'static str,
    minimize: Minimize,
    update: Update,
    treat: fn(&mut Numbers, &Numbers),
    /// What memory begins with.
    initial: f64,
}

/// Where parameters begin, and the minimum of `Σ curvature · (p - goal)² / 2`.
const PARAMS: [(&str, [usize; 2], f64); 3] =
    [("a.weight", [2, 3], 0.5), ("a.bias", [1, 3], -0.25), ("b.weight", [3, 1], 2.0)];
const CURVATURE: f64 = 1.5;

fn start(name: &str, i: usize) -> f64 {
    0.3 * i as f64 - 0.5 + name.len() as f64 * 0.01
}

fn adam(p: f64, g: f64, m: &mut [f64; 2], rate: f64, t: i32, decay: f64, keras: bool) -> f64 {
    let (b1, b2, epsilon) = (0.8, 0.95, 1e-3);
    *m = [b1 * m[0] + (1.0 - b1) * g, b2 * m[1] + (1.0 - b2) * g * g];
    let (c1, c2) = (1.0 - f64::powi(b1, t), 1.0 - f64::powi(b2, t));
    let p = p - rate * decay * p;
    match keras {
        true => p - rate * c2.sqrt() / c1 * m[0] / (m[1].sqrt() + epsilon),
        false => p - rate * (m[0] / c1) / ((m[1] / c2).sqrt() + epsilon),
    }
}

fn momentum(p: f64, g: f64, m: &mut [f64; 2], rate: f64, nesterov: bool) -> f64 {
    m[0] = 0.9 * m[0] - rate * g;
    if nesterov { p + 0.9 * m[0] - rate * g } else { p + m[0] }
}

fn small_adam() -> Adam {
    Adam::new(0.1).betas(0.8, 0.95).epsilon(1e-3)
}

const fn row(name: &'static str, minimize: Minimize, update: Update) -> Row {
    Row { name, minimize, update, treat: |_, _| {}, initial: 0.0 }
}

fn rows() -> Vec<Row> {
    vec![
        row("sgd", |l| Sgd::new(0.1).minimize(l), |p, g, _, rate, _| p - rate * g),
        row(
            "momentum",
            |l| Sgd::new(0.1).momentum(0.9).minimize(l),
            |p, g, m, rate, _| momentum(p, g, m, rate, false),
        ),
        row(
            "nesterov",
            |l| Sgd::new(0.1).momentum(0.9).nesterov().minimize(l),
            |p, g, m, rate, _| momentum(p, g, m, rate, true),
        ),
        row(
            "adam, epsilon after correction",
            |l| small_adam().minimize(l),
            |p, g, m, rate, t| adam(p, g, m, rate, t, 0.0, false),
        ),
        row(
            "adam, epsilon before correction",
            |l| small_adam().epsilon_mode(EpsilonMode::Uncorrected).minimize(l),
            |p, g, m, rate, t| adam(p, g, m, rate, t, 0.0, true),
        ),
        row(
            "adamw",
            |l| small_adam().weight_decay(0.2).minimize(l),
            |p, g, m, rate, t| adam(p, g, m, rate, t, 0.2, false),
        ),
        row(
            "adam without a first moment",
            |l| Adam::new(0.1).betas(0.0, 0.5).epsilon(0.1).minimize(l),
            |p, g, m, rate, t| {
                m[1] = 0.5 * m[1] + 0.5 * g * g;
                p - rate * g / ((m[1] / (1.0 - f64::powi(0.5, t))).sqrt() + 0.1)
            },
        ),
        row(
            "rmsprop",
            |l| RmsProp::new(0.1).rho(0.8).epsilon(1e-3).minimize(l),
            |p, g, m, rate, _| {
                m[0] = 0.8 * m[0] + (1.0 - 0.8) * g * g;
                p - rate * g / (m[0] + 1e-3).sqrt()
            },
        ),
        Row {
            initial: 0.3,
            ..row(
                "adagrad",
                |l| Adagrad::new(0.1).initial_accumulator(0.3).epsilon(1e-3).minimize(l),
                |p, g, m, rate, _| {
                    m[0] += g * g;
                    p - rate * g / (m[0] + 1e-3).sqrt()
                },
            )
        },
        row(
            "lion",
            |l| Lion::new(0.1).betas(0.7, 0.9).weight_decay(0.2).minimize(l),
            |p, g, m, rate, _| {
                let direction = (0.7 * m[0] + (1.0 - 0.7) * g).signum();
                m[0] = 0.9 * m[0] + (1.0 - 0.9) * g;
                p - rate * (direction + 0.2 * p)
            },
        ),
        Row {
            treat: |g, p| penalise(g, p),
            ..row("l2", |l| Sgd::new(0.1).l2(0.3).minimize(l), |p, g, _, rate, _| p - rate * g)
        },
        Row {
            treat: |g, _| g.values_mut().flatten().for_each(|g| *g = g.clamp(-0.2, 0.2)),
            ..row(
                "clip_value",
                |l| Sgd::new(0.1).clip_value(0.2).minimize(l),
                |p, g, _, rate, _| p - rate * g,
            )
        },
        Row {
            treat: |g, p| {
                penalise(g, p);
                let norm = g.values().flatten().map(|g| g * g).sum::<f64>().sqrt();
                g.values_mut().flatten().for_each(|g| *g *= f64::min(1.0, 1.7 / norm));
            },
            ..row(
                "l2, then clip_global_norm",
                |l| Sgd::new(0.1).momentum(0.9).l2(0.3).clip_global_norm(1.7).minimize(l),
                |p, g, m, rate, _| momentum(p, g, m, rate, false),
            )
        },
    ]
}

/// The gradient of `0.3 · w²` for weights.
fn penalise(gradients: &mut Numbers, params: &Numbers) {
    for (name, g) in gradients.iter_mut().filter(|(name, _)| name.ends_with("weight")) {
        g.iter_mut().zip(&params[name]).for_each(|(g, p)| *g += 2.0 * 0.3 * p);
    }
}

/// A loss whose gradient is `CURVATURE · (p - goal)`.
fn bowl(g: &Graph, minimize: Minimize) {
    let mut loss = g.constant(0.0);
    for (name, dims, goal) in PARAMS {
        let values = (0..dims[0] * dims[1]).map(|i| start(name, i)).collect();
        let param = g.param(name, dims, Init::Values(values));
        loss = loss + (param - goal).square().sum(..) * (CURVATURE / 2.0);
    }
    g.output("loss", loss);
    minimize(loss);
}

/// Steps, and the step before which the rate is halved.
const STEPS: i32 = 12;
const HALVED: i32 = 7;

/// Parameters after every step, by loops over numbers.
fn by_hand(row: &Row) -> Vec<Numbers> {
    let mut params: Numbers = PARAMS
        .map(|(name, d, _)| (name, (0..d[0] * d[1]).map(|i| start(name, i)).collect()))
        .into();
    let mut memory: BTreeMap<&str, Memory> =
        params.iter().map(|(name, p)| (*name, vec![[row.initial; 2]; p.len()])).collect();
    let mut after = vec![];
    for t in 1..=STEPS {
        let rate = if t >= HALVED { 0.05 } else { 0.1 };
        let mut gradients = params.clone();
        for (name, _, goal) in PARAMS {
            let own = gradients.get_mut(name).expect("a parameter");
            own.iter_mut().for_each(|g| *g = CURVATURE * (*g - goal));
        }
        (row.treat)(&mut gradients, &params);
        for (name, p) in &mut params {
            let memory = memory.get_mut(name).expect("memory").iter_mut();
            for ((p, g), m) in p.iter_mut().zip(&gradients[name]).zip(memory) {
                *p = (row.update)(*p, *g, m, rate, t);
            }
        }
        after.push(params.clone());
    }
    after
}

fn close(found: &[f64], expected: &[f64], what: &str) {
    let near = |(f, e): (&f64, &f64)| (f - e).abs() <= 1e-12 * e.abs().max(1.0);
    assert!(found.iter().zip(expected).all(near), "{what}: {found:?}, not {expected:?}");
    assert_eq!(found.len(), expected.len());
}

#[test]
fn compiled_steps_are_the_formulas() {
    for row in rows() {
        let expected = by_hand(&row);
        let g = Graph::with_floats(DType::F64);
        bowl(&g, row.minimize);
        let program = Arc::new(Program::compile(&g, &Options::default()).expect("compiles"));
        assert!(program.report().dangers_left.is_empty(), "{}", row.name);
        let mut store = Store::new(0);
        let mut session = Session::new(&program, &mut store).expect("a session");
        let rates: Vec<String> = store.states().map(|s| s.0.to_string()).collect();
        let rate = rates.iter().find(|n| n.ends_with(".learning_rate")).expect("a rate");
        for t in 1..=STEPS {
            if t == HALVED {
                store.set_scalar(rate, 0.05).expect("a float");
            }
            let mut loss = [0.0];
            session.run(&mut store, &[], &mut [ArrayMut::F64(&mut loss)]).expect("runs");
            for (name, _, _) in PARAMS {
                let Some(ArrayRef::F64(found)) = store.get(name) else { panic!("no `{name}`") };
                let what = format!("{}, `{name}` after step {t}", row.name);
                close(found, &expected[t as usize - 1][name], &what);
            }
        }
    }
}

#[test]
fn interpreted_steps_as_written_are_the_formulas() {
    for row in rows() {
        let expected = by_hand(&row);
        let g = Graph::with_floats(DType::F64);
        bowl(&g, row.minimize);
        let built = g.build().expect("a graph");
        let options = Options { rewrite: false, ..Options::default() };
        let lowered = eggrad::lower(&built.graph, &options).expect("lowers");
        let states = built.graph.states().iter().zip(&built.inits);
        let mut states: Vec<interp::Tensor> = states
            .map(|(s, i)| interp::Tensor::from_values(s.ty.clone(), &i.values(&s.name, &s.ty, 0)))
            .collect();
        for t in 1..HALVED {
            states =
                interp::run(&lowered, &[], &states, Precision::AsWritten).expect("runs").states;
            for (state, found) in built.graph.states().iter().zip(&states) {
                let Some(wanted) = expected[t as usize - 1].get(state.name.as_str()) else {
                    continue;
                };
                close(&found.to_f64s(), wanted, &format!("{}, `{}`", row.name, state.name));
            }
        }
    }
}

/// Kernels of a train step of a network of two layers.
fn kernels(minimize: Minimize) -> usize {
    let g = Graph::new();
    let hidden = dense("dense1", g.input("x", [8, 6]), 5).relu();
    let logits = dense("dense2", hidden, 4);
    let labels = g.labels("labels", [8], 4);
    let loss = -(labels.one_hot(4) * logits.softmax(1).log()).sum(1).mean();
    g.output("loss", loss);
    minimize(loss);
    Program::compile(&g, &Options::default()).expect("compiles").report().kernels
}

/// The update of a parameter is part of the kernel that makes its gradient.
#[test]
fn updates_are_fused_into_gradients() {
    let plain = kernels(|l| Sgd::new(0.1).minimize(l));
    let fused: [(&str, Minimize); 9] = [
        ("momentum", |l| Sgd::new(0.1).momentum(0.9).minimize(l)),
        ("nesterov", |l| Sgd::new(0.1).momentum(0.9).nesterov().minimize(l)),
        ("adam", |l| Adam::new(0.1).minimize(l)),
        ("keras", |l| Adam::new(0.1).epsilon_mode(EpsilonMode::Uncorrected).minimize(l)),
        ("adamw", |l| Adam::new(0.1).weight_decay(0.1).minimize(l)),
        ("rmsprop", |l| RmsProp::new(0.1).minimize(l)),
        ("adagrad", |l| Adagrad::new(0.1).minimize(l)),
        ("lion", |l| Lion::new(0.1).weight_decay(0.1).minimize(l)),
        ("clip_value", |l| Adam::new(0.1).clip_value(0.1).minimize(l)),
    ];
    for (name, minimize) in fused {
        // One more for scalars that all parameters share, such as Adam's corrections.
        let count = kernels(minimize);
        assert!(count <= plain + 1, "{name}: {count} kernels, {plain} without memory");
    }
    // A norm needs every gradient before the first update: for each of four parameters one kernel more, one for the
    // sum of its squares, and one for the scale.
    let norm = kernels(|l| Sgd::new(0.1).clip_global_norm(0.1).minimize(l));
    assert!(norm <= plain + 2 * 4 + 1, "{norm} kernels, {plain} without a norm");
}

/// The first lines of the errors of a train step.
fn refused(minimize: impl Fn(Tensor<'_>), name: &str) -> Vec<String> {
    let g = Graph::new();
    let loss = g.param(name, [2], Init::Zeros).square().mean();
    minimize(loss);
    let text = g.build().expect_err("must be refused").to_string();
    assert!(text.contains(file!()) && !text.contains("crates/nn"), "{text}");
    text.lines().filter(|l| l.starts_with('`')).map(str::to_string).collect()
}

#[test]
fn hyper_parameters_that_cannot_be() {
    let check = |minimize: &dyn Fn(Tensor<'_>), expected: &[&str]| {
        assert_eq!(refused(minimize, "w"), expected);
    };
    check(&|l| Sgd::new(-0.1).minimize(l), &["`sgd` cannot have the learning_rate -0.1"]);
    check(&|l| Sgd::new(f64::NAN).minimize(l), &["`sgd` cannot have the learning_rate NaN"]);
    check(&|l| Sgd::new(0.1).momentum(1.0).minimize(l), &["`sgd` cannot have the momentum 1"]);
    check(
        &|l| Sgd::new(0.1).nesterov().minimize(l),
        &["`sgd` takes Nesterov's form of no momentum"],
    );
    check(
        &|l| Adam::new(0.1).betas(1.0, -0.5).minimize(l),
        &["`adam` cannot have the beta1 1", "`adam` cannot have the beta2 -0.5"],
    );
    check(&|l| Adam::new(0.1).epsilon(0.0).minimize(l), &["`adam` cannot have the epsilon 0"]);
    check(
        &|l| Adam::new(0.1).weight_decay(f64::INFINITY).minimize(l),
        &["`adam` cannot have the weight_decay inf"],
    );
    check(&|l| RmsProp::new(0.1).rho(1.5).minimize(l), &["`rmsprop` cannot have the rho 1.5"]);
    check(
        &|l| Adagrad::new(0.1).initial_accumulator(-1.0).minimize(l),
        &["`adagrad` cannot have the initial_accumulator -1"],
    );
    check(
        &|l| Lion::new(0.1).betas(f64::NAN, 0.9).minimize(l),
        &["`lion` cannot have the beta1 NaN"],
    );
    check(
        &|l| Lion::new(0.1).clip_value(0.0).minimize(l),
        &["`lion` cannot have the clip_value 0"],
    );
    check(
        &|l| Adam::new(0.1).clip_global_norm(-1.0).minimize(l),
        &["`adam` cannot have the clip_global_norm -1"],
    );
    check(&|l| Adam::new(0.1).l2(-1.0).minimize(l), &["`adam` cannot have the l2 -1"]);
    check(
        &|l| Adam::new(0.1).clip_value(1.0).clip_global_norm(1.0).minimize(l),
        &["`minimize` cannot clip both single elements and the norm of all"],
    );
    assert_eq!(
        refused(|l| Sgd::new(0.1).l2(0.1).minimize(l), "layer.bias"),
        ["`minimize` finds no weights for its `l2` penalty among layer.bias",]
    );
}
