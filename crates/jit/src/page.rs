//! The listings of `docs/codegen.md`, made anew and compared; with `BLESS=1` the page is written instead.

use crate::clif::Features;
use crate::codegen::{Job, LoopNest, generate};
use crate::compile::{JitConfig, flags};
use crate::isa::Isa;
use cranelift_codegen::isa::{TargetIsa, lookup_by_name};
use cranelift_codegen::settings::Configurable;
use eggrad_ir::Graph;
use eggrad_schedule::{KernelKind, Phase, Plan, ScheduleConfig, schedule};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

const DENSE: &str =
    "graph 2\nin x: f32[4, 8]\nparam w: f32[8, 16]\nparam b: f32[16]\nout y = relu(x @ w + b)\n";
const ROWS: &str =
    "graph 2\nin x: f32[3, 40]\nout y = x / broadcast(sum(x, axes=[1]), shape=[3, 40], axes=[0])\n";

fn plan(graph: &str) -> Plan {
    let graph: Graph = graph.parse().expect("a graph");
    schedule(&graph, &ScheduleConfig::default()).expect("a plan")
}

/// Straight-line code of the kernel, part by part.
fn bodies(plan: &Plan) -> String {
    let mut text = String::new();
    match &plan.kernels[0].kind {
        KernelKind::Row(k) => {
            for phase in &k.phases {
                let (name, body) = match phase {
                    Phase::Pass { body, .. } => ("pass", body),
                    Phase::Scalar { body, .. } => ("scalar", body),
                };
                write!(text, "{name}\n{body:?}").expect("text");
            }
        }
        KernelKind::Product(k) => write!(text, "epilogue\n{:?}", k.epilogue).expect("text"),
        KernelKind::Column(_) | KernelKind::Loop(_) | KernelKind::Branch(_) => {
            panic!("not on the page")
        }
    }
    text
}

/// x86-64 with fused multiply-add, or 64-bit Arm, whatever this machine is.
fn target(name: &str) -> Arc<dyn TargetIsa> {
    let mut builder = lookup_by_name(name).expect("a development dependency turns it on");
    if name == "x86_64" {
        for flag in ["has_sse41", "has_sse42", "has_avx", "has_avx2", "has_fma"] {
            builder.enable(flag).expect("a flag of x86-64");
        }
    }
    builder.finish(flags(true).expect("flags")).expect("a target")
}

/// Cranelift's form of the kernel, empty if it is not Cranelift's, and its instructions.
fn listing(plan: &Plan, name: &str, chosen: Isa) -> (String, String) {
    let (isa, kernel) = (target(name), &plan.kernels[0]);
    let nest = LoopNest::of(&kernel.kind).expect("loops");
    let config = JitConfig { listing: true, threads: 1, ..JitConfig::default() };
    let jobs = [Job { name: &kernel.name, nest, args: kernel.args.len() }];
    let codes = generate(&jobs, &*isa, Features::of(&*isa), chosen, &config).expect("code");
    let text = codes.into_iter().next().and_then(|code| code.listing).expect("a listing");
    match text.rsplit_once("\n}\n") {
        Some((clif, machine)) => (format!("{clif}\n}}\n"), machine.to_string()),
        None => (String::new(), text),
    }
}

/// The lines from the one that begins with `from` to the last before one that begins with `to`.
fn part(text: &str, from: &str, to: &str) -> String {
    let lines = text.lines().skip_while(|l| !l.starts_with(from));
    let lines: Vec<&str> = lines.take_while(|l| !l.starts_with(to)).collect();
    assert!(!lines.is_empty(), "no {from} in\n{text}");
    lines.join("\n") + "\n"
}

/// The listing that the page calls `name`.
fn made(name: &str) -> String {
    let (model, what) = name.split_once(' ').expect("a model and a listing");
    let graph = match model {
        "dense" => DENSE,
        "rows" => ROWS,
        _ => panic!("no model {model}"),
    };
    let plan = plan(graph);
    match what {
        "graph" => graph.to_string(),
        "plan" => plan.to_string(),
        "bodies" => bodies(&plan),
        "clif" => listing(&plan, "x86_64", Isa::Clif).0,
        "clif, one row" => part(&listing(&plan, "x86_64", Isa::Clif).0, "block9:", "block10:"),
        "x86-64, one row" => part(&listing(&plan, "x86_64", Isa::Clif).1, "block8:", "block12:"),
        "x86-64" => listing(&plan, "x86_64", Isa::Clif).1,
        "aarch64" => listing(&plan, "aarch64", Isa::Clif).1,
        "avx512" => listing(&plan, "x86_64", Isa::Avx512).1,
        _ => panic!("no listing {what}"),
    }
}

/// Each listing of the page stands in a block of code below a comment with its name.
#[test]
fn listings_are_what_is_made_now() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/codegen.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (mut text, mut rest, mut count) = (String::new(), page.as_str(), 0);
    while let Some((before, after)) = rest.split_once("<!-- listing: ") {
        let (name, after) = after.split_once(" -->\n```text\n").expect("a block of text");
        let (_, after) = after.split_once("```\n").expect("the end of the block");
        let listing = made(name);
        let listing = listing.trim_end();
        write!(text, "{before}<!-- listing: {name} -->\n```text\n{listing}\n```\n").expect("text");
        (rest, count) = (after, count + 1);
    }
    text.push_str(rest);
    assert!(count >= 9, "{count} listings");
    if std::env::var_os("BLESS").is_some_and(|v| v == "1") {
        std::fs::write(&path, text).expect("the page can be written");
        return;
    }
    let same = page.lines().zip(text.lines()).position(|(old, new)| old != new);
    let line = same.map(|at| (at + 1, text.lines().nth(at).unwrap_or_default()));
    assert!(page == text, "line {line:?} is another now; `BLESS=1` writes the page anew");
}
