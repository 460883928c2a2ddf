//! What lies on the platter: files as sparse chunks that are shared until they are written.
//!
//! A copy of the whole media costs a few reference counts; a write to a copy costs one chunk and
//! the map of one file. Chunks that are all zero are absent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::namespace::{Directory, Entry};

/// The unit in which a disk may tear a write.
pub(super) const SECTOR_BYTES: u64 = 512;
const CHUNK_BYTES: usize = 4096;

pub(super) type InodeId = u64;

/// All files and directories.
#[derive(Debug, Clone, Default)]
pub(super) struct Media {
    pub(super) files: BTreeMap<InodeId, Arc<Inode>>,
    pub(super) dirs: Arc<BTreeMap<PathBuf, Arc<Directory>>>,
}

impl Media {
    /// Media with nothing but the root directory.
    pub(super) fn new() -> Self {
        let mut dirs = BTreeMap::new();
        dirs.insert(PathBuf::from("/"), Arc::default());
        Self {
            files: BTreeMap::new(),
            dirs: Arc::new(dirs),
        }
    }

    pub(super) fn dir(&self, path: &Path) -> Option<&Directory> {
        self.dirs.get(path).map(|dir| &**dir)
    }

    pub(super) fn dir_mut(&mut self, path: &Path) -> Option<&mut Directory> {
        Arc::make_mut(&mut self.dirs)
            .get_mut(path)
            .map(Arc::make_mut)
    }

    pub(super) fn add_dir(&mut self, path: PathBuf) {
        Arc::make_mut(&mut self.dirs).entry(path).or_default();
    }

    pub(super) fn entry(&self, dir: &Path, name: &str) -> Option<&Entry> {
        self.dir(dir)?.entries.get(name)
    }

    pub(super) fn file(&self, inode: InodeId) -> Option<&Inode> {
        self.files.get(&inode).map(|file| &**file)
    }

    /// The file for changing; nothing when nobody can reach it any more.
    pub(super) fn file_mut(&mut self, inode: InodeId) -> Option<&mut Inode> {
        self.files.get_mut(&inode).map(Arc::make_mut)
    }

    pub(super) fn write(&mut self, inode: InodeId, offset: u64, bytes: &[u8]) {
        if let Some(file) = self.file_mut(inode) {
            file.write(offset, bytes);
        }
    }

    /// The number of names of a file.
    pub(super) fn links(&self, inode: InodeId) -> u64 {
        self.named().filter(|&named| named == inode).count() as u64
    }

    /// Every file that has a name, as often as it has one.
    pub(super) fn named(&self) -> impl Iterator<Item = InodeId> + '_ {
        self.dirs.values().flat_map(|dir| dir.files())
    }

    /// Changes one file of two media in the same way, and keeps it shared where it was.
    pub(super) fn change_both(
        &mut self,
        other: &mut Self,
        inode: InodeId,
        change: impl Fn(&mut Inode),
    ) {
        let shared = match (self.files.get(&inode), other.files.get(&inode)) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            _ => false,
        };
        if shared {
            // With the second reference gone, the change happens in place.
            other.files.remove(&inode);
        }
        if let Some(file) = self.file_mut(inode) {
            change(file);
        }
        if shared {
            other.files.insert(inode, Arc::clone(&self.files[&inode]));
        } else if let Some(file) = other.file_mut(inode) {
            change(file);
        }
    }
}

/// A file's bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) len: u64,
    /// Bytes of disk space that belong to the file.
    pub(super) reserved: u64,
    chunks: BTreeMap<u64, Arc<[u8; CHUNK_BYTES]>>,
}

