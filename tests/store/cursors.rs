//! How far groups have come.

use std::slice::from_ref;

use ringbolt::ErrorKind;
use ringbolt::store::ReadFrom;

use crate::support::Rig;

#[test]
fn acknowledgements_come_in_any_order_and_twice() {
    let mut rig = Rig::new();
    let stream = rig.stream("s");
    for n in 0..10u8 {
        stream.append(&[n]).unwrap().applied().unwrap();
    }
    let error = stream.acknowledge("g", 0..1).unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent);
    stream.seek("g", 0, b"mine").unwrap().wait().unwrap();
    let ack = |ranges: &[std::ops::Range<u64>]| stream.acknowledge_all("g", ranges).unwrap().wait();
    assert_eq!(ack(&[5..7, 2..3]).unwrap(), 0);
    assert_eq!(ack(from_ref(&(5..6))).unwrap(), 0);
    assert_eq!(ack(from_ref(&(0..2))).unwrap(), 3);
    assert_eq!(
        ack(from_ref(&(9..11))).unwrap_err().kind(),
        ErrorKind::NoOffset
    );
    let cursor = stream.cursor("g").unwrap().unwrap();
    assert_eq!((cursor.offset, cursor.lag), (3, 5));
    assert_eq!(
        (&cursor.done[..], &cursor.metadata[..]),
        (from_ref(&(5..7)), &b"mine"[..])
    );
    rig.reopen();
    let stream = rig.stream("s");
    let mut reader = stream.reader(ReadFrom::Cursor("g")).unwrap();
    assert_eq!(reader.next().unwrap().offset(), 3);
    // Backwards, and away.
    stream.seek("g", 1, b"").unwrap().wait().unwrap();
    assert_eq!(stream.describe().unwrap().cursors[0].offset, 1);
    stream.forget("g").unwrap().wait().unwrap();
    assert_eq!(
        stream.forget("g").unwrap().wait().unwrap_err().kind(),
        ErrorKind::Absent
    );
    let error = stream.reader(ReadFrom::Cursor("g")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent);
    let error = stream.seek("g", 11, b"").unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoOffset);
    let long = vec![0; 4097];
    assert_eq!(
        stream.seek("g", 0, &long).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn a_cut_takes_cursors_back() {
    let rig = Rig::new();
    let stream = rig.stream("s");
    for n in 0..10u8 {
        stream.append(&[n]).unwrap().applied().unwrap();
    }
    stream.seek("far", 8, b"").unwrap().wait().unwrap();
    stream.seek("near", 1, b"").unwrap().wait().unwrap();
    stream.acknowledge("near", 3..9).unwrap().wait().unwrap();
    stream.truncate(5).unwrap().wait().unwrap();
    assert_eq!(stream.cursor("far").unwrap().unwrap().offset, 5);
    let near = stream.cursor("near").unwrap().unwrap();
    assert_eq!(
        (near.offset, &*near.done, near.lag),
        (1, from_ref(&(3..5)), 2)
    );
}

#[test]
fn acknowledgements_that_come_together_are_one_entry() {
    let mut rig = Rig::new();
    let stream = rig.stream("s");
    for n in 0..100u8 {
        stream.append(&[n]).unwrap().applied().unwrap();
    }
    let error = stream.acknowledge_later("g", 0..1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Absent);
    stream.seek("g", 0, b"").unwrap().wait().unwrap();
    let error = stream.acknowledge_later("g", 99..101).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoOffset);
    for n in (0..90).rev() {
        stream.acknowledge_later("g", n..n + 1).unwrap();
    }
    rig.store.flush().unwrap();
    assert_eq!(stream.cursor("g").unwrap().unwrap().offset, 90);
    // It needs no flush.
    stream.acknowledge_later("g", 90..95).unwrap();
    while stream.cursor("g").unwrap().unwrap().offset < 95 {
        std::thread::yield_now();
    }
    stream.acknowledge_later("g", 96..97).unwrap();
    rig.reopen();
    let cursor = rig.stream("s").cursor("g").unwrap().unwrap();
    assert_eq!((cursor.offset, &cursor.done[..]), (95, from_ref(&(96..97))));
}

#[test]
fn a_group_is_listed_over_all_streams() {
    let rig = Rig::new();
    for (name, group, offset) in [("b", "g", 2), ("a", "g", 1), ("c", "h", 0), ("a", "h", 3)] {
        let stream = rig.stream(name);
        while stream.describe().unwrap().next < 4 {
            stream.append(b"x").unwrap().applied().unwrap();
        }
        stream.seek(group, offset, b"").unwrap().wait().unwrap();
    }
    let found = rig.store.cursors("g");
    let found: Vec<_> = found
        .iter()
        .map(|(name, cursor)| (&**name, cursor.lag))
        .collect();
    assert_eq!(found, [("a", 3), ("b", 2)]);
    assert!(rig.store.cursors("nobody").is_empty());
}
