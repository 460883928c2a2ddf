//! A store seen from outside: beside its writer, and behind it.

use std::sync::Arc;
use std::time::Duration;

use ringbolt::ErrorKind;
use ringbolt::disk::Disk;
use ringbolt::disk::sim::{OpClass, SimDisk};
use ringbolt::maintain::repair;
use ringbolt::store::{Headers, NewRecord, ReadFrom, Store, StoreView, StreamOptions};
use ringbolt::{Engine, LogOptions};

use crate::support::{DIR, Rig, all, fill, names, open, rest_seen, until, view};

/// Long enough for whatever must come, and never waited for to its end.
const LONG: Duration = Duration::from_secs(60);

/// Has the view see all that is durable now.
fn catch_up(view: &StoreView, store: &Store) {
    store.flush().unwrap();
    view.refresh_within(LONG).unwrap();
}

fn records(view: &StoreView, name: &str) -> Vec<(u64, Vec<u8>)> {
    rest_seen(&mut view.reader(name, ReadFrom::Earliest).unwrap())
}

#[test]
fn what_the_store_tells_is_seen_beside_it() {
    let rig = Rig::new();
    let (store, view) = (&rig.store, &rig.view);
    assert!(view.is_empty());
    let options = StreamOptions::new()
        .retain_age(Duration::from_secs(3600))
        .latest_by_key()
        .opaque(*b"mine");
    let a = store.create("a", &options).unwrap();
    let b = rig.stream("b");
    let headers = Headers::new().with("name", b"value");
    let full = NewRecord::new(b"full")
        .count(3)
        .key(b"key")
        .headers(&headers);
    a.append(full).unwrap().wait().unwrap();
    for n in 0..10u8 {
        a.append(&[n; 10][..]).unwrap().wait().unwrap();
    }
    b.append(b"other").unwrap().wait().unwrap();
    a.hold("slow", 2, b"meta").unwrap().wait().unwrap();
    a.seek("fast", 0, b"").unwrap().wait().unwrap();
    a.acknowledge("fast", 0..3).unwrap().wait().unwrap();
    a.acknowledge("fast", 5..7).unwrap().wait().unwrap();
    store.put(b"key", b"value").unwrap().wait().unwrap();
    assert_eq!(view.describe("a").unwrap_err().kind(), ErrorKind::NoStream);
    catch_up(view, store);

    assert_eq!(view.len(), 2);
    assert_eq!(
        view.streams("", None, 10),
        [a.describe().unwrap(), b.describe().unwrap()]
    );
    assert_eq!(
        view.streams("", Some("a"), 1),
        [view.describe("b").unwrap()]
    );
    let info = view.describe("a").unwrap();
    assert_eq!((info.first, info.next), (0, 13));
    assert_eq!(info.retain_age, Some(Duration::from_secs(3600)));
    assert_eq!((info.quota_bytes, info.retain_bytes), (None, None));
    assert!(info.latest_by_key && !info.retain_unacknowledged);
    assert_eq!(info.opaque, b"mine");
    let cursor = view.cursor("a", "fast").unwrap().unwrap();
    assert_eq!((cursor.offset, cursor.lag, cursor.holds), (3, 8, false));
    assert!(view.cursor("a", "slow").unwrap().unwrap().holds);
    assert_eq!(view.cursor("a", "none").unwrap(), None);
    assert_eq!(view.cursors("fast"), [("a".to_string(), cursor)]);
    assert_eq!(view.get(b"key"), store.get(b"key"));
    assert_eq!(view.scan(b"k", None, 9), store.scan(b"k", None, 9));

    assert_eq!(records(view, "a"), all(&a));
    let mut reader = view.reader("a", ReadFrom::Earliest).unwrap();
    let first = reader.try_next().unwrap().unwrap();
    assert_eq!((first.count(), first.key()), (3, Some(&b"key"[..])));
    assert_eq!(first.headers().next(), Some(("name", &b"value"[..])));
    // By bytes: a first one of any size comes, and no more than fit.
    assert_eq!(reader.try_next_batch(9, 1).unwrap().len(), 1);
    assert_eq!(reader.try_next_batch(9, 29).unwrap().len(), 2);
    assert_eq!(reader.try_next_batch(4, usize::MAX).unwrap().len(), 4);
    assert_eq!(reader.offset(), 10);
    let mut reader = view.reader("a", ReadFrom::Cursor("fast")).unwrap();
    assert_eq!(reader.try_next().unwrap().unwrap().offset(), 3);
}

