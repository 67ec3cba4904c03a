//! Where layers are written: a graph, a mode, and the path of the layer that is being written.

use super::Common;
use crate::graph::Graph;
use crate::init::Init;
use crate::tensor::Tensor;
use eggrad_ir::{At, Shape, StateKind, TensorType, TypeError};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Path of each layer, which it has where it was applied first.
    places: RefCell<BTreeMap<u64, Vec<String>>>,
    /// Paths that layers have, and how many layers of a kind in a path have no name of their own.
    taken: RefCell<BTreeSet<Vec<String>>>,
    counts: RefCell<BTreeMap<(Vec<String>, &'static str), usize>>,
    states: RefCell<BTreeMap<String, Tensor<'g>>>,
    penalties: RefCell<Vec<Tensor<'g>>>,
    rows: RefCell<Vec<LayerRow>>,
    made: RefCell<Vec<(String, Tensor<'g>)>>,
    frozen: Cell<bool>,
}

impl<'g> Context<'g> {
    /// To write a model into `graph`.
    pub fn new(graph: &'g Graph, mode: Mode) -> Context<'g> {
        Context {
            graph,
            mode,
            path: RefCell::default(),
            places: RefCell::default(),
            taken: RefCell::default(),
            counts: RefCell::default(),
            states: RefCell::default(),
            penalties: RefCell::default(),
            rows: RefCell::default(),
            made: RefCell::default(),
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

    /// What each layer has made so far, by path, in the order in which they were done.
    pub fn made(&self) -> Vec<(String, Tensor<'g>)> {
        self.made.borrow().clone()
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

    /// Writes `body` as a layer of this kind. A layer that was applied before has the path and the parameters of then.
    ///
    /// [`super::Layer::apply`] does this; layers of several tensors do it themselves.
    #[track_caller]
    pub fn layer(
        &self,
        kind: &'static str,
        common: Option<&Common>,
        body: impl FnOnce() -> Tensor<'g>,
    ) -> Tensor<'g> {
        let at = common.map_or_else(At::here, |c| c.at);
        let Some((place, shared)) = self.place(kind, common, at) else {
            return self.graph.poison();
        };
        let frozen = self.frozen.get();
        self.frozen.set(frozen || common.is_some_and(|c| !c.trainable));
        let outside = self.path.replace(place.clone());
        let path = self.path();
        let row = LayerRow {
            path: path.clone(),
            kind: kind.to_string(),
            depth: outside.len(),
            output: None,
            trainable: 0,
            fixed: 0,
            shared,
            at,
        };
        let index = self.rows.borrow().len();
        self.rows.borrow_mut().push(row);
        // Formulas of layers that know their line are written there.
        let line = common.map(|c| c.at);
        let result = self.graph.written_at(line, || self.graph.layer_at(&place, body));
        self.path.replace(outside);
        self.frozen.set(frozen);
        self.made.borrow_mut().push((path.clone(), result));
        let (trainable, fixed) = self.graph.numbers_below(&path);
        let row = &mut self.rows.borrow_mut()[index];
        (row.output, row.trainable, row.fixed) = (result.ty(), trainable, fixed);
        result
    }

    /// Path of a layer, and whether it has been applied before.
    fn place(
        &self,
        kind: &'static str,
        common: Option<&Common>,
        at: At,
    ) -> Option<(Vec<String>, bool)> {
        let known = common.and_then(|c| self.places.borrow().get(&c.id).cloned());
        if let Some(place) = known {
            return Some((place, true));
        }
        let outside = self.path.borrow().clone();
        let inside = |name: String| [outside.as_slice(), &[name]].concat();
        let place = match common.and_then(|c| c.name.clone()) {
            Some(name) if name.is_empty() || name.contains('.') => {
                let help = "choose a name of at least one letter and without dots";
                self.fail(kind, at, format!("cannot be called {name:?}"), help);
                return None;
            }
            Some(name) => {
                if self.taken.borrow().contains(&inside(name.clone())) {
                    let help = "rename one; to share parameters, apply one layer twice";
                    self.fail(kind, at, format!("is called `{name}` like another layer"), help);
                    return None;
                }
                inside(name)
            }
            None => loop {
                let mut counts = self.counts.borrow_mut();
                let count = counts.entry((outside.clone(), kind)).or_insert(0);
                *count += 1;
                let place = inside(format!("{kind}_{count}"));
                if !self.taken.borrow().contains(&place) {
                    break place;
                }
            },
        };
        self.taken.borrow_mut().insert(place.clone());
        if let Some(common) = common {
            self.places.borrow_mut().insert(common.id, place.clone());
        }
        Some((place, false))
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
