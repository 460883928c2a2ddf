//! An engine that is driven from an event loop which only polls the descriptor and never calls
//! `Driver::wait`: the descriptor once stayed readable for ever after the first wake-up.

use std::time::Duration;

use ringbolt::disk::{Real, RealOptions};
use ringbolt::{Driver, Engine, LogOptions, Poll};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Sleeps as an event loop does; says whether the descriptor is readable.
fn sleep(driver: &Driver, limit: Option<Duration>) -> bool {
    let fd = driver.event_descriptor().unwrap();
    let limit = limit.map(|limit| Timespec::try_from(limit).unwrap());
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], limit.as_ref()).unwrap() > 0
}

fn turn(driver: &mut Driver) {
    match driver.poll().unwrap() {
        Poll::Busy => {}
        Poll::IdleFor(limit) => drop(sleep(driver, Some(limit))),
        _ => drop(sleep(driver, None)),
    }
}

#[test]
fn the_descriptor_alone_drives_a_log_and_is_quiet_when_there_is_nothing_to_do() {
    for uring in [true, false] {
        let disk = Real::with(RealOptions {
            uring,
            ..RealOptions::default()
        });
        let name = format!("ringbolt-event-loop-{}-{uring}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let (engine, mut driver) = Engine::builder()
            .disk(std::sync::Arc::new(disk))
            .caller_driven()
            .unwrap();
        let log = LogOptions::new()
            .segment_bytes(1 << 20)
            .open_on(&engine, &dir)
            .unwrap();
        for n in 0..20_u32 {
            let ticket = loop {
                match log.try_append(&n.to_le_bytes()) {
                    Ok(ticket) => break ticket,
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                }
                turn(&mut driver);
            };
            while !ticket.is_done() {
                turn(&mut driver);
            }
        }
        // A few rounds for what was left over; then a poll that finds nothing leaves it quiet.
        let quiet = (0..1000)
            .any(|_| driver.poll().unwrap() != Poll::Busy && !sleep(&driver, Some(Duration::ZERO)));
        assert!(quiet, "uring: {uring}");
        drop((log, engine, driver));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
