//! Replays the fuzzers' committed corpora on a stable compiler: what was interesting once must
//! stay harmless, and a case that failed once stays mended.
#![cfg(feature = "sim")]

use std::fs;
use std::path::Path;

/// Enough to meet every operation in most states, few enough for seconds.
const OPERATIONS_OF_NOISE: usize = 60;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("the corpus is part of the repository")
        .map(|entry| entry.expect("a name in the corpus").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 10, "a corpus of {} cases", paths.len());
    for path in paths {
        let case = fs::read(&path).expect("a case of the corpus");
        if let Err(panic) = std::panic::catch_unwind(|| run(&case)) {
            eprintln!("the case was {}", path.display());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn frame() {
    replay("frame", ringbolt::fuzz::frame);
}

#[test]
fn operations() {
    replay("operations", ringbolt::fuzz::operations);
}

/// Plain noise, from a generator that gives the same noise each time.
fn noise(len: usize, state: &mut u64) -> Vec<u8> {
    (0..len)
        .map(|_| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            *state as u8
        })
        .collect()
}

/// Cases that no corpus can be trusted to keep: nothing at all, and plain noise of every length.
#[test]
fn frame_of_noise() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for len in 0..512 {
        let case = noise(len, &mut state);
        for kind in 0..4 {
            let mut case = case.clone();
            case.first_mut().into_iter().for_each(|first| *first = kind);
            ringbolt::fuzz::frame(&case);
        }
    }
}

/// Noise is a fair sequence of operations, too: each byte says which one comes next.
#[test]
fn operations_of_noise() {
    let mut state = 0x2545_f491_4f6c_dd1d;
    for case in 0..OPERATIONS_OF_NOISE {
        let bytes = noise(400, &mut state);
        if let Err(panic) = std::panic::catch_unwind(|| ringbolt::fuzz::operations(&bytes)) {
            eprintln!("it was case {case}");
            std::panic::resume_unwind(panic);
        }
    }
}
