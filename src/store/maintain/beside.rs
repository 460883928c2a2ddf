//! The files beside a store's segments, and what they are worth.

use std::sync::Arc;

use crate::disk::Dir;
use crate::error::{Error, Result};
use crate::log::follow::Anchor;
use crate::log::maintain::Damage;
use crate::store::evidence::{self, What};
use crate::store::snapshot;
use crate::store::state::State;
use crate::store::state::places::SegmentIndex;

/// An index or a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// The file's name.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// The segment that it is about.
    pub segment: u64,
    /// Its length in bytes.
    pub file_bytes: u64,
    /// What it is to the store.
    pub state: FileState,
}

/// What a file beside the segments is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// Where the records of a segment lie.
    Index,
    /// What was derived at the end of a segment.
    Snapshot,
}

/// What such a file is to its store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileState {
    /// A sound index.
    Index {
        /// Streams with records in the segment.
        streams: u64,
        /// Records of streams in it.
        records: u64,
    },
    /// A sound snapshot.
    Snapshot {
        /// Streams that there were.
        streams: u64,
        /// Keys of the table.
        keys: u64,
    },
    /// About a segment that is not the log's, or not any more.
    Unused,
    /// Damaged, or about another segment of this number.
    Damaged,
    /// The log is damaged: nobody knows.
    Unknown,
}

/// A file, by its name alone.
pub(super) struct Name {
    what: What,
    ordinal: u64,
    bytes: u64,
}

/// The files beside the segments, by name. To be asked for before the log is looked at: then what they are
/// about is complete in it.
pub(super) fn names(dir: &dyn Dir) -> Result<Vec<Name>> {
    let listed = dir
        .list()
        .map_err(|error| Error::io("listing the store", error).at_path(dir.path()))?;
    let name = |entry: &crate::disk::DirEntry| {
        let of = |what: What| {
            let ordinal = what.parse(&entry.name)?;
            let bytes = entry.len;
            Some(Name {
                what,
                ordinal,
                bytes,
            })
        };
        of(What::Index).or_else(|| of(What::Snapshot))
    };
    let mut names: Vec<_> = listed.iter().filter_map(name).collect();
    names.sort_by_key(|name| (name.what as u32, name.ordinal));
    Ok(names)
}

impl Name {
    fn info(&self, state: FileState) -> FileInfo {
        let kind = match self.what {
            What::Index => FileKind::Index,
            What::Snapshot => FileKind::Snapshot,
        };
        FileInfo {
            name: self.what.name(self.ordinal),
            kind,
            segment: self.ordinal,
            file_bytes: self.bytes,
            state,
        }
    }

    /// Of a log of which nothing is known.
    pub(super) fn unknown(&self) -> FileInfo {
        self.info(FileState::Unknown)
    }
}

/// A file that was read.
enum Content {
    Index(Arc<SegmentIndex>),
    Snapshot(Box<State>),
    Unused,
    Damaged,
}

/// All files beside the segments of a sound log.
pub(super) struct Beside {
    files: Vec<(Name, Content)>,
    /// The segments that the log has now.
    ordinals: Vec<u64>,
    /// Whether the log still has its begin.
    has_begin: bool,
}

impl Beside {
    /// Reads them all. Those that went meanwhile are none.
    pub(super) fn look(dir: &dyn Dir, anchors: &[Anchor], names: Vec<Name>) -> Result<Self> {
        let mut files = Vec::new();
        for name in names {
            let anchor = anchors.iter().find(|anchor| anchor.ordinal == name.ordinal);
            let Some(anchor) = anchor else {
                files.push((name, Content::Unused));
                continue;
            };
            let body = evidence::read(dir, name.what, anchor)?;
            let content = body.and_then(|body| match name.what {
                What::Index => SegmentIndex::read(name.ordinal, &body).map(Content::Index),
                What::Snapshot => {
                    snapshot::read(&body).map(|state| Content::Snapshot(state.into()))
                }
            });
            match content {
                Some(content) => files.push((name, content)),
                None if is_there(dir, &name)? => files.push((name, Content::Damaged)),
                None => {}
            }
        }
        Ok(Self {
            files,
            ordinals: anchors.iter().map(|anchor| anchor.ordinal).collect(),
            has_begin: anchors.first().is_some_and(|first| first.is_first),
        })
    }

