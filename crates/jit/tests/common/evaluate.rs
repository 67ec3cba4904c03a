//! What a kernel computes, as the plan's documentation says it, one instruction and one element after the other.

use super::{Arg, get, lane_of, set};
use eggrad_body::{BinaryInst, Body, CompareInst, Env, Inst, Lane, Value, eval};
use eggrad_schedule::*;

struct Here<'a> {
    accesses: &'a [Access],
    args: &'a [Arg],
    position: &'a [usize],
    scalars: &'a [u64],
}

fn element(access: &Access, position: &[usize]) -> usize {
    access.offset + access.strides.iter().zip(position).map(|(s, p)| s * p).sum::<usize>()
}

impl Env for Here<'_> {
    fn load(&mut self, access: u16, lane: Lane) -> u64 {
        self.load_at(access, lane, 0, 1, 0)
    }

    fn load_at(&mut self, access: u16, lane: Lane, index: i64, _: u32, stride: u32) -> u64 {
        let access = &self.accesses[usize::from(access)];
        assert_eq!(lane_of(access.dtype), lane);
        let at = element(access, self.position) + index as usize * stride as usize;
        get(&self.args[access.arg].array, at)
    }

    fn scalar(&mut self, index: u16, _: Lane) -> u64 {
        self.scalars[usize::from(index)]
    }

    fn index(&mut self, dim: u16) -> i64 {
        self.position[usize::from(dim)] as i64
    }
}

/// Two or three numbers as the loads of a body.
struct Operands<'a>(&'a [u64]);

impl Env for Operands<'_> {
    fn load(&mut self, access: u16, _: Lane) -> u64 {
        self.0[usize::from(access)]
    }

    fn load_at(&mut self, _: u16, _: Lane, _: i64, _: u32, _: u32) -> u64 {
        unreachable!("no gathers")
    }

    fn scalar(&mut self, _: u16, _: Lane) -> u64 {
        unreachable!("no scalars")
    }

    fn index(&mut self, _: u16) -> i64 {
        unreachable!("no positions")
    }
}

/// What `build` makes of numbers.
fn apply(lane: Lane, operands: &[u64], build: impl FnOnce(&mut Body, &[Value]) -> Value) -> u64 {
    let mut body = Body::new();
    let loads: Vec<Value> = (0..operands.len()).map(|i| body.load(i as u16, lane)).collect();
    let result = build(&mut body, &loads);
    let mut values = vec![];
    eval(&body, &mut Operands(operands), &mut values);
    values[result.index()]
}

fn combine(op: FoldOp, lane: Lane, acc: u64, x: u64) -> u64 {
    let extreme = |b: &mut Body, acc: Value, x: Value, op: CompareInst| {
        let wins = b.push(Inst::Compare(op, acc, x));
        if !lane.is_float() {
            return b.select(wins, acc, x);
        }
        let acc_nan = b.push(Inst::Compare(CompareInst::Ne, acc, acc));
        let x_nan = b.push(Inst::Compare(CompareInst::Ne, x, x));
        let keep = b.binary(BinaryInst::Or, wins, acc_nan);
        let best = b.select(keep, acc, x);
        b.select(x_nan, x, best)
    };
    apply(lane, &[acc, x], |b, v| match op {
        FoldOp::Sum => b.add(v[0], v[1]),
        FoldOp::Prod => b.mul(v[0], v[1]),
        FoldOp::Max => extreme(b, v[0], v[1], CompareInst::Gt),
        FoldOp::Min => extreme(b, v[0], v[1], CompareInst::Lt),
    })
}

fn identity(op: FoldOp, lane: Lane) -> u64 {
    let mut body = Body::new();
    let value = match (op, lane) {
        (FoldOp::Sum, _) => body.konst(lane, 0.0),
        (FoldOp::Prod, _) => body.konst(lane, 1.0),
        (FoldOp::Max, Lane::I64) => body.int(lane, i64::MIN),
        (FoldOp::Min, Lane::I64) => body.int(lane, i64::MAX),
        (FoldOp::Max, _) => body.konst(lane, f64::NEG_INFINITY),
        (FoldOp::Min, _) => body.konst(lane, f64::INFINITY),
    };
    let mut values = vec![];
    eval(&body, &mut Operands(&[]), &mut values);
    values[value.index()]
}

/// All positions of loops, in row-major order.
fn positions(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &size in sizes {
        let extend =
            |p: &Vec<usize>| (0..size).map(|i| [p.as_slice(), &[i]].concat()).collect::<Vec<_>>();
        all = all.iter().flat_map(extend).collect();
    }
    all
}

struct At<'a> {
    body: &'a Body,
    stores: &'a [Store],
    accesses: &'a [Access],
}

