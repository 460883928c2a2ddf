//! Faults by plan: the k-th operation of a class fails, once or for good.

use std::io;

/// An input/output error, as a failing disk gives it.
pub const EIO: i32 = 5;
/// No space is left.
pub const ENOSPC: i32 = 28;

pub(super) const ENOENT: i32 = 2;
pub(super) const EBADF: i32 = 9;
pub(super) const EEXIST: i32 = 17;
pub(super) const ENOTDIR: i32 = 20;
pub(super) const EISDIR: i32 = 21;
pub(super) const EINVAL: i32 = 22;
pub(super) const ELOOP: i32 = 40;

/// The kinds of operation that are counted, and that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpClass {
    /// [`Queue::push`](crate::disk::Queue::push); it is counted, and cannot fail.
    Push,
    /// [`Queue::submit`](crate::disk::Queue::submit): the writes stay pushed.
    Submit,
    /// A write of a queue, at its completion: any part of it may be on the disk.
    Write,
    /// [`File::write_at`](crate::disk::File::write_at): any part of it may be on the disk.
    WriteAt,
    /// [`File::sync`](crate::disk::File::sync): no later sync makes durable what this one did not.
    Sync,
    /// [`File::read_at`](crate::disk::File::read_at), and a read of a
    /// [`ReadQueue`](crate::disk::ReadQueue), at its completion.
    Read,
    /// [`File::allocate`](crate::disk::File::allocate).
    Allocate,
    /// [`Dir::create`](crate::disk::Dir::create), and [`Dir::lock`](crate::disk::Dir::lock) where
    /// it makes the file.
    Create,
    /// [`Dir::open`](crate::disk::Dir::open).
    Open,
    /// [`Dir::list`](crate::disk::Dir::list).
    List,
    /// [`Dir::rename`](crate::disk::Dir::rename).
    Rename,
    /// [`Dir::unlink`](crate::disk::Dir::unlink).
    Unlink,
    /// [`Dir::sync`](crate::disk::Dir::sync): the names stay as volatile as they were.
    DirSync,
    /// [`Disk::create_dir`](crate::disk::Disk::create_dir).
    CreateDir,
}

impl OpClass {
    const COUNT: usize = Self::CreateDir as usize + 1;
}

/// One planned failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    class: OpClass,
    nth: u64,
    errno: i32,
    for_good: bool,
}

impl Fault {
    /// The `nth` operation of `class` fails, counted from 1 at the disk's making; those after it
    /// do not. See [`SimDisk::count`](super::SimDisk::count).
    #[must_use]
    pub const fn once(class: OpClass, nth: u64, errno: i32) -> Self {
        Self {
            class,
            nth,
            errno,
            for_good: false,
        }
    }

    /// The `nth` operation of `class` fails, and every later one.
    #[must_use]
    pub const fn for_good(class: OpClass, nth: u64, errno: i32) -> Self {
        Self {
            class,
            nth,
            errno,
            for_good: true,
        }
    }

    fn strikes(&self, class: OpClass, count: u64) -> bool {
        self.class == class
            && if self.for_good {
                count >= self.nth
            } else {
                count == self.nth
            }
    }
}

/// The plan, and how often each class came.
#[derive(Debug, Default)]
pub(super) struct Faults {
    plan: Vec<Fault>,
    counts: [u64; OpClass::COUNT],
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.plan.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.plan.clear();
    }

    pub(super) fn count(&self, class: OpClass) -> u64 {
        self.counts[class as usize]
    }

    /// Counts one operation, and says how it fails, if it does.
    pub(super) fn strike(&mut self, class: OpClass) -> Option<io::Error> {
        self.counts[class as usize] += 1;
        let count = self.counts[class as usize];
        self.plan
            .iter()
            .find(|fault| fault.strikes(class, count))
            .map(|fault| error(fault.errno))
    }
}

pub(super) fn error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// What every call returns after the crash.
pub(super) fn crashed() -> io::Error {
    io::Error::other("crashed")
}
