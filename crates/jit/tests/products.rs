//! Matrix products of all layouts and sizes, against the evaluator.

mod common;

use common::{Arg, Numbers, access, blank, check, lane_of, store};
use eggrad_body::{Body, Inst, Lane};
use eggrad_ir::DType;
use eggrad_schedule::*;

/// How an operand lies in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Plain,
    Transposed,
    Spread,
}

/// Strides of an operand of `rows` by `columns`, and the elements of one.
fn lay_out(layout: Layout, rows: usize, columns: usize) -> (usize, usize, usize) {
    match layout {
        Layout::Plain => (columns, 1, rows * columns),
        Layout::Transposed => (1, rows, rows * columns),
        Layout::Spread => (2 * columns + 1, 2, rows * (2 * columns + 1)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Epilogue {
    None,
    Bias,
    Heavy,
    Mixed,
}

fn product(
    batch: &[usize],
    (m, n, k): (usize, usize, usize),
    dtype: DType,
    (la, lb): (Layout, Layout),
    end: Epilogue,
) -> (KernelKind, Vec<Arg>) {
    let mut numbers = Numbers::new((m * 31 + n * 7 + k) as u64);
    let lane = lane_of(dtype);
    let (am, ak, a_size) = lay_out(la, m, k);
    let (bk, bn, b_size) = lay_out(lb, k, n);
    let count: usize = batch.iter().product();
    let around = eggrad_ir::Shape::from(batch.to_vec()).strides();
    let scaled = |by: usize| around.iter().map(|s| s * by).collect::<Vec<_>>();
    let mut args = vec![
        numbers.arg(dtype, count * a_size + 1),
        numbers.arg(dtype, count * b_size + 1),
        numbers.arg(dtype, n),
        blank(dtype, count * m * n),
    ];
    let a = access(0, dtype, &[scaled(a_size), vec![am, 0, ak]].concat());
    let mut b = access(1, dtype, &[scaled(b_size), vec![0, bn, bk]].concat());
    b.offset = 1;
    let zeros = vec![0; batch.len()];
    let result = [scaled(m * n), vec![n, 1, 0]].concat();
    let mut accesses =
        vec![access(2, dtype, &[zeros, vec![0, 1, 0]].concat()), access(3, dtype, &result)];
    let mut epilogue = Body::new();
    let acc = epilogue.scalar(0, lane);
    let mut stores = vec![];
    let value = match end {
        Epilogue::None => acc,
        Epilogue::Bias => {
            let (bias, zero) = (epilogue.load(0, lane), epilogue.konst(lane, 0.0));
            let sum = epilogue.add(acc, bias);
            epilogue.max(sum, zero)
        }
        Epilogue::Heavy => {
            let (i, j) = (batch.len() as u16, batch.len() as u16 + 1);
            let (i, j) = (epilogue.index(i, lane.bits_lane()), epilogue.index(j, lane.bits_lane()));
            let (i, j) =
                (epilogue.push(Inst::Convert(lane, i)), epilogue.push(Inst::Convert(lane, j)));
            let x = epilogue.fma(i, j, acc);
            if lane == Lane::F32 {
                epilogue.tanh(x)
            } else {
                (0..12).fold(x, |v, _| epilogue.fma(v, x, i))
            }
        }
        Epilogue::Mixed => {
            args.push(blank(DType::I64, count * m * n));
            accesses.push(access(4, DType::I64, &result));
            let int = epilogue.push(Inst::Convert(Lane::I64, acc));
            let narrow = epilogue.push(Inst::Convert(Lane::I32, int));
            stores.push(store(2, int));
            args.push(blank(DType::I32, count * m * n));
            accesses.push(access(5, DType::I32, &result));
            stores.push(store(3, narrow));
            acc
        }
    };
    stores.push(store(1, value));
    let (batch, k) = (batch.to_vec(), vec![k]);
    (KernelKind::Product(ProductKernel { batch, m, n, k, a, b, accesses, epilogue, stores }), args)
}

#[test]
fn products() {
    let layouts = [Layout::Plain, Layout::Transposed, Layout::Spread];
    let sizes = [
        (1, 1, 1),
        (1, 1, 5),
        (1, 7, 4),
        (5, 1, 9),
        (2, 3, 0),
        (0, 3, 2),
        (3, 0, 2),
        (4, 4, 4),
        (6, 8, 3),
        (7, 9, 5),
        (13, 17, 11),
        (32, 25, 10),
        (9, 12, 33),
        (8, 10, 4),
        (17, 6, 7),
    ];
    for (m, n, k) in sizes {
        for la in layouts {
            for lb in layouts {
                for dtype in [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8] {
                    for end in [Epilogue::None, Epilogue::Bias, Epilogue::Heavy, Epilogue::Mixed] {
                        if end == Epilogue::Heavy && !dtype.is_float() {
                            continue;
                        }
                        let (kind, args) = product(&[], (m, n, k), dtype, (la, lb), end);
                        check(&format!("{m} {n} {k} {la:?} {lb:?} {dtype:?} {end:?}"), kind, &args);
                    }
                }
            }
        }
    }
}

/// Windows are read where they lie, with a loop of the sum for each of their axes.
#[test]
fn sums_in_several_loops() {
    let lists: [&[usize]; 9] = [
        &[3, 5],
        &[2, 1, 9],
        &[4, 8],
        &[5, 0],
        &[0, 3],
        &[2, 3, 4, 2],
        &[9, 61],
        &[3, 11, 47],
        &[1103],
    ];
    for loops in lists.map(<[usize]>::to_vec) {
        let k: usize = loops.iter().product();
        for ((m, n), overlap) in [(1, 7), (6, 9), (33, 35)].into_iter().zip([1, 2, 4]) {
            for end in [Epilogue::None, Epilogue::Bias, Epilogue::Heavy] {
                for layout in [Layout::Plain, Layout::Transposed] {
                    // Long sums go block by block, where there are several tiles.
                    if k > 300 && (m < 30 || (end == Epilogue::Bias) != (layout == Layout::Plain)) {
                        continue;
                    }
                    let sizes = (m, n, k.max(1));
                    let (kind, args) =
                        product(&[2], sizes, DType::F32, (layout, Layout::Plain), end);
                    let KernelKind::Product(mut kernel) = kind else { panic!("a product") };
                    let steps = eggrad_ir::Shape::from(loops.clone()).strides();
                    let along = |step: usize, by: &dyn Fn(usize) -> usize| -> Vec<usize> {
                        steps.iter().map(|&s| step * by(s)).collect()
                    };
                    // The left operand's windows overlap.
                    let step = kernel.a.strides.pop().unwrap();
                    kernel.a.strides.extend(along(step, &|s| s.div_ceil(overlap)));
                    let step = kernel.b.strides.pop().unwrap();
                    kernel.b.strides.extend(along(step, &|s| s));
                    for access in &mut kernel.accesses {
                        access.strides.resize(3 + loops.len(), 0);
                    }
                    kernel.k = loops.clone();
                    check(
                        &format!("{m} {n} {loops:?} {end:?} {layout:?}"),
                        KernelKind::Product(kernel),
                        &args,
                    );
                }
            }
        }
    }
}

#[test]
fn batched_products() {
    for batch in [&[1][..], &[3], &[2, 3], &[2, 0], &[0]] {
        for (m, n, k) in [(1, 1, 1), (5, 6, 7), (14, 9, 5)] {
            for lb in [Layout::Plain, Layout::Transposed] {
                for end in [Epilogue::Bias, Epilogue::Heavy] {
                    let layouts = (Layout::Transposed, lb);
                    let (kind, args) = product(batch, (m, n, k), DType::F32, layouts, end);
                    check(&format!("{batch:?} {m} {n} {k} {lb:?} {end:?}"), kind, &args);
                }
            }
        }
    }
}

/// Large products: partial sums wait in memory, some columns at a time, and operands are copied or turned first.
#[test]
fn large_products() {
    use Layout::{Plain, Transposed};
    let every =
        [(Plain, Plain), (Transposed, Plain), (Plain, Transposed), (Transposed, Transposed)];
    let sizes = [
        // Columns in several panels, a block of terms and a rest.
        ((17, 530, 523), DType::F32, &every[2..]),
        ((17, 140, 523), DType::F32, &every[..2]),
        // Rows in several panels.
        ((331, 100, 512), DType::F32, &every[3..]),
        // A short sum whose left operand lies across; a right one that lies across alone.
        ((515, 100, 131), DType::F32, &every[1..]),
        ((61, 37, 45), DType::I32, &every[2..]),
        // Elements of eight bytes are not turned.
        ((15, 70, 600), DType::F64, &every[..]),
    ];
    for (size, dtype, layouts) in sizes {
        for &layouts in layouts {
            let (kind, args) = product(&[], size, dtype, layouts, Epilogue::Bias);
            check(&format!("{size:?} {layouts:?} {dtype:?}"), kind, &args);
        }
    }
}

/// What products keep on the stack fits into a thread with little of it.
#[test]
fn a_stack_of_one_mebibyte_is_enough() {
    let work = || {
        for (dtype, layout) in [(DType::F32, Layout::Transposed), (DType::F64, Layout::Plain)] {
            let size = (330, 40, 530);
            let (kind, args) = product(&[], size, dtype, (layout, layout), Epilogue::Bias);
            check(&format!("{dtype:?} {layout:?}"), kind, &args);
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(work).expect("a thread");
    thread.join().expect("products");
}
