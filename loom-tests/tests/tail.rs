//! Claim, commit, abort, rollover, close, poison, freeze: the tail under all interleavings.
#![cfg(ringbolt_loom)]

use std::collections::BTreeSet;

use loom::sync::Arc;
use loom::thread;
use ringbolt::model::{Place, Tail};
use ringbolt_loom_tests::explore;

/// Every place lies in what the scan found, once, with its bytes.
fn check(tail: &Tail, segments: usize, appended: &[(Place, Vec<u8>)]) {
    let mut found = BTreeSet::new();
    for index in 0..segments {
        let ordinal = (index as u64 + 1) * 10;
        for (offset, payload) in tail.scan(index).0 {
            assert!(found.insert((ordinal, offset, payload)), "a record twice");
        }
    }
    let expected: BTreeSet<_> = appended
        .iter()
        .map(|((o, at), payload)| (*o, *at, payload.clone()))
        .collect();
    assert_eq!(
        expected.len(),
        appended.len(),
        "a position names two records"
    );
    assert_eq!(found, expected);
}

#[test]
fn two_producers_claim_and_commit() {
    explore("claim and commit", None, 10, || {
        let tail = Arc::new(Tail::new(64));
        let other = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || tail.append(b"b").unwrap())
        };
        let mine = tail.append(b"a").unwrap();
        // A scan at any moment sees whole frames only.
        let _ = tail.scan(0);
        let theirs = other.join().unwrap();
        check(&tail, 1, &[(mine, b"a".to_vec()), (theirs, b"b".to_vec())]);
    });
}

#[test]
fn an_abandoned_claim_becomes_padding() {
    explore("abort", None, 10, || {
        let tail = Arc::new(Tail::new(64));
        let other = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || tail.abandon(8).unwrap())
        };
        let mine = tail.append(b"a").unwrap();
        let _ = tail.scan(0);
        other.join().unwrap();
        check(&tail, 1, &[(mine, b"a".to_vec())]);
        assert_eq!(tail.scan(0).1, 48, "nothing is open");
    });
}

#[test]
fn a_claimer_that_slept_across_a_rollover_trusts_what_it_got_back() {
    // Three segments of one record each; both threads trip, pad, install and overshoot.
    explore("rollover", Some(3), 100, || {
        let tail = Arc::new(Tail::new(32));
        tail.ready();
        tail.ready();
        let other = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || tail.append(b"bbbbbbbb").unwrap())
        };
        let first = tail.append(b"aaaaaaaa").unwrap();
        let second = tail.append(b"cccccccc").unwrap();
        let theirs = other.join().unwrap();
        check(
            &tail,
            3,
            &[
                (first, b"aaaaaaaa".to_vec()),
                (second, b"cccccccc".to_vec()),
                (theirs, b"bbbbbbbb".to_vec()),
            ],
        );
    });
}

#[test]
fn the_next_segment_is_made_ready_while_producers_trip() {
    explore("rollover while made ready", Some(3), 100, || {
        let tail = Arc::new(Tail::new(32));
        let producers: Vec<_> = [b"aaaaaaaa", b"bbbbbbbb"]
            .into_iter()
            .map(|payload| {
                let tail = Arc::clone(&tail);
                thread::spawn(move || (tail.append(payload), payload.to_vec()))
            })
            .collect();
        tail.ready();
        let mut places = Vec::new();
        for producer in producers {
            match producer.join().unwrap() {
                (Ok(place), payload) => places.push((place, payload)),
                (Err(refusal), _) => assert_eq!(refusal, "not ready"),
            }
        }
        tail.ready();
        places.push((tail.append(b"c").unwrap(), b"c".to_vec()));
        check(&tail, 3, &places);
    });
}

#[test]
fn after_close_nothing_is_granted_and_what_was_is_before_the_tail() {
    explore("close", None, 10, || {
        let tail = Arc::new(Tail::new(64));
        let producer = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || [tail.append(b"a"), tail.append(b"b")])
        };
        let (generation, offset) = tail.close();
        assert_eq!(generation, 1);
        let results = producer.join().unwrap();
        for (_, at) in results.iter().flatten() {
            assert!(
                *at < offset,
                "granted at {at} behind the closed tail {offset}"
            );
        }
        assert!(
            results.iter().flatten().count() as u64 == offset / 24,
            "the tail counts them all"
        );
        assert_eq!(tail.append(b"c"), Err("closed"));
        assert_eq!(tail.scan(0).1, offset, "nothing is open");
    });
}

