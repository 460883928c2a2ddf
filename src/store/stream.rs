//! A stream's handle: appending, cursors, and what its owner may do with it.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::store::Inner;
use crate::store::batch::{at, range_bytes, seek};
use crate::store::entry::{Entry, Kind};
use crate::store::id::StreamId;
use crate::store::info::{CursorInfo, StreamInfo, cursor_of, stream_info};
use crate::store::name;
use crate::store::options::StreamOptions;
use crate::store::read::{ReadFrom, StreamReadOptions, StreamReader};
use crate::store::record::NewRecord;
use crate::store::state::stream::StreamState;
use crate::store::submit::{self, Patience};
use crate::store::ticket::{Answer, Appended, StoreTicket};

/// A stream of a store: records at dense offsets. Cheap to clone, to be used from any thread.
///
/// It means this stream, not the name: when it was deleted, and another one of the name was made,
/// everything is refused as [`ErrorKind::NoStream`].
///
/// # Progress
///
/// Appending is as lock-free as it is for a [`Log`](crate::Log): the stream's state is not looked at,
/// unless it has a [quota](StreamOptions::quota_bytes). What asks for the state waits for the pass,
/// for as long as that takes to judge what came last.
#[derive(Clone)]
pub struct Stream {
    store: Arc<Inner>,
    id: StreamId,
    name: Arc<str>,
}

