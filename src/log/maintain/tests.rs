use super::*;
use crate::log::maintain::repair::plan_with;
use crate::log::position::Position;
use crate::log::recover::build::{LOG, SegmentBuilder, full, header};
use crate::log::recover::memory::{BLOCK, MemoryDir, MemoryDisk};
use crate::log::recover::{LOCK_NAME, REPAIR_NAME, recover};
use crate::log::segment::Link;

const FIRST: u64 = BLOCK as u64;

/// A log of three sealed segments, a tail, and one made ahead.
struct Sample {
    memory: Arc<MemoryDisk>,
    dir: Arc<MemoryDir>,
    segments: Vec<SegmentBuilder>,
}

impl Sample {
    fn new() -> Self {
        let (memory, dir) = MemoryDisk::new();
        let mut segments: Vec<SegmentBuilder> = Vec::new();
        let mut records = 0;
        for ordinal in 1..=5 {
            let previous = if ordinal == 1 {
                Link::NONE
            } else {
                full(ordinal - 1)
            };
            let mut segment = SegmentBuilder::new(header(ordinal, 1, previous));
            segment.records_before(records);
            match ordinal {
                1..=3 => {
                    segment.fill().seal();
                }
                4 => {
                    segment.record(b"tail").pad();
                    segment.checkpoint(segment.position()).pad();
                }
                _ => {}
            }
            records += segment.records();
            segment.put(&dir);
            segments.push(segment);
        }
        Self {
            memory,
            dir,
            segments,
        }
    }

    fn disk(&self) -> Arc<dyn Disk> {
        self.memory.clone()
    }

    fn name(&self, ordinal: u64) -> String {
        self.segments[ordinal as usize - 1].name()
    }

    fn verify(&self) -> Verification {
        verify_with(&self.disk(), Path::new("/log"), &mut |_| {}).unwrap()
    }

    fn spoil(&self, at: Position) {
        let offset = at.offset_bytes() as usize + 5;
        self.dir
            .edit(&self.name(at.segment()), |bytes| bytes[offset] ^= 4);
    }

    /// Repairs, and says where the log ends then, having checked that it is one.
    fn repair(&self) -> Position {
        let plan = plan_with(&self.disk(), Path::new("/log")).unwrap();
        let end = plan.end();
        let repaired = plan.apply().unwrap();
        assert_eq!(repaired.end, end);
        self.assert_sound(end);
        end
    }

    fn assert_sound(&self, end: Position) {
        let recovered = recover(&*self.dir.open()).unwrap();
        assert_eq!(recovered.end, end);
        let verification = self.verify();
        assert!(verification.is_sound(), "{:?}", verification.damages);
        let again = plan_with(&self.disk(), Path::new("/log")).unwrap();
        assert!(again.is_empty(), "{:?}", again.steps());
    }

    fn quarantined(&self) -> Vec<String> {
        self.memory
            .dir("/log/quarantine")
            .map_or(Vec::new(), |dir| dir.names())
    }
}

#[test]
fn a_sound_log_is_told_as_it_is() {
    let sample = Sample::new();
    let _writer = sample.dir.open().lock(LOCK_NAME).unwrap().unwrap();
    let inspection = inspect_with(&sample.disk(), Path::new("/log")).unwrap();
    assert!(inspection.writer && inspection.damage.is_none());
    assert_eq!(inspection.log_id, LOG);
    assert_eq!(inspection.start, Position::new(1, FIRST));
    assert_eq!(inspection.end, sample.segments[3].position());
    let states: Vec<_> = inspection
        .segments
        .iter()
        .map(|s| s.state.clone())
        .collect();
    use SegmentState::{Sealed, Unsealed, Unused};
    assert_eq!(states, [Sealed, Sealed, Sealed, Unsealed, Unused]);
    assert_eq!(inspection.segments[1].records, sample.segments[1].records());
    assert!(inspection.segments[1].last_time > inspection.segments[1].first_time);
    let verification = sample.verify();
    assert!(verification.is_sound());
    assert_eq!(verification.segments, 4);
    let records: u64 = sample.segments.iter().map(SegmentBuilder::records).sum();
    assert_eq!(verification.records, records);
    assert_eq!(inspection.records_total, records);
    let error = plan_with(&sample.disk(), Path::new("/log")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
}

#[test]
fn a_log_without_damage_needs_no_repair() {
    let sample = Sample::new();
    let plan = plan_with(&sample.disk(), Path::new("/log")).unwrap();
    assert!(plan.is_empty() && plan.damages().is_empty());
}

#[test]
fn nothing_and_something_else_are_no_logs() {
    let sample = Sample::new();
    let (disk, _) = (sample.disk(), ());
    disk.create_dir(Path::new("/empty")).unwrap();
    for path in ["/nowhere", "/empty"] {
        let path = Path::new(path);
        let kinds = [
            inspect_with(&disk, path).unwrap_err().kind(),
            verify_with(&disk, path, &mut |_| {}).unwrap_err().kind(),
            plan_with(&disk, path).unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::NotALog; 3]);
    }
}

#[test]
fn damage_in_a_sealed_segment_is_found_and_cut_off() {
    let sample = Sample::new();
    let bad = Position::new(2, FIRST);
    sample.spoil(bad);
    let verification = sample.verify();
    assert_eq!(verification.damages.len(), 1);
    assert_eq!(verification.damages[0].position, Some(bad));
    // Nothing is left of the second segment, so the log ends with the first.
    assert_eq!(sample.repair(), full(1).position());
    let names: Vec<_> = (2..=5).map(|ordinal| sample.name(ordinal)).collect();
    assert_eq!(sample.quarantined(), names);
    let kept = sample.memory.dir("/log/quarantine").unwrap();
    assert_eq!(kept.bytes(&sample.name(3)), sample.segments[2].bytes);
}

