//! Hostile hands: what tests do to a disk at rest, past every interface.
//!
//! Each edit first makes everything durable that is on the disk.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::SimDisk;
use super::fault::{self, EEXIST, EISDIR, ENOENT};
use super::media::{InodeId, Media};
use super::namespace::{Entry, Node, absolute, parent_and_name};
use super::random::Rng;
use super::state::State;

/// # Edits
///
/// For tests of damage: of a disk at rest, past every interface. They count as no operations, need
/// no alignment, and first make everything durable that is on the disk.
///
/// # Panics
///
/// If the disk [crashed](SimDisk::crash_at): edit one of its states instead.
impl SimDisk {
    /// Changes every byte of a range of a file to another one. The range ends with the file at
    /// the latest.
    pub fn corrupt(
        &self,
        path: impl AsRef<Path>,
        offset: u64,
        len: u64,
        seed: u64,
    ) -> io::Result<()> {
        let mut rng = Rng::new(seed);
        self.edit_range(path.as_ref(), offset..offset.saturating_add(len), |bytes| {
            for byte in bytes {
                *byte ^= 1 + rng.below(255) as u8;
            }
        })
    }

    /// Fills a range of a file with zeroes. The range ends with the file at the latest.
    pub fn zero(&self, path: impl AsRef<Path>, range: Range<u64>) -> io::Result<()> {
        self.edit_range(path.as_ref(), range, |bytes| bytes.fill(0))
    }

    /// Overwrites bytes of a file, and lengthens it where need be.
    pub fn patch(&self, path: impl AsRef<Path>, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut state, inode) = self.settled_file(path.as_ref())?;
        state.write_durable(inode, offset, bytes);
        Ok(())
    }

    /// Makes a file `len` bytes long.
    pub fn truncate(&self, path: impl AsRef<Path>, len: u64) -> io::Result<()> {
        let (mut state, inode) = self.settled_file(path.as_ref())?;
        state.set_len_durable(inode, len);
        Ok(())
    }

    /// Makes a file with these bytes, or replaces one.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.settled();
        let inode = new_file(&mut state, path.as_ref())?;
        state.write_durable(inode, 0, bytes);
        Ok(())
    }

    /// All bytes of a file, as the system sees them.
    pub fn read_file(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let state = self.shared.lock();
        contents(&state.view, path.as_ref())
    }

    /// All bytes of a file, as they would be after a power failure now.
    pub fn read_file_durable(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let state = self.shared.lock();
        contents(&state.durable, path.as_ref())
    }

    /// Exchanges what two names in one or two directories stand for.
    pub fn swap(&self, a: impl AsRef<Path>, b: impl AsRef<Path>) -> io::Result<()> {
        let mut state = self.settled();
        let first = entry(&state.view, a.as_ref())?;
        let second = entry(&state.view, b.as_ref())?;
        set_entry(&mut state, a.as_ref(), Some(second))?;
        set_entry(&mut state, b.as_ref(), Some(first))
    }

    /// Copies a file of another disk (or of this one) to here: a foreign file, an old one.
    pub fn copy_file_from(
        &self,
        other: &Self,
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
    ) -> io::Result<()> {
        let file = {
            let other = other.shared.lock();
            let inode = file_inode(&other.view, from.as_ref())?;
            other.view.files.get(&inode).cloned()
        };
        let mut state = self.settled();
        let inode = new_file(&mut state, to.as_ref())?;
        if let Some(file) = file {
            state.durable.files.insert(inode, Arc::clone(&file));
            state.view.files.insert(inode, file);
        }
        Ok(())
    }

    /// Gives a file a second name.
    pub fn link(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let mut state = self.settled();
        let file = entry(&state.view, from.as_ref())?;
        set_entry(&mut state, to.as_ref(), Some(file))
    }

    /// Makes a symbolic link; nothing follows it.
    pub fn make_symlink(&self, path: impl AsRef<Path>) -> io::Result<()> {
        set_entry(
            &mut self.settled(),
            path.as_ref(),
            Some(Entry::new(Node::Symlink)),
        )
    }

    /// Removes a name, and with a directory all that is in it.
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut state = self.settled();
        let removed = entry(&state.view, path.as_ref())?;
        set_entry(&mut state, path.as_ref(), None)?;
        if removed.node == Node::Directory {
            let top = absolute(path.as_ref());
            let dirs = Arc::make_mut(&mut state.view.dirs);
            dirs.retain(|dir, _| !dir.starts_with(&top));
            state.durable.dirs = Arc::clone(&state.view.dirs);
        }
        state.forget_unreachable();
        Ok(())
    }

    /// Gives a file or directory to this process's user, or to another one.
    pub fn set_owner(&self, path: impl AsRef<Path>, owned: bool) -> io::Result<()> {
        let mut state = self.settled();
        let entry = entry(&state.view, path.as_ref())?;
        set_entry(&mut state, path.as_ref(), Some(Entry { owned, ..entry }))
    }

    fn settled(&self) -> impl std::ops::DerefMut<Target = State> + '_ {
        let mut state = self.shared.lock();
        state.settle();
        state
    }

    fn settled_file(
        &self,
        path: &Path,
    ) -> io::Result<(impl std::ops::DerefMut<Target = State> + '_, InodeId)> {
        let state = self.settled();
        let inode = file_inode(&state.view, path)?;
        Ok((state, inode))
    }

    fn edit_range(
        &self,
        path: &Path,
        range: Range<u64>,
        edit: impl FnOnce(&mut [u8]),
    ) -> io::Result<()> {
        let (mut state, inode) = self.settled_file(path)?;
        let len = state.view.file(inode).map_or(0, |file| file.len);
        let range = range.start..range.end.min(len);
        let mut bytes = vec![0; range.end.saturating_sub(range.start) as usize];
        if let Some(file) = state.view.file(inode) {
            file.read(range.start, &mut bytes);
        }
        edit(&mut bytes);
        if !bytes.is_empty() {
            state.write_durable(inode, range.start, &bytes);
        }
        Ok(())
    }
}

