//! The state of a simulated disk, behind one lock.
//!
//! Two media: `durable`, what is left after a power failure, and `view`, what the running system
//! sees. The view is the durable media with the unsynced pieces and the unsynced changes of names
//! applied in order. A completed write is in both.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::crash::{Doubt, Remains, Wreck};
use super::fault::{self, Faults, OpClass};
use super::lock::{HandleId, Locks, QueueId};
use super::media::{InodeId, Media, Piece};
use super::namespace::NameChange;
use super::queue::Flights;
use super::random::{Rng, mix};
use super::replay::Replay;
use super::{Schedule, SimOptions};
use crate::sync::lock::Mutex;

/// A disk as all its directories, files and queues hold it.
pub(super) type Shared = Arc<Mutex<State>>;

/// What every operation costs on the clocks.
const OPERATION_NS: u64 = 1_000;
/// What a glance at a clock costs: who polls it until a deadline gets there.
const GLANCE_NS: u64 = 100;

#[derive(Debug)]
pub(super) struct State {
    pub(super) options: SimOptions,
    pub(super) lineage: Replay,
    pub(super) durable: Media,
    pub(super) view: Media,
    pub(super) unsynced: Vec<Piece>,
    pub(super) names: Vec<NameChange>,
    pub(super) orphans: Vec<Orphan>,
    pub(super) next_inode: InodeId,
    pub(super) handles: BTreeMap<HandleId, Handle>,
    /// The handles by the address of their [`SimFile`](super::file::SimFile): how a queue knows
    /// which file a write means.
    pub(super) addresses: BTreeMap<usize, HandleId>,
    pub(super) locks: Locks,
    pub(super) queues: BTreeMap<QueueId, Flights>,
    /// How many queues of reads were made.
    pub(super) read_queues: u64,
    next_id: u64,
    pub(super) faults: Faults,
    pub(super) operations: u64,
    pub(super) crash_at: Option<u64>,
    wreck: Option<Wreck>,
    recorded: Option<Vec<Wreck>>,
    wall_ns: u64,
    monotonic_ns: u64,
    pub(super) chance: Rng,
    pub(super) random: Rng,
    pub(super) idle_waits: u64,
}

/// An opening of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handle {
    pub(super) inode: InodeId,
    pub(super) writable: bool,
}

/// A write that lost its process and lands later.
#[derive(Debug, Clone)]
pub(super) struct Orphan {
    pub(super) pieces: Vec<Piece>,
    /// After how many operations.
    pub(super) countdown: u64,
}

/// Whether an operation is to be carried out.
pub(super) enum Verdict {
    Go,
    Fail(io::Error),
}

impl State {
    pub(super) fn new(options: SimOptions) -> Self {
        let media = Media::new();
        Self {
            durable: media.clone(),
            view: media,
            unsynced: Vec::new(),
            names: Vec::new(),
            orphans: Vec::new(),
            next_inode: 1,
            handles: BTreeMap::new(),
            addresses: BTreeMap::new(),
            locks: Locks::default(),
            queues: BTreeMap::new(),
            read_queues: 0,
            next_id: 1,
            faults: Faults::default(),
            operations: 0,
            crash_at: None,
            wreck: None,
            recorded: None,
            wall_ns: options.start_unix_ns,
            monotonic_ns: 1_000_000_000,
            chance: Rng::new(mix(options.seed, 1)),
            random: Rng::new(mix(options.seed, 2)),
            idle_waits: 0,
            lineage: Replay::new(options.seed),
            options,
        }
    }

    /// A disk that a new process finds: `seed` is for what happens on it from now on.
    pub(super) fn found(remains: &Remains, seed: u64, lineage: Replay) -> Self {
        let options = SimOptions {
            seed,
            start_unix_ns: remains.wall_ns,
            ..remains.options.clone()
        };
        Self {
            lineage,
            next_inode: remains.next_inode,
            monotonic_ns: remains.monotonic_ns,
            ..Self::new(options)
        }
    }

    // ---- operations ---------------------------------------------------------------------------

