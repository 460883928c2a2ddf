//! One stream, as the pass derives it.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::log::Position;
use crate::store::config::StreamConfig;
use crate::store::state::clock::Clock;
use crate::store::state::cursors::Cursors;
use crate::store::state::erased::Erased;
use crate::store::state::messages::Messages;
use crate::store::state::places::{Located, Run};
use crate::store::state::producers::Producers;
use crate::store::state::verdict::Refusal;

/// A stream: what each append changes. With the slot's generation it fills a cache line, so that
/// appends to many streams cost few misses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamState {
    /// The offset that the next record gets.
    pub(crate) next: u64,
    /// Bytes of its records' payloads. What lies in one segment counts until all of it is gone, or what is
    /// left was moved.
    /// Nothing is judged by it.
    pub(crate) bytes: u64,
    /// Its records in the segment where the pass stands.
    run: Run,
    rest: Box<Rest>,
}

/// What an append to a stream does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) name: Arc<str>,
    /// Rises when the stream is made or cut off: the position of the entry that did it.
    pub(crate) incarnation: u64,
    /// Its first offset.
    pub(crate) start: u64,
    /// Appends with a lower token are refused.
    pub(crate) fence: u64,
    /// The newest time that was given with a record, in nanoseconds since 1970; 0 for none.
    pub(crate) time_unix_ns: u64,
    /// How many of its records in this segment were given a time, or fewer.
    pub(crate) timed: usize,
    /// Its records in the segments before; the bases rise.
    pub(crate) left: Vec<LeftRun>,
    /// Its records in this segment before those of `run`, where offsets leapt too far.
    pub(crate) earlier: Vec<Run>,
    /// How many records it had in the last segment that it had some in.
    pub(crate) likely: usize,
    /// Where it was cut off, the newest last; the offsets rise.
    pub(crate) cuts: Vec<Cut>,
    /// What few streams have.
    pub(crate) rare: Option<Box<Rare>>,
}

impl Deref for StreamState {
    type Target = Rest;

    fn deref(&self) -> &Rest {
        &self.rest
    }
}

impl DerefMut for StreamState {
    fn deref_mut(&mut self) -> &mut Rest {
        &mut self.rest
    }
}

/// A run in a segment that the pass has left, whose index has the places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeftRun {
    pub(crate) base: u64,
    /// Below 2^36; and whether all that is wanted of it was moved, and whether all its records were given a
    /// time.
    word: u64,
    pub(crate) bytes: u32,
    /// The newest time that was given with a record of the stream by then, rounded up, in seconds since
    /// 1970; the largest number stands for later ones.
    pub(crate) newest_s: u32,
}

const RELEASED: u64 = 1 << 63;
const TIMED: u64 = 1 << 62;

impl LeftRun {
    pub(crate) fn of(base: u64, word: u64, bytes: u32, newest_s: u32) -> Self {
        Self {
            base,
            word,
            bytes,
            newest_s,
        }
    }

    /// The segment, and the marks.
    pub(crate) fn word(self) -> u64 {
        self.word
    }

    pub(crate) fn segment(self) -> u64 {
        self.word & !(RELEASED | TIMED)
    }

    /// Whether nothing that is wanted lies there any more.
    pub(crate) fn is_released(self) -> bool {
        self.word & RELEASED != 0
    }

    /// Whether there may be a record whose time is `time_unix_ns` or later; `before` is where records
    /// begin that were written then.
    fn has_since(self, time_unix_ns: u64, before: Position) -> bool {
        let newest = match self.newest_s {
            u32::MAX => u64::MAX,
            seconds => u64::from(seconds) * 1_000_000_000,
        };
        let untimed = self.word & TIMED == 0;
        newest >= time_unix_ns || untimed && self.segment() >= before.segment()
    }
}

/// What was written before `at` and has `offset` or a higher one was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) at: Position,
    pub(crate) offset: u64,
}

/// What few streams have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rare {
    pub(crate) config: StreamConfig,
    pub(crate) producers: Producers,
    pub(crate) messages: Messages,
    pub(crate) cursors: Cursors,
    /// Records that were removed one by one, by their first offsets.
    pub(crate) erased: Erased,
    /// Records that were written again further on, by their first offsets.
    pub(crate) moved: BTreeMap<u64, Moved>,
    /// Before this offset each key has its latest record alone.
    pub(crate) compacted: u64,
}

