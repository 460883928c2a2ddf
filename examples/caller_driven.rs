//! Without any thread: the log's work happens inside this program's own event loop.
//!
//! `cargo run --release --example caller_driven`

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use ringbolt::{Driver, Engine, LogOptions, Poll};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("ringbolt-driven-{}", std::process::id()));
    let (engine, mut driver) = Engine::builder().caller_driven()?;
    let log = LogOptions::new()
        .segment_bytes(1 << 20)
        .open_on(&engine, &dir)?;

    let mut tickets = Vec::new();
    for n in 0..10_000_u32 {
        // The blocking forms would wait for work that this very thread has to do.
        loop {
            match log.try_append(&n.to_le_bytes()) {
                Ok(ticket) => break tickets.push(ticket),
                Err(error) if error.is_retryable() => turn(&mut driver)?,
                Err(error) => return Err(error.into()),
            }
        }
    }
    while !tickets.iter().all(ringbolt::Ticket::is_done) {
        turn(&mut driver)?;
    }
    println!("on disk up to {}", log.durable().get());

    let mut close = pin!(log.close_async());
    while close
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_pending()
    {
        turn(&mut driver)?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// One turn of the event loop. A real one would wait for `driver.event_descriptor()` together with
/// its sockets instead of in `Driver::wait`.
fn turn(driver: &mut Driver) -> ringbolt::Result<()> {
    match driver.poll()? {
        Poll::Busy | Poll::Ended => Ok(()),
        Poll::Idle => driver.wait(None),
        Poll::IdleFor(time) => driver.wait(Some(time)),
    }
}
