//! Streams: made, appended to, read, trimmed, cut, deleted, and all of it again after opening.

use std::time::{Duration, Instant};

use ringbolt::store::{
    Headers, NewRecord, ReadFrom, Stream, StreamOptions, StreamReadOptions, StreamReader,
};
use ringbolt::{Engine, ErrorKind, LogOptions, Visibility};

use crate::support::{DIR, Rig, all, open, options, rest};

#[test]
fn offsets_are_dense_and_stay() {
    let mut rig = Rig::new();
    let (a, b) = (rig.stream("a"), rig.stream("b"));
    for n in 0..100u64 {
        let appended = a.append(n.to_string().as_bytes()).unwrap();
        let appended = if n % 10 == 0 {
            appended.wait().unwrap()
        } else {
            appended.applied().unwrap()
        };
        assert_eq!((appended.offset, appended.duplicate), (n, false));
        if n % 3 == 0 {
            assert_eq!(b.append(b"b").unwrap().applied().unwrap().offset, n / 3);
        }
    }
    rig.store.flush().unwrap();
    let expected: Vec<_> = (0..100).map(|n| (n, n.to_string().into_bytes())).collect();
    assert_eq!(all(&a), expected);
    assert_eq!(all(&b).len(), 34);
    rig.reopen();
    let a = rig.stream("a");
    assert_eq!(all(&a), expected);
    assert_eq!(a.append(b"on").unwrap().wait().unwrap().offset, 100);
}

#[test]
fn a_record_has_what_it_was_given() {
    let mut rig = Rig::new();
    let stream = rig.stream("s");
    let headers = Headers::new().with("kind", b"test").with("empty", b"");
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123);
    let record = NewRecord::new(b"payload")
        .count(7)
        .key(b"key")
        .headers(&headers)
        .time(time);
    assert_eq!(stream.append(record).unwrap().wait().unwrap().offset, 0);
    assert_eq!(stream.append(b"next").unwrap().wait().unwrap().offset, 7);
    rig.reopen();
    let mut reader = rig.stream("s").reader(ReadFrom::Offset(3)).unwrap();
    let record = reader.next().unwrap();
    assert_eq!((record.offset(), record.count()), (0, 7));
    assert_eq!(
        (record.payload(), record.key()),
        (&b"payload"[..], Some(&b"key"[..]))
    );
    assert_eq!(record.time(), Some(time));
    let headers: Vec<_> = record.headers().collect();
    assert_eq!(headers, [("kind", &b"test"[..]), ("empty", &b""[..])]);
    assert_eq!(reader.next().unwrap().offset(), 7);
    assert_eq!(reader.offset(), 8);
}

