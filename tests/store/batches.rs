//! All or nothing, over streams, cursors and the table.

use ringbolt::ErrorKind;
use ringbolt::store::{Batch, NewRecord, Producer, StreamOptions};

use crate::support::{Rig, all};

#[test]
fn consume_transform_produce_is_one() {
    let mut rig = Rig::new();
    let (a, b) = (rig.stream("a"), rig.stream("b"));
    a.append(b"in").unwrap().wait().unwrap();
    let mut batch = Batch::new();
    let out = batch.append(&b, b"out").unwrap();
    batch.seek(&a, "group", 1, b"").unwrap();
    batch.put_offset(b"last", b"at ........", out, 3).unwrap();
    batch
        .create("made", &StreamOptions::new().begin_at(5))
        .unwrap();
    let committed = rig.store.commit(&batch).unwrap().wait().unwrap();
    assert_eq!(committed.results[..3], [0, 0, 1]);
    assert_eq!(committed.duplicate, None);
    assert_eq!(
        &*rig.store.get(b"last").unwrap().value,
        b"at \0\0\0\0\0\0\0\0"
    );
    rig.reopen();
    assert_eq!(all(&rig.stream("b")), [(0, b"out".to_vec())]);
    assert_eq!(rig.stream("a").cursor("group").unwrap().unwrap().offset, 1);
    assert_eq!(
        rig.stream("made")
            .append(b"x")
            .unwrap()
            .wait()
            .unwrap()
            .offset,
        5
    );
}

#[test]
fn one_refused_item_refuses_all() {
    let rig = Rig::new();
    let (a, b) = (rig.stream("a"), rig.stream("b"));
    rig.store.put(b"key", b"one").unwrap().wait().unwrap();
    let (_, before) = rig.store.fingerprint().unwrap();
    let try_with = |add: &dyn Fn(&mut Batch) -> usize| {
        let mut batch = Batch::new();
        batch.append(&a, b"never").unwrap();
        batch.put(b"never", b"").unwrap();
        add(&mut batch);
        let error = rig.store.commit(&batch).unwrap().wait().unwrap_err();
        assert_eq!(rig.store.fingerprint().unwrap().1, before);
        error.kind()
    };
    let conflict = ErrorKind::Conflict;
    assert_eq!(try_with(&|batch| batch.require_next(&b, 1)), conflict);
    assert_eq!(
        try_with(&|batch| batch.require_version(b"key", 9).unwrap()),
        conflict
    );
    assert_eq!(
        try_with(&|batch| batch.put_if(b"new", b"", 1).unwrap()),
        conflict
    );
    assert_eq!(
        try_with(&|batch| batch.seek(&b, "g", 1, b"").unwrap()),
        ErrorKind::NoOffset
    );
    assert_eq!(
        try_with(&|batch| batch.create("a", &StreamOptions::new()).unwrap()),
        ErrorKind::Exists
    );
    // What cannot be judged by the state before.
    assert_eq!(try_with(&|batch| batch.trim(&a, 1)), ErrorKind::Invalid);
    let stamped = NewRecord::new(b"").producer(Producer {
        id: 1,
        epoch: 0,
        sequence: 0,
    });
    assert_eq!(
        try_with(&|batch| {
            batch.append(&b, stamped).unwrap();
            batch.append(&b, stamped).unwrap()
        }),
        ErrorKind::Invalid
    );
    let empty = rig.store.commit(&Batch::new()).unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::Invalid);
    let mut batch = Batch::new();
    assert_eq!(
        batch
            .put_offset(b"k", b"12345678", 0, 0)
            .unwrap_err()
            .kind(),
        ErrorKind::Invalid
    );
    let item = batch.append(&a, b"").unwrap();
    assert_eq!(
        batch
            .put_offset(b"k", b"12345678", item, 1)
            .unwrap_err()
            .kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn a_batch_that_came_before_is_a_duplicate_as_a_whole() {
    let mut rig = Rig::new();
    let stream = rig.stream("s");
    let mut batch = Batch::new();
    batch.append(&stream, b"plain").unwrap();
    let producer = Producer {
        id: 1,
        epoch: 0,
        sequence: 0,
    };
    batch
        .append(&stream, NewRecord::new(b"stamped").producer(producer))
        .unwrap();
    rig.store.commit(&batch).unwrap().wait().unwrap();
    let again = rig.store.commit(&batch).unwrap().wait().unwrap();
    assert_eq!((again.results, again.duplicate), (vec![], Some((1, 1))));
    rig.reopen();
    assert_eq!(all(&rig.stream("s")).len(), 2);
}

#[test]
fn the_table_is_read_as_written() {
    let mut rig = Rig::new();
    for key in ["vote", "group/a", "group/b", "group/c"] {
        rig.store
            .put(key.as_bytes(), key.as_bytes())
            .unwrap()
            .wait()
            .unwrap();
    }
    let vote = rig.store.get(b"vote").unwrap();
    let version = rig
        .store
        .put_if(b"vote", b"again", vote.version)
        .unwrap()
        .wait()
        .unwrap();
    let error = rig
        .store
        .put_if(b"vote", b"late", vote.version)
        .unwrap()
        .wait()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(version > vote.version);
    rig.store.remove(b"group/b").unwrap().wait().unwrap();
    rig.store.put_if(b"new", b"", 0).unwrap().wait().unwrap();
    rig.reopen();
    let keys = |prefix: &[u8], after: Option<&[u8]>, max| -> Vec<Vec<u8>> {
        let found = rig.store.scan(prefix, after, max);
        found.into_iter().map(|found| found.key).collect()
    };
    assert_eq!(keys(b"group/", None, 9), [b"group/a", b"group/c"]);
    assert_eq!(keys(b"", Some(b"group/a"), 2), [&b"group/c"[..], b"new"]);
    assert_eq!(&*rig.store.get(b"vote").unwrap().value, b"again");
    assert_eq!(rig.store.get(b"group/b"), None);
}
