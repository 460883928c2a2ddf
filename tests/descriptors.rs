//! A log has few files open, however many segments it has: what is written, and what is read now.
//!
//! A binary of its own: descriptors are the process's, and so is the limit that is set here.

#[path = "rungs/mod.rs"]
#[allow(dead_code)] // each test uses its part of it
mod rungs;

use std::path::Path;
use std::sync::Barrier;

use ringbolt::{
    Cold, Engine, ErrorKind, From, Log, LogOptions, LogView, Position, Preallocation, ReadOptions,
    maintain,
};

use rungs::Place;

const SEGMENTS: u64 = 300;
/// Records of an eighth of a segment: seven to each.
const RECORD: usize = 1 << 17;
const RECORDS: u64 = SEGMENTS * 7;

/// What an engine and an open log need: ring, wake-ups, directory, lock, the segments in memory and
/// the one that is made ahead.
const OPEN_LOG: usize = 16;
/// What a reader needs: its segment, and for a moment, to make sure of it, that again. From outside,
/// the directory, too, and a segment for what is proven.
const READER: usize = 5;
const READERS: usize = 6;
/// The limit of this process, which is what all else here meets that opens too much; the usual one
/// is 1024.
const LIMIT: usize = 64;

/// The descriptors of this process, without that of the listing itself.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

fn limit_descriptors(soft: usize) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is the call's own, and outlives it.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(got, 0);
    limit.rlim_cur = soft as libc::rlim_t;
    // SAFETY: as above.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(set, 0);
}

fn open(engine: &Engine, path: &Path) -> Log {
    LogOptions::new()
        .segment_bytes(1 << 20)
        .memory_bytes(4 << 20)
        .preallocation(Preallocation::Unwritten)
        .open_on(engine, path)
        .unwrap()
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = vec![number as u8; RECORD];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

/// The number of a record, which is what it was.
fn number(record: &[u8]) -> u64 {
    let number = u64::from_le_bytes(record[..8].try_into().unwrap());
    assert!(record.len() == RECORD && record[RECORD - 1] == number as u8);
    number
}

#[test]
fn a_log_of_many_segments_needs_few_descriptors() {
    let place = Place::new("descriptors");
    let path = place.path().join("log");
    let before = descriptors();
    limit_descriptors(LIMIT);
    let bound = |what: &str, more: usize| {
        let now = descriptors();
        assert!(now <= before + more, "{what}: {before} before, {now} now");
    };

    let engine = Engine::builder().start().unwrap();
    let log = open(&engine, &path);
    for number in 0..RECORDS {
        let _ = log.append(&payload(number)).unwrap();
    }
    log.flush().unwrap();
    bound("filled", OPEN_LOG);
    log.close().unwrap();
    drop(log);

    let log = open(&engine, &path);
    bound("opened", OPEN_LOG);
    let inspection = maintain::inspect(&path).unwrap();
    assert!(inspection.damage.is_none(), "{:?}", inspection.damage);
    let sealed = inspection.segments.iter();
    let sealed = sealed.filter(|segment| segment.state == maintain::SegmentState::Sealed);
    assert!(sealed.count() as u64 >= SEGMENTS - 1);

    read_all_at_once(&log, &path, &bound);
    // Who does not read has nothing open.
    bound("read", OPEN_LOG);

    // Beside the writer, and without one.
    let verification = maintain::verify(&path, &mut |_| {}).unwrap();
    assert!(verification.is_sound(), "{:?}", verification.damages);
    assert!(verification.segments >= SEGMENTS);
    let _ = log.append(&payload(RECORDS)).unwrap();
    log.close().unwrap();
    drop(log);
    let verification = maintain::verify(&path, &mut |_| {}).unwrap();
    assert_eq!(verification.records, RECORDS + 1);
    assert!(maintain::repair::plan(&path).unwrap().is_empty());
    bound("looked after", OPEN_LOG);
}

/// Several readers, each somewhere else, all through the log: mapped, direct, and from outside.
fn read_all_at_once(log: &Log, path: &Path, bound: &(dyn Fn(&str, usize) + Sync)) {
    let most = OPEN_LOG + READERS * READER;
    let starts = Barrier::new(READERS);
    std::thread::scope(|scope| {
        for nth in 0..READERS {
            let (starts, reading) = (&starts, ReadOptions::new());
            scope.spawn(move || {
                starts.wait();
                let see = |next: u64, record: &[u8]| {
                    assert_eq!(number(record), next);
                    if next % 97 == 0 {
                        bound("reading", most);
                    }
                };
                if nth % 3 == 2 {
                    let mut reader = LogView::open(path).unwrap().reader(From::Start).unwrap();
                    for next in 0..RECORDS {
                        see(next, reader.try_next().unwrap().unwrap().payload());
                    }
                    return;
                }
                let cold = [Cold::Mapped, Cold::Direct][nth % 3];
                let mut reader = log.reader_with(From::Start, reading.cold(cold)).unwrap();
                for next in 0..RECORDS {
                    see(next, &reader.try_next().unwrap().unwrap());
                }
                let beyond = reader.seek(From::Position(Position::from_u64(u64::MAX - 8)));
                assert_eq!(beyond.unwrap_err().kind(), ErrorKind::NoRecord);
            });
        }
    });
}
