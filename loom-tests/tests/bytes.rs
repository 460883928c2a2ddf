//! The byte rings: full, empty, wrap with padding, close, abandoned claims, park and wake.
#![cfg(ringbolt_loom)]

use loom::future::block_on;
use loom::thread;
use ringbolt::ring::bytes::{Receiver, mpsc};
use ringbolt::ring::{RecvError, Refused, RingOptions};
use ringbolt_loom_tests::explore;

/// The smallest ring: four records of 8 bytes. It begins just before a wrap of the counters.
fn options(before_end: u64) -> RingOptions {
    RingOptions::new(64).starting_at(0_u64.wrapping_sub(before_end))
}

/// The next record; waits for it the way that costs loom least.
fn recv(receiver: &mut Receiver) -> Option<Vec<u8>> {
    loop {
        match receiver.try_recv().map(|record| record.to_vec()) {
            Ok(record) => return Some(record),
            Err(RecvError::Closed) => return None,
            Err(_) => thread::yield_now(),
        }
    }
}

/// Through a ring that `inside` records fill: the thread's find room only where these were.
fn stream(before_end: u64, len: usize, inside: u8, sent: u8) {
    let (mut sender, mut receiver) = options(before_end).spsc_bytes().unwrap();
    for number in 0..inside {
        sender.try_send(&vec![number; len]).unwrap();
    }
    assert_eq!(sender.try_send(&vec![9; len]), Err(Refused::Full));
    let producer = thread::spawn(move || {
        for number in inside..inside + sent {
            while sender.try_send(&vec![number; len]) == Err(Refused::Full) {
                thread::yield_now();
            }
        }
        sender
    });
    for number in 0..inside + sent {
        assert_eq!(recv(&mut receiver), Some(vec![number; len]));
    }
    drop(producer.join().unwrap());
    assert_eq!(recv(&mut receiver), None);
    assert_eq!(receiver.len(), 0);
}

#[test]
fn one_sender_full_and_empty() {
    explore("bytes spsc, full and empty", None, 100, || {
        stream(32, 24, 2, 2)
    });
}

#[test]
fn one_sender_wraps_with_padding() {
    explore("bytes spsc, padding", None, 100, || stream(16, 16, 2, 2));
}

#[test]
fn one_sender_blocks_and_is_woken() {
    explore("bytes spsc, a sender parks", None, 100, || {
        let (mut sender, mut receiver) = options(32).spsc_bytes().unwrap();
        for number in 0..2 {
            sender.try_send(&[number; 24]).unwrap();
        }
        let producer = thread::spawn(move || {
            sender.send(&[2; 24]).unwrap();
            sender
        });
        for number in 0..2 {
            assert_eq!(*receiver.try_recv().unwrap(), [number; 24]);
        }
        // It sleeps, or has sent: nobody will wake it from here on.
        drop(producer.join().unwrap());
        assert_eq!(recv(&mut receiver), Some(vec![2; 24]));
    });
}

#[test]
fn one_sender_wakes_the_receiver() {
    explore("bytes spsc, the receiver parks", None, 100, || {
        let (mut sender, mut receiver) = options(0).spsc_bytes().unwrap();
        let producer = thread::spawn(move || {
            sender.try_send(&[1; 24]).unwrap();
            sender
        });
        assert_eq!(*receiver.recv().unwrap(), [1; 24]);
        let sender = producer.join().unwrap();
        let closer = thread::spawn(move || drop(sender));
        assert_eq!(receiver.recv().unwrap_err(), RecvError::Closed);
        closer.join().unwrap();
    });
}

#[test]
fn one_sender_is_woken_for_all_that_it_needs() {
    explore("bytes spsc, woken for enough", None, 100, || {
        let (mut sender, mut receiver) = options(0).spsc_bytes().unwrap();
        for number in 0..4 {
            sender.try_send(&[number; 8]).unwrap();
        }
        let producer = thread::spawn(move || {
            sender.send(&[9; 24]).unwrap();
            sender
        });
        for number in 0..2 {
            assert_eq!(*receiver.try_recv().unwrap(), [number; 8]);
        }
        drop(producer.join().unwrap());
        for number in 2..4 {
            assert_eq!(recv(&mut receiver), Some(vec![number; 8]));
        }
        assert_eq!(recv(&mut receiver), Some(vec![9; 24]));
    });
}

