//! The chain of segments: from the one with the highest ordinal backwards, by what each header, or
//! the footer that repeats it, says about the segment before.
//!
//! Nothing is decided here about frames. A link that leads nowhere is kept as [`Chain::broken`]: it
//! is damage only if the log does not begin behind it, which frames may yet tell.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{Dir, DirEntry, File, OpenMode, PathKind};
use crate::error::{Error, ErrorKind, Result};
use crate::log::hold::{Absent, Held};
use crate::log::position::Position;
use crate::log::recover::listing::Listing;
use crate::log::recover::scan::Window;
use crate::log::recover::{Failure, Flaw, Mode, segment_path};
use crate::log::segment::{self, Footer, Header, Link, LogId};

/// A segment of the chain.
#[derive(Debug)]
pub(crate) struct Member {
    /// From the header; from the footer where there is one, and then without the time of its making
    /// and the compatible features.
    pub(crate) header: Header,
    pub(crate) footer: Option<Footer>,
}

/// The chain, oldest segment first.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) members: Vec<Member>,
    /// The oldest member's link, if it does not lead to a segment, and why.
    pub(crate) broken: Option<(Link, Failure)>,
}

/// Follows the chain from the highest ordinal in `listing`, which has one, until the log's first
/// segment or one that lies wholly before the log's start, as far as that is known: `log_start`
/// or later.
pub(crate) fn walk(
    dir: &dyn Dir,
    listing: &Listing,
    mode: Mode,
    window: &mut Window,
    mut log_start: Position,
) -> Result<Chain, Failure> {
    let reader = Reader { dir, mode };
    let top = listing.ordinal_max();
    let entry = &listing.segments[&top];
    let newest = reader
        .member(entry, top, None, window)
        .map_err(|error| Failure::new(error, Flaw::Segment { ordinal: top }))?;
    let mut members = vec![newest];
    let mut broken = None;
    loop {
        let above = members.last().expect("there is one from the begin").header;
        let link = above.previous;
        log_start = log_start.max(above.log_start);
        if let Some(footer) = &members.last().expect("as above").footer {
            log_start = log_start.max(footer.log_start);
        }
        if link.ordinal == 0 || link.position() <= log_start {
            break;
        }
        match reader.linked(listing, &above, window) {
            Ok(member) => members.push(member),
            Err(error) => {
                broken = Some((link, reader.blame(listing, &above, members.len(), error)));
                break;
            }
        }
    }
    members.reverse();
    Ok(Chain { members, broken })
}

/// Reads a segment's header and footer by itself, for who wants all there is to know about it.
pub(crate) fn read_member(
    dir: &dyn Dir,
    entry: &DirEntry,
    ordinal: u64,
    mode: Mode,
    window: &mut Window,
) -> Result<Member> {
    Reader { dir, mode }.member(entry, ordinal, None, window)
}

/// Opens the file of a segment; an observer's is locked, shared, for as long as it is open.
///
/// # Errors
///
/// [`ErrorKind::Damaged`] where it is missing, [`ErrorKind::Locked`] where it is just being
/// recycled, [`ErrorKind::Io`].
pub(crate) fn open_segment(dir: &dyn Dir, ordinal: u64, mode: Mode) -> Result<Arc<dyn File>> {
    // No writer is beside.
    let alone = |how| match dir.open(&segment::file_name(ordinal), how) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(Absent::Missing)),
        opened => opened.map(Ok),
    };
    let opened = match mode {
        Mode::Observe => Held::open(dir, ordinal).map(|held| held.map(Held::into_file)),
        Mode::Write => alone(OpenMode::Write),
        Mode::Quiet => alone(OpenMode::Read),
    };
    let error = match opened {
        Ok(Ok(file)) => return Ok(file),
        Ok(Err(Absent::Missing)) => Error::new(ErrorKind::Damaged, "the segment is missing"),
        Ok(Err(Absent::Locked)) => Error::new(ErrorKind::Locked, "the segment is being recycled"),
        Err(error) => Error::io("opening a segment", error),
    };
    Err(error.at_path(segment_path(dir, ordinal)))
}

struct Reader<'a> {
    dir: &'a dyn Dir,
    mode: Mode,
}

