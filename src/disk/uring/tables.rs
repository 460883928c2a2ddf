//! What is registered with the ring, so that the kernel need not look it up with every write:
//! memory, files, and the locks that must outlive the writes.
//!
//! Nothing here is an error: what the kernel does not take is written all the same, and the reason
//! is kept for the log's report.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Weak};

use io_uring::IoUring;

use super::slots::Slots;
use crate::disk::{File, Region};
use crate::sys::event::Canary;
use crate::sys::mem::lock_limit_bytes;

/// The table of registered files: files that are written, locks, and the canary. It must stay
/// below the usual limit on open files, which the kernel applies to it.
const FILES: std::ops::Range<u32> = 0..64;
const LOCKS: std::ops::Range<u32> = 64..255;
const CANARY: u32 = 255;
const TABLE: u32 = 256;
/// The table of registered buffers.
const REGIONS: u32 = 1024;
/// No file, in an update of the table.
const NO_FILE: RawFd = -1;

/// The tables of one ring, which every method is given.
pub(super) struct Tables {
    has_files: bool,
    files: Slots<Weak<dyn File>>,
    locks: Slots<Arc<dyn File>>,
    has_buffers: bool,
    regions: Slots<Arc<Region>>,
    /// Why announced regions could not be registered, by their addresses.
    unregistered: HashMap<usize, String>,
    /// Why not all else is registered.
    reasons: Vec<String>,
    /// How often one of the last two changed.
    changes: u64,
}

impl Tables {
    /// Makes the tables. With them comes, where files can be registered, a canary that tells when
    /// the ring's last request has ended after the ring was closed.
    pub(super) fn new(ring: &IoUring, register: bool) -> io::Result<(Self, Option<Canary>)> {
        let submitter = ring.submitter();
        let mut reasons = Vec::new();
        let files = submitter
            .register_files_sparse(TABLE)
            .or_else(|_| submitter.register_files(&[NO_FILE; TABLE as usize]));
        let canary = match &files {
            Ok(()) => {
                let (canary, end) = Canary::new()?;
                set_file(ring, CANARY, end.as_raw_fd())?;
                Some(canary)
            }
            Err(error) => {
                reasons.push(format!("files and locks not registered: {error}"));
                None
            }
        };
        let buffers = if register {
            submitter
                .register_buffers_sparse(REGIONS)
                .map_err(|error| format!("memory not registered: {error}"))
        } else {
            Err("registering memory was turned off".into())
        };
        let has_buffers = buffers.is_ok();
        reasons.extend(buffers.err());
        let tables = Self {
            has_files: files.is_ok(),
            files: Slots::new(FILES),
            locks: Slots::new(LOCKS),
            has_buffers,
            regions: Slots::new(0..REGIONS),
            unregistered: HashMap::new(),
            reasons,
            changes: 0,
        };
        Ok((tables, canary))
    }

    /// Whether all memory that was announced is registered.
    pub(super) fn all_registered(&self) -> bool {
        self.has_buffers && self.unregistered.is_empty()
    }

    /// How often the answers of [`Tables::all_registered`] and [`Tables::reasons`] may have changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Why not everything is registered; of several regions, one stands for all.
    pub(super) fn reasons(&self) -> impl Iterator<Item = &String> {
        self.reasons
            .iter()
            .chain(self.unregistered.values().take(1))
    }

    // ---- memory

    pub(super) fn add_region(&mut self, ring: &IoUring, region: &Arc<Region>) {
        let key = address(region);
        if !self.has_buffers || self.regions.find(key).is_some() {
            return;
        }
        let registered = match self.regions.insert(key, Arc::clone(region)) {
            Some(place) => set_buffer(ring, place, region.as_ptr(), region.len())
                .inspect_err(|_| drop(self.regions.remove(key))),
            None => Err(io::Error::other("the table of buffers is full")),
        };
        if let Err(error) = registered {
            self.changes += 1;
            self.unregistered
                .insert(key, unregistered_because(region, &error));
        }
    }

    pub(super) fn remove_region(&mut self, ring: &IoUring, region: &Arc<Region>) {
        let key = address(region);
        if self.unregistered.remove(&key).is_some() {
            self.changes += 1;
        }
        if let Some((place, _)) = self.regions.remove(key) {
            if let Err(error) = set_buffer(ring, place, std::ptr::null_mut(), 0) {
                // The kernel keeps the pages until the place is used again; that does no harm.
                self.note(format!("memory kept registered: {error}"));
            }
        }
    }

