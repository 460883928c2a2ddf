//! Records of bytes between threads: several senders that fill them in place, one receiver that
//! reads them in place.
//!
//! `cargo run --example ring_bytes`

use std::thread;

use ringbolt::ring::bytes::{mpsc, spsc};

const SENDERS: u64 = 3;
const LINES: u64 = 10_000;

fn main() -> ringbolt::Result<()> {
    let (sender, mut receiver) = mpsc::ring(64 << 10)?;
    let senders: Vec<_> = (0..SENDERS)
        .map(|number| {
            let sender = sender.clone();
            thread::spawn(move || report(&sender, number))
        })
        .collect();
    drop(sender); // The ring closes when the threads' clones are gone, too.

    // What comes is passed on in batches, each of which is seen all or none.
    let (mut forward, mut last) = spsc::ring(16 << 10)?;
    let sink = thread::spawn(move || {
        let (mut records, mut bytes) = (0, 0);
        last.for_each(|record| {
            records += 1;
            bytes += record.len();
        });
        (records, bytes)
    });
    let mut received = 0;
    while let Ok(mut drain) = receiver.drain(64) {
        let mut batch = forward.claim_batch(64, 64 * 64).expect("the sink reads");
        while let Some(record) = drain.next() {
            received += record.len();
            batch.push(record).expect("64 lines of less than 64 bytes");
        }
        batch.commit();
    }
    drop(forward);

    let (records, bytes) = sink.join().expect("the sink");
    let sent: usize = senders
        .into_iter()
        .map(|sender| sender.join().expect("a sender"))
        .sum();
    assert_eq!(records, SENDERS * LINES);
    assert_eq!((received, bytes), (sent, sent));
    println!("{records} records, {bytes} bytes, from {SENDERS} senders through two rings");
    Ok(())
}

/// Sends lines of different lengths in the ways there are; returns their bytes.
fn report(sender: &mpsc::Sender, number: u64) -> usize {
    let mut sent = 0;
    for line in 0..LINES {
        let text = format!("sender {number}, line {line}");
        match line % 3 {
            0 => sender.send(text.as_bytes()).expect("open"),
            1 => sender
                .send_with(text.len(), |room| room.copy_from_slice(text.as_bytes()))
                .expect("open"),
            _ => {
                // Claimed for the longest line; only what was written is sent.
                let mut claim = sender.claim(64).expect("open");
                claim[..text.len()].copy_from_slice(text.as_bytes());
                claim.commit_len(text.len());
            }
        }
        sent += text.len();
    }
    sent
}
