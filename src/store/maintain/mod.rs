//! Looking after a store: as [`maintain`] does after its log, and beside that at its
//! indexes and snapshots, and at the entries that the records are. On a log without streams these do what
//! those of the log do.
//!
//! An index or a snapshot is derived from the log. So one that is damaged is mended as long as the log still
//! has what it was derived from: a repair puts it into the quarantine, with the snapshots that an opening would
//! begin at too late, and the next opening derives them again.

mod beside;
mod entries;
mod repair;
mod verify;

use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, Real};
use crate::error::Result;
use crate::log::maintain::{self, Inspection, Progress, RepairPlan, members, open_dir_to_read};

use beside::Beside;

pub use beside::{FileInfo, FileKind, FileState};
pub use entries::EntryInfo;
pub use repair::repair_with;
pub use verify::{StoreVerification, verify_with};

/// What a store is made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreInspection {
    /// What its log is made of.
    pub log: Inspection,
    /// Its indexes and snapshots, by name.
    pub files: Vec<FileInfo>,
}

/// Looks at the store in `dir` on this machine's disks; see [`inspect_with`].
///
/// # Errors
///
/// Those of [`inspect_with`].
pub fn inspect(dir: impl AsRef<Path>) -> Result<StoreInspection> {
    inspect_with(&real(), dir.as_ref())
}

/// Looks at the store in `path` on `disk`, which may be in use.
///
/// # Errors
///
/// Those of [`maintain::inspect_with`]. Damage is no error.
pub fn inspect_with(disk: &Arc<dyn Disk>, path: &Path) -> Result<StoreInspection> {
    let dir = open_dir_to_read(&**disk, path)?;
    let names = beside::names(&*dir)?;
    let log = maintain::inspect_with(disk, path)?;
    let files = match log.damage {
        // Which segments the log has is not known.
        Some(_) => names.iter().map(beside::Name::unknown).collect(),
        None => Beside::look(&*dir, &members(&**disk, path)?.anchors, names)?.infos(),
    };
    Ok(StoreInspection { log, files })
}

/// Reads and checks all of the store in `dir` on this machine's disks; see [`verify_with`].
///
/// # Errors
///
/// Those of [`verify_with`].
pub fn verify(
    dir: impl AsRef<Path>,
    progress: &mut dyn FnMut(Progress),
) -> Result<StoreVerification> {
    verify_with(&real(), dir.as_ref(), progress)
}

/// Looks for all damage in the store in `dir` on this machine's disks; see [`repair_with`].
///
/// # Errors
///
/// Those of [`repair_with`].
pub fn repair(dir: impl AsRef<Path>) -> Result<RepairPlan> {
    repair_with(&real(), dir.as_ref())
}

fn real() -> Arc<dyn Disk> {
    Arc::new(Real::probe())
}
