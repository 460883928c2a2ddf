//! `ringbolt append`: records from standard input into a log.
//!
//! Exit code 0 means that all of them are durable. The main thread reads and appends; with `--ack` a
//! second one waits for the tickets in order and prints each record's position as soon as, and not
//! before, it is durable. What is in flight is bounded by the log's own memory bound and the length
//! of the queue between the two.

use std::io::{self, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ringbolt::{Log, LogOptions, Ticket};

use crate::backend::Backend;
use crate::framing::{InputError, InputFraming, RecordSource};
use crate::outcome::{Done, Failure, Outcome};
use crate::units::parse_size;

/// Records that may wait for their acknowledgement to be printed.
const ACKS_MAX: usize = 1 << 14;
const INPUT_BUFFER_BYTES: usize = 256 << 10;

/// Append records from standard input; exit 0 means that all of them are on disk.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The log's directory; made where there is none.
    dir: PathBuf,
    /// How records lie in the input.
    #[arg(long, value_enum, default_value = "lines")]
    framing: InputFraming,
    /// Print each record's position, a line each, as soon as it is durable.
    #[arg(long)]
    ack: bool,
    /// How the disk is reached; the default is the best that works here.
    #[arg(long, value_enum, default_value = "auto")]
    backend: Backend,
    #[command(flatten)]
    log: LogArgs,
}

/// Options of the log that commands pass on.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// The size of new segments: a power of two from 1 MiB to 1 GiB.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    segment_bytes: u64,
    /// The bound on memory for records on their way to the disk [default: four segments].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_bytes: Option<u64>,
    /// Drop the oldest segments while the log is larger than this [default: keep all].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    retain_bytes: Option<u64>,
    /// How many seconds to wait for another writer to go.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    lock_timeout: f64,
}

impl LogArgs {
    fn options(&self) -> Done<LogOptions> {
        let timeout = std::time::Duration::try_from_secs_f64(self.lock_timeout)
            .map_err(|_| Failure::Other("--lock-timeout must be a number of seconds".into()))?;
        let mut options = LogOptions::new()
            .segment_bytes(self.segment_bytes)
            .lock_timeout(timeout);
        if let Some(bytes) = self.memory_bytes {
            options = options.memory_bytes(bytes);
        }
        if let Some(bytes) = self.retain_bytes {
            options = options.retain_bytes(bytes);
        }
        Ok(options)
    }
}

pub(crate) fn run(args: &Args) -> Done {
    let log = args
        .log
        .options()?
        .open_on(&args.backend.engine()?, &args.dir)?;
    let input = BufReader::with_capacity(INPUT_BUFFER_BYTES, io::stdin().lock());
    let mut source = RecordSource::new(input, args.framing, log.payload_bytes_max());
    let fed = if args.ack {
        append_acknowledged(&log, &mut source)
    } else {
        append_all(&log, &mut source, |_| true)
    };
    // What came before a bad record is made durable all the same.
    let flushed = log.flush();
    let closed = log.close();
    fed?;
    flushed?;
    closed?;
    Ok(Outcome::Good)
}

/// Appends every record of the input; `each` gets the tickets and says whether to go on.
fn append_all<'log>(
    log: &'log Log,
    source: &mut RecordSource<impl io::BufRead>,
    mut each: impl FnMut(Ticket<'log>) -> bool,
) -> Done<()> {
    loop {
        match source.next() {
            Ok(Some(record)) => {
                if !each(log.append(record)?) {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(InputError::Io(error)) => {
                return Err(Failure::Io("reading standard input".into(), error));
            }
            Err(bad) => return Err(Failure::Other(bad.to_string())),
        }
    }
}

fn append_acknowledged(log: &Log, source: &mut RecordSource<impl io::BufRead>) -> Done<()> {
    std::thread::scope(|scope| {
        let (sender, receiver): (SyncSender<Ticket<'_>>, _) = sync_channel(ACKS_MAX);
        let printer = std::thread::Builder::new()
            .name("acknowledge".into())
            .spawn_scoped(scope, move || acknowledge(&receiver))
            .map_err(Failure::io("starting a thread"))?;
        // A send fails when the printer ended; it then says why.
        let fed = append_all(log, source, |ticket| sender.send(ticket).is_ok());
        drop(sender);
        let printed = printer.join().expect("the printer does not panic");
        printed.and(fed)
    })
}

/// Prints positions in order, each when it is durable; one flush for what is durable together.
fn acknowledge(tickets: &Receiver<Ticket<'_>>) -> Done<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    // Whoever listened may go away: appending goes on, only nobody hears of it.
    let mut heard = true;
    while let Ok(mut ticket) = tickets.recv() {
        loop {
            let position = ticket.wait()?;
            if heard {
                heard = listening(writeln!(out, "{position}"))?;
            }
            match tickets.try_recv() {
                Ok(next) if next.is_done() => ticket = next,
                Ok(next) => {
                    if heard {
                        heard = listening(out.flush())?;
                    }
                    ticket = next;
                }
                Err(_) => break,
            }
        }
        if heard {
            heard = listening(out.flush())?;
        }
    }
    Ok(())
}

fn listening(written: io::Result<()>) -> Done<bool> {
    match written.map_err(Failure::stdout) {
        Ok(()) => Ok(true),
        Err(Failure::ClosedPipe) => Ok(false),
        Err(failure) => Err(failure),
    }
}
