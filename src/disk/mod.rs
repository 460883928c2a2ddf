//! What a log needs of a disk, shaped on completions.
//!
//! Five small traits: a [`Disk`] opens directories and makes queues; a [`Dir`] holds files; a
//! [`File`] is read, allocated and locked; a [`Queue`] carries the log's writes: they are pushed,
//! submitted together, and complete in any order. **A write that completed is durable**, on every
//! rung of the ladder of fallbacks: how (`O_DSYNC`, a sync after it) is the disk's affair. A
//! [`ReadQueue`] does the same for reads that need depth.
//!
//! Three kinds of disk implement them: [`real`](Real) over io_uring or plain calls, and the
//! simulated one (feature `sim`), which reorders, tears, drops and fails whatever the real one can.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub use crate::sys::mem::{AlignedBuf, FileMap, Region};
pub use read::{Read, ReadDone, ReadQueue};
pub use real::{Real, RealOptions};

pub(crate) use read::PlainReads;

mod posix;
mod read;
mod real;
#[allow(unsafe_code)]
mod uring;

/// Opens directories, makes queues, tells the time.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Looks at `path` without following a link in its last part.
    fn stat(&self, path: &Path) -> io::Result<PathStat>;

    /// Makes the directory `path` (not its parents) durably: the parent is synced, too.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Opens the directory `path` and probes what its file system can do.
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>>;

    /// Makes a queue. Called on the thread that will own it: one ring, one thread.
    fn queue(&self) -> io::Result<Box<dyn Queue>>;

    /// Makes a queue of reads, of which at most `depth` are on their way at once; more wait in it.
    /// Without a better way: plain calls, one after the other.
    fn reads(&self, depth: usize) -> Box<dyn ReadQueue> {
        let _ = depth;
        Box::new(PlainReads::new("this disk has no other way to read"))
    }

    /// Nanoseconds since 1970, from the wall clock, which may jump.
    fn now_unix_ns(&self) -> u64;

    /// Nanoseconds on a clock that never goes back; its origin is arbitrary.
    fn now_monotonic_ns(&self) -> u64;

    /// Fills `bytes` with random ones: identities and salts.
    fn random(&self, bytes: &mut [u8]);
}

/// What [`Disk::stat`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathStat {
    /// What is there.
    pub kind: PathKind,
    /// Whether it belongs to the user that this process acts as.
    pub owned: bool,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// Nothing is there.
    Missing,
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, wherever it leads.
    Symlink,
    /// Something else.
    Other,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name; names that are not UTF-8 are not listed.
    pub name: String,
    /// What it names.
    pub kind: PathKind,
    /// Length in bytes, of a regular file.
    pub len: u64,
}

/// A directory, held open.
pub trait Dir: fmt::Debug + Send + Sync + 'static {
    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// The block size that writes must keep to, in bytes: the largest of 4096, the physical
    /// sector, the file system's block and the alignment of direct I/O.
    fn block_size(&self) -> u32;

    /// How files of this directory are written, and why not in the best way, for the log's report.
    fn access(&self) -> Access;

    /// All names but `.` and `..`, in no particular order.
    fn list(&self) -> io::Result<Vec<DirEntry>>;

    /// Makes a new file, which must not exist, open for reading and writing.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens a regular file; never follows a link.
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Renames within this directory. Durable after [`Dir::sync`]; replaces what `to` named.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. Durable after [`Dir::sync`].
    fn unlink(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals durable.
    fn sync(&self) -> io::Result<()>;

    /// Watches the directory for changes by any process; `None` where this disk cannot.
    fn watch(&self) -> io::Result<Option<Box<dyn Watch>>> {
        Ok(None)
    }

    /// Tries once to lock the file `name` (made if need be) for this opening alone: `None` when
    /// somebody else holds it. The lock lives as long as the file handle, and beyond it while a
    /// queue [holds](Queue::hold) it.
    fn lock(&self, name: &str) -> io::Result<Option<Arc<dyn File>>>;
}

/// A directory that is watched.
pub trait Watch: fmt::Debug + Send {
    /// Sleeps until a file of the directory was written, made, renamed or removed since the last
    /// call, or until `timeout` passed; says whether something changed.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<bool>;
}

/// Whether a file is opened for reading only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// How the files of a directory are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Past the page cache.
    pub direct: bool,
    /// Why not, where it is not.
    pub reason: Option<String>,
}

/// Shared or exclusive, for [`File::try_lock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Many may hold it: readers of a segment.
    Shared,
    /// One alone: who is about to recycle the segment.
    Exclusive,
}

