//! What a patient person would write with intrinsics: the loops that ours are measured against. They evaluate the
//! same polynomials, with the constants of `crates/body/src/math`.

use crate::simd::{Avx2, Avx512, Simd};
use eggrad::jit::Isa;

/// `(e^r - 1 - r)/r²`, highest power first.
const EXP: [f32; 6] =
    [0.000_198_460_39, 0.001_394_075_7, 0.008_333_473, 0.041_666_415, 0.166_666_66, 0.5];

/// `(log(1 + f) - f)/f²`, highest power first.
const LOG: [f32; 9] = [
    -0.044_921_152,
    0.104_495_56,
    -0.131_625_85,
    0.144_821_44,
    -0.166_478_14,
    0.199_906_33,
    -0.250_000_66,
    0.333_334_54,
    -0.5,
];

/// Accumulators of the loop that does nothing but multiply and add: more than latency times ports.
pub(crate) const CHAINS: usize = 12;

#[inline(always)]
fn polynomial<S: Simd>(s: S, x: S::V, coefficients: &[f32]) -> S::V {
    let mut sum = s.splat(coefficients[0]);
    for &c in &coefficients[1..] {
        sum = s.fma(sum, x, s.splat(c));
    }
    sum
}

/// `2^n` and `q` with `e^x = 2^n (1 + q)`.
#[inline(always)]
fn split_exp<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    let large = s.splat(12_582_912.0 + 127.0);
    let shifted = s.fma(x, s.splat(std::f32::consts::LOG2_E), large);
    let n = s.sub(shifted, large);
    let r = s.fma(n, s.splat(-std::f32::consts::LN_2), x);
    let r = s.fma(n, s.splat(1.904_654_3e-9), r);
    let q = s.fma(s.mul(r, r), polynomial(s, r, &EXP), r);
    (s.shift_up_23(shifted), q)
}

/// `e^x` for `x <= 0`.
#[inline(always)]
fn exp_nonpositive<S: Simd>(s: S, x: S::V) -> S::V {
    let (scale, q) = split_exp(s, x);
    s.select(s.lt(x, s.splat(-87.336_54)), s.splat(0.0), s.fma(q, scale, scale))
}

/// `tanh(x)·sigmoid(x) + log1p(e^-|x|)`, with one `e^-|x|` for both.
#[inline(always)]
fn chain_of<S: Simd>(s: S, x: S::V) -> S::V {
    let sign = s.splat_bits(0x8000_0000);
    let minus_size = s.or(x, sign);

    let clamped = s.max(s.splat(-18.0), s.add(minus_size, minus_size));
    let (scale, q) = split_exp(s, clamped);
    let t = s.fma(q, scale, s.add(scale, s.splat(-1.0)));
    let size = s.div(s.xor(t, s.and(t, sign)), s.add(t, s.splat(2.0)));
    let tanh = s.or(size, s.and(x, sign));

    let w = exp_nonpositive(s, minus_size);
    let one = s.splat(1.0);
    let numerator = s.select(s.ge(x, s.splat(0.0)), one, w);
    let sigmoid = s.div(numerator, s.add(w, one));

    let large = s.gt(w, s.splat(0.5));
    let f = s.select(large, s.fma(w, s.splat(0.5), s.splat(-0.5)), w);
    let e = s.select(large, one, s.splat(0.0));
    let rest = s.fma(s.mul(f, f), polynomial(s, f, &LOG), s.mul(e, s.splat(1.428_606_8e-6)));
    let log1p = s.fma(e, s.splat(0.693_145_75), s.add(f, rest));
    s.fma(tanh, sigmoid, log1p)
}

/// `out[i] = f(x[i])`, `COPIES` vectors at a time.
#[inline(always)]
fn map<S: Simd, const COPIES: usize>(s: S, x: &[f32], out: &mut [f32], f: impl Fn(S::V) -> S::V) {
    assert_eq!(x.len(), out.len());
    let (from, to) = (x.as_ptr(), out.as_mut_ptr());
    let mut i = 0;
    while i + COPIES * S::LANES <= x.len() {
        // SAFETY: `COPIES` vectors from `i` on lie within both arrays, which are equally long.
        unsafe {
            let mut values = [s.splat(0.0); COPIES];
            for (j, value) in values.iter_mut().enumerate() {
                *value = s.load(from.add(i + j * S::LANES));
            }
            for value in &mut values {
                *value = f(*value);
            }
            for (j, value) in values.into_iter().enumerate() {
                s.store(to.add(i + j * S::LANES), value);
            }
        }
        i += COPIES * S::LANES;
    }
    while i < x.len() {
        let count = S::LANES.min(x.len() - i);
        // SAFETY: `count` elements from `i` on lie within both arrays.
        unsafe { store(s, to, i, count, f(load(s, from, i, count, 0.0))) };
        i += count;
    }
}

