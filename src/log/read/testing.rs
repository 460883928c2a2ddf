//! What the tests of reading share: a log on a simulated disk, driven by the test's own thread.

use std::sync::Arc;
use std::time::Duration;

use crate::disk::sim::SimDisk;
use crate::log::options::LogOptions;
use crate::log::position::Position;
use crate::log::segment::{Header, Link};
use crate::log::{Log, Ticket};
use crate::{Driver, Engine, Poll};

/// The segments of these tests.
pub(crate) const SEGMENT_BYTES: u64 = 1 << 20;

/// A header of a segment in blocks of 4096 bytes.
pub(crate) fn header(ordinal: u64) -> Header {
    Header {
        log_id: [7; 16],
        ordinal,
        epoch: 1,
        previous: Link::NONE,
        salt: 0x5a17,
        segment_bytes: SEGMENT_BYTES,
        block_bytes: 4096,
        log_start: Position::MIN,
        created_unix_ns: 0,
        compatible: 0,
        features: 0,
    }
}

/// A log, its disk, and the driver of its engine.
pub(crate) struct Rig {
    pub(crate) disk: SimDisk,
    pub(crate) driver: Driver,
    pub(crate) log: Log,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::on(SimDisk::new(1))
    }

    /// Opens the log of a disk.
    pub(crate) fn on(disk: SimDisk) -> Self {
        Self::with(disk, |options| options)
    }

    /// The same with some options changed.
    pub(crate) fn with(disk: SimDisk, change: impl FnOnce(LogOptions) -> LogOptions) -> Self {
        let (engine, driver) = Engine::builder()
            .disk(Arc::new(disk.clone()))
            .caller_driven()
            .unwrap();
        let options = LogOptions::new()
            .segment_bytes(SEGMENT_BYTES)
            .memory_bytes(3 * SEGMENT_BYTES);
        let log = change(options).open_on(&engine, "/log").unwrap();
        let mut rig = Self { disk, driver, log };
        // There is room once the persister has had a turn.
        rig.turn();
        rig
    }

    /// Lets the engine do one thing, or wait for the disk.
    pub(crate) fn turn(&mut self) {
        let nap = match self.driver.poll().unwrap() {
            Poll::Busy | Poll::Ended => return,
            Poll::Idle => Duration::from_millis(10),
            Poll::IdleFor(time) => time,
        };
        self.driver.wait(Some(nap)).unwrap();
    }

    /// Drives the engine until `done`.
    pub(crate) fn until(&mut self, mut done: impl FnMut(&Log) -> bool) {
        for _ in 0..100_000 {
            if done(&self.log) {
                return;
            }
            self.turn();
        }
        panic!("it never came: {:?}", self.log.stats());
    }

    /// Drives the engine until all that was appended is on disk.
    pub(crate) fn flush(&mut self) {
        let end = self.log.end();
        self.until(|log| log.durable().get() >= end);
    }

    /// Appends one record, driving the engine while there is no room.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Position {
        loop {
            if let Ok(ticket) = self.log.try_append(payload) {
                return ticket.position();
            }
            self.turn();
        }
    }

    /// Appends `count` records of `len` bytes, numbered, and brings them to disk.
    pub(crate) fn fill(&mut self, numbers: std::ops::Range<u64>, len: usize) -> Vec<Position> {
        let positions = numbers
            .map(|number| self.append(&numbered(number, len)))
            .collect();
        self.flush();
        positions
    }

    /// Does what would block on a thread of its own, and drives the engine meanwhile.
    pub(crate) fn ask<T: Send>(&mut self, ask: impl FnOnce(&Log) -> T + Send) -> T {
        let log = self.log.clone();
        std::thread::scope(|scope| {
            let asked = scope.spawn(move || ask(&log));
            while !asked.is_finished() {
                self.turn();
            }
            asked.join().unwrap()
        })
    }

    pub(crate) fn close(&mut self) {
        self.ask(Log::close).unwrap();
    }

    /// The ticket's position; it need not be waited for.
    pub(crate) fn at(ticket: crate::Result<Ticket<'_>>) -> Position {
        ticket.unwrap().position()
    }
}

/// A record of `len` bytes that tells its number.
pub(crate) fn numbered(number: u64, len: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; len.max(8)];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}
