//! `eggrad diff`: derivatives as formulas, their values, and finite differences to compare them with.

use super::{Answer, draw, program, read, style, unused};
use crate::args::Diff;
use crate::evaluate::{evaluate, inputs};
use crate::failure::Failure;
use crate::formula::{Style, Written, written};
use crate::given::Given;
use crate::program::{Built, Program};
use crate::show::{self, number};
use crate::steps::Trace;
use eggrad::interp::{Data, Tensor};
use eggrad::ir::{Graph, NodeId, Op, ReduceOp};
use serde_json::{Map, Value, json};
use std::io::Read;

/// Elements of a variable that a finite difference is taken for.
const MOST_DIFFERENCES: usize = 1000;

/// What is known of the derivative by one variable.
struct Derivative {
    name: String,
    text: String,
    value: Option<Tensor>,
    difference: Option<Tensor>,
}

pub(crate) fn diff(args: &Diff, stdin: &mut dyn Read) -> Result<Answer, Failure> {
    let (source, given) = read(&args.formula, stdin)?;
    let program = program(source, "diff")?;
    if !(args.eps.is_finite() && args.eps != 0.0) {
        return Err(Failure::new(
            "`--eps` must be a number other than 0",
            "leave it out for 0.001",
        ));
    }
    let mut notes = vec![];
    let style = style(&program);
    let mut list = vec![];
    for name in &args.wrt {
        list.push(derivative(&program, name.trim(), &given, args, style, &mut notes)?);
    }
    let known = |name: &str| program.reads(name) || args.wrt.iter().any(|w| w == name);
    notes.extend(unused(&given, &known, &|name| program.like(name)));
    let trace = match args.steps || args.picture.is_some() {
        true => Some(Trace::of(&program, &given, style)?),
        false => None,
    };
    if let (Some(trace), Some(path)) = (&trace, &args.picture) {
        draw(trace, path)?;
    }
    let trace = trace.filter(|_| args.steps);
    let text = text(&list, &given, args, trace.as_ref());
    let json = json(&list, args, trace.as_ref(), &notes);
    Ok(Answer { text, json, notes })
}

fn derivative(
    program: &Program,
    name: &str,
    given: &Given,
    args: &Diff,
    style: Style,
    notes: &mut Vec<String>,
) -> Result<Derivative, Failure> {
    let float = args.formula.dtype.dtype();
    if !eggrad::ir::is_name(name) {
        return Err(Failure::new(
            format!("`--wrt {name}` is no name"),
            "name variables of the formula, as in `--wrt w` or `--wrt w,b`",
        ));
    }
    if !program.reads(name) && !program.names_step(name) {
        let hint = program.like(name).map(|near| format!("; is `{near}` meant?"));
        let hint = hint.unwrap_or_default();
        notes.push(format!("the formula has no `{name}`, so its derivative is 0{hint}"));
        let zero = (!given.is_empty()).then(|| Tensor::scalar(float, 0.0));
        let (text, value) = ("0".to_string(), zero.clone());
        return Ok(Derivative { name: name.to_string(), text, value, difference: zero });
    }
    // A step becomes a variable, which has the value that the step computes.
    let step = program.names_step(name).then_some(name);
    let mut given = given.clone();
    if let Some(step) = step
        && !given.is_empty()
    {
        let built = program.build(&given, float, None)?;
        let node = built.steps.iter().find(|s| s.0 == step).map_or(built.result, |s| s.2);
        let graph = built.graph(&[(step.to_string(), node)])?;
        let value = evaluate(&graph, &given, args.way.engine, &args.way.options())?;
        given.extend(value.into_iter().map(|v| (step.to_string(), v)));
    }
    let mut built = program.build(&given, float, Some(name))?;
    let Some(by) = built.variables.iter().find(|v| v.0 == name).map(|v| v.1) else {
        panic!("internal error: a variable was not declared");
    };
    let dtype = built.builder.ty(by).dtype;
    if !dtype.is_float() {
        return Err(Failure::new(
            format!("`{name}` holds {} numbers; derivatives are by floats", dtype.name()),
            format!("give it without a type, as in `--set {name}=2`"),
        ));
    }
    let elements = built.builder.ty(built.result).shape.elements();
    if built.builder.ty(built.result).rank() > 0 {
        notes.push(format!(
            "the formula has {elements} elements; this is the derivative of their sum"
        ));
    }
    let before = slope(&mut built, by, args.order - 1)?;
    let after = slope(&mut built, by, args.order)?;
    let graph = built.graph(&[("slope".to_string(), after)])?;
    let refused = |error: eggrad::Error| Failure::of_stage("the expression", &program.text, &error);
    let text = match written(&graph, 0).map_err(refused)? {
        Written::Formula(expr) => expr.text(style),
        Written::Graph(lines) => {
            notes.push(
                "the derivative cannot be written as one formula; this is its graph".to_string(),
            );
            lines.trim_end().to_string()
        }
    };
    let name = name.to_string();
    if given.is_empty() && !graph.inputs().is_empty() {
        return Ok(Derivative { name, text, value: None, difference: None });
    }
    let value = evaluate(&graph, &given, args.way.engine, &args.way.options())?.remove(0);
    let below = built.graph(&[("value".to_string(), before)])?;
    let difference = difference(&below, &name, &given, args)?;
    Ok(Derivative { name, text, value: Some(value), difference })
}

