//! The disk, the log that is open on it, and the one thread that drives both.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::Source;
use super::model::{self, Model};
use crate::disk::sim::{SimDisk, SimOptions};
use crate::engine::{Driver, Engine, Poll};
use crate::error::{ErrorKind, Result};
use crate::log::{Durability, Log, LogOptions, Position, Preallocation, Ticket};
use crate::{From, ReadOptions, Visibility};

/// How often the engine is asked before an answer that does not come is one that never does.
const ROUNDS_MAX: usize = 100_000;
/// How many tickets are followed at a time.
const TICKETS_MAX: usize = 64;

/// The disk, and how logs are opened on it.
pub(super) struct Rig {
    pub(super) disk: SimDisk,
    options: LogOptions,
    memory: bool,
    /// Whether the disk may refuse something, so that the log may fail.
    pub(super) faulty: Cell<bool>,
    pub(super) openings: usize,
    /// Whether a story is told on standard error.
    tells: bool,
}

/// An open log.
pub(super) struct Opened {
    pub(super) log: Log,
    driver: Driver,
    /// Records whose tickets are followed.
    tickets: Vec<(Position, Ticket<'static>)>,
    memory: bool,
}

/// Records as they were read.
type Records = Vec<(Position, Vec<u8>)>;

impl Rig {
    pub(super) fn new(source: &mut Source<'_>, model: &mut Model) -> Self {
        let choice = source.byte();
        let disk = SimOptions::new()
            .seed(source.u16().into())
            .direct(choice & 1 == 0)
            .build();
        let memory = choice & 2 != 0;
        let mut options = LogOptions::new()
            .segment_bytes(1 << 20)
            .spare_segments(u32::from(choice >> 6))
            .lock_timeout(Duration::from_secs(1))
            .preallocation(if choice & 4 == 0 {
                Preallocation::Unwritten
            } else {
                Preallocation::Auto
            });
        if memory {
            options = options.durability(Durability::Memory);
        }
        if choice & 8 != 0 {
            options = options.retain_bytes(3 << 20);
            model.retains = true;
        }
        if choice & 16 != 0 {
            options = options.unsynced_bytes(64 << 10);
        }
        Self {
            disk,
            options,
            memory,
            faulty: Cell::new(false),
            openings: 0,
            tells: std::env::var_os("RINGBOLT_FUZZ_TRACE").is_some(),
        }
    }

    /// Tells what is done, to whoever looks at a case that failed.
    pub(super) fn tell(&self, what: std::fmt::Arguments<'_>) {
        if self.tells {
            eprintln!("{:>5} {what}", self.disk.operations());
        }
    }

    /// Opens the log, and checks what it holds. The disk may fail or crash meanwhile: then the log
    /// is opened again, and nothing may have changed.
    pub(super) fn open(&mut self, source: &mut Source<'_>, model: &mut Model) -> Opened {
        loop {
            self.openings += 1;
            match self.try_open() {
                Ok(mut opened) => {
                    let (start, found) = match opened.read(Visibility::Durable) {
                        Ok(read) => read,
                        Err(_) if self.disk.has_crashed() => {
                            drop(opened);
                            self.crash(source);
                            continue;
                        }
                        Err(error) => {
                            assert!(self.faulty.get(), "reading what was recovered: {error}");
                            self.mend();
                            continue;
                        }
                    };
                    self.tell(format_args!("opened from {start}, {} records", found.len()));
                    model.recovered(start, &found);
                    return opened;
                }
                Err(_) if self.disk.has_crashed() => self.crash(source),
                Err(error) => {
                    self.tell(format_args!("opening: {error}"));
                    assert!(self.faulty.get(), "opening: {error}");
                    assert_ne!(error.kind(), ErrorKind::Damaged, "opening: {error}");
                    self.mend();
                }
            }
        }
    }

    fn try_open(&self) -> Result<Opened> {
        let disk = Arc::new(self.disk.clone());
        let (engine, driver) = Engine::builder().disk(disk).caller_driven()?;
        let log = self.options.open_on(&engine, "/log")?;
        Ok(Opened {
            log,
            driver,
            tickets: Vec::new(),
            memory: self.memory,
        })
    }

    /// Ends all faults.
    pub(super) fn mend(&self) {
        self.disk.clear_faults();
        self.disk.set_capacity(None);
        self.faulty.set(false);
    }

    /// Goes on with one of the disks that the crash may have left.
    pub(super) fn crash(&mut self, source: &mut Source<'_>) {
        let seed = u64::from(source.u16());
        let mut states = if seed & 1 == 0 {
            self.disk.crash_states(2, seed)
        } else {
            self.disk.kill_states(2, seed)
        };
        let which = (seed >> 1) as usize % 16;
        let last = states.next().expect("there is always one state");
        self.disk = states.take(which).last().unwrap_or(last);
        self.tell(format_args!("crashed: {}", self.disk.describe()));
        self.mend();
    }
}

impl Opened {
    // ---- the engine ----------------------------------------------------------------------------

