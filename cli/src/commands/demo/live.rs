//! The line of rates while the demo runs: renewed in place on a terminal, one line a second else.

use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ringbolt::Stats;

use crate::commands::demo::record;
use crate::commands::demo::work::Shared;
use crate::units;

const TERMINAL_EVERY: Duration = Duration::from_millis(200);
const PLAIN_EVERY: Duration = Duration::from_secs(1);

/// Cumulated figures at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    at: Duration,
    appended: u64,
    received: u64,
    written_bytes: u64,
}

#[derive(Debug)]
pub(super) struct Live {
    /// Where there is a terminal.
    bar: Option<ProgressBar>,
    every: Duration,
    last: Sample,
}

impl Live {
    /// Begins with what the log has counted so far.
    pub(super) fn new(stats: &Stats) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            ProgressBar::new_spinner().with_style(style.expect("the template is right"))
        });
        let every = if terminal {
            TERMINAL_EVERY
        } else {
            PLAIN_EVERY
        };
        Self {
            bar,
            every,
            last: Sample {
                written_bytes: stats.written_bytes,
                ..Sample::default()
            },
        }
    }

    /// Shows the rates since the last time, if it is time to.
    pub(super) fn show(&mut self, at: Duration, shared: &Shared, stats: &Stats) {
        if at - self.last.at < self.every {
            return;
        }
        let received = |i: usize| shared.received[i].load(Ordering::Relaxed);
        let now = Sample {
            at,
            appended: shared.appended.load(Ordering::Relaxed),
            received: received(0) + received(1),
            written_bytes: stats.written_bytes,
        };
        let line = rates(&self.last, &now);
        self.last = now;
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn rates(from: &Sample, to: &Sample) -> String {
    let seconds = (to.at - from.at).as_secs_f64();
    let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
    format!(
        "{:>5.1} s  appended {:>7}/s ({:>10})  received {:>7}/s  to the disk {:>10}",
        to.at.as_secs_f64(),
        units::count(rate(from.appended, to.appended)),
        units::size_rate(rate(from.appended, to.appended) * record::BYTES as f64),
        units::count(rate(from.received, to.received)),
        units::size_rate(rate(from.written_bytes, to.written_bytes)),
    )
}
