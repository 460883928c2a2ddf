//! Writes that the kernel cuts short: `RLIMIT_FSIZE` lets a write reach the limit, and refuses what
//! lies beyond it. Such a write is an error, on every rung; what was before the limit is written.

use ringbolt::ErrorKind;
use ringbolt::disk::{AlignedBuf, Completion, OpenMode, Region, Write};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::Arc;

use crate::child::{done, engine, in_child, options, read_back, record, run};
use crate::rungs::{LADDER, Place};

/// From now on this process writes to no place of a file at or beyond `bytes`.
fn limit(bytes: Option<u64>) {
    // SAFETY: no handler is installed: the signal is not delivered, and the call fails instead.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let maximum = getrlimit(Resource::Fsize).maximum;
    let current = bytes.or(maximum);
    setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
}

const BLOCK: usize = 4096;
const BLOCKS: usize = 256;

#[test]
fn a_write_that_is_cut_short_for_good_is_an_error() {
    let Some(path) = in_child() else {
        let place = Place::new("cut-short");
        let name = "limit::a_write_that_is_cut_short_for_good_is_an_error";
        assert_eq!(run(name, place.path()), Some(0));
        return;
    };
    for (rung, forced) in LADDER.iter().enumerate() {
        // At a block's end, and within a block, where writing on from the last block is no progress.
        for within in [0, 512] {
            let Some(disk) = forced.disk(0) else { continue };
            println!("{}, {within}", forced.name);
            let dir = disk.open_dir(&path).unwrap();
            let name = format!("{rung}-{within}");
            let file = dir.create(&name).unwrap();
            file.allocate((BLOCKS * BLOCK) as u64).unwrap();
            let region = Arc::new(Region::new(BLOCKS * BLOCK).unwrap());
            // SAFETY: all of the region, which nobody else knows yet.
            unsafe { region.as_ptr().write_bytes(b'x', region.len()) };
            let mut queue = disk.queue().unwrap();
            queue.add_region(&region);
            let write = |blocks: std::ops::Range<usize>, token| Write {
                file: Arc::clone(&file),
                file_offset: (blocks.start * BLOCK) as u64,
                region: Arc::clone(&region),
                region_offset: blocks.start * BLOCK,
                len: blocks.len() * BLOCK,
                token,
            };
            let mut outcomes = |writes: &[Write]| {
                for write in writes {
                    queue.push(write.clone());
                }
                queue.submit().unwrap();
                let mut completions = Vec::new();
                while queue.outstanding() > 0 {
                    queue.wait(None).unwrap();
                    queue.reap(&mut completions).unwrap();
                }
                completions.sort_by_key(|completion: &Completion| completion.token);
                assert_eq!(completions.len(), writes.len());
                completions
            };
            limit(Some((200 * BLOCK + within) as u64));
            let cut = outcomes(&[write(0..20, 0), write(100..BLOCKS, 1), write(30..40, 2)]);
            limit(None);
            assert!(cut[0].result.is_ok() && cut[2].result.is_ok(), "{cut:?}");
            let error = cut[1].result.as_ref().unwrap_err();
            assert!(
                matches!(
                    error.kind(),
                    std::io::ErrorKind::FileTooLarge
                        | std::io::ErrorKind::WriteZero
                        | std::io::ErrorKind::InvalidInput
                ),
                "{error:?}"
            );
            let found = || {
                let mut bytes = AlignedBuf::new(BLOCKS * BLOCK).unwrap();
                let file = dir.open(&name, OpenMode::Read).unwrap();
                assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
                bytes
            };
            let written = |bytes: &[u8]| bytes.iter().all(|&byte| byte == b'x');
            let bytes = found();
            assert!(written(&bytes[100 * BLOCK..200 * BLOCK]), "nothing short");
            assert!(bytes[200 * BLOCK + within..].iter().all(|&byte| byte == 0));
            // The queue goes on.
            let whole = outcomes(&[write(0..BLOCKS, 0)]);
            whole[0].result.as_ref().unwrap();
            assert!(written(&found()));
        }
    }
    done(0);
}

/// Under a log it ends the log, as any failed write does.
#[test]
fn a_log_whose_writes_are_cut_short_fails_and_takes_nothing_back() {
    let Some(path) = in_child() else {
        let place = Place::new("short-log");
        let name = "limit::a_log_whose_writes_are_cut_short_fails_and_takes_nothing_back";
        let acknowledged = run(name, place.path()).unwrap();
        let mut checked = 0;
        for dir in std::fs::read_dir(place.path()).unwrap() {
            assert!(read_back(&dir.unwrap().path(), 1)[0] >= acknowledged);
            checked += 1;
        }
        assert!(checked > 0);
        return;
    };
    const ACKNOWLEDGED: usize = 500;
    for forced in &LADDER {
        if forced.disk(0).is_none() {
            continue;
        }
        println!("{}", forced.name);
        let engine = engine(forced.options);
        let log = options().open_on(&engine, path.join(forced.name)).unwrap();
        for number in 0..ACKNOWLEDGED {
            let _ = log.append(&record(0, number)).unwrap();
        }
        let end = log.flush().unwrap();
        assert!(end.offset_bytes() < 600_000, "in the first segment still");
        limit(Some(700_000));
        let error = (ACKNOWLEDGED..100_000)
            .find_map(|number| log.append(&record(0, number)).err())
            .expect("it cannot take them all");
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.is_fatal(), "{error}");
        assert_eq!(log.flush().unwrap_err().kind(), ErrorKind::Io);
        assert!(log.durable().get() >= end);
        assert_eq!(log.close().unwrap_err().kind(), ErrorKind::Io);
        limit(None);
    }
    done(ACKNOWLEDGED);
}
