//! Wall-clock times, as they lie on disk: nanoseconds since 1970.

use std::time::{Duration, SystemTime};

pub(crate) fn time_of(unix_ns: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_ns)
}

/// What lies before 1970 is 1970, and what no number holds is the largest.
pub(crate) fn unix_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
