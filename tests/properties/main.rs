//! Sequences of operations against a list, on every rung of the ladder of disks.
//!
//! Each case is a sequence of [`Op`]s. The same one is done to a log and to a [`Model`], which is a
//! vector of records; after each operation the two must agree. On the simulated disk, and on real
//! ones with an engine that the test drives, nothing happens between two operations, so what a
//! reader sees is known to the record. Where the engine has threads, it is known within bounds.
//!
//! Cases that failed once are in `regressions.txt` and run first, on every rung. For more cases than
//! CI has time for, set `PROPTEST_CASES`.

#[path = "../rungs/mod.rs"]
mod rungs;

mod machine;
mod model;
mod run;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};

use machine::Ground;
use run::{Run, TestResult};
use rungs::{Forced, LADDER};

/// One operation. Picks are taken modulo what there is to pick from.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Append(usize),
    Burst { count: usize, len: usize },
    Batch(Vec<usize>),
    Commit(usize),
    Abandon(usize),
    Panic(usize),
    Turns(usize),
    Flush,
    Trim(Pick),
    Truncate(Pick),
    Gate(usize),
    Open { visibility: u8, from: Start },
    Step { reader: usize, how: How },
    ReadAll,
    ReadFrom(Pick),
    ReadTime(usize),
    Reopen,
    Crash(u64),
}

/// A position to do something at.
#[derive(Debug, Clone)]
pub(crate) enum Pick {
    Record(usize),
    /// Eight bytes into a record: no place.
    Inside(usize),
    Cut(usize),
    Trimmed(usize),
    Durable,
    End,
    Beyond,
}

/// Where a reader that stays begins.
#[derive(Debug, Clone)]
#[allow(clippy::enum_variant_names)] // the names are the library's
pub(crate) enum Start {
    Start,
    End,
    Record(usize),
}

/// How a reader steps.
#[derive(Debug, Clone)]
pub(crate) enum How {
    Each(usize),
    Batch { records: usize, bytes: usize },
    Async,
    Share,
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..200usize,
        2 => 0..4200usize,
        2 => 0..=40 * 1024usize,
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        8 => any::<usize>().prop_map(Pick::Record),
        1 => any::<usize>().prop_map(Pick::Inside),
        1 => any::<usize>().prop_map(Pick::Cut),
        1 => any::<usize>().prop_map(Pick::Trimmed),
        1 => Just(Pick::Durable),
        2 => Just(Pick::End),
        1 => Just(Pick::Beyond),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let start = prop_oneof![
        Just(Start::Start),
        Just(Start::End),
        any::<usize>().prop_map(Start::Record),
    ];
    let how = prop_oneof![
        4 => (1..60usize).prop_map(How::Each),
        2 => (1..50usize, 0..200_000usize)
            .prop_map(|(records, bytes)| How::Batch { records, bytes }),
        1 => Just(How::Async),
        1 => Just(How::Share),
    ];
    prop_oneof![
        8 => len().prop_map(Op::Append),
        6 => (1..40usize, len()).prop_map(|(count, len)| Op::Burst { count, len }),
        4 => prop::collection::vec(len(), 1..8).prop_map(Op::Batch),
        2 => len().prop_map(Op::Commit),
        2 => len().prop_map(Op::Abandon),
        1 => len().prop_map(Op::Panic),
        3 => (1..12usize).prop_map(Op::Turns),
        3 => Just(Op::Flush),
        2 => pick().prop_map(Op::Trim),
        2 => pick().prop_map(Op::Truncate),
        2 => any::<usize>().prop_map(Op::Gate),
        4 => (0..3u8, start).prop_map(|(visibility, from)| Op::Open { visibility, from }),
        12 => (any::<usize>(), how).prop_map(|(reader, how)| Op::Step { reader, how }),
        2 => Just(Op::ReadAll),
        3 => pick().prop_map(Op::ReadFrom),
        2 => any::<usize>().prop_map(Op::ReadTime),
        1 => Just(Op::Reopen),
        1 => any::<u64>().prop_map(Op::Crash),
    ]
}

/// Runs `cases` sequences of `ops` operations on a ground that is made for each.
fn check(cases: u32, ops: usize, ground: impl Fn(u64) -> Ground) {
    let regressions = FileFailurePersistence::Direct("tests/properties/regressions.txt");
    let asked = std::env::var("PROPTEST_CASES").ok();
    let asked = asked.map(|cases| cases.parse().expect("PROPTEST_CASES is a number"));
    let mut runner = TestRunner::new(Config {
        cases: asked.unwrap_or(cases),
        source_file: Some(file!()),
        failure_persistence: Some(Box::new(regressions)),
        max_shrink_iters: 2000,
        ..Config::default()
    });
    let sequences = (any::<u64>(), prop::collection::vec(op(), 1..ops));
    let outcome = runner.run(&sequences, |(seed, ops)| {
        let result: TestResult = Run::new(&ground(seed)).all(&ops);
        result.map_err(TestCaseError::fail)
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn check_sim(direct: bool) {
    check(64, 80, |seed| Ground::Sim { direct, seed });
}

/// On a real disk, with both kinds of engine.
fn check_real(rung: &Forced) {
    let Some(disk) = rung.disk(1) else { return };
    for threaded in [false, true] {
        check(6, 50, |_| Ground::Real {
            disk: Arc::clone(&disk),
            threaded,
        });
    }
}

#[test]
fn sim_direct() {
    check_sim(true);
}

#[test]
fn sim_buffered() {
    check_sim(false);
}

#[test]
fn uring_registered() {
    check_real(&LADDER[0]);
}

#[test]
fn uring_unregistered() {
    check_real(&LADDER[1]);
}

#[test]
fn uring_buffered() {
    check_real(&LADDER[2]);
}

#[test]
fn posix_direct() {
    check_real(&LADDER[3]);
}

#[test]
fn posix_buffered() {
    check_real(&LADDER[4]);
}
