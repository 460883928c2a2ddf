//! What is in a log's directory, by name alone.
//!
//! | name | what it is |
//! | --- | --- |
//! | `ringbolt.lock` | locked by the writer |
//! | `NNNNNNNNNNN.seg` | a segment, by its ordinal |
//! | `spare-*.free` | an emptied segment that waits for reuse; its content means nothing |
//! | `making-*.tmp` | a file that is being made; left over from a crash, it means nothing |
//! | `*.idx`, `*.snap` | what a store keeps of a segment |
//! | `ringbolt.copy` | a copy is being made here, or was interrupted |
//! | `ringbolt.repair` | a repair is under way, or was interrupted |
//! | `quarantine/` | what a repair could not keep; never looked at |

use std::collections::BTreeMap;

use crate::disk::{Dir, DirEntry, PathKind};
use crate::error::{Error, ErrorKind, Result};
use crate::log::segment;

/// The file that a writer locks.
pub(crate) const LOCK_NAME: &str = "ringbolt.lock";
/// The mark of a repair that is not complete.
pub(crate) const REPAIR_NAME: &str = "ringbolt.repair";
/// The mark of a copy that is not complete.
pub(crate) const COPY_NAME: &str = "ringbolt.copy";
/// The folder of what a repair could not keep.
pub(crate) const QUARANTINE_NAME: &str = "quarantine";

/// The names in a directory, sorted by their meaning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Listing {
    /// By ordinal.
    pub(crate) segments: BTreeMap<u64, DirEntry>,
    pub(crate) spares: Vec<String>,
    pub(crate) unfinished: Vec<String>,
    pub(crate) lock: bool,
    pub(crate) repairing: bool,
    /// Names that are none of ours.
    pub(crate) strangers: Vec<String>,
}

impl Listing {
    /// # Errors
    ///
    /// [`ErrorKind::NotALog`] for a copy that is not complete, [`ErrorKind::Io`].
    pub(crate) fn read(dir: &dyn Dir) -> Result<Self> {
        let mut entries = dir
            .list()
            .map_err(|error| Error::io("listing the log", error).at_path(dir.path()))?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut listing = Self::default();
        for entry in entries {
            let name = entry.name.as_str();
            let affixed =
                |prefix: &str, suffix: &str| name.starts_with(prefix) && name.ends_with(suffix);
            if let Some(ordinal) = segment::parse_file_name(name) {
                listing.segments.insert(ordinal, entry);
            } else if affixed("spare-", ".free") && entry.kind == PathKind::File {
                listing.spares.push(entry.name);
            } else if affixed("making-", ".tmp") && entry.kind == PathKind::File {
                listing.unfinished.push(entry.name);
            } else if is_evidence(name) {
                // A store's, which reads it itself.
            } else if name == LOCK_NAME {
                listing.lock = true;
            } else if name == COPY_NAME {
                return Err(unfinished_copy(dir));
            } else if name == REPAIR_NAME {
                listing.repairing = true;
            } else if name != QUARANTINE_NAME {
                listing.strangers.push(entry.name);
            }
        }
        Ok(listing)
    }

    /// The highest ordinal that any segment has, or 0.
    pub(crate) fn ordinal_max(&self) -> u64 {
        self.segments.keys().next_back().copied().unwrap_or(0)
    }
}

/// Half a copy is no log: it may look like one.
pub(crate) fn unfinished_copy(dir: &dyn Dir) -> Error {
    Error::new(
        ErrorKind::NotALog,
        "a copy that was interrupted, or is still being made",
    )
    .at_path(dir.path().join(COPY_NAME))
    .remedy("if nobody makes it, remove the directory and copy again")
}

/// Whether a file of this name is what a store keeps of a segment.
fn is_evidence(name: &str) -> bool {
    [".idx", ".snap"].iter().any(|suffix| {
        let digits = name.strip_suffix(suffix).unwrap_or_default();
        digits.len() == 11 && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}
