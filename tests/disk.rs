//! One conformance suite for the disk, run on every rung that can be forced on this machine.
//!
//! What cannot be forced here is counted and said on standard error, with the reason.

use std::fs as std_fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringbolt::disk::{
    AlignedBuf, BackendKind, Completion, Dir, DirEntry, Disk, File, LockMode, OpenMode, PathKind,
    Queue, Real, RealOptions, Region, Write,
};
use ringbolt::{Engine, LogOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

// ---- the rungs

/// One rung: a disk forced onto it, and where its directories are.
struct Rung {
    name: &'static str,
    options: RealOptions,
    base: PathBuf,
}

const fn options(uring: bool, direct: bool, register: bool) -> RealOptions {
    RealOptions {
        uring,
        direct,
        register,
    }
}

/// All rungs: name, what is allowed, whether on tmpfs.
const RUNGS: [(&str, RealOptions, bool); 8] = [
    ("uring, registered", options(true, true, true), false),
    ("uring, unregistered", options(true, true, false), false),
    ("uring, buffered", options(true, false, true), false),
    (
        "uring, buffered, unregistered",
        options(true, false, false),
        false,
    ),
    ("posix, direct", options(false, true, true), false),
    ("posix, buffered", options(false, false, true), false),
    ("uring, tmpfs", options(true, true, true), true),
    ("posix, tmpfs", options(false, true, true), true),
];

/// The rungs that can be had here, and why the others cannot.
fn rungs() -> (Vec<Rung>, Vec<String>) {
    let (mut here, mut skipped) = (Vec::new(), Vec::new());
    for (name, options, tmpfs) in RUNGS {
        let base = if tmpfs {
            PathBuf::from("/dev/shm")
        } else {
            std::env::temp_dir()
        };
        match missing(options, tmpfs, &base) {
            None => here.push(Rung {
                name,
                options,
                base,
            }),
            Some(reason) => skipped.push(format!("{name} ({reason})")),
        }
    }
    (here, skipped)
}

/// Why a rung cannot be had here.
fn missing(options: RealOptions, tmpfs: bool, base: &Path) -> Option<String> {
    if tmpfs && !base.is_dir() {
        return Some("no /dev/shm".into());
    }
    let mut queue = Real::with(options).queue().unwrap();
    // As much as any of the tests registers.
    queue.add_region(&Arc::new(Region::new(1 << 22).unwrap()));
    let rung = queue.rung();
    if options.uring && rung.backend != BackendKind::Uring {
        return rung.reason;
    }
    if options.uring && options.register && !rung.registered {
        return rung.reason;
    }
    let access = Real::with(options).open_dir(base).unwrap().access();
    if options.direct && !tmpfs && !access.direct {
        return access.reason;
    }
    None
}

/// Runs `check` on every rung.
fn on_every_rung(check: impl Fn(&Scene)) {
    for rung in rungs().0 {
        // Shown when the check fails.
        println!("rung: {}", rung.name);
        check(&Scene::new(rung.options, &rung.base));
    }
}

/// An empty directory on one rung, removed at the end.
struct Scene {
    disk: Real,
    dir: Arc<dyn Dir>,
    path: PathBuf,
    options: RealOptions,
}

impl Scene {
    fn new(options: RealOptions, base: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("ringbolt-disk-{}-{number}", std::process::id()));
        let disk = Real::with(options);
        disk.create_dir(&path).unwrap();
        Self {
            dir: disk.open_dir(&path).unwrap(),
            disk,
            path,
            options,
        }
    }

    fn queue(&self) -> Box<dyn Queue> {
        self.disk.queue().unwrap()
    }

    fn block(&self) -> usize {
        self.dir.block_size() as usize
    }

    /// A file of so many blocks, all zero.
    fn file(&self, name: &str, blocks: usize) -> Arc<dyn File> {
        let file = self.dir.create(name).unwrap();
        file.allocate((blocks * self.block()) as u64).unwrap();
        file
    }

    /// So many blocks of memory, each filled with its own mark.
    fn region(&self, blocks: usize) -> Arc<Region> {
        let region = Region::new(blocks * self.block()).unwrap();
        for block in 0..blocks {
            // SAFETY: the block is within the region, which nobody else knows yet.
            unsafe {
                let at = region.as_ptr().add(block * self.block());
                at.write_bytes(mark(block), self.block());
            }
        }
        Arc::new(region)
    }

    /// The write of one block of `region` to the same block of `file`.
    fn write(&self, file: &Arc<dyn File>, region: &Arc<Region>, block: usize) -> Write {
        Write {
            file: Arc::clone(file),
            file_offset: (block * self.block()) as u64,
            region: Arc::clone(region),
            region_offset: block * self.block(),
            len: self.block(),
            token: block as u64,
        }
    }

    /// Asserts that the file holds the marks of blocks `0..blocks`, as another opening sees it.
    fn assert_marks(&self, name: &str, blocks: usize) {
        let file = self.dir.open(name, OpenMode::Read).unwrap();
        let mut bytes = AlignedBuf::new(blocks * self.block()).unwrap();
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
        for (block, bytes) in bytes.chunks(self.block()).enumerate() {
            assert!(bytes.iter().all(|&byte| byte == mark(block)), "{block}");
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std_fs::remove_dir_all(&self.path);
    }
}

fn mark(block: usize) -> u8 {
    (block % 251) as u8 + 1
}

/// Waits and reaps until nothing is outstanding.
fn reap_all(queue: &mut dyn Queue) -> Vec<Completion> {
    let mut completions = Vec::new();
    while queue.outstanding() > 0 {
        queue.wait(None).unwrap();
        queue.reap(&mut completions).unwrap();
    }
    completions
}

/// The tokens in order; every write must have gone well.
fn tokens(completions: Vec<Completion>) -> Vec<u64> {
    let mut tokens: Vec<_> = completions
        .into_iter()
        .map(|completion| {
            completion.result.unwrap();
            completion.token
        })
        .collect();
    tokens.sort_unstable();
    tokens
}

/// Says something that the test harness does not swallow.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

// ---- rungs are what they claim to be

#[test]
fn what_is_skipped_is_counted_and_said() {
    let (here, skipped) = rungs();
    say(&format!(
        "disk: {} rungs tested, {} skipped{}{}",
        here.len(),
        skipped.len(),
        if skipped.is_empty() { "" } else { ": " },
        skipped.join("; ")
    ));
    assert!(
        here.iter().any(|rung| rung.name == "posix, buffered"),
        "this one works everywhere"
    );
}

#[test]
fn a_forced_rung_is_taken_and_the_reason_is_said() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        let region = scene.region(4);
        queue.add_region(&region);
        let (rung, options) = (queue.rung(), scene.options);
        assert_eq!(rung.backend == BackendKind::Uring, options.uring);
        assert_eq!(rung.registered, options.uring && options.register);
        assert!(rung.registered || rung.reason.is_some());
        queue.remove_region(&region);
        assert_eq!(Arc::strong_count(&region), 1, "given back");

        let access = scene.dir.access();
        assert_eq!(access.direct, access.reason.is_none());
        assert!(options.direct || !access.direct);
    });
}

