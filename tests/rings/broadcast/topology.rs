//! Who follows whom, and what becomes of it when receivers go.

use ringbolt::ErrorKind;
use ringbolt::ring::broadcast::{self, Receiver};
use ringbolt::ring::{RecvError, Refused, RingOptions};

use super::{STARTS, all};

fn next(receiver: &mut Receiver<u64>) -> Result<u64, RecvError> {
    receiver.try_recv().map(|item| *item)
}

#[test]
fn a_follower_gets_an_item_when_all_that_it_follows_have_given_it_back() {
    for first in STARTS {
        let options = RingOptions::new(4).starting_at(first);
        let mut ring = options.broadcast::<u64>().unwrap();
        let (mut a, mut b) = (ring.receiver(), ring.receiver());
        let mut c = ring.receiver_after(&[&a, &b]).unwrap();
        let mut sender = ring.single().unwrap();
        for item in 0..20 {
            sender.try_send(item).unwrap();
            assert_eq!(next(&mut c), Err(RecvError::Empty));
            assert_eq!(next(&mut a), Ok(item));
            assert_eq!(next(&mut c), Err(RecvError::Empty));
            let held = b.try_recv().unwrap();
            assert_eq!(next(&mut c), Err(RecvError::Empty), "b still reads it");
            drop(held);
            assert_eq!(next(&mut c), Ok(item));
        }
    }
}

#[test]
fn only_those_whom_nobody_follows_gate_the_sender() {
    let mut ring = RingOptions::new(2).broadcast::<u64>().unwrap();
    let mut a = ring.receiver();
    let mut b = ring.receiver_after(&[&a]).unwrap();
    let mut sender = ring.single().unwrap();
    sender.try_send(0).unwrap();
    sender.try_send(1).unwrap();
    assert_eq!(all(&mut a), [0, 1]);
    assert_eq!(sender.try_claim(1).err(), Some(Refused::Full));
    assert_eq!(next(&mut b), Ok(0));
    sender.try_send(2).unwrap();
    assert_eq!(sender.try_claim(1).err(), Some(Refused::Full));
}

#[test]
fn a_receiver_that_goes_stops_gating() {
    let (mut sender, [mut a, b]) = broadcast::ring::<u64, 2>(2).unwrap();
    sender.try_send(0).unwrap();
    sender.try_send(1).unwrap();
    assert_eq!(all(&mut a), [0, 1]);
    assert_eq!(sender.try_claim(1).err(), Some(Refused::Full));
    drop(b);
    sender.try_send(2).unwrap();
    assert_eq!(all(&mut a), [2]);
}

#[test]
fn those_who_followed_one_that_goes_follow_what_it_followed() {
    let mut ring = RingOptions::new(8).broadcast::<u64>().unwrap();
    let mut a = ring.receiver();
    let mut b = ring.receiver_after(&[&a]).unwrap();
    let mut c = ring.receiver_after(&[&b]).unwrap();
    let mut sender = ring.single().unwrap();
    for item in 0..6 {
        sender.try_send(item).unwrap();
    }
    assert_eq!(a.try_drain(4).unwrap().len(), 4);
    assert_eq!(b.try_drain(2).unwrap().len(), 2);
    assert_eq!(all(&mut c), [0, 1]);
    drop(b);
    assert_eq!(all(&mut c), [2, 3], "gated by a now");
    drop(a);
    assert_eq!(all(&mut c), [4, 5], "gated by nobody but the sender");
    sender.try_send(6).unwrap();
    assert_eq!(all(&mut c), [6]);
}

