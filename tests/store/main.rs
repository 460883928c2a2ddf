//! The store, from outside.

mod backup;
mod basics;
mod batches;
mod crash;
mod cursors;
mod kills;
mod maintain;
mod model;
mod producers;
mod space;
mod support;
mod time;
mod view;
