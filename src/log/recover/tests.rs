//! The table of cases in `docs/format.md`: each has its test here, under the case's number.

use std::sync::Arc;

use super::build::{LOG, SegmentBuilder, full, header};
use super::memory::{BLOCK, MemoryDir, MemoryDisk};
use super::*;
use crate::disk::LockMode;
use crate::log::segment::SEGMENT_BYTES_MIN;

const FIRST: u64 = BLOCK as u64;

fn dir() -> Arc<MemoryDir> {
    MemoryDisk::new().1
}

fn link(position: Position) -> Link {
    Link {
        ordinal: position.segment(),
        end_bytes: position.offset_bytes(),
    }
}

/// The first segment of a log with three records, the last group not attested.
fn first() -> SegmentBuilder {
    let mut segment = SegmentBuilder::new(header(1, 1, Link::NONE));
    segment.record(b"one").checkpoint(Position::MIN).pad();
    let durable = segment.position();
    segment.record(b"two").batch(&[b"three", b"four"]);
    segment.checkpoint(durable).pad();
    segment
}

/// A successor made ahead.
fn next_of(segment: &SegmentBuilder) -> SegmentBuilder {
    let ordinal = segment.header.ordinal;
    let mut next = SegmentBuilder::new(header(ordinal + 1, segment.header.epoch, full(ordinal)));
    next.log_start = segment.log_start;
    next
}

fn put_all(dir: &MemoryDir, segments: &[&SegmentBuilder]) {
    for segment in segments {
        segment.put(dir);
    }
}

/// Recovers, twice: the same comes out, and no file was changed.
fn recovered(dir: &Arc<MemoryDir>) -> Recovered {
    let before: Vec<_> = dir.names().iter().map(|name| dir.bytes(name)).collect();
    let first = recover(&*dir.open()).unwrap();
    let second = recover(&*dir.open()).unwrap();
    let after: Vec<_> = dir.names().iter().map(|name| dir.bytes(name)).collect();
    assert!(before == after, "recovery changes nothing");
    assert_eq!(summary(&first), summary(&second));
    first
}

fn summary(recovered: &Recovered) -> String {
    let mut text = format!(
        "{:?} {:?} {:?} {:?}",
        recovered.tail, recovered.end, recovered.log_start, recovered.removable
    );
    for found in &recovered.segments {
        let what = (found.header.ordinal, found.end_bytes, found.records);
        text.push_str(&format!(" {what:?}"));
    }
    text
}

fn refused(dir: &Arc<MemoryDir>, kind: ErrorKind, name: &str) -> Error {
    let error = recover(&*dir.open()).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(
        error.path(),
        Some(dir.open().path().join(name).as_path()),
        "{error}"
    );
    let seen = observe(&*dir.open()).unwrap_err();
    assert_eq!(seen.kind(), kind, "an observer sees the same");
    error
}

fn ends_at(dir: &Arc<MemoryDir>, position: Position) -> Recovered {
    let recovered = recovered(dir);
    let previous = link(position);
    assert_eq!(recovered.tail, Tail::Commit { previous });
    assert_eq!(recovered.end, position);
    recovered
}

#[test]
fn case_01_an_empty_directory_is_a_fresh_log() {
    let dir = dir();
    dir.put(LOCK_NAME, Vec::new());
    dir.put("spare-00000000001.free", vec![1; 100]);
    dir.put("making-00000000002.tmp", vec![2; 100]);
    let recovered = recovered(&dir);
    assert_eq!(recovered.tail, Tail::Fresh);
    assert_eq!(recovered.spares, ["spare-00000000001.free"]);
    assert_eq!(recovered.removable, ["making-00000000002.tmp"]);
}

#[test]
fn case_02_a_directory_of_something_else_is_no_log() {
    let dir = dir();
    dir.put("notes.txt", b"mine".to_vec());
    let error = recover(&*dir.open()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotALog);
    // In a log's directory a stranger's file is nobody's business.
    first().put(&dir);
    assert!(recovered(&dir).removable.is_empty());
}

#[test]
fn case_03_an_interrupted_repair_comes_first() {
    let dir = dir();
    first().put(&dir);
    dir.put(REPAIR_NAME, Vec::new());
    let error = recover(&*dir.open()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.hint().unwrap().contains("repair"));
    observe(&*dir.open()).expect("readers are not concerned");
}

