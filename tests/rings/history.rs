//! Recorded histories of real threads are checked for order.
//!
//! A history of a queue whose items all differ is out of order if some item a was sent before b was
//! begun to be sent, and b was received before a was begun to be received (Henzinger, Sezgin and
//! Vafeiadis, "Aspect-oriented linearizability proofs", 2013). Items that were never sent, came
//! twice, or not at all are seen as well. What `try_` calls refuse is not part of the promise: they
//! may do so while another thread is in the middle of a call.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use ringbolt::ring::{mpmc, mpsc, spsc};

/// Operations that each ring's histories have together, sending and receiving.
const OPERATIONS: usize = 10_000_000;
/// Items of one history: its memory is bounded.
const ITEMS: usize = 500_000;

/// When something began and ended, in nanoseconds.
type Span = (u64, u64);

/// What one thread did, by item.
type Events = Vec<(usize, Span)>;

fn timed(begin: Instant, f: impl FnOnce() -> Option<usize>) -> Option<(usize, Span)> {
    let before = begin.elapsed().as_nanos() as u64;
    let item = f()?;
    Some((item, (before, begin.elapsed().as_nanos() as u64)))
}

/// Runs senders and receivers, and checks what they did.
fn history(
    senders: Vec<Box<dyn FnMut(usize) + Send + '_>>,
    receivers: Vec<Box<dyn FnMut() -> Option<usize> + Send + '_>>,
) {
    let begin = Instant::now();
    let each = ITEMS / senders.len();
    let ready = Barrier::new(senders.len() + receivers.len());
    let (ready, mut sent, mut received) = (&ready, Events::new(), Events::new());
    thread::scope(|scope| {
        let senders: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(n, mut send)| {
                scope.spawn(move || -> Events {
                    ready.wait();
                    let items = n * each..(n + 1) * each;
                    let send = |item| {
                        timed(begin, || {
                            send(item);
                            Some(item)
                        })
                    };
                    items.filter_map(send).collect()
                })
            })
            .collect();
        let receivers: Vec<_> = receivers
            .into_iter()
            .map(|mut receive| {
                scope.spawn(move || -> Events {
                    ready.wait();
                    std::iter::from_fn(|| timed(begin, &mut receive)).collect()
                })
            })
            .collect();
        sent.extend(senders.into_iter().flat_map(|t| t.join().unwrap()));
        received.extend(receivers.into_iter().flat_map(|t| t.join().unwrap()));
    });
    check(sent, received);
}

fn check(mut sent: Events, mut received: Events) {
    let by_item = |event: &(usize, Span)| event.0;
    sent.sort_unstable_by_key(by_item);
    received.sort_unstable_by_key(by_item);
    assert!(
        sent.iter().map(by_item).eq(received.iter().map(by_item)),
        "each item is received once"
    );
    // In the order in which sending began; those that were sent before it are added as it goes.
    let items: Vec<(Span, Span)> = sent
        .iter()
        .zip(&received)
        .map(|(s, r)| (s.1, r.1))
        .collect();
    let mut begun = items.clone();
    begun.sort_unstable_by_key(|(sent, _)| sent.0);
    let mut ended = items;
    ended.sort_unstable_by_key(|(sent, _)| sent.1);
    let mut ended = ended.into_iter().peekable();
    let mut latest_receive = 0;
    for (sent, received) in begun {
        while let Some((_, before)) = ended.next_if(|(earlier, _)| earlier.1 < sent.0) {
            latest_receive = latest_receive.max(before.0);
        }
        assert!(
            received.1 >= latest_receive,
            "received at {received:?}, but an item that was sent before it only after {latest_receive}"
        );
    }
}

#[test]
#[should_panic(expected = "an item that was sent before it")]
fn the_check_finds_disorder() {
    let sent = vec![(0, (0, 1)), (1, (2, 3))];
    let received = vec![(1, (4, 5)), (0, (6, 7))];
    check(sent, received);
}

fn histories(one: impl Fn()) {
    let count = OPERATIONS / 2 / ITEMS;
    (0..count).for_each(|_| one());
    println!("{} operations in {count} histories", count * ITEMS * 2);
}

#[test]
fn spsc_histories_are_in_order() {
    histories(|| {
        let (mut sender, mut receiver) = spsc::ring(1024).unwrap();
        let mut left = ITEMS;
        let send = move |item| {
            sender.send(item).unwrap();
            left -= 1;
            if left == 0 {
                sender.close();
            }
        };
        history(
            vec![Box::new(send)],
            vec![Box::new(move || receiver.recv().ok())],
        );
    });
}

#[test]
fn mpsc_histories_are_in_order() {
    for count in [1, 3] {
        let runs = OPERATIONS / 4 / ITEMS;
        for _ in 0..runs {
            let (sender, mut receiver) = mpsc::ring(256).unwrap();
            let each = ITEMS / count;
            let senders = (0..count).map(|_| {
                let mut sender = Some(sender.clone());
                let mut left = each;
                let send = move |item| {
                    sender.as_ref().unwrap().send(item).unwrap();
                    left -= 1;
                    if left == 0 {
                        sender = None;
                    }
                };
                Box::new(send) as Box<dyn FnMut(usize) + Send>
            });
            let senders = senders.collect();
            drop(sender);
            history(senders, vec![Box::new(move || receiver.recv().ok())]);
        }
    }
}

#[test]
fn mpmc_histories_are_in_order() {
    for (count, receivers) in [(1, 2), (2, 2), (4, 4), (2, 1)] {
        let runs = (OPERATIONS / 8 / ITEMS).max(1);
        for _ in 0..runs {
            let (sender, receiver) = mpmc::ring(256).unwrap();
            let each = ITEMS / count;
            let senders = (0..count).map(|_| {
                let mut sender = Some(sender.clone());
                let mut left = each;
                let send = move |item| {
                    sender.as_ref().unwrap().send(item).unwrap();
                    left -= 1;
                    if left == 0 {
                        sender = None;
                    }
                };
                Box::new(send) as Box<dyn FnMut(usize) + Send>
            });
            let senders = senders.collect();
            drop(sender);
            let receivers = (0..receivers).map(|_| {
                let receiver = receiver.clone();
                Box::new(move || receiver.recv().ok()) as Box<dyn FnMut() -> Option<usize> + Send>
            });
            history(senders, receivers.collect());
        }
    }
}
