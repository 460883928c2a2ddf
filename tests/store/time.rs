//! What goes by itself: by age, bytes and acknowledgement; what is forgotten; reading from a time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ringbolt::disk::Disk;
use ringbolt::disk::sim::SimDisk;

use ringbolt::store::{
    Appended, Batch, NewRecord, Producer, ReadFrom, Store, Stream, StreamOptions,
};
use ringbolt::{Driver, Engine, ErrorKind, Poll};

use crate::support::{DIR, all, options, rest, rest_seen, view};

const SECOND: Duration = Duration::from_secs(1);

/// A store that the test drives: no time passes but what it lets pass.
struct Timed {
    disk: SimDisk,
    store: Store,
    driver: Driver,
}

impl Timed {
    fn new() -> Self {
        let disk = SimDisk::new(7);
        let (store, driver) = Self::open(&disk);
        let mut timed = Self {
            disk,
            store,
            driver,
        };
        timed.pump();
        timed
    }

    fn open(disk: &SimDisk) -> (Store, Driver) {
        let builder = Engine::builder().disk(Arc::new(disk.clone()));
        let (engine, driver) = builder.caller_driven().unwrap();
        let store = options().time_step(SECOND).open_on(&engine, DIR).unwrap();
        (store, driver)
    }

    /// Turns until there is nothing to do.
    fn pump(&mut self) {
        let mut idle = 0;
        while idle < 20 {
            match self.driver.poll().unwrap() {
                Poll::Busy => idle = 0,
                Poll::Idle | Poll::IdleFor(_) => idle += 1,
                Poll::Ended => return,
            }
            self.driver.wait(Some(Duration::ZERO)).unwrap();
        }
    }

    fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.disk.advance(SECOND);
            self.pump();
        }
    }

    /// Ends without closing, as a process does that is killed, and opens it again.
    fn reopen(&mut self) {
        self.pump();
        let (_, before) = self.store.fingerprint().unwrap();
        let (store, driver) = Self::open(&SimDisk::new(8));
        (self.store, self.driver) = (store, driver);
        (self.store, self.driver) = Self::open(&self.disk);
        let (_, after) = self.store.fingerprint().unwrap();
        assert_eq!(before, after);
        self.pump();
    }

    fn create(&mut self, options: &StreamOptions) -> Stream {
        let mut batch = Batch::new();
        batch.create("s", options).unwrap();
        let ticket = self.store.try_commit(&batch).unwrap();
        self.pump();
        ticket.wait().unwrap();
        self.store.stream("s").unwrap()
    }

    fn append(&mut self, record: NewRecord<'_>) -> ringbolt::Result<Appended> {
        let stream = self.store.stream("s").unwrap();
        let ticket = stream.try_append(record).unwrap();
        self.pump();
        ticket.wait()
    }

    fn offsets(&self) -> Vec<u64> {
        let stream = self.store.stream("s").unwrap();
        all(&stream).into_iter().map(|(offset, _)| offset).collect()
    }

    fn since(&self, time: SystemTime) -> Option<u64> {
        let stream = self.store.stream("s").unwrap();
        let mut reader = stream.reader(ReadFrom::Time(time)).unwrap();
        rest(&mut reader).first().map(|(offset, _)| *offset)
    }

    /// Looks at it from outside: reading from each of these times begins where it does here.
    fn check_view(&mut self, times: impl Iterator<Item = SystemTime>) {
        // What came last is attested when nothing follows it.
        for _ in 0..20 {
            self.disk.advance(Duration::from_millis(10));
            self.pump();
        }
        let view = view(&self.disk);
        for time in times {
            let mut reader = view.reader("s", ReadFrom::Time(time)).unwrap();
            let first = rest_seen(&mut reader).first().map(|(offset, _)| *offset);
            assert_eq!(first, self.since(time));
        }
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.disk.now_unix_ns())
    }

    fn records_in_log(&self) -> u64 {
        self.store.stats().log.records
    }
}

#[test]
fn records_go_when_they_are_old_and_not_before() {
    let mut timed = Timed::new();
    timed.create(&StreamOptions::new().retain_age(10 * SECOND));
    timed.append(NewRecord::new(b"0")).unwrap();
    timed.pass(4 * SECOND);
    timed.append(NewRecord::new(b"1")).unwrap();
    timed.pass(5 * SECOND);
    assert_eq!(timed.offsets(), [0, 1]);
    // Found to be old by what the log says, and so again when it is opened.
    timed.pass(4 * SECOND);
    assert_eq!(timed.offsets(), [1]);
    timed.reopen();
    assert_eq!(timed.offsets(), [1]);
    // It lies in a segment that was left, whose end the log was told the time of now.
    timed.disk.advance(20 * SECOND);
    timed.reopen();
    timed.pass(11 * SECOND);
    assert_eq!(timed.offsets(), [0; 0]);
    assert_eq!(timed.append(NewRecord::new(b"2")).unwrap().offset, 2);
}