#[test]
fn case_04_an_empty_segment_gives_its_place_to_the_next() {
    let dir = dir();
    let segment = SegmentBuilder::new(header(1, 1, Link::NONE));
    segment.put(&dir);
    let recovered = ends_at(&dir, Position::MIN);
    assert_eq!(recovered.removable, [segment.name()]);
    assert_eq!((recovered.epoch_max, recovered.ordinal_max), (1, 1));
    assert_eq!(recovered.log_id, LOG);
}

#[test]
fn case_05_an_unclean_tail_ends_behind_its_last_sound_frame() {
    let dir = dir();
    let segment = first();
    segment.put(&dir);
    let recovered = ends_at(&dir, segment.position());
    assert_eq!(recovered.records_total, 4);
    let found = &recovered.segments[0];
    assert_eq!((found.records, found.sealed), (4, false));
    assert_eq!(found.payload_bytes, segment.footer().payload_bytes);
    assert_eq!(
        found.times.newest_unix_ns(),
        Some(recovered.time_last_unix_ns)
    );
    assert_eq!(dir.syncs(&segment.name()), 2, "synced before each reading");
}

#[test]
fn case_06_a_clean_close_is_resumed_in_place() {
    let dir = dir();
    let mut segment = first();
    segment.record(b"five").close();
    segment.put(&dir);
    let resume = Tail::Resume {
        at: segment.position(),
    };
    assert_eq!(recovered(&dir).tail, resume);
    // The same behind which an older life of the file shows through.
    let old = vec![0xc3; 9000];
    let at = segment.at as usize;
    segment.bytes[at..at + old.len()].copy_from_slice(&old);
    segment.put(&dir);
    assert_eq!(recovered(&dir).tail, resume);
    // And with segments made ahead, which go.
    let next = next_of(&segment);
    next.put(&dir);
    let recovered = recovered(&dir);
    assert_eq!(recovered.tail, resume);
    assert_eq!(recovered.removable, [next.name()]);
    assert_eq!(recovered.ordinal_max, 2);
}

#[test]
fn case_07_what_follows_a_clean_close_ends_it() {
    let dir = dir();
    // The mark of a reopening, with nothing behind.
    let mut segment = first();
    segment.close();
    let durable = segment.position();
    segment.checkpoint(durable).pad();
    segment.put(&dir);
    ends_at(&dir, segment.position());
    // A clean checkpoint without its padding: its block was torn.
    let mut segment = first();
    segment.close();
    let at = segment.at as usize;
    let from = at - FIRST as usize + frame_bytes();
    segment.bytes[from..at].fill(0);
    segment.put(&dir);
    ends_at(&dir, Position::new(1, from as u64));
}

fn frame_bytes() -> usize {
    crate::log::frame::CHECKPOINT_BYTES
}

#[test]
fn case_08_a_torn_tail_is_cut() {
    let dir = dir();
    let mut segment = first();
    let cut = segment.position();
    segment.record(&[1; 9000]);
    // Of the same group, so that its witness knows nothing of the torn frame.
    segment.record(b"behind").checkpoint(cut).pad();
    segment.spoil(cut).put(&dir);
    ends_at(&dir, cut);
}

#[test]
fn case_09_a_bad_frame_before_a_watermark_is_damage() {
    let dir = dir();
    let mut segment = first();
    let bad = segment.position();
    segment.record(&[1; 9000]).pad();
    let durable = segment.position();
    segment.checkpoint(durable).pad();
    segment.spoil(bad).put(&dir);
    let error = refused(&dir, ErrorKind::Damaged, &segment.name());
    assert_eq!(error.position(), Some(bad));
    // The same where the damage looks like an end.
    let mut zeroed = segment.clone();
    let at = bad.offset_bytes() as usize;
    zeroed.bytes[at..at + 4096].fill(0);
    zeroed.put(&dir);
    assert_eq!(
        refused(&dir, ErrorKind::Damaged, &segment.name()).position(),
        Some(bad)
    );
}

