//! What an append and an idle log cost, in counts: allocations, system calls, wake-ups.
//!
//! No times: how fast something is belongs to the benches. Allocations are those of the calling
//! thread. Of system calls the kernel tells how many `read`s and `write`s a thread made (the
//! wake-up of the persister is a `write` to an eventfd) and how often it went to sleep; where
//! `/proc` has neither, the test says that it was skipped.

#[path = "rungs/mod.rs"]
#[allow(dead_code)] // each test uses its part of it
mod rungs;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringbolt::disk::Real;
use ringbolt::{Driver, Durability, Engine, ErrorKind, From, Log, LogOptions, Poll};

use rungs::{Place, skip};

// ---- allocations ------------------------------------------------------------------------------

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count_one() {
    // A thread that is ending has no counter any more, and nobody who reads it.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator as it came; the counter beside it is
// one without a destructor that is initialised in place, so counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller's duties are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count_one();
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The result, and how often this thread allocated meanwhile.
fn allocations<T>(of: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATIONS.with(Cell::get);
    let done = of();
    (done, ALLOCATIONS.with(Cell::get) - before)
}

/// Tries until there is room; says how often the attempt that succeeded allocated.
fn until_room<T>(mut attempt: impl FnMut() -> ringbolt::Result<T>) -> u64 {
    loop {
        match allocations(&mut attempt) {
            (Ok(_), count) => return count,
            (Err(error), _) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        std::thread::yield_now();
    }
}

fn options(durability: Durability) -> LogOptions {
    LogOptions::new()
        .segment_bytes(1 << 20)
        .memory_bytes(4 << 20)
        .durability(durability)
}

/// Across rollovers, too: the producer that meets one installs what was made ready before.
#[test]
fn an_append_allocates_nothing() {
    for durability in [Durability::Disk, Durability::Memory] {
        let place = Place::new("counts");
        let log = options(durability).open(place.path().join("log")).unwrap();
        until_room(|| log.try_append(b"warm"));
        let payload = [7; 256];
        for _ in 0..10_000 {
            assert_eq!(until_room(|| log.try_append(&payload)), 0);
        }
        let claimed = || {
            let mut claim = log.try_claim(payload.len())?;
            claim.copy_from_slice(&payload);
            Ok(claim.commit())
        };
        for _ in 0..1000 {
            assert_eq!(until_room(claimed), 0, "claim and commit");
            assert_eq!(
                until_room(|| log.try_append_batch(&[payload, payload])),
                0,
                "batch"
            );
        }
        // The persister counts them as it comes by.
        log.flush().unwrap();
        assert!(log.stats().rollovers >= 3, "{:?}", log.stats());
        log.close().unwrap();
    }
}

#[test]
fn reading_at_the_tail_allocates_nothing() {
    let place = Place::new("counts");
    let log = options(Durability::Disk)
        .open(place.path().join("log"))
        .unwrap();
    let mut reader = log.reader(From::Start).unwrap();
    for warm in [true, false] {
        for _ in 0..1000 {
            until_room(|| log.try_append(b"read at once"));
        }
        log.flush().unwrap();
        let (read, count) = allocations(|| {
            let mut read = 0;
            while let Some(record) = reader.try_next().unwrap() {
                read += record.len() / 12;
            }
            read
        });
        assert_eq!(read, 1000);
        assert!(warm || count == 0, "{count} allocations for {read} records");
    }
    log.close().unwrap();
}

// ---- system calls -----------------------------------------------------------------------------

/// What the kernel counted for a thread: reads and writes, and how often it went to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Calls {
    reads_and_writes: u64,
    sleeps: u64,
}

impl Calls {
    fn of(task: &Path) -> Option<Self> {
        Some(Self {
            reads_and_writes: field(&task.join("io"), "syscr")? + field(&task.join("io"), "syscw")?,
            sleeps: field(&task.join("status"), "voluntary_ctxt_switches")?,
        })
    }
}

/// The number behind `name:` in a file of /proc.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

/// Polls until there is nothing to do; it is then armed to be woken.
fn settle(driver: &mut Driver) {
    loop {
        match driver.poll().unwrap() {
            Poll::Busy => {}
            Poll::Ended | Poll::Idle => return,
            Poll::IdleFor(time) => driver.wait(Some(time)).unwrap(),
        }
    }
}

/// While the persister is awake; one that sleeps is woken, once, and not by each append.
#[test]
fn an_append_makes_no_system_call() {
    let place = Place::new("counts");
    let (engine, mut driver) = Engine::builder()
        .disk(Arc::new(Real::probe()))
        .caller_driven()
        .unwrap();
    let log = options(Durability::Memory)
        .open_on(&engine, place.path().join("log"))
        .unwrap();
    settle(&mut driver);
    let own = Path::new("/proc/thread-self");
    let (Some(_), Some(_)) = (Calls::of(own), Calls::of(own)) else {
        return skip(1, "the kernel counts no system calls by thread");
    };
    // Looking costs reads, too: as many each time.
    let looks = {
        let before = Calls::of(own).unwrap();
        Calls::of(own).unwrap().reads_and_writes - before.reads_and_writes
    };
    let count = |appends: usize| {
        let before = Calls::of(own).unwrap();
        for _ in 0..appends {
            let _ = log.try_append(&[7; 64]).unwrap();
        }
        let after = Calls::of(own).unwrap();
        assert_eq!(after.sleeps, before.sleeps);
        after.reads_and_writes - before.reads_and_writes - looks
    };
    // It sleeps: the first append wakes it, none of the others does.
    assert!(count(1000) <= 1);
    // Woken, and awake until it asks for the next wake-up.
    assert_eq!(count(1000), 0);
    settle(&mut driver);
    log.append(b"last").unwrap().wait().unwrap();
}

// ---- idleness ---------------------------------------------------------------------------------

/// What a thread has used: wake-ups, and the processor's time in ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Used {
    wake_ups: u64,
    ticks: u64,
}

