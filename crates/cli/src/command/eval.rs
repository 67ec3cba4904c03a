//! `eggrad eval`: values of formulas and graphs, and of their derivatives.

use super::{Answer, read, unused};
use crate::args::Eval;
use crate::evaluate::{evaluate, stateless};
use crate::failure::{Failure, nearest};
use crate::given::Given;
use crate::program::Program;
use crate::show;
use crate::source::Source;
use eggrad::interp::Tensor;
use eggrad::ir::{Builder, Graph, NodeId, Op, ReduceOp};
use serde_json::{Map, Value, json};
use std::io::Read;

pub(crate) fn eval(args: &Eval, stdin: &mut dyn Read) -> Result<Answer, Failure> {
    let (source, given) = read(&args.formula, stdin)?;
    match source {
        Source::Program(program) => of_program(&program, &given, args),
        Source::Graph(graph, text) => of_graph(&graph, &text, &given, args),
    }
}

fn of_program(program: &Program, given: &Given, args: &Eval) -> Result<Answer, Failure> {
    let mut built = program.build(given, args.formula.dtype.dtype(), None)?;
    let mut outputs = vec![("value".to_string(), built.result)];
    for name in &args.grad {
        let Some(by) = built.variables.iter().find(|v| v.0 == *name).map(|v| v.1) else {
            let near = program.like(name).filter(|n| n != name && !program.names_step(n));
            let help = near.map(|n| format!("is `{n}` meant?"));
            let help = help.unwrap_or_else(|| "name a variable of the formula".to_string());
            return Err(Failure::new(
                format!("`--grad {name}`: the formula has no such variable"),
                help,
            ));
        };
        let dtype = built.builder.ty(by).dtype;
        if !dtype.is_float() {
            let message =
                format!("`{name}` holds {} numbers; derivatives are by floats", dtype.name());
            return Err(Failure::new(message, "leave it out of `--grad`"));
        }
        let total = built.total()?;
        outputs.push((format!("d/d{name}"), built.builder.node(Op::Grad, &[total, by])));
    }
    // Outputs have names of their own kind.
    let numbered = outputs.iter().enumerate().map(|(i, o)| (format!("output{i}"), o.1));
    let graph = built.graph(&numbered.collect::<Vec<(String, NodeId)>>())?;
    let values = evaluate(&graph, given, args.way.engine, &args.way.options())?;
    let mut text = format!("{}\n", show::text(&values[0]));
    let mut object = Map::new();
    object.insert("value".to_string(), show::json(&values[0]));
    gradients(&args.grad, &values[1..], &mut text, &mut object);
    let known = |name: &str| program.reads(name);
    let notes = unused(given, &known, &|name| program.like(name));
    Ok(Answer { text, json: Value::Object(object), notes })
}

fn of_graph(graph: &Graph, source: &str, given: &Given, args: &Eval) -> Result<Answer, Failure> {
    let total = match args.grad.is_empty() {
        true => None,
        false => Some(differentiated(graph)?),
    };
    let count = graph.outputs().len();
    if count == 0 {
        return Err(Failure::new("the graph has no outputs", "add a line such as `out y = x`"));
    }
    let graph = stateless(graph);
    let names: Vec<String> = graph.inputs().iter().map(|i| i.name.clone()).collect();
    let mut builder = Builder::from_graph(graph.clone());
    for (i, name) in args.grad.iter().enumerate() {
        let Some(by) = graph.inputs().iter().find(|i| i.name == *name).map(|i| i.node) else {
            let near = nearest(name, names.iter().map(String::as_str));
            let help = near.map(|n| format!("is `{n}` meant?"));
            let help = help.unwrap_or_else(|| "name an input or a parameter".to_string());
            return Err(Failure::new(
                format!("`--grad {name}`: the graph has no such input"),
                help,
            ));
        };
        let Some(total) = total else { continue };
        let value = graph.outputs()[total].node;
        let axes: Vec<usize> = (0..graph.ty(value).rank()).collect();
        let value = match axes.is_empty() {
            true => value,
            false => builder.node(Op::Reduce(ReduceOp::Sum, axes), &[value]),
        };
        if !graph.ty(by).dtype.is_float() {
            let message = format!("`{name}` is {}; derivatives are by floats", graph.ty(by));
            return Err(Failure::new(message, "leave it out of `--grad`"));
        }
        let slope = builder.node(Op::Grad, &[value, by]);
        builder.output(&gradient_name(&graph, i), slope);
    }
    let whole = builder.build().map_err(|e| Failure::of("the text", source, &e.0))?;
    let values = evaluate(&whole, given, args.way.engine, &args.way.options())?;
    let mut text = String::new();
    let mut outputs = Map::new();
    for (output, value) in graph.outputs().iter().zip(&values) {
        text += &format!("{} = {}\n", output.name, show::text(value));
        outputs.insert(output.name.clone(), show::json(value));
    }
    let mut object = Map::new();
    object.insert("outputs".to_string(), Value::Object(outputs));
    gradients(&args.grad, &values[count..], &mut text, &mut object);
    let known = |name: &str| names.iter().any(|n| n == name);
    let like = |name: &str| nearest(name, names.iter().map(String::as_str)).map(str::to_string);
    let notes = unused(given, &known, &like);
    Ok(Answer { text, json: Value::Object(object), notes })
}

/// A name that no output has.
fn gradient_name(graph: &Graph, i: usize) -> String {
    let mut name = format!("gradient{i}");
    while graph.outputs().iter().any(|o| o.name == name) {
        name.push('_');
    }
    name
}

/// Which output is differentiated: the guarded one, or the only float.
fn differentiated(graph: &Graph) -> Result<usize, Failure> {
    let outputs = graph.outputs();
    if let Some(guard) = graph.guard()
        && let Some(i) = outputs.iter().position(|o| o.node == guard)
    {
        return Ok(i);
    }
    let floats: Vec<usize> =
        (0..outputs.len()).filter(|&i| graph.ty(outputs[i].node).dtype.is_float()).collect();
    match floats.as_slice() {
        [only] => Ok(*only),
        _ => Err(Failure::new(
            format!(
                "`--grad` needs one output to differentiate, and the graph has {}",
                floats.len()
            ),
            "name the loss by a line `guard loss`, and make it an output",
        )),
    }
}

fn gradients(
    names: &[String],
    values: &[Tensor],
    text: &mut String,
    object: &mut Map<String, Value>,
) {
    if names.is_empty() {
        return;
    }
    let mut map = Map::new();
    for (name, value) in names.iter().zip(values) {
        *text += &format!("d/d{name} = {}\n", show::text(value));
        map.insert(name.clone(), show::json(value));
    }
    object.insert("gradient".to_string(), json!(map));
}