#[test]
fn case_10_a_witness_may_be_in_a_later_segment() {
    let dir = dir();
    let mut segment = first();
    let bad = segment.position();
    segment.fill().spoil(bad);
    // No witness in the segment itself: only its first frames are left.
    let from = bad.offset_bytes() as usize;
    segment.bytes[from..].fill(0x11);
    let mut next = next_of(&segment);
    next.record(b"next")
        .checkpoint(Position::new(2, FIRST))
        .pad();
    put_all(&dir, &[&segment, &next]);
    let error = refused(&dir, ErrorKind::Damaged, &segment.name());
    assert_eq!(error.position(), Some(bad));
}

#[test]
fn case_11_a_tear_may_span_segments() {
    let dir = dir();
    let mut segment = first();
    let cut = segment.position();
    segment.fill();
    let from = cut.offset_bytes() as usize;
    segment.bytes[from..].fill(0);
    let mut next = next_of(&segment);
    next.record(b"next").checkpoint(cut).pad();
    let third = next_of(&next);
    put_all(&dir, &[&segment, &next, &third]);
    let recovered = ends_at(&dir, cut);
    assert_eq!(recovered.removable, [next.name(), third.name()]);
    assert_eq!(recovered.ordinal_max, 3);
}

#[test]
fn case_12_a_later_footer_is_a_witness() {
    let dir = dir();
    let mut segment = first();
    let bad = segment.position();
    let from = bad.offset_bytes() as usize;
    segment.bytes[from..].fill(0);
    let mut next = next_of(&segment);
    next.record(b"next").pad_to(full(2).end_bytes).seal();
    put_all(&dir, &[&segment, &next]);
    let error = refused(&dir, ErrorKind::Damaged, &segment.name());
    assert_eq!(error.position(), Some(bad));
}

#[test]
fn case_13_a_full_segment_needs_no_footer() {
    let dir = dir();
    let mut segment = first();
    segment.fill();
    let mut next = next_of(&segment);
    next.record(b"next").pad();
    put_all(&dir, &[&segment, &next]);
    let recovered = ends_at(&dir, next.position());
    assert_eq!(recovered.segments.len(), 2);
    assert!(!recovered.segments[0].sealed);
    // Even if the footer of the next one was damaged after both were sealed.
    next.pad_to(full(2).end_bytes).seal();
    next.put(&dir);
    ends_at(&dir, next.position());
}

#[test]
fn case_14_a_sealed_segment_is_trusted_and_not_read() {
    let dir = dir();
    let mut segment = first();
    let spoiled = segment.position();
    segment.fill().seal().spoil(spoiled);
    let mut next = next_of(&segment);
    next.records_before(segment.records());
    next.record(b"next").pad();
    put_all(&dir, &[&segment, &next]);
    let recovered = ends_at(&dir, next.position());
    assert!(recovered.segments[0].sealed);
    assert_eq!(recovered.records_total, segment.records() + 1);
    assert_eq!(dir.syncs(&segment.name()), 0);
    // Its header is not even looked at.
    let mut headless = segment.clone();
    headless.bytes[..BLOCK as usize].fill(0);
    headless.put(&dir);
    ends_at(&dir, next.position());
}

#[test]
fn case_15_a_log_may_end_with_its_last_segment() {
    let dir = dir();
    let mut segment = first();
    segment.fill().seal();
    segment.put(&dir);
    ends_at(&dir, full(1).position());
    let next = next_of(&segment);
    next.put(&dir);
    let recovered = ends_at(&dir, full(1).position());
    assert_eq!(recovered.removable, [next.name()]);
}

#[test]
fn case_16_a_commit_point_ends_its_predecessor() {
    let dir = dir();
    let mut segment = first();
    let cut = segment.position();
    // A lost timeline, attested and all, and its made-ahead segment.
    segment.record(b"lost").pad();
    segment.checkpoint(segment.position()).pad();
    let mut ghost = next_of(&segment);
    ghost
        .record(b"lost")
        .checkpoint(Position::new(2, FIRST))
        .pad();
    let mut commit = SegmentBuilder::new(header(3, 2, link(cut)));
    put_all(&dir, &[&segment, &ghost, &commit]);
    // Empty, it is replaced by the next opening's commit point.
    let recovered = ends_at(&dir, cut);
    assert_eq!(recovered.removable, [ghost.name(), commit.name()]);
    assert_eq!((recovered.epoch_max, recovered.ordinal_max), (2, 3));
    commit.record(b"new").pad();
    commit.put(&dir);
    let recovered = ends_at(&dir, commit.position());
    assert_eq!(recovered.removable, [ghost.name()]);
    assert_eq!(recovered.segments[0].end(), cut);
    assert_eq!(recovered.records_total, 5);
    // A ghost may be as broken as it likes.
    dir.put(&ghost.name(), vec![0; 17]);
    ends_at(&dir, commit.position());
}

