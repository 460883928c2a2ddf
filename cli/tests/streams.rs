//! `ringbolt append` and `ringbolt read`: what goes in comes out, bit for bit, and exit codes say
//! the truth.

mod common;

use std::io::{BufRead, BufReader, Read, Write};

use common::{Folder, Random, expect, len32, parse_len32, ringbolt, run, run_with, stderr};

#[test]
fn lines_come_back_bit_for_bit() {
    let folder = Folder::new();
    let dir = &folder.log();
    let input = b"one\r\n\n\0\xff\xfe not text\nlast without newline";
    assert!(expect(dir, "append DIR", input, 0).is_empty());
    let mut wanted = input.to_vec();
    wanted.push(b'\n');
    assert_eq!(expect(dir, "read DIR", b"", 0), wanted);

    expect(dir, "append DIR", b"appended later\n", 0);
    wanted.extend(b"appended later\n");
    assert_eq!(expect(dir, "read DIR", b"", 0), wanted);
}

#[test]
fn any_bytes_come_back_with_lengths_and_without() {
    let folder = Folder::new();
    let dir = &folder.log();
    let mut random = Random(11);
    let sizes = [
        0, 1, 7, 8, 9, 4095, 4096, 4097, 100_000, 900_000, 0, 300_000, 800_000, 0,
    ];
    let records: Vec<Vec<u8>> = sizes.iter().map(|&size| random.bytes(size)).collect();
    let input: Vec<u8> = records.iter().flat_map(|record| len32(record)).collect();
    expect(
        dir,
        "append DIR --framing len32 --segment-bytes 1MiB",
        &input,
        0,
    );
    assert_eq!(expect(dir, "read DIR --framing len32", b"", 0), input);
    assert_eq!(
        expect(dir, "read DIR --framing raw", b"", 0),
        records.concat()
    );
    let three = parse_len32(&expect(dir, "read DIR --framing len32 --limit 3", b"", 0));
    assert_eq!(three, records[..3]);
}

#[test]
fn an_empty_input_makes_an_empty_log() {
    let folder = Folder::new();
    let dir = &folder.log();
    assert!(expect(dir, "append DIR --ack", b"", 0).is_empty());
    assert!(expect(dir, "read DIR", b"", 0).is_empty());
    assert!(expect(dir, "read DIR --from end", b"", 0).is_empty());
}

#[test]
fn every_acknowledged_position_leads_to_its_record() {
    let folder = Folder::new();
    let dir = &folder.log();
    let input: String = (0..20_000).map(|i| format!("record {i}\n")).collect();
    let acks = expect(
        dir,
        "append DIR --ack --segment-bytes 1MiB",
        input.as_bytes(),
        0,
    );
    let acks: Vec<&str> = std::str::from_utf8(&acks).unwrap().lines().collect();
    assert_eq!(acks.len(), 20_000);
    for index in [0, 1, 9_999, 19_999] {
        let args = format!("read DIR --limit 1 --from {}", acks[index]);
        let line = expect(dir, &args, b"", 0);
        assert_eq!(line, format!("record {index}\n").into_bytes());
    }
    // From a position between two records there is nothing to be read honestly.
    let (segment, offset) = acks[5].split_once(':').unwrap();
    let inside = format!(
        "read DIR --from {segment}:{}",
        offset.parse::<u64>().unwrap() + 8
    );
    let output = run(dir, &inside);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn reading_from_a_time_skips_what_is_older() {
    let folder = Folder::new();
    let dir = &folder.log();
    expect(dir, "append DIR", b"old\n", 0);
    assert!(expect(dir, "read DIR --from 4102444800", b"", 0).is_empty());
    assert_eq!(
        expect(dir, "read DIR --from 1970-01-01T00:00:00Z", b"", 0),
        b"old\n"
    );
    assert_eq!(expect(dir, "read DIR --from 1.5", b"", 0), b"old\n");
}

#[test]
fn a_cut_input_is_told_from_a_whole_one() {
    let folder = Folder::new();
    let dir = &folder.log();
    let mut input = len32(b"whole");
    input.extend(&len32(b"cut off")[..6]);
    let output = run_with(dir, "append DIR --framing len32 --ack", &input);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("byte 9"), "{}", stderr(&output));
    assert_eq!(output.stdout.iter().filter(|&&b| b == b'\n').count(), 1);
    assert_eq!(expect(dir, "read DIR", b"", 0), b"whole\n");
}

