//! Many positions at once, on a simulated disk: visibility, what is gone, damaged or unreadable, and
//! what it takes of memory. That the records are those of a reader, on every disk, is in
//! `tests/read_many.rs`.

use crate::disk::sim::{EIO, Fault, OpClass, SimOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::log::frame::HEADER_BYTES;
use crate::log::position::Position;
use crate::log::read::testing::{Rig, SEGMENT_BYTES, numbered};
use crate::log::read::{From, ReadMany, ReadOptions, SharedRecord, Visibility};

/// Each answer: where it lies and its bytes, or why not.
fn ask(log: &Log, positions: &[Position]) -> Vec<Result<(Position, Vec<u8>)>> {
    ask_with(log, positions, &ReadOptions::new())
}

fn ask_with(
    log: &Log,
    positions: &[Position],
    options: &ReadOptions,
) -> Vec<Result<(Position, Vec<u8>)>> {
    let answers = log.read_many_with(positions.iter().copied(), options);
    assert_eq!(
        answers.size_hint(),
        (positions.len(), Some(positions.len()))
    );
    let plain = |record: SharedRecord| (record.position(), record.payload().to_vec());
    answers.map(|answer| answer.map(plain)).collect()
}

fn kind(answer: &Result<(Position, Vec<u8>)>) -> Option<ErrorKind> {
    answer.as_ref().err().map(Error::kind)
}

/// A log of some segments, all but the last few of them on disk only; record `i` is `numbered(i)`.
fn filled(seed: u64, count: u64, len: usize) -> (Rig, Vec<Position>) {
    let mut rig = Rig::on(SimOptions::new().seed(seed).build());
    let positions = rig.fill(0..count, len);
    assert!(rig.log.stats().segments > rig.log.stats().images);
    (rig, positions)
}

/// In an order that has nothing to do with theirs.
fn shuffled<T: Clone>(items: &[T]) -> Vec<T> {
    (0..items.len())
        .map(|i| items[(i * 7919 + 3) % items.len()].clone())
        .collect()
}

#[test]
fn records_come_in_the_order_asked_from_files_and_from_memory() {
    let (rig, positions) = filled(1, 500, 9000);
    let numbers: Vec<u64> = shuffled(&Vec::from_iter(0..500));
    let wanted: Vec<_> = numbers.iter().map(|n| positions[*n as usize]).collect();
    for depth in [0, 1, 2, 32, 1000] {
        let options = ReadOptions::new().depth(depth);
        let answers = ask_with(&rig.log, &wanted, &options);
        for ((number, position), answer) in numbers.iter().zip(&wanted).zip(answers) {
            assert_eq!(answer.unwrap(), (*position, numbered(*number, 9000)));
        }
    }
    assert_eq!(rig.log.core().reads.lent_bytes(), 0);
    assert!(ask(&rig.log, &[]).is_empty());
}

#[test]
fn a_batchs_records_are_found_and_nothing_else_within_it() {
    for cold in [false, true] {
        let mut rig = Rig::new();
        let payloads: Vec<_> = [0, 1, 5000, 30, 0, 20_000, 7]
            .into_iter()
            .map(|len| vec![len as u8; len])
            .collect();
        let before = rig.append(b"before");
        let first = Rig::at(rig.log.try_append_batch(&payloads));
        let behind = rig.append(b"behind");
        rig.flush();
        if cold {
            rig.fill(0..500, 9000);
        }
        let mut reader = rig.log.reader(From::Position(first)).unwrap();
        let mut expected = Vec::new();
        for payload in &payloads {
            let record = reader.try_next().unwrap().unwrap();
            assert_eq!(&*record, &payload[..]);
            expected.push((record.position(), payload.clone()));
        }
        // Every place between the two neighbours.
        let places: Vec<_> = (before.to_u64() + 1..behind.to_u64())
            .map(Position::from_u64)
            .collect();
        // The batch's own position stands for its first record.
        let frame = crate::log::read::frame_at(rig.log.core(), first).unwrap();
        for (place, answer) in places.iter().zip(ask(&rig.log, &places)) {
            let record = expected.iter().find(|(position, _)| position == place);
            let record = record.or_else(|| expected.first().filter(|_| *place == frame));
            match record {
                Some(record) => assert_eq!(answer.unwrap(), *record, "{place}"),
                None => assert_eq!(kind(&answer), Some(ErrorKind::NoRecord), "{place}"),
            }
        }
    }
}

#[test]
fn what_is_not_visible_yet_is_told_and_is_there_later() {
    let (mut rig, old) = filled(2, 400, 9000);
    let new = rig.append(b"committed");
    let batch = Rig::at(rig.log.try_append_batch(&["in", "a batch"]));
    let end = rig.log.end();
    let wanted = [new, old[3], batch, end, old[399]];
    let kinds = |rig: &Rig, visibility| -> Vec<_> {
        let options = ReadOptions::new().visibility(visibility);
        let answers = ask_with(&rig.log, &wanted, &options);
        answers.iter().map(kind).collect()
    };
    let (not_yet, none) = (Some(ErrorKind::WouldBlock), Some(ErrorKind::NoRecord));
    assert_eq!(
        kinds(&rig, Visibility::Durable),
        [not_yet, None, not_yet, not_yet, None]
    );
    assert_eq!(
        kinds(&rig, Visibility::Committed),
        [None, None, None, not_yet, None]
    );
    rig.log.set_gate(old[399]);
    assert_eq!(
        kinds(&rig, Visibility::Gated),
        [not_yet, None, not_yet, not_yet, not_yet]
    );
    rig.log.set_gate(batch);
    assert_eq!(
        kinds(&rig, Visibility::Gated),
        [None, None, not_yet, not_yet, None]
    );
    let beyond = Position::new(end.segment(), end.offset_bytes() + 8);
    assert_eq!(kind(&ask(&rig.log, &[beyond])[0]), none);
    rig.flush();
    // Where the end was, a checkpoint lies now.
    assert_eq!(
        kinds(&rig, Visibility::Durable),
        [None, None, None, none, None]
    );
    let answers = ask(&rig.log, &[new, batch]);
    assert_eq!(answers[0].as_ref().unwrap().1, b"committed");
    assert_eq!(answers[1].as_ref().unwrap().1, b"in");
    rig.close();
    let answers: Vec<_> = ask(&rig.log, &wanted).iter().map(kind).collect();
    assert_eq!(answers, [None, None, None, none, None]);
    assert_eq!(
        kind(&ask(&rig.log, &[rig.log.durable().get()])[0]),
        Some(ErrorKind::Closed)
    );
}

/// The watermark may stand within a frame, even within its header. A record of which 8 bytes lay before it
/// passed for a place that no record begins at.
#[test]
fn a_record_of_whose_header_half_is_on_disk_is_not_visible_yet() {
    const BLOCK: u64 = 4096;
    let mut rig = Rig::new();
    let log = rig.log.clone();
    let end = log.end().offset_bytes();
    let gap = (BLOCK - 8) - end % BLOCK - HEADER_BYTES as u64;
    Rig::at(log.try_append(&vec![1; gap as usize]));
    let record = Rig::at(log.try_append(b"across two blocks"));
    assert_eq!(record.offset_bytes() % BLOCK, BLOCK - 8);
    // While this is open there are only whole blocks to be written.
    let claim = log.try_claim(8).unwrap();
    rig.until(|log| log.durable().get() > record);
    assert_eq!(log.durable().get(), record.plus(8));
    assert_eq!(kind(&ask(&log, &[record])[0]), Some(ErrorKind::WouldBlock));
    drop(claim.commit());
    rig.flush();
    let answers = ask(&log, &[record]);
    assert_eq!(answers[0].as_ref().unwrap().1, b"across two blocks");
}

#[test]
fn what_is_gone_is_told_and_the_rest_is_there() {
    let (mut rig, positions) = filled(3, 500, 9000);
    rig.ask(|log| log.trim(positions[200])).unwrap();
    rig.ask(|log| log.truncate(positions[450])).unwrap();
    let after = rig.fill(1000..1005, 100);
    let check = |rig: &Rig| {
        for (number, answer) in ask(&rig.log, &positions).into_iter().enumerate() {
            match number {
                0..200 => {
                    assert_eq!(kind(&answer), Some(ErrorKind::Trimmed), "{number}");
                    let resume = answer.unwrap_err().position();
                    assert_eq!(resume, Some(positions[200]));
                }
                450.. => assert_eq!(kind(&answer), Some(ErrorKind::Cut), "{number}"),
                _ => assert_eq!(answer.unwrap().1, numbered(number as u64, 9000)),
            }
        }
        for (number, answer) in ask(&rig.log, &after).into_iter().enumerate() {
            assert_eq!(answer.unwrap().1, numbered(1000 + number as u64, 100));
        }
        let unknown = Position::new(rig.log.end().segment() + 100, 4096);
        let places = [unknown, Position::from_u64(u64::MAX), Position::MIN];
        let kinds: Vec<_> = ask(&rig.log, &places).iter().map(kind).collect();
        let none = Some(ErrorKind::NoRecord);
        assert_eq!(kinds, [none, none, Some(ErrorKind::Trimmed)]);
    };
    check(&rig);
    // Also when the cut segment is not in memory any more.
    rig.fill(0..500, 9000);
    check(&rig);
}

#[test]
fn places_that_are_no_records_are_told() {
    let (rig, positions) = filled(4, 400, 9000);
    let mut places = Vec::new();
    for number in [1, 100, 250, 399] {
        let at = positions[number];
        places.extend([at.plus(8), at.plus(16), at.plus(4096), at.plus(9008)]);
        // The header, where that does not lie before the log's start, and behind the last frame.
        if at.segment() > rig.log.start().segment() {
            places.push(Position::new(at.segment(), 0));
        }
        places.push(Position::new(at.segment(), SEGMENT_BYTES - 8));
    }
    for (place, answer) in places.iter().zip(ask(&rig.log, &places)) {
        // Behind the last frame of a segment that others follow, it may have been cut off.
        let expected = match place.offset_bytes() == SEGMENT_BYTES - 8 {
            true => rig.log.reader(From::Position(*place)).unwrap_err().kind(),
            false => ErrorKind::NoRecord,
        };
        assert_eq!(kind(&answer), Some(expected), "{place}");
    }
}

#[test]
fn damage_is_told_from_a_place_without_a_record_and_concerns_nothing_else() {
    let (rig, positions) = filled(5, 500, 9000);
    let bad = positions[20];
    let name = format!("/log/{}", crate::log::segment::file_name(bad.segment()));
    // In the payload, and (of another one) where the frame's length is.
    rig.disk
        .corrupt(&name, bad.offset_bytes() + 100, 1, 1)
        .unwrap();
    let worse = positions[40];
    rig.disk.corrupt(&name, worse.offset_bytes(), 4, 2).unwrap();
    let answers = ask(&rig.log, &positions);
    for (number, answer) in answers.into_iter().enumerate() {
        if number == 20 || number == 40 {
            assert_eq!(kind(&answer), Some(ErrorKind::Damaged), "{number}");
            let error = answer.unwrap_err();
            // The second one cannot be told from the first by walking there.
            assert!(error.position() == Some(bad), "{error}");
            assert!(error.path().unwrap().ends_with(&name[1..]), "{error}");
        } else {
            assert_eq!(answer.unwrap().1, numbered(number as u64, 9000));
        }
    }
    // Within a sound record before the damage.
    let within = positions[10].plus(64);
    assert_eq!(
        kind(&ask(&rig.log, &[within])[0]),
        Some(ErrorKind::NoRecord)
    );
}

#[test]
fn a_read_that_fails_concerns_its_record_alone() {
    let (rig, positions) = filled(6, 400, 9000);
    let wanted = shuffled(&positions[..150]);
    let mut nth = 1;
    loop {
        let fault = rig.disk.count(OpClass::Read) + nth;
        rig.disk.fail(Fault::once(OpClass::Read, fault, EIO));
        let mut failures = 0;
        for (position, answer) in wanted.iter().zip(ask(&rig.log, &wanted)) {
            match answer {
                Ok((at, payload)) => {
                    let number = positions.binary_search(&at).unwrap() as u64;
                    assert_eq!((at, payload), (*position, numbered(number, 9000)));
                }
                Err(error) => {
                    failures += 1;
                    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                    assert_eq!(error.position(), Some(*position));
                    assert!(error.path().is_some(), "{error}");
                    assert!(error.to_string().contains("at offset"), "{error}");
                }
            }
        }
        let met = rig.disk.count(OpClass::Read) >= fault;
        rig.disk.clear_faults();
        assert_eq!(failures, usize::from(met), "read {nth}");
        assert_eq!(rig.log.core().reads.lent_bytes(), 0);
        if !met {
            break;
        }
        nth += 1;
    }
    assert!(nth > 150);
    // All of them fail, and nobody hangs.
    let next = rig.disk.count(OpClass::Read) + 1;
    rig.disk.fail(Fault::for_good(OpClass::Read, next, EIO));
    for answer in ask(&rig.log, &wanted) {
        assert_eq!(kind(&answer), Some(ErrorKind::Io));
    }
    rig.disk.clear_faults();
    assert!(ask(&rig.log, &wanted).iter().all(Result::is_ok));
}

#[test]
fn the_budget_holds_and_the_first_gets_on_without_it() {
    for budget in [0, 100 << 10, 2 << 20] {
        let mut rig = Rig::with(SimOptions::new().seed(8).build(), |options| {
            options.read_buffer_bytes(budget)
        });
        let lens = [100, 5000, 70_000, 300_000, 0];
        let positions: Vec<_> = (0..200)
            .map(|number| rig.append(&numbered(number, lens[number as usize % 5])))
            .collect();
        rig.flush();
        rig.fill(0..400, 9000);
        let pool = std::sync::Arc::clone(&rig.log.core().reads);
        // Nothing is kept, so that all that is lent is the scatter's own.
        let options = ReadOptions::new().shared_bytes(0);
        let wanted = shuffled(&positions);
        let answers = rig.log.read_many_with(wanted.iter().copied(), &options);
        for (position, answer) in wanted.iter().zip(answers) {
            let number = positions.binary_search(position).unwrap() as u64;
            let expected = numbered(number, lens[number as usize % 5]);
            assert_eq!(answer.unwrap().payload(), expected);
            // One record, in whole blocks.
            let bound = budget + 300_000 + 3 * 4096;
            assert!(pool.peak_bytes() <= bound, "{}", pool.peak_bytes());
        }
        assert_eq!(pool.lent_bytes(), 0);
        assert!(pool.peak_bytes() >= 300_000);
    }
}

#[test]
fn what_is_kept_keeps_its_own_budget() {
    let (rig, positions) = filled(9, 400, 9000);
    let options = ReadOptions::new().shared_bytes(20 << 10);
    let kept: Vec<_> = rig
        .log
        .read_many_with(positions[..100].iter().copied(), &options)
        .map(Result::unwrap)
        .collect();
    for (number, record) in kept.iter().enumerate() {
        assert_eq!(record.payload(), numbered(number as u64, 9000));
    }
    assert_eq!(rig.log.core().reads.lent_bytes(), 0);
    drop(rig);
    assert_eq!(kept[99].payload(), numbered(99, 9000));
}

#[test]
fn one_that_is_dropped_in_the_middle_gives_everything_back() {
    let (mut rig, positions) = filled(10, 400, 9000);
    for taken in [0, 1, 10, 40] {
        let mut answers = rig.log.read_many(positions.clone());
        for answer in answers.by_ref().take(taken) {
            answer.unwrap();
        }
        drop(answers);
        assert_eq!(rig.log.core().reads.lent_bytes(), 0);
    }
    // The records asked for ahead are read while the log closes.
    let mut answers = rig.log.read_many(positions.clone());
    answers.next().unwrap().unwrap();
    rig.close();
    assert_eq!(answers.by_ref().map(Result::unwrap).count(), 399);
    assert!(answers.next().is_none());
}

#[test]
fn it_goes_where_it_is_needed() {
    fn is_static<T: Send + Sync + 'static>() {}
    is_static::<ReadMany<std::vec::IntoIter<Position>>>();
}