#[test]
fn case_17_a_bad_frame_before_a_commit_point_is_damage() {
    let dir = dir();
    let mut segment = first();
    let bad = segment.position();
    segment.record(b"last").pad();
    let commit = SegmentBuilder::new(header(2, 2, link(segment.position())));
    segment.spoil(bad);
    put_all(&dir, &[&segment, &commit]);
    let error = refused(&dir, ErrorKind::Damaged, &segment.name());
    assert_eq!(error.position(), Some(bad));
    // A commit point further on says the same of a segment before it.
    let mut segment = first();
    let bad = segment.position();
    segment.fill();
    segment.bytes[bad.offset_bytes() as usize..].fill(0);
    let mut next = next_of(&segment);
    next.record(b"next").pad();
    let commit = SegmentBuilder::new(header(3, 2, link(next.position())));
    put_all(&dir, &[&segment, &next, &commit]);
    let error = refused(&dir, ErrorKind::Damaged, &segment.name());
    assert_eq!(error.position(), Some(bad));
    // And a link into the middle of a frame is no place for an end.
    let dir = self::dir();
    let segment = first();
    let amid = Position::new(1, FIRST + 8);
    let commit = SegmentBuilder::new(header(2, 2, link(amid)));
    put_all(&dir, &[&segment, &commit]);
    refused(&dir, ErrorKind::Damaged, &segment.name());
}

#[test]
fn case_18_a_truncation_may_cut_into_a_sealed_segment() {
    let dir = dir();
    let mut segment = first();
    let cut = segment.position();
    segment.fill().seal();
    let mut commit = SegmentBuilder::new(header(4, 2, link(cut)));
    commit.record(b"new").pad();
    put_all(&dir, &[&segment, &commit]);
    let recovered = ends_at(&dir, commit.position());
    let found = &recovered.segments[0];
    assert_eq!((found.end(), found.records, found.sealed), (cut, 4, false));
    assert!(
        found
            .times
            .entries()
            .iter()
            .all(|entry| entry.position < cut)
    );
    assert_eq!(recovered.records_total, 5);
}

#[test]
fn case_19_a_footer_that_contradicts_the_chain_is_damage() {
    let dir = dir();
    let mut segment = first();
    segment.seal();
    let mut next = next_of(&segment);
    next.record(b"next").pad();
    put_all(&dir, &[&segment, &next]);
    let error = refused(&dir, ErrorKind::Damaged, &segment.name());
    assert_eq!(error.position(), Some(segment.position()));
}

#[test]
fn case_20_a_missing_segment_is_damage_unless_it_was_trimmed() {
    let dir = dir();
    let mut segment = first();
    segment.fill().seal();
    let mut next = next_of(&segment);
    next.record(b"next").pad();
    next.put(&dir);
    refused(&dir, ErrorKind::Damaged, &segment.name());
    // A checkpoint says that the log begins behind it.
    let mut trimmed = next.clone();
    trimmed.log_start = Position::new(2, FIRST);
    trimmed.checkpoint(Position::MIN).pad();
    trimmed.put(&dir);
    let recovered = ends_at(&dir, trimmed.position());
    assert_eq!(recovered.log_start, Position::new(2, FIRST));
    // Should it be there after all, it goes.
    segment.put(&dir);
    let recovered = ends_at(&dir, trimmed.position());
    assert_eq!(recovered.removable, [segment.name()]);
    // The log's start within it keeps it.
    let mut trimmed = next.clone();
    trimmed.log_start = Position::new(1, FIRST + 24);
    trimmed.checkpoint(Position::MIN).pad();
    trimmed.put(&dir);
    let recovered = ends_at(&dir, trimmed.position());
    assert_eq!(recovered.segments.len(), 2);
}

