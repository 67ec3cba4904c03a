//! Plan and machine code of a graph in the text form: `cargo run -p eggrad-jit --example listing -- graph.txt`.
//! `EGGRAD_ISA` chooses the instructions.

use eggrad_ir::Graph;
use eggrad_jit::{JitConfig, compile};
use eggrad_schedule::{ScheduleConfig, schedule};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("name a file with a graph")?;
    let graph: Graph = std::fs::read_to_string(path)?.parse()?;
    let plan = schedule(&graph, &ScheduleConfig::default())?;
    println!("{plan}");
    let executable = compile(&plan, &JitConfig { listing: true, ..JitConfig::default() })?;
    for function in &executable.report().functions {
        let bytes = function.code_bytes;
        println!("{} ({}, {bytes} bytes, {:?}):", function.kernel, function.isa, function.time);
        println!("{}", function.listing.as_deref().unwrap_or_default());
    }
    Ok(())
}