impl Reader<'_> {
    /// The segment that `above` links to.
    fn linked(&self, listing: &Listing, above: &Header, window: &mut Window) -> Result<Member> {
        let link = above.previous;
        let name = segment::file_name(link.ordinal);
        let damaged = |what: String| {
            Err(Error::new(ErrorKind::Damaged, what)
                .at_path(self.path(&name))
                .remedy(REPAIR_HINT))
        };
        let Some(entry) = listing.segments.get(&link.ordinal) else {
            return damaged(format!("segment {} is missing", link.ordinal));
        };
        let member = self.member(entry, link.ordinal, Some(above), window)?;
        let header = &member.header;
        if header.log_id != above.log_id {
            return damaged("it belongs to another log".into());
        }
        if header.features != above.features {
            return damaged("its features are not its successor's".into());
        }
        if header.epoch > above.epoch {
            return damaged(format!(
                "its epoch {} is above its successor's, {}",
                header.epoch, above.epoch
            ));
        }
        let frames = header.frames();
        if link.end_bytes < frames.start || link.end_bytes > frames.end {
            return damaged(format!(
                "its successor says that it ends at {}, outside of its frames",
                link.end_bytes
            ));
        }
        Ok(member)
    }

    /// Reads one segment: the footer alone where it is valid, else the header. `like` is a segment
    /// of the same log, whose block size is tried first.
    fn member(
        &self,
        entry: &DirEntry,
        ordinal: u64,
        like: Option<&Header>,
        window: &mut Window,
    ) -> Result<Member> {
        let path = self.path(&entry.name);
        let damaged = |what: String| {
            Err(Error::new(ErrorKind::Damaged, what)
                .at_path(&path)
                .remedy(REPAIR_HINT))
        };
        match entry.kind {
            PathKind::File => {}
            PathKind::Symlink => {
                return Err(Error::new(ErrorKind::Symlink, "")
                    .at_path(&path)
                    .remedy("put the segment itself in its place"));
            }
            _ => return damaged("it is not a file".into()),
        }
        let file = open_segment(self.dir, ordinal, self.mode)?;
        window.forget();
        let io = |error: io::Error| Error::io("reading a segment", error).at_path(&path);
        let len = file.len().map_err(io)?;
        if let Some(like) = like {
            if let Some(footer) = read_footer(&*file, window, len, like.block_bytes)
                .map_err(|error| error.at_path(&path))?
            {
                if footer.ordinal == ordinal && footer.log_id == like.log_id {
                    let header = header_of(&footer, len, like.block_bytes);
                    let footer = Some(footer);
                    return Ok(Member { header, footer });
                }
            }
        }
        let head = window
            .bytes_exactly(&*file, 0, segment::HEADER_BYTES)
            .map_err(|error| error.at_path(&path))?;
        let header = match Header::parse(head) {
            Ok(Some(header)) => header,
            Ok(None) => return damaged("it has no valid header".into()),
            Err(error) => return Err(error.at_path(&path)),
        };
        if header.ordinal != ordinal {
            return damaged(format!(
                "by its header it is segment {}, not {ordinal}",
                header.ordinal
            ));
        }
        if header.segment_bytes != len {
            return damaged(format!(
                "it has {len} bytes, and by its header {}",
                header.segment_bytes
            ));
        }
        let footer = read_footer(&*file, window, len, header.block_bytes)
            .map_err(|error| error.at_path(&path))?
            .filter(|footer| is_of(footer, &header));
        Ok(Member { header, footer })
    }

    /// Which file a broken link is to be blamed on. A file of another log with a high ordinal looks
    /// as if everything else were foreign: the one that stands alone is the stranger.
    fn blame(&self, listing: &Listing, above: &Header, links: usize, error: Error) -> Failure {
        let linked = Flaw::Segment {
            ordinal: above.previous.ordinal,
        };
        if links > 1 || error.kind() != ErrorKind::Damaged {
            return Failure::new(error, linked);
        }
        let others: Vec<LogId> = listing
            .segments
            .iter()
            .filter(|(ordinal, _)| **ordinal != above.ordinal)
            .filter_map(|(ordinal, entry)| {
                let mut window = Window::new(self.dir.block_size()).ok()?;
                let member = self.member(entry, *ordinal, None, &mut window).ok()?;
                Some(member.header.log_id)
            })
            .take(2)
            .collect();
        match others.first() {
            Some(other) if others.iter().all(|id| id == other) && *other != above.log_id => {
                let name = segment::file_name(above.ordinal);
                let stranger = Error::new(ErrorKind::Damaged, "it belongs to another log")
                    .at_path(self.path(&name))
                    .remedy("move it out of this directory");
                Failure::new(
                    stranger,
                    Flaw::Segment {
                        ordinal: above.ordinal,
                    },
                )
            }
            _ => Failure::new(error, linked),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// What every damage that a repair can mend is told with.
pub(crate) const REPAIR_HINT: &str =
    "`ringbolt verify` tells all of the damage, `ringbolt repair` what can be kept";

/// Reads what should be the footer of a file of `len` bytes.
pub(crate) fn read_footer(
    file: &dyn File,
    window: &mut Window,
    len: u64,
    block_bytes: u32,
) -> Result<Option<Footer>> {
    let block = u64::from(block_bytes);
    if !(segment::SEGMENT_BYTES_MIN..=segment::SEGMENT_BYTES_MAX).contains(&len) || len % block != 0
    {
        return Ok(None);
    }
    // No more than the footer is read: opening a large log reads hundreds of them.
    let bytes = window.bytes_exactly(file, len - block, block as usize)?;
    Ok(Footer::parse(bytes).filter(|footer| footer.end_bytes <= len - block))
}

/// Whether a footer belongs to this segment, and not to what the file was before.
pub(crate) fn is_of(footer: &Footer, header: &Header) -> bool {
    footer.log_id == header.log_id
        && footer.ordinal == header.ordinal
        && footer.salt == header.salt
        && footer.epoch == header.epoch
        && footer.previous == header.previous
}

/// The header that a footer repeats.
fn header_of(footer: &Footer, segment_bytes: u64, block_bytes: u32) -> Header {
    Header {
        log_id: footer.log_id,
        ordinal: footer.ordinal,
        epoch: footer.epoch,
        previous: footer.previous,
        salt: footer.salt,
        segment_bytes,
        block_bytes,
        log_start: footer.log_start,
        created_unix_ns: 0,
        compatible: 0,
        features: footer.features,
    }
}
