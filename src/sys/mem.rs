//! Memory that is shared with the kernel: tail images, aligned buffers, mapped segments.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

#[cfg(not(ringbolt_loom))]
use rustix::mm::{Advice, madvise};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::sync::atomic::AtomicU64;

/// The bytes that an unprivileged process may lock, as registered buffers are; `None` for no limit.
pub(crate) fn lock_limit_bytes() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Memlock).current
}

/// A range of shared, zeroed, page-aligned memory: a tail image.
///
/// A shared mapping, not a private one: a private page that the kernel reads by DMA is copied on
/// the next write after a fork. It is handed out as raw pointers only: many threads write disjoint
/// parts of it while the disk reads others, so no `&[u8]` over all of it may ever exist.
pub struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the region is plain memory without an owner thread; all access goes through raw
// pointers, whose users argue their own exclusiveness.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `len` bytes of zeroes; `len` must not be 0.
    pub fn new(len: usize) -> io::Result<Self> {
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches no
        // memory of ours.
        let base = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::NORESERVE,
            )?
        };
        let base = NonNull::new(base.cast()).expect("a mapping is never at address zero");
        Ok(Self { base, len })
    }

    /// The first byte. Page-aligned.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes out that nobody is writing: those of a write that was handed to a queue.
    ///
    /// # Panics
    ///
    /// If they reach beyond the region.
    pub(crate) fn copy_to(&self, offset: usize, bytes: &mut [u8]) {
        let end = offset.checked_add(bytes.len());
        assert!(
            end.is_some_and(|end| end <= self.len),
            "a range beyond its region"
        );
        // SAFETY: the range lies within the mapping, which lives as long as `self` and is
        // initialised (zeroed by the kernel); `bytes` is borrowed exclusively, so it is no part of
        // it. Nobody writes the range meanwhile: writing takes the raw pointer, whose users argue
        // that they keep off what a queue was given until its completion; only queues call this,
        // before the completion, and the opening of a log, before anybody else has it.
        unsafe {
            ptr::copy_nonoverlapping(
                self.base.as_ptr().add(offset),
                bytes.as_mut_ptr(),
                bytes.len(),
            );
        }
    }

    /// Whether the region has no bytes; never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this base and length, and nobody can hold a
        // pointer into it any more: users keep the region alive for as long as they use one.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("len", &self.len).finish()
    }
}

/// A zeroed buffer of our own whose address is page-aligned, for direct reads and writes.
///
/// From the allocator, not a mapping: buffers that come and go then find their pages present.
pub struct AlignedBuf {
    base: NonNull<u8>,
    layout: Layout,
    len: usize,
}

// SAFETY: the buffer owns its memory as a `Vec` does.
unsafe impl Send for AlignedBuf {}
// SAFETY: as above.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// `len` zeroed bytes.
    pub fn new(len: usize) -> io::Result<Self> {
        let layout = Layout::from_size_align(len.max(1), ALIGN_BYTES)
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: the layout's size is not 0.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, layout, len })
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout, and freed once.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: allocated and zeroed with at least `len` bytes, and owned by this buffer alone,
        // so `&self` excludes writers.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` excludes every other access.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("len", &self.len)
            .finish()
    }
}

/// The alignment of buffers: a page, which is all that direct I/O asks of an address.
const ALIGN_BYTES: usize = 4096;

/// A read-only mapping of a sealed segment.
///
/// Its bytes never change: a segment is mapped only once it is sealed, and is neither rewritten
/// nor recycled while a handle to it lives. A page that was evicted and cannot be read again is
/// reported by the kernel as SIGBUS; [`FileMap::populate`] turns the first reading of a window
/// into an ordinary error.
pub struct FileMap(memmap2::Mmap);

impl FileMap {
    /// Maps the first `len` bytes of `file`.
    ///
    /// # Safety
    ///
    /// 1. No process may change or shorten these bytes of the file while the mapping lives.
    pub(crate) unsafe fn new(file: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        // SAFETY: (1) is passed on to our caller.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(file.as_raw_fd())? };
        Ok(Self(map))
    }

    /// Reads the pages of a window in, so that a failing disk is an error here, not a signal later.
    pub fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        self.0
            .advise_range(memmap2::Advice::PopulateRead, offset, len)
    }

    /// Asks the kernel to read a window in the background.
    pub fn will_need(&self, offset: usize, len: usize) -> io::Result<()> {
        self.0.advise_range(memmap2::Advice::WillNeed, offset, len)
    }
}

impl Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for FileMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileMap")
            .field("len", &self.0.len())
            .finish()
    }
}

/// An atomic number that reads as 0 in a forked child: the kernel wipes its page on fork.
///
/// A log's claim word lives in one, so that a child finds no live log, at no cost on the hot path.
pub(crate) struct WipedOnFork {
    #[cfg(not(ringbolt_loom))]
    page: Region,
    #[cfg(ringbolt_loom)]
    word: AtomicU64,
}

impl WipedOnFork {
    #[cfg(not(ringbolt_loom))]
    pub(crate) fn new(value: u64) -> io::Result<Self> {
        // SAFETY: as in `Region::new`. Private, because the kernel wipes only private pages.
        let base = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                PAGE_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        let base: NonNull<u8> =
            NonNull::new(base.cast()).expect("a mapping is never at address zero");
        let page = Region {
            base,
            len: PAGE_BYTES,
        };
        // SAFETY: the range is exactly the mapping just made; wiping it on fork concerns no other.
        unsafe { madvise(page.as_ptr().cast(), PAGE_BYTES, Advice::LinuxWipeOnFork)? };
        let this = Self { page };
        this.get()
            .store(value, crate::sync::atomic::Ordering::Relaxed);
        Ok(this)
    }

    #[cfg(ringbolt_loom)]
    pub(crate) fn new(value: u64) -> io::Result<Self> {
        Ok(Self {
            word: AtomicU64::new(value),
        })
    }

    #[cfg(not(ringbolt_loom))]
    #[inline]
    pub(crate) fn get(&self) -> &AtomicU64 {
        // SAFETY: the page is alive for as long as `self`, aligned, zero-initialised, large enough,
        // and only ever accessed as this atomic.
        unsafe { &*self.page.as_ptr().cast::<AtomicU64>() }
    }

    #[cfg(ringbolt_loom)]
    pub(crate) fn get(&self) -> &AtomicU64 {
        &self.word
    }
}

#[cfg(not(ringbolt_loom))]
const PAGE_BYTES: usize = 4096;
