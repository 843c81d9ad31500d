//! Care of what is kept, off the request's path: verify, garbage collection. (Eviction, repair, export and
//! import, and backup belong here too.)
//!
//! Works on the store alone: asks no upstream, knows no route, and imports neither `proxy` nor `registry`.

pub mod eviction;
pub mod garbage;
pub mod verify;

pub use verify::{Damage, DamageKind, Report, verify};
