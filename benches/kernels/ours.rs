//! Graphs compiled for an instruction set, with the arrays to run them on.

use crate::Failure;
use eggrad::jit::{Aligned, Executable, Isa, JitConfig, States, Workspace, compile};
use eggrad::prelude::*;
use eggrad::schedule::{Plan, StateSlot, schedule};
use std::time::Duration;

/// Numbers in `±scale` that look random and are the same in every run.
pub(crate) fn noise(count: usize, scale: f32) -> Vec<f32> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state as f32 / u32::MAX as f32 - 0.5) * 2.0 * scale
    };
    (0..count).map(|_| next()).collect()
}

/// Class numbers.
pub(crate) fn labels(count: usize, classes: usize) -> Vec<i32> {
    (0..count).map(|i| (i * 7 % classes) as i32).collect()
}

/// The plan of a graph.
pub(crate) fn plan(write: impl Fn(&Graph)) -> Result<Plan, Failure> {
    let graph = Graph::new();
    write(&graph);
    let graph = eggrad::lower(&graph.build()?.graph, &Options::default())?;
    Ok(schedule(&graph, &Default::default())?)
}

/// The settings of a compile whose times are not looked at.
pub(crate) fn config(isa: Isa, run_threads: usize) -> JitConfig {
    JitConfig { verifier: false, isa, run_threads, threads: 1, ..JitConfig::default() }
}

/// A compiled graph of so many inputs and outputs.
pub(crate) struct Ours<const INPUTS: usize, const OUTPUTS: usize> {
    executable: Executable,
    workspace: Workspace,
    inputs: [Aligned; INPUTS],
    outputs: [Aligned; OUTPUTS],
    states: Vec<Aligned>,
    map: Vec<usize>,
}

impl<const INPUTS: usize, const OUTPUTS: usize> Ours<INPUTS, OUTPUTS> {
    /// Compiles a graph. Parameters, which are `f32`, begin with small numbers, other states with zeros.
    pub(crate) fn new(
        isa: Isa,
        threads: usize,
        inputs: [Aligned; INPUTS],
        write: impl Fn(&Graph),
    ) -> Result<Self, Failure> {
        let executable = compile(&plan(write)?, &config(isa, threads))?;
        let plan = executable.plan();
        let outputs: Vec<Aligned> =
            plan.outputs.iter().map(|slot| Aligned::zeros(&slot.ty)).collect();
        // Squares of gradients among the slots must not be negative.
        let state = |slot: &StateSlot| match slot.kind {
            StateKind::Param | StateKind::Frozen => {
                Aligned::from_slice(&noise(slot.ty.shape.elements(), 0.1))
            }
            StateKind::Slot | StateKind::Stat | StateKind::Counter => Aligned::zeros(&slot.ty),
        };
        let states: Vec<Aligned> = plan.states.iter().map(state).collect();
        Ok(Ours {
            workspace: executable.workspace()?,
            map: (0..states.len()).collect(),
            outputs: outputs.try_into().map_err(|_| "another number of outputs")?,
            executable,
            inputs,
            states,
        })
    }

    /// Runs once.
    pub(crate) fn run(&mut self) {
        let inputs = self.inputs.each_ref().map(ArrayRef::from);
        let mut outputs = self.outputs.each_mut().map(ArrayMut::from);
        let mut states = States { arrays: &mut self.states, map: &self.map, version: 0 };
        let run = self.executable.run(&mut self.workspace, &inputs, &mut states, &mut outputs);
        run.expect("arrays that fit");
    }

    /// Runs once and adds what each kernel took.
    pub(crate) fn run_timed(&mut self, times: &mut [Duration]) {
        let inputs = self.inputs.each_ref().map(ArrayRef::from);
        let mut outputs = self.outputs.each_mut().map(ArrayMut::from);
        let mut states = States { arrays: &mut self.states, map: &self.map, version: 0 };
        let run = self.executable.run_timed(
            &mut self.workspace,
            &inputs,
            &mut states,
            &mut outputs,
            times,
        );
        run.expect("arrays that fit");
    }

    /// What was compiled.
    pub(crate) fn executable(&self) -> &Executable {
        &self.executable
    }

    /// Values of an output, once run.
    pub(crate) fn output(&self, number: usize) -> &[f32] {
        self.outputs[number].as_slice().expect("floats")
    }
}
