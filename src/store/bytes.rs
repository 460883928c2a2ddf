//! Writing and reading what the store keeps in files of its own: numbers in as few bytes as they need,
//! seven bits each, and bytes behind their length.

/// Bytes that are written.
#[derive(Debug, Default)]
pub(crate) struct Out(pub(crate) Vec<u8>);

impl Out {
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.number(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }
}

/// Bytes that are read. Whatever they are, nothing is read beyond them: `None` instead.
#[derive(Debug)]
pub(crate) struct In<'a>(pub(crate) &'a [u8]);

impl<'a> In<'a> {
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let part = u64::from(byte & 0x7F);
            if part << shift >> shift != part {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn word(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A list, whose items take a byte each at least.
    pub(crate) fn list<T, C: FromIterator<T>>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<C> {
        let len = usize::try_from(self.number()?).ok()?;
        if len > self.0.len() {
            return None;
        }
        (0..len).map(|_| read(self)).collect()
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn is_read_as_written(numbers in prop::collection::vec(any::<u64>(), 0..20), shift in 0..64) {
            let mut out = Out::default();
            let numbers: Vec<u64> = numbers.into_iter().map(|n| n >> shift).collect();
            out.list(numbers.iter(), |out, n| out.number(*n));
            out.bytes(b"text");
            let mut read = In(&out.0);
            prop_assert_eq!(read.list::<_, Vec<u64>>(In::number), Some(numbers));
            prop_assert_eq!(read.text(), Some("text"));
            prop_assert!(read.0.is_empty());
        }

        #[test]
        fn noise_is_read_without_harm(noise in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut read = In(&noise);
            let _ = read.list::<_, Vec<&[u8]>>(In::bytes);
            let _ = In(&noise).number();
        }
    }
}
