//! A run allocates nothing: counted in a test binary of its own.

mod common;

use common::{blank, map};
use eggrad_ir::{At, Builder, CompareOp, DType, Function, Op, ReduceOp, Scan, TensorType, UnaryOp};
use eggrad_jit::{ArrayMut, ArrayRef, Executable, JitConfig, States, compile};
use eggrad_schedule::{ScheduleConfig, schedule};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every method passes its arguments on to the system's allocator; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's; `pointer` came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A scan of 50 steps, each with a branch.
fn nested() -> Executable {
    let row = TensorType::new(DType::F32, [100]);
    let function = |op: UnaryOp| {
        let mut b = Builder::new();
        let x = b.declare_input("x", row.clone(), None, At::Unknown);
        let y = b.unary(op, x);
        b.output("y", y);
        Arc::new(Function::new("f", b.build().unwrap()).unwrap())
    };
    let (then, otherwise) = (function(UnaryOp::Sin), function(UnaryOp::Exp));
    let mut b = Builder::new();
    let h = b.declare_input("h", row.clone(), None, At::Unknown);
    let sum = b.reduce(ReduceOp::Sum, h, vec![0]);
    let zero = b.scalar(DType::F32, 0.0);
    let positive = b.compare(CompareOp::Gt, sum, zero);
    let y = b.node(Op::Cond { then, otherwise, result: 0 }, &[positive, h]);
    b.output("h", y);
    b.output("y", y);
    let body = Arc::new(Function::new("f", b.build().unwrap()).unwrap());
    let mut b = Builder::new();
    let x = b.declare_input("x", row, None, At::Unknown);
    let scan = Scan { body, carries: 1, xs: 0, length: 50, reverse: false };
    let results = b.application(&Op::Scan { scan, result: 0 }, &[x]);
    let all = b.reduce(ReduceOp::Max, results[1], vec![0]);
    b.output("last", results[0]);
    b.output("max", all);
    let plan = schedule(&b.build().unwrap(), &ScheduleConfig::default()).unwrap();
    compile(&plan, &JitConfig::default()).unwrap()
}

fn check(executable: &Executable, x: &[f32], expected: Option<(f32, f32)>) {
    let mut workspace = executable.workspace().expect("memory");
    let (mut y, mut z) = ([0f32; 100], [0f32; 100]);
    let before = CALLS.load(Ordering::SeqCst);
    for _ in 0..100 {
        let outputs = &mut [ArrayMut::F32(&mut y), ArrayMut::F32(&mut z)];
        let mut states = States { arrays: &mut [], map: &[], version: 0 };
        executable.run(&mut workspace, &[ArrayRef::F32(x)], &mut states, outputs).unwrap();
    }
    assert_eq!(CALLS.load(Ordering::SeqCst), before);
    if let Some(expected) = expected {
        assert_eq!((y[99], z[99]), expected);
    }
}

// The only test of this binary: a second one would allocate beside it.
#[test]
fn a_run_allocates_nothing() {
    let args = [common::input(&[1.0f32; 100]), blank(DType::F32, 100), blank(DType::F32, 100)];
    let kind = map(&args, 100, |b, v| vec![b.exp(v[0]), b.log(v[0])]);
    let executable = compile(&common::plan(&kind, &args), &JitConfig::default()).unwrap();
    check(&executable, &[1f32; 100], Some((std::f32::consts::E, 0.0)));
    check(&nested(), &[0.5; 100], None);
}
