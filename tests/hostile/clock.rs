//! A wall clock that jumps.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ringbolt::disk::sim::{SimDisk, SimOptions};
use ringbolt::{From, Poll};

use crate::common::{Rig, options, payload, read_all};

const HOUR_NS: i64 = 3_600_000_000_000;

/// The times that the log keeps never fall, also across openings; nothing else minds.
#[test]
fn times_never_fall() {
    let disk = SimDisk::new(1);
    let times = Arc::new(Mutex::new(Vec::<SystemTime>::new()));
    let hook = Arc::clone(&times);
    let options = options().on_seal(move |sealed| hook.lock().unwrap().push(sealed.time));
    let mut written = 0;
    for opening in 0..3 {
        let mut rig = Rig::new(&disk);
        let log = rig.open(&options).unwrap();
        assert_eq!(read_all(&log).unwrap().len(), written);
        for n in 0..12 {
            disk.jump_wall(if (n + opening) % 2 == 0 {
                -5 * HOUR_NS
            } else {
                3 * HOUR_NS
            });
            rig.write(&log, &payload(n, 250_000));
            written += 1;
        }
        rig.rest();
        for time in [
            SystemTime::UNIX_EPOCH,
            SystemTime::now(),
            SystemTime::UNIX_EPOCH + Duration::MAX / 4,
        ] {
            let mut reader = log.reader(From::Time(time)).unwrap();
            while reader.try_next().unwrap().is_some() {}
        }
        rig.close(&log).unwrap();
    }
    let times = times.lock().unwrap();
    assert!(times.len() >= 6, "{times:?}");
    assert!(times.is_sorted(), "{times:?}");
}

/// By age, with a clock that jumps either way: what is kept is a suffix, and the log goes on.
#[test]
fn retention_by_age_survives_jumps() {
    for age in [
        Duration::ZERO,
        Duration::from_secs(60),
        Duration::from_secs(u64::MAX),
        Duration::MAX,
    ] {
        for start in [1_700_000_000_000_000_000, 0] {
            let disk = SimOptions::new().seed(2).start_unix_ns(start).build();
            let mut rig = Rig::new(&disk);
            let log = rig.open(&options().retain_age(age)).unwrap();
            let mut positions = Vec::new();
            for n in 0..24 {
                disk.jump_wall(if n % 3 == 0 { -HOUR_NS / 3 } else { HOUR_NS });
                positions.push(rig.write(&log, &payload(n, 250_000)));
                rig.driver().poll().unwrap();
            }
            let left = read_all(&log).unwrap();
            let first = positions.iter().position(|at| *at == left[0].0).unwrap();
            assert!(
                left.iter().map(|(at, _)| at).eq(&positions[first..]),
                "{age:?}"
            );
            assert!(left.len() < 24 || age > Duration::from_secs(60), "{age:?}");
            assert!(
                left.len() == 24 || age <= Duration::from_secs(60),
                "{age:?}"
            );
        }
    }
}

/// An idle log whose work is done sleeps. Its last segment may be full to the last byte, and
/// everything in it older than it should get.
#[test]
fn an_idle_log_with_retention_by_age_sleeps() {
    for rest in [0, 16, 1000, 30_000] {
        let disk = SimDisk::new(3);
        let mut rig = Rig::new(&disk);
        let log = rig
            .open(&options().retain_age(Duration::from_secs(1)))
            .unwrap();
        rig.write(&log, &payload(1, 1000));
        rig.rest();
        // Up to the segment's end, or a little before it, in one record.
        let room = (1 << 20) - 4096 - log.end().offset_bytes() as usize;
        rig.write(&log, &payload(2, room - 16 - rest));
        rig.rest();
        disk.advance(Duration::from_secs(10));
        for _ in 0..100 {
            rig.turn();
        }
        let busy = (0..100).filter(|_| rig.turn() == Some(Poll::Busy)).count();
        assert!(busy < 10, "{rest} bytes left: busy in {busy} of 100 turns");
        rig.write(&log, b"goes on");
    }
}
