//! `ringbolt stream read`: a stream's records to standard output. It reads beside a process that writes;
//! to move a group's cursor it opens the store for writing itself.

use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::time::{Duration, SystemTime};

use ringbolt::ErrorKind;
use ringbolt::store::{
    CursorInfo, ReadFrom, Store, Stream, StreamReader, StreamRecord, ViewReader,
};
use serde::Serialize;

use crate::commands::inspect::hex;
use crate::commands::read::{FOLLOW_WAIT, OUTPUT_BUFFER_BYTES, stdout_closed};
use crate::commands::stream::{OpenArgs, Which, view};
use crate::framing::OutputFraming;
use crate::outcome::{Done, Failure, Outcome};
use crate::units::{parse_size, parse_time, rfc3339};

/// A cursor is moved when a multiple of so many offsets is reached, and when there is no more.
const COMMIT_OFFSETS: u64 = 1000;

/// Write a stream's payloads to standard output, bit for bit; also while another process writes the
/// store.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Where to begin: `earliest`, `latest`, an offset, or a time as RFC 3339.
    #[arg(long, value_name = "WHERE", default_value = "earliest", value_parser = parse_from)]
    from: From,
    /// Begin where this group's cursor stands, and leave out what is done beyond; where the group has
    /// none yet, --from says.
    #[arg(long, value_name = "GROUP")]
    cursor: Option<String>,
    /// Move the cursor over what was written. That opens the store for writing: no other process may
    /// have it open.
    #[arg(long, requires = "cursor")]
    commit: bool,
    /// Stop after so many records.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Stop before there are more payload bytes than this, but not before the first record.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    bytes: Option<u64>,
    /// Wait for more at the end.
    #[arg(long)]
    follow: bool,
    /// How records are written.
    #[arg(long, value_enum, default_value = "lines")]
    framing: OutputFraming,
    /// Write JSON objects, a line each; what is no text is in hexadecimal digits.
    #[arg(long, conflicts_with = "framing")]
    json: bool,
    #[command(flatten)]
    open: OpenArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Earliest,
    Latest,
    Offset(u64),
    Time(SystemTime),
}

fn parse_from(text: &str) -> Result<From, String> {
    match text {
        "earliest" => Ok(From::Earliest),
        "latest" => Ok(From::Latest),
        _ => match (text.parse(), parse_time(text)) {
            (Ok(offset), _) => Ok(From::Offset(offset)),
            (_, Some(time)) => Ok(From::Time(time)),
            _ => Err(
                "use `earliest`, `latest`, an offset such as 12, or a time such as \
                      2026-11-23T20:00:00Z"
                    .into(),
            ),
        },
    }
}

impl Args {
    fn from(&self, has_cursor: bool) -> ReadFrom<'_> {
        match (&self.cursor, self.from) {
            (Some(group), _) if has_cursor => ReadFrom::Cursor(group),
            (_, From::Earliest) => ReadFrom::Earliest,
            (_, From::Latest) => ReadFrom::Latest,
            (_, From::Offset(offset)) => ReadFrom::Offset(offset),
            (_, From::Time(time)) => ReadFrom::Time(time),
        }
    }
}

pub(super) fn run(args: &Args) -> Done {
    // Before the store is opened, which would make one.
    let (view, _) = view(&args.which.dir)?;
    let name = &args.which.name;
    let described = view.describe(name)?;
    if let (true, Some(group)) = (args.commit, &args.cursor) {
        let store = args.open.open(&args.which.dir)?;
        let read = commit(args, &store, group);
        let closed = store.close();
        read?;
        closed?;
        return Ok(Outcome::Good);
    }
    let is_wanted = |cursor: &CursorInfo| args.cursor.as_ref() == Some(&cursor.group);
    let cursor = described.cursors.into_iter().find(is_wanted);
    let mut reader = view.reader(name, args.from(cursor.is_some()))?;
    let done = cursor.map_or(Vec::new(), |cursor| cursor.done);
    // Without --follow a busy writer must not keep us for ever: what is there now is what counts.
    let end = if args.follow {
        u64::MAX
    } else {
        described.next
    };
    Output::new(args, end).drain(&mut reader, &done, |_| Ok(()))?;
    Ok(Outcome::Good)
}

/// Reads, and moves the cursor over what was written.
fn commit(args: &Args, store: &Store, group: &str) -> Done<()> {
    let stream = store.stream(&args.which.name)?;
    let cursor = stream.cursor(group)?;
    let mut reader = stream.reader(args.from(cursor.is_some()))?;
    let mut from = reader.offset();
    let done = match cursor {
        Some(cursor) => cursor.done,
        None => {
            stream.seek(group, from, b"")?.wait()?;
            Vec::new()
        }
    };
    let end = if args.follow {
        u64::MAX
    } else {
        stream.describe()?.next
    };
    Output::new(args, end).drain(&mut reader, &done, |to| {
        acknowledge(&stream, group, &mut from, to)
    })
}

/// Everything before `to` is done.
fn acknowledge(stream: &Stream, group: &str, from: &mut u64, to: u64) -> Done<()> {
    if *from < to {
        stream.acknowledge(group, *from..to)?.wait()?;
        *from = to;
    }
    Ok(())
}

