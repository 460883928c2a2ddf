//! Readers that are slow, paused, behind retention, beyond a cut, or on a disk that fails.

use std::pin::pin;
use std::sync::Arc;
use std::task::Wake as _;

use ringbolt::disk::sim::{EIO, Fault, OpClass, SimDisk};
use ringbolt::{
    Batch, Cold, ErrorKind, From, Log, Position, ReadOptions, SharedRecord, Visibility,
};

use crate::common::{Rig, Wakes, options, payload, read_all, reopened};

/// A log with records of 250,000 bytes: four to a segment.
fn rig(seed: u64, options: &ringbolt::LogOptions, records: usize) -> (Rig, Log, Vec<Position>) {
    let mut rig = Rig::new(&SimDisk::new(seed));
    let log = rig.open(options).unwrap();
    let positions = (0..records)
        .map(|n| rig.write(&log, &payload(n, 250_000)))
        .collect();
    rig.rest();
    (rig, log, positions)
}

/// Records that are kept do not change, however far the log goes on, and hold up nobody.
#[test]
fn a_slow_reader_keeps_its_record_and_the_log_goes_on() {
    let (mut rig, log, _) = rig(1, &options().memory_bytes(3 << 20), 2);
    let mut slow = log.reader(From::Start).unwrap();
    let mut sharing = log.reader(From::Start).unwrap();
    let shared: Vec<SharedRecord> = (0..2)
        .map(|_| sharing.try_next().unwrap().unwrap().share())
        .collect();
    {
        let record = slow.try_next().unwrap().expect("there is one");
        for n in 2..40 {
            rig.write(&log, &payload(n, 250_000));
        }
        assert!(record.payload() == payload(0, 250_000));
    }
    for (n, record) in shared.iter().enumerate() {
        assert!(record.payload() == payload(n, 250_000));
    }
    for n in 1..40 {
        assert!(slow.try_next().unwrap().unwrap().payload() == payload(n, 250_000));
    }
    assert!(slow.try_next().unwrap().is_none());
    // What is shared outlives log, reader and engine.
    rig.close(&log).unwrap();
    drop((log, slow, sharing, rig));
    for (n, record) in shared.iter().enumerate() {
        assert!(record.payload() == payload(n, 250_000));
    }
}

#[test]
fn a_reader_behind_retention_is_told_and_goes_on() {
    let options = options().retain_bytes(3 << 20);
    let (mut rig, log, positions) = rig(2, &options, 1);
    let mut reader = log.reader(From::Start).unwrap();
    let mut paused = log.reader(From::Start).unwrap();
    assert!(paused.try_next().unwrap().is_some());
    let mut newer = Vec::new();
    for n in 1..40 {
        newer.push(rig.write(&log, &payload(n, 250_000)));
    }
    rig.rest();
    assert!(log.start() > positions[0]);
    for reader in [&mut reader, &mut paused] {
        let error = reader.try_next().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Trimmed, "{error}");
        assert!(!error.is_fatal() && error.hint().is_some(), "{error}");
        let resume = error.position().expect("it says where to resume");
        assert_eq!(reader.position(), resume);
        let record = reader.try_next().unwrap().expect("there are records");
        assert!(record.position() >= resume);
        assert!(newer.contains(&record.position()));
    }
    // What the error said can be asked for, too; what is gone cannot.
    let error = log.reader(From::Position(positions[0])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Trimmed, "{error}");
    let mut resumed = log
        .reader(From::Position(error.position().unwrap()))
        .unwrap();
    let first = resumed.try_next().unwrap().unwrap().position();
    assert_eq!(first, read_all(&log).unwrap()[0].0);
}

