//! Producers that misbehave: records of any size, fills that panic, claims that are dropped,
//! forgotten or held.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ringbolt::disk::Disk as _;
use ringbolt::disk::sim::SimDisk;
use ringbolt::{ErrorKind, Log};

use crate::common::{DIR, Rig, options, payload, read_all, reopened};

fn rig(seed: u64) -> (Rig, Log) {
    let rig = Rig::new(&SimDisk::new(seed));
    let log = rig.open(&options()).unwrap();
    (rig, log)
}

fn payloads(log: &Log) -> Vec<Vec<u8>> {
    read_all(log)
        .unwrap()
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect()
}

/// Lets a closure panic without a word.
fn panics(call: impl FnOnce()) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(call));
    std::panic::set_hook(hook);
    assert!(result.is_err(), "it did not panic");
}

#[test]
fn records_from_nothing_to_what_a_segment_holds() {
    let (mut rig, log) = rig(1);
    let max = log.payload_bytes_max();
    let lens = [0, 1, 7, 8, 9, max, max - 1, 0, max / 2, max / 2 + 1, 0];
    let expected: Vec<_> = lens.iter().map(|len| payload(*len, *len)).collect();
    for payload in &expected {
        rig.write(&log, payload);
    }
    assert!(payloads(&log) == expected);
    rig.close(&log).unwrap();
    let (_rig, log) = reopened(&rig);
    assert!(payloads(&log) == expected);
}

#[test]
fn a_record_that_is_too_large_is_refused_by_every_form() {
    let (mut rig, log) = rig(2);
    let len = log.payload_bytes_max() + 1;
    let large = vec![1; len];
    let past = Instant::now();
    let refused = [
        log.append(&large).map(drop),
        log.try_append(&large).map(drop),
        log.append_deadline(&large, past).map(drop),
        log.append_with(len, |_| panic!("there is nothing to fill"))
            .map(drop),
        log.append_with(usize::MAX, |_| panic!("there is nothing to fill"))
            .map(drop),
        log.try_append_with(len, |_| panic!("there is nothing to fill"))
            .map(drop),
        log.append_with_deadline(len, past, |_| panic!("there is nothing to fill"))
            .map(drop),
        log.append_batch_deadline(&[&large], past).map(drop),
        log.claim(len).map(drop),
        log.try_claim(len).map(drop),
        log.claim_deadline(usize::MAX, past).map(drop),
        log.append_batch(&[&large]).map(drop),
        log.try_append_batch(&[&large]).map(drop),
        rig.finish("an append", log.append_async(&large)).map(drop),
        rig.finish("a batch", log.append_batch_async(&[&large]))
            .map(drop),
        rig.finish(
            "a fill",
            log.append_with_async(len, |_| panic!("there is nothing to fill")),
        )
        .map(drop),
    ];
    for (n, refused) in refused.into_iter().enumerate() {
        let error = refused.expect_err("it is too large");
        assert_eq!(error.kind(), ErrorKind::TooLarge, "form {n}: {error}");
        assert!(
            error.hint().is_some() && !error.is_fatal() && !error.is_retryable(),
            "form {n}: {error}"
        );
        assert_eq!(error.path(), Some(DIR.as_ref()), "form {n}: {error}");
    }
    rig.write(&log, b"the log goes on");
    assert_eq!(payloads(&log), [b"the log goes on"]);
}

