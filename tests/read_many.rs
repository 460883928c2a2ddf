//! Many positions at once, and readers of every kind: on each disk and rung they give the same
//! records, of whatever size, wherever they lie.

#[path = "rungs/mod.rs"]
mod rungs;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ringbolt::disk::Disk;
use ringbolt::disk::sim::{Schedule, SimOptions};
use ringbolt::{
    Cold, Engine, ErrorKind, From, Log, LogOptions, Position, ReadMany, ReadOptions, SharedRecord,
};

use rungs::{LADDER, Place};

const SEGMENT_BYTES: u64 = 4 << 20;

/// A log whose first records were trimmed and whose last were cut, and what it was given.
struct Scene {
    log: Log,
    records: Vec<(Position, Vec<u8>)>,
    trimmed: Vec<Position>,
    cut: Vec<Position>,
}

fn options(budget: u64) -> LogOptions {
    LogOptions::new()
        .segment_bytes(SEGMENT_BYTES)
        .memory_bytes(3 * SEGMENT_BYTES)
        .read_buffer_bytes(budget)
        // The clock may be simulated while the threads are real.
        .stall_limit(Duration::MAX)
}

/// The payload of a record: its length and bytes tell its number.
fn payload(number: u64) -> Vec<u8> {
    let mut state = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let bound = match next() % 30 {
        0 => 2 << 20, // more than a window
        1..4 => 200_000,
        4..12 => 9000,
        12..14 => 1, // nothing
        _ => 300,
    };
    let len = (next() % bound) as usize;
    let mut bytes = vec![0; len];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&next().to_le_bytes()[..chunk.len()]);
    }
    bytes
}

impl Scene {
    fn new(disk: Arc<dyn Disk>, path: PathBuf, budget: u64) -> Self {
        let engine = Engine::builder().disk(disk).start().unwrap();
        let log = options(budget).open_on(&engine, path).unwrap();
        let mut records = Vec::new();
        let mut number = 0;
        while records.len() < 360 {
            if number % 7 == 3 {
                // Some of them together, none too large.
                let batch: Vec<_> = (number..number + 5)
                    .map(|number| payload(number)[..].iter().copied().take(50_000).collect())
                    .collect::<Vec<Vec<u8>>>();
                let at = log.append_batch(&batch).unwrap().position();
                number += 5;
                // Each behind the one before: eight bytes, and the payload rounded up to eight.
                let mut units = at.to_u64();
                for payload in batch {
                    records.push((Position::from_u64(units), payload.clone()));
                    units += 1 + payload.len().div_ceil(8) as u64;
                }
            } else {
                let payload = payload(number);
                let at = log.append(&payload).unwrap().position();
                records.push((at, payload));
                number += 1;
            }
        }
        log.flush().unwrap();
        let alone = |number: usize, records: &[(Position, Vec<u8>)]| {
            // A batch stands or falls as one: cut before a record of its own.
            let mut at = number;
            while log.truncate(records[at].0).is_err() {
                at += 1;
            }
            at
        };
        let end = alone(330, &records);
        let cut: Vec<_> = records.drain(end..).map(|(at, _)| at).collect();
        log.trim(records[20].0).unwrap();
        let trimmed = records.drain(..20).map(|(at, _)| at).collect();
        // What follows the cut, some of it in the segment that is still written.
        for number in 1000..1040 {
            let payload = payload(number);
            let at = log.append(&payload).unwrap().position();
            records.push((at, payload));
        }
        log.flush().unwrap();
        Self {
            log,
            records,
            trimmed,
            cut,
        }
    }

    /// Whatever can be read, by every way that there is.
    fn check(&self) {
        let log = &self.log;
        for cold in [Cold::Mapped, Cold::Direct] {
            let options = ReadOptions::new().cold(cold);
            let mut reader = log.reader_with(From::Start, options).unwrap();
            for (at, payload) in &self.records {
                let record = reader.try_next().unwrap().unwrap();
                assert_eq!(record.position(), *at, "{cold:?}");
                assert!(*record == **payload, "{cold:?}: the record at {at}");
            }
            assert!(reader.try_next().unwrap().is_none());
        }
        for depth in [1, 5, 32] {
            let options = ReadOptions::new().depth(depth);
            let wanted = self.shuffled(depth);
            let answers = log.read_many_with(wanted.iter().map(|record| record.0), &options);
            assert_eq!(compare(answers, &wanted), wanted.len());
        }
        let gone = self.trimmed.iter().chain(&self.cut);
        let kinds = log
            .read_many(gone.copied())
            .map(|answer| answer.unwrap_err().kind());
        let expected = [
            vec![ErrorKind::Trimmed; self.trimmed.len()],
            vec![ErrorKind::Cut; self.cut.len()],
        ];
        assert_eq!(Vec::from_iter(kinds), expected.concat());
    }

