//! Closing, draining, dropping, leaking.

use std::mem;

use ringbolt::ring::broadcast::{self, MultiSender};
use ringbolt::ring::{RecvError, Refused, RingOptions, SendError};

use super::{STARTS, all, is_full, ring};
use crate::support::Counted;

#[test]
fn items_are_dropped_when_their_place_is_used_again_or_with_the_ring() {
    for first in STARTS {
        let count = Counted::default();
        let (mut sender, [mut a, mut b]) = ring(4, first);
        for round in 0..10 {
            for number in 0..3 {
                sender.try_send(count.make(round * 3 + number)).unwrap();
            }
            for receiver in [&mut a, &mut b] {
                let drain = receiver.try_drain(9).unwrap();
                let numbers: Vec<usize> = drain.iter().map(|item| item.number).collect();
                assert_eq!(numbers, [0, 1, 2].map(|number| round * 3 + number));
            }
            let sent = (round + 1) * 3;
            assert_eq!(count.alive(), sent.min(4), "one a place");
        }
        drop((a, b));
        assert_eq!(count.alive(), 4, "with the ring");
        drop(sender);
        assert_eq!(count.alive(), 0);
    }
}

#[test]
fn what_was_pushed_is_dropped_with_an_abandoned_claim_and_nothing_is_dropped_twice() {
    for first in STARTS {
        for sent in 0..=8 {
            for pushed in 0..=4 {
                let count = Counted::default();
                let (mut sender, [mut receiver]) = ring(4, first);
                for number in 0..sent {
                    sender.try_send(count.make(number)).unwrap();
                    assert_eq!(receiver.try_recv().unwrap().number, number);
                }
                let mut claim = sender.try_claim(4).unwrap();
                assert_eq!(claim.fill((0..pushed).map(|_| count.make(99))), pushed);
                drop(claim);
                let kept = sent.min(4).min(4 - pushed);
                assert_eq!(count.alive(), kept, "{sent} sent, {pushed} pushed");
                drop((sender, receiver));
                assert_eq!(count.alive(), 0, "{sent} sent, {pushed} pushed");
            }
        }
    }
}

#[test]
fn an_abandoned_claim_of_many_senders_leaves_a_hole_and_nothing_leaks() {
    for first in STARTS {
        for sent in 0..=8 {
            for pushed in 0..=3 {
                let count = Counted::default();
                let options = RingOptions::new(4).starting_at(first);
                let mut ring = options.broadcast().unwrap();
                let mut a = ring.receiver();
                let mut b = ring.receiver_after(&[&a]).unwrap();
                let mut sender = ring.multi().unwrap();
                for number in 0..sent {
                    sender.try_send(count.make(number)).unwrap();
                    assert_eq!(a.try_recv().unwrap().number, number);
                    assert_eq!(b.try_recv().unwrap().number, number);
                }
                let mut claim = sender.try_claim(3).unwrap();
                assert_eq!(claim.fill((0..pushed).map(|_| count.make(99))), pushed);
                drop(claim);
                sender.try_send(count.make(100)).unwrap();
                for receiver in [&mut a, &mut b] {
                    assert_eq!(receiver.try_recv().unwrap().number, 100);
                }
                drop((sender, a, b));
                assert_eq!(count.alive(), 0, "{sent} sent, {pushed} pushed");
            }
        }
    }
}

#[test]
fn what_is_inside_a_closed_ring_is_received_by_all() {
    for closer in 0..3 {
        let (mut sender, [mut a, mut b]) = ring::<u64, 2>(4, 0);
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        assert_eq!(*a.try_recv().unwrap(), 1);
        match closer {
            0 => sender.close(),
            1 => a.close(),
            _ => b.close(),
        }
        assert!(sender.is_closed() && a.is_closed());
        let refused = sender.try_send(3).unwrap_err();
        assert_eq!((refused.item, refused.why), (3, Refused::Closed));
        assert_eq!(sender.send(3).unwrap_err().why, Refused::Closed);
        assert_eq!(sender.claim(2).err(), Some(Refused::Closed));
        assert_eq!(sender.send_with(|| unreachable!()), Err(Refused::Closed));
        assert_eq!(all(&mut a), [2]);
        assert_eq!(a.recv().err(), Some(RecvError::Closed));
        assert_eq!(all(&mut b), [1, 2]);
        assert_eq!(b.try_drain(1).err(), Some(RecvError::Closed));
    }
}

#[test]
fn a_follower_is_not_told_the_end_before_those_it_follows_are_there() {
    let mut ring = RingOptions::new(4).broadcast::<u64>().unwrap();
    let mut a = ring.receiver();
    let mut b = ring.receiver_after(&[&a]).unwrap();
    let mut sender = ring.single().unwrap();
    sender.try_send(1).unwrap();
    drop(sender);
    assert_eq!(b.try_recv().err(), Some(RecvError::Empty));
    assert_eq!(all(&mut a), [1]);
    assert_eq!(a.try_recv().err(), Some(RecvError::Closed));
    assert_eq!(all(&mut b), [1]);
    assert_eq!(b.try_recv().err(), Some(RecvError::Closed));
}

