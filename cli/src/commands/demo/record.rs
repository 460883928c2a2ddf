//! The demo's records: each says who sent it, as which one, when, and what else is in it.
//!
//! ```text
//!  0        8          16         24         32                         256
//! ┌────────┬──────────┬──────────┬──────────┬───────────────────────────┐
//! │ run    │ producer │ sequence │ sent, ns │ words that follow from it │
//! └────────┴──────────┴──────────┴──────────┴───────────────────────────┘
//! ```

/// Bytes of a record.
pub(super) const BYTES: usize = 256;

const WORD_BYTES: usize = 8;
const FIELDS: usize = 4;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// Tells this run from an earlier one in the same log.
    pub(super) run: u64,
    pub(super) producer: u64,
    pub(super) sequence: u64,
    pub(super) sent_ns: u64,
}

impl Record {
    /// Writes the record into [`BYTES`] bytes.
    pub(super) fn write(self, buf: &mut [u8]) {
        let (fields, filling) = buf.split_at_mut(FIELDS * WORD_BYTES);
        let values = [self.run, self.producer, self.sequence, self.sent_ns];
        for (place, value) in fields.chunks_exact_mut(WORD_BYTES).zip(values) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        let mut state = self.seed();
        for place in filling.chunks_exact_mut(WORD_BYTES) {
            state = follow(state);
            place.copy_from_slice(&state.to_le_bytes());
        }
    }

    /// Reads a record; `None` when any of its bytes is not what was sent.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != BYTES {
            return None;
        }
        let mut words = bytes
            .chunks_exact(WORD_BYTES)
            .map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
        let record = Self {
            run: words.next()?,
            producer: words.next()?,
            sequence: words.next()?,
            sent_ns: words.next()?,
        };
        let mut state = record.seed();
        words
            .all(|word| {
                state = follow(state);
                word == state
            })
            .then_some(record)
    }

    /// Every field changes all that follows.
    fn seed(self) -> u64 {
        [self.run, self.producer, self.sequence, self.sent_ns]
            .into_iter()
            .fold(0x9e37_79b9_7f4a_7c15, |state, value| follow(state ^ value))
    }
}

/// A step that no two states share (Steele and Vigna's multiplier, and a xorshift).
fn follow(state: u64) -> u64 {
    let state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
    state ^ state >> 29
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_bit_is_seen() {
        let record = Record {
            run: 3,
            producer: 1,
            sequence: 77,
            sent_ns: 123_456,
        };
        let mut bytes = [0; BYTES];
        record.write(&mut bytes);
        assert_eq!(Record::parse(&bytes), Some(record));
        for bit in 0..BYTES * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::parse(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(Record::parse(&bytes[1..]), None);
    }
}
