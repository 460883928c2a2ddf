//! Mends a damaged log: keeps the records before the first damage, and puts what cannot be kept
//! into the folder `quarantine`. It never deletes.
//!
//! A [`plan`] says what would be done; [`RepairPlan::apply`] does it:
//!
//! 1. Damaged files are copied into the quarantine.
//! 2. Headers are written again from the footers that repeat them, and footers from the frames:
//!    this costs no record.
//! 3. If records are lost: the file `ringbolt.repair` marks the log, so that nobody opens it before
//!    the repair is complete; a new segment, above all that are there, names the last position that
//!    is kept as the log's end; what lies behind is moved into the quarantine; the mark goes.
//!
//! A crash at any point is mended by another repair, which goes on where the first one stopped.
//! What a repair cuts off is *behind* the first damage, since a log has no gaps; only where nothing
//! is left before it, the log is kept behind it, and begins there.

mod apply;
mod diagnosis;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Dir, Disk, File};
use crate::error::{Error, ErrorKind, Result};
use crate::log::maintain::no_log;
use crate::log::maintain::verify::Damage;
use crate::log::open::{Purpose, open_dir};
use crate::log::position::Position;
use crate::log::recover::{LOCK_NAME, Listing, QUARANTINE_NAME, REPAIR_NAME, segment_path};
use crate::log::segment::{Footer, Header, Link};
use apply::Applier;
use diagnosis::Diagnosis;

/// Looks for all damage in the log in `dir` on this machine's disks; see [`plan_with`].
///
/// # Errors
///
/// Those of [`plan_with`].
pub fn plan(dir: impl AsRef<Path>) -> Result<RepairPlan> {
    plan_with(&super::real(), dir.as_ref())
}

/// Looks for all damage in the log in `path` on `disk`, and says how to mend it. Reads the whole
/// log, and holds its lock until the plan is dropped.
///
/// # Errors
///
/// [`ErrorKind::Locked`] while somebody has the log open for writing, [`ErrorKind::NotALog`],
/// [`ErrorKind::NotOwner`], [`ErrorKind::Version`], [`ErrorKind::UnknownFeature`],
/// [`ErrorKind::Io`]; [`ErrorKind::Damaged`] where another log's segment must be moved by hand.
pub fn plan_with(disk: &Arc<dyn Disk>, path: &Path) -> Result<RepairPlan> {
    let dir = open_dir(&**disk, path, Purpose::Write)?;
    let at = |error| Error::io("locking the log", error).at_path(path.join(LOCK_NAME));
    let listing = Listing::read(&*dir)?;
    if listing.segments.is_empty() && !listing.repairing {
        return Err(no_log(&*dir));
    }
    let lock = dir.lock(LOCK_NAME).map_err(at)?.ok_or_else(|| {
        Error::new(ErrorKind::Locked, "")
            .at_path(path)
            .remedy("close the writer first")
    })?;
    // What is there may have changed before the lock was ours.
    let listing = Listing::read(&*dir)?;
    let diagnosis = Diagnosis::of(&*dir, &listing)?;
    let steps = diagnosis.steps(&**disk, &*dir, &listing)?;
    Ok(RepairPlan {
        disk: Arc::clone(disk),
        dir,
        lock,
        end: diagnosis.end(),
        damages: diagnosis.damages,
        steps,
    })
}

/// What a repair would do. Holds the log's lock.
#[derive(Debug)]
pub struct RepairPlan {
    disk: Arc<dyn Disk>,
    dir: Arc<dyn Dir>,
    lock: Arc<dyn File>,
    end: Position,
    damages: Vec<Damage>,
    steps: Vec<Step>,
}

/// What a repair did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Repaired {
    /// Where the log ends now.
    pub end: Position,
    /// What was put into the quarantine.
    pub quarantined: Vec<PathBuf>,
}

impl RepairPlan {
    /// What is wrong, in the order in which it was found.
    #[must_use]
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// What would be done, a sentence each. None: there is nothing to repair; a torn tail, too, is
    /// a matter of the next opening.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        self.steps.iter().map(ToString::to_string).collect()
    }

    /// Adds damage to what is derived from the log, and the files to set aside, so that it is derived again.
    #[cfg_attr(ringbolt_loom, allow(dead_code))]
    pub(crate) fn derive_again(&mut self, damages: Vec<Damage>, aside: Vec<String>) {
        self.damages.extend(damages);
        self.steps.extend(aside.into_iter().map(Step::Derive));
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Where the log would end.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] (make room, and repair again), [`ErrorKind::Io`].
    pub fn apply(self) -> Result<Repaired> {
        let steps = self.steps.len();
        self.apply_some(steps)
    }

    /// Does the first `count` steps.
    pub(super) fn apply_some(self, count: usize) -> Result<Repaired> {
        let mut applier = Applier::new(&*self.disk, &*self.dir);
        for step in self.steps.iter().take(count) {
            applier
                .apply(step)
                .map_err(|error| error.at_path(step.path(&*self.dir)))?;
        }
        drop(self.lock);
        Ok(Repaired {
            end: self.end,
            quarantined: applier.quarantined,
        })
    }
}

/// One step of a repair.
#[derive(Debug)]
enum Step {
    Copy(String),
    WriteHeader(Header),
    WriteFooter(Header, Footer),
    Mark,
    Commit(Header),
    Move(String),
    /// A file that the next opening makes again.
    Derive(String),
    /// A link or a folder in a segment's place cannot be copied.
    SetAside(String),
    Unmark,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let quarantine = format!("{QUARANTINE_NAME}/");
        match self {
            Self::Copy(name) => write!(f, "copy {name} into {quarantine} as it is"),
            Self::WriteHeader(header) => write!(
                f,
                "write the header of segment {} again, as its footer repeats it",
                header.ordinal
            ),
            Self::WriteFooter(header, footer) => write!(
                f,
                "write the footer of segment {} again: {} records",
                header.ordinal, footer.records
            ),
            Self::Mark => write!(
                f,
                "make {REPAIR_NAME}, so that nobody opens the log half repaired"
            ),
            Self::Commit(header) if header.previous == Link::NONE => write!(
                f,
                "make segment {}, with which the log begins anew: nothing before can be kept",
                header.ordinal
            ),
            Self::Commit(header) => write!(
                f,
                "make segment {}, which ends the log before at {}",
                header.ordinal,
                header.previous.position()
            ),
            Self::Move(name) => write!(f, "move {name} into {quarantine}"),
            Self::Derive(name) => write!(
                f,
                "move {name} into {quarantine}; the next opening derives it again from the log"
            ),
            Self::SetAside(name) => write!(f, "rename {name} to {}", aside(name)),
            Self::Unmark => write!(f, "remove {REPAIR_NAME}"),
        }
    }
}

impl Step {
    fn path(&self, dir: &dyn Dir) -> PathBuf {
        match self {
            Self::Copy(name) | Self::Move(name) | Self::Derive(name) | Self::SetAside(name) => {
                dir.path().join(name)
            }
            Self::WriteHeader(header) | Self::WriteFooter(header, _) | Self::Commit(header) => {
                segment_path(dir, header.ordinal)
            }
            Self::Mark | Self::Unmark => dir.path().join(REPAIR_NAME),
        }
    }
}

fn aside(name: &str) -> String {
    format!("quarantined-{name}")
}