#[test]
fn the_last_of_many_senders_closes() {
    let mut ring = RingOptions::new(4).broadcast::<u64>().unwrap();
    let mut receiver = ring.receiver();
    let mut sender = ring.multi().unwrap();
    let mut other = sender.clone();
    sender.try_send(1).unwrap();
    drop(sender);
    assert!(!other.is_closed());
    other.try_send(2).unwrap();
    drop(other);
    assert_eq!(all(&mut receiver), [1, 2]);
    assert_eq!(receiver.recv().err(), Some(RecvError::Closed));
}

#[test]
fn with_the_last_receiver_sending_ends() {
    let count = Counted::default();
    let (mut sender, [a, b]) = ring(2, 0);
    sender.try_send(count.make(0)).unwrap();
    drop(a);
    sender.try_send(count.make(1)).unwrap();
    drop(b);
    assert_eq!(
        sender.try_send(count.make(2)).unwrap_err().why,
        Refused::Closed
    );
    assert_eq!(sender.claim(1).err(), Some(Refused::Closed));
    assert_eq!(count.alive(), 2);
    drop(sender);
    assert_eq!(count.alive(), 0);
}

#[test]
fn a_forgotten_guard_keeps_its_place_until_the_receivers_next_call() {
    let (mut sender, [mut receiver]) = ring::<u64, 1>(2, 0);
    sender.try_send(0).unwrap();
    sender.try_send(1).unwrap();
    mem::forget(receiver.try_recv().unwrap());
    assert!(is_full(&mut sender, 2));
    assert_eq!(sender.stats().received, 0, "it shows");
    assert_eq!(all(&mut receiver), [1], "it is not seen again");
    sender.try_send(2).unwrap();
    sender.try_send(3).unwrap();
    mem::forget(receiver.try_drain(2).unwrap());
    assert!(is_full(&mut sender, 4));
    assert_eq!(receiver.try_recv().err(), Some(RecvError::Empty));
    drop(receiver);
    assert_eq!(sender.try_send(4).unwrap_err().why, Refused::Closed);
}

#[test]
fn a_forgotten_guard_of_a_dropped_receiver_gates_nobody() {
    let (mut sender, [mut a, mut b]) = ring::<u64, 2>(2, 0);
    sender.try_send(0).unwrap();
    sender.try_send(1).unwrap();
    mem::forget(a.try_drain(2).unwrap());
    drop(a);
    assert_eq!(all(&mut b), [0, 1]);
    sender.try_send(2).unwrap();
    assert_eq!(all(&mut b), [2]);
}

#[test]
fn a_forgotten_claim_of_the_one_sender_has_sent_nothing() {
    let count = Counted::default();
    let (mut sender, [mut receiver]) = ring(2, 0);
    for number in 0..4 {
        sender.try_send(count.make(number)).unwrap();
        assert_eq!(receiver.try_recv().unwrap().number, number);
    }
    let mut claim = sender.try_claim(2).unwrap();
    claim.push(count.make(9));
    mem::forget(claim);
    assert!(receiver.try_recv().is_err());
    for number in 4..6 {
        sender.try_send(count.make(number)).unwrap();
        assert_eq!(receiver.try_recv().unwrap().number, number);
    }
    drop((sender, receiver));
    assert_eq!(count.alive(), 1, "what was forgotten");
}

#[test]
fn a_forgotten_claim_of_many_senders_stalls_and_shows() {
    let count = Counted::default();
    let mut ring = RingOptions::new(2).broadcast().unwrap();
    let mut receiver = ring.receiver();
    let mut sender: MultiSender<_> = ring.multi().unwrap();
    let mut claim = sender.try_claim(1).unwrap();
    claim.push(count.make(0));
    mem::forget(claim);
    sender.try_send(count.make(1)).unwrap();
    assert_eq!(receiver.try_recv().err(), Some(RecvError::Empty));
    let SendError { why, .. } = sender.try_send(count.make(2)).unwrap_err();
    assert_eq!(why, Refused::Full);
    let stats = receiver.stats();
    assert_eq!((stats.sent, stats.received, stats.len), (2, 0, 2));
    drop(sender);
    assert_eq!(
        receiver.try_recv().err(),
        Some(RecvError::Empty),
        "for ever"
    );
    drop(receiver);
    assert_eq!(count.alive(), 1, "what was forgotten");
}

/// The module's page shows those that cannot.
#[test]
fn handles_of_shared_items_go_to_any_thread() {
    fn goes<T: Send + Sync>() {}
    goes::<broadcast::Sender<u64>>();
    goes::<broadcast::MultiSender<u64>>();
    goes::<broadcast::Receiver<u64>>();
    goes::<broadcast::Builder<u64>>();
    goes::<broadcast::Claim<'_, u64>>();
    goes::<broadcast::MultiClaim<'_, u64>>();
    goes::<broadcast::Ref<'_, u64>>();
    goes::<broadcast::Drain<'_, u64>>();
}
