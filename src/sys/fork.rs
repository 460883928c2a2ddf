//! Telling a forked child from the process that made something.

use std::sync::OnceLock;

use crate::sync::atomic::{AtomicU64, Ordering};

use super::mem::WipedOnFork;

/// A number for the calling process: another one in a forked child, however often it forked.
///
/// Costs two loads; a page that could not be made leaves forks undetected.
#[inline]
pub(crate) fn process_mark() -> u64 {
    // A model's atomics cannot outlive the model, and it does not fork.
    if cfg!(ringbolt_loom) {
        return 0;
    }
    static MARK: OnceLock<Option<WipedOnFork>> = OnceLock::new();
    let Some(word) = MARK.get_or_init(|| WipedOnFork::new(0).ok()) else {
        return 0;
    };
    match word.get().load(Ordering::Relaxed) {
        0 => set_mark(word.get()),
        mark => mark,
    }
}

#[cold]
fn set_mark(word: &AtomicU64) -> u64 {
    // A process's number is not used again while its parent or child lives.
    let mark = u64::from(std::process::id());
    // Threads of one process store the same.
    word.store(mark, Ordering::Relaxed);
    mark
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::process_mark;

    #[test]
    fn the_mark_stays_within_a_process() {
        assert_eq!(process_mark(), u64::from(std::process::id()));
        assert_eq!(process_mark(), process_mark());
    }
}