impl Stream {
    pub(crate) fn new(store: Arc<Inner>, id: StreamId, name: Arc<str>) -> Self {
        Self { store, id, name }
    }

    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    pub(crate) fn name_arc(&self) -> &Arc<str> {
        &self.name
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Appends a record, waiting for room in the log if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`](crate::Log::append), [`ErrorKind::Full`] for a stream at its quota,
    /// [`ErrorKind::Invalid`]; nothing was accepted then. The ticket tells the rest.
    #[inline]
    pub fn append<'a>(&self, record: impl Into<NewRecord<'a>>) -> Result<StoreTicket<Appended>> {
        self.append_patiently(&record.into(), Patience::Block)
    }

    /// Appends a record if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::append`], and [`ErrorKind::WouldBlock`].
    #[inline]
    pub fn try_append<'a>(
        &self,
        record: impl Into<NewRecord<'a>>,
    ) -> Result<StoreTicket<Appended>> {
        self.append_patiently(&record.into(), Patience::Try)
    }

    /// Appends a record, waiting for room until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::append`], and [`ErrorKind::TimedOut`].
    pub fn append_deadline<'a>(
        &self,
        record: impl Into<NewRecord<'a>>,
        deadline: Instant,
    ) -> Result<StoreTicket<Appended>> {
        self.append_patiently(&record.into(), Patience::Until(deadline))
    }

    /// Appends a record, awaiting room. Dropped before it is done, the future has written nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::append`].
    pub async fn append_async(&self, record: NewRecord<'_>) -> Result<StoreTicket<Appended>> {
        let entry = record.entry(self.id)?;
        self.check_quota(&entry)?;
        let ticket = submit::one_async(&self.store.log, &entry).await?;
        Ok(self.ticket(ticket, &entry, Answer::appended))
    }

    #[inline]
    fn append_patiently(
        &self,
        record: &NewRecord<'_>,
        patience: Patience,
    ) -> Result<StoreTicket<Appended>> {
        let entry = record.entry(self.id)?;
        self.check_quota(&entry)?;
        let ticket = submit::one(&self.store.log, &entry, patience)?;
        Ok(self.ticket(ticket, &entry, Answer::appended))
    }

    #[inline]
    fn check_quota(&self, entry: &Entry<'_>) -> Result<()> {
        if self.store.shared.has_quotas() {
            return self.check_this_quota(entry.payload.len() as u64);
        }
        Ok(())
    }

    #[cold]
    fn check_this_quota(&self, more: u64) -> Result<()> {
        self.with_state(|stream| {
            let (bytes, quota) = (stream.bytes, stream.quota_bytes());
            if bytes.saturating_add(more) <= quota {
                return Ok(());
            }
            Err(Error::new(
                ErrorKind::Full,
                format!("stream {:?} has {bytes} bytes of its {quota}", self.name),
            )
            .remedy("trim it, or raise its quota"))
        })?
    }

    /// Drops the records before `offset`. Beyond the end, the stream goes on at `offset`: so a mirror
    /// begins where a snapshot ends. A record that takes offsets on both sides stays.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::append`]. The ticket: [`ErrorKind::NoStream`].
    pub fn trim(&self, offset: u64) -> Result<StoreTicket<()>> {
        self.submit(&at(Kind::Trim, self.id, offset))
    }

    /// Cuts off the records from `offset` on: they never come back, and the next record gets
    /// `offset`. A record that takes offsets on both sides goes, too; its first offset is then the next
    /// one.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::append`]; [`ErrorKind::NoOffset`] for one that is not the stream's. The
    /// ticket: [`ErrorKind::NoStream`], and [`ErrorKind::Conflict`] when somebody else cut the stream
    /// off at the same time.
    pub fn truncate(&self, offset: u64) -> Result<StoreTicket<()>> {
        self.record_at(Kind::Truncate, offset)
    }

    /// Removes the record that takes `offset`. The others keep their offsets.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::truncate`].
    pub fn erase(&self, offset: u64) -> Result<StoreTicket<()>> {
        self.record_at(Kind::Erase, offset)
    }

    /// An entry that concerns the record which takes `offset`: where that one begins is looked up
    /// here, so that the pass need not.
    fn record_at(&self, kind: Kind, offset: u64) -> Result<StoreTicket<()>> {
        let (first, incarnation) = self.store.look(|state, known| {
            let Some(stream) = state.stream(self.id) else {
                return Ok(Err(self.gone()));
            };
            let (start, next) = (stream.start, stream.next);
            let end = next + u64::from(kind == Kind::Truncate);
            if !(start..end).contains(&offset) {
                return Ok(Err(stream.out_of_range().error(Some(&self.name))));
            }
            let mut found = Vec::new();
            if offset < next {
                state.locate(stream, self.id, offset, 1, known, &mut found)?;
            }
            // Erased already, or the end: it stands for itself.
            let first = found.first().map_or(offset, |at| at.offset.min(offset));
            Ok(Ok((first, stream.incarnation)))
        })?;
        self.submit(&Entry {
            incarnation: Some(incarnation),
            ..at(kind, self.id, first)
        })
    }

    /// Raises the fencing token: appends that [carry](NewRecord::fence) a lower one are refused from
    /// then on. To what it is already is no error.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::append`]. The ticket: [`ErrorKind::Fenced`] for a lower token.
    pub fn fence(&self, token: u64) -> Result<StoreTicket<()>> {
        self.submit(&at(Kind::Fence, self.id, token))
    }

    /// Replaces what the stream is set to. The first offset stays.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::append`].
    pub fn configure(&self, options: &StreamOptions) -> Result<StoreTicket<()>> {
        let config = options.config()?.to_bytes();
        self.submit(&Entry::new(Kind::Configure, self.id, &config))
    }

    /// Deletes the stream with its records and cursors.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::append`].
    pub fn delete(&self) -> Result<StoreTicket<()>> {
        self.submit(&Entry::new(Kind::Delete, self.id, &[]))
    }

    /// Sets a group's cursor, forwards or backwards: everything before `offset` is done, and nothing
    /// behind it. `metadata` is the group's own, up to 4 KiB.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::append`], [`ErrorKind::Invalid`]. The ticket: [`ErrorKind::NoOffset`] beyond
    /// the stream's end.
    pub fn seek(&self, group: &str, offset: u64, metadata: &[u8]) -> Result<StoreTicket<()>> {
        self.submit(&seek(self.id, group, offset, metadata)?)
    }

    /// The same, and retention waits for the group from then on, until it is [forgotten](Self::forget):
    /// what it has before it stays, whatever the [options](StreamOptions) say.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::seek`].
    pub fn hold(&self, group: &str, offset: u64, metadata: &[u8]) -> Result<StoreTicket<()>> {
        let hold = true;
        self.submit(&Entry {
            hold,
            ..seek(self.id, group, offset, metadata)?
        })
    }

    /// Says that these offsets are done, in any order, twice if need be. The cursor moves over what is
    /// done from its own offset on. The ticket gives where it then stands.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::append`], [`ErrorKind::Invalid`]. The ticket: [`ErrorKind::Absent`] for a
    /// group without a cursor, [`ErrorKind::NoOffset`] for what was never there.
    pub fn acknowledge(
        &self,
        group: &str,
        offsets: std::ops::Range<u64>,
    ) -> Result<StoreTicket<u64>> {
        self.acknowledge_all(group, &[offsets])
    }

    /// [`Stream::acknowledge`] for many ranges.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::acknowledge`].
    pub fn acknowledge_all(
        &self,
        group: &str,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<StoreTicket<u64>> {
        name::check(group)?;
        let ranges = range_bytes(ranges);
        let entry = Entry {
            key: Some(group.as_bytes()),
            ..Entry::new(Kind::Acknowledge, self.id, &ranges)
        };
        let ticket = submit::one(&self.store.log, &entry, Patience::Block)?;
        Ok(self.ticket(ticket, &entry, Answer::number))
    }

    /// The same, without waiting for anything: with the next group that the log writes, and everything
    /// that came by then as one entry. Nothing tells when it is on disk but [`Store::flush`]; what was
    /// not when the machine failed was not acknowledged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoStream`], [`ErrorKind::Absent`], [`ErrorKind::NoOffset`], as it is applied.
    ///
    /// [`Store::flush`]: crate::store::Store::flush
    pub fn acknowledge_later(&self, group: &str, offsets: std::ops::Range<u64>) -> Result<()> {
        self.with_state(|stream| match cursor_of(stream, group) {
            None => Err(Error::new(
                ErrorKind::Absent,
                format!("group {group:?} has no cursor in {:?}", self.name),
            )),
            Some(_) if offsets.start > offsets.end || offsets.end > stream.next => {
                Err(stream.out_of_range().error(Some(&self.name)))
            }
            Some(_) => Ok(()),
        })??;
        if self.store.shared.acks.add(self.id, group, offsets) {
            self.store.log.wake_follower();
        }
        Ok(())
    }

    /// Removes a group's cursor.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::append`], [`ErrorKind::Invalid`]. The ticket: [`ErrorKind::Absent`].
    pub fn forget(&self, group: &str) -> Result<StoreTicket<()>> {
        name::check(group)?;
        self.submit(&Entry {
            key: Some(group.as_bytes()),
            ..Entry::new(Kind::Forget, self.id, &[])
        })
    }

    /// A group's cursor, as it is applied.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoStream`].
    pub fn cursor(&self, group: &str) -> Result<Option<CursorInfo>> {
        self.with_state(|stream| cursor_of(stream, group))
    }

    /// How the stream stands, as it is applied.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoStream`].
    pub fn describe(&self) -> Result<StreamInfo> {
        self.with_state(stream_info)
    }

    /// Up to which offset readers of [gated](crate::Visibility::Gated) visibility see; it may move
    /// back, too. It is not kept: after opening it is 0.
    pub fn set_gate(&self, offset: u64) {
        self.store.shared.set_gate(self.id, offset);
    }

    /// A reader of durable records.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::reader_with`].
    pub fn reader(&self, from: ReadFrom<'_>) -> Result<StreamReader> {
        self.reader_with(from, &StreamReadOptions::new())
    }

    /// A reader with these options.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoStream`], [`ErrorKind::Absent`] for a group without a cursor,
    /// [`ErrorKind::NoOffset`] beyond the end.
    pub fn reader_with(
        &self,
        from: ReadFrom<'_>,
        options: &StreamReadOptions,
    ) -> Result<StreamReader> {
        StreamReader::open(self.clone(), from, options)
    }

    pub(crate) fn store(&self) -> &Arc<Inner> {
        &self.store
    }

    pub(crate) fn gone(&self) -> Error {
        Error::new(ErrorKind::NoStream, format!("{:?} was deleted", self.name))
    }

    fn with_state<T>(&self, look: impl FnOnce(&StreamState) -> T) -> Result<T> {
        let state = self.store.shared.state.read();
        state.stream(self.id).map(look).ok_or_else(|| self.gone())
    }

    fn submit(&self, entry: &Entry<'_>) -> Result<StoreTicket<()>> {
        let ticket = submit::one(&self.store.log, entry, Patience::Block)?;
        Ok(self.ticket(ticket, entry, Answer::done))
    }

    #[inline]
    fn ticket<T>(
        &self,
        ticket: crate::log::Ticket<'static>,
        entry: &Entry<'_>,
        reads: fn(Answer) -> Result<T>,
    ) -> StoreTicket<T> {
        self.store.ticket(ticket, entry, Some(&self.name), reads)
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("name", &self.name)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
