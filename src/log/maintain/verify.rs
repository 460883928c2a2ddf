//! Reads a whole log and checks all that can be checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Dir, Disk, File};
use crate::error::{Error, ErrorKind, Result};
use crate::log::frame::Frame;
use crate::log::maintain::no_log;
use crate::log::open::{Purpose, open_dir};
use crate::log::position::Position;
use crate::log::recover::{
    self, Found, Listing, Mode, Scanner, Step, Tally, Window, is_of, open_segment, read_footer,
    segment_path,
};
use crate::log::segment::{self, Header};

/// How often a segment that the log needs and that cannot be opened is tried.
const KEPT_TRIES: usize = 100;

/// What a verification found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verification {
    /// Where the log begins.
    pub start: Position,
    /// Where its sound frames end. Behind it may lie a torn tail, which is no damage.
    pub end: Position,
    /// Everything before is known to be on disk.
    pub attested: Position,
    /// Segments that were read.
    pub segments: u64,
    /// Frames whose checksum was recomputed.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of the files that frames were checked in.
    pub bytes: u64,
    /// All damage, oldest first; in a segment that is not read on behind its first bad frame, what
    /// follows is not told.
    pub damages: Vec<Damage>,
}

impl Verification {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damages.is_empty()
    }

    /// Adds damage that was found otherwise.
    pub(crate) fn add(&mut self, damages: Vec<Damage>) {
        self.damages.extend(damages);
        self.damages
            .sort_by(|a, b| (&a.path, a.position).cmp(&(&b.path, b.position)));
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where, if it is a place in the log.
    pub position: Option<Position>,
    /// What.
    pub what: String,
}

