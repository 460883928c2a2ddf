//! Every operation of the disk fails in turn: once and for good, as a broken disk and as a full one,
//! past the page cache and through it.
//!
//! One workload with every kind of waiter runs again and again, the k-th operation of a class
//! failing in the k-th run, until it runs through without meeting the fault. Whatever happens:
//! what is acknowledged afterwards is durable, all waiters are told, the durable prefix stays
//! readable, and opening the log again finds all that was acknowledged.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::{Rig, Wakes, options, payload, read_all};
use ringbolt::disk::Disk as _;
use ringbolt::disk::sim::{EIO, ENOSPC, Fault, OpClass, SimDisk, SimOptions};
use ringbolt::{Engine, ErrorKind, From, Log, LogOptions, Position, Preallocation, Result, Ticket};

/// A pending call, and how often it was woken.
type Pending<T> = (Pin<Box<dyn Future<Output = Result<T>>>>, Arc<Wakes>);

/// What is known of a record.
struct Entry {
    position: Position,
    payload: Vec<u8>,
    ticket: Ticket<'static>,
    acked: bool,
    /// Cut off or trimmed away: certainly, or perhaps, as the call failed.
    gone: Option<Certainty>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Certainty {
    Perhaps,
    Surely,
}

/// The workload and what it knows.
struct Work {
    rig: Rig,
    entries: Vec<Entry>,
    acknowledgements: Vec<Pending<Position>>,
    /// Outcomes that callbacks were told, by record, and how many were registered.
    told: Arc<Mutex<Vec<Result<Position>>>>,
    callbacks: usize,
    sealed: Arc<AtomicUsize>,
    name: String,
}

/// Why a workload went no further.
enum Stop {
    /// The log failed, or could not be opened.
    Failed(ringbolt::Error),
}

type Steps = std::result::Result<(), Stop>;

impl Work {
    fn new(disk: &SimDisk, name: String) -> Self {
        Self {
            rig: Rig::new(disk),
            entries: Vec::new(),
            acknowledgements: Vec::new(),
            told: Arc::default(),
            callbacks: 0,
            sealed: Arc::default(),
            name,
        }
    }

    fn options(&self) -> LogOptions {
        let sealed = Arc::clone(&self.sealed);
        options()
            // Zeroes that are written ahead fail in their turn, too.
            .preallocation(Preallocation::Auto)
            .unsynced_bytes(300_000)
            .spare_segments(2)
            .on_seal(move |_| {
                sealed.fetch_add(1, Ordering::SeqCst);
            })
    }

    /// Space is freed when the disk was found full: then whatever was refused must succeed.
    fn retried<T>(
        &mut self,
        what: &str,
        mut step: impl FnMut(&mut Self) -> Result<T>,
    ) -> std::result::Result<T, Stop> {
        let mut full = 0;
        loop {
            match step(self) {
                Ok(value) => return Ok(value),
                Err(error) if error.kind() == ErrorKind::Full => {
                    full += 1;
                    assert!(
                        error.is_retryable() && !error.is_fatal(),
                        "{}: {error}",
                        self.name
                    );
                    assert!(full < 60, "{}: {what} never goes on: {error}", self.name);
                    if full == 20 {
                        self.rig.disk.clear_faults();
                    }
                    self.rig.turn();
                }
                Err(error) => return Err(Stop::Failed(error)),
            }
        }
    }

    fn open(&mut self) -> std::result::Result<Log, Stop> {
        let options = self.options();
        self.retried("opening", |work| work.rig.open(&options))
    }

    /// Appends one record in one of several ways.
    fn append(&mut self, log: &Log, len: usize) -> Steps {
        let number = self.entries.len();
        let bytes = payload(number, len);
        let ticket = self.retried("an append", |work| {
            if number % 3 == 1 {
                let (log, bytes) = (log.clone(), bytes.clone());
                let append = async move { log.append_async(&bytes).await.map(Ticket::into_owned) };
                work.rig.finish("an awaited append", append)
            } else {
                work.rig.append(log, &bytes)
            }
        })?;
        self.note(bytes, ticket);
        Ok(())
    }

