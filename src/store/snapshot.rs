//! What the pass had derived at the end of a segment, as bytes. `docs/format.md` has the order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::log::Position;
use crate::store::bytes::{In, Out};
use crate::store::config::StreamConfig;
use crate::store::state::clock::Clock;
use crate::store::state::cursors::{Cursor, Cursors};
use crate::store::state::erased::Erased;
use crate::store::state::messages::Messages;
use crate::store::state::producers::Producers;
use crate::store::state::stream::{Cut, LeftRun, Moved, Rare, Rest, StreamState};
use crate::store::state::table::{Table, Value};
use crate::store::state::{State, Time};

/// Writes a state that stands between two segments.
pub(crate) fn write(state: &State) -> Vec<u8> {
    let mut out = Out::default();
    out.list(state.slots().into_iter(), |out, (generation, stream)| {
        out.number(generation.into());
        out.number(stream.is_some().into());
        if let Some(stream) = stream {
            write_stream(out, stream);
        }
    });
    out.number(state.has_quotas().into());
    write_time(&mut out, &state.time);
    let table = &state.table;
    out.number(table.writes);
    out.list(table.entries(), |out, (key, version, value)| {
        out.bytes(key);
        out.number(version);
        out.bytes(value);
    });
    out.0
}

/// Reads a state; `None` for bytes that are none.
pub(crate) fn read(bytes: &[u8]) -> Option<State> {
    let mut from = In(bytes);
    let slots: Vec<_> = from.list(|from| {
        let generation = from.word()?;
        let stream = match from.number()? {
            0 => None,
            _ => Some(read_stream(from)?),
        };
        Some((generation, stream))
    })?;
    let quotas = from.number()? != 0;
    let time = read_time(&mut from)?;
    let writes = from.number()?;
    let entries = from.list(|from| {
        let key = from.bytes()?.into();
        let version = from.number()?;
        let bytes = Arc::from(from.bytes()?);
        Some((key, Value { version, bytes }))
    })?;
    from.0
        .is_empty()
        .then(|| State::of(slots, Table::of(entries, writes), quotas, time))
}

fn write_time(out: &mut Out, time: &Time) {
    let (marks, since_thinned) = time.clock.parts();
    out.list(marks.iter(), |out, (at, time)| {
        out.number(at.to_u64());
        out.number(*time);
    });
    out.number(since_thinned as u64);
    out.number(time.is_behind.into());
    // Never 0.
    out.number(time.next_expiry.unwrap_or(0));
}

fn read_time(from: &mut In<'_>) -> Option<Time> {
    let marks: VecDeque<_> =
        from.list(|from| Some((Position::from_u64(from.number()?), from.number()?)))?;
    Some(Time {
        clock: Clock::of(marks, usize::try_from(from.number()?).ok()?),
        is_behind: from.number()? != 0,
        next_expiry: Some(from.number()?).filter(|time| *time != 0),
    })
}

fn write_stream(out: &mut Out, stream: &StreamState) {
    out.bytes(stream.name.as_bytes());
    for number in [
        stream.incarnation,
        stream.start,
        stream.next,
        stream.fence,
        stream.bytes,
        stream.time_unix_ns,
        stream.likely as u64,
    ] {
        out.number(number);
    }
    out.list(stream.left.iter(), |out, run| {
        out.number(run.base);
        out.number(run.word());
        out.number(run.bytes.into());
        out.number(run.newest_s.into());
    });
    out.list(stream.cuts.iter(), |out, cut| {
        out.number(cut.at.to_u64());
        out.number(cut.offset);
    });
    out.number(stream.rare.is_some().into());
    if let Some(rare) = stream.rare.as_deref() {
        write_rare(out, rare);
    }
}

fn read_stream(from: &mut In<'_>) -> Option<StreamState> {
    let name: Arc<str> = from.text()?.into();
    let mut numbers = [0; 7];
    for number in &mut numbers {
        *number = from.number()?;
    }
    let [incarnation, start, next, fence, bytes, time_unix_ns, likely] = numbers;
    let left = from.list(|from| {
        let (base, word) = (from.number()?, from.number()?);
        Some(LeftRun::of(base, word, from.word()?, from.word()?))
    })?;
    let cuts = from.list(|from| {
        Some(Cut {
            at: Position::from_u64(from.number()?),
            offset: from.number()?,
        })
    })?;
    let rare = match from.number()? {
        0 => None,
        _ => Some(Box::new(read_rare(from)?)),
    };
    Some(StreamState::of(
        next,
        bytes,
        Rest {
            name,
            incarnation,
            start,
            fence,
            time_unix_ns,
            timed: 0,
            left,
            earlier: Vec::new(),
            likely: usize::try_from(likely).ok()?,
            cuts,
            rare,
        },
    ))
}

fn write_rare(out: &mut Out, rare: &Rare) {
    out.bytes(&rare.config.to_bytes());
    rare.producers.write(out);
    out.list(
        rare.messages.by_offset().iter(),
        |out, (offset, (id, at))| {
            out.number(*offset);
            out.bytes(id);
            out.number(at.to_u64());
        },
    );
    out.list(rare.cursors.0.iter(), |out, (group, cursor)| {
        out.bytes(group.as_bytes());
        out.number(cursor.offset);
        out.list(cursor.done.iter(), |out, (from, to)| {
            out.number(*from);
            out.number(*to);
        });
        out.bytes(&cursor.metadata);
        out.number(cursor.used.to_u64());
        out.number(cursor.hold.into());
    });
    out.list(rare.erased.ranges().iter(), |out, (from, to)| {
        out.number(*from);
        out.number(*to);
    });
    out.list(rare.moved.iter(), |out, (offset, moved)| {
        out.number(*offset);
        out.number(moved.at.to_u64());
        out.number(moved.from.to_u64());
        out.number(moved.count.into());
        out.number(moved.bytes.into());
    });
    out.number(rare.compacted);
}

fn read_rare(from: &mut In<'_>) -> Option<Rare> {
    let config = StreamConfig::parse(from.bytes()?)?;
    let producers = Producers::read(from)?;
    let messages: BTreeMap<_, _> = from.list(|from| {
        let (offset, id) = (from.number()?, from.bytes()?.into());
        Some((offset, (id, Position::from_u64(from.number()?))))
    })?;
    let cursors = from.list(|from| {
        let group: Box<str> = from.text()?.into();
        let cursor = Cursor {
            offset: from.number()?,
            done: from.list(|from| Some((from.number()?, from.number()?)))?,
            metadata: from.bytes()?.into(),
            used: Position::from_u64(from.number()?),
            hold: from.number()? != 0,
        };
        Some((group, cursor))
    })?;
    let erased = from.list(|from| Some((from.number()?, from.number()?)))?;
    let moved = from.list(|from| {
        let offset = from.number()?;
        let moved = Moved {
            at: Position::from_u64(from.number()?),
            from: Position::from_u64(from.number()?),
            count: from.word()?,
            bytes: from.word()?,
        };
        Some((offset, moved))
    })?;
    Some(Rare {
        config,
        producers,
        messages: Messages::of(messages),
        cursors: Cursors(cursors),
        erased: Erased::of(erased),
        moved,
        compacted: from.number()?,
    })
}
