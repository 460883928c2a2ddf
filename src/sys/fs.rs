//! Files and directories by descriptor: names are single components relative to an open
//! directory, links are never followed, and no descriptor outlives an `exec`.
//!
//! Every call is repeated when a signal interrupts it, and goes on after a short read or write.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self as kernel, AtFlags, CWD, FallocateFlags, FileType, FlockOperation, Mode};
use rustix::fs::{OFlags, RawMode};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

use super::mem::{AlignedBuf, FileMap, Region};

/// The flag of one write that makes it durable before it completes, for the kernel's ring.
///
/// `O_DSYNC` at opening would do the same, but what rustix calls so is `O_SYNC`, which commits the
/// file's times with every write, too.
pub(crate) const WRITE_DSYNC: u32 = ReadWriteFlags::DSYNC.bits();

/// What is known of a name or of an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: Kind,
    pub(crate) len: u64,
    pub(crate) links: u64,
    /// Whether it belongs to the user that this process acts as.
    pub(crate) owned: bool,
    /// Device and inode: equal only for the same file.
    pub(crate) id: (u64, u64),
}

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Symlink,
    Other,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Read,
    Write,
    /// Made for reading and writing; must not exist.
    New,
    /// For reading and writing; made if need be.
    Make,
}

/// Looks at `path` without following a link in its last part; `None` when nothing is there.
pub(crate) fn stat_path(path: &Path) -> io::Result<Option<Stat>> {
    stat_name(CWD, last_unfollowed(path).as_os_str())
}

/// Looks at a name in a directory without following a link; `None` when nothing is there.
pub(crate) fn stat_at(dir: BorrowedFd<'_>, name: &str) -> io::Result<Option<Stat>> {
    stat_name(dir, OsStr::new(name))
}

