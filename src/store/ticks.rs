//! Writing the time into the log, when something goes by it.

use crate::log::Position;
use crate::store::entry::{Entry, Kind};
use crate::store::id::StreamId;
use crate::store::state::State;

/// What tells the log the time.
pub(crate) struct Ticks {
    step_ns: u64,
    /// When the log is to be told it next.
    due: Option<u64>,
    /// Where the last tick ends, if the pass has not seen it yet.
    sent: Option<Position>,
}

impl Ticks {
    pub(crate) fn new(step_ns: u64) -> Self {
        Self {
            step_ns,
            due: None,
            sent: None,
        }
    }

    /// The pass has come to `reached`.
    pub(crate) fn note(&mut self, state: &State, reached: Position) {
        self.sent = self.sent.filter(|sent| reached < *sent);
        let time = &state.time;
        let next = time.clock.now().saturating_add(self.step_ns);
        let expiry = time.next_expiry.map(|expiry| expiry.max(next));
        self.due = if time.is_behind { Some(next) } else { expiry };
        // Never, where the step has no end.
        self.due = self.due.filter(|due| *due != u64::MAX);
    }

    /// When there is something to do.
    pub(crate) fn due_unix_ns(&self) -> Option<u64> {
        self.due.filter(|_| self.sent.is_none())
    }

    /// What is to be appended now.
    pub(crate) fn wanted(&mut self, now: impl Fn() -> u64) -> Option<Vec<u8>> {
        let due = self.due_unix_ns()?;
        let now = now();
        if now < due {
            return None;
        }
        let entry = Entry {
            time_unix_ns: Some(now),
            ..Entry::new(Kind::Tick, StreamId::NONE, &[])
        };
        let mut bytes = vec![0; entry.bytes()];
        entry.write(&mut bytes);
        // Where there is no room, it is tried again after a step.
        self.due = Some(now.saturating_add(self.step_ns));
        Some(bytes)
    }

    /// Where the tick ends that was appended; `None` where there was no room.
    pub(crate) fn appended(&mut self, end: Option<Position>) {
        self.sent = end;
    }
}
