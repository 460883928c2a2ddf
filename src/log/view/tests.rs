//! Views of a log on a simulated disk, while its writer goes on.

use std::time::{Duration, SystemTime};

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

#[test]
fn a_crash_is_no_damage_to_a_view() {
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
    for state in rig.disk.crash_states(40, 1) {
        let mut before = LogView::open_on(&state, "/log")
            .unwrap()
            .reader(From::Start)
            .unwrap();
        let seen = drain(&mut before);
        assert_eq!(seen, written[..seen.len()], "{}", state.describe());
        // The writer settles what was in doubt: then it is all seen.
        let mut again = Rig::on(state.clone());
        let found = drain_log(&again);
        assert!(
            found.len() >= acknowledged.max(seen.len()),
            "{}",
            state.describe()
        );
        assert_eq!(found, written[..found.len()]);
        let next = (again.append(b"on"), b"on".to_vec());
        idle(&mut again);
        let mut rest = found[seen.len()..].to_vec();
        rest.push(next);
        assert_eq!(drain(&mut before), rest, "{}", state.describe());
    }
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
    rig.disk.set_owner("/empty", false).unwrap();
    assert_eq!(open("/empty"), ErrorKind::NotOwner);
}

#[test]
fn views_go_where_they_are_needed() {
    fn is_static<T: Send + 'static>() {}
    is_static::<LogView>();
    is_static::<ViewReader>();
}
