//! A compiled graph, and a caller's working memory for it.

use crate::error::Error;
use crate::explain::explain;
use crate::pipeline::{Options, compile};
use crate::report::Report;
use crate::store::Store;
use eggrad_ir::{At, Graph, StateDecl, StateKind, TypeError};
use eggrad_jit::{ArrayMut, ArrayRef, Executable, RunError, SharedStates, States, Workspace};
use eggrad_nn::{Built, Init};
use std::sync::Arc;
use std::time::Duration;

/// A compiled graph; any number of threads may run it, each with a [`Session`] of its own.
#[derive(Debug)]
pub struct Program {
    executable: Executable,
    report: Report,
    /// What was scheduled; to explain a run that failed.
    graph: Graph,
    inits: Vec<Init>,
    /// What states are for in a store, also those that this program reads as frozen.
    kinds: Vec<StateKind>,
}

impl Program {
    /// Compiles the graph under construction.
    ///
    /// # Errors
    /// Every mistake in the graph, or what a stage of the pipeline refused.
    pub fn compile(graph: &eggrad_nn::Graph, options: &Options) -> Result<Program, Error> {
        let built = graph.build()?;
        let (executable, graph, report) = compile(&built.graph, options)?;
        let Built { inits, kinds, .. } = built;
        Ok(Program { executable, report, graph, inits, kinds })
    }

    /// What the compile did.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The graph that was scheduled: differentiated and optimised.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The states, each with what it is for in a store.
    pub(crate) fn declared(&self) -> impl Iterator<Item = (&StateDecl, StateKind)> {
        self.graph.states().iter().zip(self.kinds.iter().copied())
    }

    /// The machine code and its plan.
    pub fn executable(&self) -> &Executable {
        &self.executable
    }
}

/// Working memory to run a [`Program`] over a [`Store`].
///
/// What the program makes of frozen states alone is computed in the first run, and again only after one of them has
/// changed: by `Store::get_mut`, or in a run of a program that trains it.
#[derive(Debug)]
pub struct Session {
    program: Arc<Program>,
    workspace: Workspace,
    /// Place in the store of each state of the program.
    places: Vec<usize>,
    /// Those that the program writes.
    written: Vec<usize>,
    /// Those that it reads and takes for constant.
    frozen: Vec<usize>,
    store: u64,
    /// Version of the store when it was looked at last, and of the frozen states then.
    version: (u64, u64),
}

impl Session {
    /// Allocates what runs need, and makes the states that `store` does not have yet.
    ///
    /// # Errors
    /// When the store has a state of the same path and another type or kind, or there is no memory.
    pub fn new(program: &Arc<Program>, store: &mut Store) -> Result<Session, Error> {
        let attach = |((state, init), &kind): ((&StateDecl, &Init), &StateKind)| {
            store.attach(&state.name, kind, &state.ty, init, state.at)
        };
        let states = program.graph.states().iter().zip(&program.inits).zip(&program.kinds);
        let places = states.map(attach).collect::<Result<Vec<usize>, Error>>()?;
        Session::at(program, places, store.id())
    }

    /// As [`Session::new`] over a store that has all states already.
    ///
    /// # Errors
    /// When it has not, and as [`Session::new`].
    pub(crate) fn over(program: &Arc<Program>, store: &Store) -> Result<Session, Error> {
        let places = program.graph.states().iter().map(|state| store.find(state));
        Session::at(program, places.collect::<Result<Vec<usize>, Error>>()?, store.id())
    }

    fn at(program: &Arc<Program>, places: Vec<usize>, store: u64) -> Result<Session, Error> {
        let workspace = program.executable.workspace()?;
        let slots = || program.executable.plan().states.iter().zip(&places);
        let written = slots().filter(|(slot, _)| slot.written);
        let frozen = slots().filter(|(slot, _)| slot.kind == StateKind::Frozen && !slot.written);
        Ok(Session {
            written: written.map(|(_, &place)| place).collect(),
            frozen: frozen.map(|(_, &place)| place).collect(),
            program: Arc::clone(program),
            workspace,
            places,
            store,
            version: (store, 0),
        })
    }

    /// Whether it runs over this store.
    pub(crate) fn is_over(&self, store: &Store) -> bool {
        store.id() == self.store
    }

