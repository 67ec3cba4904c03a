//! Rules in readable form: `log(softmax[S](z))`.

use crate::language::{Head, Kind};
use crate::pattern::Expr;
use crate::rules::Rule;
use eggrad_ir::{BinaryOp, CompareOp, UnaryOp};

/// How tightly an operator binds: sums, products, signs, powers, everything else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Comparison,
    Sum,
    Product,
    Sign,
    Power,
    Whole,
}

/// Left and right side, without question marks; of `left => a == b` it is `a` that stands before the equals sign.
pub(crate) fn identity(rule: &Rule, both_ways: bool) -> String {
    let arrow = if both_ways { "↔" } else { "→" };
    let (left, right) = (infix(&rule.left), infix(&rule.right));
    match &rule.equal {
        Some(equal) => format!("{left} {arrow} {} = {right}", infix(equal)),
        None => format!("{left} {arrow} {right}"),
    }
}

fn infix(expr: &Expr) -> String {
    at(expr, Level::Comparison)
}

/// `expr` where an operator of level `least` or tighter fits without parentheses.
fn at(expr: &Expr, least: Level) -> String {
    let (text, level) = written(expr);
    if level >= least { text } else { format!("({text})") }
}

fn written(expr: &Expr) -> (String, Level) {
    match expr {
        Expr::Var(var) => (var.to_string().trim_start_matches('?').to_string(), Level::Whole),
        Expr::Number(value) => {
            let text = value.to_string();
            let level = if text.contains('/') {
                Level::Product
            } else if text.starts_with('-') {
                Level::Sign
            } else {
                Level::Whole
            };
            (text, level)
        }
        Expr::Attribute(function, args) => {
            let args: Vec<String> = args.iter().map(infix).collect();
            (format!("{}({})", function.name(), args.join(", ")), Level::Whole)
        }
        Expr::Term(head, args) => term(head, args),
    }
}

fn term(head: &Head, args: &[Expr]) -> (String, Level) {
    let between = |sign: &str, left: Level, level: Level, right: Level| {
        (format!("{}{sign}{}", at(&args[0], left), at(&args[1], right)), level)
    };
    match head {
        Head::Binary(BinaryOp::Add) => between(" + ", Level::Sum, Level::Sum, Level::Sum),
        Head::Binary(BinaryOp::Sub) => between(" - ", Level::Sum, Level::Sum, Level::Product),
        Head::Binary(BinaryOp::Mul) => {
            between(" · ", Level::Product, Level::Product, Level::Product)
        }
        Head::Binary(BinaryOp::Div) => between(" / ", Level::Product, Level::Product, Level::Sign),
        Head::Binary(BinaryOp::Pow) => between("^", Level::Whole, Level::Power, Level::Whole),
        Head::Unary(UnaryOp::Neg) => (format!("-{}", at(&args[0], Level::Power)), Level::Sign),
        Head::Unary(UnaryOp::Square) => (format!("{}²", at(&args[0], Level::Whole)), Level::Power),
        Head::Unary(UnaryOp::Recip) => {
            (format!("1 / {}", at(&args[0], Level::Sign)), Level::Product)
        }
        Head::Compare(op) => {
            let sign = match op {
                CompareOp::Eq => " = ",
                CompareOp::Ne => " ≠ ",
                CompareOp::Lt => " < ",
                CompareOp::Le => " ≤ ",
                CompareOp::Gt => " > ",
                CompareOp::Ge => " ≥ ",
            };
            between(sign, Level::Sum, Level::Comparison, Level::Sum)
        }
        Head::Axes(_)
        | Head::Renaming(_)
        | Head::Type(_)
        | Head::Const(..)
        | Head::Unary(_)
        | Head::Binary(_)
        | Head::Select
        | Head::Cast
        | Head::Mark(_)
        | Head::Reduce(_)
        | Head::Softmax(_)
        | Head::CrossEntropy(_)
        | Head::Dot
        | Head::Expand
        | Head::Rename
        | Head::OneHot
        | Head::Gather
        | Head::ScatterAdd
        | Head::Iota
        | Head::Size
        | Head::Opaque(_) => (call(head, args), Level::Whole),
    }
}

/// `name[axes](tensors)`; the element type is left out.
fn call(head: &Head, args: &[Expr]) -> String {
    let of = |kind: Kind| -> Vec<String> {
        let places = args.iter().zip(head.takes()).filter(|a| *a.1 == kind);
        places.map(|a| infix(a.0)).collect()
    };
    let (axes, tensors) = (of(Kind::Axes), of(Kind::Tensor));
    let axes = if axes.is_empty() { String::new() } else { format!("[{}]", axes.join(", ")) };
    let tensors =
        if tensors.is_empty() { String::new() } else { format!("({})", tensors.join(", ")) };
    format!("{}{axes}{tensors}", head.name())
}

#[cfg(test)]
mod tests {
    use crate::rule_set::RuleSet;

    #[test]
    fn rules_read_like_formulas() {
        let check = |row: &str, expected: &str| {
            let set = RuleSet::unchecked(&format!("# why\nfoo [real]: {row}"));
            assert_eq!(super::identity(&set.rules()[0], row.contains("<=>")), expected);
        };
        check(
            "(log (softmax ?S ?z)) => (log_softmax ?S ?z)",
            "log(softmax[S](z)) → log_softmax[S](z)",
        );
        check("(sub ?a (sub ?b ?c)) => (add (sub ?a ?b) ?c)", "a - (b - c) → a - b + c");
        check(
            "(mul (add ?a 1) (neg ?b)) => (neg (mul (add ?a 1) ?b))",
            "(a + 1) · -b → -((a + 1) · b)",
        );
        check("(square (neg ?a)) <=> (square ?a)", "(-a)² ↔ a²");
        check("(neg (square ?a)) => (mul -1 (square ?a))", "-a² → -1 · a²");
        check("(div ?a (div ?b 1/2)) => ?a == ?b", "a / (b / (1/2)) → a = b");
        check("(pow ?a -1/2) => (rsqrt ?a)", "a^(-1/2) → rsqrt(a)");
        check(
            "(select (gt ?a 0) (size ?T ?S) (cast ?T ?b)) => (size (type ?b) (minus ?S ?a))",
            "select(a > 0, size[S], cast(b)) → size[minus(S, a)]",
        );
    }
}
