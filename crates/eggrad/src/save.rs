//! Stores in files: written whole or not at all, loaded with every bit, compared with what a program declares.

use crate::error::Error;
use crate::program::Program;
use crate::store::Store;
use eggrad_formats::{
    Array, Elements, ElementsRef, FileError, NamedView, SafetensorsError, read_safetensors,
    write_atomic, write_safetensors,
};
use eggrad_ir::{At, StateKind, TensorType};
use eggrad_jit::{Aligned, ArrayMut, ArrayRef};
use eggrad_nn::Built;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What of a store is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Saved {
    /// Parameters and running statistics: what prediction reads.
    Weights,
    /// All of it, also what optimizers remember, their steps and rates, and where random streams are: what training
    /// goes on with.
    All,
}

impl Saved {
    fn has(self, kind: StateKind) -> bool {
        self == Saved::All || !of_training(kind)
    }
}

/// Whether only training needs states of this kind.
fn of_training(kind: StateKind) -> bool {
    match kind {
        StateKind::Param | StateKind::Frozen | StateKind::Stat => false,
        StateKind::Slot | StateKind::Counter => true,
    }
}

/// Why something was not saved or not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file holds no arrays, or is damaged.
    #[error("cannot load `{}`: {source}", path.display())]
    Arrays {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SafetensorsError,
    },
    /// The file says something of itself that cannot be.
    #[error("cannot load `{}`: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// States of another model.
    #[error(transparent)]
    Differences(#[from] Differences),
}

impl SaveError {
    pub(crate) fn content(path: &Path, message: impl Into<String>) -> SaveError {
        SaveError::Content { path: path.to_path_buf(), message: message.into() }
    }
}

/// All states in which a store and a model differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Differences(pub Vec<Difference>);

/// A state in which a store and a model differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its path.
    pub name: String,
    /// Kind, type and place of declaration of the model's state of that path, if it has one.
    pub model: Option<(StateKind, TensorType, At)>,
    /// Kind and type of the store's state of that path, if it has one.
    pub store: Option<(StateKind, TensorType)>,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "what was saved is not of this model: {count} difference{plural}")?;
        let width = self.0.iter().map(|d| d.name.len() + 1).max().unwrap_or(0);
        for Difference { name, model, store } in &self.0 {
            let name = format!("{name}:");
            write!(f, "\n  {name:width$} ")?;
            match (model, store) {
                (Some((kind, ty, at)), Some((other, saved))) => {
                    let kinds = kind != other && ty == saved;
                    let word = |k: &StateKind| if kinds { k.name() } else { "" };
                    let gap = if kinds { " " } else { "" };
                    write!(f, "{}{gap}{ty} in the model{}", word(kind), Place(*at))?;
                    write!(f, ", {}{gap}{saved} as saved", word(other))?;
                }
                (Some((_, ty, at)), None) => {
                    write!(f, "{ty} in the model{}, was not saved", Place(*at))?;
                }
                (None, Some((_, ty))) => write!(f, "{ty} as saved, not in the model")?,
                (None, None) => f.write_str("internal error: in neither")?,
            }
        }
        f.write_str("\nhelp: build the model with the layers, names and sizes it was saved with")
    }
}

impl std::error::Error for Differences {}

/// Where a state was declared, if that is known.
struct Place(At);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == At::Unknown { Ok(()) } else { write!(f, " at {}", self.0) }
    }
}

/// What a file says of its arrays, beside what the format says.
#[derive(Serialize, Deserialize)]
struct Note {
    version: u32,
    seed: u64,
    saved: Saved,
    /// Paths and kinds, in the order of the store.
    states: Vec<(String, String)>,
}

/// Name of that note.
const NOTE: &str = "eggrad";

/// Version of the note that is written; earlier ones are read.
const VERSION: u32 = 1;

