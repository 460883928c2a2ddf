//! Mends a damaged log: keeps the records before the first damage, and puts what cannot be kept
//! into the folder `quarantine`. It never deletes.
//!
//! A [`plan`] says what would be done; [`RepairPlan::apply`] does it:
//!
//! 1. Damaged files are copied into the quarantine.
//! 2. Headers are written again from the footers that repeat them, and footers from the frames:
//!    this costs no record.
//! 3. If records are lost: the file `ringbolt.repair` marks the log, so that nobody opens it before
//!    the repair is complete; a new segment, above all that are there, names the last position that
//!    is kept as the log's end; what lies behind is moved into the quarantine; the mark goes.
//!
//! A crash at any point is mended by another repair, which goes on where the first one stopped.
//! What a repair cuts off is *behind* the first damage, since a log has no gaps; only where nothing
//! is left before it, the log is kept behind it, and begins there.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{AlignedBuf, Dir, Disk, File, OpenMode, PathKind};
use crate::error::{Error, ErrorKind, Result};
use crate::log::maintain::verify::{Checker, Damage, Mend};
use crate::log::maintain::{no_log, open_dir};
use crate::log::make::{self, Spares};
use crate::log::position::Position;
use crate::log::recover::{
    self, Concession, Flaw, Found, LOCK_NAME, Listing, Mode, QUARANTINE_NAME, REPAIR_NAME,
    Recovered, Tail, Window, read_footer, read_member, segment_path,
};
use crate::log::segment::{self, Footer, Header, Link};

/// Copied at a time, in bytes.
const COPY_BYTES: usize = 1 << 20;

/// Looks for all damage in the log in `dir` on this machine's disks; see [`plan_with`].
///
/// # Errors
///
/// Those of [`plan_with`].
pub fn plan(dir: impl AsRef<Path>) -> Result<RepairPlan> {
    plan_with(&super::real(), dir.as_ref())
}

/// Looks for all damage in the log in `path` on `disk`, and says how to mend it. Reads the whole
/// log, and holds its lock until the plan is dropped.
///
/// # Errors
///
/// [`ErrorKind::Locked`] while somebody has the log open for writing, [`ErrorKind::NotALog`],
/// [`ErrorKind::NotOwner`], [`ErrorKind::Version`], [`ErrorKind::UnknownFeature`],
/// [`ErrorKind::Io`]; [`ErrorKind::Damaged`] where another log's segment must be moved by hand.
pub fn plan_with(disk: &Arc<dyn Disk>, path: &Path) -> Result<RepairPlan> {
    let dir = open_dir(&**disk, path, true)?;
    let at = |error| Error::io("locking the log", error).at_path(path.join(LOCK_NAME));
    let listing = Listing::read(&*dir)?;
    if listing.segments.is_empty() && !listing.repairing {
        return Err(no_log(&*dir));
    }
    let lock = dir.lock(LOCK_NAME).map_err(at)?.ok_or_else(|| {
        Error::new(ErrorKind::Locked, "")
            .at_path(path)
            .remedy("close the writer first")
    })?;
    // What is there may have changed before the lock was ours.
    let listing = Listing::read(&*dir)?;
    let diagnosis = Diagnosis::of(&*dir, &listing)?;
    let steps = diagnosis.steps(&**disk, &*dir, &listing)?;
    Ok(RepairPlan {
        disk: Arc::clone(disk),
        dir,
        lock,
        end: diagnosis.end(),
        damages: diagnosis.damages,
        steps,
    })
}

/// What a repair would do. Holds the log's lock.
#[derive(Debug)]
pub struct RepairPlan {
    disk: Arc<dyn Disk>,
    dir: Arc<dyn Dir>,
    lock: Arc<dyn File>,
    end: Position,
    damages: Vec<Damage>,
    steps: Vec<Step>,
}

/// What a repair did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Repaired {
    /// Where the log ends now.
    pub end: Position,
    /// What was put into the quarantine.
    pub quarantined: Vec<PathBuf>,
}

impl RepairPlan {
    /// What is wrong, in the order in which it was found.
    #[must_use]
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// What would be done, a sentence each. None: there is nothing to repair; a torn tail, too, is
    /// a matter of the next opening.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        self.steps.iter().map(ToString::to_string).collect()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Where the log would end.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] (make room, and repair again), [`ErrorKind::Io`].
    pub fn apply(self) -> Result<Repaired> {
        let steps = self.steps.len();
        self.apply_some(steps)
    }

