//! What a crash leaves behind, and the disks that a new process may find then.
//!
//! Two ways to die. In a **power failure** of everything that was not durable any subset is on the
//! disk: each 512-byte sector by itself, in any order; changes of names in any subset that keeps
//! the order of changes to the same name. When only the **process is killed**, whatever it had
//! finished stays visible, durable or not; its writes in flight land later, block by block, in
//! full or not at all, while the next process is already running.

use std::sync::Arc;

use super::SimDisk;
use super::SimOptions;
use super::cut::{CrashStates, Cut, Mode};
use super::media::{InodeId, Media, Piece};
use super::namespace::NameChange;
use super::random::mix;
use super::replay::Replay;
use super::state::{Orphan, State};

/// Something that an operation in progress may or may not have done.
#[derive(Debug, Clone)]
pub(super) enum Doubt {
    Write {
        pieces: Vec<Piece>,
        /// By a queue, so that it can land after the process's death.
        queued: bool,
    },
    Name(NameChange),
    Length {
        inode: InodeId,
        len: u64,
    },
}

/// The remains of a simulated disk at one operation: all that may or may not be on it.
///
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Wreck(Arc<Remains>);

#[derive(Debug)]
pub(super) struct Remains {
    pub(super) options: SimOptions,
    lineage: Replay,
    operation: u64,
    durable: Media,
    view: Media,
    unsynced: Vec<Piece>,
    names: Vec<NameChange>,
    orphans: Vec<Orphan>,
    doubts: Vec<Doubt>,
    /// Files that stay locked until the writes in flight have landed.
    held: Vec<InodeId>,
    /// Files that writes of an earlier process still keep locked.
    kept: Vec<InodeId>,
    pub(super) next_inode: InodeId,
    pub(super) wall_ns: u64,
    pub(super) monotonic_ns: u64,
}

impl Wreck {
    pub(super) fn new(state: &State, mut doubts: Vec<Doubt>) -> Self {
        let mut held = Vec::new();
        for (&queue, flights) in &state.queues {
            if flights.inodes().next().is_some() {
                held.extend(state.locks.held_by(queue));
            }
            doubts.extend(flights.doubts());
        }
        let (wall_ns, monotonic_ns) = state.clocks_ns();
        Self(Arc::new(Remains {
            options: state.options.clone(),
            lineage: state.lineage.clone(),
            operation: state.operations,
            durable: state.durable.clone(),
            view: state.view.clone(),
            unsynced: state.unsynced.clone(),
            names: state.names.clone(),
            orphans: state.orphans.clone(),
            doubts,
            held,
            kept: state.locks.kept(),
            next_inode: state.next_inode,
            wall_ns,
            monotonic_ns,
        }))
    }

    /// The operation in which the crash came.
    #[must_use]
    pub fn operation(&self) -> u64 {
        self.0.operation
    }

    /// The disks that may be found after a power failure. Every subset of what was not durable,
    /// while that is at most ten sectors and changes of names; beyond, at most `limit` (and at
    /// least two) different ones drawn with `seed`: nothing landed, everything landed, and then by
    /// turns a prefix, a tear within one block of 4096 bytes, and random subsets.
    #[must_use]
    pub fn crash_states(&self, limit: usize, seed: u64) -> CrashStates {
        CrashStates::new(self.clone(), Mode::Power, limit, seed)
    }

    /// The disks that may be found after the process was killed; `limit` and `seed` as in
    /// [`Wreck::crash_states`], with blocks of 4096 bytes in place of sectors.
    #[must_use]
    pub fn kill_states(&self, limit: usize, seed: u64) -> CrashStates {
        CrashStates::new(self.clone(), Mode::Kill, limit, seed)
    }

    /// One of them.
    #[must_use]
    pub fn state(&self, cut: Cut) -> SimDisk {
        Parts::new(self, cut.mode).state(self, cut)
    }

    fn found(&self, cut: Cut) -> State {
        let lineage = self.0.lineage.clone().then(self.0.operation, cut);
        let seed = lineage
            .to_string()
            .bytes()
            .fold(self.0.options.seed, |seed, byte| mix(seed, byte.into()));
        State::found(&self.0, seed, lineage)
    }
}

/// What each bit of a subset stands for, in one mode of dying.
#[derive(Debug)]
pub(super) struct Parts {
    /// Sectors, or blocks: each with the pieces that land together.
    writes: Vec<Vec<Piece>>,
    /// Of these, those before this index were no queue's.
    unqueued: usize,
    /// Indices into `writes` where a new block of 4096 bytes begins.
    blocks: Vec<usize>,
    lengths: Vec<(InodeId, u64)>,
    names: Vec<NameChange>,
}

const BLOCK_BYTES: u64 = 4096;

