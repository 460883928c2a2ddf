//! Reads a whole store and checks all that can be checked.

use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::Result;
use crate::log::Position;
use crate::log::maintain::{
    self, Damage, Progress, Verification, members, open_dir_to_read, verify_records,
};
use crate::log::recover::segment_path;
use crate::store::entry::Entry;
use crate::store::maintain::beside::{self, Beside};

/// What a verification of a store found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreVerification {
    /// What was found of its log; all damage is there.
    pub log: Verification,
    /// Records that are entries; 0 for a log without streams.
    pub entries: u64,
    /// Indexes and snapshots that were read.
    pub files: u64,
}

/// Reads all of the store in `path` on `disk`: checks its log as [`maintain::verify_with`] does, that each record is an
/// entry, and the indexes and snapshots. The store may be in use.
///
/// # Errors
///
/// Those of [`maintain::verify_with`]. Damage is no error, but told in the result.
pub fn verify_with(
    disk: &Arc<dyn Disk>,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<StoreVerification> {
    let dir = open_dir_to_read(&**disk, path)?;
    let names = beside::names(&*dir)?;
    let inspection = maintain::inspect_with(disk, path)?;
    if inspection.store_rules.is_none() {
        let log = maintain::verify_with(disk, path, progress)?;
        return Ok(StoreVerification {
            log,
            entries: 0,
            files: 0,
        });
    }
    let (mut entries, mut damages) = (0, Vec::new());
    let mut files = 0;
    if inspection.damage.is_none() {
        let beside = Beside::look(&*dir, &members(&**disk, path)?.anchors, names)?;
        files = beside.infos().len() as u64;
        damages = beside.damages(&*dir);
    }
    let mut visit = |at: Position, payload: &[u8]| match Entry::parse(payload) {
        Some(_) => entries += 1,
        None => damages.push(Damage {
            position: Some(at),
            ..Damage::new(
                segment_path(&*dir, at.segment()),
                "a record that is no entry",
            )
        }),
    };
    let mut log = verify_records(disk, path, progress, &mut visit)?;
    log.add(damages);
    Ok(StoreVerification {
        log,
        entries,
        files,
    })
}
