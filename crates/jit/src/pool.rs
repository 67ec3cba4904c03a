//! Threads that help with the loop of a kernel.
//!
//! One pool serves the process. Its workers spin for a moment after work, because the next kernel of a step usually
//! follows within microseconds, and then sleep. The caller takes part; whatever no worker has claimed it does itself,
//! so a busy machine costs little, and a pool in use by another caller costs nothing: the work is then done alone.

use crate::emit::Shares;
use crate::flush::FlushToZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// For how long workers look for more work before they sleep.
const SPIN: Duration = Duration::from_micros(30);

/// Chunks of one loop, so that their number fits into half a word.
const MOST_CHUNKS: usize = 1 << 16;

/// What is done with positions `begin..end` of a loop.
type Task<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What caller and workers share.
///
/// Note [Claims]. `claim` holds the number of the loop in its upper half and in its lower how many chunks nobody has
/// claimed. A worker that sees some reads what the loop is, then claims the last of them by exchanging `claim`; that
/// fails when another one has begun. The caller changes what the loop is only after every chunk is done. So what a
/// worker has read belongs to the chunk it has claimed, and the task is alive until that chunk is done.
struct Shared {
    claim: AtomicU64,
    task: AtomicPtr<()>,
    /// Positions of the loop, and of a chunk.
    positions: AtomicUsize,
    chunk: AtomicUsize,
    /// Workers that may take part.
    helpers: AtomicUsize,
    done: AtomicUsize,
    panicked: AtomicBool,
}

/// Workers, and the right to give them work.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<(Thread, Arc<AtomicBool>)>,
    turn: Mutex<()>,
}

/// The pool of the process, with a worker for every core but one; its threads begin with its first use.
pub(crate) fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool::new(std::thread::available_parallelism().map_or(1, usize::from) - 1))
}

impl Pool {
    /// Starts workers; fewer where the system refuses threads.
    fn new(workers: usize) -> Pool {
        let shared = Arc::new(Shared {
            claim: AtomicU64::new(0),
            task: AtomicPtr::new(std::ptr::null_mut()),
            positions: AtomicUsize::new(0),
            chunk: AtomicUsize::new(1),
            helpers: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
        });
        let start = |number: usize| {
            let (shared, sleeping) = (shared.clone(), Arc::new(AtomicBool::new(false)));
            let seen = sleeping.clone();
            let work = move || shared.work(number, &seen);
            let thread = std::thread::Builder::new().name(format!("eggrad-{number}")).spawn(work);
            Some((thread.ok()?.thread().clone(), sleeping))
        };
        let workers = (0..workers).map_while(start).collect();
        Pool { shared, workers, turn: Mutex::new(()) }
    }

    /// Calls `task` for parts of `0..positions`, on up to `threads` threads.
    ///
    /// # Panics
    /// When a call panics; the rest is done all the same.
    pub(crate) fn split(
        &self,
        threads: usize,
        positions: usize,
        Shares { unit, parts }: Shares,
        task: Task<'_>,
    ) {
        let helpers = (threads - 1).min(self.workers.len());
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => PoisonError::into_inner(turn),
            Err(TryLockError::WouldBlock) => return task(0, positions),
        };
        let units = positions.div_ceil(unit);
        let chunk = units.div_ceil((parts * (helpers + 1)).min(MOST_CHUNKS)) * unit;
        let chunks = positions.div_ceil(chunk);
        if helpers == 0 || chunks < 2 {
            return task(0, positions);
        }
        let shared = &*self.shared;
        let number = (shared.claim.load(Ordering::Relaxed) >> 32) + 1;
        shared.task.store((&raw const task).cast_mut().cast(), Ordering::Relaxed);
        shared.positions.store(positions, Ordering::Relaxed);
        shared.chunk.store(chunk, Ordering::Relaxed);
        shared.helpers.store(helpers, Ordering::Relaxed);
        shared.done.store(0, Ordering::Relaxed);
        // Release: whoever sees the number sees what was stored above. It goes round after 2^32 loops, when no worker
        // can still hold the same one.
        shared.claim.store(number << 32 | chunks as u64, Ordering::SeqCst);
        for (thread, sleeping) in &self.workers[..helpers] {
            if sleeping.swap(false, Ordering::SeqCst) {
                thread.unpark();
            }
        }
        shared.help(number & u64::from(u32::MAX));
        let mut waits = 0u32;
        while shared.done.load(Ordering::Acquire) < chunks {
            waits += 1;
            // A worker that the system has put aside needs the core more than this loop.
            if waits.is_multiple_of(4096) {
                std::thread::yield_now()
            } else {
                std::hint::spin_loop()
            }
        }
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        drop(turn);
        assert!(!panicked, "internal error: a part of a split loop panicked");
    }
}

