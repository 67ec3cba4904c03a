//! How two values are combined, as a body, so that subnormals and NaN are treated as everywhere.

use crate::plan::FoldOp;
use eggrad_body::{Body, Env, Inst, Lane, Value, eval};

/// A fold of two operands.
pub(super) struct Combine {
    body: Body,
    value: Value,
    /// What an accumulator starts as.
    pub(super) identity: u64,
}

/// What a body of up to three operands sees.
pub(super) struct Pair(pub(super) u64, pub(super) u64, pub(super) u64);

impl Env for Pair {
    fn load(&mut self, access: u16, _: Lane) -> u64 {
        [self.0, self.1, self.2][usize::from(access)]
    }

    fn load_at(&mut self, _: u16, _: Lane, _: i64, _: u32, _: u32) -> u64 {
        panic!("internal error: a fold gathers")
    }

    fn scalar(&mut self, _: u16, _: Lane) -> u64 {
        panic!("internal error: a fold reads a scalar")
    }

    fn index(&mut self, _: u16) -> i64 {
        panic!("internal error: a fold reads its position")
    }
}

impl Combine {
    pub(super) fn new(op: FoldOp, lane: Lane) -> Combine {
        let mut body = Body::new();
        let (acc, x) = (body.load(0, lane), body.load(1, lane));
        let extreme = |body: &mut Body, largest: bool| {
            let wins = if largest { body.gt(acc, x) } else { body.lt(acc, x) };
            if !lane.is_float() {
                return body.select(wins, acc, x);
            }
            let nan = body.is_nan(acc);
            let wins = body.or(wins, nan);
            let y = body.select(wins, acc, x);
            let nan = body.is_nan(x);
            body.select(nan, x, y)
        };
        let (value, start) = match op {
            FoldOp::Sum => (body.add(acc, x), 0.0),
            FoldOp::Prod => (body.mul(acc, x), 1.0),
            FoldOp::Max => (extreme(&mut body, true), f64::NEG_INFINITY),
            FoldOp::Min => (extreme(&mut body, false), f64::INFINITY),
        };
        let start = body.konst(lane, start);
        let identity = match body.insts()[start.index()] {
            Inst::Const { bits, .. } => bits,
            inst => panic!("internal error: {inst:?} is no constant"),
        };
        Combine { body, value, identity }
    }

    pub(super) fn apply(&self, acc: u64, x: u64) -> u64 {
        let mut values = vec![];
        eval(&self.body, &mut Pair(acc, x, 0), &mut values);
        values[self.value.index()]
    }
}
