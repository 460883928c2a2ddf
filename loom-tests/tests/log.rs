//! A whole log in small: appending, waiting and closing against the persister, with the real claim
//! word, bell, waiters and requests between them. A lost wake-up is a deadlock, which loom reports.
//!
//! Nothing is joined: a model ends with its last thread, and a thread that waits in a join takes a
//! wake-up that was meant for its parker amiss.
#![cfg(ringbolt_loom)]

use loom::thread;
use ringbolt::ErrorKind;
use ringbolt::model::log::{Log, open, position};
use ringbolt_loom_tests::explore;

/// One record's frame.
const FRAME: u64 = 24;

fn append(log: &Log) -> u64 {
    let ticket = log.append(b"12345678").unwrap();
    ticket.position().offset_bytes()
}

#[test]
fn the_last_handle_goes_while_a_record_is_committed_and_a_waiter_waits() {
    explore("last handle", Some(2), 100, || {
        let (log, mut persister) = open(64, 64);
        let durable = log.durable();
        thread::spawn(move || {
            assert!(
                durable.wait_for(position(FRAME)).is_ok(),
                "it was committed"
            );
            // Nobody will ever append this one: whoever waits is told.
            let error = durable.wait_for(position(2 * FRAME)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed);
        });
        thread::spawn(move || {
            append(&log);
        });
        assert_eq!(persister.run(), FRAME, "closed behind all that was claimed");
    });
}

/// A ticket outlives the handles. What was brought to disk before the log closed is acknowledged,
/// however late somebody asks.
#[test]
fn a_ticket_that_outlives_the_log_tells_what_became_of_its_record() {
    explore("ticket", Some(2), 100, || {
        let (log, mut persister) = open(64, 64);
        thread::spawn(move || {
            let ticket = log.append(b"12345678").unwrap().into_owned();
            drop(log);
            assert_eq!(ticket.wait().unwrap(), position(0));
        });
        assert_eq!(persister.run(), FRAME);
    });
}

/// The watermark rises over a cut: whoever sees it risen sees the cut.
#[test]
fn a_ticket_whose_record_was_cut_is_never_told_that_it_is_on_disk() {
    explore("cut", Some(3), 10, || {
        let (log, mut persister) = open(64, 64);
        let ticket = log.append(b"12345678").unwrap().into_owned();
        thread::spawn(move || {
            assert_eq!(ticket.wait().unwrap_err().kind(), ErrorKind::Cut);
        });
        persister.cut_all(2 * FRAME);
    });
}

#[test]
fn the_last_of_two_handles_closes_whichever_it_is() {
    explore("two handles", Some(2), 100, || {
        let (log, mut persister) = open(64, 64);
        let other = log.clone();
        thread::spawn(move || {
            let ticket = other.append(b"12345678").unwrap();
            ticket.wait().unwrap();
        });
        thread::spawn(move || drop(log));
        assert_eq!(persister.run(), FRAME);
    });
}

#[test]
fn the_persister_goes_while_a_record_is_committed_and_waited_for() {
    explore("persister gone", Some(3), 5, || {
        let (log, persister) = open(64, 64);
        thread::spawn(move || {
            let error = match log.append(b"12345678") {
                Ok(ticket) => ticket.wait().unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(error.kind(), ErrorKind::Closed);
        });
        persister.die();
    });
}

/// The bell, with commits in any order: each is found, and the persister sleeps through none.
#[test]
fn commits_out_of_order_are_all_brought_to_disk() {
    explore("bell, out of order", Some(2), 100, || {
        let (log, mut persister) = open(64, 64);
        let other = log.clone();
        thread::spawn(move || {
            append(&other);
        });
        thread::spawn(move || log.abandon(8).unwrap());
        assert_eq!(persister.run(), 2 * FRAME);
    });
}

/// One frame may be ahead of the disk: whoever comes second sleeps until the bound was raised.
#[test]
fn producers_that_wait_for_room_are_woken_when_there_is_some() {
    explore("room", Some(2), 100, || {
        let (log, mut persister) = open(128, 8);
        let other = log.clone();
        for log in [log, other] {
            thread::spawn(move || {
                append(&log);
            });
        }
        assert_eq!(persister.run(), 2 * FRAME);
    });
}

/// A bound that is never raised: who waits for room is told that the log is gone.
#[test]
fn producers_that_wait_for_room_are_told_of_the_end() {
    explore("no room", Some(3), 10, || {
        let (log, persister) = open(128, 8);
        append(&log);
        thread::spawn(move || {
            let error = log.append(b"12345678").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed);
        });
        persister.die();
    });
}

#[test]
fn a_reader_of_committed_frames_sees_those_that_were_committed_out_of_order() {
    explore("committed, out of order", Some(3), 100, || {
        let (log, persister) = open(64, 64);
        let mut reader = log.reader();
        for log in [log.clone(), log] {
            thread::spawn(move || {
                append(&log);
            });
        }
        assert_eq!(reader.next_frame() as u64, FRAME);
        assert_eq!(reader.next_frame() as u64, FRAME);
        drop(persister);
    });
}

/// Whoever commits a frame fences and wakes: a reader that saw the record behind a checkpoint that
/// was not committed yet must hear of the checkpoint.
#[test]
fn a_checkpoint_in_front_of_a_record_wakes_the_reader() {
    explore("committed, checkpoint", Some(3), 100, || {
        let (log, mut persister) = open(128, 128);
        let mut reader = log.reader();
        thread::spawn(move || while reader.next_frame() as u64 != FRAME {});
        let other = log.clone();
        thread::spawn(move || {
            append(&other);
        });
        persister.checkpoint();
        // Not before: it would wake this thread.
        drop(log);
    });
}

/// The same of the padding at a segment's end.
#[test]
fn the_padding_of_a_segment_wakes_the_reader() {
    explore("committed, padding", Some(3), 50, || {
        let (log, persister) = open(32, 64);
        let mut reader = log.reader();
        thread::spawn(move || {
            assert_eq!(reader.next_frame() as u64, FRAME);
            assert_eq!(reader.next_frame(), 8);
        });
        append(&log);
        let error = log.try_append(b"12345678").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(persister);
    });
}
