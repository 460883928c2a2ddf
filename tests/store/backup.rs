//! Copies of a store: while it is open, and of one that is not; with crashes, damage and mistakes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ringbolt::disk::{Disk, PathKind, sim::SimDisk};
use ringbolt::store::{
    Batch, NewRecord, ReadFrom, Store, StoreCopy, Stream, StreamOptions, copy_with,
};
use ringbolt::{Engine, ErrorKind, LogOptions, Result, maintain};

use crate::support::{DIR, Rig, all, options};

const COPY: &str = "/copy";

fn open_at(disk: &SimDisk, path: &str) -> Result<Store> {
    let builder = Engine::builder().disk(Arc::new(disk.clone()));
    let log = LogOptions::new().segment_bytes(1 << 20).create(false);
    options().log(log).open_on(&builder.start()?, path)
}

fn copy(disk: &SimDisk, from: &str, to: &str) -> Result<StoreCopy> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    copy_with(&disk, from.as_ref(), to.as_ref())
}

fn verify(disk: &SimDisk, path: &str) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let found = maintain::verify_with(&disk, path.as_ref(), &mut |_| {}).unwrap();
    assert!(found.is_sound(), "{:?}", found.damages);
}

/// All records of a stream, though some are being moved, and not seen before their new place is on disk.
fn whole(stream: &Stream) -> Vec<(u64, Vec<u8>)> {
    let info = stream.describe().unwrap();
    let mut reader = stream.reader(ReadFrom::Earliest).unwrap();
    let mut records = Vec::new();
    for _ in info.first..info.next {
        let record = reader.next().unwrap();
        records.push((record.offset(), record.payload().to_vec()));
    }
    records
}

/// All that can be seen of a store.
fn seen(store: &Store) -> String {
    let streams = store.streams("", None, 100).into_iter().map(|info| {
        let stream = store.stream(&info.name).unwrap();
        (
            format!("{info:?}"),
            whole(&stream),
            stream.cursor("group").unwrap(),
        )
    });
    format!(
        "{:?} {:?}",
        streams.collect::<Vec<_>>(),
        store.scan(b"", None, 100)
    )
}

/// A store with snapshots, whose first segments are gone.
fn grown() -> Rig {
    let rig = Rig::new();
    let (a, slow) = (rig.stream("a"), rig.stream("slow"));
    for n in 0..20u64 {
        slow.append(NewRecord::new(&n.to_le_bytes()).message_id(&n.to_le_bytes()))
            .unwrap()
            .wait()
            .unwrap();
    }
    let large = vec![7; 100_000];
    for n in 0..200 {
        let offset = a.append(&large[..]).unwrap().wait().unwrap().offset;
        a.trim(offset.saturating_sub(15)).unwrap().wait().unwrap();
        rig.store.put(b"n", &[n]).unwrap().wait().unwrap();
    }
    a.seek("group", a.describe().unwrap().next - 5, b"meta")
        .unwrap()
        .wait()
        .unwrap();
    // The keeper comes after the log.
    for _ in 0..20_000 {
        if rig.store.stats().log.start.segment() > 1 {
            return rig;
        }
        a.append(&large[..]).unwrap().wait().unwrap();
        a.trim(a.describe().unwrap().next - 15)
            .unwrap()
            .wait()
            .unwrap();
    }
    panic!("no segment ever went");
}

