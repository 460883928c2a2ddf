//! Waiting on several rings at once.

use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use ringbolt::ring::{
    Ready, RecvError, Selector, WaitStrategy, Watch, bytes, lossy, mpmc, mpsc, spsc,
};

use crate::support::{Calls, poll};

#[test]
fn ready_handles_are_named_in_turn() {
    let (mut a, mut a_in) = spsc::ring::<u32>(4).unwrap();
    let (mut b, b_in) = spsc::ring::<u32>(4).unwrap();
    let (_c, c_in) = spsc::ring::<u32>(4).unwrap();
    let mut selector = Selector::new();
    assert_eq!(selector.try_select(&[]), None);
    assert_eq!(selector.try_select(&[&a_in, &b_in, &c_in]), None);
    a.send(1).unwrap();
    b.send(2).unwrap();
    let named: Vec<_> = (0..6)
        .map(|_| selector.select(&[&a_in, &b_in, &c_in]))
        .collect();
    assert_eq!(named, [0, 1, 0, 1, 0, 1]);
    assert_eq!(a_in.try_recv(), Ok(1));
    assert_eq!(selector.try_select(&[&a_in, &b_in, &c_in]), Some(1));
    assert_eq!(
        selector.try_select(&[&a_in]),
        None,
        "another set, another count"
    );
    assert_eq!(selector.waits().waits, 0);
}

#[test]
fn senders_and_closed_rings_are_ready_too() {
    let (mut sender, mut receiver) = spsc::ring::<u32>(1).unwrap();
    let mut selector = Selector::new();
    assert_eq!(selector.try_select(&[&receiver, &sender]), Some(1));
    sender.send(1).unwrap();
    assert_eq!(selector.try_select(&[&receiver, &sender]), Some(0));
    assert_eq!(selector.try_select(&[&sender]), None);
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(selector.try_select(&[&receiver]), None);
    drop(sender);
    assert_eq!(selector.try_select(&[&receiver]), Some(0));
    assert_eq!(receiver.try_recv(), Err(RecvError::Closed));

    let mut sender = lossy::ring::<u32>(2).unwrap();
    let mut receiver = sender.subscribe();
    assert_eq!(selector.try_select(&[&receiver]), None);
    sender.send_all(0..5).unwrap();
    assert_eq!(selector.try_select(&[&receiver]), Some(0));
    assert_eq!(receiver.try_recv(), Err(lossy::RecvError::Missed(3)));
    assert_eq!(receiver.try_iter().count(), 2);
    assert_eq!(selector.try_select(&[&receiver]), None);
    receiver.close();
    assert_eq!(selector.try_select(&[&receiver]), Some(0));
}

#[test]
fn a_deadline_passes() {
    let (_sender, receiver) = spsc::ring::<u32>(1).unwrap();
    let mut selector = Selector::new();
    let soon = || Instant::now() + Duration::from_millis(1);
    assert_eq!(selector.select_deadline(&[&receiver], soon()), None);
    assert_eq!(selector.select_deadline(&[], soon()), None);
    assert_eq!(selector.waits().waits, 2);
}

#[test]
#[should_panic(expected = "nothing to wait for")]
fn nothing_is_not_waited_for() {
    Selector::new().select(&[]);
}