/// A record that was written again further on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Where it lies now.
    pub(crate) at: Position,
    /// Where it lay before.
    pub(crate) from: Position,
    /// How many offsets it takes.
    pub(crate) count: u32,
    /// Bytes of its payload.
    pub(crate) bytes: u32,
}

/// Where a part of a stream lies.
pub(crate) enum Part<'a> {
    /// In the segment where the pass stands.
    Open(&'a Run),
    /// In this one.
    Left(u64),
    /// Each record where it was moved to. The run begins here.
    Moved(u64),
}

impl StreamState {
    pub(crate) fn new(name: Arc<str>, at: Position, first: u64) -> Self {
        Self {
            next: first,
            bytes: 0,
            run: Run::new(0),
            rest: Box::new(Rest {
                name,
                incarnation: at.to_u64(),
                start: first,
                fence: 0,
                time_unix_ns: 0,
                timed: 0,
                left: Vec::new(),
                earlier: Vec::new(),
                likely: 0,
                cuts: Vec::new(),
                rare: None,
            }),
        }
    }

    /// A stream between two segments.
    pub(crate) fn of(next: u64, bytes: u64, rest: Rest) -> Self {
        Self {
            next,
            bytes,
            run: Run::new(0),
            rest: Box::new(rest),
        }
    }

    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rest.rare.get_or_insert_default()
    }

    /// How many bytes its records' payloads may take.
    pub(crate) fn quota_bytes(&self) -> u64 {
        self.rare
            .as_deref()
            .map_or(u64::MAX, |rare| rare.config.quota_bytes)
    }

    /// The refusal of an offset that is not one of the stream's.
    pub(crate) fn out_of_range(&self) -> Refusal {
        Refusal::Range {
            start: self.start,
            next: self.next,
        }
    }

    /// Whether it has a record in the segment where the pass stands.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        !self.run.places.is_empty()
    }

    /// Something near where the next record is noted.
    #[inline]
    pub(crate) fn last_place(&self) -> u64 {
        self.run.places.last().map_or(0, |place| place.bytes.into())
    }

    /// Adds a record behind the last one; returns its first offset.
    #[inline]
    pub(crate) fn push(&mut self, position: Position, count: u32, bytes: usize) -> u64 {
        let offset = self.next;
        self.next += u64::from(count);
        self.bytes += bytes as u64;
        if !self.is_here() || !self.run.push(position, offset, bytes) {
            self.begin_run(position, offset, bytes);
        }
        offset
    }

    #[cold]
    fn begin_run(&mut self, position: Position, offset: u64, bytes: usize) {
        if self.is_here() {
            let before = std::mem::replace(&mut self.run, Run::new(offset));
            self.rest.earlier.push(before);
        }
        // As much as there was in the segment before is likely to come.
        self.run.places.reserve_exact(self.rest.likely.max(1));
        self.run.base = offset;
        self.run.push(position, offset, bytes);
    }

    /// The pass leaves a segment: what lies there goes to its index.
    pub(crate) fn leave(&mut self, segment: u64) -> Vec<Run> {
        let mut runs = std::mem::take(&mut self.rest.earlier);
        let run = std::mem::replace(&mut self.run, Run::new(0));
        self.rest.likely = run.places.len();
        if !run.places.is_empty() {
            runs.push(run);
        }
        let places: usize = runs.iter().map(|run| run.places.len()).sum();
        let timed = std::mem::take(&mut self.rest.timed) >= places;
        let newest_s = self.time_unix_ns.div_ceil(1_000_000_000);
        self.rest.left.extend(runs.iter().map(|run| LeftRun {
            base: run.base,
            word: segment | if timed { TIMED } else { 0 },
            bytes: run.bytes() as u32,
            newest_s: u32::try_from(newest_s).unwrap_or(u32::MAX),
        }));
        runs
    }

    /// Where the record lies that takes `offset`, and at which offset the part ends that it lies in.
    pub(crate) fn part(&self, offset: u64) -> Option<(Part<'_>, u64)> {
        if !(self.start..self.next).contains(&offset) {
            return None;
        }
        let mut end = self.next;
        for run in self.runs_back() {
            if run.base <= offset {
                return Some((Part::Open(run), end));
            }
            end = run.base;
        }
        let left = self.left.partition_point(|run| run.base <= offset);
        let end = self.left.get(left).map_or(end, |run| run.base);
        let run = self.left.get(left.checked_sub(1)?)?;
        let part = match run.is_released() {
            true => Part::Moved(run.base),
            false => Part::Left(run.segment()),
        };
        Some((part, end))
    }

    /// Where the first run behind `offset` begins, or the stream ends.
    pub(crate) fn next_base(&self, offset: u64) -> u64 {
        let bases = self.left.iter().map(|run| run.base);
        let here = self
            .earlier
            .iter()
            .chain(Some(&self.run).filter(|_| self.is_here()));
        let mut bases = bases.chain(here.map(|run| run.base));
        bases.find(|base| *base > offset).unwrap_or(self.next)
    }

    /// The moved records of a part that begins at `base` and ends at `end`, from the one on that takes
    /// `offset`.
    pub(crate) fn moved_from(&self, base: u64, offset: u64, end: u64) -> Vec<Located> {
        let Some(rare) = self.rare.as_deref() else {
            return Vec::new();
        };
        let before = |at: Option<u64>| at.filter(|at| *at >= base);
        let moved = before(rare.moved.range(..=offset).next_back().map(|(at, _)| *at));
        let erased = before(rare.erased.last_from(offset));
        // Who takes the offset may have been removed.
        let from = moved.filter(|at| erased.is_none_or(|erased| erased < *at));
        let records = rare.moved.range(from.unwrap_or(offset)..end);
        records
            .map(|(offset, moved)| Located {
                offset: *offset,
                position: moved.at,
                before: Some(moved.from),
                bytes: moved.bytes,
            })
            .collect()
    }

    /// Nothing that is wanted lies in a segment any more, of those that it has runs in the first.
    pub(crate) fn release(&mut self, segment: u64) {
        let from = self.left.partition_point(|run| run.segment() < segment);
        let behind = self.left.partition_point(|run| run.segment() <= segment);
        let Some(first) = self.left.get(from..behind).and_then(<[_]>::first).copied() else {
            return;
        };
        if first.is_released() {
            return;
        }
        let runs = &self.left[from..behind];
        let gone: u64 = runs.iter().map(|run| u64::from(run.bytes)).sum();
        let newest_s = runs.iter().map(|run| run.newest_s).max().unwrap_or(0);
        let end = self.next_base(self.left[behind - 1].base);
        let moved = self
            .rare
            .iter()
            .flat_map(|rare| rare.moved.range(first.base..end));
        let kept: u64 = moved.map(|(_, moved)| u64::from(moved.bytes)).sum();
        self.bytes = self.bytes - gone + kept;
        // With what was released before it is one part.
        let begin = from.checked_sub(1).filter(|n| self.left[*n].is_released());
        let begin = begin.unwrap_or(from);
        let base = self.left[begin].base;
        self.rest.left.drain(begin + 1..behind);
        self.rest.left[begin] = LeftRun {
            base,
            word: segment | RELEASED,
            bytes: 0,
            newest_s,
        };
    }

    /// Moved records go; those count by themselves that lie in a part that was released.
    fn forget_moved(&mut self, gone: BTreeMap<u64, Moved>) {
        let released = self.left.iter().rfind(|run| run.is_released());
        let end = released.map_or(0, |run| self.next_base(run.base));
        let bytes = gone.range(..end).map(|(_, moved)| u64::from(moved.bytes));
        self.bytes -= bytes.sum::<u64>();
    }

    /// Its runs in the segment where the pass stands, the newest first.
    fn runs_back(&self) -> impl Iterator<Item = &Run> {
        let newest = Some(&self.run).filter(|_| self.is_here());
        newest.into_iter().chain(self.earlier.iter().rev())
    }

    /// The offset of the record that lies at a position of the segment where the pass stands.
    pub(crate) fn offset_at(&self, position: Position) -> Option<u64> {
        self.runs_back().find_map(|run| run.at(position))
    }

    /// Whether the record with this first offset that was written at `position` is still there, or
    /// was once, at this place.
    pub(crate) fn wants(&self, offset: u64, position: Position) -> bool {
        let cut = |cut: &Cut| position < cut.at && offset >= cut.offset;
        let rare = self.rare.as_deref();
        let moved = rare.and_then(|rare| rare.moved.get(&offset));
        offset < self.next
            && !self.cuts.iter().any(cut)
            && !self.is_erased(offset)
            && moved.is_none_or(|moved| moved.at == position)
    }

    pub(crate) fn is_erased(&self, first: u64) -> bool {
        let rare = self.rare.as_deref();
        rare.is_some_and(|rare| rare.erased.has(first))
    }

    /// Moves the start to `offset`, beyond the end too. A record that takes offsets on both sides
    /// of the start stays.
    pub(crate) fn trim(&mut self, offset: u64) {
        if offset <= self.start {
            return;
        }
        self.rest.start = offset;
        if let Some(rare) = &mut self.rest.rare {
            rare.erased.forget_below(offset);
            rare.messages.forget_below(offset);
            let from = rare.moved.range(..=offset).next_back();
            let from = from.filter(|(first, moved)| *first + u64::from(moved.count) > offset);
            let from = from.map_or(offset, |(first, _)| *first);
            let kept = rare.moved.split_off(&from);
            let gone = std::mem::replace(&mut rare.moved, kept);
            self.forget_moved(gone);
        }
        if offset >= self.next {
            self.next = offset;
            self.bytes = 0;
            self.run = Run::new(0);
            self.rest.earlier.clear();
            self.rest.left.clear();
            self.rest.timed = 0;
        } else {
            // All is gone of those before the one that has the offset.
            let gone = match self.part(offset) {
                Some((Part::Left(_) | Part::Moved(_), _)) => {
                    let before = self.left.partition_point(|run| run.base <= offset);
                    before.saturating_sub(1)
                }
                _ => self.left.len(),
            };
            let gone = self.rest.left.drain(..gone);
            let bytes: u64 = gone.map(|run| u64::from(run.bytes)).sum();
            self.bytes -= bytes;
        }
    }

    /// Cuts off every record from the one on that begins at `offset`, or at the stream's end. The next
    /// one gets that offset; the start, if the one that was cut off began before it.
    pub(crate) fn truncate(&mut self, at: Position, offset: u64) {
        if let Some(rare) = &mut self.rest.rare {
            rare.erased.forget_from(offset);
            rare.compacted = rare.compacted.min(offset);
            rare.messages.forget_from(offset);
            rare.producers.forget_from(offset);
            rare.cursors.cut(offset);
            let gone = rare.moved.split_off(&offset);
            self.forget_moved(gone);
        }
        self.next = offset.max(self.start);
        let rest = &mut *self.rest;
        rest.incarnation = at.to_u64();
        rest.timed = 0;
        rest.cuts.retain(|cut| cut.offset < offset);
        rest.cuts.push(Cut { at, offset });
        let mut gone = self.run.cut(offset);
        while !self.is_here() {
            let Some(run) = self.rest.earlier.pop() else {
                break;
            };
            self.run = run;
            gone += self.run.cut(offset);
        }
        if !self.is_here() {
            self.run = Run::new(0);
        }
        let rest = &mut *self.rest;
        while let Some(run) = rest.left.last().filter(|run| run.base >= offset) {
            gone += u64::from(run.bytes);
            rest.left.pop();
        }
        self.bytes -= gone;
    }

    /// Removes the records that begin in `from..to`; one that takes the start may begin before it.
    pub(crate) fn erase(&mut self, from: u64, to: u64) {
        let to = to.min(self.next);
        if from >= to {
            return;
        }
        let rare = self.rare_mut();
        rare.erased.insert(from, to);
        let behind = rare.moved.split_off(&to);
        let gone = rare.moved.split_off(&from);
        rare.moved.extend(behind);
        self.forget_moved(gone);
    }

    /// Of the run that has `offset`, records of so many bytes were removed. What was moved counts by itself.
    pub(crate) fn lighten(&mut self, offset: u64, bytes: u64) {
        let behind = self.left.partition_point(|run| run.base <= offset);
        let run = behind.checked_sub(1).map(|last| &mut self.rest.left[last]);
        if let Some(run) = run.filter(|run| !run.is_released()) {
            let gone = bytes.min(run.bytes.into());
            run.bytes -= gone as u32;
            self.bytes -= gone;
        }
    }

    /// Points the record that begins at `offset` to where it was written again, if it still lies where
    /// it was moved from; says whether it did.
    pub(crate) fn repoint(&mut self, offset: u64, to: Moved) -> bool {
        let end = offset.saturating_add(to.count.into());
        let there = end > self.start && self.wants(offset, to.from);
        if there {
            self.rare_mut().moved.insert(offset, to);
        }
        there
    }

    /// What its options do not keep goes, and what they do not remember is forgotten. `segment` is where the
    /// pass stands.
    pub(crate) fn expire(&mut self, clock: &Clock, segment: u64) {
        let Some(rare) = &mut self.rest.rare else {
            return;
        };
        let config = &rare.config;
        let window = clock.cutoff(config.message_window_ns);
        rare.messages.forget_before(window);
        rare.producers
            .forget_before(clock.cutoff(config.producer_age_ns));
        rare.cursors
            .forget_before(clock.cutoff(config.cursor_age_ns));
        let (bytes, age) = (config.retain_bytes, config.retain_age_ns);
        let unacknowledged = config.retain_unacknowledged;
        let held = rare.cursors.held();
        let mut to = self.start;
        if age != u64::MAX {
            to = to.max(self.written_since(clock.cutoff(age), segment));
        }
        if bytes < self.bytes {
            to = to.max(self.keeping(bytes));
        }
        if unacknowledged {
            to = to.max(held.unwrap_or(0));
        }
        self.trim(to.min(held.unwrap_or(u64::MAX)).min(self.next));
    }

    /// Up to where all is done that retention waits for goes, if it goes by that.
    pub(crate) fn drop_acknowledged(&mut self) {
        let rare = self.rare.as_deref();
        let rare = rare.filter(|rare| rare.config.retain_unacknowledged);
        if let Some(held) = rare.and_then(|rare| rare.cursors.held()) {
            self.trim(held.min(self.next));
        }
    }

    /// When something of it will be too old next, as far as that can be told.
    pub(crate) fn next_expiry(&self, clock: &Clock) -> Option<u64> {
        let rare = self.rare.as_deref()?;
        let config = &rare.config;
        let due = |there: bool, age: u64| clock.next_cutoff(age).filter(|_| there);
        [
            due(self.start < self.next, config.retain_age_ns),
            due(rare.messages.len() > 0, config.message_window_ns),
            due(rare.producers.len() > 0, config.producer_age_ns),
            due(!rare.cursors.0.is_empty(), config.cursor_age_ns),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// An offset before which every record has an earlier time; `before` is where records begin that were
    /// written then.
    pub(crate) fn earlier_than(&self, time_unix_ns: u64, before: Position) -> u64 {
        let left = self
            .left
            .iter()
            .find(|run| run.has_since(time_unix_ns, before));
        let here = self.runs_back().last();
        let base = left.map(|run| run.base).or(here.map(|run| run.base));
        base.unwrap_or(self.next).max(self.start)
    }

    /// The first offset of what was written at `position` or behind it. Of a segment that the pass has left
    /// that is all or nothing.
    fn written_since(&self, position: Position, segment: u64) -> u64 {
        let old = |run: &LeftRun| run.segment() < position.segment();
        let old = self.left.partition_point(old);
        let left = old.checked_sub(1).map(|last| self.left[last].base);
        let mut offset = left.map_or(self.start, |base| self.next_base(base));
        if position.segment() == segment {
            let here = self.runs_back().collect::<Vec<_>>().into_iter().rev();
            for run in here {
                match run.since(position) {
                    Some(first) => return offset.max(first),
                    None => offset = offset.max(self.next_base(run.base)),
                }
            }
        }
        offset
    }

    /// The highest first offset with which at least `bytes` are kept, or all that there are.
    fn keeping(&self, bytes: u64) -> u64 {
        let mut left = self.bytes;
        let mut runs = self.left.iter().peekable();
        while let Some(run) = runs.next() {
            let gone = if run.is_released() {
                let end = runs.peek().map_or(u64::MAX, |next| next.base);
                let moved = self
                    .rare
                    .iter()
                    .flat_map(|rare| rare.moved.range(run.base..end));
                moved.map(|(_, moved)| u64::from(moved.bytes)).sum()
            } else {
                u64::from(run.bytes)
            };
            if left.saturating_sub(gone) < bytes {
                return run.base;
            }
            left = left.saturating_sub(gone);
        }
        let here = self.runs_back().collect::<Vec<_>>().into_iter().rev();
        for run in here {
            for place in &run.places {
                let gone = u64::from(place.bytes);
                if left.saturating_sub(gone) < bytes {
                    return run.offset(place);
                }
                left = left.saturating_sub(gone);
            }
        }
        self.next
    }
}
