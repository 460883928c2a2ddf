//! Reading, on a simulated disk: memory and files, visibility, places, what is gone or damaged.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

use crate::disk::sim::{EIO, Fault, OpClass};
use crate::error::ErrorKind;
use crate::log::position::Position;
use crate::log::read::testing::{Rig, SEGMENT_BYTES, numbered};
use crate::log::read::{From, ReadOptions, Reader, Visibility, frame_at};

/// Reads all that is there.
fn drain(reader: &mut Reader) -> Vec<(Position, Vec<u8>)> {
    let mut records = Vec::new();
    while let Some(record) = reader.try_next().unwrap() {
        records.push((record.position(), record.to_vec()));
    }
    records
}

fn with(visibility: Visibility) -> ReadOptions {
    ReadOptions::new().visibility(visibility)
}

#[test]
fn durable_committed_and_gated_readers_see_what_they_should() {
    let mut rig = Rig::new();
    let first = Rig::at(rig.log.try_append(b"first"));
    let second = Rig::at(rig.log.try_append(b"second"));
    let mut durable = rig.log.reader(From::Start).unwrap();
    let mut committed = rig
        .log
        .reader_with(From::Start, with(Visibility::Committed))
        .unwrap();
    let mut gated = rig
        .log
        .reader_with(From::Start, with(Visibility::Gated))
        .unwrap();
    assert!(durable.try_next().unwrap().is_none());
    assert!(gated.try_next().unwrap().is_none());
    let all = vec![(first, b"first".to_vec()), (second, b"second".to_vec())];
    assert_eq!(drain(&mut committed), all);
    rig.log.set_gate(second);
    assert_eq!(drain(&mut gated), all[..1]);
    rig.flush();
    assert_eq!(drain(&mut durable), all);
    assert!(gated.try_next().unwrap().is_none());
    rig.log.set_gate(rig.log.end());
    assert_eq!(drain(&mut gated), all[1..]);
}

#[test]
fn an_open_claim_hides_what_lies_behind_it() {
    let mut rig = Rig::new();
    let log = rig.log.clone();
    let claim = log.try_claim(4).unwrap();
    let behind = Rig::at(log.try_append(b"behind"));
    let mut reader = log
        .reader_with(From::Start, with(Visibility::Committed))
        .unwrap();
    let mut sought = log
        .reader_with(From::Position(behind), with(Visibility::Committed))
        .unwrap();
    assert!(reader.try_next().unwrap().is_none());
    assert!(sought.try_next().unwrap().is_none());
    drop(claim);
    assert_eq!(&*reader.try_next().unwrap().unwrap(), b"behind");
    assert_eq!(&*sought.try_next().unwrap().unwrap(), b"behind");
    rig.flush();
}

#[test]
fn reads_across_segments_from_memory_and_from_files() {
    let mut rig = Rig::new();
    let mut tail = rig.log.reader(From::Start).unwrap();
    let mut tailed = 0;
    let mut positions = Vec::new();
    for round in 0..40 {
        positions.extend(rig.fill(round * 25..(round + 1) * 25, 9000));
        while let Some(record) = tail.try_next().unwrap() {
            assert_eq!(&*record, numbered(tailed, 9000));
            assert_eq!(record.position(), positions[tailed as usize]);
            tailed += 1;
        }
    }
    assert_eq!(tailed, 1000);
    assert!(rig.log.stats().segments > 5 && rig.log.stats().images <= 3);
    let mut cold = rig.log.reader(From::Start).unwrap();
    for (number, position) in positions.iter().enumerate() {
        let record = cold.try_next().unwrap().unwrap();
        assert_eq!(record.position(), *position);
        assert_eq!(&*record, numbered(number as u64, 9000));
    }
    assert!(cold.try_next().unwrap().is_none());
    for number in [0, 1, 117, 500, 998, 999] {
        cold.seek(From::Position(positions[number])).unwrap();
        assert_eq!(
            &*cold.try_next().unwrap().unwrap(),
            numbered(number as u64, 9000)
        );
    }
}

