//! Code for 64-bit Arm, made on any machine and looked at: every op and type becomes instructions of it, on vectors of
//! 128 bits, and calls nothing.

use crate::clif::Features;
use crate::codegen::{Job, LoopNest, generate};
use crate::compile::{JitConfig, flags};
use crate::isa::Isa;
use cranelift_codegen::isa::lookup_by_name;
use eggrad_ir::*;
use eggrad_schedule::{Plan, ScheduleConfig, schedule};
use eggrad_testkit::{Config, random_graph};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

const FLOATS: [DType; 2] = [DType::F32, DType::F64];

/// What vectors of elements of this type are called.
fn arrangement(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 | DType::I32 | DType::U8 | DType::Bool => ".4s",
        DType::F64 | DType::I64 => ".2d",
    }
}

/// The instructions of all functions of a plan. Code that names anything outside of it is refused by `generate`.
fn instructions(plan: &Plan) -> String {
    let isa = lookup_by_name("aarch64").expect("a development dependency turns it on");
    let isa = isa.finish(flags(true).expect("flags")).expect("a target");
    let nested = plan.nested();
    let kernels = nested.iter().flat_map(|plan| &plan.kernels).chain(&plan.kernels);
    let jobs: Vec<Job<'_>> = kernels
        .filter_map(|kernel| {
            let nest = LoopNest::of(&kernel.kind)?;
            Some(Job { name: &kernel.name, nest, args: kernel.args.len() })
        })
        .collect();
    let config = JitConfig { listing: true, threads: 1, ..JitConfig::default() };
    let codes = match generate(&jobs, &*isa, Features::of(&*isa), Isa::Clif, &config) {
        Ok(codes) => codes,
        Err(error) => panic!("{error}\n{plan}"),
    };
    let mut text = String::new();
    for code in codes {
        let listing = code.listing.expect("a listing");
        let (_, machine) = listing.rsplit_once("\n}\n").expect("both forms");
        text.push_str(machine);
    }
    assert!(call(&text).is_none(), "{:?} in\n{plan}\n{text}", call(&text));
    text
}

/// The first line that calls something.
fn call(text: &str) -> Option<&str> {
    text.lines().find(|line| {
        let mnemonic = line.split_whitespace().next();
        matches!(mnemonic, Some("bl" | "blr" | "call" | "load_ext_name"))
    })
}

/// The instructions of one op on operands of these types, 37 elements each; none where the op takes no such types.
fn op(op: Op, operands: &[DType]) -> Option<String> {
    let mut b = Builder::new();
    let declare = |(i, &dtype): (usize, &DType)| {
        b.declare_input(&format!("x{i}"), TensorType::new(dtype, [37]), None, At::Unknown)
    };
    let operands: Vec<NodeId> = operands.iter().enumerate().map(declare).collect();
    let y = b.push(op, &operands, At::Unknown).ok()?;
    b.output("y", y);
    Some(planned(b))
}

fn planned(b: Builder) -> String {
    let graph = b.build().expect("a valid graph");
    instructions(&schedule(&graph, &ScheduleConfig::default()).expect("a plan"))
}

/// Whether a line has this mnemonic and vectors of elements of this type. Selections take vectors of bytes.
fn has(text: &str, mnemonic: &str, dtype: DType) -> bool {
    let vector = if mnemonic == "bsl" { ".16b" } else { arrangement(dtype) };
    text.lines()
        .any(|line| line.split_whitespace().next() == Some(mnemonic) && line.contains(vector))
}

#[test]
fn elementwise_ops_of_every_type() {
    // In `f64`, one element after the other.
    let alone = [UnaryOp::Sin, UnaryOp::Cos, UnaryOp::Tan].map(Op::Unary);
    let alone = [&alone[..], &[Op::Binary(BinaryOp::Pow)]].concat();
    let mut count = 0;
    for dtype in DType::ALL {
        let unary = UnaryOp::ALL.iter().map(|&u| (Op::Unary(u), vec![dtype]));
        let binary = BinaryOp::ALL.iter().map(|&b| (Op::Binary(b), vec![dtype; 2]));
        let compare = CompareOp::ALL.iter().map(|&c| (Op::Compare(c), vec![dtype; 2]));
        let cast = DType::ALL.iter().map(|&to| (Op::Cast(to), vec![dtype]));
        let select = [(Op::Select, vec![DType::Bool, dtype, dtype])];
        for (what, operands) in unary.chain(binary).chain(compare).chain(cast).chain(select) {
            let Some(text) = op(what.clone(), &operands) else { continue };
            count += 1;
            let computes = matches!(what, Op::Unary(_) | Op::Binary(_)) && dtype.is_float();
            if computes && !(dtype == DType::F32 && alone.contains(&what)) {
                let vectors = text.contains(arrangement(dtype));
                assert!(vectors, "{what:?} of {dtype:?} has no vectors\n{text}");
            }
        }
    }
    // Floats have all but the logical ones; every type has comparisons, selections and conversions.
    let floats = UnaryOp::ALL.len() - 1 + BinaryOp::ALL.len() - 2;
    assert!(count >= 2 * floats + 6 * (CompareOp::ALL.len() + 1 + 6), "{count} ops");
}

