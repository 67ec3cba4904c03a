//! Recurrent cells over sequences, as loops: the graph does not grow with the number of steps.
//!
//! Sequences are `[rows, steps, features]`, states `[rows, units]` and begin with 0. The gates of a cell lie side by
//! side along the last axis of its weights.

use crate::operands::fit;
use crate::tensor::Tensor;
use eggrad_ir::{At, BinaryOp, DotAxes, Op, UnaryOp};

/// What a recurrent layer makes of sequences.
#[derive(Clone, Copy)]
pub struct Recurrent<'g> {
    /// The state after every step: `[rows, steps, units]`.
    pub states: Tensor<'g>,
    /// The state after the last step: `[rows, units]`.
    pub last: Tensor<'g>,
    /// The memory cell after the last step, of an LSTM: `[rows, units]`.
    pub cell: Option<Tensor<'g>>,
}

/// How to give the operands of a recurrent layer.
const HELP: &str = "sequences are [rows, steps, features], weights [features, gates · units] and [units, gates · units]";

impl<'g> Tensor<'g> {
    /// A simple recurrent layer: `h ← tanh(x·wx + h·wh + b)`.
    ///
    /// # Shapes
    /// `[rows, steps, features]`, `wx: [features, units]`, `wh: [units, units]`, `b: [units]`
    /// # Errors
    /// Recorded in the graph when the shapes are others.
    /// # Source
    /// Elman 1990
    #[track_caller]
    pub fn rnn(self, wx: Tensor<'g>, wh: Tensor<'g>, b: Tensor<'g>) -> Recurrent<'g> {
        let at = At::here();
        let Some(layer) = Layer::new("rnn", 1, self, wx, wh, &[("a bias", b)], at) else {
            return self.no_states(false);
        };
        layer.run(layer.project(self, wx, b), 1, |h, x| {
            let z = layer.add(x, layer.product(h[0], wh));
            vec![z.unary(UnaryOp::Tanh, at)]
        })
    }

    /// Long short-term memory with gates in the order i, f, c, o:
    /// `c ← σ(f)·c + σ(i)·tanh(c')`, `h ← σ(o)·tanh(c)`, where `[i, f, c', o] = x·wx + h·wh + b`.
    ///
    /// # Shapes
    /// `[rows, steps, features]`, `wx: [features, 4·units]`, `wh: [units, 4·units]`, `b: [4·units]`
    /// # Errors
    /// Recorded in the graph when the shapes are others.
    /// # Source
    /// Hochreiter, Schmidhuber 1997; Gers, Schmidhuber, Cummins 2000
    #[track_caller]
    pub fn lstm(self, wx: Tensor<'g>, wh: Tensor<'g>, b: Tensor<'g>) -> Recurrent<'g> {
        let at = At::here();
        let Some(layer) = Layer::new("lstm", 4, self, wx, wh, &[("a bias", b)], at) else {
            return self.no_states(true);
        };
        layer.run(layer.project(self, wx, b), 2, |h, x| {
            let z = layer.add(x, layer.product(h[0], wh));
            let gate = |i: usize| layer.gate(z, i).unary(UnaryOp::Sigmoid, at);
            let new = layer.gate(z, 2).unary(UnaryOp::Tanh, at);
            let c = layer.add(layer.mul(gate(1), h[1]), layer.mul(gate(0), new));
            vec![layer.mul(gate(3), c.unary(UnaryOp::Tanh, at)), c]
        })
    }

    /// Gated recurrent units with gates in the order z, r, h, and the reset after the product:
    /// `h ← z·h + (1-z)·tanh(x·wx + bx + r·(h·wh + bh))`, where `z` and `r` are sigmoids of their parts of
    /// `x·wx + bx + h·wh + bh`.
    ///
    /// # Shapes
    /// `[rows, steps, features]`, `wx: [features, 3·units]`, `wh: [units, 3·units]`, `bx: [3·units]`, `bh: [3·units]`
    /// # Errors
    /// Recorded in the graph when the shapes are others.
    /// # Source
    /// Cho et al. 2014, in the form of cuDNN
    #[track_caller]
    pub fn gru(
        self,
        wx: Tensor<'g>,
        wh: Tensor<'g>,
        bx: Tensor<'g>,
        bh: Tensor<'g>,
    ) -> Recurrent<'g> {
        let at = At::here();
        let biases = [("an input bias", bx), ("a recurrent bias", bh)];
        let Some(layer) = Layer::new("gru", 3, self, wx, wh, &biases, at) else {
            return self.no_states(false);
        };
        layer.run(layer.project(self, wx, bx), 1, |h, x| {
            let own = layer.add(layer.product(h[0], wh), bh);
            let both = |i: usize| layer.add(layer.gate(x, i), layer.gate(own, i));
            let (z, r) = (both(0).unary(UnaryOp::Sigmoid, at), both(1).unary(UnaryOp::Sigmoid, at));
            let new = layer.add(layer.gate(x, 2), layer.mul(r, layer.gate(own, 2)));
            let new = new.unary(UnaryOp::Tanh, at);
            // z·h + (1-z)·new, with one product.
            let step = layer.mul(z, layer.pair(BinaryOp::Sub, h[0], new));
            vec![layer.add(new, step)]
        })
    }

    /// What a layer gives whose operands do not fit.
    fn no_states(self, cell: bool) -> Recurrent<'g> {
        let nothing = self.graph.poison();
        Recurrent { states: nothing, last: nothing, cell: cell.then_some(nothing) }
    }
}

