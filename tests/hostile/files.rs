//! Segments' files that go, or cannot be opened, just when a reader wants them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use ringbolt::disk::sim::{EIO, Fault, OpClass, SimDisk};
use ringbolt::disk::{Disk, LockMode, OpenMode};
use ringbolt::{Error, ErrorKind, From, Log, LogOptions, LogView, Position};

use crate::common::{DIR, Rig, options, payload};
use crate::meddler::{self, MOMENTS, Meddler, Moment};

/// The number of a process that has too many files open.
const EMFILE: i32 = 24;

const RECORDS: usize = 40;

fn small() -> LogOptions {
    options().memory_bytes(3 << 20).spare_segments(4)
}

/// Four to a segment.
fn record(n: usize) -> Vec<u8> {
    payload(n, 250_000)
}

fn file_name(position: Position) -> String {
    format!("{:011}.seg", position.segment())
}

fn path(position: Position) -> PathBuf {
    Path::new(DIR).join(file_name(position))
}

/// A log whose first segments are in their files alone, on a disk on which something may happen
/// when they are opened.
struct Scene {
    disk: SimDisk,
    meddler: Arc<Meddler>,
    rig: Rc<RefCell<Rig>>,
    log: Log,
    positions: Vec<Position>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let meddler = Arc::new(Meddler(disk.clone()));
        let mut rig = Rig::through(&disk, Arc::clone(&meddler) as Arc<_>);
        let log = rig.open(&small()).unwrap();
        let positions: Vec<_> = (0..RECORDS).map(|n| rig.write(&log, &record(n))).collect();
        rig.rest();
        Self {
            disk,
            meddler,
            rig: Rc::new(RefCell::new(rig)),
            log,
            positions,
        }
    }

    /// Has the first two segments trimmed at that moment, and their files used for others, if they
    /// can be; returns what then tells how many were.
    fn trim_at(&self, moment: Moment) -> Rc<RefCell<u64>> {
        let (rig, log, to) = (Rc::clone(&self.rig), self.log.clone(), self.third());
        let recycled = Rc::new(RefCell::new(0));
        let told = Rc::clone(&recycled);
        meddler::at(&file_name(self.positions[0]), moment, move || {
            *told.borrow_mut() = trim_and_go_on(&mut rig.borrow_mut(), &log, to);
        });
        recycled
    }

    /// Where the third segment's first record lies.
    fn third(&self) -> Position {
        let ordinal = self.positions[0].segment() + 2;
        let first = |at: &&Position| at.segment() == ordinal;
        *self.positions.iter().find(first).unwrap()
    }

    fn number(&self, position: Position) -> usize {
        self.positions.binary_search(&position).unwrap()
    }
}

/// Trims, and writes until all spare files are used again; says how many were.
fn trim_and_go_on(rig: &mut Rig, log: &Log, to: Position) -> u64 {
    let before = log.stats().recycled;
    rig.trim(log, to).unwrap();
    rig.rest();
    for n in 0..RECORDS {
        rig.write(log, &record(1000 + n));
    }
    log.stats().recycled - before
}

fn assert_trimmed(error: &Error, moment: Moment) -> Position {
    assert_eq!(error.kind(), ErrorKind::Trimmed, "{moment:?}: {error}");
    assert!(!error.is_fatal() && error.hint().is_some(), "{error}");
    error.position().expect("it says where to resume")
}

/// Whatever happens between a reader's look at the list of segments and its first byte of one: it
/// gets that segment's bytes, or is told that they were trimmed. Never another segment's, which
/// would look like damage.
#[test]
fn a_segment_that_is_recycled_while_it_is_opened_was_trimmed() {
    for moment in MOMENTS {
        let scene = Scene::new(1);
        let mut reader = scene.log.reader(From::Start).unwrap();
        let recycled = scene.trim_at(moment);
        let first = reader
            .try_next()
            .map(|record| record.map(|record| record.payload().to_vec()));
        assert!(!meddler::is_due(), "{moment:?}");
        // Whoever holds the file keeps it from being used again; the second segment's is.
        let expected = match moment {
            Moment::Named | Moment::Opened => 2,
            Moment::Locked | Moment::Looked => 1,
        };
        assert_eq!(*recycled.borrow(), expected, "{moment:?}");
        let error = match (moment, first) {
            (Moment::Looked, Ok(first)) => {
                assert!(first.unwrap() == record(0), "it had the segment in time");
                reader.try_next().unwrap_err()
            }
            (_, first) => first.unwrap_err(),
        };
        assert_eq!(assert_trimmed(&error, moment), scene.third());
        let next = scene.number(scene.third());
        for n in next..RECORDS {
            let read = reader.try_next().unwrap().expect("there is a record");
            assert_eq!(read.position(), scene.positions[n]);
            assert!(read.payload() == record(n), "{moment:?}: {n}");
        }
    }
}

