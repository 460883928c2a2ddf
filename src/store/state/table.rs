//! The table: small keyed state inside the batches.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// The keys of a store, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Table {
    map: BTreeMap<Box<[u8]>, Value>,
    /// Bytes of keys and values.
    pub(crate) bytes: u64,
    /// How many writes there were: the last one's version.
    pub(crate) writes: u64,
}

/// What a key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// Which write it was; rises over the whole table, and is never used twice.
    pub(crate) version: u64,
    pub(crate) bytes: Arc<[u8]>,
}

impl Table {
    pub(crate) fn of(map: BTreeMap<Box<[u8]>, Value>, writes: u64) -> Self {
        let entries = map.iter();
        let bytes = entries.map(|(key, value)| (key.len() + value.bytes.len()) as u64);
        let bytes = bytes.sum();
        Self { map, bytes, writes }
    }

    /// Key, version and value of each.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = (&[u8], u64, &[u8])> {
        let entries = self.map.iter();
        entries.map(|(key, value)| (&**key, value.version, &*value.bytes))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Value> {
        self.map.get(key)
    }

    /// The version that a key has; 0 for none.
    pub(crate) fn version(&self, key: &[u8]) -> u64 {
        self.get(key).map_or(0, |value| value.version)
    }

    /// Sets a key; returns the version.
    pub(crate) fn put(&mut self, key: &[u8], bytes: Arc<[u8]>) -> u64 {
        self.writes += 1;
        let version = self.writes;
        self.bytes += (key.len() + bytes.len()) as u64;
        let before = self.map.insert(key.into(), Value { version, bytes });
        if let Some(before) = before {
            self.bytes -= (key.len() + before.bytes.len()) as u64;
        }
        version
    }

    /// Removes a key; says whether it was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let before = self.map.remove(key);
        if let Some(before) = &before {
            self.writes += 1;
            self.bytes -= (key.len() + before.bytes.len()) as u64;
        }
        before.is_some()
    }

    /// The keys that begin with `prefix` and come after `after`, in order.
    pub(crate) fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
    ) -> impl Iterator<Item = (&'a [u8], &'a Value)> {
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        self.map
            .range::<[u8], _>((from, Bound::Unbounded))
            .map(|(key, value)| (&**key, value))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.map.len()
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    fn keys<'a>(table: &'a Table, prefix: &'a str, after: Option<&'a str>) -> Vec<&'a str> {
        table
            .scan(prefix.as_bytes(), after.map(str::as_bytes))
            .map(|(key, _)| std::str::from_utf8(key).unwrap())
            .collect()
    }

    #[test]
    fn versions_rise_and_bytes_are_counted() {
        let mut table = Table::default();
        assert_eq!(table.version(b"a"), 0);
        assert_eq!(table.put(b"a", Arc::from(&b"123"[..])), 1);
        assert_eq!(table.put(b"a", Arc::from(&b"1"[..])), 2);
        assert_eq!(table.bytes, 2);
        assert!(table.remove(b"a") && !table.remove(b"a"));
        assert_eq!((table.bytes, table.len()), (0, 0));
        assert_eq!(table.put(b"a", Arc::from(&b""[..])), 4, "never used twice");
    }

    #[test]
    fn a_scan_keeps_to_its_prefix_and_goes_on_behind_a_key() {
        let mut table = Table::default();
        for key in ["a", "b", "b/1", "b/2", "b/3", "c", ""] {
            table.put(key.as_bytes(), Arc::from(&b""[..]));
        }
        assert_eq!(keys(&table, "b/", None), ["b/1", "b/2", "b/3"]);
        assert_eq!(keys(&table, "b/", Some("b/1")), ["b/2", "b/3"]);
        assert_eq!(keys(&table, "b/", Some("a")), ["b/1", "b/2", "b/3"]);
        assert_eq!(keys(&table, "b/", Some("z")), [""; 0]);
        assert_eq!(keys(&table, "", None).len(), 7);
    }
}
