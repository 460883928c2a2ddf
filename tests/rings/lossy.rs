//! The lossy broadcast: told exactly what was missed, and nothing torn.

use std::collections::HashSet;
use std::num::NonZeroU8;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use ringbolt::ErrorKind;
use ringbolt::ring::lossy::{self, Missed, NoUninit, Receiver, RecvError};
use ringbolt::ring::{Refused, RingOptions, WaitStrategy};

use crate::support::{Calls, poll};

/// An item whose words must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(transparent)]
struct Same<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Same<WORDS> {
    fn new(number: u64) -> Self {
        Self(std::array::from_fn(|at| {
            number.wrapping_mul(at as u64 * 2 + 1)
        }))
    }

    fn number(&self) -> u64 {
        assert_eq!(*self, Self::new(self.0[0]), "torn");
        self.0[0]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::NoUninit)]
#[repr(u16)]
enum Kind {
    Buy = 1,
    Sell = 700,
}

/// Odd in size, with bits that most patterns are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::NoUninit)]
#[repr(C)]
struct Odd {
    kind: Kind,
    flag: bool,
    count: NonZeroU8,
    name: [u8; 7],
    end: bool,
}

#[test]
fn items_of_every_shape_come_to_every_receiver() {
    fn pass<T: NoUninit + Send + PartialEq + std::fmt::Debug>(items: &[T]) {
        let mut sender = lossy::ring(items.len()).unwrap();
        let mut receivers = [sender.subscribe(), sender.subscribe()];
        for &item in items {
            sender.send(item).unwrap();
        }
        for receiver in &mut receivers {
            assert_eq!(
                receiver.try_drain(usize::MAX).unwrap().collect::<Vec<_>>(),
                items
            );
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        }
    }
    pass(&[()]);
    pass(&[true, false, true]);
    pass(&['a', 'ß', '𝄞']);
    pass(&[[1_u8, 2, 3], [4, 5, 6]]);
    pass(&[Same::<128>::new(1), Same::new(2)]);
    let odd = Odd {
        kind: Kind::Sell,
        flag: true,
        count: NonZeroU8::MAX,
        name: *b"ringbol",
        end: true,
    };
    pass(&[
        odd,
        Odd {
            kind: Kind::Buy,
            ..odd
        },
    ]);
}

#[test]
fn an_overrun_is_told_exactly_and_the_oldest_comes_next() {
    for first in [0, u64::MAX - 2, (1 << 63) - 3, (1 << 62) - 1] {
        let options = RingOptions::new(4).starting_at(first);
        let mut sender = options.lossy::<u64>().unwrap();
        let mut receiver = sender.subscribe();
        let mut next = 0;
        for burst in 0..40 {
            for number in next..next + burst {
                sender.send(number).unwrap();
            }
            next += burst;
            let missed = burst.saturating_sub(4);
            assert_eq!(receiver.behind(), burst);
            assert_eq!(receiver.len() as u64, burst - missed);
            if missed > 0 {
                assert_eq!(receiver.try_recv(), Err(RecvError::Missed(missed)));
            }
            let rest: Vec<_> = receiver.try_iter().collect();
            let expected: Vec<_> = (next - burst + missed..next).map(Ok).collect();
            assert_eq!(rest, expected);
            assert!(receiver.is_empty());
        }
        assert_eq!(receiver.received() + receiver.missed(), next);
        let stats = sender.stats();
        assert_eq!((stats.sent, stats.missed), (next, receiver.missed()));
    }
}

#[test]
fn a_drain_ends_at_an_overrun_which_the_next_call_tells() {
    let mut sender = lossy::ring::<u64>(4).unwrap();
    let mut receiver = sender.subscribe();
    sender.send_all(0..4).unwrap();
    let mut drain = receiver.try_drain(3).unwrap();
    // The first was found by the call; it may be overwritten since.
    sender.send_all(4..6).unwrap();
    assert_eq!(drain.next(), Some(0));
    assert_eq!(drain.size_hint(), (0, Some(2)));
    assert_eq!(drain.next(), None, "place 1 was overwritten");
    assert_eq!(drain.next(), None);
    assert_eq!(receiver.try_recv(), Err(RecvError::Missed(1)));
    assert_eq!(receiver.try_drain(2).unwrap().collect::<Vec<_>>(), [2, 3]);
    // What is not iterated over stays; none asked for is none taken.
    let _ = receiver.try_drain(2).unwrap();
    assert_eq!(receiver.try_drain(0).unwrap().next(), None);
    assert_eq!(receiver.drain(9).unwrap().collect::<Vec<_>>(), [4, 5]);
    assert!(receiver.try_drain(1).is_err());
}

