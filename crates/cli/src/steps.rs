//! A program of numbers step by step: values from left to right, derivatives from right to left.

use crate::evaluate::{Engine, evaluate, inputs};
use crate::failure::Failure;
use crate::formula::{Style, read_of, written};
use crate::given::Given;
use crate::program::{Built, Program};
use crate::show::{json_number, short};
use eggrad::Options;
use eggrad::interp::{Precision, Tensor, values};
use eggrad::ir::{BinaryOp, DType, Graph, NodeId, Op, UnaryOp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Steps that are shown.
const MOST: usize = 200;

/// Digits of the numbers in the table.
const DIGITS: usize = 10;

/// One derivative of a step by a value that it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    /// Place of the step among the nodes.
    pub step: usize,
    /// Place of the value it reads.
    pub from: usize,
    /// The derivative as a formula.
    pub formula: String,
    /// Its value.
    pub value: f64,
}

/// A variable or a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What it computes; `None` for a variable.
    pub formula: Option<String>,
    /// Its value.
    pub forward: f64,
    /// The derivative of the result by it.
    pub backward: f64,
}

/// The computation graph of a program of numbers, with all values on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Variables, then steps; the result is the last.
    pub nodes: Vec<Node>,
    /// What each step reads, by steps in order.
    pub locals: Vec<Local>,
}

impl Trace {
    /// Follows `program` for the values given.
    ///
    /// # Errors
    /// Variables without a value or with several elements, steps without a derivative, and programs of more than 200
    /// steps.
    pub fn of(program: &Program, given: &Given, style: Style) -> Result<Trace, Failure> {
        let float = DType::F64;
        let given: Given = given.iter().map(|(name, v)| (name.clone(), wide(v))).collect();
        let divided =
            if program.has_steps() { program.clone() } else { divide(program, &given, style)? };
        let built = divided.build(&given, float, None)?;
        let count = built.variables.len() + built.steps.len();
        if count > MOST {
            let message = format!("the expression has {count} steps; at most {MOST} are shown");
            return Err(Failure::new(message, "show a part of it"));
        }
        let graph = built.graph(&[("result".to_string(), built.result)])?;
        inputs(&graph, &given)?;
        let all = [names_of(&built), steps_of(&built)].concat();
        for (name, id) in &all {
            let ty = built.builder.ty(*id);
            if ty.rank() > 0 || !ty.dtype.is_float() {
                return Err(Failure::new(
                    format!("`{name}` is {ty}, and steps are shown of single numbers"),
                    "give every variable one number, as in `--set x=2`",
                ));
            }
        }
        let graph = built.graph(&all)?;
        let results = values_of(&graph, &given)?;
        let mut nodes = vec![];
        for (i, (name, _)) in all.iter().enumerate() {
            let step = i.checked_sub(built.variables.len()).map(|i| built.steps[i].1.clone());
            nodes.push(Node {
                name: name.clone(),
                formula: step,
                forward: results[i],
                backward: 0.0,
            });
        }
        let mut locals = vec![];
        for step in built.variables.len()..nodes.len() {
            locals.extend(of_step(&nodes, step, style)?);
        }
        if let Some(last) = nodes.last_mut() {
            last.backward = 1.0;
        }
        for local in locals.iter().rev() {
            nodes[local.from].backward += nodes[local.step].backward * local.value;
        }
        Ok(Trace { nodes, locals })
    }

    /// The name of the result.
    pub fn result(&self) -> &str {
        self.nodes.last().map_or("", |n| &n.name)
    }

    /// The steps that read node number `from`.
    pub fn users(&self, from: usize) -> impl Iterator<Item = &Local> {
        self.locals.iter().filter(move |l| l.from == from)
    }

