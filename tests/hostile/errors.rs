//! The error type itself.

use std::io;

use ringbolt::disk::Disk as _;
use ringbolt::disk::sim::{EIO, Fault, OpClass, SimDisk};
use ringbolt::{Error, ErrorKind};

use crate::common::{DIR, Rig, options};

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
