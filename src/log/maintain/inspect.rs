//! What a log is made of, from headers, footers and the tail.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::disk::{Dir, Disk, LockMode, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::log::maintain::{no_log, time};
use crate::log::open::{Purpose, open_dir};
use crate::log::position::Position;
use crate::log::recover::{self, Found, LOCK_NAME, Listing, Mode, Recovered, Window};
use crate::log::segment::{FEATURE_STORE, Header, STORE_RULES_SHIFT};

/// What a log is made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspection {
    /// The log's directory.
    pub path: PathBuf,
    /// The log's identity, 16 random bytes that are in each of its segments.
    pub log_id: [u8; 16],
    /// Whether its records are the entries of a [store](crate::store), and by which version of its rules they are
    /// judged.
    pub store_rules: Option<u16>,
    /// What its writes are multiples of, in bytes.
    pub block_bytes: u32,
    /// The size of the newest segment, in bytes.
    pub segment_bytes: u64,
    /// How many commit points there were: unclean openings and truncations, and the first.
    pub epoch: u64,
    /// Where the log begins; what lies before was trimmed.
    pub start: Position,
    /// Where its sound frames end. While it is written, that moves on.
    pub end: Position,
    /// Everything before is known to be on disk; the rest up to `end` is there, but if the machine
    /// crashed now, nothing would tell its loss from a torn tail.
    pub attested: Position,
    /// Records since the log was made, trimmed ones included where that is known.
    pub records_total: u64,
    /// Whether somebody has the log open for writing.
    pub writer: bool,
    /// Whether a repair was begun and not ended.
    pub repairing: bool,
    /// All segment files, by ordinal.
    pub segments: Vec<SegmentInfo>,
    /// Emptied files that wait for reuse.
    pub spares: Vec<String>,
    /// Files in the making, or left over from a crash while they were made.
    pub unfinished: Vec<String>,
    /// What keeps the log from being opened; then `start`, `end` and what depends on them say
    /// nothing.
    pub damage: Option<Error>,
}

/// One segment file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The file's name.
    pub name: String,
    /// Its ordinal: the first half of the positions in it.
    pub ordinal: u64,
    /// What it is to the log.
    pub state: SegmentState,
    /// The file's length in bytes.
    pub file_bytes: u64,
    /// The epoch that it was made in; 0 where the file does not tell.
    pub epoch: u64,
    /// Where the segment before it ends, by its header; `None` for the first of a log.
    pub previous: Option<Position>,
    /// Where its frames end, if it is a part of the log.
    pub end: Option<Position>,
    /// Records in it.
    pub records: u64,
    /// Bytes of their payloads; batches with what they need between records.
    pub payload_bytes: u64,
    /// When the file was made into this segment.
    pub created: Option<SystemTime>,
    /// The oldest checkpoint's time.
    pub first_time: Option<SystemTime>,
    /// The newest checkpoint's time.
    pub last_time: Option<SystemTime>,
}

/// What a segment file is to its log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentState {
    /// Full, and vouched for by its footer.
    Sealed,
    /// A part of the log without a footer: the one that is written now, or one that a crash or a
    /// truncation ended.
    Unsealed,
    /// Not a part of the log: made ahead, trimmed, or a ghost of what was cut off.
    Unused,
    /// The file says nothing; this is why.
    Unreadable(String),
}

