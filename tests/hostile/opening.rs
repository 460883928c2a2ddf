//! Directories that must not be touched, options that cannot be met, a second writer.

use std::time::Duration;

use ringbolt::disk::Disk as _;
use ringbolt::disk::sim::SimDisk;
use ringbolt::{Engine, Error, ErrorKind, From, LogOptions, LogView, maintain};

use crate::common::{DIR, Rig, contents, options, payload, read_all};

/// Opens `path` of this disk, and expects to be refused.
fn refused(disk: &SimDisk, path: &str, options: &LogOptions) -> Error {
    let error = options.open_on(&Rig::new(disk).engine, path).unwrap_err();
    assert_eq!(error.path(), Some(path.as_ref()), "{error}");
    assert!(error.hint().is_some(), "{error}");
    error
}

fn names(disk: &SimDisk, path: &str) -> Vec<String> {
    let entries = disk.open_dir(path.as_ref()).unwrap().list().unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_second_writer_is_refused_and_the_first_goes_on() {
    let disk = SimDisk::new(1);
    let mut first = Rig::new(&disk);
    let log = first.open(&options()).unwrap();
    first.write(&log, b"one");
    for timeout in [Duration::ZERO, Duration::from_millis(5)] {
        let error = refused(&disk, DIR, &options().lock_timeout(timeout));
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.is_retryable() && !error.is_fatal());
    }
    // Not even within the same process, on the same engine.
    let same = options().open_on(&first.engine, DIR).unwrap_err();
    assert_eq!(same.kind(), ErrorKind::Locked);
    first.write(&log, b"two");
    assert_eq!(read_all(&log).unwrap().len(), 2);
    first.close(&log).unwrap();
    let second = Rig::new(&disk);
    let log = second.open(&options()).unwrap();
    assert_eq!(read_all(&log).unwrap().len(), 2);
}

/// Looking needs no lock: readers and a verification of other processes go on beside the writer.
#[test]
fn who_only_looks_is_not_refused() {
    let disk = SimDisk::new(11);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let one = rig.write(&log, b"one");
    rig.rest();
    let before = contents(&disk);
    let view = LogView::open_on(&disk, DIR).unwrap();
    let mut reader = view.reader(From::Start).unwrap();
    let record = reader
        .try_next()
        .unwrap()
        .expect("it is proven to be on disk");
    assert!(record.position() == one && record.payload() == b"one");
    assert!(contents(&disk) == before, "something was changed");
    rig.write(&log, b"two");
    rig.rest();
    assert_eq!(
        reader.try_next().unwrap().expect("it is there").payload(),
        b"two"
    );
    assert!(reader.try_next().unwrap().is_none());

    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("hostile-look-{}", std::process::id()));
    let log = LogOptions::new()
        .segment_bytes(1 << 20)
        .open(&folder)
        .unwrap();
    for n in 0..12 {
        log.append(&payload(n, 250_000)).unwrap().wait().unwrap();
    }
    let verification = maintain::verify(&folder, &mut |_| {}).unwrap();
    assert!(verification.is_sound(), "{verification:?}");
    maintain::inspect(&folder).unwrap();
    assert_eq!(
        options().open(&folder).unwrap_err().kind(),
        ErrorKind::Locked
    );
    log.append(b"goes on").unwrap().wait().unwrap();
    log.close().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A bound that the clock cannot express is no bound, and not a panic.
#[test]
fn any_lock_timeout_can_be_asked_for() {
    let disk = SimDisk::new(1);
    let rig = Rig::new(&disk);
    rig.open(&options().lock_timeout(Duration::MAX)).unwrap();
}

#[test]
fn a_file_a_link_and_nothing_are_no_logs() {
    let disk = SimDisk::new(2);
    disk.write_file("/file", b"somebody's text").unwrap();
    disk.make_symlink("/link").unwrap();
    assert_eq!(
        refused(&disk, "/file", &options()).kind(),
        ErrorKind::NotALog
    );
    assert_eq!(
        refused(&disk, "/link", &options()).kind(),
        ErrorKind::Symlink
    );
    let absent = options().create(false);
    assert_eq!(
        refused(&disk, "/absent", &absent).kind(),
        ErrorKind::NotALog
    );
    assert_eq!(disk.read_file("/file").unwrap(), b"somebody's text");
    assert_eq!(names(&disk, "/").len(), 2, "nothing was made");
    // Only the last part of the path is ever made.
    let error = refused_io(&disk, "/no/such/log");
    assert_eq!(error.path(), Some("/no/such/log".as_ref()));
}