impl Inode {
    /// Reads up to the end of the file; returns the bytes read.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let available = self.len.saturating_sub(offset);
        let len = buf
            .len()
            .min(usize::try_from(available).unwrap_or(usize::MAX));
        for (chunk, within, range) in spans(offset, len) {
            let place = &mut buf[range];
            match self.chunks.get(&chunk) {
                Some(bytes) => place.copy_from_slice(&bytes[within..within + place.len()]),
                None => place.fill(0),
            }
        }
        len
    }

    /// Writes, and lengthens the file where need be.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (chunk, within, range) in spans(offset, bytes.len()) {
            let bytes = &bytes[range];
            let zero = bytes.iter().all(|&byte| byte == 0);
            if zero && bytes.len() == CHUNK_BYTES {
                self.chunks.remove(&chunk);
            } else if !zero || self.chunks.contains_key(&chunk) {
                let place = self
                    .chunks
                    .entry(chunk)
                    .or_insert_with(|| Arc::new([0; CHUNK_BYTES]));
                Arc::make_mut(place)[within..within + bytes.len()].copy_from_slice(bytes);
            }
        }
        self.len = self.len.max(offset + bytes.len() as u64);
        self.reserved = self.reserved.max(self.len);
    }

    /// Makes the file `len` long: new bytes are zero, bytes beyond are gone.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let first_gone = len.div_ceil(CHUNK_BYTES as u64);
            self.chunks.split_off(&first_gone);
            let within = (len % CHUNK_BYTES as u64) as usize;
            if let Some(last) = self.chunks.get_mut(&(len / CHUNK_BYTES as u64)) {
                Arc::make_mut(last)[within..].fill(0);
            }
            self.reserved = len;
        }
        self.len = len;
        self.reserved = self.reserved.max(len);
    }

    /// Whether writing these bytes would change nothing.
    pub(super) fn has(&self, offset: u64, bytes: &[u8]) -> bool {
        offset + bytes.len() as u64 <= self.len
            && spans(offset, bytes.len()).all(|(chunk, within, range)| {
                let bytes = &bytes[range];
                match self.chunks.get(&chunk) {
                    Some(present) => present[within..within + bytes.len()] == *bytes,
                    None => bytes.iter().all(|&byte| byte == 0),
                }
            })
    }
}

/// Cuts a range of a file at the chunks' borders: chunk, offset in it, range of the buffer.
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % CHUNK_BYTES as u64) as usize;
        let range = done..len.min(done + CHUNK_BYTES - within);
        done = range.end;
        Some((at / CHUNK_BYTES as u64, within, range))
    })
}

/// A part of a write that lies within one sector, and so reaches the disk in full or not at all.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) inode: InodeId,
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
    /// A write or sync of these bytes failed: no later sync makes them durable, though they may
    /// have reached the disk by themselves.
    pub(super) doomed: bool,
}

impl Piece {
    /// Cuts a write at the sectors' borders.
    pub(super) fn split(inode: InodeId, offset: u64, bytes: &Bytes) -> Vec<Self> {
        let end = offset + bytes.len() as u64;
        let mut pieces = Vec::with_capacity((bytes.len() / SECTOR_BYTES as usize) + 2);
        let mut at = offset;
        while at < end {
            let next = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
            pieces.push(Self {
                inode,
                offset: at,
                bytes: bytes.slice((at - offset) as usize..(next - offset) as usize),
                doomed: false,
            });
            at = next;
        }
        pieces
    }

    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// The sector that the piece lies in, among all files' sectors.
    pub(super) fn sector(&self) -> (InodeId, u64) {
        (self.inode, self.offset / SECTOR_BYTES)
    }

    /// What remains of the piece once `start..end` was written anew.
    pub(super) fn without(&self, start: u64, end: u64) -> impl Iterator<Item = Self> + '_ {
        let before = (self.offset, self.end().min(start));
        let after = (self.offset.max(end), self.end());
        [before, after]
            .into_iter()
            .filter(|(start, end)| start < end)
            .map(|(start, end)| Self {
                offset: start,
                bytes: self
                    .bytes
                    .slice((start - self.offset) as usize..(end - self.offset) as usize),
                ..self.clone()
            })
    }

    pub(super) fn write_to(&self, media: &mut Media) {
        media.write(self.inode, self.offset, &self.bytes);
    }
}
