//! One stream, as the pass derives it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::log::Position;
use crate::store::config::StreamConfig;
use crate::store::state::cursors::Cursors;
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
    /// The newest time of its records, if any has one, in nanoseconds since 1970.
    pub(crate) time_unix_ns: u64,
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
    pub(crate) segment: u64,
    pub(crate) bytes: u64,
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
    pub(crate) erased: BTreeSet<u64>,
    /// Records that were written again further on, by their first offsets.
    pub(crate) moved: BTreeMap<u64, Moved>,
}

/// A record that was written again further on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Where it lies now.
    pub(crate) at: Position,
    /// How many offsets it takes.
    pub(crate) count: u32,
    /// Bytes of its payload.
    pub(crate) bytes: u32,
}

/// The segment of a run of which all that is wanted was moved.
pub(crate) const RELEASED: u64 = 0;

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
        self.rest.left.extend(runs.iter().map(|run| LeftRun {
            base: run.base,
            segment,
            bytes: run.bytes(),
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
        let part = match run.segment {
            RELEASED => Part::Moved(run.base),
            segment => Part::Left(segment),
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
        let erased = before(rare.erased.range(..=offset).next_back().copied());
        // Who takes the offset may have been removed.
        let from = moved.filter(|at| erased.is_none_or(|erased| erased < *at));
        let records = rare.moved.range(from.unwrap_or(offset)..end);
        records
            .map(|(offset, moved)| Located {
                offset: *offset,
                position: moved.at,
                bytes: moved.bytes,
            })
            .collect()
    }

    /// Nothing that is wanted lies in a segment any more, of those that it has runs in the first.
    pub(crate) fn release(&mut self, segment: u64) {
        let from = self.left.partition_point(|run| run.segment < segment);
        let behind = self.left.partition_point(|run| run.segment <= segment);
        let Some(first) = self.left.get(from..behind).and_then(<[_]>::first).copied() else {
            return;
        };
        let gone: u64 = self.left[from..behind].iter().map(|run| run.bytes).sum();
        let end = self.next_base(self.left[behind - 1].base);
        let moved = self
            .rare
            .iter()
            .flat_map(|rare| rare.moved.range(first.base..end));
        let kept: u64 = moved.map(|(_, moved)| u64::from(moved.bytes)).sum();
        self.bytes = self.bytes - gone + kept;
        // With what was released before it is one part.
        let before = from > 0 && self.left[from - 1].segment == RELEASED;
        self.rest.left.drain(from + usize::from(!before)..behind);
        if !before {
            self.rest.left[from] = LeftRun {
                segment: RELEASED,
                bytes: 0,
                ..first
            };
        }
    }

    /// Moved records go; those count by themselves that lie in a part that was released.
    fn forget_moved(&mut self, gone: BTreeMap<u64, Moved>) {
        let released = self.left.iter().rfind(|run| run.segment == RELEASED);
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
        rare.is_some_and(|rare| rare.erased.contains(&first))
    }

    /// Moves the start to `offset`, beyond the end too. A record that takes offsets on both sides
    /// of the start stays.
    pub(crate) fn trim(&mut self, offset: u64) {
        if offset <= self.start {
            return;
        }
        self.rest.start = offset;
        if let Some(rare) = &mut self.rest.rare {
            // The record that has the offset may begin before it.
            let from = rare.erased.range(..=offset).next_back().copied();
            rare.erased = rare.erased.split_off(&from.unwrap_or(offset));
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
        } else {
            // All is gone of those before the one that has the offset.
            let gone = match self.part(offset) {
                Some((Part::Left(_) | Part::Moved(_), _)) => {
                    let before = self.left.partition_point(|run| run.base <= offset);
                    before.saturating_sub(1)
                }
                _ => self.left.len(),
            };
            let bytes: u64 = self.rest.left.drain(..gone).map(|run| run.bytes).sum();
            self.bytes -= bytes;
        }
    }

    /// Cuts off every record from the one on that begins at `offset`, or at the stream's end. The next
    /// one gets that offset; the start, if the one that was cut off began before it.
    pub(crate) fn truncate(&mut self, at: Position, offset: u64) {
        if let Some(rare) = &mut self.rest.rare {
            rare.erased.split_off(&offset);
            rare.messages.forget_from(offset);
            rare.producers.forget_from(offset);
            rare.cursors.cut(offset);
            let gone = rare.moved.split_off(&offset);
            self.forget_moved(gone);
        }
        self.next = offset.max(self.start);
        let rest = &mut *self.rest;
        rest.incarnation = at.to_u64();
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
            gone += run.bytes;
            rest.left.pop();
        }
        self.bytes -= gone;
    }

    /// Removes the record that begins at `offset`; says whether it was there.
    pub(crate) fn erase(&mut self, offset: u64) -> bool {
        let rare = self.rare_mut();
        let fresh = rare.erased.insert(offset);
        let gone = rare.moved.remove_entry(&offset);
        self.forget_moved(gone.into_iter().collect());
        fresh
    }

    /// Points the record that begins at `offset` to where it was written again, if it still lies at
    /// `from`; says whether it did.
    pub(crate) fn repoint(&mut self, offset: u64, from: Position, to: Moved) -> bool {
        let end = offset.saturating_add(to.count.into());
        let there = end > self.start && self.wants(offset, from);
        if there {
            self.rare_mut().moved.insert(offset, to);
        }
        there
    }
}
