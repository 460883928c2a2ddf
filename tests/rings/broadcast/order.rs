//! Every item, in order, to everyone; and never more than the ring holds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ringbolt::ring::broadcast::Receiver;
use ringbolt::ring::{RecvError, Refused, RingOptions};

use super::{STARTS, all, is_full, ring};

#[test]
fn every_receiver_sees_every_item_in_order_around_the_ring_and_the_numbers() {
    for first in STARTS {
        let (mut sender, mut receivers) = ring::<u64, 3>(4, first);
        for round in 0..10 {
            let items: Vec<u64> = (0..4).map(|item| round * 4 + item).collect();
            for item in &items {
                sender.try_send(*item).unwrap();
            }
            assert!(is_full(&mut sender, 99));
            for receiver in &mut receivers {
                assert_eq!(all(receiver), items, "from {first}");
            }
        }
        let stats = sender.stats();
        assert_eq!((stats.sent, stats.received, stats.len), (40, 40, 0));
    }
}

#[test]
fn the_slowest_receiver_gates_the_sender() {
    let (mut sender, [mut fast, mut slow]) = ring::<u64, 2>(2, 0);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert_eq!(all(&mut fast), [1, 2]);
    assert!(is_full(&mut sender, 3), "the slow one has not seen it");
    let held = slow.try_recv().unwrap();
    assert!(is_full(&mut sender, 3), "the slow one still reads");
    assert_eq!(*held, 1);
    drop(held);
    sender.try_send(3).unwrap();
    assert!(is_full(&mut sender, 4));
    assert_eq!(all(&mut fast), [3]);
    assert_eq!(all(&mut slow), [2, 3]);
    assert_eq!(sender.len(), 0);
}

#[test]
fn a_claim_is_seen_at_once_and_as_a_whole() {
    for first in STARTS {
        let (mut sender, [mut receiver]) = ring::<u64, 1>(8, first);
        for round in 0..5 {
            let mut claim = sender.try_claim(5).unwrap();
            assert_eq!(claim.fill([round, 1, 2]), 3);
            claim.push(3);
            claim.push_with(|| 4);
            assert_eq!(claim.room(), 0);
            assert_eq!(receiver.try_recv().err(), Some(RecvError::Empty));
            claim.commit();
            let drain = receiver.try_drain(usize::MAX).unwrap();
            assert_eq!(drain.len(), 5);
            assert_eq!(drain.iter().len(), 5);
            let by_next: Vec<u64> = (&drain).into_iter().copied().collect();
            let by_fold = drain.iter().fold(Vec::new(), |mut all, item| {
                all.push(*item);
                all
            });
            assert_eq!(by_next, [round, 1, 2, 3, 4]);
            assert_eq!(by_next, by_fold);
        }
    }
}

#[test]
fn a_drain_takes_no_more_than_asked_and_gives_back_when_dropped() {
    let (mut sender, [mut receiver]) = ring::<u64, 1>(4, 0);
    for item in 0..4 {
        sender.try_send(item).unwrap();
    }
    assert!(receiver.try_drain(0).unwrap().is_empty());
    let drain = receiver.try_drain(3).unwrap();
    assert_eq!(format!("{drain:?}"), "[0, 1, 2]");
    assert!(is_full(&mut sender, 4));
    drop(drain);
    sender.try_send(4).unwrap();
    assert_eq!(receiver.len(), 2);
    assert_eq!(all(&mut receiver), [3, 4]);
}

#[test]
fn what_can_never_fit_is_refused_and_an_unfinished_claim_sends_what_was_pushed() {
    let (mut sender, [mut receiver]) = ring::<u64, 1>(3, 0);
    assert_eq!(sender.capacity(), 4, "rounded up");
    assert_eq!(sender.try_claim(5).err(), Some(Refused::TooLarge));
    assert_eq!(sender.claim(usize::MAX).err(), Some(Refused::TooLarge));
    let mut claim = sender.claim(4).unwrap();
    claim.push(7);
    claim.commit();
    drop(sender.claim(3).unwrap());
    sender.claim(0).unwrap().commit();
    assert_eq!(all(&mut receiver), [7]);

    let mut many = RingOptions::new(4).broadcast::<u64>().unwrap();
    let mut receiver = many.receiver();
    let mut sender = many.multi().unwrap();
    assert_eq!(sender.try_claim(5).err(), Some(Refused::TooLarge));
    assert_eq!(sender.claim(usize::MAX).err(), Some(Refused::TooLarge));
    let mut claim = sender.claim(4).unwrap();
    claim.push(7);
    claim.commit();
    sender.claim(0).unwrap().commit();
    assert_eq!(sender.try_claim(1).err(), Some(Refused::Full));
    assert_eq!(all(&mut receiver), [7]);
    assert_eq!(sender.len(), 0, "the hole was passed, too");
}

