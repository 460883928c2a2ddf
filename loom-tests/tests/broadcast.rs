//! The broadcast ring: everyone sees everything, nothing is written while it is read, and nobody is
//! left asleep. Loom watches each slot: a write that is not ordered behind all reads fails.
#![cfg(ringbolt_loom)]

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use ringbolt::ring::broadcast::{Builder, MultiSender, Receiver, Sender};
use ringbolt::ring::{RecvError, Refused, RingOptions, Selector};
use ringbolt_loom_tests::{Counted, Item, explore};

/// The numbers wrap in the middle of each model.
fn builder<T>(capacity: usize) -> Builder<T> {
    RingOptions::new(capacity)
        .starting_at(u64::MAX)
        .broadcast()
        .expect("memory")
}

fn ring<T, const N: usize>(capacity: usize) -> (Sender<T>, [Receiver<T>; N]) {
    let mut ring = builder(capacity);
    let receivers = std::array::from_fn(|_| ring.receiver());
    (ring.single().unwrap(), receivers)
}

/// Receives all there is until the end, waiting; checks that the numbers come in order from `next` on.
fn to_the_end(receiver: &mut Receiver<u64>, mut next: u64) -> u64 {
    while let Ok(item) = receiver.recv() {
        assert_eq!(*item, next);
        next += 1;
    }
    next
}

/// Receives what is there; as above.
fn what_is_there(receiver: &mut Receiver<u64>, mut next: u64) -> u64 {
    while let Ok(drain) = receiver.try_drain(2) {
        for item in &drain {
            assert_eq!(*item, next);
            next += 1;
        }
    }
    next
}

#[test]
fn a_slow_receiver_is_never_overtaken() {
    explore("broadcast gate, full and wrap", None, 100, || {
        let (mut sender, [mut receiver]) = ring(2);
        let sending = thread::spawn(move || {
            let mut sent = 0;
            for _ in 0..3 {
                match sender.try_send(sent) {
                    Ok(()) => sent += 1,
                    Err(error) => assert_eq!(error.why, Refused::Full),
                }
            }
            (sender, sent)
        });
        let next = what_is_there(&mut receiver, 0);
        let (sender, sent) = sending.join().unwrap();
        drop(sender);
        assert!(sent >= 2);
        assert_eq!(what_is_there(&mut receiver, next), sent);
        assert_eq!(receiver.try_recv().err(), Some(RecvError::Closed));
    });
}

#[test]
fn the_slower_of_two_gates() {
    explore("broadcast gate, two receivers", Some(3), 100, || {
        let (mut sender, [a, b]) = ring(1);
        let receiving = [a, b].map(|mut receiver| {
            thread::spawn(move || {
                let next = what_is_there(&mut receiver, 0);
                (receiver, next)
            })
        });
        let mut sent = 0;
        for _ in 0..3 {
            sent += u64::from(sender.try_send(sent).is_ok());
        }
        for receiving in receiving {
            let (mut receiver, next) = receiving.join().unwrap();
            assert_eq!(what_is_there(&mut receiver, next), sent);
        }
    });
}

#[test]
fn a_follower_sees_what_was_done_before_it() {
    explore("broadcast order of a pipeline", Some(3), 100, || {
        let mut ring = builder::<AtomicUsize>(1);
        let mut a = ring.receiver();
        let mut b = ring.receiver_after(&[&a]).unwrap();
        let mut sender = ring.single().unwrap();
        let first = thread::spawn(move || {
            if let Ok(item) = a.try_recv() {
                item.store(7, Ordering::Relaxed);
            }
            a
        });
        let second = thread::spawn(move || {
            if let Ok(item) = b.try_recv() {
                assert_eq!(item.load(Ordering::Relaxed), 7);
            }
            b
        });
        sender.try_send(AtomicUsize::new(0)).unwrap();
        // Written anew only when the last of the pipeline is done.
        let _ = sender.try_send(AtomicUsize::new(0));
        let _gone_together = (first.join().unwrap(), second.join().unwrap());
    });
}

