//! The simulated disk itself: that it is as faithful, as hostile and as repeatable as it says.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringbolt::disk::sim::{
    Cut, EIO, ENOSPC, Fault, Mode, OpClass, Replay, Schedule, SimDisk, SimOptions, Subset,
};
use ringbolt::disk::{
    AlignedBuf, Completion, Dir, Disk, File, LockMode, OpenMode, PathKind, Queue, Read, ReadDone,
    Region, Write,
};

const BLOCK: usize = 4096;

// ---- helpers ----------------------------------------------------------------------------------

fn open(disk: &SimDisk) -> Arc<dyn Dir> {
    let dir = Path::new("/log");
    if disk.stat(dir).unwrap().kind == PathKind::Missing {
        disk.create_dir(dir).unwrap();
    }
    disk.open_dir(dir).unwrap()
}

fn block(byte: u8) -> AlignedBuf {
    let mut block = AlignedBuf::new(BLOCK).unwrap();
    block.fill(byte);
    block
}

fn region(blocks: usize) -> Arc<Region> {
    Arc::new(Region::new(blocks * BLOCK).unwrap())
}

fn fill(region: &Region, offset: usize, len: usize, byte: u8) {
    assert!(offset + len <= region.len());
    // SAFETY: within the region, and these tests have one thread, with no reference into it.
    unsafe { region.as_ptr().add(offset).write_bytes(byte, len) };
}

fn write(
    file: &Arc<dyn File>,
    at_block: u64,
    region: &Arc<Region>,
    len: usize,
    token: u64,
) -> Write {
    Write {
        file: Arc::clone(file),
        file_offset: at_block * BLOCK as u64,
        region: Arc::clone(region),
        region_offset: 0,
        len,
        token,
    }
}

fn drain(queue: &mut dyn Queue) -> io::Result<Vec<Completion>> {
    let mut completions = Vec::new();
    while queue.outstanding() > 0 {
        queue.wait(None)?;
        queue.reap(&mut completions)?;
    }
    Ok(completions)
}

/// A segment of `blocks` blocks whose name is durable, and a queue with one write of `byte`s over
/// all of it in flight.
fn in_flight(
    disk: &SimDisk,
    blocks: usize,
    byte: u8,
) -> (Arc<dyn Dir>, Arc<dyn File>, Box<dyn Queue>) {
    let dir = open(disk);
    let file = dir.create("a").unwrap();
    file.allocate((blocks * BLOCK) as u64).unwrap();
    dir.sync().unwrap();
    let memory = region(blocks);
    fill(&memory, 0, blocks * BLOCK, byte);
    let mut queue = disk.queue().unwrap();
    queue.push(write(&file, 0, &memory, blocks * BLOCK, 1));
    queue.submit().unwrap();
    (dir, file, queue)
}

fn sectors(disk: &SimDisk, path: &str) -> Vec<u8> {
    let bytes = disk.read_file(path).unwrap();
    bytes
        .chunks(512)
        .map(|sector| {
            assert!(
                sector.iter().all(|&byte| byte == sector[0]),
                "a torn sector"
            );
            sector[0]
        })
        .collect()
}

fn names(disk: &SimDisk) -> BTreeSet<String> {
    let list = open(disk).list().unwrap();
    list.into_iter().map(|entry| entry.name).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

// ---- files and queues -------------------------------------------------------------------------

#[test]
fn is_a_disk() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<SimDisk>();
    let disk = SimDisk::new(1);
    let dir = open(&disk);
    assert_eq!(dir.path(), Path::new("/log"));
    assert_eq!(dir.block_size(), 4096);
    assert!(dir.access().direct);
    let file = dir.create("a").unwrap();
    assert_eq!(errno(dir.create("a")), 17);
    assert_eq!(errno(dir.open("b", OpenMode::Read)), 2);
    file.allocate(3 * BLOCK as u64).unwrap();
    file.write_at(&block(7), BLOCK as u64).unwrap();
    let mut buf = block(9);
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), BLOCK);
    assert!(
        buf.iter().all(|&byte| byte == 0),
        "allocated space reads as zero"
    );
    assert_eq!(file.read_at(&mut buf, BLOCK as u64).unwrap(), BLOCK);
    assert!(buf.iter().all(|&byte| byte == 7));
    assert_eq!(file.read_at(&mut buf, 3 * BLOCK as u64).unwrap(), 0);
    assert_eq!(
        (file.len().unwrap(), file.links().unwrap()),
        (3 * BLOCK as u64, 1)
    );
    assert!(file.map(BLOCK as u64).unwrap().is_none());
    dir.rename("a", "b").unwrap();
    let list = dir.list().unwrap();
    assert_eq!(
        (list.len(), list[0].name.as_str(), list[0].len),
        (1, "b", 3 * BLOCK as u64)
    );
    dir.unlink("b").unwrap();
    assert_eq!(file.links().unwrap(), 0);
    assert_eq!(
        file.read_at(&mut buf, BLOCK as u64).unwrap(),
        BLOCK,
        "still open"
    );
    let read_only = {
        dir.create("c").unwrap();
        dir.open("c", OpenMode::Read).unwrap()
    };
    assert_eq!(errno(read_only.write_at(&block(1), 0)), 9);
}

