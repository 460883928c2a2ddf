//! `ringbolt inspect`: what a log or a store is made of.

use std::io::{self, Write};
use std::path::PathBuf;

use comfy_table::Cell;
use ringbolt::maintain::{SegmentInfo, SegmentState};
use ringbolt::store::maintain::{self, EntryInfo, FileInfo, FileKind, FileState, StoreInspection};
use ringbolt::{From, LogView};
use serde::Serialize;

use crate::bench::report::{new_table, right};
use crate::commands::read::parse_from;
use crate::outcome::{Done, Failure, Outcome, print_json};
use crate::units::{rfc3339, size};

/// Show what a log is made of: segments, positions, times; of a store its indexes, snapshots and entries,
/// too; also while it is in use.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The log's directory.
    dir: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Show what the records of a store say instead, a line each, from here on: `start`, `end`, a position,
    /// or a time.
    #[arg(long, value_name = "WHERE", value_parser = parse_from, conflicts_with = "json")]
    entries: Option<From>,
    /// Stop after so many entries.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "entries")]
    limit: usize,
}

pub(crate) fn run(args: &Args) -> Done {
    let inspection = maintain::inspect(&args.dir)?;
    if let Some(from) = args.entries {
        if inspection.log.store_rules.is_none() {
            let what = "its records are no entries: it is a log without streams".into();
            return Err(Failure::Other(what));
        }
        return print_entries(args, from);
    }
    if args.json {
        print_json(&Json::of(&inspection))?;
    } else {
        print(&inspection).map_err(Failure::stdout)?;
    }
    Ok(match inspection.log.damage {
        Some(error) => {
            eprintln!("ringbolt: {error}");
            Outcome::Damage
        }
        None => Outcome::Good,
    })
}

/// A line for each entry: its position, and what it says.
fn print_entries(args: &Args, from: From) -> Done {
    let view = LogView::open(&args.dir)?;
    let mut reader = view.reader(from)?;
    let mut out = io::stdout().lock();
    for _ in 0..args.limit {
        let Some(record) = reader.try_next()? else {
            break;
        };
        match EntryInfo::of(record.payload()) {
            Some(entry) => writeln!(out, "{} {entry}", record.position()),
            None => writeln!(out, "{} no entry", record.position()),
        }
        .map_err(Failure::stdout)?;
    }
    Ok(Outcome::Good)
}

fn print(store: &StoreInspection) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let log = &store.log;
    writeln!(out, "log         {}", log.path.display())?;
    writeln!(out, "identity    {}", hex(&log.log_id))?;
    writeln!(
        out,
        "segments of {}, blocks of {}",
        size(log.segment_bytes as f64),
        size(f64::from(log.block_bytes))
    )?;
    if log.damage.is_none() {
        writeln!(
            out,
            "positions   {} to {}, known to be on disk up to {}",
            log.start, log.end, log.attested
        )?;
        writeln!(
            out,
            "records     {} since it was made, in epoch {}",
            log.records_total, log.epoch
        )?;
    }
    let writer = if log.writer {
        "open for writing"
    } else {
        "not open for writing"
    };
    writeln!(out, "now         {writer}")?;
    if let Some(rules) = log.store_rules {
        writeln!(out, "a store     by version {rules} of the rules")?;
    }
    if log.repairing {
        writeln!(
            out,
            "a repair was begun and not ended: run `ringbolt repair --apply` again"
        )?;
    }
    let mut table = new_table(&[
        "segment",
        "state",
        "epoch",
        "end",
        "records",
        "payload",
        "last written",
    ]);
    for segment in &log.segments {
        table.add_row(row(segment));
    }
    writeln!(out, "{table}")?;
    if !store.files.is_empty() {
        let mut table = new_table(&["file", "size", "what it has"]);
        for file in &store.files {
            table.add_row(vec![
                Cell::new(&file.name),
                right(size(file.file_bytes as f64)),
                Cell::new(contents(file)),
            ]);
        }
        writeln!(out, "{table}")?;
    }
    for (what, names) in [("spare", &log.spares), ("unfinished", &log.unfinished)] {
        if !names.is_empty() {
            writeln!(out, "{what}: {}", names.join(", "))?;
        }
    }
    Ok(())
}

fn row(segment: &SegmentInfo) -> Vec<Cell> {
    let is_part = segment.end.is_some();
    let number = |n: u64| {
        right(if is_part {
            n.to_string()
        } else {
            String::new()
        })
    };
    vec![
        Cell::new(&segment.name),
        Cell::new(state(&segment.state).0),
        right(segment.epoch),
        right(segment.end.map_or(String::new(), |end| end.to_string())),
        number(segment.records),
        right(if is_part {
            size(segment.payload_bytes as f64)
        } else {
            String::new()
        }),
        Cell::new(segment.last_time.map_or(String::new(), rfc3339)),
    ]
}

