//! Registers for virtual registers, by one walk over the code.
//!
//! A virtual register holds its value from where it is first written to where it is last read; if it is read in a
//! loop that does not write it, to the end of that loop. What a loop carries shares a register with what takes its
//! place at the end of the loop, where their times do not overlap. When registers run out, the value that is read
//! least often, loops counted, is kept in memory instead.
//!
//! Instructions that cannot work on memory need registers for the moment: those that are free just there, or, if there
//! are too few, some that are kept free everywhere.

use crate::wide::code::{Class, Home, Inst, Level, Op, Reg, Wide};
use crate::wide::codes::row;
use std::collections::HashMap;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Register(u8),
    /// So many bytes into the frame.
    Saved(i32),
    /// Where it comes from.
    Home(Home),
    Nowhere,
}

/// Where all values are.
pub(super) struct Assignment {
    pub(super) found: Vec<Found>,
    /// Bytes of the frame.
    pub(super) frame: usize,
    /// General registers that are written, as bits.
    pub(super) general: u32,
    /// For instructions, by number, that find other registers free than those of [`Scratch::kept`].
    pub(super) scratch: HashMap<usize, Scratch>,
}

/// Registers for values that have none, while an instruction works on them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scratch {
    pub(super) general: [u8; 3],
    pub(super) vectors: [u8; 2],
    pub(super) masks: [u8; 2],
}

impl Scratch {
    /// Those that are kept free if need be.
    pub(super) fn kept(level: Level) -> Scratch {
        let vectors = match level {
            Level::Avx2 => [14, 15],
            Level::Avx512 => [30, 31],
        };
        Scratch { general: [8, 9, 10], vectors, masks: [6, 7] }
    }

    fn of(&mut self, class: Class) -> &mut [u8] {
        match class {
            Class::General => &mut self.general,
            Class::Vector => &mut self.vectors,
            Class::Mask => &mut self.masks,
        }
    }
}

/// All registers that values may have, as bits: of general ones rax, rcx, rdx, rbx, rsi, r8 to r10, r12 to r15. The
/// stack, the frame, the arguments and the table have the others.
fn all(class: Class, level: Level) -> u32 {
    match (class, level) {
        (Class::General, _) => 0b1111_0111_0100_1111,
        (Class::Vector, Level::Avx2) => 0xffff,
        (Class::Vector, Level::Avx512) => u32::MAX,
        (Class::Mask, _) => 0xfe,
    }
}

/// Rounds of a loop whose end is not known.
const ROUNDS: f32 = 8.0;

const CLASSES: [Class; 3] = [Class::General, Class::Vector, Class::Mask];

pub(super) const TABLE: u8 = 11;
pub(super) const ARGS: u8 = 7;
pub(super) const FRAME: u8 = 4;
const BEGIN: u8 = 6;
const END: u8 = 2;

/// The time of a value; positions are twice the number of an instruction, and one more where results are written.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    weight: f32,
}

struct Spans {
    spans: Vec<Span>,
    /// For copies to what loops carry: the instruction, and the last position before it at which the target is read.
    copies: Vec<(usize, u32)>,
    /// The instruction that first writes each register.
    written: Vec<usize>,
}

