//! One conformance suite for queues of reads, run on every rung of the real disk that can be forced
//! on this machine, and on the simulated disk under each of its schedules.

#[path = "rungs/mod.rs"]
mod rungs;

use std::path::PathBuf;
use std::sync::Arc;

use ringbolt::disk::sim::{Schedule, SimOptions};
use ringbolt::disk::{
    AlignedBuf, BackendKind, Dir, Disk, File, OpenMode, Read, ReadDone, ReadQueue,
};

use rungs::{LADDER, Place};

/// An empty directory of one disk.
struct Scene {
    disk: Arc<dyn Disk>,
    dir: Arc<dyn Dir>,
    backend: BackendKind,
    /// Where the directory is on a real file system.
    place: Option<Place>,
}

/// Runs `check` on everything that can be had here.
fn on_every_rung(check: impl Fn(&Scene)) {
    for rung in LADDER {
        let Some(disk) = rung.disk(1) else { continue };
        println!("rung: {}", rung.name); // shown when the check fails
        let place = Place::new("reads");
        check(&Scene {
            dir: disk.open_dir(place.path()).unwrap(),
            disk,
            backend: match rung.options.uring {
                true => BackendKind::Uring,
                false => BackendKind::Posix,
            },
            place: Some(place),
        });
    }
    for schedule in [Schedule::Random, Schedule::Eager, Schedule::Lazy] {
        for direct in [true, false] {
            for seed in 0..5 {
                println!("rung: sim, {schedule:?}, direct: {direct}, seed {seed}");
                let options = SimOptions::new().seed(seed).direct(direct);
                let disk = options.schedule(schedule).build();
                check(&Scene {
                    dir: disk.open_dir("/".as_ref()).unwrap(),
                    disk: Arc::new(disk),
                    backend: BackendKind::Sim,
                    place: None,
                });
            }
        }
    }
}

fn mark(block: usize) -> u8 {
    (block % 251) as u8 + 1
}

impl Scene {
    fn block(&self) -> usize {
        self.dir.block_size() as usize
    }

    /// A file of so many blocks, each filled with its own mark.
    fn file(&self, name: &str, blocks: usize) -> Arc<dyn File> {
        let file = self.dir.create(name).unwrap();
        let mut bytes = AlignedBuf::new(blocks * self.block()).unwrap();
        for (block, bytes) in bytes.chunks_mut(self.block()).enumerate() {
            bytes.fill(mark(block));
        }
        file.allocate(bytes.len() as u64).unwrap();
        file.write_at(&bytes, 0).unwrap();
        file
    }

    /// The read of one block into a buffer of one.
    fn read(&self, file: &Arc<dyn File>, block: usize) -> Read {
        Read {
            file: Arc::clone(file),
            file_offset: (block * self.block()) as u64,
            buffer: AlignedBuf::new(self.block()).unwrap(),
            range: 0..self.block(),
            token: block as u64,
        }
    }

    /// Asserts that each of `blocks` was read once, with its mark.
    fn assert_blocks(&self, mut done: Vec<ReadDone>, blocks: impl Iterator<Item = usize>) {
        done.sort_unstable_by_key(|done| done.token);
        for done in &done {
            assert_eq!(*done.result.as_ref().unwrap(), self.block());
            let expected = mark(done.token as usize);
            assert!(done.buffer.iter().all(|&byte| byte == expected));
        }
        let tokens: Vec<_> = done.iter().map(|done| done.token as usize).collect();
        assert_eq!(tokens, Vec::from_iter(blocks));
    }
}

/// Waits and reaps until nothing is outstanding.
fn reap_all(queue: &mut dyn ReadQueue) -> Vec<ReadDone> {
    let mut done = Vec::new();
    while queue.outstanding() > 0 {
        queue.wait();
        let before = done.len();
        queue.reap(&mut done);
        assert!(done.len() > before, "a wait ends with something to reap");
    }
    done
}

#[test]
fn a_forced_rung_is_taken_and_the_reason_is_said() {
    on_every_rung(|scene| {
        let rung = scene.disk.reads(4).rung();
        assert_eq!(rung.backend, scene.backend);
        assert!(!rung.registered);
        assert_eq!(
            rung.reason.is_some(),
            rung.backend == BackendKind::Posix,
            "{rung:?}"
        );
    });
}

#[test]
fn reads_complete_once_and_give_their_buffers_back() {
    on_every_rung(|scene| {
        let file = scene.file("a", 8);
        let mut queue = scene.disk.reads(4);
        for block in [3, 0, 7, 1] {
            queue.push(scene.read(&file, block));
        }
        assert_eq!(queue.outstanding(), 4);
        queue.submit();
        scene.assert_blocks(reap_all(&mut *queue), [0, 1, 3, 7].into_iter());
        assert_eq!(Arc::strong_count(&file), 1, "not kept by the queue");
        // With nothing to wait for, nobody waits.
        queue.wait();
        let mut nothing = Vec::new();
        queue.reap(&mut nothing);
        assert!(nothing.is_empty());
    });
}

#[test]
fn many_more_reads_than_the_depth_from_several_files() {
    on_every_rung(|scene| {
        let files = [scene.file("a", 300), scene.file("b", 300)];
        for depth in [1, 3, 64] {
            let mut queue = scene.disk.reads(depth);
            for block in 0..300 {
                queue.push(scene.read(&files[block % 2], block));
                if block % 70 == 0 {
                    queue.submit();
                }
            }
            assert_eq!(queue.outstanding(), 300);
            scene.assert_blocks(reap_all(&mut *queue), 0..300);
        }
    });
}

