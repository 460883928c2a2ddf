//! What the pass leaves behind: indexes and snapshots, brought to disk by the keeper; and where the log
//! may begin, once nothing before is wanted or needed.
//!
//! The order is what a crash at any point needs: a segment on disk, its index on disk, a
//! snapshot at its end or a later one on disk, and another one, and only then is it trimmed away. A file of a
//! segment goes when the segment has gone.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::disk::Dir;
use crate::error::Result;
use crate::log::Position;
use crate::log::follow::{Anchor, Facts, Work};
use crate::store::compact;
use crate::store::entry::{Entry, Kind};
use crate::store::evidence::{self, What};
use crate::store::id::StreamId;
use crate::store::moving::{self, Found, Means};
use crate::store::shared::Shared;
use crate::store::snapshot;
use crate::store::state::State;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::lock::Mutex;

/// So many snapshots are kept: a segment goes when all of them are at its end or behind it.
const SNAPSHOTS: usize = 2;
/// What is wanted of a segment is moved when the pass has left so many behind it.
const SEGMENTS_MIN: u64 = 4;
/// Of what the log grows by, one part of so many may be records that are moved.
const MOVED_PART: u64 = 2;
/// What was not moved may be later, up to so many segments.
const CREDIT_SEGMENTS: u64 = 4;
/// A snapshot is due when the log grew by so many times the last one.
const GROWTH: u64 = 8;

/// What is to be brought to disk.
pub(crate) struct Space {
    /// 0 for a store that is only looked at: nothing is brought to disk then.
    segment_bytes: u64,
    /// The log's growth since the last snapshot, and the length of that, in bytes.
    grown: u64,
    last_bytes: u64,
    /// A snapshot that is not on disk yet.
    pending: Option<(Taken, Vec<u8>)>,
    /// The snapshots on disk, the oldest first.
    snapshots: VecDeque<Taken>,
    job: Arc<Job>,
    /// The last segment that a job failed for: it is tried again when the log has left another one.
    failed_at: u64,
    trimmed: Position,
    left: u64,
    /// Entries to be appended, the first one next, and up to where those reach that were.
    moves: VecDeque<Vec<u8>>,
    moved_to: Position,
    refused: bool,
    /// Bytes of records that were moved, and are not counted yet.
    counted: Vec<usize>,
    /// Bytes that may be moved.
    credit: u64,
    /// The segment that was left when all was looked at that there was, and how far it was judged then.
    looked: (u64, Position),
    /// The segment that was left when all streams were compacted that were due, and those that were
    /// looked at since.
    compacted: u64,
    compacting: BTreeSet<StreamId>,
}

/// A snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    /// At the end of this segment.
    ordinal: u64,
    /// The first segment that a stream then had records in; `u64::MAX` for none.
    wanted: u64,
}

impl Taken {
    fn of(ordinal: u64, state: &State) -> Self {
        let wanted = state.first_wanted().unwrap_or(u64::MAX);
        Self { ordinal, wanted }
    }
}

/// What a job tells.
struct Job {
    runs: AtomicBool,
    done: Mutex<Option<Done>>,
}

enum Done {
    Index(u64),
    Snapshot(Vec<Taken>),
    Looked(u64, Found),
    Compacted(Vec<Vec<u8>>),
    Failed,
}

impl Space {
    pub(crate) fn new(segment_bytes: u64) -> Self {
        Self {
            segment_bytes,
            grown: 0,
            last_bytes: 0,
            pending: None,
            snapshots: VecDeque::new(),
            job: Arc::new(Job {
                runs: AtomicBool::new(false),
                done: Mutex::new(None),
            }),
            failed_at: 0,
            trimmed: Position::MIN,
            left: 0,
            moves: VecDeque::new(),
            moved_to: Position::MIN,
            refused: false,
            counted: Vec::new(),
            credit: 0,
            looked: (0, Position::MIN),
            compacted: 0,
            compacting: BTreeSet::new(),
        }
    }

    /// What is on disk when the store is opened: the state at the end of the newest segment that has a
    /// snapshot, and which one that is.
    pub(crate) fn begin(
        &mut self,
        dir: &dyn Dir,
        found: &[Anchor],
    ) -> Result<Option<(State, Anchor)>> {
        let mut newest = None;
        for anchor in found.iter().rev() {
            let Some(bytes) = evidence::read(dir, What::Snapshot, anchor)? else {
                continue;
            };
            let Some(state) = snapshot::read(&bytes) else {
                continue;
            };
            self.snapshots.push_front(Taken::of(anchor.ordinal, &state));
            self.last_bytes = self.last_bytes.max(bytes.len() as u64);
            newest.get_or_insert((state, *anchor));
            if self.snapshots.len() == SNAPSHOTS {
                break;
            }
        }
        Ok(newest)
    }

