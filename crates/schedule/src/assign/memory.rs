//! One arena: buffers that are never alive together share bytes.

use crate::plan::{ALIGN, MAX_BYTES, Place, Plan};
use std::collections::{BTreeMap, BTreeSet};

/// Whether each buffer is one of the arena's that setup kernels write and later ones, or the guard, read.
pub(crate) fn kept(plan: &Plan) -> Vec<bool> {
    let mut setup = vec![false; plan.buffers.len()];
    let mut later = vec![false; plan.buffers.len()];
    for (i, kernel) in plan.kernels.iter().enumerate() {
        let touched = if i < plan.setup { &mut setup } else { &mut later };
        kernel.args.iter().for_each(|&buffer| touched[buffer] = true);
    }
    if let Some(guard) = &plan.guard {
        later[guard.buffer] = true;
    }
    let arena = plan.buffers.iter().map(|b| matches!(b.place, Place::Arena(_)));
    arena.zip(setup.into_iter().zip(later)).map(|(arena, (s, l))| arena && s && l).collect()
}

/// First and last kernel that touches each buffer; every kernel for what setup leaves behind.
pub(crate) fn lifetimes(plan: &Plan) -> Vec<Option<(usize, usize)>> {
    let mut lifetimes: Vec<Option<(usize, usize)>> = vec![None; plan.buffers.len()];
    let mut touch = |buffer: usize, kernel: usize| {
        let life = lifetimes[buffer].get_or_insert((kernel, kernel));
        life.1 = life.1.max(kernel);
    };
    for (i, kernel) in plan.kernels.iter().enumerate() {
        kernel.args.iter().for_each(|&buffer| touch(buffer, i));
    }
    if let Some(guard) = &plan.guard {
        touch(guard.buffer, guard.after.saturating_sub(1));
    }
    for (life, kept) in lifetimes.iter_mut().zip(kept(plan)) {
        if kept {
            *life = Some((0, plan.kernels.len() - 1));
        }
    }
    lifetimes
}

/// Gives every buffer of the arena its place, in the order kernels run: the smallest gap that fits. What setup leaves
/// behind comes first and shares no bytes.
pub(crate) fn place(plan: &mut Plan) {
    let lifetimes = lifetimes(plan);
    let mut starts = vec![vec![]; plan.kernels.len()];
    let mut ends = vec![vec![]; plan.kernels.len()];
    for (buffer, life) in lifetimes.iter().enumerate() {
        if let (Place::Arena(_), Some((first, last))) = (&plan.buffers[buffer].place, life) {
            starts[*first].push(buffer);
            ends[*last].push(buffer);
        }
    }
    let kept = kept(plan);
    starts.iter_mut().for_each(|list| list.sort_by_key(|&buffer| !kept[buffer]));
    let mut gaps = Gaps::default();
    for (starts, ends) in starts.into_iter().zip(ends) {
        for &buffer in &starts {
            let bytes = plan.buffers[buffer].bytes().next_multiple_of(ALIGN);
            plan.buffers[buffer].place = Place::Arena(gaps.take(bytes));
        }
        for &buffer in &ends {
            if let Place::Arena(offset) = plan.buffers[buffer].place {
                gaps.give(offset, plan.buffers[buffer].bytes().next_multiple_of(ALIGN));
            }
        }
    }
    plan.arena_bytes = gaps.end;
}

/// Where an arena ends that no memory holds; byte offsets stay far from overflow.
const END: usize = 4 * MAX_BYTES;

/// Free ranges below `end`, never touching each other.
#[derive(Default)]
struct Gaps {
    end: usize,
    by_offset: BTreeMap<usize, usize>,
    by_size: BTreeSet<(usize, usize)>,
}

impl Gaps {
    fn insert(&mut self, offset: usize, bytes: usize) {
        self.by_offset.insert(offset, bytes);
        self.by_size.insert((bytes, offset));
    }

    fn remove(&mut self, offset: usize, bytes: usize) {
        self.by_offset.remove(&offset);
        self.by_size.remove(&(bytes, offset));
    }

    fn take(&mut self, bytes: usize) -> usize {
        if let Some(&(size, offset)) = self.by_size.range((bytes, 0)..).next() {
            self.remove(offset, size);
            if size > bytes {
                self.insert(offset + bytes, size - bytes);
            }
            return offset;
        }
        // Grow from the last gap when it reaches the end.
        let last = self.by_offset.last_key_value().map(|(&o, &s)| (o, s));
        let offset = match last {
            Some((offset, size)) if offset + size == self.end => {
                self.remove(offset, size);
                offset
            }
            _ => self.end,
        };
        self.end = offset.saturating_add(bytes).min(END);
        offset
    }

    fn give(&mut self, mut offset: usize, mut bytes: usize) {
        if let Some((&before, &size)) = self.by_offset.range(..offset).next_back()
            && before + size == offset
        {
            self.remove(before, size);
            (offset, bytes) = (before, bytes + size);
        }
        if let Some(&size) = self.by_offset.get(&(offset + bytes)) {
            self.remove(offset + bytes, size);
            bytes += size;
        }
        if bytes > 0 {
            self.insert(offset, bytes);
        }
    }
}
