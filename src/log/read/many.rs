//! Reading many records by position, with many reads on their way.

use std::iter::Fuse;
use std::sync::Arc;

use crate::error::Result;
use crate::log::core::Core;
use crate::log::position::Position;
use crate::log::read::options::ReadOptions;
use crate::log::read::record::SharedRecord;
use crate::log::read::scatter::Scatter;

/// The records at many positions, in the order asked: see [`Log::read_many`](crate::Log::read_many).
///
/// Owned, `Send`, independent of the log's handles: after the log was closed, what is there can
/// still be read. Positions are taken from their iterator as there is room, some ahead of the answer
/// that comes next; each is answered as the log was at some time since. Dropping it waits for
/// the reads that are on their way.
pub struct ReadMany<I> {
    positions: Fuse<I>,
    scatter: Scatter,
}

impl<I: Iterator<Item = Position>> ReadMany<I> {
    pub(crate) fn new(core: Arc<Core>, positions: I, options: &ReadOptions) -> Self {
        Self {
            positions: positions.fuse(),
            scatter: Scatter::new(core, options),
        }
    }
}

impl<I: Iterator<Item = Position>> Iterator for ReadMany<I> {
    type Item = Result<SharedRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.scatter.wants_more() {
            let Some(position) = self.positions.next() else {
                break;
            };
            self.scatter.ask(position);
        }
        self.scatter.answer()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.positions.size_hint();
        let asked = self.scatter.len();
        let most = most.and_then(|most| most.checked_add(asked));
        (least.saturating_add(asked), most)
    }
}

impl<I> std::fmt::Debug for ReadMany<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadMany")
            .field("asked", &self.scatter.len())
            .finish_non_exhaustive()
    }
}