fn measure(wide: &Wide, code: &[Inst]) -> Spans {
    let count = wide.infos.len();
    let mut ends = vec![usize::MAX; wide.labels as usize];
    for (i, inst) in code.iter().enumerate() {
        if let Op::Again(label) | Op::Back(label) = inst.op {
            ends[label as usize] = i;
        }
    }
    let unused = Span { start: u32::MAX, end: 0, weight: 0.0 };
    let mut spans = vec![unused; count];
    let mut recent = vec![0u32; count];
    let mut written = vec![usize::MAX; count];
    let mut copies = vec![];
    let mut open: Vec<usize> = vec![];
    let mut cost = 1f32;
    let rounds = |label: u32| match code[ends[label as usize]] {
        Inst { op: Op::Again(_), src: [_, Reg::NONE, _], imm, wide, .. } => {
            (wide as f32 / imm as f32).max(1.0)
        }
        _ => ROUNDS,
    };
    for r in [Reg::BEGIN, Reg::END] {
        spans[r.index()].start = 0;
    }
    for (i, inst) in code.iter().enumerate() {
        let clobbers = matches!(inst.op, Op::MulG | Op::LeastG | Op::Gather);
        let here = 2 * i as u32 + u32::from(clobbers);
        for r in inst.reads() {
            let at = r.index();
            let depth = wide.infos[at].depth as usize;
            let inside = |level: usize| open.get(level).map(|&end| 2 * end as u32 + 1);
            spans[at].end = spans[at].end.max(inside(depth).unwrap_or(here));
            recent[at] = inside(depth + 1).unwrap_or(here);
            let moved = inst.op == Op::Copy && wide.infos[at].home != Home::Nowhere;
            spans[at].weight += if moved { 0.0 } else { cost };
        }
        if inst.dst != Reg::NONE {
            let at = inst.dst.index();
            if inst.op == Op::Copy {
                copies.push((i, recent[at]));
            }
            let span = &mut spans[at];
            span.weight += cost;
            if span.start == u32::MAX {
                span.start = 2 * i as u32 + 1;
                written[at] = i;
            }
            span.end = span.end.max(2 * i as u32 + 1);
        }
        match inst.op {
            Op::Label(label) if ends[label as usize] != usize::MAX => {
                open.push(ends[label as usize]);
                cost *= rounds(label);
            }
            Op::Again(label) | Op::Back(label) => {
                open.pop();
                cost /= rounds(label);
            }
            _ => {}
        }
    }
    Spans { spans, copies, written }
}

/// Virtual registers that share a register.
struct Webs {
    parent: Vec<u32>,
}

impl Webs {
    fn find(&mut self, mut at: usize) -> usize {
        while self.parent[at] as usize != at {
            self.parent[at] = self.parent[self.parent[at] as usize];
            at = self.parent[at] as usize;
        }
        at
    }

    fn join(&mut self, spans: &mut [Span], a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        if a == b {
            return;
        }
        self.parent[b] = a as u32;
        let other = spans[b];
        let span = &mut spans[a];
        span.start = span.start.min(other.start);
        span.end = span.end.max(other.end);
        span.weight += other.weight;
    }
}

/// Joins copies with what they copy, and what leads from a carried value to the next.
fn join(wide: &Wide, code: &[Inst], uses: &[u32], found: &mut Spans) -> Webs {
    let mut webs = Webs { parent: (0..wide.infos.len() as u32).collect() };
    let plain =
        |r: Reg| r.index() > Reg::END.index() && wide.infos[r.index()].home == Home::Nowhere;
    let spans = &mut found.spans;
    for &(i, last_read) in &found.copies {
        let (target, source) = (code[i].dst, code[i].src[0]);
        if !plain(source) {
            continue;
        }
        let from = webs.find(source.index());
        let position = 2 * i as u32;
        if spans[from].end > position {
            continue;
        }
        let first = spans[webs.find(target.index())].start == position + 1;
        if first {
            webs.join(spans, target.index(), from);
            continue;
        }
        if spans[from].start < last_read {
            continue;
        }
        webs.join(spans, target.index(), from);
        let mut at = source;
        while let Some(inst) = code.get(found.written[at.index()]) {
            let order = if inst.op == Op::Fma { [2, 0, 1] } else { [0, 1, 2] };
            let leads = |&r: &Reg| {
                r != Reg::NONE
                    && r != target
                    && plain(r)
                    && uses[r.index()] == 1
                    && wide.infos[r.index()].class == wide.infos[target.index()].class
                    && spans[r.index()].start >= last_read
                    && spans[r.index()].end <= 2 * found.written[at.index()] as u32
                    && webs.parent[r.index()] as usize == r.index()
            };
            let operands = order.map(|k| inst.src[k]);
            if operands.contains(&target) {
                break;
            }
            let Some(&before) = operands.iter().find(|r| leads(r)) else { break };
            webs.join(spans, target.index(), before.index());
            at = before;
        }
    }
    webs
}

