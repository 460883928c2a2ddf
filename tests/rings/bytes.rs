//! The byte rings: against a model at every index, at their edges, and with several senders.

use std::collections::VecDeque;
use std::future::Future;
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use ringbolt::ErrorKind;
use ringbolt::ring::bytes::{Receiver, mpsc, spsc};
use ringbolt::ring::{Ready, RecvError, Refused, RingOptions, RingStats, Selector, WaitStrategy};

/// The face that both senders have, for tests that hold for both.
trait Sends: Send + Sized + 'static {
    fn make(options: &RingOptions) -> (Self, Receiver);
    fn try_send(&mut self, payload: &[u8]) -> Result<(), Refused>;
    fn send(&mut self, payload: &[u8]) -> Result<(), Refused>;
    fn try_send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), Refused>;
    fn send_deadline(&mut self, payload: &[u8], at: Instant) -> Result<(), Refused>;
    fn send_async(&mut self, payload: &[u8]) -> impl Future<Output = Result<(), Refused>> + Send;
    /// Claims, says whether all was zero, fills, and commits the first `keep`, or aborts.
    fn claim(&mut self, payload: &[u8], keep: Option<usize>) -> Result<(), Refused>;
    fn leak_claim(&mut self, len: usize) -> Result<(), Refused>;
    fn batch(&mut self, payloads: &[Vec<u8>], commit: bool) -> Result<(), Refused>;
    fn leak_batch(&mut self, payloads: &[Vec<u8>]) -> Result<(), Refused>;
    fn close(&self);
    fn len(&self) -> usize;
    fn stats(&self) -> RingStats;
    fn payload_bytes_max(&self) -> usize;
    fn capacity(&self) -> usize;
}

macro_rules! sends {
    ($module:ident, $make:ident) => {
        #[allow(clippy::forget_non_drop)] // a single sender's guards hold nothing
        impl Sends for $module::Sender {
            fn make(options: &RingOptions) -> (Self, Receiver) {
                options.$make().unwrap()
            }
            fn try_send(&mut self, payload: &[u8]) -> Result<(), Refused> {
                (*self).try_send(payload)
            }
            fn send(&mut self, payload: &[u8]) -> Result<(), Refused> {
                (*self).send(payload)
            }
            fn try_send_with(
                &mut self,
                len: usize,
                fill: impl FnOnce(&mut [u8]),
            ) -> Result<(), Refused> {
                (*self).try_send_with(len, fill)
            }
            fn send_deadline(&mut self, payload: &[u8], at: Instant) -> Result<(), Refused> {
                (*self).send_deadline(payload, at)
            }
            fn send_async(
                &mut self,
                payload: &[u8],
            ) -> impl Future<Output = Result<(), Refused>> + Send {
                (*self).send_async(payload)
            }
            fn claim(&mut self, payload: &[u8], keep: Option<usize>) -> Result<(), Refused> {
                let mut claim = (*self).try_claim(payload.len())?;
                claim.copy_from_slice(payload);
                match keep {
                    Some(len) if len == payload.len() => claim.commit(),
                    Some(len) => claim.commit_len(len),
                    None => drop(claim),
                }
                Ok(())
            }
            fn leak_claim(&mut self, len: usize) -> Result<(), Refused> {
                let mut claim = (*self).try_claim(len)?;
                claim.fill(0xff);
                forget(claim);
                Ok(())
            }
            fn batch(&mut self, payloads: &[Vec<u8>], commit: bool) -> Result<(), Refused> {
                let bytes = payloads.iter().map(Vec::len).sum();
                let mut batch = (*self).try_claim_batch(payloads.len(), bytes)?;
                for payload in payloads {
                    batch.push(payload).expect("claimed");
                }
                if commit {
                    batch.commit();
                }
                Ok(())
            }
            fn leak_batch(&mut self, payloads: &[Vec<u8>]) -> Result<(), Refused> {
                let bytes = payloads.iter().map(Vec::len).sum();
                let mut batch = (*self).try_claim_batch(payloads.len(), bytes)?;
                for payload in payloads {
                    batch.push(payload).expect("claimed");
                }
                forget(batch);
                Ok(())
            }
            fn close(&self) {
                self.close();
            }
            fn len(&self) -> usize {
                self.len()
            }
            fn stats(&self) -> RingStats {
                self.stats()
            }
            fn payload_bytes_max(&self) -> usize {
                self.payload_bytes_max()
            }
            fn capacity(&self) -> usize {
                self.capacity()
            }
        }
    };
}
sends!(spsc, spsc_bytes);
sends!(mpsc, mpsc_bytes);

