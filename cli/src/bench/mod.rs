//! `ringbolt bench`: the rings beside a channel (see [`ring`]), the log beside the raw disk and the bare machine, the
//! store (see [`store`]) beside the bare log and the raw disk, in the same run.
//!
//! Every figure is a ratio, or nearly: rounds alternate with rounds of what they are held against, so
//! that a disk or a machine that drifts does so for both. Absolute figures stand beside for reading.

mod append;
mod baseline;
mod context;
mod hiccup;
mod idle;
mod latency;
mod memory;
mod open;
pub(crate) mod probe;
#[allow(unsafe_code)]
mod raw;
mod read;
pub(crate) mod report;
mod ring;
pub(crate) mod store;
mod sync;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::backend::{self, Backend};
use crate::outcome::{Done, Failure, Outcome, print_json};
use crate::plot::{Plot, Series};
use crate::units::parse_size;
use crate::{hgrm, units};

use baseline::Baseline;
use context::{Bench, Machine, Scale};
use hiccup::HiccupMeter;
use report::{Measure, MeasureJson, PercentilesJson};

/// Measure the log beside the raw disk, the store beside the log, the rings beside a channel.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Log(LogBench),
    Store(store::StoreBench),
    Ring(ring::RingBench),
    #[command(hide = true)]
    Probe(probe::Args),
}

/// Measure the durable log: throughput, latencies, reading, opening, memory.
#[derive(Debug, clap::Args)]
pub(crate) struct LogBench {
    /// Only these measurements.
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Name>,
    #[command(flatten)]
    settings: Settings,
}

/// What the measurements on a disk share.
#[derive(Debug, clap::Args)]
struct Settings {
    /// Where to measure: a directory on the disk in question.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Rounds of each measurement.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// A smoke run of some seconds, whose figures mean little.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Open what has 16 GiB, and take longer rounds.
    #[arg(long)]
    full: bool,
    /// The size of the log that is opened.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    open_bytes: Option<u64>,
    /// How the log reaches the disk.
    #[arg(long, value_enum, default_value = "auto")]
    backend: Backend,
    /// Print everything as one JSON object.
    #[arg(long)]
    json: bool,
    /// Write the latency distributions in HdrHistogram's form, each to a file of its own:
    /// NAME.hgrm becomes NAME.append-call.hgrm and so on.
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,
    /// Write the latency distributions as a picture.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// The measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// The raw disk alone, by size, depth and kind of extents.
    Raw,
    /// Durable bytes a second, one producer, 1 KiB and 128 B.
    Append,
    /// One synchronous durable append.
    Sync,
    /// 16 and 64 synchronous writers.
    Writers,
    /// The append call at 90% of the sustained rate.
    Call,
    /// Publish to receive within the process.
    Publish,
    /// Cold sequential reading.
    Read,
    /// Opening a large log, clean and killed.
    Open,
    /// Resident memory.
    Memory,
    /// An idle log.
    Idle,
}

impl Name {
    const ALL: [Self; 10] = [
        Self::Raw,
        Self::Append,
        Self::Sync,
        Self::Writers,
        Self::Call,
        Self::Publish,
        Self::Read,
        Self::Open,
        Self::Memory,
        Self::Idle,
    ];

    fn run(self, bench: &mut Bench) -> Done<Vec<Measure>> {
        match self {
            Self::Raw => Ok(Vec::new()),
            Self::Append => append::run(bench),
            Self::Sync => sync::run_single(bench),
            Self::Writers => sync::run_writers(bench),
            Self::Call => latency::run_call(bench),
            Self::Publish => latency::run_publish(bench),
            Self::Read => read::run(bench),
            Self::Open => open::run(bench),
            Self::Memory => memory::run(bench),
            Self::Idle => idle::run(bench),
        }
    }
}

pub(crate) fn run(args: &Args) -> Done {
    match &args.command {
        Command::Log(args) => run_log(args),
        Command::Store(args) => store::run(args),
        Command::Ring(args) => ring::run(args),
        Command::Probe(args) => probe::run(args),
    }
}

fn run_log(args: &LogBench) -> Done {
    let chosen = |name: Name| args.only.is_empty() || args.only.contains(&name);
    measure("log", &args.settings, |bench| {
        let (mut baseline, mut measures) = (None, Vec::new());
        for name in Name::ALL.into_iter().filter(|&name| chosen(name)) {
            if name == Name::Raw {
                baseline = Some(Baseline::measure(bench)?);
                continue;
            }
            measures.append(&mut name.run(bench)?);
        }
        Ok((baseline, measures))
    })
}

