//! Many senders, one receiver.
#![cfg(ringbolt_loom)]

use loom::sync::Arc;
use loom::thread;
use ringbolt::ring::mpsc::{Receiver, Sender};
use ringbolt::ring::{RecvError, Refused, RingOptions};
use ringbolt_loom_tests::{Counted, explore};

fn ring<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    // The counters wrap in the middle of each model.
    RingOptions::new(capacity)
        .starting_at(u64::MAX)
        .mpsc()
        .unwrap()
}

#[test]
fn full_empty_and_wrap() {
    explore("mpsc: try, full, empty, wrap", None, 100, || {
        let (sender, mut receiver) = ring(1);
        let thread = thread::spawn(move || {
            let mut sent = 0;
            for _ in 0..3 {
                match sender.try_send(sent) {
                    Ok(()) => sent += 1,
                    Err(error) => assert_eq!(error.why, Refused::Full),
                }
            }
            sent
        });
        let mut next = 0;
        for _ in 0..3 {
            match receiver.try_recv() {
                Ok(number) => {
                    assert_eq!(number, next);
                    next += 1;
                }
                Err(RecvError::Closed) => break,
                Err(_) => {}
            }
        }
        let sent = thread.join().unwrap();
        next += receiver.try_iter().count() as u32;
        assert_eq!(next, sent);
    });
}

#[test]
fn two_senders_meet() {
    explore("mpsc: two senders", Some(3), 100, || {
        let (sender, mut receiver) = ring(2);
        let senders: Vec<_> = [10_u32, 20]
            .into_iter()
            .map(|number| {
                let sender = sender.clone();
                thread::spawn(move || sender.try_send(number).is_ok())
            })
            .collect();
        let early = receiver.try_recv().ok();
        let sent = senders
            .into_iter()
            .filter(|_| true)
            .map(|thread| thread.join().unwrap())
            .filter(|sent| *sent)
            .count();
        assert_eq!(sent, 2);
        let mut all: Vec<u32> = early.into_iter().chain(receiver.try_iter()).collect();
        all.sort_unstable();
        assert_eq!(all, [10, 20]);
    });
}

#[test]
fn a_sleeping_sender_is_woken() {
    explore("mpsc: parked sender", None, 100, || {
        let (sender, mut receiver) = ring(1);
        sender.try_send(1_u32).unwrap();
        let thread = thread::spawn(move || {
            assert_eq!(receiver.try_recv(), Ok(1));
            receiver
        });
        sender.send(2).unwrap();
        let mut receiver = thread.join().unwrap();
        assert_eq!(receiver.try_recv(), Ok(2));
    });
}

/// One needs two places, the other one: the first free place is for the second.
#[test]
fn who_needs_few_does_not_sleep_behind_who_needs_many() {
    explore("mpsc: parked senders of few and many", Some(3), 100, || {
        let (sender, mut receiver) = ring(2);
        sender.try_send(1_u32).unwrap();
        sender.try_send(2).unwrap();
        let many = {
            let sender = sender.clone();
            thread::spawn(move || {
                let claim = sender.claim(2);
                assert_eq!(claim.err(), Some(Refused::Closed));
            })
        };
        let few = {
            let sender = sender.clone();
            thread::spawn(move || sender.send(3).unwrap())
        };
        assert_eq!(receiver.try_recv(), Ok(1));
        few.join().unwrap();
        sender.close();
        many.join().unwrap();
    });
}

#[test]
fn an_abandoned_claim_is_passed_over() {
    explore("mpsc: abandoned claim", None, 100, || {
        let items = Counted::new();
        let (sender, mut receiver) = ring(2);
        let thread = {
            let items = items.clone();
            thread::spawn(move || {
                let mut claim = sender.try_claim(1).unwrap();
                claim.push(items.make());
                drop(claim);
                sender.try_send(items.make()).is_ok()
            })
        };
        let early = receiver.try_recv().is_ok();
        let sent = thread.join().unwrap();
        assert!(sent, "there was room behind the hole");
        assert!(early || receiver.try_recv().is_ok());
        assert_eq!(receiver.try_recv().err(), Some(RecvError::Closed));
        items.assert_all_dropped();
    });
}