/// Runs a test for both rings.
macro_rules! both {
    ($name:ident) => {
        mod $name {
            #[test]
            fn spsc() {
                super::generic::$name::<super::spsc::Sender>();
            }
            #[test]
            fn mpsc() {
                super::generic::$name::<super::mpsc::Sender>();
            }
        }
    };
}

both!(agrees_with_a_model);
both!(the_largest_record_fits_an_empty_ring_at_every_index);
both!(capacities);
both!(too_large_is_told_at_once);
both!(an_aborted_or_panicking_fill_sends_nothing);
both!(a_shorter_commit_sends_its_bytes_alone);
both!(leaked_records_and_drains_are_not_received_again);
both!(a_record_of_old_is_never_a_header);
both!(closing_keeps_what_is_inside);
both!(dropping_either_end_closes);
both!(deadlines_pass);
both!(a_panicking_reader_has_received);
both!(a_drain_leaves_what_it_did_not_read);
both!(long_drains_give_back_on_the_way);
both!(blocked_ends_get_on);
both!(dropped_futures_lose_nothing);
both!(a_waiter_is_woken_for_what_it_needs);
both!(a_sender_asleep_is_told_of_the_end);

/// What lies at the `index`th record: told apart by every byte.
fn payload(index: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (index * 31 + at * 7 + 1) as u8).collect()
}

fn options(capacity: usize) -> RingOptions {
    RingOptions::new(capacity)
}

/// Counts its wake-ups.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    SendWith(usize),
    Claim(usize, usize),
    Abort(usize),
    Batch(Vec<usize>, bool),
    Recv,
    LeakRecord,
    Drain(usize, usize),
    LeakDrain(usize),
}

fn step() -> impl Strategy<Value = Step> {
    // Around all sizes of a ring of 64 to 256 bytes, mostly small.
    let len = || prop_oneof![4 => 0..12_usize, 2 => 0..60_usize, 1 => 0..130_usize];
    prop_oneof![
        5 => len().prop_map(Step::Send),
        2 => len().prop_map(Step::SendWith),
        2 => (len(), 0..130_usize).prop_map(|(len, keep)| Step::Claim(len, keep.min(len))),
        2 => len().prop_map(Step::Abort),
        2 => (prop::collection::vec(len(), 0..5), any::<bool>())
            .prop_map(|(lens, commit)| Step::Batch(lens, commit)),
        6 => Just(Step::Recv),
        1 => Just(Step::LeakRecord),
        3 => (0..5_usize, 0..5_usize).prop_map(|(max, read)| Step::Drain(max, read)),
        1 => (0..4_usize).prop_map(Step::LeakDrain),
    ]
}

/// What a claim of `bytes` must give: exactly what the documented layout allows.
fn expected<S: Sends>(sender: &S, first: u64, bytes: usize) -> Result<(), Refused> {
    let capacity = sender.capacity();
    let tail = (first & !7).wrapping_add(sender.stats().sent);
    let to_end = capacity - (tail % capacity as u64) as usize;
    let padding = if to_end < bytes { to_end } else { 0 };
    match () {
        () if bytes > capacity / 2 => Err(Refused::TooLarge),
        () if padding + bytes > capacity - sender.len() => Err(Refused::Full),
        () => Ok(()),
    }
}

fn record_bytes(len: usize) -> usize {
    (len + 8).next_multiple_of(8)
}