    fn append_batch(&mut self, log: &Log, lens: &[usize]) -> Steps {
        let number = self.entries.len();
        let batch: Vec<_> = (0..)
            .zip(lens)
            .map(|(n, len)| payload(number + n, *len))
            .collect();
        let ticket = self.retried("a batch", |work| {
            work.rig
                .until("a batch", || match log.try_append_batch(&batch) {
                    Ok(ticket) => Some(Ok(ticket.into_owned())),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                    Err(error) => Some(Err(error)),
                })
        })?;
        let mut position = ticket.position();
        for bytes in batch {
            let next = position.to_u64() + (8 + bytes.len() as u64).div_ceil(8);
            self.note_at(position, bytes, ticket.clone());
            position = Position::from_u64(next);
        }
        Ok(())
    }

    fn note(&mut self, payload: Vec<u8>, ticket: Ticket<'static>) {
        self.note_at(ticket.position(), payload, ticket);
    }

    fn note_at(&mut self, position: Position, payload: Vec<u8>, ticket: Ticket<'static>) {
        match self.entries.len() % 3 {
            0 => {
                let told = Arc::clone(&self.told);
                self.callbacks += 1;
                ticket
                    .clone()
                    .on_done(move |outcome| told.lock().unwrap().push(outcome));
            }
            1 => {
                let acknowledged = Box::pin(ticket.clone().into_future());
                let wakes = Arc::new(Wakes::default());
                // The first poll registers it; from then on it is polled only when woken.
                let waker = Arc::clone(&wakes).into();
                let mut pending: Pending<Position> = (acknowledged, wakes);
                let first = pending
                    .0
                    .as_mut()
                    .poll(&mut std::task::Context::from_waker(&waker));
                if first.is_pending() {
                    self.acknowledgements.push(pending);
                }
            }
            _ => {}
        }
        self.entries.push(Entry {
            position,
            payload,
            ticket,
            acked: false,
            gone: None,
        });
        self.look();
    }

    /// Notes what is acknowledged.
    fn look(&mut self) {
        for entry in &mut self.entries {
            if !entry.acked && entry.ticket.is_done() {
                entry.acked = entry.ticket.wait().is_ok();
            }
        }
    }

    fn trim(&mut self, log: &Log, n: usize) -> Steps {
        let to = self.entries[n].position;
        let trimmed = self.rig.trim(log, to);
        for entry in &mut self.entries[..n] {
            entry.gone = Some(match trimmed {
                Ok(_) => Certainty::Surely,
                Err(_) => Certainty::Perhaps,
            });
        }
        match trimmed {
            Ok(_) => Ok(()),
            Err(error) => Err(Stop::Failed(error)),
        }
    }

    fn truncate(&mut self, log: &Log, n: usize) -> Steps {
        let to = self.entries[n].position;
        self.look();
        let cut = self.retried("a truncation", |work| work.rig.truncate(log, to));
        let certainty = match cut {
            Ok(_) => Certainty::Surely,
            Err(_) => Certainty::Perhaps,
        };
        for entry in &mut self.entries[n..] {
            entry.gone = Some(certainty);
        }
        cut.map(|_| ())
    }

    fn settle(&mut self, log: &Log) -> Steps {
        self.rig
            .finish("a flush", log.flush_async())
            .map_err(Stop::Failed)?;
        self.look();
        Ok(())
    }

