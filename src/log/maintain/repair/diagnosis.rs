//! What is wrong with a log, what is left of it, and the steps from one to the other.

use std::collections::BTreeSet;

use crate::disk::{Dir, Disk, PathKind};
use crate::error::Result;
use crate::log::maintain::repair::Step;
use crate::log::maintain::verify::{Checker, Damage, Mend};
use crate::log::position::Position;
use crate::log::recover::{
    self, Concession, Flaw, Found, Listing, Mode, Recovered, Tail, Window, open_segment,
    read_footer, read_member,
};
use crate::log::segment::{self, Footer, Header, Link};

/// What is wrong, and what is left.
pub(super) struct Diagnosis {
    pub(super) damages: Vec<Damage>,
    /// Headers and footers to write again.
    headers: Vec<Header>,
    footers: Vec<(Header, Footer)>,
    /// Segments that were cut into.
    cut: BTreeSet<u64>,
    /// Whether records are lost.
    lossy: bool,
    /// Nothing if nothing is left.
    left: Option<Recovered>,
}

impl Diagnosis {
    /// Gives up, again and again, what cannot be kept, until what is left is sound.
    pub(super) fn of(dir: &dyn Dir, listing: &Listing) -> Result<Self> {
        let mut diagnosis = Self {
            damages: Vec::new(),
            headers: Vec::new(),
            footers: Vec::new(),
            cut: BTreeSet::new(),
            lossy: false,
            left: None,
        };
        let mut view = listing.clone();
        let mut concession = Concession::NOTHING;
        while !view.segments.is_empty() {
            let failure = match recover::attempt(dir, &view, Mode::Write, &concession) {
                Ok(recovered) => match diagnosis.check(dir, &recovered)? {
                    None => {
                        diagnosis.left = Some(recovered);
                        break;
                    }
                    Some(at) => {
                        diagnosis.cut_at(at, &mut view, &mut concession);
                        continue;
                    }
                },
                Err(failure) => failure,
            };
            concession.log_start = concession.log_start.max(failure.log_start);
            match failure.flaw {
                Flaw::Other => return Err(failure.error),
                Flaw::Frame { at } => {
                    diagnosis.damages.push(Damage::of(&failure.error, dir));
                    diagnosis.cut_at(at, &mut view, &mut concession);
                }
                Flaw::Segment { ordinal } => {
                    diagnosis.damages.push(Damage::of(&failure.error, dir));
                    diagnosis.lossy = true;
                    drop_segment(dir, ordinal, &mut view, &mut concession);
                }
            }
        }
        Ok(diagnosis)
    }

    fn cut_at(&mut self, at: Position, view: &mut Listing, concession: &mut Concession) {
        self.lossy = true;
        self.cut.insert(at.segment());
        view.segments.retain(|ordinal, _| *ordinal <= at.segment());
        concession.cut = Some(at);
    }

    /// Reads what recovery trusts; says where to cut.
    fn check(&mut self, dir: &dyn Dir, recovered: &Recovered) -> Result<Option<Position>> {
        let (mut headers, mut footers) = (Vec::new(), Vec::new());
        let mut checker = Checker {
            dir,
            window: Window::new(dir.block_size())?,
            done: 0,
            total: 0,
            progress: &mut |_| {},
            record: &mut |_, _| {},
        };
        let mut records_total = 0;
        for (index, found) in recovered.segments.iter().enumerate() {
            let file = open_segment(dir, found.header.ordinal, Mode::Write)?;
            let next = recovered.segments.get(index + 1);
            let (tally, flaws) = checker.check(&*file, found, next)?;
            records_total += tally.records;
            for flaw in flaws {
                if !self.damages.contains(&flaw.damage) {
                    self.damages.push(flaw.damage);
                }
                match flaw.mend {
                    Mend::Cut(at) => return Ok(Some(at)),
                    Mend::Header => {
                        let mut header = found.header;
                        header.created_unix_ns = tally
                            .times
                            .entries()
                            .first()
                            .map_or(0, |entry| entry.time_unix_ns);
                        headers.push(header);
                    }
                    Mend::Footer => {
                        let known = footer_before(dir, &mut checker.window, recovered, index)?;
                        let records_total = known
                            .map_or(records_total, |before| before.records_total + tally.records);
                        footers.push((found.header, footer_of(found, &tally, records_total)));
                    }
                }
            }
        }
        // Of what is kept only: a later cut may have made some of it needless.
        self.headers = headers;
        self.footers = footers;
        Ok(None)
    }

    pub(super) fn end(&self) -> Position {
        self.left
            .as_ref()
            .map_or(Position::MIN, |recovered| recovered.end)
    }