#[test]
fn blocks_are_whole_pages_at_least() {
    on_every_rung(|scene| {
        assert!(scene.block() >= 4096 && scene.block().is_power_of_two());
        assert!(scene.block() <= 1 << 16);
    });
}

// ---- writes

#[test]
fn writes_land_and_complete_once() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        let (file, region) = (scene.file("a", 8), scene.region(8));
        queue.add_region(&region);
        for block in [3, 0, 7, 1] {
            queue.push(scene.write(&file, &region, block));
        }
        assert_eq!(queue.outstanding(), 4);
        queue.submit().unwrap();
        assert_eq!(tokens(reap_all(&mut *queue)), [0, 1, 3, 7]);
        // The rest from memory that was taken back, three blocks as one write.
        queue.remove_region(&region);
        let mut rest = scene.write(&file, &region, 4);
        rest.len = 3 * scene.block();
        queue.push(rest);
        queue.push(scene.write(&file, &region, 2));
        queue.submit().unwrap();
        assert_eq!(tokens(reap_all(&mut *queue)), [2, 4]);
        scene.assert_marks("a", 8);
        let mut more = Vec::new();
        queue.reap(&mut more).unwrap();
        assert!(more.is_empty());
        assert_eq!(Arc::strong_count(&region), 1);
        assert_eq!(Arc::strong_count(&file), 1);
    });
}