    /// The workload.
    fn run(&mut self, last: &mut Option<Log>) -> Steps {
        let log = self.open()?;
        *last = Some(log.clone());
        for len in [1, 5000, 0, 300] {
            self.append(&log, len)?;
        }
        self.settle(&log)?;
        self.rig.rest();
        // Two rollovers.
        for _ in 0..9 {
            self.append(&log, 250_000)?;
        }
        self.append_batch(&log, &[10, 70_000, 0])?;
        self.settle(&log)?;
        self.trim(&log, 10)?;
        self.append(&log, 20_000)?;
        self.append(&log, 30)?;
        self.truncate(&log, 16)?;
        self.append(&log, 40)?;
        for _ in 0..2 {
            self.append(&log, 250_000)?;
        }
        self.settle(&log)?;
        self.rig.close(&log).map_err(Stop::Failed)?;
        self.check_waiters();
        // Again, going on in the last segment.
        let log = self.open()?;
        *last = Some(log.clone());
        self.append(&log, 600)?;
        self.settle(&log)?;
        drop(log);
        self.rig.rest();
        self.look();
        Ok(())
    }

    /// Whoever waited was told.
    fn check_waiters(&mut self) {
        let tickets: Vec<_> = self.entries.iter().map(|e| e.ticket.clone()).collect();
        for ticket in &tickets {
            self.rig
                .until("a ticket", || ticket.is_done().then_some(()));
        }
        for (mut future, wakes) in std::mem::take(&mut self.acknowledgements) {
            self.rig
                .until("a future", || wakes.poll(future.as_mut()).map(|_| ()));
        }
        let (told, callbacks) = (Arc::clone(&self.told), self.callbacks);
        self.rig.until("callbacks", || {
            (told.lock().unwrap().len() >= callbacks).then_some(())
        });
        assert_eq!(
            told.lock().unwrap().len(),
            callbacks,
            "{}: called twice",
            self.name
        );
        self.look();
    }

