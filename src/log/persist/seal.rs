//! Behind the tail: footers, the log's start, retention.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Queue, Region, Write};
use crate::engine::Token;
use crate::error::{Error, ErrorKind};
use crate::log::core::{Reply, Request, Segment, Segments};
use crate::log::make;
use crate::log::options::SealedSegment;
use crate::log::persist::Persist;
use crate::log::persist::live::FooterState;
use crate::log::position::Position;
use crate::log::segment::Footer;
use crate::log::stats::Counters;
use crate::log::tail::image;

/// The footer that is under way; one at a time, so that they become durable in order.
#[derive(Debug, Default)]
pub(super) struct FooterWrite {
    pub(super) op: Option<u32>,
    memory: Option<Arc<Region>>,
}

impl FooterWrite {
    pub(super) fn release(&mut self, queue: &mut dyn Queue) {
        if let Some(memory) = self.memory.take() {
            queue.remove_region(&memory);
        }
    }
}

/// Where the log begins: as wanted, as written, as durable. Nothing is removed before the last.
pub(super) struct Start {
    wanted: Position,
    written: Position,
    durable: Position,
    /// Starts that are written, and where the checkpoints end that carry them.
    pending: VecDeque<(Position, Position)>,
    replies: Vec<(Position, Reply)>,
}

impl Start {
    pub(super) fn new(start: Position) -> Self {
        Self {
            wanted: start,
            written: start,
            durable: start,
            pending: VecDeque::new(),
            replies: Vec::new(),
        }
    }

    pub(super) fn wanted(&self) -> Position {
        self.wanted
    }

    /// Whether a checkpoint has yet to carry the start.
    pub(super) fn is_unwritten(&self) -> bool {
        self.wanted > self.written
    }

    /// A checkpoint that ends here carries the wanted start.
    pub(super) fn noted(&mut self, end: Position) {
        if self.is_unwritten() {
            self.written = self.wanted;
            self.pending.push_back((self.wanted, end));
        }
    }

    /// A truncation's new segment says this start: checkpoints that did may have been cut off.
    pub(super) fn restart(&mut self, log_start: Position) {
        self.pending.clear();
        self.durable = log_start;
        self.written = log_start;
    }

    pub(super) fn take_replies(&mut self) -> impl Iterator<Item = Reply> + use<> {
        std::mem::take(&mut self.replies)
            .into_iter()
            .map(|(_, reply)| reply)
    }
}

impl Persist {
    /// Pushes the footer of the oldest segment that is on disk in full.
    pub(super) fn write_footer(&mut self, queue: &mut dyn Queue) {
        if self.footer.op.is_some() {
            return;
        }
        let Some(index) = self
            .live
            .iter()
            .position(|live| live.footer == FooterState::Open)
        else {
            return;
        };
        if self.live[index].durable < self.end {
            return;
        }
        let block = self.block as usize;
        let memory = match &self.footer.memory {
            Some(memory) => Arc::clone(memory),
            None => match Region::new(block) {
                Ok(memory) => {
                    let memory = Arc::new(memory);
                    self.footer.memory = Some(Arc::clone(&memory));
                    memory
                }
                Err(error) => {
                    return self.fail(Error::io("mapping memory for a footer", error));
                }
            },
        };
        let op = self.next_op();
        let live = &mut self.live[index];
        let header = &live.segment.header;
        let footer = Footer {
            log_id: header.log_id,
            ordinal: header.ordinal,
            epoch: header.epoch,
            previous: header.previous,
            salt: header.salt,
            end_bytes: self.end,
            records: live.summary.records,
            payload_bytes: live.summary.payload_bytes,
            // Who opens the log reads no checkpoint of a sealed segment: what they say, and may have
            // been acted on when the footer is there, must be in the footer, too.
            log_start: self.start.wanted,
            records_total: live.records_total,
            times: live.summary.times.clone(),
            features: header.features,
        };
        image::fill_idle(&memory, |bytes| footer.write(bytes));
        live.footer = FooterState::Submitted;
        self.footer.op = Some(op);
        self.in_flight += 1;
        queue.push(Write {
            file: Arc::clone(&live.file),
            file_offset: self.end,
            region: memory,
            region_offset: 0,
            len: block,
            token: Token::new(self.client, op).raw(),
        });
        Counters::add(&self.core.counters.writes, 1);
        Counters::add(&self.core.counters.written_bytes, self.block);
    }

    /// The footer is on disk: the segment is sealed.
    pub(super) fn footer_done(&mut self) {
        self.footer.op = None;
        let Some(live) = self
            .live
            .iter_mut()
            .find(|live| live.footer == FooterState::Submitted)
        else {
            return;
        };
        live.footer = FooterState::Sealed;
        live.segment.summary.lock().clone_from(&live.summary);
        live.segment.set_sealed();
        #[cfg(feature = "tracing")]
        tracing::info!(path = %self.core.path.display(), ordinal = live.segment.ordinal(), "segment sealed");
        if let Some(hook) = self.core.options.on_seal.clone() {
            if let Some(sealed) = SealedSegment::of(&self.core.path, &live.segment) {
                self.shared.hooks.push(move || hook(&sealed));
            }
        }
    }

