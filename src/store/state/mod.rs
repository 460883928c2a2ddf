//! What the log's order says: the one deterministic pass, and the state that it derives.
//!
//! [`State::apply`] and [`State::apply_batch`] read nothing but the entry and what the entries before
//! it left: no clock, no memory pressure, no hash order. The same calls run while the store is
//! open and when it is opened again, and so give the same answers. How they judge is part of the
//! format ([`PASS_VERSION`]).

pub(crate) mod clock;
pub(crate) mod cursors;
pub(crate) mod erased;
pub(crate) mod messages;
pub(crate) mod places;
pub(crate) mod producers;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::log::Position;
use crate::store::config::StreamConfig;
use crate::store::entry::{Entry, Kind, Refer};
use crate::store::id::StreamId;
use crate::store::name;

use clock::Clock;
use cursors::{Cursor, METADATA_BYTES_MAX};
use places::{Located, SegmentIndex};
use stream::{Moved, Part, Rare, StreamState};
use table::Table;
use verdict::{BatchVerdict, Duplicate, Refusal, Verdict};

/// Which rules the pass follows. Another version may judge the same entries otherwise.
pub(crate) const PASS_VERSION: u32 = 1;

/// All that a store's log says, up to some position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct State {
    slots: Vec<Slot>,
    /// Slots that no stream has, the lowest first.
    free: std::collections::BTreeSet<u32>,
    names: BTreeMap<Arc<str>, u32>,
    pub(crate) table: Table,
    /// Streams that have records in the segment where the pass stands.
    touched: Vec<StreamId>,
    /// What lies in the segments that the pass has left.
    indexes: BTreeMap<u64, Arc<SegmentIndex>>,
    /// The segment where the pass stands; 0 for none.
    segment: u64,
    /// Whether any stream was ever given a quota. Nothing is judged by it.
    quotas: bool,
    /// The time, and what happens by it.
    pub(crate) time: Time,
}

/// The store's time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Time {
    pub(crate) clock: Clock,
    /// Whether a record came since it was told last.
    pub(crate) is_behind: bool,
    /// When something will be too old, if that is known.
    pub(crate) next_expiry: Option<u64>,
}

/// Where a stream is, or may be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Slot {
    /// Of the stream that is there, or the next one.
    generation: u32,
    stream: Option<StreamState>,
}

const _: () = assert!(size_of::<Slot>() <= 64);

/// Where indexes are found that the state has not itself.
pub(crate) type Known<'a> = dyn Fn(u64) -> Option<Arc<SegmentIndex>> + 'a;

/// The index of this segment is needed, and not at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) u64);

/// So many places are looked at together, on the way to a time.
const SINCE_PLACES: usize = 1000;

/// Why an entry is not applied.
type Objection = Result<Duplicate, Refusal>;

impl State {
    /// The stream with this id.
    #[inline]
    pub(crate) fn stream(&self, id: StreamId) -> Option<&StreamState> {
        let slot = self.slots.get(id.slot() as usize)?;
        let stream = slot.stream.as_ref()?;
        (slot.generation == id.generation()).then_some(stream)
    }

    #[inline]
    fn stream_mut(&mut self, id: StreamId) -> Option<&mut StreamState> {
        let slot = self.slots.get_mut(id.slot() as usize)?;
        let stream = slot.stream.as_mut()?;
        (slot.generation == id.generation()).then_some(stream)
    }

    /// The id of the stream with this name.
    pub(crate) fn find(&self, name: &str) -> Option<StreamId> {
        let slot = *self.names.get(name)?;
        let generation = self.slots.get(slot as usize)?.generation;
        Some(StreamId::new(slot, generation))
    }

