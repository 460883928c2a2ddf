//! Looks at many positions at once: what is behind [`ReadMany`](super::ReadMany).
//!
//! Each position is a *look*. One whose segment is in memory is answered at once. The others hunt
//! through the file: a few blocks first, then whatever the bytes say is missing. Their reads are on
//! their way together; the answers are given in the order in which the positions came.
//!
//! Memory comes from the log's pool. A look that finds the budget used up waits for the looks before
//! it; the first one of all takes what it needs anyway. So what a scatter has at most is the
//! budget and one record.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{ReadDone, ReadQueue};
use crate::error::{Error, ErrorKind, Result};
use crate::log::core::Core;
use crate::log::position::Position;
use crate::log::read::cursor::{Cursor, Landing, Step};
use crate::log::read::hunt::{Found, Hunt};
use crate::log::read::look::{about_file, block_bytes, end_of, readable_to};
use crate::log::read::options::{Cold, From, ReadOptions, Visibility};
use crate::log::read::pool::DEPTH_MAX;
use crate::log::read::question::{Question, Says, Sought};
use crate::log::read::record::SharedRecord;
use crate::log::read::share::{BufferPart, COPY_BYTES_MAX, Sharing};
use crate::log::read::source::Source;
use crate::log::tail::Refusal;
use crate::log::tail::pinned::ImageWalk;

/// How many looks there may be for each read that may be on its way: answers wait for those before
/// them, and the disk should not wait with them.
const LOOKS_PER_READ: usize = 2;
/// Reads are submitted in so many groups, when as many as the depth are asked for.
const SUBMISSIONS: usize = 4;
/// A first look reads at least so much from its position on, in bytes.
const GUESS_MIN: u64 = 512;
/// And at most so much.
const GUESS_MAX: u64 = 64 << 10;

pub(super) struct Scatter {
    core: Arc<Core>,
    visibility: Visibility,
    depth: usize,
    sharing: Sharing,
    /// For whatever is not a matter of one sound frame on disk.
    cursor: Cursor,
    /// Made when it is first needed.
    queue: Option<Box<dyn ReadQueue>>,
    /// In the order asked; their tokens follow each other.
    looks: VecDeque<Look>,
    /// The first look's token.
    first: u64,
    /// Looks that have no answer yet.
    hunting: usize,
    /// Of these, the ones that wait for memory.
    hungry: usize,
    /// Reads that were pushed since the last submission.
    pushed: usize,
    /// As long as frames were lately, in bytes.
    guess: u64,
    /// Kept for its memory.
    done: Vec<ReadDone>,
}

/// One position that was asked for.
enum Look {
    Hunting(Hunt),
    Found(Found),
    Done(Result<SharedRecord>),
}

impl Scatter {
    pub(super) fn new(core: Arc<Core>, options: &ReadOptions) -> Self {
        let visibility = options.visibility.unwrap_or(core.options.visibility);
        Self {
            cursor: Cursor::new(Arc::clone(&core), visibility, Cold::Direct),
            core,
            visibility,
            depth: options.depth.clamp(1, DEPTH_MAX),
            sharing: Sharing::new(options.shared_bytes),
            queue: None,
            looks: VecDeque::new(),
            first: 0,
            hunting: 0,
            hungry: 0,
            pushed: 0,
            guess: GUESS_MIN,
            done: Vec::new(),
        }
    }

    /// How many positions have no answer given out.
    pub(super) fn len(&self) -> usize {
        self.looks.len()
    }

    /// Whether another position should be asked for.
    pub(super) fn wants_more(&self) -> bool {
        self.hunting < self.depth && self.looks.len() < self.depth * LOOKS_PER_READ
    }

    /// Asks for one more position.
    pub(super) fn ask(&mut self, position: Position) {
        let look = self.begin(position);
        self.cursor.leave();
        let look = look.unwrap_or_else(|error| Look::Done(Err(error)));
        let hunts = matches!(look, Look::Hunting(_));
        self.looks.push_back(look);
        if hunts {
            self.hunting += 1;
            self.hungry += 1;
            if self.hungry == 1 {
                self.feed(self.looks.len() - 1);
            }
        }
    }

    /// The answer for the first position, waiting for it; `None` when there is none to answer.
    pub(super) fn answer(&mut self) -> Option<Result<SharedRecord>> {
        loop {
            if self.core.reads.is_forked() {
                // Nothing that is on its way comes here.
                self.looks.pop_front()?;
                return Some(Err(self.core.refused(Refusal::Forked)));
            }
            match self.looks.pop_front()? {
                Look::Hunting(hunt) => self.looks.push_front(Look::Hunting(hunt)),
                Look::Found(found) => {
                    self.first += 1;
                    return Some(Ok(self.share(found)));
                }
                Look::Done(answer) => {
                    self.first += 1;
                    return Some(answer);
                }
            }
            self.pump();
        }
    }

