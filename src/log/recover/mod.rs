//! Recovery: what is in a log's directory, and where the log ends. It reads only; what must change
//! is the caller's to do, and is told in the result.
//!
//! The rule: **a torn tail is cut, damage to acknowledged data is an error that touches nothing.**
//! Which of the two a bad frame is, witnesses decide: a checkpoint behind it that saw more on disk,
//! a footer or a commit point in a later segment. The table of cases is in `docs/format.md`, each
//! with its test in `tests`.
//!
//! No file stays open: each is opened where it is read, one at a time.
//!
//! Three ways in: [`recover`] for the writer, who holds the lock; [`observe`] for who only reads
//! and may do so while a writer goes on; [`Quiet`] for who only reads while nobody writes. The
//! parts: `listing` (names), `chain` (segments and their links), `scan` (frames), `tally` (what
//! they add up to), `ends` (where each segment, and so the log, ends).

mod chain;
mod ends;
mod listing;
mod quiet;
mod scan;
mod tally;

#[cfg(test)]
pub(crate) mod build;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::disk::{Dir, PathKind};
use crate::error::{Error, ErrorKind, Result};
use crate::log::position::Position;
use crate::log::segment::{self, Header, Link, LogId, TimeIndex};

pub(crate) use chain::{Member, is_of, open_segment, read_footer, read_member};
pub(crate) use listing::{
    COPY_NAME, LOCK_NAME, Listing, QUARANTINE_NAME, REPAIR_NAME, unfinished_copy,
};
pub(crate) use quiet::Quiet;
pub(crate) use scan::{Scanner, Step, Window};
pub(crate) use tally::Tally;

/// How often an observer looks again at a log that changes under it.
const OBSERVE_TRIES: usize = 1000;

/// What recovery found.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Zero for a fresh log, as are block and segment size.
    pub(crate) log_id: LogId,
    /// Of all its segments.
    pub(crate) features: u64,
    /// Of the newest segment.
    pub(crate) block_bytes: u32,
    /// Of the newest segment.
    pub(crate) segment_bytes: u64,
    pub(crate) epoch_max: u64,
    /// The highest ordinal of any segment file, in the chain or not: a new one must be above.
    pub(crate) ordinal_max: u64,
    /// The segments that hold the log, oldest first; with [`Tail::Resume`], the last is the one to
    /// go on in. Empty if all was trimmed or nothing was ever written.
    pub(crate) segments: Vec<Found>,
    pub(crate) tail: Tail,
    /// Where the log begins. It may lie before the first segment that is kept, or beyond the end
    /// of the last: a new segment's header must carry it on.
    pub(crate) log_start: Position,
    /// Where the log ends: behind the last sound frame.
    pub(crate) end: Position,
    /// Everything before was on disk, as checkpoints, footers and commit points attest. An observer
    /// must not read beyond; to the writer, everything before `end` is durable.
    pub(crate) attested: Position,
    /// Records since the log was made, as far as what is left tells.
    pub(crate) records_total: u64,
    /// No checkpoint's time may be less.
    pub(crate) time_last_unix_ns: u64,
    /// Files to remove once the tail is settled: ghosts, trimmed and empty segments, unfinished
    /// files. Segments among them may as well become spares. By ordinal; without a new commit point,
    /// those behind the tail must go newest first, each durably, or a link would lead nowhere.
    pub(crate) removable: Vec<String>,
    pub(crate) spares: Vec<String>,
}

/// A segment that holds a part of the log.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// From the footer where that was valid; then without `created_unix_ns` and `compatible`.
    pub(crate) header: Header,
    /// Whether a footer vouches for all up to `end_bytes`. A segment without one is scanned on each
    /// opening; once it has a successor it may be given one.
    pub(crate) sealed: bool,
    pub(crate) end_bytes: u64,
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) times: TimeIndex,
}

impl Found {
    /// Where its frames begin.
    pub(crate) fn first(&self) -> Position {
        Position::new(self.header.ordinal, self.header.frames().start)
    }

    /// Where they end.
    pub(crate) fn end(&self) -> Position {
        Position::new(self.header.ordinal, self.end_bytes)
    }
}

/// How appending goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// There is no log yet: its first segment has ordinal `ordinal_max + 1`, epoch 1, no link.
    Fresh,
    /// The log was closed cleanly: appending goes on in the last segment, at this multiple of the
    /// block.
    ///
    /// Before anything else is written there, a checkpoint that is not clean must be made durable
    /// at `at`, padded to the block's end. It fits one sector, so a crash leaves it whole or
    /// leaves nothing; without it, the frames of a torn first group could lie behind `at` and be
    /// taken for the log's by the opening after the next.
    Resume { at: Position },
    /// Before anything is appended, a new segment must be made, with `epoch_max + 1`,
    /// `ordinal_max + 1` and this link: the commit point of this opening.
    Commit { previous: Link },
}

