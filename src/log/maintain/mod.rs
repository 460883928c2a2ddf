//! Looking after a log: [`inspect`] says what it is made of, [`verify`] reads every byte
//! and checks it, [`repair`] mends what is damaged without deleting anything.
//!
//! The first two only read, need no lock, and give no false alarm on a log that is in use. A repair
//! needs the log for itself.

mod inspect;
#[cfg(not(ringbolt_loom))]
mod members;
pub mod repair;
mod verify;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::disk::{Dir, Disk, Real};
use crate::error::{Error, ErrorKind, Result};

#[cfg(not(ringbolt_loom))]
pub(crate) use members::{members, open_dir_to_read};
#[cfg(not(ringbolt_loom))]
pub(crate) use repair::RepairPlan;
#[cfg(not(ringbolt_loom))]
pub(crate) use verify::verify_records;

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

fn no_log(dir: &dyn Dir) -> Error {
    Error::new(ErrorKind::NotALog, "there are no segments")
        .at_path(dir.path())
        .remedy("check the path")
}

/// A point in time that a file tells; none for 0, which stands for unknown.
fn time(unix_ns: u64) -> Option<SystemTime> {
    (unix_ns != 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_ns))
}
