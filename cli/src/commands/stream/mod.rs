//! `ringbolt stream`: the streams of a store. Listing, describing and reading work beside a process that
//! writes it; the rest opens it for writing.

mod append;
mod change;
mod describe;
mod read;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use ringbolt::store::{Store, StoreOptions, StoreView};
use ringbolt::{Error, ErrorKind};

use crate::backend::Backend;
use crate::commands::append::LogArgs;
use crate::commands::read::PROOF_WAIT;
use crate::outcome::Done;

/// The streams of a store: list, describe, append, read, trim, delete.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(describe::ListArgs),
    Describe(describe::DescribeArgs),
    Append(append::Args),
    Read(read::Args),
    Trim(change::TrimArgs),
    Delete(change::DeleteArgs),
}

pub(crate) fn run(args: &Args) -> Done {
    match &args.command {
        Command::List(args) => describe::list(args),
        Command::Describe(args) => describe::describe(args),
        Command::Append(args) => append::run(args),
        Command::Read(args) => read::run(args),
        Command::Trim(args) => change::trim(args),
        Command::Delete(args) => change::delete(args),
    }
}

/// Which stream.
#[derive(Debug, clap::Args)]
struct Which {
    /// The store's directory.
    dir: PathBuf,
    /// The stream's name.
    name: String,
}

/// How a store is opened for writing.
#[derive(Debug, clap::Args)]
struct OpenArgs {
    /// How the disk is reached; the default is the best that works here.
    #[arg(long, value_enum, default_value = "auto")]
    backend: Backend,
    #[command(flatten)]
    log: LogArgs,
}

impl OpenArgs {
    fn open(&self, dir: &Path) -> Done<Store> {
        let options = StoreOptions::new().log(self.log.options()?);
        Ok(options.open_on(&self.backend.engine()?, dir)?)
    }
}

/// A view of all that is durable now; and the damage that keeps it from more.
fn view(dir: &Path) -> Done<(StoreView, Option<Error>)> {
    let view = StoreView::open(dir)?;
    match view.refresh_within(PROOF_WAIT) {
        Ok(_) => Ok((view, None)),
        Err(error) if error.kind() == ErrorKind::Damaged => Ok((view, Some(error))),
        Err(error) => Err(error.into()),
    }
}
