//! Closing and truncating: both shut the tail, bring everything to disk, and then write one last
//! thing.

use crate::disk::Queue;
use crate::error::{Error, ErrorKind};
use crate::log::core::{Cut, Reply};
use crate::log::persist::Persist;
use crate::log::persist::images::NewFile;
use crate::log::persist::live::FooterState;
use crate::log::position::Position;
use crate::log::segment::{Header, Link};
use crate::log::tail::TailAt;
use crate::log::tail::word::GENERATION_MASK;

/// Whether the tail is shut, and what for.
pub(super) enum Shut {
    /// Appends go on.
    Open,
    /// The log closes.
    Closing { tail: TailAt, step: CloseStep },
    /// A suffix is being cut.
    Truncating {
        tail: TailAt,
        at: Position,
        reply: Reply,
        ordinal: Option<u64>,
    },
    /// The log is closed.
    Done,
}

/// How far closing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseStep {
    /// Everything that was claimed goes to disk.
    Drain,
    /// The clean checkpoint goes to disk.
    Attest,
}

impl Shut {
    /// Where the persister itself writes, while nobody else may.
    pub(super) fn tail(&self) -> Option<TailAt> {
        match self {
            Self::Open | Self::Done => None,
            Self::Closing { tail, .. } | Self::Truncating { tail, .. } => Some(*tail),
        }
    }

    pub(super) fn set_tail(&mut self, to: TailAt) {
        if let Self::Closing { tail, .. } | Self::Truncating { tail, .. } = self {
            *tail = to;
        }
    }