fn contents(media: &Media, path: &Path) -> io::Result<Vec<u8>> {
    let inode = file_inode(media, path)?;
    let Some(file) = media.file(inode) else {
        return Err(fault::error(ENOENT));
    };
    let mut bytes = vec![0; file.len as usize];
    file.read(0, &mut bytes);
    Ok(bytes)
}

fn entry(media: &Media, path: &Path) -> io::Result<Entry> {
    parent_and_name(path)
        .and_then(|(dir, name)| media.entry(&dir, &name).copied())
        .ok_or_else(|| fault::error(ENOENT))
}

fn file_inode(media: &Media, path: &Path) -> io::Result<InodeId> {
    entry(media, path)?
        .inode()
        .ok_or_else(|| fault::error(EISDIR))
}

/// An empty file of this name, in place of what had it before.
fn new_file(state: &mut State, path: &Path) -> io::Result<InodeId> {
    let inode = state.next_inode();
    if entry(&state.view, path).is_ok_and(|present| present.node == Node::Directory) {
        return Err(fault::error(EEXIST));
    }
    set_entry(state, path, Some(Entry::new(Node::File(inode))))?;
    state.view.files.insert(inode, Arc::default());
    let file = Arc::clone(&state.view.files[&inode]);
    state.durable.files.insert(inode, file);
    Ok(inode)
}

fn set_entry(state: &mut State, path: &Path, entry: Option<Entry>) -> io::Result<()> {
    let (dir, name) = parent_and_name(path).ok_or_else(|| fault::error(ENOENT))?;
    for media in [&mut state.view, &mut state.durable] {
        let Some(dir) = media.dir_mut(&dir) else {
            return Err(fault::error(ENOENT));
        };
        match entry {
            Some(entry) => dir.entries.insert(Arc::clone(&name), entry),
            None => dir.entries.remove(&name),
        };
    }
    Ok(())
}