#[test]
fn many_more_writes_than_a_ring_holds_to_several_files() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        let region = scene.region(1000);
        queue.add_region(&region);
        let files = [scene.file("a", 1000), scene.file("b", 1000)];
        for round in 0..2 {
            for block in 0..1000 {
                queue.push(scene.write(&files[(block + round) % 2], &region, block));
                if block % 300 == 0 {
                    queue.submit().unwrap();
                }
            }
            queue.submit().unwrap();
            assert_eq!(queue.outstanding(), 1000);
            assert_eq!(tokens(reap_all(&mut *queue)), Vec::from_iter(0..1000));
        }
        scene.assert_marks("a", 1000);
        scene.assert_marks("b", 1000);
    });
}

#[test]
fn more_files_than_the_ring_registers() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        let region = scene.region(1);
        let mut files: Vec<_> = (0..100).map(|i| scene.file(&format!("{i}"), 1)).collect();
        for _ in 0..2 {
            for file in &files {
                queue.push(scene.write(file, &region, 0));
            }
            queue.submit().unwrap();
            assert_eq!(reap_all(&mut *queue).len(), files.len());
            // The later files then get the places of the earlier ones.
            files.drain(..50);
        }
        for i in 0..100 {
            scene.assert_marks(&format!("{i}"), 1);
        }
    });
}

#[test]
fn a_file_that_was_closed_is_not_kept_open_by_the_queue() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        let region = scene.region(1);
        let file = scene.file("a", 1);
        assert!(file.try_lock(LockMode::Exclusive).unwrap());
        queue.push(scene.write(&file, &region, 0));
        queue.submit().unwrap();
        reap_all(&mut *queue);
        drop(file);
        queue.wait(Some(Duration::from_nanos(1))).unwrap();
        // Its lock tells whether the kernel still has it.
        let again = scene.dir.open("a", OpenMode::Write).unwrap();
        soon(|| again.try_lock(LockMode::Exclusive).unwrap());
    });
}

#[test]
fn what_was_pushed_is_not_written_before_it_is_submitted() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        let (file, region) = (scene.file("a", 2), scene.region(2));
        queue.push(scene.write(&file, &region, 0));
        queue.submit().unwrap();
        queue.push(scene.write(&file, &region, 1));
        let mut completions = Vec::new();
        while completions.is_empty() {
            queue.wait(None).unwrap();
            queue.reap(&mut completions).unwrap();
        }
        assert_eq!(tokens(completions), [0]);
        assert_eq!(queue.outstanding(), 1);
        let mut bytes = AlignedBuf::new(scene.block()).unwrap();
        file.read_at(&mut bytes, scene.block() as u64).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 0));
    });
}

#[test]
fn a_write_that_cannot_be_is_an_error_and_the_others_go_on() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        let (file, region) = (scene.file("a", 4), scene.region(4));
        let read_only = scene.dir.open("a", OpenMode::Read).unwrap();
        queue.push(scene.write(&file, &region, 0));
        queue.push(scene.write(&read_only, &region, 1));
        let mut beyond = scene.write(&file, &region, 2);
        beyond.len = 3 * scene.block();
        queue.push(beyond);
        let mut nothing = scene.write(&file, &region, 3);
        nothing.len = 0;
        queue.push(nothing);
        queue.submit().unwrap();
        let mut completions = reap_all(&mut *queue);
        completions.sort_unstable_by_key(|completion| completion.token);
        let good: Vec<_> = completions.iter().map(|done| done.result.is_ok()).collect();
        assert_eq!(good, [true, false, false, true]);
        queue.push(scene.write(&file, &region, 1));
        queue.submit().unwrap();
        assert_eq!(tokens(reap_all(&mut *queue)), [1]);
        scene.assert_marks("a", 2);
    });
}

