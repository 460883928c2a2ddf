//! Inspecting, verifying and repairing stores.

use std::sync::Arc;

use ringbolt::disk::{Disk, sim::SimDisk};
use ringbolt::maintain::repair::RepairPlan;
use ringbolt::store::StreamOptions;
use ringbolt::store::maintain::{
    EntryInfo, FileKind, FileState, StoreVerification, inspect_with, repair_with, verify_with,
};
use ringbolt::{Engine, ErrorKind, LogOptions};

use crate::support::{DIR, Rig, all, open, options};

fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn verify(disk: &SimDisk) -> StoreVerification {
    verify_with(&shared(disk), DIR.as_ref(), &mut |_| {}).unwrap()
}

fn repair(disk: &SimDisk) -> RepairPlan {
    repair_with(&shared(disk), DIR.as_ref()).unwrap()
}

/// The names of the files of a kind, and what they are to the store.
fn files(disk: &SimDisk, kind: FileKind) -> Vec<(String, FileState)> {
    let inspection = inspect_with(&shared(disk), DIR.as_ref()).unwrap();
    let files = inspection.files.into_iter();
    files
        .filter(|file| file.kind == kind)
        .map(|file| (file.name, file.state))
        .collect()
}

fn spoil(disk: &SimDisk, name: &str) {
    disk.patch(format!("{DIR}/{name}"), 80, &[0xFF; 4]).unwrap();
}

/// A store that was closed with two snapshots, and what was derived. With `trims`, its begin is gone.
fn closed(trims: bool) -> (SimDisk, String) {
    let rig = Rig::new();
    let a = rig.stream("a");
    let large = vec![7; 100_000];
    let disk = rig.disk.clone();
    for _ in 0..20_000 {
        let offset = a.append(&large[..]).unwrap().wait().unwrap().offset;
        if trims {
            a.trim(offset.saturating_sub(30)).unwrap().wait().unwrap();
        }
        let (log, left) = (rig.store.stats().log, offset / 9);
        if left < 6 || trims && log.start.segment() == 1 {
            continue;
        }
        if files(&disk, FileKind::Snapshot).len() == 2 {
            rig.store.close().unwrap();
            let text = rig.store.fingerprint().unwrap().1;
            return (disk, text);
        }
    }
    panic!("there never were two snapshots");
}

/// Mends it, and looks whether it is what it was.
fn mended(disk: &SimDisk, expected: &str) {
    let plan = repair(disk);
    assert!(!plan.is_empty(), "{:?}", plan.damages());
    plan.apply().unwrap();
    let store = open(disk);
    assert_eq!(store.fingerprint().unwrap().1, expected);
    store.close().unwrap();
    assert!(verify(disk).log.is_sound());
    assert!(repair(disk).damages().is_empty());
}

#[test]
fn a_sound_store_is_told_to_be() {
    let (disk, expected) = closed(true);
    let found = verify(&disk);
    assert!(found.log.is_sound(), "{:?}", found.log.damages);
    assert!(found.entries >= found.log.records && found.entries > 60);
    let indexes = files(&disk, FileKind::Index);
    assert_eq!(found.files, indexes.len() as u64 + 2);
    let sound = |(_, state): &(String, FileState)| matches!(state, FileState::Index { streams: 1, records } if *records > 5);
    assert!(indexes.iter().any(sound), "{indexes:?}");
    for (_, state) in files(&disk, FileKind::Snapshot) {
        assert_eq!(
            state,
            FileState::Snapshot {
                streams: 1,
                keys: 0
            }
        );
    }
    let plan = repair(&disk);
    assert!(plan.is_empty() && plan.damages().is_empty());
    drop(plan);
    // Also while it is in use.
    let store = open(&disk);
    assert_eq!(store.fingerprint().unwrap().1, expected);
    assert!(verify(&disk).log.is_sound());
}

