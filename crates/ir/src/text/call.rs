//! Calls: what each name makes of its operands.

use super::calls::{self, Attributes, FORMULAS, built_in};
use super::elaborate::{Elaborator, Found, Scope, elaborate, nearest};
use super::lex::{Parsed, Tokens, error};
use super::syntax::{Call, Tree};
use crate::error::TypeError;
use crate::graph::NodeId;
use crate::op::{BinaryOp, CompareOp, MoveOp, Op, ReduceOp, Scan, UnaryOp};
use crate::types::{At, DType, Literal, Shape};

impl<'a> Elaborator<'_, 'a> {
    /// The node that `call` makes of `nodes`; `None` when a function of it failed.
    pub(super) fn call(
        &mut self,
        call: &Call<'a>,
        nodes: &[NodeId],
        at: At,
    ) -> Parsed<Option<NodeId>> {
        let name = call.name;
        let mut attributes = Attributes::new(name, at, &call.attributes)?;
        let arity = |wanted: usize| {
            if nodes.len() == wanted {
                return Ok(());
            }
            let plural = if wanted == 1 { "" } else { "s" };
            error(
                at,
                format!("`{name}` takes {wanted} operand{plural}, not {}", nodes.len()),
                "give as many operands as the op takes",
            )
        };
        if let Some(op) = UnaryOp::from_name(name) {
            arity(1)?;
            attributes.expect_none()?;
            return self.one(Op::Unary(op), nodes, at);
        }
        let pair = BinaryOp::from_name(name).map(Op::Binary);
        let pair = pair.or_else(|| CompareOp::from_name(name).map(Op::Compare));
        if let Some(op) = pair {
            arity(2)?;
            attributes.expect_none()?;
            return self.elementwise(op, nodes, at).map(Some);
        }
        if let Some(op) = ReduceOp::from_name(name) {
            arity(1)?;
            return self.reduction(&mut attributes, nodes[0], at, |this, axes, all| {
                // Of a single number there is nothing to reduce unless the text insists.
                if all && axes.is_empty() && op != ReduceOp::LogSumExp {
                    return Ok(nodes[0]);
                }
                this.builder.push(Op::Reduce(op, axes), nodes, at)
            });
        }
        if let Some((_, parameters, text)) = FORMULAS.iter().find(|f| f.0 == name) {
            arity(parameters.len())?;
            attributes.expect_none()?;
            return self.formula(text, parameters, nodes, at);
        }
        match name {
            "select" | "where" => {
                arity(3)?;
                attributes.expect_none()?;
                self.elementwise(Op::Select, nodes, at).map(Some)
            }
            "mean" => {
                arity(1)?;
                self.reduction(&mut attributes, nodes[0], at, |this, axes, all| {
                    if all && axes.is_empty() {
                        Ok(nodes[0])
                    } else {
                        this.mean(nodes[0], axes, at)
                    }
                })
            }
            "var" => {
                arity(1)?;
                self.reduction(&mut attributes, nodes[0], at, |this, axes, _| {
                    let mean = this.mean(nodes[0], axes.clone(), at)?;
                    let mean = this.with_ones(mean, nodes[0], &axes, at)?;
                    let sub = Op::Binary(BinaryOp::Sub);
                    let difference = this.elementwise(sub, &[nodes[0], mean], at)?;
                    let square =
                        this.builder.push(Op::Unary(UnaryOp::Square), &[difference], at)?;
                    this.mean(square, axes, at)
                })
            }
            "matmul" => {
                arity(2)?;
                attributes.expect_none()?;
                self.product(nodes, at).map(Some)
            }
            "trace" => {
                arity(1)?;
                attributes.expect_none()?;
                self.trace(nodes[0], at).map(Some)
            }
            "transpose"
                if nodes.len() == 1
                    && self.builder.ty(nodes[0]).rank() < 2
                    && call.attributes.is_empty() =>
            {
                let message = format!("needs two axes to swap, not {}", self.shape(nodes[0]));
                Err(self.wrong("transpose", nodes, message, "reshape it to a matrix", at))
            }
            "broadcast" => {
                arity(1)?;
                let (shape, axes) = attributes.broadcast(self.builder.ty(nodes[0]).rank())?;
                attributes.expect_none()?;
                match axes {
                    Some(axes) => self.one(Op::Move(MoveOp::Broadcast { shape, axes }), nodes, at),
                    None => self.spread(nodes[0], &shape, at).map(Some),
                }
            }
            "grad" => {
                arity(2)?;
                attributes.expect_none()?;
                let axes: Vec<usize> = (0..self.builder.ty(nodes[0]).rank()).collect();
                let value = match axes.is_empty() {
                    true => nodes[0],
                    false => self.builder.push(Op::Reduce(ReduceOp::Sum, axes), &nodes[..1], at)?,
                };
                self.one(Op::Grad, &[value, nodes[1]], at)
            }
            "call" | "scan" | "cond" => {
                let Some(op) = self.application(call, &mut attributes, at)? else {
                    return Ok(None);
                };
                attributes.expect_none()?;
                self.one(op, nodes, at)
            }
            _ => {
                let types: Vec<_> = nodes.iter().map(|&id| self.builder.ty(id)).collect();
                match calls::op(name, &types, &mut attributes, self.scope.float)? {
                    Some(op) => {
                        attributes.expect_none()?;
                        arity(op.arity())?;
                        if matches!(op, Op::CrossEntropy(..)) {
                            return self.elementwise(op, nodes, at).map(Some);
                        }
                        self.one(op, nodes, at)
                    }
                    None => self.named(name, &mut attributes, nodes, at),
                }
            }
        }
    }

    /// A call of a function of the text.
    fn named(
        &mut self,
        name: &str,
        attributes: &mut Attributes<'_, 'a>,
        nodes: &[NodeId],
        at: At,
    ) -> Parsed<Option<NodeId>> {
        match (self.scope.function)(name) {
            Found::Known(function) => {
                let result = attributes.count("result")?.unwrap_or(0);
                attributes.expect_none()?;
                self.one(Op::Call { function, result }, nodes, at)
            }
            Found::Failed => Ok(None),
            Found::Unknown => error(
                at,
                format!("knows no op or function called `{name}`"),
                match nearest(name, built_in()) {
                    Some(near) => format!("is `{near}` meant?"),
                    None => "functions are defined above the line that uses them".to_string(),
                },
            ),
        }
    }

    /// The op of `call`, `scan` or `cond`; `None` when a function of it failed.
    fn application(
        &mut self,
        call: &Call<'a>,
        attributes: &mut Attributes<'_, 'a>,
        at: At,
    ) -> Parsed<Option<Op>> {
        let mut functions = vec![];
        for &(name, at) in &call.functions {
            match (self.scope.function)(name) {
                Found::Known(function) => functions.push(function),
                Found::Failed => return Ok(None),
                Found::Unknown => {
                    return error(
                        at,
                        format!("knows no function called `{name}`"),
                        "functions are defined above the line that uses them",
                    );
                }
            }
        }
        let result = attributes.count("result")?.unwrap_or(0);
        let mut functions = functions.into_iter();
        match (call.name, functions.next(), functions.next()) {
            ("call", Some(function), None) => Ok(Some(Op::Call { function, result })),
            ("scan", Some(body), None) => {
                let scan = Scan {
                    body,
                    carries: attributes.needed_count("carries")?,
                    xs: attributes.needed_count("xs")?,
                    length: attributes.needed_count("length")?,
                    reverse: attributes.truth("reverse")?,
                };
                Ok(Some(Op::Scan { scan, result }))
            }
            ("cond", Some(then), Some(otherwise)) => Ok(Some(Op::Cond { then, otherwise, result })),
            (name, ..) => error(
                at,
                format!("names too few functions for `{name}`"),
                "write `call(f, ..)`, `scan(f, ..)` or `cond(choice, f, g, ..)`",
            ),
        }
    }

    /// A reduction over axes, or all of them, that keeps them as axes of size 1 if asked to.
    fn reduction(
        &mut self,
        attributes: &mut Attributes<'_, 'a>,
        x: NodeId,
        at: At,
        reduce: impl FnOnce(&mut Self, Vec<usize>, bool) -> Parsed<NodeId>,
    ) -> Parsed<Option<NodeId>> {
        let rank = self.builder.ty(x).rank();
        let given = attributes.axes(rank)?;
        let keep = attributes.truth("keepdims")?;
        attributes.expect_none()?;
        let all = given.is_none();
        let axes = given.unwrap_or_else(|| (0..rank).collect());
        let reduced = reduce(self, axes.clone(), all)?;
        if keep { self.with_ones(reduced, x, &axes, at).map(Some) } else { Ok(Some(reduced)) }
    }

    /// `reduced` with axes of size 1 where `x` had those it was reduced over.
    fn with_ones(&mut self, reduced: NodeId, x: NodeId, axes: &[usize], at: At) -> Parsed<NodeId> {
        let size = |(i, &d): (usize, &usize)| if axes.contains(&i) { 1 } else { d };
        let shape: Shape = self.builder.ty(x).shape.dims().iter().enumerate().map(size).collect();
        if shape == self.builder.ty(reduced).shape {
            return Ok(reduced);
        }
        self.builder.push(Op::Move(MoveOp::Reshape(shape)), &[reduced], at)
    }

    /// The sum divided by the number of elements.
    fn mean(&mut self, x: NodeId, axes: Vec<usize>, at: At) -> Parsed<NodeId> {
        let dtype = self.builder.ty(x).dtype;
        if !dtype.is_float() {
            let message = format!("takes floats, not {}", dtype.name());
            return Err(self.wrong("mean", &[x], message, "cast the operand to `f32` first", at));
        }
        let total = self.builder.push(Op::Reduce(ReduceOp::Sum, axes.clone()), &[x], at)?;
        let size = self.builder.push(Op::Size { dtype, axes }, &[x], at)?;
        self.elementwise(Op::Binary(BinaryOp::Div), &[total, size], at)
    }

    /// Sum of the diagonal.
    fn trace(&mut self, x: NodeId, at: At) -> Parsed<NodeId> {
        let ty = self.builder.ty(x).clone();
        let [rows, columns] = ty.shape.dims() else {
            return Err(self.not_square(x, at));
        };
        let zero = Literal::of(ty.dtype, 0.0);
        let (true, Some(zero)) = (rows == columns, zero) else {
            return Err(self.not_square(x, at));
        };
        let iota = |axis| Op::Iota { dtype: DType::I32, shape: ty.shape.clone(), axis };
        let row = self.builder.push(iota(0), &[], at)?;
        let column = self.builder.push(iota(1), &[], at)?;
        let diagonal = self.builder.push(Op::Compare(CompareOp::Eq), &[row, column], at)?;
        let zero = self.builder.push(Op::Const(ty.dtype, zero), &[], at)?;
        let picked = self.elementwise(Op::Select, &[diagonal, x, zero], at)?;
        self.builder.push(Op::Reduce(ReduceOp::Sum, vec![0, 1]), &[picked], at)
    }

    fn not_square(&self, x: NodeId, at: At) -> TypeError {
        let message = format!("needs a square matrix, not {}", self.builder.ty(x).shape);
        let help = "take the trace of a matrix with as many rows as columns";
        self.wrong("trace", &[x], message, help, at)
    }

    /// A formula that is written out.
    fn formula(
        &mut self,
        text: &str,
        parameters: &[&str],
        nodes: &[NodeId],
        at: At,
    ) -> Parsed<Option<NodeId>> {
        let value = |name: &str| match parameters.iter().position(|p| *p == name) {
            Some(i) => Found::Known(nodes[i]),
            None => Found::Unknown,
        };
        let scope = Scope { value: &value, ..*self.scope };
        let tree = Tree::parse(&mut Tokens::new(text, 1)?)?;
        let mut errors = vec![];
        let made = elaborate(&tree, self.builder, &scope, &mut errors);
        match errors.into_iter().next() {
            Some(error) => Err(TypeError { at, ..error }),
            None => Ok(made),
        }
    }
}
