//! Types of sub-graphs applied to operands.

use super::{Inferred, Problem, problem};
use crate::function::Function;
use crate::op::Scan;
use crate::types::{DType, Shape, TensorType};

/// `call`
pub(super) fn called(function: &Function, result: usize, args: &[&TensorType]) -> Inferred {
    check_operands(function, args, 0)?;
    result_type(function, result).cloned()
}

/// `cond`
pub(super) fn chosen(
    then: &Function,
    otherwise: &Function,
    result: usize,
    args: &[&TensorType],
) -> Inferred {
    if *args[0] != TensorType::scalar(DType::Bool) {
        return problem(
            format!("chooses by one bool, not {}", args[0]),
            "compare single numbers, as in `x.gt(0.0)`; `select` chooses element by element",
        );
    }
    check_operands(then, &args[1..], 1)?;
    check_operands(otherwise, &args[1..], 1)?;
    if then.results().ne(otherwise.results()) {
        let list = |f: &Function| {
            let types: Vec<String> = f.results().map(TensorType::to_string).collect();
            types.join(", ")
        };
        return problem(
            format!("gives {} or {}", list(then), list(otherwise)),
            "let both branches give as many results of the same types",
        );
    }
    result_type(then, result).cloned()
}

/// Whether `args`, the operands from number `first` on, are what `function` takes.
fn check_operands(function: &Function, args: &[&TensorType], first: usize) -> Result<(), Problem> {
    let inputs = function.graph().inputs();
    if inputs.len() != args.len() {
        return problem(
            format!("of `{}` takes {} operands, not {}", function.name(), inputs.len(), args.len()),
            "pass one operand per input of the sub-graph",
        );
    }
    for (i, (input, arg)) in inputs.iter().zip(args).enumerate() {
        if input.ty != **arg {
            return problem(
                format!(
                    "of `{}` takes {} as `{}` (operand {}), not {arg}",
                    function.name(),
                    input.ty,
                    input.name,
                    first + i
                ),
                "cast or reshape the operand",
            );
        }
    }
    Ok(())
}

fn result_type(function: &Function, result: usize) -> Result<&TensorType, Problem> {
    let outputs = function.graph().outputs();
    match outputs.get(result) {
        Some(output) => Ok(function.graph().ty(output.node)),
        None => problem(
            format!("of `{}` has {} results, no number {result}", function.name(), outputs.len()),
            "results are numbered from 0",
        ),
    }
}

/// `scan`
pub(super) fn scanned(scan: &Scan, result: usize, args: &[&TensorType]) -> Inferred {
    let Scan { body, carries, xs, length, .. } = scan;
    let results = body.graph().outputs().len();
    if args.len() < carries.saturating_add(*xs) || results < *carries {
        return problem(
            format!(
                "of `{}` with {carries} carried values and {xs} sequences has {} operands and {results} results",
                body.name(),
                args.len()
            ),
            "carried values come first among operands and results",
        );
    }
    let inputs = body.graph().inputs();
    let mut step = vec![];
    for (i, arg) in args.iter().enumerate() {
        let mut ty = (*arg).clone();
        if (*carries..carries + xs).contains(&i) {
            if ty.shape.dims().first() != Some(length) {
                return problem(
                    format!("of {length} steps reads `{}` of shape {}", inputs[i].name, ty.shape),
                    "give every sequence as many positions along its first axis as there are steps",
                );
            }
            ty.shape = ty.shape.without(&[0]);
        }
        step.push(ty);
    }
    check_operands(body, &step.iter().collect::<Vec<_>>(), 0)?;
    for (i, (after, before)) in body.results().zip(&step).take(*carries).enumerate() {
        if after != before {
            return problem(
                format!(
                    "begins with `{}` of type {before} and carries on with {after}",
                    inputs[i].name
                ),
                "a carried value keeps its type from step to step",
            );
        }
    }
    let ty = result_type(body, result)?;
    if result < *carries {
        return Ok(ty.clone());
    }
    let dims = [*length].into_iter().chain(ty.shape.dims().iter().copied());
    Ok(TensorType::new(ty.dtype, dims.collect::<Shape>()))
}
