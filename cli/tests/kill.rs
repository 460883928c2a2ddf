//! `kill -9` around `ringbolt append --ack`: whatever it printed as durable is read back, on every
//! rung of the ladder, before anybody opens the log for writing again as well as after. The kill comes at a number of acknowledged bytes, not at a time, so that it
//! hits everywhere: groups, rollovers, recoveries.

mod common;

use std::io::Read;
use std::path::Path;
use std::process::Command;

use common::{Folder, Random, expect, feed, len32, parse_len32, ringbolt};

/// Kills in all, spread over the rungs.
const KILLS: usize = 100;
const RUNGS: usize = 5;

/// What one process sent before it was killed, as its successor finds it.
struct Run {
    /// Records that must be there: those that were acknowledged, or seen since.
    least: u64,
    /// After its recovery a run never changes again.
    settled: Option<u64>,
}

#[test]
fn uring() {
    kill_loop("uring", 1);
}

#[test]
fn uring_unregistered() {
    kill_loop("uring-unregistered", 2);
}

#[test]
fn uring_buffered() {
    kill_loop("uring-buffered", 3);
}

#[test]
fn posix() {
    kill_loop("posix", 4);
}

#[test]
fn posix_buffered() {
    kill_loop("posix-buffered", 5);
}

fn kill_loop(backend: &str, seed: u64) {
    let folder = Folder::new();
    let dir = &folder.log();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut runs: Vec<Run> = Vec::new();
    for run in 0..(KILLS / RUNGS) as u64 {
        // Small numbers hit the first groups and the recovery before them, large ones rollovers.
        let magnitude = 4 + random.below(13);
        let bytes = 1 + random.below(1 << magnitude);
        let last = append_and_kill(dir, backend, run, bytes, &mut runs);
        // At once: the dead process's writes may still be in flight. What is seen now stays.
        check(dir, &mut runs, false);
        expect(
            dir,
            &format!("append DIR --backend {backend} --segment-bytes 1MiB"),
            b"",
            0,
        );
        check(dir, &mut runs, true);
        if let Some((position, sequence)) = last {
            let args = format!("read DIR --framing len32 --limit 1 --from {position}");
            let found = parse_len32(&expect(dir, &args, b"", 0));
            assert_eq!(found, [payload(run, sequence)], "at {position}");
        }
    }
    expect(dir, "verify DIR", b"", 0);
    let acknowledged: u64 = runs.iter().map(|run| run.least).sum();
    println!(
        "{} kills on {backend}, {acknowledged} records outlived them",
        runs.len()
    );
}

/// Kills an appending process after it acknowledged about so many bytes; returns the last
/// acknowledged position, and which of its records that is.
fn append_and_kill(
    dir: &Path,
    backend: &str,
    run: u64,
    bytes: u64,
    runs: &mut Vec<Run>,
) -> Option<(String, u64)> {
    let args = format!("append DIR --ack --framing len32 --segment-bytes 1MiB --backend {backend}");
    let mut child = ringbolt(dir, &args).spawn().unwrap();
    let mut sequence = 0;
    feed(&mut child, move || {
        let record = len32(&payload(run, sequence));
        sequence += 1;
        record
    });
    let mut stdout = child.stdout.take().unwrap();
    let mut acks = vec![0; bytes as usize];
    let read = stdout.read_exact(&mut acks);
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    read.unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    // What is still in the pipe was printed, too.
    stdout.read_to_end(&mut acks).unwrap();
    let whole = acks
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    let lines: Vec<&str> = std::str::from_utf8(&acks[..whole])
        .unwrap()
        .lines()
        .collect();
    runs.push(Run {
        least: lines.len() as u64,
        settled: None,
    });
    lines
        .last()
        .map(|position| (position.to_string(), lines.len() as u64 - 1))
}

/// Reads everything: each run's records are there from the first on, without a gap, at least as
/// many as were acknowledged or seen before, and as many as after their run's recovery. The last run
/// is recovered only if the log was opened since: before that, writes in flight may add to it.
fn check(dir: &Path, runs: &mut [Run], recovered: bool) {
    let records = parse_len32(&expect(dir, "read DIR --framing len32", b"", 0));
    let mut records = records.iter().peekable();
    for (number, run) in runs.iter_mut().enumerate() {
        let mut count = 0;
        while records
            .next_if(|record| **record == payload(number as u64, count))
            .is_some()
        {
            count += 1;
        }
        assert!(
            count >= run.least,
            "run {number}: {} acknowledged, and {count} found",
            run.least
        );
        run.least = count;
        if recovered {
            run.settled.get_or_insert(count);
        }
        assert_eq!(run.settled.unwrap_or(count), count, "run {number} changed");
    }
    assert!(
        records.next().is_none(),
        "a record that nobody sent, or out of order"
    );
}

/// The content of a record, from 16 bytes to some hundreds, now and then many.
fn payload(run: u64, sequence: u64) -> Vec<u8> {
    let mut random = Random(
        (run << 32 | sequence)
            .wrapping_add(1)
            .wrapping_mul(0xd134_2543_de82_ef95)
            | 1,
    );
    let len = if sequence.is_multiple_of(97) {
        random.below(40_000)
    } else {
        random.below(400)
    };
    let mut bytes = run.to_le_bytes().to_vec();
    bytes.extend(sequence.to_le_bytes());
    bytes.resize(16 + len as usize, random.next() as u8);
    bytes
}

#[test]
fn a_stopped_reader_does_not_hold_the_writer_up() {
    // A reader that is paused (SIGSTOP) while it holds the log open.
    let folder = Folder::new();
    let dir = &folder.log();
    expect(dir, "append DIR --segment-bytes 1MiB", b"first\n", 0);
    let mut reader = ringbolt(dir, "read DIR --follow").spawn().unwrap();
    let mut first = [0; 6];
    reader
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let signal = |name: &str| {
        let pid = reader.id().to_string();
        let killed = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(killed.success());
    };
    signal("STOP");
    let input: String = (0..60_000)
        .map(|i| format!("record number {i:060}\n"))
        .collect();
    let args = "append DIR --segment-bytes 1MiB --retain-bytes 3MiB";
    expect(dir, args, input.as_bytes(), 0);
    signal("KILL");
    reader.wait().unwrap();
    expect(dir, "verify DIR", b"", 0);
}
