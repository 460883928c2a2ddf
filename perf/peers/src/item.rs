//! What travels: items that can be checked on arrival, and the check.
//!
//! ```text
//!  tag (u64)    63..56 producer │ 55..0 sequence, from 1
//!  item         tag, repeated until the payload is full
//! ```

/// Where the producer's number begins in a tag.
const PRODUCER_SHIFT: u32 = 56;
const SEQUENCE_MASK: u64 = (1 << PRODUCER_SHIFT) - 1;

/// The most producers that a run may have.
pub const PRODUCERS_MAX: usize = 8;

/// The tag of the `index`-th item (from 0) of `producer`.
#[inline(always)]
pub fn tag(producer: usize, index: u64) -> u64 {
    (producer as u64) << PRODUCER_SHIFT | (index + 1)
}

/// Something that a queue can carry.
pub trait Item: Copy + Default + Send + Sync + 'static {
    /// The item that carries `tag`, all of it written.
    fn of(tag: u64) -> Self;
    /// The tag, and what is wrong with the rest: 0 if it is whole.
    fn read(&self) -> (u64, u64);
}

impl Item for u64 {
    #[inline(always)]
    fn of(tag: u64) -> Self {
        tag
    }

    #[inline(always)]
    fn read(&self) -> (u64, u64) {
        (*self, 0)
    }
}

/// `WORDS` times eight bytes.
#[derive(Debug, Clone, Copy)]
pub struct Words<const WORDS: usize>([u64; WORDS]);

/// 64 bytes.
pub type Line = Words<8>;
/// 1 KiB.
pub type Kibi = Words<128>;

impl<const WORDS: usize> Default for Words<WORDS> {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl<const WORDS: usize> Item for Words<WORDS> {
    #[inline(always)]
    fn of(tag: u64) -> Self {
        Self([tag; WORDS])
    }

    #[inline(always)]
    fn read(&self) -> (u64, u64) {
        let tag = self.0[0];
        (tag, self.0.iter().fold(0, |wrong, word| wrong | word ^ tag))
    }
}

/// Fills a byte record with `tag`, all of it. Its length is a multiple of eight.
#[inline(always)]
pub fn fill(record: &mut [u8], tag: u64) {
    for word in record.chunks_exact_mut(8) {
        word.copy_from_slice(&tag.to_ne_bytes());
    }
}

/// The tag of a byte record, and what is wrong with the rest.
#[inline(always)]
pub fn read(record: &[u8]) -> (u64, u64) {
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    let tag = record.get(..8).map_or(0, word);
    let wrong = record
        .chunks_exact(8)
        .fold(0, |wrong, bytes| wrong | word(bytes) ^ tag);
    (tag, wrong)
}

/// What one consumer saw. Each producer's items must arrive in order; with `EXACT` (one producer,
/// and this consumer gets all of it) without a gap as well.
#[derive(Debug, Clone)]
pub struct Check<const EXACT: bool> {
    last: [u64; PRODUCERS_MAX],
    next: u64,
    sum: u64,
    count: u64,
    wrong: u64,
    disorder: u64,
}

/// What a consumer saw, for adding up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: u64,
    /// Of the tags.
    pub sum: u64,
    /// No item was damaged.
    pub whole: bool,
    pub in_order: bool,
}

impl<const EXACT: bool> Check<EXACT> {
    pub fn new() -> Self {
        Self {
            last: [0; PRODUCERS_MAX],
            next: 1,
            sum: 0,
            count: 0,
            wrong: 0,
            disorder: 0,
        }
    }

    /// Takes an item's tag and what is wrong with its rest.
    #[inline(always)]
    pub fn see(&mut self, (tag, wrong): (u64, u64)) {
        self.wrong |= wrong;
        if EXACT {
            self.wrong |= tag ^ self.next;
            self.next += 1;
        } else {
            let sequence = tag & SEQUENCE_MASK;
            let last = &mut self.last[(tag >> PRODUCER_SHIFT) as usize % PRODUCERS_MAX];
            self.disorder |= u64::from(sequence <= *last);
            *last = sequence;
            self.sum = self.sum.wrapping_add(tag);
            self.count += 1;
        }
    }

    pub fn tally(&self) -> Tally {
        let (whole, in_order) = (self.wrong == 0, self.disorder == 0);
        if EXACT {
            let count = self.next - 1;
            return Tally {
                count,
                sum: sum_of(0, count),
                whole,
                in_order,
            };
        }
        Tally {
            count: self.count,
            sum: self.sum,
            whole,
            in_order,
        }
    }
}

/// The sum of the first `count` tags of a producer, wrapping.
fn sum_of(producer: usize, count: u64) -> u64 {
    let twice = u128::from(count) * (u128::from(count) + 1);
    let producers = ((producer as u64) << PRODUCER_SHIFT).wrapping_mul(count);
    producers.wrapping_add((twice / 2) as u64)
}

/// How items arrived that all arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Kept,
    /// Some consumer got two items of one producer the wrong way round.
    Broken,
}

/// Whether consumers together saw `each` items of each of `producers` once, and in which order.
pub fn complete(tallies: &[Tally], producers: usize, each: u64) -> Result<Order, String> {
    if !tallies.iter().all(|tally| tally.whole) {
        return Err("items lost, doubled, damaged or out of order".into());
    }
    let count: u64 = tallies.iter().map(|tally| tally.count).sum();
    let due = each * producers as u64;
    if count != due {
        return Err(format!("{count} items arrived of {due}"));
    }
    let sum = tallies
        .iter()
        .fold(0, |sum: u64, t| sum.wrapping_add(t.sum));
    let due = (0..producers).fold(0, |sum: u64, producer| {
        sum.wrapping_add(sum_of(producer, each))
    });
    if sum != due {
        return Err("the right number of items, but not the right ones".into());
    }
    Ok(match tallies.iter().all(|tally| tally.in_order) {
        true => Order::Kept,
        false => Order::Broken,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally<const EXACT: bool>(tags: &[u64]) -> Tally {
        let mut check = Check::<EXACT>::new();
        for &tag in tags {
            check.see(Line::of(tag).read());
        }
        check.tally()
    }

    #[test]
    fn gaps_repeats_and_damage_are_seen() {
        let all: Vec<u64> = (0..5).map(|i| tag(0, i)).collect();
        assert!(complete(&[tally::<true>(&all)], 1, 5).is_ok());
        assert!(complete(&[tally::<false>(&all)], 1, 5).is_ok());
        assert!(complete(&[tally::<true>(&all[1..])], 1, 5).is_err());
        assert!(complete(&[tally::<false>(&all[1..])], 1, 5).is_err());
        let swapped = [all[1], all[0]];
        assert!(!tally::<false>(&swapped).in_order);
        assert!(!tally::<true>(&swapped).whole);
        let disorder = complete(&[tally::<false>(&swapped)], 1, 2);
        assert_eq!(disorder, Ok(Order::Broken));
        let shared = [tally::<false>(&all[..2]), tally::<false>(&all[2..])];
        assert!(complete(&shared, 1, 5).is_ok());
        let (first, second) = (tag(0, 0), tag(1, 0));
        assert!(complete(&[tally::<false>(&[second, first])], 2, 1).is_ok());
        assert!(complete(&[tally::<false>(&[second, second])], 2, 1).is_err());

        let mut record = [0; 64];
        fill(&mut record, 7);
        assert_eq!(read(&record), (7, 0));
        record[40] ^= 1;
        assert_ne!(read(&record).1, 0);
    }
}
