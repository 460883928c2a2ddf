//! What a view has derived so far, by the store's own pass.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::log::{LogView, Position, ViewFollow};
use crate::store::evidence::{self, What};
use crate::store::id::StreamId;
use crate::store::pass::Pass;
use crate::store::shared::Shared;
use crate::store::state::places::SegmentIndex;
use crate::store::state::stream::StreamState;
use crate::store::state::{Known, Missing, State};
use crate::store::{FEATURES, name};

/// How often what changes under the look is looked at again.
const TRIES: usize = 100;

/// What was derived so far.
pub(super) struct Seen {
    pub(super) shared: Arc<Shared>,
    pass: Pass,
    /// `None` while the log has no segment.
    follow: Option<ViewFollow>,
    /// How often what had been taken in was cut off.
    pub(super) cuts: u64,
}

impl Seen {
    /// Begins at the newest snapshot.
    pub(super) fn begin(log: &LogView) -> Result<Self> {
        let mut tries = 0;
        loop {
            let shared = Shared::new();
            let mut pass = Pass::new(Arc::clone(&shared), 0, u64::MAX);
            let follow = match ViewFollow::begin(log, FEATURES, &mut pass) {
                // A snapshot may have made room for a newer one, and segments may have gone.
                Err(error) if is_of_place(error.kind()) && tries < TRIES => {
                    tries += 1;
                    continue;
                }
                follow => follow?,
            };
            return Ok(Self {
                shared,
                pass,
                follow,
                cuts: 0,
            });
        }
    }

    /// Takes in what came since.
    pub(super) fn refresh(&mut self, log: &LogView) -> Result<()> {
        let mut tries = 0;
        loop {
            match self.go_on(log) {
                // It fell behind the log's start: a snapshot has what was there.
                Err(error) if error.kind() == ErrorKind::Trimmed && tries < TRIES => {
                    self.begin_anew(log)?;
                    tries += 1;
                }
                Err(error) if matches!(error.kind(), ErrorKind::Cut | ErrorKind::NoRecord) => {
                    self.begin_anew(log)?;
                    self.cuts += 1;
                    // What it meets is told at the next call.
                    let _ = self.go_on(log);
                    let what = "the log was cut off before what had been taken in";
                    return Err(Error::new(ErrorKind::Cut, what)
                        .at_path(log.dir().path())
                        .remedy(
                            "the view has begun anew: look again at what was derived from it",
                        ));
                }
                done => return done,
            }
        }
    }

    fn begin_anew(&mut self, log: &LogView) -> Result<()> {
        let cuts = self.cuts;
        *self = Self::begin(log)?;
        self.cuts = cuts;
        Ok(())
    }

    fn go_on(&mut self, log: &LogView) -> Result<()> {
        if self.follow.is_none() {
            self.begin_anew(log)?;
        }
        let Some(follow) = &mut self.follow else {
            return Ok(());
        };
        let done = follow.go_on(&mut self.pass);
        self.let_go(log);
        done
    }

    /// Lets the indexes go that are on disk by now, and those of segments that are gone.
    fn let_go(&self, log: &LogView) {
        let Some(follow) = &self.follow else {
            return;
        };
        let state = self.shared.state.read();
        let kept: Vec<_> = state.indexes().map(|index| index.segment).collect();
        drop(state);
        for segment in kept {
            let is_on_disk = || {
                let bytes = evidence::read(&**log.dir(), What::Index, &follow.anchor(segment)?);
                SegmentIndex::read(segment, &bytes.ok()??)
            };
            if segment < follow.first() || is_on_disk().is_some() {
                self.shared.state.write().published(segment);
            }
        }
    }

    pub(super) fn applied(&self) -> Position {
        self.shared.applied()
    }

    /// Looks at the stream of this name.
    pub(super) fn stream<T>(
        &self,
        name: &str,
        look: impl FnOnce(StreamId, &StreamState) -> T,
    ) -> Result<T> {
        name::check(name)?;
        let state = self.shared.state.read();
        let found = state
            .find(name)
            .and_then(|id| Some((id, state.stream(id)?)));
        let (id, stream) =
            found.ok_or_else(|| Error::new(ErrorKind::NoStream, format!("{name:?}")))?;
        Ok(look(id, stream))
    }

    /// Looks at the state, with indexes brought from disk as they are needed.
    pub(super) fn look<T>(
        &self,
        log: &LogView,
        look: impl FnMut(&State, &Known) -> Result<Result<T>, Missing>,
    ) -> Result<T> {
        let anchor = |segment| self.follow.as_ref()?.anchor(segment);
        self.shared.look(&**log.dir(), anchor, look)
    }
}

/// Whether an error may be due to what came or went meanwhile.
fn is_of_place(kind: ErrorKind) -> bool {
    use ErrorKind::{Cut, Damaged, NoRecord, Trimmed};
    matches!(kind, Cut | Damaged | NoRecord | Trimmed)
}
