//! A miniature partitioned log, as a broker would embed it: topics of partitions, producers that may send
//! twice, consumer groups, a high watermark, retention.
//!
//! A partition is a stream. All of them share one log, and so one group commit. What the broker has
//! replicated is what its consumers may see: the gate of a stream is its high watermark.
//!
//! `cargo run --release --example store_partitioned_log`

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use ringbolt::store::{
    Appended, Batch, NewRecord, Producer, ReadFrom, Store, StoreOptions, StoreTicket, Stream,
    StreamOptions, StreamReadOptions, StreamReader, StreamRecord,
};
use ringbolt::{ErrorKind, LogOptions, Visibility};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PARTITIONS: usize = 4;

struct Topic {
    store: Store,
    partitions: Vec<Stream>,
}

impl Topic {
    fn open(dir: &Path, name: &str) -> Result<Self> {
        // Space is given back a segment at a time: small ones for a small broker.
        let log = LogOptions::new().segment_bytes(1 << 20);
        let store = StoreOptions::new().log(log).open(dir)?;
        // A week, or 64 MiB, whichever is reached first; nothing goes that a holding group still wants.
        let options = StreamOptions::new()
            .retain_age(Duration::from_secs(7 * 24 * 3600))
            .retain_bytes(64 << 20);
        let open = |n| {
            let name = format!("{name}/{n}");
            match store.stream(&name) {
                Err(error) if error.kind() == ErrorKind::NoStream => store.create(&name, &options),
                found => found,
            }
        };
        let partitions = (0..PARTITIONS).map(open).collect::<ringbolt::Result<_>>()?;
        Ok(Self { store, partitions })
    }

    /// Records with the same key keep their order, since they are in the same partition.
    fn partition(key: &str) -> usize {
        key.bytes().map(usize::from).sum::<usize>() % PARTITIONS
    }

    /// The ticket may be awaited whenever the client needs its answer.
    fn produce(&self, key: &str, value: &str, who: Producer) -> Result<StoreTicket<Appended>> {
        let record = NewRecord::new(value.as_bytes()).key(key.as_bytes());
        Ok(self.partitions[Self::partition(key)].append(record.producer(who))?)
    }

    /// Where each partition ends.
    fn ends(&self) -> Result<Vec<u64>> {
        let next = |stream: &Stream| Ok(stream.describe()?.next);
        self.partitions.iter().map(next).collect()
    }

    /// Moves the high watermarks.
    fn replicated(&self, to: impl IntoIterator<Item = u64>) {
        for (partition, offset) in self.partitions.iter().zip(to) {
            partition.set_gate(offset);
        }
    }

    /// Drops what every group has done.
    fn trim(&self) -> Result<()> {
        for partition in &self.partitions {
            let cursors = partition.describe()?.cursors;
            if let Some(done) = cursors.iter().map(|cursor| cursor.offset).min() {
                partition.trim(done)?.wait()?;
            }
        }
        Ok(())
    }
}

/// Consumes all partitions, for a group.
struct Consumer<'a> {
    topic: &'a Topic,
    group: &'a str,
    readers: Vec<StreamReader>,
}

impl<'a> Consumer<'a> {
    fn join(topic: &'a Topic, group: &'a str) -> Result<Self> {
        let options = StreamReadOptions::new().visibility(Visibility::Gated);
        let mut readers = Vec::new();
        for partition in &topic.partitions {
            if partition.cursor(group)?.is_none() {
                partition.hold(group, 0, b"")?.wait()?;
            }
            readers.push(partition.reader_with(ReadFrom::Cursor(group), &options)?);
        }
        Ok(Self {
            topic,
            group,
            readers,
        })
    }