#[test]
fn what_is_not_there_is_told() {
    let rig = Rig::new();
    rig.stream("a").append(b"0").unwrap().wait().unwrap();
    catch_up(&rig.view, &rig.store);
    let kind = |from| rig.view.reader("a", from).unwrap_err().kind();
    assert_eq!(kind(ReadFrom::Cursor("none")), ErrorKind::Absent);
    assert_eq!(kind(ReadFrom::Offset(2)), ErrorKind::NoOffset);
    assert_eq!(
        rig.view.describe("none").unwrap_err().kind(),
        ErrorKind::NoStream
    );
    assert_eq!(
        rig.view.describe("").unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let kind = |dir: &str| StoreView::open_on(&rig.disk, dir).unwrap_err().kind();
    assert_eq!(kind("/nothing"), ErrorKind::NotALog);
    let copy = rig.disk.open_dir(DIR.as_ref()).unwrap();
    drop(copy.create("ringbolt.copy").unwrap());
    assert_eq!(kind(DIR), ErrorKind::NotALog);
    copy.unlink("ringbolt.copy").unwrap();
    let disk = Arc::new(rig.disk.clone());
    let engine = Engine::builder().disk(disk).start().unwrap();
    let log = LogOptions::new().open_on(&engine, "/log").unwrap();
    assert_eq!(kind("/log"), ErrorKind::NotAStore);
    log.close().unwrap();
}

#[test]
fn readers_are_told_what_overtook_them() {
    let rig = Rig::new();
    let a = rig.stream("a");
    for n in 0..20u8 {
        a.append(&[n][..]).unwrap().wait().unwrap();
    }
    catch_up(&rig.view, &rig.store);
    let mut behind = rig.view.reader("a", ReadFrom::Earliest).unwrap();
    let mut before = rig.view.reader("a", ReadFrom::Offset(7)).unwrap();
    let mut beyond = rig.view.reader("a", ReadFrom::Latest).unwrap();
    assert!(beyond.try_next().unwrap().is_none());
    a.trim(5).unwrap().wait().unwrap();
    a.truncate(10).unwrap().wait().unwrap();
    a.append(b"new").unwrap().wait().unwrap();
    catch_up(&rig.view, &rig.store);
    for (reader, kind, to) in [
        (&mut behind, ErrorKind::Trimmed, 5),
        (&mut beyond, ErrorKind::Cut, 11),
    ] {
        let error = reader.try_next().unwrap_err();
        assert_eq!((error.kind(), reader.offset()), (kind, to), "{error}");
        assert!(error.to_string().contains(&to.to_string()), "{error}");
    }
    assert_eq!(rest_seen(&mut behind), all(&a));
    assert_eq!(rest_seen(&mut before), all(&a)[2..]);
    // One that is deleted does not come back under its name.
    a.delete().unwrap().wait().unwrap();
    rig.stream("a").append(b"another").unwrap().wait().unwrap();
    catch_up(&rig.view, &rig.store);
    for reader in [&mut behind, &mut before] {
        assert_eq!(reader.try_next().unwrap_err().kind(), ErrorKind::NoStream);
    }
    assert_eq!(records(&rig.view, "a"), [(0, b"another".to_vec())]);
}

#[test]
fn a_reader_follows_as_more_becomes_durable() {
    let rig = Rig::new();
    let a = rig.stream("a");
    catch_up(&rig.view, &rig.store);
    let mut reader = rig.view.reader("a", ReadFrom::Latest).unwrap();
    let error = reader.next_timeout(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let follower = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while seen.len() < 500 {
            seen.push(reader.next().unwrap().offset());
        }
        // What comes last comes although nothing follows it.
        seen.push(reader.next_timeout(LONG).unwrap().offset());
        seen
    });
    let large = vec![1; 20_000];
    for _ in 0..500 {
        a.append(&large[..]).unwrap().wait().unwrap();
    }
    a.append(b"last").unwrap().wait().unwrap();
    let seen = follower.join().unwrap();
    assert!(seen.into_iter().eq(0..=500));
}