#[test]
fn direct_access_wants_alignment_and_buffered_access_does_not() {
    let direct = SimDisk::new(1);
    let file = open(&direct).create("a").unwrap();
    assert_eq!(errno(file.write_at(&block(1)[..512], 0)), 22);
    assert_eq!(errno(file.write_at(&block(1), 512)), 22);
    assert_eq!(errno(file.read_at(&mut block(1)[..100], 0)), 22);

    let buffered = SimOptions::new().direct(false).build();
    let dir = open(&buffered);
    assert!(!dir.access().direct && dir.access().reason.is_some());
    let file = dir.create("a").unwrap();
    file.write_at(b"hello", 510).unwrap();
    assert_eq!(file.len().unwrap(), 515);
    let mut bytes = [0; 5];
    assert_eq!(file.read_at(&mut bytes, 510).unwrap(), 5);
    assert_eq!(&bytes, b"hello");

    // Past a queue, on both: the write itself is refused.
    let memory = region(1);
    let mut queue = direct.queue().unwrap();
    let file = open(&direct).create("b").unwrap();
    queue.push(write(&file, 0, &memory, 512, 3));
    queue.submit().unwrap();
    let done = drain(&mut *queue).unwrap().remove(0);
    assert_eq!((done.token, errno(done.result)), (3, 22));
}

#[test]
fn a_write_takes_its_bytes_when_it_completes() {
    let disk = SimDisk::new(1);
    let (_dir, _file, mut queue) = in_flight(&disk, 2, 1);
    let memory = region(1);
    let file = open(&disk).open("a", OpenMode::Write).unwrap();
    fill(&memory, 0, BLOCK, 2);
    drain(&mut *queue).unwrap();
    queue.push(write(&file, 1, &memory, BLOCK, 2));
    queue.submit().unwrap();
    fill(&memory, 0, BLOCK, 3); // Reused too early.
    drain(&mut *queue).unwrap();
    assert_eq!(sectors(&disk, "/log/a"), [[1; 8], [3; 8]].concat());
}

#[test]
fn a_completed_write_is_durable_and_an_incomplete_one_is_not() {
    let disk = SimOptions::new().schedule(Schedule::Lazy).build();
    let (_dir, _file, mut queue) = in_flight(&disk, 1, 1);
    let mut completions = Vec::new();
    queue.reap(&mut completions).unwrap();
    assert!(completions.is_empty() && queue.outstanding() == 1);
    assert_eq!(disk.read_file_durable("/log/a").unwrap(), [0; BLOCK]);
    queue.wait(None).unwrap();
    queue.reap(&mut completions).unwrap();
    assert!(completions[0].result.is_ok() && completions[0].token == 1);
    assert_eq!(disk.read_file_durable("/log/a").unwrap(), [1; BLOCK]);
    assert_eq!(queue.outstanding(), 0);
}

#[test]
fn schedules_decide_when_and_in_which_order_writes_complete() {
    let orders = |schedule| {
        (0..20)
            .map(|seed| {
                let disk = SimOptions::new().seed(seed).schedule(schedule).build();
                let (_dir, file, mut queue) = in_flight(&disk, 1, 1);
                let memory = region(1);
                for token in 2..6 {
                    queue.push(write(&file, 0, &memory, BLOCK, token));
                }
                queue.submit().unwrap();
                let mut completions = Vec::new();
                queue.reap(&mut completions).unwrap();
                let at_once = completions.len();
                completions.extend(drain(&mut *queue).unwrap());
                let tokens: Vec<_> = completions.iter().map(|done| done.token).collect();
                (at_once, tokens)
            })
            .collect::<BTreeSet<_>>()
    };
    let in_order: Vec<u64> = (1..6).collect();
    assert_eq!(
        orders(Schedule::Eager),
        BTreeSet::from([(5, in_order.clone())])
    );
    assert_eq!(orders(Schedule::Lazy), BTreeSet::from([(0, in_order)]));
    let random = orders(Schedule::Random);
    assert!(random.len() > 10, "{random:?}");
    assert_eq!(random, orders(Schedule::Random), "repeatable");
}

/// The order in which eight reads complete.
fn order_of_reads(schedule: Schedule, seed: u64) -> Vec<u64> {
    let disk = SimOptions::new().seed(seed).schedule(schedule).build();
    let file = open(&disk).create("a").unwrap();
    file.allocate(8 * BLOCK as u64).unwrap();
    let mut queue = disk.reads(8);
    for token in 0..8 {
        queue.push(read(&file, token));
    }
    let mut done = Vec::new();
    while queue.outstanding() > 0 {
        queue.wait();
        queue.reap(&mut done);
    }
    done.iter().map(|done| done.token).collect()
}

