//! `ringbolt stream`: what goes into a stream comes out, beside its writer and after its death, and
//! groups go on where they stopped.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use common::{Folder, expect, ringbolt, run, run_with, stderr};
use serde_json::Value;

const SMALL: &str = "--segment-bytes 1MiB";

fn text(dir: &Path, args: &str, input: &str) -> String {
    String::from_utf8(expect(dir, args, input.as_bytes(), 0)).unwrap()
}

fn json(dir: &Path, args: &str) -> Value {
    serde_json::from_slice(&expect(dir, args, b"", 0)).unwrap()
}

#[test]
fn records_come_back_and_are_described() {
    let folder = Folder::new();
    let dir = &folder.log();
    let append = format!("stream append DIR a/b {SMALL}");
    assert_eq!(text(dir, &append, "zero\none\nlast without newline"), "");
    assert_eq!(
        text(dir, &format!("{append} --ack three four"), ""),
        "3\n4\n"
    );
    assert_eq!(
        text(dir, &format!("{append} --json"), "\u{fc}\n"),
        "{\"offset\":5}\n"
    );
    text(dir, &format!("stream append DIR other {SMALL}"), "x\n");

    let read = |args: &str| text(dir, &format!("stream read DIR a/b {args}"), "");
    let all = "zero\none\nlast without newline\nthree\nfour\n\u{fc}\n";
    assert_eq!(read(""), all);
    assert_eq!(read("--from latest"), "");
    assert_eq!(read("--from 1 --count 1"), "one\n");
    assert_eq!(read("--from 1970-01-02T00:00:00Z"), all);
    // A first record of any size comes, and no more than fit.
    assert_eq!(read("--bytes 1"), "zero\n");
    assert_eq!(read("--bytes 7"), "zero\none\n");
    let line: Value = serde_json::from_str(&read("--json --from 5")).unwrap();
    assert_eq!(
        (&line["offset"], &line["payload"]),
        (&5.into(), &"\u{fc}".into())
    );

    let list = json(dir, "stream list DIR --json");
    let names: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["name"])
        .collect();
    assert_eq!(names, ["a/b", "other"]);
    assert_eq!(json(dir, "stream list DIR --prefix o --json")[0]["next"], 1);
    let stream = json(dir, "stream describe DIR a/b --json");
    assert_eq!((&stream["first"], &stream["next"]), (&0.into(), &6.into()));
    assert!(text(dir, "stream list DIR", "").contains("a/b"));
    assert!(text(dir, "stream describe DIR a/b", "").contains("from 0, the next one is 6"));
}

#[test]
fn a_group_goes_on_where_it_stopped() {
    let folder = Folder::new();
    let dir = &folder.log();
    let input: String = (0..2500).map(|n| format!("{n}\n")).collect();
    text(dir, &format!("stream append DIR s {SMALL}"), &input);
    let commit = format!("stream read DIR s --cursor g --commit {SMALL}");
    assert_eq!(text(dir, &format!("{commit} --count 2"), ""), "0\n1\n");
    // Looking moves nothing.
    for _ in 0..2 {
        assert_eq!(
            text(dir, "stream read DIR s --cursor g --count 1", ""),
            "2\n"
        );
    }
    assert_eq!(text(dir, &commit, ""), input[4..]);
    assert_eq!(text(dir, &commit, ""), "");
    let stream = json(dir, "stream describe DIR s --json");
    let cursor = &stream["cursors"][0];
    assert_eq!((&cursor["group"], &cursor["lag"]), (&"g".into(), &0.into()));
    assert_eq!(
        text(dir, "stream read DIR s --cursor new --from 2499", ""),
        "2499\n"
    );
    assert!(text(dir, "stream describe DIR s", "").contains("group"));
}

#[test]
fn what_nobody_read_is_read_again() {
    let folder = Folder::new();
    let dir = &folder.log();
    let input: String = (0..900).map(|n| format!("{n:01000}\n")).collect();
    text(dir, &format!("stream append DIR s {SMALL}"), &input);
    let mut reader = ringbolt(
        dir,
        &format!("stream read DIR s --cursor g --commit {SMALL}"),
    )
    .spawn()
    .unwrap();
    drop(reader.stdout.take());
    let output = reader.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
    assert_eq!(text(dir, "stream read DIR s --cursor g", ""), input);
}

#[test]
fn trimmed_and_deleted_records_are_gone() {
    let folder = Folder::new();
    let dir = &folder.log();
    text(dir, &format!("stream append DIR s 0 1 2 3 {SMALL}"), "");
    assert_eq!(text(dir, &format!("stream trim DIR s 2 {SMALL}"), ""), "");
    assert_eq!(text(dir, "stream read DIR s", ""), "2\n3\n");
    let output = run(dir, "stream read DIR s --from 1");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("offset 2"), "{}", stderr(&output));
    let trimmed = json(dir, &format!("stream trim DIR s 10 --json {SMALL}"));
    assert_eq!(
        (&trimmed["first"], &trimmed["next"]),
        (&10.into(), &10.into())
    );
    let last = json(dir, &format!("stream delete DIR s --json {SMALL}"));
    assert_eq!(last["name"], "s");
    assert_eq!(
        json(dir, "stream list DIR --json"),
        Value::Array(Vec::new())
    );
}

