//! What a store keeps beside its log, because the log's segments alone do not say it any more once
//! those before them are gone: where the records of a segment lie, and what the pass had derived at its
//! end.
//!
//! | name | what it is |
//! | --- | --- |
//! | `NNNNNNNNNNN.idx` | where the records of segment N lie |
//! | `NNNNNNNNNNN.snap` | what the pass had derived at the end of segment N |
//!
//! A file is written when all of its segment is on disk, under another name, synced, and then
//! renamed. It counts only if it names the segment as the log has it: by its salt, and by where it ends.
//! Bytes: `docs/format.md`.

use std::io;

use crate::disk::{AlignedBuf, Dir, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::log::follow::Anchor;

/// Bytes before a file's body.
const HEAD_BYTES: usize = 72;
const MAGIC: [u8; 8] = *b"RBEVIDNC";
const VERSION: u32 = 1;
const CRC_AT: usize = 64;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Index,
    Snapshot,
}

impl What {
    fn suffix(self) -> &'static str {
        match self {
            Self::Index => ".idx",
            Self::Snapshot => ".snap",
        }
    }

    pub(crate) fn name(self, ordinal: u64) -> String {
        format!("{ordinal:011}{}", self.suffix())
    }

    /// The segment that a file of this name is about.
    pub(crate) fn parse(self, name: &str) -> Option<u64> {
        let digits = name.strip_suffix(self.suffix())?;
        let sound = digits.len() == 11 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| sound)
    }
}

/// Writes a file durably; one of the same name is replaced.
///
/// # Errors
///
/// [`ErrorKind::Full`], [`ErrorKind::Io`].
pub(crate) fn write(dir: &dyn Dir, what: What, anchor: &Anchor, body: &[u8]) -> Result<()> {
    let name = what.name(anchor.ordinal);
    let at = |error: io::Error| {
        Error::io(format!("writing {name}"), error).at_path(dir.path().join(&name))
    };
    let len = (HEAD_BYTES + body.len()).next_multiple_of(dir.block_size() as usize);
    let mut bytes = AlignedBuf::new(len).map_err(at)?;
    let head = head(what, anchor, body);
    bytes[..HEAD_BYTES].copy_from_slice(&head);
    bytes[HEAD_BYTES..HEAD_BYTES + body.len()].copy_from_slice(body);
    let making = format!("making-{name}.tmp");
    let written = (|| {
        let file = match dir.create(&making) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                dir.unlink(&making)?;
                dir.create(&making)?
            }
            made => made?,
        };
        file.allocate(len as u64)?;
        file.write_at(&bytes, 0)?;
        dir.rename(&making, &name)?;
        dir.sync()
    })();
    written.map_err(|error| {
        // Nothing of it is left behind; the error that matters is the first one.
        let _ = dir.unlink(&making);
        at(error)
    })
}

fn head(what: What, anchor: &Anchor, body: &[u8]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..16].copy_from_slice(&(what as u32).to_le_bytes());
    head[16..32].copy_from_slice(&anchor.log_id);
    head[32..40].copy_from_slice(&anchor.ordinal.to_le_bytes());
    head[40..48].copy_from_slice(&anchor.salt.to_le_bytes());
    head[48..56].copy_from_slice(&anchor.end_bytes.to_le_bytes());
    head[56..64].copy_from_slice(&(body.len() as u64).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..CRC_AT]), body);
    head[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Reads the body of a file that is about the segment as the log has it; `None` where there is none
/// that is sound.
///
/// # Errors
///
/// [`ErrorKind::Io`].
pub(crate) fn read(dir: &dyn Dir, what: What, anchor: &Anchor) -> Result<Option<Vec<u8>>> {
    let name = what.name(anchor.ordinal);
    let at = |error: io::Error| {
        Error::io(format!("reading {name}"), error).at_path(dir.path().join(&name))
    };
    let file = match dir.open(&name, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(at)?,
    };
    let len = file.len().map_err(at)? as usize;
    let block = dir.block_size() as usize;
    let mut bytes = AlignedBuf::new(len.next_multiple_of(block).max(block)).map_err(at)?;
    let read = file.read_at(&mut bytes, 0).map_err(at)?;
    let Some((found, rest)) = bytes[..read.min(len)].split_first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let body_bytes = u64::from_le_bytes(found[56..64].try_into().expect("eight bytes"));
    let body = usize::try_from(body_bytes)
        .ok()
        .and_then(|len| rest.get(..len));
    Ok(body
        .filter(|body| head(what, anchor, body) == *found)
        .map(<[u8]>::to_vec))
}

/// Why a store is not opened that has lost its snapshots.
pub(crate) const NO_BEGIN: &str = "no snapshot is sound, and the log's begin is not there any more";

/// An index that must be there, and is not: without it nobody knows the offsets of its records.
pub(crate) fn missing(dir: &dyn Dir, ordinal: u64) -> Error {
    let name = What::Index.name(ordinal);
    Error::new(
        ErrorKind::Damaged,
        "the index of a segment is missing or damaged",
    )
    .at_path(dir.path().join(name))
    .remedy("put it back from a backup; what lies in other segments can still be read")
}
