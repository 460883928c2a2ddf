//! A log's directory as text: each file with its length and what in it is not zero.
//!
//! ```text
//! file 00000000001.seg 1048576
//! 00001000: 15000040 7aa6f1c3 00000000 00000000 66697273 74
//! ```
//!
//! A line holds up to 32 bytes, from a multiple of 32 on; zeroes at its end are left out, and lines
//! of zeroes.

use std::fmt::Write as _;
use std::path::Path;

use ringbolt::disk::sim::SimDisk;
use ringbolt::disk::{Disk, PathKind};

const LINE_BYTES: usize = 32;

/// The directory as text.
pub(crate) fn dump(disk: &SimDisk, dir: &str) -> String {
    let mut entries = disk.open_dir(dir.as_ref()).unwrap().list().unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut text = String::new();
    for entry in entries {
        assert_eq!(entry.kind, PathKind::File, "{}", entry.name);
        let bytes = disk.read_file(Path::new(dir).join(&entry.name)).unwrap();
        writeln!(text, "file {} {}", entry.name, bytes.len()).unwrap();
        for (index, line) in bytes.chunks(LINE_BYTES).enumerate() {
            let len = line
                .iter()
                .rposition(|&byte| byte != 0)
                .map_or(0, |last| last + 1);
            if len == 0 {
                continue;
            }
            write!(text, "{:08x}:", index * LINE_BYTES).unwrap();
            for word in line[..len].chunks(4) {
                text.push(' ');
                word.iter()
                    .for_each(|byte| write!(text, "{byte:02x}").unwrap());
            }
            text.push('\n');
        }
    }
    text
}

/// Makes the directory from its text.
pub(crate) fn expand(text: &str, disk: &SimDisk, dir: &str) {
    disk.create_dir(dir.as_ref()).unwrap();
    let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
    for line in text.lines() {
        if let Some(file) = line.strip_prefix("file ") {
            let (name, len) = file.split_once(' ').unwrap();
            files.push((name, vec![0; len.parse().unwrap()]));
            continue;
        }
        let (offset, hex) = line.split_once(':').unwrap();
        let offset = usize::from_str_radix(offset, 16).unwrap();
        let hex: String = hex.split_whitespace().collect();
        let (_, bytes) = files.last_mut().unwrap();
        for (index, place) in bytes[offset..offset + hex.len() / 2].iter_mut().enumerate() {
            *place = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap();
        }
    }
    for (name, bytes) in files {
        disk.write_file(Path::new(dir).join(name), &bytes).unwrap();
    }
}

/// The first lines that differ, if any do.
pub(crate) fn difference(golden: &str, written: &str) -> Option<String> {
    let mut file = "";
    let (mut golden, mut written) = (golden.lines(), written.lines());
    loop {
        let (was, is) = (golden.next(), written.next());
        if was != is {
            return Some(format!(
                "in {file}\n  was: {}\n  is:  {}",
                was.unwrap_or("the end"),
                is.unwrap_or("the end")
            ));
        }
        file = was?.strip_prefix("file ").unwrap_or(file);
    }
}
