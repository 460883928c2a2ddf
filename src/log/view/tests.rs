//! Views of a log on a simulated disk, while its writer goes on.

use std::time::{Duration, SystemTime};

use crate::disk::sim::{EIO, Fault, OpClass, SimDisk};
use crate::error::ErrorKind;
use crate::log::position::Position;
use crate::log::read::From;
use crate::log::read::testing::{Rig, numbered};
use crate::log::segment;
use crate::log::view::{LogView, ViewReader};

fn view(rig: &Rig) -> LogView {
    LogView::open_on(&rig.disk, "/log").unwrap()
}

/// Reads all that is proven.
fn drain(reader: &mut ViewReader) -> Vec<(Position, Vec<u8>)> {
    let mut records = Vec::new();
    while let Some(record) = reader.try_next().unwrap() {
        records.push((record.position(), record.to_vec()));
    }
    records
}

/// Lets the log go idle, so that its last group is attested.
fn idle(rig: &mut Rig) {
    rig.flush();
    for _ in 0..20 {
        rig.disk.advance(Duration::from_millis(10));
        rig.turn();
    }
}

#[test]
fn a_view_follows_a_log_that_is_written() {
    let mut rig = Rig::new();
    let mut follower = view(&rig).reader(From::Start).unwrap();
    assert!(follower.try_next().unwrap().is_none());
    let mut number = 0;
    let mut positions = Vec::new();
    for round in 0..40 {
        positions.extend(rig.fill(round * 25..(round + 1) * 25, 9000));
        if round % 3 == 0 {
            idle(&mut rig);
        }
        let durable = rig.log.durable().get();
        while let Some(record) = follower.try_next().unwrap() {
            assert_eq!(record.payload(), numbered(number, 9000));
            assert_eq!(record.position(), positions[number as usize]);
            assert!(record.position() < durable);
            number += 1;
        }
        if round % 3 == 0 {
            assert_eq!(number, positions.len() as u64, "idle: all is attested");
        }
    }
    idle(&mut rig);
    number += drain(&mut follower).len() as u64;
    assert_eq!(number, 1000);
    let all = drain(&mut view(&rig).reader(From::Start).unwrap());
    assert_eq!(
        all.iter()
            .map(|(position, _)| *position)
            .collect::<Vec<_>>(),
        positions
    );
}

#[test]
fn nothing_is_seen_before_it_is_on_disk() {
    let mut rig = Rig::new();
    let mut reader = view(&rig).reader(From::Start).unwrap();
    for number in 0..50 {
        rig.append(&numbered(number, 3000));
    }
    let mut seen = 0;
    loop {
        let durable = rig.log.durable().get();
        for (position, _) in drain(&mut reader) {
            assert!(position < durable);
            seen += 1;
        }
        if seen == 50 {
            break;
        }
        rig.disk.advance(Duration::from_millis(1));
        rig.turn();
    }
}

#[test]
fn places_are_found_in_a_view_too() {
    let mut rig = Rig::new();
    rig.fill(0..200, 9000);
    let batch = Rig::at(rig.log.try_append_batch(&["x", "", "yz"]));
    let behind = rig.append(b"behind");
    idle(&mut rig);
    let view = view(&rig);
    let mut reader = view.reader(From::Position(batch)).unwrap();
    let records = drain(&mut reader);
    let payloads: Vec<_> = records
        .iter()
        .map(|(_, payload)| payload.as_slice())
        .collect();
    assert_eq!(payloads, [b"x".as_slice(), b"", b"yz", b"behind"]);
    for (index, (position, _)) in records.iter().enumerate() {
        reader.seek(From::Position(*position)).unwrap();
        assert_eq!(reader.position(), *position);
        assert_eq!(drain(&mut reader), records[index..]);
    }
    assert_eq!(records[3].0, behind);
    let unknown = Position::new(behind.segment() + 50, 4096);
    for place in [batch.plus(8), behind.plus(8), unknown] {
        let error = reader.seek(From::Position(place)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoRecord, "{place}");
    }
    reader.seek(From::End).unwrap();
    assert!(reader.try_next().unwrap().is_none());
    assert!(view.end().unwrap() > behind);
    rig.append(b"new");
    idle(&mut rig);
    assert_eq!(reader.try_next().unwrap().unwrap().payload(), b"new");
}

