//! Writes by plain calls: the rung that always works.
//!
//! [`Queue::submit`] carries the writes out, in order, and blocks for as long as they take. Past the
//! page cache each is durable by itself; through it, all writes of a submission share one sync per
//! file, which happens after the last of them.

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::{Completion, File, Queue, Region, Rung, Write};
use crate::sys::event::{Bell, wait_readable};
use crate::sys::fs::{self, Durably};

/// The queue of plain calls.
#[derive(Debug)]
pub(crate) struct Posix {
    rung: Rung,
    bell: Arc<Bell>,
    /// Whether the bell's descriptor was handed out and must show all there is.
    shown: Cell<bool>,
    pushed: Vec<Write>,
    done: Vec<Completion>,
    /// Locks that live as long as this queue wants. A process that is killed within a call
    /// finishes that call before the kernel closes its files, so this is all that is needed.
    held: Vec<Arc<dyn File>>,
}

impl Posix {
    pub(crate) fn new(bell: Arc<Bell>, rung: Rung) -> Self {
        Self {
            rung,
            bell,
            shown: Cell::new(false),
            pushed: Vec::new(),
            done: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Takes over what ended already on another queue.
    pub(crate) fn adopt(&mut self, mut done: Vec<Completion>) {
        self.done.append(&mut done);
    }

    /// Lets the bell's descriptor show whatever `wait` would return for.
    pub(crate) fn show(&self) -> io::Result<()> {
        if !self.shown.replace(true) {
            self.bell.show()?;
            if !self.done.is_empty() {
                self.bell.raise()?;
            }
        }
        Ok(())
    }
}

impl Queue for Posix {
    fn rung(&self) -> Rung {
        self.rung.clone()
    }

    fn add_region(&mut self, _region: &Arc<Region>) {}

    fn remove_region(&mut self, _region: &Arc<Region>) {}

    fn hold(&mut self, lock: &Arc<dyn File>) {
        self.held.push(Arc::clone(lock));
    }

    fn release(&mut self, lock: &Arc<dyn File>) {
        if let Some(at) = self.held.iter().position(|held| Arc::ptr_eq(held, lock)) {
            self.held.swap_remove(at);
        }
    }

    fn push(&mut self, write: Write) {
        self.pushed.push(write);
    }

    fn submit(&mut self) -> io::Result<()> {
        if self.pushed.is_empty() {
            return Ok(());
        }
        let mut results: Vec<_> = self.pushed.iter().map(carry_out).collect();
        sync_once_per_file(&self.pushed, &mut results, fs::sync_data);
        let ended = self.pushed.drain(..).zip(results);
        self.done.extend(ended.map(|(write, result)| Completion {
            token: write.token,
            result: result.map(drop),
        }));
        if self.shown.get() {
            self.bell.raise()?;
        }
        Ok(())
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        if !self.done.is_empty() {
            completions.append(&mut self.done);
            if self.shown.get() {
                self.bell.lower()?;
            }
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if !self.done.is_empty() {
                return Ok(());
            }
            let rung = if self.shown.get() {
                self.bell.listen_on()?
            } else {
                !self.bell.listen()
            };
            if rung {
                return Ok(());
            }
            let left = deadline.map(|deadline| deadline - Instant::now().min(deadline));
            let readable = wait_readable(self.bell.descriptor(), left)?;
            // A descriptor that is shown is emptied by `listen_on` at the loop's head.
            if !self.shown.get() {
                if readable {
                    self.bell.drain()?;
                }
                if self.bell.hush() {
                    return Ok(());
                }
            }
            if !readable {
                return Ok(());
            }
        }
    }

    fn waker(&self) -> Waker {
        self.bell.waker()
    }

    fn event_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.show().ok()?;
        Some(self.bell.descriptor())
    }

    fn outstanding(&self) -> usize {
        self.pushed.len() + self.done.len()
    }
}

/// Whether a write that went well still needs a sync of its file.
type Outcome = io::Result<NeedsSync>;
type NeedsSync = bool;

fn carry_out(write: &Write) -> Outcome {
    let file = descriptor(write)?;
    let durably = if fs::is_direct(file)? {
        Durably::Now
    } else {
        Durably::Later
    };
    let range = write.region_offset..write.region_offset + write.len;
    fs::write_region(file, &write.region, range, write.file_offset, durably)?;
    Ok(durably == Durably::Later)
}

/// The write's descriptor, if the write can be one of ours at all.
pub(super) fn descriptor(write: &Write) -> io::Result<BorrowedFd<'_>> {
    let end = write.region_offset.checked_add(write.len);
    if end.is_none_or(|end| end > write.region.len()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a write beyond the end of its region",
        ));
    }
    write.file.descriptor().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "a write to a file that is not the kernel's",
        )
    })
}

/// Makes the writes durable that still need it. A sync that fails takes all of its file's writes
/// with it: which of them it lost is not known.
fn sync_once_per_file(
    writes: &[Write],
    results: &mut [Outcome],
    mut sync: impl FnMut(BorrowedFd<'_>) -> io::Result<()>,
) {
    for first in 0..writes.len() {
        if !matches!(results[first], Ok(true)) {
            continue;
        }
        let file = &writes[first].file;
        let synced = descriptor(&writes[first]).and_then(&mut sync);
        let of_this_file = writes[first..].iter().zip(&mut results[first..]);
        for (write, result) in of_this_file {
            if Arc::ptr_eq(&write.file, file) && matches!(result, Ok(true)) {
                *result = match &synced {
                    Ok(()) => Ok(false),
                    Err(error) => Err(copy(error)),
                };
            }
        }
    }
}

/// The same error once more, for another waiter.
pub(super) fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;
    use crate::disk::{Disk as _, Real};

    /// After a sync that failed, the next one of the same file may well succeed, though the kernel
    /// has dropped what the first was to save: it must not be asked.
    #[test]
    fn a_sync_that_failed_is_not_tried_again_for_the_other_writes_of_its_file() {
        let path = std::env::temp_dir().join(format!("ringbolt-once-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let dir = Real::probe().open_dir(&path).unwrap();
        let files = ["a", "b", "c"].map(|name| dir.create(name).unwrap());
        let region = Arc::new(Region::new(4096).unwrap());
        let writes = [0, 1, 0, 2, 1, 0, 2, 0].map(|file: usize| Write {
            file: Arc::clone(&files[file]),
            file_offset: 0,
            region: Arc::clone(&region),
            region_offset: 0,
            len: 4096,
            token: file as u64,
        });
        // The one but last needs no sync, and the last failed by itself.
        let mut results = [const { Ok(true) }; 8];
        results[6] = Ok(false);
        results[7] = Err(io::ErrorKind::StorageFull.into());
        let mut synced = Vec::new();
        let bad = files[0].descriptor().unwrap().as_raw_fd();
        sync_once_per_file(&writes, &mut results, |file| {
            let again = synced.contains(&file.as_raw_fd());
            synced.push(file.as_raw_fd());
            if file.as_raw_fd() == bad && !again {
                return Err(io::Error::from_raw_os_error(5));
            }
            Ok(())
        });
        assert_eq!(synced.len(), 3, "each file once");
        for (n, (write, result)) in writes.iter().zip(&results).enumerate() {
            match (write.token, n, result) {
                (0, 7, Err(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
                (0, _, Err(error)) => assert_eq!(error.raw_os_error(), Some(5)),
                (1 | 2, _, Ok(false)) => {}
                other => panic!("{other:?}"),
            }
        }
        std::fs::remove_dir_all(path).unwrap();
    }
}