#[test]
fn a_record_that_fits_no_segment_is_refused_and_the_rest_kept() {
    let folder = Folder::new();
    let dir = &folder.log();
    let mut input = b"small\n".to_vec();
    input.extend(vec![b'x'; 1 << 20]);
    let output = run_with(dir, "append DIR --segment-bytes 1MiB", &input);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("--segment-bytes"),
        "{}",
        stderr(&output)
    );
    assert_eq!(expect(dir, "read DIR", b"", 0), b"small\n");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = Folder::new();
    let dir = &folder.log();
    for args in [
        "",
        "nonsense",
        "append",
        "append DIR --framing morse",
        "append DIR --segment-bytes 1000000",
        "append DIR --segment-bytes many",
        "read DIR --from 7:4",
        "read DIR --from yesterday",
        "read DIR --limit x",
        "demo --seconds -1",
        "bench log --only nonsense",
    ] {
        let output = run(dir, args);
        assert_eq!(
            output.status.code(),
            Some(2),
            "ringbolt {args}: {}",
            stderr(&output)
        );
        assert!(!output.stderr.is_empty(), "{args}");
    }
    for args in ["read DIR", "inspect DIR", "verify DIR", "repair DIR"] {
        let output = run(dir, args);
        assert_eq!(output.status.code(), Some(2), "nothing there: {args}");
        assert!(!dir.exists(), "{args} made something");
    }
}

#[test]
fn errors_say_what_to_do() {
    let folder = Folder::new();
    let dir = &folder.log();
    expect(dir, "append DIR", b"one\n", 0);
    for (dir, args, remedy) in [
        (&dir.join("a/b"), "append DIR", "make the directory"),
        (dir, "read DIR --from 99:4096", "append --ack"),
        (
            dir,
            "read DIR --from 2026-02-31T00:00:00Z",
            "a time such as",
        ),
    ] {
        let output = run(dir, args);
        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(stderr(&output).contains(remedy), "{}", stderr(&output));
    }
}

#[test]
fn another_users_log_is_read_by_who_may_and_not_written() {
    if !rustix::process::geteuid().is_root() {
        writeln!(
            std::io::stderr(),
            "skipped: 1 only root can give a file away"
        )
        .unwrap();
        return;
    }
    let folder = Folder::new();
    let dir = &folder.log();
    expect(dir, "append DIR", b"one\n", 0);
    std::os::unix::fs::chown(dir, Some(4711), None).unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        std::os::unix::fs::chown(entry.unwrap().path(), Some(4711), None).unwrap();
    }
    assert_eq!(expect(dir, "read DIR", b"", 0), b"one\n");
    expect(dir, "verify DIR", b"", 0);
    let output = run_with(dir, "append DIR", b"two\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("owner"), "{}", stderr(&output));
}

#[test]
fn a_folder_that_is_no_log_is_left_alone() {
    let folder = Folder::new();
    let dir = &folder.log();
    std::fs::create_dir(dir).unwrap();
    std::fs::write(dir.join("diary.txt"), "dear diary").unwrap();
    for args in [
        "append DIR",
        "read DIR",
        "inspect DIR",
        "verify DIR",
        "repair DIR --apply",
    ] {
        let output = run_with(dir, args, b"record\n");
        assert_eq!(output.status.code(), Some(2), "{args}: {}", stderr(&output));
        let names: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["diary.txt"], "{args}");
    }
    let link = folder.path().join("link");
    expect(&folder.path().join("elsewhere"), "append DIR", b"x\n", 0);
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    let output = run_with(&link, "append DIR", b"record\n");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn a_closed_pipe_ends_reading_quietly() {
    let folder = Folder::new();
    let dir = &folder.log();
    let input: String = (0..200_000).map(|i| format!("record {i}\n")).collect();
    expect(dir, "append DIR", input.as_bytes(), 0);
    let mut child = ringbolt(dir, "read DIR").spawn().unwrap();
    let mut first = [0; 10];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
}

#[test]
fn acknowledgements_that_nobody_hears_do_not_stop_the_appending() {
    let folder = Folder::new();
    let dir = &folder.log();
    let input: String = (0..100_000).map(|i| format!("record {i}\n")).collect();
    let mut child = ringbolt(dir, "append DIR --ack").spawn().unwrap();
    drop(child.stdout.take());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
    assert_eq!(expect(dir, "read DIR", b"", 0), input.as_bytes());
}