#[test]
fn a_damaged_snapshot_is_set_aside() {
    let (disk, expected) = closed(true);
    let newest = files(&disk, FileKind::Snapshot)[1].0.clone();
    spoil(&disk, &newest);
    assert_eq!(files(&disk, FileKind::Snapshot)[1].1, FileState::Damaged);
    let found = verify(&disk);
    assert_eq!(found.log.damages.len(), 1);
    assert!(found.log.damages[0].path.ends_with(&newest));
    let plan = repair(&disk);
    assert_eq!(plan.steps().len(), 1);
    assert!(plan.steps()[0].contains(&newest));
    drop(plan);
    mended(&disk, &expected);
}

/// An opening must begin before the segment: snapshots that are sound go, too.
#[test]
fn a_lost_index_is_derived_again_from_an_older_snapshot_or_the_begin() {
    for removed in [false, true] {
        let (disk, expected) = closed(false);
        let index = files(&disk, FileKind::Index)[0].0.clone();
        if removed {
            disk.remove(format!("{DIR}/{index}")).unwrap();
        } else {
            spoil(&disk, &index);
        }
        let found = verify(&disk);
        assert_eq!(found.log.damages.len(), 1, "{:?}", found.log.damages);
        assert!(found.log.damages[0].path.ends_with(&index));
        let plan = repair(&disk);
        assert_eq!(
            plan.steps().len(),
            2 + usize::from(!removed),
            "{:?}",
            plan.steps()
        );
        drop(plan);
        mended(&disk, &expected);
    }
}

#[test]
fn what_the_log_does_not_say_any_more_cannot_be_mended() {
    let (disk, _) = closed(true);
    // Of the segment that the oldest snapshot is about: no opening can begin before it.
    let oldest = files(&disk, FileKind::Snapshot)[0].0.clone();
    spoil(&disk, &format!("{}.idx", &oldest[..11]));
    let plan = repair(&disk);
    assert!(plan.is_empty());
    assert_eq!(plan.damages().len(), 1);
    drop(plan);
    for (name, _) in files(&disk, FileKind::Snapshot) {
        spoil(&disk, &name);
    }
    let found = verify(&disk);
    assert!(found.log.damages.len() >= 3, "{:?}", found.log.damages);
    let plan = repair(&disk);
    assert!(plan.is_empty() && plan.damages().len() >= 3);
    drop(plan);
    let engine = Engine::builder().disk(shared(&disk)).start().unwrap();
    let error = options().open_on(&engine, DIR).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

/// The log first; what lies beside it is told of when that is sound.
#[test]
fn a_damaged_log_is_mended_first() {
    let (disk, _) = closed(false);
    let newest = files(&disk, FileKind::Snapshot)[1].0.clone();
    spoil(&disk, &newest);
    let path = format!("{DIR}/{}.seg", &newest[..11]);
    disk.patch(path, 0, &[0xFF; 4]).unwrap();
    let steps = repair(&disk).steps();
    assert!(
        steps.iter().any(|step| step.contains("header")),
        "{steps:?}"
    );
    repair(&disk).apply().unwrap();
    let steps = repair(&disk).steps();
    assert!(steps.len() == 1 && steps[0].contains(&newest), "{steps:?}");
}

/// A record that its checksum vouches for, and that is no entry all the same.
#[test]
fn an_entry_is_read_and_a_log_without_streams_has_none() {
    let disk = SimDisk::new(9);
    let engine = Engine::builder().disk(shared(&disk)).start().unwrap();
    let options = LogOptions::new().segment_bytes(1 << 20);
    let log = options.open_on(&engine, DIR).unwrap();
    log.append(b"no entry").unwrap().wait().unwrap();
    log.close().unwrap();
    let found = verify(&disk);
    assert!(found.log.is_sound());
    assert_eq!((found.entries, found.files, found.log.records), (0, 0, 1));
    assert!(repair(&disk).is_empty());
    assert_eq!(EntryInfo::of(b"no entry"), None);
    let rig = Rig::new();
    rig.store.create("orders", &StreamOptions::new()).unwrap();
    assert!(all(&rig.stream("orders")).is_empty());
    let rules = inspect_with(&shared(&rig.disk), DIR.as_ref()).unwrap();
    assert!(rules.log.store_rules.is_some() && rules.files.is_empty());
}
