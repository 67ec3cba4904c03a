//! Train steps and predictions allocate nothing: counted over all threads, in a test binary of its own.

use eggrad::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "../examples/digits/network.rs"]
#[allow(dead_code, reason = "the test uses the graphs alone")]
mod network;

/// The system's allocator, with a count of calls.
struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every method passes its arguments on to the system's allocator, which keeps the contract; counting does not
// allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller upholds the contract of `dealloc`; `pointer` came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller upholds the contract of `realloc`; `pointer` came from the system's allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// The only test of this binary: a second one would allocate beside it.
#[test]
fn steps_and_predictions_allocate_nothing() {
    let mut model = network::model(0, &Options::default(), 1000).expect("compiles");
    model.compile(network::naive_cross_entropy(), Adam::new(1e-2), ()).expect("compiles");
    let graph = model.graph(Mode::Train, network::BATCH).expect("a graph");
    let program = Arc::new(Program::compile(&graph, &Options::default()).expect("compiles"));
    let mut store = Store::new(0);
    let mut session = Session::new(&program, &mut store).expect("a session");
    let graph = Graph::new();
    graph.freeze();
    let weight = graph.param("dense_1.weight", [64, 25], Init::HeNormal);
    let images = graph.input("images", [network::BATCH, 64]);
    graph.output("y", images.matmul(weight.exp()).sum(1));
    let frozen = Arc::new(Program::compile(&graph, &Options::default()).expect("compiles"));
    assert!(frozen.report().setup_kernels > 0);
    let mut predict = Session::new(&frozen, &mut store).expect("a session");
    let (train, _) = network::data().expect("the data");
    let images = &train.features()[..network::BATCH * train.columns()];
    let labels = &train.labels()[..network::BATCH];
    let mut losses = [0.0f32; 1003];
    let mut y = [0.0f32; network::BATCH];
    let mut before = 0;
    for (step, loss) in losses.iter_mut().enumerate() {
        if step == 3 {
            before = CALLS.load(Ordering::SeqCst);
        }
        let inputs = [ArrayRef::F32(images), ArrayRef::I32(labels)];
        let outputs = &mut [ArrayMut::F32(std::slice::from_mut(loss))];
        session.run(&mut store, &inputs, outputs).expect("runs");
        // The first after a step computes what is made of the weights, the second does not.
        for _ in 0..2 {
            let outputs = &mut [ArrayMut::F32(&mut y)];
            predict.run_shared(&store, &inputs[..1], outputs).expect("runs");
        }
    }
    let calls = CALLS.load(Ordering::SeqCst) - before;
    assert_eq!(calls, 0, "1,000 steps and 2,000 predictions called the allocator {calls} times");
    assert!(losses[1002] < 0.5 * losses[0], "the steps trained: {} to {}", losses[0], losses[1002]);
    optimizers_allocate_nothing();
}

/// Steps of every optimizer.
fn optimizers_allocate_nothing() {
    let minimizers: [fn(Tensor<'_>); 6] = [
        |l| Sgd::new(0.1).momentum(0.9).nesterov().l2(0.01).minimize(l),
        |l| Adam::new(0.1).weight_decay(0.01).clip_global_norm(1.0).minimize(l),
        |l| Adam::new(0.1).epsilon_mode(EpsilonMode::Uncorrected).clip_value(1.0).minimize(l),
        |l| RmsProp::new(0.1).minimize(l),
        |l| Adagrad::new(0.1).minimize(l),
        |l| Lion::new(0.01).minimize(l),
    ];
    for (i, minimize) in minimizers.into_iter().enumerate() {
        let graph = Graph::new();
        let x = graph.input("x", [4, 3]);
        let loss = dense("dense2", dense("dense1", x, 5).tanh(), 2).square().mean();
        graph.output("loss", loss);
        minimize(loss);
        let program = Arc::new(Program::compile(&graph, &Options::default()).expect("compiles"));
        let mut store = Store::new(0);
        let mut session = Session::new(&program, &mut store).expect("a session");
        let (mut losses, mut before) = ([0.0f32; 23], 0);
        for (step, loss) in losses.iter_mut().enumerate() {
            if step == 3 {
                before = CALLS.load(Ordering::SeqCst);
            }
            let inputs = [ArrayRef::F32(&[0.5; 12])];
            let outputs = &mut [ArrayMut::F32(std::slice::from_mut(loss))];
            session.run(&mut store, &inputs, outputs).expect("runs");
        }
        let calls = CALLS.load(Ordering::SeqCst) - before;
        assert_eq!(calls, 0, "20 steps of optimizer {i} called the allocator {calls} times");
        assert!(losses[22] < losses[0], "optimizer {i} trained: {} to {}", losses[0], losses[22]);
    }
}