fn read(file: &Arc<dyn File>, token: u64) -> Read {
    Read {
        file: Arc::clone(file),
        file_offset: token * BLOCK as u64,
        buffer: block(0),
        range: 0..BLOCK,
        token,
    }
}

#[test]
fn reads_complete_in_any_order_that_a_seed_repeats() {
    let in_order = Vec::from_iter(0..8);
    assert_eq!(order_of_reads(Schedule::Eager, 1), in_order);
    assert_eq!(order_of_reads(Schedule::Lazy, 1), in_order);
    let orders: BTreeSet<_> = (0..20)
        .map(|seed| {
            let order = order_of_reads(Schedule::Random, seed);
            assert_eq!(order, order_of_reads(Schedule::Random, seed));
            order
        })
        .collect();
    assert!(orders.len() > 10, "{orders:?}");
}

#[test]
fn a_read_of_a_queue_fails_by_plan_alone_and_after_a_crash() {
    let disk = SimDisk::new(3);
    let file = open(&disk).create("a").unwrap();
    file.allocate(8 * BLOCK as u64).unwrap();
    let mut queue = disk.reads(8);
    disk.fail(Fault::once(
        OpClass::Read,
        disk.count(OpClass::Read) + 3,
        EIO,
    ));
    for token in 0..8 {
        queue.push(read(&file, token));
    }
    let mut done = Vec::new();
    while queue.outstanding() > 0 {
        queue.wait();
        queue.reap(&mut done);
    }
    let failed = |done: &Vec<ReadDone>| done.iter().filter(|d| d.result.is_err()).count();
    assert_eq!((done.len(), failed(&done)), (8, 1));
    assert_eq!(disk.count(OpClass::Read), 8);
    // On their way when the crash comes, and begun after it.
    done.clear();
    queue.push(read(&file, 0));
    queue.submit();
    disk.crash_now();
    queue.push(read(&file, 1));
    while queue.outstanding() > 0 {
        queue.wait();
        queue.reap(&mut done);
    }
    assert_eq!((done.len(), failed(&done)), (2, 2));
}

#[test]
fn a_wait_ends_by_a_completion_a_waker_or_the_timeout_and_counts_when_by_none() {
    let disk = SimDisk::new(1);
    let mut queue = disk.queue().unwrap();
    let before = disk.now_monotonic_ns();
    queue.wait(Some(Duration::from_secs(5))).unwrap();
    assert!(disk.now_monotonic_ns() - before >= 5_000_000_000);
    queue.waker().wake();
    queue.wait(None).unwrap();
    assert_eq!(disk.idle_waits(), 0);
    queue.wait(None).unwrap();
    assert_eq!(disk.idle_waits(), 1);
    assert!(queue.event_descriptor().is_none());
    let memory = region(1);
    assert!(!queue.rung().registered);
    queue.add_region(&memory);
    assert!(queue.rung().registered);
    queue.remove_region(&memory);
}

#[test]
fn clocks_advance_and_jump() {
    let disk = SimOptions::new().start_unix_ns(1_000_000_000_000).build();
    assert!(disk.now_unix_ns() >= 1_000_000_000_000);
    disk.advance(Duration::from_secs(10));
    assert!(disk.now_unix_ns() >= 1_010_000_000_000);
    let before = disk.now_monotonic_ns();
    disk.jump_wall(-500_000_000_000);
    assert!(disk.now_unix_ns() < 600_000_000_000);
    assert!(disk.now_monotonic_ns() > before);
    let (mut a, mut b) = ([0; 16], [0; 16]);
    disk.random(&mut a);
    disk.random(&mut b);
    assert_ne!(a, b);
    SimDisk::new(0).random(&mut b);
    assert_eq!(a, b, "the same seed, the same bytes");
}

// ---- power failures ---------------------------------------------------------------------------

#[test]
fn a_power_failure_leaves_every_subset_of_a_write_in_flight() {
    let disk = SimDisk::new(1);
    let (dir, file, mut queue) = in_flight(&disk, 1, 5);
    let operation = disk.operations() + 1;
    disk.crash_at(operation);
    assert!(drain(&mut *queue).is_err());
    assert!(disk.has_crashed());
    assert_eq!(disk.wreck().unwrap().operation(), operation);

    // The dead process changes nothing any more.
    assert_eq!(queue.outstanding(), 0);
    queue.push(write(&file, 0, &region(1), BLOCK, 2));
    assert!(queue.submit().is_err());
    assert!(dir.unlink("a").is_err() && dir.sync().is_err() && dir.list().is_err());
    assert!(file.write_at(&block(9), 0).is_err() && file.len().is_err());
    assert!(disk.queue().is_err() && disk.stat(Path::new("/")).is_err());

    let states = disk.crash_states(1, 1);
    assert!(states.is_exhaustive());
    assert_eq!(states.parts(), 8);
    let found: BTreeSet<_> = states.map(|state| sectors(&state, "/log/a")).collect();
    assert_eq!(found.len(), 256);
    assert!(found.iter().flatten().all(|&byte| byte == 0 || byte == 5));
}

