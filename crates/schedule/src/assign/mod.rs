//! Kernels to a plan: order, buffers, the guard, and one arena.

mod inside;
mod memory;
mod order;
mod uses;

pub(crate) use memory::{kept, lifetimes};
pub(crate) use uses::{Use, uses};

use crate::groups::Groups;
use crate::lower::{Arg, Draft, Lowering, lane};
use crate::plan::{
    Access, Buffer, Guard, Kernel, KernelKind, Phase, Place, Plan, RowKernel, Slot, StateSlot,
    Store,
};
use eggrad_body::Body;
use eggrad_ir::{DType, Graph, NodeId, Op, Part, TensorData};
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Kernels that run one after the other: those of a group, or one copy.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) drafts: Vec<Draft>,
    /// Later of equally urgent tasks run in this order.
    pub(crate) key: usize,
    /// Whether the guard needs it.
    pub(crate) guards: bool,
    /// Whether it runs once for many runs.
    pub(crate) setup: bool,
}

/// Everything that stands between groups and the plan.
pub(crate) struct Assign<'a> {
    pub(crate) groups: &'a Groups<'a>,
    pub(crate) tasks: Vec<Task>,
    /// Which task must run before which; a node for each task, by its number.
    pub(crate) precedence: DiGraph<(), ()>,
    /// The task that stores a node.
    pub(crate) maker: BTreeMap<NodeId, usize>,
    /// Arrays that a node is written to besides the one it is read from.
    pub(crate) copies: BTreeMap<NodeId, Vec<Arg>>,
    /// Tasks that read a leaf's value.
    pub(crate) readers: BTreeMap<NodeId, Vec<usize>>,
    /// The array that holds a stored node, if not the arena.
    pub(crate) primary: BTreeMap<NodeId, Arg>,
}

/// Orders the kernels of `lowering`, gives every value a place and makes the plan of `original`.
pub(crate) fn assign(mut lowering: Lowering<'_>, original: &Graph) -> Plan {
    let groups = lowering.groups;
    let mut assign = Assign {
        groups,
        tasks: vec![],
        precedence: DiGraph::new(),
        maker: BTreeMap::new(),
        copies: BTreeMap::new(),
        readers: BTreeMap::new(),
        primary: BTreeMap::new(),
    };
    for (index, group) in groups.groups.iter().enumerate() {
        let Some(last) = group.members.last() else { continue };
        let drafts = lowering.lower(index);
        let task = assign.task(drafts, last.index());
        assign.tasks[task].setup = group.setup;
        for &member in &group.members {
            assign.maker.insert(member, task);
        }
    }
    assign.depend();
    assign.guard(groups.graph.guard());
    assign.outputs();
    assign.states();
    let order = assign.order();
    assign.plan(original, &order)
}