#[test]
fn a_time_misses_nothing_in_a_view() {
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
    idle(&mut rig);
    let view = view(&rig);
    for (time, number) in &marks {
        let mut reader = view.reader(From::Time(*time)).unwrap();
        let record = reader.try_next().unwrap().unwrap();
        let found = u64::from_le_bytes(record[..8].try_into().unwrap());
        assert!(
            found <= *number && found + 150 > *number,
            "{found} for {number}"
        );
    }
}

#[test]
fn a_view_behind_the_start_is_told_where_to_resume() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..500, 9000);
    idle(&mut rig);
    let mut reader = view(&rig).reader(From::Start).unwrap();
    reader.try_next().unwrap().unwrap();
    let to = positions[321];
    rig.ask(|log| log.trim(to)).unwrap();
    idle(&mut rig);
    // What it had proven already it may still give; its file is locked meanwhile.
    let error = loop {
        match reader.try_next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it was not told"),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (error.kind(), error.position()),
        (ErrorKind::Trimmed, Some(to)),
        "{error}"
    );
    assert_eq!(drain(&mut reader).len(), 500 - 321);
    let mut start = view(&rig).reader(From::Start).unwrap();
    assert_eq!(drain(&mut start).len(), 500 - 321);
    let error = reader.seek(From::Position(positions[0])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Trimmed);
}

/// The start may be told by a footer alone: its segment is not scanned any more, and the next one's
/// header was written before the trim. The crash test found a view that went back to what had been
/// trimmed.
#[test]
fn what_was_trimmed_does_not_come_back_when_its_segment_is_sealed() {
    let mut rig = Rig::new();
    let mut trimmed = Position::MIN;
    for number in 0..260 {
        let position = rig.append(&numbered(number, 9000));
        let mut ended = false;
        while !ended {
            ended = rig.log.durable().get() > position;
            let mut reader = view(&rig).reader(From::Start).unwrap();
            let first = reader.try_next().unwrap().map(|record| record.position());
            assert!(
                first.is_none_or(|first| first >= trimmed),
                "record {number}: trimmed to {trimmed}, a view begins at {first:?}"
            );
            rig.turn();
        }
        if number % 3 == 0 {
            rig.ask(|log| log.trim(position)).unwrap();
            trimmed = position;
        }
    }
}

#[test]
fn a_view_beyond_a_cut_is_told_where_to_resume() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..300, 9000);
    idle(&mut rig);
    let mut far = view(&rig).reader(From::Position(positions[290])).unwrap();
    let mut end = view(&rig).reader(From::End).unwrap();
    let mut before = view(&rig).reader(From::Position(positions[90])).unwrap();
    assert_eq!(drain(&mut far).len(), 10);
    let to = positions[100];
    let resume = rig.ask(|log| log.truncate(to)).unwrap();
    rig.fill(1000..1010, 50);
    idle(&mut rig);
    for reader in [&mut far, &mut end] {
        let error = reader.try_next().unwrap_err();
        assert_eq!(
            (error.kind(), error.position()),
            (ErrorKind::Cut, Some(resume)),
            "{error}"
        );
        assert_eq!(drain(reader).len(), 10);
    }
    before.seek(From::Position(positions[90])).unwrap();
    let rest = drain(&mut before);
    assert_eq!(rest.len(), 10 + 10);
    assert_eq!((rest[9].0, rest[10].0), (positions[99], resume));
}