    /// The place of a region among the registered buffers.
    pub(super) fn buffer_place(&self, region: &Arc<Region>) -> Option<u16> {
        let place = self.regions.find(address(region))?;
        u16::try_from(place).ok()
    }

    // ---- locks

    pub(super) fn hold(&mut self, ring: &IoUring, lock: &Arc<dyn File>) {
        let key = address(lock);
        if self.locks.find(key).is_some() {
            return;
        }
        let registered = match (self.locks.insert(key, Arc::clone(lock)), lock.descriptor()) {
            (Some(place), Some(descriptor)) if self.has_files => {
                set_file(ring, place, descriptor.as_raw_fd())
            }
            // Without a table, or a descriptor: kept by us, as long as we live.
            (Some(_), _) => return,
            (None, _) => Err(io::Error::other("the table of locks is full")),
        };
        if let Err(error) = registered {
            self.note(format!("a lock not registered: {error}"));
        }
    }

    pub(super) fn release(&mut self, ring: &IoUring, lock: &Arc<dyn File>) {
        if let Some((place, _)) = self.locks.remove(address(lock)) {
            if self.has_files {
                if let Err(error) = set_file(ring, place, NO_FILE) {
                    self.note(format!("a lock kept registered: {error}"));
                }
            }
        }
    }

    // ---- files

    /// The place of a file among the registered ones, which it gets on its first write.
    pub(super) fn file_place(
        &mut self,
        ring: &IoUring,
        file: &Arc<dyn File>,
        descriptor: RawFd,
    ) -> Option<u32> {
        if !self.has_files {
            return None;
        }
        let key = address(file);
        if let Some(place) = self.files.find(key) {
            return Some(place);
        }
        self.forget_dead_files(ring);
        let place = self.files.insert(key, Arc::downgrade(file))?;
        if set_file(ring, place, descriptor).is_err() {
            self.files.remove(key);
            return None;
        }
        Some(place)
    }

    /// Gives up the places of files that nobody has open any more, so that the space of those that
    /// were removed is freed. A file with a write in the ring is not among them: the write has it.
    pub(super) fn forget_dead_files(&mut self, ring: &IoUring) {
        if self.files.len() == 0 {
            return;
        }
        for place in self.files.sweep(|file| file.strong_count() == 0) {
            // On failure the file stays until the place is used again.
            let _ = set_file(ring, place, NO_FILE);
        }
    }

    // ---- the end

    /// Lets all files and locks go at once: the kernel closes them some time after the ring. No
    /// write may be outstanding.
    pub(super) fn clear_files(&mut self, ring: &IoUring) {
        if self.has_files {
            self.has_files = false;
            // Should this fail, closing the ring does the same, later.
            let _ = ring.submitter().unregister_files();
        }
    }

    /// The locks, for whoever takes over.
    pub(super) fn into_locks(self) -> impl Iterator<Item = Arc<dyn File>> {
        self.locks.into_values()
    }

    fn note(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
            self.changes += 1;
        }
    }
}

fn set_file(ring: &IoUring, place: u32, descriptor: RawFd) -> io::Result<()> {
    ring.submitter()
        .register_files_update(place, &[descriptor])
        .map(drop)
}

fn set_buffer(ring: &IoUring, place: u32, base: *mut u8, len: usize) -> io::Result<()> {
    /// POSIX's `struct iovec`.
    #[repr(C)]
    struct IoVec {
        base: *mut u8,
        len: usize,
    }
    let buffer = IoVec { base, len };
    // SAFETY: one element, alive until the end of the function, of the layout that POSIX gives the
    // type that is expected here.
    let buffers = unsafe { std::slice::from_raw_parts((&raw const buffer).cast(), 1) };
    // SAFETY: the region is kept in `regions` for as long as it is registered, or (base and length
    // zero) the place becomes empty.
    unsafe {
        ring.submitter()
            .register_buffers_update(place, buffers, None)
    }
}

fn unregistered_because(region: &Region, error: &io::Error) -> String {
    let mut reason = format!("{} bytes not registered: {error}", region.len());
    if error.kind() == io::ErrorKind::OutOfMemory {
        if let Some(limit) = lock_limit_bytes() {
            reason += &format!(" (RLIMIT_MEMLOCK is {limit} bytes)");
        }
    }
    reason
}

/// What tells one shared object from all others that live.
fn address<T: ?Sized>(shared: &Arc<T>) -> usize {
    Arc::as_ptr(shared).cast::<()>() as usize
}
