//! Random operations, on a store and on a model of it that is as simple as can be.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ringbolt::store::{Appended, Batch, NewRecord, Producer, StoreTicket, Stream, StreamOptions};
use ringbolt::{ErrorKind, Result};

use crate::support::{Rig, all};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A record to be appended, as far as the model knows it.
#[derive(Debug, Clone)]
struct Sent {
    len: usize,
    count: u32,
    /// Producer, epoch, and how far the sequence number is from the expected one.
    producer: Option<(u64, u32, i32)>,
    message: Option<u8>,
    /// How far from the next offset.
    if_next: Option<i8>,
    fence: Option<u64>,
}

#[derive(Debug, Clone)]
enum Op {
    Create(usize, u64),
    Delete(usize),
    Append(usize, Sent),
    /// Offsets are told from the first one on.
    Trim(usize, u64),
    Truncate(usize, u64),
    Erase(usize, u64),
    Fence(usize, u64),
    Seek(usize, u8, u64),
    Acknowledge(usize, u8, u64, u64),
    Forget(usize, u8),
    Put(u8, Option<i8>),
    Remove(u8),
    /// Records for two streams, a cursor, a key, and perhaps a condition that does not hold.
    Batch(usize, usize, bool),
    Reopen,
}

#[derive(Debug, Clone, Default)]
struct Model {
    streams: BTreeMap<usize, MStream>,
    table: BTreeMap<u8, u64>,
    writes: u64,
}

/// A producer's epoch, and of its batches sequence, count and offset.
type Known = (u32, Vec<(u32, u32, u64)>);

#[derive(Debug, Clone, Default)]
struct MStream {
    first: u64,
    next: u64,
    fence: u64,
    records: Vec<(u64, u32, Vec<u8>)>,
    producers: BTreeMap<u64, Known>,
    messages: BTreeMap<u8, u64>,
    cursors: BTreeMap<u8, BTreeSet<u64>>,
}

impl MStream {
    fn begin(first: u64) -> Self {
        Self {
            first,
            next: first,
            ..Self::default()
        }
    }

    /// The sequence number that is expected, where one is.
    fn expected(&self, id: u64, epoch: u32) -> Option<u32> {
        let (known, sent) = self.producers.get(&id)?;
        if epoch > *known {
            return Some(0);
        }
        sent.last().map(|(sequence, count, _)| sequence + count)
    }

    fn append(&mut self, sent: &Sent, stamp: Option<Producer>) -> Result<(u64, bool), ErrorKind> {
        if let Some(stamp) = stamp {
            if let Some((epoch, batches)) = self.producers.get(&stamp.id) {
                if stamp.epoch < *epoch {
                    return Err(ErrorKind::Fenced);
                }
                let same =
                    |batch: &&(u32, u32, u64)| (batch.0, batch.1) == (stamp.sequence, sent.count);
                if let Some(batch) = batches.iter().rev().take(5).find(same) {
                    if stamp.epoch == *epoch {
                        return Ok((batch.2, true));
                    }
                }
            }
            let expected = self.expected(stamp.id, stamp.epoch);
            if expected.is_some_and(|expected| expected != stamp.sequence) {
                return Err(ErrorKind::OutOfOrder);
            }
        }
        if let Some(offset) = sent.message.and_then(|id| self.messages.get(&id)) {
            return Ok((*offset, true));
        }
        if sent.fence.is_some_and(|token| token < self.fence) {
            return Err(ErrorKind::Fenced);
        }
        if sent.if_next.is_some_and(|distance| distance != 0) {
            return Err(ErrorKind::Conflict);
        }
        let offset = self.next;
        self.next += u64::from(sent.count);
        self.records
            .push((offset, sent.count, payload(offset, sent.len)));
        if let Some(stamp) = stamp {
            let known = self
                .producers
                .entry(stamp.id)
                .or_insert((stamp.epoch, Vec::new()));
            if known.0 != stamp.epoch {
                *known = (stamp.epoch, Vec::new());
            }
            known.1.push((stamp.sequence, sent.count, offset));
            if known.1.len() > 5 {
                known.1.remove(0);
            }
        }
        if let Some(id) = sent.message {
            self.messages.insert(id, offset);
        }
        Ok((offset, false))
    }