#[test]
fn a_frame_larger_than_a_window_is_read_from_a_file() {
    let mut rig = Rig::new();
    let large = rig.log.payload_bytes_max();
    for number in 0..5 {
        rig.append(&numbered(number, large));
    }
    rig.fill(5..300, 9000);
    let mut reader = rig.log.reader(From::Start).unwrap();
    for number in 0..5 {
        let record = reader.try_next().unwrap().unwrap();
        assert_eq!(&*record, numbered(number, large));
    }
    assert_eq!(drain(&mut reader).len(), 295);
}

#[test]
fn memory_goes_from_under_a_paused_reader_but_not_from_under_a_record() {
    let mut rig = Rig::new();
    rig.fill(0..10, 9000);
    let mut paused = rig.log.reader(From::Start).unwrap();
    let mut pinning = rig.log.reader(From::Start).unwrap();
    assert_eq!(&*paused.try_next().unwrap().unwrap(), numbered(0, 9000));
    let record = pinning.try_next().unwrap().unwrap();
    let shared = record.share();
    rig.fill(10..1000, 9000);
    assert_eq!(&*record, numbered(0, 9000));
    drop(record);
    assert_eq!(shared.payload(), numbered(0, 9000));
    let clone = shared.clone().into_bytes();
    drop(shared);
    for number in 1..1000 {
        assert_eq!(
            &*paused.try_next().unwrap().unwrap(),
            numbered(number, 9000)
        );
        assert_eq!(
            &*pinning.try_next().unwrap().unwrap(),
            numbered(number, 9000)
        );
    }
    drop((paused, pinning, rig));
    assert_eq!(clone, numbered(0, 9000));
}

#[test]
fn batches_are_read_record_by_record_and_sought_within() {
    for cold in [false, true] {
        let mut rig = Rig::new();
        rig.append(b"before");
        let at = Rig::at(rig.log.try_append_batch(&["", "a", "bc", "defghijkl", ""]));
        let behind = rig.append(b"behind");
        rig.flush();
        if cold {
            rig.fill(0..500, 9000);
        }
        let mut reader = rig.log.reader(From::Position(at)).unwrap();
        let mut positions = Vec::new();
        for expected in ["", "a", "bc", "defghijkl", ""] {
            let record = reader.try_next().unwrap().unwrap();
            assert_eq!(&*record, expected.as_bytes());
            positions.push(record.position());
        }
        assert_eq!(reader.try_next().unwrap().unwrap().position(), behind);
        assert_eq!(positions[0], at);
        assert!(positions.windows(2).all(|pair| pair[0] < pair[1]));
        for (index, position) in positions.iter().enumerate() {
            reader.seek(From::Position(*position)).unwrap();
            let record = reader.try_next().unwrap().unwrap();
            assert_eq!(record.position(), *position);
            drop(record);
            let rest = reader.next_batch(4 - index + 1, usize::MAX).unwrap();
            assert_eq!(rest.iter().last().unwrap().position(), behind, "{index}");
        }
        let core = rig.log.core();
        let durable = rig.log.durable().get();
        assert_eq!(frame_at(core, behind).unwrap(), behind);
        assert_eq!(frame_at(core, durable).unwrap(), durable);
        // The batch stands or falls as one: its first record stands for it.
        let frame = frame_at(core, at).unwrap();
        assert_eq!(frame_at(core, frame).unwrap(), frame);
        let mut place = frame.plus(8);
        while place < behind {
            assert_eq!(frame_at(core, place).is_ok(), place == at, "{place}");
            let sought = reader.seek(From::Position(place));
            assert_eq!(sought.is_ok(), positions.contains(&place), "{place}");
            place = place.plus(8);
        }
    }
}

#[test]
fn a_batch_half_taken_survives_its_memory() {
    let mut rig = Rig::new();
    let payloads: Vec<_> = (0..20).map(|number| numbered(number, 5000)).collect();
    Rig::at(rig.log.try_append_batch(&payloads));
    rig.flush();
    let mut reader = rig.log.reader(From::Start).unwrap();
    for payload in &payloads[..7] {
        assert_eq!(&*reader.try_next().unwrap().unwrap(), &payload[..]);
    }
    rig.fill(0..500, 9000);
    for payload in &payloads[7..] {
        assert_eq!(&*reader.try_next().unwrap().unwrap(), &payload[..]);
    }
    assert_eq!(drain(&mut reader).len(), 500);
}

