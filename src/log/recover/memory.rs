//! A disk in memory, for tests that need no crashes: what is written is there.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{
    Access, Dir, DirEntry, Disk, File, FileMap, LockMode, OpenMode, PathKind, PathStat, Queue,
};
use crate::sync::lock::Mutex;

pub(crate) const BLOCK: u32 = 4096;

/// A tree of directories, by path.
#[derive(Debug, Default)]
pub(crate) struct MemoryDisk {
    dirs: Mutex<BTreeMap<PathBuf, Arc<MemoryDir>>>,
}

impl MemoryDisk {
    /// A disk with one empty directory, `/log`.
    pub(crate) fn new() -> (Arc<Self>, Arc<MemoryDir>) {
        let disk = Arc::new(Self::default());
        disk.create_dir(Path::new("/log")).unwrap();
        let dir = disk.dir("/log").unwrap();
        (disk, dir)
    }

    pub(crate) fn dir(&self, path: impl AsRef<Path>) -> Option<Arc<MemoryDir>> {
        self.dirs.lock().get(path.as_ref()).cloned()
    }
}

impl Disk for MemoryDisk {
    fn stat(&self, path: &Path) -> io::Result<PathStat> {
        let kind = match self.dir(path) {
            Some(_) => PathKind::Directory,
            None => PathKind::Missing,
        };
        Ok(PathStat { kind, owned: true })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let dir = MemoryDir {
            path: path.into(),
            nodes: Mutex::default(),
            on_read: Mutex::default(),
        };
        self.dirs.lock().insert(path.into(), Arc::new(dir));
        Ok(())
    }

    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let dir = self.dir(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryDirRef(dir)))
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now_unix_ns(&self) -> u64 {
        1_000_000_000
    }

    fn now_monotonic_ns(&self) -> u64 {
        0
    }

    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(0x5a);
    }
}

type Hook = Box<dyn FnMut(&MemoryDir, &str, u64) + Send>;

/// A directory of files.
pub(crate) struct MemoryDir {
    path: PathBuf,
    nodes: Mutex<BTreeMap<String, Arc<Node>>>,
    /// Called after each read with the file's name and the offset.
    on_read: Mutex<Option<Hook>>,
}

impl std::fmt::Debug for MemoryDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryDir").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Node {
    name: String,
    kind: PathKind,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    shared: usize,
    exclusive: bool,
    fail_sync: bool,
    fail_read: bool,
    syncs: usize,
}

