//! Which accesses of a kernel read and write, and when.

use crate::lower::Arg;
use crate::plan::{Access, Kernel, KernelKind, Phase, Store, Target};
use eggrad_body::{Body, Inst};
use eggrad_ir::NodeId;
use std::collections::BTreeMap;

/// One way a kernel touches an argument.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) arg: usize,
    /// First element, and steps along the kernel's loops.
    pub(crate) offset: usize,
    pub(crate) strides: Vec<usize>,
    /// Number of the phase; a product's operands and what a column kernel reduces come before its epilogue.
    pub(crate) phase: usize,
    pub(crate) store: bool,
    /// Whether it reaches other elements than the loop position says, because an index or a nested plan moves it.
    pub(crate) moved: bool,
}

impl Use {
    fn of(access: &Access, phase: usize, store: bool, moved: bool) -> Use {
        let (arg, offset, strides) = (access.arg, access.offset, access.strides.clone());
        Use { arg, offset, strides, phase, store, moved }
    }

    /// Any element, by a nested plan.
    fn nested(arg: usize, store: bool) -> Use {
        Use { arg, offset: 0, strides: vec![], phase: usize::from(store), store, moved: true }
    }
}

/// Accesses that a body loads, and whether an index moves them.
fn loads(body: &Body) -> impl Iterator<Item = (usize, bool)> + '_ {
    body.insts().iter().filter_map(|inst| match *inst {
        Inst::Load { access, .. } => Some((usize::from(access), false)),
        Inst::LoadAt { access, .. } => Some((usize::from(access), true)),
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
        | Inst::Bitcast(_) => None,
    })
}

/// Every load and store of a kernel, loads of a nested plan before its stores.
pub(crate) fn uses(kernel: &KernelKind) -> Vec<Use> {
    let mut found = vec![];
    let mut add = |accesses: &[Access], phase: usize, body: &Body, stores: &[Store]| {
        for (access, moved) in loads(body) {
            found.push(Use::of(&accesses[access], phase, false, moved));
        }
        for s in stores {
            found.push(Use::of(&accesses[s.access], phase, true, s.add_at.is_some()));
        }
    };
    match kernel {
        KernelKind::Row(k) => {
            for (i, phase) in k.phases.iter().enumerate() {
                match phase {
                    Phase::Pass { body, stores, .. } | Phase::Scalar { body, stores, .. } => {
                        add(&k.accesses, i, body, stores);
                    }
                }
            }
        }
        KernelKind::Column(k) => {
            add(&k.accesses, 0, &k.body, &[]);
            add(&k.accesses, 1, &k.epilogue, &k.stores);
        }
        KernelKind::Product(k) => {
            add(&k.accesses, 1, &k.epilogue, &k.stores);
            for access in [&k.a, &k.b] {
                found.push(Use::of(access, 0, false, true));
            }
        }
        KernelKind::Loop(_) | KernelKind::Branch(_) => {
            let (read, written) = nested_args(kernel);
            found.extend(read.into_iter().map(|arg| Use::nested(arg, false)));
            found.extend(written.into_iter().map(|arg| Use::nested(arg, true)));
        }
    }
    found
}

/// Arguments that a kernel of nested plans reads, and those that it writes.
fn nested_args(kind: &KernelKind) -> (Vec<usize>, Vec<usize>) {
    let (mut read, results, scratch) = match kind {
        KernelKind::Row(_) | KernelKind::Column(_) | KernelKind::Product(_) => {
            return (vec![], vec![]);
        }
        KernelKind::Loop(k) => (k.operands.clone(), &k.results, k.scratch),
        KernelKind::Branch(k) => (k.operands.clone(), &k.results, k.scratch),
    };
    if let KernelKind::Branch(k) = kind {
        read.push(k.choice);
    }
    let target = |t: &Target| match *t {
        Target::Arg(arg) => Some(arg),
        Target::Scratch(_) => None,
    };
    (read, results.iter().filter_map(target).chain(scratch).collect())
}

