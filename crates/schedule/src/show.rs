//! A plan as text, for people and golden tests.
//!
//! ```text
//! kernels: 2, arena: 3.1 KiB (3200 B), guard: loss after 2
//! b0 x: f32 x 2048, input 0
//! b5 %12: f32 x 800, arena 0
//! k0 dot+add+relu (forward): product 32 x 25, sums of 64
//!   a = b0 [64, 0, 1], b = b1 [0, 1, 25]
//!   reads b2 [0, 1, 0]
//!   writes b5 [25, 1, 0]
//! ```
//!
//! With setup kernels the first line counts them, they are called so, and what they leave behind is `kept`.
//!
//! Strides stand for each loop, outermost first; what a body computes is not shown. Nested plans follow the kernel that
//! runs them, indented.

use crate::assign::kept;
use crate::plan::{Access, Fold, FoldOp, Kernel, KernelKind, Phase, Place, Plan, Store, Target};
use eggrad_body::{Body, Inst};
use eggrad_ir::Part;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kernels, bytes) = (self.kernels.len(), self.arena_bytes);
        write!(f, "kernels: {kernels}")?;
        if self.setup > 0 {
            write!(f, ", setup: {}", self.setup)?;
        }
        write!(f, ", arena: {} ({bytes} B)", size(bytes))?;
        if let Some(guard) = &self.guard {
            write!(f, ", guard: b{} after k{}", guard.buffer, guard.after)?;
        }
        writeln!(f)?;
        let kept = kept(self);
        for (i, buffer) in self.buffers.iter().enumerate() {
            let (dtype, elements) = (buffer.dtype.name(), buffer.elements);
            let kept = if kept[i] { ", kept" } else { "" };
            writeln!(f, "b{i} {}: {dtype} x {elements}, {}{kept}", buffer.name, buffer.place)?;
        }
        for (i, kernel) in self.kernels.iter().enumerate() {
            let setup = if i < self.setup { "setup " } else { "" };
            write!(f, "k{i} {setup}{kernel}")?;
        }
        Ok(())
    }
}

/// Bytes as people read them.
fn size(bytes: usize) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.fract() == 0.0 {
        format!("{value} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Input(i) => write!(f, "input {i}"),
            Place::Output(i) => write!(f, "output {i}"),
            Place::State(i) => write!(f, "state {i}"),
            Place::Arena(offset) => write!(f, "arena {offset}"),
            Place::Constant(_) => f.write_str("constant"),
        }
    }
}

fn part(part: Part) -> &'static str {
    match part {
        Part::Forward => "forward",
        Part::Backward => "backward",
        Part::Update => "update",
    }
}

/// Name, loops, and a line or more for each phase.
impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): ", self.name, part(self.part))?;
        match &self.kind {
            KernelKind::Row(k) => {
                writeln!(f, "{}row of {}{}", around(&k.outer), k.row, self.whole())?;
                for phase in &k.phases {
                    let (what, body, folds, stores) = match phase {
                        Phase::Pass { body, folds, stores } => ("pass", body, &folds[..], stores),
                        Phase::Scalar { body, stores, .. } => ("scalar", body, &[][..], stores),
                    };
                    writeln!(f, "  {what}{}", fold_names(folds))?;
                    self.touches(f, "    ", &k.accesses, body, stores)?;
                }
                Ok(())
            }
            KernelKind::Column(k) => {
                let reduced: usize = k.reduced.iter().product();
                writeln!(f, "{}columns {reduced} x {}", around(&k.outer), k.row)?;
                writeln!(f, "  pass{}", fold_names(&k.folds))?;
                self.touches(f, "    ", &k.accesses, &k.body, &[])?;
                writeln!(f, "  epilogue")?;
                self.touches(f, "    ", &k.accesses, &k.epilogue, &k.stores)
            }
            KernelKind::Product(k) => {
                let terms: Vec<String> = k.k.iter().map(usize::to_string).collect();
                let (around, terms) = (around(&k.batch), terms.join(" x "));
                writeln!(f, "{around}product {} x {}, sums of {terms}", k.m, k.n)?;
                writeln!(f, "  a = {}, b = {}", self.access(&k.a), self.access(&k.b))?;
                self.touches(f, "  ", &k.accesses, &k.epilogue, &k.stores)
            }
            KernelKind::Loop(k) => {
                let order = if k.reverse { " backwards" } else { "" };
                let (first, rest) = k.operands.split_at(k.carries);
                let (sequences, constants) = rest.split_at(k.xs);
                writeln!(f, "{} steps{order}", k.length)?;
                self.reads(f, "carries", first)?;
                self.reads(f, "steps through", sequences)?;
                self.reads(f, "reads", constants)?;
                self.results(f, &k.results, k.scratch)?;
                nested(f, "step", &k.body)
            }
            KernelKind::Branch(k) => {
                writeln!(f, "by b{}", self.args[k.choice])?;
                self.reads(f, "reads", &k.operands)?;
                self.results(f, &k.results, k.scratch)?;
                nested(f, "then", &k.then)?;
                nested(f, "otherwise", &k.otherwise)
            }
        }
    }
}