    /// One round of the engine; whether the log still goes.
    pub(super) fn turn(&mut self, model: &mut Model) -> bool {
        let polled = self.driver.poll();
        model.durable(self.log.durable().get());
        polled.is_ok()
    }

    /// Drives the engine until the future has its outcome.
    fn drive<T>(&mut self, model: &mut Model, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..ROUNDS_MAX {
            if let std::task::Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
                model.durable(self.log.durable().get());
                return outcome;
            }
            // An engine that failed has told everybody who waits.
            match self.driver.poll() {
                Ok(Poll::Idle) => drop(self.driver.wait(None)),
                Ok(Poll::IdleFor(time)) => drop(self.driver.wait(Some(time))),
                Ok(Poll::Busy | Poll::Ended) | Err(_) => {}
            }
        }
        panic!("nobody is told");
    }

    /// Drives the engine until it has nothing to do.
    fn settle(&mut self, rig: &Rig, model: &mut Model) {
        for _ in 0..ROUNDS_MAX {
            let idle = rig.disk.idle_waits();
            match self.driver.poll() {
                Ok(Poll::Busy) => {}
                Ok(Poll::Idle) => {
                    if self.driver.wait(None).is_err() || rig.disk.idle_waits() > idle {
                        break;
                    }
                }
                Ok(Poll::IdleFor(time)) => drop(self.driver.wait(Some(time))),
                Ok(Poll::Ended) | Err(_) => break,
            }
        }
        model.durable(self.log.durable().get());
    }

    // ---- operations: each says whether the log should stay open ----------------------------------

    pub(super) fn append(&mut self, rig: &Rig, model: &mut Model, len: usize) -> bool {
        let id = model.id();
        let mut payload = vec![0; len.min(self.log.payload_bytes_max())];
        model::fill(id, &mut payload);
        let appended = self.patiently(rig, model, |log| {
            log.try_append(&payload).map(Ticket::into_owned)
        });
        match appended {
            Ok(position) => {
                rig.tell(format_args!("appended {id} of {len} at {position}"));
                model.appended(position, id, payload.len());
                true
            }
            Err(error) => self.excuse(rig, &error),
        }
    }

    pub(super) fn append_batch(&mut self, rig: &Rig, model: &mut Model, lens: &[usize]) -> bool {
        let records: Vec<(u64, usize)> = lens.iter().map(|&len| (model.id(), len)).collect();
        let payloads: Vec<Vec<u8>> = records
            .iter()
            .map(|&(id, len)| {
                let mut payload = vec![0; len];
                model::fill(id, &mut payload);
                payload
            })
            .collect();
        let appended = self.patiently(rig, model, |log| {
            log.try_append_batch(&payloads).map(Ticket::into_owned)
        });
        match appended {
            Ok(first) => {
                rig.tell(format_args!("appended {records:?} at {first}"));
                model.appended_batch(first, &records);
                true
            }
            Err(error) => self.excuse(rig, &error),
        }
    }

    /// Appends, after a wait for room if need be: on an idle engine there is nothing to wait for,
    /// but for room on the disk.
    fn patiently(
        &mut self,
        rig: &Rig,
        model: &mut Model,
        append: impl Fn(&Log) -> Result<Ticket<'static>>,
    ) -> Result<Position> {
        let mut appended = append(&self.log);
        // Once for what is not on disk yet, once more for the padding at a segment's end.
        for _ in 0..2 {
            if matches!(&appended, Err(error) if error.kind() == ErrorKind::WouldBlock) {
                self.settle(rig, model);
                appended = append(&self.log);
            }
        }
        let ticket = appended?;
        let position = ticket.position();
        if self.tickets.len() == TICKETS_MAX {
            self.tickets.clear();
        }
        self.tickets.push((position, ticket));
        Ok(position)
    }

    /// Whether the log goes on after an error, which must have a reason.
    fn excuse(&self, rig: &Rig, error: &crate::Error) -> bool {
        rig.tell(format_args!("refused: {error}"));
        assert!(rig.faulty.get() || rig.disk.has_crashed(), "{error}");
        error.kind() == ErrorKind::Full && !error.is_fatal()
    }

    /// Claims, waits a little, and commits or drops the claim.
    pub(super) fn claim(&mut self, rig: &Rig, model: &mut Model, len: usize, choice: u8) -> bool {
        let id = model.id();
        let mut claim = match self.log.try_claim(len) {
            Ok(claim) => claim,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(error) => return self.excuse(rig, &error),
        };
        model::fill(id, &mut claim);
        let position = claim.position();
        rig.tell(format_args!("claimed {len} at {position}, {choice:#x}"));
        for _ in 0..choice >> 4 {
            // Others are not held up by what the engine makes of it.
            let _ = self.driver.poll();
        }
        assert!(
            self.log.durable().get() <= position,
            "an open claim became durable"
        );
        if choice & 1 == 0 {
            model.abandoned(position);
            drop(claim);
        } else {
            let ticket = claim.commit();
            assert_eq!(ticket.position(), position);
            model.appended(position, id, len);
        }
        true
    }

