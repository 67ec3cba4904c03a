//! Sub-graphs: bodies are optimised, applications stay whole, random streams stay apart.

use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::{
    At, Builder, CompareOp, DType, Function, Graph, NodeId, Op, ReduceOp, Scan, SoftmaxOp,
    TensorType, UnaryOp,
};
use eggrad_rewrite::{Report, RewriteConfig, Semantics, TableCost, optimize};
use std::sync::Arc;

fn f32s(dims: &[usize]) -> TensorType {
    TensorType::new(DType::F32, dims)
}

/// A graph with inputs `a`, `b`, ... and outputs `y0`, `y1`, ...
fn graph(
    inputs: &[TensorType],
    build: impl FnOnce(&mut Builder, &[NodeId]) -> Vec<NodeId>,
) -> Graph {
    let mut b = Builder::new();
    let declare = |(i, ty): (usize, &TensorType)| {
        let name = char::from(b'a' + i as u8).to_string();
        b.declare_input(&name, ty.clone(), None, At::Unknown)
    };
    let inputs: Vec<NodeId> = inputs.iter().enumerate().map(declare).collect();
    for (i, y) in build(&mut b, &inputs).into_iter().enumerate() {
        b.output(&format!("y{i}"), y);
    }
    b.build().unwrap()
}

fn function(
    inputs: &[TensorType],
    build: impl FnOnce(&mut Builder, &[NodeId]) -> Vec<NodeId>,
) -> Arc<Function> {
    Arc::new(Function::new("step", graph(inputs, build)).unwrap())
}

fn optimized(graph: &Graph) -> (Graph, Report) {
    let (result, report) = optimize(graph, &TableCost, &RewriteConfig::default()).unwrap();
    let again = optimize(graph, &TableCost, &RewriteConfig::default()).unwrap().0;
    assert_eq!(result, again, "equal graphs have equal results");
    let names = |g: &Graph| {
        let inputs = g.inputs().iter().map(|i| (i.name.clone(), i.ty.clone()));
        let outputs = g.outputs().iter().map(|o| (o.name.clone(), g.ty(o.node).clone()));
        inputs.chain(outputs).collect::<Vec<_>>()
    };
    assert_eq!(names(graph), names(&result));
    (result, report)
}

/// Optimises, and compares values for arbitrary inputs.
#[track_caller]
fn check(graph: &Graph) -> (Graph, Report) {
    let (result, report) = optimized(graph);
    let value = |(k, ty): (usize, &TensorType)| {
        let value = |i: usize| match ty.dtype {
            DType::F32 | DType::F64 => ((k + 1) as f64 * (i as f64 + 0.5)).sin(),
            DType::I32 | DType::I64 | DType::U8 => (i + k) as f64,
            DType::Bool => ((i + k) % 2) as f64,
        };
        Tensor::from_values(ty.clone(), &(0..ty.shape.elements()).map(value).collect::<Vec<_>>())
    };
    let types: Vec<TensorType> = graph.inputs().iter().map(|i| i.ty.clone()).collect();
    let inputs: Vec<Tensor> = types.iter().enumerate().map(value).collect();
    let outputs = |g: &Graph| run(g, &inputs, &[], Precision::Wide).unwrap().outputs;
    for (a, b) in outputs(graph).iter().zip(outputs(&result)) {
        for (x, y) in a.to_f64s().into_iter().zip(b.to_f64s()) {
            assert!((x - y).abs() <= 1e-9 * x.abs().max(1.0), "{x} became {y} in\n{result}");
        }
    }
    (result, report)
}

/// Names of the ops of the function that the only application in `graph` applies.
fn ops_inside(graph: &Graph) -> Vec<&'static str> {
    let mut functions = graph.nodes().iter().flat_map(|n| n.op.functions());
    let body = functions.next().unwrap();
    assert!(functions.all(|other| other == body));
    let nodes = body.graph().nodes().iter().filter(|n| !n.op.is_leaf());
    nodes.map(|n| n.op.name()).collect()
}

fn scan(body: Arc<Function>, carries: usize, xs: usize, length: usize) -> Op {
    Op::Scan { scan: Scan { body, carries, xs, length, reverse: false }, result: 0 }
}

/// `(h, x) -> (h + x, log(softmax(x)))`
fn naive_step() -> Arc<Function> {
    function(&[f32s(&[3]), f32s(&[3])], |b, args| {
        let p = b.node(Op::Softmax(SoftmaxOp::Softmax, vec![0]), &[args[1]]);
        vec![b.add(args[0], args[1]), b.unary(UnaryOp::Log, p)]
    })
}

