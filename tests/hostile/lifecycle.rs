//! Closing, dropping, trimming and cutting, in every order that is not the intended one.

use std::sync::Arc;

use ringbolt::disk::sim::{SimDisk, SimOptions};
use ringbolt::{Durability, Engine, ErrorKind, From, Log, LogOptions, Position};

use crate::common::{Rig, options, payload, read_all, reopened};

fn rig(seed: u64) -> (Rig, Log) {
    let rig = Rig::new(&SimDisk::new(seed));
    let log = rig.open(&options()).unwrap();
    (rig, log)
}

#[test]
fn closing_twice_is_no_error_and_everything_after_it_is() {
    let (mut rig, log) = rig(1);
    let ticket = rig.append(&log, b"one").unwrap();
    rig.close(&log).unwrap();
    rig.close(&log).unwrap();
    log.close().unwrap();
    log.clone().close().unwrap();
    let position = ticket.wait().unwrap();
    let closed = |error: ringbolt::Error| {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert!(error.hint().is_some() && error.path().is_some(), "{error}");
    };
    closed(log.append(b"").unwrap_err());
    closed(log.try_append(b"").unwrap_err());
    closed(log.append_batch(&[b""]).unwrap_err());
    closed(log.append_with(4, |_| {}).unwrap_err());
    closed(log.claim(4).unwrap_err());
    closed(rig.finish("an append", log.append_async(b"")).unwrap_err());
    closed(log.trim(position).unwrap_err());
    closed(log.truncate(position).unwrap_err());
    // What was flushed stays flushed.
    log.flush().unwrap();
    closed(
        log.durable()
            .wait_for(Position::from_u64(u64::MAX))
            .unwrap_err(),
    );
    // What is there can still be read, and then comes the end.
    let mut reader = log.reader(From::Start).unwrap();
    assert_eq!(&*reader.next().unwrap(), b"one");
    closed(reader.next().map(drop).unwrap_err());
    closed(reader.try_next().map(drop).unwrap_err());
}

/// Dropping the last handle closes, without anybody waiting for it: what was appended is kept.
#[test]
fn dropping_the_log_keeps_what_was_appended() {
    let (mut rig, log) = rig(2);
    let tickets: Vec<_> = (0..20)
        .map(|n| rig.append(&log, &payload(n, 100_000)).unwrap())
        .collect();
    let mut watch = log.durable();
    let mut reader = log.reader(From::Start).unwrap();
    drop(log);
    for ticket in &tickets {
        rig.outcome(ticket).unwrap();
    }
    let changed = rig.finish("the watermark", async { watch.changed().await });
    assert!(changed.is_ok());
    for n in 0..20 {
        assert!(reader.try_next().unwrap().unwrap().payload() == payload(n, 100_000));
    }
    rig.rest();
    assert_eq!(
        reader.try_next().map(drop).unwrap_err().kind(),
        ErrorKind::Closed
    );
    let (_rig, log) = reopened(&rig);
    assert_eq!(read_all(&log).unwrap().len(), 20);
}

