//! The naive cross-entropy becomes the stable one: values and gradients where the formula as written overflows.

use crate::run::{Data, Results, Value, outputs_of};
use eggrad::prelude::*;
use eggrad_testkit::{Rng, ulps_f32};

/// How a user may write the mean cross-entropy of logits and integer labels.
type Spelling = for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>;

/// Size of axis `axis` of the logits.
fn size(z: Tensor<'_>, axis: usize) -> usize {
    z.ty().expect("logits").shape.dims()[axis]
}

/// The labels of `z` as rows with a one.
fn rows<'g>(z: Tensor<'g>, labels: Tensor<'g>) -> Tensor<'g> {
    labels.one_hot(size(z, 1))
}

const SPELLINGS: [(&str, Spelling); 9] = [
    ("naive", |z, i| -(rows(z, i) * z.softmax(1).log()).sum(1).mean()),
    ("minus inside", |z, i| (-(rows(z, i) * z.softmax(1).log())).sum(1).mean()),
    ("minus at the label", |z, i| ((-rows(z, i)) * z.softmax(1).log()).sum(1).mean()),
    ("operands swapped", |z, i| -(z.softmax(-1).log() * rows(z, i)).sum(1).mean()),
    ("exponentials", |z, i| {
        let e = z.exp();
        -(rows(z, i) * (e / e.sum(1).unsqueeze(1)).log()).sum(1).mean()
    }),
    ("shifted by hand", |z, i| {
        let e = (z - z.max(1).unsqueeze(1)).exp();
        -(rows(z, i) * (e / e.sum(1).unsqueeze(1)).log()).sum(1).mean()
    }),
    ("sum over everything", |z, i| -(rows(z, i) * z.softmax(1).log()).sum(..) / size(z, 0) as f64),
    ("picked, then logarithm", |z, i| -z.softmax(1).pick(i).log().mean()),
    ("logarithm, then picked", |z, i| -z.softmax(1).log().pick(i).mean()),
];

/// Loss and its gradient with respect to `logits`, each row with its label, in every way there is.
fn run(spelling: Spelling, logits: &[f32], labels: &[i32]) -> Results {
    let (rows, classes) = (labels.len(), logits.len() / labels.len());
    let write = |g: &Graph| {
        let z = g.input("logits", [rows, classes]);
        let loss = spelling(z, g.labels("labels", [rows], classes));
        g.output("loss", loss);
        g.output("gradient", loss.grad(z));
    };
    let logits = Value::new([rows, classes], Data::F32(logits.to_vec()));
    let labels = Value::new([rows], Data::I32(labels.to_vec()));
    outputs_of(DType::F32, &write, &[logits, labels])
}

/// Exact loss and softmax of each row in `f64`.
fn exact(logits: &[f32], labels: &[i32]) -> (f64, Vec<f64>) {
    let classes = logits.len() / labels.len();
    let mut loss = 0.0;
    let mut softmax = vec![];
    for (row, &label) in logits.chunks(classes).zip(labels) {
        let row: Vec<f64> = row.iter().map(|&z| f64::from(z)).collect();
        let at_max = (0..classes).max_by(|&i, &j| row[i].total_cmp(&row[j])).unwrap();
        let others = (0..classes).filter(|&j| j != at_max);
        let tail: f64 = others.map(|j| (row[j] - row[at_max]).exp()).sum();
        loss += row[at_max] - row[label as usize] + tail.ln_1p();
        softmax.extend(row.iter().map(|z| (z - row[at_max]).exp() / (1.0 + tail)));
    }
    (loss / labels.len() as f64, softmax)
}

fn floats(results: &[(String, Value)], name: &str) -> Vec<f32> {
    match results.iter().find(|(n, _)| n == name) {
        Some((_, Value { data: Data::F32(values), .. })) => values.clone(),
        _ => panic!("no f32 output {name}"),
    }
}

/// Size of a unit in the last place of `x` as an `f32`.
fn ulp(x: f64) -> f64 {
    let x = (x.abs() as f32).max(f32::MIN_POSITIVE);
    f64::from(f32::from_bits(x.to_bits() + 1)) - f64::from(x)
}

#[test]
fn large_logits() {
    for (name, spelling) in SPELLINGS {
        for logits in [[1000.0, 0.0, -1000.0], [0.0, 1000.0, 0.0]] {
            for label in 0..3 {
                let (loss, p) = exact(&logits, &[label]);
                for (how, results) in run(spelling, &logits, &[label]) {
                    let got = floats(&results, "loss")[0];
                    let gradient = floats(&results, "gradient");
                    let what =
                        format!("{name}, {logits:?}, label {label}, {how}: {got} {gradient:?}");
                    if how.ends_with("as written") {
                        // Only a label that has all the probability comes out right.
                        let broken = !got.is_finite() || gradient.iter().any(|g| !g.is_finite());
                        let sure = p[label as usize] == 1.0;
                        assert!(broken || sure, "the formula as written must overflow: {what}");
                        continue;
                    }
                    assert!(ulps_f32(got, loss as f32) <= 4, "{what}, not {loss}");
                    for (j, (&got, &p)) in gradient.iter().zip(&p).enumerate() {
                        let expected = (p - f64::from(u8::from(j == label as usize))) as f32;
                        assert!(ulps_f32(got, expected) <= 4, "{what}, not {expected} at {j}");
                    }
                }
            }
        }
    }
}

