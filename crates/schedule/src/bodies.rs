//! Plans of sub-graphs, each scheduled once.

use crate::error::ScheduleError;
use crate::plan::Plan;
use crate::{ScheduleConfig, assign, groups, legal, lower};
use eggrad_ir::{Function, Graph, Op};
use std::collections::HashMap;
use std::sync::Arc;

/// The plan of every distinct sub-graph met so far.
pub(crate) struct Bodies {
    config: ScheduleConfig,
    /// By the function, and by the first of its inputs that is the same at every step.
    known: HashMap<(Arc<Function>, usize), Arc<Plan>>,
}

impl Bodies {
    pub(crate) fn new(config: &ScheduleConfig) -> Bodies {
        Bodies { config: *config, known: HashMap::new() }
    }

    /// The plan of `graph`, which is run many times with the same inputs from number `fixed` on; not verified. Recurses
    /// over the nesting of sub-graphs.
    pub(crate) fn plan(&mut self, graph: &Graph, fixed: usize) -> Result<Plan, ScheduleError> {
        let legal = legal::legalize(graph)?;
        for id in legal.graph.ids().filter(|id| legal.live[id.index()]) {
            for (function, fixed) in applied(&legal.graph.node(id).op) {
                let key = (function.clone(), fixed);
                if !self.known.contains_key(&key) {
                    let plan = Arc::new(self.plan(function.graph(), fixed)?);
                    self.known.insert(key, plan);
                }
            }
        }
        let groups = groups::group(&legal, self.config.fuse, fixed);
        Ok(assign::assign(lower::Lowering::new(&groups, graph, self), graph))
    }

    /// The plans of the functions that `op` applies, in a graph given to [`Bodies::plan`].
    pub(crate) fn of(&self, op: &Op) -> Vec<Arc<Plan>> {
        let plan = |(function, fixed): (&Arc<Function>, usize)| match self
            .known
            .get(&(function.clone(), fixed))
        {
            Some(plan) => plan.clone(),
            None => panic!("internal error: `{}` has no plan", function.name()),
        };
        applied(op).map(plan).collect()
    }
}

/// The functions that `op` applies, with the first of their inputs that is the same at every step of a loop.
fn applied(op: &Op) -> impl Iterator<Item = (&Arc<Function>, usize)> {
    let fixed = if let Op::Scan { scan, .. } = op { Some(scan.carries + scan.xs) } else { None };
    let functions = op.functions().into_iter();
    functions.map(move |f| (f, fixed.unwrap_or(f.graph().inputs().len())))
}