#[test]
fn names_are_just_names() {
    let mut rig = Rig::new();
    let long = "x".repeat(255);
    for name in ["..", "a/b", "/", "spaces and ☃", &long] {
        let stream = rig.store.create(name, &StreamOptions::new()).unwrap();
        stream.append(name.as_bytes()).unwrap().wait().unwrap();
    }
    for name in ["", "\n", &"x".repeat(256)] {
        let error = rig.store.create(name, &StreamOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}");
        assert_eq!(
            rig.store.stream(name).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
    let error = rig.store.create("..", &StreamOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(
        rig.store.stream("none").unwrap_err().kind(),
        ErrorKind::NoStream
    );
    rig.reopen();
    let names: Vec<_> = rig
        .store
        .streams("", None, 10)
        .into_iter()
        .map(|info| info.name)
        .collect();
    assert_eq!(names, ["..", "/", "a/b", "spaces and ☃", &long]);
    let behind = rig.store.streams("", Some("a/b"), 1);
    assert_eq!(behind[0].name, "spaces and ☃");
    assert_eq!(rig.store.streams("a", None, 10).len(), 1);
    assert_eq!(all(&rig.stream("..")), [(0, b"..".to_vec())]);
}

#[test]
fn a_deleted_stream_is_gone_and_its_successor_another() {
    let mut rig = Rig::new();
    let old = rig.stream("s");
    old.append(b"old").unwrap().wait().unwrap();
    let mut reader = old.reader(ReadFrom::Earliest).unwrap();
    let kept = old.append(b"in between").unwrap();
    old.delete().unwrap().wait().unwrap();
    let new = rig.stream("s");
    assert_eq!(new.append(b"new").unwrap().wait().unwrap().offset, 0);
    for error in [
        old.append(b"late").unwrap().wait().unwrap_err(),
        old.trim(1).unwrap().wait().unwrap_err(),
        old.describe().unwrap_err(),
        kept.wait().unwrap_err(),
        reader.try_next().unwrap_err(),
        old.reader(ReadFrom::Earliest).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NoStream, "{error}");
    }
    assert!(new.describe().unwrap().incarnation > 0);
    rig.reopen();
    assert_eq!(all(&rig.stream("s")), [(0, b"new".to_vec())]);
}

#[test]
fn a_trim_moves_the_start_beyond_the_end_too() {
    let mut rig = Rig::new();
    let stream = rig.stream("s");
    for n in 0..10u8 {
        stream.append(&[n]).unwrap().wait().unwrap();
    }
    let mut reader = stream.reader(ReadFrom::Earliest).unwrap();
    assert_eq!(reader.try_next_batch(2, 100).unwrap().len(), 2);
    stream.trim(4).unwrap().wait().unwrap();
    assert_eq!(all(&stream)[0], (4, vec![4]));
    // What it had read ahead it may give; then it is told.
    let told = loop {
        match reader.try_next() {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(error) => break Some(error.kind()),
        }
    };
    assert!(told.is_none() || told == Some(ErrorKind::Trimmed));
    let mut reader = stream.reader(ReadFrom::Offset(1)).unwrap();
    assert_eq!(reader.try_next().unwrap_err().kind(), ErrorKind::Trimmed);
    assert_eq!(reader.try_next().unwrap().unwrap().offset(), 4);
    stream.trim(1000).unwrap().wait().unwrap();
    assert!(all(&stream).is_empty());
    assert_eq!(stream.append(b"on").unwrap().wait().unwrap().offset, 1000);
    rig.reopen();
    let info = rig.stream("s").describe().unwrap();
    assert_eq!((info.first, info.next), (1000, 1001));
    let error = rig.stream("s").reader(ReadFrom::Offset(1002)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoOffset);
}

#[test]
fn what_is_cut_off_never_comes_back() {
    let mut rig = Rig::new();
    let stream = rig.stream("s");
    for n in 0..5u8 {
        stream.append(&[n]).unwrap().wait().unwrap();
    }
    let ten = NewRecord::new(b"ten").count(10);
    stream.append(ten).unwrap().wait().unwrap();
    let before = stream.describe().unwrap().incarnation;
    let mut reader = stream.reader(ReadFrom::Latest).unwrap();
    // In the middle of ten: all of them go.
    stream.truncate(9).unwrap().wait().unwrap();
    let info = stream.describe().unwrap();
    assert_eq!((info.first, info.next), (0, 5));
    assert!(info.incarnation > before);
    assert_eq!(reader.try_next().unwrap_err().kind(), ErrorKind::Cut);
    stream.truncate(2).unwrap().wait().unwrap();
    assert_eq!(stream.append(b"new").unwrap().wait().unwrap().offset, 2);
    let expected = [(0, vec![0]), (1, vec![1]), (2, b"new".to_vec())];
    assert_eq!(all(&stream), expected);
    let error = stream.truncate(4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoOffset);
    rig.reopen();
    assert_eq!(all(&rig.stream("s")), expected);
}

#[test]
fn a_single_record_can_go() {
    let mut rig = Rig::new();
    let stream = rig.stream("s");
    for n in 0..4u8 {
        stream.append(&[n]).unwrap().wait().unwrap();
    }
    stream.erase(1).unwrap().wait().unwrap();
    stream.erase(1).unwrap().wait().unwrap();
    let expected = [(0, vec![0]), (2, vec![2]), (3, vec![3])];
    assert_eq!(all(&stream), expected);
    assert_eq!(stream.erase(4).unwrap_err().kind(), ErrorKind::NoOffset);
    rig.reopen();
    let stream = rig.stream("s");
    assert_eq!(all(&stream), expected);
    stream.trim(2).unwrap().wait().unwrap();
    stream.truncate(3).unwrap().wait().unwrap();
    assert_eq!(all(&stream), [(2, vec![2])]);
}

#[test]
fn conditions_and_tokens_hold() {
    let mut rig = Rig::new();
    let stream = rig.stream("s");
    let first = NewRecord::new(b"first").if_next(0);
    assert_eq!(stream.append(first).unwrap().wait().unwrap().offset, 0);
    let error = stream.append(first).unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    stream.fence(7).unwrap().wait().unwrap();
    stream.fence(7).unwrap().wait().unwrap();
    let of = |token| NewRecord::new(b"fenced").fence(token);
    let error = stream.append(of(6)).unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(stream.append(of(7)).unwrap().wait().unwrap().offset, 1);
    let error = stream.fence(6).unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    rig.reopen();
    let error = rig.stream("s").append(of(6)).unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
}

#[test]
fn a_quota_says_whose() {
    let rig = Rig::new();
    let options = StreamOptions::new().quota_bytes(100);
    let stream = rig.store.create("small", &options).unwrap();
    stream.append(&[0; 90]).unwrap().wait().unwrap();
    let error = stream.append(&[0; 11]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.to_string().contains("small"), "{error}");
    stream.append(&[0; 10]).unwrap().wait().unwrap();
    stream.trim(2).unwrap().wait().unwrap();
    stream.append(&[0; 100]).unwrap().wait().unwrap();
}

#[test]
fn readers_see_what_is_applied_durable_or_before_the_gate() {
    let rig = Rig::new();
    let stream = rig.stream("s");
    let with = |visibility| {
        let options = StreamReadOptions::new().visibility(visibility);
        stream.reader_with(ReadFrom::Earliest, &options).unwrap()
    };
    let mut committed = with(Visibility::Committed);
    let mut gated = with(Visibility::Gated);
    for n in 0..3u8 {
        stream.append(&[n]).unwrap().applied().unwrap();
    }
    assert_eq!(rest(&mut committed).len(), 3);
    rig.store.flush().unwrap();
    assert!(rest(&mut gated).is_empty());
    stream.set_gate(2);
    assert_eq!(rest(&mut gated).len(), 2);
    assert_eq!(gated.offset(), 2);
}

/// A reader that sleeps is woken by the next record, and by the end.
#[test]
fn a_reader_waits() {
    let rig = Rig::new();
    let stream = rig.stream("s");
    let mut followers = Vec::new();
    for visibility in [
        Visibility::Durable,
        Visibility::Committed,
        Visibility::Gated,
    ] {
        let options = StreamReadOptions::new().visibility(visibility);
        let mut reader = stream.reader_with(ReadFrom::Latest, &options).unwrap();
        followers.push(std::thread::spawn(move || {
            let first = reader.next().unwrap().payload().to_vec();
            let end = std::iter::repeat_with(|| reader.next()).find_map(Result::err);
            (first, end.unwrap().kind())
        }));
        stream.append(b"woken").unwrap().wait().unwrap();
    }
    stream.set_gate(u64::MAX);
    let mut reader = stream.reader(ReadFrom::Latest).unwrap();
    let error = reader.next_timeout(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let waits = std::thread::spawn(move || reader.next().unwrap_err().kind());
    rig.store.close().unwrap();
    assert_eq!(waits.join().unwrap(), ErrorKind::Closed);
    for follower in followers {
        let told = follower.join().unwrap();
        assert_eq!(told, (b"woken".to_vec(), ErrorKind::Closed));
    }
}

#[test]
fn across_segments() {
    let mut rig = Rig::new();
    let (a, b) = (rig.stream("a"), rig.stream("b"));
    let mut expected = Vec::new();
    for n in 0..60u64 {
        let payload = vec![n as u8; 100_000 + n as usize];
        drop(a.append(&payload[..]).unwrap());
        expected.push((n, payload));
        drop(b.append(&n.to_le_bytes()).unwrap());
        if n == 30 {
            drop(a.trim(10).unwrap());
        }
    }
    rig.store.flush().unwrap();
    assert_eq!(all(&a), expected[10..]);
    rig.reopen();
    let (a, b) = (rig.stream("a"), rig.stream("b"));
    assert_eq!(all(&a), expected[10..]);
    assert_eq!(all(&b).len(), 60);
    a.truncate(35).unwrap().wait().unwrap();
    assert_eq!(a.append(b"anew").unwrap().wait().unwrap().offset, 35);
    rig.reopen();
    let mut reader = rig.stream("a").reader(ReadFrom::Offset(33)).unwrap();
    let rest = rest(&mut reader);
    assert_eq!(rest[..2], expected[33..35]);
    assert_eq!(rest[2..], [(35, b"anew".to_vec())]);
}

#[test]
fn a_log_is_no_store_nor_the_other_way_round() {
    let rig = Rig::new();
    rig.store.close().unwrap();
    let disk = std::sync::Arc::new(rig.disk.clone());
    let engine = Engine::builder().disk(disk).start().unwrap();
    let error = LogOptions::new().open_on(&engine, DIR).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotALog);
    LogOptions::new()
        .open_on(&engine, "/log")
        .unwrap()
        .close()
        .unwrap();
    let error = options().open_on(&engine, "/log").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAStore);
    open(&rig.disk).close().unwrap();
}

#[test]
fn a_closed_store_says_so() {
    let rig = Rig::new();
    let stream = rig.stream("s");
    let ticket = stream.append(b"last").unwrap();
    rig.store.close().unwrap();
    assert_eq!(ticket.wait().unwrap().offset, 0);
    assert_eq!(
        stream.append(b"late").unwrap_err().kind(),
        ErrorKind::Closed
    );
    // What is there can still be read.
    assert_eq!(all(&stream), [(0, b"last".to_vec())]);
}

#[test]
fn many_streams_are_waited_for_until_they_have_enough_together() {
    let rig = Rig::new();
    let streams: Vec<_> = ["a", "b", "c"].map(|name| rig.stream(name)).into();
    let options = StreamReadOptions::new();
    let gated = options.clone().visibility(Visibility::Gated);
    let committed = options.clone().visibility(Visibility::Committed);
    let open = |(stream, options): (&Stream, &StreamReadOptions)| {
        stream.reader_with(ReadFrom::Earliest, options).unwrap()
    };
    let mut readers: Vec<_> = streams
        .iter()
        .zip([&options, &gated, &committed])
        .map(open)
        .collect();
    let past = Instant::now();
    let far = past + Duration::from_secs(600);
    let wait = StreamReader::wait_many;
    assert_eq!(wait(&mut readers, 1, past).unwrap(), 0);
    assert_eq!(wait(&mut readers, 0, far).unwrap(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..30 {
                drop(streams[n % 3].append(&[7; 100]).unwrap());
            }
            // Until then b shows nothing, and there is not enough.
            streams[1].set_gate(5);
        });
        assert_eq!(wait(&mut readers, 2_500, far).unwrap(), 2_500);
    });
    let taken: Vec<_> = readers
        .iter_mut()
        .map(|reader| reader.try_next_batch(100, usize::MAX).unwrap().len())
        .collect();
    assert_eq!(taken, [10, 5, 10]);
    // A stream that goes has something to tell.
    std::thread::scope(|scope| {
        scope.spawn(|| streams[0].delete().unwrap().wait().unwrap());
        assert_eq!(wait(&mut readers, 1_000, far).unwrap(), 0);
    });
    let error = readers[0].try_next().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoStream);
    // And so has the end of all.
    readers.remove(0);
    std::thread::scope(|scope| {
        scope.spawn(|| rig.store.close().unwrap());
        let error = wait(&mut readers, 1_000, far).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
    });
}
