//! The store, from outside.

mod backup;
mod basics;
mod batches;
mod crash;
mod cursors;
mod golden;
mod kills;
mod maintain;
mod model;
mod producers;
mod space;
mod support;
mod time;
mod view;

#[path = "../golden/text.rs"]
mod text;
