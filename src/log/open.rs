//! Opening a log for writing: the lock, recovery, the commit point, the persister.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::disk::{AlignedBuf, Dir, Disk, File, PathKind, Region};
use crate::engine::{Budget, Engine, Share};
use crate::error::{Error, ErrorKind, Result};
use crate::log::core::{Core, CoreParts, Segment, Segments, Summary};
use crate::log::follow::{self, Follower};
use crate::log::frame::Checkpoint;
use crate::log::make::{self, Plan, Spares};
use crate::log::options::{IMAGES_MIN, LogOptions, Preallocation};
use crate::log::persist::{Beginning, FIRST_GENERATION, Persist};
use crate::log::position::{ORDINAL_MAX, Position};
use crate::log::read::ReadPool;
use crate::log::recover::{self, Found, LOCK_NAME, Mode, Recovered, Tail as Recovery};
use crate::log::segment::{self, FEATURE_STORE, Header, Link, STORE_RULES_SHIFT, frames_of};
use crate::log::tail::Tail;
use crate::log::tail::image::Image;
use crate::log::ticket::Shared;
use crate::log::{Handle, Log};
use crate::sync::park::Parker;

/// How long to wait before the lock is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(2);

pub(crate) fn open(
    engine: &Engine,
    path: &Path,
    options: &LogOptions,
    follower: Option<Box<dyn Follower>>,
) -> Result<Log> {
    attempt(engine, path, options, follower).map_err(|error| {
        let error = error.or_at_path(path);
        match error.kind() {
            ErrorKind::Io => error.into_fatal().or_remedy(
                "nothing that was acknowledged was changed; open the log again when the cause is mended",
            ),
            ErrorKind::Damaged => error
                .into_fatal()
                .or_remedy("`ringbolt verify` says how much is damaged"),
            ErrorKind::Full => error.or_remedy("free space, then open the log again"),
            _ => error,
        }
    })
}

fn attempt(
    engine: &Engine,
    path: &Path,
    options: &LogOptions,
    mut follower: Option<Box<dyn Follower>>,
) -> Result<Log> {
    if engine.is_forked() {
        return Err(Error::new(ErrorKind::Forked, "the engine is the parent's")
            .at_path(path)
            .remedy("make an engine in the process that uses it"));
    }
    if options.on_seal.is_some() {
        engine.start_hooks()?;
    }
    let disk = engine.disk();
    let purpose = if options.create {
        Purpose::Make
    } else {
        Purpose::Write
    };
    let dir = open_dir(&**disk, path, purpose)?;
    // Before the lock, which is a file: nothing is left behind in what is not a log.
    recover::check_place(&*dir, options.create)?;
    let lock = lock(&*dir, options.lock_timeout)?;
    // Behind the lock: an earlier opening on this engine has given its share back by now.
    let share = share(&engine.shared().budget, options)?;
    let found = recover::recover(&*dir)?;
    if matches!(found.tail, Recovery::Fresh) && !options.create {
        return Err(recover::empty(&*dir));
    }
    if !matches!(found.tail, Recovery::Fresh) {
        check_features(found.features, options.features)?;
    }
    // Before the commit point: what cannot be followed is not opened, and nothing was changed.
    if let Some(follower) = &mut follower {
        follow::replay(&*dir, &found, &mut **follower)?;
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
        features: begun.segment.header.features,
        dir: Arc::clone(&opening.dir),
        options: options.clone(),
        tail,
        share,
        engine: engine.waker().clone(),
        segments: opening.segments(&found, &begun),
        reads: ReadPool::new(Arc::clone(disk), options.read_buffer_bytes),
        start: found.log_start.max(first_of(&found, &begun)),
        durable: begun.at,
    }));
    core.tail.ready(FIRST_GENERATION, Arc::clone(&begun.image));
    let first = if begun.resumed {
        reopen(&core, &begun, &found)?
    } else {
        begun.at
    };
    core.tail.restart(FIRST_GENERATION, first.offset_bytes());
    engine.attach(Box::new(Persist::new(Beginning {
        core: Arc::clone(&core),
        shared: Arc::clone(engine.shared()),
        lock,
        spares,
        segment: begun.segment,
        file: begun.file,
        image: begun.image,
        memory: begun.memory,
        at: first.offset_bytes(),
        fill: begun.fill,
        records_total: found.records_total,
        last_time_unix_ns: found.time_last_unix_ns,
        epoch: begun.epoch,
        ordinal_max: begun.ordinal_max,
        follower,
    })));
    // The engine may have ended, or failed, before.
    if let Some(error) = core.failure() {
        return Err(error.clone());
    }
    Ok(Log(Arc::new(Handle {
        core: Shared(core),
        engine: engine.clone(),
    })))
}