#[test]
fn bodies_become_stable() {
    let graph = graph(&[f32s(&[3]), f32s(&[40, 3])], |b, args| {
        b.application(&scan(naive_step(), 1, 1, 40), args)
    });
    let (result, report) = check(&graph);
    assert_eq!(ops_inside(&result), ["add", "log_softmax"], "{report}");
    assert_eq!((report.functions, report.danger_before, report.danger_after), (1, 4, 0));
    assert_eq!(report.rules["log-of-softmax"], 1);
    assert_eq!(report.not_compared, [""; 0]);
    // The body is paid for step by step.
    assert!(report.cost_before > report.cost_after && report.cost_after > 40.0, "{report}");
}

#[test]
fn both_branches_and_calls_inside_bodies_become_stable() {
    let inner = function(&[f32s(&[3])], |b, args| {
        let e = b.unary(UnaryOp::Exp, args[0]);
        let all = b.reduce(ReduceOp::Sum, e, vec![0]);
        vec![b.unary(UnaryOp::Log, all)]
    });
    let then = function(&[f32s(&[3])], |b, args| {
        b.application(&Op::Call { function: inner.clone(), result: 0 }, args)
    });
    let other = function(&[f32s(&[3])], |b, args| {
        let e = b.unary(UnaryOp::Exp, args[0]);
        let log = b.unary(UnaryOp::Log, e);
        vec![b.sum(log, vec![0])]
    });
    let graph = graph(&[TensorType::scalar(DType::Bool), f32s(&[3])], |b, args| {
        b.application(&Op::Cond { then, otherwise: other, result: 0 }, args)
    });
    let (result, report) = check(&graph);
    assert_eq!((report.functions, report.danger_after), (3, 0), "{result}");
}

#[test]
fn danger_that_stays_in_a_body_is_reported() {
    let body = function(&[f32s(&[3]), f32s(&[3])], |b, args| {
        vec![b.add(args[0], args[1]), b.unary(UnaryOp::Exp, args[1])]
    });
    let graph =
        graph(&[f32s(&[3]), f32s(&[8, 3])], |b, args| b.application(&scan(body, 1, 1, 8), args));
    let (_, report) = check(&graph);
    let dangers: Vec<&str> = report.dangers_left.iter().map(|d| d.op.as_str()).collect();
    assert_eq!((dangers, report.danger_after), (vec!["exp"], 4));
}

#[test]
fn results_of_one_application_stay_together() {
    let graph = graph(&[f32s(&[3]), f32s(&[5, 3])], |b, args| {
        // Operands that rules rewrite, and results that are read in different ways.
        let one = b.full_like(args[1], 1.0);
        let xs = b.mul(args[1], one);
        let twice = b.neg(args[0]);
        let h = b.neg(twice);
        let results = b.application(&scan(naive_step(), 1, 1, 5), &[h, xs]);
        let exp = b.unary(UnaryOp::Exp, results[1]);
        let log = b.unary(UnaryOp::Log, exp);
        let total = b.sum(log, vec![0]);
        vec![b.add(total, results[0]), results[1]]
    });
    let (result, _) = check(&graph);
    let nodes = result.nodes().iter().filter(|n| n.op.result().is_some());
    let applications: Vec<_> = nodes.map(|n| (n.op.with_result(0), n.inputs.clone())).collect();
    assert_eq!(applications.len(), 2);
    assert_eq!(applications[0], applications[1], "{result}");
    assert!(!result.nodes().iter().any(|n| n.op.name() == "mul"), "{result}");
}

#[test]
fn a_weight_as_square_as_the_state_is_passed_as_it_is() {
    // `h · w` lines axes of `w` up with those of `h`; the operands of the scan have names of their own.
    let body = function(&[f32s(&[4]), f32s(&[4]), f32s(&[4, 4])], |b, args| {
        let new = b.dot(args[0], args[2], eggrad_ir::DotAxes::contract(0, 0));
        let sum = b.add(new, args[1]);
        vec![b.unary(UnaryOp::Tanh, sum), new]
    });
    let graph = graph(&[f32s(&[4]), f32s(&[6, 4]), f32s(&[4, 4])], |b, args| {
        let first = b.dot(args[0], args[2], eggrad_ir::DotAxes::contract(0, 0));
        let again = b.dot(first, args[2], eggrad_ir::DotAxes::contract(0, 0));
        b.application(&scan(body, 1, 1, 6), &[again, args[1], args[2]])
    });
    let (result, _) = check(&graph);
    let inputs = result.nodes().iter().filter(|n| n.op.result().is_some()).map(|n| &n.inputs);
    let inputs: Vec<_> = inputs.collect();
    assert_eq!(inputs[0], inputs[1]);
    assert_eq!(result.nodes().len(), graph.nodes().len(), "{result}");
}