/// Measures on a disk, and reports: `what` is the command's name.
fn measure(
    what: &'static str,
    settings: &Settings,
    run: impl FnOnce(&mut Bench) -> Done<(Option<Baseline>, Vec<Measure>)>,
) -> Done {
    let Settings {
        quick,
        full,
        rounds,
        open_bytes,
        ..
    } = *settings;
    let scale = Scale::new(quick, full, rounds, open_bytes);
    let meter = HiccupMeter::start().map_err(Failure::io("starting the hiccup meter"))?;
    let mut bench = Bench::new(&settings.dir, scale, settings.backend)?;
    let rung = standing(&bench)?;
    let (baseline, measures) = run(&mut bench)?;
    let machine = Machine::describe(bench.dir());
    let mut distributions = bench.finish();
    distributions.push(("hiccup meter".to_owned(), meter.stop()));

    let report = Report {
        what,
        machine,
        rung,
        baseline,
        measures: &measures,
        distributions: &distributions,
    };
    report.write_files(settings)?;
    if settings.json {
        report.print_json()?;
    } else {
        report.print().map_err(Failure::stdout)?;
    }
    Ok(Outcome::Good)
}

/// On which rung a log in this place stands.
fn standing(bench: &Bench) -> Done<String> {
    let log = bench
        .options()
        .open_on(&bench.engine()?, bench.path("standing"))?;
    // Trims nothing, and is answered when the engine has taken the log on: from then on it knows.
    log.trim(log.start())?;
    let stats = log.stats();
    log.close()?;
    bench.remove("standing");
    Ok(backend::describe(&stats.rung, &stats.access))
}

struct Report<'a> {
    what: &'static str,
    machine: Machine,
    rung: String,
    baseline: Option<Baseline>,
    measures: &'a [Measure],
    distributions: &'a [(String, Histogram<u64>)],
}

#[derive(Serialize)]
struct ReportJson<'a> {
    machine: &'a Machine,
    rung: &'a str,
    raw: Option<&'a Baseline>,
    measures: Vec<MeasureJson<'a>>,
    latencies: std::collections::BTreeMap<&'a str, PercentilesJson>,
}

impl Report<'_> {
    fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}\nlog: {}\n", self.machine, self.rung)?;
        if let Some(baseline) = &self.baseline {
            writeln!(out, "raw disk\n{}\n", baseline.table())?;
        }
        if !self.measures.is_empty() {
            writeln!(out, "{}\n{}\n", self.what, report::table(self.measures))?;
        }
        let rows = self
            .distributions
            .iter()
            .map(|(name, histogram)| (name.as_str(), histogram));
        writeln!(out, "{}", report::percentiles(rows))
    }

    fn print_json(&self) -> Done<()> {
        let json = ReportJson {
            machine: &self.machine,
            rung: &self.rung,
            raw: self.baseline.as_ref(),
            measures: self.measures.iter().map(Measure::json).collect(),
            latencies: self
                .distributions
                .iter()
                .map(|(name, histogram)| (name.as_str(), PercentilesJson::of(histogram)))
                .collect(),
        };
        print_json(&json)
    }

    fn write_files(&self, settings: &Settings) -> Done<()> {
        if let Some(path) = &settings.svg {
            let plot = Plot {
                title: format!("ringbolt bench {}", self.what),
                subtitle: self.machine.to_string(),
                series: self
                    .distributions
                    .iter()
                    .map(|(name, histogram)| Series {
                        name: name.clone(),
                        histogram,
                    })
                    .collect(),
            };
            write_file(path, &plot.render())?;
        }
        if let Some(path) = &settings.hgrm {
            for (name, histogram) in self.distributions {
                write_file(&named(path, name), &hgrm::render(histogram))?;
            }
        }
        Ok(())
    }
}

/// `x.hgrm` and `append call` make `x.append-call.hgrm`.
fn named(path: &Path, name: &str) -> PathBuf {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    path.with_extension(format!("{name}.hgrm"))
}

fn write_file(path: &Path, content: &str) -> Done<()> {
    std::fs::write(path, content).map_err(Failure::io(format!("writing {}", path.display())))?;
    if io::stderr().is_terminal() {
        eprintln!(
            "wrote {} ({})",
            path.display(),
            units::size(content.len() as f64)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distribution_gets_a_file_of_its_own() {
        assert_eq!(
            named(Path::new("a/x.hgrm"), "append call"),
            Path::new("a/x.append-call.hgrm")
        );
        assert_eq!(named(Path::new("x"), "p99.9"), Path::new("x.p99.9.hgrm"));
    }
}
