//! Does what a plan says. Each step may have been done, in part or whole, by a repair that was
//! interrupted.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{AlignedBuf, Dir, Disk, File, OpenMode, PathKind};
use crate::error::{Error, Result};
use crate::log::maintain::repair::{Step, aside};
use crate::log::make::{self, Spares};
use crate::log::recover::{QUARANTINE_NAME, REPAIR_NAME};
use crate::log::segment::{self, Header};

/// Copied at a time, in bytes.
const COPY_BYTES: usize = 1 << 20;

/// Does the steps.
pub(super) struct Applier<'a> {
    disk: &'a dyn Disk,
    dir: &'a dyn Dir,
    quarantine: Option<Arc<dyn Dir>>,
    pub(super) quarantined: Vec<PathBuf>,
}

impl<'a> Applier<'a> {
    pub(super) fn new(disk: &'a dyn Disk, dir: &'a dyn Dir) -> Self {
        Self {
            disk,
            dir,
            quarantine: None,
            quarantined: Vec::new(),
        }
    }

    pub(super) fn apply(&mut self, step: &Step) -> Result<()> {
        let doing = |error: io::Error| Error::io(format!("could not {step}"), error);
        match step {
            Step::Copy(name) => self.copy(name),
            Step::Move(name) | Step::Derive(name) => {
                self.copy(name)?;
                self.dir.unlink(name).map_err(doing)?;
                self.dir.sync().map_err(doing)
            }
            Step::SetAside(name) => {
                self.dir.rename(name, &aside(name)).map_err(doing)?;
                self.quarantined.push(self.dir.path().join(aside(name)));
                self.dir.sync().map_err(doing)
            }
            Step::WriteHeader(header) => self.write_block(header, 0, |block| header.write(block)),
            Step::WriteFooter(header, footer) => {
                let at = header.segment_bytes - u64::from(header.block_bytes);
                self.write_block(header, at, |block| footer.write(block))
            }
            Step::Mark => match self.dir.create(REPAIR_NAME) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(doing(error)),
                _ => self.dir.sync().map_err(doing),
            },
            Step::Commit(header) => {
                let plan = make::Plan {
                    header: *header,
                    fill: false,
                    control: true,
                };
                make::make(self.dir, &Spares::new(Vec::new()), &plan).map(drop)
            }
            Step::Unmark => {
                self.dir.unlink(REPAIR_NAME).map_err(doing)?;
                self.dir.sync().map_err(doing)
            }
        }
    }

    fn write_block(&self, header: &Header, at: u64, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let failed = |error| Error::io("writing a segment's block again", error);
        let mut block = AlignedBuf::new(header.block_bytes as usize).map_err(failed)?;
        fill(&mut block);
        let name = segment::file_name(header.ordinal);
        let file = self.dir.open(&name, OpenMode::Write).map_err(failed)?;
        file.write_at(&block, at).map_err(failed)
    }

    /// Copies a file into the quarantine, under a name that is free there. A file whose length is
    /// no multiple of the block gets zeroes behind.
    fn copy(&mut self, name: &str) -> Result<()> {
        let failed = |error| Error::io("copying into the quarantine", error);
        let quarantine = self.quarantine().map_err(failed)?;
        let taken = quarantine.list().map_err(failed)?;
        let is_taken = |name: &str| taken.iter().any(|entry| entry.name == name);
        let mut free = name.to_string();
        let mut copies = 0;
        while is_taken(&free) {
            copies += 1;
            free = format!("{name}.{copies}");
        }
        let unfinished = "copying.tmp";
        if is_taken(unfinished) {
            // Of a repair that was interrupted: its original is still where it was.
            quarantine.unlink(unfinished).map_err(failed)?;
        }
        let from = self.dir.open(name, OpenMode::Read).map_err(failed)?;
        let to = quarantine.create(unfinished).map_err(failed)?;
        copy_bytes(&*from, &*to, self.dir.block_size()).map_err(failed)?;
        to.sync().map_err(failed)?;
        quarantine.rename(unfinished, &free).map_err(failed)?;
        quarantine.sync().map_err(failed)?;
        self.quarantined.push(quarantine.path().join(free));
        Ok(())
    }

    fn quarantine(&mut self) -> io::Result<Arc<dyn Dir>> {
        if let Some(quarantine) = &self.quarantine {
            return Ok(Arc::clone(quarantine));
        }
        let path = self.dir.path().join(QUARANTINE_NAME);
        match self.disk.stat(&path)?.kind {
            PathKind::Missing => self.disk.create_dir(&path)?,
            PathKind::Directory => {}
            _ => {
                let what = "`quarantine` is not a folder";
                return Err(io::Error::new(io::ErrorKind::NotADirectory, what));
            }
        }
        let quarantine = self.disk.open_dir(&path)?;
        self.quarantine = Some(Arc::clone(&quarantine));
        Ok(quarantine)
    }
}

fn copy_bytes(from: &dyn File, to: &dyn File, block_bytes: u32) -> io::Result<()> {
    let len = from.len()?;
    let mut buffer = AlignedBuf::new(COPY_BYTES)?;
    let mut at = 0;
    while at < len {
        let count = from.read_at(&mut buffer, at)?;
        if count == 0 {
            break;
        }
        let whole = count.next_multiple_of(block_bytes as usize);
        buffer[count..whole].fill(0);
        to.write_at(&buffer[..whole], at)?;
        at += count as u64;
    }
    Ok(())
}