#[test]
fn a_second_writer_is_refused_and_a_reader_is_not() {
    let folder = Folder::new();
    let dir = &folder.log();
    let mut writer = ringbolt(dir, "append DIR --ack").spawn().unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    let mut acks = BufReader::new(writer.stdout.take().unwrap()).lines();
    stdin.write_all(b"first\n").unwrap();
    acks.next().unwrap().unwrap();

    let output = run_with(dir, "append DIR --lock-timeout 0", b"intruder\n");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("locked"), "{}", stderr(&output));
    let one = expect(dir, "read DIR --follow --limit 1", b"", 0);
    assert_eq!(one, b"first\n");
    expect(dir, "verify DIR", b"", 0);
    expect(dir, "inspect DIR", b"", 0);

    stdin.write_all(b"second\n").unwrap();
    acks.next().unwrap().unwrap();
    drop(stdin);
    assert!(acks.next().is_none());
    assert_eq!(writer.wait().unwrap().code(), Some(0));
    assert_eq!(expect(dir, "read DIR", b"", 0), b"first\nsecond\n");
}

#[test]
fn following_shows_records_as_they_become_durable() {
    let folder = Folder::new();
    let dir = &folder.log();
    let mut writer = ringbolt(dir, "append DIR --ack --segment-bytes 1MiB")
        .spawn()
        .unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    let mut acks = BufReader::new(writer.stdout.take().unwrap()).lines();
    stdin.write_all(b"0\n").unwrap();
    acks.next().unwrap().unwrap();
    // Acknowledgements that nobody takes would stop the writer.
    let acks = std::thread::spawn(move || acks.count());

    let mut reader = ringbolt(dir, "read DIR --follow --limit 40001")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "0");
    // One at a time: each must come although nothing follows it.
    for i in 1..=20 {
        stdin.write_all(format!("{i}\n").as_bytes()).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), i.to_string());
    }
    // And many, over several segments.
    let many: String = (21..=40_000).map(|i| format!("{i}\n")).collect();
    let feeder = std::thread::spawn(move || {
        stdin.write_all(many.as_bytes()).unwrap();
        stdin
    });
    for i in 21..=40_000 {
        assert_eq!(lines.next().unwrap().unwrap(), i.to_string());
    }
    assert!(lines.next().is_none(), "the limit was reached");
    assert_eq!(reader.wait().unwrap().code(), Some(0));
    drop(feeder.join().unwrap());
    assert_eq!(acks.join().unwrap(), 40_000);
    assert_eq!(writer.wait().unwrap().code(), Some(0));
}

#[test]
fn following_ends_quietly_when_nobody_listens_any_more() {
    let folder = Folder::new();
    let dir = &folder.log();
    expect(dir, "append DIR", b"one\n", 0);
    let mut reader = ringbolt(dir, "read DIR --follow").spawn().unwrap();
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    drop(lines);
    let output = reader.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
}

#[test]
fn every_rung_takes_and_gives_the_same() {
    let mut random = Random(5);
    let input: Vec<u8> = (0..3000)
        .flat_map(|_| {
            let size = random.below(2000) as usize;
            len32(&random.bytes(size))
        })
        .collect();
    for backend in [
        "auto",
        "uring",
        "uring-unregistered",
        "uring-buffered",
        "posix",
        "posix-buffered",
    ] {
        let folder = Folder::new();
        let dir = &folder.log();
        let args = format!("append DIR --framing len32 --segment-bytes 1MiB --backend {backend}");
        expect(dir, &args, &input, 0);
        assert_eq!(
            expect(dir, "read DIR --framing len32", b"", 0),
            input,
            "{backend}"
        );
        expect(dir, "verify DIR", b"", 0);
    }
}

#[test]
fn retention_drops_the_oldest() {
    let folder = Folder::new();
    let dir = &folder.log();
    let input: String = (0..100_000)
        .map(|i| format!("record number {i:060}\n"))
        .collect();
    let args = "append DIR --segment-bytes 1MiB --retain-bytes 3MiB";
    expect(dir, args, input.as_bytes(), 0);
    let kept = String::from_utf8(expect(dir, "read DIR", b"", 0)).unwrap();
    assert!(
        kept.len() < input.len() && input.ends_with(&kept),
        "a suffix is kept"
    );
    assert!(kept.len() > 1 << 19, "{}", kept.len());
}
