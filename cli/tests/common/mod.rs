//! What all tests of the command share: running it, and a folder to run it in.
#![allow(dead_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of a test's own, on a disk, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "cli-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A path for a log, which is not there yet.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// The command with these arguments; `DIR` stands for the log's directory.
pub(crate) fn ringbolt(dir: &Path, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringbolt"));
    for arg in args.split_whitespace() {
        if arg == "DIR" {
            command.arg(dir);
        } else {
            command.arg(arg);
        }
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end with `input` on standard input.
pub(crate) fn run_with(dir: &Path, args: &str, input: &[u8]) -> Output {
    let mut child = ringbolt(dir, args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A command that ends without reading its input closes the pipe.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().unwrap()
    })
}

/// Runs it to its end without input.
pub(crate) fn run(dir: &Path, args: &str) -> Output {
    run_with(dir, args, b"")
}

/// Runs it and expects this exit code; returns standard output.
#[track_caller]
pub(crate) fn expect(dir: &Path, args: &str, input: &[u8], code: i32) -> Vec<u8> {
    let output = run_with(dir, args, input);
    assert_eq!(
        output.status.code(),
        Some(code),
        "`ringbolt {args}` said: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// What it said on standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Feeds a child from another thread, for as long as it listens.
pub(crate) fn feed(child: &mut Child, mut next: impl FnMut() -> Vec<u8> + Send + 'static) {
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || while stdin.write_all(&next()).is_ok() {});
}

/// A record with its length before it.
pub(crate) fn len32(payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// The records in a stream of that form.
pub(crate) fn parse_len32(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (payload, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        records.push(payload.to_vec());
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a length was cut");
    records
}

/// Numbers that look random and are the same in every run (xorshift64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
