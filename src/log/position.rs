//! Where a record is: the ordinal of its segment and the byte offset in it, in one number.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// The place of a record in its log, for ever: ordinals are never reused, so a position never
/// names two records. Positions are ordered as the log is.
///
/// ```text
///  63                                28 27                          0
/// ┌────────────────────────────────────┬─────────────────────────────┐
/// │ segment ordinal (36 bits)          │ offset in units of 8 bytes  │
/// └────────────────────────────────────┴─────────────────────────────┘
/// ```
///
/// Shown, and parsed, as `ordinal:offset` with the offset in bytes: `7:4096`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

const OFFSET_BITS: u32 = 28;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;

/// The unit of offsets: frames begin at multiples of it.
pub(crate) const UNIT_BYTES: u64 = 8;

/// The largest ordinal that a position can name.
pub(crate) const ORDINAL_MAX: u64 = (1 << (64 - OFFSET_BITS)) - 1;

impl Position {
    /// Before every record of every log.
    pub const MIN: Self = Self(0);

    /// The position at a byte offset of a segment. `offset_bytes` must be a multiple of 8 below
    /// 2 GiB, and `ordinal` below 2^36.
    pub(crate) const fn new(ordinal: u64, offset_bytes: u64) -> Self {
        debug_assert!(ordinal <= ORDINAL_MAX);
        debug_assert!(offset_bytes % UNIT_BYTES == 0 && offset_bytes / UNIT_BYTES <= OFFSET_MASK);
        Self((ordinal << OFFSET_BITS) | (offset_bytes / UNIT_BYTES))
    }

    /// The ordinal of the segment.
    #[must_use]
    pub const fn segment(self) -> u64 {
        self.0 >> OFFSET_BITS
    }

    /// The offset in the segment's file, in bytes.
    #[must_use]
    pub const fn offset_bytes(self) -> u64 {
        (self.0 & OFFSET_MASK) * UNIT_BYTES
    }

    /// The position as a number, for storing elsewhere. Ordered as positions are.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The position that [`Position::to_u64`] gave.
    #[must_use]
    pub const fn from_u64(raw: u64) -> Self {
        Self(raw)
    }

    /// This position moved on by `len_bytes` (a multiple of 8) within its segment.
    pub(crate) const fn plus(self, len_bytes: u64) -> Self {
        debug_assert!(len_bytes % UNIT_BYTES == 0);
        Self(self.0 + len_bytes / UNIT_BYTES)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment(), self.offset_bytes())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({self})")
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || {
            Error::new(ErrorKind::Invalid, format!("`{text}` is not a position"))
                .remedy("a position is SEGMENT:OFFSET, such as 7:4096")
        };
        let (ordinal, offset) = text.split_once(':').ok_or_else(bad)?;
        let ordinal: u64 = ordinal.parse().map_err(|_| bad())?;
        let offset: u64 = offset.parse().map_err(|_| bad())?;
        if ordinal > ORDINAL_MAX || offset % UNIT_BYTES != 0 || offset / UNIT_BYTES > OFFSET_MASK {
            return Err(bad());
        }
        Ok(Self::new(ordinal, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_round_trip() {
        for position in [
            Position::MIN,
            Position::new(1, 4096),
            Position::new(ORDINAL_MAX, OFFSET_MASK * UNIT_BYTES),
        ] {
            assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
            assert_eq!(Position::from_u64(position.to_u64()), position);
        }
    }

    #[test]
    fn text_that_is_no_position_is_refused() {
        for text in [
            "",
            "7",
            "7:",
            ":8",
            "7:4",
            "7:-8",
            "68719476736:0",
            "1:2147483648",
            "a:b",
        ] {
            let error = text.parse::<Position>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        }
    }

    #[test]
    fn order_is_the_logs() {
        assert!(Position::new(1, 1 << 30) < Position::new(2, 0));
        assert!(Position::new(2, 0) < Position::new(2, 8));
    }
}
