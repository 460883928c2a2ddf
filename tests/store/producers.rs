//! Sent twice, stored once.

use ringbolt::ErrorKind;
use ringbolt::store::{NewRecord, Producer, StreamOptions};

use crate::support::{Rig, all};

fn of(id: u64, epoch: u32, sequence: u32) -> NewRecord<'static> {
    NewRecord::new(b"payload").producer(Producer {
        id,
        epoch,
        sequence,
    })
}

#[test]
fn a_repeat_is_told_its_first_offset_also_after_opening() {
    let mut rig = Rig::new();
    let stream = rig.stream("s");
    for n in 0..6 {
        let appended = stream.append(of(1, 0, n)).unwrap().wait().unwrap();
        assert_eq!((appended.offset, appended.duplicate), (n.into(), false));
    }
    rig.reopen();
    let stream = rig.stream("s");
    for n in 1..6 {
        let appended = stream.append(of(1, 0, n)).unwrap().wait().unwrap();
        assert_eq!((appended.offset, appended.duplicate), (n.into(), true));
    }
    for (record, kind) in [
        (of(1, 0, 0), ErrorKind::OutOfOrder),
        (of(1, 0, 7), ErrorKind::OutOfOrder),
        (of(1, 1, 6), ErrorKind::OutOfOrder),
    ] {
        let error = stream.append(record).unwrap().wait().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert_eq!(
        stream.append(of(1, 1, 0)).unwrap().wait().unwrap().offset,
        6
    );
    let error = stream.append(of(1, 0, 6)).unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(all(&stream).len(), 7);
}

/// Acknowledged, cut off, and sent again: a producer must not be told that it is there.
#[test]
fn what_was_cut_off_is_no_duplicate() {
    let rig = Rig::new();
    let stream = rig.stream("s");
    for n in 0..3 {
        stream.append(of(1, 0, n)).unwrap().wait().unwrap();
    }
    let message = NewRecord::new(b"m").message_id(b"id");
    stream.append(message).unwrap().wait().unwrap();
    stream.truncate(1).unwrap().wait().unwrap();
    let again = stream.append(of(1, 0, 1)).unwrap().wait().unwrap();
    assert_eq!((again.offset, again.duplicate), (1, false));
    let again = stream.append(message).unwrap().wait().unwrap();
    assert_eq!((again.offset, again.duplicate), (2, false));
    let again = stream.append(message).unwrap().wait().unwrap();
    assert_eq!((again.offset, again.duplicate), (2, true));
}

#[test]
fn so_many_are_remembered_as_the_stream_is_set_to() {
    let mut rig = Rig::new();
    let options = StreamOptions::new()
        .producers_max(2)
        .message_ids(2, std::time::Duration::from_secs(1));
    let stream = rig.store.create("s", &options).unwrap();
    for id in 0..5u64 {
        let record = of(id, 0, 10);
        let id = id.to_le_bytes();
        stream
            .append(record.message_id(&id))
            .unwrap()
            .wait()
            .unwrap();
    }
    let info = stream.describe().unwrap();
    assert_eq!((info.producers, info.message_ids), (2, 2));
    rig.reopen();
    // One that was forgotten begins wherever it is.
    let stream = rig.stream("s");
    assert!(
        !stream
            .append(of(0, 0, 77))
            .unwrap()
            .wait()
            .unwrap()
            .duplicate
    );
}
