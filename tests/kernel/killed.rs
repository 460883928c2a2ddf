//! A process that is killed with writes in flight: the kernel finishes them, and whoever gets the
//! log's lock must not see a byte change after that. So the lock is one of the ring's registered
//! files, which the kernel gives back when the ring's last request has ended.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringbolt::disk::{AlignedBuf, BackendKind, Dir, Disk, OpenMode, Real, RealOptions};
use ringbolt::{Log, LogOptions, maintain};

use crate::child::{cannot, command, done, engine, in_child, options, run};
use crate::rungs::{Place, skip};

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
        let name = "killed::the_lock_of_a_log_is_registered_with_its_ring";
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

/// How often a process is killed.
const KILLS: usize = 12;
/// How often its files are read after that.
const LOOKS: usize = 3;

#[test]
fn nothing_changes_under_whoever_has_the_lock() {
    const NAME: &str = "killed::nothing_changes_under_whoever_has_the_lock";
    if let Some(dir) = in_child() {
        return append_for_ever(&dir);
    }
    let disk = Real::probe();
    let place = Place::new("killed");
    let access = disk.open_dir(place.path()).unwrap().access();
    if !access.direct {
        return skip(1, &format!("{NAME}: {}", access.reason.unwrap()));
    }
    for round in 0..KILLS {
        let path = place.path().join(round.to_string());
        let mut child = command(NAME, &path).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "busy"));
        child.kill().unwrap();
        // At once, and not when it is gone.
        let dir = disk.open_dir(&path).unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        let lock = loop {
            match dir.lock(LOCK).unwrap() {
                Some(lock) => break lock,
                None => assert!(Instant::now() < limit, "it is never free"),
            }
        };
        let first = contents(&dir);
        for look in 0..LOOKS {
            let again = contents(&dir);
            let changed = first.iter().zip(&again).any(|(a, b)| **a != **b);
            assert!(!changed, "round {round}: written to before look {look}");
        }
        child.wait().unwrap();
        drop(lock);
        Log::open(&path).unwrap().close().unwrap();
        let verification = maintain::verify(&path, &mut |_| {}).unwrap();
        assert!(verification.is_sound(), "{:?}", verification.damages);
        std::fs::remove_dir_all(&path).unwrap();
    }
}

const SEGMENT: u64 = 16 << 20;

/// Keeps as many large writes in flight as the log will.
fn append_for_ever(dir: &Path) {
    let log: Log = LogOptions::new().segment_bytes(SEGMENT).open(dir).unwrap();
    let payload = vec![7; 1 << 20];
    let _ = log.append(&payload).unwrap().wait().unwrap();
    for number in 0.. {
        let _ = log.append(&payload).unwrap();
        if number == 20 {
            println!("\nbusy");
        }
    }
}

/// All segments, past the page cache: the newest first, since that is what was being written.
fn contents(dir: &Arc<dyn Dir>) -> Vec<AlignedBuf> {
    let mut names: Vec<_> = dir
        .list()
        .unwrap()
        .into_iter()
        .filter(|entry| entry.name.ends_with(".seg"))
        .map(|entry| entry.name)
        .collect();
    names.sort();
    names
        .iter()
        .rev()
        .map(|name| {
            let file = dir.open(name, OpenMode::Read).unwrap();
            let mut bytes = AlignedBuf::new(file.len().unwrap() as usize).unwrap();
            file.read_at(&mut bytes, 0).unwrap();
            bytes
        })
        .collect()
}
