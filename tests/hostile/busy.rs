//! Damage in a log that never came to rest: killed while writes were in flight. The newest
//! checkpoint that is on the disk says up to where everything was there; a record before that is
//! damaged, with its place, and nothing is touched; one at or behind it is a torn tail, and is cut.

use ringbolt::disk::Disk as _;
use ringbolt::disk::sim::{Schedule, SimDisk, SimOptions};
use ringbolt::{ErrorKind, Position};

use crate::common::{DIR, Rig, contents, options, payload, read_all};

/// How a log comes to its end.
struct Load {
    seed: u64,
    direct: bool,
    schedule: Schedule,
    records: usize,
    /// The largest record, in bytes.
    len_max: usize,
    /// Turns of the engine come after every so many records.
    burst: usize,
}

/// Appends under load, and kills the process while it is busy; the disk once the kernel has
/// finished what it was given.
fn killed_while_busy(load: &Load) -> SimDisk {
    let disk = SimOptions::new()
        .seed(load.seed)
        .direct(load.direct)
        .schedule(load.schedule)
        .build();
    let mut rig = Rig::new(&disk);
    let log = rig.open(&options()).unwrap();
    for number in 0..load.records {
        let len = (number * 977 + load.seed as usize * 31) % load.len_max;
        let _ = rig.append(&log, &payload(number, len)).unwrap();
        if number % load.burst == 0 {
            // Not `turn`, which would wait when there is nothing to do, and so let it rest.
            rig.driver().poll().unwrap();
        }
    }
    disk.crash_now();
    drop((log, rig));
    let state = disk.kill_states(2, 1).last().expect("all of it landed");
    state.land_orphans();
    state
}

fn copy(disk: &SimDisk) -> SimDisk {
    let copy = SimDisk::new(99);
    copy.create_dir(DIR.as_ref()).unwrap();
    for (name, _) in contents(disk) {
        let path = format!("{DIR}/{name}");
        copy.copy_file_from(disk, &path, &path).unwrap();
    }
    copy
}

fn path(position: Position) -> String {
    format!("{DIR}/{:011}.seg", position.segment())
}

/// The largest watermark of all checkpoints on the disk, by the format's description alone; and
/// which segments are sealed.
fn attested(disk: &SimDisk) -> (Position, Vec<u64>) {
    const MAGIC: &[u8] = b"RBCHKPT1";
    const WATERMARK: usize = 32;
    let mut watermark = Position::MIN;
    let mut sealed = Vec::new();
    for (name, bytes) in contents(disk) {
        let Some(ordinal) = name.strip_suffix(".seg") else {
            continue;
        };
        for at in (0..bytes.len() - 64).step_by(8) {
            if bytes[at..].starts_with(MAGIC) {
                let field = &bytes[at + WATERMARK..at + WATERMARK + 8];
                let value = u64::from_le_bytes(field.try_into().unwrap());
                watermark = watermark.max(Position::from_u64(value));
            }
        }
        if bytes[bytes.len() - 4096..].iter().any(|&byte| byte != 0) {
            sealed.push(ordinal.parse().unwrap());
        }
    }
    (watermark, sealed)
}

/// Each record that no footer vouches for is damaged in turn; says how many were before the
/// watermark, and how many were not.
fn damage_each(load: &Load) -> (usize, usize) {
    let pristine = killed_while_busy(load);
    let (watermark, sealed) = attested(&pristine);
    let records = {
        let disk = copy(&pristine);
        let rig = Rig::new(&disk);
        read_all(&rig.open(&options()).unwrap()).unwrap()
    };
    let (mut damaged, mut torn) = (0, 0);
    for (n, (position, bytes)) in records.iter().enumerate() {
        if sealed.contains(&position.segment()) {
            continue;
        }
        let places = [0, 4, 16 + bytes.len() as u64 / 2];
        // A record without a payload ends with its header.
        let places = &places[..if bytes.is_empty() { 2 } else { 3 }];
        let at = places[n % places.len()];
        let disk = copy(&pristine);
        disk.corrupt(path(*position), position.offset_bytes() + at, 1, n as u64)
            .unwrap();
        let before = contents(&disk);
        let what = format!(
            "seed {}, record {n} at {position}, byte {at}; attested: {watermark}",
            load.seed
        );
        let rig = Rig::new(&disk);
        match rig.open(&options()) {
            Err(error) => {
                assert!(*position < watermark, "{what}: no damage, but {error}");
                assert_eq!(error.kind(), ErrorKind::Damaged, "{what}: {error}");
                assert_eq!(error.position(), Some(*position), "{what}: {error}");
                let named = error.path();
                assert_eq!(named, Some(path(*position).as_ref()), "{what}: {error}");
                assert!(contents(&disk) == before, "{what}: something was changed");
                damaged += 1;
            }
            Ok(log) => {
                assert!(*position >= watermark, "{what}: it was not seen");
                let found = read_all(&log).unwrap();
                assert!(found == records[..n], "{what}: {} are left", found.len());
                torn += 1;
            }
        }
    }
    (damaged, torn)
}

#[test]
fn every_record_before_the_attested_watermark_is_damage_and_every_later_one_a_torn_tail() {
    let (mut damaged, mut torn) = (0, 0);
    for seed in 1..=12 {
        let load = Load {
            seed,
            direct: seed % 3 != 0,
            schedule: [Schedule::Random, Schedule::Eager][seed as usize / 2 % 2],
            records: 40 + 23 * seed as usize,
            len_max: [300, 5000, 60_000][seed as usize / 4 % 3],
            burst: [1, 3, 17, 40][seed as usize % 4],
        };
        let (a, b) = damage_each(&load);
        println!("seed {seed}: {a} damaged, {b} torn");
        damaged += a;
        torn += b;
    }
    assert!(damaged > 500 && torn > 50, "{damaged} damaged, {torn} torn");
}
