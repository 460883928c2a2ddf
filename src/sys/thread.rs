//! Threads: on which processor they run.

use std::io;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Lets the calling thread run on processor `cpu` only.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("there is no processor {cpu}"),
        ));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_takes_effect_and_nonsense_is_refused() {
        // In a thread of its own: the affinity must not leak into other tests.
        std::thread::spawn(|| {
            let allowed = rustix::thread::sched_getaffinity(None).unwrap();
            let cpu = (0..CpuSet::MAX_CPU)
                .find(|&cpu| allowed.is_set(cpu))
                .unwrap();
            pin(cpu).unwrap();
            let now = rustix::thread::sched_getaffinity(None).unwrap();
            assert!(now.is_set(cpu) && now.count() == 1);
            assert!(pin(usize::MAX).is_err());
        })
        .join()
        .unwrap();
    }
}