#[test]
fn a_view_goes_on_when_the_log_is_closed_and_opened_again() {
    let mut rig = Rig::new();
    let mut reader = view(&rig).reader(From::Start).unwrap();
    for round in 0..5u64 {
        let mut expected = Vec::new();
        for number in 0..60 {
            let payload = numbered(round * 100 + number, 9000);
            expected.push((rig.append(&payload), payload));
        }
        rig.close();
        assert_eq!(
            drain(&mut reader),
            expected,
            "a clean close attests everything"
        );
        let disk = rig.disk.clone();
        drop(rig);
        rig = Rig::on(disk);
    }
    assert!(reader.try_next().unwrap().is_none());
}

/// A log whose writer died at its work: its disk, what was appended, and how many of that were
/// acknowledged.
struct Dead {
    disk: SimDisk,
    written: Vec<(Position, Vec<u8>)>,
    acknowledged: usize,
}

impl Dead {
    fn new() -> Self {
        let mut rig = Rig::new();
        let mut written = Vec::new();
        for number in 0..150 {
            let payload = numbered(number, 9000);
            written.push((rig.append(&payload), payload));
            if number % 11 == 0 {
                rig.turn();
            }
        }
        let durable = rig.log.durable().get();
        let acknowledged = written
            .iter()
            .filter(|(position, _)| *position < durable)
            .count()
            - 1;
        assert!(acknowledged > 0);
        rig.disk.crash_now();
        let disk = rig.disk.clone();
        Self {
            disk,
            written,
            acknowledged,
        }
    }

    /// What a killed process leaves, once its writes in flight have landed.
    fn killed(&self) -> SimDisk {
        let state = self.disk.kill_states(2, 1).last().unwrap();
        state.land_orphans();
        state
    }
}

fn read(disk: &SimDisk) -> ViewReader {
    let view = LogView::open_on(disk, "/log").unwrap();
    view.reader(From::Start).unwrap()
}

#[test]
fn a_crash_is_no_damage_to_a_view() {
    let dead = Dead::new();
    let (written, acknowledged) = (&dead.written, dead.acknowledged);
    for state in dead.disk.crash_states(40, 1) {
        let mut before = LogView::open_on(&state, "/log")
            .unwrap()
            .reader(From::Start)
            .unwrap();
        let seen = drain(&mut before);
        assert!(seen.len() >= acknowledged, "{}", state.describe());
        assert_eq!(seen, written[..seen.len()], "{}", state.describe());
        // The next writer keeps just that.
        let mut again = Rig::on(state.clone());
        let found = drain_log(&again);
        assert_eq!(found, seen, "{}", state.describe());
        let next = (again.append(b"on"), b"on".to_vec());
        idle(&mut again);
        let mut rest = found[seen.len()..].to_vec();
        rest.push(next);
        assert_eq!(drain(&mut before), rest, "{}", state.describe());
    }
}

/// The last group of a killed writer was acknowledged, and nothing attests it: `read` showed
/// nothing of it until the log was opened for writing again.
#[test]
fn what_was_acknowledged_is_seen_when_its_writer_was_killed() {
    let dead = Dead::new();
    let mut in_flight = 0;
    for state in dead.disk.kill_states(20, 1) {
        let line = state.describe();
        in_flight += usize::from(state.has_orphans());
        let mut reader = read(&state);
        // Writes in flight keep the lock, and with it what they lie behind, until they have landed.
        let mut seen = drain(&mut reader);
        state.land_orphans();
        seen.extend(drain(&mut reader));
        assert!(seen.len() >= dead.acknowledged, "{line}");
        assert_eq!(seen, dead.written[..seen.len()], "{line}");
        assert_eq!(drain(&mut read(&state)), seen, "{line}");
        let last = seen.last().unwrap().0;
        let view = LogView::open_on(&state, "/log").unwrap();
        assert!(view.end().unwrap() > last, "{line}");
        let mut from = view.reader(From::Position(last)).unwrap();
        assert_eq!(drain(&mut from).len(), 1, "{line}");
        from.seek(From::End).unwrap();
        assert_eq!(drain(&mut from), [], "{line}");
        assert_eq!(drain_log(&Rig::on(state.clone())), seen, "{line}");
    }
    assert!(in_flight > 0, "no state had writes in flight");
}

