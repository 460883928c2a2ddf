//! An opening of a simulated file.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bytes::Bytes;

use super::crash::Doubt;
use super::fault::{self, EBADF, EINVAL, ENOSPC, OpClass};
use super::lock::HandleId;
use super::media::{InodeId, Piece};
use super::state::{Handle, Shared, State, Verdict};
use crate::disk::{File, FileMap, LockMode};

/// The largest alignment of memory that direct I/O asks for: that of a page.
const MEMORY_ALIGNMENT_MAX: usize = 4096;

/// An opening of a file on a simulated disk.
pub(super) struct SimFile {
    shared: Shared,
    handle: HandleId,
    inode: InodeId,
}

impl SimFile {
    /// Opens a file; `state` is what `shared` guards.
    pub(super) fn new(
        shared: &Shared,
        state: &mut State,
        inode: InodeId,
        writable: bool,
    ) -> Arc<Self> {
        let handle = state.next_id();
        let file = Arc::new(Self {
            shared: Arc::clone(shared),
            handle,
            inode,
        });
        state.handles.insert(handle, Handle { inode, writable });
        state.addresses.insert(Arc::as_ptr(&file).addr(), handle);
        file
    }

    pub(super) fn handle(&self) -> HandleId {
        self.handle
    }

    fn check(&self, state: &State, offset: u64, buf: &[u8]) -> io::Result<()> {
        let block = state.options.block_size as usize;
        let aligned = offset % block as u64 == 0
            && buf.len() % block == 0
            && buf.as_ptr().addr() % block.min(MEMORY_ALIGNMENT_MAX) == 0;
        if state.options.direct && !aligned {
            return Err(fault::error(EINVAL));
        }
        Ok(())
    }

    fn check_writable(&self, state: &State) -> io::Result<()> {
        match state.handles.get(&self.handle) {
            Some(handle) if handle.writable => Ok(()),
            _ => Err(fault::error(EBADF)),
        }
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.shared.lock();
        state.alive()?;
        Ok(state.view.file(self.inode).map_or(0, |file| file.len))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.shared.lock();
        state.glance(OpClass::Read)?;
        self.check(&state, offset, buf)?;
        let file = state.view.file(self.inode);
        Ok(file.map_or(0, |file| file.read(offset, buf)))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.shared.lock();
        self.check_writable(&state)?;
        self.check(&state, offset, buf)?;
        let bytes = Bytes::copy_from_slice(buf);
        let verdict = state.step(OpClass::WriteAt, |_| {
            vec![Doubt::Write {
                pieces: Piece::split(self.inode, offset, &bytes),
                queued: false,
            }]
        })?;
        if let Verdict::Fail(error) = verdict {
            state.write_failed(self.inode, offset, &bytes);
            return Err(error);
        }
        if !state.has_room(self.inode, offset + bytes.len() as u64) {
            return Err(fault::error(ENOSPC));
        }
        state.write_durable(self.inode, offset, &bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        match state.step(OpClass::Sync, |_| Vec::new())? {
            Verdict::Go => state.sync_file(self.inode),
            Verdict::Fail(error) => {
                state.sync_failed(self.inode);
                return Err(error);
            }
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut state = self.shared.lock();
        self.check_writable(&state)?;
        let inode = self.inode;
        let verdict = state.step(OpClass::Allocate, |_| vec![Doubt::Length { inode, len }])?;
        if let Verdict::Fail(error) = verdict {
            return Err(error);
        }
        if !state.has_room(inode, len) {
            return Err(fault::error(ENOSPC));
        }
        state.set_len_durable(inode, len);
        Ok(())
    }

    fn try_lock(&self, mode: LockMode) -> io::Result<bool> {
        let mut state = self.shared.lock();
        state.alive()?;
        state.land_orphans();
        Ok(state.locks.try_lock(self.inode, self.handle, mode))
    }

    fn unlock(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.alive()?;
        state.locks.unlock(self.handle);
        Ok(())
    }

    fn links(&self) -> io::Result<u64> {
        let state = self.shared.lock();
        state.alive()?;
        Ok(state.view.links(self.inode))
    }

    fn map(&self, _len: u64) -> io::Result<Option<FileMap>> {
        Ok(None)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.addresses.remove(&std::ptr::from_ref(self).addr());
        state.handles.remove(&self.handle);
        state.locks.close(self.handle);
        if state.alive().is_ok() && state.view.links(self.inode) == 0 {
            state.forget_unreachable();
        }
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("inode", &self.inode)
            .finish_non_exhaustive()
    }
}
