//! Following a log from outside: a [`Follower`] is given what is proven to be on disk, as it was when
//! the log was opened.

use crate::error::{Error, Result};
use crate::log::follow::{Anchor, Event, Events, Follower};
use crate::log::frame::{self, Check};
use crate::log::open::check_features;
use crate::log::position::Position;
use crate::log::read::{From, What};
use crate::log::view::LogView;
use crate::log::view::chain::Chain;
use crate::log::view::reader::{Here, ViewReader};

/// So many frames are given at a time.
const FRAMES_MAX: usize = 1 << 14;

/// Follows a log from outside. What is given is never a segment's end: a record of the next one says it.
#[derive(Debug)]
pub(crate) struct ViewFollow {
    reader: ViewReader,
}

impl ViewFollow {
    /// Begins as an opening does: behind the last segment that need not be gone over again. `None`
    /// while the log has no segment.
    ///
    /// # Errors
    ///
    /// What kept the log from being read or followed; those of [`check_features`].
    pub(crate) fn begin(
        view: &LogView,
        features: u64,
        follower: &mut dyn Follower,
    ) -> Result<Option<Self>> {
        let mut reader = view.reader(From::Start)?;
        let Some(header) = reader.chain.get(0) else {
            return Ok(None);
        };
        check_features(header.features, features).map_err(|e| e.or_at_path(view.dir.path()))?;
        let known = follower.begin(&*view.dir, &anchors(&reader.chain))?;
        let begin = match reader.chain.index_of(known) {
            // Not in the next one: one without anything may give way to another.
            Some(index) => Position::new(known, reader.chain.end_of(index)),
            None => reader.chain.start(),
        };
        reader.jump(begin, true);
        Ok(Some(Self { reader }))
    }

    /// Gives the follower what there is now.
    ///
    /// # Errors
    ///
    /// Those of [`ViewReader::try_next`]. What came before was given.
    pub(crate) fn go_on(&mut self, follower: &mut dyn Follower) -> Result<()> {
        self.reader.look()?;
        // A busy writer must not keep us for ever.
        let to = self.reader.attest.watermark();
        let mut events = Proven {
            reader: &mut self.reader,
            to,
            left: 0,
            is_all: false,
            error: None,
        };
        while !events.is_all {
            events.left = FRAMES_MAX;
            follower.follow(&mut events);
        }
        if let Some(error) = events.error {
            return Err(error);
        }
        let damage = self.reader.attest.damage();
        damage.map_or(Ok(()), |damage| Err(damage.clone()))
    }

    /// The segment with this ordinal, if it is there and its end is known.
    pub(crate) fn anchor(&self, ordinal: u64) -> Option<Anchor> {
        let index = self.reader.chain.index_of(ordinal)?;
        anchor(&self.reader.chain, index)
    }

    /// The log's first segment.
    pub(crate) fn first(&self) -> u64 {
        self.reader.chain.start().segment()
    }
}

/// The segments whose ends are known.
fn anchors(chain: &Chain) -> Vec<Anchor> {
    let all = 0..chain.segments().len();
    all.filter_map(|index| anchor(chain, index)).collect()
}

fn anchor(chain: &Chain, index: usize) -> Option<Anchor> {
    let header = chain.get(index)?;
    chain.get(index + 1)?;
    Some(Anchor::of(header, chain.end_of(index)))
}

/// What is proven, up to some place.
struct Proven<'a> {
    reader: &'a mut ViewReader,
    to: Position,
    left: usize,
    is_all: bool,
    error: Option<Error>,
}

impl Events for Proven<'_> {
    fn next(&mut self) -> Option<Event<'_>> {
        self.left = self.left.checked_sub(1)?;
        let found = loop {
            let here = match self.reader.position < self.to {
                true => self.reader.frame_here(),
                false => Ok(Here::NotYet),
            };
            match here {
                Ok(Here::Frame(found)) => break found,
                Ok(Here::Moved) => {}
                Ok(Here::NotYet) => {
                    self.is_all = true;
                    return None;
                }
                Err(error) => {
                    (self.is_all, self.error) = (true, Some(error));
                    return None;
                }
            }
        };
        let ordinal = self.reader.position.segment();
        self.reader.position = Position::new(ordinal, found.end);
        let at = Position::new(ordinal, found.begin);
        // Of padding only the begin is at hand.
        if let What::Nothing | What::Checkpoint(_) = found.what {
            return Some(Event::Nothing);
        }
        let bytes = self.reader.file.as_ref()?.bytes(found.begin..found.end);
        // Its checksum was just looked at.
        let (frame, _) = frame::parse(Check::Trust, at, bytes).ok()?;
        Some(Event::of(at, frame))
    }

    fn reached(&self) -> Position {
        self.reader.position
    }
}
