//! What must hold of every disk that a crash may leave.

use std::sync::Arc;

use ringbolt::disk::sim::SimDisk;
use ringbolt::{Driver, Engine, ErrorKind, From, Log, LogView, Poll, Position};

use crate::run::{DIR, Run, Timeline, options};

/// States of each crash within a recovery.
const NESTED: usize = 4;

type Records = Vec<(Position, Vec<u8>)>;

/// How much is checked of a state, each with all that is before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// It is recovered, and what is found is right.
    Once,
    /// Recovering again changes nothing, and appending works afterwards.
    Deep,
    /// A crash in the middle of recovery changes nothing.
    Nested,
}

/// Checks one state; says how many states a crash within recovery added.
pub(crate) fn check(
    run: &Run,
    operation: u64,
    state: SimDisk,
    depth: Depth,
    seed: u64,
) -> Result<usize, String> {
    let mut nested = 0;
    if depth == Depth::Nested {
        state.record_wrecks();
    }
    let first = recover(&state)?;
    let Some(first) = first else {
        // There was no log yet: nothing may have been acknowledged, then.
        let acked = run
            .timelines
            .iter()
            .flat_map(|t| &t.entries)
            .any(|e| e.acked_at < operation);
        return if acked {
            Err("acknowledged, and there is no log".into())
        } else {
            Ok(0)
        };
    };
    belongs(run, operation, &first)?;
    if depth == Depth::Once {
        return Ok(0);
    }
    for wreck in state.take_wrecks() {
        for state in wreck.crash_states(2, seed).take(NESTED) {
            nested += 1;
            let line = state.describe();
            let again = recover(&state).map_err(|why| format!("{line}: {why}"))?;
            // What a killed process left in flight is durable only once recovery has synced it: a
            // power failure before that may still take what was never acknowledged.
            let unsynced = line.contains("kill:");
            let stays = match &again {
                Some(again) if unsynced => belongs(run, operation, again),
                again if again.as_ref() == Some(&first) => Ok(()),
                _ => Err("it is another log".into()),
            };
            stays.map_err(|why| format!("{line}: a crash in recovery: {why}"))?;
        }
    }
    let again = recover(&state)?;
    if again.as_ref() != Some(&first) {
        return Err("recovering twice changed the log".into());
    }
    goes_on(&state, first)?;
    Ok(nested)
}

/// What a view sees before anybody opens the log again, and what the next writer then finds: the
/// same, if it is one that may be found at all.
pub(crate) fn check_view(run: &Run, operation: u64, state: &SimDisk) -> Result<(), String> {
    state.land_orphans();
    let seen = match view_all(state) {
        Ok(seen) => seen,
        Err(error) if error.kind() == ErrorKind::NotALog => return Ok(()),
        Err(error) => return Err(format!("a view: {error}")),
    };
    belongs(run, operation, &seen).map_err(|why| format!("a view: {why}"))?;
    match recover(state)? {
        Some(found) if found != seen => Err(format!(
            "a view saw {} records, and recovery keeps {}",
            seen.len(),
            found.len()
        )),
        _ => Ok(()),
    }
}

fn view_all(state: &SimDisk) -> ringbolt::Result<Records> {
    let mut reader = LogView::open_on(state, DIR)?.reader(From::Start)?;
    let mut records = Vec::new();
    while let Some(record) = reader.try_next()? {
        records.push((record.position(), record.payload().to_vec()));
    }
    Ok(records)
}

/// Opens the log and reads all of it; `None` when there is nothing to open.
fn recover(state: &SimDisk) -> Result<Option<Records>, String> {
    let (engine, driver) = engine(state);
    let log = match options().create(false).open_on(&engine, DIR) {
        Ok(log) => log,
        Err(error) if error.kind() == ErrorKind::NotALog => return Ok(None),
        Err(error) => return Err(format!("opening: {error}")),
    };
    let records = read_all(&log)?;
    drop(driver);
    Ok(Some(records))
}

fn engine(state: &SimDisk) -> (Engine, Driver) {
    // What a killed process left in flight lands before the lock is given.
    state.land_orphans();
    Engine::builder()
        .disk(Arc::new(state.clone()))
        .caller_driven()
        .unwrap()
}