fn check<S: Sends>(capacity: usize, first: u64, steps: &[Step]) {
    let (mut sender, mut receiver) = S::make(&options(capacity).starting_at(first));
    let mut model: VecDeque<Vec<u8>> = VecDeque::new();
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Send(len) => {
                let payload = payload(index, *len);
                let expected = expected(&sender, first, record_bytes(*len));
                assert_eq!(sender.try_send(&payload), expected);
                model.extend(expected.map(|()| payload));
            }
            Step::SendWith(len) => {
                let payload = payload(index, *len);
                let expected = expected(&sender, first, record_bytes(*len));
                let sent = sender.try_send_with(*len, |room| {
                    room.copy_from_slice(&payload);
                });
                assert_eq!(sent, expected);
                model.extend(expected.map(|()| payload));
            }
            Step::Claim(len, keep) => {
                let mut payload = payload(index, *len);
                let expected = expected(&sender, first, record_bytes(*len));
                assert_eq!(sender.claim(&payload, Some(*keep)), expected);
                payload.truncate(*keep);
                model.extend(expected.map(|()| payload));
            }
            Step::Abort(len) => {
                let expected = expected(&sender, first, record_bytes(*len));
                assert_eq!(sender.claim(&payload(index, *len), None), expected);
            }
            Step::Batch(lens, commit) => {
                let payloads: Vec<_> = lens.iter().map(|&len| payload(index, len)).collect();
                let bytes = lens.iter().sum::<usize>() + 15 * lens.len().max(1);
                let expected = expected(&sender, first, bytes.next_multiple_of(8));
                assert_eq!(sender.batch(&payloads, *commit), expected);
                if expected.is_ok() && *commit {
                    model.extend(payloads);
                }
            }
            Step::Recv => {
                let record = receiver.try_recv().map(|record| record.to_vec());
                assert_eq!(record, model.pop_front().ok_or(RecvError::Empty));
                if record.is_err() {
                    assert_eq!(receiver.len(), 0, "all is given back");
                }
            }
            Step::LeakRecord => {
                if let Ok(record) = receiver.try_recv() {
                    assert_eq!(*record, *model.pop_front().unwrap());
                    forget(record);
                }
            }
            Step::Drain(max, read) => match receiver.try_drain(*max) {
                Ok(mut drain) => {
                    let there = model.len().min(*max);
                    for _ in 0..*read.min(&there) {
                        assert_eq!(drain.next(), model.pop_front().as_deref());
                    }
                    if *read >= there {
                        assert_eq!(drain.next(), None);
                    }
                }
                Err(why) => assert_eq!((why, model.len()), (RecvError::Empty, 0)),
            },
            Step::LeakDrain(read) => {
                if let Ok(mut drain) = receiver.try_drain(usize::MAX) {
                    for _ in 0..*read.min(&model.len()) {
                        assert_eq!(drain.next(), model.pop_front().as_deref());
                    }
                    forget(drain);
                }
            }
        }
    }
    drop(sender);
    receiver.for_each(|record| assert_eq!(*record, *model.pop_front().unwrap()));
    assert!(model.is_empty());
    assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Closed);
    assert_eq!(receiver.len(), 0);
}

mod generic {
    use super::*;