/// Who recovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The writer, who holds the lock: syncs what has no footer, and decides what is cut.
    Write,
    /// A reader, while a writer may go on: locks what it reads against recycling, syncs nothing.
    Observe,
    /// A reader who keeps writers out meanwhile: syncs as the writer does.
    Quiet,
}

/// An error, and what exactly cannot be kept because of it: for the repair.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) flaw: Flaw,
    /// Where the log begins, as far as it was known by then.
    pub(crate) log_start: Position,
}

/// See [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// No part of the log is to blame: the kernel, a newer format, a stranger's file.
    Other,
    /// A segment that is missing, or whose file says nothing.
    Segment { ordinal: u64 },
    /// A bad frame before the log's end.
    Frame { at: Position },
}

impl Failure {
    pub(crate) fn new(error: Error, flaw: Flaw) -> Self {
        // Neither a failing disk nor a newer format is mended by giving data up.
        let repairable = matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Symlink);
        let flaw = if repairable { flaw } else { Flaw::Other };
        Self {
            error,
            flaw,
            log_start: Position::MIN,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            flaw: Flaw::Other,
            log_start: Position::MIN,
        }
    }
}

/// Recovers a log for its writer, who holds the lock. Changes no file; syncs those without footer.
///
/// # Errors
///
/// [`ErrorKind::NotALog`], [`ErrorKind::Damaged`] or [`ErrorKind::Symlink`] (the path is that of
/// the segment), [`ErrorKind::Version`], [`ErrorKind::UnknownFeature`], [`ErrorKind::Io`].
pub(crate) fn recover(dir: &dyn Dir) -> Result<Recovered> {
    settled(dir, Mode::Write)
}

/// Recovers a log that nobody changes meanwhile.
fn settled(dir: &dyn Dir, mode: Mode) -> Result<Recovered> {
    let listing = Listing::read(dir)?;
    if listing.repairing {
        return Err(
            Error::new(ErrorKind::Damaged, "a repair of this log was interrupted")
                .at_path(dir.path().join(REPAIR_NAME))
                .remedy("run `ringbolt repair --apply` again: it goes on where it stopped"),
        );
    }
    attempt(dir, &listing, mode, &Concession::NOTHING).map_err(|failure| failure.error)
}

/// Looks at a log that may be in use, without disturbing it. What lies beyond
/// [`Recovered::attested`] is not known to be durable; [`Recovered::tail`] means nothing.
///
/// # Errors
///
/// As for [`recover`]; damage only where it is damage indeed, whatever the writer did meanwhile.
pub(crate) fn observe(dir: &dyn Dir) -> Result<Recovered> {
    let mut listing = Listing::read(dir)?;
    for _ in 0..OBSERVE_TRIES {
        let error = match attempt(dir, &listing, Mode::Observe, &Concession::NOTHING) {
            Ok(recovered) => return Ok(recovered),
            Err(failure) => failure.error,
        };
        let now = Listing::read(dir)?;
        // A trim, a truncation or a rollover came between; or a trim is just about to rename.
        if now == listing && error.kind() != ErrorKind::Locked {
            return Err(error);
        }
        listing = now;
        std::thread::yield_now();
    }
    Err(Error::new(
        ErrorKind::WouldBlock,
        "the log changed too fast to be looked at",
    )
    .at_path(dir.path()))
}

/// What a repair gives up beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Concession {
    /// The log begins here or later.
    pub(crate) log_start: Position,
    /// The log ends here, whatever is found behind, which is not in the listing given.
    pub(crate) cut: Option<Position>,
}

impl Concession {
    pub(crate) const NOTHING: Self = Self {
        log_start: Position::MIN,
        cut: None,
    };
}

/// One go at recovery.
pub(crate) fn attempt(
    dir: &dyn Dir,
    listing: &Listing,
    mode: Mode,
    concession: &Concession,
) -> Result<Recovered, Failure> {
    if listing.segments.is_empty() {
        return Ok(fresh(dir, listing)?);
    }
    let mut window = Window::new(dir.block_size())?;
    let chain = chain::walk(dir, listing, mode, &mut window, concession.log_start)?;
    refuse_strangers(dir, listing, mode, &chain, &mut window)?;
    let mut judge = ends::Judge {
        dir,
        mode,
        window,
        members: &chain.members,
        log_start: concession.log_start,
        attested: Position::MIN,
    };
    let outcome = judge.outcome(concession.cut)?;
    let (log_start, attested) = (judge.log_start, judge.attested);
    if let Some((link, failure)) = chain.broken {
        if link.position() > log_start {
            return Err(Failure {
                log_start,
                ..failure
            });
        }
    }
    Ok(assemble(
        listing,
        &chain.members,
        outcome,
        log_start,
        attested,
    ))
}