#[test]
fn random_rows() {
    let mut random = Rng::new(7);
    for round in 0..60 {
        let (rows, classes) = (1 + random.below(4), 2 + random.below(40));
        let scale = [0.1, 1.0, 10.0, 100.0][round % 4];
        let logits: Vec<f32> =
            (0..rows * classes).map(|_| random.uniform(-scale, scale) as f32).collect();
        let labels: Vec<i32> = (0..rows).map(|_| random.below(classes) as i32).collect();
        let (loss, p) = exact(&logits, &labels);
        let (name, spelling) = SPELLINGS[round % SPELLINGS.len()];
        for (how, results) in run(spelling, &logits, &labels) {
            if how.ends_with("as written") {
                continue;
            }
            let what = format!("{name}, {how}, {rows}x{classes}, scale {scale}");
            let got = floats(&results, "loss")[0];
            assert!(ulps_f32(got, loss as f32) <= 4, "{what}: loss {got}, not {loss}");
            for (i, (&got, &p)) in floats(&results, "gradient").iter().zip(&p).enumerate() {
                let y = f64::from(u8::from(labels[i / classes] as usize == i % classes));
                let expected = (p - y) / rows as f64;
                let bound = 4.0 * ulp(p.max(y) / rows as f64);
                let error = (f64::from(got) - expected).abs();
                // Subnormal results count as zero.
                let flushed = got == 0.0 && expected.abs() < f64::from(f32::MIN_POSITIVE);
                assert!(error <= bound || flushed, "{what}: gradient {got}, not {expected} at {i}");
            }
        }
    }
}

#[test]
fn tiny_losses_and_gradients_keep_their_digits() {
    let logits = [30.0, 0.0, -2.0];
    let (loss, p) = exact(&logits, &[0]);
    for (how, results) in run(SPELLINGS[0].1, &logits, &[0]) {
        if how.ends_with("as written") {
            assert_eq!(floats(&results, "loss")[0], 0.0, "the formula as written loses them");
            continue;
        }
        let got = floats(&results, "loss")[0];
        assert!(ulps_f32(got, loss as f32) <= 4, "{how}: {got}, not {loss}");
        let got = floats(&results, "gradient")[0];
        let expected = -(p[1] + p[2]) as f32;
        assert!(ulps_f32(got, expected) <= 4, "{how}: {got}, not {expected}");
    }
}

#[test]
fn a_deliberate_clip_stays() {
    let write = |g: &Graph| {
        let z = g.input("z", [1, 3]);
        let y = g.labels("labels", [1], 3).one_hot(3);
        g.output("loss", -(y * (z.softmax(1) + 1e-7).log()).sum(1).mean());
    };
    let z = Value::new([1, 3], Data::F32(vec![1000.0, 0.0, -1000.0]));
    let label = Value::new([1], Data::I32(vec![1]));
    for (how, results) in outputs_of(DType::F32, &write, &[z.clone(), label.clone()]) {
        let loss = floats(&results, "loss")[0];
        assert!((loss - 16.118).abs() < 1e-2, "{how}: {loss}");
    }
}

/// A fact that holds at the real size but not at the sizes of validation: the graph runs as written, with a note.
#[test]
fn a_rewritten_graph_that_is_not_confirmed_is_not_used() {
    let g = Graph::new();
    let x = g.input("x", [2, 3]);
    g.output("y", (x * 0.0 - 1.0).logsumexp(1).relu());
    let program = std::sync::Arc::new(Program::compile(&g, &Options::default()).expect("compiles"));
    let mut store = Store::new(0);
    let mut session = Session::new(&program, &mut store).expect("a session");
    let mut y = [0.0f32; 2];
    session
        .run(&mut store, &[ArrayRef::F32(&[1.0; 6])], &mut [ArrayMut::F32(&mut y)])
        .expect("runs");
    let expected = 3f32.ln() - 1.0;
    assert!(y.iter().all(|y| (y - expected).abs() < 1e-6), "{y:?}");
    let notes = &program.report().notes;
    assert!(notes.iter().all(|n| n.starts_with("`y` runs as written")), "{notes:?}");
    assert_eq!(notes.is_empty(), program.report().rules.contains_key("relu-of-positive"));
}