impl Shared {
    /// Does chunks of loop `number` until none is left; whether there were any.
    fn help(&self, number: u64) -> bool {
        let mut helped = false;
        loop {
            let claim = self.claim.load(Ordering::Acquire);
            let task = self.task.load(Ordering::Relaxed);
            let positions = self.positions.load(Ordering::Relaxed);
            let chunk = self.chunk.load(Ordering::Relaxed);
            let left = unclaimed(claim);
            if claim >> 32 != number || left == 0 {
                return helped;
            }
            let next =
                self.claim.compare_exchange(claim, claim - 1, Ordering::AcqRel, Ordering::Relaxed);
            if next.is_err() {
                continue;
            }
            // SAFETY: the chunk is claimed and not done, so the caller of `split` still waits, and its task, to which
            // this points, is alive; see Note [Claims].
            let task = unsafe { *task.cast_const().cast::<Task<'_>>() };
            let begin = (left - 1) * chunk;
            let end = positions.min(begin + chunk);
            if catch_unwind(AssertUnwindSafe(|| task(begin, end))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.done.fetch_add(1, Ordering::Release);
            helped = true;
        }
    }

    /// What worker `number` does for the life of the process.
    fn work(&self, number: usize, sleeping: &AtomicBool) {
        let mut idle = Instant::now();
        loop {
            let claim = self.claim.load(Ordering::Acquire);
            if unclaimed(claim) > 0 && number < self.helpers.load(Ordering::Relaxed) {
                let _flush = FlushToZero::set();
                if self.help(claim >> 32) {
                    idle = Instant::now();
                }
            }
            if idle.elapsed() < SPIN {
                std::hint::spin_loop();
                continue;
            }
            sleeping.store(true, Ordering::SeqCst);
            // Work that came before the caller could see this one asleep.
            if self.claim.load(Ordering::SeqCst) == claim {
                while sleeping.load(Ordering::SeqCst) {
                    std::thread::park();
                }
            }
            sleeping.store(false, Ordering::SeqCst);
            idle = Instant::now();
        }
    }
}

/// Chunks that nobody has claimed.
fn unclaimed(claim: u64) -> usize {
    (claim & u64::from(u32::MAX)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn counted(pool: &Pool, threads: usize, positions: usize, unit: usize) -> Vec<u32> {
        let counts: Vec<AtomicU32> = (0..positions).map(|_| AtomicU32::new(0)).collect();
        pool.split(threads, positions, Shares { unit, parts: 4 }, &|begin, end| {
            assert!(begin.is_multiple_of(unit) && (end.is_multiple_of(unit) || end == positions));
            for count in &counts[begin..end] {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        counts.into_iter().map(AtomicU32::into_inner).collect()
    }

    #[test]
    fn every_position_is_done_once() {
        for workers in [0, 1, 3] {
            let pool = Pool::new(workers);
            for round in 0..300 {
                let (positions, unit) = (1 + round * 7 % 1000, 1 + round % 13);
                let counts = counted(&pool, 1 + round % 5, positions, unit);
                assert!(counts.iter().all(|&c| c == 1), "{workers} {positions} {unit}");
            }
        }
    }

    #[test]
    fn sleeping_workers_wake_up_and_busy_pools_are_done_without() {
        let pool = Pool::new(2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..200 {
                        assert!(counted(&pool, 3, 500, 1).iter().all(|&c| c == 1));
                        if round % 50 == 0 {
                            std::thread::sleep(SPIN * 4);
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_is_handed_on_and_the_next_loop_works() {
        let pool = Pool::new(1);
        let bad = |begin: usize, _: usize| assert!(begin != 8, "on purpose");
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.split(2, 64, Shares { unit: 8, parts: 4 }, &bad)
        }));
        assert!(result.is_err());
        assert!(counted(&pool, 2, 64, 8).iter().all(|&c| c == 1));
    }
}