#[test]
fn lent_batches_keep_to_their_limits() {
    let mut rig = Rig::new();
    rig.fill(0..50, 9000);
    let mut reader = rig.log.reader(From::Start).unwrap();
    assert_eq!(reader.next_batch(5, usize::MAX).unwrap().len(), 5);
    assert_eq!(reader.next_batch(100, 17_999).unwrap().len(), 1);
    assert_eq!(reader.next_batch(100, 18_000).unwrap().len(), 2);
    assert_eq!(
        reader.next_batch(100, 1).unwrap().len(),
        1,
        "the first one always comes"
    );
    assert_eq!(
        reader.next_batch(0, 1).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    rig.fill(50..300, 9000);
    let mut number = 9;
    while let Some(batch) = reader.try_next_batch(64, 1 << 20).unwrap() {
        for record in &batch {
            assert_eq!(&*record, numbered(number, 9000));
            number += 1;
        }
    }
    assert_eq!(number, 300);
}

#[test]
fn places_that_are_no_records_are_refused() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..300, 9000);
    let mut reader = rig.log.reader(From::Position(positions[5])).unwrap();
    let end = rig.log.end();
    let beyond = Position::new(end.segment(), end.offset_bytes() + 8);
    let unknown = Position::new(end.segment() + 100, 4096);
    for place in [
        positions[7].plus(8),
        positions[250].plus(8),
        beyond,
        unknown,
    ] {
        let error = reader.seek(From::Position(place)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoRecord, "{place}: {error}");
        assert_eq!(reader.position(), positions[5]);
    }
    reader.seek(From::Position(end)).unwrap();
    assert!(reader.try_next().unwrap().is_none());
    reader.seek(From::End).unwrap();
    let new = rig.append(b"new");
    rig.flush();
    assert_eq!(reader.try_next().unwrap().unwrap().position(), new);
}

#[test]
fn the_end_is_behind_what_is_visible() {
    let mut rig = Rig::new();
    rig.fill(0..250, 9000);
    let gate = rig.append(b"held back");
    let committed = with(Visibility::Committed);
    let mut durable = rig.log.reader(From::End).unwrap();
    let mut sooner = rig.log.reader_with(From::End, committed).unwrap();
    rig.log.set_gate(gate);
    let mut gated = rig
        .log
        .reader_with(From::End, with(Visibility::Gated))
        .unwrap();
    assert!(sooner.try_next().unwrap().is_none());
    assert!(gated.try_next().unwrap().is_none());
    rig.append(b"newest");
    rig.flush();
    rig.log.set_gate(rig.log.end());
    assert_eq!(drain(&mut durable).len(), 2);
    assert_eq!(drain(&mut sooner).len(), 1);
    assert_eq!(drain(&mut gated).len(), 2);
}

#[test]
fn a_time_misses_nothing_that_came_later() {
    let mut rig = Rig::new();
    let mut marks = Vec::new();
    for round in 0..8u64 {
        rig.disk.advance(Duration::from_secs(60));
        let now = crate::disk::Disk::now_unix_ns(&rig.disk);
        marks.push((
            SystemTime::UNIX_EPOCH + Duration::from_nanos(now),
            round * 50,
        ));
        rig.fill(round * 50..(round + 1) * 50, 9000);
    }
    for (time, number) in &marks {
        let mut reader = rig.log.reader(From::Time(*time)).unwrap();
        let record = reader.try_next().unwrap().unwrap();
        let found = u64::from_le_bytes(record[..8].try_into().unwrap());
        assert!(
            found <= *number && found + 100 > *number,
            "{found} for {number}"
        );
    }
    let mut early = rig.log.reader(From::Time(SystemTime::UNIX_EPOCH)).unwrap();
    assert_eq!(drain(&mut early).len(), 400);
}

