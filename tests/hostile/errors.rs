//! The error type itself.

use std::io;

use ringbolt::disk::Disk as _;
use ringbolt::disk::sim::{EIO, Fault, OpClass, SimDisk};
use ringbolt::{Error, ErrorKind, Preallocation};

use crate::common::{DIR, Rig, options, payload};

fn is_shareable<T: Clone + Send + Sync + std::error::Error + 'static>() {}

#[test]
fn an_error_can_be_cloned_sent_and_shared() {
    is_shareable::<Error>();
}

/// An error of the kernel's keeps its kind, its source and its place through `io::Error`.
#[test]
fn an_error_becomes_one_of_the_standard_librarys() {
    let disk = SimDisk::new(1);
    disk.fail(Fault::once(OpClass::CreateDir, 1, EIO));
    let error = Rig::new(&disk).open(&options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.path(), Some(DIR.as_ref()));
    let source = std::error::Error::source(&error).expect("the kernel's error");
    let source: &io::Error = source.downcast_ref().expect("is kept");
    assert_eq!(source.raw_os_error(), Some(EIO));
    let kind = source.kind();
    let io = io::Error::from(error.clone());
    assert_eq!(io.kind(), kind);
    let inner = io.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    assert_eq!(inner.map(Error::kind), Some(ErrorKind::Io));
}

#[test]
fn kinds_map_to_those_of_io_errors() {
    let disk = SimDisk::new(2);
    disk.write_file("/file", b"text").unwrap();
    disk.make_symlink("/link").unwrap();
    disk.create_dir("/other".as_ref()).unwrap();
    disk.set_owner("/other", false).unwrap();
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let at = |path: &str| {
        let error = options().create(false).open_on(&rig.engine, path);
        io::Error::from(error.unwrap_err()).kind()
    };
    assert_eq!(at("/file"), io::ErrorKind::InvalidInput);
    assert_eq!(at("/link"), io::ErrorKind::InvalidInput);
    assert_eq!(at("/missing"), io::ErrorKind::InvalidInput);
    assert_eq!(at("/other"), io::ErrorKind::PermissionDenied);
    assert_eq!(at(DIR), io::ErrorKind::ResourceBusy);
    let kind = |error: Error| io::Error::from(error).kind();
    let large = vec![0; log.payload_bytes_max() + 1];
    assert_eq!(
        kind(log.try_append(&large).unwrap_err()),
        io::ErrorKind::FileTooLarge
    );
    rig.close(&log).unwrap();
    assert_eq!(
        kind(log.try_append(b"").unwrap_err()),
        io::ErrorKind::BrokenPipe
    );
}

/// What happened, where, and what to do.
#[test]
fn a_message_names_file_position_and_remedy() {
    let disk = SimDisk::new(3);
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    let first = rig.write(&log, &[1; 100]);
    let second = rig.write(&log, &[2; 100]);
    rig.rest();
    rig.close(&log).unwrap();
    drop((log, rig));
    let segment = format!("{DIR}/{:011}.seg", first.segment());
    disk.corrupt(&segment, first.offset_bytes() + 20, 1, 7)
        .unwrap();
    let error = Rig::new(&disk).open(&options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert_eq!(error.position(), Some(first));
    let text = error.to_string();
    assert!(text.contains(&segment), "{text}");
    assert!(text.contains(&first.to_string()), "{text}");
    assert!(
        text.contains(error.hint().expect("there is a remedy")),
        "{text}"
    );
    assert!(format!("{error:?}").contains(&text));
    assert!(second > first);
}

/// Whichever write fails: the error names the segment that it was for, the place in it, and what to
/// do; and it is the log's end.
#[test]
fn a_failed_write_names_segment_and_place() {
    let mut kinds = [0; 3];
    for nth in 1..40 {
        let disk = SimDisk::new(4);
        let mut rig = Rig::new(&disk);
        let options = options().preallocation(Preallocation::Auto);
        let log = rig.open(&options).unwrap();
        disk.fail(Fault::once(OpClass::Write, nth, EIO));
        let mut ended = None;
        for n in 0..60 {
            let ticket = match rig.append(&log, &payload(n, 60_000)) {
                Ok(ticket) => ticket,
                Err(error) => {
                    ended = Some(error);
                    break;
                }
            };
            if let Err(error) = rig.outcome(&ticket) {
                ended = Some(error);
                break;
            }
        }
        let error = ended.expect("some write fails");
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.is_fatal() && !error.is_retryable(), "{error}");
        let hint = error.hint().expect("there is a remedy");
        assert!(hint.contains("open the log again"), "{error}");
        let at = error.position().expect("there is a place");
        let segment = format!("{DIR}/{:011}.seg", at.segment());
        assert_eq!(error.path(), Some(segment.as_ref()), "{error}");
        assert!(disk.read_file(&segment).is_ok(), "{error}");
        assert_eq!(at.offset_bytes() % 4096, 0, "a whole block: {error}");
        let text = error.to_string();
        let kind = ["bytes of the log", "zeroes ahead", "footer"]
            .iter()
            .position(|kind| text.contains(kind));
        let kind = kind.unwrap_or_else(|| panic!("it says what was written: {text}"));
        if kind == 0 {
            assert!(at >= log.durable().get(), "{error}");
        }
        kinds[kind] += 1;
        // All that can be asked says the same.
        for other in [
            log.try_append(b"").map(drop),
            log.flush().map(drop),
            rig.close(&log),
        ] {
            assert_eq!(other.unwrap_err().to_string(), text);
        }
    }
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
}

