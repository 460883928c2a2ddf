//! io_uring is refused, from the start or in the middle, as containers do: the log goes on by plain
//! calls and loses nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use ringbolt::disk::{BackendKind, RealOptions};

use crate::child::{cannot, done, engine, in_child, options, read_back, record, run};
use crate::filter::refuse;
use crate::rungs::Place;

const WRITERS: usize = 4;
const RECORDS: usize = 3000;

/// Appends all of them and waits for each; `middle` happens when about half of them are on disk,
/// while the others are on their way.
fn append_all(log: &ringbolt::Log, middle: impl FnOnce() + Send) {
    let middle = std::sync::Mutex::new(Some(middle));
    let acknowledged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (middle, acknowledged) = (&middle, &acknowledged);
            scope.spawn(move || {
                let mut tickets = std::collections::VecDeque::new();
                for number in 0..RECORDS {
                    tickets.push_back(log.append(&record(writer, number)).unwrap());
                    if tickets.len() == 100 || number + 1 == RECORDS {
                        for ticket in tickets.drain(..) {
                            ticket.wait().unwrap();
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    if acknowledged.load(Ordering::Relaxed) > WRITERS * RECORDS / 2 {
                        if let Some(middle) = middle.lock().unwrap().take() {
                            middle();
                        }
                    }
                }
            });
        }
    });
    assert!(middle.into_inner().unwrap().is_none());
    assert_eq!(acknowledged.into_inner(), WRITERS * RECORDS);
}

/// The rings that this process has open.
fn rings() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|to| to.to_string_lossy().contains("io_uring"))
        .count()
}

fn check(name: &str, dir: &std::path::Path) {
    if let Some(acknowledged) = run(name, dir) {
        assert_eq!(acknowledged, WRITERS * RECORDS);
        assert_eq!(read_back(dir, WRITERS), [RECORDS; WRITERS]);
    }
}

#[test]
fn a_ring_that_is_refused_under_a_log_loses_no_record() {
    let Some(dir) = in_child() else {
        let place = Place::new("refused");
        let name = "refused::a_ring_that_is_refused_under_a_log_loses_no_record";
        return check(name, &place.path().join("log"));
    };
    let engine = engine(RealOptions::default());
    if engine.rung().backend != BackendKind::Uring {
        return cannot(&engine.rung().reason.unwrap());
    }
    let log = options().open_on(&engine, &dir).unwrap();
    assert_eq!(rings(), 1);
    let mut refused = Ok(());
    append_all(&log, || {
        refused = refuse(libc::SYS_io_uring_enter, libc::EPERM);
    });
    if let Err(error) = refused {
        return cannot(&format!("no seccomp: {error}"));
    }
    assert_eq!(rings(), 0, "it was not refused");
    log.close().unwrap();
    let rung = engine.rung();
    assert_eq!(rung.backend, BackendKind::Posix);
    assert!(
        rung.reason.as_ref().unwrap().contains("refused"),
        "{rung:?}"
    );
    // Where a ring can be made and not be entered.
    assert_eq!(read_back(&dir, WRITERS), [RECORDS; WRITERS]);
    done(WRITERS * RECORDS);
}

#[test]
fn a_log_without_io_uring_is_as_good() {
    absent("refused::a_log_without_io_uring_is_as_good", libc::ENOSYS);
}

#[test]
fn a_log_that_may_not_use_io_uring_is_as_good() {
    absent(
        "refused::a_log_that_may_not_use_io_uring_is_as_good",
        libc::EPERM,
    );
}

fn absent(name: &str, errno: i32) {
    let Some(dir) = in_child() else {
        let place = Place::new("absent");
        return check(name, &place.path().join("log"));
    };
    if let Err(error) = refuse(libc::SYS_io_uring_setup, errno) {
        return cannot(&format!("no seccomp: {error}"));
    }
    let engine = engine(RealOptions::default());
    let rung = engine.rung();
    assert_eq!(rung.backend, BackendKind::Posix);
    let why = std::io::Error::from_raw_os_error(errno).to_string();
    assert!(rung.reason.as_ref().unwrap().contains(&why), "{rung:?}");
    let log = options().open_on(&engine, &dir).unwrap();
    append_all(&log, || ());
    log.close().unwrap();
    done(WRITERS * RECORDS);
}
