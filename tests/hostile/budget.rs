//! A bound on the memory of all logs of an engine together: who gets how much, who is refused, and
//! when it goes back.

use ringbolt::disk::sim::{EIO, Fault, OpClass, SimDisk};
use ringbolt::{Engine, ErrorKind, From, Log, LogOptions, Result};

use crate::common::{DIR, Rig, options, payload, read_all};

const MIB: u64 = 1 << 20;

fn rig(seed: u64, memory_bytes: u64) -> Rig {
    let builder = Engine::builder().memory_bytes(memory_bytes);
    Rig::built(&SimDisk::new(seed), builder)
}

fn open(rig: &Rig, name: &str, options: &LogOptions) -> Result<Log> {
    options.open_on(&rig.engine, format!("/{name}"))
}

/// What the engine says is taken: found out by asking for more than there ever is.
fn taken(rig: &Rig) -> u64 {
    let greedy = options().segment_bytes(256 * MIB).memory_bytes(768 * MIB);
    let error = open(rig, "greedy", &greedy).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let text = error.to_string();
    let before = text.split(" are taken").next().unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Fills some segments, and reads all of it again.
fn work(rig: &mut Rig, log: &Log, mark: usize) {
    for n in 0..24 {
        rig.write(log, &payload(mark + n, 250_000));
        assert!(log.stats().images <= 4);
    }
    let mut reader = log.reader(From::Start).unwrap();
    for n in 0..24 {
        let record = reader.try_next().unwrap().expect("it was written");
        assert!(record.payload() == payload(mark + n, 250_000));
    }
}

#[test]
fn logs_share_a_budget() {
    let mut rig = rig(1, 7 * MIB);
    assert_eq!(taken(&rig), 0);
    let four = options().memory_bytes(4 * MIB);
    let one = open(&rig, "one", &four).unwrap();
    assert_eq!(taken(&rig), 3 * MIB);
    let two = open(&rig, "two", &four).unwrap();
    assert_eq!(taken(&rig), 6 * MIB);
    let error = open(&rig, "three", &four).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OverBudget, "{error}");
    assert!(error.is_retryable() && !error.is_fatal(), "{error}");
    let text = error.to_string();
    for part in [
        "3145728 bytes",
        "budget of 7340032",
        "6291456 are taken",
        "/three",
        "close",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let kind = std::io::Error::from(error).kind();
    assert_eq!(kind, std::io::ErrorKind::OutOfMemory);
    // The first that needs a fourth image gets it; the other goes on with three.
    work(&mut rig, &one, 0);
    assert_eq!(taken(&rig), 7 * MIB);
    work(&mut rig, &two, 100);
    assert!(two.stats().images <= 3);
    assert_eq!(taken(&rig), 7 * MIB);
    // What one had goes back when it is closed, though there is a handle left, which still reads.
    rig.close(&one).unwrap();
    assert_eq!(taken(&rig), 3 * MIB);
    assert_eq!(one.stats().images, 0);
    assert_eq!(read_all(&one).unwrap_err().kind(), ErrorKind::Closed);
    let mut reader = one.reader(From::Start).unwrap();
    for n in 0..24 {
        let record = reader.try_next().unwrap().expect("it is on disk");
        assert!(record.payload() == payload(n, 250_000));
    }
    let three = open(&rig, "three", &four).unwrap();
    work(&mut rig, &two, 200 - 100);
    rig.close(&two).unwrap();
    rig.close(&three).unwrap();
    assert_eq!(taken(&rig), 0);
}

/// A budget that no log fits is not one to wait for.
#[test]
fn a_budget_below_three_segments_is_invalid() {
    let rig = rig(2, 3 * MIB - 1);
    let error = open(&rig, "one", &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(!error.is_retryable() && error.hint().is_some(), "{error}");
    assert_eq!(error.path(), Some("/one".as_ref()));
    // Without a budget each log has its own bound alone.
    let rig = Rig::new(&SimDisk::new(2));
    let logs: Vec<_> = (0..5)
        .map(|n| open(&rig, &n.to_string(), &options()).unwrap())
        .collect();
    assert_eq!(logs.len(), 5);
}

/// The last handle goes, and the same log is opened again at once: the opening waits for the lock,
/// and the share is back when that is.
#[test]
fn a_log_that_is_opened_again_finds_its_share() {
    let mut rig = rig(3, 3 * MIB);
    for round in 0..5 {
        let log = rig.open(&options()).unwrap();
        rig.write(&log, &payload(round, 1000));
        drop(log);
        rig.rest();
        assert_eq!(taken(&rig), 0);
    }
    let log = rig.open(&options()).unwrap();
    // An opening that fails takes nothing, and leaves what is taken.
    let disk = rig.disk.clone();
    disk.fail(Fault::once(
        OpClass::List,
        disk.count(OpClass::List) + 1,
        EIO,
    ));
    assert!(open(&rig, "other", &options()).is_err());
    assert_eq!(taken(&rig), 3 * MIB);
    disk.clear_faults();
    rig.close(&log).unwrap();
    disk.fail(Fault::once(
        OpClass::Read,
        disk.count(OpClass::Read) + 1,
        EIO,
    ));
    assert_eq!(rig.open(&options()).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(taken(&rig), 0);
    assert_eq!(
        rig.open(&options())
            .map(|log| read_all(&log).unwrap().len())
            .unwrap(),
        5
    );
}

/// Memory that readers keep is theirs: the log gets other memory, within the budget. Truncations give
/// back what they empty.
#[test]
fn records_that_are_kept_are_not_counted() {
    let mut rig = rig(4, 5 * MIB);
    let wide = options().memory_bytes(8 * MIB);
    let log = open(&rig, "one", &wide).unwrap();
    let mut kept = Vec::new();
    let mut reader = log.reader(From::Start).unwrap();
    let mut positions = Vec::new();
    for n in 0..60 {
        positions.push(rig.write(&log, &payload(n, 250_000)));
        kept.push(reader.try_next().unwrap().expect("it is there").share());
        assert!(taken(&rig) <= 5 * MIB);
    }
    assert_eq!(taken(&rig), 5 * MIB);
    for (n, record) in kept.iter().enumerate() {
        assert!(record.payload() == payload(n, 250_000));
    }
    rig.truncate(&log, positions[30]).unwrap();
    assert_eq!(taken(&rig), 3 * MIB);
    work_after_a_cut(&mut rig, &log);
    assert_eq!(taken(&rig), 5 * MIB);
    rig.close(&log).unwrap();
    assert_eq!(taken(&rig), 0);
    assert!(kept[59].payload() == payload(59, 250_000));
}

fn work_after_a_cut(rig: &mut Rig, log: &Log) {
    for n in 0..30 {
        rig.write(log, &payload(n, 250_000));
    }
}

/// A log that failed keeps its images, and its share, until nobody can ask for them any more.
#[test]
fn a_failed_log_gives_its_share_back_with_its_last_handle() {
    let mut rig = rig(5, 3 * MIB);
    let log = rig.open(&options()).unwrap();
    rig.write(&log, b"one");
    rig.rest();
    let next = rig.disk.count(OpClass::Write) + 1;
    rig.disk.fail(Fault::once(OpClass::Write, next, EIO));
    let ticket = rig.append(&log, b"two").unwrap();
    assert_eq!(rig.outcome(&ticket).unwrap_err().kind(), ErrorKind::Io);
    drop(ticket);
    rig.rest();
    let error = rig.open(&options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OverBudget, "{error}");
    assert_eq!(error.path(), Some(DIR.as_ref()));
    drop(log);
    assert_eq!(taken(&rig), 0);
    let log = rig.open(&options()).unwrap();
    assert!(read_all(&log).unwrap()[0].1 == b"one");
}
