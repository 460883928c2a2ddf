//! Zeroes that are written ahead of the log: where they help, where they would not, and never over
//! what was appended.

use ringbolt::disk::sim::{EIO, Fault, OpClass, SimOptions};
use ringbolt::{ErrorKind, Log, LogOptions, Preallocation};

use crate::common::{Rig, options, payload, read_all};

/// What one piece of zeroes is at most, in bytes.
const PIECE: u64 = 64 << 10;

fn auto() -> LogOptions {
    options().preallocation(Preallocation::Auto)
}

/// Appends one by one, each on disk before the next.
fn append_slowly(rig: &mut Rig, log: &Log, numbers: std::ops::Range<usize>, len: usize) {
    for number in numbers {
        let ticket = rig.append(log, &payload(number, len)).unwrap();
        rig.outcome(&ticket).unwrap();
    }
}

fn assert_all_there(log: &Log, count: usize, len: usize) {
    let records = read_all(log).unwrap();
    assert_eq!(records.len(), count);
    for (number, (_, record)) in records.iter().enumerate() {
        assert_eq!(*record, payload(number, len), "record {number}");
    }
}

#[test]
fn a_slow_log_gets_zeroes_in_step_with_itself() {
    let disk = SimOptions::new().build();
    let mut rig = Rig::new(&disk);
    let log = rig.open(&auto()).unwrap();
    append_slowly(&mut rig, &log, 0..100, 40_000);
    let stats = log.stats();
    assert!(stats.rollovers >= 3);
    // The first segment was written in full when the log was made; from then on each next one is
    // filled as far as the one before it is used.
    assert!(stats.filled_bytes > stats.written_bytes / 2, "{stats:?}");
    assert!(
        stats.filled_bytes <= stats.written_bytes + 2 * PIECE,
        "{stats:?}"
    );
    assert_all_there(&log, 100, 40_000);
}

#[test]
fn an_idle_log_writes_no_zeroes() {
    let disk = SimOptions::new().build();
    let mut rig = Rig::new(&disk);
    let log = rig.open(&auto()).unwrap();
    rig.rest();
    assert_eq!(log.stats().filled_bytes, 0);
}

#[test]
fn a_log_that_is_bound_by_bandwidth_gets_none() {
    let disk = SimOptions::new().build();
    let mut rig = Rig::new(&disk);
    let log = rig.open(&auto()).unwrap();
    let mut last = None;
    for number in 0..30 {
        // Never waited for: the groups are as large as the bound on what is not on disk.
        last = Some(
            rig.append(&log, &payload(number, 300_000))
                .unwrap()
                .into_owned(),
        );
    }
    rig.outcome(&last.unwrap()).unwrap();
    let stats = log.stats();
    assert!(stats.rollovers >= 3);
    assert!(stats.filled_bytes <= PIECE, "{stats:?}");
    assert_all_there(&log, 30, 300_000);
}

/// After an unclean opening zeroes are written into the very segment that is appended to, and
/// writes that would cross them wait.
#[test]
fn zeroes_never_cover_records() {
    let disk = SimOptions::new().build();
    let mut rig = Rig::new(&disk);
    let log = rig.open(&auto()).unwrap();
    append_slowly(&mut rig, &log, 0..2, 9000);
    rig.drop_driver();
    drop(log);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&auto()).unwrap();
    append_slowly(&mut rig, &log, 2..300, 9000);
    assert!(log.stats().filled_bytes > 2 * PIECE);
    assert_all_there(&log, 300, 9000);
    // From the disk, too: not from the image that it was written from.
    rig.close(&log).unwrap();
    let log = rig.open(&auto()).unwrap();
    assert_all_there(&log, 300, 9000);
}

#[test]
fn zeroes_that_cannot_be_written_end_the_log_as_any_write_does() {
    // One of the two writes is the record's, the other the zeroes beside it, in either order.
    for nth in 1..=2 {
        let disk = SimOptions::new().build();
        let mut rig = Rig::new(&disk);
        let log = rig.open(&auto()).unwrap();
        rig.rest();
        let filled = log.stats().filled_bytes;
        let write = disk.count(OpClass::Write) + nth;
        disk.fail(Fault::once(OpClass::Write, write, EIO));
        let ticket = rig.append(&log, b"beside the zeroes").unwrap();
        match rig.outcome(&ticket) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{error}"),
        }
        rig.rest();
        assert!(log.stats().filled_bytes > filled);
        let refused = log.try_append(b"more").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io, "{refused}");
    }
}