#[test]
fn items_of_no_size_and_of_great_size_go_through() {
    for first in STARTS {
        let (mut sender, [mut receiver]) = ring::<(), 1>(2, first);
        for _ in 0..5 {
            sender.try_send(()).unwrap();
            assert_eq!(all(&mut receiver), [()]);
        }
        let (mut sender, [mut a, mut b]) = ring::<[u64; 4096], 2>(2, first);
        for round in 0..5 {
            sender.try_send_with(|| [round; 4096]).unwrap();
            for receiver in [&mut a, &mut b] {
                assert!(
                    receiver
                        .try_recv()
                        .unwrap()
                        .iter()
                        .all(|word| *word == round)
                );
            }
        }
    }
}

/// Whether `receiver` gets the numbers of all `senders` in the order of each.
fn sees_all(mut receiver: Receiver<u64>, senders: u64, each: u64) {
    let mut next = vec![0; senders as usize];
    receiver.for_each(|item| {
        let (sender, number) = (item / each, item % each);
        assert_eq!(number, next[sender as usize]);
        next[sender as usize] += 1;
    });
    assert!(next.iter().all(|next| *next == each));
}

#[test]
fn threads_one_sender_three_receivers() {
    const ITEMS: u64 = 200_000;
    for first in STARTS {
        let (mut sender, receivers) = ring::<u64, 3>(64, first);
        thread::scope(|scope| {
            for receiver in receivers {
                scope.spawn(|| sees_all(receiver, 1, ITEMS));
            }
            let mut next = 0;
            while next < ITEMS {
                sender.send(next).unwrap();
                next += 1;
                let mut claim = sender.claim(17.min((ITEMS - next) as usize)).unwrap();
                next += claim.fill(next..) as u64;
                claim.commit();
            }
            drop(sender);
        });
    }
}

#[test]
fn threads_three_senders_three_receivers_with_abandoned_claims() {
    const EACH: u64 = 50_000;
    for first in STARTS {
        let options = RingOptions::new(16).starting_at(first);
        let mut ring = options.broadcast::<u64>().unwrap();
        let a = ring.receiver();
        let b = ring.receiver_after(&[&a]).unwrap();
        let c = ring.receiver();
        let sender = ring.multi().unwrap();
        thread::scope(|scope| {
            for receiver in [a, b, c] {
                scope.spawn(|| sees_all(receiver, 3, EACH));
            }
            for number in 0..3 {
                let mut sender = sender.clone();
                scope.spawn(move || {
                    for item in 0..EACH {
                        sender.send(number * EACH + item).unwrap();
                        if item % 7 == 0 {
                            let mut claim = sender.claim(3).unwrap();
                            claim.push(u64::MAX);
                        }
                    }
                });
            }
            drop(sender);
        });
    }
}

#[test]
fn in_a_diamond_the_last_sees_what_the_others_did_with_each_item() {
    const ITEMS: u64 = 100_000;
    struct Item {
        number: u64,
        touched: [AtomicU64; 2],
    }
    let mut ring = RingOptions::new(32).broadcast::<Item>().unwrap();
    let first = [ring.receiver(), ring.receiver()];
    let mut last = ring.receiver_after(&[&first[0], &first[1]]).unwrap();
    let mut sender = ring.single().unwrap();
    thread::scope(|scope| {
        for (at, mut receiver) in first.into_iter().enumerate() {
            scope.spawn(move || {
                receiver.for_each(|item| {
                    item.touched[at].store(item.number + 1, Ordering::Relaxed);
                });
            });
        }
        scope.spawn(move || {
            let mut next = 0;
            last.for_each(|item| {
                assert_eq!(item.number, next);
                next += 1;
                let touched = item.touched.each_ref().map(|by| by.load(Ordering::Relaxed));
                assert_eq!(touched, [next, next]);
            });
            assert_eq!(next, ITEMS);
        });
        for number in 0..ITEMS {
            let touched = [const { AtomicU64::new(0) }; 2];
            sender.send_with(|| Item { number, touched }).unwrap();
        }
        drop(sender);
    });
}