    /// Waits until there is something below the high watermarks, or until `deadline`, and takes up to
    /// `bytes_max` of each partition.
    fn fetch(&mut self, bytes_max: usize, deadline: Instant) -> Result<Vec<StreamRecord>> {
        StreamReader::wait_many(&mut self.readers, 1, deadline)?;
        let mut records = Vec::new();
        for reader in &mut self.readers {
            records.extend(reader.try_next_batch(usize::MAX, bytes_max)?);
        }
        Ok(records)
    }

    /// Notes how far it has come, in all partitions or in none.
    fn commit(&self) -> Result<()> {
        let mut batch = Batch::new();
        for (partition, reader) in self.topic.partitions.iter().zip(&self.readers) {
            batch.seek(partition, self.group, reader.offset(), b"consumer 1")?;
        }
        self.topic.store.commit(&batch)?.wait()?;
        Ok(())
    }
}

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("ringbolt-partitions-{}", std::process::id()));
    let mut topic = Topic::open(&dir, "orders")?;

    // A producer numbers what it sends to each partition. Half of it is sent again, as after a
    // connection that broke: it is stored once.
    let stamp = |sequence| Producer {
        id: 42,
        epoch: 0,
        sequence,
    };
    let mut sequences = [0; PARTITIONS];
    let mut tickets = Vec::new();
    for n in 0..1_000 {
        let (key, value) = (format!("customer {}", n % 17), format!("{n}"));
        let sequence = &mut sequences[Topic::partition(&key)];
        for _ in 0..1 + n % 2 {
            tickets.push(topic.produce(&key, &value, stamp(*sequence))?);
        }
        *sequence += 1;
    }
    let appended: ringbolt::Result<Vec<_>> = tickets.iter().map(StoreTicket::wait).collect();
    let repeats = appended?.iter().filter(|found| found.duplicate).count();
    assert_eq!((tickets.len(), repeats), (1_500, 500));

    // A group consumes. Until the broker has replicated something, there is nothing to see.
    let ends = topic.ends()?;
    let mut consumer = Consumer::join(&topic, "shipping")?;
    assert!(consumer.fetch(1 << 20, Instant::now())?.is_empty());
    let mut last: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut consumed = 0;
    std::thread::scope(|scope| -> Result<()> {
        let step = |part| topic.replicated(ends.iter().map(|end| end * part / 10));
        scope.spawn(move || (1..=10).for_each(step));
        while consumed < 1_000 {
            let records = consumer.fetch(300, Instant::now() + Duration::from_secs(10))?;
            for record in &records {
                let key = record.key().ok_or("all have keys")?.to_vec();
                let n: u64 = std::str::from_utf8(record.payload())?.parse()?;
                assert!(last.insert(key, n).is_none_or(|before| before < n));
            }
            consumed += records.len();
            consumer.commit()?;
        }
        Ok(())
    })?;
    println!("1500 sent, {repeats} of them twice; {consumed} stored and consumed");

    // After a restart the producer's numbers and the group's cursors are known; what is replicated is
    // for the broker to say.
    topic.store.close()?;
    topic = Topic::open(&dir, "orders")?;
    let (key, sequence) = ("customer 0", sequences[Topic::partition("customer 0")]);
    let again = topic.produce(key, "986", stamp(sequence - 1))?;
    assert!(again.wait()?.duplicate);
    topic.produce(key, "1000", stamp(sequence))?.wait()?;
    topic.replicated(topic.ends()?);
    let mut consumer = Consumer::join(&topic, "shipping")?;
    let records = consumer.fetch(1 << 20, Instant::now() + Duration::from_secs(10))?;
    assert_eq!((records.len(), records[0].payload()), (1, &b"1000"[..]));
    consumer.commit()?;

    topic.trim()?;
    for info in topic.store.streams("orders/", None, usize::MAX) {
        let group = &info.cursors[0];
        assert_eq!((info.first, group.lag), (info.next, 0));
        println!("{}: trimmed to {}, {}", info.name, info.first, group.group);
    }
    topic.store.close()?;
    Ok(std::fs::remove_dir_all(&dir)?)
}