    /// Does the first `count` steps.
    pub(super) fn apply_some(self, count: usize) -> Result<Repaired> {
        let mut applier = Applier {
            disk: &*self.disk,
            dir: &*self.dir,
            quarantine: None,
            quarantined: Vec::new(),
        };
        for step in self.steps.iter().take(count) {
            applier
                .apply(step)
                .map_err(|error| error.at_path(step.path(&*self.dir)))?;
        }
        drop(self.lock);
        Ok(Repaired {
            end: self.end,
            quarantined: applier.quarantined,
        })
    }
}

/// One step of a repair.
#[derive(Debug)]
enum Step {
    Copy(String),
    WriteHeader(Header),
    WriteFooter(Header, Footer),
    Mark,
    Commit(Header),
    Move(String),
    /// A link or a folder in a segment's place cannot be copied.
    SetAside(String),
    Unmark,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let quarantine = format!("{QUARANTINE_NAME}/");
        match self {
            Self::Copy(name) => write!(f, "copy {name} into {quarantine} as it is"),
            Self::WriteHeader(header) => write!(
                f,
                "write the header of segment {} again, as its footer repeats it",
                header.ordinal
            ),
            Self::WriteFooter(header, footer) => write!(
                f,
                "write the footer of segment {} again: {} records",
                header.ordinal, footer.records
            ),
            Self::Mark => write!(
                f,
                "make {REPAIR_NAME}, so that nobody opens the log half repaired"
            ),
            Self::Commit(header) if header.previous == Link::NONE => write!(
                f,
                "make segment {}, with which the log begins anew: nothing before can be kept",
                header.ordinal
            ),
            Self::Commit(header) => write!(
                f,
                "make segment {}, which ends the log before at {}",
                header.ordinal,
                header.previous.position()
            ),
            Self::Move(name) => write!(f, "move {name} into {quarantine}"),
            Self::SetAside(name) => write!(f, "rename {name} to {}", aside(name)),
            Self::Unmark => write!(f, "remove {REPAIR_NAME}"),
        }
    }
}

impl Step {
    fn path(&self, dir: &dyn Dir) -> PathBuf {
        match self {
            Self::Copy(name) | Self::Move(name) | Self::SetAside(name) => dir.path().join(name),
            Self::WriteHeader(header) | Self::WriteFooter(header, _) | Self::Commit(header) => {
                segment_path(dir, header.ordinal)
            }
            Self::Mark | Self::Unmark => dir.path().join(REPAIR_NAME),
        }
    }
}

fn aside(name: &str) -> String {
    format!("quarantined-{name}")
}

/// What is wrong, and what is left.
struct Diagnosis {
    damages: Vec<Damage>,
    /// Headers and footers to write again.
    headers: Vec<Header>,
    footers: Vec<(Header, Footer)>,
    /// Segments that were cut into.
    cut: BTreeSet<u64>,
    /// Whether records are lost.
    lossy: bool,
    /// Nothing if nothing is left.
    left: Option<Recovered>,
}

impl Diagnosis {
    /// Gives up, again and again, what cannot be kept, until what is left is sound.
    fn of(dir: &dyn Dir, listing: &Listing) -> Result<Self> {
        let mut diagnosis = Self {
            damages: Vec::new(),
            headers: Vec::new(),
            footers: Vec::new(),
            cut: BTreeSet::new(),
            lossy: false,
            left: None,
        };
        let mut view = listing.clone();
        let mut concession = Concession::NOTHING;
        while !view.segments.is_empty() {
            let failure = match recover::attempt(dir, &view, Mode::Write, &concession) {
                Ok(recovered) => match diagnosis.check(dir, &recovered)? {
                    None => {
                        diagnosis.left = Some(recovered);
                        break;
                    }
                    Some(at) => {
                        diagnosis.cut_at(at, &mut view, &mut concession);
                        continue;
                    }
                },
                Err(failure) => failure,
            };
            concession.log_start = concession.log_start.max(failure.log_start);
            match failure.flaw {
                Flaw::Other => return Err(failure.error),
                Flaw::Frame { at } => {
                    diagnosis.damages.push(Damage::of(&failure.error, dir));
                    diagnosis.cut_at(at, &mut view, &mut concession);
                }
                Flaw::Segment { ordinal } => {
                    diagnosis.damages.push(Damage::of(&failure.error, dir));
                    diagnosis.lossy = true;
                    drop_segment(dir, ordinal, &mut view, &mut concession);
                }
            }
        }
        Ok(diagnosis)
    }