#[test]
fn a_queue_that_is_dropped_leaves_no_write_behind() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        let (file, region) = (scene.file("a", 64), scene.region(64));
        queue.add_region(&region);
        // So that the ring waits for a wake-up, too.
        queue.wait(Some(Duration::from_nanos(1))).unwrap();
        for block in 0..64 {
            queue.push(scene.write(&file, &region, block));
        }
        queue.submit().unwrap();
        drop(queue);
        assert_eq!(Arc::strong_count(&region), 1);
        assert_eq!(Arc::strong_count(&file), 1);
        scene.assert_marks("a", 64);
    });
}

// ---- waiting

#[test]
fn a_wake_up_before_the_wait_is_not_lost() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        for _ in 0..3 {
            queue.waker().wake();
            queue.waker().wake();
            queue.wait(None).unwrap();
        }
    });
}

#[test]
fn a_wake_up_during_the_wait_ends_it() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        for _ in 0..200 {
            let waker = queue.waker();
            let ringer = thread::spawn(move || waker.wake());
            queue.wait(None).unwrap();
            ringer.join().unwrap();
        }
    });
}

#[test]
fn wake_ups_and_completions_come_together() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        let (file, region) = (scene.file("a", 1), scene.region(1));
        for _ in 0..50 {
            let waker = queue.waker();
            let ringer = thread::spawn(move || waker.wake());
            queue.push(scene.write(&file, &region, 0));
            queue.submit().unwrap();
            assert_eq!(tokens(reap_all(&mut *queue)), [0]);
            ringer.join().unwrap();
        }
        // The last ringing may still be unheard; what follows it is not lost.
        queue.wait(Some(Duration::ZERO)).unwrap();
        queue.waker().wake();
        queue.wait(None).unwrap();
    });
}

#[test]
fn a_timeout_ends_a_wait_that_nothing_else_ends() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        for nanoseconds in [0, 1, 1_000_000] {
            queue.wait(Some(Duration::from_nanos(nanoseconds))).unwrap();
        }
        // One that no clock can name is none.
        let waker = queue.waker();
        let ringer = thread::spawn(move || waker.wake());
        queue.wait(Some(Duration::MAX)).unwrap();
        ringer.join().unwrap();
    });
}

#[test]
fn the_event_descriptor_shows_what_a_wait_would_return_for() {
    on_every_rung(|scene| {
        // Asked for at the very begin, after a wait, and while a wake-up is unheard.
        for begin in 0..3 {
            let mut queue = scene.queue();
            let (file, region) = (scene.file(&format!("{begin}"), 1), scene.region(1));
            if begin > 0 {
                queue.wait(Some(Duration::from_nanos(1))).unwrap();
            }
            if begin == 2 {
                queue.waker().wake();
                wait_until_readable(&*queue);
            }
            settle(&mut *queue);
            for _ in 0..3 {
                queue.waker().wake();
                wait_until_readable(&*queue);
                // Reaping does not take a wake-up away, waiting does.
                queue.reap(&mut Vec::new()).unwrap();
                assert!(readable(&*queue));
                queue.wait(None).unwrap();
                settle(&mut *queue);

                queue.push(scene.write(&file, &region, 0));
                queue.submit().unwrap();
                let mut completions = Vec::new();
                while completions.is_empty() {
                    wait_until_readable(&*queue);
                    // Neither does waiting take a completion away.
                    queue.wait(None).unwrap();
                    wait_until_readable(&*queue);
                    queue.reap(&mut completions).unwrap();
                }
                assert_eq!(tokens(completions), [0]);
                settle(&mut *queue);
            }
            queue.wait(Some(Duration::from_nanos(1))).unwrap();
        }
    });
}