/// What a killed process's writes left in a cache only must not be shown and then be lost.
#[test]
fn what_was_seen_of_a_dead_writer_outlives_a_power_failure() {
    let mut rig = Rig::new();
    rig.disk.record_wrecks();
    for number in 0..60 {
        rig.append(&numbered(number, 3000));
        if number % 3 == 0 {
            rig.turn();
        }
    }
    rig.flush();
    let mut was_volatile = 0;
    for wreck in rig.disk.take_wrecks() {
        for state in wreck.kill_states(2, 1) {
            state.land_orphans();
            let durable = |position: Position| {
                let name = format!("/log/{}", segment::file_name(position.segment()));
                let from = position.offset_bytes() as usize;
                state.read_file_durable(name).unwrap()[from..from + 3000].to_vec()
            };
            let first = Position::new(1, 4096);
            let before = durable(first);
            let seen = drain(&mut read(&state));
            was_volatile += usize::from(!seen.is_empty() && durable(first) != before);
            state.crash_now();
            for after in state.crash_states(2, 3) {
                assert_eq!(drain(&mut read(&after)), seen, "{}", after.describe());
            }
        }
    }
    assert!(
        was_volatile > 0,
        "nothing was seen that a sync made durable"
    );
}

#[test]
fn what_cannot_be_synced_is_not_seen() {
    let state = Dead::new().killed();
    state.fail(Fault::for_good(OpClass::Sync, 1, EIO));
    let view = LogView::open_on(&state, "/log").unwrap();
    assert_eq!(view.end().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(view.reader(From::Start).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn without_the_lock_file_a_view_stays_with_what_is_attested() {
    let dead = Dead::new();
    let state = dead.killed();
    state.remove("/log/ringbolt.lock").unwrap();
    let seen = drain(&mut read(&state));
    assert!(seen.len() < dead.acknowledged, "nothing attests the last");
    assert_eq!(seen, dead.written[..seen.len()]);
    assert!(
        state.read_file("/log/ringbolt.lock").is_err(),
        "a reader makes nothing"
    );
}

#[test]
fn a_view_believes_the_watermark_while_somebody_has_the_lock_and_keeps_nobody_out() {
    let dead = Dead::new();
    let state = dead.killed();
    let dir = crate::disk::Disk::open_dir(&state, "/log".as_ref()).unwrap();
    let lock = dir.lock("ringbolt.lock").unwrap().unwrap();
    let mut reader = read(&state);
    let mut seen = drain(&mut reader);
    assert!(seen.len() < dead.acknowledged);
    drop(lock);
    seen.extend(drain(&mut reader));
    assert!(seen.len() >= dead.acknowledged);
    // The lock was held for the look alone: this tries once.
    assert!(dir.lock("ringbolt.lock").unwrap().is_some());
    assert_eq!(drain_log(&Rig::on(state)), seen);
}

#[test]
fn damage_behind_which_nobody_writes_is_told_after_what_lies_before_it() {
    let dead = Dead::new();
    let state = dead.killed();
    let all = drain(&mut read(&state)).len();
    let attested = {
        let bare = dead.killed();
        bare.remove("/log/ringbolt.lock").unwrap();
        drain(&mut read(&bare)).len()
    };
    assert!(0 < attested && attested < all);
    // Before the newest checkpoint's watermark: it was on disk.
    let bad = dead.written[attested / 2].0;
    let name = format!("/log/{}", segment::file_name(bad.segment()));
    state.corrupt(&name, bad.offset_bytes() + 50, 1, 1).unwrap();
    let mut reader = read(&state);
    for (position, payload) in &dead.written[..attested / 2] {
        let record = reader.try_next().unwrap().unwrap();
        assert_eq!(
            (record.position(), record.payload()),
            (*position, &payload[..])
        );
    }
    for _ in 0..2 {
        let error = reader.try_next().unwrap_err();
        assert_eq!(
            (error.kind(), error.position()),
            (ErrorKind::Damaged, Some(bad)),
            "{error}"
        );
    }
}

#[test]
fn another_users_log_may_be_read_and_not_written() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..10, 100);
    rig.close();
    rig.disk.set_owner("/log", false).unwrap();
    assert_eq!(drain(&mut read(&rig.disk)).len(), positions.len());
    let (engine, _driver) = crate::Engine::builder()
        .disk(std::sync::Arc::new(rig.disk.clone()))
        .caller_driven()
        .unwrap();
    let refused = crate::LogOptions::new().open_on(&engine, "/log");
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotOwner);
}