/// The engine goes first: whoever waits is told, and nobody waits for ever afterwards.
#[test]
fn dropping_the_engine_first_tells_everybody() {
    for appended in [0, 1, 40] {
        let (mut rig, log) = rig(3);
        let tickets: Vec<_> = (0..appended)
            .map_while(|n| log.try_append(&payload(n, 100_000)).ok())
            .map(ringbolt::Ticket::into_owned)
            .collect();
        let told = Arc::new(std::sync::Mutex::new(Vec::new()));
        for ticket in &tickets {
            let told = Arc::clone(&told);
            ticket
                .clone()
                .on_done(move |outcome| told.lock().unwrap().push(outcome));
        }
        rig.drop_driver();
        assert_eq!(told.lock().unwrap().len(), tickets.len());
        for ticket in &tickets {
            assert_eq!(ticket.wait().unwrap_err().kind(), ErrorKind::Closed);
        }
        assert_eq!(log.append(b"").unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(
            log.trim(Position::MIN).unwrap_err().kind(),
            ErrorKind::Closed
        );
        assert_eq!(
            log.truncate(log.end()).unwrap_err().kind(),
            ErrorKind::Closed
        );
        let mut reader = log.reader(From::Start).unwrap();
        assert_eq!(
            reader.next().map(drop).unwrap_err().kind(),
            ErrorKind::Closed
        );
        assert_eq!(log.close().unwrap_err().kind(), ErrorKind::Closed);
        // Nothing can be opened there any more, and the directory is free.
        let error = rig.open(&options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        rig.disk.land_orphans();
        let (mut rig, log) = reopened(&rig);
        rig.write(&log, b"goes on");
    }
}

#[test]
fn the_engines_handle_may_go_before_its_logs() {
    let disk = SimDisk::new(4);
    let engine = Engine::builder()
        .disk(Arc::new(disk.clone()))
        .start()
        .unwrap();
    // The clock is simulated and the threads are real: it may leap while one holds a claim.
    let options = options().stall_limit(std::time::Duration::MAX);
    let log = options.open_on(&engine, "/log").unwrap();
    drop(engine);
    for n in 0..20 {
        let _ = log.append(&payload(n, 100_000)).unwrap();
    }
    log.flush().unwrap();
    let mut reader = log.reader(From::Start).unwrap();
    for n in 0..20 {
        assert!(reader.next().unwrap().payload() == payload(n, 100_000));
    }
    log.close().unwrap();
    let (_rig, log) = reopened(&Rig::new(&disk));
    assert_eq!(read_all(&log).unwrap().len(), 20);
}

#[test]
fn many_logs_share_an_engine() {
    let disk = SimDisk::new(5);
    let mut rig = Rig::new(&disk);
    let logs: Vec<_> = (0..20)
        .map(|n| options().open_on(&rig.engine, format!("/log{n}")).unwrap())
        .collect();
    let mut tickets = Vec::new();
    for round in 0..10 {
        for (n, log) in logs.iter().enumerate() {
            tickets.push((
                n,
                round,
                rig.append(log, &payload(n * 100 + round, 5000)).unwrap(),
            ));
        }
    }
    for (_, _, ticket) in &tickets {
        rig.outcome(ticket).unwrap();
    }
    // Some go, the others go on.
    for log in logs.iter().step_by(2) {
        rig.close(log).unwrap();
    }
    for log in logs.iter().skip(1).step_by(2) {
        rig.write(log, b"goes on");
    }
    drop((logs, tickets));
    rig.rest();
    for n in 0..20 {
        let log = options().open_on(&rig.engine, format!("/log{n}")).unwrap();
        let records = read_all(&log).unwrap();
        assert_eq!(records.len(), 10 + n % 2);
        for (round, (_, bytes)) in records[..10].iter().enumerate() {
            assert!(*bytes == payload(n * 100 + round, 5000));
        }
    }
}

#[test]
fn a_trim_beyond_what_is_on_disk_is_refused() {
    let (mut rig, log) = rig(6);
    let first = rig.write(&log, b"one");
    let end = log.end();
    for beyond in [end.to_u64() + 1, u64::MAX] {
        let error = rig.trim(&log, Position::from_u64(beyond)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!(rig.trim(&log, Position::MIN).unwrap(), log.start());
    assert_eq!(read_all(&log).unwrap()[0].0, first);
    rig.write(&log, b"goes on");
}

#[test]
fn a_cut_where_no_record_begins_is_refused() {
    let (mut rig, log) = rig(7);
    let one = rig.write(&log, b"one");
    let batch = rig.until("a batch", || {
        log.try_append_batch(&[&b"a"[..], b"bb", b"ccc"]).ok()
    });
    let batch = batch.into_owned();
    let first = rig.outcome(&batch).unwrap();
    let records = read_all(&log).unwrap();
    assert_eq!(records.len(), 4);
    let refused = |rig: &mut Rig, raw: u64, kinds: &[ErrorKind]| {
        let at = Position::from_u64(raw);
        let error = rig.truncate(&log, at).unwrap_err();
        assert!(kinds.contains(&error.kind()), "{at}: {error}");
        assert!(error.position().is_some(), "{error}");
    };
    let no_record = [ErrorKind::NoRecord];
    refused(&mut rig, records[2].0.to_u64(), &no_record);
    refused(&mut rig, records[3].0.to_u64(), &no_record);
    refused(&mut rig, one.to_u64() + 1, &no_record);
    refused(&mut rig, log.end().to_u64() + 1, &no_record);
    refused(&mut rig, u64::MAX, &no_record);
    let start = log.start().to_u64();
    let before = [ErrorKind::NoRecord, ErrorKind::Trimmed];
    refused(&mut rig, start - 1, &before);
    refused(&mut rig, 0, &before);
    assert_eq!(read_all(&log).unwrap(), records);
    rig.write(&log, b"goes on");
    // The batch's begin, and with it the whole batch.
    rig.truncate(&log, first).unwrap();
    assert_eq!(read_all(&log).unwrap(), records[..1]);
}

/// Positions name one record each, for ever: not even a log that was trimmed or cut to nothing,
/// again and again, uses one twice.
#[test]
fn positions_are_never_used_twice() {
    let disk = SimDisk::new(8);
    let mut last = Position::MIN;
    for opening in 0..6 {
        let mut rig = Rig::new(&disk);
        let log = rig.open(&options()).unwrap();
        assert_eq!(read_all(&log).unwrap(), []);
        for _ in 0..3 {
            let mut at = Vec::new();
            for n in 0..6 {
                let position = rig.write(&log, &payload(n, 300_000));
                assert!(
                    position > last,
                    "opening {opening}: {position} after {last}"
                );
                last = position;
                at.push(position);
            }
            if opening % 2 == 0 {
                rig.trim(&log, log.durable().get()).unwrap();
            } else {
                rig.truncate(&log, at[0]).unwrap();
            }
            assert_eq!(read_all(&log).unwrap(), []);
        }
        if opening % 3 != 0 {
            rig.close(&log).unwrap();
        }
        drop(log);
        rig.rest();
    }
}

/// Close and truncate at once, in both orders: both end, and what they say is true.
#[test]
fn a_close_during_a_truncation() {
    for seed in 0..8 {
        let (mut rig, log) = rig(9 + seed);
        let at: Vec<_> = (0..6)
            .map(|n| rig.write(&log, &payload(n, 300_000)))
            .collect();
        let truncation = {
            let (log, to) = (log.clone(), at[2]);
            std::thread::spawn(move || log.truncate(to))
        };
        for _ in 0..seed {
            rig.turn();
        }
        rig.close(&log).unwrap();
        let cut = rig.ask("a truncation", move || truncation.join().unwrap());
        let left = match cut {
            Ok(_) => 2,
            Err(error) => {
                let kinds = [ErrorKind::Closed, ErrorKind::WouldBlock];
                assert!(kinds.contains(&error.kind()), "{error}");
                6
            }
        };
        drop(log);
        let (_rig, log) = reopened(&rig);
        assert_eq!(read_all(&log).unwrap().len(), left, "seed {seed}");
    }
}

/// A second truncation while one runs waits or is told to come again; never both lost.
#[test]
fn two_truncations_at_once() {
    let (mut rig, log) = rig(20);
    let at: Vec<_> = (0..6).map(|n| rig.write(&log, &payload(n, 1000))).collect();
    let other = {
        let (log, to) = (log.clone(), at[4]);
        std::thread::spawn(move || log.truncate(to))
    };
    let first = rig.truncate(&log, at[2]);
    let other = rig.ask("a truncation", move || other.join().unwrap());
    let kinds = [ErrorKind::WouldBlock, ErrorKind::Cut, ErrorKind::NoRecord];
    for outcome in [&first, &other] {
        if let Err(error) = outcome {
            assert!(kinds.contains(&error.kind()), "{error}");
        }
    }
    let left = match (first.is_ok(), other.is_ok()) {
        (true, _) => 2,
        (false, true) => 4,
        (false, false) => panic!("neither"),
    };
    assert_eq!(read_all(&log).unwrap().len(), left);
    rig.write(&log, b"goes on");
}

/// Tickets of what is cut before it is acknowledged say so, and the waiters before the cut go on.
#[test]
fn tickets_of_what_was_cut_say_so() {
    let disk = SimOptions::new().seed(21).build();
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let tickets: Vec<_> = (0..8)
        .map(|n| rig.append(&log, &payload(n, 10_000)).unwrap())
        .collect();
    let cut = tickets[4].position();
    rig.truncate(&log, cut).unwrap();
    for (n, ticket) in tickets.iter().enumerate() {
        match rig.outcome(ticket) {
            Ok(position) => assert!(position < cut, "record {n} is gone, and acknowledged"),
            Err(error) => {
                assert!(
                    n >= 4 && error.kind() == ErrorKind::Cut,
                    "record {n}: {error}"
                );
                assert_eq!(error.position(), Some(ticket.position()));
            }
        }
    }
    assert_eq!(read_all(&log).unwrap().len(), 4);
}

/// Acknowledged in memory: done at once, on disk soon, and a truncation still says what it cut.
#[test]
fn durability_in_memory_persists_soon() {
    let mut rig = Rig::new(&SimDisk::new(22));
    let log = rig.open(&options().durability(Durability::Memory)).unwrap();
    let ticket = log.try_append(b"one").unwrap().into_owned();
    assert!(ticket.is_done());
    rig.finish("a flush", log.flush_async()).unwrap();
    assert_eq!(read_all(&log).unwrap().len(), 1);
    drop((log, ticket));
    rig.rest();
    let (_rig, log) = reopened(&rig);
    assert_eq!(read_all(&log).unwrap().len(), 1);
}

/// A log that failed can be opened again while handles of the failed one still exist.
#[test]
fn handles_of_a_failed_log_do_not_keep_it_locked() {
    use ringbolt::disk::sim::{EIO, Fault, OpClass};
    let (mut rig, log) = rig(23);
    rig.write(&log, b"one");
    rig.rest();
    rig.disk.fail(Fault::once(
        OpClass::Write,
        rig.disk.count(OpClass::Write) + 1,
        EIO,
    ));
    let ticket = rig.append(&log, b"two").unwrap();
    assert_eq!(rig.outcome(&ticket).unwrap_err().kind(), ErrorKind::Io);
    rig.rest();
    // On the same engine.
    let again = rig.open(&LogOptions::clone(&options())).unwrap();
    rig.write(&again, b"three");
    assert_eq!(log.try_append(b"").unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(read_all(&log).unwrap_err().kind(), ErrorKind::Io);
}

/// A record that was cut off stays so, also when the log's start has passed its place.
#[test]
fn a_cut_ticket_is_cut_after_a_trim_too() {
    let disk = SimDisk::new(21);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let kept = rig.write(&log, b"kept");
    let cut = rig.append(&log, b"cut").unwrap();
    // Before it is on disk, and known only afterwards.
    rig.truncate(&log, cut.position()).unwrap();
    assert!(cut.position() > kept);
    let later = rig.write(&log, b"later");
    rig.trim(&log, later).unwrap();
    assert_eq!(cut.wait().unwrap_err().kind(), ErrorKind::Cut);
}

/// Waiting for the largest position of all ends when the log does.
#[test]
fn a_wait_for_what_never_comes_ends_with_the_log() {
    let disk = SimDisk::new(22);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let durable = log.durable();
    let waiter =
        std::thread::spawn(move || durable.wait_for(ringbolt::Position::from_u64(u64::MAX)));
    rig.write(&log, b"something");
    rig.close(&log).unwrap();
    assert_eq!(
        waiter.join().unwrap().unwrap_err().kind(),
        ErrorKind::Closed
    );
}

/// What carries the writes is told as it is now, not as it was when the engine started.
#[test]
fn the_rung_is_told_as_it_changes() {
    let mut rig = Rig::new(&SimDisk::new(24));
    assert!(!rig.engine.rung().registered, "there is no memory yet");
    let log = rig.open(&options()).unwrap();
    rig.write(&log, b"one");
    assert!(rig.engine.rung().registered && log.stats().rung.registered);
    rig.close(&log).unwrap();
    rig.turn();
    assert!(!rig.engine.rung().registered && !log.stats().rung.registered);
}