#[test]
fn a_reader_beyond_a_cut_is_told_and_goes_on() {
    for visibility in [Visibility::Durable, Visibility::Committed] {
        let (mut rig, log, positions) = rig(3, &options(), 10);
        let reading = ReadOptions::new().visibility(visibility);
        let mut beyond = log.reader_with(From::Start, reading.clone()).unwrap();
        while beyond.try_next().unwrap().is_some() {}
        let mut before = log.reader_with(From::Start, reading.clone()).unwrap();
        before.try_next().unwrap().unwrap();
        let goes_on = rig.truncate(&log, positions[3]).unwrap();
        assert!(goes_on > positions[9], "positions are never used twice");
        let error = beyond.try_next().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cut, "{error}");
        let resume = error.position().expect("it says where to resume");
        let error = log
            .reader_with(From::Position(positions[5]), reading)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cut, "{error}");
        let next = rig.write(&log, b"the next");
        let record = beyond.try_next().unwrap().expect("there is a record");
        assert!(record.position() == next && next >= resume);
        let mut left = Vec::new();
        while let Some(record) = before.try_next().unwrap() {
            left.push(record.position());
        }
        assert_eq!(left, [positions[1], positions[2], next]);
    }
}

/// A log may be trimmed to any position that is on disk, also one inside a record.
#[test]
fn a_trim_into_the_middle_of_a_record_starts_at_the_next() {
    for cold in [false, true] {
        let (mut rig, log, positions) = rig(4, &options(), 3);
        let inside = Position::from_u64(positions[0].to_u64() + 100);
        rig.trim(&log, inside).unwrap();
        let rest = |log: &Log| -> Vec<Position> {
            read_all(log)
                .unwrap()
                .into_iter()
                .map(|(position, _)| position)
                .collect()
        };
        assert_eq!(rest(&log), positions[1..]);
        if cold {
            rig.close(&log).unwrap();
            drop(log);
            let (_rig, log) = reopened(&rig);
            assert_eq!(rest(&log), positions[1..]);
        }
    }
}

