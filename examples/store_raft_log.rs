//! A log as Raft needs it: entries at chosen indexes, a vote, a suffix that is cut off, a prefix that is
//! purged, and a snapshot from the leader that replaces all of it.
//!
//! Index and offset are the same number. What must be known together is one batch: so a member that is
//! killed has never half of it.
//!
//! `cargo run --release --example store_raft_log`

use std::error::Error;
use std::path::Path;

use ringbolt::store::{Batch, ReadFrom, Store, StoreOptions, Stream, StreamOptions};
use ringbolt::{ErrorKind, LogOptions};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A term, and what was said in it: an entry's command, or whom a vote is for.
type Said = (u64, String);

/// The log of one member of the group.
struct RaftLog {
    store: Store,
    entries: Stream,
}

impl RaftLog {
    fn open(dir: &Path) -> Result<Self> {
        let log = LogOptions::new().segment_bytes(1 << 20);
        let store = StoreOptions::new().log(log).open(dir)?;
        let entries = match store.stream("entries") {
            // Raft counts from 1.
            Err(error) if error.kind() == ErrorKind::NoStream => {
                store.create("entries", &StreamOptions::new().begin_at(1))?
            }
            found => found?,
        };
        Ok(Self { store, entries })
    }

    /// The term, whom this member follows in it, and the version of that.
    fn vote(&self) -> Result<(Said, u64)> {
        match self.store.get(b"vote") {
            Some(found) => Ok((parse(&found.value)?, found.version)),
            None => Ok(((0, String::new()), 0)),
        }
    }

    /// Votes, if no higher term was seen and nobody else has the vote. Of two that vote at the same
    /// time one finds another version than it has read.
    fn vote_for(&self, term: u64, candidate: &str) -> Result<bool> {
        let ((known, voted), version) = self.vote()?;
        if term < known || term == known && voted != candidate {
            return Ok(false);
        }
        let vote = format!("{term} {candidate}");
        let ticket = self.store.put_if(b"vote", vote.as_bytes(), version)?;
        // On disk before it is answered: a vote that is forgotten can be given twice.
        match ticket.wait() {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            voted => Ok(voted.map(|_| true)?),
        }
    }

    /// What the leader of `term` sends: entries of this or earlier terms, behind the one at
    /// `previous`, an index and a term. Returns the index of the last, or nothing if the leader is an old
    /// one, or must begin earlier.
    fn append(&self, term: u64, previous: (u64, u64), new: &[(u64, &str)]) -> Result<Option<u64>> {
        let ((known, _), version) = self.vote()?;
        if term != known || self.term_at(previous.0)? != Some(previous.1) {
            return Ok(None);
        }
        let last = previous.0 + new.len() as u64;
        let (mut index, mut new) = (previous.0 + 1, new);
        // What is there stays, up to the first of another term: that and all behind it give way.
        while let [(term, _), rest @ ..] = new {
            match self.term_at(index)? {
                Some(found) if found == *term => (index, new) = (index + 1, rest),
                Some(_) => self.entries.truncate(index)?.applied()?,
                None => break,
            }
        }
        if new.is_empty() {
            return Ok(Some(last));
        }
        let mut batch = Batch::new();
        // If this member voted for another meanwhile, or somebody appended, nothing of it happens.
        batch.require_version(b"vote", version)?;
        batch.require_next(&self.entries, index);
        for (term, command) in new {
            batch.append(&self.entries, format!("{term} {command}").as_bytes())?;
        }
        self.store.commit(&batch)?.wait()?;
        Ok(Some(last))
    }

    /// The entry at an index, if it is there.
    fn entry(&self, index: u64) -> Result<Option<Said>> {
        let info = self.entries.describe()?;
        if !(info.first..info.next).contains(&index) {
            return Ok(None);
        }
        let record = self.entries.reader(ReadFrom::Offset(index))?.next()?;
        Ok(Some(parse(record.payload())?))
    }

