//! The durable wait, as a thread and as a task; pins; the persister's bell.
#![cfg(ringbolt_loom)]

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use ringbolt::model::{Bell, Pins, Watermark};
use ringbolt_loom_tests::explore;

#[test]
fn a_waiting_thread_is_woken() {
    explore("durable wait, thread", None, 10, || {
        let mark = Arc::new(Watermark::new());
        let waiter = {
            let mark = Arc::clone(&mark);
            thread::spawn(move || assert!(mark.wait(2)))
        };
        mark.raise(1);
        mark.raise(2);
        waiter.join().unwrap();
    });
}

#[test]
fn two_waiters_are_woken_each_at_its_own() {
    explore("durable wait, two threads", Some(3), 100, || {
        let mark = Arc::new(Watermark::new());
        let waiters: Vec<_> = [1, 2]
            .into_iter()
            .map(|needed| {
                let mark = Arc::clone(&mark);
                thread::spawn(move || assert!(mark.wait(needed)))
            })
            .collect();
        mark.raise(1);
        mark.raise(2);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn a_waiting_task_is_woken() {
    explore("durable wait, task", None, 10, || {
        let mark = Arc::new(Watermark::new());
        let raiser = {
            let mark = Arc::clone(&mark);
            thread::spawn(move || mark.raise(1))
        };
        assert!(block_on(mark.wait_async(1)));
        raiser.join().unwrap();
    });
}

#[test]
fn all_waiters_are_told_of_a_failure() {
    explore("failure", None, 10, || {
        let mark = Arc::new(Watermark::new());
        let waiter = {
            let mark = Arc::clone(&mark);
            thread::spawn(move || mark.wait(5))
        };
        mark.raise(1);
        mark.fail();
        assert!(!waiter.join().unwrap());
    });
}

#[test]
fn memory_is_reused_only_without_pins_and_freed_with_the_last() {
    explore("pin and retire", None, 5, || {
        let pins = Arc::new(Pins::new());
        let reader = {
            let pins = Arc::clone(&pins);
            thread::spawn(move || pins.read())
        };
        // The cells behind the bytes make loom fail if the two ever overlap.
        let _reused = pins.retire();
        reader.join().unwrap();
        assert!(!pins.holds_memory(), "reused, or freed with the last pin");
        assert!(!pins.read(), "retired for good");
    });
}

#[test]
fn two_readers_and_a_retirement() {
    explore("two pins and retire", Some(3), 50, || {
        let pins = Arc::new(Pins::new());
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let pins = Arc::clone(&pins);
                thread::spawn(move || pins.read())
            })
            .collect();
        let _reused = pins.retire();
        for reader in readers {
            reader.join().unwrap();
        }
        assert!(!pins.holds_memory());
    });
}

#[test]
fn no_work_is_slept_through() {
    explore("bell", None, 10, || {
        let bell = Arc::new(Bell::new());
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let bell = Arc::clone(&bell);
                thread::spawn(move || bell.work())
            })
            .collect();
        let sleeps = bell.may_sleep();
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(
            !sleeps || bell.rung() == 1,
            "asleep, with work done, and rung {}",
            bell.rung()
        );
    });
}