    pub(crate) fn agrees_with_a_model<S: Sends>() {
        let steps = prop::collection::vec(step(), 1..120);
        // Every index of the smallest rings, and the wrap of the counters.
        let first = prop_oneof![0..256_u64, (0..256_u64).prop_map(|back| u64::MAX - back)];
        let config = ProptestConfig {
            cases: 3000,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        proptest!(config, |(steps in steps, first in first, bits in 6..9_u32)| {
            check::<S>(1 << bits, first, &steps);
        });
    }

    pub(crate) fn the_largest_record_fits_an_empty_ring_at_every_index<S: Sends>() {
        for capacity in [64, 128, 1024_u64] {
            for first in (0..capacity).step_by(8).chain([u64::MAX, u64::MAX - 64]) {
                let options = options(capacity as usize).starting_at(first);
                let (mut sender, mut receiver) = S::make(&options);
                let most = sender.payload_bytes_max();
                assert_eq!(most as u64, capacity / 2 - 8);
                // Several laps: an empty ring is an empty ring.
                for index in 0..5 {
                    let payload = payload(index, most);
                    sender.try_send(&payload).unwrap();
                    assert_eq!(*receiver.try_recv().unwrap(), *payload);
                    sender.try_send(&payload[..index]).unwrap();
                    assert_eq!(*receiver.try_recv().unwrap(), payload[..index]);
                }
            }
        }
    }

    pub(crate) fn capacities<S: Sends>() {
        for (asked, given) in [
            (1, 64),
            (64, 64),
            (65, 128),
            (1000, 1024),
            (1 << 16, 1 << 16),
        ] {
            let (mut sender, mut receiver) = S::make(&options(asked));
            assert_eq!((sender.capacity(), receiver.capacity()), (given, given));
            assert_eq!(sender.payload_bytes_max(), receiver.payload_bytes_max());
            // A record of nothing takes its header alone.
            for _ in 0..given / 8 {
                sender.try_send(&[]).unwrap();
            }
            assert_eq!(sender.try_send(&[]), Err(Refused::Full));
            assert_eq!(sender.len(), given);
            for _ in 0..given / 8 {
                assert!(receiver.try_recv().unwrap().is_empty());
            }
            assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
            assert_eq!((sender.len(), receiver.len()), (0, 0));
        }
        for asked in [0, (1 << 31) + 1, usize::MAX] {
            for kind in [
                spsc::ring(asked).unwrap_err().kind(),
                mpsc::ring(asked).unwrap_err().kind(),
            ] {
                assert_eq!(kind, ErrorKind::Invalid);
            }
        }
    }

    pub(crate) fn too_large_is_told_at_once<S: Sends>() {
        let (mut sender, mut receiver) = S::make(&options(256));
        let most = sender.payload_bytes_max();
        assert_eq!(sender.send(&vec![0; most + 1]), Err(Refused::TooLarge));
        for len in [most + 1, usize::MAX - 8, usize::MAX] {
            let never = |_: &mut [u8]| unreachable!("it is not claimed");
            assert_eq!(sender.try_send_with(len, never), Err(Refused::TooLarge));
            assert_eq!(sender.leak_claim(len), Err(Refused::TooLarge));
        }
        assert_eq!(
            sender.batch(&[vec![0; most], vec![]], true),
            Err(Refused::TooLarge)
        );
        assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
        sender.send(&vec![1; most]).unwrap();
        assert_eq!(receiver.recv().unwrap().len(), most);
    }

    pub(crate) fn an_aborted_or_panicking_fill_sends_nothing<S: Sends>() {
        let (mut sender, mut receiver) = S::make(&options(128).starting_at(64));
        for len in (0..=56).cycle().take(500) {
            sender.claim(&vec![0xff; len], None).unwrap();
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                receiver.try_recv().unwrap_err();
                sender.try_send_with(len, |room| {
                    room.fill(0xff);
                    panic!("in a fill")
                })
            }));
            assert!(panicked.is_err());
            assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
            sender
                .batch(&[vec![0xff; len / 8], vec![0xff; len / 8]], false)
                .unwrap();
            assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
            sender.try_send(&payload(len, len)).unwrap();
            assert_eq!(*receiver.try_recv().unwrap(), *payload(len, len));
        }
        drop(sender);
        assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Closed);
    }

    pub(crate) fn a_shorter_commit_sends_its_bytes_alone<S: Sends>() {
        let (mut sender, mut receiver) = S::make(&options(256));
        for keep in 0..=120 {
            sender.claim(&[0xff; 120], Some(keep)).unwrap();
            assert_eq!(*receiver.recv().unwrap(), *vec![0xff; keep]);
            assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
            assert_eq!(sender.len(), 0);
        }
        let longer = catch_unwind(AssertUnwindSafe(|| sender.claim(&[0xff; 8], Some(9))));
        assert!(longer.is_err());
        assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
    }

    pub(crate) fn leaked_records_and_drains_are_not_received_again<S: Sends>() {
        // As many as fill the ring exactly: the next look is at the first one's place.
        let (mut sender, mut receiver) = S::make(&options(64));
        for lap in 0..20 {
            for index in 0..4 {
                sender.try_send(&payload(lap * 4 + index, 8)).unwrap();
            }
            assert_eq!(sender.try_send(&[]), Err(Refused::Full));
            if lap % 2 == 0 {
                for index in 0..4 {
                    let record = receiver.try_recv().unwrap();
                    assert_eq!(*record, *payload(lap * 4 + index, 8));
                    forget(record);
                }
            } else {
                let mut drain = receiver.try_drain(usize::MAX).unwrap();
                for index in 0..4 {
                    assert_eq!(*drain.next().unwrap(), *payload(lap * 4 + index, 8));
                }
                forget(drain);
            }
            assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
            assert_eq!(sender.len(), 0, "given back by the next call");
        }
    }

    pub(crate) fn a_record_of_old_is_never_a_header<S: Sends>() {
        // Payloads that look like committed headers of all lengths lie wherever one may be looked for.
        let (mut sender, mut receiver) = S::make(&options(256));
        for len in (0..=120).cycle().take(2000) {
            let header = (1_u64 << 63 | (len as u64 % 24)).to_ne_bytes();
            let record: Vec<u8> = header.iter().copied().cycle().take(len).collect();
            sender.try_send(&record).unwrap();
            assert_eq!(*receiver.try_recv().unwrap(), *record);
            assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
            sender.claim(&record, None).unwrap();
            assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
            sender.claim(&record, Some(len / 3)).unwrap();
            assert_eq!(*receiver.try_recv().unwrap(), record[..len / 3]);
            assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
        }
    }

    pub(crate) fn closing_keeps_what_is_inside<S: Sends>() {
        for by_receiver in [false, true] {
            let (mut sender, mut receiver) = S::make(&options(256));
            sender.try_send(b"one").unwrap();
            sender.claim(&[0xff; 20], None).unwrap();
            sender.try_send(b"").unwrap();
            if by_receiver {
                receiver.close();
            } else {
                sender.close();
            }
            assert_eq!(sender.try_send(b"late"), Err(Refused::Closed));
            assert_eq!(sender.send(b"late"), Err(Refused::Closed));
            assert_eq!(sender.batch(&[vec![1]], true), Err(Refused::Closed));
            assert!(receiver.is_closed());
            assert_eq!(*receiver.recv().unwrap(), *b"one");
            let mut drain = receiver.drain(9).unwrap();
            assert_eq!(drain.next(), Some(&b""[..]));
            assert_eq!(drain.next(), None);
            drop(drain);
            assert_eq!(receiver.recv().unwrap_err(), RecvError::Closed);
            assert_eq!(receiver.try_drain(1).unwrap_err(), RecvError::Closed);
            receiver.for_each(|_| unreachable!("nothing is left"));
            assert_eq!(receiver.stats().sent, receiver.stats().received);
        }
    }

    pub(crate) fn dropping_either_end_closes<S: Sends>() {
        let (mut sender, receiver) = S::make(&options(64));
        sender.try_send(b"unread").unwrap();
        drop(receiver);
        assert_eq!(sender.send(&[]), Err(Refused::Closed));

        let (mut sender, mut receiver) = S::make(&options(64));
        sender.try_send(b"read").unwrap();
        drop(sender);
        let record = receiver.recv().unwrap();
        assert_eq!(*record, *b"read");
        drop(record);
        assert_eq!(receiver.recv().unwrap_err(), RecvError::Closed);
        drop(receiver);

        let (mut sender, receiver) = S::make(&options(64));
        sender.try_send(b"unread").unwrap();
        drop(sender);
        drop(receiver);
    }

    pub(crate) fn deadlines_pass<S: Sends>() {
        for wait in [
            WaitStrategy::Spin,
            WaitStrategy::SpinYield,
            WaitStrategy::SpinPark,
        ] {
            let (mut sender, mut receiver) = S::make(&options(64).wait(wait));
            let soon = || Instant::now() + Duration::from_millis(2);
            let late = receiver.recv_deadline(soon()).unwrap_err();
            assert_eq!(late, RecvError::TimedOut);
            let late = receiver.drain_deadline(3, soon()).unwrap_err();
            assert_eq!(late, RecvError::TimedOut);
            sender.send_deadline(&[1; 24], soon()).unwrap();
            sender.send_deadline(&[2; 24], soon()).unwrap();
            let late = sender.send_deadline(&[], soon());
            assert_eq!(late, Err(Refused::TimedOut));
            assert_eq!(receiver.stats().senders.waits, 1);
            assert_eq!(*receiver.recv_deadline(soon()).unwrap(), [1; 24]);
            assert_eq!(
                receiver.drain_deadline(3, soon()).unwrap().next(),
                Some(&[2; 24][..])
            );
            // A deadline that has passed is no reason to refuse what can be done at once.
            let past = Instant::now();
            sender.send_deadline(&[3; 24], past).unwrap();
            assert_eq!(*receiver.recv_deadline(past).unwrap(), [3; 24]);
        }
    }

    pub(crate) fn a_panicking_reader_has_received<S: Sends>() {
        let (mut sender, mut receiver) = S::make(&options(64));
        for index in 0..4 {
            sender.try_send(&[index; 8]).unwrap();
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            receiver.for_each(|record| assert_eq!(*record, [0; 8]));
        }));
        assert!(panicked.is_err());
        assert_eq!(sender.len(), 32);
        assert_eq!(*receiver.recv().unwrap(), [2; 8]);
    }

    pub(crate) fn a_drain_leaves_what_it_did_not_read<S: Sends>() {
        let (mut sender, mut receiver) = S::make(&options(256));
        for index in 0..9 {
            sender.try_send(&[index]).unwrap();
        }
        assert_eq!(receiver.try_drain(3).unwrap().next(), Some(&[0][..]));
        drop(receiver.try_drain(3).unwrap());
        drop(receiver.try_drain(0).unwrap());
        assert_eq!(receiver.try_drain(0).unwrap().next(), None);
        let mut seen = Vec::new();
        receiver
            .try_drain(3)
            .unwrap()
            .for_each(|record| seen.push(record[0]));
        assert_eq!(seen, [1, 2, 3]);
        receiver
            .try_drain(99)
            .unwrap()
            .for_each(|record| seen.push(record[0]));
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(receiver.try_drain(99).unwrap_err(), RecvError::Empty);
    }

    pub(crate) fn long_drains_give_back_on_the_way<S: Sends>() {
        let (mut sender, mut receiver) = S::make(&options(1024));
        for index in 0..64 {
            sender.try_send(&[index; 8]).unwrap();
        }
        let mut drain = receiver.try_drain(usize::MAX).unwrap();
        for index in 0..17 {
            assert_eq!(sender.try_send(&[]), Err(Refused::Full));
            assert_eq!(drain.next(), Some(&[index; 8][..]));
        }
        // A quarter was read when the 17th was asked for.
        for _ in 0..16 {
            sender.try_send(&[99; 8]).unwrap();
        }
        assert_eq!(sender.try_send(&[]), Err(Refused::Full));
        for index in 17..64 {
            assert_eq!(drain.next(), Some(&[index; 8][..]));
        }
        for _ in 0..16 {
            assert_eq!(drain.next(), Some(&[99; 8][..]));
        }
        assert_eq!(drain.next(), None);
        drop(drain);
        assert_eq!(sender.len(), 0);
    }

    pub(crate) fn blocked_ends_get_on<S: Sends>() {
        const RECORDS: usize = 20_000;
        for wait in [WaitStrategy::SpinPark, WaitStrategy::SpinYield] {
            let (mut sender, mut receiver) = S::make(&options(256).wait(wait));
            let thread = std::thread::spawn(move || {
                for index in 0..RECORDS {
                    sender.send(&payload(index, index % 121)).unwrap();
                }
            });
            for index in 0..RECORDS {
                assert_eq!(*receiver.recv().unwrap(), *payload(index, index % 121));
            }
            assert_eq!(receiver.recv().unwrap_err(), RecvError::Closed);
            thread.join().unwrap();
        }
    }

    pub(crate) fn dropped_futures_lose_nothing<S: Sends>() {
        let (mut sender, mut receiver) = S::make(&options(64));
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = &mut Context::from_waker(&waker);
        {
            let mut receiving = pin!(receiver.recv_async());
            assert!(receiving.as_mut().poll(cx).is_pending());
            sender.try_send(&[1; 24]).unwrap();
            assert_eq!(count.0.load(Ordering::SeqCst), 1);
        }
        sender.try_send(&[2; 24]).unwrap();
        {
            let mut sending = pin!(sender.send_async(&[3; 24]));
            assert!(sending.as_mut().poll(cx).is_pending());
            assert_eq!(*receiver.try_recv().unwrap(), [1; 24]);
            assert_eq!(count.0.load(Ordering::SeqCst), 2);
        }
        {
            let mut sending = pin!(sender.send_async(&[4; 24]));
            assert_eq!(sending.as_mut().poll(cx), Poll::Ready(Ok(())));
        }
        for expected in [2, 4] {
            let mut receiving = pin!(receiver.recv_async());
            let Poll::Ready(Ok(record)) = receiving.as_mut().poll(cx) else {
                panic!("it is there");
            };
            assert_eq!(*record, [expected; 24]);
        }
        drop(sender);
        let mut draining = pin!(receiver.drain_async(1));
        let Poll::Ready(Err(why)) = draining.as_mut().poll(cx) else {
            panic!("closed");
        };
        assert_eq!(why, RecvError::Closed);
    }

    pub(crate) fn a_waiter_is_woken_for_what_it_needs<S: Sends>() {
        // bbqueue#111: one that needs much is not woken for little, and is woken for enough.
        let (mut sender, mut receiver) = S::make(&options(64));
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = &mut Context::from_waker(&waker);
        for index in 0..8 {
            assert_eq!(sender.try_send(&[]), Ok(()), "{index}");
        }
        let mut sending = pin!(sender.send_async(&[7; 24]));
        assert!(sending.as_mut().poll(cx).is_pending());
        for freed in 1..=4 {
            assert_eq!(count.0.load(Ordering::SeqCst), 0, "{freed} of 4 places");
            drop(receiver.try_recv().unwrap());
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(sending.as_mut().poll(cx), Poll::Ready(Ok(())));
    }

    pub(crate) fn a_sender_asleep_is_told_of_the_end<S: Sends>() {
        let (mut sender, receiver) = S::make(&options(64));
        let meet = Arc::new(Barrier::new(2));
        let there = Arc::clone(&meet);
        let thread = std::thread::spawn(move || {
            sender.send(&[0; 24]).unwrap();
            sender.send(&[0; 24]).unwrap();
            there.wait();
            sender.send(&[0; 24])
        });
        meet.wait();
        drop(receiver);
        assert_eq!(thread.join().unwrap(), Err(Refused::Closed));
    }
}