#[test]
fn receivers_come_late_are_cloned_and_go() {
    let mut sender = lossy::ring::<u32>(8).unwrap();
    assert_eq!(sender.receivers(), 0);
    sender.send(1).unwrap();
    let mut early = sender.subscribe();
    sender.send(2).unwrap();
    let mut late = early.subscribe();
    let mut copy = early.clone();
    assert_eq!(sender.receivers(), 3);
    sender.send(3).unwrap();
    assert_eq!(early.recv(), Ok(2));
    let mut copy_later = early.clone();
    assert_eq!(early.recv(), Ok(3));
    assert_eq!(copy.recv(), Ok(2));
    assert_eq!(copy_later.recv(), Ok(3));
    assert_eq!(late.recv(), Ok(3));
    drop((early, late, copy, copy_later));
    assert_eq!(sender.receivers(), 0);
    sender
        .send(4)
        .expect("without receivers nothing is refused");
    assert_eq!(sender.subscribe().try_recv(), Err(RecvError::Empty));
}

#[test]
fn the_newest_can_be_skipped_to() {
    let mut sender = lossy::ring::<u32>(4).unwrap();
    let mut receiver = sender.subscribe();
    assert_eq!(receiver.skip_to_newest(), 0);
    sender.send_all(0..3).unwrap();
    assert_eq!(receiver.skip_to_newest(), 2);
    assert_eq!(receiver.skip_to_newest(), 0);
    assert_eq!(receiver.try_recv(), Ok(2));
    sender.send_all(0..100).unwrap();
    assert_eq!(receiver.skip_to_newest(), 99);
    assert_eq!(receiver.try_recv(), Ok(99));
    assert_eq!((receiver.received(), receiver.missed()), (2, 101));
}

#[test]
fn a_closed_ring_refuses_and_gives_what_is_inside() {
    let mut sender = lossy::ring::<u32>(4).unwrap();
    let mut receiver = sender.subscribe();
    sender.send_all(0..6).unwrap();
    receiver.clone().close();
    assert!(sender.is_closed() && receiver.is_closed());
    let refused = sender.send(7).unwrap_err();
    assert_eq!((refused.item, refused.why), (7, Refused::Closed));
    assert_eq!(sender.send_all([8]), Err(Refused::Closed));
    let all: Vec<_> = receiver.iter().collect();
    assert_eq!(all, [Err(Missed(2)), Ok(2), Ok(3), Ok(4), Ok(5)]);
    assert_eq!(receiver.try_recv(), Err(RecvError::Closed));
    assert_eq!(receiver.recv(), Err(RecvError::Closed));
    drop(sender);
    assert_eq!(receiver.try_drain(1).err(), Some(RecvError::Closed));
}

#[test]
fn a_panicking_iterator_has_sent_what_it_gave() {
    let mut sender = lossy::ring::<u32>(4).unwrap();
    let mut receiver = sender.subscribe();
    let items = (0..4).inspect(|&item| assert!(item < 2, "on purpose"));
    let sending = std::panic::AssertUnwindSafe(|| sender.send_all(items));
    std::panic::catch_unwind(sending).unwrap_err();
    sender.send(9).unwrap();
    let all: Vec<_> = receiver.try_iter().collect();
    assert_eq!(all, [Ok(0), Ok(1), Ok(9)]);
}

#[test]
fn bad_capacities_are_refused() {
    let refused = |capacity| lossy::ring::<[u64; 1 << 14]>(capacity).unwrap_err().kind();
    assert_eq!(refused(0), ErrorKind::Invalid);
    assert_eq!(refused(usize::MAX), ErrorKind::Invalid);
    assert_eq!(refused(1 << 31), ErrorKind::OverBudget);
    assert_eq!(lossy::ring::<u8>(5).unwrap().capacity(), 8);
    let mut one = lossy::ring::<u8>(1).unwrap();
    let mut receiver = one.subscribe();
    one.send_all([1, 2, 3]).unwrap();
    assert_eq!(receiver.try_recv(), Err(RecvError::Missed(2)));
    assert_eq!(receiver.try_recv(), Ok(3));
}