impl MemoryDir {
    /// The directory, open.
    pub(crate) fn open(self: &Arc<Self>) -> Arc<dyn Dir> {
        Arc::new(MemoryDirRef(Arc::clone(self)))
    }

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.put_as(name, bytes, PathKind::File);
    }

    pub(crate) fn put_as(&self, name: &str, bytes: Vec<u8>, kind: PathKind) {
        let state = State {
            bytes,
            ..State::default()
        };
        let node = Node {
            name: name.into(),
            kind,
            state: Mutex::new(state),
        };
        self.nodes.lock().insert(name.into(), Arc::new(node));
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.edit(name, |bytes| bytes.clone())
    }

    pub(crate) fn edit<R>(&self, name: &str, change: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let node = self.node(name).expect("the file is there");
        let mut state = node.state.lock();
        change(&mut state.bytes)
    }

    /// Takes the name away; who has the file open keeps it.
    pub(crate) fn forget(&self, name: &str) {
        self.nodes.lock().remove(name);
    }

    pub(crate) fn fail_sync(&self, name: &str) {
        self.node(name).unwrap().state.lock().fail_sync = true;
    }

    pub(crate) fn fail_read(&self, name: &str) {
        self.node(name).unwrap().state.lock().fail_read = true;
    }

    pub(crate) fn syncs(&self, name: &str) -> usize {
        self.node(name).unwrap().state.lock().syncs
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.nodes.lock().keys().cloned().collect()
    }

    pub(crate) fn on_read(&self, hook: impl FnMut(&Self, &str, u64) + Send + 'static) {
        *self.on_read.lock() = Some(Box::new(hook));
    }

    fn node(&self, name: &str) -> io::Result<Arc<Node>> {
        let node = self.nodes.lock().get(name).cloned();
        node.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Dir for MemoryDirRef {
    fn path(&self) -> &Path {
        &self.0.path
    }

    fn block_size(&self) -> u32 {
        BLOCK
    }

    fn access(&self) -> Access {
        Access {
            direct: true,
            reason: None,
        }
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let nodes = self.0.nodes.lock();
        Ok(nodes
            .values()
            .map(|node| DirEntry {
                name: node.name.clone(),
                kind: node.kind,
                len: node.state.lock().bytes.len() as u64,
            })
            .collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        if self.0.node(name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.0.put(name, Vec::new());
        self.open(name, OpenMode::Write)
    }

    fn open(&self, name: &str, _mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(MemoryFile {
            dir: self.0.clone(),
            node: self.0.node(name)?,
            locked: Mutex::new(None),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.0.bytes(from);
        self.unlink(from)?;
        self.0.put(to, bytes);
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let gone = self.0.nodes.lock().remove(name);
        gone.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Option<Arc<dyn File>>> {
        if self.0.node(name).is_err() {
            self.0.put(name, Vec::new());
        }
        let file = self.open(name, OpenMode::Write)?;
        Ok(file.try_lock(LockMode::Exclusive)?.then_some(file))
    }
}

/// A directory that is open.
#[derive(Debug)]
struct MemoryDirRef(Arc<MemoryDir>);

#[derive(Debug)]
struct MemoryFile {
    dir: Arc<MemoryDir>,
    node: Arc<Node>,
    locked: Mutex<Option<LockMode>>,
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.node.state.lock().bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        assert_eq!(offset % u64::from(BLOCK), 0, "a direct read is aligned");
        assert_eq!(buf.len() % BLOCK as usize, 0, "a direct read is aligned");
        let count = {
            let state = self.node.state.lock();
            if state.fail_read {
                return Err(io::Error::from_raw_os_error(5));
            }
            let from = state.bytes.get(offset as usize..).unwrap_or_default();
            let count = from.len().min(buf.len());
            buf[..count].copy_from_slice(&from[..count]);
            count
        };
        let hook = self.dir.on_read.lock().take();
        if let Some(mut hook) = hook {
            hook(&self.dir, &self.node.name, offset);
            self.dir.on_read.lock().get_or_insert(hook);
        }
        Ok(count)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.node.state.lock();
        let range = offset as usize..offset as usize + buf.len();
        if state.bytes.len() < range.end {
            state.bytes.resize(range.end, 0);
        }
        state.bytes[range].copy_from_slice(buf);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.node.state.lock();
        state.syncs += 1;
        if state.fail_sync {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.node.state.lock().bytes.resize(len as usize, 0);
        Ok(())
    }

    fn try_lock(&self, mode: LockMode) -> io::Result<bool> {
        let mut state = self.node.state.lock();
        let free = match mode {
            LockMode::Shared => !state.exclusive,
            LockMode::Exclusive => !state.exclusive && state.shared == 0,
        };
        if free {
            match mode {
                LockMode::Shared => state.shared += 1,
                LockMode::Exclusive => state.exclusive = true,
            }
            *self.locked.lock() = Some(mode);
        }
        Ok(free)
    }

    fn unlock(&self) -> io::Result<()> {
        let mut state = self.node.state.lock();
        match self.locked.lock().take() {
            Some(LockMode::Shared) => state.shared -= 1,
            Some(LockMode::Exclusive) => state.exclusive = false,
            None => {}
        }
        Ok(())
    }

    fn links(&self) -> io::Result<u64> {
        Ok(1)
    }

    fn map(&self, _len: u64) -> io::Result<Option<FileMap>> {
        Ok(None)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let _ = self.unlock();
    }
}
