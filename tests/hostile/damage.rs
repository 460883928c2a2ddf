//! Segment files that are truncated, zeroed, swapped, foreign or missing, and damage to what was
//! acknowledged: the error names file and position, and nothing on the disk is changed.

use ringbolt::disk::sim::SimDisk;
use ringbolt::{Error, ErrorKind, From, Log, Position};

use crate::common::{DIR, Rig, contents, options, payload, read_all};

type Records = Vec<(Position, Vec<u8>)>;

fn path(ordinal: u64) -> String {
    format!("{DIR}/{ordinal:011}.seg")
}

/// A log of three sealed segments and one in use, idle for long enough to be attested, and then
/// abandoned as by a process that was killed; its records.
fn a_log(seed: u64) -> (SimDisk, Records) {
    let disk = SimDisk::new(seed);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let records = (0..14)
        .map(|n| {
            let payload = payload(n, 250_000);
            (rig.write(&log, &payload), payload)
        })
        .collect();
    rig.rest();
    kill(&disk, rig, log)
        .map(|disk| (disk, records))
        .expect("there is a state after every crash")
}

/// The process dies; what it left.
fn kill(disk: &SimDisk, rig: Rig, log: Log) -> Option<SimDisk> {
    disk.crash_now();
    drop((log, rig));
    let state = disk.kill_states(1, 1).next()?;
    state.land_orphans();
    Some(state)
}

/// The ordinals of the segments that hold records.
fn segments(records: &Records) -> Vec<u64> {
    let mut ordinals: Vec<_> = records
        .iter()
        .map(|(position, _)| position.segment())
        .collect();
    ordinals.dedup();
    assert!(ordinals.len() >= 4);
    ordinals
}

/// Opening is refused as damage to `segment`, twice, and nothing is changed.
fn refused(disk: &SimDisk, segment: u64) -> Error {
    let before = contents(disk);
    let [error, again] = [(); 2].map(|()| {
        Rig::new(disk)
            .open(&options())
            .err()
            .unwrap_or_else(|| panic!("damage to segment {segment} was not seen"))
    });
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert_eq!(error.to_string(), again.to_string());
    assert_eq!(error.path(), Some(path(segment).as_ref()), "{error}");
    assert!(error.hint().is_some(), "{error}");
    let after = contents(disk);
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&before), names(&after));
    assert!(before == after, "something was changed");
    error
}

#[test]
fn the_undamaged_log_opens() {
    let (disk, records) = a_log(1);
    let rig = Rig::new(&disk);
    assert!(read_all(&rig.open(&options()).unwrap()).unwrap() == records);
}

#[test]
fn a_missing_segment_in_the_middle() {
    let (disk, records) = a_log(2);
    let middle = segments(&records)[1];
    disk.remove(path(middle)).unwrap();
    refused(&disk, middle);
}

#[test]
fn a_truncated_segment() {
    for (which, len) in [(1, 500_000), (1, 0), (3, 8192), (3, 100), (3, 0)] {
        let (disk, records) = a_log(3);
        let segment = segments(&records)[which];
        disk.truncate(path(segment), len).unwrap();
        refused(&disk, segment);
    }
}

#[test]
fn a_zeroed_segment() {
    for which in [0, 1, 3] {
        let (disk, records) = a_log(4);
        let segment = segments(&records)[which];
        disk.zero(path(segment), 0..1 << 20).unwrap();
        refused(&disk, segment);
    }
}

#[test]
fn a_damaged_header_of_the_segment_in_use() {
    let (disk, records) = a_log(5);
    let last = *segments(&records).last().unwrap();
    disk.corrupt(path(last), 60, 1, 1).unwrap();
    refused(&disk, last);
}

/// A sealed segment has all that its header says in its footer, too, and the other way round.
#[test]
fn a_damaged_header_or_footer_of_a_sealed_segment_loses_nothing() {
    for at in [60, (1 << 20) - 4096 + 60] {
        let (disk, records) = a_log(6);
        disk.corrupt(path(segments(&records)[1]), at, 1, 1).unwrap();
        let rig = Rig::new(&disk);
        let log = rig
            .open(&options())
            .unwrap_or_else(|error| panic!("at {at}: {error}"));
        assert!(read_all(&log).unwrap() == records, "at {at}");
    }
}

