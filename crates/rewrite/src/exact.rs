//! Extraction compared with the best choice there is, found by integer programming.

use crate::choose::{Before, choose};
use crate::cost::TableCost;
use crate::draws::Draws;
use crate::extract::{Choice, Classes, Price};
use crate::optimize::{Limits, RewriteConfig, Semantics, optimize};
use crate::raise::raise;
use crate::rule_set::RuleSet;
use crate::saturate::saturate;
use crate::sides::{build, written};
use crate::terms::{Among, draw_left};
use eggrad_autodiff::{AutodiffError, resolve};
use eggrad_ir::{DType, Graph, Op};
use eggrad_nn::{Adam, dense};
use eggrad_testkit::{Config, random_graph};
use good_lp::{
    Expression, ProblemVariables, Solution, SolverModel, Variable, constraint, microlp, variable,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::sync::Arc;

/// Candidates up to which the best choice is looked for.
const MOST_CANDIDATES: usize = 300;
/// Cycles that are forbidden one after the other before a graph is given up.
const MOST_CYCLES: usize = 60;

/// The integer program of a choice: one variable for each candidate that may be chosen.
struct Program<'a> {
    classes: &'a Classes,
    /// Numbers of the candidates of each class that may be chosen, none for those that nothing reads.
    open: Vec<Vec<usize>>,
    /// Cycles to forbid: classes, each of which reads the next and the last one the first.
    cycles: Vec<Vec<usize>>,
}

/// Danger, and sums that can overflow, as one number.
fn risk(price: Price) -> f64 {
    (1000 * price.danger + price.overflows) as f64
}