fn refused_io(disk: &SimDisk, path: &str) -> Error {
    let error = options().open_on(&Rig::new(disk).engine, path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    error
}

/// A mistyped path must not leave anything behind in somebody's directory.
#[test]
fn a_directory_that_is_not_a_log_is_left_as_it_is() {
    let disk = SimDisk::new(3);
    disk.create_dir("/photos".as_ref()).unwrap();
    disk.write_file("/photos/cat.jpg", b"meow").unwrap();
    for options in [options(), options().create(false)] {
        assert_eq!(
            refused(&disk, "/photos", &options).kind(),
            ErrorKind::NotALog
        );
        assert_eq!(names(&disk, "/photos"), ["cat.jpg"]);
    }
    disk.create_dir("/empty".as_ref()).unwrap();
    let error = refused(&disk, "/empty", &options().create(false));
    assert_eq!(error.kind(), ErrorKind::NotALog);
    assert!(
        names(&disk, "/empty").is_empty(),
        "{:?}",
        names(&disk, "/empty")
    );
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let disk = SimDisk::new(4);
    disk.create_dir(DIR.as_ref()).unwrap();
    disk.set_owner(DIR, false).unwrap();
    assert_eq!(refused(&disk, DIR, &options()).kind(), ErrorKind::NotOwner);
    assert!(names(&disk, DIR).is_empty());
}

#[test]
fn a_segment_that_is_a_link_is_refused() {
    let disk = SimDisk::new(5);
    let segment = a_log(&disk);
    disk.remove(&segment).unwrap();
    disk.make_symlink(&segment).unwrap();
    let before = contents(&disk);
    let error = Rig::new(&disk).open(&options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Symlink, "{error}");
    assert_eq!(error.path(), Some(segment.as_ref()));
    assert!(error.hint().is_some());
    assert!(contents(&disk) == before, "something was changed");
}

/// A log with one segment, closed; the segment's path.
fn a_log(disk: &SimDisk) -> String {
    let mut rig = Rig::new(disk);
    let log = rig.open(&options()).unwrap();
    let position = rig.write(&log, b"a record");
    rig.close(&log).unwrap();
    drop(log);
    rig.rest();
    // The one that was made ahead would be the newest.
    for name in names(disk, DIR) {
        if name > format!("{:011}.seg", position.segment()) && name.ends_with(".seg") {
            disk.remove(format!("{DIR}/{name}")).unwrap();
        }
    }
    format!("{DIR}/{:011}.seg", position.segment())
}

/// Changes a header's field, and its checksum with it.
fn patch_header(disk: &SimDisk, segment: &str, at: usize, bytes: &[u8]) {
    const CRC_AT: usize = 124;
    let mut header = disk.read_file(segment).unwrap()[..128].to_vec();
    header[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c::crc32c(&header[..CRC_AT]);
    header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    disk.patch(segment, 0, &header).unwrap();
}

#[test]
fn newer_formats_are_told_from_damage_and_left_alone() {
    for (at, bytes, kind) in [
        (8, &2u32.to_le_bytes()[..], ErrorKind::Version),
        (
            24,
            &(1u64 << 40).to_le_bytes()[..],
            ErrorKind::UnknownFeature,
        ),
    ] {
        let disk = SimDisk::new(6);
        let segment = a_log(&disk);
        patch_header(&disk, &segment, at, bytes);
        let before = contents(&disk);
        let error = Rig::new(&disk).open(&options()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.path(), Some(segment.as_ref()), "{error}");
        assert!(error.hint().is_some(), "{error}");
        assert!(contents(&disk) == before, "something was changed");
    }
}

#[test]
fn a_compatible_feature_is_nobodys_business() {
    let disk = SimDisk::new(7);
    let segment = a_log(&disk);
    patch_header(&disk, &segment, 16, &(1u64 << 40).to_le_bytes());
    let rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    assert_eq!(read_all(&log).unwrap()[0].1, b"a record");
}

#[test]
fn options_out_of_range_are_refused_before_anything_is_touched() {
    let disk = SimDisk::new(8);
    let rig = Rig::new(&disk);
    let with = |bytes| options().segment_bytes(bytes);
    for (what, options) in [
        ("no segment", with(0)),
        ("a small segment", with(1 << 19)),
        ("a large segment", with(1 << 31)),
        ("the largest number", with(u64::MAX)),
        ("no power of two", with((1 << 20) + 4096)),
        ("memory for two", options().memory_bytes((3 << 20) - 1)),
        ("no memory", options().memory_bytes(0)),
    ] {
        let error = rig.open(&options).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
        assert!(!format!("{options:?}").is_empty());
    }
    assert!(names(&disk, "/").is_empty());
    for options in [
        options().memory_bytes(3 << 20),
        options().memory_bytes(u64::MAX),
        options().unsynced_bytes(0),
        options().unsynced_bytes(u64::MAX),
        options().spare_segments(0),
        options().spare_segments(u32::MAX),
        options().retain_bytes(0),
        options().retain_bytes(u64::MAX),
    ] {
        let mut rig = Rig::new(&disk);
        let log = rig.open(&options).unwrap();
        rig.write(&log, b"still works");
        rig.close(&log).unwrap();
    }
}

#[test]
fn a_processor_that_does_not_exist_cannot_be_pinned_to() {
    let error = Engine::builder()
        .disk(std::sync::Arc::new(SimDisk::new(9)))
        .pin_to(100_000)
        .start()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

/// Segments of another size may follow, and nothing is lost.
#[test]
fn the_segments_size_may_change_between_openings() {
    let disk = SimDisk::new(10);
    let mut expected = Vec::new();
    for bytes in [1 << 20, 1 << 21, 1 << 20, 1 << 20] {
        let mut rig = Rig::new(&disk);
        let log = rig.open(&options().segment_bytes(bytes)).unwrap();
        assert_eq!(read_all(&log).unwrap(), expected);
        let payload = vec![7; log.payload_bytes_max()];
        let position = rig.write(&log, &payload);
        expected.push((position, payload));
        rig.close(&log).unwrap();
    }
    let rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    assert!(read_all(&log).unwrap() == expected);
    assert!(log.reader(From::Position(expected[3].0)).is_ok());
}