    /// The pass has left a segment.
    pub(crate) fn left(&mut self, ordinal: u64, state: &State) {
        if self.segment_bytes == 0 {
            return;
        }
        self.left = ordinal;
        self.grown += self.segment_bytes;
        let credit = self.credit + self.segment_bytes / MOVED_PART;
        self.credit = credit.min(CREDIT_SEGMENTS * self.segment_bytes);
        if self.grown >= self.last_bytes.saturating_mul(GROWTH) {
            let bytes = snapshot::write(state);
            self.grown = 0;
            self.last_bytes = bytes.len() as u64;
            self.pending = Some((Taken::of(ordinal, state), bytes));
        }
    }

    /// A record was moved.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.counted.push(bytes);
    }

    /// Counts what was moved.
    pub(crate) fn note_moved(&mut self, shared: &Shared) {
        for bytes in self.counted.drain(..) {
            if shared.is_live() {
                shared.note_moved(bytes);
            }
        }
    }

    /// What is to be done now.
    pub(crate) fn work(
        &mut self,
        shared: &Arc<Shared>,
        reached: Position,
        facts: &dyn Facts,
    ) -> Option<Work> {
        if self.job.runs.load(Ordering::Acquire) {
            return None;
        }
        let done = self.job.done.lock().take();
        match done {
            Some(Done::Index(ordinal)) => {
                // A reader may have the state: then it is taken out next time.
                let Some(mut state) = shared.state.try_write() else {
                    *self.job.done.lock() = Some(Done::Index(ordinal));
                    return None;
                };
                state.published(ordinal);
            }
            Some(Done::Snapshot(kept)) => self.snapshots = kept.into(),
            Some(Done::Looked(_, Found::Moves(moves))) => self.moves = moves.into(),
            Some(Done::Compacted(entries)) => self.moves = entries.into(),
            Some(Done::Looked(_, Found::Much)) => {}
            Some(Done::Looked(ordinal, Found::Nothing)) => {
                let entry = Entry {
                    offset: Some(ordinal),
                    ..Entry::new(Kind::Release, StreamId::NONE, &[])
                };
                let mut bytes = vec![0; entry.bytes()];
                entry.write(&mut bytes);
                self.moves.push_back(bytes);
            }
            Some(Done::Failed) => self.failed_at = self.left,
            None => {}
        }
        if self.failed_at != 0 && self.failed_at == self.left {
            return None;
        }
        let durable = facts.durable();
        let anchors = || facts.anchors();
        let index = shared.state.try_read()?.indexes().next().cloned();
        if let Some(index) = index {
            if index.segment >= durable.segment() {
                return None;
            }
            let anchor = find(&anchors(), index.segment)?;
            return Some(self.job(move |dir| {
                evidence::write(dir, What::Index, &anchor, &index.write())?;
                Ok(Done::Index(anchor.ordinal))
            }));
        }
        if let Some((taken, _)) = self.pending {
            if taken.ordinal >= durable.segment() {
                return None;
            }
            let anchors = anchors();
            let anchor = find(&anchors, taken.ordinal)?;
            let (_, bytes) = self.pending.take()?;
            let mut kept: Vec<Taken> = self.snapshots.iter().copied().collect();
            kept.push(taken);
            let kept = kept.split_off(kept.len().saturating_sub(SNAPSHOTS));
            return Some(self.job(move |dir| {
                evidence::write(dir, What::Snapshot, &anchor, &bytes)?;
                let first = anchors.first().map_or(0, |first| first.ordinal);
                tidy(dir, first, &kept)?;
                Ok(Done::Snapshot(kept))
            }));
        }
        if let Some(trim) = self.trim(facts) {
            return Some(trim);
        }
        self.move_on(shared, reached, facts)
    }

    /// What was to be appended was, or there was no room.
    pub(crate) fn appended(&mut self, end: Option<Position>) {
        if let Some(end) = end {
            let moved = self.moves.pop_front().map_or(0, |entry| entry.len() as u64);
            self.credit = self.credit.saturating_sub(moved);
            self.moved_to = end;
        }
        self.refused = end.is_none();
    }

    /// Moves what is wanted of the oldest segment on, if that is little.
    fn move_on(
        &mut self,
        shared: &Arc<Shared>,
        reached: Position,
        facts: &dyn Facts,
    ) -> Option<Work> {
        if let Some(next) = self.moves.front() {
            // Where there is no room, the next turn may have some.
            let refused = std::mem::take(&mut self.refused);
            return (!refused).then(|| Work::Append(next.clone()));
        }
        // What was moved must have been seen before it is looked at again.
        if reached < self.moved_to {
            return None;
        }
        if let Some(work) = self.compact(shared, facts) {
            return Some(work);
        }
        if self.looked == (self.left, self.moved_to) {
            return None;
        }
        let oldest = shared.state.try_read()?.first_wanted();
        self.looked = (self.left, self.moved_to);
        let oldest = oldest.filter(|oldest| oldest + SEGMENTS_MIN <= self.left)?;
        let anchors = facts.anchors();
        let first = find(&anchors, oldest)?;
        let shared = Arc::clone(shared);
        let means = Means {
            segment_bytes: self.segment_bytes,
            segments: anchors.len() as u64,
            credit: self.credit,
        };
        Some(self.job(move |dir| {
            let found = moving::look(dir, &shared, &first, means)?;
            Ok(Done::Looked(first.ordinal, found))
        }))
    }

    /// Has a stream looked at that is to keep the latest of each key alone. Each once for a segment.
    fn compact(&mut self, shared: &Arc<Shared>, facts: &dyn Facts) -> Option<Work> {
        if self.compacted == self.left {
            return None;
        }
        let Some(id) = compact::due(&*shared.state.try_read()?, &self.compacting) else {
            self.compacted = self.left;
            self.compacting.clear();
            return None;
        };
        self.compacting.insert(id);
        let mut anchors = facts.anchors();
        anchors.retain(|anchor| anchor.ordinal <= self.left);
        let shared = Arc::clone(shared);
        Some(self.job(move |dir| {
            let entries = compact::look(dir, &shared, &anchors, id)?;
            Ok(Done::Compacted(entries.unwrap_or_default()))
        }))
    }

    /// Where the log may begin, if it does not already. What counts is the oldest snapshot: that is on disk,
    /// and so is why nothing before is wanted. What the pass has seen since may be lost in a crash.
    fn trim(&mut self, facts: &dyn Facts) -> Option<Work> {
        let oldest = self.snapshots.front()?;
        let to = oldest.wanted.min(oldest.ordinal + 1);
        if self.snapshots.len() < SNAPSHOTS || self.trimmed.segment() >= to {
            return None;
        }
        let anchors = facts.anchors();
        let first = anchors.first()?.ordinal;
        let begin = anchors.iter().find(|anchor| anchor.ordinal >= to)?;
        let position = begin.first;
        if position <= self.trimmed || begin.ordinal <= first {
            return None;
        }
        self.trimmed = position;
        Some(Work::Trim(position))
    }

    fn job(&self, work: impl FnOnce(&dyn Dir) -> Result<Done> + Send + 'static) -> Work {
        let job = Arc::clone(&self.job);
        job.runs.store(true, Ordering::Release);
        Work::Job(Box::new(move |dir| {
            let done = work(dir).unwrap_or(Done::Failed);
            *job.done.lock() = Some(done);
            job.runs.store(false, Ordering::Release);
        }))
    }
}

fn find(anchors: &[Anchor], ordinal: u64) -> Option<Anchor> {
    anchors
        .iter()
        .find(|anchor| anchor.ordinal == ordinal)
        .copied()
}

/// Removes snapshots but those that are kept, and what is about segments before `first`.
fn tidy(dir: &dyn Dir, first: u64, kept: &[Taken]) -> Result<()> {
    let at = |what: &str, error| crate::error::Error::io(what, error).at_path(dir.path());
    let names = dir.list().map_err(|error| at("listing the store", error))?;
    for entry in names {
        let index = What::Index.parse(&entry.name).is_some_and(|at| at < first);
        let snapshot = What::Snapshot.parse(&entry.name);
        let is_kept = |at| kept.iter().any(|taken| taken.ordinal == at);
        if index || snapshot.is_some_and(|at| !is_kept(at)) {
            dir.unlink(&entry.name)
                .map_err(|error| at("removing what is not needed any more", error))?;
        }
    }
    Ok(())
}
