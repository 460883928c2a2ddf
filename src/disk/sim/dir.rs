//! A directory of a simulated disk, held open.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::crash::Doubt;
use super::fault::{self, EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, OpClass};
use super::file::SimFile;
use super::media::InodeId;
use super::namespace::{Entry, NameChange, NameChangeKind, Node};
use super::state::{Shared, State, Verdict};
use crate::disk::{Access, Dir, DirEntry, File, LockMode, OpenMode};

/// What a failed attempt at a lock costs on the clocks: who tries until a deadline gets there.
const LOCK_TRY_NS: u64 = 1_000_000;

/// An open directory.
pub(super) struct SimDir {
    shared: Shared,
    /// As it was asked for.
    shown: PathBuf,
    path: Arc<Path>,
}

impl SimDir {
    pub(super) fn new(shared: &Shared, shown: &Path, path: PathBuf) -> Self {
        Self {
            shared: Arc::clone(shared),
            shown: shown.to_path_buf(),
            path: path.into(),
        }
    }

    fn entry(&self, state: &State, name: &str) -> io::Result<Option<Entry>> {
        if name.is_empty() || name == "." || name == ".." || name.contains('/') {
            return Err(fault::error(EINVAL));
        }
        match state.view.dir(&self.path) {
            Some(dir) => Ok(dir.entries.get(name).copied()),
            None => Err(fault::error(ENOENT)),
        }
    }

    /// The regular file of this name.
    fn file(&self, state: &State, name: &str) -> io::Result<Option<InodeId>> {
        match self.entry(state, name)?.map(|entry| entry.node) {
            None => Ok(None),
            Some(Node::File(inode)) => Ok(Some(inode)),
            Some(Node::Symlink) => Err(fault::error(ELOOP)),
            Some(Node::Directory) => Err(fault::error(EISDIR)),
        }
    }

    fn change(&self, state: &mut State, class: OpClass, kind: NameChangeKind) -> io::Result<()> {
        let change = NameChange {
            dir: Arc::clone(&self.path),
            kind,
        };
        let doubt = || vec![Doubt::Name(change.clone())];
        if let Verdict::Fail(error) = state.step(class, |_| doubt())? {
            return Err(error);
        }
        state.change_name(change);
        Ok(())
    }

    fn create_file(&self, state: &mut State, name: &str) -> io::Result<InodeId> {
        let inode = state.next_inode();
        let name = name.into();
        self.change(
            state,
            OpClass::Create,
            NameChangeKind::Create { name, inode },
        )?;
        Ok(inode)
    }
}

impl Dir for SimDir {
    fn path(&self) -> &Path {
        &self.shown
    }

    fn block_size(&self) -> u32 {
        self.shared.lock().options.block_size
    }

    fn access(&self) -> Access {
        let direct = self.shared.lock().options.direct;
        Access {
            direct,
            reason: (!direct).then(|| "the simulated disk was made without direct access".into()),
        }
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let mut state = self.shared.lock();
        state.glance(OpClass::List)?;
        let Some(dir) = state.view.dir(&self.path) else {
            return Err(fault::error(ENOENT));
        };
        let len = |entry: &Entry| {
            let file = entry.inode().and_then(|inode| state.view.file(inode));
            file.map_or(0, |file| file.len)
        };
        Ok(dir
            .entries
            .iter()
            .map(|(name, entry)| DirEntry {
                name: name.to_string(),
                kind: entry.kind(),
                len: len(entry),
            })
            .collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.shared.lock();
        state.alive()?;
        if self.entry(&state, name)?.is_some() {
            return Err(fault::error(EEXIST));
        }
        let inode = self.create_file(&mut state, name)?;
        Ok(SimFile::new(&self.shared, &mut state, inode, true))
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.shared.lock();
        state.glance(OpClass::Open)?;
        let Some(inode) = self.file(&state, name)? else {
            return Err(fault::error(ENOENT));
        };
        let writable = mode == OpenMode::Write;
        Ok(SimFile::new(&self.shared, &mut state, inode, writable))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.alive()?;
        if self.entry(&state, from)?.is_none() {
            return Err(fault::error(ENOENT));
        }
        if let Some(Node::Directory) = self.entry(&state, to)?.map(|entry| entry.node) {
            return Err(fault::error(EISDIR));
        }
        let (from, to) = (from.into(), to.into());
        self.change(
            &mut state,
            OpClass::Rename,
            NameChangeKind::Rename { from, to },
        )
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.alive()?;
        match self.entry(&state, name)?.map(|entry| entry.node) {
            None => return Err(fault::error(ENOENT)),
            Some(Node::Directory) => return Err(fault::error(EISDIR)),
            Some(Node::File(_) | Node::Symlink) => {}
        }
        let name = name.into();
        self.change(&mut state, OpClass::Unlink, NameChangeKind::Unlink { name })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        match state.step(OpClass::DirSync, |_| Vec::new())? {
            Verdict::Go => state.sync_dir(&self.path),
            Verdict::Fail(error) => return Err(error),
        }
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Option<Arc<dyn File>>> {
        // Dropped outside of the lock on the state, which its drop takes.
        let file;
        let mut state = self.shared.lock();
        state.alive()?;
        state.land_orphans();
        let inode = match self.file(&state, name)? {
            Some(inode) => inode,
            None => self.create_file(&mut state, name)?,
        };
        file = SimFile::new(&self.shared, &mut state, inode, true);
        if state
            .locks
            .try_lock(inode, file.handle(), LockMode::Exclusive)
        {
            return Ok(Some(file));
        }
        state.tick(LOCK_TRY_NS);
        Ok(None)
    }
}

impl fmt::Debug for SimDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDir")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
