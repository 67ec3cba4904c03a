//! Which accesses of a kernel read and write, and when.

use crate::lower::Arg;
use crate::plan::{Access, Kernel, KernelKind, Phase, Store};
use eggrad_body::{Body, Inst};
use eggrad_ir::NodeId;
use std::collections::BTreeMap;

/// One way a kernel touches an argument.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) access: Access,
    /// Number of the phase; a product's operands and what a column kernel reduces come before its epilogue.
    pub(crate) phase: usize,
    pub(crate) store: bool,
    /// Whether an index moves the access, so that it reaches other elements than the loop position says.
    pub(crate) moved: bool,
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

/// Every load and store of a kernel.
pub(crate) fn uses(kernel: &KernelKind) -> Vec<Use> {
    let mut found = vec![];
    let mut add = |accesses: &[Access], phase: usize, body: &Body, stores: &[Store]| {
        for (access, moved) in loads(body) {
            found.push(Use { access: accesses[access].clone(), phase, store: false, moved });
        }
        for s in stores {
            let (access, moved) = (accesses[s.access].clone(), s.add_at.is_some());
            found.push(Use { access, phase, store: true, moved });
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
                found.push(Use { access: access.clone(), phase: 0, store: false, moved: true });
            }
        }
    }
    found
}

fn accesses_mut(kind: &mut KernelKind) -> (&mut Vec<Access>, Option<[&mut Access; 2]>) {
    match kind {
        KernelKind::Row(k) => (&mut k.accesses, None),
        KernelKind::Column(k) => (&mut k.accesses, None),
        KernelKind::Product(k) => (&mut k.accesses, Some([&mut k.a, &mut k.b])),
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
    let before: Vec<Access> = accesses_mut(kind).0.clone();
    let (accesses, operands) = accesses_mut(kind);
    for access in accesses.iter_mut().chain(operands.into_iter().flatten()) {
        access.arg = number(buffers[access.arg], &mut numbers);
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
    accesses_mut(kind).0.extend(repeated);
    kernel.args = numbers;
}
