//! A fork, with a log open: the child has a copy of every handle, and neither the log nor the
//! engine's threads. Each call there says so at once, and nothing that the child does or drops, nor
//! its end, harms the parent's log.

use std::fs;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringbolt::{Cold, Engine, ErrorKind, From, Log, LogOptions, ReadOptions, Result};

/// One fork at a time: another test's threads and descriptors are not copied.
static ALONE: Mutex<()> = Mutex::new(());

/// A child that hangs is ended by the kernel after so many seconds.
const CHILD_SECONDS: u32 = 30;

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("fork-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options() -> LogOptions {
    LogOptions::new()
        .segment_bytes(1 << 20)
        .lock_timeout(Duration::ZERO)
}

/// Runs `act` in a forked child; panics with what made it panic there, or if it does not end.
fn in_child(folder: &Folder, act: impl FnOnce()) {
    let report = folder.0.join("report");
    // SAFETY: the child is a copy of this thread alone. What it does is what is tested: it uses the
    // copies of handles, allocates (which glibc allows after a fork), and ends without returning.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        // SAFETY: no handler is installed for the alarm: it ends the process.
        unsafe { libc::alarm(CHILD_SECONDS) };
        std::panic::set_hook(Box::new(|_| {}));
        let failed = catch_unwind(AssertUnwindSafe(act)).err().map(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let word = panic.downcast_ref::<&str>().map(|word| (*word).to_owned());
            text.or(word).unwrap_or_default()
        });
        if let Some(text) = &failed {
            let _ = fs::write(&report, text);
        }
        // SAFETY: ends the child here and now; nothing of the test's harness runs in it.
        unsafe { libc::_exit(i32::from(failed.is_some())) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child; `status` is ours to write to.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    assert!(
        !libc::WIFSIGNALED(status),
        "the child was ended by signal {}",
        libc::WTERMSIG(status)
    );
    let text = fs::read_to_string(&report).unwrap_or_default();
    assert_eq!(libc::WEXITSTATUS(status), 0, "in the child: {text}");
}

fn forked<T>(what: &str, result: Result<T>) {
    match result {
        Ok(_) => panic!("{what} works in a child"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Forked, "{what}: {error}");
            assert!(error.hint().is_some(), "{what}: {error}");
        }
    }
}

/// What a future gives at once.
fn now<F: Future>(what: &str, future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("{what} waits for ever in a child"),
    }
}

fn read_all(log: &Log) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut reader = log.reader(From::Start).unwrap();
    while let Some(record) = reader.try_next().unwrap() {
        records.push(record.to_vec());
    }
    records
}

/// Every call on a copied log.
fn calls_are_refused(log: &Log) {
    let position = log.durable().get();
    forked("append", log.append(b"x"));
    forked("try_append", log.try_append(b"x"));
    forked(
        "append_deadline",
        log.append_deadline(b"x", std::time::Instant::now()),
    );
    forked(
        "append_with",
        log.append_with(1, |_| panic!("it is not asked")),
    );
    forked("append_batch", log.append_batch(&[b"x"]));
    forked("append_async", now("append_async", log.append_async(b"x")));
    forked("claim", log.claim(1));
    forked("try_claim", log.try_claim(1));
    forked("flush", log.flush());
    forked("flush_async", now("flush_async", log.flush_async()));
    forked("trim", log.trim(position));
    forked("truncate", log.truncate(position));
    forked("trim_async", now("trim_async", log.trim_async(position)));
    forked(
        "truncate_async",
        now("truncate_async", log.truncate_async(position)),
    );
    forked("reader", log.reader(From::Start));
    forked(
        "read_many",
        log.read_many([position]).next().expect("an answer"),
    );
    forked("close", log.close());
    forked("close_async", now("close_async", log.close_async()));
    // What needs no engine only tells what it knew.
    let _ = (log.stats(), log.start(), log.end(), log.durable().get());
}