impl Assign<'_> {
    /// Data dependencies of the tasks so far.
    fn depend(&mut self) {
        for task in 0..self.tasks.len() {
            let args = self.tasks[task].drafts.iter().flat_map(|d| &d.args);
            let values = args.filter_map(|arg| match arg {
                Arg::Value(id) => Some(*id),
                Arg::Output(_) | Arg::State(_) | Arg::Old(_) | Arg::Scratch { .. } => None,
            });
            for id in values.collect::<BTreeSet<NodeId>>() {
                self.reads(task, id);
            }
        }
    }

    /// Notes that `task` touches the value of `id`.
    fn reads(&mut self, task: usize, id: NodeId) {
        match self.maker.get(&id) {
            Some(&maker) => self.precede(maker, task),
            None => self.readers.entry(id).or_default().push(task),
        }
    }

    /// A new task, which depends on nothing yet.
    fn task(&mut self, drafts: Vec<Draft>, key: usize) -> usize {
        self.tasks.push(Task { drafts, key, guards: false, setup: false });
        self.precedence.add_node(()).index()
    }

    /// Has task `first` run before task `then`.
    fn precede(&mut self, first: usize, then: usize) {
        if first != then {
            self.precedence.update_edge(NodeIndex::new(first), NodeIndex::new(then), ());
        }
    }

    /// Adds a kernel that copies all elements of `from` to `to`.
    pub(super) fn copy(
        &mut self,
        from: Arg,
        to: Arg,
        ty: &eggrad_ir::TensorType,
        id: NodeId,
    ) -> usize {
        let mut body = Body::new();
        let value = body.load(0, lane(ty.dtype));
        let access = |arg| Access { arg, dtype: ty.dtype, offset: 0, strides: vec![1] };
        let stores = vec![Store { access: 1, value, add_at: None }];
        let kernel = Kernel {
            name: "copy".to_string(),
            kind: KernelKind::Row(RowKernel {
                outer: vec![],
                row: ty.shape.elements(),
                accesses: vec![access(0), access(1)],
                phases: vec![Phase::Pass { body, folds: vec![], stores }],
            }),
            args: vec![],
            nodes: vec![self.groups.legal.origin[id.index()]],
            part: if matches!(to, Arg::State(_) | Arg::Old(_)) {
                Part::Update
            } else {
                Part::Forward
            },
            splittable: true,
        };
        let key = self.groups.graph.nodes().len() + self.tasks.len();
        let drafts = vec![Draft { kernel, args: vec![from, to] }];
        let task = self.task(drafts, key);
        if let Arg::Value(id) = from {
            self.reads(task, id);
        }
        task
    }

    fn plan(&self, original: &Graph, order: &[usize]) -> Plan {
        let graph = self.groups.graph;
        let mut plan = Plan::default();
        let mut numbers: BTreeMap<Arg, usize> = BTreeMap::new();
        for (i, input) in original.inputs().iter().enumerate() {
            let ty = input.ty.clone();
            numbers.insert(Arg::Value(graph.inputs()[i].node), plan.buffers.len());
            let buffer = plan.add(&input.name, ty.dtype, ty.shape.elements(), Place::Input(i));
            plan.inputs.push(Slot { name: input.name.clone(), ty, buffer, range: input.range });
        }
        for (i, state) in original.states().iter().enumerate() {
            let ty = state.ty.clone();
            let buffer = plan.add(&state.name, ty.dtype, ty.shape.elements(), Place::State(i));
            numbers.insert(Arg::Value(graph.states()[i].read), buffer);
            numbers.insert(Arg::State(i), buffer);
            let (name, kind) = (state.name.clone(), state.kind);
            let legal = &graph.states()[i];
            let written = legal.write.is_some_and(|w| w != legal.read);
            plan.states.push(StateSlot { name, kind, ty, buffer, written });
        }
        for (i, output) in original.outputs().iter().enumerate() {
            let ty = original.ty(output.node).clone();
            let buffer = plan.add(&output.name, ty.dtype, ty.shape.elements(), Place::Output(i));
            numbers.insert(Arg::Output(i), buffer);
            plan.outputs.push(Slot { name: output.name.clone(), ty, buffer, range: None });
        }
        for (id, arg) in &self.primary {
            numbers.insert(Arg::Value(*id), numbers[arg]);
        }
        let inside = self.known_inside(graph.guard());
        for &task in order {
            for draft in &self.tasks[task].drafts {
                for (value, result) in self.shared(draft, &inside) {
                    let number = self.number(&mut plan, &mut numbers, result);
                    numbers.insert(value, number);
                }
                let args = draft.args.iter().map(|arg| self.number(&mut plan, &mut numbers, *arg));
                let args = args.collect::<Vec<usize>>();
                let extra = |plan: &mut Plan, numbers: &mut BTreeMap<Arg, usize>, id| {
                    let copies = self.copies.get(&id).into_iter().flatten();
                    copies.map(|c| self.number(plan, numbers, *c)).collect::<Vec<usize>>()
                };
                let mut kernel = draft.kernel.clone();
                uses::bind(&mut kernel, &draft.args, args, |id| extra(&mut plan, &mut numbers, id));
                plan.kernels.push(kernel);
            }
        }
        let leading = |wanted: &dyn Fn(&Task) -> bool| -> usize {
            let tasks = order.iter().map(|&t| &self.tasks[t]).take_while(|t| wanted(t));
            tasks.map(|task| task.drafts.len()).sum()
        };
        plan.setup = leading(&|task| task.setup);
        plan.guard = graph.guard().map(|guard| Guard {
            after: leading(&|task| task.setup || task.guards),
            buffer: self.number(&mut plan, &mut numbers, Arg::Value(guard)),
        });
        memory::place(&mut plan);
        plan
    }

    /// Values that only one kernel touches, and that lie in the arena.
    fn known_inside(&self, guard: Option<NodeId>) -> BTreeSet<Arg> {
        let mut touched: BTreeMap<Arg, usize> = BTreeMap::new();
        for draft in self.tasks.iter().flat_map(|task| &task.drafts) {
            for arg in draft.args.iter().collect::<BTreeSet<&Arg>>() {
                *touched.entry(*arg).or_default() += 1;
            }
        }
        let inside = |arg: &Arg| match arg {
            Arg::Value(id) => {
                guard != Some(*id)
                    && self.maker.contains_key(id)
                    && !self.copies.contains_key(id)
                    && !self.primary.contains_key(id)
            }
            Arg::Output(_) | Arg::State(_) | Arg::Old(_) | Arg::Scratch { .. } => false,
        };
        touched.into_iter().filter(|(arg, n)| *n == 1 && inside(arg)).map(|(arg, _)| arg).collect()
    }

    /// Arguments of a kernel that may share their memory, see [`inside::shared`].
    fn shared(&self, draft: &Draft, inside: &BTreeSet<Arg>) -> Vec<(Arg, Arg)> {
        let graph = self.groups.graph;
        let size = |id: NodeId| graph.ty(id).shape.elements();
        // States keep their values when a run fails.
        let elements = |arg: Arg| match arg {
            Arg::Value(id) => match self.primary.get(&id) {
                None => self.maker.contains_key(&id).then(|| size(id)),
                Some(Arg::Output(_)) => Some(size(id)),
                Some(_) => None,
            },
            Arg::Output(i) => Some(size(graph.outputs()[i].node)),
            Arg::State(_) | Arg::Old(_) | Arg::Scratch { .. } => None,
        };
        let alike = |a: Arg, b: Arg| elements(a).is_some_and(|size| elements(b) == Some(size));
        inside::shared(&draft.kernel, &draft.args, |arg| inside.contains(&arg), alike)
    }

    /// The buffer of an argument, made when it is not there yet.
    fn number(&self, plan: &mut Plan, numbers: &mut BTreeMap<Arg, usize>, arg: Arg) -> usize {
        if let Some(&number) = numbers.get(&arg) {
            return number;
        }
        let graph = self.groups.graph;
        let (id, name) = match arg {
            Arg::Value(id) => (id, format!("%{}", self.groups.legal.origin[id.index()].0)),
            Arg::Old(state) => {
                let id = graph.states()[state].read;
                (id, format!("next {}", graph.states()[state].name))
            }
            Arg::Scratch { bytes, .. } => {
                let number = plan.add("scratch", DType::U8, bytes, Place::Arena(0));
                numbers.insert(arg, number);
                return number;
            }
            Arg::Output(_) | Arg::State(_) => panic!("internal error: {arg:?} has no buffer"),
        };
        let node = graph.node(id);
        let place = if let Op::Data(data) = &node.op {
            Place::Constant(bytes(data))
        } else {
            Place::Arena(0)
        };
        let number = plan.add(&name, node.ty.dtype, node.ty.shape.elements(), place);
        numbers.insert(arg, number);
        number
    }
}

impl Plan {
    fn add(&mut self, name: &str, dtype: DType, elements: usize, place: Place) -> usize {
        self.buffers.push(Buffer { name: name.to_string(), dtype, elements, place });
        self.buffers.len() - 1
    }
}

/// The elements as they lie in memory, little-endian.
fn bytes(data: &TensorData) -> Arc<[u8]> {
    let mut bytes = Vec::with_capacity(data.values.len() * data.dtype.bytes());
    for &value in &data.values {
        match data.dtype {
            DType::F32 => bytes.extend((value as f32).to_le_bytes()),
            DType::F64 => bytes.extend(value.to_le_bytes()),
            DType::I32 => bytes.extend((value as i32).to_le_bytes()),
            DType::I64 => bytes.extend((value as i64).to_le_bytes()),
            DType::U8 => bytes.push(value as u8),
            DType::Bool => bytes.push(u8::from(value != 0.0)),
        }
    }
    bytes.into()
}
