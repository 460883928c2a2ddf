//! One sender, one receiver.
#![cfg(ringbolt_loom)]

use std::task::{Context, Poll};

use loom::future::block_on;
use loom::thread;
use ringbolt::ring::spsc::{Receiver, Sender};
use ringbolt::ring::{RecvError, Refused, RingOptions};
use ringbolt_loom_tests::{Counted, explore};

fn ring<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    // The counters wrap in the middle of each model.
    RingOptions::new(capacity)
        .starting_at(u64::MAX)
        .spsc()
        .unwrap()
}

#[test]
fn full_empty_and_wrap() {
    explore("spsc: try, full, empty, wrap", None, 100, || {
        let (mut sender, mut receiver) = ring(2);
        let thread = thread::spawn(move || {
            let mut sent = 0_u32;
            for _ in 0..4 {
                match sender.try_send(sent) {
                    Ok(()) => sent += 1,
                    Err(error) => assert_eq!(error.why, Refused::Full),
                }
            }
            sent
        });
        let mut next = 0;
        for _ in 0..3 {
            match receiver.try_recv() {
                Ok(number) => {
                    assert_eq!(number, next);
                    next += 1;
                }
                Err(RecvError::Closed) => break,
                Err(_) => {}
            }
        }
        let sent = thread.join().unwrap();
        next += receiver.try_iter().count() as u32;
        assert_eq!(next, sent);
    });
}

#[test]
fn a_parked_receiver_is_woken() {
    explore("spsc: parked receiver", None, 100, || {
        let (mut sender, mut receiver) = ring(1);
        let thread = thread::spawn(move || sender.try_send(7_u32).unwrap());
        assert_eq!(receiver.recv(), Ok(7));
        thread.join().unwrap();
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
    });
}

#[test]
fn a_parked_receiver_is_told_of_the_end() {
    explore("spsc: parked receiver, closed", None, 100, || {
        let (sender, mut receiver) = ring::<u32>(1);
        let thread = thread::spawn(move || drop(sender));
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
        thread.join().unwrap();
    });
}

#[test]
fn a_parked_sender_is_woken() {
    explore("spsc: parked sender", None, 100, || {
        let (mut sender, mut receiver) = ring(1);
        sender.try_send(1_u32).unwrap();
        let thread = thread::spawn(move || {
            assert_eq!(receiver.try_recv(), Ok(1));
            receiver
        });
        sender.send(2).unwrap();
        assert_eq!(thread.join().unwrap().try_recv(), Ok(2));
    });
}

#[test]
fn a_parked_sender_is_told_of_the_end() {
    explore("spsc: parked sender, closed", None, 100, || {
        let (mut sender, receiver) = ring(1);
        sender.try_send(1_u32).unwrap();
        let thread = thread::spawn(move || drop(receiver));
        assert_eq!(sender.send(2).unwrap_err().why, Refused::Closed);
        thread.join().unwrap();
    });
}

#[test]
fn batches_become_visible_together() {
    explore("spsc: claim and drain", None, 100, || {
        let (mut sender, mut receiver) = ring(2);
        let thread = thread::spawn(move || {
            let mut sent = 0;
            for _ in 0..3 {
                if let Ok(mut claim) = sender.try_claim(2) {
                    claim.fill([sent, sent + 1]);
                    claim.commit();
                    sent += 2;
                }
            }
            sent
        });
        let mut next = 0;
        for _ in 0..2 {
            if let Ok(drain) = receiver.try_drain(2) {
                assert_eq!(drain.len(), 2);
                for number in drain {
                    assert_eq!(number, next);
                    next += 1;
                }
            }
        }
        let sent: u32 = thread.join().unwrap();
        next += receiver.try_iter().count() as u32;
        assert_eq!(next, sent);
    });
}

#[test]
fn closing_and_dropping_lose_no_item() {
    explore("spsc: close, drop with items inside", None, 100, || {
        let items = Counted::new();
        let (mut sender, mut receiver) = ring(2);
        let thread = {
            let items = items.clone();
            thread::spawn(move || {
                // Abandoned: sends nothing.
                if let Ok(mut claim) = sender.try_claim(1) {
                    claim.push(items.make());
                }
                let _ = sender.try_send(items.make());
                let _ = sender.try_send(items.make());
            })
        };
        drop(receiver.try_recv());
        drop(receiver);
        thread.join().unwrap();
        items.assert_all_dropped();
    });
}

#[test]
fn a_task_is_woken() {
    explore("spsc: async", None, 100, || {
        let (mut sender, mut receiver) = ring(1);
        let thread = thread::spawn(move || sender.try_send(7_u32).unwrap());
        assert_eq!(block_on(receiver.recv_async()), Ok(7));
        thread.join().unwrap();
    });
}

#[test]
fn a_future_that_is_dropped_has_taken_nothing() {
    explore("spsc: dropped future", None, 100, || {
        let (mut sender, mut receiver) = ring(1);
        let thread = thread::spawn(move || {
            sender.try_send(7_u32).unwrap();
            sender
        });
        let waker = std::task::Waker::noop();
        let early = {
            let mut early = std::pin::pin!(receiver.recv_async());
            early.as_mut().poll(&mut Context::from_waker(waker))
        };
        let _sender = thread.join().unwrap();
        let late = receiver.try_recv();
        match early {
            Poll::Ready(got) => assert_eq!((got, late), (Ok(7), Err(RecvError::Empty))),
            Poll::Pending => assert_eq!(late, Ok(7)),
        }
    });
}

/// What comes while a drain begins is taken with it, whole.
#[test]
fn a_drain_takes_what_came_meanwhile() {
    explore("spsc: drain meanwhile", None, 100, || {
        let (mut sender, mut receiver) = ring(2);
        let thread = thread::spawn(move || {
            let mut sent = 0;
            for number in 0..3 {
                sent += u32::from(sender.try_send(number).is_ok());
            }
            sent
        });
        let mut taken = 0;
        for _ in 0..2 {
            if let Ok(drain) = receiver.try_drain(2) {
                taken += drain.count() as u32;
            }
        }
        let sent = thread.join().unwrap();
        assert_eq!(taken + receiver.try_iter().count() as u32, sent);
    });
}
