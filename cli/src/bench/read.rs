//! Cold reading of sealed segments beside raw direct reads of the same files: sequentially, by each of
//! the two ways, and scattered.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringbolt::maintain::{self, SegmentState};
use ringbolt::{Cold, Engine, From, Log, Position, ReadOptions};
use rustix::fs::{Advice, OFlags, fadvise};

use crate::bench::append::produce_bytes;
use crate::bench::context::Bench;
use crate::bench::raw::{Direction, Op, Way, open_direct};
use crate::bench::report::{Measure, Target, Unit, median};
use crate::outcome::{Done, Failure};
use crate::units;

const PAYLOAD: [u8; 1024] = [0x5a; 1024];
const BATCH_RECORDS: usize = 1024;
const BATCH_BYTES: usize = 1 << 20;
const SCATTERED: [u8; 4096] = [0x5a; 4096];
pub(crate) const SCATTERED_DEPTH: usize = 32;

pub(crate) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    let mut measures = sequential(bench)?;
    measures.extend(scattered(bench)?);
    Ok(measures)
}

fn sequential(bench: &mut Bench) -> Done<Vec<Measure>> {
    bench.say("writing a log to read");
    let (engine, dir) = (bench.engine()?, bench.path("read"));
    let log = bench.options().open_on(&engine, &dir)?;
    produce_bytes(&log, &PAYLOAD, bench.scale.read_bytes)?;
    log.close()?;
    let written = bench.scale.read_bytes.div_ceil(PAYLOAD.len() as u64);
    let sealed = sealed_files(&dir)?;

    let ways = [
        (Cold::Mapped, "cold sequential read / raw direct reads"),
        (Cold::Direct, "the same by Cold::Direct / raw direct reads"),
    ];
    let mut found = ways.map(|_| (Vec::new(), Vec::new()));
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "cold sequential reading, round {round} of {}",
            bench.scale.rounds
        ));
        forget(&sealed)?;
        let raw = bench.raw.best_read_rate(&sealed)?;
        for ((cold, _), (ratios, rates)) in ways.into_iter().zip(&mut found) {
            let log = bench.options().open_on(&engine, &dir)?;
            forget(&sealed)?;
            let rate = read_all(&log, cold, written)?;
            log.close()?;
            ratios.push(rate / raw);
            rates.push(rate);
        }
    }
    bench.remove("read");
    let measures = ways.into_iter().zip(found);
    Ok(measures
        .map(|((_, what), (samples, mut rates))| Measure {
            name: "read",
            what: what.into(),
            target: Some(Target::AtLeast(0.75)),
            unit: Unit::Ratio,
            samples,
            detail: format!("{} of payload", units::size_rate(median(&mut rates))),
        })
        .collect())
}

/// Bytes of payload a second.
fn read_all(log: &Log, cold: Cold, count: u64) -> Done<f64> {
    let mut reader = log.reader_with(From::Start, ReadOptions::new().cold(cold))?;
    let begin = Instant::now();
    let (mut records, mut bytes) = (0, 0);
    while records < count {
        for record in &reader.next_batch(BATCH_RECORDS, BATCH_BYTES)? {
            records += 1;
            bytes += record.payload().len() as u64;
        }
    }
    Ok(bytes as f64 / begin.elapsed().as_secs_f64())
}

fn scattered(bench: &mut Bench) -> Done<Vec<Measure>> {
    let Some(mut raw) = Way::ring(SCATTERED_DEPTH) else {
        return Ok(Vec::new());
    };
    bench.say("writing a log to read at random");
    let (engine, dir) = (bench.engine()?, bench.path("scattered"));
    let positions = write_scattered(bench, &engine, &dir)?;
    let sealed = sealed_files(&dir)?;
    let log = bench.options().open_on(&engine, &dir)?;
    // What the last segment has is in memory.
    let last = log.end().segment();
    let cold = positions.partition_point(|position| position.segment() < last);
    let positions = &positions[..cold];

    let mut chance = Chance::new();
    let (mut of_raw, mut of_single) = (Vec::new(), Vec::new());
    let [mut deep, mut single, mut bare] = [(); 3].map(|()| Vec::new());
    let time = bench.scale.pass;
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "scattered reading, round {round} of {}",
            bench.scale.rounds
        ));
        let raw = raw_rate(&mut raw, &sealed, SCATTERED.len(), time, &mut chance)?;
        let at_depth = scattered_rate(&log, positions, SCATTERED_DEPTH, time, &mut chance)?;
        let alone = scattered_rate(&log, positions, 1, time, &mut chance)?;
        of_raw.push(at_depth / raw);
        of_single.push(at_depth / alone);
        bare.push(raw);
        deep.push(at_depth);
        single.push(alone);
    }
    log.close()?;
    bench.remove("scattered");
    let rate = |rates: &mut Vec<f64>| format!("{} records/s", units::count(median(rates)));
    let deep = rate(&mut deep);
    Ok(vec![
        Measure {
            name: "read",
            what: "scattered 4 KiB records at depth 32 / raw 4 KiB reads at depth 32".into(),
            target: None,
            unit: Unit::Ratio,
            samples: of_raw,
            detail: format!("{deep} against {}", rate(&mut bare)),
        },
        Measure {
            name: "read",
            what: "scattered 4 KiB records at depth 32 / one at a time".into(),
            target: None,
            unit: Unit::Ratio,
            samples: of_single,
            detail: format!("{deep} against {}", rate(&mut single)),
        },
    ])
}

