//! Products by the libraries a user would take: `matrixmultiply`, and `gemm` by its crate for `f32`, which lets the
//! instructions be chosen. (`gemm` itself takes the widest and also compiles all other element types.)

use gemm_common::Parallelism;
use gemm_common::gemm::gemm_basic_generic;
use gemm_common::simd::{MixedSimd, V3, V4};

/// A matrix: rows and columns, and the elements from one to the next of each.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) strides: (usize, usize),
}

impl Layout {
    /// Row after row.
    pub(crate) fn dense(rows: usize, columns: usize) -> Layout {
        Layout { rows, columns, strides: (columns, 1) }
    }

    /// The transpose of a matrix that lies row after row.
    pub(crate) fn transposed(rows: usize, columns: usize) -> Layout {
        Layout { rows, columns, strides: (1, rows) }
    }

    fn fits(self, array: &[f32]) {
        assert_eq!(self.rows * self.columns, array.len());
    }

    fn row(self) -> isize {
        self.strides.0 as isize
    }

    fn column(self) -> isize {
        self.strides.1 as isize
    }
}

fn check(a: (&[f32], Layout), b: (&[f32], Layout), c: &[f32]) {
    a.1.fits(a.0);
    b.1.fits(b.0);
    assert!(a.1.columns == b.1.rows && c.len() == a.1.rows * b.1.columns);
}

/// `c = a b` by `matrixmultiply` with AVX2. Whether it takes AVX-512 is decided when it is compiled, and both are needed
/// here; where it does it is slower than `gemm` in all sizes that are measured.
pub(crate) fn matrixmultiply(a: (&[f32], Layout), b: (&[f32], Layout), c: &mut [f32]) {
    check(a, b, c);
    let ((a, at), (b, bt)) = (a, b);
    // SAFETY: the arrays hold the matrices of these sizes and strides, as checked.
    unsafe {
        matrixmultiply::sgemm(
            at.rows,
            at.columns,
            bt.columns,
            1.0,
            a.as_ptr(),
            at.row(),
            at.column(),
            b.as_ptr(),
            bt.row(),
            bt.column(),
            0.0,
            c.as_mut_ptr(),
            bt.columns as isize,
            1,
        );
    }
}

/// `c = a b` by `gemm`. As that does where rows of the result are dense, it is given the transposed product.
macro_rules! gemm {
    ($(#[$doc:meta])* $name:ident, $simd:ident, $module:ident, $lanes:literal) => {
        $(#[$doc])*
        pub(crate) fn $name(a: (&[f32], Layout), b: (&[f32], Layout), c: &mut [f32]) {
            use gemm_f32::microkernel::$module::f32::{H_M, H_N, H_UKR, MR_DIV_N, NR, UKR};
            check(a, b, c);
            let ((a, at), (b, bt)) = (a, b);
            let simd = <$simd as MixedSimd<f32, f32, f32, f32>>::try_new();
            let simd = simd.expect("instructions that were looked for");
            // SAFETY: the arrays hold the matrices of these sizes and strides, as checked, and the processor has the
            // instructions of the micro-kernels.
            unsafe {
                gemm_basic_generic::<
                    _,
                    f32,
                    $lanes,
                    { MR_DIV_N * $lanes },
                    NR,
                    MR_DIV_N,
                    H_M,
                    H_N,
                >(
                    simd,
                    bt.columns,
                    at.rows,
                    at.columns,
                    c.as_mut_ptr(),
                    bt.columns as isize,
                    1,
                    false,
                    b.as_ptr(),
                    bt.row(),
                    bt.column(),
                    a.as_ptr(),
                    at.row(),
                    at.column(),
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    |a, b, c| a * b + c,
                    &UKR,
                    &H_UKR,
                    false,
                    Parallelism::None,
                );
            }
        }
    };
}

gemm! {
    /// With AVX-512.
    gemm_avx512, V4, avx512f, 16
}
gemm! {
    /// With AVX2.
    gemm_avx2, V3, fma, 8
}
