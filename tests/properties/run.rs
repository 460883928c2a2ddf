//! One sequence of operations, done to the log and to the model.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use ringbolt::{Cold, ErrorKind, From, Position, ReadOptions, Reader, Ticket, Visibility};

use crate::machine::{End, Ground, Machine, owned};
use crate::model::{Expected, Horizon, Model, payload, plus};
use crate::{How, Op, Pick, Start};

pub(crate) type TestResult = Result<(), String>;

/// Fails the case with a message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// A log that is closed with its end before this offset can go on in the same segment.
const ROOM_BYTES: u64 = (1 << 20) - (16 << 10);

pub(crate) struct Run {
    // Readers before the machine: they go first.
    readers: Vec<Watcher>,
    tickets: Vec<Ticket<'static>>,
    model: Model,
    machine: Machine,
}

/// A reader that stays, and what it should see next.
struct Watcher {
    reader: Reader,
    visibility: Visibility,
    /// Everything before this was seen, or was never asked for.
    from: Position,
    /// A truncation took something away behind which the reader stands.
    is_cut: bool,
}

impl Run {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self {
            readers: Vec::new(),
            tickets: Vec::new(),
            model: Model::default(),
            machine: Machine::new(ground),
        }
    }

    pub(crate) fn all(mut self, ops: &[Op]) -> TestResult {
        for (index, op) in ops.iter().enumerate() {
            self.one(op)
                .map_err(|what| format!("operation {index}, {op:?}: {what}"))?;
        }
        self.reopen().map_err(|what| format!("at the end: {what}"))
    }

    fn one(&mut self, op: &Op) -> TestResult {
        match op {
            Op::Append(len) => self.append(*len),
            Op::Burst { count, len } => {
                for _ in 0..*count {
                    self.append(*len);
                }
            }
            Op::Batch(lens) => self.batch(lens),
            Op::Commit(len) => self.claim(*len, true),
            Op::Abandon(len) => self.claim(*len, false),
            Op::Panic(len) => self.panic(*len),
            Op::Turns(count) => (0..*count).for_each(|_| self.machine.turn()),
            Op::Flush => self.flush()?,
            Op::Trim(pick) => self.trim(pick)?,
            Op::Truncate(pick) => self.truncate(pick)?,
            Op::Gate(pick) => self.gate(*pick),
            Op::Open { visibility, from } => self.open_reader(*visibility, from)?,
            Op::Step { reader, how } => self.step(*reader, how)?,
            Op::ReadAll => self.read_all()?,
            Op::ReadFrom(pick) => self.read_from(pick)?,
            Op::ReadTime(pick) => self.read_time(*pick)?,
            Op::Reopen => self.reopen()?,
            Op::Crash(choice) => self.crash(*choice)?,
        }
        Ok(())
    }

    // ---- writing ------------------------------------------------------------------------------

    fn append(&mut self, len: usize) {
        let before = self.machine.now();
        let seed = self.model.seeds(1)[0];
        let bytes = payload(seed, len);
        let ticket = self.machine.append(|log| log.try_append(&bytes).map(owned));
        self.model.appended(ticket.position(), seed, len, before);
        self.tickets.push(ticket);
    }

    fn batch(&mut self, lens: &[usize]) {
        let before = self.machine.now();
        let seeds = self.model.seeds(lens.len());
        let records: Vec<_> = seeds.into_iter().zip(lens.iter().copied()).collect();
        let bytes: Vec<_> = records
            .iter()
            .map(|&(seed, len)| payload(seed, len))
            .collect();
        let append = |log: &ringbolt::Log| log.try_append_batch(&bytes).map(owned);
        let ticket = self.machine.append(append);
        self.model
            .batch_appended(ticket.position(), &records, before);
        self.tickets.push(ticket);
    }

    fn claim(&mut self, len: usize, commit: bool) {
        let before = self.machine.now();
        let seed = self.model.seeds(1)[0];
        let bytes = payload(seed, len);
        let ticket = self.machine.append(|log| {
            let mut claim = log.try_claim(len)?;
            assert!(
                claim.iter().all(|&byte| byte == 0),
                "a claim is zero at first"
            );
            claim.copy_from_slice(&bytes);
            Ok(commit.then(|| owned(claim.commit())))
        });
        if let Some(ticket) = ticket {
            self.model.appended(ticket.position(), seed, len, before);
            self.tickets.push(ticket);
        }
    }

    /// A closure that panics halfway through its record leaves no record.
    fn panic(&mut self, len: usize) {
        let outcome = self.machine.ask(|log| {
            let append = || {
                log.append_with(len, |buffer| {
                    let half = buffer.len() / 2;
                    buffer[..half].fill(0xa5);
                    // Past the hook, which would print.
                    resume_unwind(Box::new("halfway"));
                })
            };
            catch_unwind(AssertUnwindSafe(append)).is_err()
        });
        assert!(outcome, "the panic goes on");
    }

    fn flush(&mut self) -> TestResult {
        let end = self.machine.log().end();
        let flushed = self.machine.ask(|log| log.flush());
        let durable = self.machine.log().durable().get();
        ensure!(flushed.is_ok(), "{flushed:?}");
        ensure!(durable >= end, "flushed to {end}, and {durable} is durable");
        for ticket in self.tickets.drain(..) {
            ensure!(ticket.is_done(), "{ticket:?} after a flush");
            let outcome = ticket.wait();
            ensure!(outcome.is_ok(), "{ticket:?}: {outcome:?}");
        }
        Ok(())
    }

    // ---- cutting ------------------------------------------------------------------------------

    fn place(&self, pick: &Pick) -> Option<Position> {
        fn of<T>(list: &[T], pick: usize) -> Option<&T> {
            list.get(pick % list.len().max(1))
        }
        let log = self.machine.log();
        match *pick {
            Pick::Record(pick) => of(&self.model.records, pick).map(|record| record.position),
            Pick::Inside(pick) => of(&self.model.records, pick)
                .filter(|record| record.cuttable && record.len > 8)
                .map(|record| plus(record.position, 8)),
            Pick::Cut(pick) => of(&self.model.cut, pick).copied(),
            Pick::Trimmed(pick) => of(&self.model.trimmed, pick).copied(),
            Pick::Durable => Some(log.durable().get()),
            Pick::End => Some(log.end()),
            Pick::Beyond => Some(Position::from_u64(log.end().to_u64() + (1 << 40))),
        }
    }

    fn trim(&mut self, pick: &Pick) -> TestResult {
        let Some(at) = self.place(pick) else {
            return Ok(());
        };
        let before = self.machine.log().durable().get();
        let outcome = self.machine.ask(|log| log.trim(at));
        let after = self.machine.log().durable().get();
        match outcome {
            Ok(start) => {
                ensure!(at <= after, "trimmed to {at} while {after} was durable");
                ensure!(
                    start >= at,
                    "trimmed to {at}, and the log begins at {start}"
                );
                self.model.trim(at);
                let told = self.machine.log().start();
                let start = self.model.start();
                ensure!(
                    told >= start && self.model.index_from(told) == 0,
                    "the log should begin at {start}, and begins at {told}"
                );
            }
            Err(error) => {
                ensure!(
                    error.kind() == ErrorKind::Invalid && at > before,
                    "{before} is durable, and trimming to {at} fails: {error}"
                );
            }
        }
        Ok(())
    }

    fn truncate(&mut self, pick: &Pick) -> TestResult {
        let Some(at) = self.place(pick) else {
            return Ok(());
        };
        let start = self.machine.log().start();
        let end = self.machine.log().end();
        let record = self
            .model
            .records
            .iter()
            .find(|r| r.position == at)
            .cloned();
        match self.machine.ask(|log| log.truncate(at)) {
            Ok(next) => {
                ensure!(at >= start, "cut before the start, {start}");
                ensure!(
                    record.as_ref().is_none_or(|record| record.cuttable),
                    "a batch was cut in two at {at}"
                );
                ensure!(
                    self.model.highest.is_none_or(|highest| next > highest),
                    "{next} may have been given out before"
                );
                let cut = record.map_or(at, |record| frame_begin(&record));
                self.truncated(at, cut)
            }
            Err(error) => {
                let kind = error.kind();
                let right = match kind {
                    ErrorKind::Trimmed => at < start,
                    ErrorKind::NoRecord | ErrorKind::Cut => {
                        let stands = record.is_some_and(|record| record.cuttable);
                        !stands && (at != end || self.model.cut.contains(&at))
                    }
                    _ => false,
                };
                ensure!(right, "cutting {start}..{end} at {at}: {error}");
                Ok(())
            }
        }
    }

    /// The log was cut before the record at `at`, whose frame begins at `cut`.
    fn truncated(&mut self, at: Position, cut: Position) -> TestResult {
        for ticket in self.tickets.drain(..) {
            ensure!(ticket.is_done(), "{ticket:?} after a truncation");
            match ticket.wait() {
                Ok(position) => ensure!(position < at, "{position} was cut at {at}, and is done"),
                Err(error) => ensure!(
                    error.kind() == ErrorKind::Cut && ticket.position() >= at,
                    "{ticket:?} when the log was cut at {at}: {error}"
                ),
            }
        }
        self.model.truncate(at);
        for watcher in &mut self.readers {
            watcher.is_cut |= watcher.reader.position() > cut;
        }
        Ok(())
    }

    // ---- reading ------------------------------------------------------------------------------

    fn gate(&mut self, pick: usize) {
        let records = &self.model.records;
        let gate = match records.get(pick / 2 % records.len().max(1)) {
            Some(record) if pick % 2 == 0 => record.position,
            Some(record) => record.frame_end,
            None => Position::MIN,
        };
        self.machine.log().set_gate(gate);
        self.model.gate = Some(gate);
    }

    fn open_reader(&mut self, visibility: u8, from: &Start) -> TestResult {
        let visibility = match visibility {
            0 => Visibility::Durable,
            1 => Visibility::Committed,
            _ => Visibility::Gated,
        };
        let from = match from {
            Start::Start => From::Start,
            Start::End => From::End,
            Start::Record(pick) => match self.place(&Pick::Record(*pick)) {
                Some(position) => From::Position(position),
                None => return Ok(()),
            },
        };
        let options = ReadOptions::new().visibility(visibility);
        let (reader, horizon) =
            self.looking(visibility, |log| log.reader_with(from, options.clone()));
        let reader = reader.map_err(|error| error.to_string())?;
        let next = self.model.index_from(reader.position());
        match from {
            From::End => {
                let (must, may) = self.model.shown(&horizon);
                ensure!(
                    (must..=may).contains(&next),
                    "{must} to {may} records are to be seen, and {next} are before the end"
                );
            }
            From::Position(position) => {
                let at = self.model.index_from(position);
                ensure!(
                    next <= at,
                    "asked for {position}, got {}",
                    reader.position()
                );
            }
            _ => ensure!(next == 0, "{next} records are before the start"),
        }
        let from = match from {
            From::Position(position) => position,
            _ => reader.position().max(self.machine.log().start()),
        };
        self.readers.push(Watcher {
            reader,
            visibility,
            from,
            is_cut: false,
        });
        if self.readers.len() > 6 {
            self.readers.remove(0);
        }
        Ok(())
    }

    /// Looks at the log, with what could be seen meanwhile.
    fn looking<T>(
        &self,
        visibility: Visibility,
        look: impl FnOnce(&ringbolt::Log) -> T,
    ) -> (T, Horizon) {
        let log = self.machine.log();
        let before = log.durable().get();
        let looked = look(log);
        let after = log.durable().get();
        let horizon = Horizon {
            visibility,
            durable: (before, after),
            gate: self.model.gate(),
        };
        (looked, horizon)
    }

    fn step(&mut self, pick: usize, how: &How) -> TestResult {
        if self.readers.is_empty() {
            return Ok(());
        }
        let index = pick % self.readers.len();
        let mut watcher = self.readers.swap_remove(index);
        let stepped = match *how {
            How::Each(count) => (0..count).try_for_each(|_| self.step_once(&mut watcher, take)),
            How::Batch { records, bytes } => {
                self.step_once(&mut watcher, |reader| take_batch(reader, records, bytes))
            }
            How::Async => self.step_once(&mut watcher, take_async),
            How::Share => self.step_once(&mut watcher, take_shared),
        };
        self.readers.push(watcher);
        stepped
    }

    /// Has a reader take some records, and compares.
    fn step_once(
        &self,
        watcher: &mut Watcher,
        take: impl FnOnce(&mut Reader) -> Taken,
    ) -> TestResult {
        let stood = watcher.reader.position();
        let (taken, horizon) = self.looking(watcher.visibility, |_| take(&mut watcher.reader));
        let start = self.machine.log().start();
        let stands = watcher.reader.position();
        let taken = match taken {
            Err(error) if error.kind() == ErrorKind::Trimmed => {
                ensure!(stood < start, "{stood} is not trimmed: {error}");
                ensure!(
                    error.position() == Some(stands),
                    "{error}, and is at {stands}"
                );
                watcher.from = start;
                watcher.is_cut = false;
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Cut => {
                ensure!(watcher.is_cut, "{stood} was not cut: {error}");
                ensure!(
                    error.position() == Some(stands),
                    "{error}, and is at {stands}"
                );
                watcher.from = stands;
                watcher.is_cut = false;
                return Ok(());
            }
            Err(error) => return Err(format!("at {stood}: {error}")),
            Ok(taken) => taken,
        };
        let missed = self.model.trimmed.iter().find(|at| **at >= watcher.from);
        ensure!(
            missed.is_none(),
            "at {stood}, and {missed:?} was trimmed, nobody says so"
        );
        ensure!(!watcher.is_cut, "at {stood}, beyond a cut, nobody says so");
        self.compare(watcher.from, &taken, &horizon)?;
        if let Some((position, _)) = taken.last() {
            watcher.from = Position::from_u64(position.to_u64() + 1);
        }
        ensure!(
            self.model.index_from(stands) == self.model.index_from(watcher.from),
            "the reader says that it stands at {stands}"
        );
        Ok(())
    }

    /// Whether these are the records from `from` on; none only if none is to be seen.
    fn compare(
        &self,
        from: Position,
        taken: &[(Position, Vec<u8>)],
        horizon: &Horizon,
    ) -> TestResult {
        let first = self.model.index_from(from);
        let expected = &self.model.records[first..];
        if let (true, Some(next)) = (taken.is_empty(), expected.first()) {
            ensure!(!horizon.shows(next), "{next:?} is to be seen: {horizon:?}");
        }
        ensure!(
            taken.len() <= expected.len(),
            "{} records where there are {}",
            taken.len(),
            expected.len()
        );
        for (expected, taken) in expected.iter().zip(taken) {
            same(expected, taken)?;
            ensure!(
                horizon.may_show(expected),
                "{expected:?} is not to be seen yet: {horizon:?}"
            );
        }
        Ok(())
    }

    /// Reads from here to the end, and compares.
    fn read_on(&self, reader: &mut Reader, from: Position) -> TestResult {
        let (taken, horizon) = self.looking(Visibility::Durable, |_| drain(reader));
        let taken = taken?;
        self.compare(from, &taken, &horizon)?;
        let first = self.model.index_from(from);
        let (must, _) = self.model.shown(&horizon);
        ensure!(
            first + taken.len() >= must,
            "{} records from {from} on, and {} are durable",
            taken.len(),
            must - first
        );
        Ok(())
    }

    fn read_all(&self) -> TestResult {
        for cold in [Cold::Mapped, Cold::Direct] {
            let options = ReadOptions::new().cold(cold);
            let reader = self.machine.log().reader_with(From::Start, options);
            let mut reader = reader.map_err(|error| error.to_string())?;
            self.read_on(&mut reader, Position::MIN)?;
        }
        self.read_many()
    }

    /// Asks for every position that there ever was, and for some that never were, in no order.
    fn read_many(&self) -> TestResult {
        let model = &self.model;
        let records = model.records.iter().map(|record| record.position);
        let inside = model.records.iter().filter(|record| record.len >= 16);
        let inside = inside.map(|record| plus(record.position, 16));
        let gone = model.cut.iter().chain(&model.trimmed).copied();
        let all: Vec<_> = records.chain(inside).chain(gone).collect();
        let wanted: Vec<_> = (0..all.len())
            .map(|index| all[(index * 7919 + 5) % all.len()])
            .collect();
        let depth = 1 + all.len() % 40;
        let options = ReadOptions::new().depth(depth);
        let (answers, horizon) = self.looking(Visibility::Durable, |log| {
            let answers = log.read_many_with(wanted.iter().copied(), &options);
            answers.collect::<Vec<_>>()
        });
        let start = self.machine.log().start();
        ensure!(answers.len() == wanted.len(), "{} answers", answers.len());
        for (at, answer) in wanted.into_iter().zip(answers) {
            let record = model.records.iter().find(|r| r.position == at);
            let right = match (&answer, record) {
                (Ok(found), Some(record)) => {
                    same(record, &(found.position(), found.payload().to_vec()))?;
                    horizon.may_show(record)
                }
                (Ok(_), None) => false,
                (Err(error), Some(record)) => {
                    error.kind() == ErrorKind::WouldBlock && !horizon.shows(record)
                }
                (Err(error), None) => match error.kind() {
                    ErrorKind::Trimmed => at < start,
                    ErrorKind::Cut => model.cut.contains(&at),
                    ErrorKind::NoRecord | ErrorKind::WouldBlock => true,
                    _ => false,
                },
            };
            ensure!(
                right,
                "{at}, the log from {start}: {answer:?} for {record:?}"
            );
        }
        Ok(())
    }

    fn read_from(&mut self, pick: &Pick) -> TestResult {
        let Some(at) = self.place(pick) else {
            return Ok(());
        };
        let log = self.machine.log();
        let is_record = self.model.records.iter().any(|r| r.position == at);
        let is_trimmed = at < log.start();
        match log.reader(From::Position(at)) {
            Ok(mut reader) => {
                ensure!(!is_trimmed, "{at} is trimmed");
                let may = match pick {
                    Pick::Record(_) => true,
                    Pick::Durable | Pick::End => true,
                    Pick::Cut(_) => self.model.seams.contains(&at),
                    Pick::Inside(_) | Pick::Trimmed(_) | Pick::Beyond => false,
                };
                ensure!(may, "there is no place at {at}");
                self.read_on(&mut reader, at)
            }
            Err(error) => {
                let right = match error.kind() {
                    ErrorKind::Trimmed => is_trimmed,
                    ErrorKind::Cut => self.model.cut.contains(&at),
                    ErrorKind::NoRecord => !is_record,
                    _ => false,
                };
                // The watermark and the end may lie within what nobody committed yet.
                ensure!(right, "{at} with the start at {}: {error}", log.start());
                Ok(())
            }
        }
    }

    fn read_time(&mut self, pick: usize) -> TestResult {
        let records = &self.model.records;
        let Some(record) = records.get(pick % records.len().max(1)) else {
            return Ok(());
        };
        let reader = self.machine.log().reader(From::Time(record.before));
        let mut reader = reader.map_err(|error| error.to_string())?;
        ensure!(
            self.model.index_from(reader.position()) <= pick % records.len(),
            "{record:?} is not read, but what comes from {} on",
            reader.position()
        );
        let from = reader.position();
        self.read_on(&mut reader, from)
    }

    // ---- ending -------------------------------------------------------------------------------

    /// Closes, drains the readers, and opens again: everything is there.
    fn reopen(&mut self) -> TestResult {
        self.machine.close();
        for ticket in self.tickets.drain(..) {
            let outcome = ticket.wait();
            ensure!(outcome.is_ok(), "closed, and {ticket:?}: {outcome:?}");
        }
        let end = self.machine.log().end();
        let error = self.machine.log().append(b"late").map(owned).unwrap_err();
        ensure!(
            error.kind() == ErrorKind::Closed,
            "appending to a closed log: {error}"
        );
        for mut watcher in std::mem::take(&mut self.readers) {
            self.drain_closed(&mut watcher)?;
        }
        self.machine.forget();
        self.machine.open();
        self.found(self.model.records.len())?;
        let goes_on = self.machine.log().end();
        ensure!(
            end.offset_bytes() > ROOM_BYTES || goes_on.segment() == end.segment(),
            "closed cleanly at {end}, and opened at {goes_on}"
        );
        Ok(())
    }

    /// What is visible of a closed log can be read; then it says that it is closed.
    fn drain_closed(&self, watcher: &mut Watcher) -> TestResult {
        loop {
            let mut end = None;
            self.step_once(watcher, |reader| match reader.try_next() {
                Ok(None) => Err(closed_without_error()),
                Ok(Some(record)) => Ok(vec![(record.position(), record.to_vec())]),
                Err(error) if error.kind() == ErrorKind::Closed => {
                    end = Some(());
                    Ok(Vec::new())
                }
                Err(error) => Err(error),
            })?;
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// The process ends in the middle, and another one opens the log.
    fn crash(&mut self, choice: u64) -> TestResult {
        let (_, horizon) = self.looking(Visibility::Durable, |_| ());
        let (acknowledged, _) = self.model.shown(&horizon);
        self.readers.clear();
        let tickets = std::mem::take(&mut self.tickets);
        let end = self.machine.abandon(choice);
        drop(tickets);
        self.machine.open();
        match end {
            End::Whole => self.found(self.model.records.len()),
            End::Torn => self.found(acknowledged),
        }
    }

    /// The log was opened anew: at least `least` records must be there, and nothing that was not.
    fn found(&mut self, least: usize) -> TestResult {
        self.model.gate = None;
        let log = self.machine.log();
        let start = log.start();
        let reader = log.reader(From::Start);
        let mut reader = reader.map_err(|error| error.to_string())?;
        let found = drain(&mut reader)?;
        let expected = &self.model.records;
        ensure!(
            (least..=expected.len()).contains(&found.len()),
            "{} records found; {least} were acknowledged, {} appended",
            found.len(),
            expected.len()
        );
        for (expected, found) in expected.iter().zip(&found) {
            same(expected, found)?;
        }
        if let Some(lost) = expected.get(found.len()) {
            let at = lost.position;
            self.model.truncate(at);
        }
        ensure!(
            start >= self.model.start() && self.model.index_from(start) == 0,
            "the log began at {}, and now at {start}",
            self.model.start()
        );
        self.model.start = Some(start);
        Ok(())
    }
}

/// Records as they were read.
type Taken = ringbolt::Result<Vec<(Position, Vec<u8>)>>;

fn take(reader: &mut Reader) -> Taken {
    let record = reader.try_next()?;
    Ok(record
        .into_iter()
        .map(|r| (r.position(), r.to_vec()))
        .collect())
}

fn take_batch(reader: &mut Reader, records: usize, bytes: usize) -> Taken {
    let Some(batch) = reader.try_next_batch(records, bytes)? else {
        return Ok(Vec::new());
    };
    assert!((1..=records).contains(&batch.len()));
    let taken: Vec<_> = batch.iter().map(|r| (r.position(), r.to_vec())).collect();
    let sum: usize = taken.iter().map(|(_, payload)| payload.len()).sum();
    assert!(
        sum <= bytes || taken.len() == 1,
        "{sum} bytes instead of {bytes}"
    );
    Ok(taken)
}

/// Polls once; what is then dropped loses nothing.
fn take_async(reader: &mut Reader) -> Taken {
    let next = pin!(reader.next_async());
    match next.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => Ok(Vec::new()),
        Poll::Ready(record) => record.map(|r| vec![(r.position(), r.to_vec())]),
    }
}

fn take_shared(reader: &mut Reader) -> Taken {
    let Some(record) = reader.try_next()? else {
        return Ok(Vec::new());
    };
    let shared = record.share();
    drop(record);
    Ok(vec![(shared.position(), shared.into_bytes().to_vec())])
}

/// Reads all that is there.
fn drain(reader: &mut Reader) -> Result<Vec<(Position, Vec<u8>)>, String> {
    let mut records = Vec::new();
    loop {
        let more = take(reader).map_err(|error| error.to_string())?;
        if more.is_empty() {
            return Ok(records);
        }
        records.extend(more);
    }
}

fn same(expected: &Expected, (position, bytes): &(Position, Vec<u8>)) -> TestResult {
    ensure!(
        *position == expected.position && *bytes == expected.payload(),
        "{} bytes at {position} instead of {expected:?}",
        bytes.len()
    );
    Ok(())
}

fn frame_begin(record: &Expected) -> Position {
    let frame = record.frame_end.to_u64() - record.position.to_u64();
    if frame * 8 == ((16 + record.len) as u64).next_multiple_of(8) {
        return record.position;
    }
    // A batch's first record: behind the frame's header and the count.
    Position::from_u64(record.position.to_u64() - 3)
}

fn closed_without_error() -> ringbolt::Error {
    "the reader of a closed log waits"
        .parse::<Position>()
        .unwrap_err()
}
