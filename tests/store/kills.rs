//! Exactly once: a pipeline that sums numbers is killed, again and again, and its sum is exact.
//!
//! A child process appends numbers, each stamped by their producer, and sums them: what it has read, the
//! sum and how far it has come are one batch. The parent kills it wherever it is by then.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ringbolt::LogOptions;
use ringbolt::store::{
    Batch, NewRecord, Producer, ReadFrom, Store, StoreOptions, Stream, StreamOptions,
};

/// In the child: the store's directory.
const CHILD: &str = "RINGBOLT_STORE_KILLS_CHILD";
const KILLS: u64 = 200;
/// What the child says when it begins to open the store, and behind each batch that is on disk: nothing
/// that a panic says.
const STEP: u8 = 0;
const GROUP: &str = "sum";

#[test]
fn a_pipeline_that_is_killed_has_summed_each_number_once() {
    if let Some(dir) = std::env::var_os(CHILD) {
        child(&PathBuf::from(dir));
    }
    let unique = format!("store-kills-{}", std::process::id());
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique);
    let _ = std::fs::remove_dir_all(&dir);
    let (mut seed, mut told) = (1, 0);
    for _ in 0..KILLS {
        // One in four while it opens.
        let steps = 1 + (random(&mut seed) % 16).saturating_sub(4);
        told += kill(&dir, steps, random(&mut seed) % 50_000) - 1;
    }
    let pipeline = Pipeline::open(&dir);
    let sent = pipeline.numbers.describe().unwrap().next;
    while pipeline.step(64) {}
    assert_eq!(pipeline.sum(), (sent, sent * sent.saturating_sub(1) / 2));
    // Each number was stored once, each was summed once, and in order.
    let numbers = crate::support::all(&pipeline.numbers);
    for (n, (offset, payload)) in (0..).zip(&numbers) {
        assert_eq!((*offset, number(payload)), (n, n));
    }
    assert_eq!(numbers.len() as u64, sent);
    let mut from = 0;
    for (_, payload) in crate::support::all(&pipeline.sums) {
        assert_eq!(number(&payload), from);
        from = number(&payload[8..]);
        assert_eq!(number(&payload[16..]), from * (from - 1) / 2);
    }
    assert_eq!(from, sent);
    let cursor = pipeline.numbers.cursor(GROUP).unwrap().unwrap();
    assert_eq!((cursor.offset, cursor.lag), (sent, 0));
    assert!(
        sent >= told,
        "{told} batches were on disk, of {sent} numbers"
    );
    pipeline.store.close().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let told = writeln!(
        std::io::stdout(),
        "killed {KILLS} times, {sent} numbers summed once each",
    );
    assert!(told.is_ok());
}

/// Starts a child, and kills it after so many steps and so many turns; returns how many steps it told of.
fn kill(dir: &Path, steps: u64, turns: u64) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = "kills::a_pipeline_that_is_killed_has_summed_each_number_once";
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, dir).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stderr.take().unwrap();
    let mut said = Vec::new();
    pipe.by_ref().take(steps).read_to_end(&mut said).unwrap();
    // Somewhere in between.
    (0..turns).for_each(|_| std::hint::spin_loop());
    child.kill().unwrap();
    child.wait().unwrap();
    pipe.read_to_end(&mut said).unwrap();
    let told = said.len() as u64;
    assert!(
        told >= steps && said.iter().all(|&byte| byte == STEP),
        "it ended by itself: {}",
        String::from_utf8_lossy(&said)
    );
    told
}

fn child(dir: &Path) -> ! {
    let tell = || std::io::stderr().write_all(&[STEP]).unwrap();
    tell();
    let pipeline = Pipeline::open(dir);
    let mut next = pipeline.numbers.describe().unwrap().next;
    // What may not have been acknowledged is sent again, and stored once.
    next = next.saturating_sub(3);
    let mut seed = next;
    loop {
        let tickets: Vec<_> = (0..random(&mut seed) % 8)
            .map(|_| {
                let ticket = pipeline.send(next);
                next += 1;
                ticket
            })
            .collect();
        if random(&mut seed) % 2 == 0 {
            for ticket in &tickets {
                ticket.wait().unwrap();
            }
        }
        if pipeline.step(1 + random(&mut seed) as usize % 16) {
            tell();
        }
    }
}

/// Numbers, their sums, and the store that has both.
struct Pipeline {
    store: Store,
    numbers: Stream,
    sums: Stream,
}

impl Pipeline {
    fn open(dir: &Path) -> Self {
        let log = LogOptions::new().segment_bytes(1 << 20);
        let store = StoreOptions::new().log(log).open(dir).unwrap();
        let stream = |name: &str| match store.stream(name) {
            Ok(stream) => stream,
            Err(_) => store.create(name, &StreamOptions::new()).unwrap(),
        };
        let (numbers, sums) = (stream("numbers"), stream("sums"));
        if numbers.cursor(GROUP).unwrap().is_none() {
            numbers.seek(GROUP, 0, b"").unwrap().wait().unwrap();
        }
        Self {
            store,
            numbers,
            sums,
        }
    }

    fn send(&self, n: u64) -> ringbolt::store::StoreTicket<ringbolt::store::Appended> {
        let stamp = Producer {
            id: 7,
            epoch: 0,
            sequence: n as u32,
        };
        let payload = n.to_le_bytes();
        let record = NewRecord::new(&payload).producer(stamp);
        self.numbers.append(record).unwrap()
    }

    /// How many were summed, and their sum.
    fn sum(&self) -> (u64, u64) {
        let value = self.store.get(b"sum").map(|found| found.value);
        value.map_or((0, 0), |value| (number(&value), number(&value[8..])))
    }

    /// Sums up to `max` numbers that are on disk; says whether there were any.
    fn step(&self, max: usize) -> bool {
        let mut reader = self.numbers.reader(ReadFrom::Cursor(GROUP)).unwrap();
        let from = reader.offset();
        let records = reader.try_next_batch(max, usize::MAX).unwrap();
        let Some(last) = records.last() else {
            return false;
        };
        let to = last.offset() + 1;
        let (count, mut sum) = self.sum();
        assert_eq!(count, from);
        sum += records
            .iter()
            .map(|record| number(record.payload()))
            .sum::<u64>();
        let mut batch = Batch::new();
        let line: Vec<u8> = [from, to, sum]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect();
        batch.append(&self.sums, &line[..]).unwrap();
        batch.put(b"sum", &line[8..]).unwrap();
        batch.seek(&self.numbers, GROUP, to, b"").unwrap();
        self.store.commit(&batch).unwrap().wait().unwrap();
        true
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

/// Splitmix64.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
