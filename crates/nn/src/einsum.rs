//! Einstein summation as text: `g.einsum("bij,bjk->bik", &[a, b])`.

use crate::graph::Graph;
use crate::tensor::Tensor;
use eggrad_ir::{At, DotAxes, MoveOp, Op, ReduceOp, TypeError};

impl Graph {
    /// Sum of products over the letters that the result does not name. Each operand has a letter for each axis; letters
    /// shared by operands run together. Operands are contracted from left to right.
    ///
    /// # Errors
    /// Recorded in the graph: a text that does not fit the operands, a letter twice in one operand, sizes that differ.
    #[track_caller]
    pub fn einsum<'g>(&'g self, text: &str, operands: &[Tensor<'g>]) -> Tensor<'g> {
        let at = At::here();
        let Some(ids) =
            operands.iter().map(|t| self.own("einsum", *t, at)).collect::<Option<Vec<_>>>()
        else {
            return self.poison();
        };
        let fail = |message: String, help: &str| {
            let mut error = TypeError::new("einsum", at, message, help);
            error.operands = self.operands(&ids);
            self.record(error);
            self.poison()
        };
        let Some((inputs, result)) = text.split_once("->") else {
            return fail(format!("has no `->` in `{text}`"), "write it as in `ij,jk->ik`");
        };
        let letters =
            |part: &str| part.chars().filter(|c| !c.is_whitespace()).collect::<Vec<char>>();
        let inputs: Vec<Vec<char>> = inputs.split(',').map(letters).collect();
        let result = letters(result);
        let types: Vec<_> = operands.iter().map(|t| t.expect_ty()).collect();
        let Some(&first) = operands.first() else {
            return fail("has no operands".into(), "pass a tensor for each part of the text");
        };
        if !inputs.iter().map(Vec::len).eq(types.iter().map(|t| t.rank())) {
            return fail(
                format!("gives `{text}` to operands of other ranks"),
                "one letter per axis",
            );
        }
        let twice = |list: &[char]| (1..list.len()).any(|i| list[..i].contains(&list[i]));
        if inputs.iter().chain([&result]).any(|list| twice(list)) {
            return fail(
                format!("repeats a letter in `{text}`"),
                "take diagonals with `select` first",
            );
        }
        let size = |letter: &char| {
            let places = inputs.iter().zip(&types);
            let mut sizes = places.filter_map(|(list, ty)| {
                list.iter().position(|l| l == letter).map(|i| ty.shape.dims()[i])
            });
            let first = sizes.next();
            first.filter(|n| sizes.all(|m| m == *n))
        };
        for letter in inputs.iter().flatten().chain(&result) {
            if !letter.is_alphabetic() || size(letter).is_none() {
                return fail(
                    format!("finds no one size for `{letter}` in `{text}`"),
                    "letters of the result appear in an operand; shared ones have one size",
                );
            }
        }

        let mut done = (first, inputs[0].clone());
        for (i, (tensor, list)) in operands.iter().zip(&inputs).enumerate().skip(1) {
            let later =
                |l: &char| result.contains(l) || inputs[i + 1..].iter().any(|o| o.contains(l));
            let left = summed(done, at, |l| list.contains(l) || later(l));
            let right = summed((*tensor, list.clone()), at, |l| left.1.contains(l) || later(l));
            done = contracted(left, right, later, at);
        }
        let (tensor, list) = summed(done, at, |l| result.contains(l));
        let place = |l: &char| list.iter().position(|m| m == l).unwrap_or(0);
        let perm: Vec<usize> = result.iter().map(place).collect();
        if perm.iter().copied().eq(0..perm.len()) {
            return tensor;
        }
        tensor.apply(Op::Move(MoveOp::Transpose(perm)), at)
    }
}

/// A tensor with a letter for each axis.
type Named<'g> = (Tensor<'g>, Vec<char>);

/// The sum over all letters that are not kept.
fn summed<'g>((tensor, list): Named<'g>, at: At, keep: impl Fn(&char) -> bool) -> Named<'g> {
    let axes: Vec<usize> = (0..list.len()).filter(|&i| !keep(&list[i])).collect();
    if axes.is_empty() {
        return (tensor, list);
    }
    (tensor.apply(Op::Reduce(ReduceOp::Sum, axes), at), list.into_iter().filter(keep).collect())
}

/// The contraction of two tensors; shared letters that `later` needs stay.
fn contracted<'g>(
    (a, left): Named<'g>,
    (b, right): Named<'g>,
    later: impl Fn(&char) -> bool,
    at: At,
) -> Named<'g> {
    let pairs = |stay: bool| -> Vec<(usize, usize)> {
        let shared = left.iter().enumerate().filter(|(_, l)| later(l) == stay);
        shared.filter_map(|(i, l)| Some((i, right.iter().position(|r| r == l)?))).collect()
    };
    let axes = DotAxes { batch: pairs(true), contract: pairs(false) };
    let kept = axes.batch.iter().map(|p| left[p.0]);
    let free_left = axes.free_left(left.len()).into_iter().map(|i| left[i]);
    let free_right = axes.free_right(right.len()).into_iter().map(|i| right[i]);
    let list = kept.chain(free_left).chain(free_right).collect();
    match (a.id, b.id) {
        (Some(x), Some(y)) => (a.graph.push(Op::Dot(axes), &[x, y], at), list),
        _ => (a.graph.poison(), list),
    }
}
