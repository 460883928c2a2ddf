//! What a store does with its records beyond what its log does: `cargo bench --bench store`.
//!
//! For watching a change against the state before it. Nothing here waits for the disk but where it says
//! so; figures beside the bare log and the raw disk come from `ringbolt bench store`. The directory is made under
//! `RINGBOLT_BENCH_DIR`, or else under cargo's target folder.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringbolt::store::{
    Batch, ReadFrom, Store, StoreOptions, Stream, StreamOptions, StreamReadOptions,
};
use ringbolt::{Durability, LogOptions, Visibility};

const SMALL: [u8; 128] = [7; 128];
/// Records between two trims, which leave the streams as many together: so segments go.
const KEPT: u64 = 100_000;

/// A store in a directory that goes with it, and its streams.
struct Fixture {
    store: Store,
    streams: Vec<Stream>,
    /// Records appended by [`Fixture::append`].
    appended: u64,
    dir: PathBuf,
}

impl Fixture {
    fn new(name: &str, durability: Durability, streams: usize) -> Self {
        let root = std::env::var_os("RINGBOLT_BENCH_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let dir = root.join(format!("bench-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&root).expect("making the folder");
        let log = LogOptions::new().durability(durability);
        let store = StoreOptions::new()
            .log(log)
            .open(&dir)
            .expect("opening the store");
        let mut batch = Batch::new();
        for number in 0..streams {
            let options = StreamOptions::new();
            batch.create(&number.to_string(), &options).expect("a name");
        }
        store.commit(&batch).unwrap().wait().unwrap();
        let streams = (0..streams).map(|number| store.stream(&number.to_string()).unwrap());
        Self {
            streams: streams.collect(),
            store,
            appended: 0,
            dir,
        }
    }

    /// Appends to the next stream, and trims all of them now and then.
    fn append(&mut self) {
        let count = self.streams.len() as u64;
        let stream = &self.streams[(self.appended % count) as usize];
        let _ = stream.append(black_box(&SMALL)).unwrap();
        self.appended += 1;
        if self.appended % KEPT == 0 {
            for stream in &self.streams {
                let _ = stream.trim((self.appended - KEPT) / count).unwrap();
            }
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = self.store.close();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The call alone; nobody waits for the ticket. Blocked time, once the pass or the disk is the limit, is in it.
fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append 128 B to streams");
    group.throughput(Throughput::Bytes(SMALL.len() as u64));
    for (name, durability) in [("memory", Durability::Memory), ("disk", Durability::Disk)] {
        for streams in [1, 100, 10_000] {
            let mut fixture = Fixture::new("append", durability, streams);
            group.bench_function(format!("{name}, {streams}"), |b| {
                b.iter(|| fixture.append())
            });
        }
    }
    group.finish();
}

/// A record to each of 16 streams, applied before the next.
fn batch(c: &mut Criterion) {
    const COUNT: usize = 16;
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(COUNT as u64));
    let fixture = Fixture::new("batch", Durability::Memory, COUNT);
    let mut batch = Batch::new();
    for stream in &fixture.streams {
        batch.append(stream, &SMALL).unwrap();
    }
    group.bench_function("16 of 128 B, applied", |b| {
        b.iter(|| {
            let ticket = fixture.store.commit(black_box(&batch)).unwrap();
            ticket.applied().unwrap()
        });
    });
    group.finish();
}

/// One record, its offset known and on disk before the next.
fn synchronous(c: &mut Criterion) {
    let fixture = Fixture::new("synchronous", Durability::Disk, 1);
    let stream = &fixture.streams[0];
    c.bench_function("append to a stream and wait, 128 B", |b| {
        b.iter(|| stream.append(black_box(&SMALL)).unwrap().wait().unwrap());
    });
}

/// Records that were just applied, from memory.
fn tail(c: &mut Criterion) {
    let mut group = c.benchmark_group("read a stream");
    group.throughput(Throughput::Bytes(SMALL.len() as u64));
    let mut fixture = Fixture::new("tail", Durability::Memory, 1);
    let options = StreamReadOptions::new().visibility(Visibility::Committed);
    let mut reader = fixture.streams[0]
        .reader_with(ReadFrom::Latest, &options)
        .unwrap();
    group.bench_function("tail, 128 B", |b| {
        b.iter_custom(|iterations| {
            let mut read = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let count = left.min(1000);
                for _ in 0..count {
                    fixture.append();
                }
                fixture.store.flush().unwrap();
                let begin = Instant::now();
                for _ in 0..count {
                    black_box(reader.next().unwrap().payload().len());
                }
                read += begin.elapsed();
                left -= count;
            }
            read
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = append, batch, synchronous, tail
}
criterion_main!(benches);
