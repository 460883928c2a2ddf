//! Resident memory stays within the bound that was set, what callers hold, and 32 MiB.
//!
//! The only test of its binary: nothing else may be resident. Images of segments are shared
//! memory, so both kinds count; pages of mapped files belong to the page cache and do not.

#[path = "rungs/mod.rs"]
#[allow(dead_code)] // each test uses its part of it
mod rungs;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ringbolt::{From, LogOptions, ReadOptions, Reader, SharedRecord, Visibility};

use rungs::{Place, skip};

const SEGMENT_BYTES: u64 = 4 << 20;
const MEMORY_BYTES: u64 = 4 * SEGMENT_BYTES;
/// What the library may take beyond the bound.
const OWN_BYTES: u64 = 32 << 20;
const RECORD_BYTES: usize = 16 << 10;
/// Several times the bound.
const RECORDS: u64 = 8 * MEMORY_BYTES / RECORD_BYTES as u64;
/// Records that are kept, each of another segment, with all of that segment's memory.
const KEPT: usize = 2;

/// Anonymous and shared resident memory of this process, in bytes.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    Some((kib("RssAnon:")? + kib("RssShmem:")?) * 1024)
}

/// Reads to the last record, at the tail, and counts.
fn follow(mut reader: Reader, seen: &AtomicU64) {
    for number in 0..RECORDS {
        let record = reader.next().unwrap();
        assert_eq!(record[..8], number.to_le_bytes());
        drop(record);
        seen.store(number + 1, Ordering::Relaxed);
    }
}

#[test]
fn resident_memory_is_bounded() {
    let Some(base) = resident_bytes() else {
        return skip(1, "the kernel does not tell what is resident");
    };
    let place = Place::new("memory");
    let log = LogOptions::new()
        .segment_bytes(SEGMENT_BYTES)
        .memory_bytes(MEMORY_BYTES)
        .open(place.path().join("log"))
        .unwrap();
    let committed = ReadOptions::new().visibility(Visibility::Committed);
    let tails = [
        log.reader(From::Start).unwrap(),
        log.reader_with(From::Start, committed).unwrap(),
    ];
    let mut paused = log.reader(From::Start).unwrap();
    let mut keeping = log.reader(From::Start).unwrap();
    let mut kept: Vec<SharedRecord> = Vec::new();
    let seen = [AtomicU64::new(0), AtomicU64::new(0)];
    let appended = AtomicBool::new(false);
    let mut highest = 0;
    std::thread::scope(|scope| {
        for (reader, seen) in tails.into_iter().zip(&seen) {
            scope.spawn(|| follow(reader, seen));
        }
        let appending = scope.spawn(|| {
            let mut payload = vec![1; RECORD_BYTES];
            for number in 0..RECORDS {
                payload[..8].copy_from_slice(&number.to_le_bytes());
                let _ = log.append(&payload).unwrap();
            }
            log.flush().unwrap();
            appended.store(true, Ordering::Release);
        });
        // A record of the first segment, taken once and then never again: this reader is paused.
        drop(paused.next().unwrap());
        while !appended.load(Ordering::Acquire) && !appending.is_finished() {
            if kept.len() < KEPT {
                let record = keeping.next().unwrap().share();
                let other = kept
                    .last()
                    .is_none_or(|last| last.position().segment() != record.position().segment());
                if other {
                    kept.push(record);
                }
            }
            highest = highest.max(resident_bytes().unwrap());
            std::thread::yield_now();
        }
    });
    highest = highest.max(resident_bytes().unwrap());
    let held = KEPT as u64 * SEGMENT_BYTES;
    let mib = |bytes: u64| bytes >> 20;
    assert!(
        highest <= base + MEMORY_BYTES + held + OWN_BYTES,
        "{} MiB resident, {} of them before; the bound is {}, callers hold {}",
        mib(highest),
        mib(base),
        mib(MEMORY_BYTES),
        mib(held),
    );
    assert!(
        seen.iter()
            .all(|seen| seen.load(Ordering::Relaxed) == RECORDS)
    );
    assert!(log.stats().rollovers * SEGMENT_BYTES >= 6 * MEMORY_BYTES);
    // The paused reader lost nothing: it goes on, from the files.
    let mut number: u64 = 1;
    while let Some(record) = paused.try_next().unwrap() {
        assert_eq!(record[..8], number.to_le_bytes());
        number += 1;
    }
    assert_eq!(number, RECORDS);
    // The whole log was mapped and read; its pages are the cache's.
    let after = resident_bytes().unwrap();
    assert!(
        after <= base + MEMORY_BYTES + held + OWN_BYTES,
        "{} MiB resident after reading everything",
        mib(after)
    );
    assert_eq!(kept.len(), KEPT);
    log.close().unwrap();
}