/// A recurrent layer whose operands fit. Ops inside of loops are written at the line of the layer.
#[derive(Clone, Copy)]
struct Layer {
    rows: usize,
    units: usize,
    gates: usize,
    at: At,
}

impl Layer {
    /// The layer called `op`, or a recorded error.
    fn new<'g>(
        op: &str,
        gates: usize,
        x: Tensor<'g>,
        wx: Tensor<'g>,
        wh: Tensor<'g>,
        biases: &[(&str, Tensor<'g>)],
        at: At,
    ) -> Option<Layer> {
        let ids = [x, wx, wh].map(|t| x.graph.own(op, t, at));
        let [Some(x_id), Some(_), Some(wh_id)] = ids else { return None };
        let (ty, own) = (x.expect_ty(), wh.expect_ty());
        let &[rows, _, features] = ty.shape.dims() else {
            let message = format!("takes sequences with three axes, not {}", ty.shape);
            x.fail(op, &[x_id], message, HELP.into(), at);
            return None;
        };
        let Some(&units) = own.shape.dims().first() else {
            x.fail(op, &[wh_id], "takes matrices as weights".into(), HELP.into(), at);
            return None;
        };
        let wide = gates.saturating_mul(units);
        let mut operands = vec![
            ("an input weight", wx, vec![features, wide]),
            ("a recurrent weight", wh, vec![units, wide]),
        ];
        operands.extend(biases.iter().map(|&(name, b)| (name, b, vec![wide])));
        fit(x.graph, op, &operands, HELP, at).then_some(Layer { rows, units, gates, at })
    }

    /// `x·wx + b` for all steps at once, with the steps first.
    fn project<'g>(&self, x: Tensor<'g>, wx: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
        let z = self.add(self.product(x, wx), b);
        z.apply(Op::Move(eggrad_ir::MoveOp::Transpose(vec![1, 0, 2])), self.at)
    }

    /// Runs `step` along the first axis of `x`, from states of 0, of which it returns as many; the first is stacked.
    fn run<'g>(
        &self,
        x: Tensor<'g>,
        states: usize,
        step: impl FnOnce(&[Tensor<'g>], Tensor<'g>) -> Vec<Tensor<'g>>,
    ) -> Recurrent<'g> {
        let graph = x.graph;
        let Some(ty) = x.ty() else { return x.no_states(states > 1) };
        let zero = graph.literal(ty.dtype, 0.0, self.at);
        let zero = zero.spread_to("scan", &[self.rows, self.units].into(), self.at);
        let scanned = graph.scan_at(
            &vec![zero; states],
            &[x],
            false,
            |h, x| {
                let next = step(h, x[0]);
                let first = next[0];
                (next, vec![first])
            },
            self.at,
        );
        let (carries, stacked) = (scanned.carries, scanned.stacked[0]);
        let swap = Op::Move(eggrad_ir::MoveOp::Transpose(vec![1, 0, 2]));
        let states = stacked.apply(swap, self.at);
        Recurrent { states, last: carries[0], cell: carries.get(1).copied() }
    }

    /// Part number `i` along the last axis.
    fn gate<'g>(&self, z: Tensor<'g>, i: usize) -> Tensor<'g> {
        match self.gates {
            1 => z,
            _ => z.slice_at(-1, i * self.units..(i + 1) * self.units, 1, self.at),
        }
    }

    /// The last axis of `x` times the matrix `w`.
    fn product<'g>(&self, x: Tensor<'g>, w: Tensor<'g>) -> Tensor<'g> {
        let rank = x.ty().map_or(1, |ty| ty.rank());
        match (x.id, w.id) {
            (Some(a), Some(b)) => {
                x.graph.push(Op::Dot(DotAxes::contract(rank - 1, 0)), &[a, b], self.at)
            }
            _ => x.graph.poison(),
        }
    }

    fn add<'g>(&self, a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
        self.pair(BinaryOp::Add, a, b)
    }

    fn mul<'g>(&self, a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
        self.pair(BinaryOp::Mul, a, b)
    }

    fn pair<'g>(&self, op: BinaryOp, a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
        a.pair(Op::Binary(op), b, self.at)
    }
}