#[test]
fn a_reader_behind_the_start_is_told_where_to_resume() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..500, 9000);
    let mut reader = rig.log.reader(From::Start).unwrap();
    reader.next_batch(10, usize::MAX).unwrap();
    let to = positions[321];
    assert_eq!(rig.ask(|log| log.trim(to)).unwrap(), to);
    let error = reader.try_next().unwrap_err();
    assert_eq!(
        (error.kind(), error.position()),
        (ErrorKind::Trimmed, Some(to))
    );
    assert_eq!(reader.position(), to);
    assert_eq!(&*reader.try_next().unwrap().unwrap(), numbered(321, 9000));
    let sought = reader.seek(From::Position(positions[3])).unwrap_err();
    assert_eq!(
        (sought.kind(), sought.position()),
        (ErrorKind::Trimmed, Some(to))
    );
    reader.seek(From::Start).unwrap();
    assert_eq!(drain(&mut reader).len(), 500 - 321);
}

#[test]
fn a_reader_beyond_a_cut_is_told_where_to_resume() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..300, 9000);
    let mut far = rig.log.reader(From::Position(positions[290])).unwrap();
    let mut near = rig.log.reader(From::Position(positions[105])).unwrap();
    let mut before = rig.log.reader(From::Position(positions[90])).unwrap();
    let mut end = rig.log.reader(From::End).unwrap();
    assert_eq!(&*near.try_next().unwrap().unwrap(), numbered(105, 9000));
    let to = positions[100];
    let resume = rig.ask(|log| log.truncate(to)).unwrap();
    rig.fill(1000..1010, 50);
    for reader in [&mut far, &mut near, &mut end] {
        let error = reader.try_next().unwrap_err();
        assert_eq!(
            (error.kind(), error.position()),
            (ErrorKind::Cut, Some(resume)),
            "{error}"
        );
        let rest = drain(reader);
        assert_eq!(rest.len(), 10);
        assert_eq!(rest[0], (resume, numbered(1000, 50)));
    }
    let rest = drain(&mut before);
    assert_eq!(rest.len(), 10 + 10);
    assert_eq!((rest[9].0, rest[10].0), (positions[99], resume));
}

#[test]
fn a_log_is_cut_before_a_record_or_a_whole_batch() {
    let mut rig = Rig::new();
    rig.fill(0..3, 100);
    let batch = Rig::at(rig.log.try_append_batch(&["x", "y"]));
    rig.flush();
    for place in [batch.plus(8), batch.plus(16)] {
        let error = rig.ask(|log| log.truncate(place)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoRecord, "{place}");
    }
    rig.ask(|log| log.truncate(batch)).unwrap();
    rig.fill(3..5, 100);
    let mut reader = rig.log.reader(From::Start).unwrap();
    for number in 0..5 {
        assert_eq!(&*reader.try_next().unwrap().unwrap(), numbered(number, 100));
    }
    assert!(reader.try_next().unwrap().is_none());
}

#[test]
fn damage_is_told_with_its_place_and_can_be_passed_by() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..500, 9000);
    let bad = positions[20];
    let name = format!("/log/{}", crate::log::segment::file_name(bad.segment()));
    rig.disk
        .corrupt(&name, bad.offset_bytes() + 100, 1, 1)
        .unwrap();
    let mut reader = rig.log.reader(From::Start).unwrap();
    for number in 0..20 {
        assert_eq!(
            &*reader.try_next().unwrap().unwrap(),
            numbered(number, 9000)
        );
    }
    for _ in 0..2 {
        let error = reader.try_next().unwrap_err();
        assert_eq!(
            (error.kind(), error.position()),
            (ErrorKind::Damaged, Some(bad)),
            "{error}"
        );
        assert!(error.path().unwrap().ends_with(&name[1..]), "{error}");
    }
    reader.seek(From::Position(positions[21])).unwrap();
    assert_eq!(drain(&mut reader).len(), 500 - 21);
}

#[test]
fn a_disk_that_cannot_be_read_is_an_error_that_passes() {
    let mut rig = Rig::new();
    rig.fill(0..500, 9000);
    let mut reader = rig.log.reader(From::Start).unwrap();
    rig.disk.fail(Fault::once(
        OpClass::Read,
        rig.disk.count(OpClass::Read) + 3,
        EIO,
    ));
    let (mut read, mut failures) = (0, 0);
    while read < 500 {
        match reader.try_next() {
            Ok(Some(record)) => {
                assert_eq!(&*record, numbered(read, 9000));
                read += 1;
            }
            Ok(None) => panic!("{read} records only"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io);
                assert!(error.path().is_some() && error.position().is_some());
                failures += 1;
            }
        }
    }
    assert_eq!(failures, 1);
    rig.fill(500..501, 10);
    assert_eq!(&*reader.try_next().unwrap().unwrap(), numbered(500, 10));
}

