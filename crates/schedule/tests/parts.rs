//! Slices and pads of everything, against the interpreter.

mod common;

use common::check;
use eggrad_interp::Tensor;
use eggrad_ir::{
    At, BinaryOp, Builder, DType, DotAxes, Literal, MoveOp, NodeId, Op, ReduceOp, StateKind,
    TensorType, UnaryOp,
};
use eggrad_schedule::{KernelKind, Plan};
use eggrad_testkit::Rng;

struct Case {
    b: Builder,
    inputs: Vec<Tensor>,
    states: Vec<Tensor>,
    rng: Rng,
}

impl Case {
    fn new() -> Case {
        Case { b: Builder::new(), inputs: vec![], states: vec![], rng: Rng::new(11) }
    }

    fn values(&mut self, ty: &TensorType) -> Tensor {
        let float = ty.dtype.is_float();
        let mut value = || match ty.dtype {
            DType::Bool => f64::from(u8::from(self.rng.uniform(-1.0, 1.0) > 0.0)),
            DType::F32 | DType::F64 => self.rng.uniform(-2.0, 2.0),
            DType::I32 | DType::I64 | DType::U8 => self.rng.uniform(0.0, 200.0).trunc(),
        };
        let values: Vec<f64> = (0..ty.shape.elements()).map(|_| value()).collect();
        assert!(float || values.iter().all(|v| v.fract() == 0.0));
        Tensor::from_values(ty.clone(), &values)
    }

    fn input(&mut self, dtype: DType, shape: &[usize]) -> NodeId {
        let ty = TensorType::new(dtype, shape.to_vec());
        let tensor = self.values(&ty);
        self.inputs.push(tensor);
        self.b.declare_input(&format!("x{}", self.inputs.len()), ty, None, At::Unknown)
    }

    fn state(&mut self, shape: &[usize]) -> NodeId {
        let ty = TensorType::new(DType::F32, shape.to_vec());
        let tensor = self.values(&ty);
        self.states.push(tensor);
        let name = format!("s{}", self.states.len());
        self.b.declare_state(&name, StateKind::Param, ty, At::Unknown)
    }

    /// `(start, step, size)` for each axis.
    fn slice(&mut self, x: NodeId, part: &[(usize, usize, usize)]) -> NodeId {
        let list = |f: fn(&(usize, usize, usize)) -> usize| part.iter().map(f).collect();
        let (start, step, size) = (list(|p| p.0), list(|p| p.1), list(|p| p.2));
        self.b.node(Op::Move(MoveOp::Slice { start, step, size }), &[x])
    }

    fn pad(&mut self, x: NodeId, part: &[(usize, usize, usize)], fill: f64) -> NodeId {
        let list = |f: fn(&(usize, usize, usize)) -> usize| part.iter().map(f).collect();
        let (start, step, size) = (list(|p| p.0), list(|p| p.1), list(|p| p.2));
        let fill = match self.b.ty(x).dtype {
            DType::F32 | DType::F64 => Literal::Float(fill.to_bits()),
            DType::I32 | DType::I64 | DType::U8 => Literal::Int(fill as i64),
            DType::Bool => Literal::Bool(fill != 0.0),
        };
        self.b.node(Op::Move(MoveOp::Pad { start, step, size, fill }), &[x])
    }

    fn check(mut self, results: &[NodeId]) -> Plan {
        for (i, &result) in results.iter().enumerate() {
            self.b.output(&format!("y{i}"), result);
        }
        let graph = self.b.build().expect("the case is well typed");
        check(&graph, &self.inputs, &self.states)
    }
}