/// Where records come from.
trait Source {
    fn try_next(&mut self) -> ringbolt::Result<Option<StreamRecord>>;
    fn next_timeout(&mut self, timeout: Duration) -> ringbolt::Result<StreamRecord>;
}

impl Source for ViewReader {
    fn try_next(&mut self) -> ringbolt::Result<Option<StreamRecord>> {
        self.try_next()
    }

    fn next_timeout(&mut self, timeout: Duration) -> ringbolt::Result<StreamRecord> {
        self.next_timeout(timeout)
    }
}

impl Source for StreamReader {
    fn try_next(&mut self) -> ringbolt::Result<Option<StreamRecord>> {
        self.try_next()
    }

    fn next_timeout(&mut self, timeout: Duration) -> ringbolt::Result<StreamRecord> {
        self.next_timeout(timeout)
    }
}

/// What is written, and up to where.
struct Output<'a> {
    args: &'a Args,
    out: BufWriter<io::StdoutLock<'static>>,
    end: u64,
}

impl<'a> Output<'a> {
    fn new(args: &'a Args, end: u64) -> Self {
        let out = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, io::stdout().lock());
        Self { args, out, end }
    }

    /// Writes what `source` gives and is not `done`; `written` is told, after a flush, before which
    /// offset all is.
    fn drain(
        &mut self,
        source: &mut impl Source,
        done: &[Range<u64>],
        mut written: impl FnMut(u64) -> Done<()>,
    ) -> Done<()> {
        let records_max = self.args.count.unwrap_or(u64::MAX);
        let mut bytes_left = self.args.bytes.unwrap_or(u64::MAX);
        let (mut count, mut to) = (0, 0);
        while count < records_max {
            let idle = &mut |out: &mut Self| {
                out.flush()?;
                written(to)
            };
            let Some(record) = self.next(source, idle)? else {
                break;
            };
            let offset = record.offset();
            if offset >= self.end {
                break;
            }
            if !done.iter().any(|range| range.contains(&offset)) {
                let bytes = record.payload().len() as u64;
                if bytes > bytes_left && count > 0 {
                    break;
                }
                bytes_left = bytes_left.saturating_sub(bytes);
                self.write(&record).map_err(Failure::stdout)?;
                count += 1;
            }
            to = offset + u64::from(record.count());
            if offset / COMMIT_OFFSETS < to / COMMIT_OFFSETS {
                self.flush()?;
                written(to)?;
            }
        }
        self.flush()?;
        written(to)
    }

    /// The next record; `idle` is called before it is waited for.
    fn next(
        &mut self,
        source: &mut impl Source,
        idle: &mut dyn FnMut(&mut Self) -> Done<()>,
    ) -> Done<Option<StreamRecord>> {
        if let Some(record) = source.try_next()? {
            return Ok(Some(record));
        }
        while self.args.follow {
            idle(self)?;
            if stdout_closed() {
                return Err(Failure::ClosedPipe);
            }
            match source.next_timeout(FOLLOW_WAIT) {
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                record => return Ok(Some(record?)),
            }
        }
        Ok(None)
    }

    fn flush(&mut self) -> Done<()> {
        self.out.flush().map_err(Failure::stdout)
    }

    fn write(&mut self, record: &StreamRecord) -> io::Result<()> {
        if !self.args.json {
            return self.args.framing.write(&mut self.out, record.payload());
        }
        serde_json::to_writer(&mut self.out, &Json::of(record))?;
        self.out.write_all(b"\n")
    }
}

/// What `--json` prints of a record.
#[derive(Serialize)]
struct Json<'a> {
    offset: u64,
    count: u32,
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Bytes<'a>>,
    headers: Vec<(&'a str, Bytes<'a>)>,
    payload: Bytes<'a>,
}

/// Text as it is, other bytes in hexadecimal digits.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Bytes<'a> {
    Hex(String),
    #[serde(untagged)]
    Text(&'a str),
}

impl<'a> Bytes<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or_else(|_| Self::Hex(hex(bytes)), Self::Text)
    }
}

impl<'a> Json<'a> {
    fn of(record: &'a StreamRecord) -> Self {
        let headers = record.headers();
        Self {
            offset: record.offset(),
            count: record.count(),
            time: record.time().map(rfc3339),
            key: record.key().map(Bytes::of),
            headers: headers
                .map(|(name, value)| (name, Bytes::of(value)))
                .collect(),
            payload: Bytes::of(record.payload()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_begin_are_told_apart() {
        assert_eq!(parse_from("earliest"), Ok(From::Earliest));
        assert_eq!(parse_from("latest"), Ok(From::Latest));
        assert_eq!(parse_from("1795464000"), Ok(From::Offset(1_795_464_000)));
        assert!(matches!(
            parse_from("2026-11-23T20:00:00Z"),
            Ok(From::Time(_))
        ));
        for bad in ["", "start", "-1", "7:4096", "2026-11-23"] {
            assert!(parse_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_in_digits() {
        let json = |bytes| serde_json::to_string(&Bytes::of(bytes)).unwrap();
        assert_eq!(json(b"a\"b"), r#""a\"b""#);
        assert_eq!(json(b"\xff\x00"), r#"{"hex":"ff00"}"#);
    }
}
