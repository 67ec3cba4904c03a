//! What a compile and a run leave behind when they are dropped: nothing. In a test binary of its own, which counts.
//!
//! For the numbers of a long run: `EGGRAD_CYCLES=10000 cargo test --release --test cycles -- --nocapture`.

use eggrad::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, with a count of bytes in use: arenas, plans, states and all else that Rust allocates.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every method passes its arguments on to the system's allocator, which keeps the contract; counting does not
// allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller upholds the contract of `dealloc`; `pointer` came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of memory that this process holds, machine code included.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("the system's count");
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number of pages") * 4096
}

#[cfg(not(target_os = "linux"))]
fn resident() -> usize {
    0
}

/// A train step that is compiled, run and dropped; of another size each time, so that its code is another too.
fn cycle(number: usize) {
    let (rows, units) = (4, 3 + number % 50);
    let graph = Graph::new();
    let x = graph.input("x", [rows, 8]);
    let labels = graph.labels("labels", [rows], 3);
    let logits = dense("out", dense("hidden", x, units).tanh(), 3);
    let loss = -(labels.one_hot(3) * logits.softmax(1).log()).sum(1).mean();
    graph.output("loss", loss);
    Adam::new(1e-2).minimize(loss);
    let program = Arc::new(Program::compile(&graph, &Options::default()).expect("compiles"));
    let mut store = Store::new(0);
    let mut session = Session::new(&program, &mut store).expect("a session");
    let mut loss = [0f32];
    let inputs = [ArrayRef::F32(&[0.5; 32]), ArrayRef::I32(&[0, 1, 2, 0])];
    session.run(&mut store, &inputs, &mut [ArrayMut::F32(&mut loss)]).expect("runs");
    assert!(loss[0] > 0.0);
}

// The only test of this binary: a second one would allocate beside it.
#[test]
fn what_is_dropped_is_freed() {
    let cycles = std::env::var("EGGRAD_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    // What is made once in a process is made here.
    (0..100).for_each(cycle);
    let (bytes, pages) = (BYTES.load(Ordering::SeqCst), resident());
    (0..cycles).for_each(cycle);
    let grown = |now: usize, before: usize| now.saturating_sub(before);
    let (bytes, pages) = (grown(BYTES.load(Ordering::SeqCst), bytes), grown(resident(), pages));
    println!("{cycles} cycles: {bytes} bytes more in use, {pages} more resident");
    assert!(bytes <= 64 << 10, "{bytes} bytes are still in use after {cycles} cycles");
    assert!(pages < 8 << 20, "{pages} bytes more are resident after {cycles} cycles");
}
