//! Machine code is freed: measured in a test binary of its own.

mod common;

use common::{access, blank, input, map, run};
use eggrad_ir::DType;
use eggrad_jit::{JitConfig, JitError, compile};
use eggrad_schedule::KernelKind;

/// Bytes of memory this process holds.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

// The only test of this binary: a second one would allocate beside it.
#[test]
#[cfg(target_os = "linux")]
fn compiled_code_is_freed() {
    let args = [input(&[1f32; 37]), blank(DType::F32, 37)];
    let good = common::plan(&map(&args, 37, |b, v| vec![b.tanh(v[0])]), &args);
    let mut bad = good.clone();
    if let KernelKind::Row(row) = &mut bad.kernels[0].kind {
        row.accesses[1] = access(1, DType::F32, &[2]);
    }
    let cycle = || {
        run(&compile(&good, &JitConfig::default()).unwrap(), &mut args.to_vec());
        assert!(matches!(compile(&bad, &JitConfig::default()), Err(JitError::Plan(_))));
    };
    (0..50).for_each(|_| cycle());
    let before = resident();
    (0..300).for_each(|_| cycle());
    let grown = resident().saturating_sub(before);
    // The code of one cycle takes a page at least.
    assert!(grown < 300 * 4096 / 4, "grown by {grown} bytes");
}