#[test]
fn of_every_type() {
    for &dtype in &DType::ALL {
        let mut case = Case::new();
        let x = case.input(dtype, &[3, 5, 7]);
        let inner = case.slice(x, &[(1, 1, 2), (0, 2, 3), (2, 3, 2)]);
        let whole = case.slice(x, &[(0, 1, 3), (0, 1, 5), (0, 1, 7)]);
        let one = case.slice(x, &[(2, 9, 1), (4, usize::MAX, 1), (6, 1, 1)]);
        let none = case.slice(x, &[(0, 1, 3), (0, 1, 0), (0, 1, 7)]);
        let wide = case.pad(x, &[(1, 2, 8), (0, 1, 5), (3, 1, 12)], 1.0);
        let spread = case.pad(inner, &[(0, 3, 4), (1, 1, 6), (1, 2, 5)], 7.0);
        let filled = case.pad(none, &[(0, 1, 3), (2, 1, 4), (0, 1, 7)], 5.0);
        let only = case.pad(one, &[(1, usize::MAX, 3), (0, 1, 1), (2, 5, 4)], 0.0);
        let plan = case.check(&[inner, whole, one, none, wide, spread, filled, only]);
        assert!(!plan.kernels.is_empty());
    }
}

#[test]
fn of_single_numbers() {
    let mut case = Case::new();
    let x = case.input(DType::F32, &[]);
    let s = case.slice(x, &[]);
    let p = case.pad(s, &[], 3.0);
    let y = case.b.unary(UnaryOp::Exp, p);
    let v = case.b.reshape(y, [1].into());
    let long = case.pad(v, &[(2, 1, 5)], -1.0);
    let back = case.slice(long, &[(2, 1, 1)]);
    let back = case.b.unary(UnaryOp::Tanh, back);
    case.check(&[y, long, back]);
}

/// A slice is no kernel of its own: its reader loads what it wants of the operand.
#[test]
fn slices_are_read_in_place() {
    let mut case = Case::new();
    let x = case.input(DType::F32, &[6, 8]);
    let t = case.b.transpose(x, vec![1, 0]);
    let t = case.slice(t, &[(1, 2, 3), (2, 1, 4)]);
    let t = case.slice(t, &[(1, 1, 2), (1, 2, 2)]);
    let a = case.slice(x, &[(1, 2, 2), (3, 2, 2)]);
    let y = case.b.add(t, a);
    let plan = case.check(&[y]);
    assert_eq!(plan.kernels.len(), 1, "{plan}");
}

/// Neighbours along an axis of a value that is computed: one kernel for the value, one for all its readers.
#[test]
fn of_values_that_are_computed() {
    for elementwise in [false, true] {
        let mut case = Case::new();
        let x = case.input(DType::F32, &[4, 9]);
        let e = if elementwise { case.b.unary(UnaryOp::Exp, x) } else { case.b.neg(x) };
        let (left, right) =
            (case.slice(e, &[(0, 1, 4), (0, 1, 8)]), case.slice(e, &[(0, 1, 4), (1, 1, 8)]));
        let step = case.b.sub(right, left);
        let sum = case.b.reduce(ReduceOp::Sum, step, vec![1]);
        let column = case.b.reduce(ReduceOp::Max, left, vec![0]);
        // The value itself is read along the same loops as parts of it.
        let total = case.b.reduce(ReduceOp::Sum, e, vec![1]);
        let first = case.slice(e, &[(0, 1, 4), (0, 1, 1)]);
        let first = case.b.reshape(first, [4].into());
        let first = case.b.mul(first, total);
        case.check(&[step, sum, column, first]);
    }
}

/// Reductions of a value and of parts of it share no rows, though they read the same array at the same steps.
#[test]
fn beside_the_whole() {
    for axis in [0, 1] {
        for first in 0..3 {
            let mut case = Case::new();
            let x = case.input(DType::F32, &[3, 3]);
            let mut parts =
                [x, case.slice(x, &[(0, 1, 2), (1, 1, 2)]), case.slice(x, &[(1, 1, 2), (0, 1, 3)])];
            parts.rotate_left(first);
            let results = parts.map(|p| {
                let sum = case.b.reduce(ReduceOp::Sum, p, vec![axis]);
                let e = case.b.unary(UnaryOp::Exp, p);
                [sum, e, case.b.reduce(ReduceOp::Max, e, vec![1 - axis])]
            });
            case.check(results.as_flattened());
        }
    }
}