#[test]
fn the_last_of_a_diamond_follows_both() {
    explore("broadcast diamond", Some(3), 100, || {
        let mut ring = builder::<[AtomicUsize; 2]>(2);
        let first = [ring.receiver(), ring.receiver()];
        let mut last = ring.receiver_after(&[&first[0], &first[1]]).unwrap();
        let mut sender = ring.single().unwrap();
        sender
            .try_send_with(|| [AtomicUsize::new(0), AtomicUsize::new(0)])
            .unwrap();
        let mut at = 0;
        let working = first.map(|mut receiver| {
            let place = at;
            at += 1;
            thread::spawn(move || {
                receiver.try_recv().unwrap()[place].store(7, Ordering::Relaxed);
                receiver
            })
        });
        if let Ok(item) = last.try_recv() {
            assert_eq!(item[0].load(Ordering::Relaxed), 7);
            assert_eq!(item[1].load(Ordering::Relaxed), 7);
        }
        for working in working {
            working.join().unwrap();
        }
    });
}

#[test]
fn a_receiver_that_sleeps_is_woken_by_an_item() {
    explore("broadcast receiver parked", None, 100, || {
        let (mut sender, [mut receiver]) = ring(2);
        let receiving = thread::spawn(move || {
            assert_eq!(*receiver.recv().unwrap(), 0);
            assert_eq!(*receiver.recv().unwrap(), 1);
            receiver
        });
        sender.send(0).unwrap();
        sender.send(1).unwrap();
        receiving.join().unwrap();
    });
}

#[test]
fn a_receiver_that_sleeps_is_woken_by_the_end() {
    explore("broadcast receiver parked, then closed", None, 100, || {
        let (mut sender, [mut receiver]) = ring(1);
        let receiving = thread::spawn(move || {
            let next = to_the_end(&mut receiver, 0);
            (receiver, next)
        });
        sender.send(0).unwrap();
        sender.close();
        assert_eq!(receiving.join().unwrap().1, 1);
    });
}

#[test]
fn a_sender_that_sleeps_is_woken() {
    explore("broadcast sender parked", None, 100, || {
        let (mut sender, [mut receiver]) = ring(2);
        sender.send(0).unwrap();
        sender.send(1).unwrap();
        let sending = thread::spawn(move || {
            sender.send(2).unwrap();
            sender.send(3).unwrap();
            sender
        });
        assert_eq!(*receiver.recv().unwrap(), 0);
        assert_eq!(*receiver.recv().unwrap(), 1);
        let _sender = sending.join().unwrap();
        assert_eq!(*receiver.recv().unwrap(), 2);
    });
}

#[test]
fn all_receivers_that_sleep_are_woken() {
    explore(
        "broadcast park and wake, two receivers",
        Some(3),
        100,
        || {
            let (mut sender, receivers) = ring::<u64, 2>(1);
            let receiving = receivers.map(|mut receiver| {
                thread::spawn(move || {
                    assert_eq!(*receiver.recv().unwrap(), 0);
                    receiver
                })
            });
            sender.send(0).unwrap();
            for receiving in receiving {
                receiving.join().unwrap();
            }
        },
    );
}

