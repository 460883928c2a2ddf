//! Cold sequential reading of sealed segments beside raw direct reads of the same files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ringbolt::From;
use ringbolt::maintain::{self, SegmentState};
use rustix::fs::{Advice, fadvise};

use crate::bench::append::produce_bytes;
use crate::bench::context::Bench;
use crate::bench::report::{Measure, Target, Unit, median};
use crate::outcome::{Done, Failure};
use crate::units;

const PAYLOAD: [u8; 1024] = [0x5a; 1024];
const BATCH_RECORDS: usize = 1024;
const BATCH_BYTES: usize = 1 << 20;

pub(crate) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    bench.say("writing a log to read");
    let (engine, dir) = (bench.engine()?, bench.path("read"));
    let log = bench.options().open_on(&engine, &dir)?;
    produce_bytes(&log, &PAYLOAD, bench.scale.read_bytes)?;
    log.close()?;
    let written = bench.scale.read_bytes.div_ceil(PAYLOAD.len() as u64);
    let sealed = sealed_files(&dir)?;

    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "cold sequential reading, round {round} of {}",
            bench.scale.rounds
        ));
        forget(&sealed)?;
        let raw = bench.raw.best_read_rate(&sealed)?;
        let log = bench.options().open_on(&engine, &dir)?;
        forget(&sealed)?;
        let mut reader = log.reader(From::Start)?;
        let begin = Instant::now();
        let (mut records, mut bytes) = (0, 0);
        while records < written {
            for record in &reader.next_batch(BATCH_RECORDS, BATCH_BYTES)? {
                records += 1;
                bytes += record.payload().len() as u64;
            }
        }
        let rate = bytes as f64 / begin.elapsed().as_secs_f64();
        drop(reader);
        log.close()?;
        ratios.push(rate / raw);
        rates.push(rate);
    }
    bench.remove("read");
    Ok(vec![Measure {
        name: "read",
        what: "cold sequential read / raw direct reads".into(),
        target: Some(Target::AtLeast(0.75)),
        unit: Unit::Ratio,
        samples: ratios,
        detail: format!("{} of payload", units::size_rate(median(&mut rates))),
    }])
}

/// The sealed segments of a log, oldest first: those that nothing happens to any more.
fn sealed_files(dir: &Path) -> Done<Vec<PathBuf>> {
    let segments = maintain::inspect(dir)?.segments;
    Ok(segments
        .iter()
        .filter(|segment| segment.state == SegmentState::Sealed)
        .map(|segment| dir.join(&segment.name))
        .collect())
}

/// The segment files of a log, oldest first, those that are made ahead too.
pub(crate) fn segment_files(dir: &Path) -> Done<Vec<PathBuf>> {
    let failed = || Failure::io(format!("listing {}", dir.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            files.push(path);
        }
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
