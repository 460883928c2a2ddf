//! A full disk, before and during appends.

use ringbolt::disk::sim::{SimDisk, SimOptions};
use ringbolt::{ErrorKind, Log, Position};

use crate::common::{Rig, options, payload, read_all, reopened};

const SEGMENT: u64 = 1 << 20;

/// Appends until the disk is full; what was acknowledged.
fn fill(rig: &mut Rig, log: &Log) -> Vec<Position> {
    let mut written = Vec::new();
    loop {
        match rig.append(log, &payload(written.len(), 200_000)) {
            Ok(ticket) => written.push(rig.outcome(&ticket).unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error}");
                assert!(error.is_retryable() && !error.is_fatal(), "{error}");
                assert!(error.hint().is_some() && error.path().is_some(), "{error}");
                return written;
            }
        }
        assert!(written.len() < 1000, "the disk never fills up");
    }
}

fn positions(log: &Log) -> Vec<Position> {
    read_all(log)
        .unwrap()
        .into_iter()
        .map(|(position, _)| position)
        .collect()
}

#[test]
fn a_disk_that_is_full_from_the_start() {
    let disk = SimOptions::new().seed(1).capacity(SEGMENT / 2).build();
    let rig = Rig::new(&disk);
    let error = rig.open(&options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(error.path().is_some(), "{error}");
    assert!(
        disk.used() < SEGMENT / 2,
        "{} bytes are left behind",
        disk.used()
    );
    disk.set_capacity(None);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    rig.write(&log, b"goes on");
}

#[test]
fn space_that_is_freed_lets_it_go_on() {
    for segments in [1, 2, 3, 6] {
        let disk = SimOptions::new()
            .seed(2)
            .capacity(segments * SEGMENT + 65_536)
            .build();
        let mut rig = Rig::new(&disk);
        let log = rig.open(&options()).unwrap();
        let mut written = fill(&mut rig, &log);
        assert_eq!(positions(&log), written);
        // Again and again: nothing is claimed, nothing changes.
        let end = log.end();
        for _ in 0..20 {
            assert_eq!(fill(&mut rig, &log), []);
            rig.turn();
        }
        assert_eq!(log.end(), end, "{segments} segments");
        disk.set_capacity(None);
        for n in 0..20 {
            let ticket = rig.until("space", || {
                log.try_append(&payload(n, 200_000))
                    .ok()
                    .map(ringbolt::Ticket::into_owned)
            });
            written.push(rig.outcome(&ticket).unwrap());
        }
        assert_eq!(positions(&log), written);
        rig.close(&log).unwrap();
        drop(log);
        let (_rig, log) = reopened(&rig);
        assert_eq!(positions(&log), written);
    }
}

/// The ballast: on a full disk the log can be trimmed, and that alone lets it go on.
#[test]
fn a_trim_frees_a_full_disk() {
    let disk = SimOptions::new()
        .seed(3)
        .capacity(6 * SEGMENT + 65_536)
        .build();
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options().memory_bytes(3 << 20)).unwrap();
    let mut written = fill(&mut rig, &log);
    for round in 0..10 {
        let keep = written.len() - 3;
        let start = rig.trim(&log, written[keep]).unwrap();
        assert_eq!(start, written[keep]);
        written.drain(..keep);
        rig.rest();
        let more = fill(&mut rig, &log);
        assert!(more.len() >= 3, "round {round}: a trim freed no space");
        written.extend(more);
        assert_eq!(positions(&log), written, "round {round}");
    }
    rig.close(&log).unwrap();
    drop(log);
    let (_rig, log) = reopened(&rig);
    assert_eq!(positions(&log), written);
}

/// Retention works on a full disk, too: it is what keeps it from staying full.
#[test]
fn a_disk_as_small_as_retention_allows_never_fills_up() {
    let disk = SimOptions::new().seed(4).capacity(8 * SEGMENT).build();
    let mut rig = Rig::new(&disk);
    let options = options()
        .memory_bytes(3 << 20)
        .retain_bytes(4 * SEGMENT)
        .spare_segments(2);
    let log = rig.open(&options).unwrap();
    for n in 0..100 {
        let ticket = rig.until("space", || match log.try_append(&payload(n, 200_000)) {
            Ok(ticket) => Some(ticket.into_owned()),
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                None
            }
        });
        rig.outcome(&ticket).unwrap();
    }
    assert!(disk.used() <= 8 * SEGMENT);
}

/// A cut needs a segment; without space for it nothing is cut, and the log goes on as it was.
#[test]
fn a_truncation_without_space_cuts_nothing() {
    let disk = SimDisk::new(5);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let mut written: Vec<_> = (0..10)
        .map(|n| rig.write(&log, &payload(n, 1000)))
        .collect();
    rig.rest();
    // Not even a ballast.
    for name in spares(&disk) {
        disk.remove(name).unwrap();
    }
    disk.set_capacity(Some(disk.used()));
    let cut = rig.truncate(&log, written[4]);
    let error = cut.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert_eq!(positions(&log), written);
    written.push(rig.write(&log, b"goes on"));
    assert_eq!(positions(&log), written);
    disk.set_capacity(None);
    rig.truncate(&log, written[4]).unwrap();
    written.truncate(4);
    written.push(rig.write(&log, b"goes on behind the cut"));
    assert_eq!(positions(&log), written);
}

