//! What every measurement is given: a place, a scale, a progress line, and somewhere to leave its
//! distributions.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use ringbolt::{Engine, LogOptions};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

use crate::backend::Backend;
use crate::bench::baseline::RawDisk;
use crate::bench::raw::Ticker;
use crate::outcome::Done;
use crate::temporary::Temporary;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    /// How long a pass of the log takes.
    pub(crate) pass: Duration,
    /// How long a pass of the raw disk takes, for one of its shapes.
    pub(crate) raw_pass: Duration,
    /// The size of the raw disk's file.
    pub(crate) file_bytes: u64,
    pub(crate) segment_bytes: u64,
    /// The size of the log that is read cold.
    pub(crate) read_bytes: u64,
    /// The size of the log that is opened.
    pub(crate) open_bytes: u64,
}

impl Scale {
    pub(crate) fn new(
        quick: bool,
        full: bool,
        rounds: Option<usize>,
        open_bytes: Option<u64>,
    ) -> Self {
        let mut scale = Self {
            rounds: 7,
            pass: Duration::from_millis(700),
            raw_pass: Duration::from_millis(120),
            file_bytes: 512 << 20,
            segment_bytes: 64 << 20,
            read_bytes: 1 << 30,
            open_bytes: 2 << 30,
        };
        if quick {
            scale = Self {
                rounds: 2,
                pass: Duration::from_millis(60),
                raw_pass: Duration::from_millis(15),
                file_bytes: 32 << 20,
                segment_bytes: 4 << 20,
                read_bytes: 32 << 20,
                open_bytes: 64 << 20,
            };
        }
        if full {
            scale.rounds = 15;
            scale.pass = Duration::from_secs(1);
            scale.read_bytes = 4 << 30;
            scale.open_bytes = 16 << 30;
        }
        scale.rounds = rounds.unwrap_or(scale.rounds).max(1);
        scale.open_bytes = open_bytes.unwrap_or(scale.open_bytes);
        scale
    }
}

/// A run of the bench.
pub(crate) struct Bench {
    dir: Temporary,
    pub(crate) scale: Scale,
    pub(crate) backend: Backend,
    pub(crate) raw: RawDisk,
    pub(crate) ticker: Ticker,
    progress: ProgressBar,
    distributions: Vec<(String, Histogram<u64>)>,
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench")
            .field("dir", &self.dir)
            .field("scale", &self.scale)
            .finish()
    }
}

impl Bench {
    /// Makes a working directory in `parent`, which is removed at the end, however it comes.
    pub(crate) fn new(parent: &Path, scale: Scale, backend: Backend) -> Done<Self> {
        let dir = Temporary::new(parent.join(format!("ringbolt-bench-{}", std::process::id())))?;
        let progress = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
        progress.set_style(style.expect("the template is right"));
        progress.set_message("preparing the raw disk");
        Ok(Self {
            raw: RawDisk::new(dir.path(), &scale)?,
            dir,
            scale,
            backend,
            ticker: Ticker::calibrated(),
            progress,
            distributions: Vec::new(),
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the working directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Removes what a measurement made.
    pub(crate) fn remove(&self, name: &str) {
        let _ = std::fs::remove_dir_all(self.path(name));
    }

    /// Says what is being done; the line is seen on a terminal only.
    pub(crate) fn say(&self, doing: impl Into<String>) {
        self.progress.set_message(doing.into());
        self.progress.tick();
    }

    /// An engine whose thread has a processor of its own, where there are two.
    pub(crate) fn engine(&self) -> Done<Engine> {
        let builder = Engine::builder().disk(self.backend.disk());
        Ok(match second_cpu() {
            Some(cpu) => builder.pin_to(cpu).start()?,
            None => builder.start()?,
        })
    }

    /// An engine that the scheduler may put anywhere.
    pub(crate) fn unpinned_engine(&self) -> Done<Engine> {
        Ok(self.backend.engine()?)
    }

    pub(crate) fn options(&self) -> LogOptions {
        LogOptions::new().segment_bytes(self.scale.segment_bytes)
    }

    /// Keeps a distribution for the report; one of the same name is added to.
    pub(crate) fn keep(&mut self, name: &str, histogram: &Histogram<u64>) {
        if let Some((_, kept)) = self.distributions.iter_mut().find(|(kept, _)| kept == name) {
            kept.add(histogram).expect("histograms of one kind");
        } else {
            self.distributions
                .push((name.to_owned(), histogram.clone()));
        }
    }

    /// Ends the run and gives the distributions out.
    pub(crate) fn finish(mut self) -> Vec<(String, Histogram<u64>)> {
        std::mem::take(&mut self.distributions)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
    }
}

/// The processors that we may run on, by number.
pub(crate) fn cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect()
}

fn second_cpu() -> Option<usize> {
    cpus().get(1).copied()
}

/// Keeps the calling thread on one processor for as long as this lives.
#[derive(Debug)]
pub(crate) struct Pinned(Option<CpuSet>);

impl Pinned {
    /// To the `index`-th processor that we may run on; without effect where there are fewer.
    pub(crate) fn to(index: usize) -> Self {
        let before = sched_getaffinity(None).ok();
        if let (Some(cpu), Some(_)) = (cpus().get(index), &before) {
            let mut set = CpuSet::new();
            set.set(*cpu);
            let _ = sched_setaffinity(None, &set);
        }
        Self(before)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = sched_setaffinity(None, before);
        }
    }
}

/// What was measured on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cpus: usize,
    memory_bytes: u64,
    kernel: String,
    file_system: String,
}

impl Machine {
    pub(crate) fn describe(dir: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kib: u64 = memory
            .split_whitespace()
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.into()),
            cpus: cpus().len(),
            memory_bytes: kib << 10,
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            file_system: file_system(dir).unwrap_or_else(|| "unknown".into()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} x {}, {}, Linux {}, {}",
            self.cpus,
            self.processor,
            crate::units::size(self.memory_bytes as f64),
            self.kernel,
            self.file_system
        )
    }
}

/// The type of the file system that `dir` lies on: the longest mount point that leads to it.
fn file_system(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (point, kind) = (words.next()?, words.next()?);
            dir.starts_with(point)
                .then(|| (point.len(), kind.to_owned()))
        })
        .max_by_key(|&(len, _)| len)
        .map(|(_, kind)| kind)
}
