//! Plans of sub-graphs, each scheduled once.

use crate::error::ScheduleError;
use crate::plan::Plan;
use crate::{ScheduleConfig, assign, groups, legal, lower};
use eggrad_ir::{Function, Graph};
use std::collections::HashMap;
use std::sync::Arc;

/// The plan of every distinct sub-graph met so far.
pub(crate) struct Bodies {
    config: ScheduleConfig,
    known: HashMap<Arc<Function>, Arc<Plan>>,
}

impl Bodies {
    pub(crate) fn new(config: &ScheduleConfig) -> Bodies {
        Bodies { config: *config, known: HashMap::new() }
    }

    /// The plan of `graph`; not verified. Recurses over the nesting of sub-graphs.
    pub(crate) fn plan(&mut self, graph: &Graph) -> Result<Plan, ScheduleError> {
        let legal = legal::legalize(graph)?;
        for id in legal.graph.ids().filter(|id| legal.live[id.index()]) {
            for function in legal.graph.node(id).op.functions() {
                if !self.known.contains_key(function) {
                    let plan = Arc::new(self.plan(function.graph())?);
                    self.known.insert(function.clone(), plan);
                }
            }
        }
        let groups = groups::group(&legal, self.config.fuse);
        Ok(assign::assign(lower::Lowering::new(&groups, graph, self), graph))
    }

    /// The plan of a function that a graph given to [`Bodies::plan`] applies.
    pub(crate) fn of(&self, function: &Arc<Function>) -> Arc<Plan> {
        match self.known.get(function) {
            Some(plan) => plan.clone(),
            None => panic!("internal error: `{}` has no plan", function.name()),
        }
    }
}
