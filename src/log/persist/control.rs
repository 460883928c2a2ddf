//! Closing and truncating: both shut the tail, bring everything to disk, and then write one last
//! thing.

use std::sync::Arc;

use crate::disk::{File, Queue};
use crate::error::{Error, ErrorKind};
use crate::log::core::Reply;
use crate::log::persist::Persist;
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

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Whether the clean checkpoint is in the log.
    pub(super) fn is_attested(&self) -> bool {
        matches!(
            self,
            Self::Closing {
                step: CloseStep::Attest,
                ..
            }
        )
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
        match &self.shut {
            Shut::Open => {
                let tail = self.core.tail.close();
                self.shut = Shut::Closing {
                    tail,
                    step: CloseStep::Drain,
                };
            }
            // The truncation ends first; the request comes back when it has.
            Shut::Truncating { .. } => {
                let _ = self.core.tail.close();
                self.close_after_truncate = true;
            }
            Shut::Closing { .. } | Shut::Done => {}
        }
    }

    pub(super) fn shut_for_truncate(&mut self, at: Position, reply: Reply) {
        let refuse = |kind, what: &str| reply.send(Err(Error::new(kind, what).at_position(at)));
        if !matches!(self.shut, Shut::Open) {
            return refuse(
                ErrorKind::WouldBlock,
                "the log is being truncated or closed already",
            );
        }
        if at < self.start.wanted() {
            return refuse(ErrorKind::Trimmed, "a log cannot be cut before its start");
        }
        let tail = self.core.tail.freeze();
        self.shut = Shut::Truncating {
            tail,
            at,
            reply,
            ordinal: None,
        };
    }

    /// The next step of closing or truncating, if the last one is complete.
    pub(super) fn advance_shut(&mut self) {
        let Some(tail) = self.shut.tail() else { return };
        let front = self.front();
        let drained = front.frontier == tail.offset
            && self.frontier_generation & GENERATION_MASK == tail.generation
            && self.in_flight == 0
            && self.live.iter().all(|live| {
                live.durable == live.frontier
                    && (live.durable < self.end || live.footer == FooterState::Sealed)
            });
        if !drained {
            return;
        }
        match &mut self.shut {
            Shut::Closing {
                step: CloseStep::Attest,
                ..
            } => {
                self.shut = Shut::Done;
                self.progressed = true;
            }
            Shut::Closing { step, .. } => {
                *step = CloseStep::Attest;
                self.checkpoint(true, true);
                self.progressed = true;
            }
            Shut::Truncating { at, ordinal, .. } if ordinal.is_none() => {
                let previous = Link {
                    ordinal: at.segment(),
                    end_bytes: at.offset_bytes(),
                };
                self.ordinal_max += 1;
                *ordinal = Some(self.ordinal_max);
                self.epoch += 1;
                let header = self.header(self.ordinal_max, previous, self.epoch);
                self.make(header, true);
            }
            Shut::Truncating { .. } | Shut::Open | Shut::Done => {}
        }
    }

    /// The commit point of a truncation is on disk: the suffix is gone.
    pub(super) fn truncated(&mut self, header: Header, file: Arc<dyn File>, queue: &mut dyn Queue) {
        let Shut::Truncating { at, reply, .. } = std::mem::replace(&mut self.shut, Shut::Open)
        else {
            return;
        };
        let (memory, mut ghosts) = match self.start_over(queue, &header) {
            Ok(fresh) => fresh,
            Err(error) => {
                reply.send(Err(error.clone()));
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
                ghosts.push(ghost);
            }
            if let Some(last) = segments.list.back() {
                last.set_end(at.offset_bytes());
                last.set_sealed();
            }
        }
        self.core.counters.set_truncated();
        let position = Position::new(header.ordinal, self.first);
        self.frontier_generation = self.next_generation;
        self.install(header, file, memory);
        self.core.set_durable(position);
        self.attested = position;
        self.data_end = position;
        self.publish();
        self.core.tail.restart(self.frontier_generation, self.first);
        self.progressed = true;
        ghosts.sort_by_key(|segment| segment.ordinal());
        self.remove(ghosts);
        self.core.wake_everybody();
        reply.send(Ok(position));
        if std::mem::take(&mut self.close_after_truncate) {
            self.shut_for_close();
        }
    }

    /// The commit point of a truncation could not be made. On a full disk nothing was written, and
    /// the log goes on as it was.
    pub(super) fn truncate_failed(&mut self, error: Error) {
        let Shut::Truncating { tail, reply, .. } = std::mem::replace(&mut self.shut, Shut::Open)
        else {
            return;
        };
        reply.send(Err(error.clone()));
        if error.kind() != ErrorKind::Full {
            // The segment may be there under its final name: only a new opening can tell.
            return self.fail(error);
        }
        self.core
            .tail
            .restart(self.frontier_generation, tail.offset);
        self.publish();
        self.progressed = true;
        if std::mem::take(&mut self.close_after_truncate) {
            self.shut_for_close();
        }
    }
}