#[test]
fn an_idle_store_is_not_told_the_time() {
    let mut timed = Timed::new();
    timed.create(&StreamOptions::new().retain_age(1000 * SECOND));
    timed.append(NewRecord::new(b"0")).unwrap();
    timed.pass(SECOND);
    timed.pass(SECOND);
    let before = timed.records_in_log();
    for _ in 0..900 {
        timed.pass(SECOND);
    }
    assert_eq!((timed.records_in_log(), timed.offsets()), (before, vec![0]));
    timed.pass(101 * SECOND);
    assert_eq!(
        (timed.records_in_log(), timed.offsets().len()),
        (before + 1, 0)
    );
    for _ in 0..10 {
        timed.pass(1000 * SECOND);
    }
    assert_eq!(timed.records_in_log(), before + 1);
}

#[test]
fn a_clock_that_is_set_back_takes_nothing_away() {
    let mut timed = Timed::new();
    timed.create(&StreamOptions::new().retain_age(10 * SECOND));
    timed.append(NewRecord::new(b"0")).unwrap();
    timed.pass(2 * SECOND);
    timed.disk.jump_wall(-3_600_000_000_000);
    for n in 0..30u8 {
        timed.append(NewRecord::new(&[n])).unwrap();
        timed.pass(SECOND);
    }
    assert_eq!(timed.offsets().len(), 31);
    timed.disk.jump_wall(3_600_000_000_000);
    timed.pass(2 * SECOND);
    // Since when all are as old as the log knows.
    assert_eq!(timed.offsets().len(), 30);
    timed.pass(11 * SECOND);
    assert_eq!(timed.offsets().len(), 0);
}

#[test]
fn the_oldest_go_when_the_rest_has_enough_bytes() {
    let mut timed = Timed::new();
    let stream = timed.create(&StreamOptions::new().retain_bytes(1000));
    for _ in 0..20 {
        timed.append(NewRecord::new(&[7; 100])).unwrap();
    }
    timed.pass(2 * SECOND);
    assert_eq!(timed.offsets(), (10..20).collect::<Vec<_>>());
    // By segments, where the pass has left them.
    for _ in 0..40 {
        timed.append(NewRecord::new(&[7; 100_000])).unwrap();
    }
    timed.pass(2 * SECOND);
    let offsets = timed.offsets();
    assert_eq!(offsets.last(), Some(&59));
    assert!(!offsets.is_empty() && offsets.len() < 11, "{offsets:?}");
    assert!(stream.describe().unwrap().bytes >= 1000);
    timed.reopen();
    assert_eq!(timed.offsets(), offsets);
}

#[test]
fn what_a_holding_cursor_has_before_it_stays() {
    let mut timed = Timed::new();
    let options = StreamOptions::new().retain_bytes(0).retain_age(SECOND);
    let stream = timed.create(&options);
    let held = stream.hold("slow", 0, b"").unwrap();
    timed.pump();
    held.wait().unwrap();
    for n in 0..5u8 {
        timed.append(NewRecord::new(&[n])).unwrap();
    }
    timed.pass(5 * SECOND);
    assert_eq!(timed.offsets().len(), 5);
    // Moving it is no end of holding.
    let moved = stream.seek("slow", 3, b"").unwrap();
    timed.pass(5 * SECOND);
    moved.wait().unwrap();
    assert_eq!(timed.offsets(), [3, 4]);
    assert!(stream.cursor("slow").unwrap().unwrap().holds);
    let forgotten = stream.forget("slow").unwrap();
    timed.pass(5 * SECOND);
    forgotten.wait().unwrap();
    assert_eq!(timed.offsets().len(), 0);
}

