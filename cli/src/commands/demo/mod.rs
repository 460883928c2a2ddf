//! `ringbolt demo`: the whole of it on a fresh machine. Producers append, first as fast as the disk
//! takes it and then at a set rate, consumers check every record, and the log is opened again and
//! read from its start. At the end another process appends, is killed, and must have kept its word.

mod check;
mod killed;
mod live;
mod record;
mod work;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::Histogram;
use ringbolt::{Engine, Log, LogOptions};

use crate::backend::{self, Backend};
use crate::bench::report::percentiles;
use crate::outcome::{Done, Failure, Outcome};
use crate::plot::{Plot, Series};
use crate::temporary::Temporary;
use crate::units;

use work::{Pace, Work};

const SVG_NAME: &str = "ringbolt-demo.svg";
/// The most that the demo keeps on the disk, if there is room for it.
const RETAIN_BYTES: u64 = 4 << 30;
/// What may be appended and not yet on disk: it bounds how long an acknowledgement can take while
/// the disk is the bottleneck, and it always is here.
const UNSYNCED_BYTES: u64 = 4 << 20;
/// The part of the time in which the producers go slowly: at full speed latencies are queues.
const PACED_PART: f64 = 0.4;
/// Records a second, then.
const PACED_RATE: u32 = 10_000;

/// Watch records go through a durable log, checked at every step, and measure them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For how long.
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    seconds: f64,
    /// Where; what the demo made there is kept [default: a temporary folder, removed at the end].
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
    /// How the disk is reached; the default is the best that works here.
    #[arg(long, value_enum, default_value = "auto")]
    backend: Backend,
    #[command(flatten)]
    log: SegmentArgs,
}

#[derive(Debug, clap::Args)]
struct SegmentArgs {
    /// The size of segments: a power of two from 1 MiB to 1 GiB.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = units::parse_size)]
    segment_bytes: u64,
}

pub(crate) fn run(args: &Args) -> Done {
    let time = Duration::try_from_secs_f64(args.seconds)
        .map_err(|_| Failure::Other("--seconds must be a number that is not negative".into()))?;
    let place = Place::new(args.dir.as_deref())?;
    let retain = retention(place.parent(), args.log.segment_bytes)?;
    let options = LogOptions::new()
        .segment_bytes(args.log.segment_bytes)
        .unsynced_bytes(UNSYNCED_BYTES)
        .retain_bytes(retain);
    let engine = args.backend.engine()?;
    let log = options.open_on(&engine, place.log())?;
    // Trims nothing, and is answered when the engine has taken the log on: from then on it knows how
    // the log is written.
    log.trim(log.start())?;
    introduce(&log, place.log(), retain).map_err(Failure::stdout)?;

    let full = work::run(&log, Pace::Full, time.mul_f64(1.0 - PACED_PART))?;
    let paced = work::run(&log, Pace::Records(PACED_RATE), time.mul_f64(PACED_PART))?;
    let works = [full, paced];
    let stats = log.stats();
    log.close()?;
    report(&works, stats.recycled).map_err(Failure::stdout)?;
    let svg = place.svg();
    std::fs::write(&svg, picture(&works))
        .map_err(Failure::io(format!("writing {}", svg.display())))?;

    let checked = reopen(&engine, &options, place.log(), &works)?;
    let outlived = killed::run(
        &engine,
        &options,
        place.log(),
        args.backend,
        args.log.segment_bytes,
    )?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "reopened, and read back: {} records, all there, in order, their content right{}\n\
         kill -9 of a process that appended: {} records were acknowledged, all there after \
         reopening; {} more were on their way\n\
         latencies drawn in {}",
        checked.records,
        match checked.trimmed {
            0 => String::new(),
            trimmed => format!("; {trimmed} older ones were dropped by retention"),
        },
        outlived.acknowledged,
        outlived.beyond,
        svg.display()
    )
    .map_err(Failure::stdout)?;
    if let Some(dir) = &args.dir {
        writeln!(
            out,
            "the log is kept: try `ringbolt inspect {}`",
            dir.join(LOG_NAME).display()
        )
        .map_err(Failure::stdout)?;
    }
    Ok(Outcome::Good)
}

const LOG_NAME: &str = "ringbolt-demo";

/// Where the demo works.
#[derive(Debug)]
struct Place {
    log: PathBuf,
    svg: PathBuf,
    /// A folder of our own, which is removed at the end.
    _temporary: Option<Temporary>,
}