    /// The streams whose names begin with `prefix` and come after `after`, in order.
    pub(crate) fn names<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, StreamId)> {
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => std::ops::Bound::Excluded(after),
            None => std::ops::Bound::Included(prefix),
        };
        self.names
            .range::<str, _>((from, std::ops::Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, slot)| {
                let generation = self.slots[*slot as usize].generation;
                (name, StreamId::new(*slot, generation))
            })
    }

    pub(crate) fn has_quotas(&self) -> bool {
        self.quotas
    }

    /// What became of the record without conditions that lies at `at`.
    ///
    /// # Errors
    ///
    /// The index that must be at hand.
    pub(crate) fn verdict_of(
        &self,
        id: StreamId,
        at: Position,
        known: &Known,
    ) -> Result<Verdict, Missing> {
        let Some(stream) = self.stream(id) else {
            return Ok(Verdict::Refused(Refusal::NoStream));
        };
        let offset = if at.segment() == self.segment {
            stream.offset_at(at)
        } else {
            let index = self.index(at.segment(), known)?;
            index.runs_of(id).find_map(|run| run.at(at))
        };
        let gone = Verdict::Refused(stream.out_of_range());
        Ok(offset.map_or(gone, Verdict::Applied))
    }

    pub(crate) fn streams_len(&self) -> usize {
        self.names.len()
    }

    /// A state between two segments, of the slots' generations and streams.
    pub(crate) fn of(
        slots: Vec<(u32, Option<StreamState>)>,
        table: Table,
        quotas: bool,
        time: Time,
    ) -> Self {
        let slots: Vec<_> = slots
            .into_iter()
            .map(|(generation, stream)| Slot { generation, stream })
            .collect();
        let numbered = || (0..).zip(&slots);
        let free = |(n, slot): (u32, &Slot)| slot.stream.is_none().then_some(n);
        let name = |(n, slot): (u32, &Slot)| Some((Arc::clone(&slot.stream.as_ref()?.name), n));
        Self {
            free: numbered().filter_map(free).collect(),
            names: numbered().filter_map(name).collect(),
            slots,
            table,
            quotas,
            time,
            ..Self::default()
        }
    }

    /// The slots' generations and streams.
    pub(crate) fn slots(&self) -> Vec<(u32, Option<&StreamState>)> {
        let slots = self.slots.iter();
        slots
            .map(|slot| (slot.generation, slot.stream.as_ref()))
            .collect()
    }

    /// The first segment that any stream has records in; `None` for none but that where the pass is.
    pub(crate) fn first_wanted(&self) -> Option<u64> {
        let streams = self.slots.iter().filter_map(|slot| slot.stream.as_ref());
        let segments = streams.flat_map(|stream| {
            let moved = stream.rare.iter().flat_map(|rare| rare.moved.values());
            let left = stream.left.iter().find(|run| !run.is_released());
            left.map(|run| run.segment())
                .into_iter()
                .chain(moved.map(|moved| moved.at.segment()))
        });
        segments.min()
    }

    /// Whether a stream has records in a segment that the pass has left.
    pub(crate) fn has_left(&self, segment: u64) -> bool {
        let mut runs = self.streams().flat_map(|(_, stream)| &stream.left);
        runs.any(|run| run.segment() == segment && !run.is_released())
    }

    /// The segment where the pass stands; 0 for none.
    #[inline]
    pub(crate) fn segment(&self) -> u64 {
        self.segment
    }

    /// The pass comes to a record in a segment.
    #[inline]
    pub(crate) fn enter(&mut self, segment: u64) {
        self.segment = segment;
    }

    /// The indexes of segments that the pass has left and that are nowhere else, the oldest first.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = &Arc<SegmentIndex>> {
        self.indexes.values()
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn forget_indexes(&mut self) {
        self.indexes.clear();
    }

    /// All streams.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (StreamId, &StreamState)> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(n, slot)| {
            let stream = slot.stream.as_ref()?;
            Some((StreamId::new(n, slot.generation), stream))
        })
    }

    /// An index is on disk.
    pub(crate) fn published(&mut self, segment: u64) {
        self.indexes.remove(&segment);
    }

    /// The pass leaves the segment where it stands: nothing more comes from there.
    #[cold]
    pub(crate) fn leave(&mut self) {
        let segment = std::mem::take(&mut self.segment);
        let mut runs = Vec::new();
        for id in std::mem::take(&mut self.touched) {
            // One that was deleted since has nothing any more.
            if let Some(stream) = self.stream_mut(id) {
                runs.extend(stream.leave(segment).into_iter().map(|run| (id, run)));
            }
        }
        if !runs.is_empty() {
            let index = SegmentIndex::new(segment, runs);
            self.indexes.insert(segment, index);
        }
    }

    /// The index of a segment, if it is at hand.
    fn index(&self, segment: u64, known: &Known) -> Result<Arc<SegmentIndex>, Missing> {
        let index = self.indexes.get(&segment).cloned();
        let index = index.or_else(|| known(segment));
        index.ok_or(Missing(segment))
    }

    /// Adds to `found` where the records of a stream lie, from the one on that takes `offset`, or the
    /// first behind it; `max` at most. Returns the offset to go on from.
    ///
    /// # Errors
    ///
    /// The index that must be at hand, if nothing was found.
    pub(crate) fn locate(
        &self,
        stream: &StreamState,
        id: StreamId,
        offset: u64,
        max: usize,
        known: &Known,
        found: &mut Vec<Located>,
    ) -> Result<u64, Missing> {
        let before = found.len();
        let mut at = offset.max(stream.start);
        let full = found.len().saturating_add(max);
        let moved = stream.rare.as_deref().map(|rare| &rare.moved);
        let mut index;
        let mut again;
        while let Some((part, end)) = stream.part(at) {
            again = Vec::new();
            let (run, segment) = match part {
                Part::Open(run) => (Some(run), self.segment),
                Part::Moved(base) => {
                    again = stream.moved_from(base, at, end);
                    (None, self.segment)
                }
                Part::Left(segment) => {
                    index = match self.index(segment, known) {
                        Err(_) if found.len() > before => return Ok(at),
                        index => index?,
                    };
                    (index.run(id, at), segment)
                }
            };
            let records = run.into_iter().flat_map(|run| run.from(segment, at));
            let records = records.chain(again);
            for mut record in records.take_while(|record| record.offset < end) {
                if stream.is_erased(record.offset) {
                    continue;
                }
                if found.len() == full {
                    return Ok(record.offset);
                }
                let moved = moved.and_then(|moved| moved.get(&record.offset));
                if let Some(moved) = moved {
                    (record.position, record.before) = (moved.at, Some(moved.from));
                }
                found.push(record);
            }
            at = end;
        }
        Ok(at.max(offset))
    }

    /// Where the records of a stream begin that are not older than a time, as far as that can be told
    /// without them: every one before is.
    ///
    /// # Errors
    ///
    /// The index that must be at hand.
    pub(crate) fn since(
        &self,
        stream: &StreamState,
        id: StreamId,
        time_unix_ns: u64,
        known: &Known,
    ) -> Result<u64, Missing> {
        let before = self.time.clock.written_before(time_unix_ns);
        let mut at = stream.earlier_than(time_unix_ns, before);
        if stream.time_unix_ns != 0 {
            return Ok(at);
        }
        // None was given a time: the places tell.
        let mut places = Vec::new();
        while at < stream.next {
            places.clear();
            at = self.locate(stream, id, at, SINCE_PLACES, known, &mut places)?;
            if let Some(place) = places.iter().find(|place| place.position >= before) {
                return Ok(place.offset.max(stream.start));
            }
        }
        Ok(stream.next)
    }

    /// Has the memory of these streams brought near.
    #[inline]
    pub(crate) fn fetch(&self, ids: impl Iterator<Item = StreamId> + Clone) {
        let mut sum = 0;
        for id in ids.clone() {
            sum ^= self.stream(id).map_or(0, |stream| stream.next);
        }
        for id in ids {
            sum ^= self.stream(id).map_or(0, StreamState::last_place);
        }
        std::hint::black_box(sum);
    }

    /// Applies a record that has no fields, as most have none.
    #[inline]
    pub(crate) fn append_plain(
        &mut self,
        at: Position,
        id: StreamId,
        count: u32,
        bytes: usize,
    ) -> Verdict {
        let Some(stream) = self.stream_mut(id) else {
            return Verdict::Refused(Refusal::NoStream);
        };
        let fresh = !stream.is_here();
        if stream.next.checked_add(count.into()).is_none() {
            return Verdict::Refused(stream.out_of_range());
        }
        let offset = stream.push(at, count, bytes);
        if fresh {
            self.touched.push(id);
        }
        self.time.is_behind = true;
        Verdict::Applied(offset)
    }

    /// Applies an entry that stands for itself.
    pub(crate) fn apply(&mut self, at: Position, entry: &Entry<'_>) -> Verdict {
        match self.check(entry) {
            Ok(()) if entry.refer.is_some() => Verdict::Refused(Refusal::Invalid),
            Ok(()) => Verdict::Applied(self.commit(at, entry, &[])),
            Err(Ok(duplicate)) => Verdict::Duplicate(duplicate),
            Err(Err(refusal)) => Verdict::Refused(refusal),
        }
    }

    /// Applies all of a batch, or nothing: each item's conditions are judged by the state before the
    /// batch. An item that was there already says that of the whole batch.
    pub(crate) fn apply_batch(&mut self, items: &[(Position, Entry<'_>)]) -> BatchVerdict {
        for (index, (_, entry)) in items.iter().enumerate() {
            let item = index as u32;
            let refers = |refer: Refer| {
                let meant = items.get(refer.item as usize);
                refer.item < item && meant.is_some_and(|(_, meant)| meant.kind == Kind::Append)
            };
            let objection = match self.check(entry) {
                Ok(()) if !entry.refer.is_none_or(refers) => Err(Refusal::Invalid),
                Ok(()) if spoils(entry, &items[..index]) => Err(Refusal::Invalid),
                Ok(()) => continue,
                Err(objection) => objection,
            };
            return match objection {
                Ok(duplicate) => BatchVerdict::Duplicate { item, duplicate },
                Err(refusal) => BatchVerdict::Refused { item, refusal },
            };
        }
        let mut got = Vec::with_capacity(items.len());
        for (at, entry) in items {
            got.push(self.commit(*at, entry, &got));
        }
        BatchVerdict::Applied(got.into())
    }

    /// Whether an entry may be applied.
    fn check(&self, entry: &Entry<'_>) -> Result<(), Objection> {
        let refuse = |refusal| Err(Err(refusal));
        if let Some(expected) = entry.if_version {
            let version = self.table.version(entry.key.unwrap_or_default());
            if version != expected {
                return refuse(Refusal::Version { version });
            }
        }
        match entry.kind {
            Kind::Create => return self.check_create(entry).map_err(Err),
            Kind::Put | Kind::Remove | Kind::Release | Kind::Tick => return Ok(()),
            Kind::Require if entry.stream == StreamId::NONE => {
                return if entry.if_next.is_some() || entry.if_fence.is_some() {
                    refuse(Refusal::NoStream)
                } else {
                    Ok(())
                };
            }
            _ => {}
        }
        let Some(stream) = self.stream(entry.stream) else {
            return refuse(Refusal::NoStream);
        };
        if entry.kind == Kind::Append {
            check_repeat(stream, entry)?;
        }
        if entry.if_fence.is_some_and(|token| token < stream.fence) {
            let token = stream.fence;
            return refuse(Refusal::Fenced { token });
        }
        if entry
            .incarnation
            .is_some_and(|was| was != stream.incarnation)
        {
            let next = stream.next;
            return refuse(Refusal::Conflict { next });
        }
        if entry.if_next.is_some_and(|next| next != stream.next) {
            let next = stream.next;
            return refuse(Refusal::Conflict { next });
        }
        check_stream(stream, entry).map_err(Err)
    }

    fn check_create(&self, entry: &Entry<'_>) -> Result<(), Refusal> {
        let name = std::str::from_utf8(entry.key.unwrap_or_default()).ok();
        let Some(name) = name.filter(|name| name::check(name).is_ok()) else {
            return Err(Refusal::Invalid);
        };
        if StreamConfig::parse(entry.payload).is_none() {
            return Err(Refusal::Invalid);
        }
        match self.names.contains_key(name) {
            true => Err(Refusal::Exists),
            false => Ok(()),
        }
    }

    /// Applies an entry that was checked; `got` is what the items before it got.
    fn commit(&mut self, at: Position, entry: &Entry<'_>, got: &[u64]) -> u64 {
        match entry.kind {
            Kind::Create => return self.create(at, entry),
            Kind::Delete => {
                self.delete(entry.stream);
                return 0;
            }
            Kind::Put => {
                let mut value: Arc<[u8]> = entry.payload.into();
                if let Some(refer) = entry.refer {
                    let offset = got.get(refer.item as usize).copied().unwrap_or_default();
                    let bytes = Arc::make_mut(&mut value);
                    let place = refer.at as usize..refer.at as usize + 8;
                    bytes[place].copy_from_slice(&offset.to_le_bytes());
                }
                return self.table.put(entry.key.unwrap_or_default(), value);
            }
            Kind::Remove => {
                self.table.remove(entry.key.unwrap_or_default());
                return self.table.writes;
            }
            Kind::Release => {
                let segment = entry.offset.unwrap_or(0);
                let streams = self.streams_mut();
                streams.for_each(|stream| stream.release(segment));
                return 0;
            }
            Kind::Tick => {
                self.tick(at, entry.time_unix_ns.unwrap_or(0));
                return 0;
            }
            Kind::Require => return 0,
            _ => {}
        }
        self.time.is_behind |= !entry.kind.is_own();
        self.quotas |= entry.kind == Kind::Configure;
        let Some(stream) = self.stream_mut(entry.stream) else {
            return 0;
        };
        let fresh = !stream.is_here();
        let got = commit_stream(stream, at, entry);
        if fresh && stream.is_here() {
            self.touched.push(entry.stream);
        }
        got
    }

    fn streams_mut(&mut self) -> impl Iterator<Item = &mut StreamState> {
        let slots = self.slots.iter_mut();
        slots.filter_map(|slot| slot.stream.as_mut())
    }

    /// The time: what is too old by it goes.
    fn tick(&mut self, at: Position, time_unix_ns: u64) {
        let mut time = std::mem::take(&mut self.time);
        time.clock.mark(at, time_unix_ns);
        time.is_behind = false;
        time.next_expiry = None;
        let segment = self.segment;
        for stream in self.streams_mut() {
            stream.expire(&time.clock, segment);
            let next = stream.next_expiry(&time.clock);
            time.next_expiry = time.next_expiry.into_iter().chain(next).min();
        }
        self.time = time;
    }

    fn create(&mut self, at: Position, entry: &Entry<'_>) -> u64 {
        let name: Arc<str> = String::from_utf8_lossy(entry.key.unwrap_or_default()).into();
        let slot = self.free.pop_first().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        let first = entry.offset.unwrap_or(0);
        let mut stream = StreamState::new(Arc::clone(&name), at, first);
        self.quotas |= !entry.payload.is_empty();
        if !entry.payload.is_empty() {
            stream.rare = Some(Box::new(Rare {
                config: StreamConfig::parse(entry.payload).unwrap_or_default(),
                ..Rare::default()
            }));
        }
        let id = StreamId::new(slot, place.generation);
        place.stream = Some(stream);
        self.names.insert(name, slot);
        id.to_u64()
    }

    fn delete(&mut self, id: StreamId) {
        let Some(slot) = self.slots.get_mut(id.slot() as usize) else {
            return;
        };
        if let Some(stream) = slot.stream.take() {
            self.names.remove(&stream.name);
            slot.generation = slot.generation.wrapping_add(1);
            self.free.insert(id.slot());
        }
    }
}

/// Whether an item and one before it cannot both be judged by the state before the batch: two of one
/// producer, two of one name, one for a stream that goes.
fn spoils(entry: &Entry<'_>, before: &[(Position, Entry<'_>)]) -> bool {
    before.iter().any(|(_, other)| {
        let of_one_stream = entry.stream == other.stream && entry.stream != StreamId::NONE;
        let of_one_producer = entry.producer.is_some()
            && entry.producer.map(|stamp| stamp.id) == other.producer.map(|stamp| stamp.id);
        let of_one_message = entry.message.is_some() && entry.message == other.message;
        let of_one_name =
            entry.kind == Kind::Create && other.kind == Kind::Create && entry.key == other.key;
        of_one_name
            || of_one_stream && (of_one_producer || of_one_message)
            || of_one_stream && (other.kind.cuts() || entry.kind.cuts())
    })
}

