//! The embedder's own code on the engine's thread: it may panic, append, and let the log go.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::task::{Context, Wake, Waker};

use ringbolt::disk::sim::SimDisk;
use ringbolt::{ErrorKind, From, Log, Position, Result};

use crate::common::{Rig, options, payload, read_all, reopened};

fn rig(seed: u64) -> (Rig, Log) {
    let rig = Rig::new(&SimDisk::new(seed));
    let log = rig.open(&options()).unwrap();
    (rig, log)
}

/// What the panics of this file say; they print nothing.
const DELIBERATE: &str = "a deliberate panic";

fn quiet() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&DELIBERATE) {
                hook(info);
            }
        }));
    });
}

/// Panics when it is woken, and when it is dropped afterwards it is silent.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("{}", DELIBERATE);
    }
}

#[test]
fn a_callback_is_called_once_with_the_outcome() {
    let (mut rig, log) = rig(1);
    let told = Arc::new(Mutex::new(Vec::<Result<Position>>::new()));
    let tell = |told: &Arc<Mutex<Vec<_>>>| {
        let told = Arc::clone(told);
        move |outcome| told.lock().unwrap().push(outcome)
    };
    let ticket = log.try_append(b"one").unwrap();
    let position = ticket.position();
    ticket.clone().on_done(tell(&told));
    assert!(told.lock().unwrap().is_empty());
    rig.outcome(&ticket).unwrap();
    rig.until("a callback", || {
        (told.lock().unwrap().len() == 1).then_some(())
    });
    // At once, on this thread.
    ticket.on_done(tell(&told));
    rig.rest();
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2);
    assert!(
        told.iter()
            .all(|outcome| outcome.as_ref().ok() == Some(&position))
    );
}

#[test]
fn a_callback_that_panics_harms_nobody() {
    quiet();
    let (mut rig, log) = rig(2);
    let called = Arc::new(AtomicUsize::new(0));
    for n in 0..10 {
        let called = Arc::clone(&called);
        log.try_append(&payload(n, 100)).unwrap().on_done(move |_| {
            called.fetch_add(1, Ordering::SeqCst);
            panic!("{}", DELIBERATE);
        });
    }
    let ticket = log.try_append(b"last").unwrap();
    rig.outcome(&ticket).unwrap();
    rig.until("callbacks", || {
        (called.load(Ordering::SeqCst) == 10).then_some(())
    });
    rig.write(&log, b"goes on");
    assert_eq!(read_all(&log).unwrap().len(), 12);
}

/// Each acknowledgement appends the next record.
#[test]
fn a_callback_may_append() {
    let (mut rig, log) = rig(3);
    let left = Arc::new(AtomicUsize::new(50));
    fn next(log: &Log, left: &Arc<AtomicUsize>) {
        let (log, left) = (log.clone(), Arc::clone(left));
        log.clone()
            .try_append(b"and on")
            .unwrap()
            .on_done(move |outcome| {
                outcome.unwrap();
                if left.fetch_sub(1, Ordering::SeqCst) > 1 {
                    next(&log, &left);
                }
            });
    }
    next(&log, &left);
    rig.until("a chain of callbacks", || {
        (left.load(Ordering::SeqCst) == 0).then_some(())
    });
    assert_eq!(read_all(&log).unwrap().len(), 50);
}

/// The last handle goes within a callback: the log closes cleanly.
#[test]
fn a_callback_may_drop_the_log() {
    let (mut rig, log) = rig(4);
    let ticket = log.try_append(b"the last").unwrap().into_owned();
    let waiting = ticket.clone();
    ticket.on_done(move |_| drop(log));
    rig.outcome(&waiting).unwrap();
    drop(waiting);
    rig.rest();
    let (_rig, log) = reopened(&rig);
    assert_eq!(read_all(&log).unwrap()[0].1, b"the last");
}

#[test]
fn a_waker_that_panics_harms_nobody() {
    quiet();
    let (mut rig, log) = rig(5);
    let bomb = Waker::from(Arc::new(Bomb));
    let mut context = Context::from_waker(&bomb);
    let ticket = log.try_append(b"one").unwrap();
    let mut acknowledged = pin!(ticket.clone().into_future());
    assert!(acknowledged.as_mut().poll(&mut context).is_pending());
    let mut durable = log.durable();
    let mut changed = pin!(durable.changed());
    assert!(changed.as_mut().poll(&mut context).is_pending());
    let mut reader = log.reader(From::Start).unwrap();
    let mut next = reader.next_async();
    assert!(pin!(&mut next).poll(&mut context).is_pending());
    rig.outcome(&ticket).unwrap();
    assert!(acknowledged.as_mut().poll(&mut context).is_ready());
    assert!(changed.as_mut().poll(&mut context).is_ready());
    assert!(pin!(&mut next).poll(&mut context).is_ready());
    rig.write(&log, b"goes on");
    rig.close(&log).unwrap();
}

#[test]
fn a_hook_that_panics_harms_nobody() {
    quiet();
    let called = Arc::new(AtomicUsize::new(0));
    let hook = Arc::clone(&called);
    let options = options().on_seal(move |_| {
        hook.fetch_add(1, Ordering::SeqCst);
        panic!("{}", DELIBERATE);
    });
    let mut rig = Rig::new(&SimDisk::new(6));
    let log = rig.open(&options).unwrap();
    for n in 0..12 {
        rig.write(&log, &payload(n, 250_000));
    }
    assert!(called.load(Ordering::SeqCst) >= 2);
    assert_eq!(read_all(&log).unwrap().len(), 12);
}

/// A callback that waits for a record that was cut is told that.
#[test]
fn a_callback_is_told_of_a_cut() {
    let (mut rig, log) = rig(7);
    let first = rig.write(&log, b"stays");
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    let ticket = log.try_append(b"goes").unwrap();
    let at = ticket.position();
    ticket.on_done(move |outcome| *tell.lock().unwrap() = Some(outcome));
    // Asked for before the record is on disk.
    rig.truncate(&log, at).unwrap();
    let outcome = rig.until("a callback", || told.lock().unwrap().take());
    match outcome {
        Ok(position) => assert_eq!(position, at, "it was acknowledged before the cut"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Cut, "{error}");
            assert_eq!(error.position(), Some(at));
        }
    }
    assert_eq!(read_all(&log).unwrap()[0].0, first);
    assert_eq!(read_all(&log).unwrap().len(), 1);
}
