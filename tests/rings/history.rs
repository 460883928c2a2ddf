//! Recorded histories of real threads are checked for order.
//!
//! A history of a queue whose items all differ is out of order if some item a was sent before b was
//! begun to be sent, and b was received before a was begun to be received (Henzinger, Sezgin and
//! Vafeiadis, "Aspect-oriented linearizability proofs", 2013). Items that were never sent, came
//! twice, or not at all are seen as well. What `try_` calls refuse is not part of the promise: they
//! may do so while another thread is in the middle of a call.

use std::sync::{Barrier, LazyLock};
use std::thread;
use std::time::Instant;

use ringbolt::ring::lossy::{self, Missed};
use ringbolt::ring::{RingOptions, broadcast, bytes, mpmc, mpsc, spsc};

/// Operations that each ring's histories have together, sending and receiving: ten million, unless
/// `RINGBOLT_HISTORY_OPERATIONS` says otherwise.
static OPERATIONS: LazyLock<usize> = LazyLock::new(|| {
    let said = std::env::var("RINGBOLT_HISTORY_OPERATIONS");
    said.map_or(10_000_000, |said| said.parse().expect("a number"))
});
/// Items of one history: its memory is bounded.
static ITEMS: LazyLock<usize> = LazyLock::new(|| (*OPERATIONS / 8).min(500_000));

/// When something began and ended, in nanoseconds.
type Span = (u64, u64);

/// What one thread did, by item.
type Events = Vec<(usize, Span)>;

fn timed(begin: Instant, f: impl FnOnce() -> Option<usize>) -> Option<(usize, Span)> {
    let before = begin.elapsed().as_nanos() as u64;
    let item = f()?;
    Some((item, (before, begin.elapsed().as_nanos() as u64)))
}

/// Sends an item.
type Send<'a> = Box<dyn FnMut(usize) + std::marker::Send + 'a>;
/// Receives the next item; `None` at the end.
type Receive<'a> = Box<dyn FnMut() -> Option<usize> + std::marker::Send + 'a>;

/// Runs senders, each with its part of the items, and receivers; what they did, all senders together
/// and each receiver by itself. A sender is dropped when it has sent its part.
fn record(senders: Vec<Send<'_>>, receivers: Vec<Receive<'_>>) -> (Events, Vec<Events>) {
    let begin = Instant::now();
    let each = *ITEMS / senders.len();
    let ready = Barrier::new(senders.len() + receivers.len());
    let ready = &ready;
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
        let sent = senders.into_iter().flat_map(|t| t.join().unwrap());
        (
            sent.collect(),
            receivers.into_iter().map(|t| t.join().unwrap()).collect(),
        )
    })
}

/// Runs senders and receivers of a queue, and checks what they did.
fn history(senders: Vec<Send<'_>>, receivers: Vec<Receive<'_>>) {
    let (sent, received) = record(senders, receivers);
    check(sent, received.into_iter().flatten().collect());
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

/// As many histories as have `operations` together.
fn histories(operations: usize, one: impl Fn()) {
    let count = operations.div_ceil(2 * *ITEMS);
    (0..count).for_each(|_| one());
    println!("{} operations in {count} histories", count * *ITEMS * 2);
}

#[test]
fn spsc_histories_are_in_order() {
    histories(*OPERATIONS, || {
        let (mut sender, mut receiver) = spsc::ring(1024).unwrap();
        history(
            vec![Box::new(move |item| sender.send(item).unwrap())],
            vec![Box::new(move || receiver.recv().ok())],
        );
    });
}

#[test]
fn mpsc_histories_are_in_order() {
    for count in [1, 3] {
        histories(*OPERATIONS / 2, || {
            let (sender, mut receiver) = mpsc::ring(256).unwrap();
            let senders = vec![sender; count].into_iter();
            let send = |sender: mpsc::Sender<_>| -> Send<'_> {
                Box::new(move |item| sender.send(item).unwrap())
            };
            history(
                senders.map(send).collect(),
                vec![Box::new(move || receiver.recv().ok())],
            );
        });
    }
}

#[test]
fn mpmc_histories_are_in_order() {
    for (senders, receivers) in [(1, 2), (2, 2), (4, 4), (2, 1)] {
        histories(*OPERATIONS / 4, || {
            let (sender, receiver) = mpmc::ring(256).unwrap();
            let send = |sender: mpmc::Sender<_>| -> Send<'_> {
                Box::new(move |item| sender.send(item).unwrap())
            };
            let receive = |receiver: mpmc::Receiver<_>| -> Receive<'_> {
                Box::new(move || receiver.recv().ok())
            };
            history(
                vec![sender; senders].into_iter().map(send).collect(),
                vec![receiver; receivers].into_iter().map(receive).collect(),
            );
        });
    }
}

