//! `ringbolt stream append`: records into a stream. Exit code 0 means that all of them are durable.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use ringbolt::ErrorKind;
use ringbolt::store::{Appended, Store, StoreTicket, StreamOptions};

use crate::commands::append::{Receipt, append_acknowledged, input};
use crate::commands::stream::{OpenArgs, Which};
use crate::framing::InputFraming;
use crate::outcome::{Done, Failure, Outcome};

/// Append records to a stream; exit 0 means that all of them are on disk. The store and the stream are
/// made where there are none.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// A record, each; without any they come from standard input.
    records: Vec<OsString>,
    /// How records lie in the input.
    #[arg(long, value_enum, default_value = "lines", conflicts_with = "records")]
    framing: InputFraming,
    /// Print each record's offset, a line each, as soon as it is durable.
    #[arg(long)]
    ack: bool,
    /// The same, as JSON objects, a line each.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    open: OpenArgs,
}

impl Receipt for StoreTicket<Appended> {
    type Place = Appended;

    fn wait(&self) -> ringbolt::Result<Appended> {
        self.wait()
    }

    fn is_durable(&self) -> bool {
        self.is_durable()
    }
}

pub(super) fn run(args: &Args) -> Done {
    let store = args.open.open(&args.which.dir)?;
    let fed = append(args, &store);
    // What came before a bad record is made durable all the same.
    let closed = store.close();
    fed?;
    closed?;
    Ok(Outcome::Good)
}

fn append(args: &Args, store: &Store) -> Done<()> {
    let name = &args.which.name;
    let stream = match store.stream(name) {
        Err(error) if error.kind() == ErrorKind::NoStream => {
            store.create(name, &StreamOptions::new())?
        }
        stream => stream?,
    };
    let tell = |out: &mut dyn Write, appended: Appended| match (args.json, args.ack) {
        (true, _) => writeln!(out, "{{\"offset\":{}}}", appended.offset),
        (false, true) => writeln!(out, "{}", appended.offset),
        (false, false) => Ok(()),
    };
    let append = |record: &[u8]| Ok::<_, Failure>(stream.append(record)?);
    if args.records.is_empty() {
        // What is larger than a record can be is refused by the store.
        let mut source = input(args.framing, args.open.log.segment_bytes as usize);
        return append_acknowledged(&mut source, append, tell);
    }
    let tickets = args.records.iter().map(|record| append(record.as_bytes()));
    for ticket in tickets.collect::<Done<Vec<_>>>()? {
        tell(&mut std::io::stdout().lock(), ticket.wait()?).map_err(Failure::stdout)?;
    }
    Ok(())
}
