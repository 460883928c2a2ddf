//! `ringbolt demo` and `ringbolt bench` run through on this machine, small, and say what they should.

mod common;

use common::{Folder, expect, run, stderr};

#[test]
fn the_demo_checks_everything_and_draws() {
    let folder = Folder::new();
    let args = "demo --seconds 0.5 --segment-bytes 4MiB --dir DIR";
    let said = String::from_utf8(expect(folder.path(), args, b"", 0)).unwrap();
    for part in [
        "written by",
        "append",
        "durable acknowledgement",
        "publish to receive",
        "all there",
        "kill -9 of a process that appended: 1",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let svg = std::fs::read_to_string(folder.path().join("ringbolt-demo.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    // The log stays, is whole, and a second run goes on in it.
    let log = folder.path().join("ringbolt-demo");
    expect(&log, "verify DIR", b"", 0);
    expect(folder.path(), args, b"", 0);
}

#[test]
fn the_demo_on_plain_calls_leaves_nothing_behind() {
    let folder = Folder::new();
    let output = common::ringbolt(
        folder.path(),
        "demo --seconds 0.2 --segment-bytes 1MiB --backend posix-buffered",
    )
    .current_dir(folder.path())
    .env("TMPDIR", folder.path())
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["ringbolt-demo.svg"]);
}

/// Ctrl-C left gigabytes of a temporary log behind.
#[test]
fn what_is_interrupted_leaves_nothing_behind() {
    for (args, signal, code) in [
        ("demo --seconds 600 --segment-bytes 1MiB", "INT", 130),
        (
            "bench log --quick --rounds 100000 --only append",
            "INT",
            130,
        ),
        ("demo --seconds 600 --segment-bytes 1MiB", "TERM", 143),
    ] {
        let folder = Folder::new();
        let mut child = common::ringbolt(folder.path(), args)
            .current_dir(folder.path())
            .env("TMPDIR", folder.path())
            .spawn()
            .unwrap();
        let names = || -> Vec<_> {
            let entries = std::fs::read_dir(folder.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect()
        };
        // Its folder is there, and a log or the raw disk's file in it.
        let at_work = || {
            names().iter().any(|name| {
                let inside = std::fs::read_dir(folder.path().join(name));
                inside.is_ok_and(|mut entries| entries.next().is_some())
            })
        };
        while !at_work() {
            assert!(
                child.try_wait().unwrap().is_none(),
                "{args} ended by itself"
            );
            std::thread::yield_now();
        }
        let pid = child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(names().is_empty(), "{args}: {:?}", names());
    }
}

#[test]
fn a_quick_bench_measures_every_row() {
    let folder = Folder::new();
    let svg = folder.path().join("latency.svg");
    let hgrm = folder.path().join("latency.hgrm");
    let args = format!(
        "bench log --quick --rounds 1 --json --dir DIR --svg {} --hgrm {}",
        svg.display(),
        hgrm.display()
    );
    let report: serde_json::Value =
        serde_json::from_slice(&expect(folder.path(), &args, b"", 0)).unwrap();
    let mut names: Vec<&str> = report["measures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|measure| {
            assert!(measure["median"].is_number(), "{measure}");
            measure["name"].as_str().unwrap()
        })
        .collect();
    names.dedup();
    let all = [
        "append", "sync", "writers", "call", "publish", "read", "open", "memory", "idle",
    ];
    assert_eq!(names, all);
    assert!(!report["raw"]["rows"].as_array().unwrap().is_empty());
    assert!(
        report["latencies"]["hiccup meter"]["count"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert!(
        std::fs::read_to_string(svg)
            .unwrap()
            .contains("append call")
    );
    assert!(folder.path().join("latency.append-call.hgrm").exists());

    // Nothing but the files is left.
    let left = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir())
        .count();
    assert_eq!(left, 0);
}

#[test]
fn a_quick_bench_of_the_rings_measures_every_row() {
    let folder = Folder::new();
    let args = "bench ring --quick --json";
    let report: serde_json::Value =
        serde_json::from_slice(&expect(folder.path(), args, b"", 0)).unwrap();
    let measures = report["measures"].as_array().unwrap();
    for measure in measures {
        assert!(measure["median"].is_number(), "{measure}");
    }
    let of = |name: &str| measures.iter().filter(|m| m["name"] == name).count();
    assert!(of("throughput") > 20 && of("idle") == 1);
    let sleeping = &report["latencies"]["spsc at 1 k/s, sleeping"];
    assert!(sleeping["count"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_quick_bench_of_the_store_measures_every_row() {
    let folder = Folder::new();
    let hgrm = folder.path().join("latency.hgrm");
    let args = format!(
        "bench store --quick --rounds 1 --open-bytes 16MiB --json --dir DIR --hgrm {}",
        hgrm.display()
    );
    let report: serde_json::Value =
        serde_json::from_slice(&expect(folder.path(), &args, b"", 0)).unwrap();
    let measures = report["measures"].as_array().unwrap();
    let mut names: Vec<&str> = measures
        .iter()
        .map(|measure| {
            assert!(measure["median"].as_f64().unwrap() > 0.0, "{measure}");
            measure["name"].as_str().unwrap()
        })
        .collect();
    names.dedup();
    let all = [
        "streams", "log", "tail", "cold", "beside", "open", "memory", "moving",
    ];
    assert_eq!(names, all);
    let moved = &report["latencies"]["synchronous append, records moved"];
    assert!(moved["count"].as_u64().unwrap() > 0, "{report}");
    let file = "latency.synchronous-append-beside-a-bulk-writer.hgrm";
    assert!(folder.path().join(file).exists());
    let left = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir())
        .count();
    assert_eq!(left, 0);

    // Alone, a row is measured alone.
    let args = "bench store --quick --rounds 1 --only memory --json --dir DIR";
    let report: serde_json::Value =
        serde_json::from_slice(&expect(folder.path(), args, b"", 0)).unwrap();
    let measures = report["measures"].as_array().unwrap();
    assert!(measures.iter().all(|measure| measure["name"] == "memory"));
}

#[test]
fn a_bench_where_nothing_can_be_written_says_what_to_do() {
    let folder = Folder::new();
    let output = run(&folder.log(), "bench log --quick --dir DIR");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--dir"), "{}", stderr(&output));
}
