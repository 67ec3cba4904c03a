//! The store: parameters, optimizer memory and counters by path, shared by all graphs of a model.

use crate::error::Error;
use eggrad_ir::{At, Operand, StateDecl, StateKind, TensorType, TypeError};
use eggrad_jit::{Aligned, ArrayMut, ArrayRef};
use eggrad_nn::{Built, Init};
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

    /// Makes the states of a graph that the store does not have.
    pub(crate) fn attach_all(&mut self, built: &Built) -> Result<(), Error> {
        let states = built.graph.states().iter().zip(&built.inits).zip(&built.kinds);
        for ((state, init), kind) in states {
            self.attach(&state.name, *kind, &state.ty, init, state.at)?;
        }
        Ok(())
    }

    /// Forgets what optimizers remember, and how many steps they took; random numbers go on.
    pub(crate) fn remove_slots(&mut self) {
        self.remove(|entry| match entry.kind {
            StateKind::Slot => true,
            StateKind::Counter => !entry.name.starts_with("random."),
            StateKind::Param | StateKind::Frozen | StateKind::Stat => false,
        });
    }

    /// Forgets all that only training needs.
    pub(crate) fn remove_training(&mut self) {
        self.remove(|entry| match entry.kind {
            StateKind::Slot | StateKind::Counter => true,
            StateKind::Param | StateKind::Frozen | StateKind::Stat => false,
        });
    }

    /// Whether what optimizers remember here is what the optimizer of this train step remembers.
    pub(crate) fn goes_on_with(&self, built: &Built) -> bool {
        let declared: BTreeMap<&str, &TensorType> = (built.graph.states().iter())
            .zip(&built.kinds)
            .filter(|(_, kind)| **kind == StateKind::Slot)
            .map(|(state, _)| (state.name.as_str(), &state.ty))
            .collect();
        let here = self.entries.iter().filter(|entry| entry.kind == StateKind::Slot);
        let here: BTreeMap<&str, &TensorType> = here.map(|e| (e.name.as_str(), &e.ty)).collect();
        here == declared
    }

    fn remove(&mut self, goes: impl Fn(&Entry) -> bool) {
        let keep: Vec<bool> = self.entries.iter().map(|entry| !goes(entry)).collect();
        if keep.iter().all(|keep| *keep) {
            return;
        }
        let mut kept = keep.iter();
        self.entries.retain(|_| *kept.next().unwrap_or(&true));
        let mut kept = keep.iter();
        self.arrays.retain(|_| *kept.next().unwrap_or(&true));
        let mut kept = keep.iter();
        self.versions.retain(|_| *kept.next().unwrap_or(&true));
        let names = self.entries.iter().enumerate().map(|(i, e)| (e.name.clone(), i));
        self.index = names.collect();
        // Sessions of before would look in the wrong places.
        self.id = next();
        self.version = self.id;
    }

    /// A copy of every state's numbers.
    pub(crate) fn snapshot(&self) -> Vec<Saved> {
        self.arrays.iter().map(|array| Saved::of(ArrayRef::from(array))).collect()
    }

    /// Puts back what [`Store::snapshot`] copied; states made since then stay as they are.
    pub(crate) fn restore(&mut self, saved: &[Saved]) {
        for (array, saved) in self.arrays.iter_mut().zip(saved) {
            saved.put(ArrayMut::from(array));
        }
        let all: Vec<usize> = (0..saved.len()).collect();
        self.changed(&all);
    }

    /// Whether every float of every state is finite.
    pub(crate) fn is_finite(&self) -> bool {
        self.arrays.iter().all(|array| match ArrayRef::from(array) {
            ArrayRef::F32(v) => v.iter().all(|x| x.is_finite()),
            ArrayRef::F64(v) => v.iter().all(|x| x.is_finite()),
            ArrayRef::I32(_) | ArrayRef::I64(_) | ArrayRef::U8(_) | ArrayRef::Bool(_) => true,
        })
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

    /// Where a state lies that must be there.
    pub(crate) fn find(&self, state: &StateDecl) -> Result<usize, Error> {
        let found = self.index.get(&state.name).copied();
        if let Some(i) = found.filter(|&i| self.entries[i].ty == state.ty) {
            return Ok(i);
        }
        let operand =
            |name: &str, ty: &TensorType, at| Operand { name: name.into(), ty: ty.clone(), at };
        let mut error = match found {
            Some(i) => {
                let message = "is of another type than the state of that path in the store";
                let help = "give the layer another name, or build both graphs with the same sizes";
                let mut error = TypeError::new(&state.name, state.at, message, help);
                let entry = &self.entries[i];
                error.operands.push(operand("in the store", &entry.ty, entry.at));
                error
            }
            None => {
                let params = self.entries.iter().filter(|e| e.kind == StateKind::Param);
                let names: Vec<&str> = params.map(|e| e.name.as_str()).collect();
                let message = format!("is no state of the store, which has {}", names.join(", "));
                let help = "give layers the same names in all modes";
                TypeError::new(&state.name, state.at, message, help)
            }
        };
        error.operands.push(operand("here", &state.ty, state.at));
        Err(error.into())
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

/// A copy of the numbers of one state.
pub(crate) enum Saved {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    Bool(Vec<bool>),
}

impl Saved {
    fn of(array: ArrayRef<'_>) -> Saved {
        match array {
            ArrayRef::F32(v) => Saved::F32(v.to_vec()),
            ArrayRef::F64(v) => Saved::F64(v.to_vec()),
            ArrayRef::I32(v) => Saved::I32(v.to_vec()),
            ArrayRef::I64(v) => Saved::I64(v.to_vec()),
            ArrayRef::U8(v) => Saved::U8(v.to_vec()),
            ArrayRef::Bool(v) => Saved::Bool(v.to_vec()),
        }
    }

    fn put(&self, array: ArrayMut<'_>) {
        match (self, array) {
            (Saved::F32(v), ArrayMut::F32(a)) => a.copy_from_slice(v),
            (Saved::F64(v), ArrayMut::F64(a)) => a.copy_from_slice(v),
            (Saved::I32(v), ArrayMut::I32(a)) => a.copy_from_slice(v),
            (Saved::I64(v), ArrayMut::I64(a)) => a.copy_from_slice(v),
            (Saved::U8(v), ArrayMut::U8(a)) => a.copy_from_slice(v),
            (Saved::Bool(v), ArrayMut::Bool(a)) => a.copy_from_slice(v),
            _ => unreachable!("internal error: a state keeps its type"),
        }
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
