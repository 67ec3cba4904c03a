//! What can be asked of the command, and its help texts.

use crate::evaluate::Engine;
use clap::{Args, Parser, Subcommand, ValueEnum};
use eggrad::Options;
use eggrad::ir::DType;
use eggrad::rewrite::Semantics;
use std::path::PathBuf;

/// A calculator for formulas: derivatives, values, simpler forms, pictures.
#[derive(Debug, Parser)]
#[command(
    name = "eggrad",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  eggrad diff 'w^3' --wrt w --set w=2
  eggrad eval 'sigmoid(w*x + b)' --set w=2,x=-2,b=8
  eggrad simplify 'log(exp(x)) + x'

Put formulas in quotes, so that the shell leaves * and ( ) alone.
`eggrad help COMMAND` says more about each command."
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// One command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Differentiate a formula.
    ///
    /// The first line is the derivative. With values for the variables, its value follows, and the same by a finite
    /// difference: (f(w + eps) - f(w))/eps.
    #[command(after_help = "\
Examples:
  eggrad diff 'w^3' --wrt w                       3*w^2
  eggrad diff 'w^3' --wrt w --set w=2             also its value, 12, and a check
  eggrad diff 'x^2*y' --wrt x,y                   one line for each variable
  eggrad diff 'sin(x)' --wrt x --order 2          -sin(x)
  eggrad diff 'sum((w*x - y)^2)' --wrt w --set 'w=2,x=[1,2],y=[3,4]'
  eggrad diff 'c = w*x; a = c + b; d = a - y; J = d^2/2' \\
      --wrt w,b --set w=2,x=-2,b=8,y=2 --steps    backpropagation by hand")]
    Diff(Diff),
    /// Compute the value of a formula or of a graph.
    #[command(after_help = "\
Examples:
  eggrad eval '2^10'
  eggrad eval 'sigmoid(z)' --set 'z=[165, -531, 900]'
  eggrad eval 'mean((x - 1)^2)' --set 'x=[1,2,3]' --grad x
  eggrad eval 'x @ w' --set x=rows.npy,w=weights.npy
  eggrad eval '(1 + 1/10000) - (1 - 1/10000)' --semantics strict
  eggrad eval model.txt --set 'x=[1,2]'           a graph in the text form
  echo 'x*2' | eggrad eval - --set x=4")]
    Eval(Eval),
    /// Write a formula as shortly as is found.
    #[command(after_help = "\
Examples:
  eggrad simplify 'x*x + 2*x - x'                 x^2 + x
  eggrad simplify 'exp(x)/(1 + exp(x))'           sigmoid(x)")]
    Simplify(Formula),
    /// Print a formula or a file in the text form of graphs.
    #[command(after_help = "\
Examples:
  eggrad print '(w*x + b - y)^2/2'
  eggrad print model.txt")]
    Print(Formula),
    /// Draw the graph of a formula or a file for Graphviz.
    #[command(after_help = "\
Examples:
  eggrad dot 'relu(w*x + b)' | dot -Tsvg -o graph.svg
  eggrad dot model.txt --optimized")]
    Dot(Dot),
    /// Draw the computation graph with all values and derivatives on it.
    #[command(after_help = "\
Examples:
  eggrad picture '(w*x + b - y)^2/2' --set w=2,x=-2,b=8,y=2 --out graph.svg
  eggrad picture 'c = w*x; J = (c - y)^2' --set w=2,x=3,y=1 --out graph.dot")]
    Picture(Picture),
    /// Say what the optimizer does to a formula or a file, by which rules, and what may still go wrong.
    #[command(after_help = "\
Examples:
  eggrad explain 'log(1 + exp(x))'
  eggrad explain '-log(sigmoid(z))' --grad z
  eggrad explain model.txt --json")]
    Explain(Explain),
    /// Check a file in the text form: every mistake with its line and column.
    #[command(after_help = "\
Examples:
  eggrad check model.txt
  cat model.txt | eggrad check - --json")]
    Check(Check),
}

/// An expression or a file.
#[derive(Debug, Args)]
pub(crate) struct Formula {
    /// A formula, a program of steps (`c = w*x; J = c^2`), a file, or - for standard input.
    #[arg(value_name = "EXPR|FILE", allow_hyphen_values = true)]
    pub(crate) formula: String,
    /// Values of variables: `--set w=2,b=-1`, `--set 'x=[1, 2]'`, `--set x=file.npy`.
    #[arg(long = "set", visible_alias = "at", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Type of the numbers.
    #[arg(long, value_name = "TYPE", default_value = "f64")]
    pub(crate) dtype: FloatType,
}

/// Element types of formulas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FloatType {
    /// 64 bits, about 16 digits.
    F64,
    /// 32 bits, about 7 digits.
    F32,
}

impl FloatType {
    /// As graphs call it.
    pub(crate) fn dtype(self) -> DType {
        match self {
            FloatType::F64 => DType::F64,
            FloatType::F32 => DType::F32,
        }
    }
}

/// What rewriting may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Meaning {
    /// Every bit is as written.
    Strict,
    /// Equal for real numbers; stabler and faster.
    Real,
    /// As real, and approximations are allowed.
    Fast,
}

/// How formulas are computed.
#[derive(Debug, Args)]
pub(crate) struct Way {
    /// Machine code, or the interpreter that defines what everything means.
    #[arg(long, default_value = "jit")]
    pub(crate) engine: Engine,
    /// What rewriting may change.
    #[arg(long, default_value = "real")]
    pub(crate) semantics: Meaning,
    /// Compute the formula as it is written, without rewriting.
    #[arg(long)]
    pub(crate) no_rewrite: bool,
}

impl Way {
    /// As the compiler takes it.
    pub(crate) fn options(&self) -> Options {
        let semantics = match self.semantics {
            Meaning::Strict => Semantics::Strict,
            Meaning::Real => Semantics::Real,
            Meaning::Fast => Semantics::Fast,
        };
        Options { rewrite: !self.no_rewrite, semantics, ..Options::default() }
    }
}

/// `eggrad diff`
#[derive(Debug, Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) formula: Formula,
    /// The variables by which to differentiate.
    #[arg(long, value_name = "NAMES", required = true, value_delimiter = ',')]
    pub(crate) wrt: Vec<String>,
    /// How often to differentiate.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) order: u32,
    /// Step of the finite difference.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.001)]
    pub(crate) eps: f64,
    /// Show the values from left to right and the derivatives from right to left, node by node.
    #[arg(long)]
    pub(crate) steps: bool,
    /// Also draw the computation graph into a file, .svg or .dot.
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) way: Way,
}

/// `eggrad eval`
#[derive(Debug, Args)]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) formula: Formula,
    /// Also compute the derivatives by these variables.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) grad: Vec<String>,
    #[command(flatten)]
    pub(crate) way: Way,
}

/// `eggrad dot`
#[derive(Debug, Args)]
pub(crate) struct Dot {
    #[command(flatten)]
    pub(crate) formula: Formula,
    /// Draw the graph that would run, not the one that is written.
    #[arg(long)]
    pub(crate) optimized: bool,
}

/// `eggrad picture`
#[derive(Debug, Args)]
pub(crate) struct Picture {
    #[command(flatten)]
    pub(crate) formula: Formula,
    /// The file to write, .svg or .dot; without it the SVG is printed.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `eggrad explain`
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) formula: Formula,
    /// Explain the formula together with its derivatives by these variables.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) grad: Vec<String>,
}

/// `eggrad check`
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// A file in the text form, or - for standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}