#[test]
fn a_forgotten_claim_of_a_single_sender_is_claimed_anew() {
    let (mut sender, mut receiver) = spsc::ring(128).unwrap();
    for index in 0..50 {
        sender.leak_claim(index).unwrap();
        assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
        sender.leak_batch(&[vec![0xff; 3], vec![0xff; 9]]).unwrap();
        assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
        assert_eq!(sender.len(), 0);
        sender.try_send(&payload(index, index)).unwrap();
        assert_eq!(*receiver.try_recv().unwrap(), *payload(index, index));
    }
    sender.leak_claim(40).unwrap();
    drop(sender);
    assert_eq!(receiver.recv().unwrap_err(), RecvError::Closed);
}

#[test]
fn a_forgotten_claim_among_many_stalls_and_is_seen() {
    let (mut sender, mut receiver) = mpsc::ring(128).unwrap();
    sender.try_send(b"before").unwrap();
    sender.leak_claim(8).unwrap();
    sender.leak_batch(&[vec![0xff; 3], vec![0xff; 9]]).unwrap();
    while sender.try_send(b"behind").is_ok() {}
    assert_eq!(*receiver.recv().unwrap(), *b"before");
    for _ in 0..3 {
        assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
        assert_eq!(receiver.stats().received, 16);
        assert!(receiver.stats().sent > 100);
    }
    drop(sender);
    assert_eq!(
        receiver.try_recv().unwrap_err(),
        RecvError::Empty,
        "not closed while something is claimed"
    );
}

