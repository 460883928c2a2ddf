//! What the handles of a store and its pass share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use crate::disk::Dir;
use crate::error::Result;
use crate::log::Position;
use crate::log::follow::Anchor;
use crate::store::KeyValue;
use crate::store::acks::Acks;
use crate::store::evidence::{self, What};
use crate::store::id::StreamId;
use crate::store::info::{CursorInfo, StreamInfo, cursor_of, stream_info};
use crate::store::pass::Told;
use crate::store::state::places::SegmentIndex;
use crate::store::state::table::Value;
use crate::store::state::{Known, Missing, State};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::lock::{Mutex, RwLock};
use crate::sync::waiters::{Waiters, wake_contained};

/// Everything that the handles of a store and its pass share.
pub(crate) struct Shared {
    /// Written by the pass alone, which never waits for it: whoever reads it must not have it for
    /// longer than a few hundred values take to be copied.
    pub(crate) state: RwLock<State>,
    /// Never locked while the state is.
    pub(crate) told: Mutex<Told>,
    /// Everything before was judged and told.
    applied: AtomicU64,
    /// Those who wait for that, by position.
    pub(crate) applied_waiters: Waiters,
    /// Those who wait for records of streams.
    streams: Mutex<Watchers>,
    /// Whether anybody does.
    watched: AtomicBool,
    /// Whether the store is open: until then the log is replayed.
    live: AtomicBool,
    ended: AtomicBool,
    /// Whether any stream was ever given a quota.
    quotas: AtomicBool,
    /// Up to where readers of gated visibility see, of the streams that were given a gate.
    gates: Mutex<BTreeMap<StreamId, u64>>,
    /// Indexes that were brought from disk.
    indexes: Mutex<Indexes>,
    /// What goes into the log with the next group.
    pub(crate) acks: Acks,
    /// Records that were moved, and their bytes, since the store was opened.
    moved: (AtomicU64, AtomicU64),
}

/// Indexes in memory, each with when it was asked for last.
#[derive(Default)]
struct Indexes {
    kept: BTreeMap<u64, (Arc<SegmentIndex>, u64)>,
    bytes: usize,
    asked: u64,
}

/// How much memory the indexes may take that were brought from disk, in bytes; one may be there in
/// any case.
const INDEXES_BYTES: usize = 32 << 20;

/// Who waits for records of which streams.
#[derive(Default)]
struct Watchers {
    wakers: BTreeMap<(StreamId, u64), Waker>,
    next: u64,
}