    fn cut_at(&mut self, at: Position, view: &mut Listing, concession: &mut Concession) {
        self.lossy = true;
        self.cut.insert(at.segment());
        view.segments.retain(|ordinal, _| *ordinal <= at.segment());
        concession.cut = Some(at);
    }

    /// Reads what recovery trusts; says where to cut.
    fn check(&mut self, dir: &dyn Dir, recovered: &Recovered) -> Result<Option<Position>> {
        let (mut headers, mut footers) = (Vec::new(), Vec::new());
        let mut checker = Checker {
            dir,
            window: Window::new(dir.block_size())?,
            done: 0,
            total: 0,
            progress: &mut |_| {},
        };
        let mut records_total = 0;
        for (index, found) in recovered.segments.iter().enumerate() {
            let (tally, flaws) = checker.check(found, recovered.segments.get(index + 1))?;
            records_total += tally.records;
            for flaw in flaws {
                if !self.damages.contains(&flaw.damage) {
                    self.damages.push(flaw.damage);
                }
                match flaw.mend {
                    Mend::Cut(at) => return Ok(Some(at)),
                    Mend::Header => {
                        let mut header = found.header;
                        header.created_unix_ns = tally
                            .times
                            .entries()
                            .first()
                            .map_or(0, |entry| entry.time_unix_ns);
                        headers.push(header);
                    }
                    Mend::Footer => {
                        let known = footer_before(&mut checker.window, recovered, index)?;
                        let records_total = known
                            .map_or(records_total, |before| before.records_total + tally.records);
                        footers.push((found.header, footer_of(found, &tally, records_total)));
                    }
                }
            }
        }
        // Of what is kept only: a later cut may have made some of it needless.
        self.headers = headers;
        self.footers = footers;
        Ok(None)
    }

    fn end(&self) -> Position {
        self.left
            .as_ref()
            .map_or(Position::MIN, |recovered| recovered.end)
    }

    /// What to do about it.
    fn steps(&self, disk: &dyn Disk, dir: &dyn Dir, listing: &Listing) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        let mended = self
            .headers
            .iter()
            .chain(self.footers.iter().map(|(header, _)| header));
        let copied: BTreeSet<u64> = self
            .cut
            .iter()
            .copied()
            .filter(|ordinal| self.keeps(*ordinal))
            .chain(mended.map(|header| header.ordinal))
            .collect();
        steps.extend(
            copied
                .iter()
                .map(|ordinal| Step::Copy(segment::file_name(*ordinal))),
        );
        steps.extend(self.headers.iter().map(|header| Step::WriteHeader(*header)));
        steps.extend(
            self.footers
                .iter()
                .map(|(header, footer)| Step::WriteFooter(*header, footer.clone())),
        );
        if !self.lossy && !listing.repairing {
            return Ok(steps);
        }
        steps.push(Step::Mark);
        // A repair that was interrupted behind its commit point left that as the newest segment.
        let commit = (!self.lossy && self.left.is_some()).then(|| listing.ordinal_max());
        if commit.is_none() {
            steps.push(Step::Commit(self.commit(disk, dir, listing)?));
        }
        for (ordinal, entry) in &listing.segments {
            if self.keeps(*ordinal) || Some(*ordinal) == commit {
                continue;
            }
            let name = entry.name.clone();
            steps.push(match entry.kind {
                PathKind::File => Step::Move(name),
                _ => Step::SetAside(name),
            });
        }
        steps.push(Step::Unmark);
        Ok(steps)
    }

    fn keeps(&self, ordinal: u64) -> bool {
        self.left.as_ref().is_some_and(|recovered| {
            recovered
                .segments
                .iter()
                .any(|found| found.header.ordinal == ordinal)
        })
    }

    /// The header of the segment that ends the log where it can be kept.
    fn commit(&self, disk: &dyn Disk, dir: &dyn Dir, listing: &Listing) -> Result<Header> {
        let mut random = [0; 24];
        disk.random(&mut random);
        let (id, salt) = random.split_at(16);
        let mut window = Window::new(dir.block_size())?;
        // Whatever can still be read tells what the log was like.
        let known: Vec<Header> = listing
            .segments
            .iter()
            .filter_map(|(ordinal, entry)| {
                let member = read_member(dir, entry, *ordinal, Mode::Write, &mut window);
                Some(member.ok()?.header)
            })
            .collect();
        let ordinal = listing.ordinal_max() + 1;
        let block_bytes = dir.block_size();
        let mut header = Header {
            log_id: id.try_into().expect("sixteen bytes"),
            ordinal,
            epoch: known.iter().map(|header| header.epoch).max().unwrap_or(0) + 1,
            previous: Link::NONE,
            salt: u64::from_le_bytes(salt.try_into().expect("eight bytes")),
            segment_bytes: known
                .last()
                .map_or(SEGMENT_BYTES_UNKNOWN, |header| header.segment_bytes),
            block_bytes: known
                .last()
                .map_or(block_bytes, |header| header.block_bytes.max(block_bytes)),
            log_start: Position::MIN,
            created_unix_ns: disk.now_unix_ns(),
            compatible: 0,
        };
        if let Some(last) = known.last() {
            header.log_id = last.log_id;
        }
        let first = Position::new(ordinal, header.frames().start);
        match &self.left {
            None => header.log_start = first,
            Some(left) => {
                header.log_id = left.log_id;
                header.epoch = header.epoch.max(left.epoch_max + 1);
                header.log_start = left.log_start;
                header.previous = match left.tail {
                    Tail::Commit { previous } => previous,
                    Tail::Resume { at } => Link {
                        ordinal: at.segment(),
                        end_bytes: at.offset_bytes(),
                    },
                    Tail::Fresh => Link::NONE,
                };
                // With nothing before, nothing before is missed.
                if header.previous != Link::NONE && left.segments.is_empty() {
                    header.log_start = first;
                }
            }
        }
        Ok(header)
    }
}

