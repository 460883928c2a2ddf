//! Rings in a program's own event loop: two of them, each a descriptor beside its other ones.
//!
//! `cargo run --release --example ring_event_loop`

use std::error::Error;
use std::thread;

use ringbolt::ring::{ReadyFd, RecvError, spsc};
use rustix::event::{PollFd, PollFlags, poll};

const ITEMS: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut orders, orders_in) = spsc::ring::<u64>(64)?;
    let (mut quotes, quotes_in) = spsc::ring::<u64>(64)?;
    let threads = [
        thread::spawn(move || (0..ITEMS).for_each(|order| orders.send(order).expect("open"))),
        thread::spawn(move || (0..ITEMS).for_each(|quote| quotes.send(quote).expect("open"))),
    ];

    let mut receivers = vec![ReadyFd::new(orders_in)?, ReadyFd::new(quotes_in)?];
    let (mut sum, mut sleeps) = (0, 0);
    while !receivers.is_empty() {
        // Drain each until it is empty, then arm it. Whoever has something already says so.
        let mut may_sleep = true;
        let mut open = Vec::new();
        for mut receiver in receivers {
            let ended = loop {
                match receiver.try_recv() {
                    Ok(item) => sum += item,
                    Err(RecvError::Empty) => break false,
                    Err(_) => break true,
                }
            };
            if !ended {
                may_sleep &= receiver.arm()?;
                open.push(receiver);
            }
        }
        receivers = open;
        // Sockets and timers would be polled here as well.
        if may_sleep && !receivers.is_empty() {
            sleeps += 1;
            let mut fds: Vec<_> = receivers
                .iter()
                .map(|receiver| PollFd::new(receiver, PollFlags::IN))
                .collect();
            poll(&mut fds, None)?;
        }
    }
    for thread in threads {
        thread.join().expect("a sender panicked");
    }
    assert_eq!(sum, ITEMS * (ITEMS - 1));
    println!("{} items, {sleeps} sleeps", 2 * ITEMS);
    Ok(())
}
