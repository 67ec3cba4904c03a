//! Arithmetic on constants that are the same everywhere: it would cost a kernel, or a place in one.

use crate::lower::ops;
use eggrad_body::{Body, Env, Lane, Value, eval};
use eggrad_ir::{Builder, DType, Literal, MoveOp, NodeId, Op};

/// The number that `id` is everywhere, if it is a constant.
pub(super) fn uniform(b: &Builder, id: NodeId) -> Option<Literal> {
    let mut node = b.graph().node(id);
    while let Op::Move(
        MoveOp::Reshape(_)
        | MoveOp::Transpose(_)
        | MoveOp::Broadcast { .. }
        | MoveOp::Slice { .. }
        | MoveOp::Window(_),
    ) = node.op
    {
        node = b.graph().node(node.inputs[0]);
    }
    if let Op::Const(_, literal) = node.op { Some(literal) } else { None }
}

/// The constant that elementwise `op` makes of constants, in the bits that a kernel would compute.
pub(super) fn folded(b: &mut Builder, op: &Op, args: &[NodeId]) -> Option<NodeId> {
    let literals: Option<Vec<Literal>> = args.iter().map(|&a| uniform(b, a)).collect();
    let literals = literals?;
    let ty = b.ty(args[0]).clone();
    let mut body = Body::new();
    let values: Vec<Value> =
        literals.iter().map(|&l| ops::constant(&mut body, ty.dtype, l)).collect();
    let value = if let (Op::Unary(op), &[x]) = (op, &values[..]) {
        ops::unary(&mut body, *op, ty.dtype, x)
    } else if let (Op::Binary(op), &[x, y]) = (op, &values[..]) {
        ops::binary(&mut body, *op, ty.dtype, x, y)
    } else {
        return None;
    };
    let mut bits = vec![];
    eval(&body, &mut Nothing, &mut bits);
    let bits = bits[value.index()];
    let literal = match ty.dtype {
        DType::F32 => Literal::Float(f64::from(f32::from_bits(bits as u32)).to_bits()),
        DType::F64 => Literal::Float(bits),
        DType::I32 | DType::U8 => Literal::Int(i64::from(bits as u32 as i32)),
        DType::I64 => Literal::Int(bits as i64),
        DType::Bool => Literal::Bool(bits != 0),
    };
    let scalar = b.node(Op::Const(ty.dtype, literal), &[]);
    Some(b.spread(scalar, ty.shape, vec![]))
}

/// What a body of constants sees.
struct Nothing;

impl Env for Nothing {
    fn load(&mut self, _: u16, _: Lane) -> u64 {
        panic!("internal error: a constant loads")
    }

    fn load_at(&mut self, _: u16, _: Lane, _: i64, _: u32, _: u32) -> u64 {
        panic!("internal error: a constant gathers")
    }

    fn scalar(&mut self, _: u16, _: Lane) -> u64 {
        panic!("internal error: a constant reads a scalar")
    }

    fn index(&mut self, _: u16) -> i64 {
        panic!("internal error: a constant reads its position")
    }
}
