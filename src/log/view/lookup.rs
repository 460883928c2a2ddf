//! Reading records through a view at the positions that somebody knows.

use bytes::Bytes;

use crate::disk::Dir;
use crate::error::{Error, ErrorKind, Result};
use crate::log::position::Position;
use crate::log::read::What;
use crate::log::view::ViewRecord;
use crate::log::view::file::{SegmentFile, about};
use crate::log::view::reader::{batch, frame_of_batch};

/// Reads records by their positions. It keeps the segment of the last one open.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    file: Option<SegmentFile>,
}

impl Lookup {
    /// The record at `position`; all before `proven`, which lies behind it, is proven to be on disk.
    /// `None` where its segment is not there any more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Damaged`], [`ErrorKind::Io`].
    pub(crate) fn read(
        &mut self,
        dir: &dyn Dir,
        position: Position,
        proven: Position,
    ) -> Result<Option<ViewRecord>> {
        let (ordinal, offset) = (position.segment(), position.offset_bytes());
        let file = match self.file.take() {
            Some(file) if file.header.ordinal == ordinal => Some(file),
            _ => SegmentFile::open(dir, ordinal)?,
        };
        let Some(file) = file else {
            return Ok(None);
        };
        let file = self.file.insert(file);
        let end = file.header.frames().end;
        let limit = match proven.segment() > ordinal {
            true => end,
            false => proven.offset_bytes().min(end),
        };
        let found = match file.frame(dir, offset, limit)? {
            Ok(found) => Some(found),
            Err(_) => frame_of_batch(file, dir, offset, limit)?,
        };
        let record = found.and_then(|found| match found.what {
            What::Record {
                payload,
                time_unix_ns,
            } => {
                let bytes = Bytes::copy_from_slice(file.bytes(payload));
                Some(ViewRecord::new(bytes, position, time_unix_ns))
            }
            What::Batch {
                first,
                count,
                time_unix_ns,
            } => {
                let frame = file.bytes(found.begin..found.end);
                let mut records = batch(ordinal, found.begin, first, count, frame);
                let (_, payload) = records.find(|(at, _)| *at == position)?;
                let bytes = Bytes::copy_from_slice(&frame[payload]);
                Some(ViewRecord::new(bytes, position, time_unix_ns))
            }
            What::Checkpoint(_) | What::Nothing => None,
        });
        record.map(Some).ok_or_else(|| {
            let error = Error::new(ErrorKind::Damaged, "the checksum does not match")
                .at_position(position)
                .remedy("`ringbolt verify` says how much is damaged");
            about(dir, ordinal, error)
        })
    }
}
