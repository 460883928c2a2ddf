//! What a directory's file system can do: direct I/O, and in which units.
//!
//! Asked by trying, because file systems say yes to `O_DIRECT` and no to the first write. The trial
//! is a file without a name; where none can be made (a directory that may not be written, a full
//! disk), an existing file is read instead. Nothing is left behind.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self as kernel, AtFlags, StatxFlags};

use super::fs::{self, Durably, How, Kind};
use super::mem::AlignedBuf;

/// Blocks are at least this large, whatever the disk says: what it can lose at once.
const BLOCK_BYTES_MIN: u32 = 4096;
/// The largest unit that is taken for a block; beyond it, file systems mean "a convenient size".
const BLOCK_BYTES_MAX: u32 = 1 << 16;
/// Buffers are aligned to a page; a disk that wants more cannot have direct I/O.
const MEMORY_ALIGN_MAX: u32 = 4096;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The largest of 4096, the physical sector, the file system's block and the alignment of
    /// direct I/O.
    pub(crate) block_bytes: u32,
    /// Whether reads and writes past the page cache work, or why not.
    pub(crate) direct: Result<(), String>,
}

/// Probes the file system of `dir`.
pub(crate) fn probe(dir: BorrowedFd<'_>) -> io::Result<Probe> {
    let mut block_bytes = BLOCK_BYTES_MIN
        .max(file_system_block(dir)?)
        .max(physical_sector(fs::stat(dir)?.id.0));
    let direct = match trial(dir) {
        Ok(trial) => match trial.run(&mut block_bytes) {
            Ok(()) => Ok(()),
            Err(reason) => Err(reason),
        },
        Err(reason) => Err(reason),
    };
    Ok(Probe {
        block_bytes,
        direct,
    })
}

/// A file to try direct I/O on.
struct Trial {
    file: OwnedFd,
    may_write: bool,
}

fn trial(dir: BorrowedFd<'_>) -> Result<Trial, String> {
    let refused = match fs::open_unnamed(dir) {
        Ok(file) => {
            return Ok(Trial {
                file,
                may_write: true,
            });
        }
        Err(error) => error,
    };
    let existing = fs::list(dir)
        .map_err(|error| format!("direct I/O could not be tried: {error}"))?
        .into_iter()
        .filter(|(_, stat)| stat.kind == Kind::File && stat.len > 0)
        .find_map(|(name, _)| fs::open_at(dir, &name, How::Read, false).ok());
    match existing {
        Some(file) => Ok(Trial {
            file,
            may_write: false,
        }),
        None => Err(format!("direct I/O could not be tried: {refused}")),
    }
}

impl Trial {
    /// Tries, and raises `block_bytes` to what direct I/O needs.
    fn run(&self, block_bytes: &mut u32) -> Result<(), String> {
        let file = self.file.as_fd();
        if let Some((memory, offset)) = stated_alignment(file) {
            if memory == 0 || offset == 0 {
                return Err("the file system has no direct I/O".into());
            }
            if memory > MEMORY_ALIGN_MAX || offset > BLOCK_BYTES_MAX {
                return Err(format!(
                    "direct I/O wants memory aligned to {memory} and offsets to {offset} bytes"
                ));
            }
            *block_bytes = (*block_bytes).max(offset.next_power_of_two());
        }
        fs::set_direct(file)
            .map_err(|error| format!("the file system refuses O_DIRECT: {error}"))?;
        let mut block = AlignedBuf::new(*block_bytes as usize)
            .map_err(|error| format!("no memory to try direct I/O: {error}"))?;
        if self.may_write {
            // Unless the disk is full, which says nothing about direct I/O.
            match fs::write_at(file, &block, 0, Durably::Later) {
                Err(error) if error.kind() != io::ErrorKind::StorageFull => {
                    return Err(format!("a direct write failed: {error}"));
                }
                _ => {}
            }
        }
        fs::read_at(file, &mut block, 0)
            .map(drop)
            .map_err(|error| format!("a direct read failed: {error}"))
    }
}

/// The alignment of memory and of offsets that the kernel states for direct I/O on this file; zero
/// where there is none, `None` where it does not say.
fn stated_alignment(file: BorrowedFd<'_>) -> Option<(u32, u32)> {
    let stat = kernel::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    (stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0)
        .then_some((stat.stx_dio_mem_align, stat.stx_dio_offset_align))
}

fn file_system_block(dir: BorrowedFd<'_>) -> io::Result<u32> {
    let block = kernel::fstatvfs(dir)?.f_frsize;
    Ok(usable_block(block))
}

/// The physical sector of the block device `device`; 0 where it has none, as network file systems.
fn physical_sector(device: u64) -> u32 {
    let (major, minor) = (kernel::major(device), kernel::minor(device));
    // A partition has no queue of its own; its disk is one level up.
    for place in ["queue", "../queue"] {
        let path = format!("/sys/dev/block/{major}:{minor}/{place}/physical_block_size");
        if let Some(bytes) = std::fs::read_to_string(path)
            .ok()
            .and_then(|text| text.trim().parse().ok())
        {
            return usable_block(bytes);
        }
    }
    0
}

/// The size as a block, or 0 if it is none.
fn usable_block(bytes: u64) -> u32 {
    match u32::try_from(bytes) {
        Ok(bytes) if bytes.is_power_of_two() && bytes <= BLOCK_BYTES_MAX => bytes,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let path = std::env::temp_dir().join(format!("ringbolt-probe-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let dir = fs::open_dir(&path).unwrap();
        let probe = probe(dir.as_fd()).unwrap();
        assert!(probe.block_bytes >= 4096 && probe.block_bytes.is_power_of_two());
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        std::fs::remove_dir(&path).unwrap();
    }

    #[test]
    fn convenient_sizes_are_no_blocks() {
        assert_eq!(usable_block(4096), 4096);
        assert_eq!(usable_block(0), 0);
        assert_eq!(usable_block(6000), 0);
        assert_eq!(usable_block(1 << 20), 0);
        assert_eq!(usable_block(u64::MAX), 0);
    }
}