#[test]
fn wrong_usage_makes_nothing() {
    let folder = Folder::new();
    let dir = &folder.log();
    for args in [
        "stream",
        "stream list DIR",
        "stream describe DIR s",
        "stream read DIR s",
        "stream read DIR s --commit",
        "stream read DIR s --cursor g --commit",
        "stream read DIR s --from start",
        "stream read DIR s --json --framing raw",
        "stream append DIR s --framing morse",
        "stream trim DIR s",
        "stream trim DIR s 1",
        "stream delete DIR s",
    ] {
        let output = run(dir, args);
        assert_eq!(output.status.code(), Some(2), "{args}: {}", stderr(&output));
        assert!(!dir.exists(), "{args} made something");
    }
    text(dir, &format!("stream append DIR s {SMALL} x"), "");
    for args in [
        "describe DIR t",
        "read DIR t",
        "trim DIR t 1",
        "delete DIR t",
    ] {
        let output = run(dir, &format!("stream {args}"));
        assert_eq!(output.status.code(), Some(2));
        assert!(
            stderr(&output).contains("no such stream"),
            "{}",
            stderr(&output)
        );
    }
    let log = &folder.path().join("bare");
    expect(log, "append DIR", b"x\n", 0);
    for args in ["stream list DIR", "stream append DIR s"] {
        assert_eq!(run(log, args).status.code(), Some(2), "{args}");
    }
}

#[test]
fn beside_a_writer_all_can_be_read_and_nothing_be_changed() {
    let folder = Folder::new();
    let dir = &folder.log();
    let mut writer = ringbolt(dir, &format!("stream append DIR s --ack {SMALL}"))
        .spawn()
        .unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    let mut acks = BufReader::new(writer.stdout.take().unwrap()).lines();
    stdin.write_all(b"0\n").unwrap();
    assert_eq!(acks.next().unwrap().unwrap(), "0");

    assert_eq!(json(dir, "stream describe DIR s --json")["next"], 1);
    assert_eq!(json(dir, "stream list DIR --json")[0]["next"], 1);
    assert_eq!(text(dir, "stream read DIR s --cursor g", ""), "0\n");
    for args in [
        "append DIR s intruder",
        "trim DIR s 1",
        "delete DIR s",
        "read DIR s --cursor g --commit",
    ] {
        let output = run_with(dir, &format!("stream {args} --lock-timeout 0"), b"");
        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(
            stderr(&output).contains("locked by another"),
            "{}",
            stderr(&output)
        );
    }
    let mut reader = ringbolt(dir, "stream read DIR s --follow --count 2002")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "0");
    // One comes although nothing follows it; and many, over several segments.
    stdin.write_all(b"1\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "1");
    let many: String = (2..2002).map(|n| format!("{n:01000}\n")).collect();
    stdin.write_all(many.as_bytes()).unwrap();
    for n in 2..2002 {
        assert_eq!(lines.next().unwrap().unwrap(), format!("{n:01000}"));
    }
    assert!(lines.next().is_none(), "the count was reached");
    assert_eq!(reader.wait().unwrap().code(), Some(0));
    for n in 1..2002 {
        assert_eq!(acks.next().unwrap().unwrap(), n.to_string());
    }

    // After its death all that it acknowledged is there, before anybody opens the store again.
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_eq!(json(dir, "stream describe DIR s --json")["next"], 2002);
    assert_eq!(text(dir, "stream read DIR s --from 2", ""), many);
    assert_eq!(
        text(dir, &format!("stream append DIR s --ack next {SMALL}"), ""),
        "2002\n"
    );
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = Folder::new();
    let dir = &folder.log();
    text(dir, &format!("stream append DIR s {SMALL} one"), "");
    for more in ["", &format!("--cursor g --commit {SMALL}")] {
        let mut reader = ringbolt(dir, &format!("stream read DIR s --follow {more}"))
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "one");
        drop(lines);
        let output = reader.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), stderr(&output)),
            (Some(0), String::new())
        );
    }
    // Offsets that nobody hears do not stop the appending.
    let input: String = (0..10_000).map(|n| format!("{n}\n")).collect();
    let mut writer = ringbolt(dir, &format!("stream append DIR t --ack {SMALL}"))
        .spawn()
        .unwrap();
    drop(writer.stdout.take());
    writer
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    assert_eq!(writer.wait().unwrap().code(), Some(0));
    assert_eq!(text(dir, "stream read DIR t", ""), input);
}
