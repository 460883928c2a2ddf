//! A log on a simulated disk, driven by the test's own thread: whatever waits, waits for turns
//! that the test takes, and what would wait for ever is found out at once.

#![allow(dead_code, unreachable_pub)] // each test crate uses its own part

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use ringbolt::disk::Disk;
use ringbolt::disk::sim::SimDisk;
use ringbolt::{
    Driver, Engine, EngineBuilder, Error, From, Log, LogOptions, Poll, Position, Preallocation,
    Result, Ticket,
};

/// Where the log lies on the simulated disk.
pub const DIR: &str = "/log";

/// More turns than any test needs.
const TURNS_MAX: usize = 200_000;
/// Idle sleeps without an end in sight before a wait is called hopeless.
const HOPELESS: u64 = 3;
/// How long another thread may take to be scheduled.
const THREAD_LIMIT: Duration = Duration::from_secs(60);

/// The smallest segments, and nothing that depends on speed.
pub fn options() -> LogOptions {
    LogOptions::new()
        .segment_bytes(1 << 20)
        .preallocation(Preallocation::Unwritten)
        .lock_timeout(Duration::ZERO)
}

/// An engine that this thread drives.
pub struct Rig {
    pub disk: SimDisk,
    pub engine: Engine,
    driver: Option<Driver>,
    /// What the engine said when it failed.
    pub failed: Option<Error>,
}

impl Rig {
    pub fn new(disk: &SimDisk) -> Self {
        Self::through(disk, Arc::new(disk.clone()))
    }

    /// The engine sees the simulated disk through another one.
    pub fn through(disk: &SimDisk, seen: Arc<dyn Disk>) -> Self {
        Self::with(disk, Engine::builder().disk(seen))
    }

    /// An engine that is set up otherwise.
    pub fn built(disk: &SimDisk, builder: EngineBuilder) -> Self {
        Self::with(disk, builder.disk(Arc::new(disk.clone())))
    }

    fn with(disk: &SimDisk, builder: EngineBuilder) -> Self {
        let (engine, driver) = builder.caller_driven().expect("the simulation has queues");
        Self {
            disk: disk.clone(),
            engine,
            driver: Some(driver),
            failed: None,
        }
    }

    pub fn open(&self, options: &LogOptions) -> Result<Log> {
        options.open_on(&self.engine, DIR)
    }

    pub fn driver(&mut self) -> &mut Driver {
        self.driver.as_mut().expect("the engine is there")
    }

    /// Ends the engine before its logs.
    pub fn drop_driver(&mut self) {
        self.driver = None;
    }

