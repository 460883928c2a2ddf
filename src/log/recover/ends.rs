//! Where each segment of a chain ends, and what that says about the log.
//!
//! From the oldest on: a footer is trusted; a segment without one is scanned. Where the frames stop
//! short of what the successor says, the log ends, if nobody attests more: then that is a torn tail,
//! else damage.

use std::sync::Arc;

use crate::disk::{Dir, File};
use crate::error::{Error, ErrorKind, Result};
use crate::log::frame::Frame;
use crate::log::position::{Position, UNIT_BYTES};
use crate::log::recover::chain::{Member, REPAIR_HINT, open_segment};
use crate::log::recover::scan::{self, Scanner, Step, Window};
use crate::log::recover::tally::Tally;
use crate::log::recover::{Failure, Flaw, Found, Mode, Tail, segment_path};
use crate::log::segment::Link;

/// What the frames said.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Those with data, trimmed ones included.
    pub(super) segments: Vec<Found>,
    pub(super) tail: Tail,
    pub(super) end: Position,
    pub(super) time_last_unix_ns: u64,
    pub(super) records_total: u64,
}

/// Goes through the chain.
pub(super) struct Judge<'a> {
    pub(super) dir: &'a dyn Dir,
    pub(super) mode: Mode,
    pub(super) window: Window,
    /// Oldest first; at least one.
    pub(super) members: &'a [Member],
    /// The largest that anything in the chain gave.
    pub(super) log_start: Position,
    pub(super) attested: Position,
}

/// How a segment's frames end.
struct End {
    offset: u64,
    tally: Tally,
    sealed: bool,
    /// Whether they reach what was asked.
    reached: bool,
}

