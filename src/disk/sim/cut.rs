//! Which part of what was not durable is on the disk after a crash: named, so that it can be made
//! again, and enumerated or sampled.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::SimDisk;
use super::crash::{Parts, Wreck};
use super::random::Rng;

/// One outcome of a crash: how everything ended, and what had landed.
///
/// As text: `power:mask-1f`, `kill:all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// How everything ended.
    pub mode: Mode,
    /// What had landed by then, or lands later.
    pub subset: Subset,
}

/// How everything ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The power failed: what was not durable landed by the sector, in any order, or not.
    Power,
    /// The process was killed: what it had finished is visible; writes in flight land later.
    Kill,
}

/// A choice among the parts that were not durable: first the writes in the order in which they
/// were made (by sectors or blocks), then lengths, then changes of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subset {
    /// Nothing landed: `none`.
    Nothing,
    /// Everything landed: `all`.
    Everything,
    /// Part i landed if bit i is set: `mask-` and hexadecimal digits.
    Mask(u64),
    /// The first so many writes and all lengths and names: `first-` and their number.
    First(u32),
    /// Within one block, the sectors by the bits of `mask`; outside of it, what comes before it,
    /// all names, and, if `others`, what comes after it: `tear-BLOCK-MASK-all` or `-before`.
    Tear {
        /// The how many-th block.
        block: u32,
        /// Its sectors.
        mask: u8,
        /// Whether later blocks landed, too.
        others: bool,
    },
    /// Drawn with this seed: `random-` and hexadecimal digits.
    Random(u64),
}

impl Subset {
    /// Says of each part whether it landed.
    pub(super) fn select(self, parts: &Parts) -> Vec<bool> {
        let mut landed = vec![false; parts.len()];
        let writes = parts.writes();
        match self {
            Self::Nothing => {}
            Self::Everything => landed.fill(true),
            Self::Mask(mask) => {
                for (bit, landed) in landed.iter_mut().enumerate().take(64) {
                    *landed = mask >> bit & 1 != 0;
                }
            }
            Self::First(count) => {
                landed[writes.min(count as usize)..writes].fill(false);
                landed[..writes.min(count as usize)].fill(true);
                landed[writes..].fill(true);
            }
            Self::Tear {
                block,
                mask,
                others,
            } => {
                landed.fill(true);
                if (block as usize) < parts.blocks() {
                    let range = parts.block(block as usize);
                    landed[range.end..writes].fill(others);
                    for (bit, landed) in landed[range].iter_mut().enumerate() {
                        *landed = mask >> (bit % 8) & 1 != 0;
                    }
                }
            }
            Self::Random(seed) => {
                let mut rng = Rng::new(seed);
                let of_eight = [1, 4, 4, 7][rng.index(4)];
                landed.fill_with(|| rng.chance(of_eight, 8));
            }
        }
        parts.close(&mut landed);
        landed
    }
}

/// The number of parts up to which every subset is visited.
const EXHAUSTIVE_PARTS_MAX: usize = 10;

/// The disks that may be found after a crash: an iterator. See [`Wreck::crash_states`].
#[derive(Debug)]
pub struct CrashStates {
    wreck: Wreck,
    parts: Arc<Parts>,
    mode: Mode,
    plan: Plan,
}

#[derive(Debug)]
enum Plan {
    Every {
        next: u64,
    },
    Sample {
        rng: Rng,
        drawn: u64,
        left: usize,
        /// Subsets that were visited.
        seen: BTreeSet<Vec<bool>>,
    },
}

/// After how many draws in a row that were visited before a sample ends.
const REPEATS_MAX: usize = 16;

impl CrashStates {
    pub(super) fn new(wreck: Wreck, mode: Mode, limit: usize, seed: u64) -> Self {
        let parts = Arc::new(Parts::new(&wreck, mode));
        let plan = if parts.len() <= EXHAUSTIVE_PARTS_MAX {
            Plan::Every { next: 0 }
        } else {
            Plan::Sample {
                rng: Rng::new(seed),
                drawn: 0,
                left: limit.max(2),
                seen: BTreeSet::new(),
            }
        };
        Self {
            wreck,
            parts,
            mode,
            plan,
        }
    }

    /// Whether every possible outcome is among these, not only a sample.
    #[must_use]
    pub fn is_exhaustive(&self) -> bool {
        matches!(self.plan, Plan::Every { .. })
    }

    /// The number of parts (sectors or blocks, lengths, changes of names) that were in doubt.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    fn next_subset(&mut self) -> Option<(Subset, Vec<bool>)> {
        match &mut self.plan {
            Plan::Every { next } => {
                while *next < 1 << self.parts.len() {
                    let mask = *next;
                    *next += 1;
                    let landed = Subset::Mask(mask).select(&self.parts);
                    let is_possible =
                        (0..landed.len()).all(|bit| landed[bit] == (mask >> bit & 1 != 0));
                    if is_possible {
                        return Some((Subset::Mask(mask), landed));
                    }
                }
                None
            }
            Plan::Sample {
                rng,
                drawn,
                left,
                seen,
            } => {
                *left = left.checked_sub(1)?;
                for attempt in 0..REPEATS_MAX {
                    // There may be few prefixes and tears, and all of them visited.
                    let subset = match attempt {
                        0 => draw(*drawn, rng, &self.parts),
                        _ => Subset::Random(rng.next()),
                    };
                    *drawn += 1;
                    let landed = subset.select(&self.parts);
                    if seen.insert(landed.clone()) {
                        return Some((subset, landed));
                    }
                }
                *left = 0;
                None
            }
        }
    }
}

fn draw(drawn: u64, rng: &mut Rng, parts: &Parts) -> Subset {
    match drawn {
        0 => return Subset::Nothing,
        1 => return Subset::Everything,
        _ => {}
    }
    match drawn % 4 {
        0 if parts.writes() > 0 => Subset::First(rng.index(parts.writes()) as u32),
        1 | 2 if parts.blocks() > 0 => Subset::Tear {
            block: rng.index(parts.blocks()) as u32,
            mask: 1 + rng.below(254) as u8,
            others: rng.chance(1, 2),
        },
        _ => Subset::Random(rng.next()),
    }
}

impl Iterator for CrashStates {
    type Item = SimDisk;

    fn next(&mut self) -> Option<SimDisk> {
        let (subset, landed) = self.next_subset()?;
        let cut = Cut {
            mode: self.mode,
            subset,
        };
        Some(self.parts.state_of(&self.wreck, cut, &landed))
    }
}