#[test]
fn case_21_a_trim_counts_though_its_checkpoint_was_cut_off() {
    let dir = dir();
    let mut next = SegmentBuilder::new(header(2, 1, full(1)));
    next.record(b"next").pad();
    let cut = next.position();
    next.record(b"torn").pad();
    next.log_start = Position::new(2, FIRST);
    next.checkpoint(cut).pad();
    next.spoil(cut).put(&dir);
    let recovered = ends_at(&dir, cut);
    assert_eq!(recovered.log_start, Position::new(2, FIRST));
}

#[test]
fn case_22_a_log_may_be_trimmed_to_nothing() {
    let dir = dir();
    let mut segment = SegmentBuilder::new(header(7, 3, full(6)));
    segment.record(b"gone").pad();
    segment.log_start = segment.position();
    segment.checkpoint(segment.position()).pad();
    segment.put(&dir);
    let recovered = recovered(&dir);
    assert_eq!(recovered.log_start, segment.log_start);
    assert_eq!(
        recovered.segments.len(),
        1,
        "its checkpoint lies behind the start"
    );
    // The commit point that follows carries the start on, and the next as well.
    let start = segment.position();
    let mut commit = header(8, 4, link(start));
    commit.log_start = start;
    dir.edit(&segment.name(), Vec::clear);
    SegmentBuilder::new(commit).put(&dir);
    let recovered = self::recovered(&dir);
    assert_eq!(
        recovered.tail,
        Tail::Commit {
            previous: link(start)
        }
    );
    assert_eq!(recovered.log_start, start);
    assert_eq!(recovered.ordinal_max, 8);
    assert!(recovered.segments.is_empty());
}

#[test]
fn case_23_a_file_that_is_no_segment_of_the_chain_is_damage() {
    let mut segment = first();
    segment.fill();
    let mut next = next_of(&segment);
    next.record(b"next").pad();
    type Spoil = fn(&MemoryDir, &str);
    let spoils: [(ErrorKind, Spoil); 6] = [
        (ErrorKind::Damaged, |dir, name| {
            dir.edit(name, |b| b.truncate(5000))
        }),
        (ErrorKind::Damaged, |dir, name| dir.edit(name, Vec::clear)),
        (ErrorKind::Damaged, |dir, name| {
            dir.edit(name, |b| b.fill(0))
        }),
        (ErrorKind::Damaged, |dir, name| {
            dir.edit(name, |b| b[60] ^= 1)
        }),
        (ErrorKind::Symlink, |dir, name| {
            dir.put_as(name, Vec::new(), PathKind::Symlink)
        }),
        (ErrorKind::Damaged, |dir, name| {
            dir.put_as(name, Vec::new(), PathKind::Directory)
        }),
    ];
    for (kind, spoil) in spoils {
        for name in [segment.name(), next.name()] {
            let dir = dir();
            put_all(&dir, &[&segment, &next]);
            spoil(&dir, &name);
            refused(&dir, kind, &name);
        }
    }
    let dir = dir();
    dir.put(&segment.name(), next.bytes.clone());
    dir.put(&next.name(), segment.bytes.clone());
    refused(&dir, ErrorKind::Damaged, &next.name());
}

#[test]
fn case_24_a_segment_of_another_log_is_told_wherever_it_lies() {
    let mut segment = first();
    segment.fill();
    let mut next = next_of(&segment);
    next.record(b"next").pad();
    for (ordinal, previous) in [(2, full(1)), (9, full(8)), (9, Link::NONE)] {
        let dir = dir();
        put_all(&dir, &[&segment, &next]);
        let mut foreign = header(ordinal, 1, previous);
        foreign.log_id = *b"some other log's";
        if ordinal == 2 {
            let third = next_of(&next);
            third.put(&dir);
        }
        let foreign = SegmentBuilder::new(foreign);
        foreign.put(&dir);
        let error = recover(&*dir.open()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains("log"), "{error}");
    }
}

#[test]
fn case_25_a_newer_format_is_no_damage() {
    for (at, kind) in [(8, ErrorKind::Version), (24, ErrorKind::UnknownFeature)] {
        let dir = dir();
        let mut segment = first();
        segment.bytes[at] = 0x80;
        let crc = crc32c::crc32c(&segment.bytes[..124]);
        segment.bytes[124..128].copy_from_slice(&crc.to_le_bytes());
        segment.put(&dir);
        refused(&dir, kind, &segment.name());
    }
}