#[test]
fn a_child_is_refused_and_the_parent_goes_on() {
    let _alone = ALONE.lock();
    let folder = Folder::new("refused");
    let log = options().open(folder.log()).unwrap();
    log.append(b"before").unwrap().wait().unwrap();
    let mut reader = log.reader(From::Start).unwrap();
    in_child(&folder, || {
        calls_are_refused(&log);
        forked("try_next", reader.try_next().map(drop));
        forked("next", reader.next().map(drop));
        forked("seek", reader.seek(From::Start));
        drop(log.clone());
    });
    assert_eq!(&*reader.try_next().unwrap().unwrap(), b"before");
    log.append(b"after").unwrap().wait().unwrap();
    // The child's end did not give the lock away.
    let error = options().open(folder.log()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    log.close().unwrap();
    let log = options().open(folder.log()).unwrap();
    assert_eq!(read_all(&log), [b"before".to_vec(), b"after".to_vec()]);
    log.close().unwrap();
}

/// Claims, tickets and callbacks that were under way are the parent's.
#[test]
fn what_was_under_way_stays_the_parents() {
    let _alone = ALONE.lock();
    let folder = Folder::new("under-way");
    let log = options().open(folder.log()).unwrap();
    let mut claim = Some(log.claim(5).unwrap());
    let mut dropped = Some(log.claim(5).unwrap());
    let behind = log.append(b"behind").unwrap();
    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    behind.clone().on_done(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    in_child(&folder, || {
        forked("a ticket", behind.wait());
        forked(
            "a ticket's future",
            now("a ticket", behind.clone().into_future()),
        );
        forked("a commit", claim.take().unwrap().commit().wait());
        drop(dropped.take());
    });
    assert!(
        !behind.is_done(),
        "the child committed or dropped the parent's claim"
    );
    for mut claim in [claim, dropped].into_iter().flatten() {
        claim.copy_from_slice(b"claim");
        drop(claim.commit());
    }
    behind.wait().unwrap();
    log.flush().unwrap();
    assert_eq!(
        read_all(&log),
        [b"claim".to_vec(), b"claim".to_vec(), b"behind".to_vec()]
    );
    log.close().unwrap();
    assert_eq!(called.load(Ordering::SeqCst), 1);
}

/// Reads that are on their way into a parent's memory are the parent's.
#[test]
fn reads_under_way_stay_the_parents() {
    let _alone = ALONE.lock();
    let folder = Folder::new("reads");
    let log = options().open(folder.log()).unwrap();
    let positions: Vec<_> = (0..900u32)
        .map(|number| {
            let record = [number.to_le_bytes(); 2000];
            log.append(record.as_flattened()).unwrap().position()
        })
        .collect();
    log.flush().unwrap();
    let direct = ReadOptions::new().cold(Cold::Direct);
    let mut reader = log.reader_with(From::Start, direct).unwrap();
    let mut many = log.read_many(positions[..200].to_vec());
    // Far enough that several windows are ahead of the one and several reads ahead of the other.
    for number in 0..100u32 {
        assert_eq!(reader.next().unwrap()[..4], number.to_le_bytes());
        assert_eq!(many.next().unwrap().unwrap()[..4], number.to_le_bytes());
    }
    let (mut reader, mut many) = (Some(reader), Some(many));
    in_child(&folder, || {
        forked("a reader", reader.as_mut().unwrap().next().map(drop));
        forked("many reads", many.as_mut().unwrap().next().unwrap());
        drop((reader.take(), many.take()));
    });
    let (mut reader, mut many) = (reader.unwrap(), many.unwrap());
    for number in 100..900u32 {
        assert_eq!(reader.next().unwrap()[..4], number.to_le_bytes());
    }
    for number in 100..200u32 {
        assert_eq!(many.next().unwrap().unwrap()[..4], number.to_le_bytes());
    }
    assert!(many.next().is_none());
    log.close().unwrap();
}

/// A child that lets everything go, or ends as processes do, changes nothing either.
#[test]
fn a_child_may_drop_its_copies() {
    let _alone = ALONE.lock();
    let folder = Folder::new("drops");
    let engine = Engine::builder().start().unwrap();
    let mut log = Some(options().open_on(&engine, folder.log()).unwrap());
    let mut reader = Some(log.as_ref().unwrap().reader(From::Start).unwrap());
    let mut engine = Some(engine);
    for n in 0..3u8 {
        let ticket = log.as_ref().unwrap().append(&[n]).unwrap().into_owned();
        let mut ticket = Some(ticket);
        in_child(&folder, || {
            drop((log.take(), reader.take(), engine.take(), ticket.take()));
        });
        ticket.unwrap().wait().unwrap();
    }
    let log = log.unwrap();
    log.append(&[3]).unwrap().wait().unwrap();
    assert_eq!(read_all(&log), [[0], [1], [2], [3]]);
    log.close().unwrap();
}

/// The parent's driver serves nobody in a child; there its engine opens nothing.
#[test]
fn a_copied_driver_is_refused() {
    let _alone = ALONE.lock();
    let folder = Folder::new("driver");
    let (engine, driver) = Engine::builder().caller_driven().unwrap();
    let mut driver = Some(driver);
    let log = options().open_on(&engine, folder.log()).unwrap();
    let called = Arc::new(Mutex::new(Vec::new()));
    let mut tickets = Vec::new();
    for n in 0..20u8 {
        let ticket = log.try_append(&[n; 10_000]).unwrap();
        let (called, record) = (Arc::clone(&called), folder.0.join("called in a child"));
        let parent = std::process::id();
        ticket.clone().on_done(move |outcome| {
            if std::process::id() != parent {
                let _ = fs::write(record, b"");
            }
            called.lock().unwrap().push(outcome);
        });
        tickets.push(ticket);
        if n == 10 {
            // Writes are under way.
            driver.as_mut().unwrap().poll().unwrap();
        }
    }
    in_child(&folder, || {
        let mut copy = driver.take().unwrap();
        forked("poll", copy.poll());
        forked("wait", copy.wait(None));
        forked("open", options().open_on(&engine, folder.0.join("other")));
        drop(copy);
        calls_are_refused(&log);
    });
    assert!(!folder.0.join("called in a child").exists());
    let mut driver = driver.unwrap();
    while !tickets.iter().all(ringbolt::Ticket::is_done) {
        if driver.poll().unwrap() != ringbolt::Poll::Busy {
            driver.wait(Some(Duration::from_millis(10))).unwrap();
        }
    }
    for ticket in &tickets {
        ticket.wait().unwrap();
    }
    assert_eq!(read_all(&log).len(), 20);
    while called.lock().unwrap().len() < 20 {
        driver.poll().unwrap();
    }
}

/// What a child opens itself works, beside the copies.
#[test]
fn a_child_may_open_a_log_of_its_own() {
    let _alone = ALONE.lock();
    let folder = Folder::new("own");
    let log = options().open(folder.log()).unwrap();
    log.append(b"parent").unwrap().wait().unwrap();
    let other = folder.0.join("other");
    in_child(&folder, || {
        let own = options().open(&other).unwrap();
        own.append(b"child").unwrap().wait().unwrap();
        assert_eq!(read_all(&own), [b"child"]);
        own.close().unwrap();
        let locked = options().open(folder.log()).unwrap_err();
        assert_eq!(locked.kind(), ErrorKind::Locked, "{locked}");
        forked("append", log.append(b"x"));
    });
    log.append(b"parent").unwrap().wait().unwrap();
    assert_eq!(read_all(&log).len(), 2);
    log.close().unwrap();
    let own = options().open(&other).unwrap();
    assert_eq!(read_all(&own), [b"child"]);
    own.close().unwrap();
}