#[test]
fn places_where_no_record_is_are_refused() {
    let (_rig, log, positions) = rig(5, &options(), 6);
    let at = |raw: u64| log.reader(From::Position(Position::from_u64(raw)));
    for raw in [
        positions[0].to_u64() + 1,
        positions[5].to_u64() - 1,
        log.end().to_u64() + 1,
        positions[0].to_u64() - 1,
        u64::MAX,
        u64::MAX - 8,
    ] {
        let error = at(raw).unwrap_err();
        let kind = error.kind();
        assert!(
            kind == ErrorKind::NoRecord
                || (raw < positions[0].to_u64() && kind == ErrorKind::Trimmed),
            "{}: {error}",
            Position::from_u64(raw)
        );
    }
    assert_eq!(
        log.reader(From::Position(Position::MIN))
            .unwrap_err()
            .kind(),
        ErrorKind::Trimmed
    );
    for position in positions.iter().chain([&log.end()]) {
        assert!(at(position.to_u64()).is_ok());
    }
    let error = log
        .reader(From::Start)
        .unwrap()
        .next_batch(0, 100)
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// A disk that cannot be read is an error of the reader's, not the log's, and may pass.
#[test]
fn a_disk_that_cannot_be_read_is_told_to_the_reader() {
    for cold in [Cold::Mapped, Cold::Direct] {
        let (mut rig, log, positions) = rig(6, &options().memory_bytes(3 << 20), 30);
        let reading = ReadOptions::new().cold(cold);
        let mut reader = log.reader_with(From::Start, reading).unwrap();
        let next = rig.disk.count(OpClass::Read) + 1;
        rig.disk.fail(Fault::for_good(OpClass::Read, next, EIO));
        for _ in 0..2 {
            let error = reader.try_next().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            // Ask again, it says; and the log goes on.
            assert!(!error.is_fatal() && error.is_retryable(), "{error}");
            assert!(error.path().is_some() && error.hint().is_some(), "{error}");
            assert_eq!(error.position(), Some(positions[0]), "{error}");
        }
        rig.write(&log, b"the log does not mind");
        rig.disk.clear_faults();
        for position in positions {
            assert_eq!(reader.try_next().unwrap().unwrap().position(), position);
        }
        assert_eq!(
            reader.try_next().unwrap().unwrap().payload(),
            b"the log does not mind"
        );
    }
}

/// What the log's options say goes for readers that say nothing, and for no others.
#[test]
fn a_log_has_a_visibility_for_readers_that_ask_for_none() {
    let sees = |log: &Log, options: ReadOptions| {
        let mut reader = log.reader_with(From::Start, options).unwrap();
        reader.try_next().unwrap().is_some()
    };
    for (seed, visibility) in [
        (8, None),
        (9, Some(Visibility::Durable)),
        (10, Some(Visibility::Committed)),
        (11, Some(Visibility::Gated)),
    ] {
        let options = visibility.map_or_else(options, |own| options().visibility(own));
        let mut rig = Rig::new(&SimDisk::new(seed));
        let log = rig.open(&options).unwrap();
        let ticket = log.try_append(b"committed").unwrap().into_owned();
        let asking = |visibility| sees(&log, ReadOptions::new().visibility(visibility));
        let (committed, gated) = (Visibility::Committed, Visibility::Gated);
        assert_eq!(
            sees(&log, ReadOptions::new()),
            visibility == Some(committed)
        );
        assert!(log.reader(From::Start).is_ok());
        assert!(asking(committed) && !asking(Visibility::Durable) && !asking(gated));
        rig.outcome(&ticket).unwrap();
        assert_eq!(sees(&log, ReadOptions::new()), visibility != Some(gated));
        assert!(asking(Visibility::Durable) && !asking(gated));
        log.set_gate(log.end());
        assert!(sees(&log, ReadOptions::new()) && asking(gated));
    }
}

/// A batch is awaited like a record: dropped, it has taken nothing; woken, it has all that is there.
#[test]
fn batches_can_be_awaited() {
    let mut rig = Rig::new(&SimDisk::new(12));
    let log = rig.open(&options()).unwrap();
    let mut reader = log.reader(From::Start).unwrap();
    let wakes = Arc::new(Wakes::default());
    wakes.wake_by_ref();
    {
        let mut dropped = pin!(reader.next_batch_async(10, 1 << 20));
        assert!(wakes.poll(dropped.as_mut()).is_none());
    }
    let ticket = log
        .try_append_batch(&[b"one", b"two"])
        .unwrap()
        .into_owned();
    rig.outcome(&ticket).unwrap();
    assert_eq!(wakes.count(), 1, "nobody waits any more");
    let lent = |batch: Batch<'_>| -> Vec<Vec<u8>> {
        batch
            .iter()
            .map(|record| record.payload().to_vec())
            .collect()
    };
    // What is there comes at once, within the bounds that were asked for.
    let first = rig.finish("a batch", reader.next_batch_async(1, 1 << 20));
    assert_eq!(lent(first.unwrap()), [b"one"]);
    let second = rig.finish("a batch", reader.next_batch_async(10, 0));
    assert_eq!(lent(second.unwrap()), [b"two"]);
    let mut waiting = pin!(reader.next_batch_async(10, 1 << 20));
    wakes.wake_by_ref();
    assert!(wakes.poll(waiting.as_mut()).is_none());
    let _ = log.try_append_batch(&["three", "four"]).unwrap();
    let batch = rig.until("a batch", || wakes.poll(waiting.as_mut()));
    assert_eq!(lent(batch.unwrap()), [&b"three"[..], b"four"]);
    let error = rig
        .finish("no batch", reader.next_batch_async(0, 100))
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    // The log's end ends the wait.
    let mut waiting = pin!(reader.next_batch_async(10, 1 << 20));
    wakes.wake_by_ref();
    assert!(wakes.poll(waiting.as_mut()).is_none());
    rig.close(&log).unwrap();
    let ended = wakes.poll(waiting.as_mut()).expect("it was woken");
    assert_eq!(ended.map(drop).unwrap_err().kind(), ErrorKind::Closed);
}

