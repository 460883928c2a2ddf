//! `ringbolt append`: records from standard input into a log.
//!
//! Exit code 0 means that all of them are durable. The main thread reads and appends; with `--ack` a
//! second one waits for the tickets in order and prints each record's position as soon as, and not
//! before, it is durable. What is in flight is bounded by the log's own memory bound and the length
//! of the queue between the two.

use std::io::{self, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ringbolt::{LogOptions, Position, Ticket};

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
    /// Drop the oldest segments while the log is larger than this [default: keep all].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    retain_bytes: Option<u64>,
}

/// Options of the log that commands pass on.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// The size of new segments: a power of two from 1 MiB to 1 GiB.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    pub(crate) segment_bytes: u64,
    /// The bound on memory for records on their way to the disk [default: four segments].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_bytes: Option<u64>,
    /// How many seconds to wait for another writer to go.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    lock_timeout: f64,
}

impl LogArgs {
    pub(crate) fn options(&self) -> Done<LogOptions> {
        let timeout = std::time::Duration::try_from_secs_f64(self.lock_timeout)
            .map_err(|_| Failure::Other("--lock-timeout must be a number of seconds".into()))?;
        let mut options = LogOptions::new()
            .segment_bytes(self.segment_bytes)
            .lock_timeout(timeout);
        if let Some(bytes) = self.memory_bytes {
            options = options.memory_bytes(bytes);
        }
        Ok(options)
    }
}

pub(crate) fn run(args: &Args) -> Done {
    let mut options = args.log.options()?;
    if let Some(bytes) = args.retain_bytes {
        options = options.retain_bytes(bytes);
    }
    let log = options.open_on(&args.backend.engine()?, &args.dir)?;
    let mut source = input(args.framing, log.payload_bytes_max());
    let append = |record: &[u8]| Ok(log.append(record)?);
    let fed = if args.ack {
        append_acknowledged(&mut source, append, |out, position| {
            writeln!(out, "{position}")
        })
    } else {
        append_all(&mut source, |record| append(record).map(|_| true))
    };
    // What came before a bad record is made durable all the same.
    let flushed = log.flush();
    let closed = log.close();
    fed?;
    flushed?;
    closed?;
    Ok(Outcome::Good)
}

/// Records of at most `limit` bytes from standard input.
pub(crate) fn input(framing: InputFraming, limit: usize) -> RecordSource<impl io::BufRead> {
    let input = BufReader::with_capacity(INPUT_BUFFER_BYTES, io::stdin().lock());
    RecordSource::new(input, framing, limit)
}

/// The receipt of an append.
pub(crate) trait Receipt: Send {
    /// Where it lies.
    type Place;

    /// Waits until it is durable.
    fn wait(&self) -> ringbolt::Result<Self::Place>;

    fn is_durable(&self) -> bool;
}

impl Receipt for Ticket<'_> {
    type Place = Position;

    fn wait(&self) -> ringbolt::Result<Position> {
        self.wait()
    }

    fn is_durable(&self) -> bool {
        self.is_done()
    }
}

/// Gives every record of the input to `each`, which says whether to go on.
pub(crate) fn append_all(
    source: &mut RecordSource<impl io::BufRead>,
    mut each: impl FnMut(&[u8]) -> Done<bool>,
) -> Done<()> {
    loop {
        match source.next() {
            Ok(Some(record)) => {
                if !each(record)? {
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

/// Appends every record of the input, and tells of each as soon as it is durable.
pub(crate) fn append_acknowledged<R: Receipt>(
    source: &mut RecordSource<impl io::BufRead>,
    mut append: impl FnMut(&[u8]) -> Done<R>,
    tell: impl Fn(&mut dyn Write, R::Place) -> io::Result<()> + Send,
) -> Done<()> {
    std::thread::scope(|scope| {
        let (sender, receiver): (SyncSender<R>, _) = sync_channel(ACKS_MAX);
        let printer = std::thread::Builder::new()
            .name("acknowledge".into())
            .spawn_scoped(scope, move || acknowledge(&receiver, tell))
            .map_err(Failure::io("starting a thread"))?;
        // A send fails when the printer ended; it then says why.
        let fed = append_all(source, |record| Ok(sender.send(append(record)?).is_ok()));
        drop(sender);
        let printed = printer.join().expect("the printer does not panic");
        printed.and(fed)
    })
}

/// Tells of them in order, each when it is durable; one flush for what is durable together.
fn acknowledge<R: Receipt>(
    tickets: &Receiver<R>,
    tell: impl Fn(&mut dyn Write, R::Place) -> io::Result<()>,
) -> Done<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    // Whoever listened may go away: appending goes on, only nobody hears of it.
    let mut heard = true;
    while let Ok(mut ticket) = tickets.recv() {
        loop {
            let place = ticket.wait()?;
            if heard {
                heard = listening(tell(&mut out, place))?;
            }
            match tickets.try_recv() {
                Ok(next) if next.is_durable() => ticket = next,
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
