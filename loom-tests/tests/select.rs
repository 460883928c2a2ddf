//! Waiting on several rings at once, and in someone's own event loop: no wake-up is lost, and none
//! that is not used stays with who does not use it.
#![cfg(ringbolt_loom)]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Wake, Waker};

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use ringbolt::ring::tokens::Tokens;
use ringbolt::ring::{Ready, RecvError, Selector, Watch, lossy, spsc};
use ringbolt_loom_tests::explore;

/// A waker that counts its calls: all that there is to a descriptor but the descriptor.
#[derive(Debug)]
struct Calls(AtomicUsize);

impl Calls {
    fn new() -> (std::sync::Arc<Self>, Waker) {
        let calls = std::sync::Arc::new(Self(AtomicUsize::new(0)));
        (calls.clone(), Waker::from(calls))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Calls {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

// Whoever sleeps in a model is a thread of its own, and sleeps once: a late call of its parker, which
// is harmless, would wake it from a lock or a join, and loom takes that for a fault.

#[test]
fn a_selector_over_two_rings_sleeps_until_there_is_something() {
    explore("select, two rings", None, 100, || {
        let (mut a, mut a_in) = spsc::ring::<u32>(1).expect("memory");
        let mut b = lossy::ring::<u32>(1).expect("memory");
        let mut b_in = b.subscribe();
        let selecting = thread::spawn(move || {
            match Selector::new().select(&[&a_in, &b_in]) {
                0 => assert_eq!(a_in.try_recv(), Ok(1)),
                _ => assert_eq!(b_in.try_recv(), Ok(2)),
            }
            (a_in, b_in)
        });
        a.send(1).unwrap();
        b.send(2).unwrap();
        let (mut a_in, mut b_in) = selecting.join().unwrap();
        assert_ne!(a_in.try_recv().is_ok(), b_in.try_recv().is_ok());
    });
}

#[test]
fn a_task_that_selects_hears_of_two_senders() {
    explore("select, two senders", Some(3), 100, || {
        let (mut a, a_in) = spsc::ring::<u32>(1).expect("memory");
        let (mut b, b_in) = spsc::ring::<u32>(1).expect("memory");
        let senders = [
            thread::spawn(move || {
                a.send(1).unwrap();
                a
            }),
            thread::spawn(move || {
                b.send(1).unwrap();
                b
            }),
        ];
        let mut receivers = [a_in, b_in];
        let mut selector = Selector::new();
        for _ in 0..2 {
            let named = block_on(selector.select_async(&[&receivers[0], &receivers[1]]));
            assert_eq!(receivers[named].try_recv(), Ok(1));
        }
        for sender in senders {
            drop(sender.join().unwrap());
        }
    });
}

#[test]
fn a_selector_hears_of_the_end() {
    explore("select, close", None, 100, || {
        let (a, a_in) = spsc::ring::<u32>(1).expect("memory");
        let (b, b_in) = spsc::ring::<u32>(1).expect("memory");
        let selecting = thread::spawn(move || {
            let mut receivers = [a_in, b_in];
            let named = Selector::new().select(&[&receivers[0], &receivers[1]]);
            assert_eq!(receivers[named].try_recv(), Err(RecvError::Closed));
            receivers
        });
        drop((a, b));
        drop(selecting.join().unwrap());
    });
}

#[test]
fn a_selecting_future_that_is_dropped_passes_its_wake_up_on() {
    explore("select, dropped future", None, 100, || {
        let tokens = Arc::new(Tokens::new());
        let sibling = {
            let tokens = Arc::clone(&tokens);
            thread::spawn(move || tokens.take())
        };
        {
            let mut selector = Selector::new();
            let handles: [&dyn Ready; 1] = [&*tokens];
            let mut future = pin!(selector.select_async(&handles));
            let (_, waker) = Calls::new();
            let _ = future.as_mut().poll(&mut Context::from_waker(&waker));
            tokens.give();
        }
        // The sibling gets it, whoever was woken.
        sibling.join().unwrap();
    });
}

#[test]
fn a_selector_that_takes_nothing_passes_its_wake_up_on() {
    explore("select, taken by a sibling", Some(3), 100, || {
        let tokens = Arc::new(Tokens::new());
        let sibling = {
            let tokens = Arc::clone(&tokens);
            thread::spawn(move || tokens.take())
        };
        let selecting = {
            let tokens = Arc::clone(&tokens);
            thread::spawn(move || assert_eq!(Selector::new().select(&[&*tokens]), 0))
        };
        // With two tokens there is one for it to see; it takes none.
        tokens.give();
        tokens.give();
        sibling.join().unwrap();
        selecting.join().unwrap();
        assert!(tokens.try_take().is_some() && tokens.try_take().is_none());
    });
}

#[test]
fn an_armed_watch_is_called() {
    explore("watch", None, 100, || {
        let (mut sender, receiver) = spsc::ring::<u32>(2).expect("memory");
        let sending = thread::spawn(move || {
            sender.send(1).unwrap();
            sender.send(2).unwrap();
            sender
        });
        let (calls, waker) = Calls::new();
        let mut receiver = Watch::new(receiver);
        let mut received = receiver.try_iter().count();
        let before = calls.count();
        let armed = receiver.arm(&waker);
        if !armed {
            let more = receiver.try_iter().count();
            assert!(more > 0, "it said that there is something");
            received += more;
        }
        drop(sending.join().unwrap());
        // As an event loop that sleeps only if armed, and wakes only if called.
        if armed && received < 2 {
            assert!(calls.count() > before, "asleep beside an item");
        }
        received += receiver.try_iter().count();
        assert_eq!(received, 2);
    });
}

#[test]
fn a_watch_that_is_armed_again_is_called_again() {
    explore("watch, twice", None, 100, || {
        let (mut sender, receiver) = spsc::ring::<u32>(2).expect("memory");
        let (calls, waker) = Calls::new();
        let mut receiver = Watch::new(receiver);
        assert!(receiver.arm(&waker));
        let sending = thread::spawn(move || {
            sender.send(1).unwrap();
            sender.send(2).unwrap();
            sender
        });
        let received = receiver.try_iter().count();
        // The call for the first may still be under way when this one is made: it comes after.
        let before = calls.count();
        let armed = receiver.arm(&waker);
        drop(sending.join().unwrap());
        if armed && received < 2 {
            assert!(calls.count() > before, "asleep beside an item");
        }
        assert_eq!(received + receiver.try_iter().count(), 2);
    });
}

#[test]
fn a_watch_that_is_dropped_passes_its_wake_up_on() {
    explore("watch, dropped", None, 100, || {
        let tokens = Arc::new(Tokens::new());
        let sibling = {
            let tokens = Arc::clone(&tokens);
            thread::spawn(move || tokens.take())
        };
        let (_, waker) = Calls::new();
        let mut watch = Watch::new(&*tokens);
        let _ = watch.arm(&waker);
        tokens.give();
        drop(watch);
        sibling.join().unwrap();
    });
}
