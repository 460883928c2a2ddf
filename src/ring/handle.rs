//! What each handle of a ring tells of itself, so that it can be waited for together with others.

use super::side::Side;

/// What each handle tells of itself. It lies in a private module, so that nobody else implements it.
pub trait Handle {
    /// Where it waits.
    fn side(&self) -> &Side;

    /// Whether its `try_` calls would do something, or say that the ring is closed.
    fn is_ready(&self) -> bool;
}
