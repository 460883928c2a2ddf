//! The real disk: the kernel's files, and the best way to write them that works here.
//!
//! ```text
//!  carried by     io_uring, memory registered ─▶ io_uring ─▶ plain calls      (a queue's `Rung`)
//!  into files     past the page cache ─▶ through it, with a sync              (a directory's `Access`)
//! ```
//!
//! The two ladders are independent. Each rung is chosen by trying, says why it is not a higher one,
//! and can be forced with [`RealOptions`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::posix::Posix;
use super::uring::{Uring, UringReads};
use super::{
    Access, BackendKind, Dir, DirEntry, Disk, File, FileMap, LockMode, OpenMode, PathKind,
    PathStat, PlainReads, Queue, ReadQueue, Rung, Watch,
};
use crate::sys::event::Bell;
use crate::sys::fs::{self, Durably, How, Kind};
use crate::sys::watch::DirWatch;
use crate::sys::{probe, time};

/// What the real disk may use, where it is found to work. All of it by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealOptions {
    /// io_uring; without it, plain calls.
    pub uring: bool,
    /// Reads and writes past the page cache; without them, through it and with a sync.
    pub direct: bool,
    /// Memory that is registered with io_uring.
    pub register: bool,
}

impl Default for RealOptions {
    fn default() -> Self {
        Self {
            uring: true,
            direct: true,
            register: true,
        }
    }
}

/// The disks of this machine.
///
/// ```
/// use ringbolt::disk::{BackendKind, Disk, Queue, Real, RealOptions};
///
/// let disk = Real::with(RealOptions { uring: false, ..RealOptions::default() });
/// assert_eq!(disk.queue()?.rung().backend, BackendKind::Posix);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Real {
    options: RealOptions,
}

impl Real {
    /// A disk on the best rungs that this machine has. They are tried when a directory is opened
    /// and when a queue is made, so this never fails.
    #[must_use]
    pub fn probe() -> Self {
        Self::with(RealOptions::default())
    }

    /// A disk that may use only what `options` allow.
    #[must_use]
    pub fn with(options: RealOptions) -> Self {
        Self { options }
    }

    /// What `make` makes of io_uring, or why there is none.
    fn ring<T>(&self, make: impl FnOnce() -> io::Result<T>) -> Result<T, String> {
        if !self.options.uring {
            return Err("io_uring was turned off".into());
        }
        make().map_err(|error| format!("no io_uring: {error}"))
    }
}

impl Disk for Real {
    fn stat(&self, path: &Path) -> io::Result<PathStat> {
        Ok(match fs::stat_path(path)? {
            Some(stat) => PathStat {
                kind: path_kind(stat.kind),
                owned: stat.owned,
            },
            None => PathStat {
                kind: PathKind::Missing,
                owned: false,
            },
        })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let dir = fs::open_dir(path)?;
        let found = probe::probe(dir.as_fd())?;
        let reason = if self.options.direct {
            found.direct.err()
        } else {
            Some("direct I/O was turned off".into())
        };
        Ok(Arc::new(RealDir {
            dir,
            path: path.to_path_buf(),
            block_bytes: found.block_bytes,
            access: Access {
                direct: reason.is_none(),
                reason,
            },
        }))
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        let bell = Bell::new()?;
        let reason = match self.ring(|| Uring::new(Arc::clone(&bell), self.options.register)) {
            Ok(uring) => return Ok(Box::new(uring)),
            Err(reason) => reason,
        };
        let rung = Rung::new(BackendKind::Posix, false, Some(reason));
        Ok(Box::new(Posix::new(bell, rung)))
    }

    fn reads(&self, depth: usize) -> Box<dyn ReadQueue> {
        match self.ring(|| UringReads::new(depth)) {
            Ok(uring) => Box::new(uring),
            Err(reason) => Box::new(PlainReads::new(reason)),
        }
    }

    fn now_unix_ns(&self) -> u64 {
        time::unix_ns()
    }

    fn now_monotonic_ns(&self) -> u64 {
        time::monotonic_ns()
    }

    fn random(&self, bytes: &mut [u8]) {
        time::random(bytes);
    }
}

fn path_kind(kind: Kind) -> PathKind {
    match kind {
        Kind::Directory => PathKind::Directory,
        Kind::File => PathKind::File,
        Kind::Symlink => PathKind::Symlink,
        Kind::Other => PathKind::Other,
    }
}

#[derive(Debug)]
struct RealDir {
    dir: OwnedFd,
    path: PathBuf,
    block_bytes: u32,
    access: Access,
}

impl RealDir {
    fn open_as(&self, name: &str, how: How, direct: bool) -> io::Result<Arc<dyn File>> {
        let fd = fs::open_at(self.dir.as_fd(), plain(name)?, how, direct)?;
        Ok(Arc::new(RealFile { fd, direct }))
    }
}