#[test]
fn deadlines_pass_and_futures_wait_and_lose_nothing() {
    let mut sender = lossy::ring::<u32>(4).unwrap();
    let mut receiver = sender.subscribe();
    let soon = || Instant::now() + Duration::from_millis(1);
    assert_eq!(receiver.recv_deadline(soon()), Err(RecvError::TimedOut));
    assert_eq!(
        receiver.drain_deadline(3, soon()).err(),
        Some(RecvError::TimedOut)
    );
    let mut other = receiver.clone();
    let ((calls, waker), (other_calls, other_waker)) = (Calls::new(), Calls::new());
    {
        let mut future = pin!(receiver.recv_async());
        let mut other = pin!(other.drain_async(5));
        assert!(poll(future.as_mut(), &waker).is_pending());
        assert!(poll(other.as_mut(), &other_waker).is_pending());
        sender.send(1).unwrap();
        assert_eq!(
            (calls.count(), other_calls.count()),
            (1, 1),
            "both are woken"
        );
        let Poll::Ready(Ok(drain)) = poll(other, &other_waker) else {
            panic!("an item is there");
        };
        assert_eq!(drain.collect::<Vec<_>>(), [1]);
        // The other future is dropped without having looked.
    }
    assert_eq!(receiver.try_recv(), Ok(1));
    {
        let mut future = pin!(receiver.recv_async());
        assert!(poll(future.as_mut(), &waker).is_pending());
        sender.send_all(0..6).unwrap();
        let outcome = poll(future, &waker);
        assert_eq!(outcome, Poll::Ready(Err(RecvError::Missed(2))));
    }
    drop(sender);
    assert_eq!(receiver.iter().count(), 4);
}

#[test]
fn sleepers_are_woken_by_items_and_by_the_end() {
    for wait in [
        WaitStrategy::Spin,
        WaitStrategy::SpinYield,
        WaitStrategy::SpinPark,
    ] {
        let mut sender = RingOptions::new(1 << 10).wait(wait).lossy::<u64>().unwrap();
        let receivers = [sender.subscribe(), sender.subscribe()];
        let threads = receivers.map(|mut receiver| {
            thread::spawn(move || {
                let sum: u64 = receiver.iter().map(Result::unwrap).sum();
                assert_eq!(receiver.missed(), 0);
                sum
            })
        });
        sender.send_all(0..500).unwrap();
        (500..1000).for_each(|number| sender.send(number).unwrap());
        drop(sender);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 499_500);
        }
    }
}

/// Receives all, checks that no item is torn, and that what comes and what is missed makes a
/// sequence without a hole, from 0 to `end`.
fn follow<const WORDS: usize>(mut receiver: Receiver<Same<WORDS>>, batches: bool, end: u64) {
    let mut next = 0;
    loop {
        let mut check = |item: Same<WORDS>| {
            assert_eq!(item.number(), next);
            next += 1;
        };
        let outcome = if batches {
            receiver.drain(64).map(|drain| drain.for_each(&mut check))
        } else {
            receiver.recv().map(check)
        };
        match outcome {
            Ok(()) => {}
            Err(RecvError::Missed(missed)) => next += missed,
            Err(RecvError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(next, end);
    assert_eq!(receiver.received() + receiver.missed(), end);
}

/// One sender at full speed, receivers of all kinds: slow, fast, in batches, from a clone.
fn stress<const WORDS: usize>(capacity: usize, items: u64) {
    let options = RingOptions::new(capacity).starting_at(u64::MAX - items / 2);
    let mut sender = options.lossy::<Same<WORDS>>().unwrap();
    let first = sender.subscribe();
    let receivers = [
        (first.clone(), false),
        (first.clone(), true),
        (first, false),
    ];
    thread::scope(|scope| {
        for (receiver, batches) in receivers {
            scope.spawn(move || follow(receiver, batches, items));
        }
        for number in 0..items {
            sender.send(Same::new(number)).unwrap();
            if number % 5000 == 0 {
                thread::yield_now();
            }
        }
        drop(sender);
    });
}

#[test]
fn nothing_is_torn_and_every_item_is_received_or_missed() {
    // Small rings, so that receivers are overrun in the middle of an item; large ones for order.
    stress::<2>(2, 300_000);
    stress::<16>(1, 100_000);
    stress::<3>(64, 300_000);
    stress::<64>(4, 50_000);
    stress::<1>(1 << 12, 300_000);
}

#[test]
fn receivers_subscribe_while_items_come() {
    let mut sender = lossy::ring::<Same<4>>(16).unwrap();
    let source = sender.subscribe();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let subscriber = scope.spawn(|| {
            let mut seen = HashSet::new();
            for _ in 0..2000 {
                let mut receiver = source.subscribe();
                match receiver.recv() {
                    Ok(item) => drop(seen.insert(item.number())),
                    Err(RecvError::Missed(missed)) => assert!(missed > 0),
                    Err(error) => panic!("{error}"),
                }
            }
            done.store(true, Ordering::Relaxed);
            seen.len()
        });
        let mut number = 0;
        while !done.load(Ordering::Relaxed) {
            sender.send(Same::new(number)).unwrap();
            number += 1;
        }
        assert!(subscriber.join().unwrap() > 0);
    });
    assert_eq!(sender.receivers(), 1);
}