#[test]
fn a_follower_and_a_sender_are_woken_through_a_pipeline() {
    explore("broadcast park and wake, pipeline", Some(3), 100, || {
        let mut ring = builder(1);
        let mut a = ring.receiver();
        let mut b = ring.receiver_after(&[&a]).unwrap();
        let mut sender = ring.single().unwrap();
        let first = thread::spawn(move || {
            assert_eq!(*a.recv().unwrap(), 0);
            assert_eq!(*a.recv().unwrap(), 1);
            a
        });
        let second = thread::spawn(move || {
            assert_eq!(*b.recv().unwrap(), 0);
            b
        });
        sender.send(0).unwrap();
        sender.send(1).unwrap();
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_task_that_receives_is_woken() {
    explore("broadcast task receives", None, 100, || {
        let (mut sender, [mut receiver]) = ring(1);
        let receiving = thread::spawn(move || {
            assert_eq!(*block_on(receiver.recv_async()).unwrap(), 0);
            receiver
        });
        sender.send(0).unwrap();
        receiving.join().unwrap();
    });
}

#[test]
fn a_task_that_sends_is_woken() {
    explore("broadcast task sends", None, 100, || {
        let (mut sender, [mut receiver]) = ring(1);
        sender.send(0).unwrap();
        let sending = thread::spawn(move || {
            assert!(block_on(sender.send_async(1)).is_ok());
            sender
        });
        assert_eq!(*receiver.recv().unwrap(), 0);
        let _sender = sending.join().unwrap();
        assert_eq!(*receiver.recv().unwrap(), 1);
    });
}

#[test]
fn what_is_inside_when_the_ring_is_closed_is_received() {
    explore("broadcast close with items inside", None, 100, || {
        let counted = Counted::new();
        let (mut sender, [mut receiver]) = ring(2);
        let sending = {
            let counted = counted.clone();
            thread::spawn(move || {
                sender.try_send(counted.make()).unwrap();
                sender.try_send(counted.make()).unwrap();
            })
        };
        let mut seen = 0;
        let end = loop {
            match receiver.try_recv() {
                Ok(_item) => seen += 1,
                Err(RecvError::Empty) => thread::yield_now(),
                Err(end) => break end,
            }
        };
        assert_eq!((seen, end), (2, RecvError::Closed));
        sending.join().unwrap();
        drop(receiver);
        counted.assert_all_dropped();
    });
}

#[test]
fn items_are_dropped_once_whoever_goes_last() {
    explore("broadcast drop with items inside", None, 100, || {
        let counted = Counted::new();
        let (mut sender, [mut receiver]) = ring(1);
        sender.try_send(counted.make()).unwrap();
        let made = counted.clone();
        let sending = thread::spawn(move || {
            // Written over the first, inside, or refused.
            let _ = sender.try_send(made.make());
            sender
        });
        let _ = receiver.try_recv().map(drop);
        drop(receiver);
        drop(sending.join().unwrap());
        counted.assert_all_dropped();
    });
}

#[test]
fn a_sender_asleep_is_woken_when_the_receiver_that_gates_it_goes() {
    explore(
        "broadcast receiver dropped, sender waits",
        None,
        100,
        || {
            let mut ring = builder(1);
            let mut a = ring.receiver();
            let b = ring.receiver_after(&[&a]).unwrap();
            let mut sender = ring.single().unwrap();
            sender.send(0).unwrap();
            assert_eq!(*a.recv().unwrap(), 0);
            let sending = thread::spawn(move || {
                sender.send(1).unwrap();
                sender
            });
            drop(b);
            let _sender = sending.join().unwrap();
            assert_eq!(*a.recv().unwrap(), 1);
        },
    );
}

#[test]
fn those_before_one_that_goes_take_over_its_wake_ups() {
    explore(
        "broadcast receiver dropped, others go on",
        Some(3),
        100,
        || {
            let mut ring = builder(1);
            let mut a = ring.receiver();
            let b = ring.receiver_after(&[&a]).unwrap();
            let mut sender = ring.single().unwrap();
            sender.send(0).unwrap();
            let sending = thread::spawn(move || {
                sender.send(1).unwrap();
                sender
            });
            let dropping = thread::spawn(move || drop(b));
            // Whom to tell changes while this passes.
            assert_eq!(*a.try_recv().unwrap(), 0);
            dropping.join().unwrap();
            sending.join().unwrap();
        },
    );
}

#[test]
fn a_follower_asleep_follows_the_sender_when_those_before_it_go() {
    explore("broadcast follower of one that goes", Some(3), 100, || {
        let mut ring = builder(1);
        let a = ring.receiver();
        let mut b = ring.receiver_after(&[&a]).unwrap();
        let mut sender = ring.single().unwrap();
        let dropping = thread::spawn(move || drop(a));
        let receiving = thread::spawn(move || {
            assert_eq!(*b.recv().unwrap(), 0);
            b
        });
        sender.send(0).unwrap();
        dropping.join().unwrap();
        receiving.join().unwrap();
    });
}

#[test]
fn a_selector_asleep_on_a_follower_is_woken_when_that_follows_the_sender() {
    explore("broadcast follower in a selector", Some(3), 100, || {
        let mut ring = builder(1);
        let a = ring.receiver();
        let b = ring.receiver_after(&[&a]).unwrap();
        let mut sender = ring.single().unwrap();
        let dropping = thread::spawn(move || drop(a));
        let selecting = thread::spawn(move || {
            assert_eq!(Selector::new().select(&[&b]), 0);
            b
        });
        sender.send(0).unwrap();
        dropping.join().unwrap();
        assert_eq!(*selecting.join().unwrap().try_recv().unwrap(), 0);
    });
}

#[test]
fn a_dropped_receiver_has_read_before_its_places_are_written() {
    explore(
        "broadcast receiver dropped while it gates",
        None,
        100,
        || {
            let (mut sender, [mut a, mut b]) = ring(1);
            sender.try_send(0).unwrap();
            assert_eq!(*a.try_recv().unwrap(), 0);
            let dropping = thread::spawn(move || {
                // Its place is given back by the drop of the receiver alone.
                let item = b.try_recv().unwrap();
                assert_eq!(*item, 0);
                std::mem::forget(item);
            });
            for sent in 1..4 {
                if sender.try_send(sent).is_ok() {
                    assert_eq!(*a.try_recv().unwrap(), sent);
                }
            }
            dropping.join().unwrap();
        },
    );
}

fn many<T>(capacity: usize) -> (MultiSender<T>, Receiver<T>) {
    let mut ring = builder(capacity);
    let receiver = ring.receiver();
    (ring.multi().unwrap(), receiver)
}

#[test]
fn many_senders_full_and_wrap() {
    explore(
        "broadcast, two senders, full and wrap",
        Some(3),
        100,
        || {
            let (sender, mut receiver) = many::<u64>(2);
            let sending = [1_u64, 2].map(|number| {
                let mut sender = sender.clone();
                thread::spawn(move || {
                    let mut sent = 0;
                    for _ in 0..2 {
                        sent += usize::from(sender.try_send(number).is_ok());
                    }
                    sent
                })
            });
            drop(sender);
            let mut seen = 0;
            while let Ok(_item) = receiver.try_recv() {
                seen += 1;
            }
            let sent: usize = sending.map(|one| one.join().unwrap()).iter().sum();
            assert!(sent >= 2);
            while let Ok(_item) = receiver.try_recv() {
                seen += 1;
            }
            assert_eq!(seen, sent);
            assert_eq!(receiver.try_recv().err(), Some(RecvError::Closed));
        },
    );
}

#[test]
fn a_claim_of_one_of_many_senders_is_seen_as_a_whole() {
    explore("broadcast, whole claims", None, 100, || {
        let (mut sender, mut receiver) = many::<u64>(2);
        let sending = thread::spawn(move || {
            for round in 0..2 {
                if let Ok(mut claim) = sender.try_claim(2) {
                    claim.fill([2 * round, 2 * round + 1]);
                    claim.commit();
                }
            }
        });
        let mut next = 0;
        for _ in 0..2 {
            if let Ok(drain) = receiver.try_drain(2) {
                assert_eq!(drain.len(), 2);
                for item in &drain {
                    assert_eq!(*item, next);
                    next += 1;
                }
            }
        }
        sending.join().unwrap();
    });
}

#[test]
fn an_abandoned_claim_is_skipped_by_all() {
    /// Receives one if it is there; says how many came so far.
    fn take(receiver: &mut Receiver<(u64, Item)>, next: u64) -> u64 {
        match receiver.try_recv() {
            Ok(item) => {
                assert_eq!(item.0, next, "not what was abandoned");
                next + 1
            }
            Err(_) => next,
        }
    }
    explore("broadcast, abandoned claim", Some(3), 100, || {
        let counted = Counted::new();
        let mut ring = builder(2);
        let mut a = ring.receiver();
        let mut b = ring.receiver_after(&[&a]).unwrap();
        let mut sender = ring.multi().unwrap();
        let made = counted.clone();
        let sending = thread::spawn(move || {
            let mut claim = sender.try_claim(1).unwrap();
            claim.push((99, made.make()));
            drop(claim);
            let mut sent = 0;
            // The second one is written where the hole was.
            for _ in 0..2 {
                sent += u64::from(sender.try_send((sent, made.make())).is_ok());
            }
            (sender, sent)
        });
        let first = thread::spawn(move || {
            let next = take(&mut a, 0);
            (a, next)
        });
        let mut b_next = take(&mut b, 0);
        let (sender, sent) = sending.join().unwrap();
        let (mut a, mut a_next) = first.join().unwrap();
        for _ in 0..2 {
            a_next = take(&mut a, a_next);
            b_next = take(&mut b, b_next);
        }
        assert_eq!([a_next, b_next], [sent, sent]);
        drop((sender, a, b));
        counted.assert_all_dropped();
    });
}

#[test]
fn a_receiver_asleep_behind_a_hole_is_woken() {
    explore(
        "broadcast, abandoned claim, receiver parked",
        None,
        100,
        || {
            let (mut sender, mut receiver) = many::<u64>(2);
            let receiving = thread::spawn(move || {
                assert_eq!(*receiver.recv().unwrap(), 0);
                receiver
            });
            drop(sender.claim(1).unwrap());
            sender.send(0).unwrap();
            receiving.join().unwrap();
        },
    );
}

#[test]
fn a_sender_asleep_is_woken_when_a_hole_is_passed() {
    explore(
        "broadcast, abandoned claim, sender parked",
        None,
        100,
        || {
            let (mut sender, mut receiver) = many::<u64>(1);
            drop(sender.claim(1).unwrap());
            let sending = thread::spawn(move || {
                sender.send(0).unwrap();
                sender
            });
            let early = (0..2).filter(|_| receiver.try_recv().is_ok()).count();
            let _sender = sending.join().unwrap();
            assert_eq!(receiver.try_recv().is_ok(), early == 0);
        },
    );
}

#[test]
fn all_senders_that_sleep_are_woken() {
    explore("broadcast, two senders parked", Some(3), 100, || {
        let (mut sender, mut receiver) = many::<u64>(2);
        sender.send(0).unwrap();
        sender.send(1).unwrap();
        let sending = [sender.clone(), sender].map(|mut sender| {
            thread::spawn(move || {
                sender.send(7).unwrap();
                sender
            })
        });
        // Room for both at once.
        drop(receiver.try_drain(2).unwrap());
        let _senders = sending.map(|one| one.join().unwrap());
        assert_eq!(receiver.try_drain(2).unwrap().len(), 2);
    });
}

#[test]
fn the_last_of_two_senders_closes_behind_what_both_sent() {
    explore("broadcast, two senders, close", Some(3), 100, || {
        let (sender, mut receiver) = many::<u64>(2);
        let sending = [sender.clone(), sender]
            .map(|mut sender| thread::spawn(move || sender.try_send(7).unwrap()));
        // Without yields: what was seen as empty before one would have to be seen anew after it.
        let mut seen = 0;
        for _ in 0..4 {
            match receiver.try_recv() {
                Ok(_item) => seen += 1,
                Err(RecvError::Empty) => {}
                Err(_closed) => {
                    assert_eq!(seen, 2);
                    break;
                }
            }
        }
        for sending in sending {
            sending.join().unwrap();
        }
    });
}
