//! What a user is told: the op or layer, every shape, the line, and a way out.

use eggrad::prelude::*;
use ndarray::{Array1, Array2};
use std::sync::Arc;

/// The errors of the graph that `write` makes, with this file's name shortened.
fn graph_errors(write: impl FnOnce(&Graph)) -> String {
    let graph = Graph::new();
    write(&graph);
    let errors = graph.build().expect_err("must be refused").to_string();
    errors.replace(file!(), "here.rs")
}

#[test]
fn inner_sizes_of_a_product() {
    let line = line!() + 2;
    let text = graph_errors(|g| {
        let x = g.input("x", [32, 784]);
        let w = g.param("w", [128, 10], Init::GlorotUniform);
        x.matmul(w);
    });
    let expected = format!(
        "`matmul` needs the inner sizes to agree: 784 and 128
  at here.rs:{}
  x: f32[32, 784]  made at here.rs:{line}
  w: f32[128, 10]  made at here.rs:{}
help: the left side has 784 columns, so the right side needs 784 rows",
        line + 2,
        line + 1
    );
    assert_eq!(text, expected);
}

#[test]
fn a_transposed_operand_is_suggested() {
    let text = graph_errors(|g| {
        let x = g.input("x", [32, 64]);
        let w = g.param("w", [10, 64], Init::GlorotUniform);
        x.matmul(w);
    });
    assert!(text.ends_with("needs 64 rows; its `.transpose()` would have them"), "{text}");
}

#[test]
fn shapes_that_do_not_broadcast_and_no_errors_that_follow() {
    let line = line!() + 4;
    let text = graph_errors(|g| {
        let x = g.input("x", [32, 10]);
        let y = g.input("y", [5]);
        let wrong = x + y;
        // Neither of these adds an error of its own.
        g.output("loss", (wrong.exp() * 2.0).sum(..).mean());
        Adam::new(0.1).minimize(wrong.mean());
    });
    let expected = format!(
        "`add` needs shapes that broadcast: [32, 10] and [5]
  at here.rs:{line}
  x: f32[32, 10]  made at here.rs:{}
  y: f32[5]       made at here.rs:{}
help: sizes agree from the right when they are equal or one of them is 1",
        line - 2,
        line - 1
    );
    assert_eq!(text, expected);
}

#[test]
fn layers_are_named() {
    let text = graph_errors(|g| {
        let x = g.input("x", Vec::<usize>::new());
        dense("dense1", x, 10);
    });
    assert!(
        text.starts_with(
            "`dense` in layer `dense1` needs at least one axis of features\n  at here.rs:"
        ),
        "{text}"
    );
    assert!(text.ends_with("help: pass a batch of rows, such as `[rows, features]`"), "{text}");
}

#[test]
fn every_mistake_is_reported_in_order() {
    let text = graph_errors(|g| {
        let x = g.input("x", [2, 3]);
        x.sum(2);
        x.reshape([5]);
        x.log().and(x.exp());
        x.select(1.0, 0.0);
        g.labels("labels", [2], 4).softmax(0);
        x.transpose().matmul(x.transpose());
        g.write(x, x);
        g.input("x", [1]);
        g.param("w", [0usize; 0], Init::HeNormal);
        let other = Graph::new();
        g.output("foreign", other.input("z", [1]));
        x.mean_over([0, 0]);
        x.permute([0]);
        x.grad(x);
    });
    let firsts: Vec<&str> = text.lines().filter(|l| l.starts_with('`')).collect();
    let expected = [
        "`sum` has no axis 2: the operand has 2 axes",
        "`reshape` cannot turn [2, 3] into [5]: they hold different numbers",
        "`and` takes bools",
        "`select` chooses by a bool, not f32",
        "`softmax` takes floats, not i32",
        "`matmul` needs the inner sizes to agree: 2 and 3",
        "`write` goes to a state",
        "`w` of type f32[] cannot begin at random",
        "`output` takes a tensor of another graph",
        "`mean` names an axis twice: [0, 0]",
        "`mean` names an axis twice: [0, 0]",
        "`transpose` needs each of the 2 axes once, not [0]",
        "`grad` differentiates one float",
    ];
    assert_eq!(firsts, expected, "{text}");
}

#[test]
fn two_inputs_of_one_name() {
    let text = graph_errors(|g| {
        let x = g.input("x", [2]);
        g.output("sum", x + g.input("x", [2]));
    });
    assert!(text.starts_with("`x` names two of them"), "{text}");
}