#[test]
fn a_part_of_a_damaged_segment_is_kept() {
    let sample = Sample::new();
    let second = Position::new(2, FIRST + 9016);
    sample.spoil(Position::new(3, FIRST));
    sample.spoil(second);
    let verification = sample.verify();
    assert_eq!(verification.damages.len(), 2);
    assert_eq!(sample.repair(), second);
    let recovered = recover(&*sample.dir.open()).unwrap();
    assert!(recovered.ordinal_max > 5, "no position names two records");
    assert_eq!(recovered.segments.len(), 2);
}

#[test]
fn damage_before_a_watermark_is_cut_off() {
    let sample = Sample::new();
    let bad = Position::new(4, FIRST);
    sample.spoil(bad);
    assert_eq!(
        recover(&*sample.dir.open()).unwrap_err().kind(),
        ErrorKind::Damaged
    );
    let inspection = inspect_with(&sample.disk(), Path::new("/log")).unwrap();
    assert!(inspection.damage.is_some());
    assert_eq!(sample.verify().damages.len(), 1);
    assert_eq!(sample.repair(), full(3).position());
}

#[test]
fn headers_and_footers_are_written_again() {
    let sample = Sample::new();
    sample
        .dir
        .edit(&sample.name(2), |bytes| bytes[..FIRST as usize].fill(0));
    let footer = full(1).end_bytes as usize;
    sample
        .dir
        .edit(&sample.name(1), |bytes| bytes[footer..].fill(9));
    assert_eq!(sample.verify().damages.len(), 2);
    assert_eq!(sample.repair(), sample.segments[3].position());
    assert_eq!(sample.quarantined(), [sample.name(1), sample.name(2)]);
    let footer = &sample.segments[0].bytes[footer..];
    assert_eq!(&sample.dir.bytes(&sample.name(1))[footer_at()..], footer);
}

fn footer_at() -> usize {
    full(1).end_bytes as usize
}

/// No file is open for longer than it is read, so that a segment may go while another one is
/// verified: trimmed, which is no damage, or lost, which is.
#[test]
fn a_segment_that_goes_while_the_log_is_verified_is_trimmed_or_lost() {
    for trimmed in [true, false] {
        let sample = Sample::new();
        let (first, lost) = (sample.name(1), sample.name(2));
        let (tail, mut bytes) = (sample.name(4), sample.segments[3].clone());
        bytes.log_start = Position::new(3, FIRST);
        bytes.checkpoint(Position::MIN).pad();
        let mut met = false;
        sample.dir.on_read(move |dir, name, offset| {
            // What is sealed is scanned by the verification alone.
            if !met && name == first && offset == FIRST {
                met = true;
                if trimmed {
                    dir.edit(&tail, |old| old.copy_from_slice(&bytes.bytes));
                    dir.forget(&first);
                }
                dir.forget(&lost);
            }
        });
        let verification = sample.verify();
        let damaged: Vec<_> = verification.damages.iter().map(|at| &at.path).collect();
        if trimmed {
            assert!(damaged.is_empty(), "{damaged:?}");
        } else {
            assert_eq!(damaged, [&Path::new("/log").join(sample.name(2))]);
        }
        assert_eq!(verification.segments, 3, "the others were read");
        assert!(!sample.dir.names().contains(&sample.name(2)));
    }
}

#[test]
fn what_follows_a_lost_segment_goes_and_what_precedes_stays() {
    let sample = Sample::new();
    sample.dir.forget(&sample.name(3));
    assert_eq!(sample.verify().damages.len(), 1);
    assert_eq!(sample.repair(), full(2).position());
}

#[test]
fn behind_a_lost_beginning_the_log_goes_on() {
    let sample = Sample::new();
    sample.dir.forget(&sample.name(1));
    assert_eq!(sample.repair(), sample.segments[3].position());
    let recovered = recover(&*sample.dir.open()).unwrap();
    assert_eq!(recovered.log_start, Position::new(2, FIRST));
    assert_eq!(recovered.segments.len(), 3);
}

#[test]
fn where_nothing_is_left_the_log_begins_anew() {
    let sample = Sample::new();
    for ordinal in 1..=5 {
        sample.dir.edit(&sample.name(ordinal), |bytes| {
            bytes[..FIRST as usize].fill(0);
            bytes[footer_at()..].fill(0);
        });
    }
    let end = sample.repair();
    assert_eq!(end, Position::MIN);
    assert_eq!(sample.quarantined().len(), 5);
    assert_eq!(recover(&*sample.dir.open()).unwrap().ordinal_max, 6);
}

/// A crash behind each step, and a repair of what is left.
#[test]
fn an_interrupted_repair_goes_on() {
    for steps in 0..12 {
        let sample = Sample::new();
        let bad = Position::new(2, FIRST + 9016);
        sample.spoil(bad);
        sample.dir.edit(&sample.name(1), |bytes| bytes[7] = 9);
        let plan = plan_with(&sample.disk(), Path::new("/log")).unwrap();
        let count = plan.steps().len();
        assert!((8..12).contains(&count), "{:?}", plan.steps());
        plan.apply_some(steps).unwrap();
        let names = sample.dir.names();
        if names.iter().any(|name| name == REPAIR_NAME) {
            assert!(recover(&*sample.dir.open()).is_err(), "half repaired");
        }
        let end = plan_with(&sample.disk(), Path::new("/log")).unwrap().end();
        assert_eq!(end, bad);
        sample.repair();
        for ordinal in 3..=5 {
            assert!(sample.quarantined().contains(&sample.name(ordinal)));
        }
    }
}
