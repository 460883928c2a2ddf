//! Long random stress, for shapes beyond the models' reach: every way to send and to receive, mixed at
//! random by several threads of each side, on small rings whose counters wrap.

use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use ringbolt::ring::{RecvError, Refused, RingOptions};

use crate::support::{Calls, Counted, Item, block_on, poll};

/// Rings of each shape, unless `RINGBOLT_STRESS_ROUNDS` says otherwise.
const ROUNDS: u64 = 60;
/// Items of each sender.
const ITEMS: usize = 400;

/// A xorshift generator: the rounds differ, and can be had again.
struct Dice(u64);

impl Dice {
    fn of(round: u64, thread: usize) -> Self {
        let seed = (round << 8 | thread as u64) + 1;
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}

fn rounds() -> u64 {
    let said = std::env::var("RINGBOLT_STRESS_ROUNDS");
    said.map_or(ROUNDS, |said| said.parse().expect("a number"))
}

fn soon(dice: &mut Dice) -> Instant {
    Instant::now() + Duration::from_micros(dice.below(200) as u64)
}

/// Each item comes once, and those of one sender to one receiver in order.
fn check(received: &[Vec<usize>], senders: usize) {
    for items in received {
        let mut last = vec![None; senders];
        for item in items {
            let last = &mut last[item / ITEMS];
            assert!(*last < Some(*item), "{item} behind {last:?}");
            *last = Some(*item);
        }
    }
    let mut all = received.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..senders * ITEMS), "each item once");
}

macro_rules! stress {
    ($ring:ident, $shape:ident, $senders:expr, $receivers:expr) => {
        #[test]
        #[allow(unused_mut)] // some rings' handles need it
        fn $shape() {
            use ringbolt::ring::$ring::{Receiver, Sender};

            /// Sends at least one of `numbers`, some way or other; returns how many.
            fn send_some(
                sender: &mut Sender<Item>,
                counted: &Counted,
                numbers: std::ops::Range<usize>,
                dice: &mut Dice,
            ) -> usize {
                let number = numbers.start;
                let make = || counted.make(number);
                match dice.below(9) {
                    0 => sender.send(make()).unwrap(),
                    1 => sender.send_with(make).unwrap(),
                    2 => match sender.try_send(make()) {
                        Ok(()) => {}
                        Err(error) => {
                            assert_eq!((error.why, error.item.number), (Refused::Full, number));
                            thread::yield_now();
                            return 0;
                        }
                    },
                    3 => match sender.send_deadline(make(), soon(dice)) {
                        Ok(()) => {}
                        Err(error) => {
                            assert_eq!(error.why, Refused::TimedOut);
                            return 0;
                        }
                    },
                    4 => block_on(sender.send_async(make())).unwrap(),
                    // Given up after one look.
                    5 => match poll(pin!(sender.send_async(make())), &Calls::new().1) {
                        Poll::Ready(sent) => sent.unwrap(),
                        Poll::Pending => return 0,
                    },
                    6 => {
                        let room = 1 + dice.below(sender.capacity());
                        sender.claim(room).unwrap().push(make());
                        return 0;
                    }
                    _ => {
                        let room = 1 + dice.below(sender.capacity());
                        let count = (1 + dice.below(room)).min(numbers.len());
                        let mut claim = match dice.below(2) {
                            0 => sender.claim(room).unwrap(),
                            _ => block_on(sender.claim_async(room)).unwrap(),
                        };
                        claim.push_with(make);
                        claim.fill(numbers.skip(1).take(count - 1).map(|n| counted.make(n)));
                        claim.commit();
                        return count;
                    }
                }
                1
            }

            /// Receives some items, or none, some way or other.
            fn receive_some(
                receiver: &mut Receiver<Item>,
                items: &mut Vec<usize>,
                dice: &mut Dice,
            ) -> Result<(), RecvError> {
                let most = 1 + dice.below(40);
                match dice.below(8) {
                    0 => items.push(receiver.recv()?.number),
                    1 => items.push(receiver.try_recv()?.number),
                    2 => items.push(receiver.recv_deadline(soon(dice))?.number),
                    3 => items.push(block_on(receiver.recv_async())?.number),
                    4 => match poll(pin!(receiver.recv_async()), &Calls::new().1) {
                        Poll::Ready(received) => items.push(received?.number),
                        Poll::Pending => {}
                    },
                    5 => items.extend(receiver.try_drain(most)?.map(|item| item.number)),
                    6 => items.extend(receiver.drain(most)?.map(|item| item.number)),
                    _ => {
                        let drain = block_on(receiver.drain_async(most))?;
                        items.extend(drain.map(|item| item.number));
                    }
                }
                Ok(())
            }

            for round in 0..rounds() {
                let mut dice = Dice::of(round, 0);
                let capacity = 1 << dice.below(6);
                let first = [0, u64::MAX - 99, (1 << 63) - 99, (1 << 32) - 99][dice.below(4)];
                let options = RingOptions::new(capacity).starting_at(first);
                let (sender, receiver) = options.$ring::<Item>().unwrap();
                let counted = &Counted::default();
                let handles: Vec<_> = $senders(sender);
                let senders = handles.len();
                let received = thread::scope(|scope| {
                    for (n, mut sender) in handles.into_iter().enumerate() {
                        scope.spawn(move || {
                            let mut dice = Dice::of(round, 1 + n);
                            let mut numbers = n * ITEMS..(n + 1) * ITEMS;
                            while !numbers.is_empty() {
                                let part = numbers.clone();
                                numbers.start += send_some(&mut sender, counted, part, &mut dice);
                            }
                        });
                    }
                    let receivers: Vec<_> = $receivers(receiver)
                        .into_iter()
                        .enumerate()
                        .map(|(n, mut receiver)| {
                            scope.spawn(move || {
                                let mut dice = Dice::of(round, 100 + n);
                                let mut items = Vec::new();
                                loop {
                                    match receive_some(&mut receiver, &mut items, &mut dice) {
                                        Err(RecvError::Closed) => return items,
                                        Err(RecvError::Empty) => thread::yield_now(),
                                        _ => {}
                                    }
                                }
                            })
                        })
                        .collect();
                    let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().unwrap();
                    receivers.into_iter().map(join).collect::<Vec<_>>()
                });
                check(&received, senders);
                assert_eq!(counted.alive(), 0, "in round {round}");
            }
        }
    };
}

stress!(spsc, spsc, one, one);
stress!(mpsc, mpsc_of_one, one, one);
stress!(mpsc, mpsc_of_four, four, one);
stress!(mpmc, mpmc_of_one_and_four, one, four);
stress!(mpmc, mpmc_of_two_and_two, two, two);
stress!(mpmc, mpmc_of_four_and_four, four, four);

fn one<H>(handle: H) -> Vec<H> {
    vec![handle]
}

fn two<H: Clone>(handle: H) -> Vec<H> {
    vec![handle; 2]
}

fn four<H: Clone>(handle: H) -> Vec<H> {
    vec![handle; 4]
}
