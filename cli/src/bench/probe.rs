//! What has to be measured in a process of its own: this program, started again by the bench.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use ringbolt::{From, Log, LogOptions};
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::bench::context::Bench;
use crate::bench::store;
use crate::child;
use crate::outcome::{Done, Failure, Outcome, print_json};

const PAYLOAD: [u8; 1024] = [0x5a; 1024];

/// A process that is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum)]
    kind: Kind,
    dir: PathBuf,
    #[arg(long)]
    segment_bytes: u64,
    #[arg(long, value_enum)]
    backend: Backend,
    /// For how long to work.
    #[arg(long, default_value_t = 0)]
    millis: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Appends until it is killed; prints a line for every MiB that is durable.
    Writer,
    /// Appends and reads for a while, and prints the memory that took.
    Memory,
    /// Appends a little, then nothing, and prints what that costs.
    Idle,
    /// Appends to the streams of a store until it is killed; prints a line for every MiB that is durable.
    StoreWriter,
    /// Makes streams and cursors, and prints the memory that took.
    StoreMemory,
}

impl Args {
    /// Works in this folder of the bench, for as long.
    pub(crate) fn new(kind: Kind, bench: &Bench, folder: &str, time: Duration) -> Self {
        Self {
            kind,
            dir: bench.path(folder),
            segment_bytes: bench.scale.segment_bytes,
            backend: bench.backend,
            millis: time.as_millis() as u64,
        }
    }

    /// The arguments that lead here again.
    pub(crate) fn command_line(&self) -> Vec<OsString> {
        let kind = self.kind.to_possible_value().expect("no value is hidden");
        vec![
            "bench".into(),
            "probe".into(),
            kind.get_name().to_owned().into(),
            self.dir.clone().into(),
            "--segment-bytes".into(),
            self.segment_bytes.to_string().into(),
            "--backend".into(),
            self.backend.name().into(),
            "--millis".into(),
            self.millis.to_string().into(),
        ]
    }

    /// Runs the probe in another process and takes its figures.
    pub(crate) fn figures<T: for<'de> Deserialize<'de>>(&self) -> Done<T> {
        let output = child::start(self.command_line(), Stdio::null())?
            .wait_with_output()
            .map_err(Failure::io("waiting for a measured process"))?;
        if !output.status.success() {
            return Err(Failure::Other(format!(
                "a measured process failed: {}",
                output.status
            )));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| Failure::Other(format!("a measured process said nonsense: {error}")))
    }
}

pub(crate) fn run(args: &Args) -> Done {
    let options = LogOptions::new().segment_bytes(args.segment_bytes);
    let time = Duration::from_millis(args.millis);
    match args.kind {
        Kind::Writer => write_for_ever(&options.open_on(&args.backend.engine()?, &args.dir)?),
        Kind::Memory => print(&measure_memory(args, &options, time)?),
        Kind::Idle => print(&measure_idle(args, &options, time)?),
        Kind::StoreWriter => {
            let store = store::open_on(&args.backend.engine()?, &args.dir, options)?;
            store::open::write_for_ever(&store)
        }
        Kind::StoreMemory => {
            let store = store::open_on(&args.backend.engine()?, &args.dir, options)?;
            print(&store::memory::measure(&store, args.segment_bytes)?)
        }
    }
}

fn print(figures: &impl Serialize) -> Done {
    print_json(figures)?;
    Ok(Outcome::Good)
}

fn write_for_ever(log: &Log) -> Done {
    let mut out = io::stdout().lock();
    loop {
        for _ in 1..1024 {
            let _ = log.append(&PAYLOAD)?;
        }
        // Waiting for one of two keeps writes in flight when the kill comes.
        let ticket = log.append(&PAYLOAD)?;
        for _ in 0..1024 {
            let _ = log.append(&PAYLOAD)?;
        }
        ticket.wait()?;
        writeln!(out, "{}", ticket.position()).map_err(Failure::stdout)?;
        out.flush().map_err(Failure::stdout)?;
    }
}

/// Resident memory while a log works hard.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MemoryFigures {
    /// The bound that was set.
    pub(crate) bound_bytes: u64,
    /// The most that was resident, anonymous and shared, of all of this process.
    pub(crate) resident_bytes: u64,
}