/// Takes what is left over of earlier wake-ups; then the descriptor must be quiet.
fn settle(queue: &mut dyn Queue) {
    for _ in 0..3 {
        if readable(queue) {
            queue.wait(Some(Duration::ZERO)).unwrap();
            queue.reap(&mut Vec::new()).unwrap();
        }
    }
    assert!(!readable(queue));
}

fn readable(queue: &dyn Queue) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll_descriptor(queue, Some(&now)) > 0
}

fn wait_until_readable(queue: &dyn Queue) {
    assert_eq!(poll_descriptor(queue, None), 1);
}

fn poll_descriptor(queue: &dyn Queue, timeout: Option<&Timespec>) -> usize {
    let fd = queue.event_descriptor().unwrap();
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout).unwrap()
}

// ---- locks

#[test]
fn a_lock_excludes_every_other_opening() {
    on_every_rung(|scene| {
        let lock = scene.dir.lock("lock").unwrap().unwrap();
        assert!(scene.dir.lock("lock").unwrap().is_none());
        let other = scene.disk.open_dir(&scene.path).unwrap();
        assert!(other.lock("lock").unwrap().is_none());
        assert!(other.lock("another").unwrap().is_some());
        drop(lock);
        assert!(other.lock("lock").unwrap().is_some());
    });
}

#[test]
fn a_lock_that_a_queue_holds_outlives_its_file() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        let lock = scene.dir.lock("lock").unwrap().unwrap();
        queue.hold(&lock);
        drop(lock);
        assert!(scene.dir.lock("lock").unwrap().is_none());
        drop(queue);
        soon(|| scene.dir.lock("lock").unwrap().is_some());

        // Released, it is free while the queue lives.
        let mut queue = scene.queue();
        let lock = scene.dir.lock("other").unwrap().unwrap();
        queue.hold(&lock);
        queue.release(&lock);
        drop(lock);
        soon(|| scene.dir.lock("other").unwrap().is_some());
    });
}

/// The kernel may let go of a ring's files a moment after it was told to.
fn soon(mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < Duration::from_secs(60), "never");
        thread::yield_now();
    }
}

#[test]
fn files_are_locked_shared_or_alone() {
    on_every_rung(|scene| {
        let writer = scene.file("a", 1);
        let readers = [(); 2].map(|()| scene.dir.open("a", OpenMode::Read).unwrap());
        for reader in &readers {
            assert!(reader.try_lock(LockMode::Shared).unwrap());
        }
        assert!(!writer.try_lock(LockMode::Exclusive).unwrap());
        readers[0].unlock().unwrap();
        assert!(!writer.try_lock(LockMode::Exclusive).unwrap());
        drop(readers);
        assert!(writer.try_lock(LockMode::Exclusive).unwrap());
        let reader = scene.dir.open("a", OpenMode::Read).unwrap();
        assert!(!reader.try_lock(LockMode::Shared).unwrap());
        writer.unlock().unwrap();
        assert!(reader.try_lock(LockMode::Shared).unwrap());
    });
}

// ---- files and directories

#[test]
fn names_are_listed_renamed_and_removed() {
    on_every_rung(|scene| {
        let names = || {
            let mut entries = scene.dir.list().unwrap();
            entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            entries
        };
        let file = |name: &str, blocks: usize| DirEntry {
            name: name.into(),
            kind: PathKind::File,
            len: (blocks * scene.block()) as u64,
        };
        assert_eq!(names(), [], "probing left nothing behind");
        scene.file("a", 2);
        scene.file("b", 1);
        std_fs::create_dir(scene.path.join("c")).unwrap();
        symlink("a", scene.path.join("d")).unwrap();
        let listed = names();
        assert_eq!(listed[..2], [file("a", 2), file("b", 1)]);
        let kinds: Vec<_> = listed[2..].iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [PathKind::Directory, PathKind::Symlink]);

        scene.dir.rename("a", "b").unwrap();
        scene.dir.unlink("d").unwrap();
        scene.dir.sync().unwrap();
        let listed = names();
        assert_eq!(listed[0], file("b", 2));
        assert_eq!(listed.len(), 2);
        for missing in [scene.dir.unlink("a"), scene.dir.rename("a", "x")] {
            assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        assert!(scene.dir.unlink("c").is_err(), "not for directories");
    });
}