#[test]
fn one_sender_as_a_task() {
    explore("bytes spsc, the sender as a task", None, 100, || {
        let (mut sender, mut receiver) = options(32).spsc_bytes().unwrap();
        for number in 0..2 {
            sender.try_send(&[number; 24]).unwrap();
        }
        let producer = thread::spawn(move || {
            block_on(sender.send_async(&[2; 24])).unwrap();
            sender
        });
        assert_eq!(*receiver.try_recv().unwrap(), [0; 24]);
        drop(producer.join().unwrap());
        for number in 1..3 {
            assert_eq!(recv(&mut receiver), Some(vec![number; 24]));
        }
    });
}

#[test]
fn the_receiver_as_a_task() {
    explore("bytes spsc, the receiver as a task", None, 100, || {
        let (mut sender, mut receiver) = options(0).spsc_bytes().unwrap();
        let producer = thread::spawn(move || {
            sender.try_send(&[1; 24]).unwrap();
            sender
        });
        let record = block_on(receiver.recv_async()).map(|record| record.to_vec());
        assert_eq!(record, Ok(vec![1; 24]));
        drop(producer.join().unwrap());
    });
}

#[test]
fn one_sender_batches_and_drains() {
    explore("bytes spsc, batch and drain", None, 100, || {
        let (mut sender, mut receiver) = options(24).spsc_bytes().unwrap();
        for number in 1..3 {
            sender.try_send(&[number; 16]).unwrap();
        }
        let producer = thread::spawn(move || {
            // Given up: its bytes look like headers, and none may be read.
            if let Ok(mut claim) = sender.try_claim(8) {
                claim.fill(0xff);
            }
            loop {
                let mut batch = sender.batch();
                let pushed = batch.push(&[3; 8]).and(batch.push(&[4; 16]));
                if pushed.is_ok() {
                    batch.commit();
                    break sender;
                }
                drop(batch);
                thread::yield_now();
            }
        });
        let mut seen = Vec::new();
        while seen.len() < 4 {
            match receiver.try_drain(2) {
                Ok(mut drain) => {
                    while let Some(record) = drain.next() {
                        seen.push(record[0]);
                    }
                    assert_ne!(seen.last(), Some(&3), "all or none");
                }
                Err(_) => thread::yield_now(),
            }
        }
        assert_eq!(seen, [1, 2, 3, 4]);
        drop(producer.join().unwrap());
    });
}

#[test]
fn one_sender_and_a_closing_receiver() {
    explore("bytes spsc, closed by the receiver", None, 100, || {
        let (mut sender, mut receiver) = options(32).spsc_bytes().unwrap();
        sender.try_send(&[0; 24]).unwrap();
        let producer = thread::spawn(move || {
            let sent = sender.try_send(&[1; 24]);
            let late = sender.send(&[2; 24]);
            assert!(sent.is_ok() || late.is_err(), "closed for good");
            sender
        });
        receiver.close();
        assert_eq!(recv(&mut receiver), Some(vec![0; 24]));
        let mut next = 1;
        while let Some(record) = recv(&mut receiver) {
            assert_eq!(record, vec![next; 24]);
            next += 1;
        }
        drop(producer.join().unwrap());
    });
}