    fn trim(&mut self, offset: u64) {
        if offset <= self.first {
            return;
        }
        self.first = offset;
        self.next = self.next.max(offset);
        self.records
            .retain(|(first, count, _)| first + u64::from(*count) > offset);
        self.messages.retain(|_, at| *at >= offset);
    }

    fn truncate(&mut self, offset: u64) {
        let holds = |(first, count, _): &&(u64, u32, Vec<u8>)| {
            (*first..first + u64::from(*count)).contains(&offset)
        };
        let end = self
            .records
            .iter()
            .find(holds)
            .map_or(offset, |record| record.0);
        self.records.retain(|(first, ..)| *first < end);
        self.next = end.max(self.first);
        self.messages.retain(|_, at| *at < end);
        for (_, batches) in self.producers.values_mut() {
            batches.retain(|batch| batch.2 < end);
        }
        for done in self.cursors.values_mut() {
            done.retain(|offset| *offset < end);
        }
    }

    fn erase(&mut self, offset: u64) {
        self.records
            .retain(|(first, count, _)| !(*first..first + u64::from(*count)).contains(&offset));
    }
}

fn payload(offset: u64, len: usize) -> Vec<u8> {
    (0..len)
        .map(|n| (offset as usize * 31 + n * 7) as u8)
        .collect()
}

fn group(n: u8) -> String {
    format!("group {n}")
}

/// The rig, and the handles that it had when the streams were made.
struct Pair {
    rig: Rig,
    streams: BTreeMap<usize, Stream>,
    model: Model,
}

