//! `ringbolt backup` and `ringbolt restore`: copies of a store, checked on the way.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use ringbolt::store::{self, StoreCopy};
use serde::Serialize;

use crate::commands::inspect::hex;
use crate::outcome::{Done, Failure, Outcome, print_json};
use crate::units;

/// Copy a store, also while it is in use. The copy is a store with an identity of its own.
///
/// Every checksum is checked on the way; exit code 1 when damage was found. Until it is complete, nobody
/// opens the copy. Where a busy store removes what is still to be copied, let its process do it
/// (`Store::backup`).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store's directory.
    from: PathBuf,
    /// Where to: an empty directory, or one that is not there yet.
    to: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Done {
    let begin = Instant::now();
    let copy = store::copy(&args.from, &args.to)?;
    if args.json {
        print_json(&Json::of(args, &copy))?;
    } else {
        let seconds = begin.elapsed().as_secs_f64();
        print(args, &copy, seconds).map_err(Failure::stdout)?;
    }
    Ok(Outcome::Good)
}

fn print(args: &Args, copy: &StoreCopy, seconds: f64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "copied {} to {}: {} segments, {} written in {seconds:.1} s, up to position {}",
        args.from.display(),
        args.to.display(),
        copy.segments,
        units::size(copy.bytes as f64),
        copy.end
    )?;
    writeln!(
        out,
        "identity {}, of the original {}",
        hex(&copy.log_id),
        hex(&copy.origin)
    )
}

/// What `--json` prints.
#[derive(Serialize)]
struct Json {
    from: String,
    to: String,
    log_id: String,
    origin: String,
    end: String,
    segments: u64,
    bytes: u64,
}

impl Json {
    fn of(args: &Args, copy: &StoreCopy) -> Self {
        Self {
            from: args.from.display().to_string(),
            to: args.to.display().to_string(),
            log_id: hex(&copy.log_id),
            origin: hex(&copy.origin),
            end: copy.end.to_string(),
            segments: copy.segments,
            bytes: copy.bytes,
        }
    }
}