    /// One turn of the engine; says how it ended.
    pub fn turn(&mut self) -> Option<Poll> {
        let driver = self.driver.as_mut()?;
        let poll = driver.poll().and_then(|poll| {
            match poll {
                Poll::Busy | Poll::Ended => {}
                Poll::Idle => driver.wait(None)?,
                Poll::IdleFor(time) => driver.wait(Some(time))?,
            }
            Ok(poll)
        });
        match poll {
            Ok(poll) => Some(poll),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    /// Turns until `ready` gives a value. Nobody but this thread acts: an idle engine that has
    /// nothing to wait for means that the value would never come.
    pub fn until<T>(&mut self, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
        let hopeless = self.disk.idle_waits() + HOPELESS;
        for _ in 0..TURNS_MAX {
            if let Some(value) = ready() {
                return value;
            }
            self.turn();
            assert!(
                self.disk.idle_waits() < hopeless,
                "{what}: waits for ever, the engine has nothing to do"
            );
        }
        panic!("{what}: waits for ever");
    }

    /// As many turns as find something to do; time stands still.
    pub fn idle(&mut self) {
        for _ in 0..1000 {
            match self.driver().poll() {
                Ok(Poll::Busy) | Err(_) => {}
                Ok(Poll::Ended) => return,
                Ok(Poll::Idle | Poll::IdleFor(_)) => {
                    if self.disk_is_idle() {
                        return;
                    }
                    // Writes are under way.
                    let _ = self.driver().wait(Some(Duration::ZERO));
                }
            }
        }
        panic!("never idle");
    }

    fn disk_is_idle(&mut self) -> bool {
        let writes = self.disk.count(ringbolt::disk::sim::OpClass::Write);
        writes == self.disk.count(ringbolt::disk::sim::OpClass::Push)
    }

    /// Some turns: trailing checkpoints and file work come to an end.
    pub fn rest(&mut self) {
        for _ in 0..60 {
            self.turn();
        }
    }

    /// The ticket's outcome.
    pub fn outcome(&mut self, ticket: &Ticket<'_>) -> Result<Position> {
        self.until("a ticket", || ticket.is_done().then_some(()));
        ticket.wait()
    }

    /// Runs a future to its end. It is polled only when it was woken.
    pub fn finish<F: Future>(&mut self, what: &str, future: F) -> F::Output {
        let mut future = pin!(future);
        let wakes = Arc::new(Wakes::default());
        wakes.wake_by_ref();
        self.until(what, || wakes.poll(future.as_mut()))
    }

    /// Makes a call that blocks, on a thread of its own, and drives the engine meanwhile.
    pub fn ask<R: Send + 'static>(
        &mut self,
        what: &str,
        call: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        let asked = std::thread::spawn(call);
        let limit = Instant::now() + THREAD_LIMIT;
        while !asked.is_finished() {
            assert!(Instant::now() < limit, "{what}: left waiting");
            if self.turn().is_none() {
                std::thread::yield_now();
            }
        }
        asked.join().expect("the call does not panic")
    }

    pub fn trim(&mut self, log: &Log, position: Position) -> Result<Position> {
        self.finish("a trim", log.trim_async(position))
    }

    pub fn truncate(&mut self, log: &Log, position: Position) -> Result<Position> {
        self.finish("a truncation", log.truncate_async(position))
    }

    pub fn close(&mut self, log: &Log) -> Result<()> {
        self.finish("closing", log.close_async())
    }

    /// Appends one record, taking turns while there is no room.
    pub fn append(&mut self, log: &Log, payload: &[u8]) -> Result<Ticket<'static>> {
        self.until("an append", || match log.try_append(payload) {
            Ok(ticket) => Some(Ok(ticket.into_owned())),
            Err(error) if error.kind() == ringbolt::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Appends one record and waits for it.
    pub fn write(&mut self, log: &Log, payload: &[u8]) -> Position {
        let ticket = self.append(log, payload).expect("there is room");
        self.outcome(&ticket).expect("the disk is sound")
    }
}

/// A waker that counts.
#[derive(Default)]
pub struct Wakes {
    count: AtomicUsize,
    seen: AtomicUsize,
}

impl Wakes {
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Polls a future if it was woken since the last time.
    pub fn poll<F: Future + ?Sized>(self: &Arc<Self>, future: Pin<&mut F>) -> Option<F::Output> {
        let count = self.count();
        if self.seen.swap(count, Ordering::SeqCst) == count {
            return None;
        }
        let waker = Waker::from(Arc::clone(self));
        match future.poll(&mut Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Opens the log of this rig's disk once more, on an engine of its own.
pub fn reopened(rig: &Rig) -> (Rig, Log) {
    let rig = Rig::new(&rig.disk);
    let log = rig.open(&options()).expect("the log opens");
    (rig, log)
}

/// All that a reader sees from the start on, until there is no more.
pub fn read_all(log: &Log) -> Result<Vec<(Position, Vec<u8>)>> {
    let mut records = Vec::new();
    let mut reader = log.reader(From::Start)?;
    while let Some(record) = reader.try_next()? {
        records.push((record.position(), record.payload().to_vec()));
    }
    Ok(records)
}

/// Bytes that depend on a number, and fill a length.
pub fn payload(number: usize, len: usize) -> Vec<u8> {
    let mut state = number as u64 | 1 << 63;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// All files of the log's directory, byte for byte.
pub fn contents(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let dir = disk.open_dir(DIR.as_ref()).expect("the directory is there");
    let mut files: Vec<_> = dir
        .list()
        .expect("it can be listed")
        .into_iter()
        .filter(|entry| entry.kind == ringbolt::disk::PathKind::File)
        .map(|entry| {
            let bytes = disk
                .read_file(format!("{DIR}/{}", entry.name))
                .expect("it is a file");
            (entry.name, bytes)
        })
        .collect();
    files.sort();
    files
}