    /// All records, some of them twice, in an order that has nothing to do with theirs.
    fn shuffled(&self, salt: usize) -> Vec<&(Position, Vec<u8>)> {
        let count = self.records.len();
        (0..count + 50)
            .map(|index| &self.records[(index * 7919 + salt) % count])
            .collect()
    }
}

/// How many answers there were, each of them the record that was expected.
fn compare(
    answers: ReadMany<impl Iterator<Item = Position>>,
    expected: &[&(Position, Vec<u8>)],
) -> usize {
    let mut count = 0;
    for (answer, (at, payload)) in answers.zip(expected) {
        let record: SharedRecord = answer.unwrap();
        assert_eq!(record.position(), *at);
        assert!(record.payload() == payload, "the record at {at}");
        count += 1;
    }
    count
}

#[test]
fn on_the_simulated_disk() {
    for (seed, schedule) in [Schedule::Random, Schedule::Eager, Schedule::Lazy]
        .into_iter()
        .enumerate()
    {
        for budget in [0, 1 << 20, 16 << 20] {
            let options = SimOptions::new().seed(seed as u64).schedule(schedule);
            let scene = Scene::new(Arc::new(options.build()), "/log".into(), budget);
            scene.check();
            scene.log.close().unwrap();
            scene.check_closed();
        }
    }
}

impl Scene {
    /// A closed log is readable as it was, to its end.
    fn check_closed(&self) {
        let wanted = self.shuffled(7);
        let answers = self.log.read_many(wanted.iter().map(|record| record.0));
        assert_eq!(compare(answers, &wanted), wanted.len());
    }
}

#[test]
fn on_every_rung_of_the_real_disk_also_when_opened_again() {
    for rung in LADDER {
        let Some(disk) = rung.disk(1) else { continue };
        println!("rung: {}", rung.name); // shown when the check fails
        let place = Place::new("read-many");
        let path = place.path().join("log");
        let mut scene = Scene::new(Arc::clone(&disk), path.clone(), 16 << 20);
        scene.check();
        scene.log.close().unwrap();
        scene.check_closed();
        // Nothing of it is in memory now but the last segment.
        let engine = Engine::builder().disk(disk).start().unwrap();
        scene.log = options(2 << 20).open_on(&engine, path).unwrap();
        scene.check();
        scene.log.close().unwrap();
    }
}

/// Readers, scattered reads and a writer at once, on threads of their own, within one budget.
#[test]
fn beside_a_writer_and_each_other() {
    let place = Place::new("read-many");
    let log = options(3 << 20).open(place.path().join("log")).unwrap();
    const COUNT: u64 = 3000;
    let bytes = |number: u64| vec![number as u8; 1 + (number * 7919 % 30_000) as usize];
    std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let writer = log.clone();
        scope.spawn(move || {
            for number in 0..COUNT {
                let ticket = writer.append(&bytes(number)).unwrap();
                sender.send(ticket.position()).unwrap();
            }
            writer.flush().unwrap();
        });
        for _ in 0..2 {
            let options = ReadOptions::new().cold(Cold::Direct);
            let mut reader = log.reader_with(From::Start, options).unwrap();
            scope.spawn(move || {
                for number in 0..COUNT {
                    assert!(*reader.next().unwrap() == *bytes(number));
                }
            });
        }
        let mut positions = Vec::new();
        for position in receiver {
            positions.push(position);
            if positions.len() % 500 != 0 {
                continue;
            }
            // The newest may not be on disk yet.
            let settled = &positions[..positions.len() / 2];
            log.durable().wait_for(positions[settled.len()]).unwrap();
            let numbers: Vec<_> = (0..settled.len())
                .map(|index| (index * 7919) % settled.len())
                .collect();
            let answers = log.read_many(numbers.iter().map(|number| settled[*number]));
            for (number, answer) in numbers.iter().zip(answers) {
                assert!(answer.unwrap().payload() == bytes(*number as u64));
            }
        }
    });
    log.close().unwrap();
}
