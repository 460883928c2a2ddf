//! What holds of each ring whose items go to one receiver.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::thread;
use std::time::Instant;

use ringbolt::ErrorKind;
use ringbolt::ring::{RecvError, Refused, RingOptions, WaitStrategy};

use crate::support::{Calls, Counted, block_on, poll};

/// Numbers near which the counters wrap: those of 64 bits, of 63, of 32.
const FIRSTS: [u64; 4] = [0, u64::MAX - 2, (1 << 63) - 2, (1 << 32) - 2];

fn quietly<R>(f: impl FnOnce() -> R) -> thread::Result<R> {
    catch_unwind(AssertUnwindSafe(f))
}

macro_rules! queue {
    ($ring:ident) => {
        mod $ring {
            #![allow(unused_mut)] // some rings' handles need it
            use super::*;
            use ringbolt::ring::$ring::{Receiver, Sender, ring};

            fn starting<T>(capacity: usize, first: u64) -> (Sender<T>, Receiver<T>) {
                let options = RingOptions::new(capacity).starting_at(first);
                options.$ring().unwrap()
            }

            #[test]
            fn capacities_are_rounded_up_and_checked() {
                for (asked, given) in [(1, 1), (2, 2), (3, 4), (1000, 1024)] {
                    let (sender, receiver) = ring::<u8>(asked).unwrap();
                    assert_eq!((sender.capacity(), receiver.capacity()), (given, given));
                }
                let kind = |capacity| ring::<u8>(capacity).unwrap_err().kind();
                assert_eq!(kind(0), ErrorKind::Invalid);
                assert_eq!(kind(usize::MAX), ErrorKind::Invalid);
                assert_eq!(kind((1 << 31) + 1), ErrorKind::Invalid);
                // An instrumented compiler takes all memory for a type of this size.
                #[cfg(not(ringbolt_sanitize))]
                {
                    let huge = ring::<[u64; 1 << 40]>(1 << 31).unwrap_err();
                    assert_eq!(huge.kind(), ErrorKind::OverBudget);
                }
            }

            #[test]
            fn first_in_first_out_around_every_wrap() {
                for first in FIRSTS {
                    for capacity in [1, 2, 4] {
                        let (mut sender, mut receiver) = starting(capacity, first);
                        let (mut sent, mut received) = (0, 0);
                        for round in 0..10 * capacity {
                            for _ in 0..=round % capacity {
                                if sender.try_send(sent).is_ok() {
                                    sent += 1;
                                }
                            }
                            assert_eq!(sender.len(), sent - received);
                            for _ in 0..=round % 3 {
                                match receiver.try_recv() {
                                    Ok(item) => {
                                        assert_eq!(item, received);
                                        received += 1;
                                    }
                                    Err(why) => {
                                        assert_eq!(why, RecvError::Empty);
                                        assert_eq!(sent, received);
                                    }
                                }
                            }
                        }
                        while sender.try_send(sent).is_ok() {
                            sent += 1;
                        }
                        assert_eq!(sent - received, capacity);
                        let error = sender.try_send(sent).unwrap_err();
                        assert_eq!((error.why, error.item), (Refused::Full, sent));
                        assert_eq!(receiver.stats().sent, sent as u64);
                        assert_eq!(receiver.stats().received, received as u64);
                        assert!(receiver.try_iter().eq(received..sent));
                    }
                }
            }

            #[test]
            fn items_of_no_size_and_of_much() {
                let (mut sender, mut receiver) = ring(4).unwrap();
                for _ in 0..4 {
                    sender.try_send(()).unwrap();
                }
                assert!(sender.try_send(()).is_err());
                assert_eq!(receiver.try_iter().count(), 4);
                let (mut sender, mut receiver) = ring::<[usize; 8192]>(2).unwrap();
                sender.send_with(|| [7; 8192]).unwrap();
                sender.send([8; 8192]).unwrap();
                assert!(receiver.recv().unwrap().iter().all(|n| *n == 7));
                assert!(receiver.recv().unwrap().iter().all(|n| *n == 8));
            }

            #[test]
            fn claims_are_sent_together_or_not_at_all() {
                for first in FIRSTS {
                    let items = Counted::default();
                    let (mut sender, mut receiver) = starting(4, first);
                    assert_eq!(sender.try_claim(5).err(), Some(Refused::TooLarge));
                    assert_eq!(sender.claim(5).err(), Some(Refused::TooLarge));
                    let mut claim = sender.try_claim(3).unwrap();
                    claim.push(items.make(0));
                    claim.push_with(|| items.make(1));
                    assert_eq!(claim.room(), 1);
                    assert!(receiver.is_empty() || receiver.try_recv().is_err());
                    drop(claim);
                    assert_eq!(items.alive(), 0);
                    assert_eq!(receiver.try_recv().err(), Some(RecvError::Empty));

                    let mut claim = sender.try_claim(4).unwrap();
                    let made = (2..).map(|n| items.make(n));
                    assert_eq!(claim.fill(made.take(3)), 3);
                    claim.commit();
                    let received: Vec<_> = receiver.try_iter().map(|item| item.number).collect();
                    assert_eq!(received, [2, 3, 4]);
                    let mut claim = sender.try_claim(2).unwrap();
                    assert_eq!(claim.fill((5..).map(|n| items.make(n))), 2);
                    assert!(quietly(|| claim.push(items.make(7))).is_err());
                    claim.commit();
                    assert_eq!(receiver.recv().unwrap().number, 5);
                    drop((sender, receiver));
                    assert_eq!(items.alive(), 0);
                }
            }

            #[test]
            fn a_claim_of_nothing_and_a_drain_of_nothing() {
                let (mut sender, mut receiver) = ring::<u8>(2).unwrap();
                sender.try_claim(0).unwrap().commit();
                assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
                sender.send(1).unwrap();
                assert_eq!(receiver.try_drain(0).unwrap().count(), 0);
                assert_eq!(receiver.recv(), Ok(1));
            }

            #[test]
            fn drains_take_what_is_there() {
                for first in FIRSTS {
                    let items = Counted::default();
                    let (mut sender, mut receiver) = starting(4, first);
                    for n in 0..4 {
                        sender.send(items.make(n)).unwrap();
                    }
                    assert!(receiver.try_drain(2).unwrap().map(|i| i.number).eq([0, 1]));
                    // What is not iterated over is dropped.
                    let mut drain = receiver.drain(usize::MAX).unwrap();
                    assert_eq!(drain.next().unwrap().number, 2);
                    assert_eq!(items.alive(), 1);
                    drop(drain);
                    assert_eq!(items.alive(), 0);
                    assert_eq!(receiver.try_drain(4).err(), Some(RecvError::Empty));
                    for n in 0..4 {
                        sender.try_send(items.make(n)).unwrap();
                    }
                }
            }

            #[test]
            fn a_panic_while_an_item_is_made_sends_nothing() {
                let items = Counted::default();
                // Room for the holes that it leaves in some rings until the receiver passes them.
                let (mut sender, mut receiver) = ring(4).unwrap();
                for _ in 0..5 {
                    assert!(quietly(|| sender.send_with(|| panic!("no item"))).is_err());
                    let panicked = quietly(|| {
                        let mut claim = sender.claim(2).unwrap();
                        claim.push(items.make(0));
                        claim.push_with(|| panic!("no item"));
                    });
                    assert!(panicked.is_err());
                    assert_eq!(items.alive(), 0);
                    assert_eq!(receiver.try_recv().err(), Some(RecvError::Empty));
                    sender.try_send(items.make(1)).unwrap();
                    assert_eq!(receiver.try_recv().unwrap().number, 1);
                }
            }

            #[test]
            fn a_panic_while_an_item_is_dropped_drops_the_others() {
                let items = Counted::default();
                let (mut sender, mut receiver) = ring(4).unwrap();
                let mut fill = |sender: &mut Sender<_>| {
                    sender.send(items.make(0)).unwrap();
                    sender.send(items.make_panicking(1)).unwrap();
                    sender.send(items.make(2)).unwrap();
                };
                fill(&mut sender);
                assert!(quietly(|| drop(receiver.try_drain(4))).is_err());
                assert_eq!(items.alive(), 0);
                fill(&mut sender);
                assert_eq!(receiver.try_recv().unwrap().number, 0);
                drop(sender);
                assert!(quietly(|| drop(receiver)).is_err());
                assert_eq!(items.alive(), 0);

                let (mut sender, receiver) = ring(4).unwrap();
                let panicked = quietly(|| {
                    let mut claim = sender.claim(3).unwrap();
                    claim.push(items.make_panicking(0));
                    claim.push(items.make(1));
                });
                assert!(panicked.is_err());
                assert_eq!(items.alive(), 0);
                drop(receiver);
            }

            #[test]
            fn forgotten_guards_never_corrupt() {
                let items = Counted::default();
                let (mut sender, mut receiver) = ring(4).unwrap();
                for n in 0..3 {
                    sender.try_send(items.make(n)).unwrap();
                }
                let mut drain = receiver.try_drain(2).unwrap();
                assert_eq!(drain.next().unwrap().number, 0);
                mem::forget(drain);
                // The second is leaked, the third is still there.
                assert_eq!(receiver.try_recv().unwrap().number, 2);
                let mut claim = sender.try_claim(1).unwrap();
                claim.push(items.make(3));
                mem::forget(claim);
                // It hides what is behind it, or not, and never shows itself.
                let _ = sender.try_send(items.make(4));
                assert!(receiver.try_recv().map_or(true, |item| item.number == 4));
                drop((sender, receiver));
                assert!(items.alive() >= 1, "what was forgotten is leaked");
            }

            #[test]
            fn closing_refuses_and_lets_out() {
                for by_sender in [true, false] {
                    let items = Counted::default();
                    let (mut sender, mut receiver) = ring(4).unwrap();
                    sender.send(items.make(0)).unwrap();
                    sender.send(items.make(1)).unwrap();
                    if by_sender {
                        sender.close();
                    } else {
                        receiver.close();
                    }
                    assert!(sender.is_closed() && receiver.is_closed());
                    let error = sender.try_send(items.make(2)).unwrap_err();
                    assert_eq!((error.why, error.item.number), (Refused::Closed, 2));
                    drop(error);
                    assert_eq!(sender.send(items.make(2)).unwrap_err().why, Refused::Closed);
                    assert_eq!(sender.try_claim(1).err(), Some(Refused::Closed));
                    let refused = block_on(sender.send_async(items.make(2))).unwrap_err();
                    assert_eq!(refused.why, Refused::Closed);
                    drop(refused);
                    assert_eq!(receiver.recv().unwrap().number, 0);
                    assert_eq!(receiver.try_drain(4).unwrap().count(), 1);
                    assert_eq!(receiver.try_recv().err(), Some(RecvError::Closed));
                    assert_eq!(receiver.recv().err(), Some(RecvError::Closed));
                    assert_eq!(receiver.drain(1).err(), Some(RecvError::Closed));
                    assert_eq!(receiver.iter().count(), 0);
                    assert_eq!(items.alive(), 0);
                }
            }

            #[test]
            fn handles_go_in_any_order() {
                for sender_first in [true, false] {
                    let items = Counted::default();
                    let (mut sender, mut receiver) = ring(8).unwrap();
                    for n in 0..8 {
                        sender.send(items.make(n)).unwrap();
                    }
                    drop(receiver.recv());
                    if sender_first {
                        drop(sender);
                        assert_eq!(receiver.recv().unwrap().number, 1);
                        drop(receiver);
                    } else {
                        drop(receiver);
                        assert!(sender.send(items.make(9)).is_err());
                        drop(sender);
                    }
                    assert_eq!(items.alive(), 0);
                }
            }

            #[test]
            fn deadlines_pass() {
                let (mut sender, mut receiver) = ring(1).unwrap();
                let now = Instant::now();
                assert_eq!(receiver.recv_deadline(now), Err(RecvError::TimedOut));
                assert_eq!(
                    receiver.drain_deadline(1, now).err(),
                    Some(RecvError::TimedOut)
                );
                sender.send_deadline(1, now).unwrap();
                let error = sender.send_deadline(2, now).unwrap_err();
                assert_eq!((error.item, error.why), (2, Refused::TimedOut));
                assert_eq!(sender.claim_deadline(1, now).err(), Some(Refused::TimedOut));
                assert_eq!(receiver.recv_deadline(now), Ok(1));
                assert_eq!(receiver.stats().receivers.waits, 2);
                assert_eq!(receiver.stats().senders.waits, 2);
            }

            /// Each pair of items goes through a ring of one: both sides wait all the time.
            #[test]
            fn both_sides_wait_and_wake() {
                for strategy in [
                    WaitStrategy::Spin,
                    WaitStrategy::SpinYield,
                    WaitStrategy::SpinPark,
                ] {
                    let options = RingOptions::new(1).wait(strategy);
                    let (mut sender, mut receiver) = options.$ring().unwrap();
                    // Who only spins gets its turn when the scheduler says so.
                    let count = if strategy == WaitStrategy::Spin {
                        50
                    } else {
                        20_000
                    };
                    let thread = thread::spawn(move || {
                        for n in 0..count {
                            sender.send(n).unwrap();
                        }
                    });
                    assert!(receiver.iter().eq(0..count));
                    thread.join().unwrap();
                }
            }

            #[test]
            fn tasks_wait_and_wake() {
                let (mut sender, mut receiver) = ring(2).unwrap();
                let thread = thread::spawn(move || {
                    block_on(async {
                        for n in 0..5000 {
                            sender.send_async(n).await.unwrap();
                            let mut claim = sender.claim_async(2).await.unwrap();
                            claim.fill([n, n]);
                            claim.commit();
                        }
                    });
                });
                let sum = block_on(async {
                    let mut sum = 0;
                    while let Ok(n) = receiver.recv_async().await {
                        sum += n;
                        match receiver.drain_async(8).await {
                            Ok(drain) => sum += drain.sum::<u64>(),
                            Err(_) => break,
                        }
                    }
                    sum
                });
                assert_eq!(sum, 3 * (0..5000).sum::<u64>());
                thread.join().unwrap();
            }

            #[test]
            fn futures_are_cancel_safe() {
                let (mut sender, mut receiver) = ring(1).unwrap();
                let (calls, waker) = Calls::new();
                for n in 0..100 {
                    {
                        let mut future = Box::pin(receiver.recv_async());
                        assert!(poll(future.as_mut(), &waker).is_pending());
                        // Polled again it still waits for one wake-up.
                        assert!(poll(future.as_mut(), &waker).is_pending());
                    }
                    sender.try_send(n).unwrap();
                    {
                        let mut future = Box::pin(sender.send_async(1000));
                        assert!(poll(future.as_mut(), &waker).is_pending());
                    }
                    let mut future = Box::pin(receiver.recv_async());
                    assert_eq!(poll(future.as_mut(), &waker), Poll::Ready(Ok(n)));
                }
                assert_eq!(calls.count(), 0, "nobody was there to be woken");
                let mut future = Box::pin(receiver.recv_async());
                assert!(poll(future.as_mut(), &waker).is_pending());
                sender.try_send(7).unwrap();
                assert_eq!(calls.count(), 1);
                assert_eq!(poll(future.as_mut(), &waker), Poll::Ready(Ok(7)));
            }

            #[test]
            fn handles_go_where_they_are_needed() {
                fn is_send<T: Send + 'static>() {}
                is_send::<Sender<std::cell::Cell<u8>>>();
                is_send::<Receiver<Box<dyn FnOnce() + Send>>>();
            }
        }
    };
}

/// A fill that panics midway has pushed what came before; a drain shows the rest in place.
#[test]
fn batches_of_one_sender_are_slices() {
    for first in FIRSTS {
        let items = Counted::default();
        let options = RingOptions::new(4).starting_at(first);
        let (mut sender, mut receiver) = options.spsc().unwrap();
        let mut claim = sender.try_claim(4).unwrap();
        let panics = |n| {
            if n == 2 {
                panic!("no item")
            } else {
                items.make(n)
            }
        };
        assert!(quietly(|| claim.fill((0..4).map(panics))).is_err());
        assert_eq!((claim.room(), items.alive()), (2, 2));
        assert_eq!(claim.fill((2..9).map(|n| items.make(n))), 2);
        claim.commit();
        let mut drain = receiver.try_drain(4).unwrap();
        assert_eq!(drain.next().unwrap().number, 0);
        let (run, wrapped) = drain.as_slices();
        let numbers: Vec<_> = run.iter().chain(wrapped).map(|item| item.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(items.alive(), 3);
        drop(drain);
        assert_eq!(items.alive(), 0);
    }
}

queue!(spsc);
queue!(mpsc);
queue!(mpmc);
