//! The engine: one thread that drives the disk for many logs.
//!
//! An [`Engine`] owns a queue to the disk and the thread that serves it (the *persister*), and a
//! second thread for slow file work (the *keeper*: making, removing and recycling segments). A third is
//! started for the first log that has a hook of the embedder's, which is called there. With
//! [`EngineBuilder::caller_driven`] there are none: the caller's own thread calls [`Driver::poll`].
//!
//! The engine knows nothing of logs: it serves [`Client`]s.

mod budget;
mod client;
mod driver;
mod jobs;

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Waker;
use std::time::Duration;

use crate::disk::{Disk, Rung};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::lock::Mutex;

pub(crate) use budget::{Budget, Share};
pub(crate) use client::{Client, Token};
pub use driver::{Driver, Poll};
pub(crate) use jobs::Jobs;

/// A handle to an engine; cheap to clone. Logs keep their engine alive.
///
/// ```
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-engine-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// let engine = ringbolt::Engine::builder().thread_name("orders").start()?;
/// let bids = engine.open(dir.join("bids"))?;
/// let asks = engine.open(dir.join("asks"))?; // one submission carries the writes of both
/// bids.append(b"100 at 17")?;
/// asks.append(b"100 at 18")?.wait()?;
/// # bids.close()?;
/// # asks.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Engine(Arc<Handle>);

/// Ends the engine when the last handle goes.
struct Handle {
    shared: Arc<Shared>,
    waker: Waker,
    /// Who started the engine: a forked child must not end it.
    process: u32,
}

/// What handles, driver and keeper share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    /// Clients on their way to the driver; `None` once the driver is gone.
    pub(crate) arrivals: Mutex<Option<Vec<Box<dyn Client + Send>>>>,
    pub(crate) jobs: Jobs,
    /// Calls of the embedder's own code, which may be slow.
    pub(crate) hooks: Jobs,
    /// The name of the thread that makes them, until it is started; none where the caller does.
    hooks_thread: Mutex<Option<String>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) stopping: AtomicBool,
    /// On which rung the driver's queue stood at its last turn; there before any handle is.
    rung: Mutex<Option<Rung>>,
}

impl Shared {
    fn rung(&self) -> Rung {
        self.rung
            .lock()
            .clone()
            .expect("the driver says it before there is a handle")
    }
}

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineBuilder {
    thread_name: String,
    pin_to: Option<usize>,
    spin: Duration,
    memory_bytes: u64,
    disk: Option<Arc<dyn Disk>>,
}

impl Engine {
    /// The options of an engine.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            thread_name: "ringbolt".into(),
            pin_to: None,
            spin: Duration::from_micros(50),
            memory_bytes: u64::MAX,
            disk: None,
        }
    }

    /// What carries the writes, and why not the best, as of the engine's last turn: memory that may
    /// not be locked shows when a log was opened and its first record is on disk.
    #[must_use]
    pub fn rung(&self) -> Rung {
        self.0.shared.rung()
    }

    /// Makes sure that hooks are called.
    pub(crate) fn start_hooks(&self) -> Result<()> {
        let shared = &self.0.shared;
        let mut name = shared.hooks_thread.lock();
        if let Some(thread) = &*name {
            let shared = Arc::clone(shared);
            spawn(thread.clone(), move || shared.hooks.run())?;
            *name = None;
        }
        Ok(())
    }

    /// Whether this is a forked child of the process that started the engine.
    pub(crate) fn is_forked(&self) -> bool {
        self.0.process != std::process::id()
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.0.shared.disk
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.0.waker
    }

    /// Hands a client to the engine's thread. If that has ended, the client is dropped, which
    /// tells its waiters.
    pub(crate) fn attach(&self, client: Box<dyn Client + Send>) {
        if let Some(arrivals) = &mut *self.0.shared.arrivals.lock() {
            arrivals.push(client);
        }
        self.0.waker.wake_by_ref();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("rung", &self.rung())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        // The threads end by themselves once their logs are closed; nobody waits for that.
        self.shared.stopping.store(true, Ordering::Release);
        self.waker.wake_by_ref();
    }
}