/// A log that was closed can still be read; but whoever opens it next may trim it, and knows nothing
/// of these readers.
#[test]
fn a_segment_that_the_next_opening_recycles_was_trimmed() {
    for moment in MOMENTS {
        let scene = Scene::new(2);
        let mut reader = scene.log.reader(From::Start).unwrap();
        scene.rig.borrow_mut().close(&scene.log).unwrap();
        let mut next = Rig::new(&scene.disk);
        let (again, to) = (next.open(&small()).unwrap(), scene.third());
        let recycled = Rc::new(RefCell::new(0));
        let told = Rc::clone(&recycled);
        meddler::at(&file_name(scene.positions[0]), moment, move || {
            *told.borrow_mut() = trim_and_go_on(&mut next, &again, to);
        });
        let (mut seen, mut trimmed) = (Vec::new(), Vec::new());
        let end = loop {
            match reader.try_next() {
                Ok(Some(read)) => {
                    let n = scene.number(read.position());
                    assert!(read.payload() == record(n), "{moment:?}: {n}");
                    seen.push(n);
                }
                Ok(None) => panic!("{moment:?}: a closed log ends with an error"),
                Err(error) if error.kind() == ErrorKind::Closed => break error,
                Err(error) => trimmed.push(assert_trimmed(&error, moment).segment()),
            }
        };
        assert!(!meddler::is_due(), "{moment:?}: {end}");
        // It goes on where the old list of segments leads, one by one.
        let first = scene.positions[0].segment();
        let in_first = scene
            .positions
            .iter()
            .filter(|at| at.segment() == first)
            .count();
        let kept = scene.number(to);
        let (was_seen, was_told) = match moment {
            Moment::Looked => (
                (0..in_first).chain(kept..RECORDS).collect(),
                vec![first + 2],
            ),
            _ => (
                (kept..RECORDS).collect::<Vec<_>>(),
                vec![first + 1, first + 2],
            ),
        };
        assert_eq!((seen, trimmed), (was_seen, was_told), "{moment:?}");
        let expected = match moment {
            Moment::Named | Moment::Opened => 2,
            Moment::Locked | Moment::Looked => 1,
        };
        assert_eq!(*recycled.borrow(), expected, "{moment:?}");
    }
}

/// The same for who reads from outside.
#[test]
fn a_segment_that_is_recycled_under_a_view_was_trimmed() {
    for moment in MOMENTS {
        let scene = Scene::new(3);
        let view = LogView::open_on(&*scene.meddler, DIR).unwrap();
        let mut reader = view.reader(From::Start).unwrap();
        let _ = scene.trim_at(moment);
        let mut seen = Vec::new();
        let error = loop {
            match reader.try_next() {
                Ok(read) => {
                    let read = read.expect("it was proven");
                    let n = scene.number(read.position());
                    assert!(read.payload() == record(n), "{moment:?}: {n}");
                    seen.push(n);
                }
                Err(error) => break error,
            }
        };
        assert!(!meddler::is_due(), "{moment:?}");
        assert_eq!(assert_trimmed(&error, moment), scene.third());
        assert!(
            seen.iter().copied().eq(0..seen.len()),
            "{moment:?}: {seen:?}"
        );
        let read = reader.try_next().unwrap().expect("there is a record");
        assert!(read.payload() == record(scene.number(scene.third())));
    }
}

/// The file of a segment that the log has is gone: somebody removed it.
#[test]
fn a_segment_that_vanished_is_damage_and_the_error_names_its_file() {
    let scene = Scene::new(4);
    let lost = scene.positions[0];
    let mut reader = scene.log.reader(From::Start).unwrap();
    scene.disk.remove(path(lost)).unwrap();
    for _ in 0..2 {
        let error = reader.try_next().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert_eq!(error.path(), Some(&*path(lost)), "{error}");
        assert_eq!(error.position(), Some(lost), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    let error = scene.log.reader(From::Position(lost)).unwrap_err();
    assert_eq!(error.path(), Some(&*path(lost)), "{error}");
    // The rest is there, and the log goes on.
    reader.seek(From::Position(scene.third())).unwrap();
    let read = reader.try_next().unwrap().expect("there is a record");
    assert_eq!(read.position(), scene.third());
    drop(read);
    scene.rig.borrow_mut().write(&scene.log, b"goes on");
}

/// Too many open files, or a disk that fails: the error says which file, and the reader stays.
#[test]
fn a_segment_that_cannot_be_opened_can_be_read_later() {
    for errno in [EMFILE, EIO] {
        let scene = Scene::new(5);
        let mut reader = scene.log.reader(From::Start).unwrap();
        for nth in 1..=2 {
            // The opening, and the look whether the name is still there.
            let opens = scene.disk.count(OpClass::Open);
            scene
                .disk
                .fail(Fault::once(OpClass::Open, opens + nth, errno));
            let error = reader.try_next().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            assert_eq!(error.path(), Some(&*path(scene.positions[0])), "{error}");
            assert_eq!(error.position(), Some(scene.positions[0]), "{error}");
        }
        for n in 0..RECORDS {
            let read = reader.try_next().unwrap().expect("there is a record");
            assert!(read.payload() == record(n));
        }
    }
}

/// Who seeks about in a segment opens it once; who leaves it for another, or for the tail, has it
/// open no longer.
#[test]
fn a_reader_has_its_segment_open_and_no_other() {
    let scene = Scene::new(6);
    let opens = || scene.disk.count(OpClass::Open);
    // Whether nobody has the file, so that it could be used again.
    let is_free = |at: Position| {
        let dir = scene.disk.open_dir(DIR.as_ref()).unwrap();
        let file = dir.open(&file_name(at), OpenMode::Write).unwrap();
        file.try_lock(LockMode::Exclusive).unwrap()
    };
    let mut reader = scene
        .log
        .reader(From::Position(scene.positions[0]))
        .unwrap();
    assert!(!is_free(scene.positions[0]));
    let before = opens();
    for n in [2, 0, 1, 2] {
        reader.seek(From::Position(scene.positions[n])).unwrap();
        assert!(reader.try_next().unwrap().unwrap().payload() == record(n));
    }
    assert_eq!(opens(), before, "one opening for all");
    reader.seek(From::Position(scene.third())).unwrap();
    assert!(is_free(scene.positions[0]) && !is_free(scene.third()));
    reader.seek(From::Position(scene.positions[0])).unwrap();
    reader.seek(From::End).unwrap();
    for at in &scene.positions {
        assert!(is_free(*at), "{at}: nobody reads it from its file");
    }
}
