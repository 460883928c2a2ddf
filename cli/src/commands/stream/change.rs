//! `ringbolt stream trim` and `ringbolt stream delete`. Exit code 0 means that it is done, durably.

use ringbolt::store::{Stream, StreamInfo};

use crate::commands::stream::describe::StreamJson;
use crate::commands::stream::{OpenArgs, Which, view};
use crate::outcome::{Done, Outcome, print_json};

/// Remove all records of a stream before an offset; exit 0 means that they never come back.
#[derive(Debug, clap::Args)]
pub(super) struct TrimArgs {
    #[command(flatten)]
    which: Which,
    /// The first offset to keep; it may lie beyond the end.
    offset: u64,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Delete a stream with all that belongs to it; exit 0 means that it never comes back.
#[derive(Debug, clap::Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, clap::Args)]
struct ChangeArgs {
    /// Print one JSON object: how the stream stands, or stood last.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    open: OpenArgs,
}

pub(super) fn trim(args: &TrimArgs) -> Done {
    change(&args.which, &args.change, |stream| {
        stream.trim(args.offset)?.wait()?;
        stream.describe()
    })
}

pub(super) fn delete(args: &DeleteArgs) -> Done {
    change(&args.which, &args.change, |stream| {
        let last = stream.describe()?;
        stream.delete()?.wait()?;
        Ok(last)
    })
}

fn change(
    which: &Which,
    args: &ChangeArgs,
    change: impl FnOnce(&Stream) -> ringbolt::Result<StreamInfo>,
) -> Done {
    // Before the store is opened, which would make one.
    view(&which.dir)?.0.describe(&which.name)?;
    let store = args.open.open(&which.dir)?;
    let changed = store.stream(&which.name).and_then(|stream| change(&stream));
    let closed = store.close();
    let info = changed?;
    closed?;
    if args.json {
        print_json(&StreamJson::of(&info))?;
    }
    Ok(Outcome::Good)
}