    /// A table with a line for each node: its value, how its users change with it, and the chain rule.
    pub fn text(&self) -> String {
        let result = self.result().to_string();
        let mut rows = vec![[
            "forward".to_string(),
            "local derivative".to_string(),
            "backward (read from the bottom up)".to_string(),
        ]];
        for (i, node) in self.nodes.iter().enumerate() {
            let forward = match &node.formula {
                Some(formula) => {
                    format!("{} = {formula} = {}", node.name, short(node.forward, DIGITS))
                }
                None => format!("{} = {}", node.name, short(node.forward, DIGITS)),
            };
            let name = &node.name;
            let users: Vec<&Local> = self.users(i).collect();
            let local = users
                .iter()
                .map(|l| format!("d{}/d{name} = {}", self.nodes[l.step].name, l.formula));
            let mut chain = vec![];
            let mut numbers = vec![];
            for local in &users {
                let step = &self.nodes[local.step];
                if step.name == result {
                    chain.push(local.formula.clone());
                    numbers.push(short(local.value, DIGITS));
                } else {
                    chain.push(format!("d{result}/d{} * d{}/d{name}", step.name, step.name));
                    numbers.push(format!("{} * {}", factor(step.backward), factor(local.value)));
                }
            }
            let whole = short(node.backward, DIGITS);
            let mut backward = format!("d{result}/d{name}");
            for part in [chain.join(" + "), numbers.join(" + "), whole] {
                if !part.is_empty() && !backward.ends_with(&format!(" = {part}")) {
                    backward += &format!(" = {part}");
                }
            }
            rows.push([forward, local.collect::<Vec<String>>().join(", "), backward]);
        }
        let width =
            |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
        let (first, second) = (width(0), width(1));
        let line = |[a, b, c]: &[String; 3]| format!("{a:first$}   {b:second$}   {c}\n");
        rows.iter().map(line).collect()
    }

    /// The nodes as JSON.
    pub fn json(&self) -> Value {
        let node = |(i, node): (usize, &Node)| {
            let mut object = serde_json::Map::new();
            object.insert("name".to_string(), json!(node.name));
            if let Some(formula) = &node.formula {
                object.insert("formula".to_string(), json!(formula));
            }
            object.insert("forward".to_string(), json_number(node.forward));
            object.insert("backward".to_string(), json_number(node.backward));
            let users = self.users(i).map(|l| {
                let value = json!({ "derivative": l.formula, "value": json_number(l.value) });
                (self.nodes[l.step].name.clone(), value)
            });
            object.insert("local".to_string(), Value::Object(users.collect()));
            Value::Object(object)
        };
        Value::Array(self.nodes.iter().enumerate().map(node).collect())
    }
}

/// A number as a factor.
fn factor(value: f64) -> String {
    let text = short(value, DIGITS);
    if text.starts_with('-') { format!("({text})") } else { text }
}

fn wide(value: &Tensor) -> Tensor {
    if !value.ty.dtype.is_float() {
        return value.clone();
    }
    Tensor::from_values(
        eggrad::ir::TensorType::new(DType::F64, value.ty.shape.dims()),
        &value.to_f64s(),
    )
}

fn names_of(built: &Built) -> Vec<(String, NodeId)> {
    built.variables.clone()
}

fn steps_of(built: &Built) -> Vec<(String, NodeId)> {
    built.steps.iter().map(|(name, _, id)| (name.clone(), *id)).collect()
}

/// The outputs of a graph of numbers.
fn values_of(graph: &Graph, given: &Given) -> Result<Vec<f64>, Failure> {
    let inputs = inputs(graph, given)?;
    let values = values(graph, &inputs, &[], Precision::AsWritten);
    let values = values.map_err(|e| Failure::new(e.to_string(), ""))?;
    Ok(graph.outputs().iter().map(|o| values[o.node.index()].item()).collect())
}

/// The derivatives of a step by what it reads.
fn of_step(nodes: &[Node], step: usize, style: Style) -> Result<Vec<Local>, Failure> {
    let formula = nodes[step].formula.as_deref().unwrap_or("");
    let program = Program::read(formula)?;
    let given: Given = nodes[..step]
        .iter()
        .map(|n| (n.name.clone(), Tensor::scalar(DType::F64, n.forward)))
        .collect();
    let mut locals = vec![];
    for (from, node) in nodes[..step].iter().enumerate() {
        if !program.reads(&node.name) {
            continue;
        }
        let mut built = program.build(&given, DType::F64, None)?;
        let Some(by) = built.variables.iter().find(|v| v.0 == node.name).map(|v| v.1) else {
            continue;
        };
        let total = built.total()?;
        let slope = built.builder.node(Op::Grad, &[total, by]);
        let graph = built.graph(&[("slope".to_string(), slope)])?;
        let refused = |error: eggrad::Error| Failure::of_stage("the step", formula, &error);
        let text = written(&graph, 0).map_err(refused)?.text(style);
        let value = evaluate(&graph, &given, Engine::Interp, &Options::default())?[0].item();
        locals.push(Local { step, from, formula: text, value });
    }
    Ok(locals)
}

