//! A table of numbered places, found again by an address: the kernel's tables of registered files
//! and buffers, as this side knows them.

use std::collections::HashMap;

/// A fixed number of places, of which those in use are found by key.
#[derive(Debug)]
pub(super) struct Slots<T> {
    used: HashMap<usize, (u32, T)>,
    /// Places that were given back; beyond them, everything from `fresh` up to `end` is free.
    returned: Vec<u32>,
    fresh: u32,
    end: u32,
}

impl<T> Slots<T> {
    /// The places of a range.
    pub(super) fn new(places: std::ops::Range<u32>) -> Self {
        Self {
            used: HashMap::new(),
            returned: Vec::new(),
            fresh: places.start,
            end: places.end,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.used.len()
    }

    /// The place that belongs to `key`.
    pub(super) fn find(&self, key: usize) -> Option<u32> {
        self.used.get(&key).map(|&(place, _)| place)
    }

    /// Gives `key` a place, if there is one left. `key` must not have one yet.
    pub(super) fn insert(&mut self, key: usize, value: T) -> Option<u32> {
        debug_assert!(!self.used.contains_key(&key));
        let place = match self.returned.pop() {
            Some(place) => place,
            None if self.fresh < self.end => {
                self.fresh += 1;
                self.fresh - 1
            }
            None => return None,
        };
        self.used.insert(key, (place, value));
        Some(place)
    }

    /// Takes the place of `key` back.
    pub(super) fn remove(&mut self, key: usize) -> Option<(u32, T)> {
        let (place, value) = self.used.remove(&key)?;
        self.returned.push(place);
        Some((place, value))
    }

    /// Takes back the places of all values that are `dead`; returns them.
    pub(super) fn sweep(&mut self, mut dead: impl FnMut(&T) -> bool) -> Vec<u32> {
        let mut places = Vec::new();
        self.used.retain(|_, (place, value)| {
            let dead = dead(value);
            if dead {
                places.push(*place);
            }
            !dead
        });
        self.returned.extend_from_slice(&places);
        places
    }

    /// Gives all values up.
    pub(super) fn into_values(self) -> impl Iterator<Item = T> {
        self.used.into_values().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_unique_bounded_and_reused() {
        let mut slots = Slots::new(3..5);
        assert_eq!(slots.insert(10, 'a'), Some(3));
        assert_eq!(slots.insert(20, 'b'), Some(4));
        assert_eq!(slots.insert(30, 'c'), None);
        assert_eq!((slots.find(10), slots.find(30)), (Some(3), None));
        assert_eq!(slots.remove(10), Some((3, 'a')));
        assert_eq!(slots.remove(10), None);
        assert_eq!(slots.insert(30, 'c'), Some(3));
        assert_eq!(slots.sweep(|&value| value == 'b'), [4]);
        assert_eq!(slots.len(), 1);
        assert_eq!(slots.insert(40, 'd'), Some(4));
        let mut left: Vec<_> = slots.into_values().collect();
        left.sort_unstable();
        assert_eq!(left, ['c', 'd']);
    }
}