/// The size of a log's segment where none is left to tell it.
const SEGMENT_BYTES_UNKNOWN: u64 = 64 << 20;

/// A segment that cannot be kept: with it goes what lies behind, or, if nothing is left before it,
/// what lies before.
fn drop_segment(dir: &dyn Dir, ordinal: u64, view: &mut Listing, concession: &mut Concession) {
    let mut older = view.clone();
    older.segments.retain(|other, _| *other < ordinal);
    let behind = view
        .segments
        .range(ordinal + 1..)
        .next()
        .map(|(next, _)| *next);
    let conceded = Concession {
        cut: None,
        ..*concession
    };
    let has_older = !older.segments.is_empty()
        && match recover::attempt(dir, &older, Mode::Write, &conceded) {
            Ok(recovered) => !recovered.segments.is_empty(),
            // Damaged, too; but something is there.
            Err(failure) => matches!(failure.flaw, Flaw::Frame { .. }),
        };
    match behind {
        Some(next) if !has_older => {
            view.segments.remove(&ordinal);
            let begin = Position::new(next, u64::from(dir.block_size()));
            concession.log_start = concession.log_start.max(begin);
        }
        _ => {
            *view = older;
            *concession = conceded;
        }
    }
}

/// The footer of the segment before this one in the chain, if that has one.
fn footer_before(
    window: &mut Window,
    recovered: &Recovered,
    index: usize,
) -> Result<Option<Footer>> {
    let Some(before) = index.checked_sub(1).map(|index| &recovered.segments[index]) else {
        return Ok(None);
    };
    window.forget();
    let header = &before.header;
    let footer = read_footer(
        &*before.file,
        window,
        header.segment_bytes,
        header.block_bytes,
    )?;
    Ok(footer.filter(|footer| recover::is_of(footer, header)))
}

fn footer_of(found: &Found, tally: &recover::Tally, records_total: u64) -> Footer {
    let header = &found.header;
    Footer {
        log_id: header.log_id,
        ordinal: header.ordinal,
        epoch: header.epoch,
        previous: header.previous,
        salt: header.salt,
        end_bytes: found.end_bytes,
        records: tally.records,
        payload_bytes: tally.payload_bytes,
        log_start: header.log_start.max(tally.log_start),
        records_total,
        times: tally.times.clone(),
    }
}

/// Does the steps.
struct Applier<'a> {
    disk: &'a dyn Disk,
    dir: &'a dyn Dir,
    quarantine: Option<Arc<dyn Dir>>,
    quarantined: Vec<PathBuf>,
}

impl Applier<'_> {
    fn apply(&mut self, step: &Step) -> Result<()> {
        let doing = |error: io::Error| Error::io(format!("could not {step}"), error);
        match step {
            Step::Copy(name) => self.copy(name),
            Step::Move(name) => {
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