    // ---- the begin of a look

    fn begin(&mut self, position: Position) -> Result<Look> {
        self.cursor.jump(position, Landing::Strict);
        self.cursor.check_place()?;
        let Some(segment) = self.cursor.segment.clone() else {
            return Err(self.cursor.no_record());
        };
        let (offset, first) = (position.offset_bytes(), segment.first().offset_bytes());
        let end = end_of(&segment);
        if offset < first {
            return Err(self.cursor.no_record());
        }
        if offset >= end {
            // Where a segment was cut short, the record that was cut off first began there.
            return Err(match end < segment.header.frames().end {
                true => self.cursor.cut(),
                false => self.cursor.no_record(),
            });
        }
        let limit = readable_to(&self.core, &segment);
        if offset >= limit {
            return self.near_the_end(position).map(answered);
        }
        let mut question = Question {
            ordinal: segment.ordinal(),
            seed: segment.header.seed(),
            offset,
            first,
            limit,
            is_end: limit == end,
            batch: None,
        };
        let walk = ImageWalk::settled(&self.core, segment.ordinal());
        if let Some((walk, settled)) = walk.filter(|(walk, _)| walk.covers(offset)) {
            let at = settled.start as u64;
            let says = question.ask(at, walk.passed(settled));
            let source = Source::Image(walk);
            return self.in_memory(position, says, &source).map(answered);
        }
        let held = segment.hold(&*self.core.dir).map_err(|error| {
            about_file(&self.core, position, Error::io("opening a segment", error))
        })?;
        let file = match held {
            Ok(held) => held.shared_file(),
            Err(absent) => return Err(self.cursor.absent(absent)),
        };
        let block = block_bytes(&self.core, &segment);
        let want = offset..(offset + self.guess).min(limit);
        Ok(Look::Hunting(Hunt::new(
            position, segment, file, block, question, want,
        )))
    }

    /// The answer of a segment that is in memory, as far as it is on disk.
    fn in_memory(
        &mut self,
        position: Position,
        says: Says,
        source: &Source,
    ) -> Result<SharedRecord> {
        match says {
            Says::Record(sought) => {
                self.check_gate(position, &sought)?;
                let bytes = source.share(position.segment(), sought.payload, &self.sharing);
                let position = Position::new(position.segment(), sought.offset);
                Ok(SharedRecord::new(bytes, position, sought.time_unix_ns))
            }
            Says::Beyond | Says::More(_) => self.near_the_end(position),
            Says::NoRecord => Err(self.no_record(position)),
            Says::Unsound => Err(self.cursor.verdict(position)),
        }
    }

    /// What is not on disk yet, or is about to be: a reader's way to it, without waiting.
    fn near_the_end(&mut self, position: Position) -> Result<SharedRecord> {
        self.cursor.place(From::Position(position))?;
        if let Step::Wait(_) = self.cursor.poll()? {
            return Err(self.not_yet(position));
        }
        let frame = self.cursor.batch_at_hand().map(|(frame, _)| frame);
        let taken = self.cursor.take();
        if taken.position != position && frame != Some(position) {
            return Err(self.no_record(position));
        }
        let bytes = self.cursor.share(&taken, &self.sharing);
        Ok(SharedRecord::new(bytes, taken.position, taken.time_unix_ns))
    }

    fn check_gate(&self, position: Position, sought: &Sought) -> Result<()> {
        let end = Position::new(position.segment(), sought.frame.end);
        if self.visibility == Visibility::Gated && end > self.core.gate() {
            return Err(self.not_yet(position));
        }
        Ok(())
    }

    fn not_yet(&self, position: Position) -> Error {
        Error::new(ErrorKind::WouldBlock, "the record is not visible yet")
            .at_path(&self.core.path)
            .at_position(position)
    }

    fn no_record(&self, position: Position) -> Error {
        Error::new(ErrorKind::NoRecord, "")
            .at_path(&self.core.path)
            .at_position(position)
    }

    // ---- reads

