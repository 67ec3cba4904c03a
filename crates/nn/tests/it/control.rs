//! Scans, branches, functions with own derivatives and random tensors, run by the interpreter.

use crate::common::{counting, errors, value};
use eggrad_ir::{DType, Op};
use eggrad_nn::{Graph, Init};

#[test]
fn a_scan_carries_and_stacks() {
    check!(
        |g| {
            let zero = g.constant(0.0);
            g.scan(&[zero], &[counting(g, "x", &[4])], |h, x| {
                let sum = h[0] + x[0];
                (vec![sum], vec![sum])
            })
            .stacked[0]
        },
        [4],
        [1.0, 3.0, 6.0, 10.0]
    );
    check!(
        |g| {
            let zero = g.constant(0.0);
            g.scan_reverse(&[zero], &[counting(g, "x", &[4])], |h, x| {
                let sum = h[0] + x[0];
                (vec![sum], vec![sum * 2.0])
            })
            .stacked[0]
        },
        [4],
        [20.0, 18.0, 14.0, 8.0]
    );
    check!(
        |g| g.repeat(5, &[g.constant(1.0)], |i, c| vec![c[0] * (i + 1).cast(DType::F64)])[0],
        [0usize; 0],
        [120.0]
    );
}

#[test]
fn what_a_body_reads_from_outside_is_computed_once() {
    let g = Graph::new();
    let x = g.input("x", [5, 3]);
    let w = g.param("w", [3, 3], Init::GlorotUniform);
    let h = g.constant(0.0).broadcast_to([3]);
    let out = g.scan(&[h], &[x], |h, x| {
        let h = (h[0].matmul(w.exp()) + x[0] * 2.0).tanh();
        (vec![h], vec![])
    });
    g.output("h", out.carries[0]);
    let graph = g.build().expect("valid").graph;
    let exp = |g: &eggrad_ir::Graph| {
        g.nodes().iter().filter(|n| n.op == Op::Unary(eggrad_ir::UnaryOp::Exp)).count()
    };
    let scan = graph.nodes().iter().find_map(|n| match &n.op {
        Op::Scan { scan, .. } => Some(scan.clone()),
        _ => None,
    });
    let scan = scan.expect("a scan");
    assert_eq!((exp(&graph), exp(scan.body.graph())), (1, 0));
    // The weight is passed in; the constant 2 is not.
    assert_eq!(scan.body.graph().inputs().len(), 3);
}

#[test]
fn scans_inside_scans() {
    // Sums of sums: 1, 1+3, 1+3+6.
    check!(
        |g| {
            let zero = g.constant(0.0);
            let outer = g.scan(&[zero], &[counting(g, "x", &[3])], |h, x| {
                let total = g.repeat(2, &[h[0]], |_, c| vec![c[0] + x[0] * 0.5])[0];
                (vec![total], vec![total])
            });
            outer.stacked[0]
        },
        [3],
        [1.0, 3.0, 6.0]
    );
}

#[test]
fn a_branch_is_chosen_at_run_time() {
    for (wanted, expected) in [(0.5, 3.0), (1.5, -1.0)] {
        check!(
            |g| {
                let x = counting(g, "x", &[1]).reshape([]);
                let y = counting(g, "y", &[2]);
                g.cond(
                    x.gt(wanted),
                    || vec![y.sum(..) * x],
                    || vec![y.slice(0, 0..1).sum(..) - 2.0],
                )[0]
            },
            [0usize; 0],
            [expected]
        );
    }
}

#[test]
fn random_numbers_are_told_by_seed_step_and_stream() {
    let draw = |seed: i32, step: i32, skip: usize| {
        value(|g| {
            let number = |n: i32| g.constant(f64::from(n)).cast(DType::I32);
            let random = g.random_from(number(seed), number(step));
            for _ in 0..skip {
                random.uniform([1]);
            }
            random.uniform([6])
        })
        .1
    };
    assert_eq!(draw(1, 2, 0), draw(1, 2, 0));
    assert!(draw(1, 2, 0).iter().all(|u| (0.0..1.0).contains(u)));
    for other in [draw(2, 2, 0), draw(1, 3, 0), draw(1, 2, 1)] {
        assert!(draw(1, 2, 0).iter().zip(&other).all(|(a, b)| a != b));
    }
    let (_, normal) = value(|g| g.random().normal([20_000]));
    let mean = normal.iter().sum::<f64>() / 20_000.0;
    let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
    assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
}

#[test]
fn reductions_that_keep_their_axes() {
    check!(|g| counting(g, "x", &[2, 2]).keepdims().sum(1), [2, 1], [3.0, 7.0]);
    check!(|g| counting(g, "x", &[2, 2]).keepdims().max(..), [1, 1], [4.0]);
    check!(|g| counting(g, "x", &[2, 2]).keepdims().mean(-2), [1, 2], [2.0, 3.0]);
    check!(|g| counting(g, "x", &[2, 3]).keepdims().argmax(1).cast(DType::F64), [2, 1], [2.0, 2.0]);
}