#[test]
fn instructions_that_an_op_stands_for() {
    let unary = |op, mnemonic| (Op::Unary(op), 1, mnemonic);
    let binary = |op, mnemonic| (Op::Binary(op), 2, mnemonic);
    let table = [
        binary(BinaryOp::Add, "fadd"),
        binary(BinaryOp::Sub, "fsub"),
        binary(BinaryOp::Mul, "fmul"),
        binary(BinaryOp::Div, "fdiv"),
        binary(BinaryOp::Maximum, "bsl"),
        unary(UnaryOp::Neg, "fneg"),
        unary(UnaryOp::Abs, "fabs"),
        unary(UnaryOp::Sqrt, "fsqrt"),
        unary(UnaryOp::Floor, "frintm"),
        unary(UnaryOp::Ceil, "frintp"),
        unary(UnaryOp::Round, "frintn"),
        unary(UnaryOp::Exp, "fmla"),
        unary(UnaryOp::Tanh, "fmla"),
        unary(UnaryOp::Log, "fmla"),
    ];
    for (what, operands, mnemonic) in table {
        for dtype in FLOATS {
            let text = op(what.clone(), &vec![dtype; operands]).expect("takes floats");
            let found = has(&text, mnemonic, dtype);
            assert!(found, "{what:?} of {dtype:?} without {mnemonic}\n{text}");
        }
    }
}

/// The instructions of a graph in the text form.
fn written(text: &str) -> String {
    let graph: Graph = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    instructions(&schedule(&graph, &ScheduleConfig::default()).expect("a plan"))
}

#[test]
fn rows_columns_and_products() {
    for dtype in FLOATS {
        let name = dtype.name();
        let inputs = format!("graph 2\nin x: {name}[9, 40]\nin y: {name}[40, 30]\n");
        for (formula, mnemonic) in [
            ("sum(x, axes=[1])", "fadd"),
            ("sum(x, axes=[0])", "fadd"),
            ("prod(x, axes=[1])", "fmul"),
            ("max(x, axes=[1])", "bsl"),
            ("min(x, axes=[0])", "bsl"),
            ("logsumexp(x, axes=[1])", "fmla"),
            ("softmax(x, axes=[1])", "fmla"),
            ("log_softmax(x, axes=[1])", "fmla"),
            ("cross_entropy(x, tanh(x), axes=[1])", "fmla"),
            ("cross_entropy_residual(x, tanh(x), axes=[1])", "fmla"),
            ("relu(x @ y)", "fmla"),
            ("transpose(y, axes=[1, 0]) @ transpose(x, axes=[1, 0])", "fmla"),
        ] {
            let text = written(&format!("{inputs}out o = {formula}\n"));
            assert!(has(&text, mnemonic, dtype), "{formula} of {name} without {mnemonic}\n{text}");
        }
    }
}

#[test]
fn indices_random_numbers_windows_and_loops() {
    for text in [
        "in i: i32[6], range 0 to 2\nin t: f32[3, 4]\ng = gather(t, i, batch=0)\nout g = g\n\
         out s = scatter_add(i, g, batch=0, size=3)",
        "in i: i64[6], range 0 to 2\nin t: f64[3, 4]\ng = gather(t, i, batch=0)\nout g = g\n\
         out s = scatter_add(i, g, batch=0, size=3)",
        "in k: i32[2]\nout a = random(k, type=f32[40])\nout b = random(k, type=f64[40])\n\
         out c = random(k, type=i32[40])",
        "in x: f32[2, 8, 8, 3]\nin k: f32[3, 3, 3, 4]\nw = window(x, axes=[1, 2], size=[3, 3])\n\
         out y = dot(w, k, contract=[(3, 2), (4, 0), (5, 1)])\n\
         out f = fold(w, axes=[1, 2], size=[3, 3], length=[8, 8])",
        "fn cell(h: f32[3, 5], x: f32[3, 5]) {\n  next = tanh(x + h)\n  out h = next\n  out y = next\n}\n         in h: f32[3, 5]\nin xs: f32[6, 3, 5]\n\
         out last = scan(cell, h, xs, carries=1, xs=1, length=6, result=0)",
    ] {
        let text = written(&format!("graph 2\n{text}\n"));
        assert!(text.contains("ret"), "{text}");
    }
}

#[test]
fn random_graphs() {
    let mut runner = TestRunner::deterministic();
    for dtype in FLOATS {
        let config = Config { steps: 20, ..Config::new(dtype) };
        for _ in 0..60 {
            let case = random_graph(config).new_tree(&mut runner).expect("a graph").current();
            for fuse in [false, true] {
                instructions(&schedule(&case.graph, &ScheduleConfig { fuse }).expect("a plan"));
            }
        }
    }
}
