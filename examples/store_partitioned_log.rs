//! A miniature partitioned log, as a broker would embed it: topics of partitions, producers that may send
//! twice, consumer groups, a high watermark, retention.
//!
//! A partition is a stream. All of them share one log, and so one group commit. What the broker has replicated is what its
//! consumers may see: the gate of the stream is the high watermark.
//!
//! `cargo run --release --example store_partitioned_log`

use std::error::Error;
use std::time::{Duration, Instant};

use ringbolt::store::{
    NewRecord, Producer, ReadFrom, Store, StoreTicket, Stream, StreamOptions, StreamReadOptions,
};
use ringbolt::{ErrorKind, Visibility};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A topic: its partitions.
struct Topic(Vec<Stream>);

impl Topic {
    fn create(store: &Store, name: &str, partitions: usize) -> Result<Self> {
        // A week, or 64 MiB, whichever is reached first; a group that `hold`s may keep more.
        let options = StreamOptions::new()
            .retain_age(Duration::from_secs(7 * 24 * 3600))
            .retain_bytes(64 << 20)
            .cursors_expire(Duration::from_secs(30 * 24 * 3600));
        let create = |n| store.create(&format!("{name}/{n}"), &options);
        let partitions: ringbolt::Result<_> = (0..partitions).map(create).collect();
        Ok(Self(partitions?))
    }

    /// Produces a record: those with the same key keep their order. The ticket may be awaited whenever
    /// the client needs its answer.
    fn produce(
        &self,
        key: &str,
        value: &str,
        producer: Producer,
    ) -> Result<StoreTicket<ringbolt::store::Appended>> {
        let record = NewRecord::new(value.as_bytes()).key(key.as_bytes());
        Ok(self.partition(key).append(record.producer(producer))?)
    }

    fn partition(&self, key: &str) -> &Stream {
        let sum: usize = key.bytes().map(usize::from).sum();
        &self.0[sum % self.0.len()]
    }

    /// What a fetch of a consumer gets: up to `bytes_max`, waiting until `deadline` for the first
    /// record below the high watermark.
    fn fetch(
        &self,
        partition: usize,
        group: &str,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<Vec<(u64, String)>> {
        let options = StreamReadOptions::new().visibility(Visibility::Gated);
        let stream = &self.0[partition];
        let from = ReadFrom::Cursor(group);
        let mut reader = stream.reader_with(from, &options)?;
        let mut records = match reader.next_timeout(deadline - Instant::now()) {
            Ok(first) => vec![first],
            Err(error) if error.kind() == ErrorKind::TimedOut => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let taken: usize = records.iter().map(|record| record.payload().len()).sum();
        records.extend(reader.try_next_batch(1000, bytes_max.saturating_sub(taken))?);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let records = records.iter();
        Ok(records
            .map(|record| (record.offset(), text(record.payload())))
            .collect())
    }
}

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("ringbolt-partitions-{}", std::process::id()));
    let store = Store::open(&dir)?;
    let topic = Topic::create(&store, "orders", 4)?;

    // A producer numbers what it sends to each partition. Half of it is sent again, as after a
    // connection that broke: it is stored once.
    let mut sequences = [0_u32; 4];
    let mut tickets = Vec::new();
    let mut repeats = 0;
    for n in 0..1_000 {
        let key = format!("customer {}", n % 17);
        let partition = key.bytes().map(usize::from).sum::<usize>() % 4;
        let producer = Producer {
            id: 42,
            epoch: 0,
            sequence: sequences[partition],
        };
        sequences[partition] += 1;
        let value = format!("order {n}");
        tickets.push(topic.produce(&key, &value, producer)?);
        if n % 2 == 0 {
            let again = topic.produce(&key, &value, producer)?;
            repeats += usize::from(again.wait()?.duplicate);
        }
    }
    for ticket in tickets {
        ticket.wait()?;
    }
    assert_eq!(repeats, 500);

    // A group consumes. Until the broker has replicated something, there is nothing to see.
    for partition in &topic.0 {
        partition.hold("shipping", 0, b"")?.wait()?;
    }
    assert!(
        topic
            .fetch(0, "shipping", 1 << 20, Instant::now())?
            .is_empty()
    );
    let mut consumed = 0;
    for (n, partition) in topic.0.iter().enumerate() {
        let end = partition.describe()?.next;
        for replicated in [end / 2, end] {
            partition.set_gate(replicated);
            let deadline = Instant::now() + Duration::from_secs(1);
            let mut seen = partition
                .cursor("shipping")?
                .map_or(0, |cursor| cursor.offset);
            while seen < replicated {
                let records = topic.fetch(n, "shipping", 500, deadline)?;
                assert_eq!(records.first().map(|(offset, _)| *offset), Some(seen));
                consumed += records.len();
                seen += records.len() as u64;
                partition.seek("shipping", seen, b"consumer 1")?.wait()?;
            }
        }
    }
    assert_eq!(consumed, 1_000);

    for info in store.streams("orders/", None, usize::MAX) {
        let group = &info.cursors[0];
        assert_eq!(group.lag, 0);
        println!(
            "{}: {} records of {} bytes, {} is at {}",
            info.name, info.next, info.bytes, group.group, group.offset
        );
    }
    println!("1500 sent, {repeats} of them twice; {consumed} stored and consumed");
    store.close()?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
