//! The processors: how many, and a thread's place on them.

use std::fmt;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// The processors that we may run on, by number.
pub fn cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect()
}

/// Puts the calling thread on the `index`-th of `cpus`.
pub fn pin(cpus: &[usize], index: usize) {
    if let Some(&cpu) = cpus.get(index) {
        let mut set = CpuSet::new();
        set.set(cpu);
        let _ = sched_setaffinity(None, &set);
    }
}

/// What was measured on.
#[derive(Debug, Serialize)]
pub struct Machine {
    processor: String,
    pub cpus: usize,
    kernel: String,
}

impl Machine {
    pub fn describe() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map(|(_, value)| value.trim().to_owned());
        Self {
            processor: model.unwrap_or_else(|| std::env::consts::ARCH.into()),
            cpus: cpus().len(),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            cpus,
            kernel,
        } = self;
        write!(f, "{cpus} x {processor}, Linux {kernel}")
    }
}