    /// What must hold of a log that failed.
    fn check_failed(&mut self, log: &Log) {
        let name = self.name.clone();
        self.check_waiters();
        let Err(error) = self.rig.append(log, b"refused") else {
            panic!("{name}: a failed log takes records");
        };
        assert_eq!(error.kind(), ErrorKind::Io, "{name}: {error}");
        assert!(error.is_fatal() && !error.is_retryable(), "{name}: {error}");
        assert!(
            error.path().is_some() && error.hint().is_some(),
            "{name}: {error}"
        );
        let end = Position::from_u64(u64::MAX - 8);
        let waited = self.rig.finish("the watermark", log.durable().reached(end));
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::Io, "{name}");
        let refused = self.rig.trim(log, log.start());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Io, "{name}");
        let refused = self.rig.truncate(log, log.durable().get());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Io, "{name}");
        let closed = self.rig.close(log);
        assert_eq!(closed.unwrap_err().kind(), ErrorKind::Io, "{name}");
        self.check_prefix(log);
    }

    /// The durable prefix can be read, and then comes the error.
    fn check_prefix(&self, log: &Log) {
        let name = &self.name;
        let mut reader = log
            .reader(From::Start)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let (mut seen, mut lifted) = (Vec::new(), false);
        let error = loop {
            match reader.try_next() {
                Ok(Some(record)) => seen.push((record.position(), record.payload().to_vec())),
                Ok(None) => panic!("{name}: a reader waits for a failed log"),
                // What is not in memory needs its file opened: where no file can be, the error
                // names it, the reader stays, and goes on when the disk lets it.
                Err(error) if !error.is_fatal() => {
                    assert!(name.starts_with("Open") && !lifted, "{name}: {error}");
                    self.rig.disk.clear_faults();
                    lifted = true;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Io, "{name}: {error}");
        self.check(&seen, "the failed log");
    }

    /// What was acknowledged is there, and nothing else but a gap-free rest.
    fn check(&self, found: &[(Position, Vec<u8>)], where_: &str) {
        let name = &self.name;
        let mut left = found.iter();
        let mut next = left.next();
        let mut missing = None;
        for (n, entry) in self.entries.iter().enumerate() {
            let is_next = next.is_some_and(|(position, _)| *position == entry.position);
            if is_next {
                let (_, bytes) = next.expect("looked at");
                assert!(
                    *bytes == entry.payload,
                    "{name}: {where_}: record {n} has other bytes"
                );
                assert!(
                    entry.gone != Some(Certainty::Surely),
                    "{name}: {where_}: record {n} came back"
                );
                assert!(
                    missing.is_none(),
                    "{name}: {where_}: a gap before record {n}"
                );
                next = left.next();
            } else if entry.gone.is_none() {
                assert!(
                    !entry.acked,
                    "{name}: {where_}: lost record {n} at {}, which was acknowledged; {} found",
                    entry.position,
                    found.len()
                );
                missing = Some(n);
            }
        }
        assert!(
            next.is_none(),
            "{name}: {where_}: invented {:?}",
            next.map(|(p, _)| p)
        );
    }
}

/// Opens the log that is on `disk`, and reads all of it.
fn found_on(disk: &SimDisk, name: &str) -> Vec<(Position, Vec<u8>)> {
    disk.land_orphans();
    let rig = Rig::new(disk);
    match rig.open(&options().create(false)) {
        Ok(log) => read_all(&log).unwrap_or_else(|e| panic!("{name}: reading again: {e}")),
        Err(error) if error.kind() == ErrorKind::NotALog => Vec::new(),
        Err(error) => panic!("{name}: opening again: {error}"),
    }
}

/// One run with one fault; says whether the fault was met.
fn run(class: OpClass, nth: u64, errno: i32, for_good: bool, direct: bool) -> bool {
    let fault = if for_good {
        Fault::for_good
    } else {
        Fault::once
    };
    let name = format!("{class:?} {nth} errno {errno} for good: {for_good} direct: {direct}");
    println!("{name}");
    let disk = SimOptions::new().seed(nth).direct(direct).build();
    disk.fail(fault(class, nth, errno));
    let mut work = Work::new(&disk, name.clone());
    let mut log = None;
    if let Err(Stop::Failed(error)) = work.run(&mut log) {
        assert_eq!(error.kind(), ErrorKind::Io, "{name}: stopped by {error}");
        match &log {
            // Not the one that could not be opened again.
            Some(log) if !is_closed(&mut work.rig, log) => work.check_failed(log),
            _ => work.check_waiters(),
        }
    } else {
        work.check_waiters();
    }
    let met = disk.count(class) >= nth;
    drop(log);

    // The machine fails now: what was acknowledged is durable.
    disk.record_wrecks();
    disk.create_dir("/probe".as_ref()).ok();
    let wreck = disk.take_wrecks().pop().expect("that was an operation");
    for state in wreck.crash_states(2, nth).chain(wreck.kill_states(1, nth)) {
        let line = state.describe();
        let found = found_on(&state, &format!("{name}: {line}"));
        work.check(&found, &line);
    }
    // It does not: the log is opened again once the fault has passed.
    drop(work.rig.failed.take());
    work.rig.drop_driver();
    disk.clear_faults();
    let found = found_on(&disk, &name);
    work.check(&found, "opened again");
    met
}

fn is_closed(rig: &mut Rig, log: &Log) -> bool {
    matches!(rig.append(log, b""), Err(error) if error.kind() == ErrorKind::Closed)
}

/// A full disk is a fault of its own where space is taken; elsewhere one fault is like another.
fn errnos(class: OpClass) -> &'static [i32] {
    match class {
        OpClass::Open | OpClass::List | OpClass::Read | OpClass::Sync | OpClass::Unlink => &[EIO],
        _ => &[EIO, ENOSPC],
    }
}

fn each(class: OpClass) {
    for errno in errnos(class) {
        for for_good in [false, true] {
            for direct in [true, false] {
                let mut nth = 1;
                while run(class, nth, *errno, for_good, direct) {
                    nth += 1;
                }
                println!(
                    "{class:?}, errno {errno}, for good: {for_good}, direct: {direct}: {} faults",
                    nth - 1
                );
            }
        }
    }
}

