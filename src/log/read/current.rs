//! The frame at hand: entering it, taking its records.

use std::ops::Range;

use bytes::Bytes;

use crate::error::Result;
use crate::log::frame;
use crate::log::position::{Position, UNIT_BYTES};
use crate::log::read::cursor::{Cursor, Landing, Taken};
use crate::log::read::share::Sharing;
use crate::log::read::source::{Found, Source, What};

/// The frame that is at hand, and how far its records were taken.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) begin: u64,
    pub(super) end: u64,
    /// The next record's payload.
    payload: Range<u64>,
    time_unix_ns: Option<u64>,
    /// Records of a batch that are left, this one included.
    left: u32,
    /// Records of the batch; 1 for a record alone.
    count: u32,
    batch: bool,
}

impl Cursor {
    /// Makes a found frame the current one, or moves beyond it if there is nothing in it to take.
    #[inline]
    pub(super) fn enter_frame(&mut self, found: Found) -> Result<()> {
        let ordinal = self.position.segment();
        let offset = self.position.offset_bytes();
        let end = Position::new(ordinal, found.end);
        let landing = std::mem::replace(&mut self.landing, Landing::Reached);
        if let Source::Image(walk) = &mut self.source {
            // From here on its bytes can be borrowed.
            if walk.at() as u64 == found.begin {
                walk.advance();
            }
        }
        match found.what {
            What::Record {
                payload,
                time_unix_ns,
            } if found.begin == offset && self.position >= self.skip_to => {
                self.current = Some(Current {
                    begin: found.begin,
                    end: found.end,
                    payload,
                    time_unix_ns,
                    left: 1,
                    count: 1,
                    batch: false,
                });
                return Ok(());
            }
            What::Batch {
                first,
                count,
                time_unix_ns,
            } => {
                let want = self.skip_to.max(self.position);
                let want = if want.segment() == ordinal {
                    want.offset_bytes()
                } else {
                    u64::MAX
                };
                if want < found.end {
                    let batch = Found {
                        what: What::Batch {
                            first,
                            count,
                            time_unix_ns,
                        },
                        ..found
                    };
                    return self.enter_batch(&batch, want, landing);
                }
            }
            _ if found.begin == offset => {}
            _ if landing == Landing::Lenient => {}
            _ => {
                self.landing = landing;
                return Err(self.no_record());
            }
        }
        self.position = end;
        Ok(())
    }

    /// Leaves the current frame with none of its records taken.
    pub(super) fn leave_frame(&mut self) {
        self.current = None;
        if let Source::Image(walk) = &mut self.source {
            walk.rewind();
        }
    }

    /// Makes a batch the current frame, from the record on that begins at or behind `want`.
    fn enter_batch(&mut self, found: &Found, want: u64, landing: Landing) -> Result<()> {
        let What::Batch {
            first,
            count,
            time_unix_ns,
        } = found.what
        else {
            return Ok(());
        };
        let ordinal = self.position.segment();
        let (mut at, mut left) = (first, count);
        let mut record = self.batch_record(at, found.end);
        // The frame's own position stands for its first record.
        while want > found.begin && at < want && left > 1 {
            at = record.end.next_multiple_of(UNIT_BYTES);
            left -= 1;
            record = self.batch_record(at, found.end);
        }
        if want > found.begin && at < want {
            // Behind the last record.
            if landing == Landing::Strict {
                self.landing = landing;
                return Err(self.no_record());
            }
            self.position = Position::new(ordinal, found.end);
            return Ok(());
        }
        if landing == Landing::Strict && want > found.begin && at != want {
            self.landing = landing;
            return Err(self.no_record());
        }
        self.position = Position::new(ordinal, at);
        self.current = Some(Current {
            begin: found.begin,
            end: found.end,
            payload: record,
            time_unix_ns,
            left,
            count,
            batch: true,
        });
        Ok(())
    }

    /// The payload of the batch's record at `at`; its structure was checked with its frame.
    fn batch_record(&self, at: u64, frame_end: u64) -> Range<u64> {
        frame::batch_record(at, self.source.bytes(at..frame_end))
    }

    /// Whether the current frame's bytes are still at hand, or could be brought back.
    pub(super) fn current_is_at_hand(&mut self) -> bool {
        let is_at_hand = match (&mut self.source, &self.current) {
            (Source::Image(walk), Some(_)) => walk.hold(),
            (Source::File(window), Some(current)) => window.has(&(current.begin..current.end)),
            _ => false,
        };
        if is_at_hand {
            return true;
        }
        // The memory went elsewhere. The position is the next record's, also within a batch.
        self.current = None;
        self.source = Source::None;
        false
    }

    /// Takes the record that a step brought to hand.
    ///
    /// # Panics
    ///
    /// When there was none: a bug of the caller's.
    #[inline]
    pub(super) fn take(&mut self) -> Taken {
        let current = self
            .current
            .as_mut()
            .expect("a step brought a record to hand");
        let ordinal = self.position.segment();
        let taken = Taken {
            position: self.position,
            payload: current.payload.clone(),
            time_unix_ns: current.time_unix_ns,
        };
        current.left -= 1;
        if current.left == 0 {
            self.position = Position::new(ordinal, current.end);
            self.current = None;
        } else {
            let next = current.payload.end.next_multiple_of(UNIT_BYTES);
            current.payload = frame::batch_record(next, self.source.bytes(next..current.end));
            self.position = Position::new(ordinal, next);
        }
        taken
    }

    /// The length of the record that a step brought to hand.
    #[inline]
    pub(super) fn next_bytes(&self) -> usize {
        self.current
            .as_ref()
            .map_or(0, |at| (at.payload.end - at.payload.start) as usize)
    }

    /// The bytes of a record that was taken, while they are at hand.
    #[inline]
    pub(super) fn payload(&self, taken: &Taken) -> &[u8] {
        self.source.bytes(taken.payload.clone())
    }

    pub(super) fn share(&self, taken: &Taken, sharing: &Sharing) -> Bytes {
        self.source
            .share(taken.position.segment(), taken.payload.clone(), sharing)
    }

    /// Where the frame of the batch at hand begins, and whether none of its records was passed.
    pub(super) fn batch_at_hand(&self) -> Option<(Position, bool)> {
        let current = self.current.as_ref().filter(|current| current.batch)?;
        let frame = Position::new(self.position.segment(), current.begin);
        Some((frame, current.left == current.count))
    }
}