#[test]
fn wrong_sub_graphs_say_what_and_how() {
    let cases: [(Vec<String>, &str); 7] = [
        (
            errors(|g| {
                g.scan(&[], &[], |_, _| (vec![], vec![]))
                    .carries
                    .first()
                    .copied()
                    .unwrap_or(g.constant(0.0))
            }),
            "needs a sequence",
        ),
        (
            errors(|g| {
                let xs = [g.input("a", [3]), g.input("b", [4])];
                let done = g.scan(&[g.constant(0.0)], &xs, |h, _| (h.to_vec(), vec![]));
                done.carries[0]
            }),
            "needs sequences of one length",
        ),
        (
            errors(|g| {
                let x = g.input("a", [3, 2]);
                g.scan(&[g.constant(0.0)], &[x], |h, x| (vec![h[0] + x[0]], vec![])).carries[0]
            }),
            "begins with a carried value of type f32[] and carries on with f32[2]",
        ),
        (
            errors(|g| {
                g.scan(&[g.constant(0.0)], &[g.input("x", [2])], |_, _| (vec![], vec![])).carries[0]
            }),
            "carries 1 values and its body returns 0",
        ),
        (
            errors(|g| {
                let x = g.input("x", []);
                let done = g.cond(x.gt(0.0), || vec![x], || vec![x.broadcast_to([2])]);
                done.first().copied().unwrap_or(x)
            }),
            "gives f32[] or f32[2]",
        ),
        (
            errors(|g| {
                let (x, w) = (g.input("x", []), g.input("w", []));
                let done = g.custom("f", &[x], |x| vec![x[0] * w], |_, d| vec![d[0]]);
                done.first().copied().unwrap_or(x)
            }),
            "reads a tensor that it is not given",
        ),
        (
            errors(|g| {
                let x = g.input("x", [2]);
                let done = g.custom("f", &[x], |x| vec![x[0].sum(..)], |_, d| vec![d[0]]);
                done.first().copied().unwrap_or(x)
            }),
            "gives (f32[2]), not (f32[])",
        ),
    ];
    for (errors, wanted) in cases {
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(wanted), "{}", errors[0]);
        assert!(errors[0].contains("control.rs:"), "no place: {}", errors[0]);
        assert!(errors[0].contains("help: "), "no way out: {}", errors[0]);
    }
}

#[test]
fn a_variable_does_not_leave_its_body() {
    let found = errors(|g| {
        let mut leaked = None;
        g.scan(&[g.constant(0.0)], &[g.input("x", [2])], |h, x| {
            leaked = Some(x[0]);
            (vec![h[0] + x[0]], vec![])
        });
        leaked.expect("a variable") + 1.0
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("of a sub-graph is used outside of it"), "{}", found[0]);
}

#[test]
fn a_mistake_in_a_body_is_told_and_nothing_else() {
    let product = |errors: Vec<String>| {
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("`matmul` needs the inner sizes"), "{}", errors[0]);
    };
    product(errors(|g| {
        let x = g.input("x", [3, 4]);
        let all = g.scan(&[g.constant(0.0)], &[x], |c, x| {
            (vec![c[0] + x[0].matmul(x[0].reshape([2, 2])).sum(..)], vec![x[0]])
        });
        all.stacked[0]
    }));
    product(errors(|g| {
        let x = g.input("x", [3]);
        let wrong = x.matmul(x.reshape([1, 3]));
        let all = g.scan(&[wrong], &[x], |c, x| (vec![c[0]], vec![x[0], c[0]]));
        all.stacked[1]
    }));
    product(errors(|g| {
        let x = g.input("x", [3]);
        let wrong = x.matmul(x.reshape([1, 3]));
        g.cond(x.sum(..).gt(0.0), || vec![x, wrong], || vec![x, x])[1]
    }));
    product(errors(|g| {
        let x = g.input("x", [3]);
        let wrong = x.matmul(x.reshape([1, 3]));
        g.custom("f", &[wrong], |x| vec![x[0], x[0]], |_, d| vec![d[0]])[1]
    }));
}

#[test]
fn tables_are_read_in_loops() {
    check!(
        |g| {
            let table = counting(g, "t", &[3, 2]);
            let order = (counting(g, "i", &[2]) - 1.0).cast(DType::I32);
            g.scan(&[], &[order], |_, i| (vec![], vec![table.gather(i[0])])).stacked[0]
        },
        [2, 2],
        [1.0, 2.0, 3.0, 4.0]
    );
    check!(
        |g| g.repeat(2, &[g.constant(0.0).broadcast_to([3])], |i, c| vec![c[0] + i.one_hot(3)])[0],
        [3],
        [1.0, 1.0, 0.0]
    );
}

#[test]
fn random_numbers_in_a_loop_are_new_at_each_step() {
    let (_, drawn) = value(|g| {
        let x = counting(g, "x", &[4]);
        g.scan(&[], &[x], |_, _| {
            let inner = g.repeat(2, &[g.constant(0.0)], |_, c| vec![c[0] + g.random().uniform([])]);
            (vec![], vec![g.random().uniform([2]).sum(..) + inner[0] * 10.0])
        })
        .stacked[0]
    });
    let distinct = |i: usize| (0..i).all(|j| drawn[i] != drawn[j]);
    assert!((0..4).all(distinct), "{drawn:?}");
}
