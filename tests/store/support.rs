//! Stores for tests: on a simulated disk, with threads of their own or driven by the test.

use std::sync::Arc;

use ringbolt::disk::sim::SimDisk;
use ringbolt::store::{ReadFrom, Store, StoreOptions, Stream, StreamOptions, StreamReader};
use ringbolt::{Engine, LogOptions, Preallocation};

pub(crate) const DIR: &str = "/store";

pub(crate) fn options() -> StoreOptions {
    let log = LogOptions::new()
        .segment_bytes(1 << 20)
        // The simulated clock leaps over the time in which a thread fills its claim.
        .stall_limit(std::time::Duration::MAX)
        .preallocation(Preallocation::Unwritten);
    // It leaps to whatever is due next, too: time passes in those tests alone that are about it.
    let step = std::time::Duration::MAX;
    StoreOptions::new().log(log).time_step(step)
}

/// A store on a simulated disk, with threads.
pub(crate) struct Rig {
    pub(crate) disk: SimDisk,
    pub(crate) store: Store,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        Self { disk, store }
    }

    /// Closes the store and opens it again: what it has derived must be the same.
    pub(crate) fn reopen(&mut self) {
        self.store.close().unwrap();
        // Not before: until it is closed, it moves by itself what is wanted of old segments.
        let (_, before) = self.store.fingerprint().unwrap();
        self.store = open(&self.disk);
        let (_, after) = self.store.fingerprint().unwrap();
        assert_eq!(before, after);
    }

    pub(crate) fn stream(&self, name: &str) -> Stream {
        match self.store.stream(name) {
            Ok(stream) => stream,
            Err(_) => self.store.create(name, &StreamOptions::new()).unwrap(),
        }
    }
}

pub(crate) fn open(disk: &SimDisk) -> Store {
    let builder = Engine::builder().disk(Arc::new(disk.clone()));
    options().open_on(&builder.start().unwrap(), DIR).unwrap()
}

/// Offsets and payloads of all that a reader sees now.
pub(crate) fn rest(reader: &mut StreamReader) -> Vec<(u64, Vec<u8>)> {
    let mut records = Vec::new();
    while let Some(record) = reader.try_next().unwrap() {
        records.push((record.offset(), record.payload().to_vec()));
    }
    records
}

/// All durable records of a stream.
pub(crate) fn all(stream: &Stream) -> Vec<(u64, Vec<u8>)> {
    rest(&mut stream.reader(ReadFrom::Earliest).unwrap())
}