impl Damage {
    /// Of a file as a whole.
    #[cfg_attr(ringbolt_loom, allow(dead_code))]
    pub(crate) fn new(path: PathBuf, what: &str) -> Self {
        Self {
            path,
            position: None,
            what: what.into(),
        }
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(position) = self.position {
            write!(f, ", position {position}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl Damage {
    pub(crate) fn of(error: &Error, dir: &dyn Dir) -> Self {
        Self {
            path: error.path().unwrap_or(dir.path()).into(),
            position: error.position(),
            what: error.what(),
        }
    }
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The segment that is being read.
    pub segment: u64,
    /// Bytes read so far.
    pub bytes_done: u64,
    /// Bytes to read in all.
    pub bytes_total: u64,
}

/// Reads all of the log in `path` on `disk` and checks every header, footer, link and frame. The
/// log may be in use: then what was there when the verification began is checked, less what was
/// trimmed or cut off meanwhile. `progress` is called about every megabyte.
///
/// # Errors
///
/// [`ErrorKind::NotALog`], [`ErrorKind::Symlink`] of the directory, [`ErrorKind::Version`],
/// [`ErrorKind::UnknownFeature`], [`ErrorKind::Io`]. Damage is no error, but told in the result.
pub fn verify_with(
    disk: &Arc<dyn Disk>,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification> {
    verify_records(disk, path, progress, &mut |_, _| {})
}

/// The same; `record` is given each record that is sound.
pub(crate) fn verify_records(
    disk: &Arc<dyn Disk>,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
    record: &mut dyn FnMut(Position, &[u8]),
) -> Result<Verification> {
    let dir = open_dir(&**disk, path, Purpose::Read)?;
    let dir = &*dir;
    let mut verification = Verification {
        start: Position::MIN,
        end: Position::MIN,
        attested: Position::MIN,
        segments: 0,
        frames: 0,
        records: 0,
        bytes: 0,
        damages: Vec::new(),
    };
    let segments = match recover::observe(dir) {
        Ok(recovered) if recovered.block_bytes == 0 => return Err(no_log(dir)),
        Ok(recovered) => {
            verification.start = recovered.log_start;
            if let Some(first) = recovered.segments.first() {
                verification.start = recovered.log_start.max(first.first());
            }
            verification.end = recovered.end;
            verification.attested = recovered.attested;
            recovered.segments
        }
        Err(error) if is_damage(&error) => {
            verification.damages.push(Damage::of(&error, dir));
            readable(dir)?
        }
        Err(error) => return Err(error),
    };
    let mut checker = Checker {
        dir,
        window: Window::new(dir.block_size())?,
        done: 0,
        total: segments.iter().map(|found| found.end_bytes).sum(),
        progress,
        record,
    };
    for (index, found) in segments.iter().enumerate() {
        let damages = &mut verification.damages;
        let Some(file) = open_if_kept(dir, found.header.ordinal, damages)? else {
            checker.done += found.end_bytes;
            continue;
        };
        let (checked, flaws) = checker.check(&*file, found, segments.get(index + 1))?;
        verification.segments += 1;
        verification.frames += checked.frames;
        verification.records += checked.records;
        verification.bytes += found.end_bytes;
        for flaw in flaws {
            // The recovery may have said the same already.
            let known = |damage: &Damage| {
                damage.path == flaw.damage.path && damage.position == flaw.damage.position
            };
            if !verification.damages.iter().any(known) {
                verification.damages.push(flaw.damage);
            }
        }
    }
    verification.add(Vec::new());
    Ok(verification)
}

pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Symlink)
}

/// Opens a segment that was seen a while ago; `None` if it is not there because it was trimmed or
/// cut off since, or because the log is damaged, which is then among the damages.
fn open_if_kept(
    dir: &dyn Dir,
    ordinal: u64,
    damages: &mut Vec<Damage>,
) -> Result<Option<Arc<dyn File>>> {
    let mut tries = 0;
    loop {
        let error = match open_segment(dir, ordinal, Mode::Observe) {
            Ok(file) => return Ok(Some(file)),
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Locked) => error,
            Err(error) => return Err(error),
        };
        // It is missing, or about to be recycled: does the log still need it?
        match recover::observe(dir) {
            Ok(log)
                if log
                    .segments
                    .iter()
                    .any(|kept| kept.header.ordinal == ordinal) => {}
            Ok(_) => return Ok(None),
            Err(error) if is_damage(&error) => {
                let damage = Damage::of(&error, dir);
                if !damages.contains(&damage) {
                    damages.push(damage);
                }
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        tries += 1;
        if tries == KEPT_TRIES {
            return Err(error);
        }
    }
}

/// The sealed segments of a damaged log, each for itself.
fn readable(dir: &dyn Dir) -> Result<Vec<Found>> {
    let listing = Listing::read(dir)?;
    let mut window = Window::new(dir.block_size())?;
    let mut readable = Vec::new();
    for (ordinal, entry) in &listing.segments {
        let Ok(member) = recover::read_member(dir, entry, *ordinal, Mode::Observe, &mut window)
        else {
            continue;
        };
        if let Some(footer) = member.footer {
            readable.push(Found {
                header: member.header,
                sealed: true,
                end_bytes: footer.end_bytes,
                records: footer.records,
                payload_bytes: footer.payload_bytes,
                times: footer.times,
            });
        }
    }
    Ok(readable)
}

/// A damage, and what a repair can do about it.
#[derive(Debug, Clone)]
pub(super) struct Flawed {
    pub(super) damage: Damage,
    pub(super) mend: Mend,
}

/// What a repair can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mend {
    /// Write the header again, as the footer repeats it.
    Header,
    /// Write the footer again, from the frames.
    Footer,
    /// Cut the log here.
    Cut(Position),
}

/// Checks segment after segment.
pub(super) struct Checker<'a> {
    pub(super) dir: &'a dyn Dir,
    pub(super) window: Window,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) progress: &'a mut dyn FnMut(Progress),
    /// Is given each record that is sound.
    pub(super) record: &'a mut dyn FnMut(Position, &[u8]),
}

