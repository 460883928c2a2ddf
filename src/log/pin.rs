//! Pins: a log does not begin behind a segment that somebody still needs as a file.
//!
//! A trim that a pin is in the way of goes as far as it may, and on by itself once the pin has gone.
//! Where the log begins is moved under the lock under which a pin is taken: whoever has got a pin has
//! the segment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::log::core::{Core, Request};
use crate::log::position::Position;
use crate::log::segment;
use crate::sync::lock::Mutex;

/// A segment that stays while this lives, with all behind it: it is neither trimmed away nor recycled.
/// A truncation takes what it cuts off in any case. Pins do not outlive the log: its next opening knows
/// none.
pub struct SegmentPin {
    core: Arc<Core>,
    ordinal: u64,
}

impl SegmentPin {
    /// Pins the segment with this ordinal; without one, the first.
    pub(crate) fn of(core: &Arc<Core>, ordinal: Option<u64>) -> Result<Self> {
        let mut pins = core.pins.0.lock();
        let start = core.start();
        let ordinal = ordinal.unwrap_or(start.segment());
        if ordinal < start.segment() {
            return Err(Error::new(ErrorKind::Trimmed, "")
                .at_path(&core.path)
                .at_position(start)
                .remedy("the log begins at the position given"));
        }
        if core.segments.read().get(ordinal).is_none() {
            let what = format!("there is no segment {ordinal}");
            return Err(Error::new(ErrorKind::Invalid, what).at_path(&core.path));
        }
        *pins.by_ordinal.entry(ordinal).or_default() += 1;
        Ok(Self {
            core: Arc::clone(core),
            ordinal,
        })
    }

    /// The segment's ordinal.
    #[must_use]
    pub fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// Its file. What lies in it before the log's durable watermark does not change any more.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.core.path.join(segment::file_name(self.ordinal))
    }
}

impl Drop for SegmentPin {
    fn drop(&mut self) {
        let mut pins = self.core.pins.0.lock();
        if let Some(count) = pins.by_ordinal.get_mut(&self.ordinal) {
            *count -= 1;
            if *count == 0 {
                pins.by_ordinal.remove(&self.ordinal);
            }
        }
        let waits = pins.asked > self.core.start();
        drop(pins);
        if waits && !self.core.is_forked() {
            self.core.request(Request::Unpinned);
        }
    }
}

impl std::fmt::Debug for SegmentPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut pin = f.debug_struct("SegmentPin");
        pin.field("ordinal", &self.ordinal).finish_non_exhaustive()
    }
}

/// The pins of a log.
pub(crate) struct Pins(Mutex<Pinned>);

struct Pinned {
    /// How many pins each segment has.
    by_ordinal: BTreeMap<u64, usize>,
    /// Where the log is to begin, once nothing is in the way.
    asked: Position,
}

impl Pins {
    pub(crate) fn new(start: Position) -> Self {
        Self(Mutex::new(Pinned {
            by_ordinal: BTreeMap::new(),
            asked: start,
        }))
    }

    /// Where the log is to begin, once nothing is in the way.
    pub(crate) fn asked(&self) -> Position {
        self.0.lock().asked
    }

    /// How many segments are pinned.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().by_ordinal.len()
    }

    /// The log is to begin at `position`, or where it was to begin already: gives `begin` how far it
    /// may. `first` is where frames begin in a segment.
    pub(crate) fn ask(&self, position: Position, first: u64, begin: impl FnOnce(Position)) {
        let mut pins = self.0.lock();
        pins.asked = pins.asked.max(position);
        let pinned = pins.by_ordinal.keys().next();
        let floor = pinned.map_or(pins.asked, |ordinal| Position::new(*ordinal, first));
        begin(pins.asked.min(floor));
    }
}