fn stat_name(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Stat>> {
    match retry_on_intr(|| kernel::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)) {
        Ok(stat) => Ok(Some(convert(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Looks at an open file.
pub(crate) fn stat(file: BorrowedFd<'_>) -> io::Result<Stat> {
    Ok(convert(&retry_on_intr(|| kernel::fstat(file))?))
}

#[allow(clippy::unnecessary_cast)] // the widths of these fields differ between architectures
fn convert(stat: &kernel::Stat) -> Stat {
    Stat {
        kind: match FileType::from_raw_mode(stat.st_mode as RawMode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        },
        len: u64::try_from(stat.st_size).unwrap_or(0),
        links: stat.st_nlink as u64,
        owned: stat.st_uid == rustix::process::geteuid().as_raw(),
        id: (stat.st_dev as u64, stat.st_ino as u64),
    }
}

/// The path without what would make the kernel follow a link in its last part: `link/`, `link/.`.
fn last_unfollowed(path: &Path) -> PathBuf {
    let plain = path.components().as_path();
    if plain.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        plain.to_path_buf()
    }
}

/// Opens a directory, which must not be a link.
pub(crate) fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = last_unfollowed(path);
    Ok(retry_on_intr(|| {
        kernel::openat(CWD, &path, flags, Mode::empty())
    })?)
}

/// Makes the directory `path` and syncs its parent.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    let path = last_unfollowed(path);
    kernel::mkdirat(CWD, &path, Mode::from_raw_mode(0o777))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The parent may well be reached through a link; only the last part may not be one.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = retry_on_intr(|| kernel::openat(CWD, parent, flags, Mode::empty()))?;
    sync(parent.as_fd())
}

/// Opens the regular file `name` of `dir`, past the page cache if `direct`.
pub(crate) fn open_at(
    dir: BorrowedFd<'_>,
    name: &str,
    how: How,
    direct: bool,
) -> io::Result<OwnedFd> {
    // Looked at first, so that opening a pipe does not wait for its other end.
    if let Some(stat) = stat_at(dir, name)? {
        match stat.kind {
            Kind::File => {}
            Kind::Symlink => return Err(Errno::LOOP.into()),
            Kind::Directory => return Err(Errno::ISDIR.into()),
            Kind::Other => {
                let message = format!("`{name}` is not a regular file");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
    }
    let mut flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    flags |= match how {
        How::Read => OFlags::RDONLY,
        How::Write => OFlags::RDWR,
        How::New => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        How::Make => OFlags::RDWR | OFlags::CREATE,
    };
    if direct {
        flags |= OFlags::DIRECT;
    }
    let mode = Mode::from_raw_mode(0o666);
    Ok(retry_on_intr(|| kernel::openat(dir, name, flags, mode))?)
}

/// Opens a file of `dir` that has no name, and vanishes with its descriptor.
pub(crate) fn open_unnamed(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(0o600);
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    match retry_on_intr(|| kernel::openat(dir, ".", flags | OFlags::TMPFILE, mode)) {
        // File systems and kernels that do not know such files.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {}
        other => return Ok(other?),
    }
    let mut random = [0; 8];
    super::time::random(&mut random);
    let name = format!(".probe-{:016x}", u64::from_ne_bytes(random));
    let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let file = retry_on_intr(|| kernel::openat(dir, &name, flags, mode))?;
    unlink(dir, &name)?;
    Ok(file)
}

/// Whether reads and writes of this descriptor go past the page cache.
pub(crate) fn is_direct(file: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(kernel::fcntl_getfl(file)?.contains(OFlags::DIRECT))
}

/// Lets reads and writes of this descriptor go past the page cache from now on.
pub(crate) fn set_direct(file: BorrowedFd<'_>) -> io::Result<()> {
    let flags = kernel::fcntl_getfl(file)?;
    Ok(kernel::fcntl_setfl(file, flags | OFlags::DIRECT)?)
}

/// All names of a directory but `.` and `..`, with what is known of them. Names that are not UTF-8
/// are left out, and so are those that vanish meanwhile.
pub(crate) fn list(dir: BorrowedFd<'_>) -> io::Result<Vec<(String, Stat)>> {
    let mut names = Vec::new();
    for entry in kernel::Dir::read_from(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if name == "." || name == ".." {
            continue;
        }
        if let Some(stat) = stat_at(dir, name)? {
            names.push((name.to_owned(), stat));
        }
    }
    Ok(names)
}

/// Renames within a directory; replaces what `to` named.
pub(crate) fn rename(dir: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
    Ok(retry_on_intr(|| kernel::renameat(dir, from, dir, to))?)
}

/// Removes a name that is not a directory's.
pub(crate) fn unlink(dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    Ok(retry_on_intr(|| {
        kernel::unlinkat(dir, name, AtFlags::empty())
    })?)
}

/// Makes a file, its length and its times durable, or the names of a directory.
pub(crate) fn sync(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(retry_on_intr(|| kernel::fsync(file))?)
}

/// Makes a file's bytes durable, and of the rest what is needed to find them.
pub(crate) fn sync_data(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(retry_on_intr(|| kernel::fdatasync(file))?)
}

/// Has the kernel forget the file's clean pages, so that reading asks the disk. Pages that are
/// mapped or in use stay.
pub(crate) fn drop_cache(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(kernel::fadvise(file, 0, None, kernel::Advice::DontNeed)?)
}

/// Reads until `buf` is full or the file ends; returns the bytes read.
pub(crate) fn read_at(file: BorrowedFd<'_>, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match rustix::io::pread(file, &mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            // A direct read stopped at the end of a file of odd length: there is no more, and
            // no aligned place to ask for it.
            Err(Errno::INVAL) if filled % 512 != 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

/// How a write is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durably {
    /// Before the call returns.
    Now,
    /// By a sync that the caller sees to.
    Later,
}

/// Writes all of `buf`.
pub(crate) fn write_at(
    file: BorrowedFd<'_>,
    buf: &[u8],
    offset: u64,
    durably: Durably,
) -> io::Result<()> {
    write_in_full(buf, offset, |rest, at| match durably {
        Durably::Now => {
            rustix::io::pwritev2(file, &[IoSlice::new(rest)], at, ReadWriteFlags::DSYNC)
        }
        Durably::Later => rustix::io::pwrite(file, rest, at),
    })
}

/// Writes all of `buf` by calls of `write`, each of which may write less than it is given.
fn write_in_full(
    buf: &[u8],
    offset: u64,
    mut write: impl FnMut(&[u8], u64) -> rustix::io::Result<usize>,
) -> io::Result<()> {
    let mut written = 0;
    while written < buf.len() {
        match write(&buf[written..], offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes a range of a region, which must lie within it: nobody stores to these bytes meanwhile.
///
/// # Panics
///
/// When the range does not lie within the region.
pub(crate) fn write_region(
    file: BorrowedFd<'_>,
    region: &Region,
    range: Range<usize>,
    offset: u64,
    durably: Durably,
) -> io::Result<()> {
    assert!(range.start <= range.end && range.end <= region.len());
    // SAFETY: the range is within the region, which is alive, zero-initialised and borrowed. Whoever
    // stores into a region does so through raw pointers, and owes it to the contract of a queue's
    // `Write` not to touch bytes whose write has not completed: which it has not before we return.
    let bytes =
        unsafe { std::slice::from_raw_parts(region.as_ptr().add(range.start), range.len()) };
    write_at(file, bytes, offset, durably)
}

/// Reserves space for `len` bytes and makes the file that long, durably. Where the file system
/// cannot reserve, what the file lacks is written as zeroes.
pub(crate) fn allocate(file: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    if len > 0 {
        match retry_on_intr(|| kernel::fallocate(file, FallocateFlags::empty(), 0, len)) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill_with_zeroes(file, len)?,
            Err(error) => return Err(error.into()),
        }
    }
    sync(file)
}

/// Extends the file to `len` bytes, all of them written.
fn fill_with_zeroes(file: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    let zeroes = AlignedBuf::new(1 << 20)?;
    let mut at = stat(file)?.len;
    while at < len {
        let step = (len - at).min(zeroes.len() as u64);
        write_at(file, &zeroes[..step as usize], at, Durably::Later)?;
        at += step;
    }
    Ok(())
}

/// Maps the first `len` bytes of a sealed segment, which the file must have.
pub(crate) fn map_sealed(file: BorrowedFd<'_>, len: usize) -> io::Result<FileMap> {
    // SAFETY: (1) only sealed segments are mapped. They are not written again, and neither cut nor
    // recycled while a handle to them lives: this process counts its handles, and readers in others
    // hold a lock that the recycler needs alone. What another program does to the log's files is
    // excluded by the documented terms of use.
    unsafe { FileMap::new(file, len) }
}

/// Tries to lock a file against its other openings; says whether that succeeded.
pub(crate) fn try_lock(file: BorrowedFd<'_>, exclusive: bool) -> io::Result<bool> {
    let operation = if exclusive {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    match retry_on_intr(|| kernel::flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives a lock back.
pub(crate) fn unlock(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(retry_on_intr(|| {
        kernel::flock(file, FlockOperation::Unlock)
    })?)
}

/// Whether `name` is one component of a path that stays in its directory.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.as_bytes().contains(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_last_part_is_not_followed_however_it_is_spelt() {
        for (path, plain) in [
            ("", "."),
            ("a", "a"),
            ("a/", "a"),
            ("/a/b/./", "/a/b"),
            ("/", "/"),
            ("..", ".."),
        ] {
            assert_eq!(last_unfollowed(Path::new(path)), Path::new(plain), "{path}");
        }
    }

    #[test]
    fn filling_with_zeroes_extends_and_leaves_what_was_there() {
        let dir = open_dir(&std::env::temp_dir()).unwrap();
        let file = open_unnamed(dir.as_fd()).unwrap();
        write_at(file.as_fd(), b"head", 0, Durably::Now).unwrap();
        let len = (1 << 20) + 77;
        fill_with_zeroes(file.as_fd(), len).unwrap();
        assert_eq!(stat(file.as_fd()).unwrap().len, len);
        let mut bytes = vec![1; len as usize + 10];
        let read = read_at(file.as_fd(), &mut bytes, 0).unwrap();
        assert_eq!(read as u64, len);
        assert_eq!(&bytes[..4], b"head");
        assert!(bytes[4..read].iter().all(|&byte| byte == 0));
    }
    /// No file system here writes short when asked to, so the calls are made short.
    #[test]
    fn a_short_write_goes_on_where_it_stopped() {
        let dir = open_dir(&std::env::temp_dir()).unwrap();
        let file = open_unnamed(dir.as_fd()).unwrap();
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
        let mut calls = [Ok(1), Err(Errno::INTR), Ok(4095), Ok(3), Err(Errno::INTR)].into_iter();
        write_in_full(&bytes, 77, |rest, at| match calls.next() {
            Some(Ok(most)) => rustix::io::pwrite(&file, &rest[..most], at),
            Some(Err(error)) => Err(error),
            None => rustix::io::pwrite(&file, rest, at),
        })
        .unwrap();
        assert_eq!(calls.next(), None, "fewer calls than that");
        let mut found = vec![1; 77 + bytes.len() + 1];
        assert_eq!(
            read_at(file.as_fd(), &mut found, 0).unwrap(),
            77 + bytes.len()
        );
        assert!(found[..77].iter().all(|&byte| byte == 0));
        assert!(found[77..77 + bytes.len()] == bytes);
    }

    #[test]
    fn a_write_that_stops_or_fails_in_the_middle_is_an_error() {
        for (end, expected) in [
            (Ok(0), io::ErrorKind::WriteZero),
            (Err(Errno::NOSPC), io::ErrorKind::StorageFull),
        ] {
            let mut calls = 0;
            let error = write_in_full(&[7; 100], 0, |rest, at| {
                calls += 1;
                assert_eq!((rest.len() as u64, at), (100 - at, 10 * (calls - 1)));
                if calls < 4 { Ok(10) } else { end }
            })
            .unwrap_err();
            assert_eq!((error.kind(), calls), (expected, 4));
        }
    }
}
