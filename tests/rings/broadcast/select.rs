//! Its handles among others: in a selector, and watched.

use std::thread;

use ringbolt::ring::{RecvError, RingOptions, Selector, Watch, broadcast};

use super::all;
use crate::support::Calls;

#[test]
fn receivers_followers_and_senders_are_ready_when_they_may_get_on() {
    let mut ring = RingOptions::new(1).broadcast::<u64>().unwrap();
    let mut a = ring.receiver();
    let mut b = ring.receiver_after(&[&a]).unwrap();
    let mut sender = ring.single().unwrap();
    let mut selector = Selector::new();
    assert_eq!(selector.try_select(&[&a, &b]), None);
    assert_eq!(selector.try_select(&[&sender]), Some(0));
    sender.send(1).unwrap();
    assert_eq!(selector.try_select(&[&sender, &b]), None);
    assert_eq!(selector.try_select(&[&a]), Some(0));
    assert_eq!(all(&mut a), [1]);
    assert_eq!(selector.try_select(&[&sender, &a]), None);
    assert_eq!(selector.try_select(&[&b]), Some(0));
    assert_eq!(all(&mut b), [1]);
    assert_eq!(selector.try_select(&[&sender]), Some(0));
    sender.send(2).unwrap();
    drop(sender);
    assert_eq!(selector.try_select(&[&b]), None, "a comes first");
    drop(a);
    assert_eq!(selector.try_select(&[&b]), Some(0));
    assert_eq!(all(&mut b), [2]);
    assert_eq!(selector.try_select(&[&b]), Some(0), "the end");
    assert_eq!(b.try_recv().err(), Some(RecvError::Closed));
}

#[test]
fn many_senders_and_holes_among_them() {
    let mut ring = RingOptions::new(2).broadcast::<u64>().unwrap();
    let mut receiver = ring.receiver();
    let mut sender = ring.multi().unwrap();
    let other = sender.clone();
    let mut selector = Selector::new();
    assert_eq!(selector.try_select(&[&receiver]), None);
    drop(sender.try_claim(1).unwrap());
    assert_eq!(selector.try_select(&[&receiver]), Some(0), "a hole to pass");
    assert_eq!(receiver.try_recv().err(), Some(RecvError::Empty));
    assert_eq!(selector.try_select(&[&receiver]), None);
    sender.send(1).unwrap();
    assert_eq!(selector.try_select(&[&other]), Some(0));
    sender.send(2).unwrap();
    assert_eq!(selector.try_select(&[&other, &sender]), None);
    drop(receiver);
    assert_eq!(selector.try_select(&[&other]), Some(0), "closed");
}

#[test]
fn a_selector_asleep_is_woken_for_each() {
    let (mut one, [mut one_in]) = broadcast::ring::<u64, 1>(1).unwrap();
    let mut ring = RingOptions::new(1).broadcast::<u64>().unwrap();
    let mut a = ring.receiver();
    let mut b = ring.receiver_after(&[&a]).unwrap();
    let mut two = ring.single().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || (0..100).for_each(|item| one.send(item).unwrap()));
        scope.spawn(move || (0..100).for_each(|item| two.send(item).unwrap()));
        scope.spawn(move || {
            for _ in 0..50 {
                drop(a.recv().unwrap());
            }
            // From here on b follows the sender.
        });
        let mut selector = Selector::new();
        let mut seen = [0, 0];
        while seen != [100, 100] {
            let at = selector.select(&[&one_in, &b]);
            let receiver = if at == 0 { &mut one_in } else { &mut b };
            match receiver.try_recv() {
                Ok(item) => {
                    assert_eq!(*item, seen[at]);
                    seen[at] += 1;
                }
                Err(RecvError::Closed) => break,
                Err(_) => {}
            }
        }
        while let Ok(item) = one_in.recv() {
            assert_eq!(*item, seen[0]);
            seen[0] += 1;
        }
        while let Ok(item) = b.recv() {
            assert_eq!(*item, seen[1]);
            seen[1] += 1;
        }
        assert_eq!(seen, [100, 100]);
    });
}

#[test]
fn a_watched_follower_is_told_of_what_those_before_it_do_and_of_their_going() {
    let mut ring = RingOptions::new(2).broadcast::<u64>().unwrap();
    let mut a = ring.receiver();
    let mut b = Watch::new(ring.receiver_after(&[&a]).unwrap());
    let mut sender = ring.single().unwrap();
    let (calls, waker) = Calls::new();
    let rung = || calls.count();
    assert!(b.arm(&waker));
    sender.send(1).unwrap();
    assert_eq!(rung(), 0);
    assert_eq!(all(&mut a), [1]);
    assert_eq!(rung(), 1);
    assert!(!b.arm(&waker), "there is something");
    assert_eq!(all(&mut b), [1]);
    assert!(b.arm(&waker));
    drop(a);
    let before = rung();
    assert!(b.arm(&waker));
    sender.send(2).unwrap();
    assert_eq!(rung(), before + 1, "it follows the sender now");
    assert_eq!(all(&mut b), [2]);
}
