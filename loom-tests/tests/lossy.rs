//! The lossy broadcast: nothing torn, nothing unaccounted for, nobody left asleep.
#![cfg(ringbolt_loom)]

use loom::future::block_on;
use loom::thread;
use ringbolt::ring::RingOptions;
use ringbolt::ring::lossy::{Receiver, RecvError, Sender};
use ringbolt_loom_tests::explore;

/// Two words that must agree.
type Pair = [u64; 2];

fn pair(number: u64) -> Pair {
    [number, !number]
}

/// The numbers wrap in the middle of each model.
fn ring(capacity: usize) -> Sender<Pair> {
    RingOptions::new(capacity)
        .starting_at(u64::MAX)
        .lossy()
        .expect("memory")
}

/// What a receiver made of its turn: the number that it must get next.
fn take(receiver: &mut Receiver<Pair>, next: &mut u64) -> Result<(), RecvError> {
    match receiver.try_recv() {
        Ok(item) => {
            assert_eq!(item, pair(*next), "torn, or not its turn");
            *next += 1;
            Ok(())
        }
        Err(RecvError::Missed(missed)) => {
            assert!(missed > 0);
            *next += missed;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[test]
fn a_receiver_that_is_overrun_gets_nothing_torn() {
    explore("lossy overrun", None, 100, || {
        let mut sender = ring(1);
        let mut receiver = sender.subscribe();
        sender.send(pair(0)).unwrap();
        let sending = thread::spawn(move || sender.send(pair(1)).unwrap());
        let mut next = 0;
        let _ = take(&mut receiver, &mut next);
        sending.join().unwrap();
        while take(&mut receiver, &mut next).is_ok() {}
        assert_eq!(next, 2);
        assert_eq!(receiver.received() + receiver.missed(), 2);
    });
}

#[test]
fn an_overrun_receiver_goes_on_with_what_is_there() {
    explore("lossy overrun, then the oldest", None, 100, || {
        let mut sender = ring(1);
        let mut receiver = sender.subscribe();
        sender.send(pair(0)).unwrap();
        sender.send(pair(1)).unwrap();
        let sending = thread::spawn(move || sender.send(pair(2)).unwrap());
        let mut next = 0;
        assert_eq!(
            take(&mut receiver, &mut next),
            Ok(()),
            "missed at least one"
        );
        let _ = take(&mut receiver, &mut next);
        sending.join().unwrap();
        while take(&mut receiver, &mut next).is_ok() {}
        assert_eq!(next, 3);
    });
}

#[test]
fn an_item_that_is_known_of_is_found() {
    explore("lossy tail", None, 100, || {
        let mut sender = ring(2);
        let mut receiver = sender.subscribe();
        let sending = thread::spawn(move || {
            sender.send(pair(0)).unwrap();
            sender
        });
        let mut next = 0;
        for _ in 0..2 {
            let behind = receiver.behind();
            let outcome = take(&mut receiver, &mut next);
            assert!(behind == 0 || outcome.is_ok(), "it knew of {behind}");
        }
        drop(sending.join().unwrap());
    });
}

#[test]
fn the_end_comes_behind_the_last_item() {
    explore("lossy close", None, 100, || {
        let mut sender = ring(2);
        let mut receiver = sender.subscribe();
        let sending = thread::spawn(move || {
            sender.send(pair(0)).unwrap();
        });
        let mut next = 0;
        for _ in 0..2 {
            if take(&mut receiver, &mut next) == Err(RecvError::Closed) {
                assert_eq!(next, 1, "the end came first");
            }
        }
        sending.join().unwrap();
    });
}

#[test]
fn a_sleeping_receiver_is_woken_by_an_item() {
    explore("lossy park and wake", None, 100, || {
        let mut sender = ring(1);
        let mut receiver = sender.subscribe();
        let receiving = thread::spawn(move || assert_eq!(receiver.recv(), Ok(pair(0))));
        sender.send(pair(0)).unwrap();
        receiving.join().unwrap();
    });
}

#[test]
fn sleeping_receivers_are_woken_by_the_end() {
    explore("lossy close, asleep", Some(3), 100, || {
        let sender = ring(1);
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let mut receiver = sender.subscribe();
                thread::spawn(move || assert_eq!(receiver.recv(), Err(RecvError::Closed)))
            })
            .collect();
        drop(sender);
        for receiver in receivers {
            receiver.join().unwrap();
        }
    });
}

#[test]
fn a_waiting_task_is_woken() {
    explore("lossy task", None, 100, || {
        let mut sender = ring(1);
        let mut receiver = sender.subscribe();
        let sending = thread::spawn(move || {
            sender.send_all([pair(0)]).unwrap();
            sender
        });
        assert_eq!(block_on(receiver.recv_async()), Ok(pair(0)));
        drop(sending.join().unwrap());
    });
}

#[test]
fn all_sleeping_receivers_are_woken() {
    explore("lossy, two receivers", Some(3), 100, || {
        let mut sender = ring(1);
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let mut receiver = sender.subscribe();
                thread::spawn(move || assert_eq!(receiver.recv(), Ok(pair(0))))
            })
            .collect();
        sender.send(pair(0)).unwrap();
        for receiver in receivers {
            receiver.join().unwrap();
        }
        assert_eq!(sender.receivers(), 0);
    });
}

#[test]
fn a_late_receiver_gets_what_comes_then() {
    explore("lossy, late receiver", None, 100, || {
        let mut sender = ring(2);
        let source = sender.subscribe();
        let sending = thread::spawn(move || {
            sender.send(pair(0)).unwrap();
            sender.send(pair(1)).unwrap();
        });
        let mut late = source.subscribe();
        let mut received = Vec::new();
        received.extend(late.try_recv());
        sending.join().unwrap();
        let missed: u64 = late
            .iter()
            .filter_map(|outcome| outcome.map(|item| received.push(item)).err())
            .map(|missed| missed.0)
            .sum();
        // A sequence that ends with the last.
        let begin = 2 - late.received() - late.missed();
        assert!(missed <= late.missed());
        assert!(received.is_sorted());
        assert_eq!(received.len() as u64, late.received());
        assert!(
            received
                .iter()
                .all(|item| *item == pair(item[0]) && item[0] >= begin)
        );
    });
}
