//! A memory fence whose cost falls on one side: threads that pass often pay nothing, the one that
//! goes to sleep pays for all.
//!
//! [`light`] and [`heavy`] pair like two sequentially consistent fences: of two threads, one that
//! stores A, passes `light` and loads B, and one that stores B, passes `heavy` and loads A, at least
//! one sees the other's store. [`heavy`] makes the kernel run a fence on every processor where this
//! process is running (`membarrier`, private and expedited); [`light`] then only keeps the compiler
//! from moving the accesses. Where the kernel cannot, both are fences.
//!
//! The technique is that of Dice, Huang and Yang, "Asymmetric Dekker Synchronization" (2001). In
//! the models both are fences, which is what they promise.

#[cfg(not(ringbolt_loom))]
pub(crate) use real::{heavy, light, lightest, prepare};

#[cfg(ringbolt_loom)]
pub(crate) use modelled::{heavy, light, lightest, prepare};

#[cfg(not(ringbolt_loom))]
mod real {
    use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

    use crate::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

    /// Whether `light` may leave the fence to `heavy`. Set before the first ring exists, if at all.
    static LEFT_TO_HEAVY: AtomicBool = AtomicBool::new(false);

    /// To be called before anything relies on the two: asks the kernel for its part. Says whether it
    /// does it, so that [`lightest`] is enough.
    pub(crate) fn prepare() -> bool {
        let wanted = MembarrierQuery::PRIVATE_EXPEDITED;
        if !LEFT_TO_HEAVY.load(Ordering::Relaxed)
            && membarrier_query().contains(wanted)
            && membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
        {
            LEFT_TO_HEAVY.store(true, Ordering::Relaxed);
        }
        LEFT_TO_HEAVY.load(Ordering::Relaxed)
    }

    /// The side that passes often.
    #[inline]
    pub(crate) fn light() {
        if LEFT_TO_HEAVY.load(Ordering::Relaxed) {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    /// [`light`] for those who know by what they look at next whether they must fence.
    #[inline]
    pub(crate) fn lightest() {
        compiler_fence(Ordering::SeqCst);
    }

    /// The side that goes to sleep. `false` when the kernel refused what it had granted (a filter
    /// of system calls that came later): the caller must not sleep without looking again soon.
    #[must_use]
    pub(crate) fn heavy() -> bool {
        fence(Ordering::SeqCst);
        if !LEFT_TO_HEAVY.load(Ordering::Relaxed) {
            return true;
        }
        membarrier(MembarrierCommand::PrivateExpedited).is_ok()
            // A child of a fork may have to ask anew.
            || (membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
                && membarrier(MembarrierCommand::PrivateExpedited).is_ok())
    }
}

#[cfg(ringbolt_loom)]
mod modelled {
    use crate::sync::atomic::{Ordering, fence};

    pub(crate) fn prepare() -> bool {
        true
    }

    /// A fence, which also orders what is before it and what is behind it for others. The real one
    /// does not: `loom-tests/weaken` asks with `ringbolt_unfenced` whether the models of those who never
    /// sleep miss it.
    pub(crate) fn light() {
        if !cfg!(ringbolt_unfenced) {
            fence(Ordering::SeqCst);
        }
    }

    pub(crate) fn lightest() {
        light();
    }

    pub(crate) fn heavy() -> bool {
        // No model kills it: whoever calls it has registered, behind a fence. In reality it is the
        // system call that counts.
        fence(Ordering::SeqCst);
        true
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Store, fence, load on both sides, many times: never do both miss the other's store.
    #[test]
    fn one_of_two_sees_the_other() {
        const ROUNDS: u64 = 5_000;
        super::prepare();
        let [a, b, seen] = [const { AtomicU64::new(0) }; 3];
        let meet = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    meet.wait();
                    b.store(round, Ordering::Relaxed);
                    assert!(super::heavy());
                    seen.store(a.load(Ordering::Relaxed), Ordering::Relaxed);
                    meet.wait();
                }
            });
            for round in 1..=ROUNDS {
                meet.wait();
                a.store(round, Ordering::Relaxed);
                super::light();
                let seen_here = b.load(Ordering::Relaxed);
                meet.wait();
                let seen_there = seen.load(Ordering::Relaxed);
                assert!(
                    seen_here == round || seen_there == round,
                    "both missed it in round {round}"
                );
            }
        });
    }
}