impl Store {
    /// Writes the states into a safetensors file: whole, or the old file stays.
    ///
    /// Equal states give equal bytes. Libraries for Python read the file as it is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>, saved: Saved) -> Result<(), Error> {
        let path = path.as_ref();
        write_atomic(path, |to| self.write(to, saved)).map_err(SaveError::from)?;
        Ok(())
    }

    /// The same to a writer.
    pub(crate) fn write(&self, to: &mut dyn Write, saved: Saved) -> io::Result<()> {
        let states: Vec<_> = self.states().filter(|state| saved.has(state.1)).collect();
        let kinds = states.iter().map(|(name, kind, _)| (name.to_string(), kind.name().into()));
        let (version, seed) = (VERSION, self.seed());
        let note = Note { version, seed, saved, states: kinds.collect() };
        let notes = BTreeMap::from([(NOTE.to_string(), serde_json::to_string(&note)?)]);
        let views: Vec<NamedView<'_>> = (states.iter().zip(self.arrays_of(saved)))
            .map(|((name, _, ty), array)| NamedView {
                name,
                shape: ty.shape.dims(),
                elements: view(array),
            })
            .collect();
        write_safetensors(to, &views, &notes).map_err(|error| match error {
            SafetensorsError::Write(error) => error,
            other => io::Error::other(other),
        })
    }

    fn arrays_of(&self, saved: Saved) -> impl Iterator<Item = &Aligned> {
        self.states().zip(self.arrays()).filter(move |(s, _)| saved.has(s.1)).map(|(_, a)| a)
    }

    /// A store with the states of a file, bit for bit.
    ///
    /// States that a program declares and the file does not have begin from the seed that was saved. A file that
    /// another library wrote is read too: its arrays of floats become parameters, others statistics; the seed is 0.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or was written by a later version of this library.
    pub fn load(path: impl AsRef<Path>) -> Result<Store, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| SaveError::from(FileError::read(path, e)))?;
        Ok(Store::read(&bytes, path)?)
    }

    /// The same from the bytes of the file at `path`.
    pub(crate) fn read(bytes: &[u8], path: &Path) -> Result<Store, SaveError> {
        let wrong = |message: String| SaveError::content(path, message);
        // As a length of the header, these bytes would be more than any file has.
        if bytes.starts_with(b"{\n  \"for") {
            return Err(wrong("it is a description; `Model::load` reads it".into()));
        }
        let file = read_safetensors(bytes);
        let file = file.map_err(|source| SaveError::Arrays { path: path.into(), source })?;
        let mut arrays: BTreeMap<String, Array> = BTreeMap::new();
        let mut order: Vec<(String, StateKind)> = vec![];
        for (name, array) in file.arrays {
            let float = array.elements.view().dtype().is_float();
            order.push((name.clone(), if float { StateKind::Param } else { StateKind::Stat }));
            arrays.insert(name, array);
        }
        let mut seed = 0;
        if let Some(text) = file.notes.get(NOTE) {
            check_version(path, text)?;
            let note: Note = serde_json::from_str(text)
                .map_err(|e| wrong(format!("its note `{NOTE}` is damaged: {e}")))?;
            let states = note.states.iter().map(|(name, kind)| {
                let kind = StateKind::from_name(kind);
                kind.map(|kind| (name.clone(), kind)).ok_or_else(|| {
                    wrong(format!("its note says another kind of `{name}` than there are"))
                })
            });
            order = states.collect::<Result<_, SaveError>>()?;
            seed = note.seed;
        }
        let mut store = Store::new(seed);
        for (name, kind) in order {
            let array = arrays.remove(&name).ok_or_else(|| {
                wrong(format!("its note names `{name}`, of which there is no array"))
            })?;
            let ty = TensorType::new(array.elements.view().dtype(), array.shape);
            store.insert(&name, kind, ty, owned(&array.elements));
        }
        match arrays.keys().next() {
            Some(name) => Err(wrong(format!("its note does not name the array `{name}`"))),
            None => Ok(store),
        }
    }

    /// Compares the states with those that a program declares.
    ///
    /// States of optimizers and counters that the program does not have do not matter, nor do those that it has when
    /// the store has none of any optimizer: then they begin anew.
    ///
    /// # Errors
    /// All differences in names, shapes, element types and kinds, as one error.
    pub fn check(&self, program: &Program) -> Result<(), Error> {
        let declared = program.declared().map(|(s, kind)| (s.name.as_str(), kind, &s.ty, s.at));
        self.compare(declared)
    }

    /// The same for a graph that is not compiled.
    pub(crate) fn check_built(&self, built: &Built) -> Result<(), Error> {
        let states = built.graph.states().iter().zip(&built.kinds);
        self.compare(states.map(|(s, kind)| (s.name.as_str(), *kind, &s.ty, s.at)))
    }

    /// Overwrites the values of all states with those of another store of the same model, such as a loaded one.
    /// Sessions over this store stay valid. States of optimizers and counters stay as they are when `from` has none
    /// of any optimizer.
    ///
    /// # Errors
    /// All differences between the two stores, as one error; then nothing has changed.
    pub fn assign(&mut self, from: &Store) -> Result<(), Error> {
        from.compare(self.states().map(|(name, kind, ty)| (name, kind, ty, At::Unknown)))?;
        let names: Vec<String> = self.states().map(|s| s.0.to_string()).collect();
        for name in names {
            if let (Some(values), Some(target)) = (from.get(&name), self.get_mut(&name)) {
                copy(values, target);
            }
        }
        Ok(())
    }

    fn compare<'m>(
        &self,
        model: impl Iterator<Item = (&'m str, StateKind, &'m TensorType, At)>,
    ) -> Result<(), Error> {
        let untrained = self.states().all(|(_, kind, _)| kind != StateKind::Slot);
        let trained = |kind| matches!(kind, StateKind::Param | StateKind::Frozen);
        let mut rest: BTreeMap<&str, (StateKind, &TensorType)> =
            self.states().map(|(name, kind, ty)| (name, (kind, ty))).collect();
        let mut differences = vec![];
        for (name, kind, ty, at) in model {
            let there = rest.remove(name);
            let fits = match there {
                Some((other, saved)) => {
                    saved == ty && (kind == other || (trained(kind) && trained(other)))
                }
                None => untrained && of_training(kind),
            };
            if !fits {
                let store = there.map(|(kind, ty)| (kind, ty.clone()));
                let model = Some((kind, ty.clone(), at));
                differences.push(Difference { name: name.into(), model, store });
            }
        }
        for (name, kind, ty) in self.states() {
            if rest.contains_key(name) && !of_training(kind) {
                let store = Some((kind, ty.clone()));
                differences.push(Difference { name: name.into(), model: None, store });
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(SaveError::from(Differences(differences)).into())
    }
}

/// Refuses what a later version wrote, whatever else it holds.
pub(crate) fn check_version(path: &Path, json: &str) -> Result<(), SaveError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    match serde_json::from_str(json) {
        Ok(Version { version }) if version > VERSION => {
            let message = format!(
                "it is of version {version}, this library reads up to {VERSION}; use a later one"
            );
            Err(SaveError::content(path, message))
        }
        Ok(_) => Ok(()),
        Err(error) => {
            Err(SaveError::content(path, format!("it does not say its version: {error}")))
        }
    }
}