    /// What to do about it.
    pub(super) fn steps(
        &self,
        disk: &dyn Disk,
        dir: &dyn Dir,
        listing: &Listing,
    ) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        let mended = self
            .headers
            .iter()
            .chain(self.footers.iter().map(|(header, _)| header));
        let copied: BTreeSet<u64> = self
            .cut
            .iter()
            .copied()
            .filter(|ordinal| self.keeps(*ordinal))
            .chain(mended.map(|header| header.ordinal))
            .collect();
        steps.extend(
            copied
                .iter()
                .map(|ordinal| Step::Copy(segment::file_name(*ordinal))),
        );
        steps.extend(self.headers.iter().map(|header| Step::WriteHeader(*header)));
        steps.extend(
            self.footers
                .iter()
                .map(|(header, footer)| Step::WriteFooter(*header, footer.clone())),
        );
        if !self.lossy && !listing.repairing {
            return Ok(steps);
        }
        steps.push(Step::Mark);
        // A repair that was interrupted behind its commit point left that as the newest segment.
        let commit = (!self.lossy && self.left.is_some()).then(|| listing.ordinal_max());
        if commit.is_none() {
            steps.push(Step::Commit(self.commit(disk, dir, listing)?));
        }
        for (ordinal, entry) in &listing.segments {
            if self.keeps(*ordinal) || Some(*ordinal) == commit {
                continue;
            }
            let name = entry.name.clone();
            steps.push(match entry.kind {
                PathKind::File => Step::Move(name),
                _ => Step::SetAside(name),
            });
        }
        steps.push(Step::Unmark);
        Ok(steps)
    }

    fn keeps(&self, ordinal: u64) -> bool {
        self.left.as_ref().is_some_and(|recovered| {
            recovered
                .segments
                .iter()
                .any(|found| found.header.ordinal == ordinal)
        })
    }

    /// The header of the segment that ends the log where it can be kept.
    fn commit(&self, disk: &dyn Disk, dir: &dyn Dir, listing: &Listing) -> Result<Header> {
        let mut random = [0; 24];
        disk.random(&mut random);
        let (id, salt) = random.split_at(16);
        let mut window = Window::new(dir.block_size())?;
        // Whatever can still be read tells what the log was like.
        let known: Vec<Header> = listing
            .segments
            .iter()
            .filter_map(|(ordinal, entry)| {
                let member = read_member(dir, entry, *ordinal, Mode::Write, &mut window);
                Some(member.ok()?.header)
            })
            .collect();
        let ordinal = listing.ordinal_max() + 1;
        let block_bytes = dir.block_size();
        let mut header = Header {
            log_id: id.try_into().expect("sixteen bytes"),
            ordinal,
            epoch: known.iter().map(|header| header.epoch).max().unwrap_or(0) + 1,
            previous: Link::NONE,
            salt: u64::from_le_bytes(salt.try_into().expect("eight bytes")),
            segment_bytes: known
                .last()
                .map_or(SEGMENT_BYTES_UNKNOWN, |header| header.segment_bytes),
            block_bytes: known
                .last()
                .map_or(block_bytes, |header| header.block_bytes.max(block_bytes)),
            log_start: Position::MIN,
            created_unix_ns: disk.now_unix_ns(),
            compatible: 0,
            features: 0,
        };
        if let Some(last) = known.last() {
            header.log_id = last.log_id;
            header.features = last.features;
        }
        let first = Position::new(ordinal, header.frames().start);
        match &self.left {
            None => header.log_start = first,
            Some(left) => {
                header.log_id = left.log_id;
                header.features = left.features;
                header.epoch = header.epoch.max(left.epoch_max + 1);
                header.log_start = left.log_start;
                header.previous = match left.tail {
                    Tail::Commit { previous } => previous,
                    Tail::Resume { at } => Link {
                        ordinal: at.segment(),
                        end_bytes: at.offset_bytes(),
                    },
                    Tail::Fresh => Link::NONE,
                };
                // With nothing before, nothing before is missed.
                if header.previous != Link::NONE && left.segments.is_empty() {
                    header.log_start = first;
                }
            }
        }
        Ok(header)
    }
}

/// The size of a log's segment where none is left to tell it.
const SEGMENT_BYTES_UNKNOWN: u64 = 64 << 20;

/// A segment that cannot be kept: with it goes what lies behind, or, if nothing is left before it,
/// what lies before.
fn drop_segment(dir: &dyn Dir, ordinal: u64, view: &mut Listing, concession: &mut Concession) {
    let mut older = view.clone();
    older.segments.retain(|other, _| *other < ordinal);
    let behind = view
        .segments
        .range(ordinal + 1..)
        .next()
        .map(|(next, _)| *next);
    let conceded = Concession {
        cut: None,
        ..*concession
    };
    let has_older = !older.segments.is_empty()
        && match recover::attempt(dir, &older, Mode::Write, &conceded) {
            Ok(recovered) => !recovered.segments.is_empty(),
            // Damaged, too; but something is there.
            Err(failure) => matches!(failure.flaw, Flaw::Frame { .. }),
        };
    match behind {
        Some(next) if !has_older => {
            view.segments.remove(&ordinal);
            let begin = Position::new(next, u64::from(dir.block_size()));
            concession.log_start = concession.log_start.max(begin);
        }
        _ => {
            *view = older;
            *concession = conceded;
        }
    }
}

/// The footer of the segment before this one in the chain, if that has one.
fn footer_before(
    dir: &dyn Dir,
    window: &mut Window,
    recovered: &Recovered,
    index: usize,
) -> Result<Option<Footer>> {
    let Some(before) = index.checked_sub(1).map(|index| &recovered.segments[index]) else {
        return Ok(None);
    };
    window.forget();
    let header = &before.header;
    let footer = read_footer(
        &*open_segment(dir, header.ordinal, Mode::Write)?,
        window,
        header.segment_bytes,
        header.block_bytes,
    )?;
    Ok(footer.filter(|footer| recover::is_of(footer, header)))
}

fn footer_of(found: &Found, tally: &recover::Tally, records_total: u64) -> Footer {
    let header = &found.header;
    Footer {
        log_id: header.log_id,
        ordinal: header.ordinal,
        epoch: header.epoch,
        previous: header.previous,
        salt: header.salt,
        end_bytes: found.end_bytes,
        records: tally.records,
        payload_bytes: tally.payload_bytes,
        log_start: header.log_start.max(tally.log_start),
        records_total,
        times: tally.times.clone(),
        features: header.features,
    }
}
