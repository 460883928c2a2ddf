//! What the command is asked for.

use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Ticker;
use crate::machine;
use crate::rounds::Scale;
use crate::scenario::Scenario;

/// Measure Ringbolt's rings beside other queues, in many short rounds in which all alternate.
#[derive(Debug, clap::Parser)]
#[command(version)]
pub struct Options {
    /// Rounds of each comparison.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How long a run of one queue should take, in milliseconds.
    #[arg(long, value_name = "N", conflicts_with = "items")]
    millis: Option<u64>,
    /// How many items a run of one queue has, instead.
    #[arg(long, value_name = "N")]
    items: Option<u64>,
    /// Only comparisons whose names contain one of these, see --list.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// A smoke run, whose figures mean little.
    #[arg(long)]
    quick: bool,
    /// Name the comparisons, and run none.
    #[arg(long)]
    pub list: bool,
    /// Print the rate of each queue as well.
    #[arg(long)]
    pub rates: bool,
    /// Write everything as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the ratios and latencies as a picture.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

impl Options {
    /// The scenarios that are asked for.
    pub fn choose(&self, all: Vec<Scenario>) -> Result<Vec<Scenario>, String> {
        for name in &self.only {
            if !all.iter().any(|scenario| scenario.name.contains(name)) {
                return Err(format!(
                    "no comparison's name contains `{name}`; see --list"
                ));
            }
        }
        let asked = |scenario: &Scenario| {
            self.only.is_empty() || self.only.iter().any(|name| scenario.name.contains(name))
        };
        Ok(all.into_iter().filter(asked).collect())
    }

    pub fn scale(&self) -> Scale {
        let (rounds, millis) = if self.quick { (2, 5) } else { (21, 50) };
        Scale {
            rounds: self.rounds.unwrap_or(rounds).max(1),
            time: Duration::from_millis(self.millis.unwrap_or(millis).max(1)),
            items: self.items,
            cpus: machine::cpus(),
            ticker: Ticker::calibrated(),
        }
    }
}
