//! Blocking, deadlines, futures: nobody is left asleep.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use ringbolt::ring::broadcast::{self, MultiSender};
use ringbolt::ring::{RecvError, Refused, RingOptions, WaitStrategy};

use super::ring;
use crate::support::{Counted, block_on};

fn past() -> Instant {
    Instant::now() - Duration::from_millis(1)
}

const STRATEGIES: [WaitStrategy; 2] = [WaitStrategy::SpinYield, WaitStrategy::SpinPark];

#[test]
fn a_pipeline_of_threads_that_all_wait_ends() {
    const ITEMS: u64 = 20_000;
    for strategy in STRATEGIES {
        for capacity in [1, 2, 64] {
            let options = RingOptions::new(capacity).wait(strategy);
            let mut ring = options.broadcast::<u64>().unwrap();
            let mut a = ring.receiver();
            let mut b = ring.receiver_after(&[&a]).unwrap();
            let mut c = ring.receiver_after(&[&b]).unwrap();
            let mut sender = ring.single().unwrap();
            thread::scope(|scope| {
                scope.spawn(move || assert_eq!(a.iter_cloned().sum::<u64>(), sum(ITEMS)));
                scope.spawn(move || {
                    let mut next = 0;
                    while let Ok(drain) = b.drain(3) {
                        for item in &drain {
                            assert_eq!(*item, next);
                            next += 1;
                        }
                    }
                    assert_eq!(next, ITEMS);
                });
                scope.spawn(move || assert_eq!(c.iter_cloned().sum::<u64>(), sum(ITEMS)));
                for item in 0..ITEMS {
                    sender.send(item).unwrap();
                }
                drop(sender);
            });
        }
    }
}

fn sum(items: u64) -> u64 {
    items * (items - 1) / 2
}

#[test]
fn tasks_send_and_receive() {
    const ITEMS: u64 = 20_000;
    let mut ring = RingOptions::new(4).broadcast::<u64>().unwrap();
    let mut a = ring.receiver();
    let mut b = ring.receiver_after(&[&a]).unwrap();
    let sender = ring.multi().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut seen = 0;
            while let Ok(item) = block_on(a.recv_async()) {
                seen += *item;
            }
            assert_eq!(seen, sum(ITEMS));
        });
        scope.spawn(move || {
            let mut seen = 0;
            while let Ok(drain) = block_on(b.drain_async(2)) {
                seen += drain.iter().sum::<u64>();
            }
            assert_eq!(seen, sum(ITEMS));
        });
        let mut other: MultiSender<u64> = sender.clone();
        scope.spawn(move || {
            for item in (0..ITEMS).step_by(2) {
                block_on(other.send_async(item)).unwrap();
            }
        });
        let mut sender = sender;
        for item in (1..ITEMS).step_by(2) {
            let mut claim = block_on(sender.claim_async(2)).unwrap();
            claim.push(item);
            claim.commit();
        }
    });
}

#[test]
fn deadlines_that_are_past_give_what_is_there_and_no_more() {
    let (mut sender, [mut receiver]) = ring::<u64, 1>(1, 0);
    assert_eq!(
        receiver.recv_deadline(past()).err(),
        Some(RecvError::TimedOut)
    );
    assert_eq!(
        receiver.drain_deadline(1, past()).err(),
        Some(RecvError::TimedOut)
    );
    sender.send_deadline(1, past()).unwrap();
    let refused = sender.send_deadline(2, past()).unwrap_err();
    assert_eq!((refused.item, refused.why), (2, Refused::TimedOut));
    assert_eq!(
        sender.claim_deadline(1, past()).err(),
        Some(Refused::TimedOut)
    );
    assert_eq!(*receiver.recv_deadline(past()).unwrap(), 1);
    sender.claim_deadline(1, past()).unwrap().commit();
}

#[test]
fn futures_that_are_dropped_lose_nothing() {
    let count = Counted::default();
    let (mut sender, [mut receiver]) = ring(1, 0);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(receiver.recv_async()).poll(&mut cx).is_pending());
    sender.try_send(count.make(0)).unwrap();
    assert!(
        pin!(sender.send_async(count.make(1)))
            .poll(&mut cx)
            .is_pending()
    );
    assert_eq!(count.alive(), 1, "the one that was not sent is dropped");
    assert!(pin!(sender.claim_async(1)).poll(&mut cx).is_pending());
    assert_eq!(block_on(receiver.recv_async()).unwrap().number, 0);
    assert!(pin!(receiver.drain_async(1)).poll(&mut cx).is_pending());
    block_on(sender.send_async(count.make(2))).unwrap();
    assert_eq!(receiver.try_recv().unwrap().number, 2);
}

#[test]
fn a_sender_asleep_is_woken_when_the_receiver_that_gates_it_goes() {
    for strategy in STRATEGIES {
        let options = RingOptions::new(1).wait(strategy);
        let mut ring = options.broadcast::<u64>().unwrap();
        let mut a = ring.receiver();
        let b = ring.receiver_after(&[&a]).unwrap();
        let mut sender = ring.single().unwrap();
        sender.send(1).unwrap();
        assert_eq!(*a.recv().unwrap(), 1);
        thread::scope(|scope| {
            scope.spawn(move || sender.send(2).unwrap());
            drop(b);
            assert_eq!(*a.recv().unwrap(), 2);
        });
    }
}

#[test]
fn a_follower_asleep_is_woken_when_those_it_follows_go() {
    for strategy in STRATEGIES {
        let options = RingOptions::new(2).wait(strategy);
        let mut ring = options.broadcast::<u64>().unwrap();
        let a = ring.receiver();
        let mut b = ring.receiver_after(&[&a]).unwrap();
        let mut sender = ring.single().unwrap();
        sender.send(1).unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                assert_eq!(*b.recv().unwrap(), 1);
                assert_eq!(*b.recv().unwrap(), 2, "it follows the sender now");
                assert_eq!(b.recv().err(), Some(RecvError::Closed));
            });
            drop(a);
            sender.send(2).unwrap();
            drop(sender);
        });
    }
}

#[test]
fn all_who_sleep_are_woken_by_a_close() {
    for strategy in STRATEGIES {
        let options = RingOptions::new(1).wait(strategy);
        let mut ring = options.broadcast::<u64>().unwrap();
        let (mut a, b) = (ring.receiver(), ring.receiver());
        let sender = ring.multi().unwrap();
        let mut first = sender.clone();
        first.send(1).unwrap();
        thread::scope(|scope| {
            for mut sender in [first, sender] {
                scope.spawn(move || {
                    assert_eq!(sender.send(2).unwrap_err().why, Refused::Closed);
                });
            }
            scope.spawn(move || {
                assert_eq!(*a.recv().unwrap(), 1);
                assert_eq!(a.recv().err(), Some(RecvError::Closed));
            });
            b.close();
        });
    }
}

#[test]
fn the_short_way_to_a_ring() {
    let (mut sender, [mut a, mut b]) = broadcast::ring::<u64, 2>(3).unwrap();
    sender.send(1).unwrap();
    assert_eq!((*a.recv().unwrap(), *b.recv().unwrap()), (1, 1));
    assert!(format!("{sender:?}{a:?}").contains("capacity: 4"));
    let waits = sender.stats();
    assert_eq!((waits.senders.waits, waits.receivers.waits), (0, 0));
}
