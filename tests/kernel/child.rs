//! A test's second half in a child process, and what both halves do with a log.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ringbolt::disk::{Disk, Real, RealOptions};
use ringbolt::{Engine, From, Log, LogOptions, maintain};

use crate::rungs::skip;

/// In the child: the log's directory.
const CHILD: &str = "RINGBOLT_KERNEL_TEST_CHILD";
/// What a child says when it cannot do its part here.
const CANNOT: &str = "cannot: ";
/// What a child says when it did its part, and how many records are acknowledged.
const DONE: &str = "acknowledged: ";

/// The log's directory, in the child.
pub(crate) fn in_child() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Runs the test `name` of this file in a child, with `dir` for the log; returns how many records
/// were acknowledged there. `None`, said aloud, when this machine cannot do it.
pub(crate) fn run(name: &str, dir: &Path) -> Option<usize> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    let output = command.env(CHILD, dir).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", output.status);
    let after = |what: &str| text.lines().find_map(|line| line.strip_prefix(what));
    if let Some(why) = after(CANNOT) {
        skip(1, &format!("{name}: {why}"));
        return None;
    }
    let count = after(DONE).unwrap_or_else(|| panic!("it did nothing: {text}"));
    Some(count.parse().unwrap())
}

pub(crate) fn cannot(why: &str) {
    say(&format!("{CANNOT}{why}"));
}

pub(crate) fn done(acknowledged: usize) {
    say(&format!("{DONE}{acknowledged}"));
}

/// A line of its own, whatever the harness wrote before.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "\n{line}");
}

/// An engine that may use these.
pub(crate) fn engine(options: RealOptions) -> Engine {
    let disk: Arc<dyn Disk> = Arc::new(Real::with(options));
    Engine::builder().disk(disk).start().unwrap()
}

/// Small segments, so that there are rollovers.
pub(crate) fn options() -> LogOptions {
    LogOptions::new().segment_bytes(1 << 20)
}

/// A record that tells its number.
pub(crate) fn record(writer: usize, number: usize) -> Vec<u8> {
    let mut bytes = format!("{writer} {number} ").into_bytes();
    bytes.resize(bytes.len() + number * 37 % 900, b'.');
    bytes
}

/// Reads the whole log in `dir`: of each writer, all records from the first on, without a gap.
/// Returns how many each has.
pub(crate) fn read_back(dir: &Path, writers: usize) -> Vec<usize> {
    let verification = maintain::verify(dir, &mut |_| {}).unwrap();
    assert!(verification.is_sound(), "{:?}", verification.damages);
    let log = Log::open(dir).unwrap();
    let mut counts = vec![0; writers];
    let mut reader = log.reader(From::Start).unwrap();
    while let Some(found) = reader.try_next().unwrap() {
        let writer = usize::from(found[0] - b'0');
        assert!(*found == *record(writer, counts[writer]), "{counts:?}");
        counts[writer] += 1;
    }
    log.close().unwrap();
    counts
}
