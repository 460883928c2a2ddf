//! A log as Raft needs it: entries at chosen indexes, a vote, a suffix that is cut off, a prefix that is
//! purged, and a snapshot from the leader that replaces all of it.
//!
//! Index and offset are the same number. What a term and vote must go along with is one batch.
//!
//! `cargo run --release --example store_raft_log`

use std::error::Error;
use std::path::Path;

use ringbolt::ErrorKind;
use ringbolt::store::{Batch, ReadFrom, Store, Stream, StreamOptions};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The log of one member of the group.
struct RaftLog {
    store: Store,
    entries: Stream,
}

impl RaftLog {
    fn open(dir: &Path) -> Result<Self> {
        let store = Store::open(dir)?;
        let entries = match store.stream("entries") {
            Ok(entries) => entries,
            // Raft counts from 1.
            Err(_) => store.create("entries", &StreamOptions::new().begin_at(1))?,
        };
        Ok(Self { store, entries })
    }

    /// The term, and whom this member voted for in it.
    fn vote(&self) -> Result<(u64, String, u64)> {
        let Some(found) = self.store.get(b"vote") else {
            return Ok((0, String::new(), 0));
        };
        let text = std::str::from_utf8(&found.value)?;
        let (term, candidate) = text.split_once(' ').ok_or("no vote")?;
        Ok((term.parse()?, candidate.to_string(), found.version))
    }

    /// Votes, if no higher term was seen and nobody else has the vote: two threads that vote at
    /// the same time cannot both succeed, since the second finds another version.
    fn vote_for(&self, term: u64, candidate: &str) -> Result<bool> {
        let (known, voted, version) = self.vote()?;
        if term < known || term == known && voted != candidate {
            return Ok(false);
        }
        let value = format!("{term} {candidate}");
        // On disk before it is answered: a vote that is forgotten can be given twice.
        match self
            .store
            .put_if(b"vote", value.as_bytes(), version)?
            .wait()
        {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What a leader of `term` sends: entries behind `previous`. Those that are there under another term, and all
    /// behind them, give way. All entries are one group commit.
    fn append(&self, previous: u64, term: u64, commands: &[&str]) -> Result<u64> {
        let next = self.entries.describe()?.next;
        if previous + 1 > next {
            return Ok(next - 1); // a gap: the leader must begin earlier
        }
        let mut new = (previous + 1..).zip(commands).peekable();
        // What is there already under this term stays.
        while let Some((index, command)) = new.peek().copied() {
            match self.entry(index)? {
                Some(found) if found == format!("{term} {command}") => new.next(),
                Some(_) => {
                    self.entries.truncate(index)?.applied()?;
                    break;
                }
                None => break,
            };
        }
        let mut batch = Batch::new();
        for (n, (index, command)) in new.enumerate() {
            if n == 0 {
                // Nobody else appended meanwhile, or nothing of this happens.
                batch.require_next(&self.entries, index);
            }
            batch.append(&self.entries, format!("{term} {command}").as_bytes())?;
        }
        if !batch.is_empty() {
            self.store.commit(&batch)?.wait()?;
        }
        Ok(self.entries.describe()?.next - 1)
    }

    fn entry(&self, index: u64) -> Result<Option<String>> {
        let info = self.entries.describe()?;
        if !(info.first..info.next).contains(&index) {
            return Ok(None);
        }
        let record = self.entries.reader(ReadFrom::Offset(index))?.next()?;
        Ok(Some(String::from_utf8(record.payload().to_vec())?))
    }

    /// Everything up to `index` is in a snapshot of this member's own.
    fn purge(&self, index: u64) -> Result<()> {
        Ok(self.entries.trim(index + 1)?.wait()?)
    }

    /// The leader's snapshot stands for everything up to `index`: what is here is dropped, and the log goes
    /// on behind it, beyond its end.
    fn install(&self, index: u64, term: u64, state: &str) -> Result<()> {
        let mut batch = Batch::new();
        batch.trim(&self.entries, index + 1);
        batch.put(b"snapshot", format!("{index} {term} {state}").as_bytes())?;
        self.store.commit(&batch)?.wait()?;
        Ok(())
    }

    fn all(&self) -> Result<Vec<(u64, String)>> {
        let info = self.entries.describe()?;
        let indexes = info.first..info.next;
        indexes
            .map(|index| Ok((index, self.entry(index)?.ok_or("it is there")?)))
            .collect()
    }
}

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("ringbolt-raft-{}", std::process::id()));
    let mut log = RaftLog::open(&dir)?;

    assert!(log.vote_for(1, "a")?);
    assert!(!log.vote_for(1, "b")?, "a member votes once in a term");
    assert_eq!(log.append(0, 1, &["x=1", "x=2", "x=3"])?, 3);
    println!("term 1: {:?}", log.all()?);

    // A leader of term 2 has another entry 3: the suffix gives way, and never comes back.
    assert!(log.vote_for(2, "b")?);
    assert_eq!(log.append(7, 2, &["y=9"])?, 3, "there would be a gap");
    assert_eq!(log.append(2, 2, &["y=1", "y=2"])?, 4);
    assert_eq!(
        log.append(2, 2, &["y=1", "y=2"])?,
        4,
        "sent twice, there once"
    );
    println!("term 2: {:?}", log.all()?);

    log.purge(2)?;
    log.store.close()?;
    log = RaftLog::open(&dir)?;
    let kept = [(3, "2 y=1".into()), (4, "2 y=2".into())];
    assert_eq!(log.all()?, kept);
    assert_eq!(log.vote()?.1, "b", "the vote is there after opening again");

    // It fell far behind: the leader sends its snapshot.
    log.install(1_000, 3, "x=2 y=77")?;
    assert_eq!(log.append(1_000, 3, &["z=0"])?, 1_001);
    log.store.close()?;
    log = RaftLog::open(&dir)?;
    assert_eq!(log.all()?, [(1_001, "3 z=0".into())]);
    let snapshot = log.store.get(b"snapshot").ok_or("it was installed")?;
    println!(
        "term 3: {:?} behind {:?}",
        log.all()?,
        std::str::from_utf8(&snapshot.value)?
    );
    log.store.close()?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