impl Program<'_> {
    fn new(classes: &Classes, known: Price) -> Option<Program<'_>> {
        let n = classes.ids.len();
        let possible = classes.seed(|_| 1.0);
        let mut open: Vec<Vec<usize>> = vec![vec![]; n];
        let mut reached = vec![false; n];
        let mut stack = classes.roots.clone();
        while let Some(place) = stack.pop() {
            if std::mem::replace(&mut reached[place], true) {
                continue;
            }
            for (i, candidate) in classes.candidates[place].iter().enumerate() {
                let safe = risk(known) > 0.0 || risk(candidate.price) == 0.0;
                if safe && candidate.children.iter().all(|&c| possible[c] != usize::MAX) {
                    open[place].push(i);
                    stack.extend(&candidate.children);
                }
            }
        }
        let candidates: usize = open.iter().map(Vec::len).sum();
        (candidates <= MOST_CANDIDATES).then_some(Program { classes, open, cycles: vec![] })
    }

    /// The choice with the least danger, or, among those with no more than `most`, the fastest.
    fn solve(&self, most: Option<f64>) -> Option<Choice> {
        let mut vars = ProblemVariables::new();
        let chosen: Vec<Vec<Variable>> = (self.open.iter())
            .map(|list| list.iter().map(|_| vars.add(variable().binary())).collect())
            .collect();
        let all = |place: usize| -> Expression { chosen[place].iter().sum() };
        // Those candidates of a class that read another one.
        let readers = |place: usize, child: usize| -> Expression {
            let list = self.open[place].iter().zip(&chosen[place]);
            let reads = |c: &usize| self.classes.candidates[place][*c].children.contains(&child);
            list.filter(|l| reads(l.0)).map(|l| *l.1).sum()
        };
        let weighed = |place: usize, weight: &dyn Fn(Price) -> f64| -> Expression {
            let list = self.open[place].iter().zip(&chosen[place]);
            list.map(|(&c, &x)| x * weight(self.classes.candidates[place][c].price)).sum()
        };
        let (mut cost, mut risks) = (Expression::default(), Expression::default());
        let mut rules = vec![];
        for place in 0..self.open.len() {
            cost += weighed(place, &|p| p.cost);
            risks += weighed(place, &|p| p.overflows as f64);
            rules.push(constraint!(all(place) <= 1));
            let mut children: Vec<usize> = vec![];
            for &c in &self.open[place] {
                children.extend(&self.classes.candidates[place][c].children);
            }
            children.sort_unstable();
            children.dedup();
            for child in children {
                rules.push(constraint!(readers(place, child) <= all(child)));
                // Danger is paid for by every reader.
                let prices =
                    self.open[child].iter().map(|&c| self.classes.candidates[child][c].price);
                let worst = prices.map(|p| p.danger as f64).fold(0.0, f64::max);
                if worst > 0.0 {
                    let paid = vars.add(variable().min(0.0));
                    let danger = weighed(child, &|p| p.danger as f64);
                    rules.push(constraint!(paid >= danger - worst + worst * readers(place, child)));
                    risks += 1000.0 * paid;
                }
            }
        }
        for &root in &self.classes.roots {
            rules.push(constraint!(all(root) >= 1));
            risks += 1000.0 * weighed(root, &|p| p.danger as f64);
        }
        for cycle in &self.cycles {
            let next = cycle.iter().cycle().skip(1);
            let reads: Expression = cycle.iter().zip(next).map(|(&a, &b)| readers(a, b)).sum();
            rules.push(constraint!(reads <= cycle.len() as f64 - 1.0));
        }
        let goal = match most {
            Some(most) => {
                rules.push(constraint!(risks <= most + 0.5));
                cost
            }
            None => risks,
        };
        let problem = vars.minimise(goal).using(microlp);
        let solution = rules.into_iter().fold(problem, |p, r| p.with(r)).solve().ok()?;
        let pick = |place: usize| {
            let list = self.open[place].iter().zip(&chosen[place]);
            list.filter(|l| solution.value(*l.1) > 0.5).map(|l| *l.0).next()
        };
        let rest = self.classes.seed(|_| 1.0);
        Some((0..self.open.len()).map(|p| pick(p).unwrap_or(rest[p])).collect())
    }

    /// As [`Program::solve`], without cycles.
    fn acyclic(&mut self, most: Option<f64>) -> Option<Choice> {
        while self.cycles.len() < MOST_CYCLES {
            let choice = self.solve(most)?;
            match self.cycle(&choice) {
                None => return Some(choice),
                Some(cycle) => self.cycles.push(cycle),
            }
        }
        None
    }

    /// A cycle in what the roots read.
    fn cycle(&self, choice: &Choice) -> Option<Vec<usize>> {
        if self.classes.order(choice).is_some() {
            return None;
        }
        let children = |p: usize| &self.classes.candidates[p][choice[p]].children;
        let mut done = vec![false; choice.len()];
        for &root in &self.classes.roots {
            // The way down, each with the number of children that were followed.
            let mut way = vec![(root, 0)];
            while let Some((place, next)) = way.last_mut() {
                let Some(&child) = children(*place).get(*next) else {
                    done[*place] = true;
                    way.pop();
                    continue;
                };
                *next += 1;
                if let Some(start) = way.iter().position(|w| w.0 == child) {
                    return Some(way[start..].iter().map(|w| w.0).collect());
                }
                if !done[child] {
                    way.push((child, 0));
                }
            }
        }
        None
    }
}

/// The best price of any choice; `None` where the graph is too large or the solver gives up.
fn best(classes: &Classes, known: Price) -> Option<Price> {
    let mut program = Program::new(classes, known)?;
    let price = |choice: &Choice| classes.total(choice, &classes.roots).1;
    let least = match risk(known) > 0.0 {
        true => risk(price(&program.acyclic(None)?)),
        false => 0.0,
    };
    let best = price(&program.acyclic(Some(least))?);
    assert_eq!(risk(best), least, "the fastest choice is more dangerous than it may be");
    Some(best)
}

/// What was compared: graphs, and those among them for which a choice exists that has less danger, or the same and
/// takes one part in a hundred less.
#[derive(Default, Debug)]
struct Count {
    graphs: usize,
    compared: usize,
    riskier: usize,
    slower: usize,
}

