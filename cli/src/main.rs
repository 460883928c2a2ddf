//! The `ringbolt` command: append to, read, inspect, verify, repair, copy and measure Ringbolt logs.
#![deny(unsafe_code)]

mod backend;
mod bench;
mod child;
mod commands;
mod framing;
mod hgrm;
mod histogram;
mod outcome;
mod plot;
mod temporary;
mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Durable logs and stores on disk: append, read, inspect, verify, repair, copy, measure; streams.
///
/// Exit codes: 0 good, 1 damage found, 2 wrong usage or an input/output error; 130 when `demo` or
/// `bench` was interrupted, after tidying up.
#[derive(Debug, Parser)]
#[command(name = "ringbolt", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(commands::demo::Args),
    Append(commands::append::Args),
    Read(commands::read::Args),
    Inspect(commands::inspect::Args),
    Verify(commands::verify::Args),
    Repair(commands::repair::Args),
    Backup(commands::copy::Args),
    /// Make a store of a backup, which is not changed: a copy, too, with an identity of its own.
    ///
    /// Every checksum is checked on the way; exit code 1 when damage was found.
    Restore(commands::copy::Args),
    Stream(commands::stream::Args),
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(args) => commands::demo::run(&args),
        Command::Append(args) => commands::append::run(&args),
        Command::Read(args) => commands::read::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Verify(args) => commands::verify::run(&args),
        Command::Repair(args) => commands::repair::run(&args),
        Command::Backup(args) | Command::Restore(args) => commands::copy::run(&args),
        Command::Stream(args) => commands::stream::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    outcome::exit_code(done)
}