/// A store's log is not opened as a bare one, nor the other way round.
pub(super) fn check_features(found: u64, wanted: u64) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let (is_store, wants_store) = (found & FEATURE_STORE != 0, wanted & FEATURE_STORE != 0);
    Err(match (is_store, wants_store) {
        (true, false) => {
            Error::new(ErrorKind::NotALog, "it is a store's log").remedy("open it with `Store`")
        }
        (false, true) => Error::new(ErrorKind::NotAStore, "it is a log without streams")
            .remedy("open it with `Log`"),
        _ => Error::new(
            ErrorKind::Version,
            format!(
                "the store follows version {} of the rules, and this library version {}",
                found >> STORE_RULES_SHIFT,
                wanted >> STORE_RULES_SHIFT
            ),
        )
        .remedy("open it with the version of Ringbolt that wrote it"),
    })
}

/// Writes the checkpoint that says "opened again" behind the clean one, and padding to its block's
/// end, and makes it durable: from then on no opening takes the clean close for the log's end. So
/// nothing that lies beyond it can be there without it, and no position behind it is given out
/// anew, should all of that be lost. It holds one sector's worth: it is there whole or not at all.
/// Returns where appending begins.
fn reopen(core: &Core, begun: &Begun, found: &Recovered) -> Result<Position> {
    let name = segment::file_name(begun.segment.ordinal());
    let at = |error| {
        Error::io("reopening the last segment", error)
            .at_path(core.path.join(&name))
            .at_position(begun.at)
    };
    let (offset, block) = (begun.at.offset_bytes(), begun.segment.header.block_bytes);
    let claimed = core
        .tail
        .behind_end(FIRST_GENERATION, offset, u64::from(block));
    let next = claimed.end();
    claimed.checkpoint(&Checkpoint {
        log_id: core.log_id,
        watermark: begun.at,
        log_start: core.start(),
        time_unix_ns: found.time_last_unix_ns,
        records: found.records_total,
        clean: false,
    });
    let mut bytes = AlignedBuf::new(block as usize).map_err(at)?;
    begun.memory.copy_to(offset as usize, &mut bytes);
    begun.file.write_at(&bytes, offset).map_err(at)?;
    core.set_durable(next);
    Ok(next)
}

/// What a directory is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reading alone, which is anybody's who may read the files.
    Read,
    /// Writing, which is the owner's.
    Write,
    /// Writing, also where there is nothing yet.
    Make,
}

