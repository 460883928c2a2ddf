//! Mends a store: its log, or else its indexes and snapshots.

use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::Result;
use crate::log::maintain::{RepairPlan, members, open_dir_to_read, repair};
use crate::store::maintain::beside::{self, Beside};

/// Looks for all damage in the store in `path` on `disk`, and says how to mend it; see [`repair::plan_with`]. Where the
/// log is damaged, it is mended first, and what lies beside it is a matter of another repair.
///
/// Damage that has no step in the plan cannot be mended: the log does not have any more what a snapshot or an
/// index was derived from.
///
/// # Errors
///
/// Those of [`repair::plan_with`].
pub fn repair_with(disk: &Arc<dyn Disk>, path: &Path) -> Result<RepairPlan> {
    let mut plan = repair::plan_with(disk, path)?;
    if !plan.is_empty() {
        return Ok(plan);
    }
    let members = members(&**disk, path)?;
    if !members.is_store() {
        return Ok(plan);
    }
    let dir = open_dir_to_read(&**disk, path)?;
    let beside = Beside::look(&*dir, &members.anchors, beside::names(&*dir)?)?;
    plan.derive_again(beside.damages(&*dir), beside.aside().unwrap_or_default());
    Ok(plan)
}