#[test]
fn a_claim_that_is_open_while_the_ring_is_closed_still_arrives() {
    let (sender, mut receiver) = mpsc::ring(128).unwrap();
    let other = sender.clone();
    let mut kept = sender.try_claim(4).unwrap();
    let dropped = sender.try_claim(4).unwrap();
    other.close();
    assert_eq!(other.try_send(b"late"), Err(Refused::Closed));
    assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
    kept.copy_from_slice(b"kept");
    kept.commit();
    assert_eq!(*receiver.recv().unwrap(), *b"kept");
    assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
    drop(dropped);
    assert_eq!(receiver.recv().unwrap_err(), RecvError::Closed);
}

#[test]
fn a_growing_batch_is_seen_all_or_none() {
    for first in (0..256).step_by(8) {
        let options = options(256).starting_at(first);
        let (mut sender, mut receiver) = options.spsc_bytes().unwrap();
        let mut batch = sender.batch();
        let mut sent = VecDeque::new();
        for index in 0.. {
            let payload = payload(index, index * 5 % 40);
            match batch.push(&payload) {
                Ok(()) => sent.push_back(payload),
                Err(why) => {
                    assert_eq!(why, Refused::Full);
                    break;
                }
            }
            assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
        }
        assert_eq!(batch.push(&[0; 121]), Err(Refused::TooLarge));
        batch.commit();
        assert!(sent.len() > 6);
        drop(sender);
        receiver.for_each(|record| assert_eq!(*record, *sent.pop_front().unwrap()));
        assert!(sent.is_empty());
    }
}

