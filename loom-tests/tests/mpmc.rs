//! Many senders, many receivers.
#![cfg(ringbolt_loom)]

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use ringbolt::ring::mpmc::{Receiver, Sender};
use ringbolt::ring::{RecvError, Refused, RingOptions};
use ringbolt_loom_tests::{Counted, explore};

fn ring<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    // The counters wrap in the middle of each model.
    RingOptions::new(capacity)
        .starting_at(u64::MAX)
        .mpmc()
        .unwrap()
}

#[test]
fn full_empty_and_wrap() {
    explore("mpmc: try, full, empty, wrap", None, 100, || {
        let (sender, receiver) = ring(1);
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
fn two_receivers_share_the_items() {
    explore("mpmc: two receivers", Some(3), 100, || {
        let (sender, receiver) = ring(2);
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.try_recv().ok())
            })
            .collect();
        for number in 1..=3_u32 {
            let _ = sender.try_send(number);
        }
        let taken: Vec<u32> = receivers
            .into_iter()
            .filter_map(|thread| thread.join().unwrap())
            .collect();
        let left: Vec<u32> = receiver.try_iter().collect();
        let mut all: Vec<u32> = taken.iter().chain(&left).copied().collect();
        all.sort_unstable();
        assert!(all == [1, 2] || all == [1, 2, 3], "{taken:?} {left:?}");
        assert!(left.is_sorted());
    });
}

#[test]
fn two_senders_meet() {
    explore("mpmc: two senders", Some(3), 100, || {
        let (sender, receiver) = ring(2);
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
fn sleeping_receivers_are_woken_each() {
    explore("mpmc: two parked receivers", Some(3), 100, || {
        let (sender, receiver) = ring(2);
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.recv().unwrap())
            })
            .collect();
        sender.send(1_u32).unwrap();
        sender.send(2).unwrap();
        let sum: u32 = receivers
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(sum, 3);
    });
}

#[test]
fn a_sleeping_sender_is_woken() {
    explore("mpmc: parked sender", None, 100, || {
        let (sender, receiver) = ring(1);
        sender.try_send(1_u32).unwrap();
        let thread = thread::spawn(move || {
            assert_eq!(receiver.try_recv(), Ok(1));
            receiver
        });
        sender.send(2).unwrap();
        let receiver = thread.join().unwrap();
        assert_eq!(receiver.try_recv(), Ok(2));
    });
}

/// One needs two places, the other one: the first free place is for the second.
#[test]
fn who_needs_few_does_not_sleep_behind_who_needs_many() {
    explore("mpmc: parked senders of few and many", Some(3), 100, || {
        let (sender, receiver) = ring(2);
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

/// Out of order: the second of two claims is committed while the first is not yet. Both receivers
/// must be woken in the end.
#[test]
fn commits_out_of_order_wake_everybody() {
    explore("mpmc: commits out of order", Some(3), 100, || {
        let (sender, receiver) = ring(2);
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.recv().unwrap())
            })
            .collect();
        let mut first = sender.claim(1).unwrap();
        sender.send(2_u32).unwrap();
        first.push(1);
        first.commit();
        let sum: u32 = receivers
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(sum, 3);
    });
}

#[test]
fn an_abandoned_claim_is_passed_over() {
    explore("mpmc: abandoned claim", None, 100, || {
        let items = Counted::new();
        let (sender, receiver) = ring(2);
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
    explore("mpmc: claim and drain", None, 100, || {
        let (sender, receiver) = ring(2);
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
    explore("mpmc: close, drop with items inside", None, 100, || {
        let items = Counted::new();
        let (sender, receiver) = ring(2);
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
    explore("mpmc: drop of both sides", None, 100, || {
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

#[test]
fn a_dropped_future_passes_its_wake_up_on() {
    explore("mpmc: dropped future", Some(3), 100, || {
        let (sender, receiver) = ring(2);
        let sleeper = {
            let receiver = receiver.clone();
            thread::spawn(move || receiver.recv().unwrap())
        };
        let canceller = thread::spawn(move || {
            block_on(async {
                let mut early = Box::pin(receiver.recv_async());
                std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(early.as_mut().poll(cx).is_ready())
                })
                .await
            })
        });
        sender.send(1_u32).unwrap();
        if canceller.join().unwrap() {
            sender.send(2).unwrap();
        }
        sleeper.join().unwrap();
    });
}

/// Who sees the end sees all that was sent before it.
#[test]
fn the_end_comes_behind_what_was_sent() {
    explore("mpmc: two items, then the end", None, 100, || {
        let (sender, receiver) = ring(2);
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
        explore("mpmc: a shared sender", Some(3), 100, move || {
            let (sender, receiver) = ring(1);
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
            let receiver = receives.join().unwrap();
            assert!(sent <= 1);
            assert_eq!(receiver.try_iter().count(), sent);
        });
    }
}