#[test]
fn different_applications_stay_apart() {
    let sum = function(&[f32s(&[3]), f32s(&[3])], |b, args| vec![b.add(args[0], args[1])]);
    let product = function(&[f32s(&[3]), f32s(&[3])], |b, args| vec![b.mul(args[0], args[1])]);
    let graph = graph(&[f32s(&[3]), f32s(&[5, 3])], |b, args| {
        let a = b.application(&scan(sum.clone(), 1, 1, 5), args)[0];
        let c = b.application(&scan(product, 1, 1, 5), args)[0];
        let reverse = Scan { body: sum, carries: 1, xs: 1, length: 5, reverse: true };
        let r = b.application(&Op::Scan { scan: reverse, result: 0 }, args)[0];
        vec![b.mul(a, c), b.mul(a, a), b.sub(a, r)]
    });
    let (result, _) = check(&graph);
    let scans = result.nodes().iter().filter(|n| n.op.name() == "scan").count();
    assert_eq!(scans, 3, "{result}");
    let ops: Vec<&str> = result.nodes().iter().map(|n| n.op.name()).collect();
    assert!(ops.contains(&"mul") && ops.contains(&"square") && ops.contains(&"sub"), "{result}");
}

/// What `build` makes of numbers of two streams, with inputs for seed and step.
fn noise(streams: [u64; 2], build: fn(&mut Builder, [NodeId; 2]) -> NodeId) -> Graph {
    let int = TensorType::scalar(DType::I32);
    graph(&[int.clone(), int], |b, args| {
        let draws = streams.map(|stream| {
            let key = b.node(Op::RandomKey { stream }, args);
            b.node(Op::Random { dtype: DType::F32, shape: [4, 3].into() }, &[key])
        });
        vec![build(b, draws)]
    })
}

#[test]
fn streams_stay_apart_and_are_the_same_everywhere() {
    let (result, _) = check(&noise([1, 2], |b, [u, v]| b.sub(u, v)));
    assert_eq!(result.nodes().iter().filter(|n| n.op.name() == "random").count(), 2, "{result}");
    let (result, _) = check(&noise([7, 7], |b, [u, v]| b.sub(u, v)));
    assert!(!result.nodes().iter().any(|n| n.op.name() == "random"), "{result}");
}

#[test]
fn uniform_numbers_are_known_to_lie_below_one() {
    let dangers = |f: fn(&mut Builder, [NodeId; 2]) -> NodeId| {
        let (result, report) = check(&noise([1, 2], f));
        assert!(result.nodes().iter().any(|n| n.op.name() == "random"));
        report.danger_after
    };
    let from_above = |b: &mut Builder, [u, _]: [NodeId; 2]| {
        let minus = b.neg(u);
        b.unary(UnaryOp::Log1p, minus)
    };
    assert_eq!(dangers(from_above), 0);
    assert_eq!(dangers(|b, [u, _]| b.unary(UnaryOp::Log, u)), 4, "0 may be drawn");
    let complement = |b: &mut Builder, [u, _]: [NodeId; 2]| {
        let one = b.full_like(u, 1.0);
        let rest = b.sub(one, u);
        b.unary(UnaryOp::Log, rest)
    };
    assert_eq!(dangers(complement), 0);
    assert_eq!(dangers(|b, [u, _]| b.unary(UnaryOp::Exp, u)), 0);
}

/// `step(h, x, c)` once and as the body of a scan: `c - c` is 0 only where `c` is finite.
fn difference_of(operand: impl Fn(&mut Builder, NodeId) -> NodeId, steps: usize) -> Graph {
    let body = function(&[f32s(&[3]), f32s(&[3]), f32s(&[3])], |b, args| {
        let zero = b.sub(args[2], args[2]);
        let sum = b.add(args[0], args[1]);
        vec![b.add(sum, zero)]
    });
    graph(&[f32s(&[3]), f32s(&[steps, 3]), f32s(&[3])], |b, args| {
        let c = operand(b, args[2]);
        b.application(&scan(body, 1, 1, steps), &[args[0], args[1], c])
    })
}

#[test]
fn bodies_rely_on_finite_operands_only_where_they_are() {
    let (result, _) = check(&difference_of(|_, c| c, 5));
    assert_eq!(ops_inside(&result), ["add"]);
    let infinite = |b: &mut Builder, c: NodeId| b.full_like(c, f64::NEG_INFINITY);
    let (result, _) = optimized(&difference_of(infinite, 5));
    assert!(ops_inside(&result).contains(&"sub"), "{result}");
    let quotient = |b: &mut Builder, c: NodeId| b.unary(UnaryOp::Recip, c);
    let (result, _) = check(&difference_of(quotient, 5));
    assert!(ops_inside(&result).contains(&"sub"), "{result}");
}

