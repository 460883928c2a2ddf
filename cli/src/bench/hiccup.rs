//! What the machine itself steals: a thread that sleeps to a deadline and measures by how much it
//! wakes too late, beside whatever is measured.
//!
//! It sleeps instead of spinning: on a small machine a spinning meter would be the hiccup. Where calls
//! of nanoseconds are measured even its short turns would be: there it rests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::histogram;

/// How long each sleep is.
const INTERVAL: Duration = Duration::from_millis(1);

/// How often it looks whether its rest is over.
const REST: Duration = Duration::from_millis(100);

/// A running meter.
#[derive(Debug)]
pub(crate) struct HiccupMeter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Histogram<u64>>,
}

/// Whether the meter rests.
static RESTS: AtomicBool = AtomicBool::new(false);

/// Lets the meter rest for as long as this lives.
#[derive(Debug)]
pub(crate) struct Rest;

impl Rest {
    pub(crate) fn begin() -> Self {
        RESTS.store(true, Ordering::Relaxed);
        Self
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        RESTS.store(false, Ordering::Relaxed);
    }
}

impl HiccupMeter {
    /// Starts the meter's thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("hiccup-meter".into())
            .spawn(move || measure(&seen))?;
        Ok(Self { stop, thread })
    }

    /// Stops it and returns by how many nanoseconds it woke too late. A sleep that was late by
    /// several intervals counts for each deadline that it missed.
    pub(crate) fn stop(self) -> Histogram<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the meter does not panic")
    }
}

fn measure(stop: &AtomicBool) -> Histogram<u64> {
    // The default slack of 50 us would be measured instead of the machine.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let mut histogram = histogram::nanoseconds();
    let interval_ns = INTERVAL.as_nanos() as u64;
    while !stop.load(Ordering::Relaxed) {
        if RESTS.load(Ordering::Relaxed) {
            std::thread::sleep(REST);
            continue;
        }
        let begin = Instant::now();
        std::thread::sleep(INTERVAL);
        let late = begin.elapsed().saturating_sub(INTERVAL);
        let _ = histogram.record_correct(late.as_nanos() as u64, interval_ns);
    }
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_counts_until_it_is_stopped() {
        let meter = HiccupMeter::start().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert!(!meter.stop().is_empty());
    }
}