impl Pair {
    /// Stream and its model; `None` while there is no such stream.
    fn both(&mut self, n: usize) -> Option<(&Stream, &mut MStream)> {
        Some((self.streams.get(&n)?, self.model.streams.get_mut(&n)?))
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Create(n, first) => {
                let options = StreamOptions::new().begin_at(*first);
                let made = self.rig.store.create(NAMES[*n], &options);
                if self.model.streams.contains_key(n) {
                    assert_eq!(made.unwrap_err().kind(), ErrorKind::Exists);
                } else {
                    self.streams.insert(*n, made.unwrap());
                    self.model.streams.insert(*n, MStream::begin(*first));
                }
            }
            Op::Delete(n) => {
                if let Some(stream) = self.streams.remove(n) {
                    stream.delete().unwrap().applied().unwrap();
                    self.model.streams.remove(n);
                }
            }
            Op::Append(n, sent) => {
                if let Some((stream, model)) = self.both(*n) {
                    append(stream, model, sent);
                }
            }
            Op::Trim(n, distance) => {
                if let Some((stream, model)) = self.both(*n) {
                    let offset = model.first + distance;
                    stream.trim(offset).unwrap().applied().unwrap();
                    model.trim(offset);
                }
            }
            Op::Truncate(n, distance) => {
                if let Some((stream, model)) = self.both(*n) {
                    let offset = model.first + distance;
                    let cut = stream.truncate(offset);
                    if offset > model.next {
                        assert_eq!(cut.unwrap_err().kind(), ErrorKind::NoOffset);
                    } else {
                        cut.unwrap().applied().unwrap();
                        model.truncate(offset);
                    }
                }
            }
            Op::Erase(n, distance) => {
                if let Some((stream, model)) = self.both(*n) {
                    let offset = model.first + distance;
                    let gone = stream.erase(offset);
                    if offset >= model.next {
                        assert_eq!(gone.unwrap_err().kind(), ErrorKind::NoOffset);
                    } else {
                        gone.unwrap().applied().unwrap();
                        model.erase(offset);
                    }
                }
            }
            Op::Fence(n, token) => {
                if let Some((stream, model)) = self.both(*n) {
                    let raised = stream.fence(*token).unwrap().applied();
                    assert_eq!(raised.is_ok(), *token >= model.fence);
                    model.fence = model.fence.max(*token);
                }
            }
            Op::Seek(n, g, distance) => {
                if let Some((stream, model)) = self.both(*n) {
                    let set = stream.seek(&group(*g), *distance, b"").unwrap().applied();
                    assert_eq!(set.is_ok(), *distance <= model.next);
                    if set.is_ok() {
                        model.cursors.insert(*g, (0..*distance).collect());
                    }
                }
            }
            Op::Acknowledge(n, g, from, len) => {
                if let Some((stream, model)) = self.both(*n) {
                    let range = *from..from + len;
                    let done = stream.acknowledge(&group(*g), range.clone());
                    let done = done.unwrap().applied();
                    match model.cursors.get_mut(g) {
                        None => assert_eq!(done.unwrap_err().kind(), ErrorKind::Absent),
                        Some(_) if range.end > model.next => {
                            assert_eq!(done.unwrap_err().kind(), ErrorKind::NoOffset);
                        }
                        Some(known) => {
                            known.extend(range);
                            let offset = (0..).find(|at| !known.contains(at)).unwrap();
                            assert_eq!(done.unwrap(), offset);
                        }
                    }
                }
            }
            Op::Forget(n, g) => {
                if let Some((stream, model)) = self.both(*n) {
                    let gone = stream.forget(&group(*g)).unwrap().applied();
                    assert_eq!(gone.is_ok(), model.cursors.remove(g).is_some());
                }
            }
            Op::Put(key, distance) => {
                let version = self.model.table.get(key).copied().unwrap_or(0);
                let wanted = distance.map(|distance| version.wrapping_add_signed(distance.into()));
                let put = match wanted {
                    None => self.rig.store.put(&[*key], &[1; 10]),
                    Some(version) => self.rig.store.put_if(&[*key], &[2; 5], version),
                };
                let put = put.unwrap().applied();
                if wanted.is_some_and(|wanted| wanted != version) {
                    assert_eq!(put.unwrap_err().kind(), ErrorKind::Conflict);
                } else {
                    self.model.writes += 1;
                    self.model.table.insert(*key, self.model.writes);
                    assert_eq!(put.unwrap(), self.model.writes);
                }
            }
            Op::Remove(key) => {
                self.rig.store.remove(&[*key]).unwrap().applied().unwrap();
                if self.model.table.remove(key).is_some() {
                    self.model.writes += 1;
                }
            }
            Op::Batch(n, m, holds) => self.batch(*n, *m, *holds),
            Op::Reopen => {
                self.rig.reopen();
                for (n, stream) in &mut self.streams {
                    *stream = self.rig.store.stream(NAMES[*n]).unwrap();
                }
                self.compare();
            }
        }
    }

    fn batch(&mut self, n: usize, m: usize, holds: bool) {
        let (Some(one), Some(other)) = (self.streams.get(&n), self.streams.get(&m)) else {
            return;
        };
        let mut batch = Batch::new();
        let next = |n| self.model.streams[&n].next;
        let first = batch.append(one, &payload(next(n), 3)[..]).unwrap();
        let second = next(m) + u64::from(n == m);
        batch.append(other, &payload(second, 4)[..]).unwrap();
        batch.put_offset(&[200], &[0; 8], first, 0).unwrap();
        batch.require_next(other, next(m) + u64::from(!holds));
        let committed = self.rig.store.commit(&batch).unwrap().applied();
        if !holds {
            assert_eq!(committed.unwrap_err().kind(), ErrorKind::Conflict);
            return;
        }
        let plain = |len| Sent {
            len,
            count: 1,
            producer: None,
            message: None,
            if_next: None,
            fence: None,
        };
        let model = &mut self.model;
        let first = model
            .streams
            .get_mut(&n)
            .unwrap()
            .append(&plain(3), None)
            .unwrap()
            .0;
        let second = model
            .streams
            .get_mut(&m)
            .unwrap()
            .append(&plain(4), None)
            .unwrap()
            .0;
        model.writes += 1;
        model.table.insert(200, model.writes);
        assert_eq!(committed.unwrap().results, [first, second, model.writes, 0]);
        let value = self.rig.store.get(&[200]).unwrap().value;
        assert_eq!(*value, first.to_le_bytes());
    }

    fn compare(&self) {
        self.rig.store.flush().unwrap();
        assert_eq!(self.rig.store.len(), self.model.streams.len());
        for (n, model) in &self.model.streams {
            let stream = &self.streams[n];
            let info = stream.describe().unwrap();
            assert_eq!(
                (info.first, info.next, info.fence),
                (model.first, model.next, model.fence)
            );
            let records: Vec<_> = model
                .records
                .iter()
                .map(|(at, _, bytes)| (*at, bytes.clone()))
                .collect();
            assert_eq!(all(stream), records);
            assert_eq!(info.cursors.len(), model.cursors.len());
            for (cursor, known) in info.cursors.iter().zip(model.cursors.values()) {
                let mut done: BTreeSet<u64> = (0..cursor.offset).collect();
                done.extend(cursor.done.iter().cloned().flatten());
                assert_eq!(&done, known);
            }
        }
        let table: Vec<_> = self.rig.store.scan(b"", None, 1000);
        let table: Vec<_> = table
            .iter()
            .map(|found| (found.key[0], found.version))
            .collect();
        let expected: Vec<_> = self
            .model
            .table
            .iter()
            .map(|(key, at)| (*key, *at))
            .collect();
        assert_eq!(table, expected);
    }
}