fn read_all(log: &Log) -> Result<Records, String> {
    let mut records = Vec::new();
    let mut reader = log
        .reader(From::Start)
        .map_err(|e| format!("reading: {e}"))?;
    while let Some(record) = reader.try_next().map_err(|e| format!("reading: {e}"))? {
        records.push((record.position(), record.payload().to_vec()));
    }
    Ok(records)
}

/// Appending and closing work, and what was there stays.
fn goes_on(state: &SimDisk, mut expected: Records) -> Result<(), String> {
    let (engine, mut driver) = engine(state);
    let log = options()
        .open_on(&engine, DIR)
        .map_err(|e| format!("opening again: {e}"))?;
    let ticket = log
        .try_append(b"afterwards")
        .map_err(|e| format!("appending: {e}"))?
        .into_owned();
    for _ in 0..10_000 {
        if ticket.is_done() {
            break;
        }
        match driver.poll().unwrap() {
            Poll::IdleFor(time) => driver.wait(Some(time)).unwrap(),
            Poll::Idle => driver.wait(None).unwrap(),
            Poll::Busy | Poll::Ended => {}
        }
    }
    let position = ticket.wait_timeout(std::time::Duration::ZERO);
    expected.push((position.map_err(|e| e.to_string())?, b"afterwards".to_vec()));
    if read_all(&log)? != expected {
        return Err("appending afterwards changed what was there".into());
    }
    drop((ticket, log, driver, engine));
    if recover(state)? != Some(expected) {
        return Err("what was appended afterwards did not stay".into());
    }
    Ok(())
}

/// Whether what was recovered is one of the courses that the log may have taken.
fn belongs(run: &Run, operation: u64, found: &Records) -> Result<(), String> {
    let mut why = String::from("no course fits");
    for timeline in &run.timelines {
        if timeline.from <= operation && operation <= timeline.until {
            match fits(run, timeline, operation, found) {
                Ok(()) => return Ok(()),
                Err(reason) => why = reason,
            }
        }
    }
    Err(why)
}

fn fits(run: &Run, timeline: &Timeline, operation: u64, found: &Records) -> Result<(), String> {
    let entries = &timeline.entries;
    // The start is at least where the last acknowledged trim put it, at most where one that was
    // asked for would.
    let trimmed = |which: fn(&(u64, u64, Position)) -> u64| {
        let done = run.trims.iter().filter(|trim| which(trim) < operation);
        let start = done
            .map(|(_, _, position)| *position)
            .max()
            .unwrap_or(Position::MIN);
        entries.partition_point(|entry| entry.position < start)
    };
    let (start_min, start_max) = (trimmed(|trim| trim.1), trimmed(|trim| trim.0));
    let begin = match found.first() {
        Some((position, _)) => entries.partition_point(|entry| entry.position < *position),
        None => start_max.min(entries.len()),
    };
    if !(start_min..=start_max).contains(&begin) {
        return Err(format!(
            "begins at record {begin}, not in {start_min}..={start_max}"
        ));
    }
    for (n, (position, payload)) in found.iter().enumerate() {
        let Some(entry) = entries.get(begin + n) else {
            return Err(format!("invented a record at {position}"));
        };
        if entry.position != *position || entry.payload != *payload {
            return Err(format!(
                "record {} is {} bytes at {position}; {} bytes at {} were appended",
                begin + n,
                payload.len(),
                entry.payload.len(),
                entry.position
            ));
        }
    }
    let end = begin + found.len();
    if let Some(lost) = entries[end.min(entries.len())..]
        .iter()
        .find(|e| e.acked_at < operation)
    {
        return Err(format!(
            "lost the record at {}, acknowledged at operation {}, crash at {operation}",
            lost.position, lost.acked_at
        ));
    }
    let torn = end > 0
        && entries
            .get(end)
            .is_some_and(|next| next.group == entries[end - 1].group);
    if torn {
        return Err(format!("a batch was torn at record {end}"));
    }
    Ok(())
}
