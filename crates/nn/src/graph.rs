//! The graph under construction: declarations, outputs, state writes, and the errors collected on the way.

use crate::init::Init;
use crate::tensor::Tensor;
use eggrad_ir::{
    At, Builder, DType, Literal, NodeId, Op, Operand, Shape, StateKind, TensorType, TypeError,
    TypeErrors,
};
use std::cell::{Cell, RefCell};

/// What to do instead of writing a frozen parameter.
const FROZEN_HELP: &str = "train in a graph of its own, which shares the store";

/// A model while it is being written.
///
/// Tensors are `Copy` handles into it. An op with operands that do not fit records an error with the user's file and
/// line and yields a tensor that silences errors that follow from it; [`Graph::build`] returns all of them.
#[derive(Default)]
pub struct Graph {
    pub(crate) builder: RefCell<Builder>,
    errors: RefCell<Vec<TypeError>>,
    inits: RefCell<Vec<Init>>,
    /// Kind that each state was declared with.
    kinds: RefCell<Vec<StateKind>>,
    layers: RefCell<Vec<String>>,
    dtype: Cell<Option<DType>>,
    /// Whether parameters are declared frozen from now on.
    frozen: Cell<bool>,
    /// Where formulas count as written, instead of where the builder was called.
    pub(crate) place: Cell<Option<At>>,
    /// Random streams drawn so far.
    pub(crate) streams: Cell<u64>,
    /// Loops whose bodies are being written, the innermost last: the number of the step, where it was asked for.
    pub(crate) loops: RefCell<Vec<Option<NodeId>>>,
}

/// A finished graph and how its states begin.
#[derive(Clone, Debug)]
pub struct Built {
    /// The verified graph; derivatives are still `grad` nodes.
    pub graph: eggrad_ir::Graph,
    /// Initial value of each state, in the graph's order.
    pub inits: Vec<Init>,
    /// Kind that each state was declared with; [`Graph::freeze`] makes it another one in the graph.
    pub kinds: Vec<StateKind>,
}

impl Graph {
    /// An empty graph whose floats are `f32`.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// An empty graph whose floats are `dtype`: `f64` for gradient checks.
    #[track_caller]
    pub fn with_floats(dtype: DType) -> Graph {
        let graph = Graph::default();
        if dtype.is_float() {
            graph.dtype.set(Some(dtype));
        } else {
            let message = format!("cannot compute in {}", dtype.name());
            graph.record(TypeError::new("Graph", At::here(), message, "choose f32 or f64"));
        }
        graph
    }

    /// Element type of inputs, parameters and constants that do not say otherwise.
    pub fn float(&self) -> DType {
        self.dtype.get().unwrap_or(DType::F32)
    }

