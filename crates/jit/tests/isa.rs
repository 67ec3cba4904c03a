//! Which instructions kernels are made of, and what only some kinds of instructions do.

mod common;

use common::{access, blank, check, input, isas, map, plan, run, store};
use eggrad_body::{Body, Inst, Lane};
use eggrad_ir::DType;
use eggrad_jit::{Isa, JitConfig, compile};
use eggrad_schedule::*;

fn made_of(isa: Isa, kind: &KernelKind, args: &[common::Arg]) -> Isa {
    let executable = compile(&plan(kind, args), &JitConfig { isa, ..JitConfig::default() });
    executable.expect("compiles").report().functions[0].isa
}

#[test]
fn the_report_names_the_instructions() {
    let args = [input(&[1f32; 40]), blank(DType::F32, 40)];
    let kind = map(&args, 40, |b, v| vec![b.tanh(v[0])]);
    for isa in isas() {
        assert_eq!(made_of(isa, &kind, &args), isa);
    }
}

#[test]
fn what_avx2_lacks_is_left_to_cranelift() {
    let args = [input(&[1f32; 9]), input(&[3i32; 5]), blank(DType::F32, 5)];
    let mut body = Body::new();
    let index = body.load(1, Lane::I32);
    let at = Inst::LoadAt { access: 0, lane: Lane::F32, index, size: 9, stride: 1 };
    let value = body.push(at);
    let phases = vec![Phase::Pass { body, folds: vec![], stores: vec![store(2, value)] }];
    let accesses =
        vec![access(0, DType::F32, &[0]), access(1, DType::I32, &[1]), access(2, DType::F32, &[1])];
    let kind = KernelKind::Row(RowKernel { outer: vec![], row: 5, accesses, phases });
    for isa in isas() {
        let expected = if isa == Isa::Avx2 { Isa::Clif } else { isa };
        assert_eq!(made_of(isa, &kind, &args), expected);
    }
    check("gather", kind, &args);
}

/// More values than registers: all loads come first, and all are needed at the end.
#[test]
fn values_without_registers_are_saved() {
    for lane in [Lane::F32, Lane::F64] {
        let dtype = common::dtype_of(lane);
        let mut numbers = common::Numbers::new(7);
        let mut args: Vec<common::Arg> = (0..40).map(|_| numbers.arg(dtype, 37)).collect();
        args.push(blank(dtype, 37));
        let kind = map(&args, 37, |b, v| {
            let squares: Vec<_> = v.iter().map(|&x| b.mul(x, x)).collect();
            let masks: Vec<_> = v.windows(2).map(|w| b.lt(w[0], w[1])).collect();
            let mut sum = squares[0];
            for (i, &square) in squares.iter().enumerate().rev() {
                sum = b.fma(square, v[i], sum);
                let other = b.sub(sum, square);
                sum = b.select(masks[i.min(38)], sum, other);
            }
            vec![sum]
        });
        check(&format!("many values of {lane}"), kind.clone(), &args);
        for isa in [Isa::Avx512, Isa::Avx2].into_iter().filter(|isa| isa.is_available()) {
            let config = JitConfig { isa, listing: true, ..JitConfig::default() };
            let executable = compile(&plan(&kind, &args), &config).expect("compiles");
            let listing = executable.report().functions[0].listing.clone().expect("a listing");
            assert!(listing.contains(",[rsp+"), "{isa}: nothing was saved:\n{listing}");
        }
    }
}

/// Products whose right operand is packed, against sums written here.
#[test]
fn packed_products() {
    for (m, n, k, transposed) in [(61, 70, 31, true), (60, 33, 6, true), (61, 300, 230, false)] {
        let mut numbers = common::Numbers::new(m as u64);
        let (a, b): (Vec<f32>, Vec<f32>) = (
            (0..m * k).map(|_| numbers.f32()).collect(),
            (0..n * k).map(|_| numbers.f32()).collect(),
        );
        let (to_n, to_k) = if transposed { (k, 1) } else { (1, n) };
        let mut epilogue = Body::new();
        let value = epilogue.scalar(0, Lane::F32);
        let kind = KernelKind::Product(ProductKernel {
            batch: vec![],
            m,
            n,
            k: vec![k],
            a: access(0, DType::F32, &[k, 0, 1]),
            b: access(1, DType::F32, &[0, to_n, to_k]),
            accesses: vec![access(2, DType::F32, &[n, 1, 0])],
            epilogue,
            stores: vec![store(0, value)],
        });
        let args = [input(&a), input(&b), blank(DType::F32, m * n)];
        for isa in isas().filter(|&isa| isa != Isa::Baseline) {
            let config = JitConfig { isa, ..JitConfig::default() };
            let executable = compile(&plan(&kind, &args), &config).expect("compiles");
            let mut args = args.clone();
            run(&executable, &mut args);
            let found = args[2].array.as_f32().expect("floats");
            for (i, &found) in found.iter().enumerate() {
                let (row, column) = (i / n, i % n);
                let step =
                    |acc: f32, j: usize| a[row * k + j].mul_add(b[column * to_n + j * to_k], acc);
                let expected = (0..k).fold(0.0, step);
                assert_eq!(
                    found.to_bits(),
                    expected.to_bits(),
                    "{isa} {m}x{n}x{k} at {row} {column}"
                );
            }
        }
    }
}
