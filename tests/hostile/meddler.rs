//! A simulated disk on which something happens just when a segment is opened to be read.

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use ringbolt::disk::sim::SimDisk;
use ringbolt::disk::{
    Access, Dir, DirEntry, Disk, File, FileMap, LockMode, OpenMode, PathStat, Queue,
};

/// When, on the way of a reader to its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It knows the name.
    Named,
    /// It has the file open, and no lock yet.
    Opened,
    /// It has the lock, and did not look yet whether the name is still there.
    Locked,
    /// It looked.
    Looked,
}

pub(crate) const MOMENTS: [Moment; 4] = [
    Moment::Named,
    Moment::Opened,
    Moment::Locked,
    Moment::Looked,
];

type Deed = Box<dyn FnOnce()>;

struct Plan {
    name: String,
    moment: Moment,
    deed: Deed,
}

thread_local! {
    /// What is to happen. One thread does everything here, so nothing more is needed.
    static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
}

/// Has `deed` done when this thread next comes to that moment with the file `name`.
pub(crate) fn at(name: &str, moment: Moment, deed: impl FnOnce() + 'static) {
    let plan = Plan {
        name: name.into(),
        moment,
        deed: Box::new(deed),
    };
    PLAN.set(Some(plan));
}

/// Whether what was planned is still to come.
pub(crate) fn is_due() -> bool {
    PLAN.with_borrow(Option::is_some)
}

fn come_to(name: &str, moment: Moment) {
    let now = |plan: &mut Plan| plan.name == name && plan.moment == moment;
    let met = PLAN.with_borrow_mut(|plan| plan.take_if(now));
    if let Some(plan) = met {
        (plan.deed)();
    }
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Meddler(pub(crate) SimDisk);

impl Disk for Meddler {
    fn stat(&self, path: &Path) -> io::Result<PathStat> {
        self.0.stat(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        Ok(Arc::new(MeddledDir(self.0.open_dir(path)?)))
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        self.0.queue()
    }

    fn now_unix_ns(&self) -> u64 {
        self.0.now_unix_ns()
    }

    fn now_monotonic_ns(&self) -> u64 {
        self.0.now_monotonic_ns()
    }

    fn random(&self, bytes: &mut [u8]) {
        self.0.random(bytes);
    }
}

#[derive(Debug)]
struct MeddledDir(Arc<dyn Dir>);

impl Dir for MeddledDir {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn block_size(&self) -> u32 {
        self.0.block_size()
    }

    fn access(&self) -> Access {
        self.0.access()
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        self.0.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.0.create(name)
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        // What is written is left alone: the queue knows its own files.
        if mode == OpenMode::Write {
            return self.0.open(name, mode);
        }
        come_to(name, Moment::Named);
        let file = self.0.open(name, mode)?;
        come_to(name, Moment::Opened);
        Ok(Arc::new(MeddledFile {
            name: name.into(),
            file,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.0.unlink(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn lock(&self, name: &str) -> io::Result<Option<Arc<dyn File>>> {
        self.0.lock(name)
    }
}

#[derive(Debug)]
struct MeddledFile {
    name: String,
    file: Arc<dyn File>,
}

impl File for MeddledFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        come_to(&self.name, Moment::Looked);
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn try_lock(&self, mode: LockMode) -> io::Result<bool> {
        let locked = self.file.try_lock(mode);
        come_to(&self.name, Moment::Locked);
        locked
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    fn links(&self) -> io::Result<u64> {
        self.file.links()
    }

    fn map(&self, len: u64) -> io::Result<Option<FileMap>> {
        self.file.map(len)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.descriptor()
    }
}