#[test]
fn states_written_twice_and_trained_twice() {
    let text = graph_errors(|g| {
        let w = g.param("w", [2], Init::Zeros);
        g.write(w, w + 1);
        g.write(w, w + 2.0);
        let loss = w.square().mean();
        Adam::new(0.1).minimize(loss);
        Sgd::new(0.1).minimize(loss);
    });
    let firsts: Vec<&str> = text.lines().filter(|l| l.starts_with('`')).collect();
    let expected = [
        "`write` goes to a state that has been written",
        "`write` goes to a state that has been written",
        "`minimize` is called on a graph that has a train step",
    ];
    assert_eq!(firsts, expected, "{text}");
    assert!(!text.contains("optim.rs"), "{text}");

    let text = graph_errors(|g| Sgd::new(0.1).minimize(g.input("x", [2]).mean()));
    assert!(text.starts_with("`minimize` finds no parameters to train\n  at here.rs:"), "{text}");
    let text = graph_errors(|g| Sgd::new(0.1).minimize(g.param("w", [2], Init::Zeros)));
    assert!(text.starts_with("`loss` must be one float, not f32[2]\n  at here.rs:"), "{text}");
}

#[test]
fn parameters_of_one_name() {
    let text = graph_errors(|g| {
        let x = dense("layer", g.input("x", [2, 3]), 3);
        dense("layer", x, 3);
    });
    assert!(
        text.starts_with("`layer.weight` in layer `layer` is the name of another state"),
        "{text}"
    );
    assert!(text.contains("declare it once and use the tensor twice"), "{text}");
}

#[test]
fn labels_of_more_classes_than_places() {
    let line = line!() + 3;
    let text = graph_errors(|g| {
        let labels = g.labels("labels", [2], 5);
        labels.one_hot(3);
        g.input("table", [4, 3]).gather(labels);
        g.input("p", [2, 4]).pick(labels);
        labels.one_hot(5);
    });
    let firsts: Vec<&str> = text.lines().filter(|l| l.starts_with('`')).collect();
    let expected = [
        "`one_hot` has 3 places, but labels go up to 4",
        "`gather` has 4 places, but labels go up to 4",
        "`gather` has 4 places, but labels go up to 4",
    ];
    assert_eq!(firsts, expected, "{text}");
    assert!(text.contains(&format!("  at here.rs:{line}\n  labels: i32[2]")), "{text}");
}

#[test]
fn an_arena_that_no_memory_holds() {
    let g = Graph::new();
    let (a, b) = (g.input("x", [1 << 24, 1]), g.input("y", [1, 1 << 24]));
    g.output("o", (a * b).softmax(1).matmul(b.transpose()).sum(..));
    let text = Program::compile(&g, &Options::default()).expect_err("refused").to_string();
    assert!(text.starts_with("intermediate values need "), "{text}");
    assert!(text.ends_with("use smaller sizes or batches"), "{text}");
}

