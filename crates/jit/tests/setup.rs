//! Setup kernels run when the version of the frozen states is another than before, and only then.

use eggrad_ir::{At, Builder, DType, Graph, StateKind, TensorType, UnaryOp};
use eggrad_jit::{
    Aligned, ArrayMut, ArrayRef, Executable, JitConfig, JitError, RunError, SharedStates, States,
    Workspace, compile,
};
use eggrad_schedule::{Guard, Plan, ScheduleConfig, schedule};

/// `y = x * w^2`, guarded by `y`, which is added to `total`.
fn graph() -> Graph {
    let mut b = Builder::new();
    let number = TensorType::scalar(DType::F32);
    let x = b.declare_input("x", number.clone(), None, At::Unknown);
    let w = b.declare_state("w", StateKind::Frozen, number.clone(), At::Unknown);
    let total = b.declare_state("total", StateKind::Stat, number, At::Unknown);
    let square = b.unary(UnaryOp::Square, w);
    let y = b.mul(x, square);
    let sum = b.add(total, y);
    b.output("y", y);
    b.write(total, sum);
    b.set_guard(Some(y));
    b.build().expect("a graph")
}

fn plan() -> Plan {
    schedule(&graph(), &ScheduleConfig::default()).expect("schedules")
}

struct Runs {
    executable: Executable,
    workspace: Workspace,
    arrays: Vec<Aligned>,
}

impl Runs {
    fn new() -> Runs {
        let executable = compile(&plan(), &JitConfig::default()).expect("compiles");
        let workspace = executable.workspace().expect("memory");
        let arrays = vec![Aligned::from_slice(&[3f32]), Aligned::from_slice(&[0f32])];
        Runs { executable, workspace, arrays }
    }

    fn run(&mut self, x: f32, version: u64) -> Result<f32, RunError> {
        let mut y = [0f32];
        let mut states = States { arrays: &mut self.arrays, map: &[0, 1], version };
        let outputs = &mut [ArrayMut::F32(&mut y)];
        let inputs = [ArrayRef::F32(&[x])];
        self.executable.run(&mut self.workspace, &inputs, &mut states, outputs)?;
        Ok(y[0])
    }

    fn set(&mut self, w: f32) {
        self.arrays[0].as_f32_mut().expect("f32")[0] = w;
    }
}

#[test]
fn setup_runs_once_for_each_version() {
    let mut runs = Runs::new();
    assert_eq!(runs.executable.plan().setup, 1);
    assert_eq!(runs.run(2.0, 0), Ok(18.0));
    // The caller says that nothing has changed, so nothing is looked at.
    runs.set(5.0);
    assert_eq!(runs.run(1.0, 0), Ok(9.0));
    assert_eq!(runs.run(1.0, 7), Ok(25.0));
    runs.set(3.0);
    assert_eq!(runs.run(1.0, 7), Ok(25.0));
    assert_eq!(runs.run(1.0, 0), Ok(9.0));
    assert_eq!(runs.arrays[1].as_f32(), Some(&[18.0 + 9.0 + 25.0 + 25.0 + 9.0][..]));
}

#[test]
fn a_fresh_workspace_begins_with_setup() {
    let mut runs = Runs::new();
    assert_eq!(runs.run(1.0, 4), Ok(9.0));
    runs.workspace = runs.executable.workspace().expect("memory");
    runs.set(2.0);
    assert_eq!(runs.run(1.0, 4), Ok(4.0));
}

#[test]
fn a_guard_that_stops_a_run_leaves_setup_done() {
    let mut runs = Runs::new();
    assert!(matches!(runs.run(f32::NAN, 1), Err(RunError::NonFinite { .. })));
    runs.set(f32::NAN);
    assert_eq!(runs.run(1.0, 1), Ok(9.0));
    assert!(matches!(runs.run(1.0, 2), Err(RunError::NonFinite { .. })));
    assert_eq!(runs.arrays[1].as_f32(), Some(&[9.0][..]));
}

#[test]
fn refused_arguments_leave_setup_undone() {
    let mut runs = Runs::new();
    let states = SharedStates { arrays: &runs.arrays, map: &[0, 1], version: 1 };
    let error = runs.executable.run_shared(&mut runs.workspace, &[], states, &mut []);
    assert!(matches!(error, Err(RunError::Writes { .. })));
    let mut states = States { arrays: &mut runs.arrays, map: &[0, 1], version: 1 };
    let error = runs.executable.run(&mut runs.workspace, &[], &mut states, &mut []);
    assert!(matches!(error, Err(RunError::Count { .. })));
    assert_eq!(runs.run(1.0, 1), Ok(9.0));
}

#[test]
fn broken_setups_are_refused() {
    let refused = |plan: Plan| match compile(&plan, &JitConfig::default()) {
        Err(JitError::Plan(what)) => what,
        other => panic!("{other:?}"),
    };
    let count = plan().kernels.len();
    let long = refused(Plan { setup: count + 1, ..plan() });
    assert!(long.contains("after the last kernel"), "{long}");
    let buffer = plan().guard.expect("a guard").buffer;
    let early = refused(Plan { guard: Some(Guard { after: 0, buffer }), ..plan() });
    assert!(early.contains("before the end of the setup"), "{early}");
}
