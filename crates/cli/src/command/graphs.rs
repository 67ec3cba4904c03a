//! Commands that show graphs: `simplify`, `print`, `dot`, `picture`, `explain`, `check`.

use super::{Answer, draw, program, read, style};
use crate::args::{Check, Dot, Explain, Formula, Picture};
use crate::evaluate::stateless;
use crate::failure::Failure;
use crate::formula::{Style, written};
use crate::source::{Source, file};
use crate::steps::Trace;
use eggrad::Options;
use eggrad::ir::{Graph, Op, to_dot};
use serde_json::json;
use std::io::Read;

/// The graph of a formula, whose result is an output, or of a file.
fn graph(formula: &Formula, stdin: &mut dyn Read) -> Result<(Graph, Style), Failure> {
    let (source, given) = read(formula, stdin)?;
    match source {
        Source::Graph(graph, _) => Ok((graph, Style::default())),
        Source::Program(program) => {
            let built = program.build(&given, formula.dtype.dtype(), None)?;
            let graph = built.graph(&[(program.result_label(), built.result)])?;
            Ok((graph, style(&program)))
        }
    }
}

pub(crate) fn simplify(args: &Formula, stdin: &mut dyn Read) -> Result<Answer, Failure> {
    let (graph, style) = graph(args, stdin)?;
    let mut lines = vec![];
    for i in 0..graph.outputs().len() {
        let text = written(&graph, i).map_err(|e| Failure::of_stage("the expression", "", &e))?;
        lines.push((graph.outputs()[i].name.clone(), text.text(style).trim_end().to_string()));
    }
    match lines.as_slice() {
        [] => Err(Failure::new("the graph has no outputs", "add a line such as `out y = x`")),
        [(_, text)] => Ok(Answer::new(format!("{text}\n"), json!({ "formula": text }))),
        _ => {
            let text: String =
                lines.iter().map(|(name, text)| format!("{name} = {text}\n")).collect();
            let map: serde_json::Map<String, serde_json::Value> =
                lines.into_iter().map(|(name, text)| (name, json!(text))).collect();
            Ok(Answer::new(text, json!({ "formulas": map })))
        }
    }
}

pub(crate) fn print(args: &Formula, stdin: &mut dyn Read) -> Result<Answer, Failure> {
    let text = graph(args, stdin)?.0.to_string();
    let json = json!({ "graph": text });
    Ok(Answer::new(text, json))
}

pub(crate) fn dot(args: &Dot, stdin: &mut dyn Read) -> Result<Answer, Failure> {
    let (mut graph, _) = graph(&args.formula, stdin)?;
    let mut title = "as written";
    if args.optimized {
        let lowered = eggrad::lower(&graph, &Options::default());
        graph = lowered.map_err(|e| Failure::of_stage("the graph", "", &e))?;
        title = "optimized";
    }
    let text = to_dot(&graph, title, &[]);
    let json = json!({ "dot": text });
    Ok(Answer::new(text, json))
}

pub(crate) fn picture(args: &Picture, stdin: &mut dyn Read) -> Result<Answer, Failure> {
    let (source, given) = read(&args.formula, stdin)?;
    let program = program(source, "picture")?;
    let trace = Trace::of(&program, &given, style(&program))?;
    match &args.out {
        Some(path) => {
            draw(&trace, path)?;
            let text = format!("{}\n", path.display());
            Ok(Answer::new(
                text,
                json!({ "file": path.display().to_string(), "steps": trace.json() }),
            ))
        }
        None => {
            let svg = crate::picture::svg(&trace);
            let json = json!({ "svg": svg, "steps": trace.json() });
            Ok(Answer::new(svg, json))
        }
    }
}

pub(crate) fn explain(args: &Explain, stdin: &mut dyn Read) -> Result<Answer, Failure> {
    let (source, given) = read(&args.formula, stdin)?;
    let (graph, style) = match source {
        Source::Graph(graph, _) if args.grad.is_empty() => (graph, Style::default()),
        Source::Graph(graph, _) => {
            let names: Vec<String> =
                stateless(&graph).inputs().iter().map(|i| format!("`{}`", i.name)).collect();
            return Err(Failure::new(
                "`--grad` explains formulas; a graph says itself what it differentiates",
                format!("write `grad(loss, name)` into the file; it has {}", names.join(", ")),
            ));
        }
        Source::Program(program) => {
            let mut built = program.build(&given, args.formula.dtype.dtype(), None)?;
            let mut outputs = vec![(program.result_label(), built.result)];
            for name in &args.grad {
                let Some(by) = built.variables.iter().find(|v| v.0 == *name).map(|v| v.1) else {
                    let message = format!("`--grad {name}`: the formula has no such variable");
                    return Err(Failure::new(message, "name a variable of the formula"));
                };
                let total = built.total()?;
                let slope = built.builder.node(Op::Grad, &[total, by]);
                outputs.push((format!("d{}_d{name}", program.result_label()), slope));
            }
            (built.graph(&outputs)?, style(&program))
        }
    };
    let account = crate::explain::explain(&graph, style)?;
    Ok(Answer::new(account.text(), account.json()))
}

pub(crate) fn check(args: &Check, stdin: &mut dyn Read) -> Result<Answer, Failure> {
    let text = file(&args.file, stdin)?;
    match text.parse::<Graph>() {
        Ok(graph) => {
            let (inputs, states) = (graph.inputs().len(), graph.states().len());
            let (outputs, nodes) = (graph.outputs().len(), graph.nodes().len());
            let count =
                |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
            let parts = [
                count(inputs, "input"),
                count(states, "state"),
                count(outputs, "output"),
                count(nodes, "node"),
            ];
            let json = json!({
                "ok": true, "errors": [],
                "inputs": inputs, "states": states, "outputs": outputs, "nodes": nodes,
            });
            Ok(Answer::new(format!("no mistakes: {}\n", parts.join(", ")), json))
        }
        Err(eggrad::ir::TypeErrors(errors)) => Err(Failure::of("the text", &text, &errors)),
    }
}