/// Two senders, this thread the receiver; the records that are inside at first leave room for at most
/// one more.
fn two_senders(before_end: u64, len: usize, inside: u8) {
    let (sender, mut receiver) = options(before_end).mpsc_bytes().unwrap();
    for number in 0..inside {
        sender.try_send(&vec![number; len]).unwrap();
    }
    let threads = [10, 20].map(|number| {
        let sender = sender.clone();
        thread::spawn(move || {
            let sent = sender.try_send(&vec![number; len]);
            assert!(matches!(sent, Ok(()) | Err(Refused::Full)));
            (u8::from(sent.is_ok()) * number, sender)
        })
    });
    for number in 0..inside {
        assert_eq!(*receiver.try_recv().unwrap(), *vec![number; len]);
    }
    // Perhaps one more while they run.
    let early = receiver.try_recv().map_or(0, |record| record[0]);
    let (sent, threads): (Vec<_>, Vec<_>) = threads
        .map(|thread| thread.join().unwrap())
        .into_iter()
        .unzip();
    let mut received = early;
    while let Ok(record) = receiver.try_recv().map(|record| record.to_vec()) {
        assert_eq!(record, vec![record[0]; len]);
        received += record[0];
    }
    assert_eq!(received, sent.iter().sum());
    assert_eq!(receiver.len(), 0);
    drop(threads);
}

#[test]
fn two_senders_full_and_wrapping() {
    explore("bytes mpsc, two senders", Some(3), 100, || {
        two_senders(32, 24, 2)
    });
}

#[test]
fn two_senders_pad() {
    explore("bytes mpsc, two senders, padding", Some(3), 100, || {
        two_senders(16, 16, 1)
    });
}

#[test]
fn one_of_many_full_and_empty() {
    explore("bytes mpsc, one sender", None, 100, || {
        let (sender, mut receiver) = options(16).mpsc_bytes().unwrap();
        for number in 0..2 {
            sender.try_send(&[number; 16]).unwrap();
        }
        let producer = thread::spawn(move || {
            for number in 2..4 {
                while sender.try_send(&[number; 16]) == Err(Refused::Full) {
                    thread::yield_now();
                }
            }
            sender
        });
        for number in 0..4 {
            assert_eq!(recv(&mut receiver), Some(vec![number; 16]));
        }
        drop(producer.join().unwrap());
    });
}

#[test]
fn one_of_many_blocks_and_is_woken() {
    explore("bytes mpsc, a sender parks", Some(3), 100, || {
        let (sender, mut receiver) = options(32).mpsc_bytes().unwrap();
        for number in 0..2 {
            sender.try_send(&[number; 24]).unwrap();
        }
        let other = sender.clone();
        let sleeper = thread::spawn(move || sender.send(&[2; 24]).unwrap());
        // Takes some of the room that the sleeper waits for.
        let other = thread::spawn(move || {
            let _ = other.try_send(&[3; 8]);
            other
        });
        for number in 0..2 {
            assert_eq!(*receiver.try_recv().unwrap(), [number; 24]);
        }
        // It sleeps, or has sent: nobody will wake it from here on.
        sleeper.join().unwrap();
        drop(other.join().unwrap());
        let mut seen = 0;
        while let Some(record) = recv(&mut receiver) {
            seen += record[0];
        }
        assert!(seen == 2 || seen == 5);
    });
}

/// Claims 24 bytes and sends 8 of them, if there is room.
fn shortened(sender: &mpsc::Sender) -> bool {
    let Ok(mut claim) = sender.try_claim(24) else {
        return false;
    };
    claim[..8].fill(1);
    claim[8..].fill(0xff);
    claim.commit_len(8);
    true
}

#[test]
fn claims_that_are_given_up_become_room() {
    explore("bytes mpsc, given up", None, 100, || {
        let (sender, mut receiver) = options(32).mpsc_bytes().unwrap();
        sender.try_send(&[0; 24]).unwrap();
        let producer = thread::spawn(move || {
            sender.try_claim(24).unwrap().fill(0xff);
            while !shortened(&sender) {
                thread::yield_now();
            }
            sender
        });
        assert_eq!(recv(&mut receiver), Some(vec![0; 24]));
        assert_eq!(recv(&mut receiver), Some(vec![1; 8]));
        drop(producer.join().unwrap());
        assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Closed);
        assert_eq!(receiver.len(), 0);
    });
}

