//! `ringbolt stream list` and `ringbolt stream describe`: how streams stand.

use std::io::{self, Write};
use std::path::PathBuf;

use comfy_table::Cell;
use ringbolt::Error;
use ringbolt::store::{CursorInfo, StreamInfo};
use serde::Serialize;

use crate::bench::report::{new_table, right};
use crate::commands::inspect::hex;
use crate::commands::stream::{Which, view};
use crate::outcome::{Done, Failure, Outcome, print_json};
use crate::units::size;

/// So many streams are looked at together.
const PAGE: usize = 1000;

/// List the streams of a store: offsets, bytes, how far groups are behind; also while it is in use.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// The store's directory.
    dir: PathBuf,
    /// Only those whose names begin like this.
    #[arg(long, default_value = "")]
    prefix: String,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
}

/// Show how a stream stands: offsets, bytes, what it is set to, its cursors; also while it is in use.
#[derive(Debug, clap::Args)]
pub(super) struct DescribeArgs {
    #[command(flatten)]
    which: Which,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn list(args: &ListArgs) -> Done {
    let (view, damage) = view(&args.dir)?;
    let mut streams: Vec<StreamInfo> = Vec::new();
    loop {
        let last = streams.last().map(|stream| stream.name.clone());
        let page = view.streams(&args.prefix, last.as_deref(), PAGE);
        if page.is_empty() {
            break;
        }
        streams.extend(page);
    }
    if args.json {
        let streams: Vec<_> = streams.iter().map(StreamJson::of).collect();
        print_json(&streams)?;
    } else {
        print_list(&streams).map_err(Failure::stdout)?;
    }
    Ok(outcome(damage))
}

pub(super) fn describe(args: &DescribeArgs) -> Done {
    let (view, damage) = view(&args.which.dir)?;
    let stream = view.describe(&args.which.name)?;
    if args.json {
        print_json(&StreamJson::of(&stream))?;
    } else {
        print(&stream).map_err(Failure::stdout)?;
    }
    Ok(outcome(damage))
}

fn outcome(damage: Option<Error>) -> Outcome {
    match damage {
        Some(error) => {
            eprintln!("ringbolt: {error}");
            Outcome::Damage
        }
        None => Outcome::Good,
    }
}

fn print_list(streams: &[StreamInfo]) -> io::Result<()> {
    let mut table = new_table(&["stream", "first", "next", "bytes", "groups", "largest lag"]);
    for stream in streams {
        let lag = stream.cursors.iter().map(|cursor| cursor.lag).max();
        table.add_row(vec![
            Cell::new(&stream.name),
            right(stream.first),
            right(stream.next),
            right(size(stream.bytes as f64)),
            right(stream.cursors.len()),
            right(lag.map_or(String::new(), |lag| lag.to_string())),
        ]);
    }
    writeln!(io::stdout().lock(), "{table}")
}

fn print(stream: &StreamInfo) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "stream      {}", stream.name)?;
    writeln!(
        out,
        "offsets     from {}, the next one is {}",
        stream.first, stream.next
    )?;
    writeln!(out, "payloads    {}", size(stream.bytes as f64))?;
    writeln!(
        out,
        "remembers   {} producers, {} message ids; fencing token {}",
        stream.producers, stream.message_ids, stream.fence
    )?;
    if let Some(bytes) = stream.quota_bytes {
        writeln!(out, "quota       {}", size(bytes as f64))?;
    }
    if let Some(bytes) = stream.retain_bytes {
        writeln!(out, "retains     {}", size(bytes as f64))?;
    }
    if let Some(age) = stream.retain_age {
        writeln!(out, "retains     for {} s", age.as_secs_f64())?;
    }
    if stream.retain_unacknowledged {
        writeln!(out, "retains     until every holding group has passed")?;
    }
    if stream.latest_by_key {
        writeln!(out, "retains     the latest of each key")?;
    }
    if !stream.opaque.is_empty() {
        writeln!(out, "opaque      {}", hex(&stream.opaque))?;
    }
    if stream.cursors.is_empty() {
        return Ok(());
    }
    let mut table = new_table(&["group", "offset", "lag", "done beyond", "holds", "metadata"]);
    for cursor in &stream.cursors {
        table.add_row(vec![
            Cell::new(&cursor.group),
            right(cursor.offset),
            right(cursor.lag),
            right(cursor.done.len()),
            right(if cursor.holds { "yes" } else { "no" }),
            Cell::new(hex(&cursor.metadata)),
        ]);
    }
    writeln!(out, "{table}")
}

/// What `--json` prints of a stream. Bytes of any kind are in hexadecimal digits.
#[derive(Serialize)]
pub(super) struct StreamJson<'a> {
    name: &'a str,
    incarnation: u64,
    first: u64,
    next: u64,
    bytes: u64,
    fence: u64,
    producers: usize,
    message_ids: usize,
    quota_bytes: Option<u64>,
    retain_bytes: Option<u64>,
    retain_age_seconds: Option<f64>,
    retain_unacknowledged: bool,
    latest_by_key: bool,
    opaque: String,
    cursors: Vec<CursorJson<'a>>,
}

#[derive(Serialize)]
struct CursorJson<'a> {
    group: &'a str,
    offset: u64,
    lag: u64,
    done: Vec<[u64; 2]>,
    holds: bool,
    metadata: String,
}

impl<'a> StreamJson<'a> {
    pub(super) fn of(stream: &'a StreamInfo) -> Self {
        Self {
            name: &stream.name,
            incarnation: stream.incarnation,
            first: stream.first,
            next: stream.next,
            bytes: stream.bytes,
            fence: stream.fence,
            producers: stream.producers,
            message_ids: stream.message_ids,
            quota_bytes: stream.quota_bytes,
            retain_bytes: stream.retain_bytes,
            retain_age_seconds: stream.retain_age.map(|age| age.as_secs_f64()),
            retain_unacknowledged: stream.retain_unacknowledged,
            latest_by_key: stream.latest_by_key,
            opaque: hex(&stream.opaque),
            cursors: stream.cursors.iter().map(CursorJson::of).collect(),
        }
    }
}

impl<'a> CursorJson<'a> {
    fn of(cursor: &'a CursorInfo) -> Self {
        let done = cursor.done.iter();
        Self {
            group: &cursor.group,
            offset: cursor.offset,
            lag: cursor.lag,
            done: done.map(|range| [range.start, range.end]).collect(),
            holds: cursor.holds,
            metadata: hex(&cursor.metadata),
        }
    }
}