fn append(stream: &Stream, model: &mut MStream, sent: &Sent) {
    let stamp = sent.producer.map(|(id, epoch, distance)| {
        let expected = model.expected(id, epoch).unwrap_or(5);
        Producer {
            id,
            epoch,
            sequence: expected.saturating_add_signed(distance),
        }
    });
    let payload = payload(model.next, sent.len);
    let message = sent.message.map(|id| [id]);
    let mut record = NewRecord::new(&payload).count(sent.count);
    if let Some(stamp) = stamp {
        record = record.producer(stamp);
    }
    if let Some(id) = &message {
        record = record.message_id(id);
    }
    if let Some(distance) = sent.if_next {
        record = record.if_next(model.next.wrapping_add_signed(distance.into()));
    }
    if let Some(token) = sent.fence {
        record = record.fence(token);
    }
    let ticket: StoreTicket<Appended> = stream.append(record).unwrap();
    let told = ticket
        .applied()
        .map(|appended| (appended.offset, appended.duplicate))
        .map_err(|error| {
            assert_ne!(error.kind(), ErrorKind::Closed, "{error}");
            error.kind()
        });
    assert_eq!(told, model.append(sent, stamp), "{sent:?}");
}

fn sent() -> impl Strategy<Value = Sent> {
    (
        prop_oneof![4 => 0..200usize, 1 => 0..60_000usize],
        prop_oneof![4 => Just(1), 1 => 2..5u32],
        prop::option::weighted(
            0.4,
            (0..2u64, 0..2u32, prop_oneof![4 => Just(0), 1 => -2..2i32]),
        ),
        prop::option::weighted(0.2, 0..6u8),
        prop::option::weighted(0.2, prop_oneof![3 => Just(0), 1 => -1..2i8]),
        prop::option::weighted(0.1, 0..4u64),
    )
        .prop_map(|(len, count, producer, message, if_next, fence)| Sent {
            len,
            count,
            producer,
            message,
            if_next,
            fence,
        })
}

fn op() -> impl Strategy<Value = Op> {
    let stream = || 0..NAMES.len();
    prop_oneof![
        4 => (stream(), prop_oneof![Just(0), Just(7)]).prop_map(|(n, first)| Op::Create(n, first)),
        1 => stream().prop_map(Op::Delete),
        30 => (stream(), sent()).prop_map(|(n, sent)| Op::Append(n, sent)),
        3 => (stream(), 0..12u64).prop_map(|(n, at)| Op::Trim(n, at)),
        3 => (stream(), 0..30u64).prop_map(|(n, at)| Op::Truncate(n, at)),
        3 => (stream(), 0..30u64).prop_map(|(n, at)| Op::Erase(n, at)),
        1 => (stream(), 0..4u64).prop_map(|(n, token)| Op::Fence(n, token)),
        3 => (stream(), 0..2u8, 0..20u64).prop_map(|(n, g, at)| Op::Seek(n, g, at)),
        5 => (stream(), 0..2u8, 0..30u64, 0..6u64).prop_map(|(n, g, at, len)| Op::Acknowledge(n, g, at, len)),
        1 => (stream(), 0..2u8).prop_map(|(n, g)| Op::Forget(n, g)),
        4 => (0..5u8, prop::option::of(prop_oneof![3 => Just(0), 1 => -1..2i8])).prop_map(|(key, at)| Op::Put(key, at)),
        2 => (0..5u8).prop_map(Op::Remove),
        6 => (stream(), stream(), prop_oneof![3 => Just(true), 1 => Just(false)]).prop_map(|(n, m, holds)| Op::Batch(n, m, holds)),
        2 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_store_is_what_its_model_is(ops in prop::collection::vec(op(), 1..120)) {
        let mut pair = Pair {
            rig: Rig::new(),
            streams: BTreeMap::new(),
            model: Model::default(),
        };
        for op in &ops {
            pair.run(op);
        }
        pair.compare();
        pair.run(&Op::Reopen);
    }
}
