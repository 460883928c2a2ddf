//! Panics in what is called: fills, drops, and the work on items.

use ringbolt::ring::{RecvError, RingOptions};

use super::{STARTS, panics, ring};
use crate::support::Counted;

#[test]
fn a_fill_that_panics_sends_nothing() {
    for first in STARTS {
        let count = Counted::default();
        let (mut sender, [mut receiver]) = ring(2, first);
        for round in 0..6 {
            assert!(panics(|| sender
                .try_send_with(|| panic!("no item"))
                .unwrap()));
            assert!(panics(|| {
                let mut claim = sender.try_claim(2).unwrap();
                claim.push(count.make(98));
                claim.push_with(|| panic!("no item"));
            }));
            assert_eq!(receiver.try_recv().err(), Some(RecvError::Empty));
            sender.try_send(count.make(round)).unwrap();
            assert_eq!(receiver.try_recv().unwrap().number, round);
        }
        drop((sender, receiver));
        assert_eq!(count.alive(), 0);
    }
}

#[test]
fn a_fill_that_panics_leaves_a_hole_among_many_senders() {
    for first in STARTS {
        let count = Counted::default();
        let options = RingOptions::new(4).starting_at(first);
        let mut ring = options.broadcast().unwrap();
        let mut a = ring.receiver();
        let mut b = ring.receiver_after(&[&a]).unwrap();
        let mut sender = ring.multi().unwrap();
        for round in 0..9 {
            assert!(panics(|| sender
                .try_send_with(|| panic!("no item"))
                .unwrap()));
            assert!(panics(|| {
                let mut claim = sender.try_claim(2).unwrap();
                claim.push(count.make(98));
                claim.push_with(|| panic!("no item"));
            }));
            sender.try_send(count.make(round)).unwrap();
            for receiver in [&mut a, &mut b] {
                assert_eq!(receiver.try_recv().unwrap().number, round);
                assert_eq!(receiver.try_recv().err(), Some(RecvError::Empty));
            }
        }
        drop((sender, a, b));
        assert_eq!(count.alive(), 0);
    }
}

#[test]
fn a_drop_that_panics_in_the_senders_call_is_not_repeated() {
    let count = Counted::default();
    let (mut sender, [mut receiver]) = ring(2, 0);
    for number in 0..2 {
        sender.try_send(count.make_panicking(number)).unwrap();
        assert_eq!(receiver.try_recv().unwrap().number, number);
    }
    // The place of the first is used again.
    assert!(panics(|| sender.try_send(count.make(2)).unwrap()));
    assert_eq!(count.alive(), 1, "neither the old one nor the new one");
    assert_eq!(receiver.try_recv().err(), Some(RecvError::Empty));
    sender.try_send(count.make(3)).unwrap();
    assert_eq!(receiver.try_recv().unwrap().number, 3);
    // And that of the second, in a claim.
    assert!(panics(|| {
        let mut claim = sender.try_claim(1).unwrap();
        claim.push(count.make(4));
    }));
    sender.try_send(count.make(5)).unwrap();
    assert_eq!(receiver.try_recv().unwrap().number, 5);
    drop((sender, receiver));
    assert_eq!(count.alive(), 0);
}

#[test]
fn a_drop_that_panics_among_many_senders_leaves_a_hole() {
    let count = Counted::default();
    let mut ring = RingOptions::new(2).broadcast().unwrap();
    let mut receiver = ring.receiver();
    let mut sender = ring.multi().unwrap();
    for number in 0..2 {
        sender.try_send(count.make_panicking(number)).unwrap();
        assert_eq!(receiver.try_recv().unwrap().number, number);
    }
    assert!(panics(|| sender.try_send(count.make(2)).unwrap()));
    assert!(panics(|| sender.try_send_with(|| count.make(3)).unwrap()));
    assert_eq!(count.alive(), 0);
    assert_eq!(receiver.try_recv().err(), Some(RecvError::Empty));
    // What is pushed and then abandoned bites, too.
    assert!(panics(|| {
        let mut claim = sender.try_claim(2).unwrap();
        claim.push(count.make_panicking(4));
        claim.push(count.make(5));
    }));
    assert_eq!(count.alive(), 0);
    assert_eq!(receiver.try_recv().err(), Some(RecvError::Empty));
    sender.try_send(count.make(6)).unwrap();
    assert_eq!(receiver.try_recv().unwrap().number, 6);
    drop((sender, receiver));
    assert_eq!(count.alive(), 0);
}

#[test]
fn drops_that_panic_with_the_ring_do_not_keep_the_others_from_being_dropped() {
    for many in [false, true] {
        let count = Counted::default();
        let mut ring = RingOptions::new(4).broadcast().unwrap();
        let receiver = ring.receiver();
        let items = (0..4).map(|number| match number {
            1 => count.make_panicking(number),
            _ => count.make(number),
        });
        if many {
            let mut sender = ring.multi().unwrap();
            items.for_each(|item| sender.try_send(item).unwrap());
            drop(sender);
        } else {
            let mut sender = ring.single().unwrap();
            items.for_each(|item| sender.try_send(item).unwrap());
            drop(sender);
        }
        assert_eq!(count.alive(), 4);
        assert!(panics(|| drop(receiver)));
        assert_eq!(count.alive(), 0);
    }
}

#[test]
fn work_that_panics_has_received_its_batch() {
    let (mut sender, [mut receiver]) = ring::<u64, 1>(8, 0);
    for number in 0..8 {
        sender.try_send(number).unwrap();
    }
    assert!(panics(|| receiver.for_each(|_| panic!("too much"))));
    assert_eq!(*receiver.try_recv().unwrap(), 2, "a quarter of the ring");
    sender.try_claim(3).unwrap().commit();
}
