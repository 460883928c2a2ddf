//! Windows that are read into buffers, on a simulated disk: whatever the sizes, the budget, the
//! order in which reads complete and those that fail, the bytes are the file's.

use std::ops::Range;
use std::sync::Arc;

use crate::disk::sim::{EIO, Fault, OpClass, SimDisk, SimOptions};
use crate::disk::{AlignedBuf, Disk, File};
use crate::log::read::cold::{FileWindow, WINDOW_MAX};
use crate::log::read::pool::ReadPool;
use crate::log::read::share::Sharing;

const BLOCK: u64 = 4096;
const FILE_BYTES: u64 = 12 << 20;

/// A file whose words tell their place.
struct Scene {
    disk: SimDisk,
    file: Arc<dyn File>,
    bytes: Vec<u8>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let disk = SimOptions::new().seed(seed).build();
        let dir = disk.open_dir("/".as_ref()).unwrap();
        let file = dir.create("file").unwrap();
        file.allocate(FILE_BYTES).unwrap();
        let mut buffer = AlignedBuf::new(FILE_BYTES as usize).unwrap();
        for (word, bytes) in buffer.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&(word as u64 + 1).to_le_bytes());
        }
        file.write_at(&buffer, 0).unwrap();
        let bytes = buffer.to_vec();
        Self { disk, file, bytes }
    }

    fn pool(&self, budget: u64) -> Arc<ReadPool> {
        ReadPool::new(Arc::new(self.disk.clone()), budget)
    }

    fn window(&self, pool: &Arc<ReadPool>) -> FileWindow {
        FileWindow::direct(Arc::clone(&self.file), BLOCK, pool)
    }

    fn assert_has(&self, window: &FileWindow, range: Range<u64>) {
        assert!(window.has(&range), "{range:?} of {window:?}");
        let expected = &self.bytes[range.start as usize..range.end as usize];
        assert!(*window.bytes(range.clone()) == *expected, "{range:?}");
    }
}

/// Numbers from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// The length of a frame: mostly small, at times larger than several windows.
    fn frame(&mut self) -> u64 {
        let bound = match self.below(40) {
            0 => 3 * WINDOW_MAX,
            1..4 => 300 << 10,
            4..12 => 20 << 10,
            _ => 500,
        };
        (8 + self.below(bound)).next_multiple_of(8)
    }
}

/// Moves a window over the file as a reader does: each frame's head, then all of it. What `load`
/// refuses is told, and tried again.
fn walk(scene: &Scene, window: &mut FileWindow, seed: u64, limit: u64, failed: &mut dyn FnMut()) {
    let mut chance = Chance(seed * 2 + 1);
    let mut at = 512;
    while at + 8 <= limit {
        let len = chance.frame().min(limit - at);
        for need in [8, len] {
            while let Err(unread) = window.load(at, need, limit) {
                assert_eq!(unread.error.raw_os_error(), Some(EIO));
                assert!(unread.offset <= at + need && at < unread.offset + unread.len as u64);
                failed();
            }
            scene.assert_has(window, at..at + need);
        }
        at += len;
    }
}

#[test]
fn a_walk_finds_every_byte_within_any_budget() {
    for budget in [0, 200 << 10, 3 << 20, 16 << 20] {
        for seed in 0..6 {
            let scene = Scene::new(seed);
            let pool = scene.pool(budget);
            let mut window = scene.window(&pool);
            walk(&scene, &mut window, seed, FILE_BYTES, &mut || {
                panic!("no fault was planned")
            });
            drop(window);
            assert_eq!(pool.lent_bytes(), 0, "everything was given back");
            // Beyond the budget: one window, which is as large as the largest frame.
            let one = 3 * WINDOW_MAX + 2 * BLOCK;
            assert!(
                pool.peak_bytes() <= budget + one,
                "{} of {budget}",
                pool.peak_bytes()
            );
        }
    }
}

/// What is on its way shows in what the pool has lent.
#[test]
fn a_walk_keeps_several_windows_on_their_way_and_a_look_none() {
    let scene = Scene::new(1);
    let pool = scene.pool(16 << 20);
    let mut window = scene.window(&pool);
    window.load(4096, 100, FILE_BYTES).unwrap();
    assert!(pool.lent_bytes() <= 64 << 10, "one small window");
    let mut most = 0;
    for at in (4096..8 << 20).step_by(1024) {
        window.load(at, 1024, FILE_BYTES).unwrap();
        scene.assert_has(&window, at..at + 1024);
        most = most.max(pool.lent_bytes());
    }
    let windows = 5 * (WINDOW_MAX + BLOCK);
    assert_eq!(most, windows, "one at hand and four on their way");
    // Elsewhere it begins anew.
    window.load(4096, 100, FILE_BYTES).unwrap();
    scene.assert_has(&window, 4096..4196);
    assert!(pool.lent_bytes() <= WINDOW_MAX + BLOCK);
}

