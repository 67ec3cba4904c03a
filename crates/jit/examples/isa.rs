//! The instructions that are used here: `avx512`, `avx2`, `clif` or `baseline`. With `EGGRAD_ISA` in the environment
//! those, or status 2 and the feature that this processor lacks.

use eggrad_ir::Graph;
use eggrad_jit::{JitConfig, JitError, compile};
use eggrad_schedule::{ScheduleConfig, schedule};
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let graph: Graph = "graph 2\nin x: f32[16]\nout y = x + x\n".parse()?;
    let plan = schedule(&graph, &ScheduleConfig::default())?;
    match compile(&plan, &JitConfig::default()) {
        Ok(executable) => {
            executable.report().functions.iter().for_each(|f| println!("{}", f.isa));
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ JitError::MissingIsa { .. }) => {
            eprintln!("{error}");
            Ok(ExitCode::from(2))
        }
        Err(error) => Err(error.into()),
    }
}