/// The threads of this process whose names begin so.
fn threads(name: &str) -> Vec<PathBuf> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let mut tasks: Vec<_> = tasks
        .map(|task| task.unwrap().path())
        .filter(|task| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name))
        })
        .collect();
    tasks.sort();
    tasks
}

fn used(task: &Path) -> Option<Used> {
    let stat = std::fs::read_to_string(task.join("stat")).ok()?;
    // Behind the name, which may hold anything: state is field 3, user and system time 14 and 15.
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some(Used {
        wake_ups: field(&task.join("status"), "voluntary_ctxt_switches")?,
        ticks: fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?,
    })
}

#[test]
fn an_idle_log_wakes_nobody() {
    const NAME: &str = "idle-log";
    // Longer than anything that the log waits for by itself; what is asserted is that nothing
    // happens within.
    const LOOK: Duration = Duration::from_millis(300);
    let place = Place::new("counts");
    let engine = Engine::builder().thread_name(NAME).start().unwrap();
    let log: Log = options(Durability::Disk)
        .open_on(&engine, place.path().join("log"))
        .unwrap();
    for _ in 0..6000 {
        let _ = log.append(&[7; 512]).unwrap();
    }
    log.flush().unwrap();
    let tasks = threads(NAME);
    assert_eq!(tasks.len(), 2, "the persister and the keeper: {tasks:?}");
    let look = || {
        tasks
            .iter()
            .map(|task| used(task))
            .collect::<Option<Vec<_>>>()
    };
    let Some(mut before) = look() else {
        return skip(1, "the kernel tells nothing about threads");
    };
    // Footers, segments ahead, the trailing checkpoint: until two looks in a row are the same.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        std::thread::sleep(LOOK);
        let now = look().unwrap();
        if now == before {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "never idle: {before:?}, then {now:?}"
        );
        before = now;
    }
    std::thread::sleep(3 * LOOK);
    assert_eq!(look().unwrap(), before, "an idle log is at work");
    // Idle, not dead.
    log.append(b"last").unwrap().wait().unwrap();
    log.close().unwrap();
}