#[test]
fn batches_on_both_sides() {
    explore("mpsc: claim and drain", None, 100, || {
        let (sender, mut receiver) = ring(2);
        let thread = thread::spawn(move || {
            let mut sent = 0;
            for _ in 0..2 {
                if let Ok(mut claim) = sender.try_claim(2) {
                    claim.fill([sent, sent + 1]);
                    claim.commit();
                    sent += 2;
                }
            }
            sent
        });
        let mut next = 0;
        if let Ok(drain) = receiver.try_drain(2) {
            for number in drain {
                assert_eq!(number, next);
                next += 1;
            }
        }
        let sent: u32 = thread.join().unwrap();
        next += receiver.try_iter().count() as u32;
        assert_eq!(next, sent);
    });
}

#[test]
fn closing_is_exact_and_loses_no_item() {
    explore("mpsc: close, drop with items inside", None, 100, || {
        let items = Counted::new();
        let (sender, mut receiver) = ring(2);
        let thread = {
            let items = items.clone();
            thread::spawn(move || {
                let sent = [(), ()].map(|()| sender.try_send(items.make()));
                sent.iter().filter(|sent| sent.is_ok()).count()
            })
        };
        receiver.close();
        // What is inside is received; what is just being sent may come yet; then it is over.
        let mut received = 0;
        let over = loop {
            match receiver.try_recv() {
                Ok(_) => received += 1,
                Err(why) => break why == RecvError::Closed,
            }
        };
        let sent = thread.join().unwrap();
        received += receiver.try_iter().count();
        assert_eq!(sent, received);
        assert_eq!(receiver.try_recv().err(), Some(RecvError::Closed));
        assert!(over || sent > 0);
        items.assert_all_dropped();
    });
}

#[test]
fn the_last_handles_may_go_with_items_inside() {
    explore("mpsc: drop of both sides", None, 100, || {
        let items = Counted::new();
        let (sender, receiver) = ring(2);
        let other = sender.clone();
        let thread = {
            let items = items.clone();
            thread::spawn(move || {
                let _ = other.try_send(items.make());
            })
        };
        let _ = sender.try_send(items.make());
        drop(sender);
        drop(receiver);
        thread.join().unwrap();
        items.assert_all_dropped();
    });
}

/// Who sees the end sees all that was sent before it.
#[test]
fn the_end_comes_behind_what_was_sent() {
    explore("mpsc: two items, then the end", None, 100, || {
        let (sender, mut receiver) = ring(2);
        let thread = thread::spawn(move || {
            sender.try_send(1_u32).unwrap();
            sender.try_send(2).unwrap();
        });
        let mut next = 1;
        loop {
            match receiver.try_recv() {
                Ok(number) => {
                    assert_eq!(number, next);
                    next += 1;
                }
                Err(RecvError::Closed) => break,
                Err(_) => thread::yield_now(),
            }
        }
        assert_eq!(next, 3);
        thread.join().unwrap();
    });
}

/// What one thread found free, another fills, through the same handle or a clone of it.
#[test]
fn a_handle_that_two_threads_share_passes_on_what_is_free() {
    for cloned in [false, true] {
        explore("mpsc: a shared sender", Some(3), 100, move || {
            let (sender, mut receiver) = ring(1);
            let sender = Arc::new(sender);
            sender.try_send(1_u32).unwrap();
            let other = {
                let sender = Arc::clone(&sender);
                thread::spawn(move || sender.try_send(2).is_ok())
            };
            let receives = thread::spawn(move || {
                assert_eq!(receiver.try_recv(), Ok(1));
                receiver
            });
            let sent = if cloned {
                Sender::clone(&sender).try_send(3).is_ok()
            } else {
                sender.try_send(3).is_ok()
            };
            let sent = other.join().unwrap() as usize + sent as usize;
            let mut receiver = receives.join().unwrap();
            assert!(sent <= 1);
            assert_eq!(receiver.try_iter().count(), sent);
        });
    }
}
