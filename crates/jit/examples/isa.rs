//! The instructions that are used here: `avx512`, `avx2`, `clif` or `baseline`. With `EGGRAD_ISA` in the environment
//! those, or an error that names the feature which this processor lacks.

use eggrad_ir::Graph;
use eggrad_jit::{JitConfig, compile};
use eggrad_schedule::{ScheduleConfig, schedule};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let graph: Graph = "graph 2\nin x: f32[16]\nout y = x + x\n".parse()?;
    let plan = schedule(&graph, &ScheduleConfig::default())?;
    let executable = compile(&plan, &JitConfig::default())?;
    for function in &executable.report().functions {
        println!("{}", function.isa);
    }
    Ok(())
}
