//! Stores for tests: on a simulated disk, with threads of their own or driven by the test.

use std::sync::Arc;

use ringbolt::disk::{Disk, sim::SimDisk};
use ringbolt::store::{
    ReadFrom, Store, StoreOptions, StoreView, Stream, StreamOptions, StreamReader, ViewReader,
};
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

/// A store on a simulated disk, with threads, and a view of it that was there from the begin.
pub(crate) struct Rig {
    pub(crate) disk: SimDisk,
    pub(crate) store: Store,
    pub(crate) view: StoreView,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let view = view(&disk);
        Self { disk, store, view }
    }

    /// Closes the store and opens it again: what it has derived must be the same, and so what the view has
    /// derived, and a new one.
    pub(crate) fn reopen(&mut self) {
        self.store.close().unwrap();
        // Not before: until it is closed, it moves by itself what is wanted of old segments.
        let (_, before) = self.store.fingerprint().unwrap();
        self.view.refresh().unwrap();
        assert_eq!(before, self.view.fingerprint().unwrap().1);
        assert_eq!(before, view(&self.disk).fingerprint().unwrap().1);
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

pub(crate) fn view(disk: &SimDisk) -> StoreView {
    StoreView::open_on(disk, DIR).unwrap()
}

/// Offsets and payloads of all that a reader sees now.
pub(crate) fn rest(reader: &mut StreamReader) -> Vec<(u64, Vec<u8>)> {
    let mut records = Vec::new();
    while let Some(record) = reader.try_next().unwrap() {
        records.push((record.offset(), record.payload().to_vec()));
    }
    records
}

/// What a reader from outside sees now.
pub(crate) fn rest_seen(reader: &mut ViewReader) -> Vec<(u64, Vec<u8>)> {
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

/// Names in the store's directory that end like this, in order.
pub(crate) fn names(disk: &SimDisk, suffix: &str) -> Vec<String> {
    let dir = disk.open_dir(DIR.as_ref()).unwrap();
    let mut names: Vec<_> = dir
        .list()
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    names
}

/// Appends records of 100 kB to two streams until so many segments were left.
pub(crate) fn fill(store: &Store, segments: u64) {
    let large = vec![7; 100_000];
    let begin = store.stats().log.rollovers;
    for n in 0.. {
        let name = if n % 3 == 0 { "b" } else { "a" };
        let stream = store.stream(name).unwrap();
        stream.append(&large[..]).unwrap().wait().unwrap();
        if store.stats().log.rollovers >= begin + segments {
            return;
        }
    }
}

/// Waits until this is so: file work goes on by itself.
pub(crate) fn until(store: &Store, mut so: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if so() {
            return;
        }
        // A turn of the engine.
        store.put(b"turn", b"").unwrap().wait().unwrap();
    }
    panic!("it never came to be");
}
