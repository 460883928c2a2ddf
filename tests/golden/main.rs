//! The format, frozen: logs as they lie on disk, byte for byte, and what they mean.
//!
//! Each case writes a log on a simulated disk, whose identities, salts and clocks are the same each
//! time. Its files must be those in `tests/golden/CASE.txt`; and from that file, expanded onto
//! a fresh disk, the state must be derived that the case names here by hand.
//!
//! A change of the format is a change of these files. To make them anew:
//!
//! ```text
//! RINGBOLT_BLESS=1 cargo test --features sim --test golden
//! ```
//!
//! Then look at what `git diff tests/golden` says, and whether old logs still open: what this test
//! derives, it derives from the files as they were committed. (Until the messaging layer is done,
//! no compatibility is promised; from then on the old files stay, as cases of their own.)

mod states;
mod text;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll as TaskPoll, Waker};
use std::time::{Duration, SystemTime};

use ringbolt::disk::Disk;
use ringbolt::disk::sim::{Schedule, SimDisk, SimOptions};
use ringbolt::maintain::{SegmentState, inspect_with, verify_with};
use ringbolt::{Driver, Engine, From, Log, LogOptions, Poll, Position, Result};

use states::{CLEAN, REOPENED, ROLLED, TRIMMED, TRUNCATED, UNCLEAN};

const DIR: &str = "/log";
/// When the disk's wall clock begins, in seconds since 1970.
const START_SECONDS: u64 = 1_700_000_000;

/// A log on a disk without chance, and the driver of its engine.
struct Rig {
    // The log before its engine's driver: the order in which they go.
    log: Log,
    driver: Driver,
    disk: SimDisk,
}

impl Rig {
    fn new() -> Self {
        let disk = SimOptions::new()
            .seed(7)
            .schedule(Schedule::Eager)
            .start_unix_ns(START_SECONDS * 1_000_000_000)
            .build();
        Self::on(disk)
    }

    fn on(disk: SimDisk) -> Self {
        let (engine, driver) = Engine::builder()
            .disk(Arc::new(disk.clone()))
            .caller_driven()
            .unwrap();
        let log = LogOptions::new()
            .segment_bytes(1 << 20)
            .memory_bytes(3 << 20)
            .open_on(&engine, DIR)
            .unwrap();
        let mut rig = Self { log, driver, disk };
        rig.settle();
        rig
    }

    /// Lets the engine do one thing, or wait; says whether it would sleep for ever.
    fn turn(&mut self) -> bool {
        let nap = match self.driver.poll().unwrap() {
            Poll::Busy => return false,
            Poll::Ended => return true,
            Poll::Idle => None,
            Poll::IdleFor(time) => Some(time),
        };
        let waits = self.disk.idle_waits();
        self.driver.wait(nap).unwrap();
        nap.is_none() && self.disk.idle_waits() > waits
    }

    /// Lets the engine do all that there is to do.
    fn settle(&mut self) {
        while !self.turn() {}
    }

    /// Drives the engine until the future is done.
    fn drive<T>(&mut self, ask: impl AsyncFnOnce(&Log) -> T) -> T {
        let log = self.log.clone();
        let mut asked = pin!(ask(&log));
        loop {
            let mut context = Context::from_waker(Waker::noop());
            if let TaskPoll::Ready(done) = asked.as_mut().poll(&mut context) {
                return done;
            }
            self.turn();
        }
    }

    /// Appends, and brings it to disk.
    fn append(&mut self, payload: &[u8]) -> Position {
        let position = self.drive(async |log: &Log| {
            let ticket = log.append_async(payload).await?;
            ticket.await
        });
        position.unwrap()
    }

    /// Closes, and gives the disk back.
    fn close(mut self) -> SimDisk {
        self.drive(async |log: &Log| log.close_async().await)
            .unwrap();
        self.settle();
        self.disk
    }
}

/// What a log means.
#[derive(Debug, PartialEq, Eq)]
struct State {
    start: &'static str,
    /// Where its sound frames end.
    end: &'static str,
    epoch: u64,
    /// Since the log was made.
    records_total: u64,
    /// Segments: ordinal, state, end, records, bytes of payload.
    segments: &'static [(u64, SegmentState, u64, u64, u64)],
    /// Positions, lengths, and how the payloads begin.
    records: &'static [(&'static str, usize, &'static str)],
    /// Which record reading by time begins with, so many seconds after the disk's clock began.
    times: &'static [(u64, &'static str)],
    /// Where appending goes on when the log is opened.
    resumes: &'static str,
}

/// Holds a case against its file, and the file against the state.
fn check(case: &str, disk: &SimDisk, state: &State) {
    let path = format!("tests/golden/{case}.txt");
    let written = text::dump(disk, DIR);
    if std::env::var_os("RINGBOLT_BLESS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    if let Some(difference) = text::difference(&golden, &written) {
        panic!("the writer's bytes are not those of {path}:\n{difference}");
    }
    let fresh = SimOptions::new().seed(8).build();
    text::expand(&golden, &fresh, DIR);
    derive(case, &fresh, state);
}