#[test]
fn the_largest_batch_fits_and_the_next_does_not() {
    let (mut rig, log) = rig(3);
    let empty: [&[u8]; 0] = [];
    assert_eq!(
        log.try_append_batch(&empty).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let none = rig
        .finish("a batch", log.append_batch_async(&empty))
        .unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Invalid);
    // A count of 8 bytes, and 8 before each record.
    let room = log.payload_bytes_max() - 8 - 2 * 8 - 104;
    let batch = |len: usize| [payload(1, 100), payload(2, len)];
    let error = log.try_append_batch(&batch(room + 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    let ticket = rig.until("a batch", || log.try_append_batch(&batch(room)).ok());
    let ticket = ticket.into_owned();
    rig.outcome(&ticket).unwrap();
    assert!(payloads(&log) == batch(room));
    // Many without a byte.
    let batch = vec![[0u8; 0]; 10_000];
    let ticket = rig
        .until("a batch", || log.try_append_batch(&batch).ok())
        .into_owned();
    rig.outcome(&ticket).unwrap();
    assert_eq!(payloads(&log).len(), 10_002);
}

#[test]
fn a_fill_that_panics_leaves_padding() {
    let (mut rig, log) = rig(4);
    rig.write(&log, b"before");
    for len in [0, 1, 8, 10_000] {
        panics(|| {
            let _ = log.append_with(len, |buffer| {
                buffer.fill(0xAA);
                panic!("out of ideas");
            });
        });
        panics(|| {
            let mut claim = log.try_claim(len).unwrap();
            claim.fill(0xBB);
            panic!("out of ideas");
        });
        panics(|| {
            let _ = log.try_append_with(len, |_| panic!("out of ideas"));
        });
        panics(|| {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let awaited = std::pin::pin!(log.append_with_async(len, |buffer| {
                buffer.fill(0xCC);
                panic!("out of ideas");
            }));
            let _ = std::future::Future::poll(awaited, &mut context);
        });
    }
    rig.write(&log, b"after");
    assert_eq!(payloads(&log), [b"before".to_vec(), b"after".to_vec()]);
    rig.close(&log).unwrap();
    let (_rig, log) = reopened(&rig);
    assert_eq!(payloads(&log), [b"before".to_vec(), b"after".to_vec()]);
}

/// What is behind an abandoned claim goes on without anybody's help: whoever waits there is woken
/// by the padding.
#[test]
fn whoever_waits_behind_an_abandoned_claim_goes_on() {
    /// Claims, lets the other do what it does while the claim is held, and abandons it.
    type Abandon = fn(&Log, &dyn Fn());
    let ways: [(&str, Abandon); 4] = [
        ("dropped guard", |log, meanwhile| {
            let claim = log.try_claim(100).unwrap();
            meanwhile();
            drop(claim);
        }),
        ("panicking fill", |log, meanwhile| {
            panics(|| {
                let _ = log.append_with(100, |_| {
                    meanwhile();
                    panic!("out of ideas")
                });
            });
        }),
        ("panicking guard", |log, meanwhile| {
            panics(|| {
                let _claim = log.try_claim(100).unwrap();
                meanwhile();
                panic!("out of ideas");
            });
        }),
        ("panicking batch", |log, meanwhile| {
            panics(|| drop(log.try_append_batch(&[Trap::new(meanwhile)])));
        }),
    ];
    for (name, abandon) in ways {
        let (mut rig, log) = rig(5);
        rig.write(&log, b"before");
        rig.idle();
        let behind = Cell::new(None);
        {
            let rig = std::cell::RefCell::new(&mut rig);
            abandon(&log, &|| {
                behind.set(Some(log.try_append(b"behind").unwrap().into_owned()));
                // The engine sleeps then: only the claim's end can wake it.
                rig.borrow_mut().idle();
            });
        }
        let behind = behind.take().unwrap();
        assert!(!behind.is_done(), "{name}");
        // It was woken, and does not sleep until its next deadline.
        let now = rig.disk.now_monotonic_ns();
        rig.driver().wait(Some(Duration::from_secs(1000))).unwrap();
        assert!(
            rig.disk.now_monotonic_ns() < now + 1_000_000_000,
            "{name}: nobody wakes the engine"
        );
        rig.outcome(&behind)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Does something, and panics, when it is looked at for the second time: while the claim is held.
struct Trap<'a>(Cell<usize>, &'a dyn Fn());

impl<'a> Trap<'a> {
    fn new(meanwhile: &'a dyn Fn()) -> Self {
        Self(Cell::new(0), meanwhile)
    }
}

impl AsRef<[u8]> for Trap<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.set(self.0.get() + 1);
        if self.0.get() > 1 {
            (self.1)();
            panic!("out of ideas");
        }
        &[0; 10]
    }
}

/// Lengths that change between two looks: safe code can do that.
struct Liar {
    lens: Cell<(usize, usize)>,
    bytes: Vec<u8>,
}

impl Liar {
    fn new(first: usize, then: usize) -> Self {
        Self {
            lens: Cell::new((first, then)),
            bytes: payload(1, first.max(then)),
        }
    }
}

impl AsRef<[u8]> for Liar {
    fn as_ref(&self) -> &[u8] {
        let (now, then) = self.lens.get();
        self.lens.set((then, then));
        &self.bytes[..now]
    }
}

/// A batch that was measured and is then another one must not become a frame that nobody can read.
#[test]
fn a_batch_that_changes_its_mind_is_not_written() {
    for (first, then) in [(10, 11), (10, 100), (100, 10), (8, 0), (0, 8), (1 << 17, 1)] {
        let (mut rig, log) = rig(6);
        rig.write(&log, b"before");
        panics(|| drop(log.try_append_batch(&[Liar::new(first, then)])));
        panics(|| {
            let batch = [Liar::new(first, then)];
            drop(rig.finish("a batch", log.append_batch_async(&batch)));
        });
        rig.write(&log, b"after");
        assert_eq!(
            payloads(&log),
            [b"before".to_vec(), b"after".to_vec()],
            "{first} {then}"
        );
        rig.close(&log).unwrap();
        let (_rig, log) = reopened(&rig);
        assert_eq!(
            payloads(&log),
            [b"before".to_vec(), b"after".to_vec()],
            "{first} {then}"
        );
    }
}

#[test]
fn a_forgotten_claim_stalls_the_log_and_everybody_is_told() {
    let mut rig = Rig::new(&SimDisk::new(7));
    let limit = Duration::from_secs(30);
    let log = rig
        .open(&options().stall_limit(limit).unsynced_bytes(1))
        .unwrap();
    let before = rig.write(&log, b"before");
    std::mem::forget(log.try_claim(100).unwrap());
    let behind = log.try_append(b"behind").map(ringbolt::Ticket::into_owned);
    let error = {
        let log = log.clone();
        let flush = async move { log.flush_async().await };
        rig.finish("a flush", flush).unwrap_err()
    };
    assert_eq!(error.kind(), ErrorKind::Stalled, "{error}");
    assert!(
        error.is_fatal() && error.hint().is_some() && error.path().is_some(),
        "{error}"
    );
    assert!(error.position().is_some_and(|at| at > before), "{error}");
    if let Ok(behind) = behind {
        assert_eq!(rig.outcome(&behind).unwrap_err().kind(), ErrorKind::Stalled);
    }
    for refused in [
        log.try_append(b"").map(drop),
        log.append(b"").map(drop),
        rig.finish("an append", log.append_async(b"")).map(drop),
        rig.trim(&log, before).map(drop),
        rig.truncate(&log, before).map(drop),
        rig.close(&log),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Stalled);
    }
    drop(log);
    let (_rig, log) = reopened(&rig);
    assert_eq!(payloads(&log), [b"before"]);
}

