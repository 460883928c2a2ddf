//! Opening a log for writing: the lock, recovery, the commit point, the persister.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::disk::{AlignedBuf, Dir, Disk, File, PathKind, Region};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::log::core::{Core, CoreParts, Segment, Segments, Summary};
use crate::log::frame::{self, CHECKPOINT_BYTES, Checkpoint, OWNED_FROM};
use crate::log::make::{self, Plan, Spares};
use crate::log::options::{LogOptions, Preallocation};
use crate::log::persist::{Beginning, FIRST_GENERATION, Persist};
use crate::log::position::{ORDINAL_MAX, Position};
use crate::log::recover::{self, Found, LOCK_NAME, Recovered, Tail as Recovery};
use crate::log::segment::{self, Header, Link, frames_of};
use crate::log::tail::Tail;
use crate::log::tail::image::{self, Image};
use crate::log::ticket::Shared;
use crate::log::{Handle, Log};
use crate::sync::park::Parker;

/// How long to wait before the lock is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(2);

pub(crate) fn open(engine: &Engine, path: &Path, options: &LogOptions) -> Result<Log> {
    let disk = engine.disk();
    let dir = open_dir(&**disk, path, options.create)?;
    let lock = lock(&*dir, options.lock_timeout)?;
    let found = recover::recover(&*dir)?;
    if matches!(found.tail, Recovery::Fresh) && !options.create {
        return Err(Error::new(ErrorKind::NotALog, "the directory is empty").at_path(path));
    }
    let opening = Opening {
        disk: &**disk,
        dir,
        options,
        path,
    };
    let spares = Arc::new(Spares::new(found.spares.clone()));
    let begun = opening.begin(&found, &spares)?;
    // Whatever is in nobody's chain goes now that the commit point is durable.
    opening.clean_up(&found, begun.resumed)?;
    let tail = opening.tail(&begun)?;
    #[cfg(feature = "tracing")]
    tracing::info!(path = %path.display(), at = %begun.at, resumed = begun.resumed, "log opened");
    let core = Arc::new(Core::new(CoreParts {
        path: path.to_path_buf(),
        log_id: begun.segment.header.log_id,
        dir: Arc::clone(&opening.dir),
        options: options.clone(),
        tail,
        engine: engine.waker().clone(),
        segments: opening.segments(&found, &begun),
        start: found.log_start.max(first_of(&found, &begun)),
        durable: begun.at,
    }));
    core.tail.ready(FIRST_GENERATION, Arc::clone(&begun.image));
    core.tail.restart(FIRST_GENERATION, begun.at.offset_bytes());
    engine.attach(Box::new(Persist::new(Beginning {
        core: Arc::clone(&core),
        shared: Arc::clone(engine.shared()),
        lock,
        spares,
        segment: begun.segment,
        image: begun.image,
        memory: begun.memory,
        at: begun.at.offset_bytes(),
        records_total: found.records_total,
        last_time_unix_ns: found.time_last_unix_ns,
        epoch: begun.epoch,
        ordinal_max: begun.ordinal_max,
    })));
    Ok(Log(Arc::new(Handle {
        core: Shared(core),
        engine: engine.clone(),
    })))
}

/// Checks that `path` is a directory of ours to write to, and opens it.
pub(crate) fn open_dir(disk: &dyn Disk, path: &Path, create: bool) -> Result<Arc<dyn Dir>> {
    let at = |error| Error::io("opening the log's directory", error).at_path(path);
    let stat = disk.stat(path).map_err(at)?;
    let refuse =
        |kind, what: &str, remedy: &str| Err(Error::new(kind, what).at_path(path).remedy(remedy));
    match stat.kind {
        PathKind::Missing if create => disk.create_dir(path).map_err(at)?,
        PathKind::Missing => {
            return refuse(ErrorKind::NotALog, "there is nothing", "check the path");
        }
        PathKind::Symlink => {
            return refuse(ErrorKind::Symlink, "", "name the directory itself");
        }
        PathKind::File | PathKind::Other => {
            return refuse(
                ErrorKind::NotALog,
                "it is not a directory",
                "name a directory",
            );
        }
        PathKind::Directory if !stat.owned => {
            return refuse(
                ErrorKind::NotOwner,
                "",
                "run as its owner, or change its owner",
            );
        }
        PathKind::Directory => {}
    }
    disk.open_dir(path).map_err(at)
}

