//! The compressors of Go's `compress/flate` as they were up to Go 1.26, at levels 1 and 6.
//!
//! What they decide is decided here in the same order, which the notice in `NOTICE` stands for.

mod fast;
mod lazy;
mod writer;

pub(super) use fast::Fast;
pub(super) use lazy::Lazy;