    /// The term at an index, which is known of the last entry that was purged, too: the leader's next
    /// entries may be behind that one.
    fn term_at(&self, index: u64) -> Result<Option<u64>> {
        let purged = match self.store.get(b"purged") {
            Some(found) => parse(&found.value)?,
            None => (0, "0".into()),
        };
        match index == purged.0 {
            true => Ok(Some(purged.1.parse()?)),
            false => Ok(self.entry(index)?.map(|(term, _)| term)),
        }
    }

    /// Drops everything up to `index`, for which `state` stands. It may be this member's own snapshot, or
    /// the leader's: then the log may end before, and goes on behind it.
    fn snapshot(&self, index: u64, term: u64, state: &str) -> Result<()> {
        let next = self.entries.describe()?.next;
        if self.term_at(index)? != Some(term) && index + 1 < next {
            // Not what this member has: what it has behind it is worth nothing, either.
            self.entries.truncate(index + 1)?.applied()?;
        }
        let mut batch = Batch::new();
        batch.trim(&self.entries, index + 1);
        batch.put(b"purged", format!("{index} {term}").as_bytes())?;
        batch.put(b"state", state.as_bytes())?;
        self.store.commit(&batch)?.wait()?;
        Ok(())
    }

    fn all(&self) -> Result<Vec<(u64, Said)>> {
        let info = self.entries.describe()?;
        let entry = |index| Ok((index, self.entry(index)?.ok_or("it is there")?));
        (info.first..info.next).map(entry).collect()
    }
}

/// A number, and what is behind it.
fn parse(bytes: &[u8]) -> Result<Said> {
    let (number, rest) = std::str::from_utf8(bytes)?
        .split_once(' ')
        .ok_or("no space")?;
    Ok((number.parse()?, rest.into()))
}

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("ringbolt-raft-{}", std::process::id()));
    let mut log = RaftLog::open(&dir)?;

    // Two candidates ask at the same time: one of them gets the vote.
    let (a, b) = std::thread::scope(|scope| {
        let a = scope.spawn(|| log.vote_for(1, "a").is_ok_and(|voted| voted));
        let b = log.vote_for(1, "b").is_ok_and(|voted| voted);
        (a.join().is_ok_and(|voted| voted), b)
    });
    assert!(a != b, "a member votes once in a term");
    let last = log.append(1, (0, 0), &[(1, "x=1"), (1, "x=2"), (1, "x=3")])?;
    assert_eq!(last, Some(3));
    println!("term 1: {:?}", log.all()?);

    // A leader of term 2 has another entry 3: what is there gives way.
    assert!(log.vote_for(2, "c")?);
    assert_eq!(log.append(1, (3, 1), &[(1, "x=4")])?, None, "an old leader");
    assert_eq!(log.append(2, (7, 2), &[(2, "y=9")])?, None, "a gap");
    assert_eq!(log.append(2, (3, 2), &[])?, None, "entry 3 is of term 1");
    for _ in 0..2 {
        // Sent twice, there once.
        let last = log.append(2, (2, 1), &[(2, "y=1"), (2, "y=2")])?;
        assert_eq!(last, Some(4));
    }
    println!("term 2: {:?}", log.all()?);

    // A snapshot of its own, and a restart: what was cut off or purged has not come back.
    log.snapshot(3, 2, "x=2 y=1")?;
    log.store.close()?;
    log = RaftLog::open(&dir)?;
    assert_eq!(log.all()?, [(4, (2, "y=2".into()))]);
    assert_eq!(log.vote()?.0, (2, "c".into()));
    assert_eq!(log.append(2, (3, 2), &[(2, "y=2")])?, Some(4), "behind it");

    // It fell far behind: the leader sends its snapshot, past the end of what is here.
    assert!(log.vote_for(3, "a")?);
    log.snapshot(1_000, 3, "x=2 y=77")?;
    assert_eq!(log.append(3, (1_000, 3), &[(3, "z=0")])?, Some(1_001));
    log.store.close()?;
    log = RaftLog::open(&dir)?;
    assert_eq!(log.all()?, [(1_001, (3, "z=0".into()))]);
    let state = log.store.get(b"state").ok_or("it was installed")?.value;
    let state = std::str::from_utf8(&state)?;
    println!("term 3: {:?} behind {state:?}", log.all()?);
    log.store.close()?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