/// A truncation that found no space leaves no trace in the headers of the segments that follow:
/// they would else look like commit points, or name a segment that never was.
#[test]
fn a_log_whose_truncation_found_no_space_opens_again() {
    for clean in [true, false] {
        let disk = SimDisk::new(6);
        let mut rig = Rig::new(&disk);
        let log = rig.open(&options()).unwrap();
        let mut written: Vec<_> = (0..4)
            .map(|n| rig.write(&log, &payload(n, 200_000)))
            .collect();
        rig.rest();
        for name in spares(&disk) {
            disk.remove(name).unwrap();
        }
        disk.set_capacity(Some(disk.used()));
        for _ in 0..2 {
            assert_eq!(
                rig.truncate(&log, written[2]).unwrap_err().kind(),
                ErrorKind::Full
            );
        }
        disk.set_capacity(None);
        // Into the last segment that was made before; the next is made after.
        for n in 4..12 {
            written.push(rig.write(&log, &payload(n, 200_000)));
        }
        assert_eq!(log.stats().rollovers, 2);
        if clean {
            rig.close(&log).unwrap();
        } else {
            rig.rest();
            rig.drop_driver();
        }
        drop((log, rig));
        let rig = Rig::new(&disk);
        let log = rig.open(&options()).unwrap();
        assert_eq!(positions(&log), written);
    }
}

/// A spare that was left by smaller segments is no ballast for larger ones: it goes when the first
/// of them is made, and a new one is laid up.
#[test]
fn a_full_disk_is_trimmed_also_after_the_segments_grew() {
    let disk = SimDisk::new(8);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    rig.write(&log, b"small");
    rig.rest();
    assert!(!spares(&disk).is_empty(), "there is a ballast");
    rig.close(&log).unwrap();
    drop(log);

    let larger = options().segment_bytes(2 * SEGMENT);
    let log = rig.open(&larger).unwrap();
    for n in 0..20 {
        rig.write(&log, &payload(n, 200_000));
    }
    rig.rest();
    disk.set_capacity(Some(disk.used()));
    let mut last = None;
    for n in 0.. {
        match rig.append(&log, &payload(n, 200_000)) {
            Ok(ticket) => last = Some(rig.outcome(&ticket).unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error}");
                break;
            }
        }
    }
    let last = last.expect("there was room for some");
    assert_eq!(rig.trim(&log, last).unwrap(), last);
    rig.write(&log, b"goes on");
}

fn spares(disk: &SimDisk) -> Vec<String> {
    crate::common::contents(disk)
        .into_iter()
        .filter(|(name, _)| name.starts_with("spare-"))
        .map(|(name, _)| format!("{}/{name}", crate::common::DIR))
        .collect()
}

/// Asking a full disk again and again costs nothing that grows.
#[test]
fn closing_a_log_on_a_full_disk_works() {
    let disk = SimOptions::new()
        .seed(6)
        .capacity(3 * SEGMENT + 65_536)
        .build();
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let written = fill(&mut rig, &log);
    rig.close(&log).unwrap();
    drop(log);
    disk.set_capacity(None);
    let (_rig, log) = reopened(&rig);
    assert_eq!(positions(&log), written);
}

/// Whether a rename reached the disk is not known when the directory could not be synced, whatever
/// the reason: a log that went on behind a cut that may have happened would lose what it then
/// acknowledges.
#[test]
fn a_truncation_that_may_have_happened_is_no_full_disk() {
    use ringbolt::disk::sim::{ENOSPC, Fault, OpClass};
    let disk = SimDisk::new(7);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let written: Vec<_> = (0..6).map(|n| rig.write(&log, &payload(n, 1000))).collect();
    rig.rest();
    let next = disk.count(OpClass::DirSync) + 1;
    disk.fail(Fault::once(OpClass::DirSync, next, ENOSPC));
    let cut = rig.truncate(&log, written[3]);
    assert!(cut.is_err());
    let later = rig
        .append(&log, b"later")
        .and_then(|ticket| rig.outcome(&ticket));
    disk.crash_now();
    drop((log, rig));
    for state in disk.crash_states(10, 7) {
        let rig = Rig::new(&state);
        let found = positions(&rig.open(&options()).unwrap());
        assert!(found.starts_with(&written[..3]), "{}", state.describe());
        if let Ok(later) = &later {
            assert!(
                found.contains(later),
                "lost what was acknowledged: {}",
                state.describe()
            );
        }
    }
}
