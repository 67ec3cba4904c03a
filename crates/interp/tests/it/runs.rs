//! States, intermediate values and what a run refuses.

use eggrad_interp::{Data, InterpError, Precision, Tensor, run, values};
use eggrad_ir::{DType, Graph, TensorType};

fn scalar(value: f64) -> Tensor {
    Tensor::scalar(DType::F32, value)
}

#[test]
fn states_change_together_at_the_end() {
    let graph: Graph = "graph 2\nparam a: f32[]\nparam b: f32[]\nfrozen c: f32[]\n\
         %3 = add(a, b)\nout sum = %3\nwrite a = b\nwrite b = a\n"
        .parse()
        .unwrap();
    let before = [scalar(1.0), scalar(2.0), scalar(3.0)];
    let after = run(&graph, &[], &before, Precision::AsWritten).unwrap();
    assert_eq!(after.outputs, [scalar(3.0)]);
    assert_eq!(after.states, [scalar(2.0), scalar(1.0), scalar(3.0)]);
}

#[test]
fn values_gives_every_node() {
    let text = "graph 2\nin x: f32[]\n%1 = square(x)\n%2 = exp(%1)\nout y = %2\n";
    let graph: Graph = text.parse().unwrap();
    let all = values(&graph, &[scalar(2.0)], &[], Precision::AsWritten).unwrap();
    assert_eq!(all, [scalar(2.0), scalar(4.0), scalar(4f64.exp())]);
}

#[test]
fn refusals_name_what_is_wrong() {
    let text = "graph 2\nin x: f32[2]\nin labels: i32[3], range 0 to 9\nparam w: f32[2]\n%3 = add(x, w)\nout y = %3\n";
    let graph: Graph = text.parse().unwrap();
    let floats = |n| Tensor::full(TensorType::new(DType::F32, [n]), 1.0);
    let labels = |last| Tensor::new([3], Data::I32(vec![0, 9, last]));
    let error = |inputs: &[Tensor], states: &[Tensor]| {
        run(&graph, inputs, states, Precision::AsWritten).unwrap_err().to_string()
    };
    let good = [floats(2), labels(3)];
    assert!(run(&graph, &good, &[floats(2)], Precision::AsWritten).is_ok());
    assert_eq!(error(&good, &[]), "the graph has 1 states, but 0 arrays were given");
    assert_eq!(
        error(&good, &[floats(3)]),
        "`w` is declared f32[2], but the array given is f32[3] (at line 4, column 7)"
    );
    assert_eq!(
        error(&[floats(2), labels(10)], &[floats(2)]),
        "`labels` is declared to hold 0 to 9, but element 2 is 10 (at line 3, column 4)"
    );
    let mut lying = floats(2);
    lying.data = Data::F32(vec![1.0]);
    assert_eq!(
        error(&[lying, labels(1)], &[floats(2)]),
        "the array given for `x` has 1 elements of another kind or number than its type f32[2]"
    );
    // Doubles for floats are welcome in wide runs only.
    let double = Tensor::full(TensorType::new(DType::F64, [2]), 1.0);
    let inputs = [double, labels(1)];
    assert!(run(&graph, &inputs, &[floats(2)], Precision::Wide).is_ok());
    assert!(matches!(
        run(&graph, &inputs, &[floats(2)], Precision::AsWritten),
        Err(InterpError::Type { .. })
    ));
}

#[test]
fn unresolved_derivatives_and_huge_tensors_are_refused() {
    let check = |text: &str, expected: &str| {
        let graph: Graph = text.parse().unwrap();
        let error = run(&graph, &[scalar(1.0)], &[], Precision::AsWritten).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        "graph 2\nin x: f32[]\n%1 = exp(x)\n%2 = grad(%1, x)\nout y = %2\n",
        "a `grad` is left in the graph (at line 4, column 6); differentiate before running",
    );
    check(
        "graph 2\nin x: f32[]\n%1 = broadcast(x, shape=[1000000, 1000000], axes=[])\nout y = %1\n",
        "`broadcast` makes f32[1000000, 1000000], more than the interpreter takes on (at line 3, column 6)",
    );
}

#[test]
fn long_chains_run_in_a_small_stack() {
    let mut text = String::from("graph 2\nin x: f32[]\n%0 = neg(x)\n");
    for i in 1..100_000 {
        text.push_str(&format!("%{i} = neg(%{})\n", i - 1));
    }
    text.push_str("out y = %99999\n");
    let work = move || {
        let graph: Graph = text.parse().unwrap();
        run(&graph, &[scalar(3.0)], &[], Precision::AsWritten).unwrap().outputs
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap();
    assert_eq!(thread.join().unwrap(), [scalar(3.0)]);
}