/// Whether the records of an append are there already, by what their producer says of them.
fn check_repeat(stream: &StreamState, entry: &Entry<'_>) -> Result<(), Objection> {
    let Some(rare) = stream.rare.as_deref() else {
        return Ok(());
    };
    if let Some(stamp) = entry.producer {
        rare.producers.check(stamp, entry.count)?;
    }
    match entry.message.and_then(|id| rare.messages.get(id)) {
        Some(offset) => Err(Ok(Duplicate { offset })),
        None => Ok(()),
    }
}

/// Whether an entry can be applied to its stream.
fn check_stream(stream: &StreamState, entry: &Entry<'_>) -> Result<(), Refusal> {
    let next = stream.next;
    let offset = entry.offset.unwrap_or(0);
    let range = stream.out_of_range();
    let group = || std::str::from_utf8(entry.key.unwrap_or_default()).map_err(|_| Refusal::Invalid);
    let cursor = |group: &str| {
        let rare = stream.rare.as_deref();
        rare.and_then(|rare| rare.cursors.0.get(group))
    };
    let room = |count: u32| next.checked_add(count.into()).is_some();
    match entry.kind {
        Kind::Append if !room(entry.count) => Err(range),
        Kind::Configure if StreamConfig::parse(entry.payload).is_none() => Err(Refusal::Invalid),
        // The record that takes the start may begin before it.
        Kind::Truncate if offset > next => Err(range),
        Kind::Erase if offset >= next => Err(range),
        Kind::Fence if offset < stream.fence => Err(Refusal::Fenced {
            token: stream.fence,
        }),
        Kind::Seek if offset > next => Err(range),
        Kind::Seek if entry.payload.len() > METADATA_BYTES_MAX => Err(Refusal::Invalid),
        Kind::Seek => name::check(group()?).map_err(|_| Refusal::Invalid),
        Kind::Acknowledge if cursor(group()?).is_none() => Err(Refusal::Absent),
        Kind::Acknowledge if longs(entry.payload).any(|[from, to]| from > to || to > next) => {
            Err(range)
        }
        Kind::Forget if cursor(group()?).is_none() => Err(Refusal::Absent),
        _ => Ok(()),
    }
}