#[test]
fn readers_that_share_a_budget_keep_to_it_together_and_all_get_on() {
    let scene = Scene::new(2);
    const READERS: u64 = 6;
    let budget = 4 << 20;
    let pool = scene.pool(budget);
    let mut windows: Vec<_> = (0..READERS).map(|_| scene.window(&pool)).collect();
    for at in (0..6 << 20).step_by(10_000) {
        for window in &mut windows {
            window.load(at, 10_000, FILE_BYTES).unwrap();
            scene.assert_has(window, at..at + 10_000);
        }
        // Nobody has more than one window that is not within it.
        assert!(pool.lent_bytes() <= budget + READERS * (WINDOW_MAX + BLOCK));
    }
    assert!(
        pool.peak_bytes() > budget / 2,
        "there was something to keep to"
    );
    assert!(pool.peak_bytes() <= budget + READERS * (WINDOW_MAX + BLOCK));
    drop(windows);
    assert_eq!(pool.lent_bytes(), 0);
    assert!(pool.queue().rung().backend == crate::disk::BackendKind::Sim);
}

#[test]
fn each_read_that_fails_is_told_once_and_costs_nothing_else() {
    let limit = 5 << 20;
    for budget in [0, 16 << 20] {
        let mut nth = 1;
        loop {
            let scene = Scene::new(nth);
            let fault = scene.disk.count(OpClass::Read) + nth;
            scene.disk.fail(Fault::once(OpClass::Read, fault, EIO));
            let pool = scene.pool(budget);
            let mut window = scene.window(&pool);
            let mut failures = 0;
            walk(&scene, &mut window, 3, limit, &mut || failures += 1);
            let met = scene.disk.count(OpClass::Read) >= fault;
            assert_eq!(failures, u64::from(met), "read {nth}");
            drop(window);
            assert_eq!(pool.lent_bytes(), 0);
            if !met {
                break;
            }
            nth += 1;
        }
        assert!(nth > 8, "{nth} reads only");
    }
}

#[test]
fn a_disk_that_fails_for_good_hangs_nobody() {
    let scene = Scene::new(5);
    let pool = scene.pool(16 << 20);
    let mut window = scene.window(&pool);
    let mut at = 0;
    while at < 3 << 20 {
        window.load(at, 5000, FILE_BYTES).unwrap();
        at += 5000;
    }
    let next = scene.disk.count(OpClass::Read) + 1;
    scene.disk.fail(Fault::for_good(OpClass::Read, next, EIO));
    // What was read before, and what had come already, is still there.
    while window.load(at, 5000, FILE_BYTES).is_ok() {
        scene.assert_has(&window, at..at + 5000);
        at += 5000;
    }
    for _ in 0..3 {
        assert!(window.load(at, 5000, FILE_BYTES).is_err());
    }
    drop(window);
    assert_eq!(pool.lent_bytes(), 0);
}

/// A file that grows beneath: what lies beyond the limit is anything until the limit is beyond it.
#[test]
fn what_lay_beyond_the_limit_when_it_was_read_is_read_again() {
    for seed in 0..10 {
        let scene = Scene::new(seed);
        let pool = scene.pool(16 << 20);
        let mut chance = Chance(seed + 77);
        // Everything is garbage at first.
        let mut garbage = AlignedBuf::new(FILE_BYTES as usize).unwrap();
        garbage.fill(0xee);
        scene.file.write_at(&garbage, 0).unwrap();
        let mut truth = AlignedBuf::new(FILE_BYTES as usize).unwrap();
        truth.copy_from_slice(&scene.bytes);
        let mut window = scene.window(&pool);
        let (mut at, mut limit) = (0, 0);
        while limit < 8 << 20 {
            let begin = limit & !(BLOCK - 1);
            limit += (8 + chance.below(700 << 10)).next_multiple_of(8);
            // Whole blocks are written; of the last one, only what lies before the limit is true.
            let end = limit.next_multiple_of(BLOCK);
            let mut blocks = AlignedBuf::new((end - begin) as usize).unwrap();
            blocks.copy_from_slice(&truth[begin as usize..end as usize]);
            blocks[(limit - begin) as usize..].fill(0xee);
            scene.file.write_at(&blocks, begin).unwrap();
            while at + 4000 <= limit {
                window.load(at, 4000, limit).unwrap();
                scene.assert_has(&window, at..at + 4000);
                at += 4000;
            }
        }
    }
}

#[test]
fn a_file_that_ends_too_early_is_missed_not_waited_for() {
    let scene = Scene::new(6);
    let beyond = FILE_BYTES + (4 << 20);
    for budget in [0, 16 << 20] {
        let pool = scene.pool(budget);
        let mut window = scene.window(&pool);
        let mut at = 0;
        while at < FILE_BYTES - 8000 {
            window.load(at, 8000, beyond).unwrap();
            scene.assert_has(&window, at..at + 8000);
            at += 8000;
        }
        window.load(at, 16_000, beyond).unwrap();
        assert!(!window.has(&(at..at + 16_000)), "{window:?} {at} {budget}");
        scene.assert_has(&window, at..FILE_BYTES);
    }
}

#[test]
fn what_is_shared_outlives_the_window_and_leaves_the_pool() {
    let scene = Scene::new(7);
    let pool = scene.pool(3 << 20);
    let sharing = Sharing::new(64 << 20);
    let mut window = scene.window(&pool);
    let mut kept = Vec::new();
    for at in (0..8 << 20).step_by(50_000) {
        let range = at..at + 50_000;
        window.load(at, 50_000, FILE_BYTES).unwrap();
        let shared = window.share(range.clone(), &sharing).unwrap();
        kept.push((range, shared));
    }
    drop(window);
    assert_eq!(pool.lent_bytes(), 0, "it is the sharing's budget now");
    for (range, shared) in kept {
        let expected = &scene.bytes[range.start as usize..range.end as usize];
        assert!(shared == *expected);
    }
}
