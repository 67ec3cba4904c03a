//! A model in files: its description as JSON, and beside it the weights that belong to it.
//!
//! The description names its weights, and two files take turns at holding them: the next save writes the one that is
//! not named, then the description that names it. So the description and its weights always are of one save, whenever
//! a save is cut.

use crate::error::Error;
use crate::history::Progress;
use crate::save::{SaveError, Saved, check_version};
use crate::store::Store;
use eggrad_formats::{FileError, write_atomic};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

/// What stands beside the weights of a model: how it is built, and how far its training has come.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Checkpoint {
    /// How the model is built, in words of whoever builds it. Floats must be finite.
    pub model: Value,
    /// How far training has come, if it goes on.
    pub training: Option<Position>,
}

/// A place between two steps of training.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Epochs that are complete.
    pub epoch: u64,
    /// Batches of the next epoch that are complete.
    pub batch: u64,
    /// Seed of the order of rows.
    pub shuffle_seed: u64,
    /// What else training goes on with, such as the best loss so far. Floats must be finite.
    #[serde(default)]
    pub more: Value,
}

impl Position {
    /// This place, with what else training goes on with.
    pub fn of(progress: Progress, more: Value) -> Position {
        let Progress { epoch, step, seed } = progress;
        Position { epoch: epoch as u64, batch: step as u64, shuffle_seed: seed, more }
    }

    /// The place as [`crate::Fit::resume`] takes it.
    pub fn progress(&self) -> Progress {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let (epoch, step) = (number(self.epoch), number(self.batch));
        Progress { epoch, step, seed: self.shuffle_seed }
    }
}

/// The description as it is written.
#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    version: u32,
    weights: Weights,
    model: Value,
    training: Option<Position>,
}

/// The file of weights that belongs to a description.
#[derive(Clone, Serialize, Deserialize)]
struct Weights {
    /// Name, in the folder of the description.
    file: String,
    bytes: u64,
    crc32: u32,
}

const FORMAT: &str = "eggrad-model";
const VERSION: u32 = 1;

/// How often a load begins anew when saves come between.
const TRIES: usize = 100;

