//! A process that is killed with writes in flight: the kernel finishes them, and whoever gets the
//! log's lock must not see a byte change after that. So the lock is one of the ring's registered
//! files, which the kernel gives back when the ring's last request has ended.
//!
//! Killing a process and watching its files does not prove it: by the time the lock is free the
//! writes have mostly landed all the same. The kernel is asked instead.

use std::path::Path;
use std::time::{Duration, Instant};

use ringbolt::disk::{BackendKind, RealOptions};

use crate::child::{cannot, done, engine, in_child, options, run};
use crate::rungs::Place;

/// The log's lock file.
const LOCK: &str = "ringbolt.lock";

/// What the kernel says of this process's rings; empty where it says nothing.
fn rings() -> Vec<String> {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let to = std::fs::read_link(&path).ok()?;
            let number = path.file_name().unwrap().to_owned();
            to.to_string_lossy().contains("io_uring").then(|| {
                std::fs::read_to_string(Path::new("/proc/self/fdinfo").join(number)).unwrap()
            })
        })
        .collect()
}

/// The files that the one ring of this process has registered. The kernel tells them when the ring
/// is not busy just then.
fn registered() -> Option<String> {
    let limit = Instant::now() + Duration::from_secs(10);
    while Instant::now() < limit {
        let rings = rings();
        assert_eq!(rings.len(), 1, "{rings:?}");
        let lines: Vec<_> = rings[0]
            .lines()
            .skip_while(|line| !line.starts_with("UserFiles"))
            .take_while(|line| !line.starts_with("UserBufs"))
            .collect();
        if lines.len() > 1 {
            return Some(lines.join("\n"));
        }
        std::thread::yield_now();
    }
    None
}

#[test]
fn the_lock_of_a_log_is_registered_with_its_ring() {
    let Some(dir) = in_child() else {
        let place = Place::new("registered");
        let name = "lock::the_lock_of_a_log_is_registered_with_its_ring";
        run(name, &place.path().join("log"));
        return;
    };
    let engine = engine(RealOptions::default());
    if engine.rung().backend != BackendKind::Uring {
        return cannot(&engine.rung().reason.unwrap());
    }
    let log = options().open_on(&engine, &dir).unwrap();
    log.append(b"a record").unwrap().wait().unwrap();
    let Some(files) = registered() else {
        return cannot("this kernel does not tell what is registered");
    };
    let lock = dir.join(LOCK);
    let lock = lock.to_str().unwrap();
    assert!(files.lines().any(|line| line.ends_with(lock)), "{files}");
    // And not for longer than the log.
    log.close().unwrap();
    let files = registered().expect("it told before");
    assert!(!files.lines().any(|line| line.ends_with(lock)), "{files}");
    done(0);
}