/// Whatever fails while a log is opened: the error names a file and a remedy.
#[test]
fn what_fails_while_a_log_is_opened_names_file_and_remedy() {
    let mut failed = 0;
    for class in [
        OpClass::WriteAt,
        OpClass::Sync,
        OpClass::Read,
        OpClass::Allocate,
        OpClass::Create,
        OpClass::Open,
        OpClass::List,
        OpClass::Rename,
        OpClass::DirSync,
        OpClass::CreateDir,
    ] {
        for clean in [None, Some(true), Some(false)] {
            for nth in 1..4 {
                let disk = SimDisk::new(5);
                if let Some(clean) = clean {
                    let mut rig = Rig::new(&disk);
                    let log = rig.open(&options()).unwrap();
                    for n in 0..6 {
                        rig.write(&log, &payload(n, 250_000));
                    }
                    rig.rest();
                    if clean {
                        rig.close(&log).unwrap();
                    }
                }
                disk.fail(Fault::once(class, disk.count(class) + nth, EIO));
                let Err(error) = Rig::new(&disk).open(&options()) else {
                    continue;
                };
                failed += 1;
                let what = format!("{class:?} {nth}, clean: {clean:?}: {error}");
                assert_eq!(error.kind(), ErrorKind::Io, "{what}");
                assert!(error.is_fatal() && !error.is_retryable(), "{what}");
                let path = error.path().expect(&what);
                assert!(path.starts_with(DIR), "{what}");
                assert!(error.hint().is_some(), "{what}");
            }
        }
    }
    assert!(failed > 20, "{failed} openings failed");
}

/// What cannot be done says where, and what can.
#[test]
fn refusals_name_directory_and_remedy() {
    let mut rig = Rig::new(&SimDisk::new(6));
    let log = rig.open(&options()).unwrap();
    let first = rig.write(&log, b"first");
    let second = rig.write(&log, b"second");
    rig.trim(&log, second).unwrap();
    let empty: [&[u8]; 0] = [];
    let mut reader = log.reader(ringbolt::From::Start).unwrap();
    for error in [
        log.try_append_batch(&empty).map(drop).unwrap_err(),
        reader.next_batch(0, 1).map(drop).unwrap_err(),
        rig.trim(&log, ringbolt::Position::from_u64(u64::MAX - 8))
            .unwrap_err(),
        rig.truncate(&log, first).unwrap_err(),
        rig.truncate(&log, ringbolt::Position::from_u64(second.to_u64() + 1))
            .unwrap_err(),
    ] {
        assert!(!error.is_fatal() && !error.is_retryable(), "{error}");
        assert_eq!(error.path(), Some(DIR.as_ref()), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    let error = options().segment_bytes(12345).open_on(&rig.engine, DIR);
    assert_eq!(error.unwrap_err().path(), Some(DIR.as_ref()));
}
