//! The raw disk: writes and reads as bare as the kernel lets them be, for the log to be held against.
//!
//! The only file of the command with `unsafe` in it: pushing to an io_uring, and reading the
//! processor's time stamp counter.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::histogram;
use io_uring::{IoUring, opcode, types};
use ringbolt::disk::AlignedBuf;
use rustix::fs::{FallocateFlags, OFlags};

/// The largest operation.
pub(crate) const OP_BYTES_MAX: usize = 1 << 20;
/// The deepest queue.
pub(crate) const DEPTH_MAX: usize = 4;

/// Whether a file's blocks were written before, or only reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extents {
    /// Written: overwriting them changes no metadata.
    Written,
    /// Reserved by `fallocate`: the first write into each converts it, through the journal.
    Unwritten,
}

/// A file to measure on, removed when dropped.
#[derive(Debug)]
pub(crate) struct RawFile {
    file: File,
    path: PathBuf,
    len: u64,
}

impl RawFile {
    /// A file of `len` bytes at `path`, opened for direct writes that are durable when they end.
    pub(crate) fn create(path: &Path, len: u64, extents: Extents) -> io::Result<Self> {
        let path = path.to_path_buf();
        let (file, _) = open_direct(&path, OFlags::RDWR | OFlags::CREATE | OFlags::DSYNC)?;
        let raw = Self { file, path, len };
        rustix::fs::fallocate(&raw.file, FallocateFlags::empty(), 0, len)?;
        if extents == Extents::Written {
            let zeroes = AlignedBuf::new(OP_BYTES_MAX)?;
            for offset in (0..len).step_by(OP_BYTES_MAX) {
                let part = OP_BYTES_MAX.min((len - offset) as usize);
                raw.file.write_all_at(&zeroes[..part], offset)?;
            }
        }
        raw.file.sync_all()?;
        Ok(raw)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl Drop for RawFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens a file past the page cache, or through it where that is not possible here; says which.
pub(crate) fn open_direct(path: &Path, flags: OFlags) -> io::Result<(File, bool)> {
    let open = |flags: OFlags| {
        OpenOptions::new()
            .read(true)
            .write(flags.contains(OFlags::RDWR))
            .create(flags.contains(OFlags::CREATE))
            .custom_flags((flags - OFlags::RDWR - OFlags::CREATE).bits() as i32)
            .open(path)
    };
    match open(flags | OFlags::DIRECT) {
        Ok(file) => Ok((file, true)),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok((open(flags)?, false)),
        Err(error) => Err(error),
    }
}

/// One operation: a place in one of the files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Op {
    pub(crate) file: usize,
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

/// What a series of operations took.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    /// In nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Pass {
    pub(crate) fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// Reading or writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// A way to do many operations.
#[derive(Debug)]
pub(crate) enum Way {
    /// One `pread` or `pwrite` after the other.
    Plain(AlignedBuf),
    /// Through an io_uring, several at a time.
    Ring(Box<Ring>),
}

impl Way {
    pub(crate) fn plain() -> io::Result<Self> {
        Ok(Self::Plain(filled(OP_BYTES_MAX)?))
    }

    /// `None` where io_uring is not to be had.
    pub(crate) fn ring(depth: usize) -> Option<Self> {
        Ring::new(depth).ok().map(|ring| Self::Ring(Box::new(ring)))
    }

    /// Does all of `ops`.
    pub(crate) fn run(
        &mut self,
        files: &[&File],
        direction: Direction,
        ops: impl Iterator<Item = Op>,
    ) -> io::Result<Pass> {
        let mut pass = Pass {
            bytes: 0,
            elapsed: Duration::ZERO,
            latency: histogram::nanoseconds(),
        };
        let begin = Instant::now();
        match self {
            Self::Plain(buf) => run_plain(buf, files, direction, ops, &mut pass)?,
            Self::Ring(ring) => ring.run(files, direction, ops, &mut pass)?,
        }
        pass.elapsed = begin.elapsed();
        Ok(pass)
    }
}

fn run_plain(
    buf: &mut AlignedBuf,
    files: &[&File],
    direction: Direction,
    ops: impl Iterator<Item = Op>,
    pass: &mut Pass,
) -> io::Result<()> {
    for op in ops {
        let begin = Instant::now();
        match direction {
            Direction::Read => files[op.file].read_exact_at(&mut buf[..op.len], op.offset)?,
            Direction::Write => files[op.file].write_all_at(&buf[..op.len], op.offset)?,
        }
        pass.latency
            .saturating_record(begin.elapsed().as_nanos() as u64);
        pass.bytes += op.len as u64;
    }
    Ok(())
}

/// Memory that is not zero, so that no layer beneath takes a short cut.
fn filled(len: usize) -> io::Result<AlignedBuf> {
    let mut buf = AlignedBuf::new(len)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for chunk in buf.chunks_exact_mut(8) {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    Ok(buf)
}

/// An io_uring with a buffer for each operation in flight.
pub(crate) struct Ring {
    ring: IoUring,
    depth: usize,
    /// `depth` slots of [`OP_BYTES_MAX`]. Never resized, so the kernel's pointers into it hold.
    buf: AlignedBuf,
    /// Whether the kernel agreed to register `buf`.
    fixed: bool,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("depth", &self.depth)
            .field("fixed", &self.fixed)
            .finish()
    }
}

impl Ring {
    fn new(depth: usize) -> io::Result<Self> {
        let entries = depth.next_power_of_two() as u32;
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(entries)
            .or_else(|_| IoUring::new(entries))?;
        let mut buf = filled(depth * OP_BYTES_MAX)?;
        let slices: Vec<libc::iovec> = buf
            .chunks_exact_mut(OP_BYTES_MAX)
            .map(|slot| libc::iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: slot.len(),
            })
            .collect();
        // SAFETY: the memory lives in `buf`, which `Self` owns beside the ring and never moves or
        // frees before it: fields drop in order, `ring` first.
        let fixed = unsafe { ring.submitter().register_buffers(&slices) }.is_ok();
        Ok(Self {
            ring,
            depth,
            buf,
            fixed,
        })
    }

    fn run(
        &mut self,
        files: &[&File],
        direction: Direction,
        mut ops: impl Iterator<Item = Op>,
        pass: &mut Pass,
    ) -> io::Result<()> {
        let mut free: Vec<usize> = (0..self.depth).collect();
        let mut begun = vec![(Instant::now(), 0usize); self.depth];
        let mut failed = None;
        loop {
            while failed.is_none() && !free.is_empty() {
                let Some(op) = ops.next() else { break };
                let slot = free.pop().expect("not empty");
                begun[slot] = (Instant::now(), op.len);
                self.push(files, direction, op, slot);
            }
            if free.len() == self.depth {
                return failed.map_or(Ok(()), Err);
            }
            if let Err(error) = self.ring.submit_and_wait(1) {
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                // Operations may be under way into the buffer: giving it up is the only safe way.
                std::process::abort();
            }
            for completion in self.ring.completion() {
                let slot = completion.user_data() as usize;
                let (begin, len) = begun[slot];
                pass.latency
                    .saturating_record(begin.elapsed().as_nanos() as u64);
                free.push(slot);
                match completion.result() {
                    done if done == len as i32 => pass.bytes += len as u64,
                    done if done < 0 => failed = Some(io::Error::from_raw_os_error(-done)),
                    _ => failed = Some(io::ErrorKind::UnexpectedEof.into()),
                }
            }
        }
    }

    fn push(&mut self, files: &[&File], direction: Direction, op: Op, slot: usize) {
        assert!(op.len <= OP_BYTES_MAX && slot < self.depth);
        let fd = types::Fd(files[op.file].as_raw_fd());
        let slot_bytes = &mut self.buf[slot * OP_BYTES_MAX..][..op.len];
        let (at, len, index) = (slot_bytes.as_mut_ptr(), op.len as u32, slot as u16);
        let entry = match (direction, self.fixed) {
            (Direction::Write, true) => opcode::WriteFixed::new(fd, at, len, index)
                .offset(op.offset)
                .build(),
            (Direction::Write, false) => opcode::Write::new(fd, at, len).offset(op.offset).build(),
            (Direction::Read, true) => opcode::ReadFixed::new(fd, at, len, index)
                .offset(op.offset)
                .build(),
            (Direction::Read, false) => opcode::Read::new(fd, at, len).offset(op.offset).build(),
        };
        let entry = entry.user_data(slot as u64);
        // SAFETY: the descriptor is open for as long as `files` is borrowed, and `run` does not
        // return before every completion was collected. The memory is `op.len` bytes of this
        // slot, inside `self.buf`, and nothing touches the slot until it is free again.
        unsafe { self.ring.submission().push(&entry) }.expect("as many entries as slots");
    }
}

/// A cheap clock for calls that take less than reading the kernel's does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticker {
    origin: Instant,
    origin_ticks: u64,
    ns_per_tick: f64,
}

impl Ticker {
    /// Calibrates against the monotonic clock, for 20 ms.
    pub(crate) fn calibrated() -> Self {
        let origin = Instant::now();
        let origin_ticks = ticks(origin);
        std::thread::sleep(Duration::from_millis(20));
        let passed_ticks = ticks(origin).saturating_sub(origin_ticks).max(1);
        Self {
            origin,
            origin_ticks,
            ns_per_tick: origin.elapsed().as_nanos() as f64 / passed_ticks as f64,
        }
    }

    /// Nanoseconds since this clock was made; the same on all threads.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        (ticks(self.origin).saturating_sub(self.origin_ticks) as f64 * self.ns_per_tick) as u64
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn ticks(_origin: Instant) -> u64 {
    // SAFETY: the instruction is there on every x86-64 processor and touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn ticks(origin: Instant) -> u64 {
    origin.elapsed().as_nanos() as u64
}