#[test]
fn unwrapping_shows_the_text() {
    let g = Graph::new();
    g.output("y", g.input("x", [2, 3]) + g.input("y", [2]));
    let error = Program::compile(&g, &Options::default()).expect_err("refused");
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[test]
fn sizes_that_no_memory_holds() {
    let text = graph_errors(|g| {
        g.input("x", [usize::MAX, 2]);
        let y = g.input("y", [1 << 30, 1]);
        y.broadcast_to([1 << 30, 1 << 31]);
    });
    assert!(text.starts_with("`x` of shape [18446744073709551615, 2] fits no memory"), "{text}");
    assert!(text.contains("`broadcast` makes a tensor of shape"), "{text}");
}

/// The error of a dataset of `features` and `labels` in 3 classes, without its line.
fn data_error(features: Array2<f32>, labels: Vec<i32>) -> String {
    let error = Dataset::new(features.view(), Array1::from(labels).view(), 3);
    let text = error.expect_err("must be refused").to_string();
    let lines = text.lines().filter(|l| !l.starts_with("  at "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn faults_in_data() {
    let mut features = Array2::zeros((2, 4));
    let shapes = "  features: f32[2, 4]\n  labels:   i32[2]\n";
    assert_eq!(
        data_error(features.clone(), vec![0, 3]),
        format!(
            "`Dataset` has label 3 at row 1, but 3 classes\n{shapes}help: number the classes from 0, or name more of them"
        )
    );
    assert!(data_error(features.clone(), vec![-1, 0]).contains("has label -1 at row 0"));
    assert!(data_error(features.clone(), vec![0]).contains("has 2 rows of features but 1 labels"));
    assert!(data_error(Array2::zeros((0, 4)), vec![]).starts_with("`Dataset` has no rows"));
    features[[1, 2]] = f32::NAN;
    assert_eq!(
        data_error(features, vec![0, 1]),
        format!(
            "`Dataset` holds NaN at row 1, column 2\n{shapes}help: drop the row or fill the gap before training"
        )
    );
}

/// A session of the graph that `write` makes, and its store.
fn session(write: impl FnOnce(&Graph)) -> (Session, Store) {
    let g = Graph::new();
    write(&g);
    let program = Arc::new(Program::compile(&g, &Options::default()).expect("compiles"));
    let mut store = Store::new(0);
    (Session::new(&program, &mut store).expect("a session"), store)
}

/// The text of an error with this file's name shortened.
fn text(result: Result<(), Error>) -> String {
    result.expect_err("must be refused").to_string().replace(file!(), "here.rs")
}

#[test]
fn labels_out_of_range_at_run_time() {
    let declared = line!() + 2;
    let (mut session, mut store) = session(|g| {
        let labels = g.labels("labels", [3], 10);
        g.output("onehot", labels.one_hot(10));
    });
    let mut out = [0.0f32; 30];
    let used = line!() + 2;
    let mut run = |labels: [i32; 3]| {
        session.run(&mut store, &[ArrayRef::I32(&labels)], &mut [ArrayMut::F32(&mut out)])
    };
    run([0, 9, 3]).expect("labels in range");
    for bad in [10, -1, i32::MIN] {
        let expected = format!(
            "`labels` holds {bad} at element 1, outside 0 to 9
  at here.rs:{used}
  labels: i32[3]  made at here.rs:{declared}
help: pass numbers from 0 to 9, or declare a wider range"
        );
        assert_eq!(text(run([0, bad, 3])), expected);
    }
}

#[test]
fn arrays_that_do_not_fit() {
    let declared = line!() + 2;
    let (mut session, mut store) = session(|g| {
        let x = g.input("x", [2, 3]);
        g.output("y", x.exp());
    });
    let mut out = [0.0f32; 6];
    let used = line!() + 2;
    let mut run = |inputs: &[ArrayRef<'_>], outputs: &mut [ArrayMut<'_>]| {
        text(session.run(&mut store, inputs, outputs))
    };
    let place = format!("  at here.rs:{used}\n  x: f32[2, 3]  made at here.rs:{declared}\n");
    let y = &mut [ArrayMut::F32(&mut out)];
    assert_eq!(
        run(&[ArrayRef::F32(&[0.0; 5])], y),
        format!(
            "`x` is an input of 6 elements, not 5\n{place}help: pass all elements of the declared shape, row-major"
        )
    );
    assert_eq!(
        run(&[ArrayRef::F64(&[0.0; 6])], y),
        format!("`x` is an input of f32, not f64\n{place}help: pass an array of f32 elements")
    );
    assert_eq!(
        run(&[], y),
        format!(
            "`run` takes 1 input arrays, not 0\n{place}help: pass one array for each input, in the order declared"
        )
    );
    let missing = run(&[ArrayRef::F32(&[0.0; 6])], &mut []);
    assert!(missing.starts_with("`run` takes 1 output arrays, not 0"), "{missing}");
    assert!(missing.contains("y: f32[2, 3]"), "{missing}");
}

#[test]
fn a_loss_that_is_not_finite_names_the_op_and_its_operands() {
    let declared = line!() + 4;
    let (mut session, mut store) = session(|g| {
        let w = g.param("w", [2], Init::Constant(1.0));
        let x = g.input("x", [2]);
        let loss = (w * x).sqrt().sum(..);
        g.output("loss", loss);
        Sgd::new(0.1).minimize(loss);
    });
    let inputs = [ArrayRef::F32(&[1.0, -1.0])];
    let mut loss = [0.0f32];
    let run = session.run(&mut store, &inputs, &mut [ArrayMut::F32(&mut loss)]);
    let text = run.expect_err("must stop").to_string().replace(file!(), "here.rs");
    let op = "is NaN at element 1 of result of `sqrt`, whose operands hold -1 to 1";
    assert!(text.contains(op), "{text}");
    assert!(text.contains(&format!("sqrt: f32[2]  made at here.rs:{declared}")), "{text}");
    assert_eq!(store.get("w"), Some(ArrayRef::F32(&[1.0, 1.0])));
}

#[test]
fn a_parameter_that_no_gradient_reaches() {
    let g = Graph::new();
    let x = g.input("x", [4]);
    let w = g.param("w", [4], Init::Constant(1.0));
    let unused = g.param("unused", [2], Init::Zeros);
    let loss = (w * x).stop_gradient().sum(..);
    g.output("loss", loss + unused.sum(..) * 0.0);
    Sgd::new(0.1).minimize(loss);
    let text = Program::compile(&g, &Options::default()).expect_err("must be refused").to_string();
    assert!(text.contains('w') && text.contains(file!()), "{text}");
}

#[test]
fn numbers_that_a_type_cannot_hold() {
    let line = line!() + 2;
    let text = graph_errors(|g| {
        g.output("y", g.labels("labels", [2], 3) * 0.5);
    });
    let expected =
        format!("`constant` 0.5 is no i32\n  at here.rs:{line}\nhelp: cast the tensor to a float");
    assert_eq!(text, expected);
}