#[test]
fn reads_go_on_while_others_are_reaped() {
    on_every_rung(|scene| {
        let file = scene.file("a", 64);
        let mut queue = scene.disk.reads(8);
        let mut done = Vec::new();
        for block in 0..64 {
            queue.push(scene.read(&file, block));
            if block % 3 == 0 {
                queue.submit();
            }
            if block % 5 == 0 {
                queue.reap(&mut done);
            }
            if block % 16 == 0 {
                queue.wait();
            }
        }
        done.extend(reap_all(&mut *queue));
        scene.assert_blocks(done, 0..64);
    });
}

#[test]
fn a_read_touches_its_range_alone() {
    on_every_rung(|scene| {
        let block = scene.block();
        let file = scene.file("a", 8);
        let mut queue = scene.disk.reads(4);
        let mut buffer = AlignedBuf::new(6 * block).unwrap();
        buffer.fill(255);
        queue.push(Read {
            file: Arc::clone(&file),
            file_offset: 2 * block as u64,
            buffer,
            range: block..4 * block,
            token: 9,
        });
        let done = reap_all(&mut *queue).pop().unwrap();
        assert_eq!((done.token, done.result.unwrap()), (9, 3 * block));
        let blocks: Vec<_> = done.buffer.chunks(block).collect();
        let expected = [255, mark(2), mark(3), mark(4), 255, 255];
        for (bytes, expected) in blocks.into_iter().zip(expected) {
            assert!(bytes.iter().all(|&byte| byte == expected));
        }
    });
}

#[test]
fn a_read_ends_with_its_file() {
    on_every_rung(|scene| {
        let block = scene.block();
        let file = scene.file("a", 3);
        let mut queue = scene.disk.reads(4);
        for (token, from) in [(0, 0), (1, 2), (2, 3), (3, 100)] {
            queue.push(Read {
                buffer: AlignedBuf::new(8 * block).unwrap(),
                range: 0..8 * block,
                token,
                ..scene.read(&file, from)
            });
        }
        let mut done = reap_all(&mut *queue);
        done.sort_unstable_by_key(|done| done.token);
        let counts: Vec<_> = done.iter().map(|d| *d.result.as_ref().unwrap()).collect();
        assert_eq!(counts, [3 * block, block, 0, 0]);
        assert!(done[1].buffer[..block].iter().all(|&b| b == mark(2)));
        // Also one of an odd length, which direct reads cannot stop at.
        let Some(place) = &scene.place else { return };
        for len in [1, 511, 512, 4097, 10_000] {
            let path: PathBuf = place.path().join("odd");
            std::fs::write(path, vec![7; len]).unwrap();
            let file = scene.dir.open("odd", OpenMode::Read).unwrap();
            let mut read = scene.read(&file, 0);
            read.buffer = AlignedBuf::new(4 * block).unwrap();
            read.range = 0..4 * block;
            queue.push(read);
            let done = reap_all(&mut *queue).pop().unwrap();
            assert_eq!(done.result.unwrap(), len);
            assert!(done.buffer[..len].iter().all(|&byte| byte == 7));
        }
    });
}

#[test]
fn a_read_that_cannot_be_is_an_error_and_the_others_go_on() {
    on_every_rung(|scene| {
        let file = scene.file("a", 4);
        let mut queue = scene.disk.reads(2);
        let mut beyond = scene.read(&file, 1);
        beyond.range = 0..2 * scene.block();
        let mut nothing = scene.read(&file, 3);
        nothing.range = 0..0;
        queue.push(scene.read(&file, 0));
        queue.push(beyond);
        queue.push(scene.read(&file, 2));
        queue.push(nothing);
        let mut done = reap_all(&mut *queue);
        done.sort_unstable_by_key(|done| done.token);
        assert!(done[1].result.is_err());
        assert_eq!(*done[3].result.as_ref().unwrap(), 0);
        assert_eq!(done[1].buffer.len(), scene.block(), "given back");
        let good = done.into_iter().filter(|done| done.token % 2 == 0);
        scene.assert_blocks(good.collect(), [0, 2].into_iter());
        queue.push(scene.read(&file, 1));
        scene.assert_blocks(reap_all(&mut *queue), 1..2);
    });
}

#[test]
fn a_queue_that_is_dropped_leaves_no_read_behind() {
    on_every_rung(|scene| {
        let file = scene.file("a", 64);
        for submitted in [false, true] {
            let mut queue = scene.disk.reads(16);
            for block in 0..64 {
                queue.push(scene.read(&file, block));
            }
            if submitted {
                queue.submit();
            }
            drop(queue);
            assert_eq!(Arc::strong_count(&file), 1);
        }
    });
}

/// Also when the thread that submitted them has ended, which cancels what a ring can cancel.
#[test]
fn a_queue_changes_threads_with_reads_on_their_way() {
    on_every_rung(|scene| {
        let file = scene.file("a", 64);
        for round in 0..20 {
            let mut queue = scene.disk.reads(8);
            queue = std::thread::scope(|scope| {
                let submitting = scope.spawn(|| {
                    for block in 0..32 {
                        queue.push(scene.read(&file, block));
                    }
                    queue.submit();
                    queue
                });
                submitting.join().unwrap()
            });
            for block in 32..64 {
                queue.push(scene.read(&file, block));
            }
            if round % 2 == 0 {
                queue.submit();
            }
            let done = std::thread::scope(|scope| {
                let reaping = scope.spawn(|| reap_all(&mut *queue));
                reaping.join().unwrap()
            });
            scene.assert_blocks(done, 0..64);
        }
    });
}