#[test]
fn links_are_not_followed_and_nothing_leads_out_of_the_directory() {
    on_every_rung(|scene| {
        scene.file("real", 1);
        symlink("real", scene.path.join("link")).unwrap();
        symlink("nowhere", scene.path.join("dangling")).unwrap();
        symlink(&scene.path, scene.path.join("around")).unwrap();
        std_fs::create_dir(scene.path.join("sub")).unwrap();
        let _socket = UnixListener::bind(scene.path.join("socket")).unwrap();
        for mode in [OpenMode::Read, OpenMode::Write] {
            for name in ["link", "dangling", "around", "sub", "socket", "missing"] {
                assert!(scene.dir.open(name, mode).is_err(), "{name}");
            }
        }
        for name in ["link", "dangling", "sub"] {
            assert!(scene.dir.lock(name).is_err(), "{name}");
            assert!(scene.dir.create(name).is_err(), "{name}");
        }
        for name in ["", ".", "..", "sub/x", "/etc/hostname", "../x", "a\0b"] {
            assert!(scene.dir.create(name).is_err(), "{name:?}");
            assert!(scene.dir.open(name, OpenMode::Read).is_err(), "{name:?}");
            assert!(scene.dir.rename("real", name).is_err(), "{name:?}");
        }
        assert!(!scene.path.join("nowhere").exists());
        for name in ["around", "around/", "around/.", "real", "missing"] {
            let path = scene.path.join(name);
            assert!(scene.disk.open_dir(&path).is_err(), "{name}");
        }
    });
}