#[test]
fn a_batch_of_many_is_seen_all_or_none() {
    explore("bytes mpsc, batch", Some(3), 100, || {
        let (sender, mut receiver) = options(16).mpsc_bytes().unwrap();
        let other = sender.clone();
        let threads = [
            thread::spawn(move || {
                let mut batch = sender.try_claim_batch(2, 2).unwrap();
                batch.push(&[1]).unwrap();
                batch.push(&[2]).unwrap();
                batch.commit();
                sender
            }),
            thread::spawn(move || {
                other.try_send(&[9]).unwrap();
                other
            }),
        ];
        let mut seen = Vec::new();
        while seen.len() < 3 {
            match receiver.try_drain(9) {
                Ok(mut drain) => {
                    while let Some(record) = drain.next() {
                        seen.push(record[0]);
                    }
                    assert_ne!(seen.last(), Some(&1));
                }
                Err(_) => thread::yield_now(),
            }
        }
        assert!(seen == [1, 2, 9] || seen == [9, 1, 2], "{seen:?}");
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn closing_is_exact() {
    explore("bytes mpsc, exact closing", Some(3), 100, || {
        let (sender, mut receiver) = options(32).mpsc_bytes().unwrap();
        let other = sender.clone();
        let threads = [
            thread::spawn(move || u8::from(sender.try_send(&[1; 8]).is_ok())),
            thread::spawn(move || {
                let sent = other.try_send(&[1; 8]);
                other.close();
                assert_eq!(other.try_send(&[1; 8]), Err(Refused::Closed));
                u8::from(sent.is_ok())
            }),
        ];
        let mut received = 0;
        while let Some(record) = recv(&mut receiver) {
            received += record[0];
        }
        let sent: u8 = threads.map(|thread| thread.join().unwrap()).iter().sum();
        assert_eq!(
            received, sent,
            "all that was taken in comes out before the end"
        );
    });
}

#[test]
fn what_senders_left_is_there_when_the_last_one_goes() {
    explore("bytes mpsc, the last sender", Some(3), 100, || {
        let (sender, mut receiver) = options(32).mpsc_bytes().unwrap();
        let other = sender.clone();
        let threads =
            [sender, other].map(|sender| thread::spawn(move || sender.try_send(&[1; 8]).unwrap()));
        while !receiver.is_closed() {
            thread::yield_now();
        }
        for _ in 0..2 {
            assert_eq!(
                *receiver.try_recv().unwrap(),
                [1; 8],
                "never empty: it is closed"
            );
        }
        assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Closed);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_receiver_that_goes_tells_those_asleep() {
    explore("bytes mpsc, the receiver goes", Some(3), 100, || {
        let (sender, receiver) = options(0).mpsc_bytes().unwrap();
        sender.try_send(&[0; 24]).unwrap();
        sender.try_send(&[0; 24]).unwrap();
        let threads = [sender.clone(), sender].map(|sender| {
            thread::spawn(move || assert_eq!(sender.send(&[0; 8]), Err(Refused::Closed)))
        });
        drop(receiver);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_forgotten_claim_stalls_and_spoils_nothing() {
    explore("bytes, forgotten claims", None, 100, || {
        let (sender, mut receiver) = options(16).mpsc_bytes().unwrap();
        let (mut single, mut from_single) = options(16).spsc_bytes().unwrap();
        let producer = thread::spawn(move || {
            let mut claim = single.try_claim(24).unwrap();
            claim.fill(0xff);
            std::mem::forget(claim);
            single.try_send(&[1; 8]).unwrap();

            sender.try_send(&[1; 8]).unwrap();
            let mut claim = sender.try_claim(8).unwrap();
            claim.fill(0xff);
            std::mem::forget(claim);
            let _ = sender.try_send(&[2; 8]);
        });
        assert_eq!(recv(&mut from_single), Some(vec![1; 8]));
        assert_eq!(recv(&mut from_single), None);
        assert_eq!(recv(&mut receiver), Some(vec![1; 8]));
        producer.join().unwrap();
        assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
        assert_eq!(receiver.stats().received, 16);
    });
}