#[test]
fn what_everybody_has_acknowledged_goes_at_once() {
    let mut timed = Timed::new();
    let stream = timed.create(&StreamOptions::new().retain_unacknowledged());
    for n in 0..10u8 {
        timed.append(NewRecord::new(&[n])).unwrap();
    }
    timed.pass(2 * SECOND);
    assert_eq!(timed.offsets().len(), 10);
    for (group, offset) in [("a", 0), ("b", 2)] {
        let held = stream.hold(group, offset, b"").unwrap();
        timed.pump();
        held.wait().unwrap();
    }
    // One that does not hold counts for nothing.
    let seeks = stream.seek("c", 0, b"").unwrap();
    timed.pump();
    seeks.wait().unwrap();
    for (ranges, left) in [(1..3, 0), (0..1, 2), (3..7, 2)] {
        let done = stream.acknowledge("a", ranges).unwrap();
        timed.pump();
        done.wait().unwrap();
        assert_eq!(timed.offsets().first(), Some(&left));
    }
    let gone = stream.forget("b").unwrap();
    timed.pump();
    gone.wait().unwrap();
    assert_eq!(timed.offsets(), [7, 8, 9]);
    timed.reopen();
    assert_eq!(timed.offsets(), [7, 8, 9]);
}

#[test]
fn ids_producers_and_cursors_are_forgotten_in_time() {
    let mut timed = Timed::new();
    let options = StreamOptions::new()
        .message_ids(100, 10 * SECOND)
        .producers_expire(20 * SECOND)
        .cursors_expire(30 * SECOND);
    let stream = timed.create(&options);
    timed.pass(100 * SECOND);
    let id = NewRecord::new(b"x").message_id(b"id");
    assert!(!timed.append(id).unwrap().duplicate);
    let numbered = |epoch| {
        NewRecord::new(b"y").producer(Producer {
            id: 1,
            epoch,
            sequence: 0,
        })
    };
    timed.append(numbered(3)).unwrap();
    let placed = stream.seek("g", 1, b"").unwrap();
    timed.pump();
    placed.wait().unwrap();
    timed.pass(9 * SECOND);
    // Remembered for all of the window, however long nothing had come before.
    assert!(timed.append(id).unwrap().duplicate);
    timed.pass(4 * SECOND);
    assert!(!timed.append(id).unwrap().duplicate);
    timed.pass(2 * SECOND);
    assert_eq!(
        timed.append(numbered(2)).unwrap_err().kind(),
        ErrorKind::Fenced
    );
    timed.pass(8 * SECOND);
    assert!(!timed.append(numbered(2)).unwrap().duplicate);
    assert!(stream.cursor("g").unwrap().is_some());
    timed.pass(10 * SECOND);
    assert!(stream.cursor("g").unwrap().is_none());
    timed.reopen();
}

#[test]
fn reading_begins_at_a_time() {
    let mut timed = Timed::new();
    timed.create(&StreamOptions::new());
    let begin = timed.now();
    assert_eq!(timed.since(begin), None);
    let mut written = Vec::new();
    // Over several segments, and then in the open one.
    for n in 0..60u64 {
        written.push(timed.now());
        let payload = vec![n as u8; if n < 50 { 100_000 } else { 10 }];
        timed.append(NewRecord::new(&payload)).unwrap();
        timed.pass(10 * SECOND);
    }
    timed.reopen();
    assert_eq!(timed.since(begin), Some(0));
    for (n, time) in written.iter().enumerate() {
        let from = timed.since(*time).unwrap();
        // To a step and a part of its age, and never later.
        assert!(from <= n as u64 && n as u64 - from <= 2, "{from} for {n}");
    }
    let later = timed.now() + SECOND;
    assert_eq!(timed.since(later), None);
    timed.check_view(written.into_iter().chain([begin, later]));
}

#[test]
fn reading_begins_at_a_time_that_was_given() {
    let mut timed = Timed::new();
    timed.create(&StreamOptions::new());
    let given = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n);
    // Not in order.
    let times: Vec<u64> = (0..60)
        .map(|n| if n % 7 == 3 { n / 2 } else { n })
        .collect();
    for (n, time) in times.iter().enumerate() {
        let payload = vec![1; if n < 50 { 100_000 } else { 10 }];
        let record = NewRecord::new(&payload).time(given(*time));
        timed.append(record).unwrap();
        timed.pass(SECOND);
    }
    let check = |timed: &Timed| {
        for time in 0..70 {
            let first = times.iter().position(|given| *given >= time);
            assert_eq!(timed.since(given(time)), first.map(|n| n as u64), "{time}");
        }
    };
    check(&timed);
    timed.reopen();
    check(&timed);
    // One without is as new as it was written.
    timed.append(NewRecord::new(b"untimed")).unwrap();
    assert_eq!(timed.since(given(1_000)), Some(60));
    timed.check_view((0..70).map(given).chain([given(1_000)]));
}
