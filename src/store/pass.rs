//! The pass over the log: judges each entry in order, and tells what became of it.
//!
//! It runs on the thread that persists, and never waits for anybody there: while a reader has the
//! state, the pass is put off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::disk::Dir;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Position;
use crate::log::follow::{Anchor, Event, Events, Facts, Follower, Work};
use crate::store::entry::{Entry, Kind};
use crate::store::evidence;
use crate::store::id::StreamId;
use crate::store::shared::Shared;
use crate::store::space::Space;
use crate::store::state::State;
use crate::store::state::verdict::{BatchVerdict, Refusal, Verdict};
use crate::store::ticks::Ticks;

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    One(Verdict),
    Batch(BatchVerdict),
}

/// What was judged and is to be told to whoever waits for it.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// By the position of a frame's first record.
    outcomes: BTreeMap<Position, Outcome>,
    /// What nobody will ask for, and was not judged yet.
    unwanted: BTreeSet<Position>,
}

impl Told {
    pub(crate) fn get(&self, at: Position) -> Option<&Outcome> {
        self.outcomes.get(&at)
    }

    /// Nobody asks for what is at this position any more; `judged` says whether it was judged.
    pub(crate) fn forget(&mut self, at: Position, judged: bool) {
        if judged {
            self.outcomes.remove(&at);
        } else {
            self.unwanted.insert(at);
        }
    }

    fn tell(&mut self, at: Position, outcome: Outcome) {
        if !self.unwanted.remove(&at) {
            self.outcomes.insert(at, outcome);
        }
    }
}

/// Derives a store's state from its log.
pub(crate) struct Pass {
    shared: Arc<Shared>,
    /// What was judged, and is not told yet.
    outcomes: Vec<(Position, Outcome)>,
    /// Streams that got records, and are not told yet.
    touched: Vec<StreamId>,
    /// Up to where it has judged.
    reached: Position,
    space: Space,
    ticks: Ticks,
    asked: Option<Asked>,
    /// Where acknowledgements lie whose outcome nobody asks for.
    untold: BTreeSet<Position>,
    /// Whether somebody was in the way when acknowledgements were to be taken.
    is_late: bool,
    /// Acknowledgements that found no room, and whether that was in this turn.
    refused: Option<Vec<u8>>,
    has_refused: bool,
}

/// What it has asked to be appended.
enum Asked {
    Tick,
    Ack(Vec<u8>),
    Space,
}

impl Pass {
    /// `segment_bytes` is 0 for a store that is only looked at.
    pub(crate) fn new(shared: Arc<Shared>, segment_bytes: u64, step_ns: u64) -> Self {
        Self {
            shared,
            outcomes: Vec::new(),
            touched: Vec::new(),
            reached: Position::MIN,
            space: Space::new(segment_bytes),
            ticks: Ticks::new(step_ns),
            asked: None,
            untold: BTreeSet::new(),
            is_late: false,
            refused: None,
            has_refused: false,
        }
    }

    /// Acknowledgements that are to be appended. After a refusal it is the next turn's.
    fn next_ack(&mut self) -> Option<Vec<u8>> {
        if self.has_refused {
            self.has_refused = false;
            return None;
        }
        if let Some(entry) = self.refused.take() {
            return Some(entry);
        }
        let taken = self.shared.acks.try_take();
        self.is_late = taken.is_err();
        taken.ok().flatten()
    }

    /// Tells what was judged. `false` while somebody is in the way.
    fn tell(&mut self) -> bool {
        {
            let told = if self.shared.is_live() {
                self.shared.told.try_lock()
            } else {
                // Nobody waits yet, and nobody ever asks for what was there before.
                self.outcomes.clear();
                Some(self.shared.told.lock())
            };
            let Some(mut told) = told else {
                return false;
            };
            for (at, outcome) in self.outcomes.drain(..) {
                if self.untold.is_empty() || !self.untold.remove(&at) {
                    told.tell(at, outcome);
                }
            }
            // Under the lock: who finds that it was judged finds the outcome, too.
            self.shared.set_applied(self.reached);
        }
        self.shared.wake(self.reached, &mut self.touched);
        true
    }
}

impl Follower for Pass {
    fn begin(&mut self, dir: &dyn Dir, found: &[Anchor]) -> Result<u64> {
        if let Some((state, anchor)) = self.space.begin(dir, found)? {
            *self.shared.state.write() = state;
            return Ok(anchor.ordinal);
        }
        match found.first() {
            Some(first) if !first.is_first => {
                Err(Error::new(ErrorKind::Damaged, evidence::NO_BEGIN)
                    .at_path(dir.path())
                    .remedy("put the store back from a backup"))
            }
            _ => Ok(0),
        }
    }

    fn follow(&mut self, events: &mut dyn Events) -> bool {
        if self.reached > self.shared.applied() && !self.tell() {
            return false;
        }
        {
            let shared = Arc::clone(&self.shared);
            let state = if shared.is_live() {
                shared.state.try_write()
            } else {
                Some(shared.state.write())
            };
            let Some(mut state) = state else {
                return false;
            };
            let mut plain = Vec::with_capacity(AHEAD);
            loop {
                let event = match events.next() {
                    Some(Event::Record { at, payload }) => match Plain::parse(at, payload) {
                        Some(record) => {
                            plain.push(record);
                            if plain.len() == AHEAD {
                                append(&mut state, &mut plain, &mut self.touched, &mut self.space);
                            }
                            continue;
                        }
                        None => Some(Event::Record { at, payload }),
                    },
                    event => event,
                };
                append(&mut state, &mut plain, &mut self.touched, &mut self.space);
                let Some(event) = event else { break };
                judge(
                    &mut state,
                    event,
                    &mut self.outcomes,
                    &mut self.touched,
                    &mut self.space,
                );
            }
            self.reached = events.reached();
            if state.has_quotas() {
                shared.note_quotas();
            }
            self.ticks.note(&state, self.reached);
            self.space.note_moved(&shared);
        }
        // What cannot be told now is told at the next call.
        self.tell();
        true
    }

