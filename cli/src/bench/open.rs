//! Opening a large log, after a clean close and after a `kill -9`, beside reading raw what an opening
//! has to read: the footers, and the segments that have none.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ringbolt::disk::AlignedBuf;
use rustix::fs::OFlags;

use crate::bench::append::produce_bytes;
use crate::bench::context::Bench;
use crate::bench::probe::{Args, Kind};
use crate::bench::raw::open_direct;
use crate::bench::read::{forget, segment_files};
use crate::bench::report::{Measure, Target, Unit, median};
use crate::child;
use crate::outcome::{Done, Failure};
use crate::units;

const PAYLOAD: [u8; 1024] = [0x5a; 1024];
const BLOCK_BYTES: u64 = 4096;
const FOOTER_MAGIC: &[u8] = b"RBFOOTER";
/// The bound on what an opening may take beyond the raw reading, in nanoseconds.
const BEYOND_NS_MAX: f64 = 50e6;

pub(crate) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    let size = units::size(bench.scale.open_bytes as f64);
    bench.say(format!("writing a log of {size} to open"));
    let (engine, dir) = (bench.engine()?, bench.path("open"));
    let log = bench.options().open_on(&engine, &dir)?;
    produce_bytes(&log, &PAYLOAD, bench.scale.open_bytes)?;
    log.close()?;

    let (mut clean, mut killed) = (Samples::default(), Samples::default());
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "opening {size}, round {round} of {}",
            bench.scale.rounds
        ));
        for (samples, kill) in [(&mut clean, false), (&mut killed, true)] {
            if kill {
                append_and_kill(bench, Kind::Writer, round)?;
            }
            let files = segment_files(&dir)?;
            forget(&files)?;
            let raw = read_raw(&files)?;
            forget(&files)?;
            let begin = Instant::now();
            let log = bench.options().open_on(&engine, &dir)?;
            let took = begin.elapsed();
            log.close()?;
            samples.add(took, raw);
        }
    }
    bench.remove("open");
    Ok(vec![
        clean.measure(format!(
            "opening {size} after a clean close, beyond raw reading"
        )),
        killed.measure(format!("opening {size} after a kill, beyond raw reading")),
    ])
}

#[derive(Default)]
struct Samples {
    beyond_ns: Vec<f64>,
    took_ns: Vec<f64>,
    raw_ns: Vec<f64>,
}

impl Samples {
    fn add(&mut self, took: Duration, raw: Duration) {
        let (took, raw) = (took.as_nanos() as f64, raw.as_nanos() as f64);
        self.beyond_ns.push(took - raw);
        self.took_ns.push(took);
        self.raw_ns.push(raw);
    }

    fn measure(mut self, what: String) -> Measure {
        Measure {
            name: "open",
            what,
            target: Some(Target::AtMost(BEYOND_NS_MAX)),
            unit: Unit::Nanoseconds,
            detail: format!(
                "{} against {}",
                units::nanos(median(&mut self.took_ns)),
                units::nanos(median(&mut self.raw_ns))
            ),
            samples: self.beyond_ns,
        }
    }
}

/// Reads each file's last block, and all of the file where that is no footer.
pub(crate) fn read_raw(files: &[PathBuf]) -> Done<Duration> {
    const PIECE_BYTES: usize = 1 << 20;
    let begin = Instant::now();
    let read = || -> std::io::Result<()> {
        let mut buf = AlignedBuf::new(PIECE_BYTES)?;
        for path in files {
            let (file, _) = open_direct(path, OFlags::empty())?;
            let len = file.metadata()?.len();
            let last = len.saturating_sub(BLOCK_BYTES);
            file.read_exact_at(&mut buf[..(len - last) as usize], last)?;
            if buf.starts_with(FOOTER_MAGIC) {
                continue;
            }
            for offset in (0..len).step_by(PIECE_BYTES) {
                let part = PIECE_BYTES.min((len - offset) as usize);
                file.read_exact_at(&mut buf[..part], offset)?;
            }
        }
        Ok(())
    };
    read().map_err(Failure::io("reading the log's files raw"))?;
    Ok(begin.elapsed())
}

/// Has another process append in the folder `open`, and kills it in the middle.
pub(crate) fn append_and_kill(bench: &Bench, kind: Kind, round: usize) -> Done<()> {
    let args = Args::new(kind, bench, "open", Duration::ZERO);
    let writer = child::start(args.command_line(), Stdio::null())?;
    // Some way into a segment, another one in each round: by what was acknowledged, not by time.
    child::kill_after(writer, 3 + round * 5)?;
    Ok(())
}