/// Looks at the log in `path` on `disk`, which may be in use.
///
/// # Errors
///
/// [`ErrorKind::NotALog`], [`ErrorKind::Symlink`], [`ErrorKind::Io`]. Damage is no error here, but
/// told in [`Inspection::damage`].
pub fn inspect_with(disk: &Arc<dyn Disk>, path: &Path) -> Result<Inspection> {
    let dir = open_dir(&**disk, path, Purpose::Read)?;
    let dir = &*dir;
    let (observed, damage) = match recover::observe(dir) {
        Ok(recovered) if recovered.segments.is_empty() && recovered.block_bytes == 0 => {
            return Err(no_log(dir));
        }
        Ok(recovered) => (Some(recovered), None),
        Err(error) if matches!(error.kind(), ErrorKind::NotALog | ErrorKind::WouldBlock) => {
            return Err(error);
        }
        Err(error) => (None, Some(error)),
    };
    let listing = Listing::read(dir)?;
    let mut window = Window::new(dir.block_size())?;
    let mut inspection = Inspection {
        path: path.into(),
        log_id: [0; 16],
        store_rules: None,
        block_bytes: 0,
        segment_bytes: 0,
        epoch: 0,
        start: Position::MIN,
        end: Position::MIN,
        attested: Position::MIN,
        records_total: 0,
        writer: has_writer(dir, &listing)?,
        repairing: listing.repairing,
        segments: Vec::new(),
        spares: listing.spares.clone(),
        unfinished: listing.unfinished.clone(),
        damage,
    };
    for (ordinal, entry) in &listing.segments {
        let found = observed
            .as_ref()
            .and_then(|recovered| found(recovered, *ordinal));
        let mut info = SegmentInfo {
            name: entry.name.clone(),
            ordinal: *ordinal,
            state: SegmentState::Unused,
            file_bytes: entry.len,
            epoch: 0,
            previous: None,
            end: None,
            records: 0,
            payload_bytes: 0,
            created: None,
            first_time: None,
            last_time: None,
        };
        match recover::read_member(dir, entry, *ordinal, Mode::Observe, &mut window) {
            Ok(member) => {
                inspection.identify(&member.header);
                info.tell_header(&member.header);
            }
            Err(error) => match found {
                Some(found) => info.tell_header(&found.header),
                None => info.state = SegmentState::Unreadable(error.to_string()),
            },
        }
        if let Some(found) = found {
            info.tell_found(found);
        }
        inspection.segments.push(info);
    }
    if let Some(recovered) = &observed {
        inspection.tell(recovered);
    }
    Ok(inspection)
}

fn found(recovered: &Recovered, ordinal: u64) -> Option<&Found> {
    recovered
        .segments
        .iter()
        .find(|found| found.header.ordinal == ordinal)
}

/// Whether somebody holds the writer's lock. The lock file is not made if it is not there.
fn has_writer(dir: &dyn Dir, listing: &Listing) -> Result<bool> {
    if !listing.lock {
        return Ok(false);
    }
    let at = |error| Error::io("looking at the lock", error).at_path(dir.path().join(LOCK_NAME));
    let file = dir.open(LOCK_NAME, OpenMode::Read).map_err(at)?;
    Ok(!file.try_lock(LockMode::Shared).map_err(at)?)
}

impl Inspection {
    /// Takes over what every segment tells, the newest last.
    fn identify(&mut self, header: &Header) {
        self.log_id = header.log_id;
        let is_store = header.features & FEATURE_STORE != 0;
        self.store_rules = is_store.then_some((header.features >> STORE_RULES_SHIFT) as u16);
        self.block_bytes = header.block_bytes;
        self.segment_bytes = header.segment_bytes;
        self.epoch = self.epoch.max(header.epoch);
    }

    fn tell(&mut self, recovered: &Recovered) {
        self.log_id = recovered.log_id;
        self.block_bytes = recovered.block_bytes;
        self.segment_bytes = recovered.segment_bytes;
        self.epoch = recovered.epoch_max;
        self.start = recovered.log_start;
        if let Some(first) = recovered.segments.first() {
            self.start = self.start.max(first.first());
        }
        self.end = recovered.end;
        self.attested = recovered.attested;
        self.records_total = recovered.records_total;
    }
}

impl SegmentInfo {
    fn tell_header(&mut self, header: &Header) {
        self.epoch = header.epoch;
        self.previous = (header.previous.ordinal != 0).then(|| header.previous.position());
        self.created = time(header.created_unix_ns);
    }

    fn tell_found(&mut self, found: &Found) {
        self.state = if found.sealed {
            SegmentState::Sealed
        } else {
            SegmentState::Unsealed
        };
        self.end = Some(found.end());
        self.records = found.records;
        self.payload_bytes = found.payload_bytes;
        let entries = found.times.entries();
        self.first_time = entries.first().and_then(|entry| time(entry.time_unix_ns));
        self.last_time = found.times.newest_unix_ns().and_then(time);
    }
}