/// The stats tell for how long a claim is open; in time is in time.
#[test]
fn a_claim_that_is_held_for_less_than_the_limit_is_seen_and_waited_for() {
    let mut rig = Rig::new(&SimDisk::new(8));
    let log = rig
        .open(&options().stall_limit(Duration::from_secs(30)))
        .unwrap();
    let mut claim = log.try_claim(4).unwrap();
    let ticket = log.try_append(b"behind").unwrap();
    for _ in 0..50 {
        rig.driver().poll().unwrap();
    }
    rig.disk.advance(Duration::from_secs(20));
    rig.driver().poll().unwrap();
    let open_for = log.stats().oldest_claim.expect("a claim is open");
    assert!(open_for >= Duration::from_secs(20), "{open_for:?}");
    claim.copy_from_slice(b"held");
    let held = claim.commit();
    rig.outcome(&held).unwrap();
    rig.outcome(&ticket).unwrap();
    assert_eq!(payloads(&log), [b"held".to_vec(), b"behind".to_vec()]);
    rig.rest();
    assert_eq!(log.stats().oldest_claim, None);
}

/// A claim that is held again and again is not one that is held for ever.
#[test]
fn many_short_claims_are_no_stall() {
    let mut rig = Rig::new(&SimDisk::new(9));
    let log = rig
        .open(&options().stall_limit(Duration::from_secs(30)))
        .unwrap();
    for n in 0..20 {
        let claim = log.try_claim(1).unwrap();
        for _ in 0..20 {
            rig.driver().poll().unwrap();
        }
        rig.disk.advance(Duration::from_secs(20));
        rig.driver().poll().unwrap();
        if n % 2 == 0 {
            drop(claim)
        } else {
            drop(claim.commit())
        }
    }
    rig.write(&log, b"goes on");
}

/// A limit that no clock reaches is no limit, and not a panic on the engine's thread.
#[test]
fn any_stall_limit_can_be_asked_for() {
    for limit in [
        Duration::MAX,
        Duration::from_secs(u64::MAX / 4),
        Duration::from_nanos(u64::MAX),
    ] {
        let mut rig = Rig::new(&SimDisk::new(10));
        let log = rig.open(&options().stall_limit(limit)).unwrap();
        let claim = log.try_claim(4).unwrap();
        for _ in 0..50 {
            rig.driver().poll().unwrap();
        }
        rig.disk.advance(Duration::from_secs(1_000_000));
        rig.driver().poll().unwrap();
        let held = claim.commit();
        rig.outcome(&held).unwrap();
    }
}

