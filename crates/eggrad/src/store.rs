//! The store: parameters, optimizer memory and counters by path, shared by all graphs of a model.

use crate::error::Error;
use eggrad_ir::{At, Operand, StateKind, TensorType, TypeError};
use eggrad_jit::{Aligned, ArrayMut, ArrayRef};
use eggrad_nn::Init;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// One state of a store.
#[derive(Debug)]
struct Entry {
    name: String,
    kind: StateKind,
    ty: TensorType,
    at: At,
}

/// Values that outlive a run, keyed by path such as `dense1.weight`.
#[derive(Debug)]
pub struct Store {
    id: u64,
    seed: u64,
    entries: Vec<Entry>,
    arrays: Vec<Aligned>,
    index: BTreeMap<String, usize>,
    /// Version of each state's value: another number whenever it may have changed, the same in no other store.
    versions: Vec<u64>,
    /// Version of the latest change.
    version: u64,
}

/// A number that no store of this process has had.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Store {
    /// An empty store; states begin as their initialisers say with random streams of `seed`.
    pub fn new(seed: u64) -> Store {
        let (id, index) = (next(), BTreeMap::new());
        Store { id, seed, entries: vec![], arrays: vec![], index, versions: vec![], version: id }
    }

    /// Paths, kinds and types of all states, in the order they were first met.
    pub fn states(&self) -> impl Iterator<Item = (&str, StateKind, &TensorType)> {
        self.entries.iter().map(|e| (e.name.as_str(), e.kind, &e.ty))
    }

    /// The seed that states begin with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Number of trainable numbers.
    pub fn parameters(&self) -> usize {
        let params = self.entries.iter().filter(|e| e.kind == StateKind::Param);
        params.map(|e| e.ty.shape.elements()).sum()
    }

    /// The elements of one state, row-major.
    pub fn get(&self, path: &str) -> Option<ArrayRef<'_>> {
        self.index.get(path).map(|&i| ArrayRef::from(&self.arrays[i]))
    }

    /// The elements of one state, row-major, to change.
    pub fn get_mut(&mut self, path: &str) -> Option<ArrayMut<'_>> {
        let &i = self.index.get(path)?;
        self.changed(&[i]);
        Some(ArrayMut::from(&mut self.arrays[i]))
    }

    /// Overwrites one number of a state that is a single float, such as `adam.learning_rate`.
    ///
    /// # Errors
    /// When there is no such state, or it is no single float.
    #[track_caller]
    pub fn set_scalar(&mut self, path: &str, value: f64) -> Result<(), Error> {
        let at = At::here();
        let known: Vec<&str> = self.entries.iter().map(|e| e.name.as_str()).collect();
        let unknown = if known.is_empty() {
            "is no state: the store is empty until a program is compiled for it".to_string()
        } else {
            format!("is no state of the store, which has {}", known.join(", "))
        };
        let error = |message| TypeError::new(path, at, message, "name a state that is one float");
        match self.get_mut(path) {
            Some(ArrayMut::F32([number])) => *number = value as f32,
            Some(ArrayMut::F64([number])) => *number = value,
            Some(_) => return Err(error("is no single float".to_string()).into()),
            None => return Err(error(unknown).into()),
        }
        Ok(())
    }

    /// Number that no other store of this process has.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Where the state called `name` lies; it is made and initialised if the store has none.
    pub(crate) fn attach(
        &mut self,
        name: &str,
        kind: StateKind,
        ty: &TensorType,
        init: &Init,
        at: At,
    ) -> Result<usize, Error> {
        if let Some(&i) = self.index.get(name) {
            let entry = &mut self.entries[i];
            // One program may train what another reads as frozen.
            let trained = |kind| matches!(kind, StateKind::Param | StateKind::Frozen);
            let fits = entry.kind == kind || (trained(entry.kind) && trained(kind));
            if fits && entry.ty == *ty && kind == StateKind::Param {
                entry.kind = kind;
            }
            if entry.ty != *ty || !fits {
                let mut error = TypeError::new(
                    name,
                    at,
                    "is of another type or kind than the state of that path in the store",
                    "give the layer another name, or build both graphs with the same sizes",
                );
                let operand = |name: &str, ty: &TensorType, at| Operand {
                    name: name.into(),
                    ty: ty.clone(),
                    at,
                };
                error.operands =
                    vec![operand("in the store", &entry.ty, entry.at), operand("here", ty, at)];
                return Err(error.into());
            }
            return Ok(i);
        }
        let i = self.entries.len();
        let Some(mut array) = Aligned::try_zeros(ty) else {
            let message = format!("of type {ty} finds no memory: it takes {} bytes", ty.bytes());
            return Err(TypeError::new(name, at, message, "make the layer smaller").into());
        };
        if !matches!(init, Init::Zeros) {
            fill(ArrayMut::from(&mut array), &init.values(name, ty, self.seed));
        }
        self.insert(name, kind, ty.clone(), array);
        self.entries[i].at = at;
        Ok(i)
    }

    /// Adds a state that was saved; there is none of its path yet.
    pub(crate) fn insert(&mut self, name: &str, kind: StateKind, ty: TensorType, array: Aligned) {
        let i = self.entries.len();
        self.arrays.push(array);
        self.entries.push(Entry { name: name.to_string(), kind, ty, at: At::Unknown });
        self.index.insert(name.to_string(), i);
        self.versions.push(0);
        self.changed(&[i]);
    }

    /// Notes that the values of these states may be others from now on.
    pub(crate) fn changed(&mut self, places: &[usize]) {
        self.version = next();
        places.iter().for_each(|&place| self.versions[place] = self.version);
    }

    /// Version of the latest change of any state.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Version of the latest change of these states.
    pub(crate) fn version_of(&self, places: &[usize]) -> u64 {
        places.iter().map(|&place| self.versions[place]).max().unwrap_or(0)
    }

    pub(crate) fn arrays(&self) -> &[Aligned] {
        &self.arrays
    }

    pub(crate) fn arrays_mut(&mut self) -> &mut [Aligned] {
        &mut self.arrays
    }
}

/// Writes `values`, converted, over `array`.
fn fill(array: ArrayMut<'_>, values: &[f64]) {
    match array {
        ArrayMut::F32(a) => a.iter_mut().zip(values).for_each(|(a, v)| *a = *v as f32),
        ArrayMut::F64(a) => a.copy_from_slice(values),
        ArrayMut::I32(a) => a.iter_mut().zip(values).for_each(|(a, v)| *a = *v as i32),
        ArrayMut::I64(a) => a.iter_mut().zip(values).for_each(|(a, v)| *a = *v as i64),
        ArrayMut::U8(a) => a.iter_mut().zip(values).for_each(|(a, v)| *a = *v as u8),
        ArrayMut::Bool(a) => a.iter_mut().zip(values).for_each(|(a, v)| *a = *v != 0.0),
    }
}