impl At<'_> {
    fn run(&self, args: &mut [Arg], position: &[usize], scalars: &[u64]) -> Vec<u64> {
        let mut values = vec![];
        let accesses = self.accesses;
        eval(self.body, &mut Here { accesses, args, position, scalars }, &mut values);
        for store in self.stores {
            let access = &accesses[store.access];
            let mut at = element(access, position);
            let mut bits = values[store.value.index()];
            let array = &mut args[access.arg].array;
            if let Some(add) = store.add_at {
                let index = match self.body.lane(add.index) {
                    Lane::I32 => i64::from(values[add.index.index()] as i32),
                    _ => values[add.index.index()] as i64,
                };
                if !(0..i64::from(add.size)).contains(&index) {
                    continue;
                }
                at += index as usize * add.stride as usize;
                let lane = self.body.lane(store.value);
                bits = apply(lane, &[get(array, at), bits], |b, v| b.add(v[0], v[1]));
            }
            set(array, at, bits);
        }
        values
    }
}

/// What the plan's documentation says a kernel computes.
pub(crate) fn evaluate(kind: &KernelKind, args: &mut [Arg]) {
    match kind {
        KernelKind::Row(k) => {
            for outer in positions(&k.outer) {
                let mut scalars = vec![];
                for phase in &k.phases {
                    match phase {
                        Phase::Pass { body, folds, stores } => {
                            let mut lanes: Vec<Vec<u64>> = folds
                                .iter()
                                .map(|f| vec![identity(f.op, body.lane(f.value)); FOLD_LANES])
                                .collect();
                            for i in 0..k.row {
                                let at = At { body, stores, accesses: &k.accesses };
                                let position = [outer.as_slice(), &[i]].concat();
                                let values = at.run(args, &position, &scalars);
                                for (fold, lanes) in folds.iter().zip(&mut lanes) {
                                    let (x, lane) =
                                        (values[fold.value.index()], body.lane(fold.value));
                                    let acc = &mut lanes[i % FOLD_LANES];
                                    *acc = combine(fold.op, lane, *acc, x);
                                }
                            }
                            for (fold, lanes) in folds.iter().zip(&mut lanes) {
                                let mut half = FOLD_LANES / 2;
                                while half > 0 {
                                    for j in 0..half {
                                        let lane = body.lane(fold.value);
                                        lanes[j] =
                                            combine(fold.op, lane, lanes[j], lanes[j + half]);
                                    }
                                    half /= 2;
                                }
                                scalars.push(lanes[0]);
                            }
                        }
                        Phase::Scalar { body, results, stores } => {
                            let at = At { body, stores, accesses: &k.accesses };
                            let position = [outer.as_slice(), &[0]].concat();
                            let values = at.run(args, &position, &scalars);
                            scalars.extend(results.iter().map(|r| values[r.index()]));
                        }
                    }
                }
            }
        }
        KernelKind::Column(k) => {
            for outer in positions(&k.outer) {
                for row in 0..k.row {
                    let mut totals = vec![];
                    for fold in &k.folds {
                        let lane = k.body.lane(fold.value);
                        let mut total = identity(fold.op, lane);
                        for block in positions(&k.reduced).chunks(COLUMN_BLOCK) {
                            let mut acc = identity(fold.op, lane);
                            for reduced in block {
                                let at = At { body: &k.body, stores: &[], accesses: &k.accesses };
                                let position = [outer.as_slice(), reduced, &[row]].concat();
                                let values = at.run(args, &position, &[]);
                                acc = combine(fold.op, lane, acc, values[fold.value.index()]);
                            }
                            total = combine(fold.op, lane, total, acc);
                        }
                        totals.push(total);
                    }
                    let zeros = vec![0; k.reduced.len()];
                    let position = [outer.as_slice(), &zeros, &[row]].concat();
                    At { body: &k.epilogue, stores: &k.stores, accesses: &k.accesses }
                        .run(args, &position, &totals);
                }
            }
        }
        KernelKind::Product(k) => {
            let lane = lane_of(k.a.dtype);
            for batch in positions(&k.batch) {
                for mn in positions(&[k.m, k.n]) {
                    let mut acc = 0;
                    for terms in positions(&k.k) {
                        let position = [batch.as_slice(), &mn, &terms].concat();
                        let a = get(&args[k.a.arg].array, element(&k.a, &position));
                        let b = get(&args[k.b.arg].array, element(&k.b, &position));
                        acc = apply(lane, &[a, b, acc], |body, v| {
                            if lane.is_float() {
                                return body.fma(v[0], v[1], v[2]);
                            }
                            let product = body.mul(v[0], v[1]);
                            body.add(product, v[2])
                        });
                    }
                    let position = [batch.as_slice(), &mn, &vec![0; k.k.len()]].concat();
                    At { body: &k.epilogue, stores: &k.stores, accesses: &k.accesses }.run(
                        args,
                        &position,
                        &[acc],
                    );
                }
            }
        }
        KernelKind::Loop(_) | KernelKind::Branch(_) => {
            panic!("kernels of nested plans are tested as graphs")
        }
    }
}