    pub(super) fn flush(&mut self, rig: &Rig, model: &mut Model) -> bool {
        let log = self.log.clone();
        match self.drive(model, log.flush_async()) {
            Ok(to) => {
                rig.tell(format_args!("flushed to {to}"));
                if let Some(last) = model.records.len().checked_sub(1) {
                    assert!(model.is_certain(last), "flushed, and not durable");
                }
                true
            }
            Err(error) => self.excuse(rig, &error),
        }
    }

    pub(super) fn truncate(&mut self, rig: &Rig, model: &mut Model, at: usize) -> bool {
        let index = at % (model.records.len() + 1);
        let at = model.records.get(index).map(|record| record.position);
        let at = at.unwrap_or_else(|| self.log.end());
        self.tickets.retain(|(position, _)| *position < at);
        model.truncating(index);
        let log = self.log.clone();
        let outcome = self.drive(model, log.truncate_async(at));
        rig.tell(format_args!("truncated at {at}: {outcome:?}"));
        match outcome {
            Ok(to) => {
                model.truncated(Some(to));
                true
            }
            Err(error) => match error.kind() {
                // A record inside a batch, or one that was trimmed: refused, without an effect.
                ErrorKind::NoRecord | ErrorKind::Trimmed | ErrorKind::Full => {
                    model.truncated(None);
                    true
                }
                _ => self.excuse(rig, &error),
            },
        }
    }

    pub(super) fn trim(&mut self, rig: &Rig, model: &mut Model, at: usize) -> bool {
        let index = at % (model.records.len() + 1);
        let at = model.records.get(index).map(|record| record.position);
        let at = at.unwrap_or_else(|| self.log.durable().get());
        model.trimming(at);
        let log = self.log.clone();
        let outcome = self.drive(model, log.trim_async(at));
        rig.tell(format_args!("trimmed before {at}: {outcome:?}"));
        match outcome {
            Ok(start) => {
                assert!(start <= at.max(self.log.start()));
                model.trimmed(start);
                true
            }
            // Beyond what is on disk.
            Err(error) if error.kind() == ErrorKind::Invalid => true,
            Err(error) => self.excuse(rig, &error),
        }
    }

    // ---- what must hold -------------------------------------------------------------------------

    /// Reads everything, as committed and as durable, and looks at the tickets.
    pub(super) fn check(&mut self, model: &mut Model) {
        let watermark = self.log.durable().get();
        model.durable(watermark);
        if let Ok((start, found)) = self.read(Visibility::Committed) {
            model.holds_all(start, &found);
        }
        if let Ok((start, found)) = self.read(Visibility::Durable) {
            model.holds_certain(start, &found);
        }
        if !self.memory {
            for (position, ticket) in &self.tickets {
                if ticket.is_done() && ticket.wait().is_ok() {
                    let durable = self.log.durable().get();
                    assert!(*position < durable, "acknowledged before it was durable");
                }
            }
        }
    }

    fn read(&mut self, visibility: Visibility) -> Result<(Position, Records)> {
        let options = ReadOptions::new().visibility(visibility);
        let mut reader = self.log.reader_with(From::Start, options.clone())?;
        let mut found = Vec::new();
        while let Some(record) = reader.try_next()? {
            found.push((record.position(), record.payload().to_vec()));
        }
        let positions = found.iter().rev().map(|(position, _)| *position);
        let answers = self.log.read_many_with(positions, &options);
        for (answer, (position, payload)) in answers.zip(found.iter().rev()) {
            let record = answer?;
            assert_eq!(record.position(), *position);
            assert!(
                record.payload() == payload,
                "{position} is read in two ways"
            );
        }
        Ok((self.log.start(), found))
    }

    /// Closes the log, well or badly, and lets go of it. Everybody who waits is told.
    pub(super) fn close(mut self, rig: &Rig, model: &mut Model) {
        let log = self.log.clone();
        let outcome = self.drive(model, log.close_async());
        rig.tell(format_args!("closed: {outcome:?}"));
        match outcome {
            Ok(()) => {
                self.check(model);
                if let Some(last) = model.records.len().checked_sub(1) {
                    assert!(model.is_certain(last), "closed, and not durable");
                }
            }
            Err(error) => {
                self.excuse(rig, &error);
            }
        }
        for (position, ticket) in &self.tickets {
            assert!(ticket.is_done(), "the ticket of {position} waits for ever");
        }
        if !rig.disk.has_crashed() {
            rig.mend();
        }
    }
}
