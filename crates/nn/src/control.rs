//! Sub-graphs: loops over sequences, branches, and functions with a derivative of their own.
//!
//! Bodies are closures over the tensors around them. What a body computes from its own variables becomes the
//! sub-graph; what it reads besides is passed in, computed once.

use crate::graph::Graph;
use crate::tensor::Tensor;
use eggrad_ir::{At, DType, NodeId, Op, Scan, TensorType, TypeError};
use std::sync::Arc;

/// What the steps of a scan made.
#[derive(Clone)]
pub struct Scanned<'g> {
    /// The carried values after the last step.
    pub carries: Vec<Tensor<'g>>,
    /// What each step gave besides, stacked along a new first axis.
    pub stacked: Vec<Tensor<'g>>,
}

impl Graph {
    /// Runs `body` for each position of the first axis of `sequences`, from the first to the last. It is given the
    /// carried values, which begin as `initial`, and one position of each sequence; it returns the carried values
    /// after the step and what is to be stacked. Compile time and the size of the graph do not depend on the number
    /// of steps, those of the derivative neither; the derivative keeps what it needs of every step.
    ///
    /// ```
    /// # use eggrad_nn::{Graph, Init};
    /// let g = Graph::new();
    /// let (x, h) = (g.input("x", [10, 3]), g.constant(0.0).broadcast_to([4]));
    /// let w = g.param("w", [7, 4], Init::GlorotUniform);
    /// let rnn = g.scan(&[h], &[x], |carries, x| {
    ///     let h = g.concat(&[carries[0], x[0]], 0).matmul(w).tanh();
    ///     (vec![h], vec![h])
    /// });
    /// assert_eq!(rnn.stacked[0].ty().unwrap().shape.dims(), [10, 4]);
    /// ```
    ///
    /// # Errors
    /// Recorded in the graph: sequences of different lengths or none, carried values that change their type.
    #[track_caller]
    pub fn scan<'g>(
        &'g self,
        initial: &[Tensor<'g>],
        sequences: &[Tensor<'g>],
        body: impl FnOnce(&[Tensor<'g>], &[Tensor<'g>]) -> (Vec<Tensor<'g>>, Vec<Tensor<'g>>),
    ) -> Scanned<'g> {
        self.scan_at(initial, sequences, false, body, At::here())
    }

    /// [`Graph::scan`] from the last position to the first; results are stacked at the position read.
    ///
    /// # Errors
    /// As [`Graph::scan`].
    #[track_caller]
    pub fn scan_reverse<'g>(
        &'g self,
        initial: &[Tensor<'g>],
        sequences: &[Tensor<'g>],
        body: impl FnOnce(&[Tensor<'g>], &[Tensor<'g>]) -> (Vec<Tensor<'g>>, Vec<Tensor<'g>>),
    ) -> Scanned<'g> {
        self.scan_at(initial, sequences, true, body, At::here())
    }

