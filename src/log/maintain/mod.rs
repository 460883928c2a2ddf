//! Looking after a log: [`inspect`] says what it is made of, [`verify`] reads every byte
//! and checks it, [`repair`] mends what is damaged without deleting anything.
//!
//! The first two only read, need no lock, and give no false alarm on a log that is in use. A repair
//! needs the log for itself.

mod inspect;
pub mod repair;
mod verify;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::disk::{Dir, Disk, PathKind, Real};
use crate::error::{Error, ErrorKind, Result};

pub use inspect::{Inspection, SegmentInfo, SegmentState, inspect_with};
pub use verify::{Damage, Progress, Verification, verify_with};

/// Looks at the log in `dir` on this machine's disks, which may be in use; see [`inspect_with`].
///
/// ```
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-inspect-{}", std::process::id()));
/// # let log = ringbolt::Log::open(&dir)?;
/// # log.append(b"a record")?.wait()?;
/// # log.close()?;
/// let inspection = ringbolt::maintain::inspect(&dir)?;
/// println!("{} records up to {}", inspection.records_total, inspection.end);
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`inspect_with`].
pub fn inspect(dir: impl AsRef<Path>) -> Result<Inspection> {
    inspect_with(&real(), dir.as_ref())
}

/// Reads and checks all of the log in `dir` on this machine's disks, which may be in use; see
/// [`verify_with`].
///
/// ```
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-verify-{}", std::process::id()));
/// # let log = ringbolt::Log::open(&dir)?;
/// # log.append(b"a record")?.wait()?;
/// let verification = ringbolt::maintain::verify(&dir, &mut |_| {})?;
/// assert!(verification.is_sound(), "{:?}", verification.damages);
/// # log.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`verify_with`].
pub fn verify(dir: impl AsRef<Path>, progress: &mut dyn FnMut(Progress)) -> Result<Verification> {
    verify_with(&real(), dir.as_ref(), progress)
}

fn real() -> Arc<dyn Disk> {
    Arc::new(Real::probe())
}

/// Opens the directory of a log that should be there already.
fn open_dir(disk: &dyn Disk, path: &Path, to_write: bool) -> Result<Arc<dyn Dir>> {
    let at = |error| Error::io("opening the log's directory", error).at_path(path);
    let stat = disk.stat(path).map_err(at)?;
    let refuse =
        |kind, what: &str, remedy: &str| Err(Error::new(kind, what).at_path(path).remedy(remedy));
    match stat.kind {
        PathKind::Directory if to_write && !stat.owned => refuse(
            ErrorKind::NotOwner,
            "",
            "run as its owner, or change its owner",
        ),
        PathKind::Directory => disk.open_dir(path).map_err(at),
        PathKind::Missing => refuse(ErrorKind::NotALog, "there is nothing", "check the path"),
        PathKind::Symlink => refuse(ErrorKind::Symlink, "", "name the directory itself"),
        PathKind::File | PathKind::Other => refuse(
            ErrorKind::NotALog,
            "it is not a directory",
            "name the log's directory",
        ),
    }
}

fn no_log(dir: &dyn Dir) -> Error {
    Error::new(ErrorKind::NotALog, "there are no segments")
        .at_path(dir.path())
        .remedy("check the path")
}

/// A point in time that a file tells; none for 0, which stands for unknown.
fn time(unix_ns: u64) -> Option<SystemTime> {
    (unix_ns != 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_ns))
}