/// An open file.
pub trait File: fmt::Debug + Send + Sync + 'static {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads until `buf` is full or the file ends; returns the bytes read. Past the page cache
    /// where the directory's [`Access`] is direct: then offset, length and address of `buf` must
    /// be multiples of the block size (see [`AlignedBuf`]).
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `buf` and makes it durable before it returns. The same alignment as
    /// [`File::read_at`]. For headers and other rare writes; the log's own go through a [`Queue`].
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all that was written durable, by whoever wrote it. What is read afterwards comes from
    /// the disk, not from a cache: after a write or a sync that failed, a cache may go on showing
    /// bytes that never came to the disk, as if they were clean.
    fn sync(&self) -> io::Result<()>;

    /// Reserves space for `len` bytes, in full, and makes the file that long, durably.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Tries to lock the file against other openings of it; says whether that succeeded.
    fn try_lock(&self, mode: LockMode) -> io::Result<bool>;

    /// Gives the lock of [`File::try_lock`] back.
    fn unlock(&self) -> io::Result<()>;

    /// The number of names that the file has.
    fn links(&self) -> io::Result<u64>;

    /// Maps the first `len` bytes for reading; `None` where this disk has no mappings.
    fn map(&self, len: u64) -> io::Result<Option<FileMap>>;

    /// The descriptor, where the file is one of the kernel's.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}

/// One write of a log: bytes of a shared [`Region`] to a place in a file.
#[derive(Debug, Clone)]
pub struct Write {
    /// The file.
    pub file: Arc<dyn File>,
    /// Where in the file, in bytes, a multiple of the block size.
    pub file_offset: u64,
    /// The memory. It is kept alive until the completion; the bytes are taken at any time until then.
    pub region: Arc<Region>,
    /// Where in the memory, in bytes, a multiple of the block size.
    pub region_offset: usize,
    /// How many bytes, a multiple of the block size.
    pub len: usize,
    /// Given back with the completion.
    pub token: u64,
}

/// A write that ended.
#[derive(Debug)]
pub struct Completion {
    /// The write's token.
    pub token: u64,
    /// `Ok` when all of its bytes are durable. Short writes are continued below this interface.
    pub result: io::Result<()>,
}

/// The way of a log's writes to the disk. Owned by one thread.
pub trait Queue: fmt::Debug {
    /// Which rung of the ladder this queue stands on, and why not on a higher one.
    fn rung(&self) -> Rung;

    /// A number that is another one after each change of the [rung](Queue::rung), and that costs
    /// nothing to ask for. One that never changes, as here, says that the rung does not either.
    fn rung_changes(&self) -> u64 {
        0
    }

    /// Announces memory that many writes will come from, so that it can be registered. Failing to
    /// register is not an error: the rung then says so.
    fn add_region(&mut self, region: &Arc<Region>);

    /// Takes the announcement back. No write from it may be outstanding.
    fn remove_region(&mut self, region: &Arc<Region>);

    /// Keeps `lock` held until no write of this queue can land any more, even if the process is
    /// killed: with io_uring the lock's descriptor becomes one of the ring's registered files.
    fn hold(&mut self, lock: &Arc<dyn File>);

    /// Ends [`Queue::hold`]. No write may be outstanding that the lock protects.
    fn release(&mut self, lock: &Arc<dyn File>);

    /// Adds a write to the next submission.
    fn push(&mut self, write: Write);

    /// Hands what was pushed to the kernel, as one submission where it can.
    fn submit(&mut self) -> io::Result<()>;

    /// Collects the completions that are there, without waiting.
    fn reap(&mut self, completions: &mut Vec<Completion>) -> io::Result<()>;

    /// Sleeps until there is a completion, the [waker](Queue::waker) was called since the last
    /// `wait`, or `timeout` passed.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Wakes the owner out of [`Queue::wait`], from any thread; not lost when it comes before.
    fn waker(&self) -> Waker;

    /// A descriptor that becomes readable when `wait` would return, for callers with an event loop
    /// of their own; `None` where there is none. It stays readable until a `wait` (of no length, say)
    /// has heard the wake-up, and until the completions are reaped: so call `wait` first, then look
    /// for work. It may be readable once too often.
    fn event_descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// The number of writes pushed and not yet collected.
    fn outstanding(&self) -> usize;
}

/// The way in which a queue reaches the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rung {
    /// What carries the writes, or reads.
    pub backend: BackendKind,
    /// Whether all memory that was announced is registered with the kernel. Before any was, whether
    /// it can be at all: the limit on locked memory shows with the first log.
    pub registered: bool,
    /// Why not higher, where it is not the highest.
    pub reason: Option<String>,
}

impl Rung {
    /// A rung, with the reason why it is not a higher one.
    #[must_use]
    pub fn new(backend: BackendKind, registered: bool, reason: Option<String>) -> Self {
        Self {
            backend,
            registered,
            reason,
        }
    }
}

/// What carries the writes, or reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendKind {
    /// io_uring.
    Uring,
    /// `pwrite`, `pread` and their relatives.
    Posix,
    /// The simulated disk.
    Sim,
}