/// Nothing that a gate hides is seen, wherever the gate is put.
#[test]
fn a_gate_may_stand_anywhere() {
    let (_rig, log, positions) = rig(7, &options(), 6);
    let gated = ReadOptions::new().visibility(Visibility::Gated);
    for gate in [
        0,
        1,
        positions[0].to_u64(),
        positions[2].to_u64() + 5,
        u64::MAX,
        0,
    ] {
        let gate = Position::from_u64(gate);
        log.set_gate(gate);
        let mut reader = log.reader_with(From::Start, gated.clone()).unwrap();
        let mut seen = Vec::new();
        while let Some(record) = reader.try_next().unwrap() {
            seen.push(record.position());
        }
        // A record is seen when all of it lies before the gate.
        let before = positions
            .iter()
            .filter(|at| at.to_u64() + 31_252 <= gate.to_u64())
            .count();
        assert_eq!(seen, positions[..before], "gate {gate}");
        assert!(log.reader_with(From::End, gated.clone()).is_ok());
    }
}

/// A reader that found a checkpoint of the persister's uncommitted in front of a record, or the
/// padding of a segment's end, hears when that is committed: nothing else may ever wake it.
#[test]
fn a_reader_of_committed_records_hears_of_what_the_persister_commits() {
    let disk = SimDisk::new(33);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    rig.write(&log, b"one");
    let second = rig.write(&log, b"two");
    rig.rest();
    let committed = ReadOptions::new().visibility(Visibility::Committed);
    let mut reader = log.reader_with(From::End, committed).unwrap();
    let next = async move { reader.next_async().await.map(|record| record.position()) };
    let mut next = std::pin::pin!(next);
    let wakes = std::sync::Arc::new(crate::common::Wakes::default());
    std::task::Wake::wake_by_ref(&wakes);
    assert!(wakes.poll(next.as_mut()).is_none(), "there is nothing yet");
    // The log's new start is carried by a checkpoint, with no record anywhere near.
    let (before, checkpoints) = (wakes.count(), log.stats().checkpoints);
    rig.trim(&log, second).unwrap();
    assert!(log.stats().checkpoints > checkpoints);
    assert!(wakes.count() > before, "the checkpoint woke nobody");
}

/// The image of a segment that was opened again begins where appending went on: readers take what
/// lies before from the file, cross over, and find their way back.
#[test]
fn a_reader_crosses_from_the_file_into_memory() {
    for visibility in [Visibility::Durable, Visibility::Committed] {
        let mut rig = Rig::new(&SimDisk::new(34));
        let log = rig.open(&options()).unwrap();
        let mut written: Vec<_> = (0..30)
            .map(|n| rig.write(&log, &payload(n, 700 * n)))
            .collect();
        rig.close(&log).unwrap();
        drop(log);
        let log = rig.open(&options()).unwrap();
        assert_eq!(log.stats().segments, 1, "it went on in the same segment");
        written.extend((30..60).map(|n| rig.write(&log, &payload(n, 100 * n))));
        let options = ReadOptions::new().visibility(visibility);
        let mut reader = log.reader_with(From::Start, options).unwrap();
        for round in 0..2 {
            for (n, position) in written.iter().enumerate() {
                let record = reader.try_next().unwrap().unwrap();
                assert_eq!(record.position(), *position, "{n} in round {round}");
                let len = if n < 30 { 700 * n } else { 100 * n };
                assert_eq!(record.payload(), payload(n, len), "{n} in round {round}");
            }
            assert!(reader.try_next().unwrap().is_none());
            // Back over the seam, and again.
            reader.seek(From::Position(written[0])).unwrap();
        }
        for n in [29, 30, 3, 59, 0, 31] {
            reader.seek(From::Position(written[n])).unwrap();
            assert_eq!(reader.try_next().unwrap().unwrap().position(), written[n]);
        }
    }
}