impl Parts {
    pub(super) fn new(wreck: &Wreck, mode: Mode) -> Self {
        let remains = &*wreck.0;
        let mut unqueued = Vec::new();
        let mut queued = Vec::new();
        let mut lengths = Vec::new();
        let mut names = Vec::new();
        if mode == Mode::Power {
            unqueued.extend(remains.unsynced.iter().cloned());
            for orphan in &remains.orphans {
                unqueued.extend(orphan.pieces.iter().cloned());
            }
            names.extend(remains.names.iter().cloned());
        }
        for doubt in &remains.doubts {
            match doubt {
                Doubt::Write {
                    pieces,
                    queued: true,
                } => queued.extend(pieces.iter().cloned()),
                Doubt::Write { pieces, .. } => unqueued.extend(pieces.iter().cloned()),
                Doubt::Name(change) => names.push(change.clone()),
                Doubt::Length { inode, len } => lengths.push((*inode, *len)),
            }
        }
        let same_block = |a: &Piece, b: &Piece| {
            (a.inode, a.offset / BLOCK_BYTES) == (b.inode, b.offset / BLOCK_BYTES)
        };
        let group = |pieces: Vec<Piece>| -> Vec<Vec<Piece>> {
            match mode {
                Mode::Power => without_effectless(&remains.durable, pieces)
                    .into_iter()
                    .map(|piece| vec![piece])
                    .collect(),
                Mode::Kill => pieces.chunk_by(same_block).map(<[_]>::to_vec).collect(),
            }
        };
        let mut writes = group(unqueued);
        let unqueued = writes.len();
        writes.extend(group(queued));
        let blocks = (0..writes.len())
            .filter(|&at| at == 0 || !same_block(&writes[at - 1][0], &writes[at][0]))
            .collect();
        Self {
            writes,
            unqueued,
            blocks,
            lengths,
            names,
        }
    }

    /// The number of bits.
    pub(super) fn len(&self) -> usize {
        self.writes.len() + self.lengths.len() + self.names.len()
    }

    /// The number of bits that stand for writes; they come first.
    pub(super) fn writes(&self) -> usize {
        self.writes.len()
    }

    /// The ranges of bits that stand for one block each.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn block(&self, index: usize) -> std::ops::Range<usize> {
        let end = self.blocks.get(index + 1).copied();
        self.blocks[index]..end.unwrap_or(self.writes.len())
    }

    /// Takes out changes of names that cannot have landed without others that did not.
    pub(super) fn close(&self, landed: &mut [bool]) {
        let first = self.len() - self.names.len();
        for (at, change) in self.names.iter().enumerate() {
            let possible = self.names[..at]
                .iter()
                .enumerate()
                .all(|(before, earlier)| landed[first + before] || !change.depends_on(earlier));
            landed[first + at] &= possible;
        }
    }

    /// The disk of one cut.
    pub(super) fn state(&self, wreck: &Wreck, cut: Cut) -> SimDisk {
        self.state_of(wreck, cut, &cut.subset.select(self))
    }

    pub(super) fn state_of(&self, wreck: &Wreck, cut: Cut, landed: &[bool]) -> SimDisk {
        let mut state = wreck.found(cut);
        let writes = self
            .writes
            .iter()
            .zip(landed)
            .filter(|(_, landed)| **landed);
        let rest = &landed[self.writes.len()..];
        let lengths = self.lengths.iter().zip(rest).filter(|(_, landed)| **landed);
        let rest = &rest[self.lengths.len()..];
        let names = self.names.iter().zip(rest).filter(|(_, landed)| **landed);
        let remains = &*wreck.0;
        match cut.mode {
            Mode::Power => {
                let mut media = remains.durable.clone();
                for (&(inode, len), _) in lengths {
                    if let Some(file) = media.file_mut(inode) {
                        file.set_len(len);
                    }
                }
                for piece in writes.flat_map(|(pieces, _)| pieces) {
                    piece.write_to(&mut media);
                }
                for (change, _) in names {
                    change.apply(&mut media);
                }
                state.view = media.clone();
                state.durable = media;
                state.forget_unreachable();
            }
            Mode::Kill => {
                state.view = remains.view.clone();
                state.durable = remains.durable.clone();
                state.unsynced.clone_from(&remains.unsynced);
                state.names.clone_from(&remains.names);
                state.orphans.clone_from(&remains.orphans);
                for (&(inode, len), _) in lengths {
                    state
                        .view
                        .change_both(&mut state.durable, inode, |file| file.set_len(len));
                }
                for (change, _) in names {
                    change.apply(&mut state.view);
                    if let Some(inode) = change.created() {
                        state.durable.files.entry(inode).or_default();
                    }
                    state.names.push(change.clone());
                }
                let (now, later): (Vec<_>, Vec<_>) = self
                    .writes
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| landed[*at])
                    .partition(|(at, _)| *at < self.unqueued || !remains.options.direct);
                for (_, pieces) in now {
                    for piece in pieces {
                        state.write_cached(piece.clone());
                    }
                }
                for &inode in &remains.kept {
                    state.locks.keep(inode);
                }
                if !later.is_empty() {
                    for &inode in &remains.held {
                        state.locks.keep(inode);
                    }
                }
                for (_, pieces) in later {
                    let countdown = 1 + state.chance.below(ORPHAN_OPERATIONS_MAX);
                    state.orphans.push(Orphan {
                        pieces: pieces.clone(),
                        countdown,
                    });
                }
                state.forget_unreachable();
            }
        }
        SimDisk::from_state(state)
    }
}

/// How many operations after the death of its process a write lands at the latest.
pub(super) const ORPHAN_OPERATIONS_MAX: u64 = 8;

/// Leaves out sectors whose landing cannot be told from their not landing.
fn without_effectless(durable: &Media, pieces: Vec<Piece>) -> Vec<Piece> {
    let mut sectors: Vec<_> = pieces.iter().map(Piece::sector).collect();
    sectors.sort_unstable();
    let alone = |piece: &Piece| {
        let first = sectors.partition_point(|&sector| sector < piece.sector());
        sectors.get(first + 1) != Some(&piece.sector())
    };
    let has = |piece: &Piece| {
        durable
            .file(piece.inode)
            .is_none_or(|file| file.has(piece.offset, &piece.bytes))
    };
    pieces
        .iter()
        .filter(|piece| !(alone(piece) && has(piece)))
        .cloned()
        .collect()
}
