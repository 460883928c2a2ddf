//! Sequences of operations on a log, on the simulated disk, against a model of what it promises.
//!
//! One thread drives everything, the engine included, so that a case says all there is to say about
//! a run. The model knows which records are certain, because they were acknowledged, and what an
//! operation that ended in an error may have done or not.

mod model;
mod rig;

use std::time::Duration;

use super::Source;
use crate::ErrorKind;
use crate::disk::sim::{EIO, ENOSPC, Fault, OpClass, Schedule};
use crate::log::Position;
use model::Model;
use rig::{Opened, Rig};

/// Longer cases are cut: they find nothing that shorter ones do not.
const OPERATIONS_MAX: usize = 256;
/// Opening is what takes longest.
const OPENINGS_MAX: usize = 12;

/// Reads `data` as a sequence of operations.
pub fn operations(data: &[u8]) {
    let mut source = Source(data);
    let mut model = Model::default();
    let mut rig = Rig::new(&mut source, &mut model);
    let mut opened = rig.open(&mut source, &mut model);
    for _ in 0..OPERATIONS_MAX {
        if source.is_empty() {
            break;
        }
        let go_on = step(&mut source, &rig, &mut opened, &mut model);
        if rig.disk.has_crashed() {
            drop(opened);
            rig.crash(&mut source);
        } else if !go_on {
            opened.close(&rig, &mut model);
        } else {
            continue;
        }
        if rig.openings == OPENINGS_MAX {
            return;
        }
        opened = rig.open(&mut source, &mut model);
    }
    if !rig.disk.has_crashed() {
        opened.close(&rig, &mut model);
    }
}

/// One operation. Whether the log should stay open after it.
fn step(source: &mut Source<'_>, rig: &Rig, opened: &mut Opened, model: &mut Model) -> bool {
    match source.byte() % 16 {
        0..=2 => {
            let len = usize::from(source.byte());
            opened.append(rig, model, len)
        }
        3 => {
            let len = usize::from(source.u16());
            opened.append(rig, model, len)
        }
        // Segments of 1 MiB: a few of these, and they roll over.
        4 => {
            let len = usize::from(source.u16()) * 8;
            opened.append(rig, model, len)
        }
        5 => {
            let count = usize::from(source.byte()) % 8 + 1;
            let lens: Vec<usize> = (0..count).map(|_| usize::from(source.byte())).collect();
            opened.append_batch(rig, model, &lens)
        }
        6 => {
            let (len, choice) = (usize::from(source.byte()), source.byte());
            opened.claim(rig, model, len, choice)
        }
        7 => {
            let rounds = source.byte() % 32;
            rig.tell(format_args!("{rounds} turns"));
            (0..rounds).all(|_| opened.turn(model))
        }
        8 => opened.flush(rig, model),
        9 => {
            let at = usize::from(source.u16());
            opened.truncate(rig, model, at)
        }
        10 => {
            let at = usize::from(source.u16());
            opened.trim(rig, model, at)
        }
        11 => {
            opened.check(model);
            true
        }
        12 => false,
        13 => {
            let at = rig.disk.operations() + 1 + u64::from(source.byte() % 64);
            rig.tell(format_args!("will crash in operation {at}"));
            rig.disk.crash_at(at);
            true
        }
        14 => {
            plan_fault(source, rig);
            true
        }
        _ => change_the_world(source, rig, opened),
    }
}

fn plan_fault(source: &mut Source<'_>, rig: &Rig) {
    const CLASSES: [OpClass; 10] = [
        OpClass::Submit,
        OpClass::Write,
        OpClass::WriteAt,
        OpClass::Sync,
        OpClass::Allocate,
        OpClass::Create,
        OpClass::Open,
        OpClass::Rename,
        OpClass::Unlink,
        OpClass::DirSync,
    ];
    let choice = source.byte();
    let class = CLASSES[usize::from(choice) % CLASSES.len()];
    let nth = rig.disk.count(class) + 1 + u64::from(source.byte() % 8);
    // Only making room can find a disk full.
    let errno = if class == OpClass::Allocate && choice & 64 != 0 {
        ENOSPC
    } else {
        EIO
    };
    let fault = if choice & 128 == 0 {
        Fault::once(class, nth, errno)
    } else {
        Fault::for_good(class, nth, errno)
    };
    rig.tell(format_args!("will fail: {fault:?}"));
    rig.disk.fail(fault);
    rig.faulty.set(true);
}

/// What happens around a log, and what it must refuse.
fn change_the_world(source: &mut Source<'_>, rig: &Rig, opened: &mut Opened) -> bool {
    match source.byte() % 8 {
        0 => rig.disk.advance(Duration::from_millis(source.u16().into())),
        1 => rig.disk.jump_wall(source.u64() as i64 >> 8),
        2 => rig.disk.set_schedule(Schedule::Random),
        3 => rig.disk.set_schedule(Schedule::Eager),
        4 => rig.disk.set_schedule(Schedule::Lazy),
        5 => {
            let room = u64::from(source.byte()) << 16;
            rig.disk.set_capacity(Some(rig.disk.used() + room));
            rig.faulty.set(true);
        }
        6 => rig.disk.set_capacity(None),
        _ => {
            let len = opened.log.payload_bytes_max() + 1 + usize::from(source.byte());
            let refused = opened.log.try_claim(len).map(drop).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::TooLarge);
            let missing = Position::from_u64(u64::MAX);
            assert!(opened.log.reader(crate::From::Position(missing)).is_err());
        }
    }
    true
}
