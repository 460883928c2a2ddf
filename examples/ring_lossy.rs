//! A feed that waits for nobody: its readers keep up, or are told what they missed.
//!
//! `cargo run --release --example ring_lossy`

use std::error::Error;
use std::thread;

use ringbolt::ring::lossy::{self, RecvError};

/// Every bit must have a value: no padding. The derive checks that.
#[derive(Debug, Clone, Copy, bytemuck::NoUninit)]
#[repr(C)]
struct Quote {
    number: u64,
    price: f64,
}

const QUOTES: u64 = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut feed = lossy::ring::<Quote>(1024)?;

    // Sees every quote that it is fast enough for, in order.
    let mut all = feed.subscribe();
    let recorder = thread::spawn(move || {
        let mut next = 0;
        loop {
            match all.recv() {
                Ok(quote) => {
                    assert_eq!(quote.number, next);
                    assert_eq!(quote.price, next as f64 / 4.0, "never torn");
                    next += 1;
                }
                Err(RecvError::Missed(missed)) => next += missed,
                Err(_) => break,
            }
        }
        assert_eq!(next, QUOTES, "received or missed, each of them");
        (all.received(), all.missed())
    });

    // Wants only the newest.
    let mut newest = feed.subscribe();
    let display = thread::spawn(move || {
        let mut shown = None;
        loop {
            newest.skip_to_newest();
            match newest.recv() {
                Ok(quote) => shown = Some(quote),
                Err(RecvError::Closed) => return shown,
                Err(_) => {}
            }
        }
    });

    for number in 0..QUOTES {
        let price = number as f64 / 4.0;
        feed.send(Quote { number, price })?;
    }
    drop(feed);

    let (received, missed) = recorder.join().expect("the recorder panicked");
    let shown = display.join().expect("the display panicked");
    let last = shown.expect("the last one stays").number;
    assert_eq!(last, QUOTES - 1);
    println!("recorded {received}, missed {missed}; shown last: {last}");
    Ok(())
}