impl Checkpoint {
    /// Writes the description to `path`, and the states of `store` to a safetensors file beside it whose name begins
    /// with that of `path`. Killed at any moment, it leaves what was saved before or what was to be saved.
    ///
    /// # Errors
    /// When a file cannot be written, or the description could not be read, such as one nested deeper than 120 times.
    ///
    /// # Example
    /// ```
    /// use eggrad::prelude::*;
    /// # use std::sync::Arc;
    /// # let g = Graph::new();
    /// # g.output("y", dense("dense1", g.input("x", [1, 3]), 2));
    /// # let program = Arc::new(Program::compile(&g, &Options::default())?);
    /// # let folder = std::env::temp_dir().join(format!("eggrad-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).expect("a folder");
    /// # let path = folder.join("model.json");
    /// let mut store = Store::new(0);
    /// let session = Session::new(&program, &mut store)?;
    /// Checkpoint { model: "3-2".into(), training: None }.save(&path, &store, Saved::All)?;
    ///
    /// let (checkpoint, loaded) = Checkpoint::load(&path)?;
    /// loaded.check(&program)?;
    /// assert_eq!(checkpoint.model, "3-2");
    /// assert_eq!(loaded.get("dense1.weight"), store.get("dense1.weight"));
    /// # std::fs::remove_dir_all(&folder).expect("a folder");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>, store: &Store, saved: Saved) -> Result<(), Error> {
        let path = path.as_ref();
        let names = names(path)?;
        let old = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<File>(&bytes).ok());
        let first_is_named = old.is_some_and(|old| old.weights.file == names[0]);
        let (name, other) =
            if first_is_named { (&names[1], &names[0]) } else { (&names[0], &names[1]) };
        let description = |weights: Weights| {
            let (format, version) = (FORMAT.into(), VERSION);
            let (model, training) = (self.model.clone(), self.training.clone());
            serde_json::to_string_pretty(&File { format, version, weights, model, training })
                .map_err(|e| SaveError::from(FileError::write(path, e.into())))
        };
        let mut weights = Weights { file: name.clone(), bytes: 0, crc32: 0 };
        // What could not be read, such as a model nested too deep, is not written.
        parse(path, description(weights.clone())?.as_bytes())?;
        let mut hasher = crc32fast::Hasher::new();
        write_atomic(&path.with_file_name(name), |to| {
            let mut to = Checked { to, hasher: &mut hasher, bytes: &mut weights.bytes };
            store.write(&mut to, saved)
        })
        .map_err(SaveError::from)?;
        weights.crc32 = hasher.finalize();
        let text = description(weights)? + "\n";
        write_atomic(path, |to| to.write_all(text.as_bytes())).map_err(SaveError::from)?;
        // What was named before is of no use now; if it stays, the next save writes over it.
        let _ = fs::remove_file(path.with_file_name(other));
        Ok(())
    }

    /// The description at `path`, and a store with the states saved with it, bit for bit.
    ///
    /// # Errors
    /// When a file cannot be read, is damaged, or was written by a later version of this library; when the weights
    /// are not those that were saved with the description.
    pub fn load(path: impl AsRef<Path>) -> Result<(Checkpoint, Store), Error> {
        let path = path.as_ref();
        let mut text = read(path)?;
        for _ in 0..TRIES {
            let file = parse(path, &text)?;
            let result = weights(path, &file.weights);
            // A save may have come between the description and the weights: then there is a new description.
            let again = read(path)?;
            if result.is_ok() || again == text {
                let File { model, training, .. } = file;
                return Ok((Checkpoint { model, training }, result?));
            }
            text = again;
        }
        Err(SaveError::content(path, "it is saved anew faster than it can be read").into())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SaveError> {
    Ok(fs::read(path).map_err(|source| FileError::read(path, source))?)
}

/// Names of the two files that take turns.
fn names(path: &Path) -> Result<[String; 2], SaveError> {
    let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| {
        FileError::write(
            path,
            io::Error::new(io::ErrorKind::InvalidInput, "it has no name in UTF-8"),
        )
    })?;
    Ok([0, 1].map(|turn| format!("{name}.{turn}.safetensors")))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<File, SaveError> {
    #[derive(Deserialize)]
    struct Head {
        format: String,
    }
    let wrong = |message: String| SaveError::content(path, message);
    let other = |error: &dyn std::fmt::Display| {
        wrong(format!(
            "it is no description of a model: {error}; `Model::load_weights` and `Store::load` read weights alone"
        ))
    };
    let text = std::str::from_utf8(bytes).map_err(|error| other(&error))?;
    match serde_json::from_str::<Head>(text) {
        Ok(head) if head.format == FORMAT => {}
        Ok(head) => return Err(wrong(format!("its format is `{}`, not `{FORMAT}`", head.format))),
        Err(error) => return Err(other(&error)),
    }
    check_version(path, text)?;
    serde_json::from_str(text).map_err(|e| wrong(format!("it is damaged: {e}")))
}

/// The weights that belong to the description at `path`.
fn weights(path: &Path, weights: &Weights) -> Result<Store, SaveError> {
    // A name only, so that no description reads a file elsewhere.
    let mut parts = Path::new(&weights.file).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
        let message = format!("`{}` is no file beside it", weights.file);
        return Err(SaveError::content(path, message));
    }
    let beside: PathBuf = path.with_file_name(&weights.file);
    let bytes = read(&beside)?;
    if bytes.len() as u64 != weights.bytes || crc32fast::hash(&bytes) != weights.crc32 {
        let message = format!("it is not what was saved with `{}`", path.display());
        return Err(SaveError::content(&beside, message));
    }
    Store::read(&bytes, &beside)
}

/// A writer that sums up what goes through it.
struct Checked<'a> {
    to: &'a mut dyn Write,
    hasher: &'a mut crc32fast::Hasher,
    bytes: &'a mut u64,
}

impl Write for Checked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        *self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
