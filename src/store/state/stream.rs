//! One stream, as the pass derives it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::log::Position;
use crate::store::config::StreamConfig;
use crate::store::state::cursors::Cursors;
use crate::store::state::messages::Messages;
use crate::store::state::places::Run;
use crate::store::state::producers::Producers;
use crate::store::state::verdict::Refusal;

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamState {
    pub(crate) name: Arc<str>,
    /// Rises when the stream is made or cut off: the position of the entry that did it.
    pub(crate) incarnation: u64,
    /// Its first offset, and the one that the next record gets.
    pub(crate) start: u64,
    pub(crate) next: u64,
    /// Appends with a lower token are refused.
    pub(crate) fence: u64,
    /// Bytes of its records' payloads. What lies in one segment counts until all of it is gone.
    /// Nothing is judged by it.
    pub(crate) bytes: u64,
    /// The newest time of its records, if any has one, in nanoseconds since 1970.
    pub(crate) time_unix_ns: u64,
    /// Its records in the segment where the pass stands; more than one run when offsets leapt.
    pub(crate) open: Vec<Run>,
    /// Its records in the segments before; the bases rise.
    pub(crate) left: Vec<LeftRun>,
    /// Where it was cut off, the newest last; the offsets rise.
    pub(crate) cuts: Vec<Cut>,
    /// What few streams have.
    pub(crate) rare: Option<Box<Rare>>,
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
    /// Records that were written again further on, by their first offsets, and where they lie now.
    pub(crate) moved: BTreeMap<u64, Position>,
}

/// Where a part of a stream lies.
pub(crate) enum Part<'a> {
    /// In the segment where the pass stands.
    Open(&'a Run),
    /// In this one.
    Left(u64),
}

impl StreamState {
    pub(crate) fn new(name: Arc<str>, at: Position, first: u64) -> Self {
        Self {
            name,
            incarnation: at.to_u64(),
            start: first,
            next: first,
            fence: 0,
            bytes: 0,
            time_unix_ns: 0,
            open: Vec::new(),
            left: Vec::new(),
            cuts: Vec::new(),
            rare: None,
        }
    }

    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
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

    /// Adds a record behind the last one; returns its first offset.
    #[inline]
    pub(crate) fn push(&mut self, position: Position, count: u32, bytes: usize) -> u64 {
        let offset = self.next;
        self.next += u64::from(count);
        self.bytes += bytes as u64;
        let pushed = match self.open.last_mut() {
            Some(run) => run.push(position, offset, bytes),
            None => false,
        };
        if !pushed {
            self.push_run(position, offset, bytes);
        }
        offset
    }

    #[cold]
    fn push_run(&mut self, position: Position, offset: u64, bytes: usize) {
        let mut run = Run::new(offset);
        run.push(position, offset, bytes);
        if self.open.is_empty() {
            self.open.reserve_exact(1);
        }
        self.open.push(run);
    }

    /// The pass leaves a segment: what lies there goes to its index.
    pub(crate) fn leave(&mut self, segment: u64) -> Vec<Run> {
        for run in &self.open {
            self.left.push(LeftRun {
                base: run.base,
                segment,
                bytes: run.bytes(),
            });
        }
        std::mem::take(&mut self.open)
    }

    /// Where the record lies that takes `offset`, and at which offset the part ends that it lies in.
    pub(crate) fn part(&self, offset: u64) -> Option<(Part<'_>, u64)> {
        if !(self.start..self.next).contains(&offset) {
            return None;
        }
        let open = self.open.partition_point(|run| run.base <= offset);
        let end = self.open.get(open).map_or(self.next, |run| run.base);
        if let Some(run) = open.checked_sub(1).and_then(|at| self.open.get(at)) {
            return Some((Part::Open(run), end));
        }
        let left = self.left.partition_point(|run| run.base <= offset);
        let end = self.left.get(left).map_or(end, |run| run.base);
        let run = self.left.get(left.checked_sub(1)?)?;
        Some((Part::Left(run.segment), end))
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
            && moved.is_none_or(|at| *at == position)
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
        self.start = offset;
        if offset >= self.next {
            self.next = offset;
            self.bytes = 0;
            self.open.clear();
            self.left.clear();
        } else {
            let base = self.left.partition_point(|run| run.base <= offset);
            // All is gone of those before the one that has the offset.
            let gone = match self.open.first().filter(|run| run.base <= offset) {
                Some(_) => self.left.len(),
                None => base.saturating_sub(1),
            };
            let bytes: u64 = self.left.drain(..gone).map(|run| run.bytes).sum();
            self.bytes -= bytes;
        }
        if let Some(rare) = &mut self.rare {
            // The record that has the offset may begin before it.
            let kept = |set: &BTreeSet<u64>| set.range(..=offset).next_back().copied();
            let from = kept(&rare.erased).unwrap_or(offset);
            rare.erased = rare.erased.split_off(&from);
            let from = rare.moved.range(..=offset).next_back();
            let from = from.map_or(offset, |(first, _)| *first);
            rare.moved = rare.moved.split_off(&from);
            rare.messages.forget_below(offset);
        }
    }

    /// Cuts off every record from the one on that begins at `offset`, or at the stream's end.
    pub(crate) fn truncate(&mut self, at: Position, offset: u64) {
        self.incarnation = at.to_u64();
        self.next = offset;
        self.cuts.retain(|cut| cut.offset < offset);
        self.cuts.push(Cut { at, offset });
        let mut gone = 0;
        while let Some(run) = self.open.last_mut() {
            let keep = run.before(offset);
            let cut = run.places.drain(keep..);
            gone += cut.map(|place| u64::from(place.bytes)).sum::<u64>();
            if keep > 0 {
                break;
            }
            self.open.pop();
        }
        while let Some(run) = self.left.last().filter(|run| run.base >= offset) {
            gone += run.bytes;
            self.left.pop();
        }
        self.bytes -= gone;
        if let Some(rare) = &mut self.rare {
            rare.erased.split_off(&offset);
            rare.moved.split_off(&offset);
            rare.messages.forget_from(offset);
            rare.producers.forget_from(offset);
            rare.cursors.cut(offset);
        }
    }

    /// Removes the record that begins at `offset`; says whether it was there.
    pub(crate) fn erase(&mut self, offset: u64) -> bool {
        self.rare_mut().erased.insert(offset)
    }

    /// Points the record that begins at `offset` to where it was written again, if it still lies at
    /// `from`; says whether it did.
    pub(crate) fn repoint(&mut self, offset: u64, from: Position, to: Position) -> bool {
        let there = offset >= self.start && self.wants(offset, from);
        if there {
            self.rare_mut().moved.insert(offset, to);
        }
        there
    }
}
