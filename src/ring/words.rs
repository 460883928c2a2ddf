//! A value's bits in atomic words, for memory that is read while it is overwritten.
//!
//! A read that overlaps with a write of plain memory is a data race, whatever is done with the
//! result. Word by word with relaxed accesses it is none: it may give words of two values, and the
//! caller finds that out before it makes a value of them.

use std::mem::MaybeUninit;
use std::ptr;

use bytemuck::NoUninit;

use crate::sync::atomic::{AtomicU64, Ordering};

const WORD_BYTES: usize = size_of::<u64>();

/// How many words a value takes. The last may be filled up with zeros.
pub(crate) const fn words_of<T>() -> usize {
    size_of::<T>().div_ceil(WORD_BYTES)
}

/// Writes the bits of `value` into the first [`words_of`] words.
#[inline]
pub(crate) fn store<T: NoUninit>(words: &[AtomicU64], value: &T) {
    let mut chunks = bytemuck::bytes_of(value).chunks_exact(WORD_BYTES);
    let mut words = words.iter();
    for (bytes, word) in chunks.by_ref().zip(words.by_ref()) {
        let bytes = bytes.try_into().expect("a chunk is a word");
        word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
    }
    let rest = chunks.remainder();
    if let (false, Some(word)) = (rest.is_empty(), words.next()) {
        let mut bytes = [0; WORD_BYTES];
        bytes[..rest.len()].copy_from_slice(rest);
        word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
    }
}

/// The bits in the first [`words_of`] words. They are a value if all of them are from one
/// [`store`] of a `T`.
#[inline]
pub(crate) fn load<T: NoUninit>(words: &[AtomicU64]) -> MaybeUninit<T> {
    let words = &words[..words_of::<T>()];
    let mut value = MaybeUninit::<T>::uninit();
    let start = value.as_mut_ptr().cast::<u8>();
    for (at, word) in words.iter().enumerate() {
        let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        let offset = at * WORD_BYTES;
        let count = WORD_BYTES.min(size_of::<T>() - offset);
        // SAFETY: a word begins inside of the value, and only its bytes inside are copied.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start.add(offset), count) };
    }
    value
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    fn round_trip<T: NoUninit + PartialEq + std::fmt::Debug>(value: T) {
        let words: Vec<_> = (0..words_of::<T>())
            .map(|_| AtomicU64::new(u64::MAX))
            .collect();
        store(&words, &value);
        // SAFETY: all words are from this one store.
        assert_eq!(unsafe { load::<T>(&words).assume_init() }, value);
    }

    #[test]
    fn values_of_every_size_come_back() {
        round_trip(());
        round_trip(true);
        round_trip('é');
        round_trip(u128::MAX / 3);
        round_trip([7_u8; 0]);
        round_trip([1_u8, 2, 3, 4, 5, 6, 7]);
        round_trip(std::array::from_fn::<u8, 9, _>(|at| at as u8));
        round_trip(std::array::from_fn::<u16, 511, _>(|at| at as u16));
        assert_eq!(
            [
                words_of::<()>(),
                words_of::<u8>(),
                words_of::<u64>(),
                words_of::<[u8; 9]>()
            ],
            [0, 1, 1, 2]
        );
    }
}