impl Count {
    fn compare(&mut self, graph: &Graph) {
        self.graphs += 1;
        let mut raised = raise(graph, &[], &Arc::default());
        let limits = Limits::default();
        let rules = RuleSet::standard();
        saturate(&mut raised.egraph, rules.rules(), Semantics::Real, &limits, graph.nodes().len());
        let before =
            Before { total: Price::default(), dangers: vec![i64::MAX; 999], costs: vec![] };
        let chosen = choose(graph, &raised, before, &TableCost, &limits);
        let price = chosen.classes.total(&chosen.choice, &chosen.classes.roots).1;
        let Some(best) = best(&chosen.classes, price) else { return };
        self.compared += 1;
        let risks = (risk(price), risk(best));
        assert!(risks.0 >= risks.1, "the best is {best:?}, not {price:?}\n{graph}");
        match risks.0 == risks.1 {
            true => {
                assert!(
                    best.cost <= price.cost + 1e-6,
                    "the best is {best:?}, not {price:?}\n{graph}"
                );
                self.slower += usize::from(price.cost > 1.01 * best.cost);
            }
            false => self.riskier += 1,
        }
        if risks.0 > risks.1 || price.cost > 1.01 * best.cost {
            let n: usize = chosen.classes.candidates.iter().map(Vec::len).sum();
            println!("{n} candidates: the best is {best:?}, not {price:?}\n{graph}");
        }
    }
}

/// Every left side of a rule, and its derivative: the formulas that are to be stabilised.
#[test]
fn formulas_are_chosen_as_the_best() {
    let mut count = Count::default();
    for rule in RuleSet::standard().rules() {
        let mut draws = Draws::new(9);
        let draw = || draw_left(rule, Among::Inputs, DType::F32, &mut draws);
        let Some(drawn) = std::iter::repeat_with(draw).take(50).flatten().next() else { continue };
        let (mut builder, nodes, leaves) = written(&drawn.egraph, &[drawn.left]);
        count.compare(&build(builder.clone()));
        let rank = builder.ty(nodes[0]).shape.rank();
        let sum = builder.sum(nodes[0], (0..rank).collect());
        let derivatives: Vec<_> =
            leaves.iter().map(|&(_, leaf)| builder.node(Op::Grad, &[sum, leaf])).collect();
        for (i, derivative) in derivatives.into_iter().enumerate() {
            builder.output(&format!("d{i}"), derivative);
        }
        if let Ok(graph) = resolve::<AutodiffError>(build(builder), &mut Ok) {
            count.compare(&graph);
        }
    }
    let missed = count.riskier + count.slower;
    assert!(count.compared >= 400 && count.compared >= 150 * missed, "{count:?}");
}

#[test]
fn random_graphs_are_chosen_as_the_best() {
    let mut count = Count::default();
    let mut runner = TestRunner::deterministic();
    let graphs = random_graph(Config::new(DType::F32));
    for _ in 0..100 {
        count.compare(&graphs.new_tree(&mut runner).unwrap().current().graph);
    }
    assert!(count.compared >= 90, "{count:?}");
    assert_eq!((count.riskier, count.slower), (0, 0), "{count:?}");
}

/// A train step whose forward part was optimised before it was differentiated.
fn train_step(write: impl Fn(&eggrad_nn::Graph)) -> Graph {
    let g = eggrad_nn::Graph::new();
    write(&g);
    let config = RewriteConfig::default();
    resolve::<AutodiffError>(g.build().unwrap().graph, &mut |forward| {
        Ok(optimize(&forward, &TableCost, &config).unwrap().0)
    })
    .unwrap()
}

#[test]
fn train_steps_are_chosen_as_the_best() {
    let mut count = Count::default();
    count.compare(&train_step(|g| {
        let z = g.input("z", [8, 5]);
        let y = g.labels("labels", [8], 5).one_hot(5);
        let loss = -(y * z.softmax(1).log()).sum(1).mean();
        g.output("loss", loss);
        g.output("dz", loss.grad(z));
    }));
    for depth in [1, 2] {
        count.compare(&train_step(|g| {
            let mut x = g.input("x", [8, 16]);
            for i in 1..depth {
                x = dense(&format!("dense{i}"), x, 16).relu();
            }
            let z = dense("last", x, 10);
            let y = g.labels("labels", [8], 10).one_hot(10);
            let loss = -(y * z.softmax(1).log()).sum(1).mean();
            g.output("loss", loss);
            Adam::new(1e-3).minimize(loss);
        }));
    }
    assert_eq!((count.compared, count.riskier, count.slower), (3, 0, 0), "{count:?}");
}