    fn appended(&mut self, place: Option<(Position, Position)>) {
        let end = place.map(|(_, end)| end);
        match self.asked.take() {
            Some(Asked::Tick) => self.ticks.appended(end),
            Some(Asked::Ack(entry)) => match place {
                Some((at, _)) => drop(self.untold.insert(at)),
                // Where there is no room, the next turn may have some.
                None => {
                    self.refused = Some(entry);
                    self.has_refused = true;
                }
            },
            Some(Asked::Space) => self.space.appended(end),
            None => {}
        }
    }

    fn due_unix_ns(&self) -> Option<u64> {
        let late = self.is_late.then_some(0);
        late.or_else(|| self.ticks.due_unix_ns())
    }

    fn work(&mut self, facts: &dyn Facts) -> Option<Work> {
        if let Some(tick) = self.ticks.wanted(|| facts.now_unix_ns()) {
            self.asked = Some(Asked::Tick);
            return Some(Work::Append(tick));
        }
        if let Some(entry) = self.next_ack() {
            self.asked = Some(Asked::Ack(entry.clone()));
            return Some(Work::Append(entry));
        }
        let work = self.space.work(&self.shared, self.reached, facts);
        if let Some(Work::Append(_)) = work {
            self.asked = Some(Asked::Space);
        }
        work
    }

    fn ended(&mut self) {
        self.shared.end();
    }
}

/// Comes to a record in a segment.
#[inline]
fn enter(state: &mut State, segment: u64, space: &mut Space) {
    if segment != state.segment() {
        leave(state, space);
        state.enter(segment);
    }
}

/// Leaves the segment where it stands, if it does in one.
#[cold]
fn leave(state: &mut State, space: &mut Space) {
    let segment = state.segment();
    if segment != 0 {
        state.leave();
        space.left(segment, state);
    }
}

/// So many records without fields are looked at before the first of them is applied.
const AHEAD: usize = 32;

/// A record without fields.
struct Plain {
    at: Position,
    id: StreamId,
    count: u32,
    bytes: u32,
}

impl Plain {
    #[inline]
    fn parse(at: Position, payload: &[u8]) -> Option<Self> {
        let (id, count, payload) = Entry::parse_plain(payload)?;
        let bytes = payload.len() as u32;
        Some(Self {
            at,
            id,
            count,
            bytes,
        })
    }
}

/// Applies records without fields.
#[inline]
fn append(
    state: &mut State,
    records: &mut Vec<Plain>,
    touched: &mut Vec<StreamId>,
    space: &mut Space,
) {
    // Their streams are anywhere in memory: the processor waits for all of them at once.
    state.fetch(records.iter().map(|record| record.id));
    for record in records.drain(..) {
        let Plain {
            at,
            id,
            count,
            bytes,
        } = record;
        enter(state, at.segment(), space);
        // What is refused here is found out by who asks: there is no such stream.
        if let Verdict::Applied(_) = state.append_plain(at, id, count, bytes as usize) {
            touch(touched, id);
        }
    }
}

#[inline]
fn touch(touched: &mut Vec<StreamId>, id: StreamId) {
    if touched.last() != Some(&id) {
        touched.push(id);
    }
}

fn judge(
    state: &mut State,
    event: Event<'_>,
    outcomes: &mut Vec<(Position, Outcome)>,
    touched: &mut Vec<StreamId>,
    space: &mut Space,
) {
    match event {
        Event::Record { at, payload } => {
            enter(state, at.segment(), space);
            let verdict = match Entry::parse(payload) {
                Some(entry) => {
                    touch(touched, entry.stream);
                    let verdict = state.apply(at, &entry);
                    if entry.kind == Kind::Moved && verdict == Verdict::Applied(1) {
                        space.moved(payload.len());
                    }
                    if entry.kind.is_own() {
                        return;
                    }
                    verdict
                }
                None => Verdict::Refused(Refusal::Invalid),
            };
            outcomes.push((at, Outcome::One(verdict)));
        }
        Event::Batch { at, records } => {
            enter(state, at.segment(), space);
            let mut items = Vec::with_capacity(records.left() as usize);
            let mut first = None;
            let mut sound = true;
            for (distance, payload) in records {
                let at = at.plus(distance as u64);
                first.get_or_insert(at);
                match Entry::parse(payload) {
                    Some(entry) => items.push((at, entry)),
                    None => sound = false,
                }
            }
            let verdict = if sound {
                let streams = items.iter().map(|(_, entry)| entry.stream);
                streams.for_each(|id| touch(touched, id));
                state.apply_batch(&items)
            } else {
                BatchVerdict::Refused {
                    item: items.len() as u32,
                    refusal: Refusal::Invalid,
                }
            };
            outcomes.push((first.unwrap_or(at), Outcome::Batch(verdict)));
        }
        Event::Left => leave(state, space),
        Event::Nothing => {}
    }
}
