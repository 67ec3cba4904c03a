//! One expression at many points, for measuring error bounds.

use crate::eval::{Env, step};
use crate::inst::{Body, Lane, Value};

/// An expression in one operand, built once and evaluated at many points.
///
/// ```
/// use eggrad_body::{Lane, Pointwise};
/// let mut exp = Pointwise::new(Lane::F32, |body, x| body.exp(x));
/// assert_eq!(exp.f32(&[0.0, 1.0]), [1.0, std::f32::consts::E]);
/// ```
pub struct Pointwise {
    body: Body,
    result: Value,
    columns: Vec<[u64; BLOCK]>,
}

/// Points taken through the body together, so that choosing the instruction costs little.
const BLOCK: usize = 128;

impl Pointwise {
    /// The expression `build` makes of an operand of lane type `lane`.
    pub fn new(lane: Lane, build: impl FnOnce(&mut Body, Value) -> Value) -> Pointwise {
        let mut body = Body::new();
        let x = body.load(0, lane);
        let result = build(&mut body, x);
        let columns = vec![[0; BLOCK]; body.insts().len()];
        Pointwise { body, result, columns }
    }

    /// The body, whose access 0 is the operand, and the value that is the result.
    pub fn body(&self) -> (&Body, Value) {
        (&self.body, self.result)
    }

    /// Bit patterns of the results at the operands of bit patterns `x`.
    pub fn bits(&mut self, x: &[u64]) -> Vec<u64> {
        let mut out = Vec::with_capacity(x.len());
        for block in x.chunks(BLOCK) {
            for (at, &inst) in self.body.insts().iter().enumerate() {
                let (before, here) = self.columns.split_at_mut(at);
                for (lane, &point) in block.iter().enumerate() {
                    here[0][lane] =
                        step(&self.body, inst, &mut Point(point), |v| before[v.index()][lane]);
                }
            }
            out.extend_from_slice(&self.columns[self.result.index()][..block.len()]);
        }
        out
    }

    /// Results at `x` of an expression from `F32` to `F32`.
    pub fn f32(&mut self, x: &[f32]) -> Vec<f32> {
        let x: Vec<u64> = x.iter().map(|x| x.to_bits().into()).collect();
        self.bits(&x).into_iter().map(|bits| f32::from_bits(bits as u32)).collect()
    }

    /// Results at `x` of an expression from `F64` to `F64`.
    pub fn f64(&mut self, x: &[f64]) -> Vec<f64> {
        let x: Vec<u64> = x.iter().map(|x| x.to_bits()).collect();
        self.bits(&x).into_iter().map(f64::from_bits).collect()
    }
}

struct Point(u64);

impl Env for Point {
    fn load(&mut self, _: u16, _: Lane) -> u64 {
        self.0
    }

    fn load_at(&mut self, _: u16, _: Lane, _: i64, _: u32, _: u32) -> u64 {
        panic!("internal error: an expression in one operand gathers")
    }

    fn scalar(&mut self, _: u16, _: Lane) -> u64 {
        panic!("internal error: an expression in one operand reads an earlier phase")
    }

    fn index(&mut self, _: u16) -> i64 {
        panic!("internal error: an expression in one operand reads its position")
    }
}
