//! What is kept beside the log, and what is given back.

use ringbolt::ErrorKind;
use ringbolt::disk::{Disk, sim::SimDisk};
use ringbolt::store::{NewRecord, ReadFrom, Store, StreamOptions};

use crate::support::{DIR, Rig, all, open, rest};

/// Names in the store's directory that end like this, in order.
fn names(disk: &SimDisk, suffix: &str) -> Vec<String> {
    let dir = disk.open_dir(DIR.as_ref()).unwrap();
    let mut names: Vec<_> = dir
        .list()
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    names
}

/// Appends records of 100 kB to two streams until so many segments were left.
fn fill(store: &Store, segments: u64) {
    let large = vec![7; 100_000];
    let begin = store.log_stats().rollovers;
    for n in 0.. {
        let name = if n % 3 == 0 { "b" } else { "a" };
        let stream = store.stream(name).unwrap();
        stream.append(&large[..]).unwrap().wait().unwrap();
        if store.log_stats().rollovers >= begin + segments {
            return;
        }
    }
}

/// Waits until this is so: file work goes on by itself.
fn until(store: &Store, mut so: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if so() {
            return;
        }
        // A turn of the engine.
        store.put(b"turn", b"").unwrap().wait().unwrap();
    }
    panic!("it never came to be");
}

#[test]
fn an_opening_begins_at_a_snapshot_and_reads_what_lies_before() {
    let mut rig = Rig::new();
    let (a, b) = (rig.stream("a"), rig.stream("b"));
    a.append(NewRecord::new(b"first").message_id(b"id"))
        .unwrap()
        .wait()
        .unwrap();
    b.seek("group", 0, b"meta").unwrap().wait().unwrap();
    fill(&rig.store, 5);
    let disk = rig.disk.clone();
    until(&rig.store, || {
        names(&disk, ".snap").len() == 2 && names(&disk, ".idx").len() >= 5
    });
    let expected = all(&a);
    rig.reopen();
    let a = rig.stream("a");
    assert_eq!(all(&a), expected);
    let again = NewRecord::new(b"first").message_id(b"id");
    assert!(a.append(again).unwrap().wait().unwrap().duplicate);
    // A cut in what lies before, and all of it once more.
    a.truncate(7).unwrap().wait().unwrap();
    assert_eq!(a.append(b"new").unwrap().wait().unwrap().offset, 7);
    rig.reopen();
    let mut reader = rig.stream("a").reader(ReadFrom::Offset(6)).unwrap();
    let read = rest(&mut reader);
    assert_eq!(
        (read.len(), &read[0], &*read[1].1),
        (2, &expected[6], &b"new"[..])
    );
}

#[test]
fn segments_go_when_nobody_wants_them() {
    let mut rig = Rig::new();
    let (a, b) = (rig.stream("a"), rig.stream("b"));
    fill(&rig.store, 4);
    let disk = rig.disk.clone();
    until(&rig.store, || names(&disk, ".snap").len() == 2);
    let first = names(&disk, ".seg")[0].clone();
    a.trim(a.describe().unwrap().next).unwrap().wait().unwrap();
    fill(&rig.store, 2);
    // One stream still has something in each.
    assert_eq!(names(&disk, ".seg")[0], first);
    let keep = b.describe().unwrap().next - 1;
    b.trim(keep).unwrap().wait().unwrap();
    fill(&rig.store, 3);
    until(&rig.store, || names(&disk, ".seg")[0] > first);
    fill(&rig.store, 2);
    let gone = |name: &String| name[..11] < names(&disk, ".seg")[0][..11];
    until(&rig.store, || !names(&disk, ".idx").iter().any(gone));
    let expected = all(&b);
    assert_eq!(expected[0].0, keep);
    rig.reopen();
    assert_eq!(all(&rig.stream("b")), expected);
}

#[test]
fn a_damaged_snapshot_is_passed_over_and_a_missing_index_is_told() {
    let rig = Rig::new();
    rig.stream("a");
    rig.stream("b");
    fill(&rig.store, 5);
    let disk = rig.disk.clone();
    until(&rig.store, || {
        names(&disk, ".snap").len() == 2 && names(&disk, ".idx").len() >= 5
    });
    let (_, before) = rig.store.fingerprint().unwrap();
    rig.store.close().unwrap();
    let snapshots = names(&disk, ".snap");
    let path = |name: &str| format!("{DIR}/{name}");
    disk.patch(path(&snapshots[1]), 80, &[0xFF; 4]).unwrap();
    let store = open(&disk);
    assert_eq!(store.fingerprint().unwrap().1, before);
    store.close().unwrap();
    // Without any the log is gone over from its begin, which is still there.
    for name in names(&disk, ".snap") {
        disk.patch(path(&name), 80, &[0xFF; 4]).unwrap();
    }
    for name in names(&disk, ".idx") {
        disk.remove(path(&name)).unwrap();
    }
    let store = open(&disk);
    let len = all(&store.stream("a").unwrap()).len();
    assert!(len > 10);
    fill(&store, 4);
    until(&store, || {
        names(&disk, ".snap").len() == 2 && names(&disk, ".idx").len() >= 8
    });
    store.close().unwrap();
    let first = names(&disk, ".idx")[0].clone();
    disk.remove(path(&first)).unwrap();
    let store = open(&disk);
    let a = store.stream("a").unwrap();
    let error = a
        .reader(ReadFrom::Earliest)
        .unwrap()
        .try_next()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains(&first), "{error}");
    // What lies elsewhere can be read.
    let mut reader = a.reader(ReadFrom::Offset(len as u64 - 1)).unwrap();
    assert_eq!(reader.try_next().unwrap().unwrap().offset(), len as u64 - 1);
    assert!(store.create("c", &StreamOptions::new()).is_ok());
}
