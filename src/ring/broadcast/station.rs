//! Where each receiver stands, and who is gated by whom.
//!
//! A receiver's station is what others see of it: its place, and whether it is gone. The topology
//! is fixed when the ring is built, but receivers may go: whoever was gated by a station that is
//! gone is gated by what gated that one ([`settle`]), down to the senders themselves.

use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::lock::Mutex;

/// What others see of a receiver. Shared, on lines of its own.
#[derive(Debug)]
pub(super) struct Station {
    /// The first place that the receiver is not done with. Written by the receiver alone.
    pub(super) done: AtomicU64,
    /// Whether the receiver was dropped: then it gates nobody.
    gone: AtomicBool,
    /// Whether other receivers follow this one: then they wait for its progress. Otherwise the senders
    /// do.
    is_followed: AtomicBool,
    /// Which receivers it follows; none: it follows the senders.
    after: Box<[StationRef]>,
}

pub(super) type StationRef = Arc<CachePadded<Station>>;

impl Station {
    /// Publishes that the receiver is done with all places before `place`; says whom to wake.
    #[inline]
    pub(super) fn pass(&self, place: u64) {
        // ORDERING: pairs with the acquire in `lag`: what the receiver read in these places was
        // read before they are written anew, and what it did with the items is seen by those behind.
        self.done.store(place, Ordering::Release);
    }

    /// Whether followers are to be woken after [`Station::pass`], instead of senders. To be asked behind a
    /// light barrier.
    #[inline]
    pub(super) fn is_followed(&self) -> bool {
        self.is_followed.load(Ordering::Relaxed)
    }

    /// Whether it was made to follow receivers, not the senders.
    pub(super) fn is_follower(&self) -> bool {
        !self.after.is_empty()
    }

    /// The first place that is not done with, or `None` for a receiver that is gone.
    #[inline]
    pub(super) fn seen(&self) -> Option<u64> {
        // ORDERING: pairs with the release in `pass`.
        let done = self.done.load(Ordering::Acquire);
        // ORDERING: pairs with the release in `Topology::leave`: the last item that the receiver
        // read was read before its place is written anew.
        (!self.gone.load(Ordering::Acquire)).then_some(done)
    }
}

/// The first place that the slowest of `stations` is not done with, which is at or behind `place`
/// give or take half of all numbers. `Err` when one of them is gone: [`settle`], and ask again.
#[inline]
pub(super) fn slowest(stations: &[StationRef], place: u64) -> Result<u64, Gone> {
    let mut least = i64::MAX;
    for station in stations {
        let done = station.seen().ok_or(Gone)?;
        least = least.min(done.wrapping_sub(place) as i64);
    }
    Ok(place.wrapping_add(least as u64))
}

/// The same, whoever is gone; `None` when only the senders are left to be followed.
pub(super) fn slowest_live(stations: &[StationRef], place: u64) -> Option<u64> {
    if let (false, Ok(done)) = (stations.is_empty(), slowest(stations, place)) {
        return Some(done);
    }
    let mut live = stations.to_vec();
    while !live.is_empty() {
        match slowest(&live, place) {
            Ok(done) => return Some(done),
            Err(_gone) => settle(&mut live),
        }
    }
    None
}

/// A receiver was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// Puts in the place of each station that is gone those that it followed. What stays is live, or was
/// a moment ago; nothing stays when only the senders are left to be followed.
#[cold]
pub(super) fn settle(stations: &mut Vec<StationRef>) {
    let mut left: Vec<StationRef> = Vec::new();
    while let Some(at) = stations.iter().position(|station| station.seen().is_none()) {
        let gone = stations.swap_remove(at);
        for station in &gone.after {
            let known = |others: &[StationRef]| others.iter().any(|one| Arc::ptr_eq(one, station));
            if !known(stations) && !known(&left) {
                stations.push(Arc::clone(station));
            }
        }
        // Not to be entered again by another way.
        left.push(gone);
    }
}

/// All receivers of a ring, in the order in which they were made: each after those that it follows.
#[derive(Debug, Default)]
pub(super) struct Topology {
    stations: Vec<StationRef>,
    /// Whether one that followed receivers follows the senders now, because those are gone.
    has_orphans: bool,
}

impl Topology {
    /// Adds a receiver that begins at `first`, behind those of `after`.
    pub(super) fn add(&mut self, first: u64, after: Vec<StationRef>) -> StationRef {
        let station = Arc::new(CachePadded::new(Station {
            done: AtomicU64::new(first),
            gone: AtomicBool::new(false),
            is_followed: AtomicBool::new(false),
            after: after.into_boxed_slice(),
        }));
        self.stations.push(Arc::clone(&station));
        self.tell();
        station
    }

