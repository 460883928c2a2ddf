//! What a stream is set to: part of the log, so that every pass knows it.

/// What a stream is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamConfig {
    /// Its records' payloads may take so many bytes.
    pub(crate) quota_bytes: u64,
    /// So many producers are remembered.
    pub(crate) producers_max: u32,
    /// So many message ids are remembered.
    pub(crate) messages_max: u32,
    /// Message ids are forgotten after so long.
    pub(crate) message_window_ns: u64,
    /// The oldest records go when there are more bytes than this.
    pub(crate) retain_bytes: u64,
    /// Records go when they are older than this.
    pub(crate) retain_age_ns: u64,
    /// Cursors that were not moved for so long are forgotten.
    pub(crate) cursor_age_ns: u64,
    /// Producers that were not heard of for so long are forgotten.
    pub(crate) producer_age_ns: u64,
    /// Records go when every cursor that holds retention has passed them.
    pub(crate) retain_unacknowledged: bool,
    /// Of records with the same key only the latest is kept.
    pub(crate) latest_by_key: bool,
    /// The embedder's own.
    pub(crate) opaque: Box<[u8]>,
}

/// The longest opaque configuration, in bytes.
pub(crate) const OPAQUE_BYTES_MAX: usize = 4 << 10;

const FIXED_BYTES: usize = 64;
const RETAIN_UNACKNOWLEDGED: u8 = 1 << 0;
const LATEST_BY_KEY: u8 = 1 << 1;

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            quota_bytes: u64::MAX,
            producers_max: 1000,
            messages_max: 10_000,
            message_window_ns: 120_000_000_000,
            retain_bytes: u64::MAX,
            retain_age_ns: u64::MAX,
            cursor_age_ns: u64::MAX,
            producer_age_ns: u64::MAX,
            retain_unacknowledged: false,
            latest_by_key: false,
            opaque: Box::default(),
        }
    }
}

impl StreamConfig {
    /// The configuration's bytes; none for the default one.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.opaque.len());
        bytes.extend(self.quota_bytes.to_le_bytes());
        bytes.extend(self.producers_max.to_le_bytes());
        bytes.extend(self.messages_max.to_le_bytes());
        bytes.extend(self.message_window_ns.to_le_bytes());
        bytes.extend(self.retain_bytes.to_le_bytes());
        bytes.extend(self.retain_age_ns.to_le_bytes());
        bytes.extend(self.cursor_age_ns.to_le_bytes());
        bytes.extend(self.producer_age_ns.to_le_bytes());
        let has = |there: bool, bit: u8| if there { bit } else { 0 };
        bytes.push(
            has(self.retain_unacknowledged, RETAIN_UNACKNOWLEDGED)
                | has(self.latest_by_key, LATEST_BY_KEY),
        );
        bytes.extend([0; 7]);
        bytes.extend(&*self.opaque);
        bytes
    }

    /// Reads a configuration; `None` for bytes that are none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let (fixed, opaque) = bytes.split_first_chunk::<FIXED_BYTES>()?;
        let long = |at: usize| {
            let bytes = fixed[at..at + 8].try_into().expect("eight bytes");
            u64::from_le_bytes(bytes)
        };
        let flags = fixed[56];
        if flags & !(RETAIN_UNACKNOWLEDGED | LATEST_BY_KEY) != 0
            || fixed[57..] != [0; 7]
            || opaque.len() > OPAQUE_BYTES_MAX
        {
            return None;
        }
        Some(Self {
            quota_bytes: long(0),
            producers_max: long(8) as u32,
            messages_max: (long(8) >> 32) as u32,
            message_window_ns: long(16),
            retain_bytes: long(24),
            retain_age_ns: long(32),
            cursor_age_ns: long(40),
            producer_age_ns: long(48),
            retain_unacknowledged: flags & RETAIN_UNACKNOWLEDGED != 0,
            latest_by_key: flags & LATEST_BY_KEY != 0,
            opaque: opaque.into(),
        })
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_written_and_nothing_else_is() {
        let config = StreamConfig {
            quota_bytes: 1,
            producers_max: 2,
            messages_max: 3,
            message_window_ns: 4,
            retain_bytes: 5,
            retain_age_ns: 6,
            cursor_age_ns: 7,
            producer_age_ns: 8,
            retain_unacknowledged: true,
            latest_by_key: true,
            opaque: (*b"mine").into(),
        };
        let bytes = config.to_bytes();
        assert_eq!(bytes.len(), 68);
        assert_eq!(StreamConfig::parse(&bytes), Some(config));
        assert_eq!(StreamConfig::parse(&[]), Some(StreamConfig::default()));
        assert!(StreamConfig::default().to_bytes().is_empty());
        assert_eq!(StreamConfig::parse(&bytes[..63]), None);
        for at in [56, 57, 63] {
            let mut bytes = bytes.clone();
            bytes[at] |= 0x80;
            assert_eq!(StreamConfig::parse(&bytes), None);
        }
        let long = [bytes, vec![0; OPAQUE_BYTES_MAX]].concat();
        assert_eq!(StreamConfig::parse(&long), None);
    }
}