/// Two receivers beside each other and one behind both see the same, in order, the last one later.
#[test]
fn broadcast_histories_are_in_order() {
    for count in [1, 2] {
        histories(*OPERATIONS / 4, || {
            let mut ring = RingOptions::new(256).broadcast().unwrap();
            let (a, b) = (ring.receiver(), ring.receiver());
            let last = ring.receiver_after(&[&a, &b]).unwrap();
            let senders: Vec<Send<'_>> = if count == 1 {
                let mut sender = ring.single().unwrap();
                vec![Box::new(move |item| sender.send(item).unwrap())]
            } else {
                let senders = vec![ring.multi().unwrap(); count].into_iter();
                let send = |mut sender: broadcast::MultiSender<_>| -> Send<'_> {
                    Box::new(move |item| sender.send(item).unwrap())
                };
                senders.map(send).collect()
            };
            let receive = |mut receiver: broadcast::Receiver<usize>| -> Receive<'_> {
                Box::new(move || receiver.recv().ok().map(|item| *item))
            };
            let (sent, received) = record(senders, [a, b, last].map(receive).into());
            let [a, b, last] = received.try_into().unwrap();
            for ((a, b), last) in a.iter().zip(&b).zip(&last) {
                assert!(a.0 == b.0 && b.0 == last.0, "the same order for all");
                // The guard is given back before the call returns, here.
                let (a, b) = (a.1, b.1);
                assert!(last.1.1 >= a.0.max(b.0), "behind both");
            }
            for received in [a, b, last] {
                check(sent.clone(), received);
            }
        });
    }
}

#[test]
fn histories_of_bytes_are_in_order() {
    /// A record that begins with the item's number, of a length of its own.
    fn record_of(item: usize) -> Vec<u8> {
        let mut record = vec![item as u8; 8 + item % 57];
        record[..8].copy_from_slice(&item.to_ne_bytes());
        record
    }
    fn receive(mut receiver: bytes::Receiver) -> Vec<Receive<'static>> {
        vec![Box::new(move || {
            let record = receiver.recv().ok()?;
            let item = usize::from_ne_bytes(record[..8].try_into().unwrap());
            assert_eq!(*record, record_of(item));
            Some(item)
        })]
    }
    histories(*OPERATIONS, || {
        let (mut sender, receiver) = bytes::spsc::ring(1 << 14).unwrap();
        let send = move |item| sender.send(&record_of(item)).unwrap();
        history(vec![Box::new(send)], receive(receiver));
    });
    for count in [1, 3] {
        histories(*OPERATIONS / 2, || {
            let (sender, receiver) = bytes::mpsc::ring(1 << 14).unwrap();
            let send = |sender: bytes::mpsc::Sender| -> Send<'_> {
                Box::new(move |item| sender.send(&record_of(item)).unwrap())
            };
            let senders = vec![sender; count].into_iter().map(send);
            history(senders.collect(), receive(receiver));
        });
    }
}

/// What a lossy receiver gets is in order; what it is told to have missed is the rest, in its place.
#[test]
fn lossy_histories_are_in_order_and_complete() {
    histories(*OPERATIONS, || {
        let mut sender = lossy::ring::<u64>(256).unwrap();
        let receivers: Vec<_> = (0..2).map(|_| sender.subscribe()).collect();
        let receivers = receivers.into_iter().map(|mut receiver| -> Receive<'_> {
            let mut due = 0;
            Box::new(move || {
                let item = loop {
                    match receiver.iter().next() {
                        Some(Ok(item)) => break item as usize,
                        Some(Err(Missed(count))) => due += count as usize,
                        None => {
                            assert_eq!(due, *ITEMS, "all is received or told to be missed");
                            return None;
                        }
                    }
                };
                assert_eq!(item, due);
                due += 1;
                Some(item)
            })
        });
        let receivers = receivers.collect();
        let send = move |item| sender.send(item as u64).unwrap();
        let (sent, received) = record(vec![Box::new(send)], receivers);
        for ((item, received), (sent_item, sent)) in received
            .iter()
            .flat_map(|events| events.iter().map(|event| (*event, sent[event.0])))
        {
            assert_eq!(item, sent_item);
            assert!(received.1 >= sent.0, "received before it was sent");
        }
    });
}
