//! Making segments ahead of their use, and recycling or removing the ones behind.
//!
//! These are the keeper's jobs: slow, and never on the path of an append. A segment is made in
//! full before it gets its name: allocated, header written and synced, renamed, directory synced.
//! A crash in between leaves a `making-*.tmp` or a spare, which the next opening removes or reuses.

use std::io;
use std::sync::Arc;

use crate::disk::{AlignedBuf, Dir, File, LockMode, OpenMode};
use crate::error::{Error, Result};
use crate::log::segment::{self, Header};
use crate::sync::lock::Mutex;

/// The prefix and suffix of an emptied segment that waits for reuse.
const SPARE: (&str, &str) = ("spare-", ".free");
/// The prefix and suffix of a file that is being made.
const MAKING: (&str, &str) = ("making-", ".tmp");

/// The number of the ballast's name: no segment has it.
const BALLAST: u64 = 0;

/// Zeroes are written ahead in pieces of this size.
const FILL_BYTES: usize = 1 << 20;

/// The emptied files of a log's directory that new segments are made of; one of them is the
/// ballast, which only control work may take: with it a full disk can still be trimmed.
#[derive(Debug)]
pub(crate) struct Spares {
    names: Mutex<Vec<String>>,
}

impl Spares {
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self {
            names: Mutex::new(names),
        }
    }

    /// Takes one; the last only for control work.
    fn take(&self, control: bool) -> Option<String> {
        let mut names = self.names.lock();
        if names.len() > usize::from(!control) {
            names.pop()
        } else {
            None
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.names.lock().len()
    }

    fn put(&self, name: String) {
        self.names.lock().push(name);
    }
}

pub(crate) fn spare_name(number: u64) -> String {
    format!("{}{number:011}{}", SPARE.0, SPARE.1)
}

/// How a segment is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) header: Header,
    /// Whether zeroes are written ahead, should the file be a fresh one.
    pub(crate) fill: bool,
    /// Whether the ballast may be used.
    pub(crate) control: bool,
}

/// Makes a segment durably, under its final name. Says whether it was recycled.
pub(crate) fn make(dir: &dyn Dir, spares: &Spares, plan: &Plan) -> Result<(Arc<dyn File>, bool)> {
    let name = segment::file_name(plan.header.ordinal);
    let at = |error: io::Error| {
        Error::io(format!("making segment {name}"), error).at_path(dir.path().join(&name))
    };
    // The segment has its name, for good or not: that is never just a full disk, after which the
    // log would go on as if there were no such segment.
    let unsettled = |error| at(error).into_fatal();
    while let Some(spare) = spares.take(plan.control) {
        if let Some(file) = reusable(dir, &spare, plan.header.segment_bytes).map_err(at)? {
            write_header(&*file, &plan.header).map_err(at)?;
            dir.rename(&spare, &name).map_err(at)?;
            dir.sync().map_err(unsettled)?;
            return Ok((file, true));
        }
    }
    let making = format!("{}{:011}{}", MAKING.0, plan.header.ordinal, MAKING.1);
    let file = fresh(dir, &making, plan.header.segment_bytes, plan.fill).map_err(at)?;
    write_header(&*file, &plan.header).map_err(at)?;
    dir.rename(&making, &name).map_err(at)?;
    dir.sync().map_err(unsettled)?;
    Ok((file, false))
}

/// Keeps one spare as the ballast of a full disk.
pub(crate) fn make_ballast(dir: &dyn Dir, spares: &Spares, segment_bytes: u64) -> Result<()> {
    if spares.len() > 0 {
        return Ok(());
    }
    let (making, name) = (
        format!("{}ballast{}", MAKING.0, MAKING.1),
        spare_name(BALLAST),
    );
    let at =
        |error: io::Error| Error::io("making the ballast", error).at_path(dir.path().join(&name));
    fresh(dir, &making, segment_bytes, false).map_err(at)?;
    dir.rename(&making, &name).map_err(at)?;
    spares.put(name.clone());
    Ok(())
}

/// A new file with all its space. On failure nothing of it is left behind.
fn fresh(dir: &dyn Dir, name: &str, len: u64, fill: bool) -> io::Result<Arc<dyn File>> {
    let file = match dir.create(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            dir.unlink(name)?;
            dir.create(name)?
        }
        other => other?,
    };
    let made = file
        .allocate(len)
        .and_then(|()| if fill { zero_fill(&*file, len) } else { Ok(()) });
    match made {
        Ok(()) => Ok(file),
        Err(error) => {
            // The space goes back; the error that matters is the first one.
            drop(file);
            let _ = dir.unlink(name);
            Err(error)
        }
    }
}

/// Writes zeroes over the whole file, so that later writes need not convert extents.
fn zero_fill(file: &dyn File, len: u64) -> io::Result<()> {
    let zeroes = AlignedBuf::new(FILL_BYTES)?;
    let mut offset = 0;
    while offset < len {
        let piece = (len - offset).min(FILL_BYTES as u64);
        file.write_at(&zeroes[..piece as usize], offset)?;
        offset += piece;
    }
    Ok(())
}

/// A spare's file, if nobody else uses it and it has the right size; else its name is removed.
fn reusable(dir: &dyn Dir, name: &str, len: u64) -> io::Result<Option<Arc<dyn File>>> {
    let file = match dir.open(name, OpenMode::Write) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.len()? == len && lock_alone(&*file)? {
        file.unlock()?;
        return Ok(Some(file));
    }
    dir.unlink(name)?;
    Ok(None)
}

/// Locks a file, if it has no other name and nobody else reads it: in no process, this one
/// included, since each reader locks what it has open (see `hold`).
fn lock_alone(file: &dyn File) -> io::Result<bool> {
    Ok(file.links()? == 1 && file.try_lock(LockMode::Exclusive)?)
}

fn write_header(file: &dyn File, header: &Header) -> io::Result<()> {
    let mut block = AlignedBuf::new(header.block_bytes as usize)?;
    header.write(&mut block);
    file.write_at(&block, 0)
}

/// Takes segments out of the directory, oldest first: some become spares if nobody uses them, so
/// that there are up to `keep` and the ballast; the others lose their name, which is always safe.
pub(crate) fn remove(
    dir: &dyn Dir,
    spares: &Spares,
    ordinals: Vec<u64>,
    keep: usize,
) -> Result<usize> {
    let mut kept = Vec::new();
    for ordinal in ordinals {
        let name = segment::file_name(ordinal);
        let at = |error: io::Error| {
            Error::io(format!("removing segment {name}"), error).at_path(dir.path().join(&name))
        };
        let file = if spares.len() + kept.len() < keep + usize::from(keep > 0) {
            // What cannot even be opened is not recycled, but goes all the same.
            dir.open(&name, OpenMode::Write).ok()
        } else {
            None
        };
        match file {
            Some(file) if lock_alone(&*file).map_err(at)? => {
                let spare = spare_name(ordinal);
                dir.rename(&name, &spare).map_err(at)?;
                kept.push((spare, file));
            }
            _ => dir.unlink(&name).map_err(at)?,
        }
    }
    dir.sync()
        .map_err(|error| Error::io("syncing the directory", error).at_path(dir.path()))?;
    let count = kept.len();
    for (spare, file) in kept {
        // Not before the names are gone for good: who gets the lock now sees that they are.
        file.unlock()
            .map_err(|error| Error::io(format!("unlocking {spare}"), error))?;
        spares.put(spare);
    }
    Ok(count)
}
