//! Ringbolt's rings and other queues at the same work, in the same run.

#![deny(unsafe_code)]

mod catalogue;
mod clock;
mod hiccup;
mod item;
mod machine;
mod options;
mod peers;
mod queue;
mod report;
mod rounds;
mod scenario;
mod summary;
mod units;
mod wait;
mod work;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use machine::Machine;
use options::Options;
use report::Report;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let chosen = options.choose(catalogue::all())?;
    if options.list {
        for scenario in &chosen {
            let _ = writeln!(std::io::stdout(), "{:32} {}", scenario.name, scenario.what);
        }
        return Ok(());
    }
    let scale = options.scale();
    let talks = std::io::stderr().is_terminal();
    let mut outcomes = Vec::new();
    for scenario in chosen {
        outcomes.push(rounds::run(scenario, &scale, |doing| {
            if talks {
                eprint!("\r\x1b[K{doing}");
            }
        }));
    }
    if talks {
        eprint!("\r\x1b[K");
    }
    let report = Report {
        machine: Machine::describe(),
        scale,
        outcomes,
    };
    if let Some(path) = &options.json {
        write(path, &report.json()?)?;
    }
    if let Some(path) = &options.svg {
        write(path, &report.svg())?;
    }
    report
        .print(options.rates)
        .map_err(|error| format!("writing the table: {error}"))
}

fn write(path: &std::path::Path, content: &str) -> Result<(), String> {
    std::fs::write(path, content).map_err(|error| format!("writing {}: {error}", path.display()))
}