fn measure_memory(args: &Args, options: &LogOptions, time: Duration) -> Done<MemoryFigures> {
    const BOUND_SEGMENTS: u64 = 4;
    let bound_bytes = BOUND_SEGMENTS * args.segment_bytes;
    let retain = 8 * args.segment_bytes;
    let options = options
        .clone()
        .memory_bytes(bound_bytes)
        .retain_bytes(retain);
    let log = options.open_on(&args.backend.engine()?, &args.dir)?;
    let mut reader = log.reader(From::End)?;
    let mut resident_bytes = 0;
    let begin = Instant::now();
    while begin.elapsed() < time {
        for _ in 0..4096 {
            let _ = log.append(&PAYLOAD)?;
        }
        let caught_up = loop {
            match reader.try_next().map(|record| record.is_some()) {
                Ok(true) => {}
                Ok(false) => break true,
                // Retention may overtake a reader on a slow machine; memory is what counts here.
                Err(error) if error.kind() == ringbolt::ErrorKind::Trimmed => break false,
                Err(error) => return Err(error.into()),
            }
        };
        if !caught_up {
            reader.seek(From::End)?;
        }
        resident_bytes = resident_bytes.max(resident()?);
    }
    log.flush()?;
    resident_bytes = resident_bytes.max(resident()?);
    drop(reader);
    log.close()?;
    Ok(MemoryFigures {
        bound_bytes,
        resident_bytes,
    })
}

/// Anonymous and shared memory of this process that is resident.
pub(crate) fn resident() -> Done<u64> {
    let path = "/proc/self/status";
    let status = std::fs::read_to_string(path).map_err(Failure::io(format!("reading {path}")))?;
    Ok(["RssAnon:", "RssShmem:"]
        .iter()
        .filter_map(|key| status.lines().find_map(|line| line.strip_prefix(key)))
        .filter_map(|value| value.split_whitespace().next()?.parse::<u64>().ok())
        .sum::<u64>()
        << 10)
}

/// What threads that have nothing to do, did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IdleFigures {
    /// Processor time of all threads but the one that measures.
    pub(crate) processor_ns: u64,
    /// How often they gave the processor back, so were woken before.
    pub(crate) wakeups: u64,
    pub(crate) seconds: f64,
    /// Whether the background work ended before the measurement began.
    pub(crate) settled: bool,
}

fn measure_idle(args: &Args, options: &LogOptions, time: Duration) -> Done<IdleFigures> {
    const SETTLE: Duration = Duration::from_millis(300);
    const SETTLE_MAX: Duration = Duration::from_secs(20);
    let log = options.open_on(&args.backend.engine()?, &args.dir)?;
    for _ in 0..2000 {
        let _ = log.append(&PAYLOAD)?;
    }
    log.flush()?;
    let begin = Instant::now();
    let mut before = others()?;
    let settled = loop {
        std::thread::sleep(SETTLE);
        let now = others()?;
        if now == before {
            break true;
        }
        if begin.elapsed() > SETTLE_MAX {
            break false;
        }
        before = now;
    };
    let (begin, before) = (Instant::now(), others()?);
    std::thread::sleep(time);
    let (after, seconds) = (others()?, begin.elapsed().as_secs_f64());
    log.close()?;
    Ok(IdleFigures {
        processor_ns: after.processor_ns - before.processor_ns,
        wakeups: after.wakeups - before.wakeups,
        seconds,
        settled,
    })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Activity {
    processor_ns: u64,
    wakeups: u64,
}

/// What the other threads of this process did so far.
fn others() -> Done<Activity> {
    let me = rustix::thread::gettid().as_raw_nonzero().to_string();
    let mut sum = Activity::default();
    let failed = || Failure::io("reading /proc/self/task");
    for task in std::fs::read_dir("/proc/self/task").map_err(failed())? {
        let task = task.map_err(failed())?;
        if task.file_name().to_str() == Some(&me) {
            continue;
        }
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).map_err(failed());
        let number = |word: Option<&str>| word.and_then(|n| n.parse().ok()).unwrap_or(0_u64);
        sum.processor_ns += number(read("schedstat")?.split_whitespace().next());
        sum.wakeups += read("status")?
            .lines()
            .filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .map(|count| number(Some(count.trim())))
            .sum::<u64>();
    }
    Ok(sum)
}