#[test]
fn a_power_failure_within_a_call_leaves_any_part_of_it() {
    type Call = fn(&Arc<dyn Dir>, &Arc<dyn File>) -> io::Result<()>;
    let calls: [(Call, usize); 5] = [
        (|_, file| file.write_at(&block(5), 0), 256),
        (|_, file| file.allocate(3 * BLOCK as u64), 2),
        (|dir, _| dir.rename("a", "b"), 2),
        (|dir, _| dir.unlink("a"), 2),
        (|dir, _| dir.create("b").map(drop), 2),
    ];
    for (call, states) in calls {
        let disk = SimDisk::new(1);
        let (dir, file, mut queue) = in_flight(&disk, 1, 1);
        drain(&mut *queue).unwrap();
        disk.crash_at(disk.operations() + 1);
        assert!(call(&dir, &file).is_err());
        let found: BTreeSet<_> = disk
            .crash_states(1000, 1)
            .map(|state| {
                let list = open(&state).list().unwrap();
                let bytes = state.read_file("/log/a").unwrap_or_default();
                (
                    list.into_iter()
                        .map(|e| (e.name, e.len))
                        .collect::<Vec<_>>(),
                    bytes,
                )
            })
            .collect();
        assert_eq!(found.len(), states);
    }
    let disk = SimDisk::new(1);
    disk.crash_now();
    assert!(disk.create_dir(Path::new("/log")).is_err());
    assert_eq!(disk.crash_states(1000, 1).count(), 1);
}

#[test]
fn sectors_that_would_change_nothing_are_no_parts() {
    let disk = SimDisk::new(1);
    let (_dir, _file, mut queue) = in_flight(&disk, 4, 0);
    disk.crash_now();
    assert!(queue.reap(&mut Vec::new()).is_err());
    assert_eq!(disk.crash_states(1000, 1).count(), 1);
}

#[test]
fn names_keep_the_order_of_changes_to_the_same_name() {
    let disk = SimDisk::new(1);
    let dir = open(&disk);
    dir.create("old").unwrap();
    dir.sync().unwrap();
    dir.create("tmp").unwrap();
    dir.rename("tmp", "new").unwrap();
    dir.unlink("old").unwrap();
    disk.crash_now();
    let states = disk.crash_states(1000, 1);
    assert!(states.is_exhaustive());
    let found: Vec<_> = states.map(|state| names(&state)).collect();
    assert_eq!(found.len(), 6);
    for (first, last) in [
        (set(&["old"]), set(&[])),
        (set(&["old", "tmp"]), set(&["tmp"])),
        (set(&["old", "new"]), set(&["new"])),
    ] {
        assert!(found.contains(&first) && found.contains(&last), "{found:?}");
    }
}

#[test]
fn names_are_durable_after_the_directory_s_sync() {
    let disk = SimDisk::new(1);
    let dir = open(&disk);
    dir.create("a").unwrap();
    dir.rename("a", "b").unwrap();
    dir.sync().unwrap();
    disk.crash_now();
    let mut states = disk.crash_states(1000, 1);
    assert_eq!(names(&states.next().unwrap()), set(&["b"]));
    assert!(states.next().is_none());
}

#[test]
fn a_renamed_file_keeps_its_old_bytes_and_takes_new_ones_under_either_name() {
    let disk = SimDisk::new(1);
    let (dir, file, mut queue) = in_flight(&disk, 1, 1);
    drain(&mut *queue).unwrap();
    dir.rename("a", "b").unwrap();
    file.write_at(&block(2), 0).unwrap();
    disk.crash_now();
    let found: BTreeSet<_> = disk
        .crash_states(1000, 1)
        .map(|state| {
            let name = names(&state).pop_first().unwrap();
            let bytes = sectors(&state, &format!("/log/{name}"));
            (name, bytes)
        })
        .collect();
    let expected = ["a", "b"].map(|name| (name.to_owned(), vec![2; 8]));
    assert_eq!(found, BTreeSet::from(expected));
}

#[test]
fn beyond_ten_parts_states_are_sampled_distinct_and_repeatable() {
    let disk = SimDisk::new(1);
    let (_dir, _file, _queue) = in_flight(&disk, 16, 5);
    disk.crash_now();
    let sample = |limit, seed| {
        let states = disk.crash_states(limit, seed);
        assert!(!states.is_exhaustive());
        states
            .map(|state| (state.describe(), sectors(&state, "/log/a")))
            .collect::<Vec<_>>()
    };
    let states = sample(500, 1);
    assert_eq!(states.len(), 500);
    assert_eq!(states[0].1, vec![0; 128]);
    assert_eq!(states[1].1, vec![5; 128]);
    let distinct: BTreeSet<_> = states.iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(distinct.len(), 500);
    let torn = |bytes: &[u8]| {
        bytes
            .chunks(8)
            .filter(|block| block.contains(&0) && block.contains(&5))
            .count()
    };
    assert!(states.iter().filter(|(_, bytes)| torn(bytes) == 1).count() > 50);
    assert_eq!(states, sample(500, 1));
    assert_ne!(states, sample(500, 2));
    assert_eq!(
        sample(0, 1).len(),
        2,
        "nothing and everything are always there"
    );

    // Every name leads back to its state.
    for (name, bytes) in states {
        let replay: Replay = name.parse().unwrap();
        assert_eq!(replay.to_string(), name);
        let again = replay.run(SimOptions::new(), |_, disk| {
            let _in_flight = in_flight(disk, 16, 5);
            disk.crash_now();
        });
        assert_eq!(sectors(&again, "/log/a"), bytes, "{name}");
        assert_eq!(again.describe(), name);
    }
}

