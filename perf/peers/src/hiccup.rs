//! What the machine itself steals: a thread that sleeps to a deadline and measures by how much it
//! wakes too late, beside whatever is measured. It sleeps instead of spinning: on a small machine a
//! spinning meter would be the hiccup.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// How long each sleep is.
const INTERVAL: Duration = Duration::from_millis(1);
/// The longest time that is told from longer ones.
const HOUR_NS: u64 = 3_600_000_000_000;

/// An empty histogram of nanoseconds, exact to three digits, whose room is fixed.
pub fn nanoseconds() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HOUR_NS, 3).expect("the bounds are sound")
}

/// A running meter.
#[derive(Debug)]
pub struct HiccupMeter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Histogram<u64>>,
}

impl HiccupMeter {
    /// Starts the meter's thread.
    pub fn start() -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("hiccup-meter".into())
            .spawn(move || measure(&seen))?;
        Ok(Self { stop, thread })
    }

    /// Stops it and returns by how many nanoseconds it woke too late. A sleep that was late by
    /// several intervals counts for each deadline that it missed.
    pub fn stop(self) -> Histogram<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the meter does not panic")
    }
}

fn measure(stop: &AtomicBool) -> Histogram<u64> {
    // The default slack of 50 us would be measured instead of the machine.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut histogram = nanoseconds();
    let interval_ns = INTERVAL.as_nanos() as u64;
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        std::thread::sleep(INTERVAL);
        let late = begin.elapsed().saturating_sub(INTERVAL);
        let _ = histogram.record_correct(late.as_nanos() as u64, interval_ns);
    }
    histogram
}
