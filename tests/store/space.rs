//! What is kept beside the log, and what is given back.

use std::sync::Arc;
use std::time::Duration;

use ringbolt::disk::sim::SimDisk;
use ringbolt::store::{Batch, NewRecord, ReadFrom, StreamOptions};
use ringbolt::{Engine, ErrorKind};

use crate::support::{DIR, Rig, all, fill, names, open, options, rest, until};

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

/// A stream of a few records must not keep all of the others' segments.
#[test]
fn a_slow_stream_does_not_pin_the_disk() {
    let mut rig = Rig::new();
    let (a, b) = (rig.stream("a"), rig.stream("b"));
    let slow = rig.stream("slow");
    let disk = rig.disk.clone();
    let mut expected = Vec::new();
    for n in 0..40u64 {
        let payload = vec![n as u8; 1000];
        let record = NewRecord::new(&payload)
            .count(1 + (n % 3) as u32)
            .key(b"key");
        let offset = slow.append(record).unwrap().wait().unwrap().offset;
        expected.push((offset, payload));
        fill(&rig.store, 1);
        for stream in [&a, &b] {
            stream
                .trim(stream.describe().unwrap().next)
                .unwrap()
                .wait()
                .unwrap();
        }
        if n == 20 {
            // In the middle of a record, at the end of what was moved, and among it.
            slow.trim(expected[2].0 + 1).unwrap().wait().unwrap();
            slow.erase(expected[5].0).unwrap().wait().unwrap();
            expected.remove(5);
            expected.drain(..2);
        }
        if n == 25 {
            slow.truncate(expected.last().unwrap().0)
                .unwrap()
                .wait()
                .unwrap();
            expected.pop();
        }
    }
    let first = |names: Vec<String>| names[0][..11].parse::<u64>().unwrap();
    // The keeper comes after the log, which a simulated disk lets run fast.
    let behind = (0..300).find(|_| {
        fill(&rig.store, 1);
        for stream in [&a, &b] {
            stream
                .trim(stream.describe().unwrap().next)
                .unwrap()
                .wait()
                .unwrap();
        }
        std::thread::yield_now();
        first(names(&disk, ".seg")) + 12 > rig.store.stats().log.durable.segment()
    });
    assert!(behind.is_some(), "{:?}", rig.store.stats());
    assert!(rig.store.stats().moved_records > 0);
    assert_eq!(all(&slow), expected);
    let (from, offset) = (expected[7].0, expected[8].0);
    let mut reader = slow.reader(ReadFrom::Offset(offset - 1)).unwrap();
    assert_eq!(reader.try_next().unwrap().unwrap().offset(), from);
    rig.reopen();
    assert_eq!(all(&rig.stream("slow")), expected);
    let record = rig
        .stream("slow")
        .reader(ReadFrom::Earliest)
        .unwrap()
        .next()
        .unwrap();
    assert_eq!(record.key(), Some(&b"key"[..]));
    // Cut among what was moved: nothing of it comes back.
    let slow = rig.stream("slow");
    slow.truncate(expected[4].0).unwrap().wait().unwrap();
    slow.append(b"anew").unwrap().wait().unwrap();
    let mut expected = expected[..4].to_vec();
    expected.push((slow.describe().unwrap().next - 1, b"anew".to_vec()));
    assert_eq!(all(&slow), expected);
    rig.reopen();
    assert_eq!(all(&rig.stream("slow")), expected);
}