/// Checks that `path` is a directory, and ours if it is to be written to, and opens it.
pub(crate) fn open_dir(disk: &dyn Disk, path: &Path, purpose: Purpose) -> Result<Arc<dyn Dir>> {
    let at = |error| Error::io("opening the log's directory", error).at_path(path);
    let stat = disk.stat(path).map_err(at)?;
    let refuse =
        |kind, what: &str, remedy: &str| Err(Error::new(kind, what).at_path(path).remedy(remedy));
    match stat.kind {
        PathKind::Missing if purpose == Purpose::Make => make_dir(disk, path)?,
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
        PathKind::Directory if purpose != Purpose::Read && !stat.owned => {
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

fn make_dir(disk: &dyn Disk, path: &Path) -> Result<()> {
    disk.create_dir(path).map_err(|error| {
        let orphan = error.kind() == std::io::ErrorKind::NotFound;
        let error = Error::io("making the log's directory", error).at_path(path);
        if orphan {
            error.remedy("make the directory that it is to lie in first")
        } else {
            error
        }
    })
}

fn lock(dir: &dyn Dir, timeout: Duration) -> Result<Arc<dyn File>> {
    let at = |error| Error::io("locking the log", error).at_path(dir.path().join(LOCK_NAME));
    // A time that no clock reaches is no limit.
    let deadline = Instant::now().checked_add(timeout);
    let parker = Parker::new();
    loop {
        if let Some(lock) = dir.lock(LOCK_NAME).map_err(at)? {
            return Ok(lock);
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Err(Error::new(ErrorKind::Locked, "")
                .at_path(dir.path())
                .remedy("close the other writer; reading and verifying need no lock"));
        }
        let retry = now + LOCK_RETRY;
        parker.park(Some(deadline.map_or(retry, |deadline| retry.min(deadline))));
    }
}

/// Takes what a log cannot do without from the engine's buffer budget.
fn share(budget: &Arc<Budget>, options: &LogOptions) -> Result<Share> {
    let bytes = options.segment_bytes * IMAGES_MIN as u64;
    budget.take(bytes).ok_or_else(|| {
        let (limit, taken) = (budget.limit_bytes(), budget.taken_bytes());
        let (kind, remedy) = if bytes > limit {
            let remedy = "give the engine a larger budget, or the log smaller segments";
            (ErrorKind::Invalid, remedy)
        } else {
            let remedy = "close another log of the engine, give it a larger budget, or the log \
                          smaller segments";
            (ErrorKind::OverBudget, remedy)
        };
        let what = format!(
            "{bytes} bytes for {IMAGES_MIN} segments; of the engine's budget of {limit} bytes \
             {taken} are taken"
        );
        Error::new(kind, what).remedy(remedy)
    })
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
    file: Arc<dyn File>,
    image: Arc<Image>,
    memory: Arc<Region>,
    at: Position,
    resumed: bool,
    /// Whether zeroes are to be written ahead of what is appended.
    fill: bool,
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
            features: self.options.features,
        };
        // To make a log may take a moment; to open one again, after a crash above all, may not.
        let fill = match self.options.preallocation {
            Preallocation::Auto => fresh,
            Preallocation::Written => true,
            Preallocation::Unwritten => false,
        };
        let plan = Plan {
            header,
            fill,
            control: true,
        };
        let (file, recycled) = make::make(&*self.dir, spares, &plan)?;
        let memory = self.memory()?;
        let at = Position::new(ordinal, header.frames().start);
        let mut begun = self.begun(header, file, memory, at, Summary::default(), false, ordinal);
        begun.fill &= !recycled && !fill;
        Ok(begun)
    }

    /// Goes on in the last segment. What it holds already stays where it is: the image begins behind.
    fn resume(&self, found: &Recovered, last: &Found, at: Position) -> Result<Begun> {
        let memory = self.memory()?;
        let file = recover::open_segment(&*self.dir, last.header.ordinal, Mode::Write)?;
        let summary = Summary {
            records: last.records,
            payload_bytes: last.payload_bytes,
            times: last.times.clone(),
        };
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
            at.offset_bytes(),
        ));
        let end = Some(header.frames().end);
        let segment = Segment::new(header, end, false, Some(Arc::clone(&image)), summary);
        Begun {
            segment,
            file,
            image,
            memory,
            at,
            resumed,
            fill: self.options.preallocation == Preallocation::Auto,
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
        if resumed && !found.removable.is_empty() {
            // An opening before this one may have removed some, and failed at the sync.
            sync()?;
        }
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
                // Nothing is ever written to it again, whether it has a footer or was cut.
                Segment::new(segment.header, Some(segment.end_bytes), true, None, summary)
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