#[test]
fn a_panicking_fill_in_a_batch_leaves_the_rest() {
    let (mut sender, mut receiver) = spsc::ring(256).unwrap();
    let (many, mut from_many) = mpsc::ring(256).unwrap();
    for lap in 0..40 {
        let mut batch = sender.batch();
        let mut of_many = many.try_claim_batch(3, 60).unwrap();
        batch.push(b"first").unwrap();
        of_many.push(b"first").unwrap();
        for _ in 0..2 {
            let fill = |room: &mut [u8]| {
                room.fill(0xff);
                panic!("in a fill")
            };
            catch_unwind(AssertUnwindSafe(|| batch.push_with(50, fill))).unwrap_err();
            catch_unwind(AssertUnwindSafe(|| of_many.push_with(50, fill))).unwrap_err();
        }
        if lap % 2 == 0 {
            batch.push(b"second").unwrap();
            of_many.push(b"second").unwrap();
        }
        batch.commit();
        of_many.commit();
        for receiver in [&mut receiver, &mut from_many] {
            assert_eq!(*receiver.try_recv().unwrap(), *b"first");
            if lap % 2 == 0 {
                assert_eq!(*receiver.try_recv().unwrap(), *b"second");
            }
            assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
        }
    }
}

#[test]
fn records_of_several_senders_come_whole_and_in_order() {
    const SENDERS: usize = 4;
    const RECORDS: usize = 15_000;
    for wait in [WaitStrategy::SpinPark, WaitStrategy::SpinYield] {
        let options = options(1024).wait(wait).starting_at(u64::MAX - 5000);
        let (sender, mut receiver) = options.mpsc_bytes().unwrap();
        let threads: Vec<_> = (0..SENDERS)
            .map(|number| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let mut index = 0;
                    while index < RECORDS {
                        index += burst(&sender, number, index);
                    }
                })
            })
            .collect();
        drop(sender);
        let mut next = [0; SENDERS];
        let mut read = |record: &[u8]| {
            let number = usize::from(record[0]);
            assert_eq!(*record, *record_of(number, next[number]));
            next[number] += 1;
        };
        // By turns one by one and in drains.
        loop {
            match receiver.recv() {
                Ok(record) => read(&record),
                Err(why) => break assert_eq!(why, RecvError::Closed),
            }
            if let Ok(drain) = receiver.try_drain(7) {
                drain.for_each(&mut read);
            }
        }
        assert!(next.iter().all(|&next| next >= RECORDS));
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}

