//! Functions that this process has made before: equal loops with equal bodies, in this graph or another, are made once.

use crate::codegen::{Code, LoopNest};
use crate::isa::Isa;
use eggrad_schedule::{ColumnKernel, ProductKernel, RowKernel};
use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Bytes of machine code and constants that are kept; the oldest go first.
const MOST_BYTES: usize = 2 << 20;

/// What a function is known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key<'a> {
    pub(crate) nest: LoopNest<'a>,
    pub(crate) args: usize,
    /// The instructions that were asked for.
    pub(crate) isa: Isa,
}

/// Loops that outlive their plan.
enum Owned {
    Row(RowKernel),
    Column(ColumnKernel),
    Product(ProductKernel),
}

impl Owned {
    fn of(nest: LoopNest<'_>) -> Owned {
        match nest {
            LoopNest::Row(k) => Owned::Row(k.clone()),
            LoopNest::Column(k) => Owned::Column(k.clone()),
            LoopNest::Product(k) => Owned::Product(k.clone()),
        }
    }

    fn nest(&self) -> LoopNest<'_> {
        match self {
            Owned::Row(k) => LoopNest::Row(k),
            Owned::Column(k) => LoopNest::Column(k),
            Owned::Product(k) => LoopNest::Product(k),
        }
    }
}

struct Known {
    nest: Owned,
    args: usize,
    isa: Isa,
    code: Arc<Code>,
}

/// Functions by the hash of their keys. Of two with one hash the later is not kept.
#[derive(Default)]
pub(crate) struct Cache {
    known: HashMap<u64, Known>,
    /// Hashes, oldest first.
    order: VecDeque<u64>,
    bytes: usize,
}

fn hash(key: &Key<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

fn bytes(code: &Code) -> usize {
    code.bytes.len() + code.table.len()
}

impl Cache {
    /// The function of these loops, if it was made before.
    pub(crate) fn get(&self, key: &Key<'_>) -> Option<Arc<Code>> {
        let known = self.known.get(&hash(key))?;
        let same = Key { nest: known.nest.nest(), args: known.args, isa: known.isa } == *key;
        same.then(|| known.code.clone())
    }

    /// Keeps a function.
    pub(crate) fn insert(&mut self, key: &Key<'_>, code: &Arc<Code>) {
        let hash = hash(key);
        if let Entry::Vacant(place) = self.known.entry(hash) {
            let nest = Owned::of(key.nest);
            place.insert(Known { nest, args: key.args, isa: key.isa, code: code.clone() });
            self.order.push_back(hash);
            self.bytes += bytes(code);
        }
        while self.bytes > MOST_BYTES {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(gone) = self.known.remove(&oldest) {
                self.bytes -= bytes(&gone.code);
            }
        }
    }
}

/// The cache of this process.
pub(crate) fn cache() -> MutexGuard<'static, Cache> {
    static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);
    // No panic comes between the steps of a change.
    CACHE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::Shares;
    use eggrad_schedule::RowKernel;
    use std::time::Duration;

    fn loops(row: usize) -> RowKernel {
        RowKernel { outer: vec![], row, accesses: vec![], phases: vec![] }
    }

    #[test]
    fn what_was_made_is_found_until_it_is_the_oldest() {
        let mut cache = Cache::default();
        let rows: Vec<RowKernel> = (0..10).map(loops).collect();
        let key = |i: usize| Key { nest: LoopNest::Row(&rows[i]), args: 1, isa: Isa::Clif };
        for i in 0..10 {
            assert!(cache.get(&key(i)).is_none());
            let code = Code {
                bytes: vec![i as u8; MOST_BYTES / 4],
                alignment: 64,
                table: vec![],
                shares: Shares { unit: 1, parts: 1 },
                isa: Isa::Clif,
                time: Duration::ZERO,
                listing: None,
            };
            cache.insert(&key(i), &Arc::new(code));
            assert!(cache.bytes <= MOST_BYTES && cache.known.len() == cache.order.len());
        }
        let found: Vec<u8> = (0..10).filter_map(|i| Some(cache.get(&key(i))?.bytes[0])).collect();
        assert_eq!(found, [6, 7, 8, 9]);
        let others = [Key { args: 2, ..key(9) }, Key { isa: Isa::Baseline, ..key(9) }];
        assert!(others.iter().all(|other| cache.get(other).is_none()));
    }
}
