//! Batches: several changes of a store that stand or fall together.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::store::config::StreamConfig;
use crate::store::entry::{Entry, KEY_BYTES_MAX, Kind, Refer};
use crate::store::id::StreamId;
use crate::store::name;
use crate::store::options::StreamOptions;
use crate::store::record::NewRecord;
use crate::store::state::cursors::METADATA_BYTES_MAX;
use crate::store::stream::Stream;

/// Several changes of a store that are applied together, or not at all: records of any streams,
/// cursors, keys of the table, and conditions.
///
/// All conditions are judged by how the store is right before the batch. An item that was there
/// already, by what its producer or its message id says, makes the whole batch a duplicate. A batch
/// is refused that has two records of one producer for one stream, or a record for a stream that
/// the same batch trims, cuts or deletes. Each method returns the item's place in
/// [`Committed::results`](crate::store::Committed::results).
///
/// ```
/// use ringbolt::store::{Batch, NewRecord, Store, StreamOptions};
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-batch-{}", std::process::id()));
/// let store = Store::open(&dir)?;
/// let orders = store.create("orders", &StreamOptions::new())?;
/// let bills = store.create("bills", &StreamOptions::new())?;
/// orders.append(b"two anvils")?.wait()?;
///
/// // Consume, transform, produce: once, whatever happens.
/// let mut batch = Batch::new();
/// batch.append(&bills, NewRecord::new(b"two anvils: 80"))?;
/// batch.seek(&orders, "billing", 1, b"")?;
/// store.commit(&batch)?.wait()?;
/// # store.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) streams: Vec<Option<Arc<str>>>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many items it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes all items out, to be filled again.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.streams.clear();
    }

    /// Adds a record.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a record that cannot be.
    pub fn append<'a>(
        &mut self,
        stream: &Stream,
        record: impl Into<NewRecord<'a>>,
    ) -> Result<usize> {
        let entry = record.into().entry(stream.id())?;
        Ok(self.push(&entry, Some(stream)))
    }

    /// Makes a stream. It can be used once the batch is applied.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a name or options that cannot be.
    pub fn create(&mut self, name: &str, options: &StreamOptions) -> Result<usize> {
        let config = options.config()?.to_bytes();
        let entry = create(name, options, &config)?;
        Ok(self.push(&entry, None))
    }

    /// Deletes a stream, with its records and cursors.
    pub fn delete(&mut self, stream: &Stream) -> usize {
        self.push(&Entry::new(Kind::Delete, stream.id(), &[]), Some(stream))
    }

    /// Trims a stream: see [`Stream::trim`].
    pub fn trim(&mut self, stream: &Stream, offset: u64) -> usize {
        self.push(&at(Kind::Trim, stream.id(), offset), Some(stream))
    }

    /// Raises a stream's fencing token: see [`Stream::fence`].
    pub fn fence(&mut self, stream: &Stream, token: u64) -> usize {
        self.push(&at(Kind::Fence, stream.id(), token), Some(stream))
    }

    /// Sets a group's cursor in a stream: see [`Stream::seek`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a group or metadata that cannot be.
    pub fn seek(
        &mut self,
        stream: &Stream,
        group: &str,
        offset: u64,
        metadata: &[u8],
    ) -> Result<usize> {
        let entry = seek(stream.id(), group, offset, metadata)?;
        Ok(self.push(&entry, Some(stream)))
    }

    /// The same, and retention waits for the group from then on: see [`Stream::hold`].
    ///
    /// # Errors
    ///
    /// Those of [`Batch::seek`].
    pub fn hold(
        &mut self,
        stream: &Stream,
        group: &str,
        offset: u64,
        metadata: &[u8],
    ) -> Result<usize> {
        let hold = true;
        let entry = Entry {
            hold,
            ..seek(stream.id(), group, offset, metadata)?
        };
        Ok(self.push(&entry, Some(stream)))
    }

    /// Acknowledges offsets: see [`Stream::acknowledge`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a group that cannot be.
    pub fn acknowledge(
        &mut self,
        stream: &Stream,
        group: &str,
        offsets: std::ops::Range<u64>,
    ) -> Result<usize> {
        name::check(group)?;
        let ranges = range_bytes(&[offsets]);
        let entry = Entry {
            key: Some(group.as_bytes()),
            ..Entry::new(Kind::Acknowledge, stream.id(), &ranges)
        };
        Ok(self.push(&entry, Some(stream)))
    }

    /// Sets a key of the table.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a key of more than 65,535 bytes.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<usize> {
        Ok(self.push(&put(key, value, None)?, None))
    }

    /// Sets a key if it has this version; 0 stands for a key that is not there. Else
    /// [`ErrorKind::Conflict`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a key of more than 65,535 bytes.
    pub fn put_if(&mut self, key: &[u8], value: &[u8], version: u64) -> Result<usize> {
        Ok(self.push(&put(key, value, Some(version))?, None))
    }

    /// Sets a key to a value that has, from its byte `at` on, the offset of an earlier item of this
    /// batch, a record: eight bytes, little-endian.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] where there is no such item, or the value has no room for it there.
    pub fn put_offset(
        &mut self,
        key: &[u8],
        value: &[u8],
        item: usize,
        at: usize,
    ) -> Result<usize> {
        let fits = at.checked_add(8).is_some_and(|end| end <= value.len());
        if item >= self.len() || !fits {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "the offset of item {item} at byte {at} of a value of {}",
                    value.len()
                ),
            ));
        }
        let refer = Refer {
            item: item as u32,
            at: at as u32,
        };
        let entry = Entry {
            refer: Some(refer),
            ..put(key, value, None)?
        };
        Ok(self.push(&entry, None))
    }

    /// Removes a key of the table.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a key of more than 65,535 bytes.
    pub fn remove(&mut self, key: &[u8]) -> Result<usize> {
        let entry = Entry {
            key: Some(check_key(key)?),
            ..Entry::new(Kind::Remove, StreamId::NONE, &[])
        };
        Ok(self.push(&entry, None))
    }

    /// Nothing of the batch is applied unless the stream's next offset is this one.
    pub fn require_next(&mut self, stream: &Stream, offset: u64) -> usize {
        let entry = Entry {
            if_next: Some(offset),
            ..Entry::new(Kind::Require, stream.id(), &[])
        };
        self.push(&entry, Some(stream))
    }

    /// Nothing of the batch is applied if the stream has a higher fencing token.
    pub fn require_fence(&mut self, stream: &Stream, token: u64) -> usize {
        let entry = Entry {
            if_fence: Some(token),
            ..Entry::new(Kind::Require, stream.id(), &[])
        };
        self.push(&entry, Some(stream))
    }

    /// Nothing of the batch is applied unless the key has this version; 0 stands for a key that is
    /// not there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a key of more than 65,535 bytes.
    pub fn require_version(&mut self, key: &[u8], version: u64) -> Result<usize> {
        let entry = Entry {
            key: Some(check_key(key)?),
            if_version: Some(version),
            ..Entry::new(Kind::Require, StreamId::NONE, &[])
        };
        Ok(self.push(&entry, None))
    }

    fn push(&mut self, entry: &Entry<'_>, stream: Option<&Stream>) -> usize {
        let mut bytes = vec![0; entry.bytes()];
        entry.write(&mut bytes);
        self.entries.push(bytes);
        self.streams
            .push(stream.map(|stream| Arc::clone(stream.name_arc())));
        self.entries.len() - 1
    }
}

