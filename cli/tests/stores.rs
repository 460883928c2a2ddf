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