    /// Whether the clean checkpoint is on its way: nothing may follow it.
    pub(super) fn is_attesting(&self) -> bool {
        matches!(
            self,
            Self::Closing {
                step: CloseStep::Attest,
                ..
            }
        )
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// The watermark, as far as it may be told while a truncation is under way.
    pub(super) fn cap(&self, durable: Position) -> Position {
        match self {
            Self::Truncating { at, .. } => durable.min(*at),
            _ => durable,
        }
    }

    /// Whether a segment is the one that a truncation waits for.
    pub(super) fn takes(&self, header: &Header) -> bool {
        matches!(self, Self::Truncating { ordinal, .. } if *ordinal == Some(header.ordinal))
    }

    pub(super) fn take_reply(&mut self) -> Option<Reply> {
        match std::mem::replace(self, Self::Open) {
            Self::Truncating { reply, .. } => Some(reply),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Persist {
    pub(super) fn shut_for_close(&mut self) {
        let tail = self.core.tail.close();
        self.shut = Shut::Closing {
            tail,
            step: CloseStep::Drain,
        };
    }

    pub(super) fn shut_for_truncate(&mut self, cut: Cut, reply: Reply) {
        // The start may lie within the frame, at the batch's first record.
        let start = self.core.pins.asked();
        if cut.record < start {
            let error = Error::new(ErrorKind::Trimmed, "a log cannot be cut before its start");
            return reply.send(Err(error
                .at_position(start)
                .remedy("cut it at the position given, or behind")));
        }
        let tail = self.core.tail.freeze();
        self.shut = Shut::Truncating {
            tail,
            at: cut.frame,
            reply,
            ordinal: None,
        };
    }

    /// Whether everything that was claimed is on disk, and nothing is under way.
    fn is_drained(&self, tail: TailAt) -> bool {
        self.is_tail(tail)
            && self.is_still()
            && self.live.iter().all(|live| {
                live.durable == live.frontier
                    && (live.durable < self.end || live.footer == FooterState::Sealed)
            })
    }

    /// The next step of closing or truncating, if the last one is complete.
    pub(super) fn advance_shut(&mut self) {
        let Some(tail) = self.shut.tail() else { return };
        if !self.is_drained(tail) {
            return;
        }
        self.progressed = true;
        match &mut self.shut {
            Shut::Closing {
                step: CloseStep::Attest,
                ..
            } => self.shut = Shut::Done,
            Shut::Closing { step, .. } => {
                *step = CloseStep::Attest;
                if tail.offset == self.end && self.has_next() {
                    // No room behind the last frame: the clean checkpoint begins the next segment.
                    let generation = (tail.generation + 1) & GENERATION_MASK;
                    let offset = self.first;
                    self.shut.set_tail(TailAt { generation, offset });
                    self.scan();
                }
                self.checkpoint(true, true);
                self.scan();
            }
            Shut::Truncating { at, ordinal, .. } if ordinal.is_none() => {
                let at = *at;
                if !self.can_cut(at) {
                    return self.thaw(Error::new(ErrorKind::NoRecord, "").at_position(at));
                }
                self.ordinal_max += 1;
                if let Shut::Truncating { ordinal, .. } = &mut self.shut {
                    *ordinal = Some(self.ordinal_max);
                }
                let previous = Link {
                    ordinal: at.segment(),
                    end_bytes: at.offset_bytes(),
                };
                // The epoch is the log's only once the segment is there: if it cannot be made, the
                // log goes on in the old one, and no later header may say otherwise.
                let header = self.header(self.ordinal_max, previous, self.epoch + 1);
                self.make(header, true);
            }
            Shut::Truncating { .. } | Shut::Open | Shut::Done => {}
        }
    }

    /// Whether the log can end at this position, of which the caller made sure that a frame begins
    /// there or that it is the log's end.
    fn can_cut(&self, at: Position) -> bool {
        let segments = self.core.segments.read();
        at <= self.frontier()
            && segments.get(at.segment()).is_some_and(|segment| {
                at >= segment.first()
                    && segment
                        .end_bytes()
                        .is_none_or(|end| at.offset_bytes() <= end)
            })
    }

    /// The commit point of a truncation is on disk: the suffix is gone.
    pub(super) fn truncated(&mut self, new: NewFile, queue: &mut dyn Queue) {
        let header = new.header;
        let Shut::Truncating { at, reply, .. } = std::mem::replace(&mut self.shut, Shut::Open)
        else {
            return;
        };
        assert_eq!(
            self.in_flight, 0,
            "memory is given back only when nothing is under way"
        );
        let (memory, mut ghosts) = match self.start_over(queue, &header) {
            Ok(fresh) => fresh,
            Err(error) => {
                reply.send(Err(error.clone().into_fatal()));
                return self.fail(error);
            }
        };
        {
            let mut segments = self.core.segments.write();
            while segments
                .list
                .back()
                .is_some_and(|last| last.ordinal() > at.segment())
            {
                let Some(ghost) = segments.list.pop_back() else {
                    break;
                };
                // A reader that stands in it sees that it stands beyond its end.
                ghost.set_end(0);
                ghosts.push(ghost.ordinal());
            }
            if let Some(last) = segments.list.back() {
                last.set_end(at.offset_bytes());
                last.set_sealed();
            }
        }
        let position = Position::new(header.ordinal, self.first);
        self.core.cuts.add(at..position);
        self.epoch = header.epoch;
        self.frontier_generation = self.next_generation;
        self.install(new, memory);
        self.core.set_durable(position);
        self.whole = position;
        self.start.restart(header.log_start);
        self.attested = position;
        self.data_end = position;
        self.publish();
        self.core.tail.restart(self.frontier_generation, self.first);
        self.progressed = true;
        ghosts.sort_unstable();
        self.remove(ghosts);
        self.core.wake_everybody();
        reply.send(Ok(position));
    }

    /// The commit point of a truncation could not be made. On a full disk nothing was written, and
    /// the log goes on as it was.
    pub(super) fn truncate_failed(&mut self, error: Error) {
        if error.kind() == ErrorKind::Full {
            return self.thaw(error);
        }
        // The segment may be there under its final name: only a new opening can tell. Whoever asked
        // for the truncation is told with everybody else.
        self.fail(error);
    }

    /// Gives a truncation up before anything was cut.
    fn thaw(&mut self, error: Error) {
        let tail = self.shut.tail();
        if let Some(reply) = self.shut.take_reply() {
            reply.send(Err(error));
        }
        let offset = tail.map_or(self.end, |tail| tail.offset);
        self.core.tail.restart(self.frontier_generation, offset);
        self.publish();
        self.progressed = true;
        self.core.wake_everybody();
    }
}