/// Somebody's place among those who wait for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watching(StreamId, u64);

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: RwLock::new(State::default()),
            told: Mutex::new(Told::default()),
            applied: AtomicU64::new(0),
            applied_waiters: Waiters::new(),
            streams: Mutex::new(Watchers::default()),
            watched: AtomicBool::new(false),
            live: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            quotas: AtomicBool::new(false),
            gates: Mutex::new(BTreeMap::new()),
            indexes: Mutex::new(Indexes::default()),
            acks: Acks::default(),
            moved: (AtomicU64::new(0), AtomicU64::new(0)),
        })
    }

    pub(crate) fn streams(&self, prefix: &str, after: Option<&str>, max: usize) -> Vec<StreamInfo> {
        let state = self.state.read();
        let names = state.names(prefix, after).take(max);
        names
            .filter_map(|(_, id)| state.stream(id).map(stream_info))
            .collect()
    }

    pub(crate) fn cursors(&self, group: &str) -> Vec<(String, CursorInfo)> {
        let state = self.state.read();
        let names = state.names("", None);
        let of_group = |(name, id): (&Arc<str>, StreamId)| {
            let cursor = cursor_of(state.stream(id)?, group)?;
            Some((name.to_string(), cursor))
        };
        names.filter_map(of_group).collect()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<KeyValue> {
        let state = self.state.read();
        state.table.get(key).map(|value| key_value(key, value))
    }

    pub(crate) fn scan(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Vec<KeyValue> {
        let state = self.state.read();
        let keys = state.table.scan(prefix, after).take(max);
        keys.map(|(key, value)| key_value(key, value)).collect()
    }

    /// Everything before this position was judged.
    #[inline]
    pub(crate) fn applied(&self) -> Position {
        // ORDERING: pairs with the release in `set_applied`.
        Position::from_u64(self.applied.load(Ordering::Acquire))
    }

    /// The pass alone.
    pub(crate) fn set_applied(&self, position: Position) {
        self.applied.store(position.to_u64(), Ordering::Release);
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    pub(crate) fn go_live(&self) {
        self.live.store(true, Ordering::Release);
    }

    /// Nothing more is judged.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.applied_waiters.wake_all();
        let watchers = std::mem::take(&mut self.streams.lock().wakers);
        watchers.into_values().for_each(wake_contained);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether quotas must be looked at. One that is given meanwhile may be seen a little later.
    #[inline]
    pub(crate) fn has_quotas(&self) -> bool {
        self.quotas.load(Ordering::Relaxed)
    }

    /// The pass alone.
    pub(crate) fn note_quotas(&self) {
        self.quotas.store(true, Ordering::Relaxed);
    }

    pub(crate) fn gate(&self, id: StreamId) -> u64 {
        self.gates.lock().get(&id).copied().unwrap_or(0)
    }

    pub(crate) fn set_gate(&self, id: StreamId, offset: u64) {
        self.gates.lock().insert(id, offset);
        // ORDERING: as in `wake`; a registration that is not seen will see the gate.
        crate::sync::atomic::fence(Ordering::SeqCst);
        self.wake_watchers(&[id]);
    }

    /// The pass alone.
    pub(crate) fn note_moved(&self, bytes: usize) {
        self.moved.0.fetch_add(1, Ordering::Relaxed);
        self.moved.1.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Records that were moved, and their bytes.
    pub(crate) fn moved(&self) -> (u64, u64) {
        let (records, bytes) = &self.moved;
        (
            records.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed),
        )
    }

    /// An index that was brought from disk.
    pub(crate) fn known_index(&self, segment: u64) -> Option<Arc<SegmentIndex>> {
        let mut indexes = self.indexes.lock();
        indexes.asked += 1;
        let now = indexes.asked;
        let (index, asked) = indexes.kept.get_mut(&segment)?;
        *asked = now;
        Some(Arc::clone(index))
    }

    /// Keeps an index that was brought from disk, and lets those go that were not asked for longest.
    pub(crate) fn keep_index(&self, index: Arc<SegmentIndex>) {
        let mut indexes = self.indexes.lock();
        indexes.asked += 1;
        indexes.bytes += index.bytes();
        let entry = (Arc::clone(&index), indexes.asked);
        if let Some((before, _)) = indexes.kept.insert(index.segment, entry) {
            indexes.bytes -= before.bytes();
        }
        while indexes.bytes > INDEXES_BYTES && indexes.kept.len() > 1 {
            let oldest = indexes.kept.iter().min_by_key(|(_, (_, asked))| *asked);
            let Some(segment) = oldest.map(|(segment, _)| *segment) else {
                return;
            };
            if let Some((gone, _)) = indexes.kept.remove(&segment) {
                indexes.bytes -= gone.bytes();
            }
        }
    }

    /// Looks at the state, with indexes brought from disk as they are needed; `anchor` knows the segments.
    pub(crate) fn look<T>(
        &self,
        dir: &dyn Dir,
        anchor: impl Fn(u64) -> Option<Anchor>,
        mut look: impl FnMut(&State, &Known) -> Result<Result<T>, Missing>,
    ) -> Result<T> {
        loop {
            let Missing(segment) = {
                let state = self.state.read();
                match look(&state, &|segment| self.known_index(segment)) {
                    Ok(found) => return found,
                    Err(missing) => missing,
                }
            };
            let bytes = match anchor(segment) {
                Some(anchor) => evidence::read(dir, What::Index, &anchor)?,
                None => None,
            };
            let index = bytes.and_then(|bytes| SegmentIndex::read(segment, &bytes));
            self.keep_index(index.ok_or_else(|| evidence::missing(dir, segment))?);
        }
    }

    /// Wakes whoever waits for what was judged.
    pub(crate) fn wake(&self, reached: Position, touched: &mut Vec<StreamId>) {
        // The fence in it is for the look at `watched`, too.
        self.applied_waiters.wake(reached.to_u64());
        self.wake_watchers(touched);
        touched.clear();
    }

    fn wake_watchers(&self, touched: &[StreamId]) {
        if !self.watched.load(Ordering::Relaxed) {
            return;
        }
        let mut wakers = Vec::new();
        {
            let mut watchers = self.streams.lock();
            for id in touched {
                let of_stream = (*id, 0)..=(*id, u64::MAX);
                let keys: Vec<_> = watchers
                    .wakers
                    .range(of_stream)
                    .map(|(key, _)| *key)
                    .collect();
                wakers.extend(keys.iter().filter_map(|key| watchers.wakers.remove(key)));
            }
            let watched = !watchers.wakers.is_empty();
            self.watched.store(watched, Ordering::Relaxed);
        }
        wakers.into_iter().for_each(wake_contained);
    }

    /// Has `waker` woken by the next record of the stream, or whatever else becomes of it. The
    /// caller must look again afterwards.
    pub(crate) fn watch(&self, id: StreamId, waker: Waker) -> Watching {
        let key = {
            let mut watchers = self.streams.lock();
            let key = (id, watchers.next);
            watchers.next += 1;
            watchers.wakers.insert(key, waker);
            self.watched.store(true, Ordering::Relaxed);
            key
        };
        // ORDERING: announce, then re-check: pairs with the fence in `wake`.
        crate::sync::atomic::fence(Ordering::SeqCst);
        Watching(key.0, key.1)
    }

    pub(crate) fn unwatch(&self, watching: Watching) {
        let mut watchers = self.streams.lock();
        watchers.wakers.remove(&(watching.0, watching.1));
    }
}

fn key_value(key: &[u8], value: &Value) -> KeyValue {
    KeyValue {
        key: key.to_vec(),
        value: Arc::clone(&value.bytes),
        version: value.version,
    }
}
