//! Matrix products: against the faster of two libraries, and against what multiply-add can do at most.

use crate::elementwise::same;
use crate::hand::{CHAINS, Hand};
use crate::libraries::{Layout, gemm_avx2, gemm_avx512, matrixmultiply};
use crate::ours::{Ours, noise};
use crate::timing::{contender, race};
use crate::{Bench, Failure, Sense, us};
use eggrad::jit::{Aligned, Isa};
use eggrad::prelude::*;
use std::hint::black_box;

/// Rows, length of the sums, columns.
type Size = (usize, usize, usize);

/// What lies the other way round in memory.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Plain,
    /// With bias and ReLU, which the libraries are not asked for.
    Activated,
    TransposedLeft,
    TransposedRight,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Form::Plain => "a b",
            Form::Activated => "relu(a b + c)",
            Form::TransposedLeft => "a' b",
            Form::TransposedRight => "a b'",
        }
    }
}

/// A product, and the least share of the best library's speed and of the peak's.
struct Case {
    form: Form,
    size: Size,
    library: Option<f64>,
    peak: Option<f64>,
}

/// All gates of this file.
pub(crate) fn gates(bench: &mut Bench) {
    let small = [((32, 64, 25), 1.3), ((32, 25, 15), 1.3), ((128, 64, 25), 1.2)];
    let middle = [(128, 128, 128), (128, 784, 512), (512, 512, 512), (256, 1024, 2048)];
    // The first layer of W4 is the last of these.
    let wide = [(256, 2048, 2048), (256, 2048, 1000)];
    let of_peak = |size: &Size| if size.1 >= 1024 { 0.90 } else { 0.85 };
    let small = small.map(|(size, library)| Case {
        form: Form::Activated,
        size,
        library: Some(library),
        peak: None,
    });
    let against = |form, library, peak| move |size| Case { form, size, library, peak };
    let cases = small
        .into_iter()
        .chain(middle.map(|size| against(Form::Plain, Some(0.95), Some(of_peak(&size)))(size)))
        .chain(middle.map(against(Form::TransposedLeft, Some(0.9), None)))
        .chain(middle.map(against(Form::TransposedRight, Some(0.9), None)))
        .chain(wide.map(against(Form::Plain, None, Some(0.90))))
        // The gradients of the widest layer, of its weight and of its input.
        .chain([(2048, 256, 2048)].map(against(Form::TransposedLeft, None, Some(0.90))))
        .chain([(256, 2048, 2048)].map(against(Form::TransposedRight, None, Some(0.90))));
    for case in cases {
        for isa in [Isa::Avx512, Isa::Avx2] {
            let measured = product(bench, isa, &case);
            bench.attempt(measured);
        }
    }
}

/// The layouts of the operands as they are multiplied, for arrays that lie row after row as they are declared.
fn layouts(form: Form, (m, k, n): Size) -> (Layout, Layout) {
    let left = match form {
        Form::TransposedLeft => Layout::transposed(m, k),
        Form::Plain | Form::Activated | Form::TransposedRight => Layout::dense(m, k),
    };
    let right = match form {
        Form::TransposedRight => Layout::transposed(k, n),
        Form::Plain | Form::Activated | Form::TransposedLeft => Layout::dense(k, n),
    };
    (left, right)
}

/// The product as a user writes it; only that with an activation reads `c`.
pub(crate) fn write(g: &Graph, activated: bool, transposed: (bool, bool), (m, k, n): Size) {
    let operand = |name: &str, rows, columns, transposed| match transposed {
        true => g.input(name, [columns, rows]).transpose(),
        false => g.input(name, [rows, columns]),
    };
    let product = operand("a", m, k, transposed.0).matmul(operand("b", k, n, transposed.1));
    let c = g.input("c", [n]);
    g.output("y", if activated { (product + c).relu() } else { product });
}

fn product(bench: &mut Bench, isa: Isa, case: &Case) -> Result<(), Failure> {
    let &Case { form, size: (m, k, n), library, peak } = case;
    let name = |other: &str| format!("{} of {m}x{k}x{n}, {other}", form.name());
    let against_library = name("best library's time of ours");
    let against_peak = name("share of peak");
    let library = library.filter(|_| bench.wants(&against_library, isa));
    let peak = peak.filter(|_| bench.wants(&against_peak, isa));
    let Some(hand) = Hand::against(isa) else { return Ok(()) };
    if library.is_none() && peak.is_none() {
        return Ok(());
    }
    let (left, right) = layouts(form, (m, k, n));
    let (a, b) = (noise(m * k, 1.0), noise(k * n, 1.0));
    let bias = noise(n, 1.0);
    let inputs = [&a, &b, &bias].map(|array| Aligned::from_slice(array));
    let transposed = (form == Form::TransposedLeft, form == Form::TransposedRight);
    let activated = form == Form::Activated;
    let mut ours: Ours<3, 1> =
        Ours::new(isa, 1, inputs, |g| write(g, activated, transposed, (m, k, n)))?;
    let gemm = if isa == Isa::Avx512 { gemm_avx512 } else { gemm_avx2 };
    let (mut first, mut second) = (vec![0.0; m * n], vec![0.0; m * n]);
    ours.run();
    gemm((&a, left), (&b, right), &mut first);
    matrixmultiply((&a, left), (&b, right), &mut second);
    let finished = |product: &[f32]| -> Vec<f32> {
        let value = |(i, &p): (usize, &f32)| if activated { (p + bias[i % n]).max(0.0) } else { p };
        product.iter().enumerate().map(value).collect()
    };
    for (library, result) in [("gemm", &first), ("matrixmultiply", &second)] {
        same(&name(library), ours.output(0), &finished(result), (k as f32).max(64.0))?;
    }

    let turns = 500;
    let times = race(
        bench.rounds,
        vec![
            contender(|| ours.run()),
            contender(|| gemm((&a, left), (&b, right), &mut first)),
            contender(|| matrixmultiply((&a, left), (&b, right), &mut second)),
            contender(|| hand.multiply_add(black_box(turns), 0.999)),
        ],
    );
    let speed = |flops: usize, seconds: f64| flops as f64 / seconds / 1e9;
    let of_product = |i: usize| speed(2 * m * k * n, times[i].least);
    let most = speed(2 * turns * CHAINS * hand.lanes(), times[3].least);
    let detail = format!(
        "{}, {:.0} GFLOP/s; gemm {:.0}, matrixmultiply {:.0}, peak {most:.0}",
        us(times[0].least),
        of_product(0),
        of_product(1),
        of_product(2),
    );
    if let Some(bound) = library {
        let best = of_product(1).max(of_product(2));
        bench.gate(&against_library, isa, Sense::Min, of_product(0) / best, bound, &detail);
    }
    if let Some(bound) = peak {
        bench.gate(&against_peak, isa, Sense::Min, of_product(0) / most, bound, &detail);
    }
    Ok(())
}