/// A nested plan, indented.
fn nested(f: &mut fmt::Formatter<'_>, what: &str, plan: &Plan) -> fmt::Result {
    writeln!(f, "  {what}:")?;
    plan.to_string().lines().try_for_each(|line| writeln!(f, "    {line}"))
}

fn around(sizes: &[usize]) -> String {
    sizes.iter().map(|n| format!("{n} x ")).collect()
}

fn fold_names(folds: &[Fold]) -> String {
    let name = |fold: &Fold| match fold.op {
        FoldOp::Sum => " sum",
        FoldOp::Prod => " prod",
        FoldOp::Max => " max",
        FoldOp::Min => " min",
    };
    folds.iter().map(name).collect()
}

impl Kernel {
    fn whole(&self) -> &'static str {
        if self.splittable { "" } else { ", not split" }
    }

    fn reads(&self, f: &mut fmt::Formatter<'_>, what: &str, args: &[usize]) -> fmt::Result {
        if args.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = args.iter().map(|&a| format!("b{}", self.args[a])).collect();
        writeln!(f, "  {what} {}", names.join(", "))
    }

    fn results(
        &self,
        f: &mut fmt::Formatter<'_>,
        targets: &[Target],
        scratch: Option<usize>,
    ) -> fmt::Result {
        let name = |target: &Target| match *target {
            Target::Arg(arg) => format!("b{}", self.args[arg]),
            Target::Scratch(_) => "nothing".to_string(),
        };
        let names: Vec<String> = targets.iter().map(name).collect();
        let scratch = scratch.map_or(String::new(), |s| format!(", scratch b{}", self.args[s]));
        writeln!(f, "  writes {}{scratch}", names.join(", "))
    }

    fn access(&self, access: &Access) -> String {
        let offset = if access.offset == 0 { String::new() } else { format!("+{}", access.offset) };
        format!("b{}{offset} {:?}", self.args[access.arg], access.strides)
    }

    fn touches(
        &self,
        f: &mut fmt::Formatter<'_>,
        indent: &str,
        accesses: &[Access],
        body: &Body,
        stores: &[Store],
    ) -> fmt::Result {
        let mut reads = vec![];
        for inst in body.insts() {
            let text = match *inst {
                Inst::Load { access, .. } => self.access(&accesses[usize::from(access)]),
                Inst::LoadAt { access, size, stride, .. } => {
                    let access = self.access(&accesses[usize::from(access)]);
                    format!("{access} at {size} by {stride}")
                }
                Inst::Scalar { .. }
                | Inst::Index { .. }
                | Inst::Const { .. }
                | Inst::Unary(..)
                | Inst::Binary(..)
                | Inst::Fma(..)
                | Inst::Shift(..)
                | Inst::Compare(..)
                | Inst::Select(..)
                | Inst::Convert(..)
                | Inst::Bitcast(_) => continue,
            };
            reads.push(text);
        }
        if !reads.is_empty() {
            writeln!(f, "{indent}reads {}", reads.join(", "))?;
        }
        let write = |store: &Store| {
            let access = self.access(&accesses[store.access]);
            match &store.add_at {
                None => access,
                Some(add) => format!("{access} adding at {} by {}", add.size, add.stride),
            }
        };
        let writes: Vec<String> = stores.iter().map(write).collect();
        if !writes.is_empty() {
            writeln!(f, "{indent}writes {}", writes.join(", "))?;
        }
        Ok(())
    }
}