    /// Moves the log's start forward.
    pub(super) fn trim(&mut self, position: Position, reply: Option<Reply>) {
        if position > self.core.durable() {
            if let Some(reply) = reply {
                reply.send(Err(Error::new(
                    ErrorKind::Invalid,
                    "a log cannot be trimmed beyond what is on disk",
                )
                .at_position(self.core.durable())
                .remedy("trim to the position given, or before; `flush` moves it")));
            }
            return;
        }
        self.move_start(position);
        if let Some(reply) = reply {
            let position = position.min(self.start.wanted);
            self.start.replies.push((position, reply));
        }
    }

    /// Moves the start to `position`, or as far as pins let it.
    pub(super) fn move_start(&mut self, position: Position) {
        let core = Arc::clone(&self.core);
        core.pins.ask(position, self.first, |to| {
            if to > self.start.wanted {
                self.start.wanted = to;
                core.set_start(to);
            }
        });
        self.progressed = true;
    }

    /// Starts that became durable: answers, and removes what lies before them.
    pub(super) fn finish_trims(&mut self, queue: &mut dyn Queue) {
        let durable = self.core.durable();
        while let Some((start, end)) = self.start.pending.front().copied() {
            if end > durable {
                break;
            }
            self.start.durable = start;
            self.start.pending.pop_front();
        }
        let start = self.start.durable;
        self.start.replies.retain(|(position, reply)| {
            let covered = *position <= start;
            if covered {
                reply.send(Ok(start));
            }
            !covered
        });
        self.remove_before(start, queue);
    }

    /// Removes the sealed segments that lie wholly before `start`.
    fn remove_before(&mut self, start: Position, queue: &mut dyn Queue) {
        self.forget_before(start, queue);
        let mut gone = Vec::new();
        {
            let mut segments = self.core.segments.write();
            while let Some(oldest) = segments.list.front() {
                let in_memory = oldest.image.lock().is_some();
                if !oldest.is_sealed() || oldest.ordinal() >= start.segment() || in_memory {
                    break;
                }
                gone.push(oldest.ordinal());
                segments.list.pop_front();
            }
        }
        self.remove(gone);
    }

    /// Has the keeper remove segments that are in nobody's list any more.
    pub(super) fn remove(&mut self, gone: Vec<u64>) {
        if gone.is_empty() {
            return;
        }
        let (core, spares) = (Arc::clone(&self.core), Arc::clone(&self.spares));
        self.job(move || {
            let keep = core.options.spare_segments as usize;
            // What could not be removed is found and removed by the next opening.
            if make::remove(&*core.dir, &spares, gone, keep).is_err() {
                Counters::add_shared(&core.counters.removals_failed, 1);
            }
            Request::Removed
        });
    }

    /// Drops what retention does not keep.
    pub(super) fn retain(&mut self) {
        let options = &self.core.options;
        if self.shut.tail().is_some()
            || options.retain_bytes.is_none() && options.retain_age.is_none()
        {
            return;
        }
        let now = self.disk.now_unix_ns();
        let asked = self.core.pins.asked();
        let mut start = asked;
        {
            let segments = self.core.segments.read();
            let mut bytes: u64 = segments
                .list
                .iter()
                .map(|segment| segment.header.segment_bytes)
                .sum();
            for (segment, next) in droppable(&segments) {
                let old = options
                    .retain_age
                    .is_some_and(|age| expires(segment, age) <= now);
                if !old && options.retain_bytes.is_none_or(|bound| bytes <= bound) {
                    break;
                }
                bytes -= segment.header.segment_bytes;
                start = start.max(next.first());
            }
        }
        if start > asked {
            self.move_start(start);
        }
    }

    /// Whether retention by age has something to do.
    pub(super) fn retention_due(&self) -> bool {
        self.retention_deadline_ns()
            .is_some_and(|due| due <= self.disk.now_monotonic_ns())
    }

    /// When retention by age has something to do next.
    pub(super) fn retention_deadline_ns(&self) -> Option<u64> {
        let age = self.core.options.retain_age?;
        let asked = self.core.pins.asked();
        let segments = self.core.segments.read();
        let (oldest, _) = droppable(&segments)
            .find(|(_, next)| next.first() > asked)
            .filter(|_| self.shut.tail().is_none())?;
        let left = expires(oldest, age).saturating_sub(self.disk.now_unix_ns());
        Some(self.disk.now_monotonic_ns().saturating_add(left))
    }
}

/// The sealed segments that have a successor, with it: what retention may drop.
fn droppable(segments: &Segments) -> impl Iterator<Item = (&Arc<Segment>, &Arc<Segment>)> {
    let list = &segments.list;
    list.iter()
        .zip(list.iter().skip(1))
        .take_while(|(segment, _)| segment.is_sealed())
}

/// When a segment's newest record is older than `age`, in nanoseconds since 1970.
fn expires(segment: &Segment, age: Duration) -> u64 {
    let summary = segment.summary.lock();
    let newest = summary
        .times
        .newest_unix_ns()
        .unwrap_or(segment.header.created_unix_ns);
    newest.saturating_add(age.as_nanos().min(u64::MAX.into()) as u64)
}