#[test]
fn creating_refuses_what_exists() {
    on_every_rung(|scene| {
        scene.file("a", 1);
        let error = scene.dir.create("a").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);

        let sub = scene.path.join("sub");
        scene.disk.create_dir(&sub).unwrap();
        let error = scene.disk.create_dir(&sub).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let error = scene.disk.create_dir(&sub.join("x/y")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn what_a_path_leads_to() {
    on_every_rung(|scene| {
        scene.file("file", 1);
        symlink(&scene.path, scene.path.join("link")).unwrap();
        let _socket = UnixListener::bind(scene.path.join("socket")).unwrap();
        for (name, kind) in [
            ("", PathKind::Directory),
            ("file", PathKind::File),
            ("link", PathKind::Symlink),
            ("link/", PathKind::Symlink),
            ("socket", PathKind::Other),
            ("missing", PathKind::Missing),
        ] {
            let stat = scene.disk.stat(&scene.path.join(name)).unwrap();
            assert_eq!(stat.kind, kind, "{name}");
            assert_eq!(stat.owned, kind != PathKind::Missing, "{name}");
        }
    });
}

#[test]
fn allocated_space_has_its_length_and_reads_as_zeroes() {
    on_every_rung(|scene| {
        let len = 33 * scene.block();
        let file = scene.dir.create("a").unwrap();
        assert!(file.is_empty().unwrap());
        file.allocate(len as u64).unwrap();
        assert_eq!(file.len().unwrap(), len as u64);
        let mut bytes = AlignedBuf::new(64 * scene.block()).unwrap();
        bytes.fill(9);
        // (What lies behind that is the kernel's to spoil.)
        // Asked for more than there is: what there is.
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), len);
        assert!(bytes[..len].iter().all(|&byte| byte == 0));
        assert_eq!(file.read_at(&mut bytes, len as u64).unwrap(), 0);
        assert_eq!(file.read_at(&mut bytes, 2 * len as u64).unwrap(), 0);
        // Allocating again takes nothing away.
        let mut block = AlignedBuf::new(scene.block()).unwrap();
        block.fill(mark(0));
        file.write_at(&block, 0).unwrap();
        file.allocate(2 * len as u64).unwrap();
        assert_eq!(file.len().unwrap(), 2 * len as u64);
        file.sync().unwrap();
        scene.assert_marks("a", 1);
    });
}

#[test]
fn a_file_of_odd_length_is_read_to_its_end() {
    on_every_rung(|scene| {
        for len in [1, 511, 512, 4095, 4097, 10_000] {
            std_fs::write(scene.path.join("odd"), vec![7; len]).unwrap();
            let file = scene.dir.open("odd", OpenMode::Read).unwrap();
            let mut bytes = AlignedBuf::new(4 * scene.block()).unwrap();
            assert_eq!(file.read_at(&mut bytes, 0).unwrap(), len);
            assert!(bytes[..len].iter().all(|&byte| byte == 7));
        }
    });
}

#[test]
fn a_file_knows_how_many_names_it_has() {
    on_every_rung(|scene| {
        let file = scene.file("a", 1);
        assert_eq!(file.links().unwrap(), 1);
        std_fs::hard_link(scene.path.join("a"), scene.path.join("b")).unwrap();
        assert_eq!(file.links().unwrap(), 2);
        scene.dir.unlink("a").unwrap();
        scene.dir.unlink("b").unwrap();
        assert_eq!(file.links().unwrap(), 0);
    });
}

#[test]
fn a_mapping_shows_what_was_written() {
    on_every_rung(|scene| {
        let mut queue = scene.queue();
        let (file, region) = (scene.file("a", 16), scene.region(16));
        for block in 0..16 {
            queue.push(scene.write(&file, &region, block));
        }
        queue.submit().unwrap();
        reap_all(&mut *queue);
        drop(file);
        let file = scene.dir.open("a", OpenMode::Read).unwrap();
        let len = 16 * scene.block();
        for wrong in [0, len as u64 + 1, u64::MAX] {
            assert!(file.map(wrong).is_err(), "{wrong}");
        }
        let map = file.map(len as u64).unwrap().unwrap();
        drop(file);
        map.populate(0, len).unwrap();
        for (block, bytes) in map.chunks(scene.block()).enumerate() {
            assert!(bytes.iter().all(|&byte| byte == mark(block)), "{block}");
        }
    });
}

#[test]
fn the_disk_has_clocks_and_random_bytes() {
    let disk = Real::probe();
    let before = disk.now_monotonic_ns();
    assert!(disk.now_monotonic_ns() >= before);
    assert!(disk.now_unix_ns() > 1_600_000_000_000_000_000);
    let (mut one, mut other) = ([0; 16], [0; 16]);
    disk.random(&mut one);
    disk.random(&mut other);
    assert_ne!(one, other);
}

// ---- with fewer rights: in a child process

/// In the child: the directory to work in.
const CHILD: &str = "RINGBOLT_DISK_TEST_CHILD";
const NOBODY: u32 = 65534;

/// Runs the test `name` of this file again in a child process, without privileges.
fn as_nobody(name: &str, path: &Path) {
    // A copy, because an ordinary user may not be let into the build directory.
    let copy = path.with_extension("bin");
    std_fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut command = Command::new(&copy);
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, path).current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output();
    let _ = std_fs::remove_file(&copy);
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{text}");
            assert!(text.contains("1 passed"), "{text}");
            for line in text.lines().filter(|line| line.starts_with("skipped: ")) {
                say(&format!("\n{line}"));
            }
        }
        Err(error) => say(&format!("\nskipped: 1 {name}: no child: {error}")),
    }
}

fn child_path() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

