//! The command on stores.

mod common;

use std::path::Path;

use common::{Folder, expect, run, stderr};
use ringbolt::LogOptions;
use ringbolt::store::{ReadFrom, Store, StoreOptions, StreamOptions};
use serde_json::Value;

fn open(dir: &Path) -> Store {
    let log = LogOptions::new().segment_bytes(1 << 20);
    StoreOptions::new().log(log).open(dir).unwrap()
}

/// A store of some segments, with indexes and snapshots.
fn filled(dir: &Path) -> Store {
    let store = open(dir);
    let orders = store.create("orders", &StreamOptions::new()).unwrap();
    for n in 0..60u8 {
        orders.append(&[n; 100_000]).unwrap().wait().unwrap();
    }
    store
}

fn read(dir: &Path) -> Vec<Vec<u8>> {
    let store = open(dir);
    let mut reader = store
        .stream("orders")
        .unwrap()
        .reader(ReadFrom::Earliest)
        .unwrap();
    let mut payloads = Vec::new();
    while let Some(record) = reader.try_next().unwrap() {
        payloads.push(record.payload().to_vec());
    }
    store.close().unwrap();
    payloads
}

fn json(dir: &Path, args: &str, code: i32) -> Value {
    serde_json::from_slice(&expect(dir, args, b"", code)).unwrap()
}

#[test]
fn a_store_is_backed_up_and_restored() {
    let folder = Folder::new();
    let dir = &folder.log();
    let path = |name: &str| folder.path().join(name).display().to_string();
    // Also while somebody has it open.
    let store = filled(dir);
    let copied = json(dir, &format!("backup DIR {} --json", path("backup")), 0);
    store.close().unwrap();
    drop(store);
    let said = expect(
        dir,
        &format!("restore {} {}", path("backup"), path("restored")),
        b"",
        0,
    );
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("segments"), "{said}");
    assert!(said.contains(copied["log_id"].as_str().unwrap()), "{said}");
    let expected = read(dir);
    assert_eq!(expected.len(), 60);
    assert_eq!(read(&folder.path().join("restored")), expected);
    assert_eq!(read(&folder.path().join("backup")), expected);
    // Never over something that is there.
    let output = run(
        dir,
        &format!("restore {} {}", path("backup"), path("restored")),
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("is there already"),
        "{}",
        stderr(&output)
    );
    // Half a copy is no store for any command.
    std::fs::write(folder.path().join("backup/ringbolt.copy"), b"").unwrap();
    for args in [
        "restore DIR /nowhere",
        "inspect DIR",
        "verify DIR",
        "repair DIR",
    ] {
        let output = run(&folder.path().join("backup"), args);
        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(
            stderr(&output).contains("interrupted"),
            "{args}: {}",
            stderr(&output)
        );
    }
}

fn files(dir: &Path, suffix: &str) -> Vec<String> {
    let listed = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = listed
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(suffix))
        .collect();
    names.sort();
    names
}

#[test]
fn a_store_is_described_checked_and_mended() {
    let folder = Folder::new();
    let dir = &folder.log();
    filled(dir).close().unwrap();
    let inspection = json(dir, "inspect DIR --json", 0);
    let beside = inspection["files"].as_array().unwrap();
    assert_eq!(
        beside.len(),
        files(dir, ".idx").len() + files(dir, ".snap").len()
    );
    assert!(
        beside.iter().all(|file| file["state"] == "sound"),
        "{beside:?}"
    );
    assert!(
        beside.iter().any(|file| file["kind"] == "snapshot"),
        "{beside:?}"
    );
    assert!(inspection["store_rules"].is_number());
    let said = String::from_utf8(expect(dir, "inspect DIR", b"", 0)).unwrap();
    assert!(said.contains("1 streams, 0 keys"), "{said}");
    let said = expect(dir, "inspect DIR --entries start --limit 3", b"", 0);
    let said = String::from_utf8(said).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(
        lines.iter().any(|line| line.contains("create \"orders\"")),
        "{said}"
    );
    // The store tells its log the time in between.
    let appends = |line: &&str| line.contains("append stream 0/0, 100000 bytes");
    assert!(lines.iter().any(appends), "{said}");
    let found = json(dir, "verify DIR --json", 0);
    assert!(found["entries"].as_u64().unwrap() > 60);
    expect(dir, "repair DIR", b"", 0);

    let index = &files(dir, ".idx")[0];
    std::fs::write(dir.join(index), b"nonsense").unwrap();
    let found = json(dir, "verify DIR --json", 1);
    assert_eq!(found["damages"].as_array().unwrap().len(), 1);
    expect(dir, "inspect DIR", b"", 0);
    // A dry run changes nothing.
    let plan = json(dir, "repair DIR --json", 1);
    assert!(
        plan["steps"][0]
            .as_str()
            .unwrap()
            .contains("derives it again"),
        "{plan}"
    );
    assert!(dir.join(index).exists());
    let done = json(dir, "repair DIR --apply --json", 0);
    assert!(!done["quarantined"].as_array().unwrap().is_empty());
    assert!(!dir.join(index).exists());
    assert_eq!(read(dir).len(), 60);
    expect(dir, "verify DIR", b"", 0);
}

#[test]
fn a_log_without_streams_has_no_entries() {
    let folder = Folder::new();
    let dir = &folder.log();
    expect(dir, "append DIR", b"one\n", 0);
    assert_eq!(
        json(dir, "inspect DIR --json", 0)["store_rules"],
        Value::Null
    );
    assert_eq!(json(dir, "verify DIR --json", 0)["entries"], 0);
    let output = run(dir, "inspect DIR --entries start");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("without streams"));
    let output = run(
        dir,
        &format!("backup DIR {}", folder.path().join("to").display()),
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("not a store"));
}
