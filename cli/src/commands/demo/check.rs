//! Whether what came out is what went in: every record's content, each producer's order, the count.

use ringbolt::{From, Log, Position};

use crate::commands::demo::record::Record;
use crate::commands::demo::work::Work;
use crate::outcome::{Done, Failure};

/// Follows the records of one run, in the log's order.
#[derive(Debug)]
pub(super) struct Order {
    run: u64,
    /// The first sequence number that was seen of each producer, and the next one due.
    seen: Vec<Option<(u64, u64)>>,
    /// Whether each producer must begin with its first record.
    from_first: bool,
    records: u64,
}

impl Order {
    /// Expects all records of the run, from each producer's first on.
    pub(super) fn new(run: u64, producers: usize) -> Self {
        Self {
            run,
            seen: vec![None; producers],
            from_first: true,
            records: 0,
        }
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Takes the next record, or says what is wrong with it.
    pub(super) fn take(&mut self, payload: &[u8], position: Position) -> Done<Record> {
        let wrong = |what: String| Failure::Other(format!("the record at {position} {what}"));
        let record = Record::parse(payload)
            .filter(|record| record.run == self.run)
            .ok_or_else(|| wrong("is not what was sent".into()))?;
        let place = self
            .seen
            .get_mut(record.producer as usize)
            .ok_or_else(|| wrong(format!("names producer {}", record.producer)))?;
        let due = match place {
            Some((_, next)) => *next,
            None if self.from_first => 0,
            None => record.sequence,
        };
        if record.sequence != due {
            return Err(wrong(format!(
                "is number {} of producer {}, and {due} is due",
                record.sequence, record.producer
            )));
        }
        place.get_or_insert((due, due)).1 = due + 1;
        self.records += 1;
        Ok(record)
    }
}

/// What a full reading found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) records: u64,
    /// Records that retention had dropped.
    pub(super) trimmed: u64,
}

/// Reads what some runs appended, one after the other, from a log that was opened again.
pub(super) fn all(log: &Log, works: &[Work]) -> Done<Checked> {
    let begin = works.first().map_or(Position::MIN, |work| work.begin);
    let trimmed = log.start() > begin;
    let from = if trimmed {
        From::Start
    } else {
        From::Position(begin)
    };
    let mut orders: Vec<Order> = works
        .iter()
        .map(|work| Order {
            from_first: !trimmed,
            ..Order::new(work.run, work.sent.len())
        })
        .collect();
    let mut reader = log.reader(from)?;
    let mut current = 0;
    while let Some(record) = reader.try_next()? {
        let run = Record::parse(record.payload()).map(|record| record.run);
        if run.is_some() && orders.get(current + 1).map(|order| order.run) == run {
            current += 1;
        }
        if let Some(order) = orders.get_mut(current) {
            order.take(record.payload(), record.position())?;
        }
    }
    let mut sum = Checked {
        records: 0,
        trimmed: 0,
    };
    for (order, work) in orders.iter().zip(works) {
        let checked = finish(order, &work.sent)?;
        sum.records += checked.records;
        sum.trimmed += checked.trimmed;
    }
    Ok(sum)
}

/// Every producer's last record must be there; what is missing before its first was trimmed.
fn finish(order: &Order, sent: &[u64]) -> Done<Checked> {
    let mut trimmed = 0;
    for (producer, (seen, &sent)) in order.seen.iter().zip(sent).enumerate() {
        let (first, next) = match *seen {
            Some(seen) => seen,
            // Retention took all of them.
            None if !order.from_first => (sent, sent),
            None => (0, 0),
        };
        if next != sent {
            return Err(Failure::Other(format!(
                "producer {producer} appended {sent} records, all of them durable, and only {next} \
                 were read back; please report this, with the log, which is damaged or lost data"
            )));
        }
        trimmed += first;
    }
    Ok(Checked {
        records: order.records,
        trimmed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::record::BYTES;

    fn payload(run: u64, producer: u64, sequence: u64) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        Record {
            run,
            producer,
            sequence,
            sent_ns: 5,
        }
        .write(&mut bytes);
        bytes
    }

    #[test]
    fn gaps_repetitions_and_strangers_are_seen() {
        let mut order = Order::new(9, 2);
        let at = Position::MIN;
        for (producer, sequence) in [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1)] {
            order.take(&payload(9, producer, sequence), at).unwrap();
        }
        assert!(order.take(&payload(9, 0, 4), at).is_err(), "a gap");
        assert!(order.take(&payload(9, 0, 2), at).is_err(), "a repetition");
        assert!(order.take(&payload(8, 0, 3), at).is_err(), "another run");
        assert!(
            order.take(&payload(9, 2, 0), at).is_err(),
            "another producer"
        );
        assert!(order.take(b"noise", at).is_err());
        assert_eq!(
            finish(&order, &[3, 2]).unwrap(),
            Checked {
                records: 5,
                trimmed: 0
            }
        );
        assert!(finish(&order, &[4, 2]).is_err(), "one is missing");
    }

    #[test]
    fn what_retention_dropped_is_counted() {
        let mut order = Order::new(9, 2);
        order.from_first = false;
        order.take(&payload(9, 0, 10), Position::MIN).unwrap();
        order.take(&payload(9, 0, 11), Position::MIN).unwrap();
        assert_eq!(
            finish(&order, &[12, 5]).unwrap(),
            Checked {
                records: 2,
                trimmed: 15
            }
        );
    }
}