#[test]
fn carried_values_are_finite_only_if_every_step_keeps_them_so() {
    let step = |f: fn(&mut Builder, NodeId) -> NodeId| {
        let body = function(&[f32s(&[3]), f32s(&[3])], |b, args| {
            let zero = b.sub(args[0], args[0]);
            let next = f(b, args[1]);
            vec![next, b.add(zero, args[1])]
        });
        let graph = graph(&[f32s(&[3]), f32s(&[5, 3])], |b, args| {
            b.application(&scan(body, 1, 1, 5), args)
        });
        let (result, _) = check(&graph);
        ops_inside(&result).contains(&"sub")
    };
    assert!(!step(|b, x| b.unary(UnaryOp::Tanh, x)));
    assert!(step(|b, x| b.unary(UnaryOp::Recip, x)));
}

#[test]
fn what_is_known_of_results_is_used_outside() {
    let body = function(&[f32s(&[3]), f32s(&[3])], |b, args| {
        vec![b.unary(UnaryOp::Tanh, args[1]), b.unary(UnaryOp::Sigmoid, args[0])]
    });
    let graph = graph(&[f32s(&[3]), f32s(&[5, 3])], |b, args| {
        let results = b.application(&scan(body, 1, 1, 5), args);
        let e = b.unary(UnaryOp::Exp, results[1]);
        vec![e, results[0], b.unary(UnaryOp::Exp, results[0])]
    });
    let (_, report) = check(&graph);
    // Stacked results are below 1; the last carried value may be the first one.
    assert_eq!(report.danger_after, 4, "{report}");
}

#[test]
fn long_scans_are_compared_over_few_steps() {
    let graph = graph(&[f32s(&[3]), f32s(&[1_000_000, 3])], |b, args| {
        b.application(&scan(naive_step(), 1, 1, 1_000_000), args)
    });
    let (_, report) = optimized(&graph);
    assert_eq!((report.validation.unwrap().samples, report.not_compared.len()), (4, 0));
}

#[test]
fn what_cannot_be_made_small_is_not_compared() {
    let body = function(&[f32s(&[3])], |b, args| vec![b.unary(UnaryOp::Sin, args[0])]);
    let graph = graph(&[f32s(&[3])], |b, args| {
        let end = b.application(&scan(body, 1, 0, 10_000_000), args)[0];
        vec![b.neg(end)]
    });
    let (_, report) = optimized(&graph);
    assert_eq!(report.not_compared, ["main"]);
    assert!(report.to_string().contains("`main` was too large to be compared"), "{report}");
    assert_eq!(report.validation.unwrap().samples, 2, "the body was compared");
}

#[test]
fn strict_semantics_leave_bodies_alone() {
    let graph = graph(&[f32s(&[3]), f32s(&[5, 3])], |b, args| {
        b.application(&scan(naive_step(), 1, 1, 5), args)
    });
    let config = RewriteConfig { semantics: Semantics::Strict, ..RewriteConfig::default() };
    let (result, report) = optimize(&graph, &TableCost, &config).unwrap();
    assert_eq!(result, graph);
    assert_eq!(report.danger_after, 4);
}

#[test]
fn a_comparison_in_a_loop_that_rounding_decides_is_no_mistake_of_rules() {
    // `log(exp(x))` is `x` over the reals, and compared with `x` inside: rounding decides.
    let bools = TensorType::new(DType::Bool, [64]);
    let body = function(&[bools.clone(), f32s(&[64]), f32s(&[64])], |b, args| {
        vec![b.compare(CompareOp::Lt, args[1], args[2])]
    });
    let graph = graph(&[f32s(&[5, 64]), bools], |b, args| {
        let e = b.unary(UnaryOp::Exp, args[0]);
        let same = b.unary(UnaryOp::Log, e);
        let last = b.node(
            Op::Move(eggrad_ir::MoveOp::Slice {
                start: vec![4, 0],
                step: vec![1, 1],
                size: vec![1, 64],
            }),
            &[args[0]],
        );
        let row = b.reshape(last, [64].into());
        b.application(&scan(body, 1, 1, 5), &[args[1], same, row])
    });
    optimized(&graph);
}

#[test]
fn functions_with_their_own_derivative_keep_it() {
    let vjp = function(&[f32s(&[3]), f32s(&[3])], |b, args| {
        let twice = b.neg(args[1]);
        vec![b.neg(twice)]
    });
    let forward = graph(&[f32s(&[3])], |b, args| {
        let e = b.unary(UnaryOp::Exp, args[0]);
        vec![b.unary(UnaryOp::Log, e)]
    });
    let own = Function::new("straight", forward).unwrap().with_vjp(vjp.clone()).unwrap();
    let own = Arc::new(own);
    let graph =
        graph(&[f32s(&[3])], |b, args| b.application(&Op::Call { function: own, result: 0 }, args));
    let (result, _) = check(&graph);
    let functions: Vec<_> = result.nodes().iter().flat_map(|n| n.op.functions()).collect();
    assert_eq!(functions[0].vjp(), Some(&vjp));
    assert_eq!(functions[0].graph().nodes().len(), 1, "{result}");
}