impl Checker<'_> {
    /// Reads a segment from its header to its footer. `next` is the one after it in the chain.
    pub(super) fn check(
        &mut self,
        file: &dyn File,
        found: &Found,
        next: Option<&Found>,
    ) -> Result<(Tally, Vec<Flawed>)> {
        let header = &found.header;
        let mut flaws = Vec::new();
        let path = segment_path(self.dir, header.ordinal);
        let mut flaw = |position, what: String, mend| {
            let path = path.clone();
            let damage = Damage {
                path,
                position,
                what,
            };
            flaws.push(Flawed { damage, mend });
        };
        if let Some(what) = self.header_flaw(file, found)? {
            flaw(None, what, Mend::Header);
        }
        let (tally, stopped) = self.frames(file, found)?;
        if let Some(at) = stopped {
            let what = "a frame whose checksum or structure is wrong".into();
            flaw(Some(at), what, Mend::Cut(at));
        } else if let Some(what) = self.footer_flaw(file, found, next, &tally)? {
            flaw(None, what, Mend::Footer);
        }
        self.done += found.end_bytes;
        Ok((tally, flaws))
    }

    fn header_flaw(&mut self, file: &dyn File, found: &Found) -> Result<Option<String>> {
        self.window.forget();
        let bytes = self
            .window
            .bytes_exactly(file, 0, segment::HEADER_BYTES)
            .map_err(|error| error.at_path(segment_path(self.dir, found.header.ordinal)))?;
        let Ok(Some(header)) = Header::parse(bytes) else {
            return Ok(Some("its header is damaged".into()));
        };
        let known = &found.header;
        let same = header.log_id == known.log_id
            && header.ordinal == known.ordinal
            && header.epoch == known.epoch
            && header.previous == known.previous
            && header.salt == known.salt
            && header.segment_bytes == known.segment_bytes
            && header.block_bytes == known.block_bytes;
        Ok((!same).then(|| "its header contradicts its footer".into()))
    }

    /// Reads all frames; says where the first bad one is.
    fn frames(&mut self, file: &dyn File, found: &Found) -> Result<(Tally, Option<Position>)> {
        let header = &found.header;
        let mut tally = Tally::new();
        let first = header.frames().start;
        let mut scanner = Scanner::new(file, &mut self.window, header, first, found.end_bytes);
        let mut told = 0;
        loop {
            let step = scanner
                .step()
                .map_err(|error| error.at_path(segment_path(self.dir, header.ordinal)))?;
            match step {
                Step::Frame { at, frame, .. } => {
                    if let Frame::Checkpoint(checkpoint) = &frame {
                        if checkpoint.log_id != header.log_id || checkpoint.watermark > at {
                            return Ok((tally, Some(at)));
                        }
                    }
                    tally.add(at, &frame);
                    frame.each_record(at, &mut *self.record);
                    let offset = at.offset_bytes();
                    if offset >> 20 > told {
                        told = offset >> 20;
                        (self.progress)(Progress {
                            segment: header.ordinal,
                            bytes_done: self.done + offset,
                            bytes_total: self.total,
                        });
                    }
                }
                Step::Limit => return Ok((tally, None)),
                Step::Stop => {
                    let at = Position::new(header.ordinal, scanner.offset());
                    return Ok((tally, Some(at)));
                }
            }
        }
    }

    fn footer_flaw(
        &mut self,
        file: &dyn File,
        found: &Found,
        next: Option<&Found>,
        tally: &Tally,
    ) -> Result<Option<String>> {
        let header = &found.header;
        if !found.sealed {
            // Footers become durable in order, so a later one makes an earlier one's absence a
            // damage; one that a commit point ended never gets any.
            let lost = next.is_some_and(|next| next.sealed && next.header.epoch == header.epoch);
            return Ok(lost.then(|| "its footer is damaged, although a later one is there".into()));
        }
        self.window.forget();
        let footer = read_footer(
            file,
            &mut self.window,
            header.segment_bytes,
            header.block_bytes,
        )?;
        let Some(footer) = footer.filter(|footer| is_of(footer, header)) else {
            return Ok(Some("its footer is damaged".into()));
        };
        let same = footer.records == tally.records && footer.payload_bytes == tally.payload_bytes;
        Ok((!same).then(|| {
            format!(
                "its footer counts {} records of {} bytes, and there are {} of {}",
                footer.records, footer.payload_bytes, tally.records, tally.payload_bytes
            )
        }))
    }
}