#[test]
fn when_the_last_stage_goes_those_before_it_gate_the_sender() {
    for many in [false, true] {
        let mut ring = RingOptions::new(2).broadcast::<u64>().unwrap();
        let (mut a, mut b) = (ring.receiver(), ring.receiver());
        let c = ring.receiver_after(&[&a, &b]).unwrap();
        let mut try_send: Box<dyn FnMut(u64) -> Result<(), Refused>> = if many {
            let mut sender = ring.multi().unwrap();
            Box::new(move |item| sender.try_send(item).map_err(|error| error.why))
        } else {
            let mut sender = ring.single().unwrap();
            Box::new(move |item| sender.try_send(item).map_err(|error| error.why))
        };
        try_send(0).unwrap();
        try_send(1).unwrap();
        assert_eq!(all(&mut a), [0, 1]);
        drop(c);
        assert_eq!(try_send(2), Err(Refused::Full), "b has not seen it");
        assert_eq!(next(&mut b), Ok(0));
        try_send(2).unwrap();
        drop(b);
        try_send(3).unwrap();
        assert_eq!(all(&mut a), [2, 3]);
        drop(a);
        assert_eq!(try_send(4), Err(Refused::Closed));
    }
}

#[test]
fn all_orders_of_going_leave_a_ring_that_works() {
    // a, b; c after both; d after c; e after a.
    let orders = permutations(5);
    assert_eq!(orders.len(), 120);
    for many in [false, true] {
        for order in &orders {
            let mut ring = RingOptions::new(4).broadcast::<u64>().unwrap();
            let (a, b) = (ring.receiver(), ring.receiver());
            let c = ring.receiver_after(&[&a, &b]).unwrap();
            let d = ring.receiver_after(&[&c]).unwrap();
            let e = ring.receiver_after(&[&a]).unwrap();
            let mut there: Vec<Option<Receiver<u64>>> =
                [a, b, c, d, e].into_iter().map(Some).collect();
            let mut senders = match many {
                true => (None, Some(ring.multi().unwrap())),
                false => (Some(ring.single().unwrap()), None),
            };
            let mut send = |item| match &mut senders {
                (Some(sender), _) => sender.try_send(item).map_err(|error| error.why),
                (_, Some(sender)) => sender.try_send(item).map_err(|error| error.why),
                _ => unreachable!(),
            };
            for (round, gone) in order.iter().enumerate() {
                for item in 0..4 {
                    assert_eq!(send(item), Ok(()), "round {round} of {order:?}");
                }
                // Those before have gone through some of it, so that those who stay follow others.
                for receiver in there.iter_mut().flatten().take(round) {
                    let _ = receiver.try_drain(round).map(|drain| drain.len());
                }
                there[*gone] = None;
                for receiver in there.iter_mut().flatten() {
                    all(receiver);
                    assert_eq!(receiver.len(), 0, "round {round} of {order:?}");
                }
            }
            assert_eq!(send(0), Err(Refused::Closed));
        }
    }
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(count - 1) {
        for at in 0..count {
            let mut longer = shorter.clone();
            longer.insert(at, count - 1);
            all.push(longer);
        }
    }
    all
}

#[test]
fn wrong_topologies_are_errors() {
    let none = RingOptions::new(0).broadcast::<u64>();
    assert_eq!(none.unwrap_err().kind(), ErrorKind::Invalid);
    let huge = RingOptions::new(usize::MAX).broadcast::<u64>();
    assert_eq!(huge.unwrap_err().kind(), ErrorKind::Invalid);

    let ring = RingOptions::new(2).broadcast::<u64>().unwrap();
    assert_eq!(ring.single().unwrap_err().kind(), ErrorKind::Invalid);
    let ring = RingOptions::new(2).broadcast::<u64>().unwrap();
    assert_eq!(ring.multi().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(
        broadcast::ring::<u64, 0>(2).unwrap_err().kind(),
        ErrorKind::Invalid
    );

    let mut ring = RingOptions::new(2).broadcast::<u64>().unwrap();
    let mut other = RingOptions::new(2).broadcast::<u64>().unwrap();
    let stranger = other.receiver();
    let mine = ring.receiver();
    let error = ring.receiver_after(&[&mine, &stranger]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_builder_that_is_dropped_closes_the_ring() {
    let mut ring = RingOptions::new(2).broadcast::<u64>().unwrap();
    let mut a = ring.receiver();
    assert_eq!(next(&mut a), Err(RecvError::Empty), "not yet built");
    drop(ring);
    assert_eq!(next(&mut a), Err(RecvError::Closed));
}