/// What the log itself holds.
fn drain_log(rig: &Rig) -> Vec<(Position, Vec<u8>)> {
    let mut reader = rig.log.reader(From::Start).unwrap();
    let mut records = Vec::new();
    while let Some(record) = reader.try_next().unwrap() {
        records.push((record.position(), record.to_vec()));
    }
    records
}

#[test]
fn garbage_behind_the_watermark_is_not_yet_and_before_it_is_damage() {
    let mut rig = Rig::new();
    let positions = rig.fill(0..50, 9000);
    idle(&mut rig);
    let mut reader = view(&rig).reader(From::Start).unwrap();
    let name = format!("/log/{}", segment::file_name(positions[0].segment()));
    let end = rig.log.end();
    // A write that is half done when it is looked at.
    let durable = rig.disk.read_file(&name).unwrap()[end.offset_bytes() as usize..][..512].to_vec();
    rig.disk.corrupt(&name, end.offset_bytes(), 512, 1).unwrap();
    assert_eq!(drain(&mut reader).len(), 50);
    assert!(reader.try_next().unwrap().is_none());
    rig.disk.patch(&name, end.offset_bytes(), &durable).unwrap();
    rig.fill(50..51, 100);
    idle(&mut rig);
    assert_eq!(drain(&mut reader).len(), 1);
    rig.disk
        .corrupt(&name, positions[20].offset_bytes() + 50, 1, 1)
        .unwrap();
    let mut reader = view(&rig).reader(From::Position(positions[40])).unwrap();
    assert_eq!(
        drain(&mut reader).len(),
        0,
        "the scan for checkpoints stops at the damage"
    );
    rig.fill(51..300, 9000);
    idle(&mut rig);
    let mut reader = view(&rig).reader(From::Start).unwrap();
    for number in 0..20 {
        let record = reader.try_next().unwrap().unwrap();
        assert_eq!(record.payload(), numbered(number, 9000));
    }
    for _ in 0..2 {
        let error = reader.try_next().unwrap_err();
        assert_eq!(
            (error.kind(), error.position()),
            (ErrorKind::Damaged, Some(positions[20]))
        );
    }
    reader.seek(From::Position(positions[21])).unwrap();
    assert_eq!(drain(&mut reader).len(), 300 - 21);
}

#[test]
fn what_is_no_log_is_refused() {
    let rig = Rig::new();
    let open = |path: &str| LogView::open_on(&rig.disk, path).unwrap_err().kind();
    assert_eq!(open("/nowhere"), ErrorKind::NotALog);
    crate::disk::Disk::create_dir(&rig.disk, "/empty".as_ref()).unwrap();
    assert_eq!(open("/empty"), ErrorKind::NotALog);
    rig.disk.write_file("/file", b"text").unwrap();
    assert_eq!(open("/file"), ErrorKind::NotALog);
    rig.disk.make_symlink("/link").unwrap();
    assert_eq!(open("/link"), ErrorKind::Symlink);
}

#[test]
fn views_go_where_they_are_needed() {
    fn is_static<T: Send + 'static>() {}
    is_static::<LogView>();
    is_static::<ViewReader>();
}