/// A single expression as a program with a step for each operator. A power and the number it is multiplied by or
/// divided by are one step, as in `d^2/2`.
fn divide(program: &Program, given: &Given, style: Style) -> Result<Program, Failure> {
    let built = program.build(given, DType::F64, None)?;
    let graph = built.graph(&[(program.result_label(), built.result)])?;
    let root = graph.outputs()[0].node;
    let mut reads_variable = vec![false; graph.nodes().len()];
    for id in graph.ids() {
        let node = graph.node(id);
        let own = matches!(node.op, Op::Input(_));
        reads_variable[id.index()] = own || node.inputs.iter().any(|i| reads_variable[i.index()]);
    }
    let users = graph.users();
    // Powers, and what multiplies and divides them by numbers.
    let mut power = vec![false; graph.nodes().len()];
    for id in graph.ids() {
        let node = graph.node(id);
        let number = |i: usize| !reads_variable[node.inputs[i].index()];
        let of = |i: usize| {
            let inner = node.inputs[i].index();
            power[inner] && users[inner].len() == 1
        };
        power[id.index()] = match node.op {
            Op::Unary(UnaryOp::Square) => true,
            Op::Binary(BinaryOp::Pow) => number(1),
            Op::Unary(UnaryOp::Neg) => of(0),
            Op::Binary(BinaryOp::Mul) => of(0) && number(1) || of(1) && number(0),
            Op::Binary(BinaryOp::Div) => of(0) && number(1),
            _ => false,
        };
    }
    let scaled = |id: NodeId| {
        let user = users[id.index()].as_slice();
        let plain = |user: &NodeId| {
            let by_power = graph.node(*user).op == Op::Binary(BinaryOp::Pow);
            power[user.index()] && !by_power && graph.node(*user).op != Op::Unary(UnaryOp::Square)
        };
        power[id.index()] && id != root && matches!(user, [user] if plain(user))
    };
    let mut named: BTreeMap<NodeId, String> = BTreeMap::new();
    let mut lines = vec![];
    let mut next = 0;
    for id in graph.ids() {
        let node = graph.node(id);
        let whole = id == root || node.op.is_leaf() || !node.ty.dtype.is_float();
        if whole || !reads_variable[id.index()] || scaled(id) {
            continue;
        }
        if node.ty.rank() > 0 {
            // What is no number is told by the caller.
            return Ok(program.clone());
        }
        let name = loop {
            next += 1;
            let name = format!("t{next}");
            if !program.reads(&name) {
                break name;
            }
        };
        lines.push(format!("{name} = {}", step_text(&graph, id, &named, style)?));
        named.insert(id, name);
    }
    lines.push(format!("{} = {}", program.result_label(), step_text(&graph, root, &named, style)?));
    Program::read(&lines.join("\n"))
}

fn step_text(
    graph: &Graph,
    id: NodeId,
    named: &BTreeMap<NodeId, String>,
    style: Style,
) -> Result<String, Failure> {
    let node = graph.node(id);
    let sign = match node.op {
        Op::Binary(BinaryOp::Add) => " + ",
        Op::Binary(BinaryOp::Mul) => "*",
        _ => "",
    };
    // Sums and products of two names stay in the order in which they were written.
    let name = |i: &NodeId| match &graph.node(*i).op {
        Op::Input(_) => Some(graph.reference(*i)),
        _ => named.get(i).cloned(),
    };
    if !sign.is_empty()
        && let [a, b] = node.inputs.as_slice()
        && let (Some(a), Some(b)) = (name(a), name(b))
    {
        return Ok(format!("{a}{sign}{b}"));
    }
    match read_of(graph, id, named) {
        Some(expr) => Ok(expr.text(style)),
        None => Err(Failure::new(
            format!("`{}` cannot be written as a step", graph.node(id).op.name()),
            "show a part of the expression",
        )),
    }
}
