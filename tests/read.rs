//! Reading on the real disk: mapped and direct, beside a writer and from outside of it.

use std::path::PathBuf;
use std::time::Duration;

use ringbolt::{Cold, ErrorKind, From, Log, LogOptions, LogView, ReadOptions, Visibility};

/// A directory of the test's own, removed when it ends well.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("ringbolt-read-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn log(&self) -> Log {
        LogOptions::new()
            .segment_bytes(1 << 20)
            .memory_bytes(3 << 20)
            .open(&self.0)
            .unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn payload(number: u64) -> Vec<u8> {
    let len = 8 + (number * 7919 % 20_000) as usize;
    let mut payload = vec![number as u8; len];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

const COUNT: u64 = 1500;

#[test]
fn cold_segments_read_the_same_both_ways() {
    let scratch = Scratch::new("cold");
    let log = scratch.log();
    let mut positions = Vec::new();
    for number in 0..COUNT {
        positions.push(log.append(&payload(number)).unwrap().position());
    }
    log.flush().unwrap();
    for cold in [Cold::Mapped, Cold::Direct] {
        let options = ReadOptions::new().cold(cold);
        let mut reader = log.reader_with(From::Start, options.clone()).unwrap();
        let mut number = 0;
        let mut kept = Vec::new();
        while let Some(batch) = reader.try_next_batch(64, 256 << 10).unwrap() {
            for record in &batch {
                assert_eq!(record.position(), positions[number as usize]);
                assert_eq!(&*record, payload(number), "{number}");
                if number % 50 == 0 {
                    kept.push((number, record.share()));
                }
                number += 1;
            }
        }
        assert_eq!(number, COUNT);
        for (number, record) in &kept {
            assert_eq!(record.payload(), payload(*number));
        }
        for number in (0..COUNT).rev().step_by(37) {
            reader
                .seek(From::Position(positions[number as usize]))
                .unwrap();
            assert_eq!(&*reader.next().unwrap(), payload(number));
        }
    }
    log.close().unwrap();
}

#[test]
fn a_mapped_record_outlives_its_segment() {
    let scratch = Scratch::new("outlives");
    let log = scratch.log();
    for number in 0..COUNT {
        let _ = log.append(&payload(number)).unwrap();
    }
    let end = log.flush().unwrap();
    let mut reader = log.reader(From::Start).unwrap();
    let mut kept = Vec::new();
    for number in 0..100 {
        kept.push((number, reader.next().unwrap().share()));
    }
    let lent = reader.next().unwrap();
    log.trim(end).unwrap();
    // The emptied segments are used again, or their names are; these bytes are not.
    for number in 0..COUNT {
        let _ = log.append(&payload(number)).unwrap();
    }
    log.flush().unwrap();
    assert_eq!(&*lent, payload(100));
    drop(lent);
    for (number, record) in &kept {
        assert_eq!(record.payload(), payload(*number));
    }
    let error = reader.next().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Trimmed);
    for number in 0..COUNT {
        assert_eq!(&*reader.next().unwrap(), payload(number));
    }
    log.close().unwrap();
}

/// Whoever opens the log next knows nothing of those who read it before: their locks on what they
/// read keep it from being used again under their mapping.
#[test]
fn a_mapped_record_outlives_its_segment_in_the_next_opening() {
    let scratch = Scratch::new("next-opening");
    let log = scratch.log();
    for number in 0..COUNT {
        let _ = log.append(&payload(number)).unwrap();
    }
    let end = log.flush().unwrap();
    let mut reader = log.reader(From::Start).unwrap();
    let mut kept = Vec::new();
    for number in 0..100 {
        kept.push((number, reader.next().unwrap().share()));
    }
    log.close().unwrap();
    drop(log);
    let log = scratch.log();
    let lent = reader.next().unwrap();
    log.trim(end).unwrap();
    for number in 0..COUNT {
        let _ = log.append(&payload(number)).unwrap();
    }
    log.flush().unwrap();
    assert!(log.stats().recycled > 0, "{:?}", log.stats());
    assert!(*lent == payload(100));
    drop(lent);
    for (number, record) in &kept {
        assert!(record.payload() == payload(*number), "{number}");
    }
    log.close().unwrap();
}

#[test]
fn many_readers_follow_many_producers() {
    let scratch = Scratch::new("follow");
    let log = scratch.log();
    const PRODUCERS: u64 = 3;
    std::thread::scope(|scope| {
        for (visibility, spin) in [
            (Visibility::Durable, Duration::ZERO),
            (Visibility::Committed, Duration::ZERO),
            (Visibility::Committed, Duration::from_micros(50)),
        ] {
            let options = ReadOptions::new().visibility(visibility).spin(spin);
            let mut reader = log.reader_with(From::Start, options).unwrap();
            scope.spawn(move || {
                let mut next = [0u64; PRODUCERS as usize];
                for _ in 0..PRODUCERS * COUNT {
                    let record = reader.next().unwrap();
                    let producer = record[0] as usize;
                    assert_eq!(record[1..], payload(next[producer]));
                    next[producer] += 1;
                }
                assert_eq!(reader.next().unwrap_err().kind(), ErrorKind::Closed);
            });
        }
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let log = log.clone();
                scope.spawn(move || {
                    for number in 0..COUNT {
                        let mut bytes = vec![producer as u8];
                        bytes.extend(payload(number));
                        let _ = log.append(&bytes).unwrap();
                    }
                })
            })
            .collect();
        for producer in producers {
            producer.join().unwrap();
        }
        log.close().unwrap();
    });
}

#[test]
fn a_view_follows_from_outside() {
    let scratch = Scratch::new("view");
    let log = scratch.log();
    let view = LogView::open(&scratch.0).unwrap();
    let mut reader = view.reader(From::Start).unwrap();
    std::thread::scope(|scope| {
        let follower = scope.spawn(move || {
            for number in 0..COUNT {
                let record = loop {
                    match reader.try_next().unwrap() {
                        Some(record) => break record,
                        // It is woken, or the test hangs: no record comes later than this limit.
                        None => drop(reader.wait(Duration::from_secs(60)).unwrap()),
                    }
                };
                assert_eq!(record.payload(), payload(number));
            }
            assert!(reader.try_next().unwrap().is_none());
        });
        for number in 0..COUNT {
            let _ = log.append(&payload(number)).unwrap();
        }
        log.flush().unwrap();
        follower.join().unwrap();
        log.close().unwrap();
    });
}