    /// Begins an operation. `doubts` says what it might leave half done, should the crash come
    /// now: then the whole process is dead, and this returns an error.
    pub(super) fn step(
        &mut self,
        class: OpClass,
        doubts: impl FnOnce(&Self) -> Vec<Doubt>,
    ) -> io::Result<Verdict> {
        self.alive()?;
        self.operations += 1;
        self.tick(OPERATION_NS);
        self.land_orphans();
        let crash = self.crash_at.is_some_and(|at| self.operations >= at);
        if crash || self.recorded.is_some() {
            let doubts = doubts(self);
            let wreck = Wreck::new(self, doubts);
            if let Some(recorded) = &mut self.recorded {
                recorded.push(wreck.clone());
            }
            if crash {
                self.die(wreck);
                return Err(fault::crashed());
            }
        }
        Ok(match self.faults.strike(class) {
            Some(error) => Verdict::Fail(error),
            None => Verdict::Go,
        })
    }

    /// Counts an operation that changes nothing and at which no crash is planned.
    pub(super) fn glance(&mut self, class: OpClass) -> io::Result<()> {
        self.alive()?;
        self.faults.strike(class).map_or(Ok(()), Err)
    }

    pub(super) fn alive(&self) -> io::Result<()> {
        if self.wreck.is_some() {
            return Err(fault::crashed());
        }
        Ok(())
    }

    /// The crash itself: from now on nothing has an effect.
    fn die(&mut self, wreck: Wreck) {
        self.wreck = Some(wreck);
        self.locks.clear();
        for flights in self.queues.values_mut() {
            flights.clear();
        }
    }

    pub(super) fn wreck(&self) -> Option<&Wreck> {
        self.wreck.as_ref()
    }