#[inline(always)]
fn chain<S: Simd, const COPIES: usize>(s: S, x: &[f32], out: &mut [f32]) {
    map::<S, COPIES>(
        s,
        x,
        out,
        #[inline(always)]
        |x| chain_of(s, x),
    );
}

#[inline(always)]
fn scale_and_shift<S: Simd>(s: S, x: &[f32], out: &mut [f32]) {
    let (a, b) = (s.splat(1.5), s.splat(0.25));
    map::<S, 4>(
        s,
        x,
        out,
        #[inline(always)]
        |x| s.fma(x, a, b),
    );
}

#[inline(always)]
fn add<S: Simd>(s: S, x: &[f32], y: &[f32], out: &mut [f32]) {
    assert!(x.len() == y.len() && x.len() == out.len() && x.len().is_multiple_of(4 * S::LANES));
    for i in (0..x.len()).step_by(4 * S::LANES) {
        for j in 0..4 {
            let at = i + j * S::LANES;
            // SAFETY: the arrays are equally long, and whole blocks.
            unsafe {
                let sum = s.add(s.load(x.as_ptr().add(at)), s.load(y.as_ptr().add(at)));
                s.store(out.as_mut_ptr().add(at), sum);
            }
        }
    }
}

/// `count` lanes from `at` on, and `fill`.
///
/// # Safety
/// They can be read.
#[inline(always)]
unsafe fn load<S: Simd>(s: S, from: *const f32, at: usize, count: usize, fill: f32) -> S::V {
    // SAFETY: by the caller's promise; a whole vector is not a part.
    unsafe {
        match count == S::LANES {
            true => s.load(from.add(at)),
            false => s.load_part(from.add(at), count, s.splat(fill)),
        }
    }
}

/// Writes `count` lanes from `at` on.
///
/// # Safety
/// They can be written.
#[inline(always)]
unsafe fn store<S: Simd>(s: S, to: *mut f32, at: usize, count: usize, v: S::V) {
    // SAFETY: by the caller's promise; a whole vector is not a part.
    unsafe {
        match count == S::LANES {
            true => s.store(to.add(at), v),
            false => s.store_part(to.add(at), count, v),
        }
    }
}

/// Folds a row with four accumulators, `fill` behind its end.
#[inline(always)]
fn fold<S: Simd>(
    s: S,
    row: &[f32],
    fill: f32,
    mut combine: impl FnMut(S::V, S::V, usize, usize) -> S::V,
    start: f32,
) -> [S::V; 4] {
    let mut sums = [s.splat(start); 4];
    let blocks = row.len() / (4 * S::LANES) * (4 * S::LANES);
    for i in (0..blocks).step_by(4 * S::LANES) {
        for (j, sum) in sums.iter_mut().enumerate() {
            let at = i + j * S::LANES;
            // SAFETY: whole blocks lie within the row.
            *sum = combine(*sum, unsafe { s.load(row.as_ptr().add(at)) }, at, S::LANES);
        }
    }
    let mut at = blocks;
    while at < row.len() {
        let count = S::LANES.min(row.len() - at);
        // SAFETY: `count` elements from `at` on lie within the row.
        let x = unsafe { load(s, row.as_ptr(), at, count, fill) };
        sums[0] = combine(sums[0], x, at, count);
        at += count;
    }
    sums
}

/// Mean cross-entropy of rows of logits, and its gradient: three passes over a row.
#[inline(always)]
fn cross_entropy<S: Simd>(s: S, z: &[f32], labels: &[i32], dz: &mut [f32]) -> f32 {
    let classes = z.len() / labels.len();
    assert!(z.len() == dz.len() && z.len() == labels.len() * classes);
    let per_row = 1.0 / labels.len() as f32;
    let mut loss = 0.0;
    let rows = z.chunks_exact(classes).zip(dz.chunks_exact_mut(classes));
    for ((z, dz), &label) in rows.zip(labels) {
        let least = f32::NEG_INFINITY;
        let [a, b, c, d] = fold(
            s,
            z,
            least,
            #[inline(always)]
            |max, x, _, _| s.max(max, x),
            least,
        );
        let max = s.reduce_max(s.max(s.max(a, b), s.max(c, d)));
        let shift = s.splat(max);
        let to = dz.as_mut_ptr();
        let [a, b, c, d] = fold(
            s,
            z,
            least,
            #[inline(always)]
            |sum, x, at, count| {
                let e = exp_nonpositive(s, s.sub(x, shift));
                // SAFETY: `dz` is as long as `z`, in which `fold` walks.
                unsafe { store(s, to, at, count, e) };
                s.add(sum, e)
            },
            0.0,
        );
        let sum = s.reduce_add(s.add(s.add(a, b), s.add(c, d)));
        let scale = s.splat(per_row / sum);
        for at in (0..classes).step_by(S::LANES) {
            let count = S::LANES.min(classes - at);
            // SAFETY: `count` elements from `at` on lie within the row.
            unsafe {
                let e = load(s, to, at, count, 0.0);
                store(s, to, at, count, s.mul(e, scale));
            }
        }
        let label = label as usize;
        dz[label] -= per_row;
        loss += (sum.ln() - (z[label] - max)) * per_row;
    }
    loss
}