#[test]
fn items_of_several_senders_come_through_one_selector() {
    const ITEMS: u64 = 4_000;
    for strategy in [
        WaitStrategy::Spin,
        WaitStrategy::SpinYield,
        WaitStrategy::SpinPark,
    ] {
        let (mut a, mut a_in) = spsc::ring::<u64>(8).unwrap();
        let (mut b, mut b_in) = spsc::ring::<u64>(64).unwrap();
        let mut c = lossy::ring::<u64>(16).unwrap();
        let mut c_in = c.subscribe();
        thread::scope(|scope| {
            scope.spawn(move || (0..ITEMS).for_each(|number| a.send(number).unwrap()));
            scope.spawn(move || (0..ITEMS).for_each(|number| b.send(number).unwrap()));
            scope.spawn(move || (0..ITEMS).for_each(|number| c.send(number).unwrap()));
            let mut selector = Selector::with(strategy);
            let (mut a_next, mut b_next) = (0, 0);
            let mut open = [true; 3];
            while open != [false; 3] {
                let handles: [&dyn Ready; 3] = [&a_in, &b_in, &c_in];
                let live: Vec<_> = (0..3).filter(|&at| open[at]).collect();
                let set: Vec<_> = live.iter().map(|&at| handles[at]).collect();
                match live[selector.select(&set)] {
                    0 => match a_in.try_recv() {
                        Ok(number) => {
                            assert_eq!(number, a_next);
                            a_next += 1;
                        }
                        Err(error) => {
                            assert_eq!(error, RecvError::Closed);
                            open[0] = false;
                        }
                    },
                    1 => match b_in.try_recv() {
                        Ok(number) => {
                            assert_eq!(number, b_next);
                            b_next += 1;
                        }
                        Err(error) => {
                            assert_eq!(error, RecvError::Closed);
                            open[1] = false;
                        }
                    },
                    _ => match c_in.try_recv() {
                        Ok(_) | Err(lossy::RecvError::Missed(_)) => {}
                        Err(error) => {
                            assert_eq!(error, lossy::RecvError::Closed);
                            open[2] = false;
                        }
                    },
                }
            }
            assert_eq!((a_next, b_next), (ITEMS, ITEMS));
            assert_eq!(c_in.received() + c_in.missed(), ITEMS);
        });
    }
}

#[test]
fn a_task_selects_and_its_future_can_be_dropped() {
    fn send<F: Send>(future: F) -> F {
        future
    }
    let (mut a, mut a_in) = spsc::ring::<u32>(4).unwrap();
    let (mut b, b_in) = spsc::ring::<u32>(4).unwrap();
    let mut selector = Selector::new();
    let (calls, waker) = Calls::new();
    {
        let handles: [&dyn Ready; 2] = [&a_in, &b_in];
        let mut future = pin!(send(selector.select_async(&handles)));
        assert!(poll(future.as_mut(), &waker).is_pending());
        b.send(1).unwrap();
        assert_eq!(calls.count(), 1);
        b.send(2).unwrap();
        assert_eq!(calls.count(), 1, "called once for each poll");
        assert_eq!(poll(future, &waker), Poll::Ready(1));
    }
    {
        let handles: [&dyn Ready; 1] = [&a_in];
        let mut future = pin!(selector.select_async(&handles));
        assert!(poll(future.as_mut(), &waker).is_pending());
    }
    a.send(7).unwrap();
    assert_eq!(
        calls.count(),
        1,
        "nothing is left of a future that was dropped"
    );
    assert_eq!(a_in.try_recv(), Ok(7));
}

#[test]
fn a_watch_calls_once_after_arming_and_not_when_it_said_false() {
    let (mut sender, receiver) = spsc::ring::<u32>(4).unwrap();
    let mut receiver = Watch::new(receiver);
    let (calls, waker) = Calls::new();
    sender.send(1).unwrap();
    assert!(!receiver.arm(&waker), "there is something already");
    sender.send(2).unwrap();
    assert_eq!(calls.count(), 0);
    assert_eq!(receiver.try_iter().count(), 2);
    assert!(receiver.arm(&waker));
    assert!(receiver.arm(&waker), "again: still one registration");
    sender.send(3).unwrap();
    sender.send(4).unwrap();
    assert_eq!(calls.count(), 1);
    assert_eq!(receiver.try_iter().count(), 2);
    assert!(receiver.arm(&waker));
    receiver.disarm();
    sender.send(5).unwrap();
    assert_eq!(calls.count(), 1);
    assert_eq!(receiver.try_recv(), Ok(5));
    assert!(receiver.arm(&waker));
    drop(sender);
    assert_eq!(calls.count(), 2, "the end counts");
    assert!(!receiver.arm(&waker));
}