impl Judge<'_> {
    /// Decides where the log ends; at `cut`, if that is given, in the last segment.
    pub(super) fn outcome(&mut self, cut: Option<Position>) -> Result<Outcome, Failure> {
        for member in self.members {
            self.log_start = self.log_start.max(member.header.log_start);
            if let Some(footer) = &member.footer {
                self.log_start = self.log_start.max(footer.log_start);
            }
        }
        self.sync_all()?;
        let mut outcome = Outcome {
            segments: Vec::with_capacity(self.members.len()),
            tail: Tail::Fresh,
            end: Position::MIN,
            time_last_unix_ns: 0,
            records_total: 0,
        };
        for index in 0..self.members.len() {
            let end = self.end_of(index, cut)?;
            let member = &self.members[index];
            outcome.add(member, &end);
            if end.reached && index + 1 < self.members.len() {
                continue;
            }
            self.finish(index, &end, cut.is_some(), &mut outcome);
            break;
        }
        Ok(outcome)
    }

    /// What has no footer may be in a cache only: a sync tells, and what it cannot save must not be
    /// believed.
    fn sync_all(&self) -> Result<()> {
        if self.mode == Mode::Observe {
            return Ok(());
        }
        for member in self.members.iter().filter(|m| m.footer.is_none()) {
            self.open(member)?.sync().map_err(|error| {
                Error::io("syncing a segment before it is read", error)
                    .at_path(segment_path(self.dir, member.header.ordinal))
            })?;
        }
        Ok(())
    }

    /// A member's file, for as long as it is looked at: a log of a thousand segments must not need
    /// as many files open.
    fn open(&self, member: &Member) -> Result<Arc<dyn File>> {
        open_segment(self.dir, member.header.ordinal, self.mode)
    }

    /// Where one segment ends.
    fn end_of(&mut self, index: usize, cut: Option<Position>) -> Result<End, Failure> {
        let members = self.members;
        let member = &members[index];
        let successor = members.get(index + 1).map(|member| &member.header);
        if let (None, Some(cut)) = (successor, cut) {
            return self.scan_to(member, cut.offset_bytes(), true);
        }
        let Some(successor) = successor else {
            return match &member.footer {
                Some(footer) => Ok(self.trust(member, footer.end_bytes)),
                None => self.scan_tail(index, member.header.frames().end),
            };
        };
        let limit = successor.previous.end_bytes;
        let committed = successor.epoch > member.header.epoch;
        if committed {
            self.attested = self.attested.max(successor.previous.position());
        }
        match &member.footer {
            Some(footer) if footer.end_bytes == limit => Ok(self.trust(member, limit)),
            // A truncation cut into it.
            Some(footer) if footer.end_bytes > limit && committed => {
                self.scan_to(member, limit, true)
            }
            Some(footer) => {
                let at = Position::new(member.header.ordinal, footer.end_bytes.min(limit));
                let what = format!(
                    "its footer says that it ends at {}, its successor says at {limit}",
                    footer.end_bytes
                );
                Err(self.damaged(member, at, &what))
            }
            None if committed => self.scan_to(member, limit, true),
            None => self.scan_tail(index, limit),
        }
    }

    /// A sealed segment, which is not scanned.
    fn trust(&mut self, member: &Member, end_bytes: u64) -> End {
        let mut tally = Tally::new();
        if let Some(footer) = &member.footer {
            tally.records = footer.records;
            tally.payload_bytes = footer.payload_bytes;
            tally.times = footer.times.clone();
        }
        let end = Position::new(member.header.ordinal, end_bytes);
        self.attested = self.attested.max(end);
        End {
            offset: end_bytes,
            tally,
            sealed: true,
            reached: true,
        }
    }

    /// Scans a segment all of whose frames before `limit` are known to have been good.
    fn scan_to(&mut self, member: &Member, limit: u64, must: bool) -> Result<End, Failure> {
        let mut end = End {
            offset: member.header.frames().start,
            tally: Tally::new(),
            sealed: false,
            reached: false,
        };
        self.scan_on(member, limit, &mut end)?;
        if must && !end.reached {
            let at = Position::new(member.header.ordinal, end.offset);
            return Err(self.damaged(member, at, "a bad frame before a commit point"));
        }
        Ok(end)
    }

    /// Scans on from where `end` is.
    fn scan_on(&mut self, member: &Member, limit: u64, end: &mut End) -> Result<()> {
        let file = self.open(member)?;
        let mut scanner = Scanner::new(&*file, &mut self.window, &member.header, end.offset, limit);
        let path = || segment_path(self.dir, member.header.ordinal);
        loop {
            match scanner.step().map_err(|error| error.at_path(path()))? {
                Step::Frame { at, frame, bytes } => {
                    if let Frame::Checkpoint(checkpoint) = &frame {
                        if checkpoint.log_id != member.header.log_id {
                            break;
                        }
                    }
                    end.tally.add(at, &frame);
                    end.offset = at.offset_bytes() + bytes;
                }
                Step::Limit => {
                    end.reached = true;
                    break;
                }
                Step::Stop => break,
            }
        }
        self.log_start = self.log_start.max(end.tally.log_start);
        self.attested = self.attested.max(end.tally.watermark);
        Ok(())
    }

    /// Scans a segment that nothing vouches for but witnesses behind its last good frame.
    fn scan_tail(&mut self, index: usize, limit: u64) -> Result<End, Failure> {
        let member = &self.members[index];
        let mut end = self.scan_to(member, limit, false)?;
        while !end.reached {
            let at = Position::new(member.header.ordinal, end.offset);
            let Some(witness) = self.witness(index, at)? else {
                break;
            };
            let before = end.offset;
            if self.mode == Mode::Observe {
                // The writer may have come by since: what is attested by now was there before its
                // witness was, so it is there now.
                self.scan_on(member, limit, &mut end)?;
            }
            if end.offset == before && !end.reached {
                return Err(self.damaged(member, at, &witness));
            }
        }
        Ok(end)
    }

    /// Who says that there were good frames beyond `at`, which lies in the segment at `index`.
    fn witness(&mut self, index: usize, at: Position) -> Result<Option<String>> {
        let members = self.members;
        let later = &members[index + 1..];
        for (above, below) in later.iter().zip(&members[index..]) {
            if above.header.epoch > below.header.epoch {
                return Ok(Some(format!(
                    "a bad frame, although segment {} was made at a commit point behind it",
                    above.header.ordinal
                )));
            }
            if above.footer.is_some() {
                return Ok(Some(format!(
                    "a bad frame, although segment {} behind it is sealed",
                    above.header.ordinal
                )));
            }
        }
        let mut witness = None;
        let mut log_start = self.log_start;
        for (nth, member) in members[index..].iter().enumerate() {
            let from = if nth == 0 {
                at.offset_bytes() + UNIT_BYTES
            } else {
                member.header.frames().start
            };
            let file = self.open(member)?;
            scan::look_on(
                &*file,
                &mut self.window,
                &member.header,
                from,
                |place, checkpoint| {
                    // A trim may have acted on a checkpoint that the tear cut off.
                    log_start = log_start.max(checkpoint.log_start);
                    if checkpoint.watermark > at {
                        witness = Some((place, checkpoint.watermark));
                    }
                    witness.is_some()
                },
            )
            .map_err(|error| error.at_path(segment_path(self.dir, member.header.ordinal)))?;
            if witness.is_some() {
                break;
            }
        }
        self.log_start = log_start;
        Ok(witness.map(|(place, watermark)| {
            format!(
                "a bad frame, although the checkpoint at {place} attests everything before {watermark}"
            )
        }))
    }

    /// The log ends in this member.
    fn finish(&self, index: usize, end: &End, cut: bool, outcome: &mut Outcome) {
        let member = &self.members[index];
        let header = &member.header;
        let frames = header.frames();
        let at = Position::new(header.ordinal, end.offset);
        outcome.end = at;
        let clean = !cut
            && !end.sealed
            && end.tally.is_clean()
            && end.offset < frames.end
            && end.offset % u64::from(header.block_bytes) == 0
            && header.block_bytes >= self.dir.block_size();
        outcome.tail = if clean {
            Tail::Resume { at }
        } else if end.offset > frames.start {
            Tail::Commit {
                previous: Link {
                    ordinal: header.ordinal,
                    end_bytes: end.offset,
                },
            }
        } else {
            // Nothing was ever written here that counts: whoever comes next takes its place.
            outcome.segments.pop();
            outcome.end = header.previous.position();
            Tail::Commit {
                previous: header.previous,
            }
        };
    }

    fn damaged(&self, member: &Member, at: Position, what: &str) -> Failure {
        Failure::new(
            Error::new(ErrorKind::Damaged, what)
                .at_path(segment_path(self.dir, member.header.ordinal))
                .at_position(at)
                .remedy(REPAIR_HINT),
            Flaw::Frame { at },
        )
    }
}

impl Outcome {
    fn add(&mut self, member: &Member, end: &End) {
        let tally = &end.tally;
        let newest = tally.times.newest_unix_ns().unwrap_or(0);
        self.time_last_unix_ns = self
            .time_last_unix_ns
            .max(newest)
            .max(member.header.created_unix_ns);
        // The oldest ones may be gone: then others remember how many records they held.
        let counted = self.records_total + tally.records;
        let attested = match (&member.footer, end.sealed, &tally.checkpoint) {
            (Some(footer), true, _) => footer.records_total,
            (_, _, Some(checkpoint)) => checkpoint.records,
            _ => 0,
        };
        self.records_total = if self.segments.is_empty() && member.header.previous.ordinal != 0 {
            counted.max(attested)
        } else {
            counted
        };
        self.segments.push(Found {
            header: member.header,
            sealed: end.sealed,
            end_bytes: end.offset,
            records: tally.records,
            payload_bytes: tally.payload_bytes,
            times: tally.times.clone(),
        });
    }
}
