//! A disk in memory that behaves as badly as a real one may: for crash tests.
//!
//! [`SimDisk`] implements [`Disk`]. Everything that it does is drawn from a seed, so that a run
//! can be repeated exactly as long as one thread drives it. (It may be shared between threads;
//! then their order is one more thing that chance decides.)
//!
//! **Operations.** Everything that changes the media is an operation with a number, from 1:
//! `push`, `submit` (of at least one write), each completion, `write_at`, `sync`, `allocate`,
//! `create`, `rename`, `unlink`, a directory's `sync`, `create_dir`. [`SimDisk::crash_at`] kills
//! the process in the middle of one: every later call fails and changes nothing. Then
//! [`SimDisk::crash_states`] (power failure) and [`SimDisk::kill_states`] (`kill -9`) give the
//! disks that the next process may find, all of them or a sample. Each has a
//! [name](SimDisk::describe) of one line, from which [`Replay::run`] makes it again.
//!
//! **What is durable.** A write at its completion, `write_at` and `allocate` when they return,
//! changes of names after the directory's `sync`. Before that, a power failure leaves any subset
//! of the sectors of 512 bytes, and any subset of the changes of names that keeps the order of
//! those to the same name. A killed process leaves its writes in flight behind, which land within
//! the next few operations of its successor; a lock that a queue [holds](crate::disk::Queue::hold)
//! stays until they have. What landed so is visible, and durable only after a sync.
//!
//! **Faults.** Operations [fail by plan](SimDisk::fail); a disk [fills up](SimDisk::set_capacity);
//! bytes are taken from memory at a write's completion, which shows up memory that was reused too
//! early; a [clock jumps](SimDisk::jump_wall); files are damaged, swapped, cut.
//!
//! ```
//! use ringbolt::disk::sim::SimDisk;
//! use ringbolt::disk::{AlignedBuf, Disk, OpenMode};
//!
//! let disk = SimDisk::new(7);
//! disk.create_dir("/data".as_ref())?;
//! let dir = disk.open_dir("/data".as_ref())?;
//! let file = dir.create("journal")?;
//! file.allocate(8192)?;
//! dir.sync()?;
//!
//! let mut block = AlignedBuf::new(4096)?;
//! block.fill(1);
//! file.write_at(&block, 0)?;
//!
//! // The power fails in the middle of the second write.
//! disk.crash_at(disk.operations() + 1);
//! block.fill(2);
//! assert!(file.write_at(&block, 4096).is_err());
//!
//! let mut states = 0;
//! for state in disk.crash_states(1000, 1) {
//!     let dir = state.open_dir("/data".as_ref())?;
//!     let file = dir.open("journal", OpenMode::Read)?;
//!     file.read_at(&mut block, 0)?;
//!     assert!(block.iter().all(|&byte| byte == 1), "lost in {}", state.describe());
//!     // The second write is there, is not, or is torn between any two sectors.
//!     file.read_at(&mut block, 4096)?;
//!     for sector in block.chunks(512) {
//!         assert!(sector.iter().all(|&byte| byte == sector[0]));
//!     }
//!     states += 1;
//! }
//! assert_eq!(states, 1 << 8);
//! # Ok::<(), std::io::Error>(())
//! ```

mod crash;
mod cut;
mod dir;
mod edit;
mod fault;
mod file;
mod lock;
mod media;
mod namespace;
mod options;
mod queue;
mod random;
mod reads;
mod replay;
mod state;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use crash::Wreck;
pub use cut::{CrashStates, Cut, Mode, Subset};
pub use fault::{EIO, ENOSPC, Fault, OpClass};
pub use options::{Schedule, SimOptions};
pub use replay::{Crash, ParseReplayError, Replay};

use self::crash::Doubt;
use self::dir::SimDir;
use self::fault::{EEXIST, ELOOP, ENOENT, ENOTDIR};
use self::namespace::{NameChange, NameChangeKind, Node, absolute, parent_and_name};
use self::queue::SimQueue;
use self::reads::SimReads;
use self::state::{Shared, State, Verdict};
use crate::disk::{Dir, Disk, PathKind, PathStat, Queue, ReadQueue};
use crate::sync::lock::Mutex;

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    shared: Shared,
}