fn lock(dir: &dyn Dir, timeout: Duration) -> Result<Arc<dyn File>> {
    let at = |error| Error::io("locking the log", error).at_path(dir.path().join(LOCK_NAME));
    let deadline = Instant::now() + timeout;
    let parker = Parker::new();
    loop {
        if let Some(lock) = dir.lock(LOCK_NAME).map_err(at)? {
            return Ok(lock);
        }
        let now = Instant::now();
        if now >= deadline {
            return Err(Error::new(ErrorKind::Locked, "")
                .at_path(dir.path())
                .remedy("close the other writer; reading and verifying need no lock"));
        }
        parker.park(Some(deadline.min(now + LOCK_RETRY)));
    }
}

/// What an opening works with.
struct Opening<'a> {
    disk: &'a dyn Disk,
    dir: Arc<dyn Dir>,
    options: &'a LogOptions,
    path: &'a Path,
}

/// Where appends go on.
struct Begun {
    segment: Arc<Segment>,
    image: Arc<Image>,
    memory: Arc<Region>,
    at: Position,
    resumed: bool,
    epoch: u64,
    ordinal_max: u64,
}

impl Opening<'_> {
    /// Goes on in the last segment after a clean close, else makes the new one that is the commit
    /// point of this opening.
    fn begin(&self, found: &Recovered, spares: &Spares) -> Result<Begun> {
        if let (Recovery::Resume { at }, Some(last)) = (&found.tail, found.segments.last()) {
            let room = last.header.frames().end - at.offset_bytes();
            if last.header.segment_bytes == self.options.segment_bytes && room > 0 {
                return self.resume(found, last, *at);
            }
        }
        let previous = match &found.tail {
            Recovery::Fresh => Link::NONE,
            Recovery::Resume { at } => Link {
                ordinal: at.segment(),
                end_bytes: at.offset_bytes(),
            },
            Recovery::Commit { previous } => *previous,
        };
        let ordinal = found.ordinal_max + 1;
        if ordinal > ORDINAL_MAX {
            return Err(
                Error::new(ErrorKind::Invalid, "the log has used up its positions")
                    .at_path(self.path)
                    .remedy("move its records to a new log"),
            );
        }
        let mut random = [0; 24];
        self.disk.random(&mut random);
        let (id, salt) = random.split_at(16);
        let fresh = matches!(found.tail, Recovery::Fresh);
        let log_id = if fresh {
            id.try_into().expect("sixteen bytes")
        } else {
            found.log_id
        };
        let epoch = if fresh { 1 } else { found.epoch_max + 1 };
        let block_bytes = if fresh {
            self.dir.block_size()
        } else {
            found.block_bytes
        };
        let header = Header {
            log_id,
            ordinal,
            epoch,
            previous,
            salt: u64::from_le_bytes(salt.try_into().expect("eight bytes")),
            segment_bytes: self.options.segment_bytes,
            block_bytes,
            log_start: found.log_start,
            created_unix_ns: self.disk.now_unix_ns(),
            compatible: 0,
        };
        let fill = self.options.preallocation != Preallocation::Unwritten;
        let (file, _) = make::make(
            &*self.dir,
            spares,
            &Plan {
                header,
                fill,
                control: true,
            },
        )?;
        let memory = self.memory()?;
        let at = Position::new(ordinal, header.frames().start);
        Ok(self.begun(header, file, memory, at, Summary::default(), false, ordinal))
    }

    /// Loads the last segment's beginning into memory.
    fn resume(&self, found: &Recovered, last: &Found, at: Position) -> Result<Begun> {
        let memory = self.memory()?;
        let len = at.offset_bytes() as usize;
        let mut buffer = AlignedBuf::new(len).map_err(|e| self.io("mapping memory", e))?;
        let got = last
            .file
            .read_at(&mut buffer, 0)
            .map_err(|e| self.io("reading the tail", e))?;
        if got < len {
            return Err(
                Error::new(ErrorKind::Damaged, "the last segment is too short").at_path(self.path),
            );
        }
        let reopened = self.reopen(found, last, at)?;
        let next = len + reopened.len();
        image::fill_idle(&memory, |bytes| {
            bytes[..len].copy_from_slice(&buffer);
            bytes[len..next].copy_from_slice(&reopened);
        });
        let summary = Summary {
            records: last.records,
            payload_bytes: last.payload_bytes,
            times: last.times.clone(),
        };
        let file = Arc::clone(&last.file);
        let at = at.plus(reopened.len() as u64);
        Ok(self.begun(
            last.header,
            file,
            memory,
            at,
            summary,
            true,
            found.ordinal_max,
        ))
    }

    /// Makes the block durable that says "opened again" behind the clean end, before any position
    /// behind it is given away: a crash then leads to a new segment, and no position is used twice.
    /// The block holds one sector's worth, so that it is there whole or not at all, and nothing
    /// that lies beyond it can be there without it.
    fn reopen(&self, found: &Recovered, last: &Found, at: Position) -> Result<AlignedBuf> {
        let seed = last.header.seed();
        let mut block = AlignedBuf::new(last.header.block_bytes as usize)
            .map_err(|e| self.io("mapping memory", e))?;
        let checkpoint = Checkpoint {
            log_id: found.log_id,
            watermark: at,
            log_start: found.log_start,
            time_unix_ns: found.time_last_unix_ns,
            records: found.records_total,
            clean: false,
        };
        let (word, rest) = block.split_at_mut(OWNED_FROM);
        let owned = rest.first_chunk_mut().expect("a block holds a checkpoint");
        word.copy_from_slice(&frame::write_checkpoint(seed, at, owned, &checkpoint).to_le_bytes());
        let pad_bytes = block.len() - CHECKPOINT_BYTES;
        let (commit, crc) = frame::finish_pad(seed, at.plus(CHECKPOINT_BYTES as u64), pad_bytes);
        block[CHECKPOINT_BYTES..][..4].copy_from_slice(&commit.to_le_bytes());
        block[CHECKPOINT_BYTES..][4..8].copy_from_slice(&crc);
        last.file
            .write_at(&block, at.offset_bytes())
            .map_err(|error| self.io("marking the log as opened again", error))?;
        Ok(block)
    }

    #[allow(clippy::too_many_arguments)] // the parts of one struct
    fn begun(
        &self,
        header: Header,
        file: Arc<dyn File>,
        memory: Arc<Region>,
        at: Position,
        summary: Summary,
        resumed: bool,
        ordinal_max: u64,
    ) -> Begun {
        let image = Arc::new(Image::new(
            header.ordinal,
            header.seed(),
            Arc::clone(&memory),
        ));
        let end = Some(header.frames().end);
        let segment = Segment::new(header, file, end, false, Some(Arc::clone(&image)), summary);
        Begun {
            segment,
            image,
            memory,
            at,
            resumed,
            epoch: header.epoch,
            ordinal_max,
        }
    }

    fn memory(&self) -> Result<Arc<Region>> {
        Region::new(self.options.segment_bytes as usize)
            .map(Arc::new)
            .map_err(|error| self.io("mapping memory for a segment", error))
    }

    fn io(&self, what: &str, error: std::io::Error) -> Error {
        Error::io(what, error).at_path(self.path)
    }

    /// Removes what is in nobody's chain: ghosts, trimmed segments, unfinished files.
    ///
    /// Without a new segment that is the chain's newest, what was made ahead must go newest first,
    /// each durably: one that is left, and names one that is gone, looks like damage.
    fn clean_up(&self, found: &Recovered, resumed: bool) -> Result<()> {
        let io = |what: &str, error| self.io(what, error);
        let sync = || {
            let synced = self.dir.sync();
            synced.map_err(|error| io("syncing the directory", error))
        };
        for name in found.removable.iter().rev() {
            match self.dir.unlink(name) {
                // An unfinished file may have served for the segment that was just made.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.map_err(|error| io(&format!("removing {name}"), error))?,
            }
            if resumed
                && segment::parse_file_name(name)
                    > Some(found.segments.last().map_or(0, |last| last.header.ordinal))
            {
                sync()?;
            }
        }
        if found.removable.is_empty() {
            Ok(())
        } else {
            sync()
        }
    }

    fn tail(&self, begun: &Begun) -> Result<Tail> {
        let frames = frames_of(self.options.segment_bytes, begun.segment.header.block_bytes);
        Tail::new(frames.start, frames.end).map_err(|error| self.io("mapping memory", error))
    }

    fn segments(&self, found: &Recovered, begun: &Begun) -> Segments {
        let mut list: std::collections::VecDeque<_> = found
            .segments
            .iter()
            .filter(|segment| segment.header.ordinal != begun.segment.ordinal())
            .map(|segment| {
                let summary = Summary {
                    records: segment.records,
                    payload_bytes: segment.payload_bytes,
                    times: segment.times.clone(),
                };
                let file = Arc::clone(&segment.file);
                // Nothing is ever written to it again, whether it has a footer or was cut.
                Segment::new(
                    segment.header,
                    file,
                    Some(segment.end_bytes),
                    true,
                    None,
                    summary,
                )
            })
            .collect();
        list.push_back(Arc::clone(&begun.segment));
        Segments { list }
    }
}

fn first_of(found: &Recovered, begun: &Begun) -> Position {
    let begin = |header: &Header| Position::new(header.ordinal, header.frames().start);
    found
        .segments
        .first()
        .map_or(begin(&begun.segment.header), |first| begin(&first.header))
}