    pub(super) fn infos(&self) -> Vec<FileInfo> {
        let info = |(name, content): &(Name, Content)| {
            name.info(match content {
                Content::Index(index) => FileState::Index {
                    streams: index.runs().chunk_by(|a, b| a.0 == b.0).count() as u64,
                    records: index
                        .runs()
                        .iter()
                        .map(|(_, run)| run.places.len() as u64)
                        .sum(),
                },
                Content::Snapshot(state) => FileState::Snapshot {
                    streams: state.streams_len() as u64,
                    keys: state.table.entries().len() as u64,
                },
                Content::Unused => FileState::Unused,
                Content::Damaged => FileState::Damaged,
            })
        };
        self.files.iter().map(info).collect()
    }

    /// The sound snapshots, the newest first.
    fn snapshots(&self) -> impl Iterator<Item = (u64, &State)> {
        let snapshot = |(name, content): &'_ (Name, Content)| match content {
            Content::Snapshot(_) => Some(name.ordinal),
            _ => None,
        };
        let mut ordinals: Vec<_> = self.files.iter().filter_map(snapshot).collect();
        ordinals.reverse();
        let state = |ordinal: u64| {
            self.files
                .iter()
                .find_map(move |(name, content)| match content {
                    Content::Snapshot(state) if name.ordinal == ordinal => Some(&**state),
                    _ => None,
                })
        };
        ordinals
            .into_iter()
            .filter_map(move |ordinal| Some((ordinal, state(ordinal)?)))
    }

    /// Segments whose records nobody would know the offsets of, were the store opened now.
    fn lost(&self) -> Vec<u64> {
        let Some((newest, state)) = self.snapshots().next() else {
            return Vec::new();
        };
        let has_index = |ordinal| {
            let index = |(name, content): &(Name, Content)| {
                name.ordinal == ordinal && matches!(content, Content::Index(_))
            };
            self.files.iter().any(index)
        };
        let behind = self
            .ordinals
            .iter()
            .copied()
            .take_while(|ordinal| *ordinal <= newest);
        behind
            .filter(|ordinal| state.has_left(*ordinal) && !has_index(*ordinal))
            .collect()
    }

    /// What is wrong.
    pub(super) fn damages(&self, dir: &dyn Dir) -> Vec<Damage> {
        let damage = |name: &str, what: &str| Damage::new(dir.path().join(name), what);
        let bad = |(name, content): &(Name, Content)| match content {
            Content::Damaged => Some(damage(
                &name.what.name(name.ordinal),
                "damaged, or of another segment",
            )),
            _ => None,
        };
        let mut damages: Vec<_> = self.files.iter().filter_map(bad).collect();
        for ordinal in self.lost() {
            let missing = evidence::missing(dir, ordinal);
            let missing = Damage::of(&missing, dir);
            if !damages.iter().any(|damage| damage.path == missing.path) {
                damages.push(missing);
            }
        }
        if !self.has_begin && self.snapshots().next().is_none() {
            damages.push(Damage::new(dir.path().into(), evidence::NO_BEGIN));
        }
        damages
    }

    /// The files to set aside, so that the next opening derives again what is damaged: `None` where the log
    /// does not have that any more.
    pub(super) fn aside(&self) -> Option<Vec<String>> {
        let lost = self.lost();
        // Where an opening must begin, to come by all that is lost.
        let begin = lost.first().copied().unwrap_or(u64::MAX);
        let kept = self.snapshots().any(|(ordinal, _)| ordinal < begin);
        if !kept && !self.has_begin {
            return None;
        }
        let aside = |(name, content): &(Name, Content)| {
            let late = matches!(content, Content::Snapshot(_)) && name.ordinal >= begin;
            let goes = late || matches!(content, Content::Damaged);
            goes.then(|| name.what.name(name.ordinal))
        };
        Some(self.files.iter().filter_map(aside).collect())
    }
}

fn is_there(dir: &dyn Dir, name: &Name) -> Result<bool> {
    let now = names(dir)?;
    let same = |other: &Name| (other.what, other.ordinal) == (name.what, name.ordinal);
    Ok(now.iter().any(same))
}
