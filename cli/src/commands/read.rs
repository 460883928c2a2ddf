//! `ringbolt read`: payloads to standard output, bit for bit, while others may append.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use ringbolt::{From, LogView, Position};

use crate::framing::OutputFraming;
use crate::outcome::{Done, Failure, Outcome};
use crate::units::parse_time;

pub(crate) const OUTPUT_BUFFER_BYTES: usize = 256 << 10;
/// How long a following reader sleeps when nothing wakes it.
pub(crate) const FOLLOW_WAIT: Duration = Duration::from_secs(1);
/// How long to wait for what lies in the log's files to be proven to be on disk: a living writer
/// does so in milliseconds, and the last writes of one that was killed end about as soon.
pub(crate) const PROOF_WAIT: Duration = Duration::from_secs(1);

/// Write payloads to standard output, bit for bit; also while another process appends.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The log's directory.
    dir: PathBuf,
    /// Where to begin: `start`, `end`, a position such as `7:4096`, or a time as RFC 3339 or
    /// seconds since 1970.
    #[arg(long, value_name = "WHERE", default_value = "start", value_parser = parse_from)]
    from: From,
    /// Stop after so many records.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Wait for more at the end.
    #[arg(long)]
    follow: bool,
    /// How records are written.
    #[arg(long, value_enum, default_value = "lines")]
    framing: OutputFraming,
}

pub(crate) fn parse_from(text: &str) -> Result<From, String> {
    match text {
        "start" => Ok(From::Start),
        "end" => Ok(From::End),
        _ => {
            // A time of day has colons too, and a `T` before them.
            let position = text.parse::<Position>();
            match (position, parse_time(text)) {
                (Ok(position), _) => Ok(From::Position(position)),
                (_, Some(time)) => Ok(From::Time(time)),
                _ => Err(
                    "use `start`, `end`, a position such as 7:4096, or a time such as \
                     2026-11-23T20:00:00Z or 1795464000"
                        .into(),
                ),
            }
        }
    }
}

pub(crate) fn run(args: &Args) -> Done {
    let view = LogView::open(&args.dir)?;
    // Without --follow a busy writer must not keep us for ever: what is there now is what counts.
    let end = match args.follow {
        true => None,
        false => Some(view.end_within(PROOF_WAIT)?),
    };
    let mut reader = view.reader(args.from)?;
    let mut out = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, io::stdout().lock());
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(record) = reader.try_next()? else {
            if !args.follow {
                break;
            }
            out.flush().map_err(Failure::stdout)?;
            if stdout_closed() {
                return Err(Failure::ClosedPipe);
            }
            reader.wait(FOLLOW_WAIT)?;
            continue;
        };
        if end.is_some_and(|end| record.position() >= end) {
            break;
        }
        args.framing
            .write(&mut out, record.payload())
            .map_err(Failure::stdout)?;
        left -= 1;
    }
    out.flush().map_err(Failure::stdout)?;
    Ok(Outcome::Good)
}

/// Whether nobody reads our output any more: with nothing to write we would never notice.
pub(crate) fn stdout_closed() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_begin_are_told_apart() {
        assert!(matches!(parse_from("start"), Ok(From::Start)));
        assert!(matches!(parse_from("end"), Ok(From::End)));
        assert!(matches!(parse_from("7:4096"), Ok(From::Position(_))));
        assert!(matches!(parse_from("1795464000"), Ok(From::Time(_))));
        assert!(matches!(
            parse_from("2026-11-23T20:00:00Z"),
            Ok(From::Time(_))
        ));
        for bad in ["", "middle", "7:4", "2026-11-23"] {
            assert!(parse_from(bad).is_err(), "{bad}");
        }
    }
}