    /// Gives memory to the looks that wait for it, in order and from this one on, and lets their
    /// reads begin.
    fn feed(&mut self, from: usize) {
        for index in from..self.looks.len() {
            if self.hungry == 0 {
                break;
            }
            let Look::Hunting(hunt) = &mut self.looks[index] else {
                continue;
            };
            if hunt.is_away() {
                continue;
            }
            match hunt.read(&self.core.reads, index == 0) {
                Ok(Some(mut read)) => {
                    self.hungry -= 1;
                    self.pushed += 1;
                    read.token = self.first + index as u64;
                    let pool = &self.core.reads;
                    self.queue.get_or_insert_with(|| pool.queue()).push(read);
                }
                Ok(None) => break,
                Err(unread) => {
                    self.hungry -= 1;
                    let error = about_file(&self.core, hunt.position, unread.into_error());
                    self.settle(index, Look::Done(Err(error)));
                }
            }
        }
        // In groups: one submission each would cost more than it hastens.
        if self.pushed * SUBMISSIONS >= self.depth {
            self.pushed = 0;
            if let Some(queue) = &mut self.queue {
                queue.submit();
            }
        }
    }

    /// Waits for some reads, and goes on with their looks.
    fn pump(&mut self) {
        self.feed(0);
        let Some(queue) = &mut self.queue else {
            return;
        };
        let mut done = std::mem::take(&mut self.done);
        self.pushed = 0;
        queue.wait();
        queue.reap(&mut done);
        for done in done.drain(..) {
            let index = (done.token - self.first) as usize;
            self.land(index, done);
        }
        self.done = done;
        self.feed(0);
    }

    /// Goes on with a look whose read is done.
    fn land(&mut self, index: usize, done: ReadDone) {
        let Some(Look::Hunting(hunt)) = self.looks.get_mut(index) else {
            return;
        };
        let position = hunt.position;
        let says = match hunt.landed(done) {
            Ok(says) => says,
            Err(unread) => {
                let error = about_file(&self.core, position, unread.into_error());
                return self.settle(index, Look::Done(Err(error)));
            }
        };
        let answer = match says {
            Says::Record(sought) => {
                if sought.frame.start == position.offset_bytes() {
                    let len = sought.frame.end - sought.frame.start;
                    self.guess = len.max(self.guess / 2).clamp(GUESS_MIN, GUESS_MAX);
                }
                let found = hunt.found(&sought);
                match (self.check_gate(position, &sought), found) {
                    (Ok(()), Some(found)) => Ok(Look::Found(found)),
                    (Ok(()), None) => Err(self.cursor.verdict(position)),
                    (Err(error), _) => Err(error),
                }
            }
            Says::More(range) => {
                if hunt.want(range) {
                    self.hungry += 1;
                    return;
                }
                let what = "the file ends before the segment does";
                let error = Error::new(ErrorKind::Damaged, what);
                Err(about_file(&self.core, position, error))
            }
            Says::Beyond => self.near_the_end(position).map(answered),
            Says::NoRecord => Err(self.no_record(position)),
            Says::Unsound => Err(self.cursor.verdict(position)),
        };
        self.cursor.leave();
        self.settle(index, answer.unwrap_or_else(|error| Look::Done(Err(error))));
    }

    fn settle(&mut self, index: usize, answer: Look) {
        self.hunting -= 1;
        if let Look::Hunting(hunt) = std::mem::replace(&mut self.looks[index], answer) {
            hunt.give_back();
        }
    }

    /// The record to keep: small ones are copied, large ones keep their buffer within the budget.
    fn share(&self, found: Found) -> SharedRecord {
        let Found {
            position,
            payload,
            time_unix_ns,
            buffer,
            lease,
        } = found;
        let bytes = if payload.len() <= COPY_BYTES_MAX {
            let bytes = Bytes::copy_from_slice(&buffer[payload]);
            lease.give_back(buffer);
            bytes
        } else {
            let buffer = Arc::new(buffer);
            let shared = BufferPart::share(&buffer, payload.clone(), &self.sharing);
            let copied = || Bytes::copy_from_slice(&buffer[payload]);
            let bytes = shared.unwrap_or_else(copied);
            if let Some(buffer) = Arc::into_inner(buffer) {
                lease.give_back(buffer);
            }
            bytes
        };
        SharedRecord::new(bytes, position, time_unix_ns)
    }
}

impl Drop for Scatter {
    fn drop(&mut self) {
        let Some(mut queue) = self.queue.take() else {
            return;
        };
        while !self.core.reads.is_forked() && queue.outstanding() > 0 {
            queue.wait();
            queue.reap(&mut self.done);
            self.done.clear();
        }
        self.core.reads.put_queue(queue);
    }
}

fn answered(record: SharedRecord) -> Look {
    Look::Done(Ok(record))
}
