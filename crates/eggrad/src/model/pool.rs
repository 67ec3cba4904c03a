//! Compiled graphs of one mode at several batch sizes, and sessions that wait for their next run.

use super::Model;
use super::graphs::Slot;
use crate::error::Error;
use crate::program::{Program, Session};
use crate::store::Store;
use eggrad_nn::Mode;
use eggrad_nn::loss::Weighing;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Compiled batch sizes kept for each mode; the one unused for longest goes first.
const KEPT: usize = 12;

/// Batch size, and how rows that have weights are weighed.
type Key = (usize, Option<Weighing>);

/// Compiled graphs of one mode.
pub(super) struct Pool {
    mode: Mode,
    entries: Mutex<Vec<Entry>>,
    /// Whether rows stay apart; `None` until somebody asked.
    apart: Mutex<Option<bool>>,
}

struct Entry {
    key: Key,
    program: Arc<Program>,
    outputs: Arc<[Slot]>,
    idle: Vec<Session>,
}

/// What there is to run.
struct Found {
    program: Arc<Program>,
    outputs: Arc<[Slot]>,
    idle: Option<Session>,
}

/// A session, lent to one thread.
pub(super) struct Lent {
    key: Key,
    pub(super) session: Session,
    pub(super) outputs: Arc<[Slot]>,
}

impl Pool {
    pub(super) fn new(mode: Mode) -> Pool {
        Pool { mode, entries: Mutex::default(), apart: Mutex::default() }
    }

    pub(super) fn clear(&mut self) {
        *self = Pool::new(self.mode);
    }

    /// Batch sizes that are compiled.
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.lock().iter().map(|entry| entry.key.0).collect()
    }

    /// Takes a session back.
    pub(super) fn give(&self, lent: Lent) {
        let mut entries = self.lock();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == lent.key) {
            entry.idle.push(lent.session);
        }
    }

    /// What was asked before about rows, or what `ask` says now.
    pub(super) fn apart(&self, ask: impl FnOnce() -> bool) -> bool {
        let mut apart = self.apart.lock().unwrap_or_else(PoisonError::into_inner);
        *apart.get_or_insert_with(ask)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    fn pool(&self, mode: Mode) -> &Pool {
        match mode {
            Mode::Train => &self.train,
            Mode::Evaluate => &self.evaluate,
            Mode::Predict => &self.predict,
        }
    }

    /// A program of this mode for `rows` rows, compiled if need be, and an idle session if there is one.
    fn compiled(&self, mode: Mode, key: Key) -> Result<Found, Error> {
        let pool = self.pool(mode);
        let mut entries = pool.lock();
        if let Some(i) = entries.iter().position(|entry| entry.key == key) {
            // Most recently used last.
            entries[i..].rotate_left(1);
        } else {
            let written = self.written(mode, key.0, key.1)?;
            let mut options = self.options.clone();
            // Pictures of the first size to train with, usually the full batch, are the ones to look at.
            if mode != Mode::Train || !entries.is_empty() {
                options.dump = None;
            }
            let program = Arc::new(Program::compile(&written.graph, &options)?);
            if entries.len() == KEPT {
                entries.remove(0);
            }
            let outputs = written.outputs.into();
            entries.push(Entry { key, program, outputs, idle: vec![] });
        }
        let entry = entries.last_mut().expect("internal error: an entry was just put last");
        // Sessions of a store that has been replaced are of no use.
        entry.idle.retain(|session| session.is_over(&self.store));
        let (program, outputs) = (Arc::clone(&entry.program), Arc::clone(&entry.outputs));
        Ok(Found { program, outputs, idle: entry.idle.pop() })
    }

    /// A session of this mode for `rows` rows; makes states that the store does not have.
    pub(super) fn lend(
        &mut self,
        mode: Mode,
        rows: usize,
        weighing: Option<Weighing>,
    ) -> Result<Lent, Error> {
        let key = (rows, weighing);
        let Found { program, outputs, idle } = self.compiled(mode, key)?;
        let session = match idle {
            Some(session) => session,
            None => Session::new(&program, &mut self.store)?,
        };
        Ok(Lent { key, session, outputs })
    }

    /// A session of this mode for `rows` rows over a store that has all states; `None` if it has none at all.
    pub(super) fn lend_shared(&self, mode: Mode, rows: usize) -> Result<Option<Lent>, Error> {
        let key = (rows, None);
        let Found { program, outputs, idle } = self.compiled(mode, key)?;
        let session = match idle {
            Some(session) => session,
            None if self.store.states().next().is_none()
                && !program.graph().states().is_empty() =>
            {
                return Ok(None);
            }
            None => Session::over(&program, &self.store)?,
        };
        Ok(Some(Lent { key, session, outputs }))
    }

    /// As [`Model::lend_shared`] before there are states: over a store of its own, with what they would begin as.
    pub(super) fn lend_fresh(&self, mode: Mode, rows: usize) -> Result<(Session, Store), Error> {
        let Found { program, .. } = self.compiled(mode, (rows, None))?;
        let mut store = Store::new(self.store.seed());
        Ok((Session::new(&program, &mut store)?, store))
    }
}
