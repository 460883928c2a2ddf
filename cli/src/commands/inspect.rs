//! `ringbolt inspect`: what a log is made of.

use std::io::{self, Write};
use std::path::PathBuf;

use comfy_table::Cell;
use ringbolt::maintain::{self, Inspection, SegmentInfo, SegmentState};
use serde::Serialize;

use crate::bench::report::{new_table, right};
use crate::outcome::{Done, Failure, Outcome, print_json};
use crate::units::{rfc3339, size};

/// Show what a log is made of: segments, positions, times; also while it is in use.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The log's directory.
    dir: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Done {
    let inspection = maintain::inspect(&args.dir)?;
    if args.json {
        print_json(&Json::of(&inspection))?;
    } else {
        print(&inspection).map_err(Failure::stdout)?;
    }
    Ok(match inspection.damage {
        Some(error) => {
            eprintln!("ringbolt: {error}");
            Outcome::Damage
        }
        None => Outcome::Good,
    })
}

fn print(log: &Inspection) -> io::Result<()> {
    let mut out = io::stdout().lock();
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
    fn of(log: &'a Inspection) -> Self {
        Self {
            path: log.path.display().to_string(),
            log_id: hex(&log.log_id),
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
            spares: &log.spares,
            unfinished: &log.unfinished,
            damage: log.damage.as_ref().map(ToString::to_string),
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