/// Finds a place for every value.
pub(super) fn allocate(wide: &Wide, code: &[Inst], uses: &[u32]) -> Assignment {
    let mut found = measure(wide, code);
    let mut webs = join(wide, code, uses, &mut found);
    let mut order: Vec<usize> = (Reg::END.index() + 1..wide.infos.len())
        .filter(|&v| found.spans[v].start != u32::MAX && webs.parent[v] as usize == v)
        .collect();
    order.sort_by_key(|&v| found.spans[v].start);
    let mut scan = Scan { wide, spans: &found.spans, found: vec![], frame: 0 };
    let mut kept = [false; 3];
    let scratch = loop {
        scan.run(&order, kept);
        for v in Reg::END.index() + 1..scan.found.len() {
            scan.found[v] = scan.found[webs.find(v)];
        }
        match scan.scratch(code, &order, kept) {
            Ok(scratch) => break scratch,
            Err(class) => kept[class as usize] = true,
        }
    };
    let mut general = scratch.values().flat_map(|s| s.general).fold(0, |bits, r| bits | 1 << r);
    for (found, info) in scan.found.iter().zip(&wide.infos) {
        if let (Found::Register(r), Class::General) = (found, info.class) {
            general |= 1 << r;
        }
    }
    Assignment { frame: scan.frame, general, found: scan.found, scratch }
}

struct Scan<'a> {
    wide: &'a Wide,
    spans: &'a [Span],
    found: Vec<Found>,
    frame: usize,
}

/// Registers of a class.
#[derive(Default)]
struct Pool {
    free: u32,
    /// Values that have one, and which.
    active: Vec<(usize, u8)>,
}

impl Scan<'_> {
    /// `kept` says for which classes registers are kept free.
    fn run(&mut self, order: &[usize], kept: [bool; 3]) {
        self.found = vec![Found::Nowhere; self.wide.infos.len()];
        self.frame = self.wide.frame.next_multiple_of(64);
        let mut pools = CLASSES.map(|class| {
            let mut free = all(class, self.wide.level);
            if kept[class as usize] {
                let mut scratch = Scratch::kept(self.wide.level);
                free = scratch.of(class).iter().fold(free, |free, r| free & !(1 << r));
            }
            Pool { free, active: vec![] }
        });
        for (reg, at) in [
            (Reg::TABLE, TABLE),
            (Reg::ARGS, ARGS),
            (Reg::FRAME, FRAME),
            (Reg::BEGIN, BEGIN),
            (Reg::END, END),
        ] {
            self.found[reg.index()] = Found::Register(at);
            if reg == Reg::BEGIN || reg == Reg::END {
                pools[0].free &= !(1 << at);
                pools[0].active.push((reg.index(), at));
            }
        }
        for &v in order {
            let start = self.spans[v].start;
            let class = self.wide.infos[v].class;
            let pool = &mut pools[class as usize];
            let mut ended = 0u32;
            pool.active.retain(|&(other, reg)| {
                let over = self.spans[other].end < start;
                ended |= u32::from(over) << reg;
                !over
            });
            pool.free |= ended;
            if pool.free != 0 {
                // A register that was given up just now is most likely that of an operand.
                let likely = if ended & pool.free != 0 { ended & pool.free } else { pool.free };
                let reg = likely.trailing_zeros() as u8;
                pool.free &= !(1 << reg);
                pool.active.push((v, reg));
                self.found[v] = Found::Register(reg);
                continue;
            }
            let fixed = |v: usize| v <= Reg::END.index();
            let victim = (0..pool.active.len())
                .filter(|&i| !fixed(pool.active[i].0))
                .min_by(|&i, &j| {
                    let worth = |i: usize| self.worth(pool.active[i].0);
                    worth(i).total_cmp(&worth(j))
                })
                .filter(|&i| self.worth(pool.active[i].0) < self.worth(v));
            match victim {
                Some(i) => {
                    let (other, reg) = pool.active.swap_remove(i);
                    pool.active.push((v, reg));
                    self.found[v] = Found::Register(reg);
                    self.save(other);
                }
                None => self.save(v),
            }
        }
    }

    /// What it costs to have no register. Constants are operands in memory at little cost.
    fn worth(&self, v: usize) -> f32 {
        let free = match self.wide.infos[v].home {
            Home::Nowhere => 1.0,
            Home::Argument(_) => 0.5,
            Home::Table { .. } => 0.25,
        };
        self.spans[v].weight * free
    }

    /// Registers for the moment, for each instruction that needs some; the class of which there are too few if that is
    /// not one of which some are kept free.
    fn scratch(
        &self,
        code: &[Inst],
        order: &[usize],
        kept: [bool; 3],
    ) -> Result<HashMap<usize, Scratch>, Class> {
        // For each class and register, when it is taken.
        let mut taken = vec![vec![]; 3 * 32];
        for v in [Reg::BEGIN.index(), Reg::END.index()].iter().chain(order) {
            if let Found::Register(r) = self.found[*v] {
                let class = self.wide.infos[*v].class;
                taken[32 * class as usize + usize::from(r)].push(self.spans[*v]);
            }
        }
        let mut chosen = HashMap::new();
        for (i, inst) in code.iter().enumerate() {
            let mut need = [false; 3];
            need_scratch(self.wide, inst, &self.found, &mut need);
            let (first, last) = (2 * i as u32, 2 * i as u32 + 1);
            let mut scratch = Scratch::kept(self.wide.level);
            for class in CLASSES {
                let slot = class as usize;
                if kept[slot] || !need[slot] {
                    continue;
                }
                let free = |r: &u8| {
                    let spans: &[Span] = &taken[32 * slot + usize::from(*r)];
                    let next = spans.partition_point(|span| span.end < first);
                    all(class, self.wide.level) & 1 << r != 0
                        && spans.get(next).is_none_or(|span| span.start > last)
                };
                let mut registers = (0..32u8).filter(free);
                for place in scratch.of(class) {
                    *place = registers.next().ok_or(class)?;
                }
            }
            if need.contains(&true) {
                chosen.insert(i, scratch);
            }
        }
        Ok(chosen)
    }

    fn save(&mut self, v: usize) {
        let info = &self.wide.infos[v];
        self.found[v] = match info.home {
            Home::Nowhere => {
                let bytes = if info.class == Class::Vector { 64 } else { 8 };
                self.frame = self.frame.next_multiple_of(bytes);
                self.frame += bytes;
                Found::Saved((self.frame - bytes) as i32)
            }
            home => Found::Home(home),
        };
    }
}