#[test]
fn of_moves_constants_and_counts() {
    let mut case = Case::new();
    let x = case.input(DType::I32, &[4, 3]);
    let f = case.b.cast(x, DType::F64);
    let f = case.b.spread(f, [2, 4, 5, 3].into(), vec![1, 3]);
    let f = case.b.transpose(f, vec![3, 0, 2, 1]);
    let a = case.slice(f, &[(0, 2, 2), (1, 1, 1), (0, 2, 3), (1, 1, 3)]);
    let flat = case.b.reshape(f, [6, 20].into());
    let b = case.slice(flat, &[(1, 2, 2), (3, 5, 3)]);
    let iota = Op::Iota { dtype: DType::F64, shape: [6, 20].into(), axis: 1 };
    let count = case.b.node(iota, &[]);
    let count = case.slice(count, &[(1, 2, 2), (3, 5, 3)]);
    let half = case.b.scalar(DType::F64, 0.5);
    let half = case.b.spread(half, [7, 7].into(), vec![]);
    let half = case.slice(half, &[(0, 1, 2), (1, 1, 3)]);
    let sum = case.b.add(b, count);
    let sum = case.b.add(sum, half);
    let same = case.pad(half, &[(0, 1, 4), (0, 1, 4)], 0.5);
    case.check(&[a, sum, same]);
}

#[test]
fn as_operands_of_products() {
    for dtype in [DType::F32, DType::F64, DType::I32] {
        for kind in 0..4 {
            let mut case = Case::new();
            let x = case.input(dtype, &[9, 40]);
            let w = case.input(dtype, &[40, 33]);
            let (a, b) = match kind {
                0 => (
                    case.slice(x, &[(1, 2, 4), (3, 1, 20)]),
                    case.slice(w, &[(20, 1, 20), (7, 1, 9)]),
                ),
                1 => (
                    case.slice(x, &[(0, 1, 9), (1, 3, 13)]),
                    case.slice(w, &[(0, 2, 13), (2, 3, 10)]),
                ),
                2 => {
                    let x = case.b.neg(x);
                    let t = case.b.transpose(w, vec![1, 0]);
                    let t = case.slice(t, &[(1, 1, 17), (2, 2, 17)]);
                    (case.slice(x, &[(8, 1, 1), (0, 1, 17)]), t)
                }
                _ => {
                    let v = case.slice(w, &[(0, 1, 40), (32, 1, 1)]);
                    (x, v)
                }
            };
            let y = case.b.dot(a, b, DotAxes::contract(1, 0));
            let size = case.b.ty(y).shape.dims().to_vec();
            let top = case.slice(y, &[(0, 1, 1), (0, 1, size[1])]);
            let z = case.pad(y, &[(1, 1, size[0] + 1), (0, 2, 2 * size[1])], 3.0);
            let z = case.b.mul(z, z);
            case.check(&[y, top, z]);
        }
    }
}

/// Pieces side by side, as a concatenation is written: pads added up, and what follows.
#[test]
fn pieces_side_by_side() {
    let mut case = Case::new();
    let (x, y) = (case.input(DType::F32, &[5, 3]), case.input(DType::F32, &[5, 4]));
    let y = case.b.unary(UnaryOp::Sigmoid, y);
    let left = case.pad(x, &[(0, 1, 5), (0, 1, 7)], 0.0);
    let right = case.pad(y, &[(0, 1, 5), (3, 1, 7)], 0.0);
    let both = case.b.add(left, right);
    let largest = case.b.binary(BinaryOp::Maximum, both, left);
    let sum = case.b.reduce(ReduceOp::Sum, largest, vec![0]);
    let plan = case.check(&[both, sum]);
    let rows = |k: &&eggrad_schedule::Kernel| matches!(k.kind, KernelKind::Row(_));
    assert!(plan.kernels.iter().filter(rows).count() >= 3, "{plan}");
}

