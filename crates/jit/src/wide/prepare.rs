//! What is left to do after code was written and before registers are assigned: what nobody reads goes, and loads
//! that are read once become operands in memory.

use crate::wide::code::{Inst, Level, Mem, Op, Reg, Wide};
use crate::wide::codes::row;

/// The instructions that are needed, in order, and how often each register is read.
pub(super) fn prepare(wide: &Wide) -> (Vec<Inst>, Vec<u32>) {
    let all: Vec<&Inst> = wide.entry.iter().chain(&wide.insts).collect();
    let mut uses = vec![0u32; wide.infos.len()];
    let mut needed = vec![false; all.len()];
    for (i, inst) in all.iter().enumerate().rev() {
        // What loops carry is written where it is not yet known who reads it.
        if inst.has_effect() || inst.op == Op::Copy || uses[inst.dst.index()] > 0 {
            needed[i] = true;
            inst.reads().for_each(|r| uses[r.index()] += 1);
        }
    }
    let mut code: Vec<Inst> = Vec::with_capacity(all.len());
    let mut loads: Vec<Option<(usize, u32)>> = vec![None; wide.infos.len()];
    let mut gone = vec![];
    let mut era = 0;
    for (_, &inst) in needed.iter().zip(all).filter(|(needed, _)| **needed) {
        let mut inst = inst.to_owned();
        let once = |r: Reg, code: &[Inst]| {
            let (at, then) = loads.get(r.index()).copied().flatten()?;
            (then == era && fits(wide.level, &inst, &code[at])).then_some(at)
        };
        if let Some((slot, at)) = foldable(wide.level, &inst, |r| once(r, &code)) {
            let load = code[at];
            let splat = if load.op == Op::Splat { load.width } else { 0 };
            inst.mem = load.mem.map(|mem| Mem { splat, ..mem });
            let moved = if inst.op == Op::Fma {
                slot
            } else {
                row(wide.level, inst.op, inst.width).memory.unwrap_or(slot)
            };
            inst.src.swap(slot, moved);
            inst.src[moved] = Reg::NONE;
            gone.push(at);
        }
        if inst.dst == Reg::NONE {
            era += 1;
        } else if matches!(inst.op, Op::Load | Op::Splat)
            && inst.mask == Reg::NONE
            && inst.mem.is_some_and(|mem| mem.base != Reg::TABLE)
            && uses[inst.dst.index()] == 1
        {
            loads[inst.dst.index()] = Some((code.len(), era));
        }
        code.push(inst);
    }
    if !gone.is_empty() {
        let mut gone_at = vec![false; code.len()];
        gone.iter().for_each(|&at| gone_at[at] = true);
        let mut at = 0;
        code.retain(|_| {
            at += 1;
            !gone_at[at - 1]
        });
    }
    (code, uses)
}

/// Whether operands may change places.
fn commutes(op: Op) -> bool {
    matches!(op, Op::AddF | Op::MulF | Op::AddI | Op::MulI | Op::And | Op::Or | Op::Xor)
}

/// An operand that is a load that may become an operand in memory, and where that is.
fn foldable(
    level: Level,
    inst: &Inst,
    load: impl Fn(Reg) -> Option<usize>,
) -> Option<(usize, usize)> {
    if inst.mem.is_some() {
        return None;
    }
    let try_slot = |slot: usize| match inst.src[slot] {
        Reg::NONE => None,
        reg => load(reg).map(|at| (slot, at)),
    };
    if inst.op == Op::Fma {
        return (0..3).find_map(try_slot);
    }
    let slot = row(level, inst.op, inst.width).memory?;
    let other = (commutes(inst.op) && slot == 1).then_some(0);
    try_slot(slot).or_else(|| try_slot(other?))
}

/// Whether an instruction can read what the load reads.
fn fits(level: Level, inst: &Inst, load: &Inst) -> bool {
    let splats = inst.op == Op::Fma && level == Level::Avx512
        || inst.op != Op::Fma && row(level, inst.op, inst.width).splats;
    match load.op {
        Op::Splat => splats && load.width == inst.width && load.size == inst.size,
        _ => load.size == inst.size && inst.op != Op::Splat,
    }
}
