//! Acknowledgements that are put into the log together: one entry for each group, with the next group
//! of writes.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::store::batch::range_bytes;
use crate::store::entry::{Entry, Kind};
use crate::store::id::StreamId;
use crate::sync::lock::Mutex;

/// So many ranges are in one entry.
const RANGES: usize = 4000;

/// Acknowledgements that are not in the log yet, by stream and group.
#[derive(Debug, Default)]
pub(crate) struct Acks(Mutex<Pending>);

type Pending = BTreeMap<(StreamId, Box<str>), Vec<Range<u64>>>;

impl Acks {
    /// Adds one; says whether it is the first.
    pub(crate) fn add(&self, id: StreamId, group: &str, range: Range<u64>) -> bool {
        let mut pending = self.0.lock();
        let is_first = pending.is_empty();
        add(pending.entry((id, group.into())).or_default(), range);
        is_first
    }

    /// Takes those of one group, as an entry. `Err` while somebody is in the way.
    pub(crate) fn try_take(&self) -> Result<Option<Vec<u8>>, ()> {
        let mut pending = self.0.try_lock().ok_or(())?;
        Ok(take(&mut pending))
    }

    /// The same, waiting for whoever is in the way.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        take(&mut self.0.lock())
    }
}

/// Mostly it goes on where the last one ended.
fn add(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

fn take(pending: &mut Pending) -> Option<Vec<u8>> {
    let ((id, group), mut ranges) = pending.pop_first()?;
    ranges.sort_by_key(|range| range.start);
    let mut joined = Vec::new();
    ranges.into_iter().for_each(|range| add(&mut joined, range));
    if joined.len() > RANGES {
        let rest = joined.split_off(RANGES);
        pending.insert((id, group.clone()), rest);
    }
    let payload = range_bytes(&joined);
    let entry = Entry {
        key: Some(group.as_bytes()),
        ..Entry::new(Kind::Acknowledge, id, &payload)
    };
    let mut bytes = vec![0; entry.bytes()];
    entry.write(&mut bytes);
    Some(bytes)
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn those_of_a_group_become_one_entry() {
        let acks = Acks::default();
        let (a, b) = (StreamId::from_u64(1), StreamId::from_u64(2));
        assert!(acks.add(b, "g", 0..1));
        for (from, group) in [(3, "g"), (7, "h"), (1, "g"), (2, "g"), (9, "g")] {
            assert!(!acks.add(a, group, from..from + 1));
        }
        let mut taken = Vec::new();
        while let Ok(Some(bytes)) = acks.try_take() {
            let entry = Entry::parse(&bytes).unwrap();
            assert_eq!(entry.kind, Kind::Acknowledge);
            taken.push((
                entry.stream,
                entry.key.unwrap().to_vec(),
                entry.payload.to_vec(),
            ));
        }
        let ranges = |pairs: &[(u64, u64)]| {
            let ranges: Vec<_> = pairs.iter().map(|(from, to)| *from..*to).collect();
            range_bytes(&ranges)
        };
        let expected = [
            (a, b"g".to_vec(), ranges(&[(1, 4), (9, 10)])),
            (a, b"h".to_vec(), ranges(&[(7, 8)])),
            (b, b"g".to_vec(), ranges(&[(0, 1)])),
        ];
        assert_eq!(taken, expected);
        for n in 0..RANGES as u64 + 5 {
            acks.add(a, "g", n * 2..n * 2 + 1);
        }
        let ranges = |bytes: Vec<u8>| Entry::parse(&bytes).unwrap().payload.len() / 16;
        assert_eq!(acks.take().map(ranges), Some(RANGES));
        assert_eq!(acks.take().map(ranges), Some(5));
        assert!(acks.take().is_none());
    }
}