    /// The program this session runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Runs once: reads `inputs`, updates the states in `store`, writes `outputs`. Allocates nothing.
    ///
    /// # Errors
    /// When arrays do not fit, an integer input is out of its range, or the guarded value is not finite; then no
    /// state has changed. The error names the declared shapes, the user's lines, and the op that made the value.
    #[track_caller]
    pub fn run(
        &mut self,
        store: &mut Store,
        inputs: &[ArrayRef<'_>],
        outputs: &mut [ArrayMut<'_>],
    ) -> Result<(), Error> {
        self.run_at(store, inputs, outputs, At::here())
    }

    /// [`Session::run`] on behalf of the caller at `at`.
    pub(crate) fn run_at(
        &mut self,
        store: &mut Store,
        inputs: &[ArrayRef<'_>],
        outputs: &mut [ArrayMut<'_>],
        at: At,
    ) -> Result<(), Error> {
        self.check(store, at)?;
        let version = self.version(store);
        let mut states = States { arrays: store.arrays_mut(), map: &self.places, version };
        let run = self.program.executable.run(&mut self.workspace, inputs, &mut states, outputs);
        if !self.written.is_empty() && run.is_ok() {
            store.changed(&self.written);
        }
        run.map_err(|error| self.explain(error, store, inputs, at))
    }

    /// As [`Session::run`]; adds what each kernel took to its place in `times`, in the order of
    /// [`Executable::kernels`].
    ///
    /// # Errors
    /// As [`Session::run`].
    ///
    /// # Panics
    /// When there are fewer times than kernels.
    #[track_caller]
    pub fn run_timed(
        &mut self,
        store: &mut Store,
        inputs: &[ArrayRef<'_>],
        outputs: &mut [ArrayMut<'_>],
        times: &mut [Duration],
    ) -> Result<(), Error> {
        let at = At::here();
        self.check(store, at)?;
        let version = self.version(store);
        let mut states = States { arrays: store.arrays_mut(), map: &self.places, version };
        let executable = &self.program.executable;
        let run = executable.run_timed(&mut self.workspace, inputs, &mut states, outputs, times);
        if !self.written.is_empty() && run.is_ok() {
            store.changed(&self.written);
        }
        run.map_err(|error| self.explain(error, store, inputs, at))
    }

    /// Runs a program that writes no state, over a store that other threads may read at the same time.
    ///
    /// # Errors
    /// As [`Session::run`], and when the program writes a state.
    #[track_caller]
    pub fn run_shared(
        &mut self,
        store: &Store,
        inputs: &[ArrayRef<'_>],
        outputs: &mut [ArrayMut<'_>],
    ) -> Result<(), Error> {
        self.run_shared_at(store, inputs, outputs, At::here())
    }

    /// [`Session::run_shared`] on behalf of the caller at `at`.
    pub(crate) fn run_shared_at(
        &mut self,
        store: &Store,
        inputs: &[ArrayRef<'_>],
        outputs: &mut [ArrayMut<'_>],
        at: At,
    ) -> Result<(), Error> {
        self.check(store, at)?;
        let version = self.version(store);
        let states = SharedStates { arrays: store.arrays(), map: &self.places, version };
        let run = self.program.executable.run_shared(&mut self.workspace, inputs, states, outputs);
        run.map_err(|error| self.explain(error, store, inputs, at))
    }

    fn explain(&self, error: RunError, store: &Store, inputs: &[ArrayRef<'_>], at: At) -> Error {
        let arrays = self.places.iter().map(|&place| ArrayRef::from(&store.arrays()[place]));
        let states: Vec<ArrayRef<'_>> = arrays.collect();
        explain(error, &self.program.graph, inputs, &states, at)
    }

    /// Version of the frozen states.
    fn version(&mut self, store: &Store) -> u64 {
        if self.version.0 != store.version() {
            self.version = (store.version(), store.version_of(&self.frozen));
        }
        self.version.1
    }

    fn check(&self, store: &Store, at: At) -> Result<(), Error> {
        if store.id() == self.store {
            return Ok(());
        }
        let message = "was made for another store";
        let help = "make a session for each store with `Session::new`";
        Err(TypeError::new("Session", at, message, help).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eggrad_nn::{Graph, Sgd};

    /// A step that trains `head` on top of a frozen `base`.
    fn step() -> Arc<Program> {
        let g = Graph::new();
        let base = g.frozen("base", [3, 3], Init::HeNormal);
        let head = g.param("head", [3, 2], Init::HeNormal);
        let loss = g.input("x", [1, 3]).matmul(base.exp()).matmul(head).square().mean();
        Sgd::new(0.01).minimize(loss);
        g.output("loss", loss);
        Arc::new(Program::compile(&g, &Options::default()).expect("compiles"))
    }

    #[test]
    fn versions_follow_what_a_program_reads_as_frozen() {
        let program = step();
        let mut stores = [Store::new(0), Store::new(0)];
        let mut versions = vec![];
        for store in &mut stores {
            let mut session = Session::new(&program, store).expect("a session");
            let mut run = |store: &mut Store| {
                let outputs = &mut [ArrayMut::F32(&mut [0.0])];
                let inputs = [ArrayRef::F32(&[1.0, 2.0, 3.0])];
                session.run(store, &inputs, outputs).expect("runs");
                session.version(store)
            };
            let first = run(store);
            // What the program trains is not what it has computed once.
            assert_eq!(run(store), first);
            store.set_scalar("sgd.learning_rate", 0.02).expect("a rate");
            assert_eq!(run(store), first);
            store.get_mut("base").expect("a state");
            let second = run(store);
            assert_eq!(run(store), second);
            versions.extend([first, second]);
        }
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), 4);
    }
}