#[test]
fn rings_of_many_and_of_bytes_are_waited_for_as_well() {
    let (many, mut one_in) = mpsc::ring::<u32>(1).unwrap();
    let (all, all_in) = mpmc::ring::<u32>(1).unwrap();
    let (mut bytes, mut bytes_in) = bytes::spsc::ring(1 << 10).unwrap();
    let mut selector = Selector::new();
    assert_eq!(selector.try_select(&[&one_in, &all_in, &bytes_in]), None);
    assert_eq!(selector.try_select(&[&many]), Some(0));
    assert_eq!(selector.try_select(&[&all]), Some(0));
    many.send(1).unwrap();
    assert_eq!(selector.select(&[&many, &one_in, &all_in, &bytes_in]), 1);
    assert_eq!(one_in.try_recv(), Ok(1));
    all.send(2).unwrap();
    assert_eq!(selector.select(&[&all, &one_in, &all_in, &bytes_in]), 2);
    assert_eq!(all_in.try_recv(), Ok(2));
    bytes.try_send(b"three").unwrap();
    assert_eq!(selector.select(&[&bytes_in]), 0);
    assert_eq!(&*bytes_in.try_recv().unwrap(), b"three");
    assert_eq!(selector.try_select(&[&one_in, &all_in, &bytes_in]), None);
    drop((many, all, bytes));
    let set: [&dyn Ready; 3] = [&one_in, &all_in, &bytes_in];
    let mut closed = [0, 1, 2].map(|_| selector.select(&set));
    closed.sort_unstable();
    assert_eq!(closed, [0, 1, 2]);
}

#[test]
fn a_selecting_future_that_is_dropped_passes_its_wake_up_to_a_sibling() {
    let (sender, receiver) = mpmc::ring::<u32>(4).unwrap();
    let sibling = receiver.clone();
    let ((calls, waker), (sibling_calls, sibling_waker)) = (Calls::new(), Calls::new());
    let mut selector = Selector::new();
    let mut waiting = pin!(sibling.recv_async());
    {
        let handles: [&dyn Ready; 1] = [&receiver];
        let mut future = pin!(selector.select_async(&handles));
        assert!(poll(future.as_mut(), &waker).is_pending());
        assert!(poll(waiting.as_mut(), &sibling_waker).is_pending());
        sender.send(1).unwrap();
        assert_eq!((calls.count(), sibling_calls.count()), (1, 0));
    }
    assert_eq!(sibling_calls.count(), 1);
    assert_eq!(poll(waiting, &sibling_waker), Poll::Ready(Ok(1)));
}

/// Handles that were ready because the ring was closed, with nothing to say, kept a selector spinning.
#[test]
fn a_closed_ring_with_a_claim_inside_is_not_ready_until_that_is_committed() {
    let (sender, mut receiver) = mpsc::ring::<u32>(2).unwrap();
    let (other, other_in) = mpmc::ring::<u32>(2).unwrap();
    let (bytes, mut bytes_in) = bytes::mpsc::ring(1 << 10).unwrap();
    let mut selector = Selector::new();
    let mut claim = sender.claim(1).unwrap();
    claim.push(1);
    let mut other_claim = other.claim(1).unwrap();
    other_claim.push(2);
    let bytes_claim = bytes.try_claim(8).unwrap();
    receiver.close();
    other_in.close();
    bytes_in.close();
    assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
    assert_eq!(other_in.try_recv(), Err(RecvError::Empty));
    assert_eq!(bytes_in.try_recv().err(), Some(RecvError::Empty));
    assert_eq!(
        selector.try_select(&[&receiver, &other_in, &bytes_in]),
        None
    );
    claim.commit();
    assert_eq!(selector.select(&[&receiver, &other_in, &bytes_in]), 0);
    other_claim.commit();
    assert_eq!(selector.select(&[&receiver, &other_in, &bytes_in]), 1);
    bytes_claim.commit();
    assert_eq!(selector.select(&[&receiver, &other_in, &bytes_in]), 2);
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(other_in.try_recv(), Ok(2));
    assert_eq!(bytes_in.try_recv().unwrap().len(), 8);
    for _ in 0..3 {
        let named = selector.try_select(&[&receiver, &other_in, &bytes_in]);
        assert!(named.is_some(), "all of them have the end to tell");
    }
}