    /// A float input that the caller passes at each run.
    #[track_caller]
    pub fn input(&self, name: &str, shape: impl Into<Shape>) -> Tensor<'_> {
        self.declare(name, TensorType::new(self.float(), shape), None, At::here())
    }

    /// An input of element type `dtype`.
    #[track_caller]
    pub fn input_of(&self, name: &str, dtype: DType, shape: impl Into<Shape>) -> Tensor<'_> {
        self.declare(name, TensorType::new(dtype, shape), None, At::here())
    }

    /// An input of integer class labels, `0 <= label < classes`, checked at each run.
    #[track_caller]
    pub fn labels(&self, name: &str, shape: impl Into<Shape>, classes: usize) -> Tensor<'_> {
        let at = At::here();
        if classes == 0 || classes > i32::MAX as usize {
            let message = format!("cannot have {classes} classes");
            self.record(TypeError::new("labels", at, message, "name at least one class"));
            return self.poison();
        }
        let range = Some((0.0, (classes - 1) as f64));
        self.declare(name, TensorType::new(DType::I32, shape), range, at)
    }

    /// A trainable parameter that begins as `init` says.
    #[track_caller]
    pub fn param(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Tensor<'_> {
        let ty = TensorType::new(self.float(), shape);
        self.declare_state(name, StateKind::Param, ty, init, At::here())
    }

    /// A parameter that training leaves alone.
    #[track_caller]
    pub fn frozen(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Tensor<'_> {
        let ty = TensorType::new(self.float(), shape);
        self.declare_state(name, StateKind::Frozen, ty, init, At::here())
    }

    /// Reads all trainable parameters, declared before or after, as frozen: for graphs that predict. What depends on
    /// them alone is then computed once, not in every run, and weights may be multiplied with each other. Parameters may
    /// be frozen in one graph and trained by another.
    ///
    /// # Errors
    /// Recorded in the graph: a parameter that the graph writes.
    #[track_caller]
    pub fn freeze(&self) {
        let at = At::here();
        self.frozen.set(true);
        let written = self.params().into_iter().filter(|param| {
            let builder = self.builder.borrow();
            builder.graph().states().iter().any(|s| Some(s.read) == param.id && s.write.is_some())
        });
        for param in written {
            let name = self.state_name(param).unwrap_or_default();
            let message = format!("comes after a write to `{name}`");
            self.record(TypeError::new("freeze", at, message, FROZEN_HELP));
        }
        self.builder.borrow_mut().freeze();
    }

    /// A state of any kind and type.
    #[track_caller]
    pub fn state(&self, name: &str, kind: StateKind, ty: TensorType, init: Init) -> Tensor<'_> {
        self.declare_state(name, kind, ty, init, At::here())
    }

    /// One number of this graph's float type.
    #[track_caller]
    pub fn constant(&self, value: f64) -> Tensor<'_> {
        self.literal(self.float(), value, At::here())
    }

    /// Runs `body` inside a layer: states declared there are called `name.…`, and errors name the layer.
    pub fn layer<T>(&self, name: &str, body: impl FnOnce() -> T) -> T {
        self.layers.borrow_mut().push(name.to_string());
        self.enter_layer();
        let result = body();
        self.layers.borrow_mut().pop();
        self.enter_layer();
        result
    }

    /// Runs `body` inside the layer of this whole path, whatever layer is being written.
    pub(crate) fn layer_at<T>(&self, path: &[String], body: impl FnOnce() -> T) -> T {
        let before = self.layers.replace(path.to_vec());
        self.enter_layer();
        let result = body();
        self.layers.replace(before);
        self.enter_layer();
        result
    }

    /// Runs `body`; formulas in it count as written at `at`, or where they are if it is `None`.
    pub fn written_at<T>(&self, at: Option<At>, body: impl FnOnce() -> T) -> T {
        let before = self.place.replace(at);
        let result = body();
        self.place.set(before);
        result
    }

    /// Tells the builder which layer is being written.
    fn enter_layer(&self) {
        let layers = self.layers.borrow();
        let path = (!layers.is_empty()).then(|| layers.join("."));
        self.builder.borrow_mut().set_layer(path.as_deref());
    }

    /// Names a result.
    #[track_caller]
    pub fn output(&self, name: &str, value: Tensor<'_>) {
        let Some(id) = self.own("output", value, At::here()) else { return };
        self.builder.borrow_mut().output(name, id);
    }

    /// Makes `value` what `state` holds after a run.
    #[track_caller]
    pub fn write(&self, state: Tensor<'_>, value: Tensor<'_>) {
        let at = At::here();
        let (Some(state), Some(value)) =
            (self.own("write", state, at), self.own("write", value, at))
        else {
            return;
        };
        let (message, help) = match self.builder.borrow().graph().node(state).op {
            Op::State(i) if self.builder.borrow().graph().states()[i].write.is_some() => {
                ("goes to a state that has been written", "write each state once")
            }
            Op::State(i)
                if self.frozen.get()
                    && self.builder.borrow().graph().states()[i].kind == StateKind::Frozen =>
            {
                ("goes to a frozen parameter", FROZEN_HELP)
            }
            Op::State(_) => ("", ""),
            _ => ("goes to a state", "pass what `param` or `state` gave"),
        };
        if message.is_empty() {
            self.builder.borrow_mut().write(state, value);
        } else {
            let mut error = TypeError::new("write", at, message, help);
            error.operands = self.operands(&[state, value]);
            self.record(error);
        }
    }

    /// Whether a state of that path has been declared.
    pub(crate) fn has_state(&self, path: &str) -> bool {
        self.builder.borrow().graph().states().iter().any(|s| s.name == path)
    }

    /// How many numbers the states below `path` hold: those that training changes, and others.
    pub(crate) fn numbers_below(&self, path: &str) -> (usize, usize) {
        let builder = self.builder.borrow();
        let kinds = self.kinds.borrow();
        let mut counts = (0, 0);
        for (state, kind) in builder.graph().states().iter().zip(kinds.iter()) {
            if state.name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')) {
                let count = state.ty.shape.elements();
                match kind {
                    StateKind::Param => counts.0 += count,
                    StateKind::Frozen | StateKind::Slot | StateKind::Stat | StateKind::Counter => {
                        counts.1 += count;
                    }
                }
            }
        }
        counts
    }

    /// Whether `state`, as `param` or `state` gave it, is written by a run.
    pub(crate) fn is_written(&self, state: Tensor<'_>) -> bool {
        let builder = self.builder.borrow();
        builder.graph().states().iter().any(|s| Some(s.read) == state.id && s.write.is_some())
    }

    /// Allows input `tensor` only numbers from `low` to `high` in each run; what it was allowed before still counts.
    pub fn limit(&self, tensor: Tensor<'_>, low: f64, high: f64) {
        if let Some(id) = tensor.id {
            self.builder.borrow_mut().limit_input(id, low, high);
        }
    }

    /// Greatest integer that the declared range of input `id` allows, if it is an input with a range.
    pub(crate) fn greatest(&self, id: NodeId) -> Option<f64> {
        let builder = self.builder.borrow();
        match builder.graph().node(id).op {
            // The number of a sub-graph's variable names no declaration.
            Op::Input(i) => builder.graph().inputs().get(i).and_then(|d| d.range).map(|r| r.1),
            _ => None,
        }
    }

    /// Names the float, usually the loss, that must be finite before any state is written.
    #[track_caller]
    pub fn guard(&self, loss: Tensor<'_>) {
        self.guard_at(loss, At::here());
    }

    pub(crate) fn guard_at(&self, loss: Tensor<'_>, at: At) {
        let Some(id) = self.own("guard", loss, at) else { return };
        let ty = self.builder.borrow().ty(id).clone();
        if ty.rank() != 0 || !ty.dtype.is_float() {
            let message = format!("must be one float, not {ty}");
            let help = "reduce the loss to one number, with `mean()` or `sum(..)`";
            let mut error = TypeError::new("loss", at, message, help);
            error.operands = self.operands(&[id]);
            self.record(error);
            return;
        }
        self.builder.borrow_mut().set_guard(Some(id));
    }

    /// The parameters declared so far that training changes, in order.
    pub fn params(&self) -> Vec<Tensor<'_>> {
        let builder = self.builder.borrow();
        let states = builder.graph().states().iter().filter(|s| s.kind == StateKind::Param);
        states.map(|s| Tensor { graph: self, id: Some(s.read) }).collect()
    }

    /// Path of the state that `tensor` reads, if it is the leaf of one.
    pub fn state_name(&self, tensor: Tensor<'_>) -> Option<String> {
        let builder = self.builder.borrow();
        match builder.graph().node(tensor.id?).op {
            Op::State(i) => Some(builder.graph().states()[i].name.clone()),
            _ => None,
        }
    }

    /// The finished graph.
    ///
    /// # Errors
    /// Every error collected, in the order made; one per cause.
    pub fn build(&self) -> Result<Built, TypeErrors> {
        let errors = self.errors.borrow();
        if !errors.is_empty() {
            return Err(TypeErrors(errors.clone()));
        }
        let graph = self.builder.borrow().clone().build()?;
        let (inits, kinds) = (self.inits.borrow().clone(), self.kinds.borrow().clone());
        Ok(Built { graph, inits, kinds })
    }

    /// Full name of a state declared now.
    pub(crate) fn path(&self, name: &str) -> String {
        let layers = self.layers.borrow();
        layers.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    pub(crate) fn declare_state(
        &self,
        name: &str,
        kind: StateKind,
        ty: TensorType,
        init: Init,
        at: At,
    ) -> Tensor<'_> {
        self.declare_root(&self.path(name), kind, ty, init, at)
    }

    /// Declares a state by its full name, whatever layer is being written.
    pub(crate) fn declare_root(
        &self,
        path: &str,
        kind: StateKind,
        ty: TensorType,
        init: Init,
        at: At,
    ) -> Tensor<'_> {
        if self.has_state(path) {
            let mut error = TypeError::new(
                path,
                at,
                "is the name of another state",
                "rename one; to share a parameter, declare it once and use the tensor twice",
            );
            let builder = self.builder.borrow();
            let first = builder.graph().states().iter().find(|s| s.name == path);
            error.operands = first.map(|s| builder.operand(s.read, 0)).into_iter().collect();
            drop(builder);
            self.record(error);
            return self.poison();
        }
        if let Some(message) = init.misfit(&ty) {
            let help = "choose an initialiser for this shape";
            self.record(TypeError::new(path, at, message, help));
            return self.poison();
        }
        if !self.check_size(path, &ty, at) {
            return self.poison();
        }
        let declared = kind;
        let frozen = kind == StateKind::Param && self.frozen.get();
        let kind = if frozen { StateKind::Frozen } else { kind };
        self.inits.borrow_mut().push(init);
        self.kinds.borrow_mut().push(declared);
        let at = self.place.get().unwrap_or(at);
        let id = self.builder.borrow_mut().declare_state(path, kind, ty, at);
        Tensor { graph: self, id: Some(id) }
    }

    fn declare(&self, name: &str, ty: TensorType, range: Option<(f64, f64)>, at: At) -> Tensor<'_> {
        if !self.check_size(name, &ty, at) {
            return self.poison();
        }
        let at = self.place.get().unwrap_or(at);
        let id = self.builder.borrow_mut().declare_input(name, ty, range, at);
        Tensor { graph: self, id: Some(id) }
    }

    fn check_size(&self, name: &str, ty: &TensorType, at: At) -> bool {
        let fits = ty.shape.checked_elements().is_some_and(|n| n <= isize::MAX as usize / 8);
        if !fits {
            let message = format!("of shape {} fits no memory", ty.shape);
            self.record(TypeError::new(name, at, message, "make the sizes smaller"));
        }
        fits
    }

    pub(crate) fn literal(&self, dtype: DType, value: f64, at: At) -> Tensor<'_> {
        match Literal::of(dtype, value) {
            Some(literal) => self.push(Op::Const(dtype, literal), &[], at),
            None => {
                let message = format!("{value} is no {}", dtype.name());
                self.record(TypeError::new("constant", at, message, "cast the tensor to a float"));
                self.poison()
            }
        }
    }

    /// Appends a node, or records why it cannot be.
    pub(crate) fn push(&self, op: Op, inputs: &[NodeId], at: At) -> Tensor<'_> {
        let at = self.place.get().unwrap_or(at);
        let result = self.builder.borrow_mut().push(op, inputs, at);
        match result {
            Ok(id) => Tensor { graph: self, id: Some(id) },
            Err(error) => {
                self.record(error);
                self.poison()
            }
        }
    }

    /// The node behind `tensor` if it belongs to this graph and is no error itself.
    pub(crate) fn own(&self, op: &str, tensor: Tensor<'_>, at: At) -> Option<NodeId> {
        if !std::ptr::eq(tensor.graph, self) {
            let help = "make both tensors from one `Graph`";
            self.record(TypeError::new(op, at, "takes a tensor of another graph", help));
            return None;
        }
        tensor.id
    }

    /// How an error shows nodes.
    pub(crate) fn operands(&self, ids: &[NodeId]) -> Vec<Operand> {
        let builder = self.builder.borrow();
        ids.iter().enumerate().map(|(i, &id)| builder.operand(id, i)).collect()
    }

    /// A tensor whose error has been recorded.
    pub(crate) fn poison(&self) -> Tensor<'_> {
        Tensor { graph: self, id: None }
    }

    pub(crate) fn record(&self, mut error: TypeError) {
        error.at = self.place.get().unwrap_or(error.at);
        let layers = self.layers.borrow();
        if error.layer.is_none() && !layers.is_empty() {
            error.layer = Some(layers.join("."));
        }
        self.errors.borrow_mut().push(error);
    }
}