/// The same arguments, to be renumbered.
fn nested_args_mut(kind: &mut KernelKind) -> Vec<&mut usize> {
    let (operands, results, others) = match kind {
        KernelKind::Row(_) | KernelKind::Column(_) | KernelKind::Product(_) => return vec![],
        KernelKind::Loop(k) => (&mut k.operands, &mut k.results, vec![k.scratch.as_mut()]),
        KernelKind::Branch(k) => {
            let others = vec![k.scratch.as_mut(), Some(&mut k.choice)];
            (&mut k.operands, &mut k.results, others)
        }
    };
    let target = |t| match t {
        &mut Target::Arg(ref mut arg) => Some(arg),
        Target::Scratch(_) => None,
    };
    let args = operands.iter_mut().chain(results.iter_mut().filter_map(target));
    args.chain(others.into_iter().flatten()).collect()
}

/// The accesses of a kernel with loops, and a product's operands.
fn accesses_mut(kind: &mut KernelKind) -> Option<(&mut Vec<Access>, Option<[&mut Access; 2]>)> {
    match kind {
        KernelKind::Row(k) => Some((&mut k.accesses, None)),
        KernelKind::Column(k) => Some((&mut k.accesses, None)),
        KernelKind::Product(k) => Some((&mut k.accesses, Some([&mut k.a, &mut k.b]))),
        KernelKind::Loop(_) | KernelKind::Branch(_) => None,
    }
}

fn stores_mut(kind: &mut KernelKind) -> Vec<&mut Vec<Store>> {
    match kind {
        KernelKind::Row(k) => k
            .phases
            .iter_mut()
            .map(|phase| match phase {
                Phase::Pass { stores, .. } | Phase::Scalar { stores, .. } => stores,
            })
            .collect(),
        KernelKind::Column(k) => vec![&mut k.stores],
        KernelKind::Product(k) => vec![&mut k.stores],
        KernelKind::Loop(_) | KernelKind::Branch(_) => vec![],
    }
}

/// Gives a kernel its buffers, `buffers[i]` for `args[i]`, each once; a store of a node's value is repeated for every
/// further buffer that `copies` names.
pub(super) fn bind(
    kernel: &mut Kernel,
    args: &[Arg],
    buffers: Vec<usize>,
    mut copies: impl FnMut(NodeId) -> Vec<usize>,
) {
    let mut known: BTreeMap<usize, usize> = BTreeMap::new();
    let mut numbers: Vec<usize> = vec![];
    let mut number = |buffer: usize, list: &mut Vec<usize>| {
        *known.entry(buffer).or_insert_with(|| {
            list.push(buffer);
            list.len() - 1
        })
    };
    let kind = &mut kernel.kind;
    for arg in nested_args_mut(kind) {
        *arg = number(buffers[*arg], &mut numbers);
    }
    let mut before: Vec<Access> = vec![];
    if let Some((accesses, operands)) = accesses_mut(kind) {
        before.clone_from(accesses);
        for access in accesses.iter_mut().chain(operands.into_iter().flatten()) {
            access.arg = number(buffers[access.arg], &mut numbers);
        }
    }
    let mut repeated: Vec<Access> = vec![];
    let count = before.len();
    for stores in stores_mut(kind) {
        for store in std::mem::take(stores) {
            stores.push(store);
            let Arg::Value(id) = args[before[store.access].arg] else { continue };
            if store.add_at.is_some() {
                continue;
            }
            for buffer in copies(id) {
                let arg = number(buffer, &mut numbers);
                repeated.push(Access { arg, ..before[store.access].clone() });
                let access = count + repeated.len() - 1;
                stores.push(Store { access, value: store.value, add_at: None });
            }
        }
    }
    if let Some((accesses, _)) = accesses_mut(kind) {
        accesses.extend(repeated);
    }
    kernel.args = numbers;
}
