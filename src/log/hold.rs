//! A segment's file, held by those who read it, and by nobody else: a log has as many files open
//! as are written and read, however many segments it has.
//!
//! Whoever reads a segment opens it by its name, locks it shared, and then looks whether the name
//! is still there. Whoever recycles one locks it alone, takes its name away, and only then gives
//! the lock back (see `make`); a name never stands for two segments. So a file whose name was seen
//! *after* it was locked is the segment, and stays it for as long as it is held: opened too late, it
//! is [`Absent`], and never another segment's bytes. A file that is only unlinked stays what it was.
//! The rule is the same for readers of this log, of one that was closed, and of other processes.

use std::io;
use std::sync::{Arc, OnceLock};

use crate::disk::{Dir, File, FileMap, LockMode, OpenMode};
use crate::log::segment;

/// Why a segment's file cannot be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Its name is not there, or not any more.
    Missing,
    /// Somebody has it for himself alone: who is about to recycle it.
    Locked,
}

/// A segment's file, open to be read; not recycled while this lives. Its mapping must not outlive
/// it: whoever keeps the one keeps the other.
#[derive(Debug)]
pub(crate) struct Held {
    map: OnceLock<Arc<FileMap>>,
    file: Arc<dyn File>,
}

impl Held {
    /// Opens the file of a segment and makes sure that it is that. Blocks on the disk.
    pub(crate) fn open(dir: &dyn Dir, ordinal: u64) -> io::Result<Result<Self, Absent>> {
        let name = segment::file_name(ordinal);
        let Some(file) = find(dir, &name)? else {
            return Ok(Err(Absent::Missing));
        };
        if !file.try_lock(LockMode::Shared)? {
            return Ok(Err(Absent::Locked));
        }
        // Between the opening and the lock it may have become a spare, and more.
        let held = Self {
            map: OnceLock::new(),
            file,
        };
        Ok(find(dir, &name)?.map(|_| held).ok_or(Absent::Missing))
    }

    pub(crate) fn file(&self) -> &dyn File {
        &*self.file
    }

    /// The file for reads that are under way: locked for as long as anybody has it.
    pub(crate) fn shared_file(&self) -> Arc<dyn File> {
        Arc::clone(&self.file)
    }

    /// The file alone, locked for as long as it is open.
    pub(crate) fn into_file(self) -> Arc<dyn File> {
        self.file
    }

    /// The mapping of the first `len` bytes, or of what there is of them, which all share; made by
    /// the first who asks. `None` where this disk has no mappings.
    pub(crate) fn map(&self, len: u64) -> io::Result<Option<Arc<FileMap>>> {
        if let Some(map) = self.map.get() {
            return Ok(Some(Arc::clone(map)));
        }
        // A file that was shortened is mapped as far as it goes; what is missing is then missed.
        let len = len.min(self.file.len()?);
        if len == 0 {
            return Ok(None);
        }
        let Some(map) = self.file.map(len)? else {
            return Ok(None);
        };
        // Of two who came at once, one maps in vain.
        Ok(Some(Arc::clone(self.map.get_or_init(|| Arc::new(map)))))
    }
}

fn find(dir: &dyn Dir, name: &str) -> io::Result<Option<Arc<dyn File>>> {
    match dir.open(name, OpenMode::Read) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