#[test]
fn a_closed_log_is_drained_first() {
    let mut rig = Rig::new();
    rig.fill(0..3, 100);
    let mut reader = rig.log.reader(From::Start).unwrap();
    rig.append(b"last");
    rig.close();
    for _ in 0..4 {
        reader.next().unwrap();
    }
    assert_eq!(reader.next().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(reader.try_next().unwrap_err().kind(), ErrorKind::Closed);
    reader.seek(From::Start).unwrap();
    assert_eq!(reader.next_batch(10, usize::MAX).unwrap().len(), 4);
}

#[test]
fn a_failed_log_is_readable_as_far_as_it_is_durable() {
    let mut rig = Rig::new();
    rig.fill(0..100, 5000);
    let mut reader = rig.log.reader(From::Start).unwrap();
    rig.disk.fail(Fault::for_good(
        OpClass::Write,
        rig.disk.count(OpClass::Write) + 1,
        EIO,
    ));
    let lost = rig.log.clone();
    let ticket = lost.try_append(b"lost").unwrap();
    rig.until(|_| ticket.is_done());
    for number in 0..100 {
        assert_eq!(&*reader.next().unwrap(), numbered(number, 5000));
    }
    assert_eq!(reader.next().unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_blocked_reader_is_woken_at_each_visibility() {
    for visibility in [
        Visibility::Durable,
        Visibility::Committed,
        Visibility::Gated,
    ] {
        for spin in [Duration::ZERO, Duration::from_micros(50)] {
            let mut rig = Rig::new();
            let mut reader = rig
                .log
                .reader_with(From::Start, with(visibility).spin(spin))
                .unwrap();
            std::thread::scope(|scope| {
                let read = scope.spawn(move || {
                    for number in 0..200 {
                        assert_eq!(&*reader.next().unwrap(), numbered(number, 9000));
                    }
                    assert_eq!(reader.next().unwrap_err().kind(), ErrorKind::Closed);
                });
                for number in 0..200 {
                    rig.append(&numbered(number, 9000));
                    rig.log.set_gate(rig.log.end());
                    if number % 7 == 0 {
                        rig.flush();
                    }
                }
                rig.close();
                read.join().unwrap();
            });
        }
    }
}

#[test]
fn a_deadline_that_passed_is_told() {
    let mut rig = Rig::new();
    let mut reader = rig.log.reader(From::Start).unwrap();
    let past = Instant::now();
    assert_eq!(
        reader.next_deadline(past).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    assert_eq!(
        reader.next_batch_deadline(1, 1, past).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    rig.fill(0..1, 10);
    assert_eq!(&*reader.next_deadline(past).unwrap(), numbered(0, 10));
}

/// Counts its wake-ups.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn an_awaited_record_wakes_its_task_and_a_dropped_wait_loses_nothing() {
    let mut rig = Rig::new();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let mut reader = rig.log.reader(From::Start).unwrap();
    {
        let mut dropped = pin!(reader.next_async());
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
    }
    rig.fill(0..1, 100);
    assert_eq!(
        count.0.load(Ordering::SeqCst),
        0,
        "its registration went with it"
    );
    {
        let mut ready = pin!(reader.next_async());
        let Poll::Ready(Ok(record)) = ready.as_mut().poll(&mut cx) else {
            panic!()
        };
        assert_eq!(&*record, numbered(0, 100));
    }
    let mut waiting = pin!(reader.next_async());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    rig.fill(1..2, 100);
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    let Poll::Ready(Ok(record)) = waiting.as_mut().poll(&mut cx) else {
        panic!()
    };
    assert_eq!(&*record, numbered(1, 100));
}

#[test]
fn sharing_beyond_the_budget_copies() {
    let mut rig = Rig::new();
    rig.fill(0..400, 9000);
    let options = ReadOptions::new().shared_bytes(SEGMENT_BYTES);
    let mut reader = rig.log.reader_with(From::Start, options).unwrap();
    let mut shared = Vec::new();
    while let Some(record) = reader.try_next().unwrap() {
        shared.push(record.share());
    }
    for (number, record) in shared.iter().enumerate() {
        assert_eq!(record.payload(), numbered(number as u64, 9000));
    }
}

#[test]
fn readers_and_records_go_where_they_are_needed() {
    fn is_send<T: Send>() {}
    fn is_static<T: Send + Sync + 'static>() {}
    is_static::<Reader>();
    is_static::<crate::SharedRecord>();
    is_send::<crate::Record<'_>>();
    is_send::<crate::Batch<'_>>();
    is_send::<crate::Next<'_>>();
}

#[test]
fn a_reader_finds_the_end_although_the_log_was_trimmed_behind_the_last_known_boundary() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..10, 9);
    rig.ask(|log| log.trim(positions[5])).unwrap();
    let gated = with(Visibility::Gated);
    let mut reader = rig.log.reader_with(From::End, gated).unwrap();
    assert!(reader.try_next().unwrap().is_none());
    rig.log.set_gate(positions[6]);
    assert_eq!(&*reader.try_next().unwrap().unwrap(), numbered(5, 9));
}

#[test]
fn a_reader_starts_in_a_log_whose_start_lies_within_a_record() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..3, 100);
    let within = Position::from_u64(positions[1].to_u64() + 1);
    rig.ask(|log| log.trim(within)).unwrap();
    // Cut, so that the segment is read from its file.
    rig.ask(|log| log.truncate(positions[2])).unwrap();
    let mut reader = rig.log.reader(From::Start).unwrap();
    assert!(reader.try_next().unwrap().is_none());
    rig.fill(3..4, 100);
    assert_eq!(&*reader.try_next().unwrap().unwrap(), numbered(3, 100));
}