fn view(array: &Aligned) -> ElementsRef<'_> {
    match ArrayRef::from(array) {
        ArrayRef::F32(list) => ElementsRef::F32(list),
        ArrayRef::F64(list) => ElementsRef::F64(list),
        ArrayRef::I32(list) => ElementsRef::I32(list),
        ArrayRef::I64(list) => ElementsRef::I64(list),
        ArrayRef::U8(list) => ElementsRef::U8(list),
        ArrayRef::Bool(list) => ElementsRef::Bool(list),
    }
}

fn owned(elements: &Elements) -> Aligned {
    match elements {
        Elements::F32(list) => Aligned::from_slice(list),
        Elements::F64(list) => Aligned::from_slice(list),
        Elements::I32(list) => Aligned::from_slice(list),
        Elements::I64(list) => Aligned::from_slice(list),
        Elements::U8(list) => Aligned::from_slice(list),
        Elements::Bool(list) => Aligned::from_slice(list),
    }
}

/// Copies between arrays whose types were compared.
fn copy(from: ArrayRef<'_>, to: ArrayMut<'_>) {
    match (from, to) {
        (ArrayRef::F32(from), ArrayMut::F32(to)) => to.copy_from_slice(from),
        (ArrayRef::F64(from), ArrayMut::F64(to)) => to.copy_from_slice(from),
        (ArrayRef::I32(from), ArrayMut::I32(to)) => to.copy_from_slice(from),
        (ArrayRef::I64(from), ArrayMut::I64(to)) => to.copy_from_slice(from),
        (ArrayRef::U8(from), ArrayMut::U8(to)) => to.copy_from_slice(from),
        (ArrayRef::Bool(from), ArrayMut::Bool(to)) => to.copy_from_slice(from),
        (from, to) => {
            unreachable!("internal error: {:?} into {:?}", from.dtype(), to.dtype())
        }
    }
}
