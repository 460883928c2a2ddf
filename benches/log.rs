//! What one log does on this machine's disk: `cargo bench --bench log`.
//!
//! For watching a change against the state before it. Figures that stand beside the raw disk's, with
//! percentiles and an open loop, come from `ringbolt bench log`. The directory is made under
//! `RINGBOLT_BENCH_DIR`, or else under cargo's target folder: it should be on the disk that is meant.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringbolt::{Cold, Durability, From, Log, LogOptions, ReadOptions, Visibility};

const SMALL: [u8; 128] = [7; 128];
const COLD_BYTES: u64 = 256 << 20;
const COLD_RECORD: [u8; 1024] = [7; 1024];

/// A log in a directory that goes with it.
struct Fixture {
    log: Log,
    dir: PathBuf,
}

impl Fixture {
    fn new(name: &str, options: &LogOptions) -> Self {
        let root = std::env::var_os("RINGBOLT_BENCH_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let dir = root.join(format!("bench-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&root).expect("making the folder");
        let log = options.open(&dir).expect("opening the log");
        Self { log, dir }
    }

    /// A log that keeps little, and so recycles its segments.
    fn recycling(name: &str, durability: Durability) -> Self {
        let options = LogOptions::new()
            .durability(durability)
            .retain_bytes(512 << 20);
        Self::new(name, &options)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = self.log.close();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The call alone; nobody waits for the ticket. Blocked time, once the disk is the limit, is in it.
fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append 128 B");
    group.throughput(Throughput::Bytes(SMALL.len() as u64));
    for (name, durability) in [("memory", Durability::Memory), ("disk", Durability::Disk)] {
        let fixture = Fixture::recycling("append", durability);
        let log = &fixture.log;
        group.bench_function(name, |b| {
            b.iter(|| log.append(black_box(&SMALL)).unwrap().position());
        });
        group.bench_function(format!("{name}, claim and commit"), |b| {
            b.iter(|| {
                let mut claim = log.claim(SMALL.len()).unwrap();
                claim.copy_from_slice(black_box(&SMALL));
                claim.commit().position()
            });
        });
    }
    group.finish();
}

fn batch(c: &mut Criterion) {
    const COUNT: usize = 64;
    let mut group = c.benchmark_group("append_batch");
    group.throughput(Throughput::Elements(COUNT as u64));
    let fixture = Fixture::recycling("batch", Durability::Disk);
    let records = [SMALL; COUNT];
    group.bench_function("64 of 128 B", |b| {
        b.iter(|| {
            let ticket = fixture.log.append_batch(black_box(&records)).unwrap();
            ticket.position()
        });
    });
    group.finish();
}

/// One record, on disk before the next.
fn synchronous(c: &mut Criterion) {
    let fixture = Fixture::recycling("synchronous", Durability::Disk);
    let log = &fixture.log;
    c.bench_function("append and wait, 128 B", |b| {
        b.iter(|| log.append(black_box(&SMALL)).unwrap().wait().unwrap());
    });
}

/// Records that were just committed, from memory.
fn tail(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Bytes(SMALL.len() as u64));
    let fixture = Fixture::recycling("tail", Durability::Memory);
    let committed = ReadOptions::new().visibility(Visibility::Committed);
    let mut reader = fixture.log.reader_with(From::End, committed).unwrap();
    group.bench_function("tail, 128 B", |b| {
        b.iter_custom(|iterations| {
            let mut read = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let count = left.min(1000);
                for _ in 0..count {
                    let _ = fixture.log.append(&SMALL).unwrap();
                }
                let begin = Instant::now();
                for _ in 0..count {
                    black_box(reader.next().unwrap().len());
                }
                read += begin.elapsed();
                left -= count;
            }
            read
        });
    });
    group.finish();
}

/// Sealed segments from their files, every checksum verified. What the page cache has of them is
/// whatever this machine left: mapped reading may find them there, direct reading never does.
fn cold(c: &mut Criterion) {
    let fixture = Fixture::new("cold", &LogOptions::new());
    let records = COLD_BYTES / COLD_RECORD.len() as u64;
    for _ in 0..records {
        let _ = fixture.log.append(&COLD_RECORD).unwrap();
    }
    fixture.log.flush().unwrap();
    // Opened anew, nothing of it is in memory.
    fixture.log.close().unwrap();
    let log = Log::open(&fixture.dir).unwrap();
    let mut group = c.benchmark_group("cold read");
    group
        .throughput(Throughput::Bytes(COLD_BYTES))
        .sample_size(10);
    for (name, cold) in [("mapped", Cold::Mapped), ("direct", Cold::Direct)] {
        let options = ReadOptions::new().cold(cold);
        group.bench_function(name, |b| {
            b.iter_batched(
                || log.reader_with(From::Start, options.clone()).unwrap(),
                |mut reader| {
                    let mut read = 0;
                    while let Some(batch) = reader.try_next_batch(1024, 1 << 20).unwrap() {
                        read += batch.len() as u64;
                    }
                    assert_eq!(read, records);
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    log.close().unwrap();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = append, batch, synchronous, tail, cold
}
criterion_main!(benches);