/// Whether a log is, or may be made, in this directory: a look before anything is touched.
///
/// # Errors
///
/// [`ErrorKind::NotALog`], also where there is nothing and nothing is to be made; [`ErrorKind::Io`].
pub(crate) fn check_place(dir: &dyn Dir, create: bool) -> Result<()> {
    let listing = Listing::read(dir)?;
    if !listing.segments.is_empty() {
        return Ok(());
    }
    refuse_company(dir, &listing)?;
    if create || listing.lock {
        Ok(())
    } else {
        Err(empty(dir))
    }
}

/// There is no log, and none is to be made.
pub(crate) fn empty(dir: &dyn Dir) -> Error {
    Error::new(ErrorKind::NotALog, "the directory is empty")
        .at_path(dir.path())
        .remedy("check the path, or have a log made there")
}

/// Where there are no segments, nothing but a log's own files may be.
fn refuse_company(dir: &dyn Dir, listing: &Listing) -> Result<()> {
    let Some(stranger) = listing.strangers.first() else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::NotALog,
        format!("there is no segment, but `{stranger}`"),
    )
    .at_path(dir.path())
    .remedy("name the log's directory, or an empty one to make a log in"))
}

/// A directory without segments: a new log, unless something else lives there.
fn fresh(dir: &dyn Dir, listing: &Listing) -> Result<Recovered> {
    refuse_company(dir, listing)?;
    Ok(Recovered {
        log_id: LogId::default(),
        features: 0,
        block_bytes: 0,
        segment_bytes: 0,
        epoch_max: 0,
        ordinal_max: 0,
        segments: Vec::new(),
        tail: Tail::Fresh,
        log_start: Position::MIN,
        end: Position::MIN,
        attested: Position::MIN,
        records_total: 0,
        time_last_unix_ns: 0,
        removable: listing.unfinished.clone(),
        spares: listing.spares.clone(),
    })
}

/// Outside of the chain only ghosts of this log may lie: another log's segment is somebody's data,
/// and nothing is right about a directory that has one.
fn refuse_strangers(
    dir: &dyn Dir,
    listing: &Listing,
    mode: Mode,
    chain: &chain::Chain,
    window: &mut Window,
) -> Result<()> {
    let newest = &chain.members[chain.members.len() - 1].header;
    let in_chain = |ordinal| {
        chain
            .members
            .binary_search_by_key(&ordinal, |member| member.header.ordinal)
            .is_ok()
    };
    for (ordinal, entry) in &listing.segments {
        if in_chain(*ordinal) || entry.kind != PathKind::File {
            continue;
        }
        // Whatever else is wrong with a ghost is nobody's loss.
        let Ok(ghost) = read_member(dir, entry, *ordinal, mode, window) else {
            continue;
        };
        if ghost.header.log_id != newest.log_id {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!("it and segment {} belong to different logs", newest.ordinal),
            )
            .at_path(dir.path().join(&entry.name))
            .remedy("move the one that belongs elsewhere out of this directory"));
        }
    }
    Ok(())
}

fn assemble(
    listing: &Listing,
    members: &[Member],
    outcome: ends::Outcome,
    log_start: Position,
    attested: Position,
) -> Recovered {
    let newest = &members[members.len() - 1].header;
    let ends::Outcome {
        mut segments,
        tail,
        end,
        time_last_unix_ns,
        records_total,
    } = outcome;
    let resumed = matches!(tail, Tail::Resume { .. });
    let last = segments.last().map(|last| last.header.ordinal);
    segments
        .retain(|found| found.end() > log_start || (resumed && Some(found.header.ordinal) == last));
    let kept = |ordinal| {
        segments
            .binary_search_by_key(&ordinal, |found: &Found| found.header.ordinal)
            .is_ok()
    };
    let removable = listing
        .segments
        .keys()
        .filter(|ordinal| !kept(**ordinal))
        .map(|ordinal| segment::file_name(*ordinal))
        .chain(listing.unfinished.iter().cloned())
        .collect();
    Recovered {
        log_id: newest.log_id,
        features: newest.features,
        block_bytes: newest.block_bytes,
        segment_bytes: newest.segment_bytes,
        epoch_max: newest.epoch,
        ordinal_max: listing.ordinal_max(),
        segments,
        tail,
        log_start,
        end,
        attested: attested.min(end),
        records_total,
        time_last_unix_ns,
        removable,
        spares: listing.spares.clone(),
    }
}

/// The path of a segment, for messages.
pub(crate) fn segment_path(dir: &dyn Dir, ordinal: u64) -> PathBuf {
    dir.path().join(segment::file_name(ordinal))
}