/// What an index or a snapshot has.
fn contents(file: &FileInfo) -> String {
    match file.state {
        FileState::Index { streams, records } => format!("{records} records of {streams} streams"),
        FileState::Snapshot { streams, keys } => format!("{streams} streams, {keys} keys"),
        FileState::Unused => "unused".into(),
        FileState::Damaged => "damaged".into(),
        _ => "unknown: the log is damaged".into(),
    }
}

/// The state's name, and why.
fn state(state: &SegmentState) -> (&'static str, Option<&str>) {
    match state {
        SegmentState::Sealed => ("sealed", None),
        SegmentState::Unsealed => ("unsealed", None),
        SegmentState::Unused => ("unused", None),
        SegmentState::Unreadable(why) => ("unreadable", Some(why)),
        _ => ("other", None),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `--json` prints. Positions are as they are shown elsewhere, times RFC 3339.
#[derive(Serialize)]
struct Json<'a> {
    path: String,
    log_id: String,
    store_rules: Option<u16>,
    block_bytes: u32,
    segment_bytes: u64,
    epoch: u64,
    start: String,
    end: String,
    attested: String,
    records_total: u64,
    writer: bool,
    repairing: bool,
    segments: Vec<SegmentJson<'a>>,
    files: Vec<FileJson<'a>>,
    spares: &'a [String],
    unfinished: &'a [String],
    damage: Option<String>,
}

#[derive(Serialize)]
struct SegmentJson<'a> {
    name: &'a str,
    ordinal: u64,
    state: &'static str,
    reason: Option<&'a str>,
    file_bytes: u64,
    epoch: u64,
    previous: Option<String>,
    end: Option<String>,
    records: u64,
    payload_bytes: u64,
    created: Option<String>,
    first_time: Option<String>,
    last_time: Option<String>,
}

impl<'a> Json<'a> {
    fn of(store: &'a StoreInspection) -> Self {
        let log = &store.log;
        Self {
            path: log.path.display().to_string(),
            log_id: hex(&log.log_id),
            store_rules: log.store_rules,
            block_bytes: log.block_bytes,
            segment_bytes: log.segment_bytes,
            epoch: log.epoch,
            start: log.start.to_string(),
            end: log.end.to_string(),
            attested: log.attested.to_string(),
            records_total: log.records_total,
            writer: log.writer,
            repairing: log.repairing,
            segments: log.segments.iter().map(SegmentJson::of).collect(),
            files: store.files.iter().map(FileJson::of).collect(),
            spares: &log.spares,
            unfinished: &log.unfinished,
            damage: log.damage.as_ref().map(ToString::to_string),
        }
    }
}

/// An index or a snapshot; what it has is missing where it is not sound.
#[derive(Serialize)]
struct FileJson<'a> {
    name: &'a str,
    kind: &'static str,
    segment: u64,
    file_bytes: u64,
    state: &'static str,
    streams: Option<u64>,
    records: Option<u64>,
    keys: Option<u64>,
}

impl<'a> FileJson<'a> {
    fn of(file: &'a FileInfo) -> Self {
        let (state, streams, records, keys) = match file.state {
            FileState::Index { streams, records } => ("sound", Some(streams), Some(records), None),
            FileState::Snapshot { streams, keys } => ("sound", Some(streams), None, Some(keys)),
            FileState::Unused => ("unused", None, None, None),
            FileState::Damaged => ("damaged", None, None, None),
            _ => ("unknown", None, None, None),
        };
        Self {
            name: &file.name,
            kind: match file.kind {
                FileKind::Index => "index",
                _ => "snapshot",
            },
            segment: file.segment,
            file_bytes: file.file_bytes,
            state,
            streams,
            records,
            keys,
        }
    }
}

impl<'a> SegmentJson<'a> {
    fn of(segment: &'a SegmentInfo) -> Self {
        let (name, reason) = state(&segment.state);
        Self {
            name: &segment.name,
            ordinal: segment.ordinal,
            state: name,
            reason,
            file_bytes: segment.file_bytes,
            epoch: segment.epoch,
            previous: segment.previous.map(|position| position.to_string()),
            end: segment.end.map(|position| position.to_string()),
            records: segment.records,
            payload_bytes: segment.payload_bytes,
            created: segment.created.map(rfc3339),
            first_time: segment.first_time.map(rfc3339),
            last_time: segment.last_time.map(rfc3339),
        }
    }
}