macro_rules! each {
    ($($name:ident: $class:ident,)*) => {
        $(#[test]
        fn $name() {
            each(OpClass::$class);
        })*
    };
}

each! {
    every_write: Write,
    every_submission: Submit,
    every_direct_write: WriteAt,
    every_allocation: Allocate,
    every_sync: Sync,
    every_directory_sync: DirSync,
    every_rename: Rename,
    every_removal: Unlink,
    every_creation: Create,
    every_new_directory: CreateDir,
    every_read: Read,
    every_opening: Open,
    every_listing: List,
}

/// The same for threads, which really sleep: each of them is told, whichever way it waits.
#[test]
fn every_waiting_thread_is_told() {
    for class in [
        OpClass::Write,
        OpClass::Submit,
        OpClass::Allocate,
        OpClass::DirSync,
    ] {
        for after in [1, 2, 5] {
            threads_are_told(class, after);
        }
    }
}

fn threads_are_told(class: OpClass, after: u64) {
    let name = format!("{class:?} {after}");
    let disk = SimDisk::new(after);
    let engine = Engine::builder()
        .disk(Arc::new(disk.clone()))
        .start()
        .unwrap();
    let log = options()
        .unsynced_bytes(100_000)
        // The clock is simulated and the threads are real: it may leap while one holds a claim.
        .stall_limit(Duration::MAX)
        // Every segment is allocated, so that the fault finds its operation.
        .spare_segments(0)
        .open_on(&engine, common::DIR)
        .unwrap();
    let (done, ended) = mpsc::channel();
    /// Waits in one way until it is told why there is nothing more to wait for.
    type Wait = fn(&Log) -> ringbolt::Error;
    let waits: [(&str, Wait); 7] = [
        ("an append", |log| {
            loop {
                if let Err(error) = log.append(&[1; 30_000]) {
                    return error;
                }
            }
        }),
        ("a ticket", |log| {
            loop {
                if let Err(error) = log.append(&[2; 30_000]).and_then(|ticket| ticket.wait()) {
                    return error;
                }
            }
        }),
        ("a batch", |log| {
            loop {
                if let Err(error) = log.append_batch(&[[3; 10_000]; 3]) {
                    return error;
                }
            }
        }),
        ("a flush", |log| {
            loop {
                if let Err(error) = log.flush() {
                    return error;
                }
            }
        }),
        ("the watermark", |log| {
            let never = Position::from_u64(u64::MAX - 8);
            log.durable().wait_for(never).unwrap_err()
        }),
        ("a reader", |log| {
            let mut reader = log.reader(From::End).unwrap();
            loop {
                match reader.next() {
                    Ok(_) => {}
                    Err(error) => return error,
                }
            }
        }),
        ("a trim", |log| {
            loop {
                if let Err(error) = log.trim(log.durable().get()) {
                    if error.kind() != ErrorKind::Invalid {
                        return error;
                    }
                }
            }
        }),
    ];
    for (what, wait) in waits {
        let (log, done) = (log.clone(), done.clone());
        std::thread::spawn(move || {
            // A reader may be overtaken by the trims; it then goes on.
            let error = loop {
                let error = wait(&log);
                if error.kind() != ErrorKind::Trimmed {
                    break error;
                }
            };
            let _ = done.send((what, error));
        });
    }
    disk.fail(Fault::for_good(class, disk.count(class) + after, EIO));
    for _ in waits {
        let (what, error) = ended
            .recv_timeout(Duration::from_secs(60))
            .unwrap_or_else(|_| panic!("{name}: somebody is left waiting"));
        assert_eq!(error.kind(), ErrorKind::Io, "{name}: {what}: {error}");
    }
    assert_eq!(log.close().unwrap_err().kind(), ErrorKind::Io, "{name}");
}
