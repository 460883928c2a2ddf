//! The promise itself: another process appends with acknowledgements, it is killed in the middle, and
//! what it had acknowledged is all there when the log is opened again.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Stdio};

use ringbolt::{Engine, From, LogOptions, Position};

use crate::backend::Backend;
use crate::child;
use crate::commands::demo::check::Order;
use crate::commands::demo::record::{self, Record};
use crate::outcome::{Done, Failure};

/// The kill comes when so many records were acknowledged.
const ACKNOWLEDGED: usize = 10_000;

/// How the records of the killed process fared: nothing that was acknowledged is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outlived {
    pub(super) acknowledged: u64,
    /// Records that were on their way, and came to the disk.
    pub(super) beyond: u64,
}

/// Has `ringbolt append --ack` append to the log, kills it, opens the log again and looks.
pub(super) fn run(
    engine: &Engine,
    options: &LogOptions,
    dir: &Path,
    backend: Backend,
    segment_bytes: u64,
) -> Done<Outlived> {
    let run = std::time::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_nanos() as u64;
    let args: [OsString; 9] = [
        "append".into(),
        dir.into(),
        "--ack".into(),
        "--framing".into(),
        "len32".into(),
        "--segment-bytes".into(),
        segment_bytes.to_string().into(),
        "--backend".into(),
        backend.name().into(),
    ];
    let mut writer = child::start(args, Stdio::piped())?;
    let stdin = writer.stdin.take().expect("it is piped");
    let acknowledged = std::thread::scope(|scope| {
        scope.spawn(move || feed(run, stdin));
        child::kill_after(writer, ACKNOWLEDGED)
    })?;
    let acknowledged: Vec<Position> = acknowledged
        .iter()
        .map(|line| line.parse())
        .collect::<Result<_, _>>()
        .map_err(|_| Failure::Other("an acknowledgement is no position".into()))?;

    // At once: this waits until the last writes of the dead process have landed.
    let log = options.open_on(engine, dir)?;
    let mut roll = Roll::new(run, &acknowledged);
    let first = acknowledged.first().copied().unwrap_or(Position::MIN);
    let mut reader = log.reader(From::Position(first))?;
    while let Some(record) = reader.try_next()? {
        roll.take(record.payload(), record.position())?;
    }
    let outlived = roll.finish()?;
    drop(reader);
    log.close()?;
    Ok(outlived)
}

/// Gives the writer records for as long as it lives.
fn feed(run: u64, mut stdin: ChildStdin) {
    let mut frame = [0; 4 + record::BYTES];
    frame[..4].copy_from_slice(&(record::BYTES as u32).to_le_bytes());
    for sequence in 0.. {
        Record {
            run,
            producer: 0,
            sequence,
            sent_ns: 0,
        }
        .write(&mut frame[4..]);
        if stdin.write_all(&frame).is_err() {
            return;
        }
    }
}

/// Calls the roll of what was acknowledged.
struct Roll<'a> {
    order: Order,
    due: std::slice::Iter<'a, Position>,
    acknowledged: u64,
}

impl<'a> Roll<'a> {
    fn new(run: u64, acknowledged: &'a [Position]) -> Self {
        Self {
            order: Order::new(run, 1),
            due: acknowledged.iter(),
            acknowledged: acknowledged.len() as u64,
        }
    }

    /// The next record that was read.
    fn take(&mut self, payload: &[u8], position: Position) -> Done<()> {
        self.order.take(payload, position)?;
        match self.due.next() {
            Some(due) if *due != position => Err(Failure::Other(format!(
                "the record at {position} was acknowledged at {due}"
            ))),
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Done<Outlived> {
        if let Some(lost) = self.due.next() {
            return Err(Failure::Other(format!(
                "{} records of a process that was killed were acknowledged, and only {} are there: \
                 the first that is missing was at {lost}; please report this, with the log, which \
                 lost data",
                self.acknowledged,
                self.order.records()
            )));
        }
        Ok(Outlived {
            acknowledged: self.acknowledged,
            beyond: self.order.records() - self.acknowledged,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(acknowledged: &[Position], found: &[(u64, Position)]) -> Done<Outlived> {
        let mut roll = Roll::new(9, acknowledged);
        for (sequence, position) in found {
            let mut bytes = [0; record::BYTES];
            Record {
                run: 9,
                producer: 0,
                sequence: *sequence,
                sent_ns: 0,
            }
            .write(&mut bytes);
            roll.take(&bytes, *position)?;
        }
        roll.finish()
    }

    #[test]
    fn every_acknowledged_record_must_be_there_in_its_place() {
        let at: Vec<Position> = ["1:4096", "1:4368", "1:4640"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let all = [(0, at[0]), (1, at[1]), (2, at[2])];
        let outlived = call(&at[..2], &all).unwrap();
        assert_eq!((outlived.acknowledged, outlived.beyond), (2, 1));
        assert_eq!(call(&at, &all).unwrap().beyond, 0);
        assert!(call(&at, &all[..2]).is_err(), "the last is missing");
        assert!(call(&at, &[]).is_err(), "all are missing");
        assert!(call(&at[..2], &[(0, at[0]), (2, at[1])]).is_err(), "a gap");
        assert!(call(&at, &[(0, at[0]), (1, at[2])]).is_err(), "moved");
    }
}