/// Parts of one size along any axis, all of them or some: one kernel that pads nothing and adds nothing.
#[test]
fn equal_parts_side_by_side_are_chosen_from() {
    for dtype in [DType::F32, DType::F64, DType::I32, DType::U8] {
        for (axis, given) in
            [(0, vec![0, 1]), (1, vec![2, 0, 1, 3]), (2, vec![3, 1]), (1, vec![4, 0, 2])]
        {
            let mut case = Case::new();
            let count = 1 + given.iter().max().expect("a part") + usize::from(axis == 2);
            let part = [3, 2, 5];
            let mut whole = part;
            whole[axis] *= count;
            let mut sum = None;
            for &k in &given {
                let x = case.input(dtype, &part);
                let place = |a: usize| if a == axis { k * part[a] } else { 0 };
                let sizes: Vec<_> = (0..3).map(|a| (place(a), 1, whole[a])).collect();
                let x = case.pad(x, &sizes, 0.0);
                sum = Some(sum.map_or(x, |sum| case.b.add(sum, x)));
            }
            let sum = sum.expect("a part");
            let other = case.input(dtype, &whole);
            let more = case.b.mul(sum, other);
            let plan = case.check(&[sum, more]);
            assert_eq!(plan.kernels.len(), 1, "{plan}");
        }
    }
}

/// Parts that overlap, that something else reads padded, or that are around something else than zero.
#[test]
fn other_sums_of_pads_are_sums() {
    for what in 0..4 {
        let mut case = Case::new();
        let (x, y) = (case.input(DType::F32, &[3, 4]), case.input(DType::F32, &[3, 4]));
        let fill = if what == 0 { 2.0 } else { 0.0 };
        let start = if what == 1 { 0 } else { 4 };
        let left = case.pad(x, &[(0, 1, 3), (0, 1, 8)], fill);
        let right = case.pad(y, &[(0, 1, 3), (start, 1, 8)], fill);
        let sum = case.b.add(left, right);
        let seen = case.b.unary(UnaryOp::Sigmoid, left);
        let apart = case.b.add(sum, right);
        case.check(&match what {
            2 => vec![sum, seen],
            3 => vec![apart],
            _ => vec![sum],
        });
    }
}

/// New values that need parts of old ones elsewhere than where they are written.
#[test]
fn states_that_move_along() {
    let mut case = Case::new();
    let s: Vec<NodeId> = (0..4).map(|_| case.state(&[6, 4])).collect();
    let x = case.input(DType::F32, &[1, 4]);
    // A window over the latest rows.
    let later = case.slice(s[0], &[(1, 1, 5), (0, 1, 4)]);
    let later = case.pad(later, &[(0, 1, 6), (0, 1, 4)], 0.0);
    let new = case.pad(x, &[(5, 1, 6), (0, 1, 4)], 0.0);
    let next = case.b.add(later, new);
    case.b.write(s[0], next);
    // A pad written straight to the state it reads.
    let part = case.slice(s[1], &[(0, 2, 3), (1, 1, 3)]);
    let part = case.pad(part, &[(1, 2, 6), (0, 1, 4)], 9.0);
    case.b.write(s[1], part);
    // One row goes to all.
    let row = case.slice(s[2], &[(3, 1, 1), (0, 1, 4)]);
    let row = case.b.reshape(row, [4].into());
    let row = case.b.spread(row, [6, 4].into(), vec![1]);
    let sum = case.b.add(row, s[2]);
    case.b.write(s[2], sum);
    // A pad that two arrays take.
    case.b.write(s[3], part);
    case.check(&[part, next]);
}