impl Place {
    fn new(dir: Option<&Path>) -> Done<Self> {
        if let Some(dir) = dir {
            std::fs::create_dir_all(dir).map_err(Failure::io(format!(
                "making the directory {}",
                dir.display()
            )))?;
            let (log, svg) = (dir.join(LOG_NAME), dir.join(SVG_NAME));
            return Ok(Self {
                log,
                svg,
                _temporary: None,
            });
        }
        let name = format!("{LOG_NAME}-{}", std::process::id());
        let temporary = Temporary::new(on_disk(std::env::temp_dir()).join(name))?;
        Ok(Self {
            log: temporary.path().join("log"),
            svg: PathBuf::from(SVG_NAME),
            _temporary: Some(temporary),
        })
    }

    fn log(&self) -> &Path {
        &self.log
    }

    fn parent(&self) -> &Path {
        self.log.parent().unwrap_or(Path::new("."))
    }

    fn svg(&self) -> PathBuf {
        self.svg.clone()
    }
}

/// The folder for temporary files, unless it lies in memory: then the current one.
fn on_disk(temporary: PathBuf) -> PathBuf {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    match rustix::fs::statfs(&temporary) {
        Ok(stat) if stat.f_type as u64 != TMPFS_MAGIC => temporary,
        _ => PathBuf::from("."),
    }
}

/// How much the log may keep: [`RETAIN_BYTES`], or half of what is free.
fn retention(dir: &Path, segment_bytes: u64) -> Done<u64> {
    let stat = rustix::fs::statvfs(dir)
        .map_err(|errno| Failure::Io(format!("looking at {}", dir.display()), errno.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let retain = RETAIN_BYTES.min(free / 2);
    if retain < 8 * segment_bytes {
        return Err(Failure::Other(format!(
            "{} has only {} free; name another place with --dir, or a smaller --segment-bytes",
            dir.display(),
            units::size(free as f64)
        )));
    }
    Ok(retain)
}

fn introduce(log: &Log, dir: &Path, retain: u64) -> io::Result<()> {
    let stats = log.stats();
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "log:       {}\n\
         written by {}\n\
         records:   {} producers, {} bytes each; two consumers check every one\n\
         on disk:   at most {}; older segments are recycled",
        dir.display(),
        backend::describe(&stats.rung, &stats.access),
        work::PRODUCERS,
        record::BYTES,
        units::size(retain as f64)
    )
}

fn report(works: &[Work], recycled: u64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out)?;
    for work in works {
        writeln!(
            out,
            "{}: {} records in {}, each durable and received twice: {}",
            name(work),
            work.records(),
            units::nanos(work.elapsed.as_nanos() as f64),
            rate(work)
        )?;
    }
    match recycled {
        0 => writeln!(out, "all of them are still on the disk")?,
        n => writeln!(out, "retention was reached: {n} segments were recycled")?,
    }
    let rows = distributions(works);
    let rows = rows
        .iter()
        .map(|(name, histogram)| (name.as_str(), *histogram));
    writeln!(out, "\n{}", percentiles(rows))
}

fn name(work: &Work) -> String {
    match work.pace {
        Pace::Full => "full speed".into(),
        Pace::Records(rate) => format!("{}/s", units::count(f64::from(rate))),
    }
}

fn rate(work: &Work) -> String {
    let rate = work.records() as f64 / work.elapsed.as_secs_f64().max(1e-9);
    format!(
        "{} records/s, {} of payload",
        units::count(rate),
        units::size_rate(rate * record::BYTES as f64)
    )
}

fn distributions(works: &[Work]) -> Vec<(String, &Histogram<u64>)> {
    let mut all = Vec::new();
    for work in works {
        for (what, histogram) in [
            ("append", &work.append),
            ("durable acknowledgement", &work.durable),
            ("publish to receive, committed", &work.received_committed),
            ("publish to receive, durable", &work.received_durable),
        ] {
            all.push((format!("{what}, {}", name(work)), histogram));
        }
    }
    all
}

fn picture(works: &[Work]) -> String {
    Plot {
        title: "ringbolt demo: latencies".into(),
        subtitle: works
            .iter()
            .map(|work| format!("{}: {}", name(work), rate(work)))
            .collect::<Vec<_>>()
            .join(";  "),
        series: distributions(works)
            .into_iter()
            .map(|(name, histogram)| Series { name, histogram })
            .collect(),
    }
    .render()
}

/// Opens the log again and reads everything that this run appended.
fn reopen(
    engine: &Engine,
    options: &LogOptions,
    dir: &Path,
    works: &[Work],
) -> Done<check::Checked> {
    let log = options.open_on(engine, dir)?;
    let checked = check::all(&log, works)?;
    log.close()?;
    Ok(checked)
}