/// `turns` times one multiply-add for each of [`CHAINS`] accumulators.
#[inline(always)]
fn multiply_add<S: Simd>(s: S, turns: usize, x: f32) -> f32 {
    let (x, y) = (s.splat(x), s.splat(1.0 - x));
    let mut sums = [y; CHAINS];
    for _ in 0..turns {
        for sum in &mut sums {
            *sum = s.fma(*sum, x, y);
        }
    }
    sums.into_iter().map(|sum| s.reduce_add(sum)).sum()
}

/// The sum of an array: what reading it takes.
#[inline(always)]
fn sum<S: Simd>(s: S, x: &[f32]) -> f32 {
    let [a, b, c, d] = fold(
        s,
        x,
        0.0,
        #[inline(always)]
        |sum, x, _, _| s.add(sum, x),
        0.0,
    );
    s.reduce_add(s.add(s.add(a, b), s.add(c, d)))
}

/// The hand-written loops for one instruction set.
#[derive(Clone, Copy)]
pub(crate) enum Hand {
    Avx512(Avx512),
    Avx2(Avx2),
}

/// Methods of [`Hand`] that call the generic function where the instructions may be used.
macro_rules! entries {
    ($($name:ident = $of:ident $(, $copies:literal)? ($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        impl Hand {$(
            pub(crate) fn $name(self, $($arg: $ty),*) -> $out {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
                fn avx512(s: Avx512, $($arg: $ty),*) -> $out {
                    $of::<Avx512 $(, $copies)?>(s, $($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2(s: Avx2, $($arg: $ty),*) -> $out {
                    $of::<Avx2 $(, $copies)?>(s, $($arg),*)
                }
                match self {
                    // SAFETY: there is a proof that the processor has the instructions.
                    Hand::Avx512(s) => unsafe { avx512(s, $($arg),*) },
                    // SAFETY: as above.
                    Hand::Avx2(s) => unsafe { avx2(s, $($arg),*) },
                }
            }
        )*}
    };
}

entries! {
    chain1 = chain, 1 (x: &[f32], out: &mut [f32]) -> ();
    chain2 = chain, 2 (x: &[f32], out: &mut [f32]) -> ();
    scale_and_shift = scale_and_shift(x: &[f32], out: &mut [f32]) -> ();
    add = add(x: &[f32], y: &[f32], out: &mut [f32]) -> ();
    cross_entropy = cross_entropy(z: &[f32], labels: &[i32], dz: &mut [f32]) -> f32;
    multiply_add = multiply_add(turns: usize, x: f32) -> f32;
    sum = sum(x: &[f32]) -> f32;
}

impl Hand {
    /// The loops for the widest vectors of this processor.
    pub(crate) fn widest() -> Option<Hand> {
        Avx512::detect().map(Hand::Avx512).or(Avx2::detect().map(Hand::Avx2))
    }

    /// The loops for the instructions of ours; for 128-bit vectors the widest there are.
    pub(crate) fn against(isa: Isa) -> Option<Hand> {
        match isa {
            Isa::Avx512 => Avx512::detect().map(Hand::Avx512),
            Isa::Avx2 => Avx2::detect().map(Hand::Avx2),
            Isa::Clif | Isa::Baseline | Isa::Host => Hand::widest(),
        }
    }

    /// Lanes of a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Hand::Avx512(_) => Avx512::LANES,
            Hand::Avx2(_) => Avx2::LANES,
        }
    }
}

/// As [`Hand::multiply_add`], with vectors of 128 bits.
///
/// # Safety
/// The processor has fused multiply-add.
#[target_feature(enable = "fma")]
pub(crate) unsafe fn multiply_add_128(turns: usize, x: f32) -> f32 {
    use std::arch::x86_64::{_mm_cvtss_f32, _mm_fmadd_ps, _mm_set1_ps};
    let (x, y) = (_mm_set1_ps(x), _mm_set1_ps(1.0 - x));
    let mut sums = [y; CHAINS];
    for _ in 0..turns {
        for sum in &mut sums {
            *sum = _mm_fmadd_ps(*sum, x, y);
        }
    }
    sums.into_iter().map(|sum| _mm_cvtss_f32(sum)).sum()
}

/// The chain with the C library's functions, one element at a time.
pub(crate) fn chain_libm(x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = x.tanh() * (1.0 / (1.0 + (-x).exp())) + (-x.abs()).exp().ln_1p();
    }
}