#[test]
fn a_reader_starts_behind_a_cut_that_the_logs_start_was_moved_into() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..3, 100);
    rig.ask(|log| log.truncate(positions[0])).unwrap();
    rig.ask(|log| log.trim(positions[1])).unwrap();
    let mut reader = rig.log.reader(From::Start).unwrap();
    assert!(reader.try_next().unwrap().is_none());
    rig.fill(3..4, 100);
    assert_eq!(&*reader.try_next().unwrap().unwrap(), numbered(3, 100));
}

#[test]
fn a_reader_at_the_begin_of_a_segment_that_is_cut_off_is_told() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..2, 100);
    rig.ask(|log| log.truncate(positions[1])).unwrap();
    let mut reader = rig.log.reader(From::End).unwrap();
    assert!(reader.position() > positions[1]);
    rig.ask(|log| log.truncate(positions[0])).unwrap();
    assert_eq!(reader.try_next().unwrap_err().kind(), ErrorKind::Cut);
}

#[test]
fn a_log_is_cut_before_a_batch_at_whose_first_record_it_starts() {
    let mut rig = Rig::new();
    let batch = Rig::at(rig.log.try_append_batch(&["one", "two"]));
    rig.flush();
    rig.ask(|log| log.trim(batch)).unwrap();
    let next = rig.ask(|log| log.truncate(batch)).unwrap();
    assert_eq!(rig.fill(0..1, 9), [next]);
    let mut reader = rig.log.reader(From::Start).unwrap();
    assert_eq!(drain(&mut reader), [(next, numbered(0, 9))]);
}

#[test]
fn a_gate_that_moves_back_hides_what_was_not_read_yet() {
    let mut rig = Rig::new();
    let batch = Rig::at(rig.log.try_append_batch(&["one", "two"]));
    rig.flush();
    rig.log.set_gate(rig.log.end());
    let mut reader = rig
        .log
        .reader_with(From::Start, with(Visibility::Gated))
        .unwrap();
    assert_eq!(&*reader.try_next().unwrap().unwrap(), b"one");
    rig.log.set_gate(batch);
    assert!(reader.try_next().unwrap().is_none());
    rig.log.set_gate(rig.log.end());
    assert_eq!(&*reader.try_next().unwrap().unwrap(), b"two");
}