#[test]
fn a_crash_in_what_follows_a_crash_has_a_name_too() {
    let first = |disk: &SimDisk| {
        let _in_flight = in_flight(disk, 1, 5);
        disk.crash_now();
    };
    let second = |disk: &SimDisk| -> io::Result<()> {
        let dir = disk.open_dir(Path::new("/log"))?;
        let mut salt = [0];
        disk.random(&mut salt);
        dir.open("a", OpenMode::Write)?
            .write_at(&block(salt[0]), 0)?;
        dir.create("b").map(drop)
    };
    let disk = SimDisk::new(9);
    first(&disk);
    let mut count = 0;
    for operation in 1..=2 {
        for state in disk.crash_states(10, 1).step_by(37) {
            state.crash_at(operation);
            assert!(second(&state).is_err());
            for found in state.crash_states(1000, 1) {
                let name = found.describe();
                let replay: Replay = name.parse().unwrap();
                let again = replay.run(SimOptions::new(), |number, disk| {
                    if number == 0 {
                        first(disk);
                    } else {
                        assert!(second(disk).is_err());
                    }
                });
                let file = |disk: &SimDisk| disk.read_file("/log/a").unwrap();
                assert_eq!(file(&again), file(&found), "{name}");
                assert_eq!(names(&again), names(&found), "{name}");
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count}");
    assert!("seed=1 crash=x power:all".parse::<Replay>().is_err());
    assert!("power:tear-1-ff-some".parse::<Cut>().is_err());
}

#[test]
fn recorded_wrecks_are_those_of_a_crash_in_each_operation() {
    let run = |disk: &SimDisk| -> io::Result<()> {
        disk.create_dir(Path::new("/log"))?;
        let dir = disk.open_dir(Path::new("/log"))?;
        let file = dir.create("tmp")?;
        file.allocate(8 * BLOCK as u64)?;
        file.write_at(&block(1), 0)?;
        dir.rename("tmp", "a")?;
        dir.sync()?;
        let mut queue = disk.queue()?;
        let memory = region(2);
        for round in 0..4 {
            fill(&memory, 0, 2 * BLOCK, 2 + round);
            queue.push(write(
                &file,
                1 + u64::from(round),
                &memory,
                2 * BLOCK,
                round.into(),
            ));
            queue.push(write(&file, 6, &memory, BLOCK, round.into()));
            queue.submit()?;
            drain(&mut *queue)?;
        }
        dir.unlink("a")
    };
    let recorded = SimDisk::new(3);
    recorded.record_wrecks();
    run(&recorded).unwrap();
    let wrecks = recorded.take_wrecks();
    assert_eq!(wrecks.len() as u64, recorded.operations());
    let look = |state: SimDisk| {
        let file = |name| state.read_file(format!("/log/{name}")).unwrap_or_default();
        (state.describe(), file("tmp"), file("a"))
    };
    for (wreck, operation) in wrecks.iter().zip(1..) {
        assert_eq!(wreck.operation(), operation);
        let disk = SimDisk::new(3);
        disk.crash_at(operation);
        assert!(run(&disk).is_err());
        let crashed = disk.wreck().unwrap();
        assert!(
            wreck
                .crash_states(20, 1)
                .map(look)
                .eq(crashed.crash_states(20, 1).map(look)),
            "operation {operation}"
        );
        assert!(
            wreck
                .kill_states(20, 1)
                .map(look)
                .eq(crashed.kill_states(20, 1).map(look)),
            "operation {operation}"
        );
    }
}

// ---- a killed process -------------------------------------------------------------------------

/// Takes the lock and kills the process with a write of eight blocks in flight.
fn kill_while_writing(options: SimOptions, hold: bool) -> SimDisk {
    let disk = options.schedule(Schedule::Lazy).build();
    let (dir, file, mut queue) = in_flight(&disk, 8, 5);
    file.write_at(&block(4), 8 * BLOCK as u64).unwrap();
    dir.create("volatile").unwrap();
    let lock = dir.lock("lock").unwrap().unwrap();
    if hold {
        queue.hold(&lock);
    }
    drop(lock);
    disk.crash_now();
    disk
}

#[test]
fn writes_of_a_killed_process_land_later_and_its_queue_keeps_the_lock_till_then() {
    for hold in [true, false] {
        let disk = kill_while_writing(SimOptions::new(), hold);
        for state in disk.kill_states(1000, 1) {
            let dir = open(&state);
            assert!(
                names(&state).contains("volatile"),
                "names outlive the process"
            );
            let some_in_flight = state.has_orphans();
            let locked = dir.lock("lock").unwrap();
            assert_eq!(
                locked.is_none(),
                hold && state.has_orphans(),
                "{}",
                state.describe()
            );
            drop(locked);
            let mut tries = 0;
            while dir.lock("lock").unwrap().is_none() || state.has_orphans() {
                tries += 1;
                assert!(tries < 20, "the lock is never free");
            }
            let landed = sectors(&state, "/log/a");
            assert_eq!(&landed[64..], [4; 8], "what had completed is there");
            assert_eq!(landed[..64].contains(&5), some_in_flight);
            for block in landed.chunks(8) {
                assert!(
                    block.iter().all(|&byte| byte == block[0]),
                    "a killed process tears no block"
                );
            }
        }
        assert_eq!(disk.kill_states(1000, 1).count(), 256);
    }
}

#[test]
fn a_submission_that_the_kill_interrupts_may_have_reached_the_kernel() {
    let disk = SimDisk::new(1);
    let dir = open(&disk);
    let lock = dir.lock("lock").unwrap().unwrap();
    let file = dir.create("a").unwrap();
    let memory = region(16);
    fill(&memory, 0, 16 * BLOCK, 5);
    let mut queue = disk.queue().unwrap();
    queue.hold(&lock);
    queue.push(write(&file, 0, &memory, 16 * BLOCK, 1));
    disk.crash_at(disk.operations() + 1);
    assert!(queue.submit().is_err());
    let states = disk.kill_states(2000, 1);
    assert_eq!((states.parts(), states.is_exhaustive()), (16, false));
    let mut locked = 0;
    for state in states {
        locked += u32::from(open(&state).lock("lock").unwrap().is_none());
    }
    assert!(locked > 1000, "{locked}");
    for state in disk.kill_states(20, 1) {
        state.land_orphans();
        assert!(!state.has_orphans() && open(&state).lock("lock").unwrap().is_some());
    }
    assert_eq!(disk.kill_states(2000, 1).count(), 2000);
}

#[test]
fn what_landed_after_a_kill_is_durable_after_a_sync_only() {
    for direct in [true, false] {
        let disk = kill_while_writing(SimOptions::new().direct(direct), true);
        let everything = Cut {
            mode: Mode::Kill,
            subset: Subset::Everything,
        };
        for sync in [false, true] {
            let state = disk.wreck().unwrap().state(everything);
            assert_eq!(state.has_orphans(), direct, "a page cache has them at once");
            let dir = open(&state);
            while dir.lock("lock").unwrap().is_none() {}
            assert_eq!(sectors(&state, "/log/a")[..64], [5; 64]);
            if sync {
                dir.open("a", OpenMode::Read).unwrap().sync().unwrap();
            }
            state.crash_now();
            let lost = state.crash_states(10, 1).next().unwrap();
            let expected = if sync { 5 } else { 0 };
            assert_eq!(sectors(&lost, "/log/a")[..64], [expected; 64]);
        }
    }
}

#[test]
fn a_durable_write_replaces_what_landed_before_it() {
    let disk = kill_while_writing(SimOptions::new().direct(false), true);
    let everything = Cut {
        mode: Mode::Kill,
        subset: Subset::Everything,
    };
    let state = disk.wreck().unwrap().state(everything);
    let file = open(&state).open("a", OpenMode::Write).unwrap();
    file.write_at(&[6; 700], 100).unwrap();
    state.crash_now();
    for state in state.crash_states(200, 1) {
        let bytes = state.read_file("/log/a").unwrap();
        assert_eq!(bytes[100..800], [6; 700], "{}", state.describe());
    }
}

#[test]
fn a_queue_that_is_dropped_with_writes_in_flight_leaves_them_behind() {
    let disk = SimOptions::new().schedule(Schedule::Lazy).build();
    let (dir, _file, mut queue) = in_flight(&disk, 1, 5);
    let lock = dir.lock("lock").unwrap().unwrap();
    queue.hold(&lock);
    drop(lock);
    assert!(dir.lock("lock").unwrap().is_none(), "the queue holds it");
    drop(queue);
    while dir.lock("lock").unwrap().is_none() {}
    assert!(!disk.has_orphans());
    assert_eq!(sectors(&disk, "/log/a"), [5; 8]);
    assert_eq!(disk.read_file_durable("/log/a").unwrap(), [0; BLOCK]);
}

// ---- locks ------------------------------------------------------------------------------------

#[test]
fn locks_belong_to_an_opening() {
    let disk = SimDisk::new(1);
    let dir = open(&disk);
    let first = dir.create("a").unwrap();
    let second = dir.open("a", OpenMode::Read).unwrap();
    assert!(first.try_lock(LockMode::Shared).unwrap());
    assert!(second.try_lock(LockMode::Shared).unwrap());
    assert!(!first.try_lock(LockMode::Exclusive).unwrap());
    second.unlock().unwrap();
    assert!(first.try_lock(LockMode::Exclusive).unwrap());
    assert!(!second.try_lock(LockMode::Shared).unwrap());
    drop(first);
    assert!(second.try_lock(LockMode::Exclusive).unwrap());

    let mut queue = disk.queue().unwrap();
    let lock = dir.lock("lock").unwrap().unwrap();
    assert!(dir.lock("lock").unwrap().is_none());
    queue.hold(&lock);
    queue.release(&lock);
    drop(lock);
    assert!(dir.lock("lock").unwrap().is_some());
}

// ---- faults -----------------------------------------------------------------------------------

#[test]
fn operations_fail_by_plan() {
    type Call = fn(&SimDisk, &Arc<dyn Dir>, &Arc<dyn File>) -> io::Result<()>;
    let calls: [(OpClass, Call); 12] = [
        (OpClass::WriteAt, |_, _, file| file.write_at(&block(1), 0)),
        (OpClass::Sync, |_, _, file| file.sync()),
        (OpClass::Read, |_, _, file| {
            file.read_at(&mut block(0), 0).map(drop)
        }),
        (OpClass::Allocate, |_, _, file| file.allocate(BLOCK as u64)),
        (OpClass::Create, |disk, dir, _| {
            dir.create(&disk.operations().to_string()).map(drop)
        }),
        (OpClass::Open, |_, dir, _| {
            dir.open("a", OpenMode::Read).map(drop)
        }),
        (OpClass::List, |_, dir, _| dir.list().map(drop)),
        (OpClass::Rename, |_, dir, _| dir.rename("a", "a")),
        (OpClass::DirSync, |_, dir, _| dir.sync()),
        (OpClass::CreateDir, |disk, _, _| {
            disk.create_dir(Path::new(&format!("/{}", disk.operations())))
        }),
        (OpClass::Submit, |disk, _, file| {
            let mut queue = disk.queue()?;
            queue.push(write(file, 0, &region(1), BLOCK, 1));
            queue.submit()?;
            drain(&mut *queue).map(drop)
        }),
        (OpClass::Write, |disk, _, file| {
            let mut queue = disk.queue()?;
            queue.push(write(file, 0, &region(1), BLOCK, 1));
            queue.submit()?;
            drain(&mut *queue)?.remove(0).result
        }),
    ];
    for (class, call) in calls {
        for errno in [EIO, ENOSPC] {
            let disk = SimDisk::new(1);
            let dir = open(&disk);
            let file = dir.create("a").unwrap();
            let already = disk.count(class);
            disk.fail(Fault::once(class, already + 2, errno));
            disk.fail(Fault::for_good(class, already + 4, errno));
            let results: Vec<_> = (0..6)
                .map(|_| {
                    call(&disk, &dir, &file)
                        .err()
                        .and_then(|error| error.raw_os_error())
                })
                .collect();
            let failed = Some(errno);
            assert_eq!(
                results,
                [None, failed, None, failed, failed, failed],
                "{class:?}"
            );
            assert_eq!(disk.count(class), already + 6);
            disk.clear_faults();
            call(&disk, &dir, &file).unwrap();
        }
    }
}

#[test]
fn no_later_sync_saves_what_a_failed_one_lost() {
    let disk = kill_while_writing(SimOptions::new().direct(false), true);
    let everything = Cut {
        mode: Mode::Kill,
        subset: Subset::Everything,
    };
    let state = disk.wreck().unwrap().state(everything);
    let file = open(&state).open("a", OpenMode::Write).unwrap();
    state.fail(Fault::once(OpClass::Sync, 1, EIO));
    assert_eq!(errno(file.sync()), EIO);
    file.sync().unwrap();
    assert_eq!(
        sectors(&state, "/log/a")[..64],
        [0; 64],
        "what is read past the cache after a sync is what is on the disk"
    );
    state.crash_now();
    let lost = state.crash_states(10, 1).next().unwrap();
    assert_eq!(sectors(&lost, "/log/a")[..64], [0; 64]);
}

#[test]
fn a_failed_write_may_be_there_in_any_part() {
    let mut found = BTreeSet::new();
    for seed in 0..10 {
        let disk = SimDisk::new(seed);
        let (_dir, _file, mut queue) = in_flight(&disk, 1, 5);
        disk.fail(Fault::once(OpClass::Write, 1, EIO));
        assert!(drain(&mut *queue).unwrap()[0].result.is_err());
        found.insert(sectors(&disk, "/log/a"));
        disk.crash_now();
        let states = disk.crash_states(10, 1);
        assert!(states.is_exhaustive());
        found.extend(states.map(|state| sectors(&state, "/log/a")));
    }
    assert!(found.len() > 100);
}

#[test]
fn a_refused_submission_leaves_the_writes_pushed() {
    let disk = SimDisk::new(1);
    let file = open(&disk).create("a").unwrap();
    let mut queue = disk.queue().unwrap();
    queue.push(write(&file, 0, &region(1), BLOCK, 1));
    disk.fail(Fault::once(OpClass::Submit, 1, EIO));
    assert!(queue.submit().is_err());
    assert_eq!(queue.outstanding(), 1);
    queue.wait(None).unwrap();
    assert_eq!(disk.idle_waits(), 1, "nothing is under way");
    queue.submit().unwrap();
    assert_eq!(drain(&mut *queue).unwrap().len(), 1);
}

#[test]
fn a_full_disk_has_room_again_when_a_file_is_gone() {
    let disk = SimOptions::new().capacity(10 * BLOCK as u64).build();
    let dir = open(&disk);
    let first = dir.create("a").unwrap();
    first.allocate(6 * BLOCK as u64).unwrap();
    let second = dir.create("b").unwrap();
    assert_eq!(errno(second.allocate(6 * BLOCK as u64)), ENOSPC);
    assert_eq!(second.len().unwrap(), 0);
    dir.unlink("a").unwrap();
    assert_eq!(
        errno(second.allocate(6 * BLOCK as u64)),
        ENOSPC,
        "still open"
    );
    drop(first);
    second.allocate(6 * BLOCK as u64).unwrap();
    assert_eq!(disk.used(), 6 * BLOCK as u64);
    assert_eq!(errno(second.write_at(&block(1), 10 * BLOCK as u64)), ENOSPC);
    disk.set_capacity(None);
    second.write_at(&block(1), 10 * BLOCK as u64).unwrap();
}

// ---- edits ------------------------------------------------------------------------------------

#[test]
fn edits_reach_past_every_interface() {
    let disk = SimDisk::new(1);
    let dir = open(&disk);
    disk.write_file("/log/a", &[1; 2000]).unwrap();
    disk.corrupt("/log/a", 100, 50, 1).unwrap();
    let bytes = disk.read_file("/log/a").unwrap();
    assert!(bytes[100..150].iter().all(|&byte| byte != 1));
    assert!(
        bytes[..100]
            .iter()
            .chain(&bytes[150..])
            .all(|&byte| byte == 1)
    );
    disk.zero("/log/a", 100..u64::MAX).unwrap();
    assert_eq!(disk.read_file("/log/a").unwrap()[100..], [0; 1900]);
    disk.patch("/log/a", 1990, b"0123456789ab").unwrap();
    assert_eq!(disk.read_file("/log/a").unwrap()[1990..], *b"0123456789ab");
    disk.truncate("/log/a", 50).unwrap();
    disk.truncate("/log/a", 60).unwrap();
    assert_eq!(
        disk.read_file("/log/a").unwrap(),
        [[1; 50].as_slice(), &[0; 10]].concat()
    );

    let other = SimDisk::new(2);
    other.write_file("/foreign", b"foreign").unwrap();
    disk.copy_file_from(&other, "/foreign", "/log/b").unwrap();
    disk.swap("/log/a", "/log/b").unwrap();
    assert_eq!(disk.read_file("/log/a").unwrap(), b"foreign");
    assert_eq!(disk.read_file("/log/b").unwrap().len(), 60);

    disk.link("/log/a", "/log/c").unwrap();
    let file = dir.open("c", OpenMode::Read).unwrap();
    assert_eq!(file.links().unwrap(), 2);

    disk.make_symlink("/log/link").unwrap();
    assert_eq!(
        disk.stat(Path::new("/log/link")).unwrap().kind,
        PathKind::Symlink
    );
    assert!(dir.open("link", OpenMode::Read).is_err() && dir.lock("link").is_err());
    assert!(disk.open_dir(Path::new("/log/link")).is_err());

    disk.set_owner("/log", false).unwrap();
    assert!(!disk.stat(Path::new("/log")).unwrap().owned);

    disk.crash_now();
    let state = disk.crash_states(10, 1).next().unwrap();
    assert_eq!(
        state.read_file("/log/a").unwrap(),
        b"foreign",
        "edits are durable"
    );
    state.remove("/log").unwrap();
    assert_eq!(
        state.stat(Path::new("/log/a")).unwrap().kind,
        PathKind::Missing
    );
    assert!(state.corrupt("/log/a", 0, 1, 1).is_err());
}

#[test]
fn states_do_not_touch_each_other() {
    let disk = SimDisk::new(1);
    let _in_flight = in_flight(&disk, 1, 5);
    disk.crash_now();
    let states: Vec<_> = disk.crash_states(10, 1).collect();
    states[255].zero("/log/a", 0..4096).unwrap();
    open(&states[0]).unlink("a").unwrap();
    assert_eq!(sectors(&states[255], "/log/a"), [0; 8]);
    assert_eq!(sectors(&states[254], "/log/a"), [0, 5, 5, 5, 5, 5, 5, 5]);
}