impl Dir for RealDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn block_size(&self) -> u32 {
        self.block_bytes
    }

    fn access(&self) -> Access {
        self.access.clone()
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let names = fs::list(self.dir.as_fd())?;
        let entries = names.into_iter().map(|(name, stat)| DirEntry {
            name,
            kind: path_kind(stat.kind),
            len: stat.len,
        });
        Ok(entries.collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.open_as(name, How::New, self.access.direct)
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let how = match mode {
            OpenMode::Read => How::Read,
            OpenMode::Write => How::Write,
        };
        self.open_as(name, how, self.access.direct)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.as_fd(), plain(from)?, plain(to)?)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        fs::unlink(self.dir.as_fd(), plain(name)?)
    }

    fn sync(&self) -> io::Result<()> {
        fs::sync(self.dir.as_fd())
    }

    fn watch(&self) -> io::Result<Option<Box<dyn Watch>>> {
        Ok(Some(Box::new(DirWatch::new(&self.path)?)))
    }

    fn lock(&self, name: &str) -> io::Result<Option<Arc<dyn File>>> {
        let name = plain(name)?;
        loop {
            let fd = fs::open_at(self.dir.as_fd(), name, How::Make, false)?;
            if !fs::try_lock(fd.as_fd(), true)? {
                return Ok(None);
            }
            // Whoever removed the file after we opened it left us a lock that excludes nobody.
            let named = fs::stat_at(self.dir.as_fd(), name)?.map(|stat| stat.id);
            if named == Some(fs::stat(fd.as_fd())?.id) {
                return Ok(Some(Arc::new(RealFile { fd, direct: false })));
            }
        }
    }
}

impl Watch for DirWatch {
    fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        DirWatch::wait(self, timeout)
    }
}

/// Parses a name: one that leads out of the directory is refused.
fn plain(name: &str) -> io::Result<&str> {
    if fs::is_plain_name(name) {
        Ok(name)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{name}` is not the name of a file"),
        ))
    }
}

#[derive(Debug)]
struct RealFile {
    fd: OwnedFd,
    direct: bool,
}

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(fs::stat(self.fd.as_fd())?.len)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        fs::read_at(self.fd.as_fd(), buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if self.direct {
            return fs::write_at(self.fd.as_fd(), buf, offset, Durably::Now);
        }
        fs::write_at(self.fd.as_fd(), buf, offset, Durably::Later)?;
        fs::sync_data(self.fd.as_fd())
    }

    fn sync(&self) -> io::Result<()> {
        fs::sync(self.fd.as_fd())?;
        if self.direct {
            Ok(())
        } else {
            fs::drop_cache(self.fd.as_fd())
        }
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        fs::allocate(self.fd.as_fd(), len)
    }

    fn try_lock(&self, mode: LockMode) -> io::Result<bool> {
        fs::try_lock(self.fd.as_fd(), mode == LockMode::Exclusive)
    }

    fn unlock(&self) -> io::Result<()> {
        fs::unlock(self.fd.as_fd())
    }

    fn links(&self) -> io::Result<u64> {
        Ok(fs::stat(self.fd.as_fd())?.links)
    }

    fn map(&self, len: u64) -> io::Result<Option<FileMap>> {
        let present = self.len()?;
        match usize::try_from(len) {
            Ok(bytes) if bytes > 0 && len <= present => {
                fs::map_sealed(self.fd.as_fd(), bytes).map(Some)
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("cannot map {len} of a file's {present} bytes"),
            )),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Region, Write};

    /// A file that takes every write and cannot be synced: the null device.
    fn unsyncable() -> Arc<dyn File> {
        let mut options = std::fs::OpenOptions::new();
        let null = options.read(true).write(true).open("/dev/null").unwrap();
        Arc::new(RealFile {
            fd: null.into(),
            direct: false,
        })
    }

    /// Each write of a file whose sync fails is told so, wherever it stood in the submission; other
    /// files' writes are not, and a write that failed by itself keeps its own error.
    #[test]
    fn a_sync_that_fails_fails_all_writes_of_its_file_and_no_others() {
        let path = std::env::temp_dir().join(format!("ringbolt-syncs-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let disk = Real::with(RealOptions {
            direct: false,
            ..RealOptions::default()
        });
        let sound = disk.open_dir(&path).unwrap().create("sound").unwrap();
        let (lost, lost_too) = (unsyncable(), unsyncable());
        let region = Arc::new(Region::new(4 * 4096).unwrap());
        let rung = Rung::new(BackendKind::Posix, false, None);
        let mut queue = Posix::new(Bell::new().unwrap(), rung);
        let writes = [&lost, &sound, &lost, &lost_too, &sound, &lost, &lost];
        for (token, file) in (0..).zip(writes) {
            // The last one reaches beyond its region.
            let region_offset = if token == 6 { 4 * 4096 } else { 0 };
            queue.push(Write {
                file: Arc::clone(file),
                file_offset: token * 4096,
                region: Arc::clone(&region),
                region_offset,
                len: 4096,
                token,
            });
        }
        queue.submit().unwrap();
        let mut completions = Vec::new();
        queue.reap(&mut completions).unwrap();
        assert_eq!(queue.outstanding(), 0);
        let outcomes: Vec<_> = completions
            .iter()
            .map(|completion| {
                let error = completion.result.as_ref().err();
                (completion.token, error.map(|error| error.raw_os_error()))
            })
            .collect();
        /// `EINVAL`: what cannot be synced.
        const UNSYNCABLE: Option<Option<i32>> = Some(Some(22));
        assert_eq!(
            outcomes,
            [
                (0, UNSYNCABLE),
                (1, None),
                (2, UNSYNCABLE),
                (3, UNSYNCABLE),
                (4, None),
                (5, UNSYNCABLE),
                (6, Some(None)),
            ]
        );
        // A sync that failed is not tried again, and the next submission stands for itself.
        queue.push(Write {
            file: Arc::clone(&sound),
            file_offset: 0,
            region: Arc::clone(&region),
            region_offset: 0,
            len: 4096,
            token: 9,
        });
        queue.submit().unwrap();
        completions.clear();
        queue.reap(&mut completions).unwrap();
        assert!(completions.len() == 1 && completions[0].result.is_ok());
        std::fs::remove_dir_all(path).unwrap();
    }
}
