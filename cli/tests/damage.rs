//! `ringbolt inspect`, `verify` and `repair`: damage is found, named, and mended without losing more
//! than it took.

mod common;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{Folder, expect, run, stderr};
use serde_json::Value;

/// The records of a log with several segments.
fn filled(dir: &Path) -> String {
    let input: String = (0..40_000)
        .map(|i| format!("record number {i:060}\n"))
        .collect();
    expect(dir, "append DIR --segment-bytes 1MiB", input.as_bytes(), 0);
    input
}

fn json(dir: &Path, args: &str, code: i32) -> Value {
    serde_json::from_slice(&expect(dir, args, b"", code)).unwrap()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "seg"))
        .collect();
    files.sort();
    files
}

/// Changes one bit of a file.
fn flip(path: &Path, offset: u64) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
}

#[test]
fn a_sound_log_is_described_and_sound() {
    let folder = Folder::new();
    let dir = &folder.log();
    filled(dir);
    let inspection = json(dir, "inspect DIR --json", 0);
    assert_eq!(inspection["records_total"], 40_000);
    assert_eq!(inspection["segment_bytes"], 1 << 20);
    assert_eq!(inspection["writer"], false);
    assert_eq!(inspection["damage"], Value::Null);
    let parts: u64 = inspection["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|segment| segment["records"].as_u64().unwrap())
        .sum();
    assert_eq!(parts, 40_000);

    let verification = json(dir, "verify DIR --json", 0);
    assert_eq!(verification["sound"], true);
    assert_eq!(verification["records"], 40_000);
    assert_eq!(verification["end"], inspection["end"]);

    let said = String::from_utf8(expect(dir, "inspect DIR", b"", 0)).unwrap();
    assert!(said.contains("sealed"), "{said}");
    let said = String::from_utf8(expect(dir, "verify DIR", b"", 0)).unwrap();
    assert!(said.starts_with("sound: 40000 records"), "{said}");
    expect(dir, "repair DIR", b"", 0);
    expect(dir, "repair DIR --apply", b"", 0);
    assert_eq!(json(dir, "verify DIR --json", 0)["records"], 40_000);
}

#[test]
fn a_flipped_bit_is_found_named_and_cut_out() {
    let folder = Folder::new();
    let dir = &folder.log();
    let input = filled(dir);
    let files = segments(dir);
    assert!(files.len() > 3);
    flip(&files[1], 300_000);
    let bytes_before = std::fs::read(&files[1]).unwrap();

    let verification = json(dir, "verify DIR --json", 1);
    assert_eq!(verification["sound"], false);
    let damage = &verification["damages"][0];
    assert!(
        damage["path"]
            .as_str()
            .unwrap()
            .ends_with("00000000002.seg"),
        "{damage}"
    );
    assert!(
        damage["position"].as_str().unwrap().starts_with("2:"),
        "{damage}"
    );
    let output = run(dir, "verify DIR");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("ringbolt repair"),
        "{}",
        stderr(&output)
    );

    // Reading gives what is before it, says what is wrong, and is exit code 1.
    let output = run(dir, "read DIR");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("2:"), "{}", stderr(&output));
    assert!(input.as_bytes().starts_with(&output.stdout));
    let lines = output.stdout.iter().filter(|&&byte| byte == b'\n').count();
    assert!((12_000..20_000).contains(&lines), "{lines}");

    // Without --apply nothing changes.
    expect(dir, "repair DIR", b"", 1);
    expect(dir, "repair DIR --json", b"", 1);
    assert_eq!(std::fs::read(&files[1]).unwrap(), bytes_before);
    assert_eq!(segments(dir), files);

    expect(dir, "repair DIR --apply", b"", 0);
    expect(dir, "verify DIR", b"", 0);
    let kept = expect(dir, "read DIR", b"", 0);
    assert_eq!(kept, output.stdout, "what came before the damage is kept");
    // What could not be kept was moved, not deleted.
    let quarantine = find(dir, &files[1]);
    assert_eq!(std::fs::read(quarantine).unwrap(), bytes_before);

    // And it goes on.
    expect(
        dir,
        "append DIR --segment-bytes 1MiB",
        b"after the repair\n",
        0,
    );
    let mut wanted = kept;
    wanted.extend(b"after the repair\n");
    assert_eq!(expect(dir, "read DIR", b"", 0), wanted);
}

/// A file of this name, below the directory.
fn find(dir: &Path, name: &Path) -> PathBuf {
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.parent() != Some(dir) && path.file_name() == name.file_name() {
                return path;
            }
        }
    }
    panic!("{} is in no folder below {}", name.display(), dir.display());
}

#[test]
fn files_that_are_missing_zeroed_or_cut_are_damage() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("missing", |path| std::fs::remove_file(path).unwrap()),
        ("zeroed", |path| {
            let len = std::fs::metadata(path).unwrap().len();
            std::fs::write(path, vec![0; len as usize]).unwrap();
        }),
        ("cut", |path| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(8192).unwrap();
        }),
        ("foreign", |path| {
            std::fs::write(path, vec![b'x'; 1 << 20]).unwrap()
        }),
    ];
    for (name, harm) in harms {
        let folder = Folder::new();
        let dir = &folder.log();
        filled(dir);
        harm(&segments(dir)[1]);
        let output = run(dir, "verify DIR");
        assert_eq!(output.status.code(), Some(1), "{name}: {}", stderr(&output));
        let output = run(dir, "append DIR");
        assert_eq!(output.status.code(), Some(1), "{name}: {}", stderr(&output));
        expect(dir, "repair DIR --apply", b"", 0);
        expect(dir, "verify DIR", b"", 0);
        expect(dir, "append DIR --segment-bytes 1MiB", b"after\n", 0);
        let kept = expect(dir, "read DIR", b"", 0);
        assert!(kept.ends_with(b"after\n"), "{name}");
    }
}

#[test]
fn verify_gives_no_false_alarm_beside_a_busy_writer() {
    let folder = Folder::new();
    let dir = &folder.log();
    let mut writer = common::ringbolt(
        dir,
        "append DIR --ack --segment-bytes 1MiB --retain-bytes 4MiB",
    )
    .spawn()
    .unwrap();
    let mut count = 0_u64;
    common::feed(&mut writer, move || {
        count += 1;
        format!("record number {count:060}\n").into_bytes()
    });
    let mut acks = std::io::BufReader::new(writer.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut acks, &mut line).unwrap();
    // It must not be stopped by acknowledgements that nobody takes.
    let drain = std::thread::spawn(move || std::io::copy(&mut acks, &mut std::io::sink()));
    for _ in 0..10 {
        expect(dir, "verify DIR", b"", 0);
        expect(dir, "inspect DIR --json", b"", 0);
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    drain.join().unwrap().unwrap();
    expect(dir, "verify DIR", b"", 0);
}