fn set_mode(path: &Path, mode: u32) {
    std_fs::set_permissions(path, std_fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn memory_that_may_not_be_locked_is_written_unregistered() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const NAME: &str = "memory_that_may_not_be_locked_is_written_unregistered";
    let Some(path) = child_path() else {
        let scene = Scene::new(RealOptions::default(), &std::env::temp_dir());
        set_mode(&scene.path, 0o777);
        return as_nobody(NAME, &scene.path);
    };
    let limit = Rlimit {
        current: Some(1 << 16),
        maximum: getrlimit(Resource::Memlock).maximum,
    };
    setrlimit(Resource::Memlock, limit).unwrap();
    let scene = Scene::new(RealOptions::default(), &path);
    let mut queue = scene.queue();
    let (file, region) = (scene.file("a", 256), scene.region(256));
    queue.add_region(&region);
    let rung = queue.rung();
    if rung.backend != BackendKind::Uring {
        return println!("\nskipped: 1 {NAME}: {}", rung.reason.unwrap());
    }
    if rung.registered {
        return println!("\nskipped: 1 {NAME}: the limit does not bind this user");
    }
    let reason = rung.reason.unwrap();
    assert!(reason.contains("RLIMIT_MEMLOCK is 65536"), "{reason}");
    for block in 0..256 {
        queue.push(scene.write(&file, &region, block));
    }
    queue.submit().unwrap();
    assert_eq!(tokens(reap_all(&mut *queue)), Vec::from_iter(0..256));
    scene.assert_marks("a", 256);
    // Without that memory, all that is announced is registered again.
    queue.remove_region(&region);
    assert!(queue.rung().registered && queue.rung().reason.is_none());
}

/// The engine said once, and for ever, what it had found when it started, before any log had memory:
/// that it was registered, whatever the limit.
#[test]
fn a_log_tells_that_its_memory_could_not_be_registered() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const NAME: &str = "a_log_tells_that_its_memory_could_not_be_registered";
    let Some(path) = child_path() else {
        let scene = Scene::new(RealOptions::default(), &std::env::temp_dir());
        set_mode(&scene.path, 0o777);
        return as_nobody(NAME, &scene.path);
    };
    let limit = Rlimit {
        current: Some(1 << 16),
        maximum: getrlimit(Resource::Memlock).maximum,
    };
    setrlimit(Resource::Memlock, limit).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(Real::probe());
    // What the kernel says to memory of a segment's size, asked apart from the log.
    let mut queue = disk.queue().unwrap();
    let probed = Arc::new(Region::new(1 << 20).unwrap());
    queue.add_region(&probed);
    let probe = queue.rung();
    if probe.backend != BackendKind::Uring {
        return println!("\nskipped: 1 {NAME}: {}", probe.reason.unwrap());
    }
    if probe.registered {
        return println!("\nskipped: 1 {NAME}: the limit does not bind this user");
    }
    drop(queue);
    let engine = Engine::builder().disk(disk).start().unwrap();
    let log = LogOptions::new()
        .segment_bytes(1 << 20)
        .open_on(&engine, path.join("log"))
        .unwrap();
    log.append(b"unregistered").unwrap().wait().unwrap();
    let rung = log.stats().rung;
    assert_eq!(rung.backend, BackendKind::Uring);
    assert!(!rung.registered, "{rung:?}");
    let reason = rung.reason.as_deref().expect("it says why");
    assert!(reason.contains("RLIMIT_MEMLOCK is 65536"), "{reason}");
    assert!(!engine.rung().registered);
    log.close().unwrap();
}

#[test]
fn a_directory_that_may_not_be_written_can_be_read() {
    const NAME: &str = "a_directory_that_may_not_be_written_can_be_read";
    let Some(path) = child_path() else {
        let scene = Scene::new(RealOptions::default(), &std::env::temp_dir());
        let name = if scene.dir.access().direct {
            "direct"
        } else {
            "buffered"
        };
        std_fs::write(scene.path.join(name), vec![mark(0); 1 << 16]).unwrap();
        set_mode(&scene.path, 0o555);
        as_nobody(NAME, &scene.path);
        return set_mode(&scene.path, 0o755);
    };
    let dir = Real::probe().open_dir(&path).unwrap();
    assert!(dir.create("b").is_err());
    let name = &dir.list().unwrap()[0].name;
    assert_eq!(dir.access().direct, name == "direct", "{dir:?}");
    let file = dir.open(name, OpenMode::Read).unwrap();
    let mut bytes = AlignedBuf::new(dir.block_size() as usize).unwrap();
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    assert!(bytes.iter().all(|&byte| byte == mark(0)));
    assert_eq!(dir.list().unwrap().len(), 1);
}
