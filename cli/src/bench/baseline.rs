//! What the raw disk can do, by size, depth and kind of extents, and at its best.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use comfy_table::{Cell, Table};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::bench::context::{Bench, Scale};
use crate::bench::raw::{DEPTH_MAX, Direction, Extents, Op, Pass, RawFile, Way};
use crate::bench::report::{PercentilesJson, median, new_table, right};
use crate::histogram;
use crate::outcome::{Done, Failure};
use crate::units;

const WRITE_BYTES: [usize; 4] = [4 << 10, 64 << 10, 256 << 10, 1 << 20];
const READ_BYTES: usize = 1 << 20;
/// What writes at the disk's full rate: the others are not worth a pass in every round.
const FULL_RATE: [(Carrier, usize); 4] = [
    (Carrier::Plain, 1 << 20),
    (Carrier::Deep, 256 << 10),
    (Carrier::Deep, 1 << 20),
    (Carrier::Ring, 1 << 20),
];

/// What carries raw operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Carrier {
    /// `pread` and `pwrite`, one at a time.
    Plain,
    /// io_uring, one at a time.
    Ring,
    /// io_uring, four at a time.
    Deep,
}

impl Carrier {
    const ALL: [Self; 3] = [Self::Plain, Self::Ring, Self::Deep];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain call",
            Self::Ring => "io_uring",
            Self::Deep => "io_uring",
        }
    }

    fn depth(self) -> usize {
        if self == Self::Deep { DEPTH_MAX } else { 1 }
    }
}

/// The raw disk, ready to be measured. Belongs to one thread, as its rings do.
#[derive(Debug)]
pub(crate) struct RawDisk {
    dir: PathBuf,
    written: RawFile,
    plain: Way,
    ring: Option<Way>,
    deep: Option<Way>,
    pass: Duration,
    /// Where the next write into the written file goes.
    next: u64,
}

impl RawDisk {
    pub(crate) fn new(dir: &Path, scale: &Scale) -> Done<Self> {
        let make = || {
            Ok(Self {
                dir: dir.to_path_buf(),
                written: RawFile::create(&dir.join("raw"), scale.file_bytes, Extents::Written)?,
                plain: Way::plain()?,
                ring: Way::ring(1),
                deep: Way::ring(DEPTH_MAX),
                pass: scale.raw_pass,
                next: 0,
            })
        };
        make().map_err(Failure::io("preparing the raw disk"))
    }

    fn way(&mut self, carrier: Carrier) -> Option<&mut Way> {
        match carrier {
            Carrier::Plain => Some(&mut self.plain),
            Carrier::Ring => self.ring.as_mut(),
            Carrier::Deep => self.deep.as_mut(),
        }
    }

    /// Overwrites written extents for a pass's time; `None` where this carrier is not to be had.
    fn overwrite(&mut self, carrier: Carrier, op_bytes: usize) -> Done<Option<Pass>> {
        let len = self.written.len();
        let begin = self.next / op_bytes as u64 * op_bytes as u64;
        let deadline = Instant::now() + self.pass;
        let ops = (begin..)
            .step_by(op_bytes)
            .take_while(|_| Instant::now() < deadline)
            .map(|at| Op {
                file: 0,
                offset: at % len,
                len: op_bytes,
            });
        let pass = self.drive(carrier, None, Direction::Write, ops)?;
        self.next = (begin + pass.as_ref().map_or(0, |pass| pass.bytes)) % len;
        Ok(pass)
    }

    /// Writes into a file that was only reserved, until its end or for a pass's time.
    fn fill(&mut self, carrier: Carrier, op_bytes: usize) -> Done<Option<Pass>> {
        let len = self.written.len().min(256 << 20);
        let path = self.dir.join("raw-unwritten");
        let file = RawFile::create(&path, len, Extents::Unwritten)
            .map_err(Failure::io("reserving a file"))?;
        let deadline = Instant::now() + self.pass;
        let ops = (0..len)
            .step_by(op_bytes)
            .take_while(|_| Instant::now() < deadline)
            .map(|offset| Op {
                file: 0,
                offset,
                len: op_bytes,
            });
        self.drive(carrier, Some(&file), Direction::Write, ops)
    }

    fn drive(
        &mut self,
        carrier: Carrier,
        file: Option<&RawFile>,
        direction: Direction,
        ops: impl Iterator<Item = Op>,
    ) -> Done<Option<Pass>> {
        let Self {
            written,
            plain,
            ring,
            deep,
            ..
        } = self;
        let way = match carrier {
            Carrier::Plain => Some(plain),
            Carrier::Ring => ring.as_mut(),
            Carrier::Deep => deep.as_mut(),
        };
        let file = file.unwrap_or(written).file();
        way.map(|way| way.run(&[file], direction, ops))
            .transpose()
            .map_err(Failure::io("measuring the raw disk"))
    }

    /// The most bytes a second that durable writes into written extents reach, whatever the shape.
    pub(crate) fn best_write_rate(&mut self) -> Done<f64> {
        let mut best = 0.0_f64;
        for (carrier, op_bytes) in FULL_RATE {
            if let Some(pass) = self.overwrite(carrier, op_bytes)? {
                best = best.max(pass.bytes_per_second());
            }
        }
        Ok(best)
    }

    /// So many durable writes of 4 KiB, one after the other, by plain calls.
    pub(crate) fn small_writes(&mut self, count: usize) -> Done<Histogram<u64>> {
        const BYTES: u64 = 4096;
        let (begin, len) = (self.next / BYTES * BYTES, self.written.len());
        let ops = (0..count as u64).map(|i| Op {
            file: 0,
            offset: (begin + i * BYTES) % len,
            len: BYTES as usize,
        });
        let pass = self.drive(Carrier::Plain, None, Direction::Write, ops)?;
        self.next = (begin + count as u64 * BYTES) % len;
        Ok(pass.map_or_else(histogram::nanoseconds, |pass| pass.latency))
    }

