//! Inspecting, verifying and repairing real logs on the real disk, in use and damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ringbolt::maintain::{self, SegmentState, repair};
use ringbolt::{ErrorKind, From, Log, LogOptions, Position};

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringbolt-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn options() -> LogOptions {
    LogOptions::new().segment_bytes(1 << 20)
}

/// Appends `count` records of `len` bytes and waits for the last; returns where they are.
fn fill(log: &Log, count: usize, len: usize) -> Vec<Position> {
    let payload = vec![b'x'; len];
    let positions = (0..count)
        .map(|_| log.append(&payload).unwrap().position())
        .collect();
    log.flush().unwrap();
    positions
}

fn read_all(log: &Log) -> usize {
    let mut reader = log.reader(From::Start).unwrap();
    let mut count = 0;
    while reader.try_next().unwrap().is_some() {
        count += 1;
    }
    count
}

/// Changes one byte of the file that a position lies in.
fn spoil(dir: &Path, position: Position) {
    let (segment, offset) = position
        .to_string()
        .split_once(':')
        .map(|(a, b)| (a.parse::<u64>().unwrap(), b.parse::<usize>().unwrap()))
        .unwrap();
    let path = dir.join(format!("{segment:011}.seg"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[offset + 20] ^= 1;
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_log_in_use_raises_no_false_alarm() {
    let scratch = Scratch::new("in-use");
    let log = options().retain_bytes(6 << 20).open(&scratch.0).unwrap();
    fill(&log, 1, 10);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..40 {
                let positions = fill(&log, 300, 1000);
                if round % 8 == 7 {
                    log.truncate(positions[200]).unwrap();
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut rounds = 0;
        while !done.load(Ordering::Relaxed) || rounds == 0 {
            let verification = maintain::verify(&scratch.0, &mut |_| {}).unwrap();
            assert!(verification.is_sound(), "{:?}", verification.damages);
            let inspection = maintain::inspect(&scratch.0).unwrap();
            assert!(inspection.writer, "somebody writes");
            assert!(inspection.damage.is_none(), "{:?}", inspection.damage);
            rounds += 1;
        }
    });
    let error = repair::plan(&scratch.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    log.close().unwrap();
    let inspection = maintain::inspect(&scratch.0).unwrap();
    assert!(!inspection.writer);
    let states = inspection.segments.iter();
    assert!(states.filter(|s| s.state == SegmentState::Sealed).count() > 0);
    let verification = maintain::verify(&scratch.0, &mut |_| {}).unwrap();
    assert!(verification.is_sound(), "{:?}", verification.damages);
    assert!(repair::plan(&scratch.0).unwrap().is_empty());
}

#[test]
fn a_damaged_log_is_refused_repaired_and_goes_on() {
    let scratch = Scratch::new("damaged");
    let log = options().open(&scratch.0).unwrap();
    let positions = fill(&log, 4000, 1000);
    log.close().unwrap();
    // In a sealed segment only a verification finds it.
    let bad = 1500;
    spoil(&scratch.0, positions[bad]);
    let verification = maintain::verify(&scratch.0, &mut |_| {}).unwrap();
    let damage = &verification.damages[..];
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!(damage[0].position, Some(positions[bad]));
    let plan = repair::plan(&scratch.0).unwrap();
    assert_eq!(plan.end(), positions[bad]);
    // A plan changes nothing.
    drop(plan);
    assert!(!scratch.0.join("quarantine").exists());
    let repaired = repair::plan(&scratch.0).unwrap().apply().unwrap();
    assert!(!repaired.quarantined.is_empty());
    let log = options().open(&scratch.0).unwrap();
    assert_eq!(read_all(&log), bad);
    let next = fill(&log, 10, 1000);
    assert!(next[0] > positions[3999], "no position names two records");
    log.close().unwrap();
    let verification = maintain::verify(&scratch.0, &mut |_| {}).unwrap();
    assert!(verification.is_sound(), "{:?}", verification.damages);
    assert_eq!(verification.records, bad as u64 + 10);
    assert!(scratch.0.join("quarantine").exists(), "nobody touches it");
}

#[test]
fn damage_in_the_tail_keeps_the_log_from_opening_until_it_is_repaired() {
    let scratch = Scratch::new("tail");
    let log = options().open(&scratch.0).unwrap();
    let positions = fill(&log, 100, 1000);
    log.close().unwrap();
    spoil(&scratch.0, positions[50]);
    let error = options().open(&scratch.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert_eq!(error.position(), Some(positions[50]));
    assert!(maintain::inspect(&scratch.0).unwrap().damage.is_some());
    repair::plan(&scratch.0).unwrap().apply().unwrap();
    let log = options().open(&scratch.0).unwrap();
    assert_eq!(read_all(&log), 50);
}
