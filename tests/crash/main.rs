//! Crashes between every two operations of the disk, on the simulated one.
//!
//! Each workload runs once, and leaves a wreck at every operation. From each wreck come the disks
//! that the next process may find: after a power failure every subset of what was not durable
//! while there are few, a sample beyond; after a kill what was in flight lands late. On each:
//!
//! - what was acknowledged before the crash is there, and the rest is a gap-free prefix;
//! - nothing is invented, nothing that was cut or trimmed comes back;
//! - recovering again changes nothing, also after a crash in the middle of recovery;
//! - appending works afterwards;
//! - a view sees, before any writer comes, what that writer then finds.
//!
//! A failing state is printed as one line. `RINGBOLT_REPLAY='<workload>: <line>'` runs that alone.
//! `RINGBOLT_CRASH_STATES` sets about how many states are explored.

mod check;
mod run;
mod watched;
mod workloads;

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use check::{Depth, check, check_view};
use run::Run;
use workloads::{WORKLOADS, Workload};

/// About how many states are sampled unless the environment says otherwise; those of wrecks with
/// few parts in doubt are explored in full, and crashes in recovery, come on top.
const STATES: usize = 80_000;

/// Of each crash point's states every so many-th is recovered twice and appended to afterwards.
const DEEP_EVERY: usize = 4;
/// And every so many-th of those is crashed in the middle of its recovery as well.
const NESTED_EVERY: usize = 4;
/// Every so many-th is looked at by a reader first.
const VIEW_EVERY: usize = 16;

#[test]
fn acknowledged_records_survive_every_crash() {
    let wanted: usize = std::env::var("RINGBOLT_CRASH_STATES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(STATES);
    let replay = std::env::var("RINGBOLT_REPLAY").ok();
    let runs: Vec<(&Workload, Run)> = WORKLOADS
        .iter()
        .filter(|workload| {
            replay
                .as_ref()
                .is_none_or(|line| line.starts_with(workload.name))
        })
        .map(|workload| (workload, Run::record(workload)))
        .collect();
    let wrecks: usize = runs.iter().map(|(_, run)| run.wrecks.len()).sum();
    let limit = (wanted / wrecks.max(1)).max(2);

    let work: Vec<_> = runs
        .iter()
        .flat_map(|(workload, run)| run.wrecks.iter().map(move |wreck| (*workload, run, wreck)))
        .collect();
    let next = AtomicUsize::new(0);
    let states = AtomicUsize::new(0);
    let deeply = AtomicUsize::new(0);
    let within = AtomicUsize::new(0);
    let nested = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((workload, run, wreck)) = work.get(index) else {
                        return;
                    };
                    // Few parts are explored in full; the sample of many takes what is left.
                    let power = wreck.crash_states(limit, index as u64);
                    let kill = wreck.kill_states(2, index as u64);
                    for (n, state) in power.chain(kill).enumerate() {
                        let line = state.describe();
                        if replay
                            .as_ref()
                            .is_some_and(|wanted| !wanted.ends_with(&line))
                        {
                            continue;
                        }
                        states.fetch_add(1, Ordering::Relaxed);
                        // The deep checks cost more: a sample of the states gets them.
                        let depth = if replay.is_some() || n % (DEEP_EVERY * NESTED_EVERY) == 0 {
                            Depth::Nested
                        } else if n % DEEP_EVERY == 0 {
                            Depth::Deep
                        } else {
                            Depth::Once
                        };
                        deeply.fetch_add(usize::from(depth != Depth::Once), Ordering::Relaxed);
                        within.fetch_add(usize::from(depth == Depth::Nested), Ordering::Relaxed);
                        // Before the log is opened by a writer, who would settle it.
                        let viewed = if n % VIEW_EVERY == 1 {
                            check_view(run, wreck.operation(), &state)
                        } else {
                            Ok(())
                        };
                        let checked = viewed.and_then(|()| {
                            check(run, wreck.operation(), state, depth, index as u64)
                        });
                        match checked {
                            Ok(more) => {
                                nested.fetch_add(more, Ordering::Relaxed);
                            }
                            Err(why) => {
                                let mut failures = failures.lock().unwrap();
                                failures.push(format!("{}: {line}\n    {why}", workload.name));
                                if failures.len() >= 5 {
                                    return;
                                }
                            }
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let (states, nested) = (states.into_inner(), nested.into_inner());
    let (deeply, within) = (deeply.into_inner(), within.into_inner());
    // Past the test harness, which keeps what a test that passes prints.
    let told = writeln!(
        std::io::stdout(),
        "crash states explored: {} ({states}, and {nested} after a crash in recovery), of {} workloads, {wrecks} crash points",
        states + nested,
        runs.len(),
    );
    let told = told.and(writeln!(
        std::io::stdout(),
        "of the first, {deeply} were recovered twice and appended to, {within} crashed in recovery",
    ));
    assert!(told.is_ok());
    assert!(
        failures.is_empty(),
        "failing states:\n{}",
        failures.join("\n")
    );
    if replay.is_none() && wanted >= STATES {
        assert!(
            states + nested >= 100_000,
            "explored only {}",
            states + nested
        );
        assert!(
            deeply >= states / DEEP_EVERY,
            "checked only {deeply} deeply"
        );
    }
}
