//! Deep and densely shared graphs through every room, on a small stack.

use eggrad::prelude::*;
use std::sync::Arc;

/// Runs `work` on a stack of 2 MiB.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(work);
    thread.expect("a thread").join().expect("no overflow and no panic");
}

/// Outputs `y` and perhaps `dx` of the graph that `write` makes of `x`, at `x`.
fn run<const N: usize>(write: impl for<'g> Fn(Tensor<'g>), x: f32) -> [f32; N] {
    let g = Graph::new();
    write(g.input("x", [1]));
    let program = Arc::new(Program::compile(&g, &Options::default()).expect("compiles"));
    let mut store = Store::new(0);
    let mut session = Session::new(&program, &mut store).expect("a session");
    let mut results = [[0.0f32]; N];
    let mut outputs: Vec<ArrayMut<'_>> = results.iter_mut().map(|r| ArrayMut::F32(r)).collect();
    session.run(&mut store, &[ArrayRef::F32(&[x])], &mut outputs).expect("runs");
    results.map(|r| r[0])
}

#[test]
fn a_chain_of_100_000_ops() {
    on_a_small_stack(|| {
        let chain = |x: Tensor<'_>| {
            let mut y = x;
            for i in 0..100_000 {
                y = if i % 2 == 0 { y.tanh() } else { y * 1.0001 };
            }
            x.graph().output("y", y);
        };
        let [y] = run(chain, 0.5);
        let mut expected = 0.5f64;
        for i in 0..100_000 {
            expected = if i % 2 == 0 { expected.tanh() } else { expected * 1.0001 };
        }
        assert!((f64::from(y) - expected).abs() < 1e-3 * expected, "{y}, not {expected}");
    });
}

#[test]
fn a_chain_of_3_000_ops_and_its_gradient() {
    on_a_small_stack(|| {
        let chain = |x: Tensor<'_>| {
            let y = (0..3_000).fold(x, |y, i| if i % 2 == 0 { y.sin() } else { y + 0.5 });
            x.graph().output("y", y);
            x.graph().output("dx", y.sum(..).grad(x));
        };
        let [y, dx] = run(chain, 0.3);
        let (mut value, mut slope) = (0.3f64, 1.0f64);
        for i in 0..3_000 {
            if i % 2 == 0 {
                slope *= value.cos();
                value = value.sin();
            } else {
                value += 0.5;
            }
        }
        assert!((f64::from(y) - value).abs() < 1e-5, "{y}, not {value}");
        assert!((f64::from(dx) - slope).abs() < 1e-5, "{dx}, not {slope}");
    });
}

#[test]
fn a_graph_of_two_to_the_sixty_paths() {
    on_a_small_stack(|| {
        let doubled = |x: Tensor<'_>| {
            let y = (0..60).fold(x, |y, _| y + y.keep());
            x.graph().output("y", y);
            x.graph().output("dx", y.sum(..).grad(x));
        };
        let [y, dx] = run(doubled, 3.0);
        assert_eq!((y, dx), (3.0 * 2f32.powi(60), 2f32.powi(60)));
    });
}