/// An entry with an offset.
pub(crate) fn at(kind: Kind, stream: StreamId, offset: u64) -> Entry<'static> {
    Entry {
        offset: Some(offset),
        ..Entry::new(kind, stream, &[])
    }
}

pub(crate) fn create<'a>(
    name: &'a str,
    options: &StreamOptions,
    config: &'a [u8],
) -> Result<Entry<'a>> {
    name::check(name)?;
    debug_assert!(StreamConfig::parse(config).is_some());
    let first = options.first_offset();
    Ok(Entry {
        key: Some(name.as_bytes()),
        offset: (first != 0).then_some(first),
        ..Entry::new(Kind::Create, StreamId::NONE, config)
    })
}

pub(crate) fn seek<'a>(
    stream: StreamId,
    group: &'a str,
    offset: u64,
    metadata: &'a [u8],
) -> Result<Entry<'a>> {
    name::check(group)?;
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("a cursor's metadata of {} bytes", metadata.len()),
        )
        .remedy("keep to 4 KiB, and put the rest into the table"));
    }
    Ok(Entry {
        key: Some(group.as_bytes()),
        offset: Some(offset),
        ..Entry::new(Kind::Seek, stream, metadata)
    })
}

pub(crate) fn put<'a>(key: &'a [u8], value: &'a [u8], version: Option<u64>) -> Result<Entry<'a>> {
    Ok(Entry {
        key: Some(check_key(key)?),
        if_version: version,
        ..Entry::new(Kind::Put, StreamId::NONE, value)
    })
}

pub(crate) fn check_key(key: &[u8]) -> Result<&[u8]> {
    if key.len() > KEY_BYTES_MAX {
        let what = format!("a key of {} bytes", key.len());
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    Ok(key)
}

/// The payload of an acknowledgement.
pub(crate) fn range_bytes(ranges: &[std::ops::Range<u64>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ranges.len() * 16);
    for range in ranges {
        bytes.extend(range.start.to_le_bytes());
        bytes.extend(range.end.to_le_bytes());
    }
    bytes
}
