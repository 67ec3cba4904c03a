//! The error function.

use crate::inst::{Body, Lane, Value};

/// `erf(x)/x - 1` in `x²` for `|x| <= 0.925`; relative error of `erf` below 2^-24.9.
const NEAR_SINGLE: [f64; 6] =
    [0.128_379_15, -0.376_124_8, 0.112_816_826, -0.026_761_722, 0.004_985_942_5, -0.000_595_375_14];

/// `log(1 - erf(t))` for `0.925 <= t <= 3.95`; relative error of `erf` below 2^-26.0.
const FAR_SINGLE: [f64; 8] = [
    -9.026_557e-5,
    -1.128_356_7,
    -0.635_441_3,
    -0.106_251_36,
    0.023_982_871,
    -0.003_802_608_7,
    0.000_370_396_62,
    -1.648e-5,
];

/// As [`NEAR_SINGLE`]; relative error below 2^-54.9.
const NEAR_DOUBLE: [f64; 12] = [
    0.128_379_167_095_512_56,
    -0.376_126_389_031_837_04,
    0.112_837_916_709_524_38,
    -0.026_866_170_644_556_97,
    0.005_223_977_619_084_091,
    -0.000_854_832_660_702_174_1,
    0.000_120_553_156_416_922_83,
    -1.492_517_336_366_926e-5,
    1.645_331_782_640_890_6e-6,
    -1.625_784_148_621_699e-7,
    1.395_350_589_260_855_4e-8,
    -8.272_432_761_946_586e-10,
];

/// As [`FAR_SINGLE`], for `0.925 <= t <= 5.95`; relative error below 2^-55.8.
const FAR_DOUBLE: [f64; 24] = [
    9.332_829_861_169_712e-9,
    -1.128_379_291_717_72,
    -0.636_618_984_804_650_7,
    -0.102_775_736_242_918_73,
    0.019_137_247_523_185_28,
    0.000_190_637_871_840_856_98,
    -0.001_665_738_176_277_952_2,
    0.000_550_274_374_301_979_4,
    1.620_451_038_230_514_7e-5,
    -0.000_100_567_483_082_492_1,
    5.474_100_556_946_635e-5,
    -1.719_519_616_996_862e-5,
    2.909_899_330_549_835_5e-6,
    2.156_689_422_128_607_3e-7,
    -3.422_848_499_509_848e-7,
    1.349_697_300_170_716e-7,
    -3.504_677_603_249_264e-8,
    6.754_078_999_933_962e-9,
    -9.933_078_103_297_056e-10,
    1.109_665_585_221_785_5e-10,
    -9.162_820_645_847_048e-12,
    5.288_356_346_354_831e-13,
    -1.907_723_746_087_680_4e-14,
    3.240_350_717_290_251_7e-16,
];

/// The two pieces meet here.
const MIDDLE: f64 = 0.925;

/// `erf` is ±1 from here on, to the lane's precision.
const FLAT_SINGLE: f64 = 3.95;
const FLAT_DOUBLE: f64 = 5.95;

/// The coefficients of `erf(x)/x - 1` near 0.
pub(super) fn near_terms(lane: Lane) -> &'static [f64] {
    if lane == Lane::F32 { &NEAR_SINGLE } else { &NEAR_DOUBLE }
}

impl Body {
    /// Error function `2/√π ∫₀ˣ e^(-t²) dt`.
    ///
    /// `x + x p(x²)` near 0, else `±(1 - e^(p(|x|)))`.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). `erf(-0) = -0`; exactly ±1 far from 0.
    /// # Source
    /// The two pieces are those of N. Juffa's `erff`, fitted anew.
    pub fn erf(&mut self, x: Value) -> Value {
        let format = self.format(x);
        let (far, flat): (&[f64], _) = match self.lane(x) {
            Lane::F32 => (&FAR_SINGLE, FLAT_SINGLE),
            _ => (&FAR_DOUBLE, FLAT_DOUBLE),
        };
        let square = self.mul(x, x);
        let p = self.polynomial(square, near_terms(self.lane(x)));
        let inner = self.fma(p, x, x);

        let size = self.abs(x);
        let flat = self.like(x, flat);
        let t = self.min(flat, size);
        let p = self.polynomial(t, far);
        let split = self.split_exp(p, format.bias);
        let scale = self.scale(&split, format);
        let one = self.like(x, 1.0);
        let rest = self.sub(one, scale);
        let minus_q = self.neg(split.q);
        let outer = self.fma(minus_q, scale, rest);
        let outer = self.with_sign(outer, x);

        let middle = self.like(x, MIDDLE);
        let is_far = self.gt(size, middle);
        self.select(is_far, outer, inner)
    }
}