/// Sends one or more records in one of the ways there are; says how many.
fn burst(sender: &mpsc::Sender, number: usize, index: usize) -> usize {
    let record = record_of(number, index);
    match index % 5 {
        0 => {
            let records: Vec<_> = (index..index + 3).map(|at| record_of(number, at)).collect();
            let bytes = records.iter().map(Vec::len).sum();
            let mut batch = sender.claim_batch(3, bytes).unwrap();
            for record in &records {
                batch.push(record).unwrap();
            }
            batch.commit();
            return 3;
        }
        3 => {
            let mut claim = sender.claim(record.len() + 20).unwrap();
            claim[..record.len()].copy_from_slice(&record);
            claim.commit_len(record.len());
        }
        _ => {
            if index % 7 == 0 {
                sender.claim(record.len()).unwrap().fill(0xff);
            }
            sender.send(&record).unwrap();
        }
    }
    1
}

fn record_of(number: usize, index: usize) -> Vec<u8> {
    let mut record = payload(index, 1 + index * 13 % 97);
    record[0] = number as u8;
    record
}

#[test]
fn handles_are_waited_for_together() {
    let mut selector = Selector::new();
    let (mut single, mut receiver) = spsc::ring(64).unwrap();
    let (many, mut from_many) = mpsc::ring(64).unwrap();
    let find = |selector: &mut Selector, handles: &[&dyn Ready]| selector.try_select(handles);
    assert_eq!(find(&mut selector, &[&receiver, &from_many]), None);
    assert_eq!(find(&mut selector, &[&receiver, &single]), Some(1));
    for _ in 0..2 {
        single.send(&[1; 24]).unwrap();
        many.send(&[1; 24]).unwrap();
    }
    assert_eq!(find(&mut selector, &[&single, &many]), None);
    assert_eq!(find(&mut selector, &[&receiver]), Some(0));
    forget(receiver.try_recv().unwrap());
    forget(receiver.try_recv().unwrap());
    assert_eq!(find(&mut selector, &[&receiver]), Some(0), "to give back");
    assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
    assert_eq!(find(&mut selector, &[&receiver]), None);
    assert_eq!(find(&mut selector, &[&single, &many]), Some(0));
    many.close();
    assert_eq!(find(&mut selector, &[&many]), Some(0));
    from_many.try_drain(9).unwrap().for_each(|_| ());
    assert_eq!(find(&mut selector, &[&from_many]), Some(0), "to be told");
    let open = many.try_claim(0).map(drop);
    assert_eq!(open, Err(Refused::Closed));

    let thread = std::thread::spawn(move || single.send(b"late").unwrap());
    assert_eq!(selector.select(&[&receiver]), 0);
    assert_eq!(*receiver.try_recv().unwrap(), *b"late");
    thread.join().unwrap();
}

#[test]
fn handles_and_futures_change_threads() {
    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    let (mut single, mut receiver) = spsc::ring(64).unwrap();
    let (many, _other) = mpsc::ring(64).unwrap();
    send(&single);
    send(&many);
    sync(&many);
    send(&receiver);
    send(&single.send_async(b"x"));
    send(&single.send_with_async(1, |_| ()));
    send(&single.claim_async(1));
    send(&single.claim_batch_async(1, 1));
    send(&many.send_async(b"x"));
    send(&many.send_with_async(1, |_| ()));
    send(&many.claim_async(1));
    send(&many.claim_batch_async(1, 1));
    send(&receiver.recv_async());
    send(&receiver.drain_async(1));
}