/// A record that is written in place, in each of the four ways of waiting for room.
#[test]
fn records_are_filled_in_place_in_every_form() {
    let mut rig = rig_with_room_for_one(13);
    let (rig, log) = (&mut rig.0, rig.1.clone());
    let past = Instant::now();
    let fill = |byte: u8| {
        move |buffer: &mut [u8]| {
            assert!(buffer.iter().all(|&byte| byte == 0), "zero before");
            buffer.fill(byte);
        }
    };
    for round in 0..3 {
        let ticket = log.try_append_with(5, fill(b'a')).unwrap().into_owned();
        rig.outcome(&ticket).unwrap();
        let ticket = log.append_with_deadline(5, past, fill(b'b')).unwrap();
        let ticket = ticket.into_owned();
        // There is no room, and then there is: whoever awaits it is woken, and fills.
        let awaited = rig.finish("a fill", log.append_with_async(5, fill(b'c')));
        let awaited = awaited.unwrap().into_owned();
        assert!(ticket.is_done() && ticket.position() < awaited.position());
        rig.outcome(&awaited).unwrap();
        let ticket = log.append_with(0, fill(b'd')).unwrap().into_owned();
        rig.outcome(&ticket).unwrap();
        assert_eq!(payloads(&log).len(), 4 * (round + 1));
    }
    let expected: Vec<_> = [&b"aaaaa"[..], b"bbbbb", b"ccccc", b""].repeat(3);
    assert_eq!(payloads(&log), expected);
}

/// A log that takes one record, and the next when that one is on disk.
fn rig_with_room_for_one(seed: u64) -> (Rig, Log) {
    let rig = Rig::new(&SimDisk::new(seed));
    let log = rig.open(&options().unsynced_bytes(1)).unwrap();
    (rig, log)
}

/// Dropped before it has its room, an awaited append has written nothing; nobody waits for it.
#[test]
fn an_awaited_append_that_is_dropped_writes_nothing() {
    let mut rig = Rig::new(&SimDisk::new(11));
    let log = rig.open(&options().unsynced_bytes(1)).unwrap();
    let first = log.try_append(b"first").unwrap().into_owned();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    {
        let mut dropped = std::pin::pin!(log.append_async(b"dropped"));
        assert!(std::future::Future::poll(dropped.as_mut(), &mut context).is_pending());
        let filling = log.append_with_async(7, |_| panic!("it has no room"));
        let mut dropped = std::pin::pin!(filling);
        assert!(std::future::Future::poll(dropped.as_mut(), &mut context).is_pending());
    }
    rig.outcome(&first).unwrap();
    rig.write(&log, b"second");
    assert_eq!(payloads(&log), [b"first".to_vec(), b"second".to_vec()]);
}

/// Deadlines that have passed, so that nothing sleeps: whatever would wait says that it timed out.
#[test]
fn deadlines_that_passed_time_out() {
    let mut rig = Rig::new(&SimDisk::new(12));
    let log = rig.open(&options().unsynced_bytes(1)).unwrap();
    let past = Instant::now();
    // There is room for this one, however late it is.
    let ticket = log.append_deadline(b"first", past).unwrap();
    let timed_out = |error: ringbolt::Error| {
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.is_retryable() && !error.is_fatal());
        assert!(error.path().is_some() && error.hint().is_some(), "{error}");
    };
    timed_out(ticket.wait_timeout(Duration::ZERO).unwrap_err());
    timed_out(log.append_deadline(b"late", past).unwrap_err());
    timed_out(log.append_batch_deadline(&[b"late"], past).unwrap_err());
    let late = log.append_with_deadline(4, past, |_| panic!("it has no room"));
    timed_out(late.unwrap_err());
    timed_out(log.claim_deadline(4, past).unwrap_err());
    let durable = log.durable();
    timed_out(durable.wait_timeout(log.end(), Duration::ZERO).unwrap_err());
    let mut reader = log.reader(ringbolt::From::Start).unwrap();
    timed_out(reader.next_deadline(past).unwrap_err());
    timed_out(reader.next_batch_deadline(1, 1, past).unwrap_err());
    assert_eq!(
        log.try_append(b"late").unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert_eq!(log.try_claim(4).unwrap_err().kind(), ErrorKind::WouldBlock);
    let refused = log.try_append_with(4, |_| panic!("it has no room"));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::WouldBlock);
    rig.outcome(&ticket).unwrap();
    assert_eq!(payloads(&log), [b"first"]);
    assert_eq!(&*reader.next_deadline(past).unwrap(), b"first");
}
