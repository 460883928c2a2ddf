//! The store's format, frozen: what lies on disk, byte for byte, and what is derived from it, field by
//! field. `tests/golden` does the same for logs, and says more.
//!
//! ```text
//! RINGBOLT_BLESS=1 cargo test --features sim --test store golden
//! ```
//!
//! makes the files anew. A change of how entries are judged that changes `state.txt` needs another version
//! of the pass.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ringbolt::disk::Disk;
use ringbolt::disk::sim::{Schedule, SimDisk, SimOptions};
use ringbolt::store::{
    Batch, Headers, NewRecord, Producer, Store, StoreTicket, Stream, StreamOptions, maintain,
};
use ringbolt::{Driver, Engine, Poll, Result};

use crate::support::{DIR, options};
use crate::text;

const FILES: &str = "tests/store/golden/files.txt";
const STATE: &str = "tests/store/golden/state.txt";

struct Rig {
    disk: SimDisk,
    store: Store,
    driver: Driver,
}

impl Rig {
    fn on(disk: SimDisk) -> Self {
        let builder = Engine::builder().disk(Arc::new(disk.clone()));
        let (engine, driver) = builder.caller_driven().unwrap();
        let options = options().time_step(Duration::from_secs(1));
        let store = options.open_on(&engine, DIR).unwrap();
        Self {
            disk,
            store,
            driver,
        }
    }

    fn settle(&mut self) {
        for _ in 0..60 {
            if let Poll::Ended = self.driver.poll().unwrap() {
                return;
            }
            self.driver.wait(Some(Duration::ZERO)).unwrap();
        }
    }

    /// What became of it does not matter: some are refused.
    fn put<T>(&mut self, ticket: Result<StoreTicket<T>>) {
        let ticket = ticket.unwrap();
        self.settle();
        let _ = ticket.wait();
    }

    fn stream(&mut self, name: &str, options: &StreamOptions) -> Stream {
        let mut batch = Batch::new();
        batch.create(name, options).unwrap();
        let ticket = self.store.try_commit(&batch);
        self.put(ticket);
        self.store.stream(name).unwrap()
    }
}

/// Entries of every kind, over three segments, with snapshots and indexes.
fn write(rig: &mut Rig) {
    let a = rig.stream("a", &StreamOptions::new());
    let options = StreamOptions::new()
        .begin_at(1_000)
        .quota_bytes(1 << 30)
        .message_ids(3, Duration::from_secs(5))
        .retain_age(Duration::from_secs(60))
        .latest_by_key()
        .opaque(*b"opaque");
    let b = rig.stream("b/ü", &options);
    let headers = Headers::new().with("name", "value");
    for n in 0..6u8 {
        let stamp = Producer {
            id: 9,
            epoch: 1,
            sequence: u32::from(n),
        };
        let id = [b'i', n];
        let record = NewRecord::new(b"payload")
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(n.into()))
            .key(&id[..1])
            .headers(&headers)
            .message_id(&id)
            .producer(stamp)
            .count(2);
        rig.put(b.try_append(record));
        rig.put(a.try_append(&[n; 3]));
        // Sent twice; and one that is missing before it.
        rig.put(b.try_append(record));
        rig.put(a.try_append(NewRecord::new(b"no").if_next(77)));
        rig.disk.advance(Duration::from_secs(1));
    }
    let mut batch = Batch::new();
    let item = batch.append(&a, b"in a batch").unwrap();
    batch.put_offset(b"last", &[0; 10], item, 1).unwrap();
    batch.hold(&a, "group", 2, b"metadata").unwrap();
    batch.acknowledge(&b, "nobody", 0..1).unwrap();
    rig.put(rig.store.try_commit(&batch));
    rig.put(a.seek("other", 1, b""));
    rig.put(a.hold("group", 2, b"metadata"));
    rig.put(a.acknowledge("group", 4..6));
    rig.put(a.forget("other"));
    rig.put(rig.store.put(b"key", b"value"));
    rig.put(rig.store.put_if(b"key", b"another", 1));
    rig.put(rig.store.remove(b"gone"));
    rig.put(a.fence(5));
    rig.put(a.erase(3));
    rig.put(a.trim(1));
    rig.put(a.truncate(5));
    let c = rig.stream("c", &StreamOptions::new());
    rig.put(c.try_append(b"goes with its stream"));
    rig.put(c.delete());
    rig.stream("c", &StreamOptions::new());
    // Zeroes are not in the text.
    let large = vec![0; 300_000];
    for n in 0..30u64 {
        let record = NewRecord::new(&large).key(b"large");
        rig.put(b.try_append(record));
        rig.put(a.try_append(NewRecord::new(&n.to_le_bytes()).fence(5)));
        if n % 4 == 3 {
            rig.disk.advance(Duration::from_secs(1));
        }
    }
    rig.settle();
}

#[test]
fn what_a_store_writes_is_what_it_wrote_and_means_the_same() {
    let options = SimOptions::new().seed(7).schedule(Schedule::Eager);
    let mut rig = Rig::on(options.start_unix_ns(1_700_000_000_000_000_000).build());
    rig.settle();
    write(&mut rig);
    // Not closed: as a process leaves it that is killed.
    let (_, state) = rig.store.fingerprint().unwrap();
    let files = text::dump(&rig.disk, DIR);
    if std::env::var_os("RINGBOLT_BLESS").is_some() {
        std::fs::write(FILES, &files).unwrap();
        std::fs::write(STATE, &state).unwrap();
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let golden = read(FILES);
    if let Some(difference) = text::difference(&golden, &files) {
        panic!("the writer's bytes are not those of {FILES}:\n{difference}");
    }
    let fresh = SimDisk::new(8);
    text::expand(&golden, &fresh, DIR);
    let shared: Arc<dyn Disk> = Arc::new(fresh.clone());
    let verified = maintain::verify_with(&shared, DIR.as_ref(), &mut |_| {}).unwrap();
    assert!(verified.log.is_sound(), "{verified:?}");
    let (_, derived) = Rig::on(fresh).store.fingerprint().unwrap();
    assert_eq!(derived, read(STATE), "what is derived has changed");
    // It has one of each.
    for suffix in [".seg", ".idx", ".snap"] {
        let of_kind = |line: &str| line.starts_with("file ") && line.contains(suffix);
        assert!(golden.lines().any(of_kind), "{suffix}");
    }
}