/// Much is wanted of the oldest segment, and nothing of those behind it.
#[test]
fn a_segment_of_which_much_is_wanted_does_not_pin_those_behind_it() {
    let rig = Rig::new();
    let keeps = rig.stream("keeps");
    let large = vec![7; 100_000];
    for _ in 0..6 {
        keeps.append(&large[..]).unwrap().wait().unwrap();
    }
    let (a, b) = (rig.stream("a"), rig.stream("b"));
    let disk = rig.disk.clone();
    let gone = (0..300).find(|_| {
        fill(&rig.store, 1);
        for stream in [&a, &b] {
            let next = stream.describe().unwrap().next;
            stream.trim(next).unwrap().wait().unwrap();
        }
        names(&disk, ".seg")[0] != "00000000001.seg"
    });
    assert!(gone.is_some(), "{:?}", rig.store.stats());
    assert_eq!(all(&keeps).len(), 6);
    assert!(rig.store.stats().moved_bytes > 600_000);
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

#[test]
fn of_each_key_the_latest_is_kept_and_the_log_stays_short() {
    let mut rig = Rig::new();
    let options = StreamOptions::new().latest_by_key();
    let stream = rig.store.create("keyed", &options).unwrap();
    let other = rig.stream("other");
    // One that never comes again, and one without a key.
    let once = NewRecord::new(b"once").key(b"once");
    stream.append(once).unwrap().wait().unwrap();
    stream.append(b"keyless").unwrap().wait().unwrap();
    let mut latest = Vec::new();
    for n in 0..2_000u64 {
        let mut payload = vec![1; 20_000];
        payload[..8].copy_from_slice(&n.to_le_bytes());
        let key = (n % 10).to_le_bytes();
        let record = NewRecord::new(&payload).key(&key);
        let offset = stream.append(record).unwrap().wait().unwrap().offset;
        if n >= 1_990 {
            latest.push((offset, payload));
        }
        if n % 100 == 0 {
            other.append(b"beside").unwrap().wait().unwrap();
        }
    }
    let (store, disk) = (rig.store.clone(), rig.disk.clone());
    // 40 segments were written.
    until(&store, || {
        stream.describe().unwrap().bytes < 500 * 20_000 && names(&disk, ".seg").len() < 16
    });
    let check = |stream: &ringbolt::store::Stream| {
        // Before they are read: meanwhile more may go.
        let counted = stream.describe().unwrap().bytes;
        let records = all(stream);
        assert_eq!(records[0].1, b"once");
        assert_eq!(records[1].1, b"keyless");
        assert_eq!(records[records.len() - 10..], latest);
        assert!(records.len() < 500, "{} records are left", records.len());
        let bytes: usize = records.iter().map(|(_, payload)| payload.len()).sum();
        assert!(counted >= bytes as u64);
    };
    check(&stream);
    rig.reopen();
    check(&rig.stream("keyed"));
    assert_eq!(all(&rig.stream("other")).len(), 20);
}

#[test]
fn a_record_that_is_being_moved_is_seen_all_the_time() {
    let disk = SimDisk::new(3);
    let builder = Engine::builder().disk(Arc::new(disk.clone()));
    let (engine, mut driver) = builder.caller_driven().unwrap();
    let store = options().open_on(&engine, DIR).unwrap();
    let mut turn = || {
        driver.poll().unwrap();
        driver.wait(Some(Duration::ZERO)).unwrap();
    };
    let mut batch = Batch::new();
    for name in ["slow", "fast"] {
        batch.create(name, &StreamOptions::new()).unwrap();
    }
    let made = store.try_commit(&batch).unwrap();
    while !made.is_durable() {
        turn();
    }
    let (slow, fast) = (store.stream("slow").unwrap(), store.stream("fast").unwrap());
    for n in 0..4u8 {
        drop(slow.try_append(&[n]).unwrap());
    }
    let last = slow.try_append(b"last").unwrap();
    while !last.is_durable() {
        turn();
    }
    let large = vec![7; 300_000];
    for n in 0..60 {
        let ticket = loop {
            match fast.try_append(&large[..]) {
                Err(error) if error.is_retryable() => turn(),
                ticket => break ticket.unwrap(),
            }
        };
        let _ = fast.trim(n).unwrap();
        while !ticket.is_durable() {
            turn();
            assert_eq!(all(&slow).len(), 5);
        }
    }
    assert!(store.stats().moved_records >= 5);
}
