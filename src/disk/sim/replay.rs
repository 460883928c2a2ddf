//! The name of a simulated disk's state: one line that makes it again.

use std::fmt;
use std::str::FromStr;

use super::cut::{Cut, Mode, Subset};
use super::{SimDisk, SimOptions};

/// How a state came about: a seed, then crashes and what each of them left.
///
/// As text, one line: `seed=7 crash=57 power:mask-1f crash=3 kill:all`.
///
/// ```
/// use ringbolt::disk::sim::Replay;
///
/// let line = "seed=7 crash=57 power:tear-3-a5-all crash=3 kill:random-1f2e";
/// assert_eq!(line.parse::<Replay>()?.to_string(), line);
/// # Ok::<(), ringbolt::disk::sim::ParseReplayError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The seed of the first disk.
    pub seed: u64,
    /// The crashes, each on the disk that the one before it left.
    pub crashes: Vec<Crash>,
}

/// A crash, and what it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// In which operation it came, counted from 1 on that disk.
    pub operation: u64,
    /// What it left.
    pub cut: Cut,
}

impl Replay {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            crashes: Vec::new(),
        }
    }

    pub(super) fn then(mut self, operation: u64, cut: Cut) -> Self {
        self.crashes.push(Crash { operation, cut });
        self
    }

    /// Makes the state again. `run` is called once for each crash, with its number from 0 and a
    /// disk that will crash: it must do what was done when the state was first made (the workload,
    /// then the recovery, and so on). `options` must be those of the first disk but for the seed.
    ///
    /// # Panics
    ///
    /// If a run ends before its crash.
    pub fn run(&self, options: SimOptions, mut run: impl FnMut(usize, &SimDisk)) -> SimDisk {
        let mut disk = options.seed(self.seed).build();
        for (number, crash) in self.crashes.iter().enumerate() {
            disk.crash_at(crash.operation);
            run(number, &disk);
            let wreck = disk.wreck().unwrap_or_else(|| {
                panic!(
                    "the run ended after {} operations, before the crash: {self}",
                    disk.operations()
                )
            });
            disk = wreck.state(crash.cut);
        }
        disk
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed={}", self.seed)?;
        for Crash { operation, cut } in &self.crashes {
            write!(f, " crash={operation} {cut}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Power => "power",
            Mode::Kill => "kill",
        };
        write!(f, "{mode}:")?;
        match self.subset {
            Subset::Nothing => write!(f, "none"),
            Subset::Everything => write!(f, "all"),
            Subset::Mask(mask) => write!(f, "mask-{mask:x}"),
            Subset::First(count) => write!(f, "first-{count}"),
            Subset::Tear {
                block,
                mask,
                others,
            } => {
                let others = if others { "all" } else { "before" };
                write!(f, "tear-{block}-{mask:x}-{others}")
            }
            Subset::Random(seed) => write!(f, "random-{seed:x}"),
        }
    }
}

/// The text names no state.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not the name of a simulated disk's state, at {0:?}")]
pub struct ParseReplayError(String);

impl FromStr for Replay {
    type Err = ParseReplayError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut words = line.split_whitespace();
        let seed = words.next().unwrap_or_default();
        let mut replay =
            Self::new(number(seed, "seed=").ok_or_else(|| ParseReplayError(seed.to_owned()))?);
        while let Some(word) = words.next() {
            let operation =
                number(word, "crash=").ok_or_else(|| ParseReplayError(word.to_owned()))?;
            replay = replay.then(operation, words.next().unwrap_or_default().parse()?);
        }
        Ok(replay)
    }
}

fn number(word: &str, name: &str) -> Option<u64> {
    word.strip_prefix(name)?.parse().ok()
}

impl FromStr for Cut {
    type Err = ParseReplayError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        parse_cut(word).ok_or_else(|| ParseReplayError(word.to_owned()))
    }
}

fn parse_cut(word: &str) -> Option<Cut> {
    let (mode, subset) = word.split_once(':')?;
    let mode = match mode {
        "power" => Mode::Power,
        "kill" => Mode::Kill,
        _ => return None,
    };
    let hex = |digits| u64::from_str_radix(digits, 16).ok();
    let fields: Vec<_> = subset.split('-').collect();
    let subset = match fields[..] {
        ["none"] => Subset::Nothing,
        ["all"] => Subset::Everything,
        ["mask", mask] => Subset::Mask(hex(mask)?),
        ["first", count] => Subset::First(count.parse().ok()?),
        ["tear", block, mask, others] => Subset::Tear {
            block: block.parse().ok()?,
            mask: u8::from_str_radix(mask, 16).ok()?,
            others: match others {
                "all" => true,
                "before" => false,
                _ => return None,
            },
        },
        ["random", seed] => Subset::Random(hex(seed)?),
        _ => return None,
    };
    Some(Cut { mode, subset })
}