#[test]
fn a_view_writes_nothing_and_keeps_nobody_out() {
    let rig = Rig::new();
    let a = rig.stream("a");
    rig.stream("b");
    fill(&rig.store, 5);
    let disk = rig.disk.clone();
    until(&rig.store, || names(&disk, ".snap").len() == 2);
    rig.store.close().unwrap();
    let writes = [
        OpClass::Push,
        OpClass::WriteAt,
        OpClass::Allocate,
        OpClass::Create,
        OpClass::Rename,
        OpClass::Unlink,
        OpClass::Sync,
        OpClass::DirSync,
    ];
    let count = || writes.map(|class| disk.count(class));
    let before = count();
    let seen = view(&disk);
    assert_eq!(records(&seen, "a"), all(&a));
    seen.fingerprint().unwrap();
    seen.refresh_within(LONG).unwrap();
    assert_eq!(count(), before);
    let store = open(&disk);
    assert!(store.create("c", &StreamOptions::new()).is_ok());
}

/// It had the state of long ago, and its segments have gone.
#[test]
fn a_view_that_fell_far_behind_begins_anew() {
    let rig = Rig::new();
    let (a, b) = (rig.stream("a"), rig.stream("b"));
    fill(&rig.store, 2);
    let slow = rig.stream("slow");
    let expected: Vec<_> = (0..5).map(|n| (n, vec![n as u8; 100])).collect();
    for (_, payload) in &expected {
        slow.append(&payload[..]).unwrap().wait().unwrap();
    }
    catch_up(&rig.view, &rig.store);
    let mut behind = rig.view.reader("a", ReadFrom::Earliest).unwrap();
    let mut moved = rig.view.reader("slow", ReadFrom::Earliest).unwrap();
    let disk = rig.disk.clone();
    let old = names(&disk, ".seg");
    let mut rounds = 0;
    while names(&disk, ".seg")[0] <= old[old.len() - 1] {
        fill(&rig.store, 1);
        for stream in [&a, &b] {
            let next = stream.describe().unwrap().next;
            stream.trim(next - 1).unwrap().wait().unwrap();
        }
        rounds += 1;
        assert!(rounds < 1000, "the segments never went");
    }
    // What was moved is found where it is now, and what was trimmed is told.
    assert_eq!(rest_seen(&mut moved), expected);
    let error = behind.try_next().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Trimmed, "{error}");
    rig.store.close().unwrap();
    let (_, before) = rig.store.fingerprint().unwrap();
    rig.view.refresh().unwrap();
    assert_eq!(rig.view.fingerprint().unwrap().1, before);
    assert_eq!(rest_seen(&mut behind), all(&a));
}

/// A store of several segments that was closed, with all of its evidence, and what stream `a` has.
fn sealed() -> (SimDisk, Vec<(u64, Vec<u8>)>) {
    let rig = Rig::new();
    let a = rig.stream("a");
    rig.stream("b");
    fill(&rig.store, 5);
    let disk = rig.disk.clone();
    until(&rig.store, || {
        names(&disk, ".snap").len() == 2 && names(&disk, ".idx").len() >= 5
    });
    rig.store.close().unwrap();
    (disk, all(&a))
}