#[test]
fn swapped_segments() {
    let (disk, records) = a_log(7);
    let segments = segments(&records);
    disk.swap(path(segments[0]), path(segments[1])).unwrap();
    let before = contents(&disk);
    let error = Rig::new(&disk).open(&options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    let named = error.path().unwrap();
    assert!(
        segments[..2]
            .iter()
            .any(|n| named == std::path::Path::new(&path(*n))),
        "{error}"
    );
    assert!(contents(&disk) == before, "something was changed");
}

#[test]
fn a_segment_of_another_log() {
    for which in [1, 3] {
        let (disk, records) = a_log(8);
        let (other, _) = a_log(9);
        let segment = segments(&records)[which];
        disk.copy_file_from(&other, path(segment), path(segment))
            .unwrap();
        refused(&disk, segment);
    }
    // Above all of the log's own.
    let (disk, records) = a_log(8);
    let (other, _) = a_log(9);
    let newest = contents(&disk)
        .iter()
        .filter_map(|(name, _)| name.strip_suffix(".seg")?.parse::<u64>().ok())
        .max()
        .unwrap();
    disk.copy_file_from(&other, path(segments(&records)[1]), path(newest + 1))
        .unwrap();
    refused(&disk, newest + 1);
}

/// Damage in the segment in use, at every record of it but those without a witness.
#[test]
fn damage_to_acknowledged_records_names_the_record() {
    let (pristine, records) = a_log(10);
    let last = *segments(&records).last().unwrap();
    let in_use: Vec<_> = records
        .iter()
        .filter(|(at, _)| at.segment() == last)
        .collect();
    assert!(!in_use.is_empty());
    for (position, bytes) in &in_use {
        for at in [0, 4, 13, 16, 16 + bytes.len() as u64 - 1] {
            let disk = copy(&pristine);
            disk.corrupt(path(last), position.offset_bytes() + at, 1, at)
                .unwrap();
            let error = refused(&disk, last);
            assert_eq!(error.position(), Some(*position), "byte {at}: {error}");
        }
    }
}

/// A log is idle, and its last checkpoint attests the last record; that checkpoint is all that is
/// damaged: no record is lost.
#[test]
fn damage_to_the_last_checkpoint_alone_loses_nothing() {
    let (disk, records) = a_log(11);
    let last = *segments(&records).last().unwrap();
    let bytes = disk.read_file(path(last)).unwrap();
    let magic = b"RBCHKPT1";
    let at = bytes
        .windows(8)
        .rposition(|window| window == magic)
        .unwrap();
    disk.corrupt(path(last), at as u64 + 9, 1, 1).unwrap();
    let rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    assert!(read_all(&log).unwrap() == records);
}

/// Sealed segments are not scanned when the log is opened: who reads the record is told, stays
/// before it, and can go on behind it.
#[test]
fn damage_in_a_sealed_segment_is_told_to_the_reader() {
    let (disk, records) = a_log(12);
    let (position, _) = records[2];
    disk.corrupt(
        path(position.segment()),
        position.offset_bytes() + 1000,
        3,
        1,
    )
    .unwrap();
    let rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let before = contents(&disk);
    let mut reader = log.reader(From::Start).unwrap();
    for (at, payload) in &records[..2] {
        let record = reader.try_next().unwrap().unwrap();
        assert!(record.position() == *at && record.payload() == payload);
    }
    for _ in 0..2 {
        let error = reader.try_next().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert_eq!(error.position(), Some(position));
        assert_eq!(error.path(), Some(path(position.segment()).as_ref()));
        // Asking again does not help, and the log is not at its end.
        assert!(!error.is_fatal() && !error.is_retryable(), "{error}");
        assert!(error.hint().is_some(), "{error}");
        assert_eq!(reader.position(), position);
    }
    reader.seek(From::Position(records[3].0)).unwrap();
    for (at, payload) in &records[3..] {
        let record = reader.try_next().unwrap().unwrap();
        assert!(record.position() == *at && record.payload() == payload);
    }
    assert!(reader.try_next().unwrap().is_none());
    assert!(contents(&disk) == before, "something was changed");
}

/// What was in flight when the machine failed is cut off, and nothing else.
#[test]
fn a_torn_tail_is_no_damage() {
    let disk = SimDisk::new(13);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let mut records: Records = Vec::new();
    for n in 0..3 {
        let payload = payload(n, 10_000);
        records.push((rig.write(&log, &payload), payload));
    }
    rig.rest();
    let torn = rig.append(&log, &payload(3, 30_000)).unwrap();
    // Its write is on its way.
    rig.driver().poll().unwrap();
    let at = torn.position();
    disk.crash_now();
    drop((torn, log, rig));
    let mut ends = [0, 0];
    for state in disk.crash_states(200, 13) {
        let rig = Rig::new(&state);
        let log = rig
            .open(&options())
            .unwrap_or_else(|e| panic!("{}: {e}", state.describe()));
        let found = read_all(&log).unwrap();
        assert!(found[..3] == records, "{}", state.describe());
        let whole = found.len() == 4 && found[3] == (at, payload(3, 30_000));
        assert!(found.len() == 3 || whole, "{}", state.describe());
        ends[found.len() - 3] += 1;
    }
    assert!(ends[0] > 0, "nothing was torn: {ends:?}");
}

/// A copy of a disk at rest.
fn copy(disk: &SimDisk) -> SimDisk {
    use ringbolt::disk::Disk as _;
    let copy = SimDisk::new(99);
    copy.create_dir(DIR.as_ref()).unwrap();
    for (name, _) in contents(disk) {
        let path = format!("{DIR}/{name}");
        copy.copy_file_from(disk, &path, &path).unwrap();
    }
    copy
}
