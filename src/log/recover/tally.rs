//! What the frames of a segment add up to.

use crate::log::frame::{Checkpoint, Frame};
use crate::log::position::Position;
use crate::log::segment::TimeIndex;

/// Counts over the frames that were read, in order.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) frames: u64,
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) times: TimeIndex,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The largest watermark, and the largest start of the log, that a checkpoint gave.
    pub(crate) watermark: Position,
    pub(crate) log_start: Position,
    ending: Ending,
}

/// How the frames end so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ending {
    #[default]
    Open,
    /// With the checkpoint of a clean close.
    Clean,
    /// With that and padding.
    CleanPadded,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            frames: 0,
            records: 0,
            payload_bytes: 0,
            times: TimeIndex::default(),
            checkpoint: None,
            watermark: Position::MIN,
            log_start: Position::MIN,
            ending: Ending::Open,
        }
    }

    /// Adds the next frame. A checkpoint of another log was refused before.
    pub(crate) fn add(&mut self, at: Position, frame: &Frame<'_>) {
        self.frames += 1;
        let ending = std::mem::take(&mut self.ending);
        match frame {
            Frame::Record { payload, .. } => {
                self.records += 1;
                self.payload_bytes += payload.len() as u64;
            }
            Frame::Batch { records, .. } => {
                self.records += u64::from(records.left());
                self.payload_bytes += records.body_bytes() as u64;
            }
            Frame::Checkpoint(checkpoint) => {
                self.times.push(at, checkpoint.time_unix_ns);
                self.attest(checkpoint);
                self.checkpoint = Some(*checkpoint);
                if checkpoint.clean {
                    self.ending = Ending::Clean;
                }
            }
            Frame::Pad if ending == Ending::Clean => self.ending = Ending::CleanPadded,
            Frame::Pad => {}
        }
    }

    /// Takes over what a checkpoint says about other places than its own.
    pub(crate) fn attest(&mut self, checkpoint: &Checkpoint) {
        self.watermark = self.watermark.max(checkpoint.watermark);
        self.log_start = self.log_start.max(checkpoint.log_start);
    }

    /// Whether the last frame, padding aside, is the checkpoint of a clean close.
    pub(crate) fn is_clean(&self) -> bool {
        self.ending != Ending::Open
    }
}