fn derive(case: &str, disk: &SimDisk, state: &State) {
    let at = |text: &str| text.parse::<Position>().unwrap();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let found = inspect_with(&shared, DIR.as_ref()).unwrap();
    let segments: Vec<_> = found
        .segments
        .iter()
        .map(|s| {
            (
                s.ordinal,
                s.state.clone(),
                s.end.map_or(0, Position::offset_bytes),
                s.records,
                s.payload_bytes,
            )
        })
        .collect();
    assert_eq!(segments, state.segments, "{case}");
    assert_eq!(found.start, at(state.start), "{case}");
    assert_eq!(found.end, at(state.end), "{case}");
    assert_eq!(found.epoch, state.epoch, "{case}");
    assert_eq!(found.records_total, state.records_total, "{case}");
    let verified = verify_with(&shared, DIR.as_ref(), &mut |_| {}).unwrap();
    assert!(verified.is_sound(), "{case}: {:?}", verified.damages);

    let rig = Rig::on(disk.clone());
    assert_eq!(rig.log.start(), at(state.start), "{case}");
    assert_eq!(rig.log.durable().get(), at(state.resumes), "{case}");
    let mut reader = rig.log.reader(From::Start).unwrap();
    for &(position, len, begin) in state.records {
        let record = reader.try_next().unwrap().expect(position);
        assert_eq!(record.position(), at(position), "{case}");
        assert_eq!(record.len(), len, "{case}: {position}");
        assert!(record.starts_with(begin.as_bytes()), "{case}: {position}");
        let rest = &record[begin.len()..];
        assert!(rest.iter().all(|&byte| byte == 0), "{case}: {position}");
    }
    assert!(reader.try_next().unwrap().is_none(), "{case}");
    for &(seconds, position) in state.times {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(START_SECONDS + seconds);
        reader.seek(From::Time(time)).unwrap();
        let record = reader.try_next().unwrap().expect(position);
        assert_eq!(record.position(), at(position), "{case}: after {seconds} s");
    }
    drop(reader);
    rig.close();
}

/// A payload that takes little room in a golden file: text and zeroes.
fn mostly_zero(begin: &str, len: usize) -> Vec<u8> {
    let mut payload = vec![0; len];
    payload[..begin.len()].copy_from_slice(begin.as_bytes());
    payload
}

#[test]
fn clean() {
    let mut rig = Rig::new();
    rig.append(b"first");
    rig.append(b"");
    let log = rig.log.clone();
    let batch = log.try_append_batch(&["one", "two two", ""]).unwrap();
    drop(log.try_claim(20).unwrap());
    let mut claim = log.try_claim(7).unwrap();
    claim.copy_from_slice(b"claimed");
    let claimed = claim.commit();
    rig.drive(async |_: &Log| batch.await.and(claimed.await))
        .unwrap();
    drop(log);
    // Long enough for a trailing checkpoint.
    rig.settle();
    rig.append(b"last");
    check("clean", &rig.close(), &CLEAN);
}

#[test]
fn reopened() {
    let mut rig = Rig::new();
    rig.append(b"before");
    let mut rig = Rig::on(rig.close());
    rig.append(b"after");
    check("reopened", &rig.close(), &REOPENED);
}

#[test]
fn rolled() {
    let mut rig = Rig::new();
    for begin in ["a", "b", "c"] {
        rig.append(&mostly_zero(begin, 400_000));
        rig.disk.advance(Duration::from_secs(60));
    }
    check("rolled", &rig.close(), &ROLLED);
}

#[test]
fn truncated() {
    let mut rig = Rig::new();
    rig.append(b"kept");
    let cut = rig.append(b"cut");
    rig.append(b"cut, too");
    let next = rig.drive(async |log: &Log| log.truncate_async(cut).await);
    let at = rig.append(b"behind the cut");
    assert_eq!(at, next.unwrap());
    check("truncated", &rig.close(), &TRUNCATED);
}

#[test]
fn trimmed() {
    let mut rig = Rig::new();
    rig.append(&mostly_zero("trimmed", 900_000));
    rig.append(&mostly_zero("trimmed, too", 900_000));
    rig.append(b"trimmed within its segment");
    let start = rig.append(b"start");
    rig.settle();
    let trimmed = rig.drive(async |log: &Log| log.trim_async(start).await);
    assert_eq!(trimmed.unwrap(), start);
    rig.settle();
    check("trimmed", &rig.close(), &TRIMMED);
}

#[test]
fn unclean() {
    let mut rig = Rig::new();
    rig.append(b"acknowledged");
    rig.append(&mostly_zero("of more than a block", 5000));
    rig.log
        .try_append(b"lost")
        .map(|lost| lost.position())
        .unwrap();
    rig.disk.crash_now();
    let left = rig.disk.crash_states(1, 0).next().unwrap();
    check("unclean", &left, &UNCLEAN);
}

/// The same run twice is the same bytes, or the files here would mean nothing.
#[test]
fn the_simulation_repeats_itself() {
    let run = || -> Result<String> {
        let mut rig = Rig::new();
        rig.append(b"again");
        Ok(text::dump(&rig.close(), DIR))
    };
    assert_eq!(run().unwrap(), run().unwrap());
}