#[test]
fn a_missing_index_is_told_by_who_needs_it() {
    let (disk, expected) = sealed();
    let lost = names(&disk, ".idx")[0].clone();
    disk.remove(format!("{DIR}/{lost}")).unwrap();
    let seen = view(&disk);
    let mut reader = seen.reader("a", ReadFrom::Earliest).unwrap();
    let error = reader.try_next().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains(&lost), "{error}");
    let last = expected.len() - 1;
    let mut reader = seen.reader("a", ReadFrom::Offset(last as u64)).unwrap();
    assert_eq!(rest_seen(&mut reader), expected[last..]);
}

#[test]
fn damage_is_told_by_who_comes_to_it() {
    let (disk, expected) = sealed();
    let read = |seen: &StoreView| {
        let mut reader = seen.reader("a", ReadFrom::Earliest).unwrap();
        for (offset, _) in &expected[..12] {
            assert_eq!(reader.try_next().unwrap().unwrap().offset(), *offset);
        }
        reader
    };
    let bad = read(&view(&disk)).try_next().unwrap().unwrap().position();
    let file = format!("{DIR}/{:011}.seg", bad.segment());
    disk.corrupt(file, bad.offset_bytes() + 50, 1, 1).unwrap();
    // A snapshot and indexes tell all but what the record was.
    let seen = view(&disk);
    seen.refresh().unwrap();
    let mut reader = read(&seen);
    for _ in 0..2 {
        let error = reader.try_next().unwrap_err();
        assert_eq!(
            (error.kind(), error.position()),
            (ErrorKind::Damaged, Some(bad)),
            "{error}"
        );
    }
    let mut reader = seen.reader("a", ReadFrom::Offset(13)).unwrap();
    assert_eq!(rest_seen(&mut reader), expected[13..]);
    // Without them nobody knows what comes behind it.
    for name in names(&disk, ".snap") {
        disk.remove(format!("{DIR}/{name}")).unwrap();
    }
    let seen = view(&disk);
    assert_eq!(seen.describe("a").unwrap().next, 12);
    assert_eq!(seen.refresh().unwrap_err().kind(), ErrorKind::Damaged);
    let error = read(&seen).try_next().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
}

#[test]
fn a_repair_that_cuts_the_log_is_told() {
    let rig = Rig::new();
    let a = rig.stream("a");
    for n in 0..20u8 {
        a.append(&[n; 1000][..]).unwrap().wait().unwrap();
    }
    rig.store.close().unwrap();
    let mut reader = a.reader(ReadFrom::Offset(12)).unwrap();
    let bad = reader.try_next().unwrap().unwrap().position();
    let (disk, seen) = (rig.disk, rig.view);
    seen.refresh().unwrap();
    let file = format!("{DIR}/{}", names(&disk, ".seg")[0]);
    disk.corrupt(file, bad.offset_bytes() + 50, 1, 1).unwrap();
    let mut reader = seen.reader("a", ReadFrom::Latest).unwrap();
    assert_eq!(reader.offset(), 20);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let plan = repair::plan_with(&shared, DIR.as_ref()).unwrap();
    plan.apply().unwrap();
    let store = open(&disk);
    let a = store.stream("a").unwrap();
    assert_eq!(a.append(b"new").unwrap().wait().unwrap().offset, 12);
    store.close().unwrap();
    assert_eq!(seen.refresh().unwrap_err().kind(), ErrorKind::Cut);
    let error = reader.try_next().unwrap_err();
    assert_eq!((error.kind(), reader.offset()), (ErrorKind::Cut, 13));
    seen.refresh().unwrap();
    let (_, expected) = store.fingerprint().unwrap();
    assert_eq!(seen.fingerprint().unwrap().1, expected);
    assert_eq!(records(&seen, "a"), all(&a));
}