/// The derivative of the given order of the result by `by`, each of the sum of the one before.
fn slope(built: &mut Built, by: NodeId, order: u32) -> Result<NodeId, Failure> {
    let mut value = built.total()?;
    for i in 0..order {
        if i > 0 {
            let axes: Vec<usize> = (0..built.builder.ty(value).rank()).collect();
            if !axes.is_empty() {
                value = built.builder.node(Op::Reduce(ReduceOp::Sum, axes), &[value]);
            }
        }
        value = built.builder.node(Op::Grad, &[value, by]);
    }
    Ok(value)
}

/// `(f(w + eps) - f(w))/eps` for each element of `name`, with the digits that rounding leaves, where `f` is the sum of
/// the output of `graph`, computed in `f64`.
fn difference(
    graph: &Graph,
    name: &str,
    given: &Given,
    args: &Diff,
) -> Result<Option<Tensor>, Failure> {
    let eps = args.eps;
    let values = inputs(graph, given)?;
    let Some(place) = graph.inputs().iter().position(|i| i.name == name) else { return Ok(None) };
    let elements = values[place].data.len();
    if elements > MOST_DIFFERENCES {
        return Ok(None);
    }
    let lowered = eggrad::lower(graph, &args.way.options());
    let lowered = lowered.map_err(|e| Failure::of_stage("the expression", "", &e))?;
    let sum = |values: &[Tensor]| {
        let wide = eggrad::interp::Precision::Wide;
        let run = eggrad::interp::run(&lowered, values, &[], wide);
        let run = run.map_err(|e| Failure::new(e.to_string(), ""))?;
        Ok::<f64, Failure>(run.outputs[0].to_f64s().iter().sum())
    };
    let here = sum(&values)?;
    let shape = values[place].ty.shape.clone();
    let at = values[place].to_f64s();
    let mut slopes = vec![];
    for i in 0..elements {
        let mut moved = at.clone();
        moved[i] += eps;
        let mut values = values.clone();
        values[place] = Tensor::new(shape.clone(), Data::F64(moved));
        let there = sum(&values)?;
        let noise = here.abs().max(there.abs()) * 4.0 * f64::EPSILON / eps.abs();
        slopes.push(rounded((there - here) / eps, noise));
    }
    Ok(Some(Tensor::new(shape, Data::F64(slopes))))
}

/// A number without the decimals that are smaller than `noise`.
fn rounded(value: f64, noise: f64) -> f64 {
    if !value.is_finite() || noise <= 0.0 || !noise.is_finite() {
        return value;
    }
    let places = (-noise.log10()).floor().clamp(0.0, 17.0) as usize;
    format!("{value:.places$}").parse().unwrap_or(value)
}

fn text(list: &[Derivative], given: &Given, args: &Diff, trace: Option<&Trace>) -> String {
    let power = if args.order > 1 { format!("^{}", args.order) } else { String::new() };
    let title = |d: &Derivative| format!("d{power}/d{}{power}", d.name);
    let mut text = String::new();
    for derivative in list {
        if list.len() > 1 {
            text += &format!("{}: ", title(derivative));
        }
        text += &format!("{}\n", derivative.text);
    }
    let place: Vec<String> = given
        .iter()
        .filter(|(_, v)| v.data.len() <= 8)
        .map(|(name, v)| format!("{name} = {}", show::text(v)))
        .collect();
    let place =
        if place.is_empty() { "value".to_string() } else { format!("at {}", place.join(", ")) };
    let start = |d: &Derivative| match list.len() {
        1 => String::new(),
        _ => format!("{} ", title(d)),
    };
    for derivative in list {
        if let Some(value) = &derivative.value {
            text += &format!("{}{place}: {}\n", start(derivative), show::text(value));
        }
    }
    for derivative in list {
        if let Some(difference) = &derivative.difference {
            let eps = number(args.eps);
            let value = show::text(difference);
            text += &format!("{}finite difference, eps = {eps}: {value}\n", start(derivative));
        }
    }
    if let Some(trace) = trace {
        text += &format!("\n{}", trace.text());
    }
    text
}

fn json(list: &[Derivative], args: &Diff, trace: Option<&Trace>, notes: &[String]) -> Value {
    let mut object = Map::new();
    let all = |part: &dyn Fn(&Derivative) -> Option<Value>| -> Map<String, Value> {
        list.iter().filter_map(|d| Some((d.name.clone(), part(d)?))).collect()
    };
    object.insert("derivative".to_string(), all(&|d| Some(json!(d.text))).into());
    let values = all(&|d| d.value.as_ref().map(show::json));
    let differences = all(&|d| d.difference.as_ref().map(show::json));
    if !values.is_empty() {
        object.insert("value".to_string(), values.into());
    }
    if !differences.is_empty() {
        object.insert("finite_difference".to_string(), differences.into());
        object.insert("eps".to_string(), json!(args.eps));
        object.insert("scheme".to_string(), json!("forward"));
    }
    if args.order > 1 {
        object.insert("order".to_string(), json!(args.order));
    }
    if let Some(trace) = trace {
        object.insert("steps".to_string(), trace.json());
    }
    if !notes.is_empty() {
        object.insert("notes".to_string(), json!(notes));
    }
    Value::Object(object)
}