    /// The most bytes a second at which these files can be read, past the page cache.
    pub(crate) fn best_read_rate(&mut self, paths: &[PathBuf]) -> Done<f64> {
        let mut best = 0.0_f64;
        for carrier in Carrier::ALL {
            if let Some(pass) = self.read_all(carrier, paths)? {
                best = best.max(pass.bytes_per_second());
            }
        }
        Ok(best)
    }

    fn read_all(&mut self, carrier: Carrier, paths: &[PathBuf]) -> Done<Option<Pass>> {
        let Some(way) = self.way(carrier) else {
            return Ok(None);
        };
        let mut read = || {
            let mut files = Vec::with_capacity(paths.len());
            let mut ops = Vec::new();
            for (file, path) in paths.iter().enumerate() {
                let (open, _) = super::raw::open_direct(path, rustix::fs::OFlags::empty())?;
                let len = open.metadata()?.len();
                ops.extend((0..len).step_by(READ_BYTES).map(|offset| Op {
                    file,
                    offset,
                    len: READ_BYTES.min((len - offset) as usize),
                }));
                files.push(open);
            }
            let files: Vec<_> = files.iter().collect();
            way.run(&files, Direction::Read, ops.into_iter())
        };
        read()
            .map(Some)
            .map_err(Failure::io("reading the log's files raw"))
    }
}

/// The table of the raw disk.
#[derive(Debug, Serialize)]
pub(crate) struct Baseline {
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    what: &'static str,
    carrier: Carrier,
    op_bytes: usize,
    depth: usize,
    bytes_per_second: f64,
    latency: PercentilesJson,
    #[serde(skip)]
    histogram: Histogram<u64>,
}

impl Baseline {
    /// Measures every shape in every round, and takes medians.
    pub(crate) fn measure(bench: &mut Bench) -> Done<Self> {
        let mut shapes: Vec<(&'static str, Carrier, usize)> = Vec::new();
        for what in [OVERWRITE, FILL] {
            for carrier in Carrier::ALL {
                shapes.extend(WRITE_BYTES.map(|op_bytes| (what, carrier, op_bytes)));
            }
        }
        shapes.extend(Carrier::ALL.map(|carrier| (READ, carrier, READ_BYTES)));

        let mut found: Vec<(Vec<f64>, Histogram<u64>)> = shapes
            .iter()
            .map(|_| (Vec::new(), histogram::nanoseconds()))
            .collect();
        let rounds = bench.scale.rounds.min(5);
        for round in 1..=rounds {
            bench.say(format!("raw disk, round {round} of {rounds}"));
            for (&(what, carrier, op_bytes), (rates, latency)) in shapes.iter().zip(&mut found) {
                let pass = match what {
                    OVERWRITE => bench.raw.overwrite(carrier, op_bytes)?,
                    FILL => bench.raw.fill(carrier, op_bytes)?,
                    _ => bench.raw.read_all(carrier, &[bench.path("raw")])?,
                };
                if let Some(pass) = pass {
                    rates.push(pass.bytes_per_second());
                    latency.add(pass.latency).expect("histograms of one kind");
                }
            }
        }
        let rows = shapes
            .into_iter()
            .zip(found)
            .filter(|(_, (rates, _))| !rates.is_empty())
            .map(|((what, carrier, op_bytes), (mut rates, histogram))| Row {
                what,
                carrier,
                op_bytes,
                depth: carrier.depth(),
                bytes_per_second: median(&mut rates),
                latency: PercentilesJson::of(&histogram),
                histogram,
            })
            .collect();
        Ok(Self { rows })
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = new_table(&[
            "operation",
            "by",
            "size",
            "depth",
            "rate",
            "p50",
            "p99",
            "max",
        ]);
        for row in &self.rows {
            let at = |q: f64| right(units::nanos(row.histogram.value_at_quantile(q) as f64));
            table.add_row(vec![
                Cell::new(row.what),
                Cell::new(row.carrier.name()),
                right(units::size(row.op_bytes as f64)),
                right(row.depth),
                right(units::size_rate(row.bytes_per_second)),
                at(0.5),
                at(0.99),
                at(1.0),
            ]);
        }
        table
    }
}

const OVERWRITE: &str = "durable write, written extents";
const FILL: &str = "durable write, unwritten extents";
const READ: &str = "read";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_measures_something() {
        let dir = std::env::temp_dir().join(format!("ringbolt-raw-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let mut scale = Scale::new(true, false, None, None);
        scale.file_bytes = 8 << 20;
        scale.raw_pass = Duration::from_millis(5);
        let mut raw = RawDisk::new(&dir, &scale).unwrap();
        for carrier in Carrier::ALL {
            for op_bytes in WRITE_BYTES {
                for pass in [
                    raw.overwrite(carrier, op_bytes),
                    raw.fill(carrier, op_bytes),
                ] {
                    let Some(pass) = pass.unwrap() else { continue };
                    assert!(pass.bytes > 0 && pass.bytes % op_bytes as u64 == 0);
                    assert_eq!(pass.latency.len(), pass.bytes / op_bytes as u64);
                }
            }
        }
        assert_eq!(raw.small_writes(10).unwrap().len(), 10);
        assert!(raw.best_write_rate().unwrap() > 0.0);
        assert!(raw.best_read_rate(&[dir.join("raw")]).unwrap() > 0.0);
        drop(raw);
        std::fs::remove_dir(&dir).unwrap();
    }
}