    /// Runs `body` `count` times on the number of the step, one `i32`, and the carried values; those after the last.
    ///
    /// # Errors
    /// Recorded in the graph: carried values that change their type, more steps than an `i32` counts.
    #[track_caller]
    pub fn repeat<'g>(
        &'g self,
        count: usize,
        initial: &[Tensor<'g>],
        body: impl FnOnce(Tensor<'g>, &[Tensor<'g>]) -> Vec<Tensor<'g>>,
    ) -> Vec<Tensor<'g>> {
        let at = At::here();
        if count > i32::MAX as usize {
            let message = format!("cannot count {count} steps");
            self.record(TypeError::new("repeat", at, message, "repeat it less often"));
            return vec![self.poison(); initial.len()];
        }
        let steps = Op::Iota { dtype: DType::I32, shape: [count].into(), axis: 0 };
        let steps = self.push(steps, &[], at);
        self.scan_at(initial, &[steps], false, |c, x| (body(x[0], c), vec![]), at).carries
    }

    /// What `then` returns where `condition`, one bool, holds at run time, else what `otherwise` returns: as many
    /// tensors of the same types. Only one of them is computed.
    ///
    /// # Errors
    /// Recorded in the graph: results of different types, a condition that is no single bool.
    #[track_caller]
    pub fn cond<'g>(
        &'g self,
        condition: Tensor<'g>,
        then: impl FnOnce() -> Vec<Tensor<'g>>,
        otherwise: impl FnOnce() -> Vec<Tensor<'g>>,
    ) -> Vec<Tensor<'g>> {
        let at = At::here();
        let condition = self.own("cond", condition, at);
        let branch = |results: &[Tensor<'g>]| self.ids("cond", results, at);
        let start = self.next_id();
        let then = then();
        let count = then.len();
        let then_ids = branch(&then);
        let middle = self.next_id();
        let otherwise_ids = branch(&otherwise());
        let (Some(condition), Some(then), Some(otherwise)) = (condition, then_ids, otherwise_ids)
        else {
            return vec![self.poison(); count];
        };
        if count != otherwise.len() || count == 0 {
            let message = format!("has branches of {count} and {} results", otherwise.len());
            let help = "return equally many from both, at least one";
            self.record(TypeError::new("cond", at, message, help));
            return vec![self.poison(); count];
        }
        // Both branches take everything that either reads.
        let close = |results: &[NodeId], since, variables: &[(String, NodeId)]| {
            self.builder.borrow().close("branch", variables, &named("y", results), Some(since))
        };
        let captured =
            [(&then, start), (&otherwise, middle)].map(|(r, since)| close(r, since, &[]));
        let captured: Vec<NodeId> = match captured {
            [Ok((_, a)), Ok((_, b))] => {
                let rest: Vec<NodeId> = b.iter().filter(|n| !a.contains(n)).copied().collect();
                [a, rest].concat()
            }
            [Err(error), _] | [_, Err(error)] => return self.refuse(error, at, count),
        };
        let variables = named("x", &captured);
        let branches = (close(&then, start, &variables), close(&otherwise, middle, &variables));
        match branches {
            (Ok((then, _)), Ok((otherwise, _))) => {
                let op =
                    Op::Cond { then: Arc::new(then), otherwise: Arc::new(otherwise), result: 0 };
                self.application(&op, &[vec![condition], captured].concat(), count, at)
            }
            (Err(error), _) | (_, Err(error)) => self.refuse(error, at, count),
        }
    }

    /// The results of `forward` on `operands`, as a function called `name` whose derivative is `backward`: it is given
    /// the operands and the cotangents of the float results, and returns the cotangents of the float operands. Neither
    /// may read other tensors.
    ///
    /// ```
    /// # use eggrad_nn::Graph;
    /// let g = Graph::new();
    /// let x = g.input("x", [3]);
    /// // Rounds, and lets the gradient through as if it did not.
    /// let y = g.custom("round_through", &[x], |x| vec![x[0].round()], |_, dy| vec![dy[0]])[0];
    /// let dx = (y * y).sum(..).grad(x);
    /// # g.output("dx", dx);
    /// # g.build().unwrap();
    /// ```
    ///
    /// # Errors
    /// Recorded in the graph: a tensor that is read but not passed, cotangents of other types than the operands.
    #[track_caller]
    pub fn custom<'g>(
        &'g self,
        name: &str,
        operands: &[Tensor<'g>],
        forward: impl FnOnce(&[Tensor<'g>]) -> Vec<Tensor<'g>>,
        backward: impl FnOnce(&[Tensor<'g>], &[Tensor<'g>]) -> Vec<Tensor<'g>>,
    ) -> Vec<Tensor<'g>> {
        let at = At::here();
        let Some(ids) = self.ids(name, operands, at) else {
            return vec![self.poison(); forward(&vec![self.poison(); operands.len()]).len()];
        };
        let variables = self.variables(&ids, at);
        let results = forward(&tensors(self, &variables));
        let count = results.len();
        let Some(results) = self.ids(name, &results, at) else {
            return vec![self.poison(); count];
        };
        let floats: Vec<NodeId> =
            results.iter().copied().filter(|&r| self.type_of(r).dtype.is_float()).collect();
        let cotangents = self.variables(&floats, at);
        let pulled = backward(&tensors(self, &variables), &tensors(self, &cotangents));
        let Some(pulled) = self.ids(name, &pulled, at) else {
            return vec![self.poison(); count];
        };
        let close = |name: &str, variables: &[(String, NodeId)], results: &[NodeId]| {
            let made = self.builder.borrow().close(name, variables, &named("y", results), None);
            made.and_then(|(function, captured)| match captured.first() {
                None => Ok(function),
                Some(&id) => {
                    let message = "reads a tensor that it is not given";
                    let help = "pass it as an operand; its cotangent is asked for too";
                    let mut error = TypeError::new(name, at, message, help);
                    error.operands = self.operands(&[id]);
                    Err(error)
                }
            })
        };
        let given = named("x", &variables);
        let made = close(name, &given, &results).and_then(|function| {
            let given = [given, named("d", &cotangents)].concat();
            let vjp = close(&format!("{name}_vjp"), &given, &pulled)?;
            function.with_vjp(Arc::new(vjp))
        });
        match made {
            Ok(function) => {
                let op = Op::Call { function: Arc::new(function), result: 0 };
                self.application(&op, &ids, count, at)
            }
            Err(error) => self.refuse(error, at, count),
        }
    }

    pub(crate) fn scan_at<'g>(
        &'g self,
        initial: &[Tensor<'g>],
        sequences: &[Tensor<'g>],
        reverse: bool,
        body: impl FnOnce(&[Tensor<'g>], &[Tensor<'g>]) -> (Vec<Tensor<'g>>, Vec<Tensor<'g>>),
        at: At,
    ) -> Scanned<'g> {
        let nothing = |stacked: usize| Scanned {
            carries: vec![self.poison(); initial.len()],
            stacked: vec![self.poison(); stacked],
        };
        let fail = |message: &str, help: &str, ids: &[NodeId]| {
            let mut error = TypeError::new("scan", at, message, help);
            error.operands = self.operands(ids);
            self.record(error);
        };
        let length = match (self.ids("scan", initial, at), self.ids("scan", sequences, at)) {
            (Some(first), Some(xs)) => {
                let types: Vec<TensorType> = xs.iter().map(|&x| self.type_of(x)).collect();
                let mut lengths = types.iter().map(|ty| ty.shape.dims().first().copied());
                match lengths.next().flatten() {
                    None => {
                        let help = "pass at least one tensor with an axis of steps";
                        fail("needs a sequence", help, &xs);
                        None
                    }
                    Some(length) if lengths.any(|other| other != Some(length)) => {
                        let help = "slice or pad the first axes to one size";
                        fail("needs sequences of one length", help, &xs);
                        None
                    }
                    Some(length) => Some((first, xs, types, length)),
                }
            }
            _ => None,
        };
        let Some((first, mut xs, types, length)) = length else {
            // What the body gives is an error too, but there is as much of it.
            let poison = |count: usize| vec![self.poison(); count];
            let (_, stacked) = body(&poison(initial.len()), &poison(sequences.len()));
            return nothing(stacked.len());
        };
        let carries = self.variables(&first, at);
        let mut steps: Vec<NodeId> = {
            let mut builder = self.builder.borrow_mut();
            let step = |ty: &TensorType| TensorType::new(ty.dtype, ty.shape.without(&[0]));
            types.iter().map(|ty| builder.variable(step(ty), at)).collect()
        };
        self.loops.borrow_mut().push(None);
        let (next, stacked) = body(&tensors(self, &carries), &tensors(self, &steps));
        let number = self.loops.borrow_mut().pop().flatten();
        let count = stacked.len();
        let (Some(next), Some(stacked)) =
            (self.ids("scan", &next, at), self.ids("scan", &stacked, at))
        else {
            return nothing(count);
        };
        if let Some(number) = number {
            let counted = Op::Iota { dtype: DType::I32, shape: [length].into(), axis: 0 };
            let Some(counted) = self.push(counted, &[], at).id else { return nothing(count) };
            xs.push(counted);
            steps.push(number);
        }
        if next.len() != first.len() || next.len() + stacked.len() == 0 {
            let message = format!(
                "carries {} values and its body returns {}, and {} to stack",
                first.len(),
                next.len(),
                stacked.len()
            );
            fail(&message, "return as many carried values as the scan begins with", &first);
            return nothing(count);
        }
        for (&before, &after) in first.iter().zip(&next) {
            let (was, is) = (self.type_of(before), self.type_of(after));
            if was != is {
                let message =
                    format!("begins with a carried value of type {was} and carries on with {is}");
                fail(
                    &message,
                    "let the body return what it is given: cast or reshape it",
                    &[before, after],
                );
                return nothing(count);
            }
        }
        let variables = [named("h", &carries), named("x", &steps)].concat();
        let results = [named("h", &next), named("y", &stacked)].concat();
        let closed = self.builder.borrow().close("body", &variables, &results, None);
        match closed {
            Ok((function, captured)) => {
                let scan = Scan {
                    body: Arc::new(function),
                    carries: first.len(),
                    xs: xs.len(),
                    length,
                    reverse,
                };
                let operands = [first, xs, captured].concat();
                let op = Op::Scan { scan, result: 0 };
                let mut carries = self.application(&op, &operands, results.len(), at);
                let stacked = carries.split_off(next.len());
                Scanned { carries, stacked }
            }
            Err(error) => {
                self.refuse(error, at, 0);
                nothing(count)
            }
        }
    }

    /// The number of the step of loop number `level` of those whose bodies are being written, one `i32`.
    pub(crate) fn step_of_loop(&self, level: usize, at: At) -> NodeId {
        if let Some(number) = self.loops.borrow()[level] {
            return number;
        }
        let number = self.builder.borrow_mut().variable(TensorType::scalar(DType::I32), at);
        self.loops.borrow_mut()[level] = Some(number);
        number
    }

    /// All results of one application.
    fn application(&self, op: &Op, operands: &[NodeId], count: usize, at: At) -> Vec<Tensor<'_>> {
        let first = self.push(op.with_result(0), operands, at);
        if first.id.is_none() {
            return vec![first; count];
        }
        let rest = (1..count).map(|i| self.push(op.with_result(i), operands, at));
        [first].into_iter().chain(rest).collect()
    }

    /// Records why a sub-graph cannot be made.
    fn refuse(&self, mut error: TypeError, at: At, count: usize) -> Vec<Tensor<'_>> {
        if error.at == At::Unknown {
            error.at = at;
        }
        self.record(error);
        vec![self.poison(); count]
    }

    /// The nodes of `tensors`, unless one is an error.
    fn ids<'g>(&'g self, op: &str, tensors: &[Tensor<'g>], at: At) -> Option<Vec<NodeId>> {
        tensors.iter().map(|t| self.own(op, *t, at)).collect()
    }

    /// Variables of the types of `ids`.
    fn variables(&self, ids: &[NodeId], at: At) -> Vec<NodeId> {
        let types: Vec<TensorType> = ids.iter().map(|&id| self.type_of(id)).collect();
        let mut builder = self.builder.borrow_mut();
        types.into_iter().map(|ty| builder.variable(ty, at)).collect()
    }

    fn type_of(&self, id: NodeId) -> TensorType {
        self.builder.borrow().ty(id).clone()
    }

    /// The number that the next node gets.
    fn next_id(&self) -> NodeId {
        NodeId(self.builder.borrow().graph().nodes().len() as u32)
    }
}

fn tensors<'g>(graph: &'g Graph, ids: &[NodeId]) -> Vec<Tensor<'g>> {
    ids.iter().map(|&id| Tensor { graph, id: Some(id) }).collect()
}

/// `ids` with the names `prefix0`, `prefix1`, ...
fn named(prefix: &str, ids: &[NodeId]) -> Vec<(String, NodeId)> {
    ids.iter().enumerate().map(|(i, &id)| (format!("{prefix}{i}"), id)).collect()
}