    /// Takes a receiver out; says whether there are orphans now. The caller must wake everybody
    /// afterwards.
    pub(super) fn leave(&mut self, station: &StationRef) -> bool {
        // ORDERING: pairs with the acquire in `seen`.
        station.gone.store(true, Ordering::Release);
        self.stations.retain(|one| !Arc::ptr_eq(one, station));
        self.tell();
        self.has_orphans
    }

    pub(super) fn contains(&self, station: &StationRef) -> bool {
        self.stations.iter().any(|one| Arc::ptr_eq(one, station))
    }

    /// Those whom nobody follows: they gate the senders.
    pub(super) fn leaves(&self) -> Vec<StationRef> {
        let is_leaf = |station: &&StationRef| !station.is_followed();
        self.stations.iter().filter(is_leaf).cloned().collect()
    }

    /// Says anew to each receiver whom its progress lets on.
    fn tell(&mut self) {
        let mut followed: Vec<StationRef> = Vec::new();
        self.has_orphans = false;
        for station in &self.stations {
            let mut after = station.after.to_vec();
            settle(&mut after);
            self.has_orphans |= station.is_follower() && after.is_empty();
            followed.append(&mut after);
        }
        for station in &self.stations {
            let is_followed = followed.iter().any(|one| Arc::ptr_eq(one, station));
            station.is_followed.store(is_followed, Ordering::Relaxed);
        }
    }
}

/// The topology, behind its lock: it is looked at when receivers come and go, and for counts.
pub(super) type SharedTopology = Mutex<Topology>;

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    fn same(some: &[StationRef], others: &[&StationRef]) -> bool {
        some.len() == others.len()
            && (others.iter()).all(|other| some.iter().any(|one| Arc::ptr_eq(one, other)))
    }

    #[test]
    fn who_follows_one_that_is_gone_follows_what_that_one_followed() {
        let mut topology = Topology::default();
        let a = topology.add(0, vec![]);
        let b = topology.add(0, vec![]);
        let c = topology.add(0, vec![a.clone(), b.clone()]);
        let d = topology.add(0, vec![c.clone()]);
        assert!(same(&topology.leaves(), &[&d]));
        assert_eq!([&a, &b, &c].map(|one| one.is_followed()), [true; 3]);

        topology.leave(&c);
        let mut followed = vec![c.clone()];
        settle(&mut followed);
        assert!(same(&followed, &[&a, &b]));
        assert_eq!([&a, &b].map(|one| one.is_followed()), [true; 2]);

        topology.leave(&d);
        assert!(same(&topology.leaves(), &[&a, &b]));

        assert!(!topology.leave(&a), "b is left to be followed");
        let mut followed = vec![d.clone()];
        settle(&mut followed);
        assert!(same(&followed, &[&b]), "a is gone: only b still gates");
        topology.leave(&b);
        settle(&mut followed);
        assert!(followed.is_empty(), "nobody but the senders");
    }

    #[test]
    fn who_followed_only_such_as_are_gone_is_an_orphan() {
        let mut topology = Topology::default();
        let a = topology.add(7, vec![]);
        let b = topology.add(7, vec![a.clone()]);
        let c = topology.add(7, vec![b.clone()]);
        assert_eq!(slowest_live(&[a.clone(), b.clone()], 7), Some(7));
        assert!(!topology.leave(&b), "c follows a now");
        assert!(topology.leave(&a), "and now the senders");
        assert_eq!(slowest_live(&[a, b], 7), None);
        assert!(!topology.leave(&c), "nobody is left");
    }

    #[test]
    fn many_layers_of_gone_diamonds_are_settled_at_once() {
        let mut topology = Topology::default();
        let root = topology.add(0, vec![]);
        let mut layer = vec![root.clone()];
        let mut gone = Vec::new();
        for _ in 0..64 {
            layer = (0..2).map(|_| topology.add(0, layer.clone())).collect();
            gone.extend(layer.iter().cloned());
        }
        for station in &gone {
            topology.leave(station);
        }
        settle(&mut layer);
        assert!(same(&layer, &[&root]));
    }

    #[test]
    fn the_slowest_is_found_across_the_end_of_the_numbers() {
        let mut topology = Topology::default();
        let a = topology.add(u64::MAX, vec![]);
        let b = topology.add(u64::MAX - 1, vec![]);
        a.pass(3);
        let stations = [a, b.clone()];
        assert_eq!(slowest(&stations, 5), Ok(u64::MAX - 1));
        b.pass(4);
        assert_eq!(slowest(&stations, 5), Ok(3));
    }
}
