//! Where layers are written: a graph, a mode, and the path of the layer that is being written.

use super::Common;
use crate::graph::Graph;
use crate::init::Init;
use crate::tensor::Tensor;
use eggrad_ir::{At, Shape, StateKind, TensorType, TypeError};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// What a graph is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A step of training: dropout drops, statistics of the batch are used and remembered.
    Train,
    /// A loss and metrics on data that is not learnt.
    Evaluate,
    /// Results alone.
    Predict,
}

/// One layer as it was written, for tables and pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRow {
    /// Path, such as `classifier.dense_2`.
    pub path: String,
    /// Kind, such as `dense`.
    pub kind: String,
    /// How many layers it lies in.
    pub depth: usize,
    /// What it makes; `None` after an error.
    pub output: Option<TensorType>,
    /// Numbers that training changes, with those of the layers inside.
    pub trainable: usize,
    /// Numbers that it does not.
    pub fixed: usize,
    /// Whether it was applied before and shares its parameters.
    pub shared: bool,
    /// The line it was made in.
    pub at: At,
}

/// Where a model is being written.
///
/// Layers apply themselves in it ([`super::Layer::apply`]); layers of one's own declare parameters with
/// [`Context::param`]. The order of layers decides what those without a name are called, so that it should not depend on
/// the mode.
pub struct Context<'g> {
    graph: &'g Graph,
    mode: Mode,
    /// Names of the layers being written, the innermost last.
    path: RefCell<Vec<String>>,
    /// Name of each layer in its path.
    names: RefCell<BTreeMap<(String, u64), String>>,
    /// Whose a name is in a path, and how many layers of a kind have none of their own.
    taken: RefCell<BTreeMap<(String, String), Option<u64>>>,
    counts: RefCell<BTreeMap<(String, &'static str), usize>>,
    states: RefCell<BTreeMap<String, Tensor<'g>>>,
    penalties: RefCell<Vec<Tensor<'g>>>,
    rows: RefCell<Vec<LayerRow>>,
    frozen: Cell<bool>,
}

impl<'g> Context<'g> {
    /// To write a model into `graph`.
    pub fn new(graph: &'g Graph, mode: Mode) -> Context<'g> {
        Context {
            graph,
            mode,
            path: RefCell::default(),
            names: RefCell::default(),
            taken: RefCell::default(),
            counts: RefCell::default(),
            states: RefCell::default(),
            penalties: RefCell::default(),
            rows: RefCell::default(),
            frozen: Cell::new(false),
        }
    }

    /// The graph.
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// What the graph is for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the layer being written learns: in training, unless it or one around it is not trainable.
    pub fn learns(&self) -> bool {
        self.mode == Mode::Train && !self.frozen.get()
    }

    /// A parameter of the layer being written, called `path.name`; the same tensor when it is applied again.
    #[track_caller]
    pub fn param(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Tensor<'g> {
        let kind = if self.frozen.get() { StateKind::Frozen } else { StateKind::Param };
        self.declare(name, kind, TensorType::new(self.graph.float(), shape), init)
    }

    /// A statistic of the layer being written: training may write it, optimizers do not.
    #[track_caller]
    pub fn stat(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Tensor<'g> {
        self.declare(name, StateKind::Stat, TensorType::new(self.graph.float(), shape), init)
    }

    /// Adds `value`, one number, to the loss.
    pub fn penalty(&self, value: Tensor<'g>) {
        self.penalties.borrow_mut().push(value);
    }

    /// What layers have added to the loss so far, as one number.
    pub fn penalties(&self) -> Option<Tensor<'g>> {
        self.penalties.borrow().iter().copied().reduce(|a, b| a + b)
    }

    /// Layers written so far, each before those inside.
    pub fn rows(&self) -> Vec<LayerRow> {
        self.rows.borrow().clone()
    }

    /// Path of the layer being written; empty outside.
    pub fn path(&self) -> String {
        self.path.borrow().join(".")
    }

    /// Records what is wrong with `op`, with the path of the layer being written.
    pub fn fail(&self, op: &str, at: At, message: impl Into<String>, help: impl Into<String>) {
        self.graph.record(TypeError::new(op, at, message, help));
    }

