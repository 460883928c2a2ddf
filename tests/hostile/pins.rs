//! Segments that somebody needs as files: pins keep them, hooks tell of them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use ringbolt::disk::sim::SimDisk;
use ringbolt::{Engine, ErrorKind, Log, Position, SealedSegment};

use crate::common::{DIR, Rig, contents, options, payload, read_all, reopened};

/// The ordinals of the segment files that are there.
fn files(disk: &SimDisk) -> Vec<u64> {
    let names = contents(disk).into_iter().map(|(name, _)| name);
    let ordinal = |name: String| name.strip_suffix(".seg")?.parse().ok();
    names.filter_map(ordinal).collect()
}

/// A log of some segments, and where the records begin.
fn filled(seed: u64) -> (Rig, Log, Vec<Position>) {
    let mut rig = Rig::new(&SimDisk::new(seed));
    let log = rig.open(&options().spare_segments(0)).unwrap();
    let at = (0..16).map(|n| rig.write(&log, &payload(n, 300_000)));
    let at = at.collect();
    (rig, log, at)
}

fn in_segment(at: &[Position], ordinal: u64) -> Position {
    let first = at.iter().find(|at| at.segment() == ordinal);
    *first.unwrap()
}

#[test]
fn a_trim_goes_as_far_as_a_pin_lets_it_and_on_when_that_has_gone() {
    let (mut rig, log, at) = filled(1);
    let (pin, again) = (log.pin_segment(2).unwrap(), log.pin_segment(2).unwrap());
    assert!(pin.path().ends_with("00000000002.seg"));
    let start = rig.trim(&log, in_segment(&at, 4)).unwrap();
    assert_eq!(start, in_segment(&at, 2));
    rig.rest();
    assert_eq!(files(&rig.disk)[0], 2);
    let stats = log.stats();
    assert_eq!((stats.pins, stats.pinned_bytes), (1, 2 << 20));
    assert_eq!(read_all(&log).unwrap()[0].0, start);
    // A pin further on is in nobody's way; one of two is as good as both.
    let further = log.pin_segment(3).unwrap();
    drop(pin);
    rig.rest();
    assert_eq!(files(&rig.disk)[0], 2);
    drop(again);
    rig.rest();
    assert_eq!((files(&rig.disk)[0], log.stats().pins), (3, 1));
    drop(further);
    rig.rest();
    assert_eq!(files(&rig.disk)[0], 4);
    assert_eq!((log.stats().pins, log.stats().pinned_bytes), (0, 0));
    assert_eq!(log.stats().start, in_segment(&at, 4));
}

#[test]
fn what_is_gone_or_not_there_yet_cannot_be_pinned() {
    let (mut rig, log, at) = filled(2);
    rig.trim(&log, in_segment(&at, 3)).unwrap();
    let error = log.pin_segment(2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Trimmed);
    assert_eq!(error.position(), Some(in_segment(&at, 3)));
    let error = log.pin_segment(1000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// Retention, too, leaves it alone, and the next opening knows of none.
#[test]
fn retention_waits_for_a_pin_and_an_opening_for_none() {
    let mut rig = Rig::new(&SimDisk::new(3));
    let options = options().spare_segments(0).retain_bytes(2 << 20);
    let log = rig.open(&options).unwrap();
    let first = rig.write(&log, &payload(0, 300_000));
    let pin = log.pin_segment(first.segment()).unwrap();
    for n in 0..20 {
        rig.write(&log, &payload(n, 300_000));
    }
    rig.rest();
    assert_eq!(files(&rig.disk)[0], first.segment());
    assert_eq!(read_all(&log).unwrap().len(), 21);
    rig.close(&log).unwrap();
    drop(pin);
    drop(log);
    let log = rig.open(&options).unwrap();
    rig.write(&log, b"a turn");
    rig.rest();
    assert!(files(&rig.disk)[0] > first.segment());
}

/// What a truncation cuts is no part of the log any more.
#[test]
fn a_truncation_takes_what_is_pinned() {
    let (mut rig, log, at) = filled(4);
    let pin = log.pin_segment(3).unwrap();
    rig.truncate(&log, in_segment(&at, 2)).unwrap();
    rig.rest();
    assert!(!files(&rig.disk).contains(&3));
    drop(pin);
    rig.write(&log, b"goes on");
    rig.close(&log).unwrap();
    let (_rig, log) = reopened(&rig);
    assert_eq!(read_all(&log).unwrap().last().unwrap().1, b"goes on");
}

type Told = Arc<Mutex<Vec<SealedSegment>>>;

#[test]
fn a_hook_is_told_what_was_sealed() {
    let told = Told::default();
    let hook = Arc::clone(&told);
    let options = options().on_seal(move |sealed| hook.lock().unwrap().push(sealed.clone()));
    let mut rig = Rig::new(&SimDisk::new(5));
    let log = rig.open(&options).unwrap();
    let at: Vec<_> = (0..16)
        .map(|n| rig.write(&log, &payload(n, 300_000)))
        .collect();
    rig.rest();
    let told = told.lock().unwrap();
    assert_eq!(*told, log.sealed_segments());
    assert!(told.len() >= 4);
    for sealed in &*told {
        let here: Vec<_> = at
            .iter()
            .filter(|at| sealed.positions.contains(at))
            .collect();
        assert!(here.iter().all(|at| at.segment() == sealed.ordinal));
        assert_eq!(sealed.records, here.len() as u64);
        assert_eq!(sealed.payload_bytes, 300_000 * sealed.records);
        assert_eq!(
            sealed.path,
            std::path::Path::new(DIR).join(format!("{:011}.seg", sealed.ordinal))
        );
        assert_eq!(sealed.file_bytes, 1 << 20);
        assert!(sealed.first_time <= sealed.time);
    }
}

/// A hook that never comes back keeps neither appends nor a close from going on.
#[test]
fn a_slow_hook_harms_nobody() {
    let disk = SimDisk::new(6);
    let engine = Engine::builder().disk(Arc::new(disk)).start().unwrap();
    let (release, held): (Sender<()>, Receiver<()>) = channel();
    let (tell, told) = channel();
    let held = Mutex::new((held, tell));
    let options = options()
        .stall_limit(std::time::Duration::MAX)
        .on_seal(move |sealed| {
            let (held, tell) = &*held.lock().unwrap();
            let _ = held.recv();
            let _ = tell.send(sealed.ordinal);
        });
    let log = options.open_on(&engine, DIR).unwrap();
    for n in 0..30 {
        log.append(&payload(n, 300_000)).unwrap().wait().unwrap();
    }
    let sealed: Vec<_> = log.sealed_segments().iter().map(|s| s.ordinal).collect();
    assert!(sealed.len() > 6);
    log.trim(log.durable().get()).unwrap();
    log.close().unwrap();
    assert!(told.try_recv().is_err());
    drop(release);
    let told: Vec<_> = told.iter().take(sealed.len()).collect();
    assert_eq!(told, sealed);
}