impl SimDisk {
    /// A disk with the default [options](SimOptions) and this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        SimOptions::new().seed(seed).build()
    }

    fn from_options(options: SimOptions) -> Self {
        Self::from_state(State::new(options))
    }

    fn from_state(state: State) -> Self {
        Self {
            shared: Arc::new(Mutex::new(state)),
        }
    }

    /// The name of the state that this disk began in: one line, see [`Replay`].
    #[must_use]
    pub fn describe(&self) -> String {
        self.replay().to_string()
    }

    /// How the state that this disk began in came about.
    #[must_use]
    pub fn replay(&self) -> Replay {
        self.shared.lock().lineage.clone()
    }

    // ---- crashes ------------------------------------------------------------------------------

    /// The number of operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.shared.lock().operations
    }

    /// The crash comes in operation `operation`, or in the next one, should that be over.
    pub fn crash_at(&self, operation: u64) {
        self.shared.lock().crash_at = Some(operation);
    }

    /// The crash comes now, between two operations; it counts as one of its own.
    pub fn crash_now(&self) {
        let mut state = self.shared.lock();
        state.crash_at = Some(0);
        // The crash, or that there was one already.
        let _ = state.step(OpClass::Push, |_| Vec::new());
    }

    /// Whether the crash has come.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.shared.lock().wreck().is_some()
    }

    /// What the crash left; `None` before it.
    #[must_use]
    pub fn wreck(&self) -> Option<Wreck> {
        self.shared.lock().wreck().cloned()
    }

    /// The disks that may be found after the crash, which was a power failure. See
    /// [`Wreck::crash_states`].
    ///
    /// # Panics
    ///
    /// If there was no crash.
    #[must_use]
    pub fn crash_states(&self, limit: usize, seed: u64) -> CrashStates {
        let wreck = self.wreck().expect("the disk has not crashed");
        wreck.crash_states(limit, seed)
    }

    /// The disks that may be found after the crash, in which only the process died. See
    /// [`Wreck::kill_states`].
    ///
    /// # Panics
    ///
    /// If there was no crash.
    #[must_use]
    pub fn kill_states(&self, limit: usize, seed: u64) -> CrashStates {
        let wreck = self.wreck().expect("the disk has not crashed");
        wreck.kill_states(limit, seed)
    }

    /// From now on, keeps what a crash in each operation would leave, without a crash: one run of
    /// a workload then serves for all its crashes. What was acknowledged when
    /// [`SimDisk::operations`] was n must be found in every state of a wreck whose
    /// [operation](Wreck::operation) is above n.
    pub fn record_wrecks(&self) {
        self.shared.lock().record(true);
    }

    /// Ends [`SimDisk::record_wrecks`], and returns a wreck for each operation since.
    #[must_use]
    pub fn take_wrecks(&self) -> Vec<Wreck> {
        self.shared.lock().record(false)
    }

    /// Whether writes of a killed process have yet to land here.
    #[must_use]
    pub fn has_orphans(&self) -> bool {
        !self.shared.lock().orphans.is_empty()
    }

    /// Lets all writes of a killed process land now, and frees the lock that they keep.
    pub fn land_orphans(&self) {
        let mut state = self.shared.lock();
        while !state.orphans.is_empty() {
            state.land_orphans();
        }
    }

    // ---- faults, space, time ------------------------------------------------------------------

    /// Plans a failure.
    pub fn fail(&self, fault: Fault) {
        self.shared.lock().faults.add(fault);
    }

    /// Forgets all planned failures.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// The number of operations of a class so far, failed ones included.
    #[must_use]
    pub fn count(&self, class: OpClass) -> u64 {
        self.shared.lock().faults.count(class)
    }

    /// Limits the bytes that fit, or lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.lock().options.capacity = bytes;
    }

    /// The bytes that are taken, by files with a name and files that are open.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.shared.lock().used()
    }

    /// Changes when writes and reads complete.
    pub fn set_schedule(&self, schedule: Schedule) {
        self.shared.lock().options.schedule = schedule;
    }

    /// Lets time pass, on both clocks.
    pub fn advance(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.shared.lock().tick(ns);
    }

    /// Sets the wall clock forward or back by `ns` nanoseconds; the monotonic one stays.
    pub fn jump_wall(&self, ns: i64) {
        self.shared.lock().jump_wall(ns);
    }

    /// How often a queue waited with no timeout while nothing could end the wait: on a real disk
    /// its thread would sleep for ever, unless another one woke it.
    #[must_use]
    pub fn idle_waits(&self) -> u64 {
        self.shared.lock().idle_waits
    }
}

impl Disk for SimDisk {
    fn stat(&self, path: &Path) -> io::Result<PathStat> {
        let state = self.shared.lock();
        state.alive()?;
        let Some((dir, name)) = parent_and_name(path) else {
            return Ok(PathStat {
                kind: PathKind::Directory,
                owned: true,
            });
        };
        Ok(match state.view.entry(&dir, &name) {
            Some(entry) => PathStat {
                kind: entry.kind(),
                owned: entry.owned,
            },
            None => PathStat {
                kind: PathKind::Missing,
                owned: false,
            },
        })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.alive()?;
        let Some((dir, name)) = parent_and_name(path) else {
            return Err(fault::error(EEXIST));
        };
        match state.view.dir(&dir) {
            None => return Err(fault::error(ENOENT)),
            Some(dir) if dir.entries.contains_key(&name) => return Err(fault::error(EEXIST)),
            Some(_) => {}
        }
        let change = NameChange {
            dir: dir.as_path().into(),
            kind: NameChangeKind::MakeDir { name },
        };
        let doubt = || vec![Doubt::Name(change.clone())];
        if let Verdict::Fail(error) = state.step(OpClass::CreateDir, |_| doubt())? {
            return Err(error);
        }
        state.change_name(change);
        state.sync_dir(&dir);
        Ok(())
    }

    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let state = self.shared.lock();
        state.alive()?;
        if let Some((dir, name)) = parent_and_name(path) {
            match state.view.entry(&dir, &name).map(|entry| entry.node) {
                Some(Node::Directory) => {}
                Some(Node::File(_)) => return Err(fault::error(ENOTDIR)),
                Some(Node::Symlink) => return Err(fault::error(ELOOP)),
                None => return Err(fault::error(ENOENT)),
            }
        }
        Ok(Arc::new(SimDir::new(&self.shared, path, absolute(path))))
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        self.shared.lock().alive()?;
        Ok(Box::new(SimQueue::new(&self.shared)))
    }

    fn reads(&self, depth: usize) -> Box<dyn ReadQueue> {
        Box::new(SimReads::new(&self.shared, depth))
    }

    fn now_unix_ns(&self) -> u64 {
        self.shared.lock().wall_ns()
    }

    fn now_monotonic_ns(&self) -> u64 {
        self.shared.lock().monotonic_ns()
    }

    fn random(&self, bytes: &mut [u8]) {
        self.shared.lock().random.fill(bytes);
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimDisk").field(&self.describe()).finish()
    }
}
