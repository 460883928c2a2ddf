//! A sync fails under a log that is written through the page cache by plain calls: all that waits is
//! told, nothing more is acknowledged, and what was acknowledged stays.

use ringbolt::ErrorKind;
use ringbolt::disk::RealOptions;

use crate::child::{cannot, done, engine, in_child, options, read_back, record, run};
use crate::filter::refuse;
use crate::rungs::Place;

#[test]
fn a_sync_that_fails_ends_the_log_and_takes_nothing_back() {
    let Some(dir) = in_child() else {
        let place = Place::new("unsynced");
        let dir = place.path().join("log");
        let name = "unsynced::a_sync_that_fails_ends_the_log_and_takes_nothing_back";
        if let Some(acknowledged) = run(name, &dir) {
            assert!(acknowledged >= 1000);
            assert!(read_back(&dir, 1)[0] >= acknowledged);
        }
        return;
    };
    let engine = engine(RealOptions {
        uring: false,
        direct: false,
        register: false,
    });
    let log = options().open_on(&engine, &dir).unwrap();
    let mut acknowledged = 0;
    for number in 0..1000 {
        let ticket = log.append(&record(0, number)).unwrap();
        if number % 100 == 99 {
            ticket.wait().unwrap();
            acknowledged = number + 1;
        }
    }
    if let Err(error) = refuse(libc::SYS_fdatasync, libc::EIO) {
        return cannot(&format!("no seccomp: {error}"));
    }
    // One group or several; whichever is synced first ends the log.
    let tickets: Vec<_> = (acknowledged..acknowledged + 100)
        .map_while(|number| log.append(&record(0, number)).ok())
        .collect();
    assert!(!tickets.is_empty());
    for ticket in tickets {
        let error = ticket.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.is_fatal(), "{error}");
    }
    for refused in [log.append(b"x").err(), log.flush().err(), log.close().err()] {
        assert_eq!(refused.unwrap().kind(), ErrorKind::Io);
    }
    done(acknowledged);
}