/// Notes the classes of which an instruction has an operand or result that it cannot read or write where it is.
fn need_scratch(wide: &Wide, inst: &Inst, found: &[Found], scratch: &mut [bool; 3]) {
    let away = |r: Reg| r != Reg::NONE && !matches!(found[r.index()], Found::Register(_));
    let mut need = |r: Reg| scratch[wide.class(r) as usize] = true;
    let mem = inst.mem.map_or([Reg::NONE; 2], |m| [m.base, m.index]);
    for r in [mem[0], mem[1], inst.mask].into_iter().filter(|&r| away(r)) {
        need(r);
    }
    if inst.dst != Reg::NONE && away(inst.dst) {
        if matches!(found[inst.dst.index()], Found::Home(_)) {
            // It is not made where it is not kept.
            return;
        }
        need(inst.dst);
    }
    let row = row(wide.level, inst.op, inst.width);
    let mut in_memory = inst.mem.is_some();
    for (k, &r) in inst.src.iter().enumerate().filter(|(_, r)| away(**r)) {
        let splats = splat(found[r.index()]);
        let (slot, repeats) = match inst.op {
            Op::Fma => (true, wide.level == Level::Avx512),
            _ => (row.memory == Some(k), row.splats),
        };
        let readable = slot && (splats == 0 || repeats && splats == inst.width);
        let moved = inst.op == Op::Copy && matches!(found[r.index()], Found::Home(_));
        if moved || readable && !in_memory {
            in_memory = true;
        } else {
            need(r);
        }
    }
}

/// Bytes that are repeated in every lane of a value in memory; 0 if it lies there whole.
pub(super) fn splat(found: Found) -> u8 {
    match found {
        Found::Home(Home::Table { splat, .. }) => splat,
        Found::Home(Home::Argument(_) | Home::Nowhere)
        | Found::Register(_)
        | Found::Saved(_)
        | Found::Nowhere => 0,
    }
}
