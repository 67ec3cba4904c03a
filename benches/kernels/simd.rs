//! Vectors of 512 and of 256 bits for the hand-written loops: one name for each instruction they use.

use std::arch::x86_64::*;

/// Proof that the processor has an instruction set, and its vectors of `f32`.
///
/// Methods do what their names say, lane by lane.
pub(crate) trait Simd: Copy {
    /// A vector of `f32`.
    type V: Copy;
    /// A choice for each lane.
    type Mask: Copy;
    /// Lanes of a vector.
    const LANES: usize;

    /// The proof, if there is one.
    fn detect() -> Option<Self>;

    fn splat(self, x: f32) -> Self::V;
    /// The bits `x` in every lane.
    fn splat_bits(self, x: u32) -> Self::V;
    /// # Safety
    /// `LANES` floats can be read at `at`.
    unsafe fn load(self, at: *const f32) -> Self::V;
    /// # Safety
    /// `LANES` floats can be written at `at`.
    unsafe fn store(self, at: *mut f32, v: Self::V);
    /// The first `count` lanes from memory, `fill` in the others.
    ///
    /// # Safety
    /// `count` floats can be read at `at`.
    unsafe fn load_part(self, at: *const f32, count: usize, fill: Self::V) -> Self::V;
    /// The first `count` lanes to memory.
    ///
    /// # Safety
    /// `count` floats can be written at `at`.
    unsafe fn store_part(self, at: *mut f32, count: usize, v: Self::V);

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `if a > b { a } else { b }`
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    fn and(self, a: Self::V, b: Self::V) -> Self::V;
    fn or(self, a: Self::V, b: Self::V) -> Self::V;
    fn xor(self, a: Self::V, b: Self::V) -> Self::V;
    /// Bits moved up by 23 places: integers to exponents.
    fn shift_up_23(self, a: Self::V) -> Self::V;

    fn lt(self, a: Self::V, b: Self::V) -> Self::Mask;
    fn gt(self, a: Self::V, b: Self::V) -> Self::Mask;
    fn ge(self, a: Self::V, b: Self::V) -> Self::Mask;
    fn select(self, mask: Self::Mask, a: Self::V, b: Self::V) -> Self::V;

    fn reduce_add(self, a: Self::V) -> f32;
    fn reduce_max(self, a: Self::V) -> f32;
}

/// Methods that are one expression of intrinsics each.
macro_rules! methods {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty { $($body:tt)* })*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: `self` proves that the processor has the instructions.
            unsafe { $($body)* }
        }
    )*};
}

/// AVX-512 F and DQ.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Simd for Avx512 {
    type V = __m512;
    type Mask = __mmask16;
    const LANES: usize = 16;

    fn detect() -> Option<Avx512> {
        let there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq");
        (there && is_x86_feature_detected!("avx512vl")).then_some(Avx512(()))
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m512 {
        // SAFETY: by the caller's promise.
        unsafe { _mm512_loadu_ps(at) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32, v: __m512) {
        // SAFETY: by the caller's promise.
        unsafe { _mm512_storeu_ps(at, v) }
    }

    #[inline(always)]
    unsafe fn load_part(self, at: *const f32, count: usize, fill: __m512) -> __m512 {
        // SAFETY: by the caller's promise; masked lanes are not touched.
        unsafe { _mm512_mask_loadu_ps(fill, ((1u32 << count) - 1) as __mmask16, at) }
    }

    #[inline(always)]
    unsafe fn store_part(self, at: *mut f32, count: usize, v: __m512) {
        // SAFETY: by the caller's promise; masked lanes are not touched.
        unsafe { _mm512_mask_storeu_ps(at, ((1u32 << count) - 1) as __mmask16, v) }
    }

    methods! {
        splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
        splat_bits(x: u32) -> __m512 { _mm512_castsi512_ps(_mm512_set1_epi32(x as i32)) }
        add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        and(a: __m512, b: __m512) -> __m512 { _mm512_and_ps(a, b) }
        or(a: __m512, b: __m512) -> __m512 { _mm512_or_ps(a, b) }
        xor(a: __m512, b: __m512) -> __m512 { _mm512_xor_ps(a, b) }
        shift_up_23(a: __m512) -> __m512 {
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(a)))
        }
        lt(a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
        gt(a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
        ge(a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b) }
        select(mask: __mmask16, a: __m512, b: __m512) -> __m512 {
            _mm512_mask_blend_ps(mask, b, a)
        }
        reduce_add(a: __m512) -> f32 { _mm512_reduce_add_ps(a) }
        reduce_max(a: __m512) -> f32 { _mm512_reduce_max_ps(a) }
    }
}

/// AVX2 and fused multiply-add.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Simd for Avx2 {
    type V = __m256;
    type Mask = __m256;
    const LANES: usize = 8;

    fn detect() -> Option<Avx2> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m256 {
        // SAFETY: by the caller's promise.
        unsafe { _mm256_loadu_ps(at) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32, v: __m256) {
        // SAFETY: by the caller's promise.
        unsafe { _mm256_storeu_ps(at, v) }
    }

    #[inline(always)]
    unsafe fn load_part(self, at: *const f32, count: usize, fill: __m256) -> __m256 {
        // SAFETY: by the caller's promise; masked lanes are not touched.
        unsafe {
            let mask = first_lanes(count);
            _mm256_blendv_ps(fill, _mm256_maskload_ps(at, mask), _mm256_castsi256_ps(mask))
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, at: *mut f32, count: usize, v: __m256) {
        // SAFETY: by the caller's promise; masked lanes are not touched.
        unsafe { _mm256_maskstore_ps(at, first_lanes(count), v) }
    }

    methods! {
        splat(x: f32) -> __m256 { _mm256_set1_ps(x) }
        splat_bits(x: u32) -> __m256 { _mm256_castsi256_ps(_mm256_set1_epi32(x as i32)) }
        add(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        mul(a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        div(a: __m256, b: __m256) -> __m256 { _mm256_div_ps(a, b) }
        fma(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        max(a: __m256, b: __m256) -> __m256 { _mm256_max_ps(a, b) }
        and(a: __m256, b: __m256) -> __m256 { _mm256_and_ps(a, b) }
        or(a: __m256, b: __m256) -> __m256 { _mm256_or_ps(a, b) }
        xor(a: __m256, b: __m256) -> __m256 { _mm256_xor_ps(a, b) }
        shift_up_23(a: __m256) -> __m256 {
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(a)))
        }
        lt(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
        gt(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_GT_OQ>(a, b) }
        ge(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_GE_OQ>(a, b) }
        select(mask: __m256, a: __m256, b: __m256) -> __m256 { _mm256_blendv_ps(b, a, mask) }
        reduce_add(a: __m256) -> f32 {
            let half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        }
        reduce_max(a: __m256) -> f32 {
            let half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)))
        }
    }
}

/// All bits of the first `count` lanes.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn first_lanes(count: usize) -> __m256i {
    // SAFETY: by the caller's promise.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
    }
}