    /// Writes `body` inside of a part of the layer being written, so that parameters are called `path.name.…`.
    pub fn part(&self, name: &str, body: impl FnOnce() -> Tensor<'g>) -> Tensor<'g> {
        self.path.borrow_mut().push(name.to_string());
        let result = self.graph.layer(name, body);
        self.path.borrow_mut().pop();
        result
    }

    /// Writes `body` as a layer of this kind.
    #[track_caller]
    pub(super) fn within(
        &self,
        kind: &'static str,
        common: Option<&Common>,
        body: impl FnOnce() -> Tensor<'g>,
    ) -> Tensor<'g> {
        let at = common.map_or_else(At::here, |c| c.at);
        let Some((name, shared)) = self.name(kind, common, at) else { return self.graph.poison() };
        let frozen = self.frozen.get();
        self.frozen.set(frozen || common.is_some_and(|c| !c.trainable));
        let depth = self.path.borrow().len();
        self.path.borrow_mut().push(name.clone());
        let path = self.path();
        let row = LayerRow {
            path: path.clone(),
            kind: kind.to_string(),
            depth,
            output: None,
            trainable: 0,
            fixed: 0,
            shared,
            at,
        };
        let index = self.rows.borrow().len();
        self.rows.borrow_mut().push(row);
        // Formulas of layers that know their line are written there.
        let before = self.graph.place.replace(common.map(|c| c.at));
        let result = self.graph.layer(&name, body);
        self.graph.place.set(before);
        self.path.borrow_mut().pop();
        self.frozen.set(frozen);
        let (trainable, fixed) = self.graph.numbers_below(&path);
        let row = &mut self.rows.borrow_mut()[index];
        (row.output, row.trainable, row.fixed) = (result.ty(), trainable, fixed);
        result
    }

    /// Name of a layer in the path being written, and whether it has been applied there before.
    fn name(&self, kind: &'static str, common: Option<&Common>, at: At) -> Option<(String, bool)> {
        let path = self.path();
        let id = common.map(|c| c.id);
        if let Some(name) = id.and_then(|id| self.names.borrow().get(&(path.clone(), id)).cloned())
        {
            return Some((name, true));
        }
        let mut taken = self.taken.borrow_mut();
        let name = match common.and_then(|c| c.name.clone()) {
            Some(name) if name.is_empty() || name.contains('.') => {
                let help = "choose a name of at least one letter and without dots";
                self.fail(kind, at, format!("cannot be called {name:?}"), help);
                return None;
            }
            Some(name) => {
                if taken.contains_key(&(path.clone(), name.clone())) {
                    let help = "rename one; to share parameters, apply one layer twice";
                    self.fail(kind, at, format!("is called `{name}` like another layer"), help);
                    return None;
                }
                name
            }
            None => loop {
                let mut counts = self.counts.borrow_mut();
                let count = counts.entry((path.clone(), kind)).or_insert(0);
                *count += 1;
                let name = format!("{kind}_{count}");
                if !taken.contains_key(&(path.clone(), name.clone())) {
                    break name;
                }
            },
        };
        taken.insert((path.clone(), name.clone()), id);
        if let Some(id) = id {
            self.names.borrow_mut().insert((path, id), name.clone());
        }
        Some((name, false))
    }

    #[track_caller]
    fn declare(&self, name: &str, kind: StateKind, ty: TensorType, init: Init) -> Tensor<'g> {
        let path = self.graph.path(name);
        if let Some(&state) = self.states.borrow().get(&path) {
            let known = state.ty();
            if known.as_ref().is_some_and(|known| known.shape != ty.shape) {
                let known = known.map(|k| k.shape.to_string()).unwrap_or_default();
                let message = format!("is {known} and cannot be {} too", ty.shape);
                let help =
                    "apply a layer twice to tensors of the same features, or make two layers";
                self.graph.record(TypeError::new(name, At::here(), message, help));
                return self.graph.poison();
            }
            return state;
        }
        let state = self.graph.state(name, kind, ty, init);
        self.states.borrow_mut().insert(path, state);
        state
    }
}
