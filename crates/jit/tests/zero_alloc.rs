//! A run allocates nothing: counted in a test binary of its own.

mod common;

use common::{blank, map};
use eggrad_ir::DType;
use eggrad_jit::{ArrayMut, ArrayRef, JitConfig, States, compile};
use std::alloc::{GlobalAlloc, Layout, System};
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

// The only test of this binary: a second one would allocate beside it.
#[test]
fn a_run_allocates_nothing() {
    let args = [common::input(&[1.0f32; 100]), blank(DType::F32, 100), blank(DType::F32, 100)];
    let kind = map(&args, 100, |b, v| vec![b.exp(v[0]), b.log(v[0])]);
    let executable = compile(&common::plan(&kind, &args), &JitConfig::default()).unwrap();
    let mut workspace = executable.workspace().expect("memory");
    let (x, mut y, mut z) = ([1f32; 100], [0f32; 100], [0f32; 100]);
    let before = CALLS.load(Ordering::SeqCst);
    for _ in 0..100 {
        let outputs = &mut [ArrayMut::F32(&mut y), ArrayMut::F32(&mut z)];
        let mut states = States { arrays: &mut [], map: &[] };
        executable.run(&mut workspace, &[ArrayRef::F32(&x)], &mut states, outputs).unwrap();
    }
    assert_eq!(CALLS.load(Ordering::SeqCst), before);
    assert_eq!((y[99], z[99]), (std::f32::consts::E, 0.0));
}