#[test]
fn case_26_a_failing_disk_is_no_damage() {
    let dir = dir();
    let segment = first();
    segment.put(&dir);
    dir.fail_sync(&segment.name());
    let error = recover(&*dir.open()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    observe(&*dir.open()).expect("an observer syncs nothing");
    dir.fail_read(&segment.name());
    refused(&dir, ErrorKind::Io, &segment.name());
}

#[test]
fn case_27_a_payload_that_looks_like_a_witness_is_none() {
    let dir = dir();
    let mut segment = first();
    // A record of a whole copy of the log, in which a checkpoint saw it all.
    let mut copied = first();
    copied.checkpoint(Position::new(9, FIRST)).pad();
    let cut = segment.position();
    segment.record(b"torn");
    segment.record(&copied.bytes[..64 * 1024]).pad();
    segment.spoil(cut).put(&dir);
    ends_at(&dir, cut);
}

#[test]
fn case_28_a_frame_may_fill_the_segment() {
    let dir = dir();
    let mut segment = SegmentBuilder::new(header(1, 1, Link::NONE));
    let room = full(1).end_bytes - FIRST - 16;
    segment.record(&vec![7; room as usize]);
    assert_eq!(segment.at, full(1).end_bytes);
    let mut next = next_of(&segment);
    next.record(b"").pad();
    put_all(&dir, &[&segment, &next]);
    let recovered = ends_at(&dir, next.position());
    assert_eq!(recovered.records_total, 2);
    // A length that reaches beyond the segment is none.
    segment.bytes[FIRST as usize..FIRST as usize + 4].copy_from_slice(
        &crate::log::frame::commit_frame(SEGMENT_BYTES_MIN as usize).to_le_bytes(),
    );
    segment.put(&dir);
    let recovered = self::recovered(&dir);
    assert_eq!(
        recovered.tail,
        Tail::Commit {
            previous: Link::NONE
        }
    );
}

#[test]
fn observed_beyond_the_watermark_nothing_is_known() {
    let dir = dir();
    let segment = first();
    segment.put(&dir);
    let seen = observe(&*dir.open()).unwrap();
    assert_eq!(seen.end, segment.position());
    assert_eq!(seen.attested, Position::new(1, 2 * FIRST));
    assert_eq!(dir.syncs(&segment.name()), 0);
}

/// The writer writes on between the observer's reading of a place and of what attests it: no
/// damage.
#[test]
fn observed_while_the_tail_moves_there_is_no_false_alarm() {
    let dir = dir();
    let before = first();
    let mut after = before.clone();
    after.record(b"meanwhile").pad();
    after.checkpoint(after.position()).pad();
    before.put(&dir);
    let bytes = after.bytes.clone();
    let mut reads = 0;
    dir.on_read(move |dir, name, _| {
        reads += 1;
        // After the header, the footer and the frames were read once.
        if reads == 3 {
            dir.edit(name, |old| old.copy_from_slice(&bytes));
        }
    });
    let seen = observe(&*dir.open()).unwrap();
    assert_eq!(seen.end, after.position());
}

#[test]
fn observed_while_it_is_trimmed_the_log_is_looked_at_again() {
    let dir = dir();
    let mut segment = first();
    segment.fill().seal();
    let mut next = next_of(&segment);
    next.record(b"next").pad();
    put_all(&dir, &[&segment, &next]);
    let mut trimmed = next.clone();
    trimmed.log_start = Position::new(2, FIRST);
    trimmed.checkpoint(Position::MIN).pad();
    let gone = segment.name();
    let mut reads = 0;
    dir.on_read(move |dir, name, _| {
        reads += 1;
        if reads == 1 {
            dir.edit(name, |old| old.copy_from_slice(&trimmed.bytes));
            dir.forget(&gone);
        }
    });
    let seen = observe(&*dir.open()).unwrap();
    assert_eq!(seen.log_start, Position::new(2, FIRST));
    assert_eq!(seen.segments.len(), 1);
}

/// Nobody recycles what is being read; and a log of a thousand segments is looked at with one file
/// open at a time, so none of them stays locked.
#[test]
fn observed_segments_cannot_be_recycled_while_they_are_read() {
    let dir = dir();
    let mut segment = first();
    segment.fill().seal();
    let next = next_of(&segment);
    put_all(&dir, &[&segment, &next]);
    let open = |name: &str| dir.open().open(name, crate::disk::OpenMode::Write).unwrap();
    let others = [&segment, &next].map(|at| (at.name(), open(&at.name())));
    let (told, lockable) = std::sync::mpsc::channel();
    let recycler = others.clone();
    dir.on_read(move |_, name, _| {
        for (other, file) in &recycler {
            let alone = file.try_lock(LockMode::Exclusive).unwrap();
            if alone {
                file.unlock().unwrap();
            }
            told.send((other == name, alone)).unwrap();
        }
    });
    observe(&*dir.open()).unwrap();
    let tries: Vec<(bool, bool)> = lockable.try_iter().collect();
    assert!(
        tries.len() >= 2 * 4,
        "two headers, a footer, a scan: {tries:?}"
    );
    for (is_read, alone) in tries {
        assert_ne!(is_read, alone);
    }
    for (name, file) in &others {
        assert!(file.try_lock(LockMode::Exclusive).unwrap(), "{name}");
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// A log of one segment from the choices of proptest, and where each frame begins; the last
    /// entry is its end. With the watermarks that were attested.
    fn build(choices: &[(u8, u16)]) -> (SegmentBuilder, Vec<Position>) {
        let mut segment = SegmentBuilder::new(header(1, 1, Link::NONE));
        let mut begins = vec![segment.position()];
        for (choice, len) in choices {
            match choice % 5 {
                0 | 1 => segment.record(&vec![*choice; *len as usize]),
                2 => segment.batch(&[&vec![*choice; *len as usize], b"", b"third"]),
                3 => segment.checkpoint(segment.position()),
                _ => segment.pad(),
            };
            if *begins.last().unwrap() < segment.position() {
                begins.push(segment.position());
            }
        }
        (segment, begins)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// One flipped bit: either it is where nothing looks, or the log is refused, or it ends at
        /// the frame that has it, and then nothing attested lay beyond.
        #[test]
        fn a_flipped_bit_never_loses_what_was_attested(
            choices in prop::collection::vec((any::<u8>(), 0u16..6000), 1..40),
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let (mut segment, begins) = build(&choices);
            let dir = dir();
            segment.put(&dir);
            let whole = recovered(&dir);
            prop_assert_eq!(whole.end, if begins.len() > 1 { segment.position() } else { Position::MIN });
            let spoiled = FIRST as usize + at.index((segment.at - FIRST) as usize + 1);
            segment.bytes[spoiled] ^= 1 << bit;
            segment.put(&dir);
            match recover(&*dir.open()) {
                Ok(cut) if cut.end == whole.end => {}
                Ok(cut) => {
                    let place = Position::new(1, (spoiled & !7) as u64);
                    let begin = begins.iter().rev().find(|begin| **begin <= place).unwrap();
                    prop_assert!(cut.end == *begin || *begin == begins[0]);
                    prop_assert!(cut.end >= whole.attested || whole.attested == begins[0]);
                }
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Damaged),
            }
        }

        /// What was not written, from any place on: the log ends at the last whole frame.
        #[test]
        fn a_tail_that_was_not_written_is_cut_at_a_frame(
            choices in prop::collection::vec((any::<u8>(), 0u16..6000), 1..40),
            at in any::<prop::sample::Index>(),
        ) {
            let (mut segment, begins) = build(&choices);
            let from = FIRST as usize + at.index((segment.at - FIRST) as usize + 1);
            segment.bytes[from..].fill(0);
            let dir = dir();
            segment.put(&dir);
            let end = recovered(&dir).end;
            prop_assert!(end == Position::MIN || begins.contains(&end));
        }

        /// Garbage where frames should be is never taken for them, nor does it stop a recovery.
        #[test]
        fn garbage_is_never_taken_for_frames(garbage in prop::collection::vec(any::<u8>(), 1..20_000)) {
            let mut segment = first();
            let end = segment.position();
            let at = segment.at as usize;
            segment.bytes[at..at + garbage.len()].copy_from_slice(&garbage);
            let dir = dir();
            segment.put(&dir);
            prop_assert_eq!(recovered(&dir).end, end);
        }
    }
}