#[test]
fn a_copy_made_while_appends_go_on_is_a_prefix_with_all_that_was_durable() {
    let rig = Rig::new();
    for name in ["a", "b"] {
        rig.stream(name);
    }
    let (acked, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (store, acked, ends) = (&rig.store, &acked, &ends);
        scope.spawn(move || {
            let (a, b) = (store.stream("a").unwrap(), store.stream("b").unwrap());
            let filler = vec![1; 30_000];
            for n in 0u64.. {
                let mut batch = Batch::new();
                batch.append(&a, NewRecord::new(&n.to_le_bytes())).unwrap();
                batch.append(&b, NewRecord::new(&filler)).unwrap();
                batch.put(b"n", &n.to_le_bytes()).unwrap();
                store.commit(&batch).unwrap().wait().unwrap();
                acked.store(n + 1, Ordering::SeqCst);
                // What is not wanted goes, while it is copied.
                if n % 10 == 9 {
                    b.trim(n - 9).unwrap().wait().unwrap();
                }
                if ends.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        for round in 0..5 {
            let begin = acked.load(Ordering::SeqCst);
            let to = format!("{COPY}-{round}");
            let copied = store.backup(&to).unwrap();
            assert!(copied.end <= store.stats().log.durable);
            // Appends must have come in between for this to show anything.
            while acked.load(Ordering::SeqCst) < begin + 60 {
                std::thread::yield_now();
            }
            verify(&rig.disk, &to);
            let copy = open_at(&rig.disk, &to).unwrap();
            let values = all(&copy.stream("a").unwrap());
            let len = values.len() as u64;
            assert!(len >= begin, "{len} of {begin}");
            for (n, (offset, value)) in (0u64..).zip(values) {
                assert_eq!((offset, value), (n, n.to_le_bytes().to_vec()));
            }
            assert_eq!(copy.stream("b").unwrap().describe().unwrap().next, len);
            if len > 0 {
                assert_eq!(*copy.get(b"n").unwrap().value, (len - 1).to_le_bytes());
            }
            copy.close().unwrap();
        }
        ends.store(true, Ordering::SeqCst);
    });
    assert_eq!(rig.store.stats().log.pins, 0);
    rig.store.close().unwrap();
}

#[test]
fn a_copy_has_all_of_a_store_whose_first_segments_are_gone() {
    let rig = grown();
    rig.store.flush().unwrap();
    let expected = seen(&rig.store);
    let copied = rig.store.backup(COPY).unwrap();
    rig.store.close().unwrap();
    let store = open_at(&rig.disk, COPY).unwrap();
    assert_eq!(seen(&store), expected);
    // It goes on, and knows what was sent twice.
    let slow = store.stream("slow").unwrap();
    let twice = NewRecord::new(b"again").message_id(&[3, 0, 0, 0, 0, 0, 0, 0]);
    assert!(slow.append(twice).unwrap().wait().unwrap().duplicate);
    slow.append(b"new").unwrap().wait().unwrap();
    store.close().unwrap();
    verify(&rig.disk, COPY);
    // And back: of a store that is closed, and that was left by a crash.
    let restored = copy(&rig.disk, COPY, "/restored").unwrap();
    assert_eq!(restored.origin, copied.log_id);
    assert!(restored.log_id != copied.log_id && restored.log_id != copied.origin);
    let store = open_at(&rig.disk, "/restored").unwrap();
    assert_eq!(
        whole(&store.stream("slow").unwrap()).last().unwrap().1,
        b"new"
    );
}

/// Two stores that grew apart: no file of one counts for the other.
#[test]
fn a_file_of_a_copy_never_counts_for_the_original() {
    let rig = grown();
    rig.store.flush().unwrap();
    rig.store.backup(COPY).unwrap();
    rig.store.close().unwrap();
    let names = |suffix: &str| {
        let listed = rig.disk.open_dir(COPY.as_ref()).unwrap().list().unwrap();
        let mut names: Vec<_> = listed.into_iter().map(|entry| entry.name).collect();
        names.retain(|name| name.ends_with(suffix));
        names.sort();
        assert!(!names.is_empty());
        names
    };
    // The original may have come further since.
    for entry in rig.disk.open_dir(DIR.as_ref()).unwrap().list().unwrap() {
        if entry.name.ends_with(".snap") {
            rig.disk.remove(format!("{DIR}/{}", entry.name)).unwrap();
        }
    }
    for suffix in [".idx", ".snap"] {
        for name in names(suffix) {
            let (from, to) = (format!("{COPY}/{name}"), format!("{DIR}/{name}"));
            let bytes = rig.disk.read_file(from).unwrap();
            rig.disk.write_file(to, &bytes).unwrap();
        }
    }
    // Neither the snapshots nor the indexes are its own, and its begin is gone.
    let error = open_at(&rig.disk, DIR).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    let name = &names(".seg")[1];
    let bytes = rig.disk.read_file(format!("{DIR}/{name}")).unwrap();
    rig.disk
        .write_file(format!("{COPY}/{name}"), &bytes)
        .unwrap();
    let error = open_at(&rig.disk, COPY).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
}

#[test]
fn what_cannot_be_copied_is_refused() {
    let rig = Rig::new();
    rig.stream("a").append(b"one").unwrap().wait().unwrap();
    rig.disk.create_dir(Path::new("/full")).unwrap();
    rig.disk.write_file("/full/notes", b"mine").unwrap();
    for error in [
        rig.store.backup("/full").unwrap_err(),
        copy(&rig.disk, DIR, "/full").unwrap_err(),
        rig.store.backup(DIR).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let missing = copy(&rig.disk, "/nothing", COPY).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotALog);
    assert_eq!(
        rig.disk.stat(COPY.as_ref()).unwrap().kind,
        PathKind::Missing
    );
    let engine = Engine::builder()
        .disk(Arc::new(rig.disk.clone()))
        .start()
        .unwrap();
    let bare = LogOptions::new()
        .segment_bytes(1 << 20)
        .open_on(&engine, "/bare")
        .unwrap();
    bare.close().unwrap();
    let error = copy(&rig.disk, "/bare", COPY).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAStore);
    // An empty one, and one that is in use, are stores.
    copy(&rig.disk, DIR, "/in-use").unwrap();
    let store = open_at(&rig.disk, "/in-use").unwrap();
    assert_eq!(all(&store.stream("a").unwrap()).len(), 1);
    let empty = options().open_on(&engine, "/empty").unwrap();
    empty.backup("/empty-1").unwrap();
    empty.close().unwrap();
    copy(&rig.disk, "/empty", "/empty-2").unwrap();
    for path in ["/empty-1", "/empty-2"] {
        let store = open_at(&rig.disk, path).unwrap();
        assert!(store.is_empty());
        store.create("a", &StreamOptions::new()).unwrap();
    }
    rig.store.close().unwrap();
    assert_eq!(
        rig.store.backup(COPY).unwrap_err().kind(),
        ErrorKind::Closed
    );
}

#[test]
fn damage_is_not_copied() {
    let rig = grown();
    rig.store.close().unwrap();
    let listed = rig.disk.open_dir(DIR.as_ref()).unwrap().list().unwrap();
    let mut names: Vec<_> = listed.into_iter().map(|entry| entry.name).collect();
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    let path = format!("{DIR}/{}", names[1]);
    rig.disk.patch(&path, 300_000, &[0xFF; 4]).unwrap();
    let error = copy(&rig.disk, DIR, COPY).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert_eq!(error.path(), Some(path.as_ref()));
    assert!(error.position().is_some());
    // What there is of the copy is opened by nobody, nor taken for a place to copy to.
    let error = open_at(&rig.disk, COPY).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotALog);
    let error = copy(&rig.disk, DIR, COPY).unwrap_err();
    assert!(
        error.kind() == ErrorKind::NotALog && error.to_string().contains("interrupted"),
        "{error}"
    );
}

/// Whatever a crash leaves is a whole copy, or none.
#[test]
fn half_a_copy_is_refused() {
    let rig = grown();
    rig.store.flush().unwrap();
    let expected = seen(&rig.store);
    rig.store.close().unwrap();
    rig.disk.record_wrecks();
    copy(&rig.disk, DIR, COPY).unwrap();
    let (mut whole, mut half) = (0, 0);
    for wreck in rig.disk.take_wrecks() {
        for state in wreck.crash_states(3, 1).chain(wreck.kill_states(2, 1)) {
            match open_at(&state, COPY) {
                Ok(store) => {
                    assert_eq!(seen(&store), expected, "{}", state.describe());
                    store.close().unwrap();
                    whole += 1;
                }
                Err(error) => {
                    assert_eq!(
                        error.kind(),
                        ErrorKind::NotALog,
                        "{}: {error}",
                        state.describe()
                    );
                    half += 1;
                }
            }
        }
    }
    // The last operation makes it durable that it is whole.
    assert!(whole > 0 && half > 100, "{whole} whole, {half} half");
}
