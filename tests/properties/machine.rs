//! A log on some disk, with an engine of some kind: what the operations are done to.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use ringbolt::disk::Disk;
use ringbolt::disk::sim::{SimDisk, SimOptions};
use ringbolt::{Driver, Engine, ErrorKind, Log, LogOptions, Poll, Result, Ticket};

use crate::rungs::Place;

/// On what a sequence of operations runs.
#[derive(Debug, Clone)]
pub(crate) enum Ground {
    /// The simulated disk, driven by the test.
    Sim { direct: bool, seed: u64 },
    /// A real one.
    Real { disk: Arc<dyn Disk>, threaded: bool },
}

/// How a process ends without closing its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything that was appended must survive: the engine lived on.
    Whole,
    /// What was acknowledged must survive.
    Torn,
}

pub(crate) struct Machine {
    disk: Arc<dyn Disk>,
    sim: Option<SimDisk>,
    place: Option<Place>,
    threaded: bool,
    // Handles before their engine: the order in which they go.
    log: Option<Log>,
    driver: Option<Driver>,
    engine: Option<Engine>,
}

impl Machine {
    /// Opens a new log.
    pub(crate) fn new(ground: &Ground) -> Self {
        let (disk, sim, place, threaded) = match ground {
            Ground::Sim { direct, seed } => {
                let sim = SimOptions::new().direct(*direct).seed(*seed).build();
                let disk: Arc<dyn Disk> = Arc::new(sim.clone());
                (disk, Some(sim), None, false)
            }
            Ground::Real { disk, threaded } => {
                let place = Place::new("properties");
                (Arc::clone(disk), None, Some(place), *threaded)
            }
        };
        let mut machine = Self {
            disk,
            sim,
            place,
            threaded,
            log: None,
            driver: None,
            engine: None,
        };
        machine.open();
        machine
    }

    /// Opens the log, with an engine of its own.
    pub(crate) fn open(&mut self) {
        let builder = Engine::builder().disk(Arc::clone(&self.disk));
        let engine = if self.threaded {
            builder.start().unwrap()
        } else {
            let (engine, driver) = builder.caller_driven().unwrap();
            self.driver = Some(driver);
            engine
        };
        let log = LogOptions::new()
            .segment_bytes(1 << 20)
            .memory_bytes(3 << 20);
        let path = match &self.place {
            Some(place) => place.path().join("log"),
            None => "/log".into(),
        };
        let log = log
            .open_on(&engine, &path)
            .unwrap_or_else(|error| panic!("opening {self:?}: {error}"));
        self.log = Some(log);
        self.engine = Some(engine);
        // There is room once the persister has had a turn.
        self.turn();
    }

    pub(crate) fn log(&self) -> &Log {
        self.log.as_ref().expect("the log is open")
    }

    pub(crate) fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.disk.now_unix_ns())
    }

    /// Lets the engine do one thing, or wait for the disk.
    pub(crate) fn turn(&mut self) {
        let Some(driver) = &mut self.driver else {
            return std::thread::yield_now();
        };
        let nap = match driver.poll().unwrap() {
            Poll::Busy | Poll::Ended => return,
            Poll::Idle => Duration::from_millis(1),
            Poll::IdleFor(time) => time,
        };
        driver.wait(Some(nap)).unwrap();
    }

    /// Appends by `attempt`, which does not wait, until there is room.
    pub(crate) fn append<T>(&mut self, mut attempt: impl FnMut(&Log) -> Result<T>) -> T {
        loop {
            match attempt(self.log()) {
                Ok(done) => return done,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            self.turn();
        }
    }

    /// Does what blocks; an engine without threads is driven meanwhile, turn by turn: the other
    /// thread is always asleep or gone before the next one, so that a run can be repeated.
    pub(crate) fn ask<T: Send>(&mut self, ask: impl FnOnce(&Log) -> T + Send) -> T {
        let log = self.log().clone();
        if self.threaded {
            return ask(&log);
        }
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            let asked = scope.spawn(move || {
                sender.send(own_task()).unwrap();
                ask(&log)
            });
            let stat = receiver.recv().unwrap().join("stat");
            loop {
                while !asked.is_finished() && !sleeps(&stat) {
                    std::thread::yield_now();
                }
                if asked.is_finished() {
                    return asked.join().unwrap();
                }
                self.turn();
            }
        })
    }

    /// Closes the log and waits for that.
    pub(crate) fn close(&mut self) {
        self.ask(Log::close).unwrap();
    }

    /// Lets go of a closed log, and of its engine.
    pub(crate) fn forget(&mut self) {
        self.log = None;
        self.driver = None;
        self.engine = None;
    }

    /// The process ends; what may be left of the log is drawn with `choice`.
    pub(crate) fn abandon(&mut self, choice: u64) -> End {
        let Some(sim) = &self.sim else {
            // A driver that goes takes the persister with it. A thread does not: it closes the log.
            self.driver = None;
            self.forget();
            return if self.threaded { End::Whole } else { End::Torn };
        };
        sim.crash_now();
        let pick = (choice >> 1) as usize % 4;
        let states = if choice & 1 == 0 {
            sim.crash_states(4, choice)
        } else {
            sim.kill_states(4, choice)
        };
        let mut states: Vec<_> = states.take(pick + 1).collect();
        let state = states.pop().expect("a crash leaves a disk");
        self.forget();
        self.disk = Arc::new(state.clone());
        self.sim = Some(state);
        End::Torn
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("disk", &self.disk)
            .field("threaded", &self.threaded)
            .finish_non_exhaustive()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A log on a real disk must be closed before its directory can go.
        if self.log.is_some() && self.threaded && !std::thread::panicking() {
            self.close();
        }
    }
}

/// A ticket's position, its borrow gone.
pub(crate) fn owned(ticket: Ticket<'_>) -> Ticket<'static> {
    ticket.into_owned()
}

/// Where the kernel tells about the calling thread.
fn own_task() -> std::path::PathBuf {
    let link = std::fs::read_link("/proc/thread-self").unwrap();
    std::path::Path::new("/proc").join(link)
}

/// Whether a thread sleeps; one that is gone does not.
fn sleeps(stat: &std::path::Path) -> bool {
    let Ok(stat) = std::fs::read_to_string(stat) else {
        return false;
    };
    // "pid (name) state ..": the name may hold anything.
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| rest.starts_with('S'))
}