/// Where the records are.
fn write_scattered(bench: &Bench, engine: &Engine, dir: &Path) -> Done<Vec<Position>> {
    let log = bench.options().open_on(engine, dir)?;
    let count = bench.scale.read_bytes / SCATTERED.len() as u64;
    let mut positions = Vec::with_capacity(count as usize);
    for _ in 0..count {
        positions.push(log.append(&SCATTERED)?.position());
    }
    log.close()?;
    Ok(positions)
}

/// Records a second.
fn scattered_rate(
    log: &Log,
    positions: &[Position],
    depth: usize,
    time: Duration,
    chance: &mut Chance,
) -> Done<f64> {
    let begin = Instant::now();
    let wanted = std::iter::repeat_with(|| positions[chance.below(positions.len())]);
    let wanted = wanted.take_while(|_| begin.elapsed() < time);
    let mut records = 0;
    for record in log.read_many_with(wanted, &ReadOptions::new().depth(depth)) {
        records += u32::from(record?.payload().len() == SCATTERED.len());
    }
    Ok(f64::from(records) / begin.elapsed().as_secs_f64())
}

/// Reads a second, of `op_bytes` each and aligned to as much, at random.
pub(crate) fn raw_rate(
    way: &mut Way,
    paths: &[PathBuf],
    op_bytes: usize,
    time: Duration,
    chance: &mut Chance,
) -> Done<f64> {
    let mut read = || {
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let (file, _) = open_direct(path, OFlags::empty())?;
            let blocks = file.metadata()?.len() as usize / op_bytes;
            files.push((file, blocks));
        }
        let begin = Instant::now();
        let ops = std::iter::repeat_with(|| {
            let file = chance.below(files.len());
            Op {
                file,
                offset: (chance.below(files[file].1) * op_bytes) as u64,
                len: op_bytes,
            }
        });
        let ops = ops.take_while(|_| begin.elapsed() < time);
        let open: Vec<_> = files.iter().map(|(file, _)| file).collect();
        way.run(&open, Direction::Read, ops)
    };
    let pass = read().map_err(Failure::io("reading the log's files at random"))?;
    Ok(pass.bytes as f64 / op_bytes as f64 / pass.elapsed.as_secs_f64())
}

/// xorshift64: the same in every run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// The sealed segments of a log, oldest first: those that nothing happens to any more.
pub(crate) fn sealed_files(dir: &Path) -> Done<Vec<PathBuf>> {
    let segments = maintain::inspect(dir)?.segments;
    Ok(segments
        .iter()
        .filter(|segment| segment.state == SegmentState::Sealed)
        .map(|segment| dir.join(&segment.name))
        .collect())
}

/// The segment files of a log, oldest first, those that are made ahead too.
pub(crate) fn segment_files(dir: &Path) -> Done<Vec<PathBuf>> {
    let mut files = files(dir)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    Ok(files)
}

/// All files of a directory, by name.
pub(crate) fn files(dir: &Path) -> Done<Vec<PathBuf>> {
    let failed = || Failure::io(format!("listing {}", dir.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed())? {
        files.push(entry.map_err(failed())?.path());
    }
    files.sort();
    Ok(files)
}

/// Makes the page cache forget these files; a log that is open may have renamed one meanwhile.
pub(crate) fn forget(files: &[PathBuf]) -> Done<()> {
    for path in files {
        let dropped = std::fs::File::open(path).and_then(|file| {
            file.sync_data()?;
            Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
        });
        if matches!(&dropped, Err(error) if error.kind() == ErrorKind::NotFound) {
            continue;
        }
        dropped.map_err(Failure::io(format!(
            "dropping {} from the cache",
            path.display()
        )))?;
    }
    Ok(())
}