impl EngineBuilder {
    /// The name of the persister's thread; the keeper's is the same with `-keeper` behind it, that of
    /// hooks with `-hooks`.
    /// The kernel keeps the first 15 bytes. Default: `ringbolt`.
    #[must_use]
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = name.into();
        self
    }

    /// Pins the persister's thread to a processor.
    #[must_use]
    pub fn pin_to(mut self, cpu: usize) -> Self {
        self.pin_to = Some(cpu);
        self
    }

    /// How long the persister looks for more work before it sleeps. Default: 50 microseconds.
    #[must_use]
    pub fn spin(mut self, duration: Duration) -> Self {
        self.spin = duration;
        self
    }

    /// The buffer budget: the bound on the memory of the tail images of all logs on this engine
    /// together, in bytes. Default: none, so that each log's own bound
    /// ([`LogOptions::memory_bytes`](crate::LogOptions::memory_bytes)) is all there is.
    ///
    /// A log takes three segments' worth when it is opened, and is refused as
    /// [`ErrorKind::OverBudget`] where they are not left; it grows up to its own bound while there is
    /// more, and does with what it has where there is not: nobody waits for the budget. It is first
    /// come, first served. What a log took goes back when it was closed; that of one that
    /// failed, whose newest records are in memory alone, when its last handle and reader are gone.
    /// Records that callers hold on to are not counted.
    ///
    /// ```
    /// use ringbolt::{Engine, ErrorKind, LogOptions};
    /// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-budget-{}", std::process::id()));
    /// # std::fs::create_dir_all(&dir)?;
    /// let engine = Engine::builder().memory_bytes(8 << 20).start()?;
    /// let small = LogOptions::new().segment_bytes(1 << 20); // three of them at least
    /// let bids = small.open_on(&engine, dir.join("bids"))?;
    /// let asks = small.open_on(&engine, dir.join("asks"))?;
    /// let refused = small.open_on(&engine, dir.join("deals")).unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::OverBudget);
    /// asks.close()?;
    /// let deals = small.open_on(&engine, dir.join("deals"))?;
    /// # bids.close()?;
    /// # deals.close()?;
    /// # std::fs::remove_dir_all(&dir).ok();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// The disk; without it, the real one at the best rung that a probe finds.
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = Some(disk);
        self
    }

    /// Starts the engine and its two threads.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when a thread or a queue cannot be made, [`ErrorKind::Invalid`] when the
    /// thread cannot be pinned where it should.
    pub fn start(self) -> Result<Engine> {
        let shared = self.shared();
        let (sender, receiver) = mpsc::channel();
        let thread = {
            let shared = Arc::clone(&shared);
            let (pin_to, spin) = (self.pin_to, self.spin);
            move || driver::run(shared, pin_to, spin, &sender)
        };
        spawn(self.thread_name.clone(), thread)?;
        let waker = receiver
            .recv()
            .map_err(|_| Error::new(ErrorKind::Io, "the engine's thread died"))??;
        let engine = Engine(Arc::new(Handle {
            shared: Arc::clone(&shared),
            waker,
            process: std::process::id(),
        }));
        let keeper = {
            let shared = Arc::clone(&shared);
            move || shared.jobs.run()
        };
        spawn(format!("{}-keeper", self.thread_name), keeper)?;
        *shared.hooks_thread.lock() = Some(format!("{}-hooks", self.thread_name));
        Ok(engine)
    }

    /// Makes an engine without threads: all of its work happens in [`Driver::poll`], on the calling
    /// thread. Blocking calls on its logs need another thread to poll meanwhile.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when the queue cannot be made.
    pub fn caller_driven(self) -> Result<(Engine, Driver)> {
        let shared = self.shared();
        let driver = Driver::new(Arc::clone(&shared), true)?;
        let waker = driver.waker();
        let process = std::process::id();
        Ok((
            Engine(Arc::new(Handle {
                shared,
                waker,
                process,
            })),
            driver,
        ))
    }

    fn shared(&self) -> Arc<Shared> {
        let disk = self
            .disk
            .clone()
            .unwrap_or_else(|| Arc::new(crate::disk::Real::probe()));
        Arc::new(Shared {
            disk,
            arrivals: Mutex::new(Some(Vec::new())),
            jobs: Jobs::new(),
            hooks: Jobs::new(),
            hooks_thread: Mutex::new(None),
            budget: Budget::new(self.memory_bytes),
            stopping: AtomicBool::new(false),
            rung: Mutex::new(None),
        })
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name(name).spawn(body);
    thread.map(drop).map_err(|error| {
        Error::io("starting a thread", error)
            .remedy("raise the limit on threads, or drive the engine yourself")
    })
}