#[test]
fn after_poison_nothing_is_granted() {
    explore("poison", None, 5, || {
        let tail = Arc::new(Tail::new(64));
        let producer = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || tail.append(b"a"))
        };
        tail.poison();
        assert_eq!(tail.append(b"b"), Err("poisoned"));
        if let Err(refusal) = producer.join().unwrap() {
            assert_eq!(refusal, "poisoned");
        }
    });
}

#[test]
fn a_claimer_that_slept_across_a_truncation_lands_behind_it() {
    explore("freeze and restart", Some(3), 20, || {
        let tail = Arc::new(Tail::new(64));
        let producer = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || tail.append(b"a"))
        };
        let (_, cut) = tail.freeze();
        tail.ready();
        tail.restart(2);
        match producer.join().unwrap() {
            Ok((10, at)) => assert!(at < cut, "granted in the old segment before it froze"),
            Ok((ordinal, _)) => assert_eq!(ordinal, 20),
            Err(refusal) => assert_eq!(refusal, "frozen"),
        }
        assert_eq!(tail.scan(0).1, cut, "no hole before the cut");
        let place = tail.append(b"z").unwrap();
        assert_eq!(place.0, 20);
    });
}

#[test]
fn a_claimer_that_slept_across_a_thaw_is_granted_what_is_there() {
    explore("freeze and thaw", Some(3), 20, || {
        let tail = Arc::new(Tail::new(64));
        let producer = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || tail.append(b"a"))
        };
        let looker = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || {
                let (generation, offset) = tail.now();
                assert!(generation == 1 && offset <= 48, "{generation}:{offset}");
            })
        };
        let (generation, cut) = tail.freeze();
        // Whatever sleepers still add to a frozen word, the tail stands where it stood.
        assert_eq!(tail.now(), (generation, cut));
        tail.thaw(generation, cut);
        let mut places = vec![(tail.append(b"z").unwrap(), b"z".to_vec())];
        match producer.join().unwrap() {
            Ok(place) => places.push((place, b"a".to_vec())),
            Err(refusal) => assert_eq!(refusal, "frozen"),
        }
        check(&tail, 1, &places);
        looker.join().unwrap();
        assert_eq!(tail.scan(0).1, 24 * places.len() as u64, "no hole");
    });
}

/// There are four slots in a model. The fifth generation takes the first one's, while a producer
/// that may still believe in the first is on its way.
#[test]
fn a_slot_is_used_again_under_a_claimer_that_slept() {
    explore("slot reuse", Some(2), 100, || {
        let tail = Arc::new(Tail::new(24));
        for _ in 0..3 {
            tail.ready();
        }
        let mut places = vec![(tail.append(b"12345678").unwrap(), b"12345678".to_vec())];
        let producer = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || tail.append(b"abcdefgh").unwrap())
        };
        // The first generation is full, and committed.
        assert_eq!(tail.scan(0).1, 24);
        tail.retire(0);
        tail.ready();
        for _ in 0..3 {
            places.push((tail.append(b"12345678").unwrap(), b"12345678".to_vec()));
        }
        places.push((producer.join().unwrap(), b"abcdefgh".to_vec()));
        let ordinals: BTreeSet<_> = places.iter().map(|((ordinal, _), _)| *ordinal).collect();
        assert_eq!(ordinals, BTreeSet::from([10, 20, 30, 40, 50]));
        for index in 1..5 {
            assert_eq!(tail.scan(index).0.len(), 1);
        }
    });
}

/// Who looks a generation's ordinal up while its slot goes to another one gets the right one or none.
#[test]
fn the_ordinal_of_a_slot_that_is_used_again_is_never_the_other_ones() {
    explore("ordinal", None, 10, || {
        let tail = Arc::new(Tail::new(24));
        for _ in 0..3 {
            tail.ready();
        }
        tail.append(b"12345678").unwrap();
        let looker = {
            let tail = Arc::clone(&tail);
            thread::spawn(move || {
                let (first, fifth) = (tail.ordinal(1), tail.ordinal(5));
                assert!(first.is_none_or(|ordinal| ordinal == 10), "{first:?}");
                assert!(fifth.is_none_or(|ordinal| ordinal == 50), "{fifth:?}");
            })
        };
        tail.retire(0);
        tail.ready();
        looker.join().unwrap();
        assert_eq!((tail.ordinal(1), tail.ordinal(5)), (None, Some(50)));
    });
}