/// Applies an entry that was checked to its stream.
fn commit_stream(stream: &mut StreamState, at: Position, entry: &Entry<'_>) -> u64 {
    let offset = entry.offset.unwrap_or(0);
    let group = || std::str::from_utf8(entry.key.unwrap_or_default()).unwrap_or_default();
    match entry.kind {
        Kind::Append => return append(stream, at, entry),
        Kind::Configure => {
            stream.rare_mut().config = StreamConfig::parse(entry.payload).unwrap_or_default();
        }
        Kind::Trim => stream.trim(offset),
        Kind::Truncate => stream.truncate(at, offset),
        Kind::Erase => stream.erase(offset, offset.saturating_add(1)),
        Kind::Fence => stream.fence = offset,
        Kind::Seek => {
            let cursors = &mut stream.rare_mut().cursors.0;
            let held = cursors.get(group()).is_some_and(|cursor| cursor.hold);
            let cursor = Cursor {
                offset,
                done: Vec::new(),
                metadata: entry.payload.into(),
                used: at,
                hold: entry.hold || held,
            };
            cursors.insert(group().into(), cursor);
            stream.drop_acknowledged();
        }
        Kind::Acknowledge => {
            let Some(cursor) = stream.rare_mut().cursors.0.get_mut(group()) else {
                return 0;
            };
            for [from, to] in longs(entry.payload) {
                cursor.acknowledge(from, to);
            }
            cursor.used = at;
            let offset = cursor.offset;
            stream.drop_acknowledged();
            return offset;
        }
        Kind::Forget => {
            stream.rare_mut().cursors.0.remove(group());
            stream.drop_acknowledged();
        }
        Kind::Moved => {
            let Some(original) = Entry::parse(entry.payload) else {
                return 0;
            };
            let moved = Moved {
                at,
                from: Position::from_u64(entry.position.unwrap_or(0)),
                count: original.count,
                bytes: original.payload.len() as u32,
            };
            return stream.repoint(offset, moved).into();
        }
        Kind::Compact => {
            for [from, to, bytes] in longs(entry.payload) {
                stream.erase(from, to);
                stream.lighten(from, bytes);
            }
            let rare = stream.rare_mut();
            rare.compacted = rare.compacted.max(offset);
        }
        Kind::Create
        | Kind::Delete
        | Kind::Put
        | Kind::Remove
        | Kind::Require
        | Kind::Release
        | Kind::Tick => {}
    }
    0
}

fn append(stream: &mut StreamState, at: Position, entry: &Entry<'_>) -> u64 {
    let offset = stream.push(at, entry.count, entry.payload.len());
    if let Some(time) = entry.time_unix_ns {
        stream.time_unix_ns = stream.time_unix_ns.max(time);
        stream.timed += 1;
    }
    if let Some(stamp) = entry.producer {
        let rare = stream.rare_mut();
        let max = rare.config.producers_max as usize;
        rare.producers.take(stamp, entry.count, offset, at, max);
    }
    if let Some(id) = entry.message {
        let rare = stream.rare_mut();
        let max = rare.config.messages_max as usize;
        rare.messages.insert(id, offset, at, max);
    }
    offset
}

/// The numbers of a payload.
fn longs<const N: usize>(payload: &[u8]) -> impl Iterator<Item = [u64; N]> + '_ {
    let long = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let items = payload.chunks_exact(8 * N);
    items.map(move |item| std::array::from_fn(|n| long(&item[n * 8..n * 8 + 8])))
}
