//! The real disk's ladder of fallbacks, for tests that climb all of it, and places to work in.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringbolt::disk::{Access, BackendKind, Dir, Disk, Real, RealOptions, Rung};
use ringbolt::{Engine, LogOptions};

/// One rung: what the disk may use at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forced {
    pub(crate) name: &'static str,
    pub(crate) options: RealOptions,
}

/// All rungs, the highest first.
pub(crate) const LADDER: [Forced; 5] = [
    forced("uring-registered", true, true, true),
    forced("uring-unregistered", true, true, false),
    forced("uring-buffered", true, false, true),
    forced("posix-direct", false, true, false),
    forced("posix-buffered", false, false, false),
];

const fn forced(name: &'static str, uring: bool, direct: bool, register: bool) -> Forced {
    Forced {
        name,
        options: RealOptions {
            uring,
            direct,
            register,
        },
    }
}

impl Forced {
    /// The disk that stands on this rung, if this machine has it; else says so.
    pub(crate) fn disk(&self, tests: usize) -> Option<Arc<dyn Disk>> {
        let disk = Real::with(self.options);
        match self.missing(&disk) {
            None => Some(Arc::new(disk)),
            Some(why) => {
                skip(tests, &format!("{}: {why}", self.name));
                None
            }
        }
    }

    /// What this machine lacks for this rung.
    fn missing(&self, disk: &Real) -> Option<String> {
        let place = Place::new("probe");
        let dir: Arc<dyn Dir> = disk.open_dir(place.path()).unwrap();
        let Access { direct, reason } = dir.access();
        if self.options.direct && !direct {
            return reason;
        }
        let engine = Engine::builder()
            .disk(Arc::new(disk.clone()))
            .start()
            .unwrap();
        let log = LogOptions::new()
            .segment_bytes(1 << 20)
            .open_on(&engine, place.path().join("log"))
            .unwrap();
        // What a log's own memory meets is known once a record is on disk.
        log.append(b"").unwrap().wait().unwrap();
        let Rung {
            backend,
            registered,
            reason,
            ..
        } = log.stats().rung;
        log.close().unwrap();
        let has_ring = backend == BackendKind::Uring;
        let stands = has_ring && (registered || !self.options.register);
        (self.options.uring && !stands).then(|| reason.unwrap_or_else(|| "no io_uring".into()))
    }
}

/// Says that tests are not run here, past the harness, which would swallow it.
pub(crate) fn skip(tests: usize, why: &str) {
    let _ = writeln!(std::io::stderr(), "\nskipped: {tests} {why}");
}

/// A directory on a real file system that goes when the test ends.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let unique = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{name}-{}-{unique}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