    pub(super) fn record(&mut self, on: bool) -> Vec<Wreck> {
        let recorded = self.recorded.take().unwrap_or_default();
        self.recorded = on.then(Vec::new);
        recorded
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn next_inode(&mut self) -> InodeId {
        self.next_inode += 1;
        self.next_inode
    }

    // ---- bytes --------------------------------------------------------------------------------

    /// Writes bytes that are durable from now on.
    pub(super) fn write_durable(&mut self, inode: InodeId, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        // Older bytes in the cache are overwritten there, too: they must not land afterwards.
        if self.unsynced.iter().any(|piece| piece.inode == inode) {
            self.unsynced = std::mem::take(&mut self.unsynced)
                .iter()
                .flat_map(|piece| {
                    let (start, end) = if piece.inode == inode {
                        (offset, end)
                    } else {
                        (piece.end(), piece.end())
                    };
                    piece.without(start, end).collect::<Vec<_>>()
                })
                .collect();
        }
        self.view.change_both(&mut self.durable, inode, |file| {
            file.write(offset, bytes);
        });
    }

    /// Writes bytes that the system sees, and that a sync makes durable unless they are doomed.
    pub(super) fn write_cached(&mut self, piece: Piece) {
        piece.write_to(&mut self.view);
        self.unsynced.push(piece);
    }

    /// What a failed write leaves: any part of it, which no later sync makes durable.
    pub(super) fn write_failed(&mut self, inode: InodeId, offset: u64, bytes: &Bytes) {
        for mut piece in Piece::split(inode, offset, bytes) {
            if self.chance.chance(1, 2) {
                piece.doomed = true;
                self.write_cached(piece);
            }
        }
    }

    /// Makes all of a file's cached bytes durable but the doomed ones, which are gone with the
    /// cache: see [`File::sync`](crate::disk::File::sync).
    pub(super) fn sync_file(&mut self, inode: InodeId) {
        let (synced, rest) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition::<Vec<_>, _>(|piece| piece.inode == inode);
        self.unsynced = rest;
        for piece in synced.into_iter().filter(|piece| !piece.doomed) {
            piece.write_to(&mut self.durable);
        }
        if let Some(file) = self.durable.files.get(&inode) {
            // The two are equal now: share them.
            self.view.files.insert(inode, Arc::clone(file));
        }
    }

    /// A failed sync: the cache forgets that these bytes still have to be written.
    pub(super) fn sync_failed(&mut self, inode: InodeId) {
        for piece in &mut self.unsynced {
            piece.doomed |= piece.inode == inode;
        }
    }

    /// Whether the file may grow to `reserved` bytes of disk space.
    pub(super) fn has_room(&self, inode: InodeId, reserved: u64) -> bool {
        let Some(capacity) = self.options.capacity else {
            return true;
        };
        let present = self.view.file(inode).map_or(0, |file| file.reserved);
        reserved <= present || self.used() + (reserved - present) <= capacity
    }

    /// The disk space that is taken: by files that have a name, and by those that are open.
    pub(super) fn used(&self) -> u64 {
        let mut inodes: Vec<_> = self.view.named().collect();
        inodes.extend(self.handles.values().map(|handle| handle.inode));
        inodes.sort_unstable();
        inodes.dedup();
        inodes
            .into_iter()
            .filter_map(|inode| self.view.file(inode))
            .map(|file| file.reserved)
            .sum()
    }

    /// Makes a file `len` bytes long, durably.
    pub(super) fn set_len_durable(&mut self, inode: InodeId, len: u64) {
        self.view
            .change_both(&mut self.durable, inode, |file| file.set_len(len));
        self.unsynced
            .retain(|piece| piece.inode != inode || piece.end() <= len);
    }

    // ---- names --------------------------------------------------------------------------------

    /// Changes names, for the system to see; [`State::sync_dir`] makes it durable.
    pub(super) fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.view);
        if let Some(inode) = change.created() {
            // A file's bytes can be durable before its name is.
            let file = Arc::clone(&self.view.files[&inode]);
            self.durable.files.insert(inode, file);
        }
        self.names.push(change);
        self.forget_unreachable();
    }

    /// Makes a directory's changes of names durable.
    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let (synced, rest) = std::mem::take(&mut self.names)
            .into_iter()
            .partition::<Vec<_>, _>(|change| *change.dir == *dir);
        self.names = rest;
        for change in synced {
            change.apply(&mut self.durable);
        }
        self.forget_unreachable();
    }

    // ---- writes without a process -------------------------------------------------------------

    /// Lets writes without a process land when their moment has come.
    pub(super) fn land_orphans(&mut self) {
        if self.orphans.is_empty() {
            return;
        }
        for orphan in &mut self.orphans {
            orphan.countdown = orphan.countdown.saturating_sub(1);
        }
        let (landing, waiting) = std::mem::take(&mut self.orphans)
            .into_iter()
            .partition::<Vec<_>, _>(|orphan| orphan.countdown == 0);
        self.orphans = waiting;
        for piece in landing.into_iter().flat_map(|orphan| orphan.pieces) {
            self.write_cached(piece);
        }
        if self.orphans.is_empty() {
            self.locks.forget_kept();
        }
    }

    /// Forgets files that have no name, in the cache or on the disk, and that nobody has open.
    pub(super) fn forget_unreachable(&mut self) {
        let mut inodes: Vec<_> = self.view.named().chain(self.durable.named()).collect();
        inodes.extend(self.handles.values().map(|handle| handle.inode));
        inodes.extend(self.queues.values().flat_map(Flights::inodes));
        inodes.extend(self.names.iter().filter_map(NameChange::created));
        for piece in self.orphans.iter().flat_map(|orphan| &orphan.pieces) {
            inodes.push(piece.inode);
        }
        inodes.sort_unstable();
        let reachable = |inode: InodeId| inodes.binary_search(&inode).is_ok();
        self.view.files.retain(|&inode, _| reachable(inode));
        self.durable.files.retain(|&inode, _| reachable(inode));
        self.unsynced.retain(|piece| reachable(piece.inode));
    }

    /// Makes everything durable, for edits of a disk at rest.
    pub(super) fn settle(&mut self) {
        assert!(
            self.wreck.is_none(),
            "this disk crashed: edit one of its crash states instead"
        );
        self.durable = self.view.clone();
        self.unsynced.clear();
        self.names.clear();
    }

    // ---- time and chance ----------------------------------------------------------------------

    pub(super) fn tick(&mut self, ns: u64) {
        self.wall_ns = self.wall_ns.saturating_add(ns);
        self.monotonic_ns = self.monotonic_ns.saturating_add(ns);
    }

    pub(super) fn jump_wall(&mut self, ns: i64) {
        self.wall_ns = self.wall_ns.saturating_add_signed(ns);
    }

    pub(super) fn wall_ns(&mut self) -> u64 {
        self.tick(GLANCE_NS);
        self.wall_ns
    }

    pub(super) fn monotonic_ns(&mut self) -> u64 {
        self.tick(GLANCE_NS);
        self.monotonic_ns
    }

    /// Both clocks, wall first, without touching them.
    pub(super) fn clocks_ns(&self) -> (u64, u64) {
        (self.wall_ns, self.monotonic_ns)
    }

    pub(super) fn schedule(&self) -> Schedule {
        self.options.schedule
    }
}
