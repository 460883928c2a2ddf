//! What follows the log, and how far it has come.
//!
//! It is given what the scan has found committed, from the images themselves: the persister is who
//! decides when their memory goes, and it does not go before.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::log::append::{self, Patience};
use crate::log::core::Request;
use crate::log::follow::{Event, Events, Follower, Standing, Work, contained};
use crate::log::frame::{self, Check};
use crate::log::persist::Persist;
use crate::log::persist::live::Live;
use crate::log::position::Position;
use crate::log::ticket::Shared;

/// The most that is given at a time, in bytes of the log, so that the disk is fed in between.
pub(super) const FOLLOW_MAX: u64 = 1 << 20;

/// Who follows the log.
pub(super) struct Following {
    follower: Option<Box<dyn Follower>>,
    /// Up to where it was given everything.
    place: Place,
}

/// A place in a live segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    generation: u64,
    offset: u64,
}

impl Following {
    pub(super) fn new(follower: Option<Box<dyn Follower>>, generation: u64, offset: u64) -> Self {
        Self {
            follower,
            place: Place { generation, offset },
        }
    }

    /// Whether nobody needs the image of this generation any more.
    pub(super) fn has_passed(&self, generation: u64) -> bool {
        self.follower.is_none() || self.place.generation > generation
    }

    /// Tells the follower that the log has ended, once.
    pub(super) fn end(&mut self) {
        if let Some(mut follower) = self.follower.take() {
            let tell = std::panic::AssertUnwindSafe(|| follower.ended());
            let _ = std::panic::catch_unwind(tell);
        }
    }
}

impl Persist {
    /// Gives the follower what was committed; says whether there is more.
    pub(super) fn follow(&mut self, budget: u64) -> bool {
        let Some(follower) = &mut self.following.follower else {
            return false;
        };
        let mut events = Committed {
            live: &self.live,
            frontier: self.frontier_generation,
            first: self.first,
            end: self.end,
            place: self.following.place,
            budget,
        };
        let taken = contained(&mut **follower, &mut events);
        let place = events.place;
        match taken {
            Ok(true) => self.following.place = place,
            Ok(false) => {}
            Err(error) => {
                self.fail(error);
                return false;
            }
        }
        self.is_followed_late()
    }

    /// Whether something was committed that the follower was not given.
    pub(super) fn is_followed_late(&self) -> bool {
        let Place { generation, offset } = self.following.place;
        let behind = || {
            generation < self.frontier_generation
                || self
                    .live(generation)
                    .is_some_and(|live| offset < live.frontier)
        };
        self.following.follower.is_some() && behind()
    }

    /// Does what the follower wants done.
    pub(super) fn work_for_follower(&mut self) {
        let (core, disk) = (Arc::clone(&self.core), Arc::clone(&self.disk));
        let facts = Standing {
            core: &core,
            disk: &*disk,
        };
        while let Some(follower) = &mut self.following.follower {
            match follower.work(&facts) {
                None => return,
                Some(Work::Trim(position)) => self.trim(position, None),
                Some(Work::Append(payload)) => {
                    let handle = Shared(Arc::clone(&core));
                    let fill = |place: &mut [u8]| place.copy_from_slice(&payload);
                    let ticket = append::append_with(&handle, payload.len(), Patience::Try, fill);
                    let place = ticket.ok().map(|ticket| (ticket.position(), ticket.end()));
                    follower.appended(place);
                }
                Some(Work::Job(job)) => {
                    let core = Arc::clone(&core);
                    self.job(move || {
                        job(&*core.dir);
                        Request::Followed
                    });
                }
            }
        }
    }

    /// When the follower is to be asked for work though nothing came.
    pub(super) fn follower_deadline_ns(&self) -> Option<u64> {
        let follower = self.following.follower.as_deref()?;
        let due = follower
            .due_unix_ns()
            .filter(|_| self.shut.tail().is_none())?;
        let left = due.saturating_sub(self.disk.now_unix_ns());
        Some(self.disk.now_monotonic_ns().saturating_add(left))
    }

    /// Gives the follower the rest, and tells it that there will be no more.
    pub(super) fn end_following(&mut self) {
        // Whoever keeps it from taking the rest does so for a moment.
        while self.follow(u64::MAX) {
            std::thread::yield_now();
        }
        self.following.end();
    }
}

/// What the scan has found committed, from a place on.
struct Committed<'a> {
    live: &'a VecDeque<Live>,
    /// The generation in which the frontier stands.
    frontier: u64,
    /// Where frames begin and end in a segment.
    first: u64,
    end: u64,
    place: Place,
    budget: u64,
}

impl Committed<'_> {
    fn live(&self) -> Option<&Live> {
        let oldest = self.live.front()?.generation;
        let index = self.place.generation.checked_sub(oldest)?;
        self.live.get(index as usize)
    }
}

impl Events for Committed<'_> {
    #[inline]
    fn next(&mut self) -> Option<Event<'_>> {
        let Place { generation, offset } = self.place;
        if offset == self.end && generation < self.frontier {
            self.place = Place {
                generation: generation + 1,
                offset: self.first,
            };
            return Some(Event::Left);
        }
        if self.budget == 0 || offset >= self.live()?.frontier {
            return None;
        }
        let len = self.live()?.image.frame_bytes(offset as usize)?;
        self.place.offset += len as u64;
        self.budget = self.budget.saturating_sub(len as u64);
        let oldest = self.live.front()?.generation;
        let live = self.live.get((generation - oldest) as usize)?;
        let bytes = live.image.frame(offset as usize, len);
        let at = live.position(offset);
        // Its own memory: what was committed is a frame.
        let (frame, _) = frame::parse(Check::Trust, at, bytes).ok()?;
        Some(Event::of(at, frame))
    }

    fn reached(&self) -> Position {
        let at = |live: &Live| live.position(self.place.offset);
        self.live().map_or(Position::MIN, at)
    }
}
